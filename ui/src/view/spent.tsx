import type { Session } from "../session/session.ts";
import { activeTurn } from "../session/conversation.ts";
import { plus, sumOf, sumOfUsage } from "../session/spent.ts";
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
  // What the turn that goes on has used is not in what the session knows: that is told at its end.
  const active = activeTurn(session.conversation.value);
  const more = active === null || active.spending === null ? null : sumOfUsage(active.spending);
  const sum = known === null ? sumOf(session.conversation.value.turns) : more === null ? known : plus(known, more);
  if (sum === null || sum.input + sum.output === 0) return null;
  return { sum, isPart: known === null ? session.older.value !== "none" : more !== null && active?.cut === true };
}

/** How full the model's context is, and of how many tokens; null where either is not known. */
export function contextOf(session: Session): { readonly used: number; readonly window: number } | null {
  const turn = session.conversation.value.turns.findLast(({ context }) => context > 0);
  const window = session.menu.value?.models.find(({ id }) => id === turn?.model)?.window ?? null;
  return turn === undefined || window === null ? null : { used: turn.context, window };
}

const NEARLY_FULL = [0.75, 0.9] as const;

function ContextMeter() {
  const context = contextOf(useSession());
  if (context === null) return null;
  const { used, window } = context;
  const part = Math.min(1, used / window);
  const level = NEARLY_FULL.filter((bound) => part >= bound).length;
  const words = text.context(String(Math.round(part * 100)));
  return (
    <span class="context" data-testid="context" data-level={level} title={text.contextOf(count(used), count(window))}>
      <meter min={0} max={window} value={Math.min(used, window)} aria-label={words} />
      <span aria-hidden="true">{words}</span>
      {level > 0 && <span>{`· ${text.contextFull}`}</span>}
    </span>
  );
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
      <ContextMeter />
    </p>
  );
}
