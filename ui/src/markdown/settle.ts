/**
 * The end of a text that is still being written: what would flash as something else for a moment is
 * held back, or closed.
 */

/** The text to show for `text` while more is to come. */
export function settle(text: string): string {
  const lineStart = text.lastIndexOf("\n") + 1;
  const line = text.slice(lineStart);
  if (insideFence(text)) {
    // The beginning of the fence's end.
    return /^ {0,3}(`{1,}|~{1,})$/.test(line) ? text.slice(0, lineStart) : text;
  }
  // A fence's, a heading's, a rule's or a list item's first characters, and dashes that would turn
  // the line before into a heading.
  if (/^\s*(`{1,2}|~{1,2}|#{1,6}|[-=*+_]{1,}|>|\d{1,9}[.)]?)\s*$/.test(line)) {
    return text.slice(0, lineStart);
  }
  const paragraphStart = Math.max(0, text.lastIndexOf("\n\n") + 2);
  // A table is one from its second line on.
  if (/^\s*\|[^\n]*(\n[\s|:-]*)?$/.test(text.slice(paragraphStart))) {
    return text.slice(0, paragraphStart);
  }
  return text.slice(0, lineStart) + closeLine(line);
}

function insideFence(text: string): boolean {
  let fence: string | null = null;
  for (const match of text.matchAll(/^ {0,3}(`{3,}|~{3,})([^\n]*)$/gm)) {
    const [, mark = "", rest = ""] = match;
    if (fence === null) fence = mark;
    else if (mark[0] === fence[0] && mark.length >= fence.length && rest.trim() === "") fence = null;
  }
  return fence !== null;
}

/** Ends what the line has begun: `code`, **strong**, and a link, which is only its text so far. */
function closeLine(line: string): string {
  const closed = line
    .replace(/!?\[([^\]\n]*)\]\([^)\s]*$/, "$1")
    .replace(/!?\[([^\]\n]*)\]?$/, "$1");
  if (odd(closed, /`/g)) return `${closed}\``;
  if (!openStrong(closed)) return closed;
  if (closed.endsWith("**")) return closed.slice(0, -2);
  return closed.endsWith("*") ? `${closed}*` : `${closed}**`;
}

function openStrong(line: string): boolean {
  return odd(line.replace(/`[^`]*`/g, ""), /\*\*/g);
}

function odd(text: string, pattern: RegExp): boolean {
  return (text.match(pattern)?.length ?? 0) % 2 === 1;
}
