import { useState } from "preact/hooks";
import { text } from "../text.ts";

interface LaunchFormProps {
  name: string;
  /** The names of those that its servers ask for. */
  secrets: readonly string[];
  /** Gives the session. @throws in words for the person. */
  launch: (secrets: Readonly<Record<string, string>>, key: string) => Promise<string>;
}

/** What an agent is launched with, and the button that does it. */
export function LaunchForm({ name, secrets: wanted, launch }: LaunchFormProps) {
  const [secrets, setSecrets] = useState<Readonly<Record<string, string>>>({});
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const complete = wanted.every((name) => (secrets[name] ?? "").trim() !== "");
  const start = async () => {
    setBusy(true);
    setWrong(null);
    try {
      const session = await launch(secrets, key.trim());
      location.assign(`/demo/${encodeURIComponent(session)}`);
    } catch (error) {
      setWrong(text.launchFailed(error instanceof Error ? error.message : ""));
      setBusy(false);
    }
  };
  return (
    <form
      class="launch-form"
      autocomplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        if (complete && !busy) void start();
      }}
    >
      {wanted.length > 0 && (
        <fieldset>
          <legend>{text.launchSecrets}</legend>
          <p class="faint">{text.launchSecretsHint}</p>
          {wanted.map((name) => (
            <label key={name} class="field">
              <span>{name}</span>
              <input
                type="password"
                autocomplete="off"
                spellcheck={false}
                required
                value={secrets[name] ?? ""}
                onInput={(event) => setSecrets({ ...secrets, [name]: event.currentTarget.value })}
              />
            </label>
          ))}
        </fieldset>
      )}
      <label class="field">
        <span>{text.launchKey}</span>
        <input
          type="password"
          autocomplete="off"
          spellcheck={false}
          aria-describedby="launch-key-hint"
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
        />
        <span id="launch-key-hint" class="faint hint">
          {text.launchKeyHint}
        </span>
      </label>
      <p role="alert" class="wrong">
        {wrong}
      </p>
      <div class="row end">
        <button type="submit" class="primary" disabled={!complete || busy} data-testid="launch-it">
          {busy ? text.launching : `${text.launchIt}: ${name}`}
        </button>
      </div>
    </form>
  );
}
