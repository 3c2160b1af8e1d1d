/** Agents to choose from, what the chosen one needs, and its launch. */
import { useEffect, useState } from "preact/hooks";
import { type Agent, launch, readAgents } from "../session/sessions.ts";
import { text } from "../text.ts";
import { agentToLaunch } from "./actions.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icon.tsx";
import { LaunchForm } from "./launch-form.tsx";
import { Skeleton } from "./skeleton.tsx";

export function LaunchDialog({ close }: { close: () => void }) {
  const [agents, setAgents] = useState<readonly Agent[] | null>(null);
  const [chosen, setChosen] = useState<Agent | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  useEffect(() => {
    let gone = false;
    readAgents().then(
      (read) => {
        if (gone) return;
        setAgents(read);
        setChosen(read.find((one) => one.id === agentToLaunch.peek()) ?? null);
        agentToLaunch.value = null;
      },
      (error: unknown) => !gone && setWrong(text.launchNone(error instanceof Error ? error.message : "")),
    );
    return () => {
      gone = true;
    };
  }, []);
  return (
    <Dialog title={text.launch} test="launch-dialog" close={close}>
      <p class="faint">{text.launchWords}</p>
      <a class="build-agent" href="/agents?new" data-testid="build-agent">
        {text.buildAgent}
      </a>
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
      {chosen !== null && (
        <LaunchForm
          key={chosen.id}
          name={chosen.name}
          secrets={chosen.secrets}
          launch={(wish) => launch({ config_id: chosen.id }, wish)}
        />
      )}
    </Dialog>
  );
}
