import type { Turn } from "../session/conversation.ts";
import type { Usage } from "../session/wire.ts";
import { count, dollars, text } from "../text.ts";
import { useSession } from "./context.ts";

export interface Sum {
  readonly input: number;
  readonly output: number;
  /** US dollars; null where the price of something is not known. */
  readonly cost: number | null;
}

export function inputOf(usage: Usage): number {
  return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;
}

/** What turns have used together; null where none has used anything. */
export function sumOf(turns: readonly Turn[]): Sum | null {
  const used = turns.flatMap(({ usage }) => (usage === null ? [] : [usage]));
  if (used.length === 0) return null;
  return used.reduce<Sum>(
    (sum, usage) => ({
      input: sum.input + inputOf(usage),
      output: sum.output + usage.output_tokens,
      cost: sum.cost === null || usage.cost_usd === null ? null : sum.cost + usage.cost_usd,
    }),
    { input: 0, output: 0, cost: 0 },
  );
}

/** What the session has used, as far as its turns are here. */
export function Spent() {
  const session = useSession();
  const sum = sumOf(session.conversation.value.turns);
  if (sum === null) return null;
  const part = session.older.value !== "none";
  const facts = [
    text.tokens(count(sum.input), count(sum.output)),
    ...(sum.cost === null ? [] : [`${part ? "≥ " : ""}${dollars(sum.cost)}`]),
  ];
  return (
    <p class="spent faint" data-testid="spent">
      {part ? text.spentLeast : text.spent}: {facts.join(" · ")}
    </p>
  );
}
