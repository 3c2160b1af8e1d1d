/** What is said, in which session, and when. */
import { useState } from "preact/hooks";
import { Refused } from "../session/sessions.ts";
import { text } from "../text.ts";
import { Choices } from "../view/choices.tsx";
import { useSession } from "../view/context.ts";
import { more } from "../words/more.ts";
import { type Plan, putSchedule, type Schedule } from "./automation.ts";
import { FormFrame } from "./form.tsx";
import { SessionField } from "./list.tsx";
import { clock, cronOf, localInput, ownZone, type Rhythm, RHYTHMS, rhythmWords, simpleOf, weekdayName, zones } from "./when.ts";

interface FormProps {
  before: Schedule | null;
  cancel: () => void;
  done: () => void;
}

const HOUR_MS = 3_600_000;

export function ScheduleForm({ before, cancel, done }: FormProps) {
  const words = more.automation;
  const here = useSession().id;
  const [session, setSession] = useState(before?.session ?? here);
  const [name, setName] = useState(before?.name ?? "");
  const [prompt, setPrompt] = useState(before?.prompt ?? "");
  const [kind, setKind] = useState<"once" | "again">(before !== null && before.cron === null ? "once" : "again");
  const [at, setAt] = useState(() => localInput((before?.at && Date.parse(before.at)) || Date.now() + HOUR_MS));
  const known = before === null || before.cron === null ? null : simpleOf(before.cron);
  const [rhythm, setRhythm] = useState<Rhythm>(before === null || before.cron === null ? "weekdays" : (known?.rhythm ?? "own"));
  const [time, setTime] = useState(known === null ? "09:00" : clock(known.hour, known.minute));
  const [weekday, setWeekday] = useState(known?.weekday ?? 1);
  const [typed, setTyped] = useState(before?.cron ?? "0 9 * * MON-FRI");
  const [zone, setZone] = useState(before === null || before.cron === null ? ownZone() : (before.timezone ?? "UTC"));
  const [refusal, setRefusal] = useState<unknown>(null);
  const [hour = 0, minute = 0] = time.split(":").map(Number);
  const cron = rhythm === "own" ? typed.trim() : cronOf({ rhythm, hour, minute, weekday });
  const send = async () => {
    const when = kind === "once" ? { at: new Date(at).toISOString(), cron: null, timezone: null } : { at: null, cron, timezone: zone.trim() || null };
    const plan: Plan = { session, prompt, name: name.trim(), enabled: before?.enabled ?? true, ...when };
    await putSchedule(before?.id ?? null, plan);
    done();
  };
  const flawed = (field: string) => (refusal instanceof Refused && refusal.field === field ? true : undefined);
  return (
    <FormFrame title={before === null ? words.addSchedule : words.changeSchedule} name="schedule" send={send} refused={setRefusal} cancel={cancel}>
      <label class="field">
        <span>{words.prompt}</span>
        <textarea rows={3} required maxLength={65_536} value={prompt} aria-invalid={flawed("prompt")} onInput={(event) => setPrompt(event.currentTarget.value)} />
      </label>
      <div class="pair">
        <SessionField label={text.session} value={session} change={setSession} />
        <label class="field">
          <span>{words.name}</span>
          <input type="text" maxLength={200} value={name} placeholder={words.nameHint} aria-invalid={flawed("name")} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
      </div>
      <Choices name="schedule-kind" label={words.when} chosen={kind} options={(["again", "once"] as const).map((one) => [one, words.kinds[one]])} choose={setKind} />
      {kind === "once" ? (
        <label class="field">
          <span>{words.at}</span>
          <input type="datetime-local" required value={at} aria-invalid={flawed("at")} onInput={(event) => setAt(event.currentTarget.value)} />
        </label>
      ) : (
        <>
          <div class="pair">
            <label class="field">
              <span>{words.rhythm}</span>
              <select value={rhythm} data-testid="schedule-rhythm" onChange={(event) => setRhythm(RHYTHMS.find((one) => one === event.currentTarget.value) ?? "daily")}>
                {RHYTHMS.map((one) => (
                  <option key={one} value={one}>
                    {words.rhythms[one]}
                  </option>
                ))}
              </select>
            </label>
            {rhythm === "weekly" && (
              <label class="field">
                <span>{words.weekday}</span>
                <select value={weekday} data-testid="schedule-weekday" onChange={(event) => setWeekday(Number(event.currentTarget.value))}>
                  {[1, 2, 3, 4, 5, 6, 0].map((one) => (
                    <option key={one} value={one}>
                      {weekdayName(one)}
                    </option>
                  ))}
                </select>
              </label>
            )}
            {rhythm === "own" ? (
              <label class="field">
                <span>{words.cron}</span>
                <input
                  type="text"
                  class="code"
                  required
                  spellcheck={false}
                  autocapitalize="off"
                  value={typed}
                  placeholder="0 9 * * MON-FRI"
                  aria-invalid={flawed("cron")}
                  data-testid="schedule-cron"
                  onInput={(event) => setTyped(event.currentTarget.value)}
                />
              </label>
            ) : (
              <label class="field">
                <span>{rhythm === "hourly" ? words.minuteOf : words.time}</span>
                <input type="time" required value={time} data-testid="schedule-time" onInput={(event) => setTime(event.currentTarget.value)} />
              </label>
            )}
            <label class="field">
              <span>{words.zone}</span>
              <input
                type="text"
                required
                list="time-zones"
                spellcheck={false}
                autocapitalize="off"
                value={zone}
                aria-invalid={flawed("timezone")}
                data-testid="schedule-zone"
                onInput={(event) => setZone(event.currentTarget.value)}
              />
            </label>
            <datalist id="time-zones">
              {["UTC", ...zones()].map((one) => (
                <option key={one} value={one} />
              ))}
            </datalist>
          </div>
          <p class="faint">{rhythm === "own" ? words.cronHint : rhythmWords(cron, zone)}</p>
        </>
      )}
    </FormFrame>
  );
}
