/** Tells whoever is in another tab what happens in this one: by its title, and where asked by a notification. */
import { useEffect, useRef, useState } from "preact/hooks";
import { activeTurn, openRequests } from "../session/conversation.ts";
import type { Session } from "../session/session.ts";
import { noteVisit } from "../session/visited.ts";
import { notify } from "../settings.ts";
import { text } from "../text.ts";
import { shortId } from "./header.tsx";

/** How often it is noted how far the session was seen. */
const SEEN_EVERY_MS = 5_000;

export function Watch({ session }: { session: Session }) {
  useTitle(session);
  useNotifications(session);
  useVisit(session);
  return null;
}

/** What happened unseen comes first, then whether something runs or waits for somebody. */
function useTitle(session: Session): void {
  const conversation = session.conversation.value;
  const running = activeTurn(conversation) !== null;
  const asks = openRequests(conversation).length > 0;
  const unseen = useUnseen(session);
  useEffect(() => {
    const first = conversation.turns[0]?.message?.content.trim().split("\n", 1)[0] ?? "";
    const name = `${first === "" || conversation.turns[0]?.cut ? shortId(session.id) : first.slice(0, 60)} · ${text.product}`;
    const state = asks ? `(?) ${text.waitsForYou} · ` : running ? "▸ " : "";
    document.title = `${unseen > 0 ? `(${unseen}) ` : ""}${state}${name}`;
  }, [asks, running, unseen, session.id, conversation.turns.length]);
}

/** The turns that have ended since this page was looked at. */
function useUnseen(session: Session): number {
  const [hidden, setHidden] = useState(document.hidden);
  const seen = useRef<number | null>(null);
  useEffect(() => {
    const changed = () => setHidden(document.hidden);
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);
  const last = lastEnd(session);
  // What was there when the page came was not missed.
  if (!hidden || !session.caughtUp.value || seen.current === null) seen.current = last;
  const since = seen.current;
  return session.conversation.value.turns.filter((turn) => turn.endedAt > since && turn.startedAt > 0).length;
}

function lastEnd(session: Session): number {
  return session.conversation.value.turns.reduce((last, turn) => Math.max(last, turn.endedAt), 0);
}

function useNotifications(session: Session): void {
  const conversation = session.conversation.value;
  const caughtUp = session.caughtUp.value;
  const ended = conversation.turns.findLast((turn) => turn.state === "ended" && turn.startedAt > 0);
  const asked = openRequests(conversation)[0];
  const told = useRef<{ ended: string | undefined; asked: string | undefined } | null>(null);
  useEffect(() => {
    const before = told.current;
    told.current = caughtUp ? { ended: ended?.id, asked: asked?.requestId } : null;
    if (before === null || !caughtUp || !document.hidden || !notify.value) return;
    if (asked !== undefined && asked.requestId !== before.asked) tell(session.id, text.waitsForYou, asked.text);
    else if (ended !== undefined && ended.id !== before.ended && activeTurn(conversation) === null) {
      tell(session.id, text.outcomes[ended.outcome ?? "failed"], ended.message?.content ?? "");
    }
  }, [ended?.id, asked?.requestId, caughtUp]);
}

function tell(session: string, title: string, body: string): void {
  if (typeof Notification === "undefined" || Notification.permission !== "granted") return;
  try {
    // Several tabs of a session tell once.
    const shown = new Notification(`${title} · ${text.product}`, { body: body.slice(0, 200), tag: `agent-router-${session}` });
    shown.onclick = () => {
      window.focus();
      shown.close();
    };
  } catch {
    // Phones take notifications from service workers alone.
  }
}

/** Keeps the session in the list of those that were opened here, and how far it was seen. */
function useVisit(session: Session): void {
  const conversation = session.conversation.value;
  const first = conversation.turns[0];
  const title = first?.cut === false ? (first.message?.content ?? "") : "";
  const at = conversation.turns.reduce((last, turn) => Math.max(last, turn.startedAt, turn.endedAt), 0);
  const state = activeTurn(conversation)?.state;
  const open = session.door.value === "open" && session.link.value.state === "live";
  const caughtUp = session.caughtUp.value;
  useEffect(() => {
    if (!open) return;
    const note = (shown: boolean) => {
      const seen = shown && caughtUp ? (session.recent.at(-1)?.timestamp ?? 0) : 0;
      noteVisit(session.id, caughtUp ? { title, at, seen } : { title, at });
    };
    note(!document.hidden);
    // What came while it was hidden is shown now, or what came while it was shown has been seen.
    const turned = () => note(true);
    const left = () => note(!document.hidden);
    document.addEventListener("visibilitychange", turned);
    addEventListener("pagehide", left);
    // A browser may end without a word.
    const timer = setInterval(left, SEEN_EVERY_MS);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", turned);
      removeEventListener("pagehide", left);
    };
  }, [open, caughtUp, title, at, state, session.id]);
}
