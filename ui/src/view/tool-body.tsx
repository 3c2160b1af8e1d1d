/** What is inside a tool call's card: each tool's input and result in the form that fits it. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Markdown } from "../markdown/markdown.tsx";
import type { ToolItem } from "../session/conversation.ts";
import { isFields } from "../session/wire.ts";
import { bytes, text } from "../text.ts";
import { CopyButton } from "./copy-button.tsx";
import { diffLines, withContext } from "./line-diff.ts";
import { terminalText } from "./terminal-text.ts";

/** Lines that are shown at first. */
const FIRST_LINES = 60;

export function ToolBody({ item, children }: { item: ToolItem; children: ComponentChildren }) {
  const input = isFields(item.input) ? item.input : {};
  const field = (name: string) => (typeof input[name] === "string" ? input[name] : "");
  switch (item.tool) {
    case "Bash":
      return (
        <Section label={field("description")} copies={field("command")}>
          <Terminal command={field("command")} item={item} />
        </Section>
      );
    case "Write":
      return (
        <>
          <Section label={field("file_path")} copies={field("content")}>
            <Lines value={field("content")} />
          </Section>
          {item.state === "failed" && <Output item={item} />}
        </>
      );
    case "Edit":
    case "MultiEdit":
      return (
        <>
          <Section label={field("file_path")}>
            {edits(input).map(([before, after], at) => (
              <Diff key={at} before={before} after={after} />
            ))}
          </Section>
          {item.state === "failed" && <Output item={item} />}
        </>
      );
    case "Read":
      return (
        <Section label={field("file_path")}>
          <Output item={item} bare />
        </Section>
      );
    case "Task":
    case "Agent":
      return (
        <>
          <Section label={text.agentPrompt}>
            <Markdown text={field("prompt")} live={false} />
          </Section>
          {children}
          {item.output !== null && (
            <Section label={text.agentAnswer}>
              <Markdown text={item.output} live={false} />
            </Section>
          )}
        </>
      );
    default:
      return (
        <>
          <Section label={text.toolInput}>
            <Lines value={json(item.input)} />
          </Section>
          {children}
          <Output item={item} />
        </>
      );
  }
}

/** What a call that is asked about would do. */
export function CallPreview({ tool, input }: { tool: string; input: unknown }) {
  const fields = isFields(input) ? input : {};
  const field = (name: string) => (typeof fields[name] === "string" ? fields[name] : "");
  switch (tool) {
    case "Bash":
      return (
        <div class="terminal">
          <pre class="command" tabIndex={0}>
            {terminalText(field("command"))}
          </pre>
        </div>
      );
    case "Write":
      return (
        <Section label={field("file_path")}>
          <Lines value={field("content")} />
        </Section>
      );
    case "Edit":
    case "MultiEdit":
      return (
        <Section label={field("file_path")}>
          {edits(fields).map(([before, after], at) => (
            <Diff key={at} before={before} after={after} />
          ))}
        </Section>
      );
    default:
      return <Lines value={json(input)} />;
  }
}

interface SectionProps {
  label: string;
  copies?: string;
  children: ComponentChildren;
}

function Section({ label, copies, children }: SectionProps) {
  return (
    <section class="tool-section">
      <header>
        <span class="path">{label}</span>
        {copies !== undefined && copies !== "" && <CopyButton value={copies} />}
      </header>
      {children}
    </section>
  );
}

function Terminal({ command, item }: { command: string; item: ToolItem }) {
  return (
    <div class="terminal">
      <pre class="command" tabIndex={0}>
        {terminalText(command)}
      </pre>
      {item.output !== null && <Output item={item} bare />}
    </div>
  );
}

function Output({ item, bare = false }: { item: ToolItem; bare?: boolean }) {
  if (item.output === null) return null;
  const output = terminalText(item.output).replace(/\n+$/, "");
  const shown = (
    <>
      {output === "" ? <p class="faint">{text.noOutput}</p> : <Lines value={output} />}
      {item.cutBytes > 0 && <p class="faint">{text.cut(bytes(item.cutBytes))}</p>}
    </>
  );
  if (bare) return shown;
  return (
    <Section label={text.toolOutput} copies={output}>
      {shown}
    </Section>
  );
}

function Lines({ value }: { value: string }) {
  const [all, setAll] = useState(false);
  const lines = value.split("\n");
  const cut = !all && lines.length > FIRST_LINES + 10;
  return (
    <>
      <pre tabIndex={0}>{cut ? lines.slice(0, FIRST_LINES).join("\n") : value}</pre>
      {cut && (
        <button type="button" class="quiet small" onClick={() => setAll(true)}>
          {text.showAll(lines.length)}
        </button>
      )}
    </>
  );
}

function Diff({ before, after }: { before: string; after: string }) {
  const lines = withContext(diffLines(before, after));
  return (
    <pre class="diff" tabIndex={0}>
      {lines.map((line, at) => {
        if (line === null) return <span key={at} class="gap">{"  ⋯\n"}</span>;
        const sign = line.kind === "removed" ? "−" : line.kind === "added" ? "+" : " ";
        const word = line.kind === "removed" ? text.before : text.after;
        return (
          <span key={at} class={line.kind}>
            {line.kind !== "same" && <span class="hidden">{`${word}: `}</span>}
            {`${sign} ${line.text}\n`}
          </span>
        );
      })}
    </pre>
  );
}

/** The pairs of an edit, or of several in one call. */
function edits(input: Record<string, unknown>): [string, string][] {
  const list: unknown[] = Array.isArray(input.edits) ? input.edits : [input];
  return list.flatMap((edit) => {
    if (!isFields(edit)) return [];
    const { old_string: before, new_string: after } = edit;
    return typeof before === "string" && typeof after === "string" ? [[before, after]] : [];
  });
}

export function json(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? "";
}
