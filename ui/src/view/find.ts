/** Searching what was said and done. */
import type { Item, Turn } from "../session/conversation.ts";
import type { Place } from "./reveal.ts";
import { terminalText } from "./terminal-text.ts";

/** The places that have the words in them, in the order of the conversation. Case does not matter. */
export function findPlaces(turns: readonly Turn[], words: string): Place[] {
  const sought = words.trim().toLowerCase();
  if (sought === "") return [];
  const has = (text: string) => text.toLowerCase().includes(sought);
  return turns.flatMap((turn) => {
    const said = turn.message !== null && has(turn.message.content) ? [{ turn: turn.id, item: null }] : [];
    const items = turn.items.filter((item) => textsOf(item).some(has));
    return [...said, ...items.map((item) => ({ turn: turn.id, item: item.key }))];
  });
}

function textsOf(item: Item): string[] {
  switch (item.kind) {
    case "text":
    case "thinking":
    case "error":
      return [item.text];
    case "tool":
      return [item.tool, item.summary, ...strings(item.input), terminalText(item.output ?? "")];
    case "refused-host":
      return [item.host];
    case "launched":
      return [item.agent, item.session];
    case "request":
      return [item.text, ...strings(item.input), ...Object.values(item.end?.answers ?? {})];
  }
}

/** Nested more deeply than this nothing is searched. */
const DEEPEST = 8;

function strings(value: unknown, depth = 0): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null || depth > DEEPEST) return [];
  return Object.values(value).flatMap((one) => strings(one, depth + 1));
}

/** Where the words stand in the text below an element. */
export function rangesOf(element: Element, words: string): Range[] {
  const sought = words.trim().toLowerCase();
  const ranges: Range[] = [];
  if (sought === "") return ranges;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const text = (node.nodeValue ?? "").toLowerCase();
    for (let at = text.indexOf(sought); at >= 0; at = text.indexOf(sought, at + sought.length)) {
      // In a few scripts a small letter is longer than a big one.
      if (at + sought.length > (node.nodeValue ?? "").length) break;
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + sought.length);
      ranges.push(range);
    }
  }
  return ranges;
}
