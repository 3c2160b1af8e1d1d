/** One turn: what a person said, what the agent did about it, and how it ended. */
import { filesOf, type Turn } from "../session/conversation.ts";
import { inputOf } from "../session/spent.ts";
import type { Usage } from "../session/wire.ts";
import { count, dollars, duration, text } from "../text.ts";
import { openChanges } from "../workbench.ts";
import { useSession } from "./context.ts";
import { Elapsed } from "./elapsed.tsx";
import { Icon, type IconName } from "./icon.tsx";
import { Items } from "./item.tsx";
import { memo } from "./memo.ts";
import { Fork, MessageActions } from "./turn-actions.tsx";

export const TurnView = memo(({ turn }: { turn: Turn }) => (
  <article class="turn" data-testid="turn" data-turn={turn.id} data-state={turn.state} aria-label={turn.id}>
    {turn.message !== null && (
      <div class="message-place">
        <div class="message" data-testid="message-user" role="group" aria-label={text.you}>
          <p>{turn.message.content}</p>
        </div>
        <MessageActions content={turn.message.content} />
      </div>
    )}
    <Items items={turn.items} />
    {turn.state === "ended" ? <TurnEnd turn={turn} /> : <Progress turn={turn} />}
  </article>
));

/** What goes on while nothing else shows it. */
function Progress({ turn }: { turn: Turn }) {
  const session = useSession();
  if (turn.state === "queued") return null;
  const stopping = turn.stopping || session.stopping.value === turn.id;
  const starting = turn.state === "starting";
  const last = turn.items.at(-1);
  // A text that streams and a tool with its own clock say enough.
  const busy =
    last !== undefined &&
    (((last.kind === "text" || last.kind === "thinking") && !last.done) ||
      (last.kind === "tool" && last.state === "running"));
  // Its card says what is waited for.
  const asks = turn.items.some((item) => item.kind === "request" && item.end === null);
  if (asks || (busy && !stopping)) return <SoFar turn={turn} alone />;
  const words = stopping ? text.stopping : starting ? text.starting : text.working;
  return (
    <p class="progress" data-testid="progress">
      <Icon name="spinner" />
      <span>{words}</span>
      <Elapsed since={turn.startedAt} />
      <SoFar turn={turn} alone={false} />
    </p>
  );
}

/** What the calls of the model have used, while there may be more. */
function SoFar({ turn: { spending }, alone }: { turn: Turn; alone: boolean }) {
  if (spending === null) return null;
  const facts = factsOf(spending).join(" · ");
  return alone ? (
    <p class="progress so-far" data-testid="so-far">
      {facts}
    </p>
  ) : (
    <span class="so-far" data-testid="so-far">
      {facts}
    </span>
  );
}

function factsOf(usage: Usage): string[] {
  const tokens = text.tokens(count(inputOf(usage)), count(usage.output_tokens));
  return usage.cost_usd === null ? [tokens] : [tokens, dollars(usage.cost_usd)];
}

const OUTCOME_ICONS = { completed: "check", failed: "alert", interrupted: "stop" } as const;

function TurnEnd({ turn }: { turn: Turn }) {
  const outcome = turn.outcome ?? "failed";
  const icon: IconName = OUTCOME_ICONS[outcome];
  const usage = turn.usage;
  const files = filesOf(turn).length;
  const took = usage?.duration_ms || (turn.startedAt > 0 ? turn.endedAt - turn.startedAt : 0);
  const facts = [
    took > 0 ? duration(took) : null,
    ...(usage === null ? [] : factsOf(usage)),
    turn.model,
  ].filter((fact) => fact !== null);
  // It never ran: there is nothing more to say than that.
  const word = turn.startedAt === 0 ? text.removed : text.outcomes[outcome];
  return (
    <footer class={`turn-end ${outcome}`} data-testid="turn-end" data-outcome={outcome}>
      <span class="outcome">
        <Icon name={icon} />
        {word}
      </span>
      {files > 0 && (
        <button type="button" class="quiet small" title={text.showChanges} data-testid="turn-changes" onClick={() => openChanges(turn.id)}>
          {text.filesChanged(files)}
        </button>
      )}
      {facts.map((fact) => (
        <span key={fact}>{fact}</span>
      ))}
      {turn.startedAt > 0 && <Fork turn={turn} />}
    </footer>
  );
}
