import { useState } from "preact/hooks";
import { more } from "../words/more.ts";
import { AreaField, idOf, useForm, Wrong } from "./fields.tsx";
import { type Group, rulesOf, withTool } from "./tools.ts";

interface ToolsFieldProps {
  path: string;
  value: unknown;
  groups: readonly [Group, string[]][];
  change: (tools: string[]) => void;
}

/** Tools by what they are for, and rules of somebody's own below them. */
export function ToolsField({ path, value, groups, change }: ToolsFieldProps) {
  const { locked } = useForm();
  const given = Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
  const rules = rulesOf(given, groups);
  /** With the empty lines that are there while somebody types. */
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed !== null && same(lines(typed), rules) ? typed : rules.join("\n");
  return (
    <div class="tool-groups" id={idOf(path)} tabIndex={-1}>
      {groups.map(([group, tools]) => (
        <fieldset key={group}>
          <legend>{more.agents.toolGroups[group]}</legend>
          <div class="checks">
            {tools.map((tool) => (
              <label key={tool} class="check">
                <input
                  type="checkbox"
                  checked={given.includes(tool)}
                  disabled={locked}
                  onChange={(event) => change(withTool(given, tool, event.currentTarget.checked, groups))}
                />
                <span>{tool}</span>
              </label>
            ))}
          </div>
        </fieldset>
      ))}
      <AreaField
        path={`${path}.rules`}
        label={more.agents.toolRules}
        hint={more.agents.toolRulesHint}
        rows={Math.max(2, rules.length + 1)}
        value={shown}
        code
        change={(words) => {
          setTyped(words);
          change([...given.filter((one) => !rules.includes(one)), ...lines(words)]);
        }}
      />
      <Wrong path={path} inside />
    </div>
  );
}

function lines(words: string): string[] {
  return words.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

function same(one: readonly string[], other: readonly string[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
