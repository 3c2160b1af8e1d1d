/** What can be done with a turn: send its message again, bring it back to be edited, go on from its end. */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import type { Turn } from "../session/conversation.ts";
import { fork } from "../session/fork.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { CopyButton } from "./copy-button.tsx";
import { focusComposer } from "./focus.ts";
import { Icon } from "./icon.tsx";

/** The server has said that it knows no forks. */
const forkless = signal(false);

export function MessageActions({ content }: { content: string }) {
  const session = useSession();
  const edit = () => {
    session.setDraft([session.draft.value, content].filter((one) => one.trim() !== "").join("\n"));
    focusComposer();
  };
  return (
    <div class="message-actions" data-testid="message-actions">
      <CopyButton value={content} />
      {session.access.value.write && (
        <>
          <button type="button" class="quiet small" title={text.editHint} data-testid="edit" onClick={edit}>
            <Icon name="pen" />
            {text.edit}
          </button>
          <button type="button" class="quiet small" data-testid="retry" onClick={() => session.say(content)}>
            <Icon name="retry" />
            {text.retry}
          </button>
        </>
      )}
    </div>
  );
}

export function Fork({ turn }: { turn: Turn }) {
  const session = useSession();
  const [busy, setBusy] = useState(false);
  const number = Number(turn.id.replace("turn-", ""));
  if (forkless.value || !session.access.value.manage || !Number.isSafeInteger(number)) return null;
  const start = async () => {
    setBusy(true);
    try {
      const made = await fork(session.id, number);
      if (made !== null) return location.assign(`/demo/${encodeURIComponent(made)}`);
      forkless.value = true;
      session.tell(text.forkMissing);
    } catch (error) {
      session.tell(text.forkFailed(error instanceof Error ? error.message : ""));
    }
    setBusy(false);
  };
  return (
    <button
      type="button"
      class="quiet small fork"
      aria-label={text.fork}
      title={`${text.fork}: ${text.forkHint}`}
      disabled={busy}
      data-testid="fork"
      onClick={() => void start()}
    >
      <Icon name="fork" />
    </button>
  );
}
