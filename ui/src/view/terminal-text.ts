/** Output of programs, made for a terminal, as plain text. */

/** Colours, cursor moves, titles and links that a terminal would act on. */
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\|$)|[PX^_][^\u001b]*(?:\u001b\\|$)|[ -/]*[0-~])/g;
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
/** Characters that reorder what is around them: a name could be shown as another one. */
const REORDERING = /[\u202a-\u202e\u2066-\u2069]/g;

/** What a person would have seen: the last state of each line, without control characters. */
export function terminalText(output: string): string {
  return output
    .replace(ESCAPES, "")
    .replace(/\r+\n/g, "\n")
    .split("\n")
    .map((line) => line.slice(line.replace(/\r+$/, "").lastIndexOf("\r") + 1))
    .join("\n")
    .replace(CONTROLS, "")
    .replace(REORDERING, "\ufffd");
}
