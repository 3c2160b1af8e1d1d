/** Terminals in the session's sandbox. One is opened when a person says so; those that are open are shown. */
import "../style/terminal.css";
import { useEffect, useState } from "preact/hooks";
import { byLink } from "../session/admission.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { Nothing } from "../view/nothing.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { more } from "../words/more.ts";
import type { State } from "./link.ts";
import { Shell } from "./shell.tsx";
import { end, list, MOST } from "./wire.ts";

/** A terminal that is shown. A key of its own, as one of the same name may come after it. */
interface Shown {
  readonly name: string;
  readonly key: number;
  /** It is there already. */
  readonly attach: boolean;
  readonly wakes: boolean;
}

type There = { readonly state: "asking" } | { readonly state: "known"; readonly asleep: boolean } | { readonly state: "failed"; readonly words: string };

let keys = 0;

export function TerminalTab() {
  const session = useSession();
  const words = more.terminal;
  const [there, setThere] = useState<There>({ state: "asking" });
  const [shown, setShown] = useState<readonly Shown[]>([]);
  const [chosen, setChosen] = useState<number | null>(null);
  const allowed = session.access.value.shell && !byLink();

  const look = async () => {
    try {
      const found = await list(session.id);
      setThere({ state: "known", asleep: found.asleep });
      const open = found.open.map((name) => ({ name, key: (keys += 1), attach: true, wakes: false }));
      setShown(open);
      setChosen(open[0]?.key ?? null);
    } catch (error) {
      setThere({ state: "failed", words: error instanceof Error ? error.message : "" });
    }
  };
  useEffect(() => {
    if (allowed) void look();
  }, [session, allowed]);

  if (!allowed) return <Nothing icon="terminal" words={words.refused} />;
  if (there.state === "asking") return <Skeleton lines={4} />;
  if (there.state === "failed") {
    return (
      <div class="part-failed" role="alert">
        <p>{words.failed(there.words)}</p>
        <button type="button" onClick={() => void look()}>
          {words.again}
        </button>
      </div>
    );
  }

  const open = () => {
    const name = ["1", "2", "3", "4"].find((one) => !shown.some((other) => other.name === one)) ?? "1";
    const added = { name, key: (keys += 1), attach: false, wakes: there.asleep };
    setShown([...shown, added]);
    setChosen(added.key);
  };
  const close = async (one: Shown) => {
    try {
      await end(session.id, one.name);
    } catch (error) {
      session.tell(words.failed(error instanceof Error ? error.message : ""));
      return;
    }
    const without = (all: readonly Shown[]) => all.filter((other) => other.key !== one.key);
    const rest = without(shown);
    setShown(without);
    setChosen((now) => (now === one.key ? (rest.at(-1)?.key ?? null) : now));
    if (rest.length === 0) document.getElementById("tab-terminal")?.focus();
  };
  const replace = (one: Shown, by: Shown) => {
    setShown((all) => all.map((other) => (other.key === one.key ? by : other)));
    setChosen((now) => (now === one.key ? by.key : now));
  };
  const noted = (one: Shown, state: State) => {
    // Who comes back to it finds it there.
    if (state.kind === "live") replace(one, { ...one, attach: true, wakes: false });
    if (state.kind === "live") setThere({ state: "known", asleep: false });
    if (state.kind === "ended" && state.why === "stopped") setThere({ state: "known", asleep: true });
  };
  const here = shown.find(({ key }) => key === chosen);

  if (shown.length === 0) {
    return (
      <div class="terminal-begin" data-testid="terminal-begin" data-asleep={there.asleep}>
        <Nothing icon={there.asleep ? "moon" : "terminal"} words={there.asleep ? words.asleepWords : words.words} />
        <button type="button" class="primary" data-testid="terminal-open" onClick={open}>
          {there.asleep ? words.wakeAndOpen : words.open}
        </button>
      </div>
    );
  }
  return (
    <div class="terminal-tab">
      <div class="terminal-list">
        {shown.map((one) => (
          <span key={one.key} class="terminal-name" data-chosen={one.key === chosen}>
            <button
              type="button"
              class="quiet small"
              aria-pressed={one.key === chosen}
              aria-label={words.one(one.name)}
              title={words.one(one.name)}
              data-testid="terminal-name"
              onClick={() => setChosen(one.key)}
            >
              <Icon name="terminal" />
              {one.name}
            </button>
            <button
              type="button"
              class="quiet small"
              aria-label={words.close(one.name)}
              title={words.close(one.name)}
              data-testid="terminal-close"
              onClick={() => void close(one)}
            >
              <Icon name="cross" />
            </button>
          </span>
        ))}
        {shown.length < MOST && (
          <button type="button" class="quiet small" aria-label={words.another} title={words.another} data-testid="terminal-another" onClick={open}>
            <Icon name="plus" />
          </button>
        )}
      </div>
      {here !== undefined && (
        <Shell
          key={here.key}
          session={session.id}
          name={here.name}
          attach={here.attach}
          wakes={here.wakes}
          noted={(state) => noted(here, state)}
          again={() => replace(here, { ...here, key: (keys += 1), attach: false, wakes: there.asleep })}
        />
      )}
    </div>
  );
}
