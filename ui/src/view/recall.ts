/** What was said before, brought back into the field by the arrow keys. */
import type { Turn } from "../session/conversation.ts";

/** What was said, the newest first, each once in a row. */
export function saidBefore(turns: readonly Turn[], unsent: readonly { readonly content: string }[]): string[] {
  const all = [...turns.flatMap(({ message }) => (message === null ? [] : [message.content])), ...unsent.map(({ content }) => content)];
  return all.filter((words, at) => words.trim() !== "" && words !== all[at + 1]).reverse();
}

export interface Field {
  readonly draft: string;
  /** Where the caret stands. */
  readonly caret: number;
}

/**
 * Which of `said` an arrow key brings: -1 for the empty field again, null where the key moves the caret as it
 * does anywhere. `at` is the one that was brought last. What was changed since is not replaced.
 */
export function recalled(said: readonly string[], at: number, key: "ArrowUp" | "ArrowDown", { draft, caret }: Field): number | null {
  const walking = draft !== "" && draft === said[at];
  const ended = caret === draft.length;
  if (key === "ArrowUp") {
    if (draft === "") return said.length > 0 ? 0 : null;
    const first = ended || !draft.slice(0, caret).includes("\n");
    return walking && first && at + 1 < said.length ? at + 1 : null;
  }
  return walking && !draft.slice(caret).includes("\n") ? at - 1 : null;
}
