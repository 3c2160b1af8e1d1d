/** What kind of tool a call is of, and how it is named for a person. */
import type { ToolItem } from "../session/conversation.ts";
import type { IconName } from "./icon.tsx";

const ICONS: Readonly<Record<string, IconName>> = {
  Bash: "terminal",
  BashOutput: "terminal",
  KillShell: "terminal",
  Read: "eye",
  Grep: "search",
  Glob: "search",
  LS: "search",
  Write: "pen",
  Edit: "pen",
  MultiEdit: "pen",
  NotebookEdit: "pen",
  Task: "agent",
  Agent: "agent",
  TodoWrite: "list",
  WebFetch: "globe",
  WebSearch: "globe",
};

/** Tools that only look: many of them in a row are shown as one. */
const LOOKING = new Set(["Read", "Grep", "Glob", "LS"]);

export const STATE_ICONS: Record<ToolItem["state"], IconName> = {
  running: "spinner",
  done: "check",
  failed: "alert",
  stopped: "stop",
};

/** The server and the tool of an MCP tool's name, `mcp__server__tool`; null for others. */
export function mcpName(tool: string): { server: string; tool: string } | null {
  const [, server, name] = /^mcp__(.+?)__(.+)$/s.exec(tool) ?? [];
  return server === undefined || name === undefined ? null : { server, tool: name };
}

export function toolName(tool: string): string {
  return mcpName(tool)?.tool ?? tool;
}

export function toolIcon(tool: string): IconName {
  if (mcpName(tool) !== null) return "plug";
  return Object.hasOwn(ICONS, tool) ? (ICONS[tool] ?? "wrench") : "wrench";
}

export function onlyLooks(tool: string): boolean {
  return LOOKING.has(tool);
}

/** A call in a line. The tool's name stands before it anyway. */
export function summaryOf({ summary, tool }: ToolItem): string {
  const short = toolName(tool);
  const name = [tool, short].find((one) => summary.startsWith(one));
  return name === undefined ? summary : summary.slice(name.length).replace(/^[:\s]+/, "");
}
