/** What is offered while a message is typed: Claude Code's commands for its first word, files where one is named. */
import { text } from "../text.ts";

export const COMMAND_LIST = "commands";

export interface Suggestion {
  /** What it is called. */
  readonly label: string;
  readonly words: string;
  /** The message, when it is taken. */
  readonly draft: string;
}

/** The commands that the message may be the beginning of. */
export function commandsFor(draft: string): Suggestion[] {
  const typed = /^\/([\w-]*)$/.exec(draft)?.[1];
  if (typed === undefined) return [];
  return Object.entries(text.commandWords)
    .filter(([name]) => name.startsWith(typed.toLowerCase()))
    .map(([name, words]) => ({ label: `/${name}`, words, draft: `/${name} ` }));
}

interface CommandListProps {
  commands: readonly Suggestion[];
  /** Which of them Enter takes. */
  at: number;
  take: (command: Suggestion) => void;
}

export function CommandList({ commands, at, take }: CommandListProps) {
  return (
    <ul id={COMMAND_LIST} class="commands panel" role="listbox" aria-label={text.commands} data-testid="commands">
      {commands.map((command, one) => (
        <li
          key={command.label}
          id={optionId(one)}
          role="option"
          aria-selected={one === at}
          // The field keeps the focus.
          onPointerDown={(event) => event.preventDefault()}
          onClick={() => take(command)}
        >
          <strong>{command.label}</strong>
          <span class="faint">{command.words}</span>
        </li>
      ))}
    </ul>
  );
}

export function optionId(at: number): string {
  return `${COMMAND_LIST}-${at}`;
}
