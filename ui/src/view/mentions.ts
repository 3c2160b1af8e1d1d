/** The workspace's files, offered while one is named in a message: @src/main */
import { signal } from "@preact/signals";
import type { FileNode } from "../files/tree.ts";
import type { Suggestion } from "./commands.tsx";

/** Files that are offered at once. */
const MANY = 8;
/** Files that are known: in a workspace with more, one types more. */
const MOST = 5_000;
/** So long the list is good that was read last. */
const FRESH_MS = 10_000;

export const paths = signal<readonly string[]>([]);
let readAt = Number.NEGATIVE_INFINITY;

/** What is typed of a file's name at the message's end; null where none is being typed. */
export function mentioned(draft: string): string | null {
  return /(?:^|\s)@([^\s@]*)$/.exec(draft)?.[1] ?? null;
}

/** Reads the files anew where that was not done lately. Without success those that are known stay. */
export async function readPaths(session: string): Promise<void> {
  if (performance.now() - readAt < FRESH_MS) return;
  readAt = performance.now();
  try {
    const { Files } = await import("../files/api.ts");
    paths.value = filesIn((await new Files(session).list()).tree);
  } catch {
    readAt = Number.NEGATIVE_INFINITY;
  }
}

export function filesIn(tree: FileNode): string[] {
  const found: string[] = [];
  const look = (node: FileNode) => {
    if (found.length >= MOST) return;
    // A name with a space in it would end there.
    if (node.kind === "file" && !/\s/.test(node.path)) found.push(node.path);
    for (const child of node.children) look(child);
  };
  look(tree);
  return found;
}

/** The files that the message may be about to name, those first whose own name begins so. */
export function filesFor(draft: string, known: readonly string[]): Suggestion[] {
  const typed = mentioned(draft)?.toLowerCase();
  if (typed === undefined) return [];
  const rank = (path: string) => {
    const at = path.toLowerCase().indexOf(typed);
    if (at < 0) return -1;
    return at === path.lastIndexOf("/") + 1 ? 2 : at === 0 ? 1 : 0;
  };
  return known
    .map((path) => ({ path, rank: rank(path) }))
    .filter(({ rank }) => rank >= 0)
    .sort((a, b) => b.rank - a.rank || a.path.length - b.path.length)
    .slice(0, MANY)
    .map(({ path }) => ({ label: `@${path}`, words: "", draft: `${draft.slice(0, draft.length - typed.length)}${path} ` }));
}
