/** Where a session stands, by shape and word. */
import type { Status } from "../session/sessions.ts";
import { text } from "../text.ts";
import { Icon, type IconName } from "./icon.tsx";

const STATUS_ICONS: Record<Status, IconName> = {
  starting: "half",
  running: "spinner",
  idle: "dot",
  error: "alert",
  sleeping: "moon",
  stopped: "stop",
};

export function StatusShape({ status }: { status: Status }) {
  return <Shape icon={STATUS_ICONS[status]} words={text.sessionStates[status]} />;
}

export function Shape({ icon, words }: { icon: IconName; words: string }) {
  return (
    <span class="shape">
      <Icon name={icon} />
      {words}
    </span>
  );
}
