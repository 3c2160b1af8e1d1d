/** Output of programs as a terminal shows it: its colours, and nothing else that it would do. */
import { terminalText } from "./terminal-text.ts";

export interface Piece {
  readonly text: string;
  /** What it looks like: `bold`, `dim`, `underline`, `c0` to `c15`, in this order. */
  readonly looks: readonly string[];
}

interface Look {
  bold: boolean;
  dim: boolean;
  underline: boolean;
  colour: number | null;
}

const SGR = /\u001b\[([\d;:]*)m/g;
/** More than this is shown without colours. */
const MOST_CHARACTERS = 200_000;

/** The output in pieces of one look each, without control characters. */
export function pieces(output: string): Piece[] {
  if (output.length > MOST_CHARACTERS || !output.includes("\u001b[")) return plain(terminalText(output));
  const look: Look = { bold: false, dim: false, underline: false, colour: null };
  const found: Piece[] = [];
  let from = 0;
  const add = (text: string) => {
    // Each piece by itself: what a line overwrites of itself is lost across colours, which is rare.
    const shown = terminalText(text);
    if (shown !== "") found.push({ text: shown, looks: looksOf(look) });
  };
  for (const match of output.matchAll(SGR)) {
    add(output.slice(from, match.index));
    from = match.index + match[0].length;
    change(look, match[1] ?? "");
  }
  add(output.slice(from));
  return found;
}

function plain(text: string): Piece[] {
  return text === "" ? [] : [{ text, looks: [] }];
}

function looksOf({ bold, dim, underline, colour }: Look): string[] {
  return [
    ...(bold ? ["bold"] : []),
    ...(dim ? ["dim"] : []),
    ...(underline ? ["underline"] : []),
    ...(colour === null ? [] : [`c${colour}`]),
  ];
}

function change(look: Look, parameters: string): void {
  const codes = parameters === "" ? [0] : parameters.split(/[;:]/).map(Number);
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? 0;
    if (code === 0) Object.assign(look, { bold: false, dim: false, underline: false, colour: null });
    else if (code === 1) look.bold = true;
    else if (code === 2) look.dim = true;
    else if (code === 22) look.bold = look.dim = false;
    else if (code === 4) look.underline = true;
    else if (code === 24) look.underline = false;
    else if (code === 39) look.colour = null;
    else if (code >= 30 && code <= 37) look.colour = code - 30;
    else if (code >= 90 && code <= 97) look.colour = code - 82;
    else if (code === 38 || code === 48) {
      const wide = codes[at + 1] === 5 ? codes[at + 2] : undefined;
      // Of 256 colours the first sixteen are the terminal's own; the others are left out.
      if (code === 38) look.colour = wide !== undefined && wide >= 0 && wide < 16 ? wide : null;
      at += codes[at + 1] === 5 ? 2 : codes[at + 1] === 2 ? 4 : 0;
    }
  }
}
