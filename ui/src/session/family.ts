/** Which agents have launched which sessions, as far as this page has heard of it. */
import { signal } from "@preact/signals";
import { ask } from "./admission.ts";
import { type Listed, readListed } from "./sessions.ts";
import { isFields } from "./wire.ts";

/** The session that launched it, by a session's id. */
export const parents = signal<ReadonlyMap<string, string>>(new Map());

/** What a session's page tells of one: where it stands. */
export interface Known extends Listed {
  readonly parent: string | null;
  readonly children: readonly string[];
}

const ID = /^[\w.-]{1,128}$/;

/** Remembers that a session has launched others. */
export function launchedBy(parent: string, children: readonly string[]): void {
  const news = children.filter((child) => ID.test(child) && child !== parent && parents.peek().get(child) !== parent);
  if (news.length === 0) return;
  parents.value = new Map([...parents.peek(), ...news.map((child) => [child, parent] as const)]);
}

/** Asks where a session stands, and remembers whom it belongs to; null where the server does not say. */
export async function readSession(id: string): Promise<Known | null> {
  try {
    const answer = await ask(`/api/agents/sessions/${encodeURIComponent(id)}`);
    const body: unknown = answer.ok ? await answer.json() : null;
    const [listed] = readListed(body);
    if (listed === undefined || !isFields(body)) return null;
    const parent = typeof body.parent === "string" && ID.test(body.parent) ? body.parent : null;
    const children = (Array.isArray(body.children) ? body.children : []).filter((one) => typeof one === "string" && ID.test(one));
    if (parent !== null) launchedBy(parent, [id]);
    launchedBy(id, children);
    return { ...listed, parent, children };
  } catch {
    return null;
  }
}

/** Learns the whole family of a session: who launched it, and whom it has launched. */
export async function readFamily(id: string): Promise<void> {
  const own = await readSession(id);
  if (own !== null && own.parent !== null) await readSession(own.parent);
}

/** The sessions with each behind the one that launched it, and how deep it stands there. */
export function inFamilies<T extends { readonly id: string }>(sessions: readonly T[], known: ReadonlyMap<string, string>): [T, number][] {
  const there = new Set(sessions.map(({ id }) => id));
  const below = new Map<string | null, T[]>();
  for (const one of sessions) {
    const parent = known.get(one.id) ?? null;
    const place = parent !== null && there.has(parent) ? parent : null;
    below.set(place, [...(below.get(place) ?? []), one]);
  }
  const placed: [T, number][] = [];
  const seen = new Set<string>();
  const place = (parent: string | null, depth: number) => {
    for (const one of below.get(parent) ?? []) {
      if (seen.has(one.id)) continue;
      seen.add(one.id);
      placed.push([one, depth]);
      place(one.id, depth + 1);
    }
  };
  place(null, 0);
  // What would be its own ancestor is nobody's child.
  return [...placed, ...sessions.filter(({ id }) => !seen.has(id)).map((one): [T, number] => [one, 0])];
}
