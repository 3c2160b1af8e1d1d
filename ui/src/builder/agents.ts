/** The agents' configurations on the server: read, saved, launched, deleted. */
import { ask } from "../session/admission.ts";
import { type Agent, readAgent, Refused, refusedBy } from "../session/sessions.ts";
import { isFields } from "../session/wire.ts";
import type { Schema } from "./schema.ts";
import type { Config } from "./yaml.ts";

export async function readSchema(): Promise<Schema> {
  const schema = await answered(ask("/api/configs/schema.json"));
  if (!isFields(schema)) throw new Refused(502, "no schema", null);
  return schema;
}

export async function readConfig(id: string): Promise<Config> {
  const config = await answered(ask(`/api/configs/${encodeURIComponent(id)}`));
  if (!isFields(config)) throw new Refused(502, "no configuration", null);
  return config;
}

/** The caller's own agents, then those of the deployment. */
export async function readList(): Promise<Agent[]> {
  const [own, presets] = await Promise.all([answered(ask("/api/configs/custom/list")), answered(ask("/api/configs/"))]);
  const all = (told: unknown) => (isFields(told) && Array.isArray(told.configs) ? told.configs : []);
  return [...all(own).flatMap((one: unknown) => readAgent(one, true)), ...all(presets).flatMap((one: unknown) => readAgent(one))];
}

/** Saves it under its id, in the place of the one that has it where there is `known` one. Gives warnings. */
export async function saveConfig(config: Config, known: string | null): Promise<string[]> {
  const path = known === null ? "/api/configs/custom" : `/api/configs/custom/${encodeURIComponent(known)}`;
  const told = await answered(ask(path, { ...json(config), method: known === null ? "POST" : "PUT" }));
  const warnings = isFields(told) && Array.isArray(told.warnings) ? told.warnings : [];
  return warnings.filter((one) => typeof one === "string");
}

export async function deleteConfig(id: string): Promise<void> {
  await answered(ask(`/api/configs/custom/${encodeURIComponent(id)}`, { method: "DELETE" }));
}

/** The names of the secrets that its servers ask for: `${NAME}` in what they are started or called with. */
export function wantedSecrets(config: Config): string[] {
  const servers = isFields(config.mcp_servers) ? Object.values(config.mcp_servers) : [];
  const texts = servers.filter(isFields).flatMap(({ args, env, url, headers }) => [
    ...(Array.isArray(args) ? args : []),
    ...(isFields(env) ? Object.values(env) : []),
    ...(isFields(headers) ? Object.values(headers) : []),
    url,
  ]);
  const names = texts.flatMap((text) =>
    typeof text === "string" ? [...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g)].map((found) => found[1] ?? "") : [],
  );
  return [...new Set(names)].sort();
}

function json(body: unknown): RequestInit {
  return { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

async function answered(asked: Promise<Response>): Promise<unknown> {
  const answer = await asked;
  const body: unknown = await answer.json().catch(() => null);
  if (answer.ok) return body;
  throw refusedBy(answer.status, body);
}
