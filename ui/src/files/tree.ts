/** The tree of a workspace's files. Names are whatever somebody wrote. */
import { isFields } from "../session/wire.ts";
import { shownName } from "./names.ts";

export interface FileNode {
  /** As it can be shown: without what would change how other text is shown. */
  readonly name: string;
  readonly path: string;
  /** The path for an address. */
  readonly address: string;
  readonly kind: "directory" | "file" | "symlink" | "other";
  readonly size: number | null;
  readonly state: "changed" | "added" | null;
  readonly children: readonly FileNode[];
}

/** A row of the tree as it is shown. */
export interface Row {
  readonly node: FileNode;
  readonly depth: number;
  readonly open: boolean;
}

const DEEPEST = 60;

/** Reads a node of the server's list; null where it is none. `above` is the path of the folder that it is in. */
export function readNode(value: unknown, above: string, depth = 0): FileNode | null {
  if (!isFields(value) || typeof value.name !== "string" || depth > DEEPEST) return null;
  const path = typeof value.path === "string" ? value.path : [above, value.name].filter((one) => one !== "").join("/");
  const kinds = ["directory", "file", "symlink", "other"] as const;
  const kind = kinds.find((one) => one === value.type) ?? (Array.isArray(value.children) ? "directory" : "file");
  const children = (Array.isArray(value.children) ? value.children : [])
    .map((child) => readNode(child, path, depth + 1))
    .filter((child) => child !== null)
    .sort(inOrder);
  const states: Record<string, FileNode["state"]> = { modified: "changed", renamed: "changed", conflicted: "changed", added: "added", untracked: "added" };
  return {
    name: shownName(value.name),
    path,
    address: typeof value.encoded === "string" ? safeAddress(value.encoded) : path.split("/").map(encodeURIComponent).join("/"),
    kind,
    size: typeof value.size === "number" ? value.size : null,
    state: typeof value.git === "string" && Object.hasOwn(states, value.git) ? (states[value.git] ?? null) : null,
    children,
  };
}

/** What stands in an address must not lead out of it. */
function safeAddress(encoded: string): string {
  return encoded.replace(/[^\w.~!$&'()*+,;=:@%/-]/g, encodeURIComponent);
}

function inOrder(one: FileNode, other: FileNode): number {
  const folder = (node: FileNode) => (node.kind === "directory" ? 0 : 1);
  return folder(one) - folder(other) || one.name.localeCompare(other.name, undefined, { numeric: true });
}

/** The rows that are seen: those of folders that are open, or, where something is sought, all that fit. */
export function rowsOf(tree: FileNode, opened: ReadonlySet<string>, sought: string): Row[] {
  const words = sought.trim().toLowerCase();
  const rows: Row[] = [];
  const walk = (node: FileNode, depth: number) => {
    for (const child of node.children) {
      if (words !== "") {
        if (child.kind !== "directory" && child.path.toLowerCase().includes(words)) rows.push({ node: child, depth: 0, open: false });
        walk(child, depth + 1);
        continue;
      }
      const open = child.kind === "directory" && opened.has(child.path);
      rows.push({ node: child, depth, open });
      if (open) walk(child, depth + 1);
    }
  };
  walk(tree, 0);
  return rows;
}

/** The node at a path; null where there is none. */
export function nodeAt(tree: FileNode, path: string): FileNode | null {
  for (const child of tree.children) {
    if (child.path === path) return child;
    if (path.startsWith(`${child.path}/`)) return nodeAt(child, path);
  }
  return null;
}

/** A path as the agent names it, relative to the workspace, which may lie elsewhere for the agent. */
export function relative(path: string, { root, tree }: { root: string; tree: FileNode }): string {
  const bare = root.replace(/\/+$/, "");
  if (bare !== "" && path.startsWith(`${bare}/`)) return path.slice(bare.length + 1);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const ends = parts.map((_, at) => parts.slice(at).join("/"));
  return ends.find((end) => nodeAt(tree, end) !== null) ?? path.split("/workspace/").at(-1) ?? path;
}
