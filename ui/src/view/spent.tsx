import type { Session } from "../session/session.ts";
import { sumOf } from "../session/spent.ts";
import type { Sum } from "../session/wire.ts";
import { count, dollars, text } from "../text.ts";
import { useSession } from "./context.ts";

export interface Total {
  readonly sum: Sum;
  /** There are turns that are not in it. */
  readonly isPart: boolean;
}

/** What the session has used; null where nothing is known of. */
export function totalOf(session: Session): Total | null {
  const known = session.spent.value;
  const sum = known ?? sumOf(session.conversation.value.turns);
  if (sum === null || sum.input + sum.output === 0) return null;
  return { sum, isPart: known === null && session.older.value !== "none" };
}

export function Spent() {
  const total = totalOf(useSession());
  if (total === null) return null;
  const { sum, isPart } = total;
  const facts = [
    text.tokens(count(sum.input), count(sum.output)),
    ...(sum.cost === null ? [] : [`${isPart ? "≥ " : ""}${dollars(sum.cost)}`]),
  ];
  return (
    <p class="spent faint" data-testid="spent">
      {isPart ? text.spentLeast : text.spent}: {facts.join(" · ")}
    </p>
  );
}
