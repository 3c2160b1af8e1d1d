/**
 * Who this page is to the server. A share link's token is behind the `#` of the address, which
 * browsers send to nobody; else the browser's own cookie speaks, which no script can read.
 */
import { isFields } from "./wire.ts";

/** Whether the session lets this page in. */
export type Door =
  | "open"
  /** Nobody is known: somebody has to sign in. */
  | "signed-out"
  /** It is somebody else's, or the link has ended. */
  | "refused";

export type Mode = "read" | "write";

export interface Share {
  readonly id: string;
  readonly mode: Mode;
  readonly expiresAt: string;
}

const PROTOCOL = "agent-router";
const PATIENCE_MS = 15_000;
const SHARE = /^#share=(ars_[\w.-]+)$/;

/** The token of the share link by which this page was opened; none where it was opened otherwise. */
let token: string | null = null;

/**
 * Takes the token of a share link out of the address, and keeps it for as long as this tab lives.
 * What stays in the address can be shown to others.
 */
export function takeShare(session: string): void {
  const key = `agent-router/share/${session}`;
  const given = SHARE.exec(location.hash)?.[1] ?? null;
  if (given !== null) history.replaceState(history.state, "", location.pathname + location.search);
  try {
    if (given !== null) sessionStorage.setItem(key, given);
    token = given ?? sessionStorage.getItem(key);
  } catch {
    token = given;
  }
}

export function byLink(): boolean {
  return token !== null;
}

/** What a socket offers. A page can't set headers for one. */
export function protocols(): string[] {
  return token === null ? [PROTOCOL] : [PROTOCOL, `bearer.${token}`];
}

/** What a request has to show in this page's name, besides the cookie. */
export function authorization(): Record<string, string> {
  return token === null ? {} : { authorization: `Bearer ${token}` };
}

/** Asks the server, in this page's name. */
export function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers({ ...Object.fromEntries(new Headers(init.headers)), ...authorization() });
  return fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...init, headers });
}

/** Whether the session would let this page in; null where that can't be found out now. */
export async function askDoor(session: string): Promise<Door | null> {
  try {
    const answer = await ask(`/api/sessions/${encodeURIComponent(session)}/access`);
    if (answer.status === 401) return token === null ? "signed-out" : "refused";
    if (answer.status === 403) return "refused";
    // One that is not there yet begins with its socket.
    return answer.ok || answer.status === 404 ? "open" : null;
  } catch {
    return null;
  }
}

/** Signs this browser in. @throws in words for the person, where the server does not take the token. */
export async function signIn(given: string): Promise<void> {
  await said(await post("/api/login", { token: given }));
  signedIn(true);
}

export async function signOut(): Promise<void> {
  await said(await post("/api/logout"));
  signedIn(false);
}

const SIGNED_IN = "agent-router/signed-in";

/** Whether this browser has signed in here, as far as it remembers. */
export function isSignedIn(): boolean {
  try {
    return localStorage.getItem(SIGNED_IN) !== null;
  } catch {
    return false;
  }
}

function signedIn(is: boolean): void {
  try {
    if (is) localStorage.setItem(SIGNED_IN, "1");
    else localStorage.removeItem(SIGNED_IN);
  } catch {
    // Then there is no button to sign out.
  }
}

/** Makes a share link, and gives its whole address. @throws in words for the person. */
export async function makeShare(session: string, mode: Mode, seconds: number): Promise<string> {
  const made = await said(await post(shares(session), { mode, expires_in: seconds }));
  const path = isFields(made) ? made.path : null;
  if (typeof path !== "string") throw new Error("no link");
  return location.origin + path;
}

export async function listShares(session: string): Promise<Share[]> {
  const listed = await said(await ask(shares(session)));
  const all = isFields(listed) && Array.isArray(listed.shares) ? listed.shares : [];
  return all.flatMap((one: unknown) =>
    isFields(one) && typeof one.id === "string" && typeof one.expires_at === "string"
      ? [{ id: one.id, mode: one.mode === "write" ? "write" : "read", expiresAt: one.expires_at }]
      : [],
  );
}

export async function revokeShares(session: string): Promise<void> {
  await said(await ask(shares(session), { method: "DELETE" }));
}

function shares(session: string): string {
  return `/api/sessions/${encodeURIComponent(session)}/shares`;
}

function post(path: string, body: object = {}): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** What the server says. @throws its own words for what it refuses. */
async function said(answer: Response): Promise<unknown> {
  const body: unknown = await answer.json().catch(() => null);
  if (answer.ok) return body;
  const words = isFields(body) && typeof body.detail === "string" ? body.detail : "";
  throw new Error(words === "" ? `status ${answer.status}` : words);
}
