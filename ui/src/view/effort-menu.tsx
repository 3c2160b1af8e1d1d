import { EFFORTS } from "../session/options.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Icon } from "./icon.tsx";

/** How much the model is to think about the next messages. */
export function EffortMenu() {
  return (
    <label class="model mode effort" title={text.effortHint}>
      <span class="hidden">{text.effort}</span>
      <EffortSelect />
      <Icon name="gauge" />
    </label>
  );
}

export function EffortSelect() {
  const session = useSession();
  const options = session.options.value;
  return (
    <select
      data-testid="effort"
      value={options.effort}
      onChange={(event) => session.setOptions({ ...options, effort: EFFORTS.find((one) => one === event.currentTarget.value) ?? "" })}
    >
      <option value="">{text.effortUsual}</option>
      {EFFORTS.map((one) => (
        <option key={one} value={one}>
          {text.efforts[one]}
        </option>
      ))}
    </select>
  );
}
