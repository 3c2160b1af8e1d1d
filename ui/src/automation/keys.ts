/** The account's keys of the API. */
import { ask } from "../session/admission.ts";
import { refusedBy } from "../session/sessions.ts";
import { isFields } from "../session/wire.ts";

export const SCOPES = ["read", "write", "launch", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

export interface Key {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** A browser has it that somebody has signed in with. */
  readonly browser: boolean;
  /** Milliseconds since the epoch; 0 for one that holds until it is revoked. */
  readonly until: number;
}

/** @throws {@link Refused} in words for the person, as all that follow. */
export async function readKeys(): Promise<Key[]> {
  const told = await said("GET", "/api/keys");
  const keys = isFields(told) && Array.isArray(told.keys) ? told.keys : [];
  return keys.filter(isFields).map((one) => ({
    id: text(one.id),
    name: text(one.name),
    scopes: SCOPES.filter((scope) => Array.isArray(one.scopes) && one.scopes.includes(scope)),
    browser: one.browser === true,
    until: Date.parse(text(one.expires_at)) || 0,
  }));
}

/** Makes a key, and gives it. It is told this once. `seconds` is how long it holds; null for ever. */
export async function makeKey(name: string, scopes: readonly Scope[], seconds: number | null): Promise<string> {
  const made = await said("POST", "/api/keys", { ...(name === "" ? {} : { name }), scopes, ...(seconds === null ? {} : { expires_in: seconds }) });
  return isFields(made) ? text(made.key) : "";
}

export async function revokeKey(id: string): Promise<void> {
  await said("DELETE", `/api/keys/${encodeURIComponent(id)}`);
}

async function said(method: string, path: string, body?: object): Promise<unknown> {
  const sent = body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await ask(path, { method, ...sent });
  const told: unknown = await answer.json().catch(() => null);
  if (!answer.ok) throw refusedBy(answer.status, told);
  return told;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
