import { signal } from "@preact/signals";
import type { TargetedKeyboardEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { bytes, text } from "../text.ts";
import { Icon } from "../view/icon.tsx";
import { type FileNode, type Row, rowsOf } from "./tree.ts";

/** Rows that are drawn; who looks for others searches. */
const MOST = 1_000;
/** With more files than this there is a field to search them. */
const FEW = 8;

/** What is open, and where somebody was last: also after a file was looked at. */
const openedFolders = signal<ReadonlySet<string>>(new Set());
const lastRow = signal<string | null>(null);

/** The tree, to walk by the arrow keys as trees are. */
export function Tree({ tree, open }: { tree: FileNode; open: (file: FileNode) => void }) {
  const opened = openedFolders.value;
  const [sought, setSought] = useState("");
  const at = lastRow.value;
  const list = useRef<HTMLUListElement>(null);
  const all = rowsOf(tree, opened, sought);
  const rows = all.slice(0, MOST);
  const current = rows.some((row) => row.node.path === at) ? at : (rows[0]?.node.path ?? null);

  const focusRow = () => list.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  // Whoever comes back from a file is where they left.
  useEffect(() => {
    if (at !== null && document.activeElement === document.body) focusRow();
  }, []);

  const toggle = (path: string, is: boolean) => {
    const next = new Set(opened);
    if (is) next.add(path);
    else next.delete(path);
    openedFolders.value = next;
  };
  const take = ({ node, open: isOpen }: Row) => {
    lastRow.value = node.path;
    if (node.kind === "directory") toggle(node.path, !isOpen);
    else open(node);
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const index = rows.findIndex((row) => row.node.path === current);
    const row = rows[index];
    if (row === undefined) return;
    const parent = rows.slice(0, index).findLast((one) => one.depth < row.depth);
    const folder = row.node.kind === "directory";
    const to = {
      ArrowDown: rows[index + 1],
      ArrowUp: rows[index - 1],
      Home: rows[0],
      End: rows.at(-1),
      ArrowRight: folder && row.open ? rows[index + 1] : undefined,
      ArrowLeft: folder && row.open ? undefined : parent,
    }[event.key];
    if (event.key === "Enter" || event.key === " ") take(row);
    else if (event.key === "ArrowRight" && folder && !row.open) toggle(row.node.path, true);
    else if (event.key === "ArrowLeft" && folder && row.open) toggle(row.node.path, false);
    else if (to !== undefined) {
      lastRow.value = to.node.path;
      requestAnimationFrame(focusRow);
    } else return;
    event.preventDefault();
  };
  return (
    <>
      {tree.children.length + all.length > FEW && (
        <input
          type="search"
          value={sought}
          placeholder={text.filterFiles}
          aria-label={text.filterFiles}
          onInput={(event) => setSought(event.currentTarget.value)}
        />
      )}
      {rows.length === 0 && <p class="faint">{text.noFileFits}</p>}
      <ul ref={list} class="tree" role="tree" aria-label={text.tabs.files} onKeyDown={pressed}>
        {rows.map((row) => (
          <TreeRow key={row.node.path} row={row} current={row.node.path === current} sought={sought !== ""} take={take} />
        ))}
      </ul>
    </>
  );
}

interface TreeRowProps {
  row: Row;
  current: boolean;
  /** Found by a search: the whole path is shown. */
  sought: boolean;
  take: (row: Row) => void;
}

function TreeRow({ row, current, sought, take }: TreeRowProps) {
  const { node, depth, open } = row;
  const folder = node.kind === "directory";
  const state = node.state === null ? null : text.fileStates[node.state];
  const above = node.path.includes("/") ? node.path.slice(0, node.path.lastIndexOf("/")) : "";
  return (
    <li
      role="treeitem"
      aria-level={depth + 1}
      aria-expanded={folder ? open : undefined}
      tabIndex={current ? 0 : -1}
      title={node.name}
      data-testid="file"
      data-folder={folder ? node.path : above}
      style={{ paddingInlineStart: `${depth * 0.875 + 0.25}rem` }}
      onClick={() => take(row)}
    >
      {folder ? <Icon name={open ? "down-small" : "chevron"} /> : <span class="icon" />}
      <Icon name={folder ? "folder" : node.kind === "symlink" ? "link" : "file"} />
      <span class="name">
        {sought && above !== "" && <span class="faint">{above}/</span>}
        {node.name}
        {folder && <span class="hidden">, {text.folder}</span>}
      </span>
      {state !== null && <span class={`file-state ${node.state}`}>{state}</span>}
      {node.size !== null && <span class="faint size">{bytes(node.size)}</span>}
    </li>
  );
}
