import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";

type Paint = (code: string, language: string) => ComponentChildren | null;

/** Longer code is shown without colours: finding them would hold up the page. */
const MOST_CHARACTERS = 100_000;
/** Code that is still being written is coloured when it has not changed for this long. */
const PAUSE_MS = 200;
const PLAIN = new Set(["", "code", "text", "txt", "plain", "plaintext", "console", "output"]);

const paint = signal<Paint | null>(null);
let asked = false;

function fetchPaint(): void {
  if (asked) return;
  asked = true;
  import("./highlighter.ts").then(
    (part) => {
      paint.value = part.paint;
    },
    () => {
      // Without colours it can be read as well. The next that wants them asks again.
      asked = false;
    },
  );
}

/** Code, in colours once they are here. */
export function Code({ code, language }: { code: string; language: string }) {
  const name = language.toLowerCase();
  const plain = PLAIN.has(name) || code.length > MOST_CHARACTERS;
  const [settled, setSettled] = useState<string | null>(null);
  useEffect(() => {
    if (plain) return;
    fetchPaint();
    const timer = setTimeout(() => setSettled(code), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [code, plain]);
  const painter = paint.value;
  const painted = useMemo(
    () => (plain || settled !== code || painter === null ? null : painter(code, name)),
    [code, name, plain, settled, painter],
  );
  return <code>{painted ?? code}</code>;
}
