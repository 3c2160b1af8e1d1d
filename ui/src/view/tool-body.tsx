/** What is inside a tool call's card: each tool's input and result in the form that fits it. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Markdown } from "../markdown/markdown.tsx";
import { editsOf } from "../files/changes.ts";
import type { ToolItem } from "../session/conversation.ts";
import { isFields, readTodos } from "../session/wire.ts";
import { bytes, count, text } from "../text.ts";
import { openFile } from "../workbench.ts";
import { pieces } from "./ansi.ts";
import { CopyButton } from "./copy-button.tsx";
import { type DiffLine, diffLines, withContext } from "./line-diff.ts";
import { Icon } from "./icon.tsx";
import { terminalText } from "./terminal-text.ts";
import { TodoList } from "./todos.tsx";
import { verbatim } from "./verbatim.tsx";

/** Lines that are shown at first. */
const FIRST_LINES = 60;
/** Lines of what a command has printed last, while it runs. */
const LIVE_LINES = 12;

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
          <Section label={inWorkspace(field("file_path"))} copies={field("content")} file={field("file_path")}>
            <Lines value={field("content")} />
          </Section>
          {item.state === "failed" && <Output item={item} />}
        </>
      );
    case "Edit":
    case "MultiEdit":
      return (
        <>
          <Section label={inWorkspace(field("file_path"))} file={field("file_path")}>
            {editsOf(input).map(({ before, after }, at) => (
              <Diff key={at} before={before} after={after} />
            ))}
          </Section>
          {item.state === "failed" && <Output item={item} />}
        </>
      );
    case "Read":
      return (
        <Section label={inWorkspace(field("file_path"))} file={field("file_path")}>
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
    case "TodoWrite":
      return <TodoList todos={readTodos(input.todos)} />;
    case "Grep":
    case "Glob":
      return (
        <Section label={[field("pattern"), field("path"), field("glob")].filter((one) => one !== "").join(" · ")}>
          <Output item={item} bare />
        </Section>
      );
    case "WebFetch":
    case "WebSearch":
      return (
        <>
          <Section label={`${field("url")}${field("query")}`}>
            {field("prompt") !== "" && <p>{field("prompt")}</p>}
          </Section>
          {item.output !== null && <Markdown text={item.output} live={false} />}
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

/** A path for reading. */
function inWorkspace(path: string): string {
  return path.split("/workspace/").at(-1) ?? path;
}

interface SectionProps {
  label: string;
  copies?: string;
  /** The file that it is about. */
  file?: string;
  children: ComponentChildren;
}

function Section({ label, copies, file, children }: SectionProps) {
  return (
    <section class="tool-section">
      <header>
        <span class="path">{verbatim(label)}</span>
        {file !== undefined && file !== "" && (
          <button type="button" class="quiet small" onClick={() => openFile(file)}>
            <Icon name="file" />
            {text.openFile}
          </button>
        )}
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
        {verbatim(command)}
      </pre>
      {item.state === "running" && item.output !== null ? (
        <Coloured value={item.output.replace(/\s+$/, "").split("\n").slice(-LIVE_LINES).join("\n")} />
      ) : (
        <Output item={item} bare colours />
      )}
    </div>
  );
}

interface OutputProps {
  item: ToolItem;
  bare?: boolean;
  colours?: boolean;
}

function Output({ item, bare = false, colours = false }: OutputProps) {
  if (item.output === null) return null;
  const output = terminalText(item.output).replace(/\n+$/, "");
  const shown = (
    <>
      {output === "" ? (
        <p class="faint">{text.noOutput}</p>
      ) : colours ? (
        <Coloured value={item.output.replace(/\s+$/, "")} />
      ) : (
        <Lines value={output} />
      )}
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
  return <Folded value={value}>{(shown) => shown}</Folded>;
}

/** As a terminal shows it. */
function Coloured({ value }: { value: string }) {
  return (
    <Folded value={value}>
      {(shown) =>
        pieces(shown).map(({ text: piece, looks }, at) =>
          looks.length === 0 ? (
            piece
          ) : (
            <span key={at} class={looks.join(" ")}>
              {piece}
            </span>
          ),
        )
      }
    </Folded>
  );
}

/** The first lines of a long text, and the others when they are asked for. */
function Folded({ value, children }: { value: string; children: (shown: string) => ComponentChildren }) {
  const [all, setAll] = useState(false);
  const lines = value.split("\n");
  const cut = !all && lines.length > FIRST_LINES + 10;
  return (
    <>
      <pre tabIndex={0}>{children(cut ? lines.slice(0, FIRST_LINES).join("\n") : value)}</pre>
      {cut && (
        <button type="button" class="quiet small" onClick={() => setAll(true)}>
          {text.showAll(count(lines.length))}
        </button>
      )}
    </>
  );
}

function Diff({ before, after }: { before: string; after: string }) {
  return <DiffView lines={diffLines(before, after)} />;
}

/** What was changed, with a few lines around it. */
export function DiffView({ lines }: { lines: readonly DiffLine[] }) {
  return (
    <pre class="diff" tabIndex={0}>
      {withContext(lines).map((line, at) => (
        <DiffRow key={at} line={line} />
      ))}
    </pre>
  );
}

/** A line of a diff; null stands for what is left out. */
export function DiffRow({ line }: { line: DiffLine | null }) {
  if (line === null) return <span class="gap">{"  ⋯\n"}</span>;
  const sign = line.kind === "removed" ? "−" : line.kind === "added" ? "+" : " ";
  const word = line.kind === "removed" ? text.before : text.after;
  return (
    <span class={line.kind}>
      {line.kind !== "same" && <span class="hidden">{`${word}: `}</span>}
      {sign} {verbatim(line.text)}
      {"\n"}
    </span>
  );
}

export interface Changes {
  readonly added: number;
  readonly removed: number;
}

const counted = new WeakMap<object, Changes | null>();

/** How many lines a call adds and removes; null for calls that change no file. */
export function changesOf({ tool, input }: ToolItem): Changes | null {
  if (!isFields(input)) return null;
  const known = counted.get(input);
  if (known !== undefined) return known;
  const changes = countChanges(tool, input);
  counted.set(input, changes);
  return changes;
}

function countChanges(tool: string, input: Record<string, unknown>): Changes | null {
  if (tool === "Write") {
    const content = typeof input.content === "string" ? input.content : "";
    return { added: content === "" ? 0 : content.replace(/\n$/, "").split("\n").length, removed: 0 };
  }
  if (tool !== "Edit" && tool !== "MultiEdit") return null;
  const lines = editsOf(input).flatMap(({ before, after }) => diffLines(before, after));
  const of = (kind: string) => lines.filter((line) => line.kind === kind).length;
  return { added: of("added"), removed: of("removed") };
}

export function json(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? "";
}
