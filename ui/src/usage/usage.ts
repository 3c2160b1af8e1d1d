/** What the account's sessions have used, as `/api/usage` tells it. */
import { ask } from "../session/admission.ts";
import { refusedBy } from "../session/sessions.ts";
import { isFields } from "../session/wire.ts";

export interface Used {
  readonly turns: number;
  readonly failed: number;
  readonly seconds: number;
  /** With what was read from caches and written to them. */
  readonly input: number;
  readonly output: number;
  /** US dollars, of the turns whose cost is known. */
  readonly cost: number;
  /** Turns whose cost is not known. */
  readonly unpriced: number;
}

export interface Day extends Used {
  /** As 2026-11-21, in UTC. */
  readonly day: string;
}

export interface UsedBySession extends Used {
  readonly id: string;
  /** Null where it was deleted. */
  readonly title: string | null;
}

export interface UsageTold {
  readonly total: Used;
  readonly days: readonly Day[];
  readonly sessions: readonly UsedBySession[];
}

/** Two days, both included. */
export interface Span {
  readonly from: string;
  readonly to: string;
}

/** More than that is no chart. */
const MOST_DAYS = 400;
const DAY_MS = 86_400_000;

/** The last days until today, by UTC, as the server counts them. */
export function lastDays(days: number, now = Date.now()): Span {
  return { from: dayOf(now - (days - 1) * DAY_MS), to: dayOf(now) };
}

function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

/** Asks for what was used. @throws {@link Refused} in words for the person. */
export async function readUsage({ from, to }: Span, session: string | null): Promise<UsageTold> {
  const query = new URLSearchParams({ from, to });
  if (session !== null) query.set("session_id", session);
  const answer = await ask(`/api/usage?${query}`);
  const body: unknown = await answer.json().catch(() => null);
  if (!answer.ok) throw refusedBy(answer.status, body);
  return readTold(body);
}

export function readTold(body: unknown): UsageTold {
  const told = isFields(body) ? body : {};
  const list = (value: unknown) => (Array.isArray(value) ? value.filter(isFields) : []);
  return {
    total: readUsed(told.total),
    days: list(told.days).flatMap((one) => (typeof one.day === "string" && /^\d{4}-\d\d-\d\d$/.test(one.day) ? [{ ...readUsed(one), day: one.day }] : [])),
    sessions: list(told.sessions).flatMap((one) =>
      typeof one.session_id === "string" ? [{ ...readUsed(one), id: one.session_id, title: typeof one.title === "string" ? one.title.slice(0, 200) : null }] : [],
    ),
  };
}

function readUsed(value: unknown): Used {
  const fields = isFields(value) ? value : {};
  const number = (name: string) => {
    const one = fields[name];
    return typeof one === "number" && Number.isFinite(one) && one > 0 ? one : 0;
  };
  return {
    turns: number("turns"),
    failed: number("failed_turns"),
    seconds: number("seconds"),
    input: number("input_tokens") + number("cache_read_input_tokens") + number("cache_creation_input_tokens"),
    output: number("output_tokens"),
    cost: number("cost_usd"),
    unpriced: number("unpriced_turns"),
  };
}

const NOTHING: Used = { turns: 0, failed: 0, seconds: 0, input: 0, output: 0, cost: 0, unpriced: 0 };

/** Every day of the span, also those on which nothing was used. A span that is too long is its end. */
export function everyDay({ from, to }: Span, days: readonly Day[]): Day[] {
  const known = new Map(days.map((one) => [one.day, one]));
  const [begin, end] = [Date.parse(from), Date.parse(to)];
  if (!(begin <= end)) return [];
  const all: Day[] = [];
  for (let at = Math.max(begin, end - (MOST_DAYS - 1) * DAY_MS); at <= end; at += DAY_MS) {
    const day = dayOf(at);
    all.push(known.get(day) ?? { ...NOTHING, day });
  }
  return all;
}

export const MEASURES = ["cost", "tokens", "turns", "time"] as const;
export type Measure = (typeof MEASURES)[number];

export function measured(used: Used, measure: Measure): number {
  switch (measure) {
    case "cost":
      return used.cost;
    case "tokens":
      return used.input + used.output;
    case "turns":
      return used.turns;
    case "time":
      return used.seconds;
  }
}
