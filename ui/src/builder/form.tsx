/** The form of an agent: a section for each part of its configuration. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { isFields, PERMISSION_MODES } from "../session/wire.ts";
import { text } from "../text.ts";
import { more } from "../words/more.ts";
import type { Draft } from "./draft.ts";
import { AreaField, asText, ChoiceField, LinesField, NumberField, PairsField, TextField, useForm, Wrong } from "./fields.tsx";
import { Servers } from "./servers.tsx";
import { Team } from "./team.tsx";
import { ToolsField } from "./tools-field.tsx";
import { Together } from "./together.tsx";
import { toolsByGroup } from "./tools.ts";

/** 100000 of the quota is one CPU. */
const CPU = 100_000;

interface FormProps {
  draft: Draft;
  models: readonly string[];
  /** Its id is the one that it was saved under. */
  saved: boolean;
}

export function AgentForm({ draft, models, saved }: FormProps) {
  const config = draft.config.value;
  const words = more.agents;
  const { locked } = useForm();
  const limits = isFields(config.resource_limits) ? config.resource_limits : {};
  const setLimit = (name: string, value: unknown) => {
    const { [name]: _before, ...rest } = limits;
    draft.set("resource_limits", value === undefined || value === "" ? rest : { ...limits, [name]: value });
  };
  const sources = Array.isArray(config.setting_sources) ? config.setting_sources : [];
  return (
    <>
      <Section title={words.about}>
        <div class="fields">
          <TextField path="name" label={words.name} hint={words.nameHint} value={config.name} change={(value) => draft.set("name", value)} />
          <TextField
            path="id"
            label={words.id}
            hint={saved ? words.idFixed : words.idHint}
            value={config.id}
            locked={saved}
            code
            change={(value) => draft.set("id", value)}
          />
          <TextField path="version" label={words.version} value={config.version} placeholder="1.0.0" code change={(value) => draft.set("version", value)} />
        </div>
        <AreaField path="description" label={words.description} hint={words.descriptionHint} rows={2} value={config.description} change={(value) => draft.set("description", value)} />
      </Section>
      <Section title={words.prompt}>
        <Prompt draft={draft} />
      </Section>
      <Section title={words.tools} hint={words.toolsHint}>
        <ToolsField path="allowed_tools" value={config.allowed_tools} groups={toolsByGroup(config)} change={(value) => draft.set("allowed_tools", value)} />
      </Section>
      <Section title={words.howItWorks}>
        <div class="fields">
          <ChoiceField
            path="permission_mode"
            label={text.permissionMode}
            hint={text.permissionModes[PERMISSION_MODES.find((one) => one === config.permission_mode) ?? "acceptEdits"].words}
            value={PERMISSION_MODES.find((one) => one === config.permission_mode) ?? "acceptEdits"}
            options={PERMISSION_MODES.map((mode) => [mode, text.permissionModes[mode].name])}
            change={(mode) => draft.set("permission_mode", mode)}
          />
          <TextField path="model" label={text.model} hint={words.modelHint} value={config.model} list="builder-models" code change={(value) => draft.set("model", value)} />
          <datalist id="builder-models">
            {models.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
          <TextField path="cwd" label={words.cwd} hint={words.cwdHint} value={config.cwd} placeholder="/workspace" code change={(value) => draft.set("cwd", value)} />
          <NumberField path="max_turns" label={text.maxTurns} hint={text.maxTurnsHint} value={config.max_turns} least={1} most={1000} change={(value) => draft.set("max_turns", value)} />
        </div>
        <fieldset class="checks-field" id="field-setting_sources" tabIndex={-1}>
          <legend>{words.sources}</legend>
          <p class="faint">{words.sourcesHint}</p>
          <div class="checks">
            {(["user", "project", "local"] as const).map((source) => (
              <label key={source} class="check">
                <input
                  type="checkbox"
                  checked={sources.includes(source)}
                  disabled={locked}
                  onChange={(event) => {
                    const rest = sources.filter((one) => one !== source);
                    draft.set("setting_sources", event.currentTarget.checked ? [...rest, source] : rest);
                  }}
                />
                {words.sourceNames[source]}
              </label>
            ))}
          </div>
          <Wrong path="setting_sources" inside />
        </fieldset>
      </Section>
      <Section title={words.servers} hint={words.serversHint}>
        <Servers value={config.mcp_servers} change={(value) => draft.set("mcp_servers", value)} />
      </Section>
      <Section title={words.team} hint={words.teamHint}>
        <Team value={config.agents} groups={toolsByGroup(config)} change={(value) => draft.set("agents", value)} />
      </Section>
      <Section title={words.together} hint={words.orchestratesHint}>
        <Together value={config.orchestration} change={(value) => draft.set("orchestration", value)} />
      </Section>
      <Section title={words.limits}>
        <div class="fields">
          <NumberField
            path="resource_limits.cpu_quota"
            label={words.cpus}
            value={typeof limits.cpu_quota === "number" ? limits.cpu_quota / CPU : undefined}
            placeholder="2"
            least={0.01}
            most={64}
            step={0.5}
            change={(value) => setLimit("cpu_quota", value === undefined ? undefined : Math.round(value * CPU))}
          />
          <TextField path="resource_limits.memory_limit" label={words.memory} hint={words.sizeHint} value={limits.memory_limit} placeholder="4g" code change={(value) => setLimit("memory_limit", value)} />
          <TextField path="resource_limits.storage_limit" label={words.storage} hint={words.sizeHint} value={limits.storage_limit} placeholder="10g" code change={(value) => setLimit("storage_limit", value)} />
        </div>
        <Wrong path="resource_limits" />
        <LinesField path="egress" label={words.reach} hint={words.reachHint} value={config.egress} code change={(value) => draft.set("egress", value)} />
      </Section>
      <Section title={words.environment}>
        <PairsField path="env" legend={words.variables} hint={words.variablesHint} add={words.addVariable} value={config.env} change={(value) => draft.set("env", value)} />
      </Section>
    </>
  );
}

interface SectionProps {
  title: string;
  hint?: string;
  children: ComponentChildren;
}

function Section({ title, hint, children }: SectionProps) {
  return (
    <section class="builder-section">
      <h2>{title}</h2>
      {hint !== undefined && <p class="faint">{hint}</p>}
      {children}
    </section>
  );
}

type PromptKind = "own" | "added" | "instead";

/** Claude Code's own prompt, something behind it, or something instead of it. */
function Prompt({ draft }: { draft: Draft }) {
  const words = more.agents;
  const prompt = draft.config.value.system_prompt;
  const kind: PromptKind = typeof prompt === "string" ? "instead" : isFields(prompt) ? "added" : "own";
  const said = typeof prompt === "string" ? prompt : isFields(prompt) ? asText(prompt.append) : "";
  // An empty one is no field: what was chosen is remembered until something is typed.
  const [chosen, setChosen] = useState<PromptKind>(kind);
  const [last, setLast] = useState(said);
  const shown = kind === "own" ? (chosen === "instead" ? "instead" : "own") : kind;
  const put = (next: PromptKind, value: string) => {
    setChosen(next);
    if (value !== "") setLast(value);
    const preset = { type: "preset", preset: "claude_code" };
    if (next === "own") draft.set("system_prompt", undefined);
    else if (next === "instead") draft.set("system_prompt", value);
    else draft.set("system_prompt", value === "" ? preset : { ...preset, append: value });
  };
  return (
    <>
      <ChoiceField
        path="system_prompt.kind"
        label={words.promptKind}
        hint={words.promptHints[shown]}
        value={shown}
        options={(["own", "added", "instead"] as const).map((one) => [one, words.promptKinds[one]])}
        change={(next) => put(next, next === "own" ? "" : said || last)}
      />
      {shown !== "own" && (
        <AreaField path="system_prompt" label={words.promptText} rows={12} value={said} code change={(value) => put(shown, value)} />
      )}
    </>
  );
}
