import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { withAttachments } from "../session/attachments.ts";
import { activeTurn, type Turn } from "../session/conversation.ts";
import { text } from "../text.ts";
import { AttachButton, AttachmentChips } from "./attachments.tsx";
import { COMMAND_LIST, CommandList, commandsFor, optionId, type Suggestion } from "./commands.tsx";
import { over } from "../workbench.ts";
import { useSession } from "./context.ts";
import { COMPOSER_FIELD, focusComposer, focusIsShown, useLeaving } from "./focus.ts";
import { EffortMenu } from "./effort-menu.tsx";
import { Icon } from "./icon.tsx";
import { later } from "./later.tsx";
import { filesFor, mentioned, paths, readPaths } from "./mentions.ts";
import { ModeMenu } from "./mode-menu.tsx";
import { ModelMenu } from "./model-menu.tsx";
import { recalled, saidBefore } from "./recall.ts";
import { Spent } from "./spent.tsx";

const Advanced = later(async () => (await import("./advanced.tsx")).Advanced);

/** Bytes of a prompt that the server takes (`protocol::options::MAX_PROMPT`). */
const MOST_BYTES = 1024 * 1024;

export function Composer() {
  const session = useSession();
  const field = useRef<HTMLTextAreaElement>(null);
  const toggle = useRef<HTMLButtonElement>(null);
  const [advanced, setAdvanced] = useState(false);
  /** The draft for which nobody wants to see commands. */
  const [noCommands, setNoCommands] = useState("");
  const [chosen, setChosen] = useState(0);
  /** Which of what was said before is in the field. */
  const [brought, setBrought] = useState(-1);
  const draft = session.draft.value;
  const active = activeTurn(session.conversation.value);
  const link = session.link.value.state;
  const { attachments } = session;
  const settled = attachments.settled;
  const empty = draft.trim() === "" && !attachments.list.value.some(({ path }) => path !== null);

  const send = () => {
    if (empty) return;
    if (!settled) return session.tell(text.attachWait);
    if (new TextEncoder().encode(draft).length > MOST_BYTES) {
      session.tell(text.tooLong("1 MiB"));
      return;
    }
    session.say(withAttachments(draft, attachments.take()));
    session.setDraft("");
    // The button can't be pressed now, and would keep the keys to itself.
    if (document.activeElement !== field.current && focusIsShown(document.activeElement)) focusComposer();
  };

  const names = mentioned(draft) !== null;
  useEffect(() => {
    if (names) void readPaths(session.id);
  }, [names]);
  const commands = draft === noCommands ? [] : names ? filesFor(draft, paths.value) : commandsFor(draft);
  const command = Math.min(chosen, commands.length - 1);
  const take = (suggestion: Suggestion) => {
    session.setDraft(suggestion.draft);
    setChosen(0);
    focusComposer();
  };

  const closeAdvanced = () => {
    setAdvanced(false);
    toggle.current?.focus();
  };

  useLayoutEffect(() => {
    const element = field.current;
    if (element === null) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [draft]);

  const closeCommands = () => setNoCommands(draft);
  useEscape(commands.length > 0 ? closeCommands : advanced ? closeAdvanced : null, active);

  const pressed = (event: KeyboardEvent) => {
    // The Enter that ends a composed character sends nothing.
    if (event.isComposing || event.keyCode === 229) return;
    const picked = commands[command];
    if (picked !== undefined && (event.key === "Tab" || (event.key === "Enter" && draft !== picked.draft.trimEnd()))) {
      event.preventDefault();
      take(picked);
    } else if (picked !== undefined && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setChosen((command + step + commands.length) % commands.length);
    } else if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      send();
    } else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && !event.shiftKey && !event.altKey) {
      const caret = field.current?.selectionStart ?? 0;
      if (caret !== field.current?.selectionEnd) return;
      const said = saidBefore(session.conversation.value.turns, session.outbox.value);
      const next = recalled(said, brought, event.key, { draft, caret });
      if (next === null) return;
      event.preventDefault();
      setBrought(next);
      // It was meant already: nothing is offered for it.
      setNoCommands(said[next] ?? "");
      session.setDraft(said[next] ?? "");
      focusComposer();
    }
  };

  const offline = link === "offline" || link === "waiting";
  const placeholder = offline
    ? text.placeholderOffline
    : active === null
      ? text.placeholder
      : text.placeholderBusy;
  return (
    <div class="composer-place">
      {advanced && <Advanced close={closeAdvanced} />}
      {commands.length > 0 && <CommandList commands={commands} at={command} take={take} />}
      <form
        class="composer"
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <AttachmentChips />
        <label class="hidden" for={COMPOSER_FIELD}>
          {text.messageLabel}
        </label>
        <textarea
          ref={field}
          id={COMPOSER_FIELD}
          data-testid="composer"
          rows={1}
          value={draft}
          placeholder={placeholder}
          enterkeyhint="send"
          aria-keyshortcuts="Enter"
          aria-autocomplete="list"
          aria-controls={commands.length > 0 ? COMMAND_LIST : undefined}
          aria-activedescendant={commands.length > 0 ? optionId(command) : undefined}
          title={text.keys}
          onInput={(event) => session.setDraft(event.currentTarget.value)}
          onKeyDown={pressed}
          onPaste={(event) => {
            const files = [...(event.clipboardData?.files ?? [])];
            // A table or a page has words, and besides a picture of them.
            if (files.length === 0 || event.clipboardData?.types.includes("text/plain") === true) return;
            event.preventDefault();
            attachments.add(files);
          }}
        />
        <div class="tools">
          <AttachButton />
          <ModelMenu />
          <ModeMenu />
          <EffortMenu />
          <button
            ref={toggle}
            type="button"
            class="quiet"
            data-testid="advanced-toggle"
            aria-label={text.advanced}
            title={text.advanced}
            aria-expanded={advanced}
            aria-controls="advanced"
            onClick={() => setAdvanced(!advanced)}
          >
            <Icon name="sliders" />
            <span class="wide">{text.advanced}</span>
          </button>
          <span class="space" />
          {active !== null && <Stop turn={active} />}
          <button type="submit" class="primary" data-testid="send" disabled={empty || !settled}>
            <Icon name="up" />
            {text.send}
          </button>
        </div>
      </form>
      <Spent />
    </div>
  );
}

function Stop({ turn }: { turn: Turn }) {
  const session = useSession();
  return (
    <button
      ref={useLeaving<HTMLButtonElement>()}
      type="button"
      class="stop"
      data-testid="stop"
      onClick={() => session.interrupt(turn.id)}
    >
      <Icon name="stop" />
      {turn.stopping ? text.stopNow : session.stopping.value === turn.id ? text.stopping : text.stop}
    </button>
  );
}

/** Esc closes what is open, else it stops the running turn, wherever the focus is. */
function useEscape(close: (() => void) | null, active: Turn | null): void {
  const session = useSession();
  const id = active?.id ?? null;
  // Before the button to stop is seen, so that no key is lost.
  useLayoutEffect(() => {
    if (close === null && id === null) return;
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
      // What slides over the conversation goes away first.
      if (over.value !== null) return;
      event.preventDefault();
      if (close !== null) close();
      else if (id !== null) session.interrupt(id);
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [close, id, session]);
}
