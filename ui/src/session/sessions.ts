/** The account's sessions and agents, as the server knows them. */
import { signal } from "@preact/signals";
import { ask } from "./admission.ts";
import { reasonOf } from "./download.ts";
import { isFields } from "./wire.ts";

export const STATUSES = ["starting", "running", "idle", "error", "sleeping", "stopped"] as const;
export type Status = (typeof STATUSES)[number];

export interface Listed {
  readonly id: string;
  readonly title: string;
  /** Null where the server says something that this page does not know. */
  readonly status: Status | null;
  /** The agent that it was launched with, or nothing. */
  readonly agent: string;
  /** The model that answers next, or nothing. */
  readonly model: string;
  /** US dollars; null where that is not known. */
  readonly cost: number | null;
  /** Requests of its agent that wait for a person. */
  readonly open: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Sessions that are asked for at once. */
const PAGE = 100;

/** What the server listed last; null where it has not, or does not for this page. */
export const listed = signal<readonly Listed[] | null>(null);
/** How many there are, with those that are not listed. */
export const total = signal(0);

/** Reads the list anew. Without success what is known stays. */
export async function readSessions(): Promise<void> {
  try {
    const answer = await ask(`/api/agents/sessions?limit=${PAGE}`);
    if (!answer.ok) return;
    const body: unknown = await answer.json();
    const all = isFields(body) && Array.isArray(body.sessions) ? body.sessions : [];
    listed.value = all.flatMap(readListed);
    total.value = isFields(body) && typeof body.total === "number" ? body.total : all.length;
  } catch {
    // The next time it may come.
  }
}

/** The sessions that fit, also those that are not among the newest. @throws where the server does not say. */
export async function searchSessions(words: string, status: Status | null): Promise<readonly Listed[]> {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (words !== "") query.set("q", words);
  if (status !== null) query.set("status", status);
  const answer = await ask(`/api/agents/sessions?${query}`);
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const body: unknown = await answer.json();
  return (isFields(body) && Array.isArray(body.sessions) ? body.sessions : []).flatMap(readListed);
}

/** Stops what a session is doing. @throws in words for the person. */
export async function stopSession(id: string): Promise<void> {
  const answer = await ask(`/api/agents/sessions/${encodeURIComponent(id)}/interrupt`, { method: "POST" });
  if (!answer.ok) throw new Error(await reasonOf(answer));
}

/** Deletes a session for good; one that is not there is deleted. @throws in words for the person. */
export async function deleteSession(id: string): Promise<void> {
  const answer = await ask(`/api/sessions/${encodeURIComponent(id)}`, { method: "DELETE", signal: AbortSignal.timeout(60_000) });
  if (!answer.ok && answer.status !== 404) throw new Error(await reasonOf(answer));
}

export function readListed(value: unknown): Listed[] {
  if (!isFields(value) || typeof value.session_id !== "string" || !/^[\w.-]{1,128}$/.test(value.session_id)) return [];
  const text = (field: unknown) => (typeof field === "string" ? field : "");
  return [
    {
      id: value.session_id,
      title: text(value.title).slice(0, 200),
      status: STATUSES.find((one) => one === value.status) ?? null,
      agent: text(value.config_id),
      model: text(value.model).slice(0, 200),
      cost: typeof value.cost_usd === "number" ? value.cost_usd : null,
      open: typeof value.open_requests === "number" ? value.open_requests : 0,
      at: Date.parse(text(value.last_active)) || 0,
    },
  ];
}

export interface Agent {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly tools: number;
  readonly servers: boolean;
  readonly team: boolean;
  /** The names of the secrets that its servers ask for. */
  readonly secrets: readonly string[];
  /** The caller has made it. */
  readonly own: boolean;
}

/** The agents that come with the deployment, and the caller's own. @throws in words for the person. */
export async function readAgents(): Promise<Agent[]> {
  const [presets, own] = await Promise.all([configs("/api/configs/", false), configs("/api/configs/custom/list", true).catch(() => [])]);
  return [...presets, ...own];
}

async function configs(path: string, own: boolean): Promise<Agent[]> {
  const answer = await ask(path);
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const body: unknown = await answer.json();
  return (isFields(body) && Array.isArray(body.configs) ? body.configs : []).flatMap((one: unknown) => readAgent(one, own));
}

export function readAgent(value: unknown, own = false): Agent[] {
  if (!isFields(value) || typeof value.id !== "string") return [];
  const text = (field: unknown) => (typeof field === "string" ? field : "");
  return [
    {
      id: value.id,
      name: text(value.name) || value.id,
      description: text(value.description),
      tools: Array.isArray(value.allowed_tools) ? value.allowed_tools.length : 0,
      servers: value.has_mcp_servers === true,
      team: value.has_sub_agents === true,
      secrets: Array.isArray(value.mcp_env) ? value.mcp_env.filter((name) => typeof name === "string") : [],
      own,
    },
  ];
}

/** A place where sandboxes can run. */
export interface Provider {
  readonly name: string;
  /** Which of an agent's limits its sandboxes are held to. */
  readonly enforces: readonly Limit[];
}

export const LIMITS = ["cpu", "memory", "storage"] as const;
export type Limit = (typeof LIMITS)[number];

export interface Providers {
  readonly all: readonly Provider[];
  /** The name of the one that a launch gets which asks for none. */
  readonly usual: string;
}

/** @throws in words for the person. */
export async function fetchProviders(): Promise<Providers> {
  const answer = await ask("/api/providers");
  if (!answer.ok) throw new Error(await reasonOf(answer));
  return readProviders(await answer.json());
}

export function readProviders(body: unknown): Providers {
  const { providers, default: usual } = isFields(body) ? body : {};
  const all = (Array.isArray(providers) ? providers : []).flatMap((one: unknown): Provider[] => {
    if (!isFields(one) || typeof one.name !== "string" || one.name === "") return [];
    const enforces: unknown[] = Array.isArray(one.enforces) ? one.enforces : [];
    return [{ name: one.name, enforces: LIMITS.filter((limit) => enforces.includes(limit)) }];
  });
  return { all, usual: typeof usual === "string" ? usual : "" };
}

/** What an agent is launched with. */
export interface Launch {
  readonly secrets: Readonly<Record<string, string>>;
  /** The caller's own key for a provider of models; nothing for the deployment's. */
  readonly key: string;
  /** Where its sandbox runs; nothing for where the deployment has them. */
  readonly provider: string;
}

/** Launches an agent, by its id or as it is; gives the session that it is in. @throws in words for the person. */
export async function launch(
  agent: { config_id: string } | { config: unknown },
  { secrets, key, provider }: Launch,
): Promise<string> {
  const body: Record<string, unknown> = { ...agent };
  if (Object.keys(secrets).length > 0) body.mcp_env = secrets;
  if (key !== "") body.api_key = key;
  if (provider !== "") body.provider = provider;
  const answer = await ask("/api/agents/launch", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(60_000),
  });
  const made: unknown = await answer.json().catch(() => null);
  if (!answer.ok) throw refusedBy(answer.status, made);
  const id = isFields(made) ? made.session_id : null;
  if (typeof id !== "string" || !/^[\w.-]{1,128}$/.test(id)) throw new Error("no session");
  return id;
}

/** The server refused; it may have said which field is wrong. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    words: string,
    readonly field: string | null,
  ) {
    super(words);
  }
}

/** What a problem document says. */
export function refusedBy(status: number, body: unknown): Refused {
  const { detail, errors } = isFields(body) ? body : {};
  const first: unknown = Array.isArray(errors) ? errors[0] : null;
  const field = isFields(first) && typeof first.field === "string" ? first.field.replace(/^config\./, "") : null;
  return new Refused(status, typeof detail === "string" && detail !== "" ? detail : `status ${status}`, field);
}
