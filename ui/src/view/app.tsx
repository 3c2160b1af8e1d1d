import { useEffect } from "preact/hooks";
import type { Session } from "../session/session.ts";
import { language } from "../text.ts";
import { Bench } from "./bench.tsx";
import { SessionProvider } from "./context.ts";
import { Header } from "./header.tsx";
import { useShortcuts } from "./shortcuts.ts";
import { SignIn } from "./sign-in.tsx";
import { Watch } from "./watch.tsx";

/** In another language everything is drawn anew. */
export function App({ session }: { session: Session }) {
  return (
    <SessionProvider value={session}>
      <Page key={language.value} session={session} />
    </SessionProvider>
  );
}

function Page({ session }: { session: Session }) {
  useShortcuts();
  useEffect(() => session.tell(null), []);
  return (
    <div class="app">
      <Watch session={session} />
      <Header />
      {session.door.value === "open" ? <Bench /> : <SignIn />}
    </div>
  );
}
