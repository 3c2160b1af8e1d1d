import { useEffect } from "preact/hooks";
import { activeTurn } from "../session/conversation.ts";
import type { Session } from "../session/session.ts";
import { text } from "../text.ts";
import { Announcer } from "./announcer.tsx";
import { Composer } from "./composer.tsx";
import { SessionProvider } from "./context.ts";
import { ConversationView } from "./conversation.tsx";
import { Header, shortId } from "./header.tsx";
import { Notice } from "./notice.tsx";
import { Queue } from "./queue.tsx";
import { Todos } from "./todos.tsx";

export function App({ session }: { session: Session }) {
  return (
    <SessionProvider value={session}>
      <div class="app">
        <Title session={session} />
        <Header />
        <ConversationView />
        <footer class="dock">
          <Notice />
          <Todos />
          <Queue />
          <Composer />
        </footer>
        <Announcer />
      </div>
    </SessionProvider>
  );
}

/** A tab that is not in front says whether something runs in it. */
function Title({ session }: { session: Session }) {
  const running = activeTurn(session.conversation.value) !== null;
  useEffect(() => {
    const name = `${shortId(session.id)} · ${text.product}`;
    document.title = running ? `▸ ${name}` : name;
  }, [running, session.id]);
  return null;
}

