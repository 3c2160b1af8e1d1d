import { useState } from "preact/hooks";
import { chosenLanguage, MOTIONS, motion, notify, THEMES, theme, wantedLanguage } from "../settings.ts";
import { LANGUAGES, type Language, text } from "../text.ts";
import { Dialog } from "./dialog.tsx";

/** How the page looks, speaks, moves and calls, in this browser. */
export function SettingsDialog({ close }: { close: () => void }) {
  const languages = Object.keys(LANGUAGES) as Language[];
  return (
    <Dialog title={text.settings} test="settings-dialog" close={close}>
      <Choices
        name="theme"
        label={text.themeLabel}
        chosen={theme.value}
        options={THEMES.map((one) => [one, text.themes[one]])}
        choose={(one) => theme.set(one)}
      />
      <Choices
        name="language"
        label={text.languageLabel}
        chosen={wantedLanguage()}
        options={languages.map((one) => [one, LANGUAGES[one]])}
        choose={(one) => chosenLanguage.set(one)}
      />
      <Choices
        name="motion"
        label={text.motionLabel}
        chosen={motion.value}
        options={MOTIONS.map((one) => [one, text.motions[one]])}
        choose={(one) => motion.set(one)}
      />
      <Notifications />
      <fieldset>
        <legend>{text.keysLabel}</legend>
        <dl class="keys">
          {text.keyList.map(({ keys, words }) => (
            <div key={keys}>
              <dt>
                {keys.split(" ").map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
      </fieldset>
    </Dialog>
  );
}

interface ChoicesProps<T extends string> {
  name: string;
  label: string;
  chosen: T;
  options: readonly (readonly [T, string])[];
  choose: (one: T) => void;
}

function Choices<T extends string>({ name, label, chosen, options, choose }: ChoicesProps<T>) {
  return (
    <fieldset>
      <legend>{label}</legend>
      <div class="segments">
        {options.map(([value, words]) => (
          <label key={value}>
            <input type="radio" name={name} checked={value === chosen} onChange={() => choose(value)} />
            <span>{words}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function Notifications() {
  const known = typeof Notification === "undefined" ? null : Notification.permission;
  const [permission, setPermission] = useState(known);
  const choose = async (on: boolean) => {
    if (!on || permission === null) return notify.set(false);
    const given = await Notification.requestPermission();
    setPermission(given);
    notify.set(given === "granted");
  };
  const why = permission === null ? text.notifyUnknown : permission === "denied" ? text.notifyRefused : null;
  return (
    <fieldset>
      <legend>{text.notifyLabel}</legend>
      <label class="check">
        <input
          type="checkbox"
          data-testid="notify"
          checked={notify.value && permission === "granted"}
          disabled={why !== null}
          onChange={(event) => void choose(event.currentTarget.checked)}
        />
        <span>{text.notifyWords}</span>
      </label>
      {why !== null && <p class="faint">{why}</p>}
    </fieldset>
  );
}
