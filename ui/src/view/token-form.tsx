import { useEffect, useRef, useState } from "preact/hooks";
import { signIn } from "../session/admission.ts";
import { text } from "../text.ts";

/** Signs this browser in with a token or a key. */
export function TokenForm({ done }: { done: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => field.current?.focus(), []);
  const submit = async () => {
    const token = field.current?.value.trim() ?? "";
    if (token === "" || busy) return;
    setBusy(true);
    try {
      await signIn(token);
      done();
    } catch (error) {
      setWrong(error instanceof Error ? error.message : text.signInFailed);
      field.current?.focus();
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <label for="token">{text.token}</label>
      <input
        ref={field}
        id="token"
        type="password"
        autocomplete="current-password"
        spellcheck={false}
        required
        aria-invalid={wrong !== null}
        aria-describedby="token-wrong"
        data-testid="token"
      />
      <button type="submit" class="primary" disabled={busy} data-testid="sign-in-send">
        {text.signIn}
      </button>
      <p id="token-wrong" class="wrong" role="alert">
        {wrong}
      </p>
    </form>
  );
}
