/** The tools that an agent can have, as `agents::tools` knows them (a test compares them), and what for. */
import { isFields } from "../session/wire.ts";
import type { Config } from "./yaml.ts";

export const GROUPS = {
  files: ["Read", "Write", "Edit", "NotebookEdit", "Glob", "Grep"],
  commands: ["Bash", "Monitor", "TaskStop"],
  web: ["WebFetch", "WebSearch"],
  work: ["Task", "TodoWrite", "Skill", "AskUserQuestion", "ExitPlanMode"],
  servers: ["ListMcpResources", "ReadMcpResource"],
} as const;

export type Group = keyof typeof GROUPS;

/** The groups with their tools, to which each server of the configuration adds all of its own. */
export function toolsByGroup(config: Config): [Group, string[]][] {
  const servers = isFields(config.mcp_servers) ? Object.keys(config.mcp_servers) : [];
  return (Object.keys(GROUPS) as Group[]).map((group) => [
    group,
    [...GROUPS[group], ...(group === "servers" ? servers.map((name) => `mcp__${name}__*`) : [])],
  ]);
}

/** Those of `given` that no group has: rules such as `Bash(git log:*)`. */
export function rulesOf(given: readonly string[], groups: readonly [Group, string[]][]): string[] {
  const known = new Set(groups.flatMap(([, tools]) => tools));
  return given.filter((tool) => !known.has(tool));
}

/** `given` with a tool, or without. What is new comes at its place among the others, before all rules. */
export function withTool(given: readonly string[], tool: string, on: boolean, groups: readonly [Group, string[]][]): string[] {
  const rest = given.filter((one) => one !== tool);
  if (!on) return rest;
  const order = groups.flatMap(([, tools]) => tools);
  const known = [...rest, tool].filter((one) => order.includes(one));
  return [...known.sort((a, b) => order.indexOf(a) - order.indexOf(b)), ...rulesOf(rest, groups)];
}
