import { useState } from "preact/hooks";
import { chosenLanguage, MOTIONS, motion, notify, THEMES, theme, wantedLanguage } from "../settings.ts";
import { LANGUAGES, type Language, text } from "../text.ts";
import { Choices } from "./choices.tsx";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icon.tsx";

/** How the page looks, speaks, moves and calls, in this browser. */
interface SettingsProps {
  close: () => void;
  /** Opens what works without a person at hand; not there where this page has no place for it. */
  automation?: () => void;
}

export function SettingsDialog({ close, automation }: SettingsProps) {
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
      {automation !== undefined && (
        <fieldset>
          <legend>{text.automation}</legend>
          <button type="button" data-testid="open-automation" onClick={automation}>
            <Icon name="clock" />
            {text.automationOpen}
          </button>
        </fieldset>
      )}
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
