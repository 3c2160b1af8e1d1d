/** Agents to choose from, what the chosen one needs, and its launch. */
import { useEffect, useState } from "preact/hooks";
import { type Agent, launch, readAgents } from "../session/sessions.ts";
import { text } from "../text.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icon.tsx";
import { Skeleton } from "./skeleton.tsx";

export function LaunchDialog({ close }: { close: () => void }) {
  const [agents, setAgents] = useState<readonly Agent[] | null>(null);
  const [chosen, setChosen] = useState<Agent | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  useEffect(() => {
    let gone = false;
    readAgents().then(
      (read) => !gone && setAgents(read),
      (error: unknown) => !gone && setWrong(text.launchNone(error instanceof Error ? error.message : "")),
    );
    return () => {
      gone = true;
    };
  }, []);
  return (
    <Dialog title={text.launch} test="launch-dialog" close={close}>
      <p class="faint">{text.launchWords}</p>
      <ul class="agents">
        <li>
          <a class="button agent" href="/demo">
            <Icon name="plus" />
            <strong>{text.launchPlain}</strong>
            <span class="faint">{text.launchPlainWords}</span>
          </a>
        </li>
        {agents?.map((agent) => (
          <li key={agent.id}>
            <button
              type="button"
              class="agent"
              aria-pressed={chosen?.id === agent.id}
              data-testid="agent"
              data-agent={agent.id}
              onClick={() => setChosen(agent)}
            >
              <Icon name="agent" />
              <strong>{agent.name}</strong>
              <span class="faint">{agent.description}</span>
              <span class="faint">
                {[
                  text.launchTools(agent.tools),
                  agent.servers ? text.launchServers : null,
                  agent.team ? text.launchTeam : null,
                ]
                  .filter((fact) => fact !== null)
                  .join(" · ")}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {agents === null && wrong === null && <Skeleton />}
      <p role="alert" class="wrong">
        {wrong}
      </p>
      {chosen !== null && <Form key={chosen.id} agent={chosen} />}
    </Dialog>
  );
}

function Form({ agent }: { agent: Agent }) {
  const [secrets, setSecrets] = useState<Readonly<Record<string, string>>>({});
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const complete = agent.secrets.every((name) => (secrets[name] ?? "").trim() !== "");
  const start = async () => {
    setBusy(true);
    setWrong(null);
    try {
      const session = await launch(agent.id, secrets, key.trim());
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
      {agent.secrets.length > 0 && (
        <fieldset>
          <legend>{text.launchSecrets}</legend>
          <p class="faint">{text.launchSecretsHint}</p>
          {agent.secrets.map((name) => (
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
          {busy ? text.launching : `${text.launchIt}: ${agent.name}`}
        </button>
      </div>
    </form>
  );
}
