/** What has changed in a session's workspace between two of its points, as the sandbox compares them. */
import { ask } from "../session/admission.ts";
import type { Turn } from "../session/conversation.ts";
import { reasonOf } from "../session/download.ts";
import { isFields } from "../session/wire.ts";
import type { DiffLine } from "../view/line-diff.ts";

/** A sandbox that sleeps is woken first, and a large workspace takes a while. */
const PATIENCE_MS = 120_000;
/** Files that an answer names (`protocol::diff`). */
const MOST_FILES = 2_000;

const STATUSES = ["added", "modified", "deleted", "renamed", "type_changed"] as const;

export interface Diff {
  readonly files: readonly FileDiff[];
  /** There are more files than these, or patches that are not here. */
  readonly truncated: boolean;
  /** What a reader has to know. */
  readonly note: string | null;
}

export interface FileDiff {
  readonly path: string;
  /** Where it was, of one that was renamed. */
  readonly oldPath: string | null;
  readonly status: (typeof STATUSES)[number];
  readonly added: number;
  readonly removed: number;
  readonly binary: boolean;
  /** In the unified form; none of what is no text, or too long. */
  readonly patch: string | null;
}

/** Two points: the begin, the end of a turn, or now. */
export interface Span {
  readonly from: string;
  readonly to: string;
}

/** Where a turn begins and ends; all of the session where there is none. */
export function spanOf(turn: Turn | null): Span {
  if (turn === null) return { from: "begin", to: "now" };
  const number = Number(turn.id.replace("turn-", ""));
  return { from: number > 1 ? `turn-${number - 1}` : "begin", to: turn.state === "ended" ? turn.id : "now" };
}

function addressOf(session: string, { from, to }: Span): string {
  return `/api/sessions/${encodeURIComponent(session)}/diff?${new URLSearchParams({ from, to })}`;
}

/** Asks the sandbox, which is woken where it sleeps. @throws in words for the person. */
export async function fetchDiff(session: string, span: Span, stop: AbortSignal): Promise<Diff> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(PATIENCE_MS)]);
  const answer = await ask(addressOf(session, span), { headers: { accept: "application/json" }, signal });
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const diff = readDiff(await answer.json().catch(() => null));
  if (diff === null) throw new Error("no diff");
  return diff;
}

/** All of it as a unified diff. @throws in words for the person. */
export async function fetchPatch(session: string, span: Span): Promise<Blob> {
  const answer = await ask(addressOf(session, span), { headers: { accept: "text/x-diff" }, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(await reasonOf(answer));
  return answer.blob();
}

/** Null for what is none. */
export function readDiff(body: unknown): Diff | null {
  if (!isFields(body) || !Array.isArray(body.files)) return null;
  const lines = (value: unknown) => (typeof value === "number" && value > 0 ? Math.floor(value) : 0);
  const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : null);
  return {
    files: body.files.slice(0, MOST_FILES).flatMap((one: unknown): FileDiff[] => {
      const path = isFields(one) ? text(one.path) : null;
      if (!isFields(one) || path === null) return [];
      return [
        {
          path,
          oldPath: text(one.old_path),
          status: STATUSES.find((status) => status === one.status) ?? "modified",
          added: lines(one.additions),
          removed: lines(one.deletions),
          binary: one.binary === true,
          patch: text(one.patch),
        },
      ];
    }),
    truncated: body.truncated === true,
    note: text(body.note),
  };
}

/** A line of a patch; null for lines that are left out. */
export type PatchLine = DiffLine | { readonly kind: "unended" } | null;

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@/;

/** The lines of a file's patch. How many belong together its hunks say, so that no line is taken for a head. */
export function patchLines(patch: string): PatchLine[] {
  const shown: PatchLine[] = [];
  let [old, fresh] = [0, 0];
  for (const line of patch.split("\n")) {
    if (line.startsWith("\\")) {
      // "\ No newline at end of file", in Git's language.
      if (shown.length > 0) shown.push({ kind: "unended" });
      continue;
    }
    if (old <= 0 && fresh <= 0) {
      const hunk = HUNK.exec(line);
      if (hunk === null) continue;
      if (shown.length > 0 || Number(hunk[1]) > 1) shown.push(null);
      [old, fresh] = [Number(hunk[2] ?? 1), Number(hunk[3] ?? 1)];
      continue;
    }
    const kind = { "+": "added", "-": "removed" }[line.slice(0, 1)] ?? "same";
    if (kind !== "added") old -= 1;
    if (kind !== "removed") fresh -= 1;
    shown.push({ kind, text: line.slice(1) } as DiffLine);
  }
  return shown;
}
