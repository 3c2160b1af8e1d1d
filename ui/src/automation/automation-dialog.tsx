/** What happens without a person at hand: prompts that are said at a time, and who is told when a turn has ended, and by which keys. */
import "../style/automation.css";
import { useEffect, useState } from "preact/hooks";
import { readSessions } from "../session/sessions.ts";
import { Choices } from "../view/choices.tsx";
import { Dialog } from "../view/dialog.tsx";
import { more } from "../words/more.ts";
import { Keys } from "./keys-part.tsx";
import { Schedules } from "./schedules.tsx";
import { Webhooks } from "./webhooks.tsx";

const PARTS = ["schedules", "webhooks", "keys"] as const;
type Part = (typeof PARTS)[number];

export function AutomationDialog({ close }: { close: () => void }) {
  const words = more.automation;
  const [part, setPart] = useState<Part>("schedules");
  // For the choice of a session.
  useEffect(() => void readSessions(), []);
  return (
    <Dialog title={words.title} test="automation-dialog" wide close={close}>
      <Choices name="automation-part" label={words.title} hidden chosen={part} options={PARTS.map((one) => [one, words.parts[one]])} choose={setPart} />
      {part === "schedules" ? <Schedules /> : part === "webhooks" ? <Webhooks /> : <Keys />}
    </Dialog>
  );
}
