/** Claude Code's commands, offered while the first word of a message is typed. */
import { text } from "../text.ts";

export const COMMAND_LIST = "commands";

export interface Command {
  readonly name: string;
  readonly words: string;
}

/** The commands that the message may be the beginning of. */
export function commandsFor(draft: string): Command[] {
  const typed = /^\/([\w-]*)$/.exec(draft)?.[1];
  if (typed === undefined) return [];
  return Object.entries(text.commandWords)
    .filter(([name]) => name.startsWith(typed.toLowerCase()))
    .map(([name, words]) => ({ name, words }));
}

interface CommandListProps {
  commands: readonly Command[];
  /** Which of them Enter takes. */
  at: number;
  take: (command: Command) => void;
}

export function CommandList({ commands, at, take }: CommandListProps) {
  return (
    <ul id={COMMAND_LIST} class="commands panel" role="listbox" aria-label={text.commands} data-testid="commands">
      {commands.map((command, one) => (
        <li
          key={command.name}
          id={optionId(one)}
          role="option"
          aria-selected={one === at}
          // The field keeps the focus.
          onPointerDown={(event) => event.preventDefault()}
          onClick={() => take(command)}
        >
          <strong>/{command.name}</strong>
          <span class="faint">{command.words}</span>
        </li>
      ))}
    </ul>
  );
}

export function optionId(at: number): string {
  return `${COMMAND_LIST}-${at}`;
}
