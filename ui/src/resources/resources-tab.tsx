/** What the session uses: its sandbox of the machine, its turns of tokens and money. */
import "../style/resources.css";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Turn } from "../session/conversation.ts";
import { daysOf, inputOf } from "../session/spent.ts";
import { bytes, count, dollars, language, text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { Nothing } from "../view/nothing.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { totalOf } from "../view/spent.tsx";
import { more } from "../words/more.ts";
import { BarChart, LineChart } from "./chart.tsx";
import { machine, type Sample, watch } from "./samples.ts";

/** Samples that a chart has room for: three minutes. */
const ROOM = 60;
/** Turns that are shown as bars. */
const BARS = 40;

export function ResourcesTab() {
  const session = useSession();
  // A page that is not seen asks nothing.
  useEffect(() => {
    let stop = new AbortController();
    const seen = () => {
      stop.abort();
      stop = new AbortController();
      if (document.visibilityState === "visible") void watch(session.id, stop.signal);
    };
    seen();
    document.addEventListener("visibilitychange", seen);
    return () => {
      document.removeEventListener("visibilitychange", seen);
      stop.abort();
    };
  }, [session]);
  return (
    <div class="resources-tab" data-testid="resources">
      <Part title={more.resources.sandbox}>
        <Sandbox />
      </Part>
      <Used />
    </div>
  );
}

function Part({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Sandbox() {
  const now = machine.value;
  const words = more.resources;
  if (now.state === "waiting") return <Skeleton lines={4} />;
  if (now.state === "sleeping") {
    return (
      <p class="asleep" data-testid="asleep">
        <Icon name="moon" />
        {words.asleep}
      </p>
    );
  }
  if (now.state === "unknown") return <Nothing icon="screen" words={now.words === "" ? words.nothingYet : words.failed(now.words)} />;
  const { samples } = now;
  const last = samples.at(-1);
  if (last === undefined) return <Skeleton lines={4} />;
  const share = (of: (sample: Sample) => { used: number; of: number }) => ({
    now: of(last).of === 0 ? bytes(of(last).used) : words.usedOf(bytes(of(last).used), bytes(of(last).of)),
    values: samples.map((sample) => of(sample).used),
    most: of(last).of,
  });
  const parts = [
    { name: words.cpu, now: words.cpuOf(percent(last.cpu), last.processors), values: samples.map(({ cpu }) => cpu), most: 100 },
    { name: words.memory, ...share(({ memory }) => memory) },
    { name: words.disk, ...share(({ disk }) => disk) },
    { name: words.processes, now: count(last.processes), values: samples.map(({ processes }) => processes), most: 1 },
  ];
  return (
    <dl class="measures">
      {parts.map(({ name, now, values, most }) => (
        <div key={name} data-testid="measure">
          <dt>{name}</dt>
          <dd>{now}</dd>
          <dd>
            <LineChart values={values.slice(-ROOM)} most={most} room={ROOM} label={words.chart(name)} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function percent(value: number): string {
  return `${count(Math.round(value))} %`;
}

/** Tokens and money: of the session, of its last turns, and by day. */
function Used() {
  const session = useSession();
  const words = more.resources;
  const total = totalOf(session);
  const turns = session.conversation.value.turns.filter((turn) => turn.usage !== null);
  if (total === null) return <Part title={words.used}>{<p class="faint">{words.nothingUsed}</p>}</Part>;
  const days = daysOf(turns);
  const { sum, isPart } = total;
  return (
    <Part title={words.used}>
      <dl class="facts" data-testid="used">
        <div>
          <dt>{words.input}</dt>
          <dd>{count(sum.input)}</dd>
        </div>
        <div>
          <dt>{words.output}</dt>
          <dd>{count(sum.output)}</dd>
        </div>
        <div>
          <dt>{words.cost}</dt>
          <dd>{sum.cost === null ? words.noPrice : `${isPart ? "≥ " : ""}${dollars(sum.cost)}`}</dd>
        </div>
      </dl>
      {turns.length > 1 && (
        <figure>
          <figcaption class="faint">{words.byTurn}</figcaption>
          <BarChart bars={turns.slice(-BARS).map(barOf)} label={words.byTurn} />
        </figure>
      )}
      {days.length > 0 && (
        <div class="table" tabIndex={0} role="group" aria-label={words.byDay}>
          <table>
            <thead>
              <tr>
                <th scope="col">{words.day}</th>
                <th scope="col">{words.turns}</th>
                <th scope="col">{words.tokens}</th>
                <th scope="col">{words.cost}</th>
              </tr>
            </thead>
            <tbody>
              {days.map((day) => (
                <tr key={day.at}>
                  <th scope="row">{new Date(day.at).toLocaleDateString(language.value, { day: "numeric", month: "short", year: "numeric" })}</th>
                  <td>{count(day.turns)}</td>
                  <td>{count(day.sum.input + day.sum.output)}</td>
                  <td>{day.sum.cost === null ? words.noPrice : dollars(day.sum.cost)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(isPart || session.older.value !== "none") && <p class="faint">{words.part}</p>}
    </Part>
  );
}

function barOf(turn: Turn) {
  const usage = turn.usage;
  const tokens = usage === null ? 0 : inputOf(usage) + usage.output_tokens;
  const cost = usage?.cost_usd ?? null;
  const label = [
    turn.message?.content.trim().split("\n", 1)[0]?.slice(0, 60) ?? "",
    usage === null ? "" : text.tokens(count(inputOf(usage)), count(usage.output_tokens)),
    cost === null ? "" : dollars(cost),
  ];
  return { value: tokens, label: label.filter((part) => part !== "").join(" · ") };
}
