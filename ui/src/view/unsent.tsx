/** Messages that the session has not stored yet. */
import type { Unsent } from "../session/outbox.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { useLeaving } from "./focus.ts";

export function UnsentMessages() {
  const session = useSession();
  return (
    <>
      {session.outbox.value.map((message) => (
        <UnsentMessage key={message.id} message={message} />
      ))}
    </>
  );
}

function UnsentMessage({ message }: { message: Unsent }) {
  const session = useSession();
  const live = session.link.value.state === "live";
  const takeBack = () => {
    session.forget(message.id);
    session.setDraft([message.content, session.draft.value].filter((one) => one !== "").join("\n"));
  };
  return (
    <article class="turn">
      <div class="message unsent" data-testid="message-unsent" role="group" aria-label={text.you}>
        <p>{message.content}</p>
      </div>
      <p class={message.refused === null ? "unsent-state" : "unsent-state refused"}>
        {message.refused === null ? (
          <span>{live ? text.sending : text.sentWhenConnected}</span>
        ) : (
          <>
            <strong>{text.notSent}</strong>
            <span>{message.refused}</span>
            <Choice words={text.tryAgain} choose={() => session.sayAgain(message.id)} />
          </>
        )}
        {(message.refused !== null || !live) && (
          <Choice words={text.takeBack} choose={takeBack} />
        )}
      </p>
    </article>
  );
}

function Choice({ words, choose }: { words: string; choose: () => void }) {
  return (
    <button ref={useLeaving<HTMLButtonElement>()} type="button" class="quiet small" onClick={choose}>
      {words}
    </button>
  );
}
