/** Whether the agent works with others, within which bounds, and what that comes to in words. */
import { isFields } from "../session/wire.ts";
import { dollars, language } from "../text.ts";
import { more } from "../words/more.ts";
import { LinesField, NumberField, useForm, Wrong } from "./fields.tsx";

/** What holds where nothing is said. */
const SESSIONS = 5;
const DEPTH = 1;

interface TogetherProps {
  value: unknown;
  change: (orchestration: unknown) => void;
}

export function Together({ value, change }: TogetherProps) {
  const { locked } = useForm();
  const words = more.agents;
  const on = isFields(value);
  const bounds = on ? value : {};
  const put = (field: string, next: unknown) => {
    const { [field]: _before, ...rest } = bounds;
    change(next === undefined || (Array.isArray(next) && next.length === 0) ? rest : { ...bounds, [field]: next });
  };
  return (
    <div class="together" id="field-orchestration" tabIndex={-1}>
      <label class="check">
        <input type="checkbox" checked={on} disabled={locked} data-testid="orchestrates" onChange={(event) => change(event.currentTarget.checked ? { max_sessions: SESSIONS, max_depth: DEPTH } : undefined)} />
        <span>{words.orchestrates}</span>
      </label>
      {on && (
        <>
          <LinesField path="orchestration.agents" label={words.mayLaunch} hint={words.mayLaunchHint} value={bounds.agents} code change={(agents) => put("agents", agents)} />
          <div class="fields">
            <NumberField path="orchestration.max_sessions" label={words.maxSessions} value={bounds.max_sessions} placeholder={String(SESSIONS)} least={1} most={100} change={(next) => put("max_sessions", next)} />
            <NumberField path="orchestration.max_depth" label={words.maxDepth} hint={words.maxDepthHint} value={bounds.max_depth} placeholder={String(DEPTH)} least={1} most={5} change={(next) => put("max_depth", next)} />
            <NumberField path="orchestration.max_cost_usd" label={words.maxCost} hint={words.maxCostHint} value={bounds.max_cost_usd} least={0.01} most={1_000_000} step={0.01} change={(next) => put("max_cost_usd", next)} />
          </div>
          <p class="effect" data-testid="orchestration-effect">
            {effectOf(bounds)}
          </p>
        </>
      )}
      <Wrong path="orchestration" />
    </div>
  );
}

/** What the bounds come to, in a sentence. */
export function effectOf(bounds: Readonly<Record<string, unknown>>): string {
  const words = more.agents.effect;
  const number = (field: string, usual: number) => (typeof bounds[field] === "number" ? bounds[field] : usual);
  const named = Array.isArray(bounds.agents) ? bounds.agents.filter((one) => typeof one === "string") : [];
  const list = new Intl.ListFormat(language.value, { type: "disjunction" }).format(named);
  const depth = number("max_depth", DEPTH);
  const cost = bounds.max_cost_usd;
  return `${[
    named.length === 0 ? words.whoAny : words.who(list),
    words.sessions(number("max_sessions", SESSIONS)),
    depth > 1 ? words.deeper(depth) : words.alone,
    typeof cost === "number" ? words.cost(dollars(cost)) : words.noCost,
  ].join("; ")}.`;
}
