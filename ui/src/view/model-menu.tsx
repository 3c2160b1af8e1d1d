import type { Model } from "../session/models.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Icon } from "./icon.tsx";

/** The session's model. A plain list of the system's own: it works with any keyboard and any phone. */
export function ModelMenu() {
  const session = useSession();
  const menu = session.menu.value;
  const chosen = session.model.value;
  const models = menu?.models ?? [];
  const known = models.some((model) => model.id === chosen);
  const providers = [...new Set(models.map((model) => model.provider))];
  const current = models.find((model) => model.id === chosen);
  return (
    <label class="model" title={current?.available === false ? text.noKeyHint : text.model}>
      <span class="hidden">{text.model}</span>
      <select
        data-testid="model-menu"
        value={chosen}
        onChange={(event) => session.chooseModel(event.currentTarget.value)}
      >
        {!known && <option value={chosen}>{chosen === "" ? text.noModels : chosen}</option>}
        {providers.map((provider) => (
          <optgroup key={provider} label={provider}>
            {models
              .filter((model) => model.provider === provider)
              .map((model) => (
                <option key={model.id} value={model.id}>
                  {label(model)}
                </option>
              ))}
          </optgroup>
        ))}
      </select>
      <Icon name="down" />
    </label>
  );
}

function label(model: Model): string {
  return model.available ? model.name : `${model.name} · ${text.noKey}`;
}
