import { useEffect, useState } from "preact/hooks";
import { fetchProviders, type Launch, type Providers } from "../session/sessions.ts";
import { text } from "../text.ts";
import { more } from "../words/more.ts";

interface LaunchFormProps {
  name: string;
  /** The names of those that its servers ask for. */
  secrets: readonly string[];
  /** Gives the session. @throws in words for the person. */
  launch: (wish: Launch) => Promise<string>;
}

/** What an agent is launched with, and the button that does it. */
export function LaunchForm({ name, secrets: wanted, launch }: LaunchFormProps) {
  const [secrets, setSecrets] = useState<Readonly<Record<string, string>>>({});
  const [key, setKey] = useState("");
  const [providers, setProviders] = useState<Providers | null>(null);
  const [noProviders, setNoProviders] = useState<string | null>(null);
  const [provider, setProvider] = useState("");
  const place = providers?.all.find(({ name }) => name === (provider || providers.usual));
  useEffect(() => {
    let gone = false;
    fetchProviders().then(
      (told) => !gone && setProviders(told),
      (error: unknown) => !gone && setNoProviders(more.launch.noProviders(error instanceof Error ? error.message : "")),
    );
    return () => {
      gone = true;
    };
  }, []);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const complete = wanted.every((name) => (secrets[name] ?? "").trim() !== "");
  const start = async () => {
    setBusy(true);
    setWrong(null);
    try {
      const session = await launch({ secrets, key: key.trim(), provider });
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
      {noProviders !== null && <p class="faint">{noProviders}</p>}
      {/* One place is no choice. */}
      {providers !== null && providers.all.length > 1 && (
        <label class="field">
          <span>{text.launchProvider}</span>
          <select value={provider} data-testid="launch-provider" aria-describedby="launch-provider-hint" onChange={(event) => setProvider(event.currentTarget.value)}>
            <option value="">{text.launchProviderDefault(providers.usual)}</option>
            {providers.all.map(({ name: one }) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
          <span id="launch-provider-hint" class="faint hint">
            {place !== undefined &&
              (place.enforces.length === 0
                ? more.launch.noLimits
                : more.launch.limits(place.enforces.map((limit) => more.launch.limitNames[limit]).join(", ")))}
          </span>
        </label>
      )}
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
