/** The page of the agents: a list of them, and the one that is made, looked at or changed. */
import "../style/builder.css";
import { useEffect, useState } from "preact/hooks";
import icon from "../icon.svg";
import { type Agent, Refused } from "../session/sessions.ts";
import { visited } from "../session/visited.ts";
import { language, text } from "../text.ts";
import { Icon } from "../view/icon.tsx";
import { later } from "../view/later.tsx";
import { Nothing } from "../view/nothing.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { TokenForm } from "../view/token-form.tsx";
import { more } from "../words/more.ts";
import { readConfig, readList, readSchema } from "./agents.ts";
import { Draft } from "./draft.ts";
import { Editor } from "./editor.tsx";
import type { Config } from "./yaml.ts";

const Settings = later(async () => (await import("../view/settings-dialog.tsx")).SettingsDialog);

/** What the address asks for. */
interface Wanted {
  /** An agent that is there; null for a new one, or for the list alone. */
  readonly id: string | null;
  readonly isNew: boolean;
  /** The one that a new one is made from. */
  readonly from: string | null;
}

export function wantedOf({ pathname, search }: { pathname: string; search: string }): Wanted {
  const query = new URLSearchParams(search);
  const id = pathname.split("/")[2] ?? "";
  return { id: id === "" ? null : decodeURIComponent(id), isNew: id === "" && query.has("new"), from: query.get("from") };
}

/** Where what is not saved yet is kept, for as long as this tab lives. */
function keptAt({ id, isNew, from }: Wanted): string | null {
  return id === null && !isNew ? null : `agent-router/agent/${id ?? ""}/${from ?? ""}`;
}

const BLANK: Config = { id: "my-agent", name: "My agent", permission_mode: "acceptEdits", max_turns: 50 };

/** What was typed stays where the page is drawn in another language. */
export function AgentsPage() {
  const [wanted, setWanted] = useState(() => wantedOf(location));
  const [draft] = useState(() => new Draft());
  const [agents, setAgents] = useState<readonly Agent[] | null>(null);
  const [settings, setSettings] = useState(false);
  const [state, setState] = useState<"waiting" | "here" | "signed-out" | "missing" | { wrong: string }>("waiting");
  const read = async () => {
    setState("waiting");
    try {
      const source = wanted.id ?? wanted.from;
      const [list, schema, config] = await Promise.all([readList(), readSchema(), source === null ? BLANK : readConfig(source)]);
      setAgents(list);
      // Read before what begins now is kept in its place.
      const kept = keptText(wanted);
      draft.schema.value = schema;
      draft.begin(wanted.from === null ? config : copyOf(config, list), wanted.id !== null);
      if (kept !== null) draft.type(kept);
      setState("here");
    } catch (error) {
      if (error instanceof Refused && error.status === 401) setState("signed-out");
      else if (error instanceof Refused && error.status === 404) setState("missing");
      else setState({ wrong: error instanceof Error ? error.message : "" });
    }
  };
  useEffect(() => void read(), []);
  useEffect(() =>
    draft.text.subscribe((now) => {
      const key = keptAt(wanted);
      if (key === null || draft.schema.value === null) return;
      try {
        if (draft.changed.value) sessionStorage.setItem(key, now);
        else sessionStorage.removeItem(key);
      } catch {
        // Then it is kept for as long as the page is open.
      }
    }), [wanted]);
  const own = agents?.some((one) => one.own && one.id === wanted.id) === true;
  /** It is on the server now, under this id. */
  const saved = (id: string) => {
    forget(wanted);
    history.replaceState(null, "", `/agents/${encodeURIComponent(id)}`);
    setWanted({ id, isNew: false, from: null });
    void readList().then(setAgents, () => undefined);
  };
  return (
    <>
      <Page
        key={language.value}
        wanted={wanted}
        draft={draft}
        agents={agents}
        state={state}
        own={own}
        again={() => void read()}
        saved={saved}
        openSettings={() => setSettings(true)}
      />
      {settings && <Settings close={() => setSettings(false)} />}
    </>
  );
}

interface PageProps {
  wanted: Wanted;
  draft: Draft;
  agents: readonly Agent[] | null;
  state: "waiting" | "here" | "signed-out" | "missing" | { wrong: string };
  own: boolean;
  again: () => void;
  saved: (id: string) => void;
  openSettings: () => void;
}

function Page({ wanted, draft, agents, state, own, again, saved, openSettings }: PageProps) {
  const words = more.agents;
  const last = visited.value[0]?.id;
  const shows = wanted.id !== null || wanted.isNew;
  useEffect(() => {
    document.title = `${words.title} · ${text.product}`;
  }, []);
  return (
    <div class="app agents-app">
      <header class="top">
        <a class="button quiet" href={last === undefined ? "/demo" : `/demo/${encodeURIComponent(last)}`} data-testid="agents-back">
          <Icon name="back" />
          {text.sessions}
        </a>
        <h1>
          <img src={icon} alt="" width="22" height="22" />
          {words.title}
        </h1>
        <nav aria-label={text.settings}>
          <button type="button" class="quiet" aria-label={text.settings} title={text.settings} data-testid="settings" onClick={openSettings}>
            <Icon name="gear" />
          </button>
        </nav>
      </header>
      {state === "signed-out" ? (
        <main class="sign-in" data-testid="sign-in">
          <h2>{text.signInTitle}</h2>
          <p>{text.signInWords}</p>
          <TokenForm done={again} />
        </main>
      ) : (
        <main class="agents-bench" data-shows={shows ? "agent" : "list"}>
          <List agents={agents} wanted={wanted} />
          <div class="agent-place">
            {state === "waiting" ? (
              <Skeleton lines={8} />
            ) : state === "here" && shows ? (
              <Editor draft={draft} id={wanted.id} own={own} saved={saved} discard={() => forget(wanted)} />
            ) : state === "here" ? (
              <Nothing icon="agent" words={words.choose} />
            ) : (
              <div class="nothing" role="alert">
                <Icon name="alert" />
                <p>{state === "missing" ? words.missing : text.launchNone(state.wrong)}</p>
                {state !== "missing" && (
                  <button type="button" onClick={again}>
                    {text.tryAgain}
                  </button>
                )}
              </div>
            )}
          </div>
        </main>
      )}
    </div>
  );
}

function List({ agents, wanted }: { agents: readonly Agent[] | null; wanted: Wanted }) {
  const words = more.agents;
  const groups = [
    [words.own, agents?.filter((one) => one.own) ?? []],
    [words.presets, agents?.filter((one) => !one.own) ?? []],
  ] as const;
  return (
    <nav class="agents-list" aria-label={words.title} data-testid="agents-list">
      <a class="button new" href="/agents?new" aria-current={wanted.isNew ? "page" : undefined}>
        <Icon name="plus" />
        {words.create}
      </a>
      {agents === null && <Skeleton />}
      {agents !== null &&
        groups.map(([title, list]) => (
          <section key={title} aria-label={title}>
            <h2>{title}</h2>
            {list.length === 0 && <p class="faint">{words.noneYet}</p>}
            <ul>
              {list.map((one) => (
                <li key={one.id}>
                  <a href={`/agents/${encodeURIComponent(one.id)}`} aria-current={one.id === wanted.id ? "page" : undefined} data-testid="agent-link">
                    <span class="name">{one.name}</span>
                    <span class="faint">{one.id}</span>
                  </a>
                </li>
              ))}
            </ul>
          </section>
        ))}
    </nav>
  );
}

/** The same agent under an id that is free. */
function copyOf(config: Config, agents: readonly Agent[]): Config {
  const taken = new Set(agents.map(({ id }) => id));
  const begin = String(config.id ?? "agent").slice(0, 58);
  for (let at = 2; ; at += 1) {
    const id = `${begin}-${at}`;
    if (!taken.has(id)) return { ...config, id, name: `${String(config.name ?? id)} ${at}` };
  }
}

function keptText(wanted: Wanted): string | null {
  const key = keptAt(wanted);
  try {
    return key === null ? null : sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function forget(wanted: Wanted): void {
  const key = keptAt(wanted);
  try {
    if (key !== null) sessionStorage.removeItem(key);
  } catch {
    // Nothing is kept.
  }
}
