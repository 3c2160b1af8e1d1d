/** Text whose every character is seen: what a person decides about must be what they read. */
import type { ComponentChildren } from "preact";

/** Characters that are not seen, or that change how others are: all but tabs and the ends of lines. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]+/gu;
/** With more such places than this they are not marked each, only written out. */
const MOST_MARKED = 2_000;

/** Hidden characters as JavaScript writes them: `\u202e`. */
export function escaped(value: string): string {
  return value.replace(HIDDEN, (hidden) => [...hidden].map(written).join(""));
}

function written(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16);
  return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
}

/** The text with what is hidden in it written out and marked. */
export function verbatim(value: string): ComponentChildren {
  const found = [...value.matchAll(HIDDEN)];
  if (found.length === 0) return value;
  if (found.length > MOST_MARKED) return escaped(value);
  const shown: ComponentChildren[] = [];
  let from = 0;
  for (const { 0: hidden, index } of found) {
    shown.push(value.slice(from, index), <span class="escaped">{escaped(hidden)}</span>);
    from = index + hidden.length;
  }
  shown.push(value.slice(from));
  return shown;
}
