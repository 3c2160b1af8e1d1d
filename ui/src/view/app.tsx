import { useEffect } from "preact/hooks";
import { byLink } from "../session/admission.ts";
import { activeTurn, openRequests } from "../session/conversation.ts";
import type { Session } from "../session/session.ts";
import { text } from "../text.ts";
import { Announcer } from "./announcer.tsx";
import { Composer } from "./composer.tsx";
import { SessionProvider } from "./context.ts";
import { ConversationView } from "./conversation.tsx";
import { Header, shortId } from "./header.tsx";
import { Notice } from "./notice.tsx";
import { Queue } from "./queue.tsx";
import { SignIn } from "./sign-in.tsx";
import { Todos } from "./todos.tsx";

export function App({ session }: { session: Session }) {
  return (
    <SessionProvider value={session}>
      <div class="app">
        <Title session={session} />
        <Header />
        {session.door.value === "open" ? <Inside session={session} /> : <SignIn />}
      </div>
    </SessionProvider>
  );
}

function Inside({ session }: { session: Session }) {
  return (
    <>
      <ConversationView />
      <footer class="dock">
        <Notice />
        <Todos />
        <Queue />
        {session.access.value.write ? (
          <Composer />
        ) : (
          <p class="read-only" data-testid="read-only">
            {byLink() ? text.readOnlyLink : text.readOnly}
          </p>
        )}
      </footer>
      <Announcer />
    </>
  );
}

/** A tab that is not in front says whether something runs in it, or waits for somebody. */
function Title({ session }: { session: Session }) {
  const conversation = session.conversation.value;
  const running = activeTurn(conversation) !== null;
  const asks = openRequests(conversation).length > 0;
  useEffect(() => {
    const name = `${shortId(session.id)} · ${text.product}`;
    const mark = asks ? `(?) ${text.waitsForYou} · ` : running ? "▸ " : "";
    document.title = `${mark}${name}`;
  }, [asks, running, session.id]);
  return null;
}

