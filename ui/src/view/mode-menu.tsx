import { PERMISSION_MODES } from "../session/wire.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Icon } from "./icon.tsx";

/** What the agent may do without asking. A change counts at once, also in the middle of a turn. */
export function ModeMenu() {
  const session = useSession();
  const mode = session.mode.value;
  return (
    <label class="model mode" title={`${text.permissionMode}: ${text.permissionModes[mode].words}`}>
      <span class="hidden">{text.permissionMode}</span>
      <select
        data-testid="mode-menu"
        value={mode}
        onChange={(event) => {
          const chosen = PERMISSION_MODES.find((one) => one === event.currentTarget.value);
          if (chosen !== undefined) session.chooseMode(chosen);
        }}
      >
        {PERMISSION_MODES.map((one) => (
          <option key={one} value={one}>
            {text.permissionModes[one].name}
          </option>
        ))}
      </select>
      <Icon name="down" />
    </label>
  );
}
