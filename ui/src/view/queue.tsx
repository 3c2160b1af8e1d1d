import { type Turn, waitingTurns } from "../session/conversation.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { focusComposer, useLeaving } from "./focus.ts";
import { Icon } from "./icon.tsx";

/** The messages that wait for the running turn to end. */
export function Queue() {
  const session = useSession();
  const waiting = waitingTurns(session.conversation.value);
  if (waiting.length === 0) return null;
  return (
    <section class="queue" aria-label={text.waiting(waiting.length)}>
      <ol>
        {waiting.map((turn) => (
          <li key={turn.id} data-testid="queue-item">
            <Icon name="clock" />
            <span class="summary" title={turn.message?.content}>
              {turn.message?.content}
            </span>
            <Edit turn={turn} />
            <Remove turn={turn} />
          </li>
        ))}
      </ol>
    </section>
  );
}

/** It is taken out of the queue, and stands in the field. */
function Edit({ turn }: { turn: Turn }) {
  const session = useSession();
  const content = turn.message?.content ?? "";
  // Of a long one that waits since before this page was opened only the beginning is known.
  if (turn.cut || session.link.value.state !== "live") return null;
  const edit = () => {
    session.interrupt(turn.id);
    session.setDraft([content, session.draft.value].filter((one) => one.trim() !== "").join("\n"));
    focusComposer();
  };
  return (
    <button
      type="button"
      class="quiet small"
      aria-label={`${text.editInQueue}: ${content.slice(0, 60)}`}
      title={text.editInQueue}
      data-testid="queue-edit"
      onClick={edit}
    >
      <Icon name="pen" />
    </button>
  );
}

function Remove({ turn }: { turn: Turn }) {
  const session = useSession();
  return (
    <button
      ref={useLeaving<HTMLButtonElement>()}
      type="button"
      class="quiet small"
      aria-label={`${text.removeFromQueue}: ${turn.message?.content.slice(0, 60) ?? ""}`}
      title={text.removeFromQueue}
      onClick={() => session.interrupt(turn.id)}
    >
      <Icon name="cross" />
    </button>
  );
}
