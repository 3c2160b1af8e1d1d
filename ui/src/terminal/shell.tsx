/** One terminal: its screen, its link, what stands around it. */
import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { protocols } from "../session/admission.ts";
import { kept } from "../session/kept.ts";
import { theme } from "../settings.ts";
import { language } from "../text.ts";
import { Icon, type IconName } from "../view/icon.tsx";
import { more } from "../words/more.ts";
import { Link, type State } from "./link.ts";
import { Screen } from "./screen.ts";
import { list } from "./wire.ts";

interface ShellProps {
  session: string;
  name: string;
  /** It is there already: nothing is opened. */
  attach: boolean;
  wakes: boolean;
  noted: (state: State) => void;
  /** Opens another one in its place. */
  again: () => void;
}

/** Whether screen readers are told what is printed. It costs those who need it not. */
const forReader = kept("terminal-reader", (stored) => stored === true);

export function Shell({ session, name, attach, wakes, noted, again }: ShellProps) {
  const place = useRef<HTMLDivElement>(null);
  const screen = useRef<Screen | null>(null);
  const link = useRef<Link | null>(null);
  const tell = useRef(noted);
  tell.current = noted;
  const [state, setState] = useState<State>({ kind: "connecting" });
  const [cut, setCut] = useState(false);
  const [control, setControl] = useState(false);
  const [reader, setReader] = useState(forReader.get());
  const words = more.terminal;

  useEffect(() => {
    if (place.current === null) return;
    const shown = new Screen(place.current, words.label, reader, {
      typed: (typed) => link.current?.type(typed),
      resized: (size) => link.current?.resize(size),
      controlled: () => setControl(false),
      left: () => document.getElementById("tab-terminal")?.focus(),
    });
    screen.current = shown;
    const joined = new Link(
      session,
      name,
      shown.size,
      {
        state: (now) => {
          setState(now);
          tell.current(now);
        },
        begin: (isCut) => {
          setCut(isCut);
          shown.begin();
        },
        printed: (bytes) => shown.print(bytes),
        live: () => shown.live(),
        resized: (size) => shown.resized(size),
      },
      { open: (url) => new WebSocket(url, protocols()), list: () => list(session), random: Math.random },
    );
    link.current = joined;
    joined.open(attach, wakes);
    // Whoever has opened it wants to type.
    if (!attach) shown.focus();
    const wake = () => document.visibilityState === "visible" && joined.wake();
    document.addEventListener("visibilitychange", wake);
    addEventListener("online", wake);
    return () => {
      document.removeEventListener("visibilitychange", wake);
      removeEventListener("online", wake);
      joined.close();
      shown.dispose();
      screen.current = link.current = null;
    };
  }, [session, name]);
  useEffect(() => screen.current?.label(words.label), [language.value]);
  useEffect(() => {
    screen.current?.recolour();
    const system = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => screen.current?.recolour();
    system.addEventListener("change", changed);
    return () => system.removeEventListener("change", changed);
  }, [theme.value]);

  const over = state.kind === "ended" || state.kind === "failed";
  return (
    <div class="shell" data-testid="terminal" data-state={state.kind}>
      <div ref={place} class="terminal-screen" data-testid="terminal-screen" />
      <Touch screen={screen} live={state.kind === "live"} control={control} setControl={setControl} />
      <div class="terminal-state">
        <p role="status" data-testid="terminal-state">
          <Icon name={ICONS[state.kind]} />
          <span>
            {told(state)}
            {cut && state.kind === "live" && <span class="faint"> · {words.cut}</span>}
          </span>
        </p>
        {over ? (
          <button type="button" class="small" data-testid="terminal-again" onClick={again}>
            {state.kind === "ended" && state.why === "stopped" ? words.wakeAndOpen : words.open}
          </button>
        ) : (
          <label class="faint">
            <input
              type="checkbox"
              checked={reader}
              data-testid="terminal-reader"
              onChange={(event: TargetedEvent<HTMLInputElement>) => {
                const is = event.currentTarget.checked;
                setReader(is);
                forReader.set(is);
                screen.current?.forReader(is);
              }}
            />
            {words.forReader}
          </label>
        )}
      </div>
    </div>
  );
}

const ICONS: Record<State["kind"], IconName> = {
  connecting: "spinner",
  waking: "spinner",
  live: "dot",
  broken: "half",
  ended: "stop",
  failed: "alert",
};

function told(state: State): string {
  const words = more.terminal;
  switch (state.kind) {
    case "failed":
      return words.failed(state.words);
    case "ended":
      return words.ends[state.why] + (state.code === null ? "" : words.code(String(state.code)));
    default:
      return words.states[state.kind];
  }
}

const ARROWS = [
  { name: "left", sends: "\u001b[D", shows: "←" },
  { name: "up", sends: "\u001b[A", shows: "↑" },
  { name: "down", sends: "\u001b[B", shows: "↓" },
  { name: "right", sends: "\u001b[C", shows: "→" },
] as const;

interface TouchProps {
  screen: { readonly current: Screen | null };
  live: boolean;
  /** The next key is with Ctrl. */
  control: boolean;
  setControl: (is: boolean) => void;
}

/** The keys that a phone has not, and what it does by holding down. */
function Touch({ screen, live, control, setControl }: TouchProps) {
  const words = more.terminal;
  const [pasting, setPasting] = useState<string | null>(null);
  const [copied, setCopied] = useState<boolean | null>(null);
  const press = (sends: string) => screen.current?.press(sends);
  const paste = async () => {
    try {
      screen.current?.paste(await navigator.clipboard.readText());
    } catch {
      // The browser does not let the page read it: somebody can put it into a field.
      setPasting("");
    }
  };
  if (pasting !== null) {
    return (
      <form
        class="terminal-paste"
        onSubmit={(event) => {
          event.preventDefault();
          screen.current?.paste(pasting);
          setPasting(null);
        }}
      >
        <textarea
          rows={3}
          value={pasting}
          aria-label={words.pasteHere}
          placeholder={words.pasteHere}
          data-testid="terminal-paste-field"
          ref={(field) => field?.focus()}
          onInput={(event) => setPasting(event.currentTarget.value)}
        />
        <div class="row end">
          <button type="button" class="small" onClick={() => setPasting(null)}>
            {words.cancel}
          </button>
          <button type="submit" class="small primary" disabled={pasting === "" || !live}>
            {words.send}
          </button>
        </div>
      </form>
    );
  }
  return (
    <div class="terminal-keys" role="toolbar" aria-label={words.keys} data-testid="terminal-keys">
      <button type="button" class="quiet small touch" disabled={!live} onClick={() => press("\u001b")}>
        Esc
      </button>
      <button type="button" class="quiet small touch" disabled={!live} onClick={() => press("\t")}>
        Tab
      </button>
      <button
        type="button"
        class="quiet small touch"
        aria-pressed={control}
        disabled={!live}
        data-testid="terminal-control"
        onClick={() => {
          if (screen.current === null) return;
          screen.current.control = !control;
          setControl(!control);
          screen.current.focus();
        }}
      >
        {words.control}
      </button>
      {ARROWS.map(({ name, sends, shows }) => (
        <button key={name} type="button" class="quiet small touch" aria-label={words.arrows[name]} disabled={!live} onClick={() => press(sends)}>
          {shows}
        </button>
      ))}
      <button
        type="button"
        class="quiet small"
        data-testid="terminal-copy"
        onClick={async () => {
          setCopied((await screen.current?.copied()) ?? false);
          setTimeout(() => setCopied(null), 1_500);
        }}
      >
        <Icon name={copied === true ? "check" : "copy"} />
        <span role="status">{copied === null ? words.copy : copied ? words.copied : words.notCopied}</span>
      </button>
      <button type="button" class="quiet small" disabled={!live} data-testid="terminal-paste" onClick={() => void paste()}>
        <Icon name="clip" />
        {words.paste}
      </button>
    </div>
  );
}
