/** The items of a turn: what the agent said, thought, did, asked, and what failed. */
import type { TargetedEvent } from "preact";
import { useState } from "preact/hooks";
import { Markdown } from "../markdown/markdown.tsx";
import type { ErrorItem, Item, TextItem, ToolItem } from "../session/conversation.ts";
import { duration, text } from "../text.ts";
import { Elapsed } from "./elapsed.tsx";
import { Icon, type IconName } from "./icon.tsx";
import { memo } from "./memo.ts";
import { RequestCard } from "./request.tsx";
import { ToolBody } from "./tool-body.tsx";

/** Sub-agents inside sub-agents; what is nested more deeply is left out. */
const DEEPEST = 8;

interface ItemsProps {
  /** All items of the turn. */
  items: readonly Item[];
  /** The call whose items are drawn; null for the turn's own. */
  parent: string | null;
  depth?: number;
}

export function Items({ items, parent, depth = 0 }: ItemsProps) {
  if (depth > DEEPEST) return null;
  const calls = new Set(items.flatMap((item) => (item.kind === "tool" ? [item.toolUseId] : [])));
  const waiting = new Set(
    items.flatMap((item) => (item.kind === "request" && item.end === null ? [item.toolUseId] : [])),
  );
  // What names a call that is not there is the turn's own.
  const parentOf = (item: Item) =>
    item.parent !== null && calls.has(item.parent) ? item.parent : null;
  return (
    <>
      {items
        .filter((item) => parentOf(item) === parent)
        .map((item) =>
          item.kind === "tool" ? (
            <ToolCard
              key={item.key}
              item={item}
              inside={items.some((one) => parentOf(one) === item.toolUseId) ? items.filter((one) => one !== item) : NONE}
              depth={depth}
              waits={waiting.has(item.toolUseId)}
            />
          ) : (
            <ItemView key={item.key} item={item} />
          ),
        )}
    </>
  );
}

const NONE: readonly Item[] = [];

const ItemView = memo(({ item }: { item: Exclude<Item, ToolItem> }) => {
  switch (item.kind) {
    case "text":
      return (
        <div class="item said" data-testid="message-assistant">
          <Markdown text={item.text} live={!item.done} />
        </div>
      );
    case "thinking":
      return <Thinking item={item} />;
    case "error":
      return <ErrorCard item={item} />;
    case "request":
      return <RequestCard item={item} />;
  }
});

function Thinking({ item }: { item: TextItem }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="item thinking" data-testid="thinking" open={open} onToggle={follow(setOpen)}>
      <summary>
        <Icon name="chevron" />
        <span>{item.done ? text.thought : text.thinking}</span>
        {item.done ? (
          <span class="faint">{duration(item.doneAt - item.at)}</span>
        ) : (
          <Elapsed since={item.at} />
        )}
      </summary>
      {open && <p>{item.text}</p>}
    </details>
  );
}

const TOOL_ICONS: Record<ToolItem["state"], IconName> = {
  running: "spinner",
  done: "check",
  failed: "alert",
  stopped: "stop",
};

interface ToolCardProps {
  item: ToolItem;
  inside: readonly Item[];
  depth: number;
  /** It is asked whether it may run. */
  waits: boolean;
}

const ToolCard = memo(({ item, inside, depth, waits }: ToolCardProps) => {
  // What failed is open until somebody closes it.
  const [opened, setOpened] = useState<boolean | null>(null);
  const open = opened ?? item.state === "failed";
  return (
    <details
      class={`item tool ${item.state}`}
      data-testid="tool-card"
      data-tool={item.tool}
      data-state={item.state}
      open={open}
      onToggle={follow((now) => {
        if (now !== open) setOpened(now);
      })}
    >
      <summary>
        <Icon name="chevron" />
        <strong>{item.tool}</strong>
        <span class="summary">{withoutName(item)}</span>
        <span class="state">
          {waits ? null : item.state === "running" ? (
            <Elapsed since={item.at} />
          ) : (
            <span class="elapsed">{duration(item.doneAt - item.at)}</span>
          )}
          <span class="word">{waits ? text.toolWaits : text.toolStates[item.state]}</span>
          <Icon name={waits ? "question" : TOOL_ICONS[item.state]} />
        </span>
      </summary>
      {open && (
        <div class="tool-body">
          <ToolBody item={item}>
            {inside.length > 0 && (
              <div class="nested">
                <Items items={[item, ...inside]} parent={item.toolUseId} depth={depth + 1} />
              </div>
            )}
          </ToolBody>
          {item.files.length > 0 && item.tool === "Bash" && (
            <p class="faint">
              {text.files}: {item.files.join(", ")}
            </p>
          )}
        </div>
      )}
    </details>
  );
});

/** The tool's name stands before it anyway. */
function withoutName(item: ToolItem): string {
  const { summary, tool } = item;
  return summary.startsWith(tool) ? summary.slice(tool.length).replace(/^[:\s]+/, "") : summary;
}

function ErrorCard({ item }: { item: ErrorItem }) {
  return (
    <div class="item card error" data-testid="error-card" data-code={item.code}>
      <Icon name="alert" />
      <div>
        <strong>{text.errorTitle}</strong>
        <p>{item.text}</p>
        {item.code !== "" && <code class="faint">{item.code}</code>}
      </div>
    </div>
  );
}

function follow(set: (open: boolean) => void) {
  return (event: TargetedEvent<HTMLDetailsElement>) => set(event.currentTarget.open);
}
