/** A small line diff, for the few lines that an edit replaces. */

export interface DiffLine {
  readonly kind: "same" | "removed" | "added";
  readonly text: string;
}

/** Above this many pairs of lines the middle is shown as replaced as a whole. */
const MOST_PAIRS = 250_000;
/** Lines without a change that are shown around one. */
export const CONTEXT = 3;

/** The lines of both, in order: what went, what came, what stayed. */
export function diffLines(before: string, after: string): DiffLine[] {
  const old = lines(before);
  const fresh = lines(after);
  let head = 0;
  while (head < old.length && head < fresh.length && old[head] === fresh[head]) head += 1;
  let tail = 0;
  const most = Math.min(old.length, fresh.length) - head;
  while (tail < most && old.at(-1 - tail) === fresh.at(-1 - tail)) tail += 1;
  const mark = (kind: DiffLine["kind"]) => (text: string) => ({ kind, text });
  return [
    ...old.slice(0, head).map(mark("same")),
    ...middle(old.slice(head, old.length - tail), fresh.slice(head, fresh.length - tail)),
    ...old.slice(old.length - tail).map(mark("same")),
  ];
}

function lines(text: string): string[] {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}

/** By the longest common subsequence. */
function middle(old: string[], fresh: string[]): DiffLine[] {
  const removed = old.map((text): DiffLine => ({ kind: "removed", text }));
  const added = fresh.map((text): DiffLine => ({ kind: "added", text }));
  if (old.length * fresh.length > MOST_PAIRS) return [...removed, ...added];
  const width = fresh.length + 1;
  const longest = new Uint32Array((old.length + 1) * width);
  const at = (i: number, j: number) => longest[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] =
        old[i] === fresh[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const result: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length && j < fresh.length) {
    const text = old[i] ?? "";
    if (text === fresh[j]) {
      result.push({ kind: "same", text });
      i += 1;
      j += 1;
    } else if (at(i + 1, j) >= at(i, j + 1)) {
      result.push({ kind: "removed", text });
      i += 1;
    } else {
      result.push({ kind: "added", text: fresh[j] ?? "" });
      j += 1;
    }
  }
  return [...result, ...removed.slice(i), ...added.slice(j)];
}

/** Leaves out what is far from a change; null stands for what was left out. */
export function withContext(diff: readonly DiffLine[]): (DiffLine | null)[] {
  const near = (at: number) =>
    diff.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some((line) => line.kind !== "same");
  const shown: (DiffLine | null)[] = [];
  diff.forEach((line, at) => {
    if (near(at)) shown.push(line);
    else if (shown.at(-1) !== null) shown.push(null);
  });
  return shown;
}
