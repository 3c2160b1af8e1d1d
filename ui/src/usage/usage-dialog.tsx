/** What was used, by day and by session, in a span that is chosen. */
import "../style/usage.css";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Refused } from "../session/sessions.ts";
import { BarChart } from "../resources/chart.tsx";
import { count, dollars, duration, language, text } from "../text.ts";
import { Choices } from "../view/choices.tsx";
import { useSession } from "../view/context.ts";
import { Dialog } from "../view/dialog.tsx";
import { Icon } from "../view/icon.tsx";
import { Nothing } from "../view/nothing.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { more } from "../words/more.ts";
import { everyDay, lastDays, type Measure, MEASURES, measured, readUsage, type Span, type UsageTold, type Used } from "./usage.ts";

const SPANS = { week: 7, month: 30, quarter: 90 } as const;
type SpanName = keyof typeof SPANS | "own";
const NAMES = ["week", "month", "quarter", "own"] as const satisfies readonly SpanName[];

export function UsageDialog({ close }: { close: () => void }) {
  const session = useSession();
  const words = more.usage;
  const [name, setName] = useState<SpanName>("month");
  const [span, setSpan] = useState<Span>(() => lastDays(SPANS.month));
  const [here, setHere] = useState(false);
  const [told, setTold] = useState<UsageTold | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const [again, setAgain] = useState(0);
  const whole = /^\d{4}-\d\d-\d\d$/.test(span.from) && /^\d{4}-\d\d-\d\d$/.test(span.to);
  useEffect(() => {
    if (!whole) return;
    let gone = false;
    setWrong(null);
    readUsage(span, here ? session.id : null).then(
      (read) => !gone && setTold(read),
      (error: unknown) => {
        if (gone) return;
        setTold(null);
        const missing = error instanceof Refused && error.status === 404;
        setWrong(missing ? words.missing : words.failed(error instanceof Error ? error.message : ""));
      },
    );
    return () => {
      gone = true;
    };
  }, [span.from, span.to, here, again]);
  const choose = (next: SpanName) => {
    setName(next);
    if (next !== "own") setSpan(lastDays(SPANS[next]));
  };
  return (
    <Dialog title={words.title} test="usage-dialog" wide close={close}>
      <div class="usage-choices">
        <Choices name="usage-span" label={words.span} chosen={name} options={NAMES.map((one) => [one, words.spans[one]])} choose={choose} />
        <Choices
          name="usage-of"
          label={words.of}
          chosen={here ? "here" : "all"}
          options={(["all", "here"] as const).map((one) => [one, words.whose[one]])}
          choose={(one) => setHere(one === "here")}
        />
        {name === "own" && (
          <div class="pair">
            <DayField label={words.from} value={span.from} change={(from) => setSpan({ ...span, from })} />
            <DayField label={words.to} value={span.to} change={(to) => setSpan({ ...span, to })} />
          </div>
        )}
      </div>
      {wrong !== null ? (
        <div class="nothing" role="alert">
          <Icon name="alert" />
          <p>{wrong}</p>
          <button type="button" onClick={() => setAgain(again + 1)}>
            {text.tryAgain}
          </button>
        </div>
      ) : told === null ? (
        <Skeleton lines={8} />
      ) : told.total.turns === 0 ? (
        <Nothing icon="gauge" words={words.nothing} />
      ) : (
        <Told told={told} span={span} here={here} />
      )}
    </Dialog>
  );
}

function DayField({ label, value, change }: { label: string; value: string; change: (day: string) => void }) {
  return (
    <label class="field">
      <span>{label}</span>
      <input type="date" required value={value} onInput={(event) => change(event.currentTarget.value)} />
    </label>
  );
}

function Told({ told, span, here }: { told: UsageTold; span: Span; here: boolean }) {
  const words = more.usage;
  const [measure, setMeasure] = useState<Measure>(told.total.cost > 0 ? "cost" : "tokens");
  const days = everyDay(span, told.days);
  const most = Math.max(...days.map((day) => measured(day, measure)));
  const { total } = told;
  return (
    <>
      <dl class="usage-facts" data-testid="usage-total">
        <Fact name={words.measures.cost} value={costOf(total)} />
        <Fact name={words.input} value={count(total.input)} />
        <Fact name={words.output} value={count(total.output)} />
        <Fact name={words.measures.turns} value={count(total.turns)} about={total.failed > 0 ? words.failedTurns(total.failed) : ""} />
        <Fact name={words.measures.time} value={duration(total.seconds * 1000)} />
      </dl>
      {total.unpriced > 0 && <p class="faint">{words.unpriced(total.unpriced)}</p>}
      <section class="usage-part">
        <header>
          <h3>{words.byDay}</h3>
          <Choices name="usage-measure" label={words.measure} hidden chosen={measure} options={MEASURES.map((one) => [one, words.measures[one]])} choose={setMeasure} />
        </header>
        <figure data-testid="usage-chart">
          <span class="faint most">{shown(most, measure)}</span>
          <BarChart
            bars={days.map((day) => ({ value: measured(day, measure), label: `${dayName(day.day)}: ${shown(measured(day, measure), measure)}` }))}
            label={words.chart(words.measures[measure], dayName(span.from), dayName(span.to))}
            whole
          />
          <figcaption class="faint">
            <span>{dayName(days[0]?.day ?? span.from)}</span>
            <span>{dayName(span.to)}</span>
          </figcaption>
        </figure>
        <details>
          <summary>{words.asTable}</summary>
          <UsageTable of={words.day} rows={told.days.toReversed().map((day) => ({ key: day.day, name: dayName(day.day), used: day }))} label={words.byDay} />
        </details>
      </section>
      {!here && told.sessions.length > 0 && (
        <section class="usage-part">
          <h3>{words.bySession}</h3>
          <UsageTable
            of={text.session}
            label={words.bySession}
            rows={told.sessions.map((one) => ({
              key: one.id,
              name:
                one.title === null ? (
                  <span class="faint">{words.deleted}</span>
                ) : (
                  <a href={`/demo/${encodeURIComponent(one.id)}`} title={one.title}>
                    {one.title === "" ? text.untitled : one.title}
                  </a>
                ),
              used: one,
            }))}
          />
        </section>
      )}
      <p class="faint">{words.utc}</p>
    </>
  );
}

function Fact({ name, value, about = "" }: { name: string; value: string; about?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value}
        {about !== "" && <span class="faint"> {about}</span>}
      </dd>
    </div>
  );
}

interface TableProps {
  of: string;
  label: string;
  rows: readonly { readonly key: string; readonly name: ComponentChildren; readonly used: Used }[];
}

function UsageTable({ of, label, rows }: TableProps) {
  const words = more.usage;
  return (
    <div class="usage-table" tabIndex={0} role="group" aria-label={label}>
      <table>
        <thead>
          <tr>
            <th scope="col">{of}</th>
            {MEASURES.map((one) => (
              <th key={one} scope="col">
                {words.measures[one]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, name, used }) => (
            <tr key={key} data-testid="usage-row">
              <th scope="row">{name}</th>
              <td>{costOf(used)}</td>
              <td>{count(used.input + used.output)}</td>
              <td>{count(used.turns)}</td>
              <td>{duration(used.seconds * 1000)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What is known of the cost; where nothing is, no sum stands there. */
function costOf(used: Used): string {
  if (used.unpriced === 0) return dollars(used.cost);
  return used.cost === 0 ? more.usage.noPrice : `≥ ${dollars(used.cost)}`;
}

function shown(value: number, measure: Measure): string {
  if (measure === "cost") return dollars(value);
  return measure === "time" ? duration(value * 1000) : count(value);
}

/** A day of UTC, whatever the clock here says. */
function dayName(day: string): string {
  const at = new Date(`${day}T00:00:00Z`);
  return Number.isNaN(at.getTime()) ? day : at.toLocaleDateString(language.value, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}
