import { useLayoutEffect, useRef, useState } from "preact/hooks";
import {
  DEFAULT_OPTIONS,
  MOST_TURNS,
  type Options,
  TOOLS,
} from "../session/options.ts";
import { PERMISSION_MODES } from "../session/wire.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { EffortSelect } from "./effort-menu.tsx";
import { Icon } from "./icon.tsx";

/** What a person may set for the next messages of the session. */
export function Advanced({ close }: { close: () => void }) {
  const session = useSession();
  const options = session.options.value;
  const panel = useRef<HTMLElement>(null);
  /** What stands in the field while it is typed, whatever it is drawn again for. */
  const [typed, setTyped] = useState<string | null>(null);
  // It stands before the button that opens it: Tab alone would not come to it.
  useLayoutEffect(() => panel.current?.focus(), []);
  const set = (changed: Partial<Options>) => session.setOptions({ ...options, ...changed });
  const toggle = (tool: string, on: boolean) =>
    set({ tools: TOOLS.filter((one) => (one === tool ? on : options.tools.includes(one))) });
  return (
    <section
      ref={panel}
      id="advanced"
      class="advanced panel"
      data-testid="advanced"
      aria-label={text.advanced}
      tabIndex={-1}
    >
      <header>
        <strong>{text.advanced}</strong>
        <span class="faint">{text.advancedHint}</span>
        <button type="button" class="quiet small" onClick={() => session.setOptions(DEFAULT_OPTIONS)}>
          {text.resetOptions}
        </button>
        <button type="button" class="quiet small" aria-label={text.dismiss} onClick={close}>
          <Icon name="cross" />
        </button>
      </header>
      <fieldset>
        <legend>{text.allowedTools}</legend>
        <div class="checks">
          {TOOLS.map((tool) => (
            <label key={tool} class="check">
              <input
                type="checkbox"
                checked={options.tools.includes(tool)}
                onChange={(event) => toggle(tool, event.currentTarget.checked)}
              />
              {tool}
            </label>
          ))}
        </div>
        <label class="field">
          <span>{text.moreTools}</span>
          <input
            type="text"
            value={options.moreTools}
            placeholder={text.moreToolsHint}
            spellcheck={false}
            onInput={(event) => set({ moreTools: event.currentTarget.value })}
          />
        </label>
      </fieldset>
      <fieldset>
        <legend>
          {text.permissionMode} <span class="faint">{text.permissionModeHint}</span>
        </legend>
        <div class="modes">
          {PERMISSION_MODES.map((mode) => {
            const { name, words } = text.permissionModes[mode];
            return (
              <label key={mode} class="check">
                <input
                  type="radio"
                  name="permission-mode"
                  value={mode}
                  checked={session.mode.value === mode}
                  onChange={() => session.chooseMode(mode)}
                />
                <span>
                  {name} <span class="faint">{words}</span>
                </span>
              </label>
            );
          })}
        </div>
      </fieldset>
      {session.rules.value.length > 0 && (
        <fieldset>
          <legend>{text.rules}</legend>
          <ul class="rules" data-testid="rules">
            {session.rules.value.map((rule) => (
              <li key={rule}>
                <code>{rule}</code>
                <button
                  type="button"
                  class="quiet small"
                  aria-label={text.removeRule(rule)}
                  onClick={() => session.removeRule(rule)}
                >
                  <Icon name="cross" />
                </button>
              </li>
            ))}
          </ul>
        </fieldset>
      )}
      <div class="pair">
        <label class="field">
          <span>{text.effort}</span>
          <EffortSelect />
        </label>
        <label class="field">
          <span>{text.maxTurns}</span>
          <input
            type="number"
            min={1}
            max={MOST_TURNS}
            value={typed ?? options.maxTurns}
            title={text.maxTurnsHint}
            onInput={(event) => {
              setTyped(event.currentTarget.value);
              const value = Math.round(event.currentTarget.valueAsNumber);
              const valid = value >= 1 && value <= MOST_TURNS;
              set({ maxTurns: valid ? value : DEFAULT_OPTIONS.maxTurns });
            }}
            onBlur={() => setTyped(null)}
          />
        </label>
        <label class="field">
          <span>{text.fastModel}</span>
          <input
            type="text"
            value={options.fastModel}
            placeholder={text.fastModelHint}
            spellcheck={false}
            autocapitalize="off"
            onInput={(event) => set({ fastModel: event.currentTarget.value })}
          />
        </label>
      </div>
    </section>
  );
}
