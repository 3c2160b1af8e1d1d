import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { findPlaces, rangesOf } from "./find.ts";
import { finding } from "./find-state.ts";
import { focusComposer } from "./focus.ts";
import { Icon } from "./icon.tsx";
import { elementAt, type Place, reveal } from "./reveal.ts";

/** Searching waits until nobody has typed for this long. */
const PAUSE_MS = 150;
const MARK = "found";

/** The field that searches the conversation, and the way from place to place. */
export function FindBar() {
  const session = useSession();
  const field = useRef<HTMLInputElement>(null);
  const [typed, setTyped] = useState("");
  const [sought, setSought] = useState("");
  const [at, setAt] = useState(0);
  const { turns } = session.conversation.value;
  const places = useMemo(() => findPlaces(turns, sought), [turns, sought]);
  const place = places[Math.min(at, places.length - 1)] ?? null;
  useEffect(() => {
    field.current?.focus();
    return unmark;
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => {
      setSought(typed);
      setAt(Math.max(0, findPlaces(session.conversation.value.turns, typed).length - 1));
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => {
    if (place === null) return unmark();
    reveal(place.turn, place.item);
    return mark(place, sought);
  }, [place?.turn, place?.item, sought]);

  const go = (step: number) => {
    if (places.length > 0) setAt((Math.min(at, places.length - 1) + step + places.length) % places.length);
  };
  const close = () => {
    finding.value = false;
    focusComposer();
  };
  return (
    <search class="find" data-testid="find">
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        value={typed}
        placeholder={text.find}
        aria-label={text.findWords}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.isComposing) return;
          if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
          else if (event.key === "Escape") close();
          else return;
          event.preventDefault();
        }}
      />
      <span class="faint" role="status" data-testid="find-count">
        {sought.trim() === "" ? "" : text.findCount(places.length === 0 ? 0 : Math.min(at, places.length - 1) + 1, places.length)}
      </span>
      {sought.trim() !== "" && session.older.value !== "none" && (
        <button type="button" class="quiet small" disabled={session.older.value === "loading"} onClick={() => void session.loadOlder()}>
          {session.older.value === "loading" ? text.loadingOlder : text.findOlder}
        </button>
      )}
      <button type="button" class="quiet small" aria-label={text.findPrevious} title={text.findPrevious} disabled={places.length === 0} onClick={() => go(-1)}>
        <Icon name="up" />
      </button>
      <button type="button" class="quiet small" aria-label={text.findNext} title={text.findNext} disabled={places.length === 0} onClick={() => go(1)}>
        <Icon name="down" />
      </button>
      <button type="button" class="quiet small" aria-label={text.close} title={text.close} onClick={close}>
        <Icon name="cross" />
      </button>
    </search>
  );
}

/** Marks the words where they stand, without touching what is drawn. Gives what ends that. */
function mark(place: Place, words: string): () => void {
  // Once what was folded is open.
  const timer = setTimeout(() => {
    const element = elementAt(document, place);
    if (element === null || !("highlights" in CSS)) return;
    const ranges = rangesOf(element, words);
    CSS.highlights.set(MARK, new Highlight(...ranges));
    ranges[0]?.startContainer.parentElement?.scrollIntoView({ block: "center" });
  }, 50);
  return () => {
    clearTimeout(timer);
    unmark();
  };
}

function unmark(): void {
  if ("highlights" in CSS) CSS.highlights.delete(MARK);
}
