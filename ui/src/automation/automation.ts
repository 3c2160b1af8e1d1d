/** Webhooks and schedules, as the server keeps them for the account. */
import { ask } from "../session/admission.ts";
import { refusedBy } from "../session/sessions.ts";
import { isFields } from "../session/wire.ts";

export interface Webhook {
  readonly id: string;
  readonly url: string;
  /** The session whose turns it is told of; null for all. */
  readonly session: string | null;
  /** Its server has said that nobody is there any more. */
  readonly gone: boolean;
}

export interface Delivery {
  readonly id: string;
  /** As `turn.completed`, or `ping`. */
  readonly kind: string;
  readonly session: string | null;
  readonly outcome: "pending" | "delivered" | "failed";
  readonly attempts: number;
  /** To the last attempt: a status, or why there was none. */
  readonly answer: string;
  /** Milliseconds since the epoch; 0 for none. */
  readonly at: number;
  readonly nextAt: number;
}

/** What is asked for: a prompt, and when it is said. */
export interface Plan {
  readonly session: string;
  readonly prompt: string;
  readonly name: string;
  /** A time, as RFC 3339 has it; null where it is said again and again. */
  readonly at: string | null;
  readonly cron: string | null;
  readonly timezone: string | null;
  readonly enabled: boolean;
}

export interface Schedule extends Plan {
  readonly id: string;
  /** When it is due next; 0 where it is not. Times are milliseconds since the epoch. */
  readonly nextAt: number;
  readonly lastAt: number;
  /** Why it could not be said last. */
  readonly lastError: string | null;
}

type Fields = Record<string, unknown>;

/** @throws {@link Refused} in words for the person, as all that follow. */
export async function readWebhooks(): Promise<Webhook[]> {
  return listOf(await said("/api/webhooks"), "webhooks").map((one) => ({
    id: text(one.id),
    url: text(one.url),
    session: textOrNull(one.session_id),
    gone: one.gone === true,
  }));
}

/** Makes a webhook, and gives the secret with which its messages are signed. It is told this once. */
export async function makeWebhook(url: string, session: string | null): Promise<string> {
  const made = await said("/api/webhooks", "POST", session === null ? { url } : { url, session_id: session });
  return isFields(made) ? text(made.secret) : "";
}

export async function deleteWebhook(id: string): Promise<void> {
  await said(`/api/webhooks/${encodeURIComponent(id)}`, "DELETE");
}

export async function pingWebhook(id: string): Promise<void> {
  await said(`/api/webhooks/${encodeURIComponent(id)}/ping`, "POST");
}

export async function readDeliveries(id: string): Promise<Delivery[]> {
  return listOf(await said(`/api/webhooks/${encodeURIComponent(id)}/deliveries`), "deliveries").map((one) => {
    const message = isFields(one.message) ? one.message : {};
    const data = isFields(message.data) ? message.data : {};
    return {
      id: text(one.id),
      kind: text(message.type),
      session: textOrNull(data.session_id),
      outcome: one.outcome === "delivered" || one.outcome === "failed" ? one.outcome : "pending",
      attempts: typeof one.attempts === "number" ? one.attempts : 0,
      answer: text(one.answer).slice(0, 300),
      at: time(one.created_at),
      nextAt: time(one.next_attempt_at),
    };
  });
}

export async function readSchedules(): Promise<Schedule[]> {
  return listOf(await said("/api/schedules"), "schedules").map((one) => ({
    id: text(one.id),
    session: text(one.session_id),
    prompt: text(one.prompt),
    name: text(one.name),
    at: textOrNull(one.at),
    cron: textOrNull(one.cron),
    timezone: textOrNull(one.timezone),
    enabled: one.enabled !== false,
    nextAt: time(one.next_at),
    lastAt: time(one.last_at),
    lastError: textOrNull(one.last_error),
  }));
}

/** Keeps a plan: a new one, or in the place of one that there is. */
export async function putSchedule(id: string | null, plan: Plan): Promise<void> {
  const { session, prompt, name, at, cron, timezone, enabled } = plan;
  const body: Fields = { session_id: session, prompt, enabled };
  if (name !== "") body.name = name;
  if (at !== null) body.at = at;
  if (cron !== null) body.cron = cron;
  if (cron !== null && timezone !== null) body.timezone = timezone;
  if (id === null) await said("/api/schedules", "POST", body);
  else await said(`/api/schedules/${encodeURIComponent(id)}`, "PUT", body);
}

export async function deleteSchedule(id: string): Promise<void> {
  await said(`/api/schedules/${encodeURIComponent(id)}`, "DELETE");
}

async function said(path: string, method = "GET", body?: Fields): Promise<unknown> {
  const sent = body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await ask(path, { method, ...sent });
  const told: unknown = await answer.json().catch(() => null);
  if (!answer.ok) throw refusedBy(answer.status, told);
  return told;
}

function listOf(body: unknown, name: string): Fields[] {
  const list = isFields(body) ? body[name] : null;
  return Array.isArray(list) ? list.filter(isFields) : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function time(value: unknown): number {
  return Date.parse(text(value)) || 0;
}
