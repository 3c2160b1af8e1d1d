/**
 * What somebody has typed into files and has not saved. It is kept for as long as the browser's tab is there, until
 * it is saved or given up: another tab of the panel, a closed panel or a reload takes nothing away.
 */
import { isFields } from "../session/wire.ts";

export interface Draft {
  readonly typed: string;
  /** What the file held when somebody began to change it, and its version then. */
  readonly base: string;
  readonly version: string | null;
}

const PREFIX = "agent-router/edit/";

/** Where the browser keeps nothing, or has no room, this page does. */
const memory = new Map<string, Draft>();

const keyOf = (session: string, path: string) => `${PREFIX}${session}/${path}`;

export function draftOf(session: string, path: string): Draft | null {
  const key = keyOf(session, path);
  return memory.get(key) ?? read(key);
}

/** Keeps a draft, or with null forgets it. */
export function keepDraft(session: string, path: string, draft: Draft | null): void {
  const key = keyOf(session, path);
  memory.delete(key);
  try {
    if (draft === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify(draft));
  } catch {
    if (draft !== null) memory.set(key, draft);
  }
}

/** The path of a file of the session's that has a draft, if any has. */
export function anyDraft(session: string): string | null {
  const begin = keyOf(session, "");
  const stored: string[] = [];
  try {
    stored.push(...Object.keys(sessionStorage));
  } catch {
    // Then there are those of this page.
  }
  const key = [...memory.keys(), ...stored].find((one) => one.startsWith(begin) && (memory.has(one) || read(one) !== null));
  return key === undefined ? null : key.slice(begin.length);
}

function read(key: string): Draft | null {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(key) ?? "null");
    if (!isFields(stored) || typeof stored.typed !== "string" || typeof stored.base !== "string") return null;
    return { typed: stored.typed, base: stored.base, version: typeof stored.version === "string" ? stored.version : null };
  } catch {
    return null;
  }
}
