/** What turns have used, together. */
import type { Turn } from "./conversation.ts";
import type { Sum, Usage } from "./wire.ts";

export function inputOf(usage: Usage): number {
  return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;
}

export function sumOfUsage(usage: Usage): Sum {
  return { input: inputOf(usage), output: usage.output_tokens, cost: usage.cost_usd };
}

/** What calls have used, and others after them. */
export function together(one: Usage | null, other: Usage): Usage {
  if (one === null) return other;
  return {
    input_tokens: one.input_tokens + other.input_tokens,
    output_tokens: one.output_tokens + other.output_tokens,
    cache_read_input_tokens: one.cache_read_input_tokens + other.cache_read_input_tokens,
    cache_creation_input_tokens: one.cache_creation_input_tokens + other.cache_creation_input_tokens,
    cost_usd: one.cost_usd === null || other.cost_usd === null ? null : one.cost_usd + other.cost_usd,
    duration_ms: one.duration_ms + other.duration_ms,
    num_turns: one.num_turns + other.num_turns,
  };
}

/** Both together; where the price of one is not known, that of both is not. */
export function plus(one: Sum, other: Sum): Sum {
  const cost = one.cost === null || other.cost === null ? null : one.cost + other.cost;
  return { input: one.input + other.input, output: one.output + other.output, cost };
}

/** What turns have used together; null where none has used anything. */
export function sumOf(turns: readonly Turn[]): Sum | null {
  const used = turns.flatMap(({ usage, spending }) => {
    const known = usage ?? spending;
    return known === null ? [] : [sumOfUsage(known)];
  });
  return used.length === 0 ? null : used.reduce(plus);
}

export interface Day {
  /** As this machine's calendar has it, its beginning in milliseconds. */
  readonly at: number;
  readonly turns: number;
  readonly sum: Sum;
}

/** What was used on each day, the newest first. */
export function daysOf(turns: readonly Turn[]): Day[] {
  const days = new Map<number, Day>();
  for (const { usage, endedAt } of turns) {
    if (usage === null || endedAt === 0) continue;
    const at = new Date(endedAt).setHours(0, 0, 0, 0);
    const day = days.get(at);
    const sum = sumOfUsage(usage);
    days.set(at, { at, turns: (day?.turns ?? 0) + 1, sum: day === undefined ? sum : plus(day.sum, sum) });
  }
  return [...days.values()].sort((a, b) => b.at - a.at);
}
