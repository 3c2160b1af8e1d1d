/** The sessions that this browser has opened, newest first. */
import { signal } from "@preact/signals";
import { kept } from "./kept.ts";
import { isFields } from "./wire.ts";

export interface Visited {
  readonly id: string;
  /** The beginning of what was said first, or nothing. */
  readonly title: string;
  /** When something happened in it last while it was open here, by this machine's clock. */
  readonly at: number;
  /** The time of the last event that was shown here, by the server's clock; 0 where that was not noted. */
  readonly seen: number;
}

const MOST = 200;
const TITLE_LENGTH = 80;

const stored = kept("sessions", readVisited);
export const visited = signal(stored.get());

const forgotten = new Set<string>();

export function rereadVisited(): void {
  visited.value = stored.get();
}

/** Notes a visit. What is not said is kept as it was. */
export function noteVisit(id: string, now: { title?: string; at?: number; seen?: number }): void {
  if (forgotten.has(id)) return;
  const list = stored.get();
  const known = list.find((one) => one.id === id);
  const title = titleOf(now.title ?? "") || (known?.title ?? "");
  const at = Math.max(now.at ?? 0, known?.at ?? 0);
  const seen = Math.max(now.seen ?? 0, known?.seen ?? 0);
  if (known?.title === title && known.at === at && known.seen === seen) return;
  put([{ id, title, at, seen }, ...list.filter((one) => one.id !== id)]);
}

/** Forgets a session, for as long as this page is there: as it leaves, it would note it once more. */
export function forgetVisit(id: string): void {
  forgotten.add(id);
  put(stored.get().filter((one) => one.id !== id));
}

function put(list: readonly Visited[]): void {
  stored.set([...list].sort((a, b) => b.at - a.at).slice(0, MOST));
  rereadVisited();
}

function titleOf(words: string): string {
  const line = words.trim().split("\n", 1)[0] ?? "";
  return line.length > TITLE_LENGTH ? `${line.slice(0, TITLE_LENGTH - 1)}…` : line;
}

function readVisited(value: unknown): readonly Visited[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown) => {
    if (!isFields(one) || typeof one.id !== "string" || !/^[\w.-]{1,128}$/.test(one.id)) return [];
    const title = typeof one.title === "string" ? one.title.slice(0, TITLE_LENGTH) : "";
    const time = (value: unknown) => (typeof value === "number" ? value : 0);
    return [{ id: one.id, title, at: time(one.at), seen: time(one.seen) }];
  });
}
