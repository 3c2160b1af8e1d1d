import { byLink } from "../session/admission.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { TokenForm } from "./token-form.tsx";

/** Where the session does not let this page in: why, and what a person can do. */
export function SignIn() {
  const session = useSession();
  const refused = session.door.value === "refused";
  return (
    <main class="sign-in" data-testid="sign-in">
      <h2>{refused ? text.refusedTitle : text.signInTitle}</h2>
      <p>{refused ? (byLink() ? text.linkEnded : text.refusedWords) : text.signInWords}</p>
      {!byLink() && <TokenForm done={() => session.enter()} />}
    </main>
  );
}
