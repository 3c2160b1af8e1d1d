/** The agents that this one may call. */
import { more } from "../words/more.ts";
import { AddButton, AreaField, ChoiceField, RemoveButton, TextField, useEntries, useForm, Wrong } from "./fields.tsx";
import { asMap, freeName } from "./servers.tsx";
import type { Group } from "./tools.ts";
import { ToolsField } from "./tools-field.tsx";

type Member = Readonly<Record<string, unknown>>;
const MODELS = ["sonnet", "opus", "haiku", "inherit"] as const;

interface TeamProps {
  value: unknown;
  groups: readonly [Group, string[]][];
  change: (agents: Record<string, Member>) => void;
}

export function Team({ value, groups, change }: TeamProps) {
  const { locked } = useForm();
  const words = more.agents;
  const list = useEntries<Member>(asMap(value), change);
  return (
    <div class="entries" id="field-agents" tabIndex={-1}>
      {list.entries.map((entry) => {
        const { key, name, value: member } = entry;
        const path = `agents.${name}`;
        const model = MODELS.find((one) => one === member.model);
        const put = (field: string, next: unknown) => {
          const { [field]: _before, ...rest } = member;
          list.set(key, next === undefined ? rest : { ...member, [field]: next });
        };
        return (
          <fieldset key={key} class="entry" data-testid="member">
            <legend class="hidden">{name}</legend>
            <div class="fields">
              <TextField path={path} label={words.memberName} hint={list.isTwice(entry) ? words.twice : words.memberNameHint} value={name} code change={(next) => list.rename(key, next)} />
              <ChoiceField
                path={`${path}.model`}
                label={words.memberModel}
                value={model ?? ""}
                options={[["", words.memberModelNone], ...MODELS.map((one) => [one, one] as const)]}
                change={(next) => put("model", next === "" ? undefined : next)}
              />
              {!locked && <RemoveButton words={words.removeOne(name)} remove={() => list.remove(key)} />}
            </div>
            <TextField path={`${path}.description`} label={words.memberWhen} hint={words.memberWhenHint} value={member.description} change={(next) => put("description", next)} />
            <AreaField path={`${path}.prompt`} label={words.memberPrompt} rows={6} value={member.prompt} code change={(next) => put("prompt", next)} />
            <details>
              <summary>{words.memberTools(Array.isArray(member.tools) ? member.tools.length : 0)}</summary>
              <ToolsField path={`${path}.tools`} value={member.tools} groups={groups} change={(tools) => put("tools", tools.length === 0 ? undefined : tools)} />
            </details>
          </fieldset>
        );
      })}
      {!locked && <AddButton words={words.addMember} test="add-member" add={() => list.add(freeName("helper", list.entries), { description: "", prompt: "" })} />}
      <Wrong path="agents" />
    </div>
  );
}
