/**
 * Text into Markdown blocks, again and again while the text grows.
 *
 * Text that is added can change the last two blocks at most: a paragraph becomes a table, and what
 * began as a paragraph after a list ("2") becomes an item of it ("2. b"). So all blocks before them
 * are kept as they are, and only the rest is read again.
 */
import { Lexer, type Token } from "marked";

export interface Block {
  /** Where it starts in the text. */
  readonly start: number;
  readonly token: Token;
}

export interface Blocks {
  readonly text: string;
  readonly blocks: readonly Block[];
}

/** Longer text than this is shown as it is: reading it as Markdown would hold up the page. */
export const MOST_CHARACTERS = 200_000;

export const noBlocks: Blocks = { text: "", blocks: [] };

/** The blocks of `text`. Those of `before` are kept as far as the text still begins with them. */
export function splitBlocks(given: string, before: Blocks = noBlocks): Blocks {
  const text = given.replace(/\r\n?/g, "\n");
  if (text === before.text) return before;
  const open = before.blocks.at(-2);
  const keeps = open !== undefined && text.startsWith(before.text.slice(0, open.start));
  const from = keeps ? open.start : 0;
  const blocks = keeps ? before.blocks.slice(0, -2) : [];
  let start = from;
  for (const token of read(text.slice(from))) {
    if (token.type !== "space") blocks.push({ start, token });
    start += token.raw.length;
  }
  return { text, blocks };
}

function read(text: string): Token[] {
  if (text.length > MOST_CHARACTERS) return [asItIs(text)];
  try {
    const tokens = new Lexer({ gfm: true }).lex(text);
    const length = tokens.reduce((sum, token) => sum + token.raw.length, 0);
    // Places in the text are sums of lengths: a reading that does not add up can't be gone on with.
    return length === text.length ? tokens : [asItIs(text)];
  } catch {
    // Nested so deeply that the reader gave up.
    return [asItIs(text)];
  }
}

function asItIs(text: string): Token {
  return { type: "html", raw: text, text, block: true, pre: false };
}
