import { useEffect, useRef, useState } from "preact/hooks";
import { activeTurn, type Conversation, openRequests } from "../session/conversation.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";

/** A listener is told once a second at most, and the latest of it. */
const PAUSE_MS = 1_000;

/** Says in a few words what happens; the conversation itself would flood whoever listens. */
export function Announcer() {
  const session = useSession();
  const conversation = session.conversation.value;
  const before = useRef<Conversation | null>(null);
  const [words, setWords] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    const known = before.current;
    before.current = session.caughtUp.value ? conversation : null;
    // What was there when the page came is no news.
    const news = known === null ? null : whatIsNew(known, conversation);
    if (news === null) return;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setWords(news), PAUSE_MS);
  }, [conversation]);
  return (
    <div class="hidden" role="status" aria-live="polite" data-testid="announcer">
      {words}
    </div>
  );
}

/** The most important of what happened between two states; null for nothing worth saying. */
export function whatIsNew(before: Conversation, after: Conversation): string | null {
  // What was said before the conversation begins is no news either.
  if (before.turns === after.turns || before.since !== after.since) return null;
  const ended = after.turns.findLast(
    (turn, at) => turn.state === "ended" && before.turns[at]?.state !== "ended",
  );
  const active = activeTurn(after);
  if (ended !== undefined && active === null) return text.announceEnd[ended.outcome ?? "failed"];
  if (active === null) return null;
  const known = before.turns.find((turn) => turn.id === active.id);
  const asked = openRequests(after).find(
    (item) => known?.items.some((one) => one.key === item.key) !== true,
  );
  if (asked !== undefined) return text.announceRequest(asked.text);
  for (const [at, item] of [...active.items.entries()].reverse()) {
    if (item.kind !== "tool" || item.state === "running" || item.parent !== null) continue;
    const was = known?.items[at];
    if (was?.kind === "tool" && was.state !== "running") break;
    return text.announceTool(item.tool, item.state === "failed");
  }
  if (active.state === known?.state) return null;
  return active.state === "starting" ? text.announceStarting : text.announceWorking;
}
