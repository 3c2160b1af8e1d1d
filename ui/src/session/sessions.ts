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

export function readListed(value: unknown): Listed[] {
  if (!isFields(value) || typeof value.session_id !== "string" || !/^[\w.-]{1,128}$/.test(value.session_id)) return [];
  const text = (field: unknown) => (typeof field === "string" ? field : "");
  return [
    {
      id: value.session_id,
      title: text(value.title).slice(0, 200),
      status: STATUSES.find((one) => one === value.status) ?? null,
      agent: text(value.config_id),
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
}

/** The agents that come with the deployment, and the caller's own. @throws in words for the person. */
export async function readAgents(): Promise<Agent[]> {
  const [presets, own] = await Promise.all([configs("/api/configs/"), configs("/api/configs/custom/list").catch(() => [])]);
  return [...presets, ...own];
}

async function configs(path: string): Promise<Agent[]> {
  const answer = await ask(path);
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const body: unknown = await answer.json();
  return (isFields(body) && Array.isArray(body.configs) ? body.configs : []).flatMap(readAgent);
}

export function readAgent(value: unknown): Agent[] {
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
    },
  ];
}

/** Launches an agent; gives the session that it is in. @throws in words for the person. */
export async function launch(agent: string, secrets: Readonly<Record<string, string>>, key: string): Promise<string> {
  const body: Record<string, unknown> = { config_id: agent };
  if (Object.keys(secrets).length > 0) body.mcp_env = secrets;
  if (key !== "") body.api_key = key;
  const answer = await ask("/api/agents/launch", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(60_000),
  });
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const made: unknown = await answer.json().catch(() => null);
  const id = isFields(made) ? made.session_id : null;
  if (typeof id !== "string" || !/^[\w.-]{1,128}$/.test(id)) throw new Error("no session");
  return id;
}
