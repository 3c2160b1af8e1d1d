/** The servers of tools (MCP) that the agent has. */
import { useState } from "preact/hooks";
import { isFields } from "../session/wire.ts";
import { more } from "../words/more.ts";
import { AddButton, AreaField, asText, ChoiceField, PairsField, RemoveButton, TextField, useEntries, useForm, Wrong } from "./fields.tsx";

type Server = Readonly<Record<string, unknown>>;
const KINDS = ["stdio", "http", "sse"] as const;
type Kind = (typeof KINDS)[number];

/** Which fields a kind has. */
const OF_KIND: Record<Kind, readonly string[]> = {
  stdio: ["command", "args", "env"],
  http: ["url", "headers"],
  sse: ["url", "headers"],
};

interface ServersProps {
  value: unknown;
  change: (servers: Record<string, Server>) => void;
}

export function Servers({ value, change }: ServersProps) {
  const { locked } = useForm();
  const list = useEntries<Server>(asMap(value), change);
  return (
    <div class="entries" id="field-mcp_servers" tabIndex={-1}>
      {list.entries.map((entry) => (
        <fieldset key={entry.key} class="entry" data-testid="server">
          <legend class="hidden">{entry.name}</legend>
          <ServerFields
            name={entry.name}
            twice={list.isTwice(entry)}
            server={entry.value}
            rename={(name) => list.rename(entry.key, name)}
            set={(server) => list.set(entry.key, server)}
            remove={() => list.remove(entry.key)}
          />
        </fieldset>
      ))}
      {!locked && (
        <AddButton words={more.agents.addServer} test="add-server" add={() => list.add(freeName("server", list.entries), { type: "stdio", command: "" })} />
      )}
      <Wrong path="mcp_servers" />
    </div>
  );
}

interface ServerFieldsProps {
  name: string;
  twice: boolean;
  server: Server;
  rename: (name: string) => void;
  set: (server: Server) => void;
  remove: () => void;
}

function ServerFields({ name, twice, server, rename, set, remove }: ServerFieldsProps) {
  const { locked } = useForm();
  const words = more.agents;
  const path = `mcp_servers.${name}`;
  const kind = KINDS.find((one) => one === server.type) ?? (server.url === undefined ? "stdio" : "http");
  const args = Array.isArray(server.args) ? server.args.map(asText) : [];
  /** With the empty lines that are there while somebody types. */
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed !== null && JSON.stringify(lines(typed)) === JSON.stringify(args) ? typed : args.join("\n");
  const put = (field: string, value: unknown) => {
    const { [field]: _before, ...rest } = server;
    const none = (Array.isArray(value) && value.length === 0) || (isFields(value) && Object.keys(value).length === 0);
    set(none ? rest : { ...server, [field]: value });
  };
  return (
    <>
      <div class="fields">
        <TextField path={path} label={words.serverName} hint={twice ? words.twice : words.serverNameHint} value={name} code change={rename} />
        <ChoiceField
          path={`${path}.type`}
          label={words.serverKind}
          value={kind}
          options={KINDS.map((one) => [one, words.serverKinds[one]])}
          change={(next) => {
            const kept = Object.entries(server).filter(([field]) => OF_KIND[next].includes(field));
            set({ type: next, ...(next === "stdio" ? { command: "" } : { url: "" }), ...Object.fromEntries(kept) });
          }}
        />
        {!locked && <RemoveButton words={words.removeOne(name)} remove={remove} />}
      </div>
      {kind === "stdio" ? (
        <>
          <TextField path={`${path}.command`} label={words.command} hint={words.commandHint} value={server.command} code change={(value) => put("command", value)} />
          <AreaField
            path={`${path}.args`}
            label={words.args}
            hint={words.argsHint}
            rows={Math.max(2, args.length + 1)}
            value={shown}
            code
            change={(value) => {
              setTyped(value);
              put("args", lines(value));
            }}
          />
          <PairsField path={`${path}.env`} legend={words.variables} hint={words.secretHint} add={words.addVariable} value={server.env} change={(value) => put("env", value)} />
        </>
      ) : (
        <>
          <TextField path={`${path}.url`} label={words.url} value={server.url} placeholder="https://" code change={(value) => put("url", value)} />
          <PairsField path={`${path}.headers`} legend={words.headers} hint={words.secretHint} add={words.addHeader} value={server.headers} change={(value) => put("headers", value)} />
        </>
      )}
    </>
  );
}

/** A name that no entry has yet. */
export function freeName(begin: string, entries: readonly { readonly name: string }[]): string {
  const taken = new Set(entries.map(({ name }) => name));
  for (let at = 1; ; at += 1) {
    const name = at === 1 ? begin : `${begin}-${at}`;
    if (!taken.has(name)) return name;
  }
}

export function asMap(value: unknown): Record<string, Server> {
  return isFields(value) ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, isFields(one) ? one : {}])) : {};
}

function lines(words: string): string[] {
  return words.split("\n").filter((line) => line !== "");
}
