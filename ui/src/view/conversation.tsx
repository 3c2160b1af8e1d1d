import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { activeTurn, waitingTurns } from "../session/conversation.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Empty } from "./empty.tsx";
import { finding } from "./find-state.ts";
import { focusIsShown, useLeaving } from "./focus.ts";
import { Icon } from "./icon.tsx";
import { later } from "./later.tsx";
import { elementAt, revealed } from "./reveal.ts";
import { Skeleton } from "./skeleton.tsx";
import { Timeline, turnInView } from "./timeline.tsx";
import { TurnView } from "./turn.tsx";
import { UnsentMessages } from "./unsent.tsx";

/** So near to the bottom counts as there, in CSS pixels. */
const NEAR = 48;
/** So near to the top older turns are fetched, in CSS pixels. */
const NEAR_TOP = 600;
/** What grows right after a click was opened by hand, and does not move the page. */
const BY_HAND_MS = 400;
/** A turn is in view whose beginning is above this part of the screen. */
const READ_AT = 0.4;

const FindBar = later(async () => (await import("./find-bar.tsx")).FindBar);

export function ConversationView() {
  const session = useSession();
  const conversation = session.conversation.value;
  const scroller = useRef<HTMLElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const touched = useRef(0);
  const looking = useRef(0);
  const [below, setBelow] = useState(false);

  // Older turns come in above: what is seen stays where it is, as far from the end as before.
  const since = useRef(conversation.since);
  const fromEnd = useRef(0);
  const prepended = since.current !== 0 && since.current !== conversation.since;
  since.current = conversation.since;
  if (prepended && scroller.current !== null) {
    fromEnd.current = scroller.current.scrollHeight - scroller.current.scrollTop;
  }

  const toBottom = () => {
    const element = scroller.current;
    if (element !== null) element.scrollTop = element.scrollHeight;
  };
  const scrolled = () => {
    const element = scroller.current;
    if (element === null) return;
    const near = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
    following.current = near;
    if (near) setBelow(false);
    loadNearTop();
    cancelAnimationFrame(looking.current);
    looking.current = requestAnimationFrame(() => {
      turnInView.value = near ? null : turnAt(element);
    });
  };
  const loadNearTop = () => {
    const element = scroller.current;
    // Until all is here that the log held, there is more to come below.
    const some = session.older.value === "some" && session.caughtUp.value;
    if (some && element !== null && element.scrollTop < NEAR_TOP) void session.loadOlder();
  };

  useLayoutEffect(() => {
    if (following.current) toBottom();
    else setBelow(true);
  }, [conversation.seq, session.outbox.value]);

  const older = session.older.value;
  const caughtUp = session.caughtUp.value;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    if (prepended) element.scrollTop = element.scrollHeight - fromEnd.current;
    if (older !== "some") return;
    // Once it is drawn: what came may fill less than the screen.
    const frame = requestAnimationFrame(loadNearTop);
    return () => cancelAnimationFrame(frame);
  }, [conversation.since, older, caughtUp]);

  // Somebody was sent to a place.
  const place = revealed.value;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (place === null || element === null) return;
    const target = elementAt(element, place);
    if (target === null) return;
    following.current = false;
    target.scrollIntoView({ block: place.item === null ? "start" : "center" });
    target.classList.remove("pointed-at");
    // What is above gets its height only when it is seen: once more, when that is known.
    const frame = requestAnimationFrame(() => {
      target.scrollIntoView({ block: place.item === null ? "start" : "center" });
      target.classList.add("pointed-at");
      const focused = target.querySelector<HTMLElement>(":scope > summary") ?? target;
      if (!focusIsShown(document.activeElement) || finding.value) return;
      if (focused === target) target.tabIndex = -1;
      focused.focus({ preventScroll: true });
    });
    return () => cancelAnimationFrame(frame);
  }, [place]);

  // A keyboard that opens, a composer that grows, text that gets its height only when it is seen.
  useLayoutEffect(() => {
    const [view, inner] = [scroller.current, content.current];
    if (view === null || inner === null) return;
    const observer = new ResizeObserver(() => {
      if (following.current && performance.now() - touched.current > BY_HAND_MS) toBottom();
    });
    observer.observe(view);
    observer.observe(inner);
    return () => observer.disconnect();
  }, []);

  const waiting = new Set(waitingTurns(conversation));
  const shown = conversation.turns.filter((turn) => !waiting.has(turn));
  const empty = shown.length === 0 && session.outbox.value.length === 0 && session.caughtUp.value;
  const waits = shown.length === 0 && !session.caughtUp.value;
  return (
    <>
      {finding.value && <FindBar />}
      <main
        ref={scroller}
        class="scroller"
        onScroll={scrolled}
        onPointerDown={() => (touched.current = performance.now())}
        onKeyDown={() => (touched.current = performance.now())}
        tabIndex={-1}
      >
        <div
          ref={content}
          class="log"
          role="log"
          aria-label={text.conversation}
          aria-live="off"
          aria-busy={activeTurn(conversation) !== null}
        >
          {older !== "none" && <Older />}
          {empty && <Empty />}
          {waits && <Skeleton lines={6} />}
          {shown.map((turn) => (
            <TurnView key={turn.id} turn={turn} />
          ))}
          <UnsentMessages />
        </div>
        {below && (
          <Below
            go={() => {
              following.current = true;
              setBelow(false);
              toBottom();
            }}
          />
        )}
      </main>
      <Timeline turns={shown} />
    </>
  );
}

/** The turn that is read at this place of the scroller. */
function turnAt(scroller: HTMLElement): string | null {
  const turns = [...scroller.querySelectorAll<HTMLElement>("[data-turn]")];
  const line = scroller.scrollTop + scroller.clientHeight * READ_AT;
  let [from, to] = [0, turns.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((turns[middle]?.offsetTop ?? 0) <= line) from = middle + 1;
    else to = middle;
  }
  return turns[Math.max(0, from - 1)]?.dataset.turn ?? null;
}

/** What was said before is fetched when the top comes near; this says so, or does it by hand. */
function Older() {
  const session = useSession();
  const state = session.older.value;
  return (
    <div class="older" data-testid="older" data-state={state}>
      <button type="button" disabled={state === "loading"} onClick={() => void session.loadOlder()}>
        {state === "loading" ? text.loadingOlder : state === "failed" ? text.olderFailed : text.showOlder}
      </button>
    </div>
  );
}

function Below({ go }: { go: () => void }) {
  return (
    <div class="below">
      <button ref={useLeaving<HTMLButtonElement>()} type="button" onClick={go}>
        <Icon name="down" />
        {text.newMessages}
      </button>
    </div>
  );
}
