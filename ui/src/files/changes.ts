/** What the agent's own calls have changed in files, put together from what they say. */
import type { ToolItem, Turn } from "../session/conversation.ts";
import { isFields } from "../session/wire.ts";

export interface FileChange {
  /** As the agent names it. */
  readonly path: string;
  /** It was not there before. */
  readonly isNew: boolean;
  /** What was and what is: of the whole file where that is known, else of each edit. */
  readonly parts: readonly Part[];
}

export interface Part {
  readonly before: string;
  readonly after: string;
}

interface Record {
  /** What was in it; null where nobody has said. */
  readonly before: string | null;
  readonly isNew: boolean;
  readonly edits: Part[];
}

/** Whether a call is one that changes files and says how. */
export function changesFiles({ tool, state }: ToolItem): boolean {
  return state === "done" && ["Write", "Edit", "MultiEdit"].includes(tool);
}

/** The changes of one turn, or of all of them. Those before it tell what was in the files. */
export function changesIn(turns: readonly Turn[], only: string | null): FileChange[] {
  /** The files whose whole content is known at this point. */
  const known = new Map<string, string>();
  const records = new Map<string, Record>();
  for (const turn of turns) {
    for (const item of turn.items) {
      if (item.kind !== "tool" || !changesFiles(item) || !isFields(item.input)) continue;
      const path = item.input.file_path;
      if (typeof path !== "string") continue;
      const before = known.get(path) ?? null;
      const edits = item.tool === "Write" ? written(item, before, known, path) : edited(item, before, known, path);
      if (only !== null && turn.id !== only) continue;
      const isNew = before === null && item.tool === "Write" && isCreation(item);
      const record = records.get(path) ?? { before: isNew ? "" : before, isNew, edits: [] };
      record.edits.push(...edits);
      records.set(path, record);
    }
    if (turn.id === only) break;
  }
  return [...records].flatMap(([path, { before, isNew, edits }]) => {
    const after = known.get(path);
    const whole = before !== null && after !== undefined;
    const parts = (whole ? [{ before, after }] : edits).filter((part) => part.before !== part.after);
    return parts.length === 0 && !isNew ? [] : [{ path, isNew, parts }];
  });
}

function written({ input }: ToolItem, before: string | null, known: Map<string, string>, path: string): Part[] {
  const content = isFields(input) && typeof input.content === "string" ? input.content : "";
  known.set(path, content);
  return [{ before: before ?? "", after: content }];
}

function edited({ input }: ToolItem, before: string | null, known: Map<string, string>, path: string): Part[] {
  const edits = editsOf(isFields(input) ? input : {});
  let now = before;
  for (const { before: old, after: fresh, all } of edits) {
    if (now === null || old === "" || !now.includes(old)) now = null;
    else now = all ? now.replaceAll(old, () => fresh) : now.replace(old, () => fresh);
  }
  // An edit that does not fit says that something else has changed the file meanwhile.
  if (now === null) known.delete(path);
  else known.set(path, now);
  return edits.map(({ before: old, after }) => ({ before: old, after }));
}

/** The edits of a call, each with whether it counts everywhere. */
export function editsOf(input: { readonly [name: string]: unknown }): (Part & { readonly all: boolean })[] {
  const list: unknown[] = Array.isArray(input.edits) ? input.edits : [input];
  return list.flatMap((edit) => {
    if (!isFields(edit)) return [];
    const { old_string: before, new_string: after, replace_all: all } = edit;
    return typeof before === "string" && typeof after === "string" ? [{ before, after, all: all === true }] : [];
  });
}

/** The tool tells whether there was a file before. */
function isCreation({ output }: ToolItem): boolean {
  return output !== null && /created successfully/i.test(output);
}
