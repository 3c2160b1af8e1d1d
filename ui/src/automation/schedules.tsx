/** Prompts that are said at a time. */
import { useState } from "preact/hooks";
import { text } from "../text.ts";
import { useNow } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { more } from "../words/more.ts";
import { deleteSchedule, putSchedule, readSchedules, type Schedule } from "./automation.ts";
import { DeleteButton, ListPlace, type Kept, SessionLink, useKept } from "./list.tsx";
import { ScheduleForm } from "./schedule-form.tsx";
import { fromNow, moment, rhythmWords } from "./when.ts";

export function Schedules() {
  const words = more.automation;
  const kept = useKept(readSchedules);
  /** The one that is changed; "new" for a new one. */
  const [edited, setEdited] = useState<Schedule | "new" | null>(null);
  return (
    <section class="automation-part" aria-label={words.parts.schedules}>
      <p class="faint">{words.scheduleWords}</p>
      <ListPlace kept={kept} empty={words.noSchedules}>
        {kept.list?.map((one) => (
          <ScheduleRow key={one.id} one={one} kept={kept} edit={() => setEdited(one)} />
        ))}
      </ListPlace>
      {edited === null ? (
        <button type="button" class="add-one" data-testid="add-schedule" onClick={() => setEdited("new")}>
          <Icon name="plus" />
          {words.addSchedule}
        </button>
      ) : (
        <ScheduleForm
          key={edited === "new" ? "new" : edited.id}
          before={edited === "new" ? null : edited}
          cancel={() => setEdited(null)}
          done={() => {
            setEdited(null);
            void kept.again();
          }}
        />
      )}
    </section>
  );
}

interface RowProps {
  one: Schedule;
  kept: Kept<Schedule>;
  edit: () => void;
}

function ScheduleRow({ one, kept, edit }: RowProps) {
  const words = more.automation;
  const now = useNow(30_000);
  const name = one.name || (one.prompt.trim().split("\n", 1)[0] ?? "").slice(0, 80);
  const over = one.at !== null && one.nextAt === 0;
  return (
    <li data-testid="schedule" data-state={over ? "over" : one.enabled ? "on" : "off"}>
      <div class="automation-about">
        <strong>{name}</strong>
        <p>
          {one.cron === null ? words.once(moment(Date.parse(one.at ?? "") || 0)) : rhythmWords(one.cron, one.timezone)}
          {" · "}
          {over ? words.over : !one.enabled ? words.rests : one.nextAt === 0 ? words.notDue : words.next(fromNow(one.nextAt, now), moment(one.nextAt))}
        </p>
        <p class="faint">
          <SessionLink id={one.session} />
          {one.lastAt > 0 && ` · ${words.last(moment(one.lastAt))}`}
        </p>
        {one.lastError !== null && <p class="wrong">{words.lastError(one.lastError)}</p>}
      </div>
      <div class="automation-deeds">
        {!over && (
          <label class="check">
            <input
              type="checkbox"
              checked={one.enabled}
              aria-label={words.enabledOf(name)}
              data-testid="schedule-enabled"
              onChange={(event) => void kept.run(() => putSchedule(one.id, { ...one, enabled: event.currentTarget.checked }))}
            />
            <span>{words.enabled}</span>
          </label>
        )}
        <button type="button" class="quiet small" aria-label={words.changeOf(name)} title={text.edit} data-testid="schedule-edit" onClick={edit}>
          <Icon name="pen" />
        </button>
        <DeleteButton words={words.deleteOf(name)} sure={words.deleteSure} remove={() => void kept.run(() => deleteSchedule(one.id))} />
      </div>
    </li>
  );
}
