/** Everything by its name, from the keyboard. */
import "../style/palette.css";
import type { TargetedKeyboardEvent } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { byLink } from "../session/admission.ts";
import { type Agent, listed, readAgents, readSessions } from "../session/sessions.ts";
import { visited } from "../session/visited.ts";
import { text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { entries } from "../view/rail.tsx";
import { more } from "../words/more.ts";
import { type Command, fitting, groupsOf } from "./commands.ts";

const LIST = "palette-list";

/** The agents are asked for once; who makes one comes back by a page of its own. */
let known: readonly Agent[] = [];

export function Palette({ close }: { close: () => void }) {
  const session = useSession();
  const dialog = useRef<HTMLDialogElement>(null);
  const taken = useRef(false);
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const [agents, setAgents] = useState(known);
  const groups = fitting(groupsOf(session, agents, entries(listed.value, visited.value)), typed);
  const all = groups.flatMap(({ commands }) => commands);
  const current = all[Math.min(at, all.length - 1)];

  useEffect(() => {
    dialog.current?.showModal();
    if (byLink()) return;
    void readSessions();
    let gone = false;
    readAgents().then(
      (read) => {
        known = read;
        if (!gone) setAgents(read);
      },
      // Then there is nothing to launch from here.
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, []);
  useLayoutEffect(() => {
    dialog.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [current?.id]);

  const take = (command: Command) => {
    taken.current = true;
    // It gives the focus back before the command has it, or a dialog that the command opens.
    dialog.current?.close();
    close();
    command.run();
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLElement>) => {
    event.stopPropagation();
    if (event.isComposing || event.keyCode === 229) return;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: Math.min(at + 8, all.length - 1), PageUp: Math.max(at - 8, 0) }[event.key];
    if (to !== undefined && all.length > 0) {
      event.preventDefault();
      setAt((to + all.length) % all.length);
    } else if (event.key === "Enter" && current !== undefined) {
      event.preventDefault();
      take(current);
    } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      dialog.current?.close();
    }
  };
  return (
    <dialog
      ref={dialog}
      class="dialog palette"
      aria-label={text.palette}
      data-testid="palette-dialog"
      onClose={() => !taken.current && close()}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
      onKeyDown={pressed}
    >
      <label class="palette-field">
        <Icon name="search" />
        <span class="hidden">{text.palette}</span>
        <input
          type="text"
          role="combobox"
          aria-expanded="true"
          aria-controls={LIST}
          aria-autocomplete="list"
          aria-activedescendant={current === undefined ? undefined : optionId(current)}
          placeholder={more.palette.placeholder}
          value={typed}
          spellcheck={false}
          autocomplete="off"
          autofocus
          data-testid="palette-field"
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            setAt(0);
          }}
        />
      </label>
      <div id={LIST} class="palette-list" role="listbox" aria-label={text.palette}>
        {groups.map(({ title, commands }) => (
          <div key={title} role="group" aria-label={title}>
            <p class="faint" aria-hidden="true">
              {title}
            </p>
            {commands.map((command) => (
              <div
                key={command.id}
                id={optionId(command)}
                role="option"
                aria-selected={command.id === current?.id}
                data-testid="palette-option"
                onClick={() => take(command)}
                onPointerMove={() => setAt(all.indexOf(command))}
              >
                <Icon name={command.icon} />
                <span class="words">{command.words}</span>
                {command.about !== "" && <span class="faint about">{command.about}</span>}
                {command.keys !== undefined && <kbd aria-hidden="true">{command.keys}</kbd>}
              </div>
            ))}
          </div>
        ))}
      </div>
      {all.length === 0 && <p class="nothing">{more.palette.nothing}</p>}
      <p class="hidden" role="status">
        {typed === "" ? "" : more.palette.count(all.length)}
      </p>
    </dialog>
  );
}

function optionId({ id }: Command): string {
  return `command-${id.replace(/[^\w-]/g, "-")}`;
}
