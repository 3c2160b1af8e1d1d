/** What a person may set for the turns of a session, and what of it a message has to say. */
import { isFields } from "./wire.ts";

export const TOOLS = [
  "Bash",
  "Read",
  "Write",
  "Edit",
  "Glob",
  "Grep",
  "Task",
  "TodoWrite",
  "WebFetch",
  "WebSearch",
] as const;

/** What Claude Code calls so (`claude --help`, `--effort`). */
export const EFFORTS = ["low", "medium", "high", "xhigh", "max"] as const;
export type Effort = (typeof EFFORTS)[number];

export interface Options {
  /** Tools of [`TOOLS`] that run without asking. */
  tools: string[];
  /** Further rules, as typed: `mcp__github__*, Bash(git log:*)`. */
  moreTools: string;
  maxTurns: number;
  fastModel: string;
  /** How much the model thinks; nothing for as much as it does by itself. */
  effort: Effort | "";
}

export const MOST_TURNS = 1000;

/** What the server takes where a message says nothing (`protocol::options`). */
export const DEFAULT_OPTIONS: Options = {
  tools: ["Bash", "Read", "Write", "Edit", "Glob", "Grep", "Task", "TodoWrite"],
  moreTools: "",
  maxTurns: 10,
  fastModel: "",
  effort: "",
};

/** Makes valid options of whatever was stored. */
export function readOptions(stored: unknown): Options {
  if (!isFields(stored)) return DEFAULT_OPTIONS;
  const { tools, moreTools, maxTurns, fastModel, effort } = stored;
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  return {
    tools: Array.isArray(tools) ? TOOLS.filter((tool) => tools.includes(tool)) : DEFAULT_OPTIONS.tools,
    moreTools: text(moreTools),
    maxTurns:
      typeof maxTurns === "number" && maxTurns >= 1
        ? Math.min(MOST_TURNS, Math.floor(maxTurns))
        : DEFAULT_OPTIONS.maxTurns,
    fastModel: text(fastModel),
    effort: EFFORTS.find((one) => one === effort) ?? "",
  };
}

/** The fields of a message, only where they differ from what the server takes anyway. */
export function fieldsOf(options: Options): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const changed = TOOLS.some(
    (tool) => options.tools.includes(tool) !== DEFAULT_OPTIONS.tools.includes(tool),
  );
  const more = splitRules(options.moreTools);
  if (changed || more.length > 0) {
    fields.allowedTools = [...TOOLS.filter((tool) => options.tools.includes(tool)), ...more];
  }
  if (options.maxTurns !== DEFAULT_OPTIONS.maxTurns) fields.maxTurns = options.maxTurns;
  if (options.fastModel.trim() !== "") fields.fastModel = options.fastModel.trim();
  if (options.effort !== "") fields.additionalArgs = [`--effort=${options.effort}`];
  return fields;
}

/** Splits at commas, but not at those inside the parentheses of a rule. */
export function splitRules(text: string): string[] {
  const rules: string[] = [];
  let depth = 0;
  let rule = "";
  for (const character of text) {
    if (character === "(") depth += 1;
    if (character === ")") depth = Math.max(0, depth - 1);
    if (character === "," && depth === 0) {
      rules.push(rule);
      rule = "";
    } else {
      rule += character;
    }
  }
  return [...rules, rule].map((one) => one.trim()).filter((one) => one !== "");
}
