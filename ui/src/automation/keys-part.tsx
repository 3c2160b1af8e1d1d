/** Keys by which programs speak to the server in the account's name. */
import { useState } from "preact/hooks";
import { useNow } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { more } from "../words/more.ts";
import { FormFrame } from "./form.tsx";
import { makeKey, readKeys, revokeKey, type Scope, SCOPES } from "./keys.ts";
import { DeleteButton, ListPlace, useKept } from "./list.tsx";
import { SecretOnce } from "./secret.tsx";
import { fromNow, moment } from "./when.ts";

const DAY = 86_400;
const TIMES = { month: 30 * DAY, year: 365 * DAY, ever: null } as const;
type Time = keyof typeof TIMES;

export function Keys() {
  const words = more.automation;
  const kept = useKept(readKeys);
  const now = useNow(60_000);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<string | null>(null);
  return (
    <section class="automation-part" aria-label={words.parts.keys}>
      <p class="faint">{words.keyWords}</p>
      {made !== null && <SecretOnce title={words.newKey} value={made} test="key-secret" kept={() => setMade(null)} />}
      <ListPlace kept={kept} empty={words.noKeys}>
        {kept.list?.map((one) => {
          const name = one.name === "" ? one.id : one.name;
          return (
            <li key={one.id} data-testid="key">
              <div class="automation-about">
                <strong>{name}</strong>
                <p class="faint">
                  {[
                    one.browser ? words.browserKey : one.scopes.map((scope) => words.scopes[scope].name).join(", "),
                    one.until === 0 ? words.forEver : words.until(fromNow(one.until, now), moment(one.until)),
                  ].join(" · ")}
                </p>
              </div>
              <div class="automation-deeds">
                <DeleteButton words={words.revokeOf(name)} sure={words.revokeSure} remove={() => void kept.run(() => revokeKey(one.id))} />
              </div>
            </li>
          );
        })}
      </ListPlace>
      {making ? (
        <KeyForm
          cancel={() => setMaking(false)}
          done={(key) => {
            setMaking(false);
            setMade(key);
            void kept.again();
          }}
        />
      ) : (
        <button type="button" class="add-one" data-testid="add-key" disabled={kept.list === null} onClick={() => setMaking(true)}>
          <Icon name="plus" />
          {words.addKey}
        </button>
      )}
    </section>
  );
}

function KeyForm({ cancel, done }: { cancel: () => void; done: (key: string) => void }) {
  const words = more.automation;
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly Scope[]>(["read", "write", "launch"]);
  const [time, setTime] = useState<Time>("year");
  const send = async () => done(await makeKey(name.trim(), scopes, TIMES[time]));
  return (
    <FormFrame title={words.addKey} name="key" sends={words.makeKey} lacks={scopes.length === 0} send={send} cancel={cancel}>
      <div class="pair">
        <label class="field">
          <span>{words.name}</span>
          <input type="text" required maxLength={100} value={name} placeholder={words.keyNameHint} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label class="field">
          <span>{words.holds}</span>
          <select value={time} onChange={(event) => setTime(event.currentTarget.value as Time)}>
            {(Object.keys(TIMES) as Time[]).map((one) => (
              <option key={one} value={one}>
                {words.keyTimes[one]}
              </option>
            ))}
          </select>
        </label>
      </div>
      <fieldset>
        <legend>{words.may}</legend>
        {SCOPES.map((scope) => (
          <label key={scope} class="check">
            <input
              type="checkbox"
              checked={scopes.includes(scope)}
              onChange={(event) => setScopes(SCOPES.filter((one) => (one === scope ? event.currentTarget.checked : scopes.includes(one))))}
            />
            <span>
              {words.scopes[scope].name} <span class="faint">{words.scopes[scope].words}</span>
            </span>
          </label>
        ))}
      </fieldset>
    </FormFrame>
  );
}
