/** The items of a turn: what the agent said, thought, did, asked, and what failed. */
import type { TargetedEvent } from "preact";
import { useState } from "preact/hooks";
import { Markdown } from "../markdown/markdown.tsx";
import type { ErrorItem, Item, TextItem, ToolItem } from "../session/conversation.ts";
import { count, duration, text } from "../text.ts";
import { Chunk, chunksOf } from "./chunk.tsx";
import { Elapsed } from "./elapsed.tsx";
import { Icon } from "./icon.tsx";
import { LaunchedCard, RefusedHost } from "./launched.tsx";
import { memo, shallowlySame } from "./memo.ts";
import { RequestCard } from "./request.tsx";
import { isRevealed } from "./reveal.ts";
import { changesOf, ToolBody } from "./tool-body.tsx";
import { verbatim } from "./verbatim.tsx";
import { mcpName, onlyLooks, STATE_ICONS, summaryOf, toolIcon, toolName } from "./tool-kind.ts";

/** Sub-agents inside sub-agents; what is nested more deeply is left out. */
const DEEPEST = 8;
/** So many calls in a row that only looked are folded into one line. */
const MANY_LOOKS = 3;

/** The items of a turn by the call that they belong to; those of the turn itself under null. */
type Tree = ReadonlyMap<string | null, readonly Item[]>;

export function Items({ items }: { items: readonly Item[] }) {
  return <Branch tree={treeOf(items)} parent={null} depth={0} />;
}

function treeOf(items: readonly Item[]): Tree {
  const calls = new Set(items.flatMap((item) => (item.kind === "tool" ? [item.toolUseId] : [])));
  const tree = new Map<string | null, Item[]>();
  for (const item of items) {
    // What names a call that is not there is the turn's own.
    const parent = item.parent !== null && calls.has(item.parent) ? item.parent : null;
    const siblings = tree.get(parent);
    if (siblings === undefined) tree.set(parent, [item]);
    else siblings.push(item);
  }
  return tree;
}

/** All that is below a call, at whatever depth. */
function inside(tree: Tree, call: string, depth = 0): Item[] {
  if (depth > DEEPEST) return [];
  return (tree.get(call) ?? []).flatMap((item) => [
    item,
    ...(item.kind === "tool" && tree.has(item.toolUseId) ? inside(tree, item.toolUseId, depth + 1) : []),
  ]);
}

interface BranchProps {
  tree: Tree;
  parent: string | null;
  depth: number;
}

function Branch({ tree, parent, depth }: BranchProps) {
  if (depth > DEEPEST) return null;
  const items = tree.get(parent) ?? NONE;
  const waiting = new Set(
    items.flatMap((item) => (item.kind === "request" && item.end === null ? [item.toolUseId] : [])),
  );
  const shown = grouped(items).map((one): Shown => {
    if (Array.isArray(one)) return { key: one[0]?.key ?? "", item: one, inside: NONE, waits: false };
    if (one.kind !== "tool") return { key: one.key, item: one, inside: NONE, waits: false };
    const below = tree.has(one.toolUseId) ? inside(tree, one.toolUseId) : NONE;
    return { key: one.key, item: one, inside: below, waits: waiting.has(one.toolUseId) };
  });
  const chunks = chunksOf(shown);
  if (chunks.length === 1) return <Rows rows={shown} depth={depth} />;
  return (
    <>
      {chunks.map((rows, at) => (
        <Chunk
          key={rows[0]?.key}
          size={rows.length}
          // What is being written is seen.
          wanted={at >= chunks.length - 2 || isRevealed(rows.flatMap(itemsOf))}
        >
          {() => <Rows rows={rows} depth={depth} />}
        </Chunk>
      ))}
    </>
  );
}

/** What is drawn as one: an item with what belongs to it, or calls that are one list. */
interface Shown {
  readonly key: string;
  readonly item: Item | ToolItem[];
  readonly inside: readonly Item[];
  readonly waits: boolean;
}

function itemsOf({ item, inside }: Shown): readonly Item[] {
  return Array.isArray(item) ? item : [item, ...inside];
}

const Rows = memo(
  ({ rows, depth }: { rows: readonly Shown[]; depth: number }) => (
    <>
      {rows.map(({ key, item, inside, waits }) => {
        if (Array.isArray(item)) return <Looks key={key} items={item} />;
        if (item.kind !== "tool") return <ItemView key={key} item={item} />;
        return <ToolCard key={key} item={item} inside={inside} depth={depth} waits={waits} />;
      })}
    </>
  ),
  (before, after) =>
    before.depth === after.depth &&
    before.rows.length === after.rows.length &&
    before.rows.every((row, at) => {
      const other = after.rows[at];
      return other !== undefined && shallowlySame(row, other);
    }),
);

const NONE: readonly Item[] = [];

/** Calls in a row that only looked, and did, become one list. */
export function grouped(items: readonly Item[]): (Item | ToolItem[])[] {
  const shown: (Item | ToolItem[])[] = [];
  let run: ToolItem[] = [];
  const end = () => {
    if (run.length >= MANY_LOOKS) shown.push(run);
    else shown.push(...run);
    run = [];
  };
  for (const item of items) {
    if (item.kind === "tool" && item.state === "done" && onlyLooks(item.tool)) {
      run.push(item);
    } else {
      end();
      shown.push(item);
    }
  }
  end();
  return shown;
}

const Looks = memo(({ items }: { items: readonly ToolItem[] }) => {
  const [opened, setOpened] = useState(false);
  const open = opened || isRevealed(items);
  return (
    <details class="item tool done looks" data-testid="looks" open={open} onToggle={follow(setOpened)}>
      <summary>
        <Icon name="chevron" />
        <Icon name="eye" />
        <strong>{text.lookedAt(items.length)}</strong>
        <span class="summary">{items.map(summaryOf).join(" · ")}</span>
        <span class="state">
          <Icon name="check" />
        </span>
      </summary>
      {open && (
        <div class="tool-body">
          {items.map((item) => (
            <ToolCard key={item.key} item={item} inside={NONE} depth={0} waits={false} />
          ))}
        </div>
      )}
    </details>
  );
});

const ItemView = memo(({ item }: { item: Exclude<Item, ToolItem> }) => {
  switch (item.kind) {
    case "text":
      return (
        <div class="item said" data-testid="message-assistant" data-item={item.key}>
          <Markdown text={item.text} live={!item.done} />
        </div>
      );
    case "thinking":
      return <Thinking item={item} />;
    case "error":
      return <ErrorCard item={item} />;
    case "request":
      return <RequestCard item={item} />;
    case "refused-host":
      return <RefusedHost item={item} />;
    case "launched":
      return <LaunchedCard item={item} />;
  }
});

function Thinking({ item }: { item: TextItem }) {
  const [opened, setOpened] = useState(false);
  const open = opened || isRevealed([item]);
  return (
    <details class="item thinking" data-testid="thinking" data-item={item.key} open={open} onToggle={follow(setOpened)}>
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

interface ToolCardProps {
  item: ToolItem;
  /** What its sub-agent said and did. */
  inside: readonly Item[];
  depth: number;
  /** It is asked whether it may run. */
  waits: boolean;
}

const ToolCard = memo(({ item, inside, depth, waits }: ToolCardProps) => {
  // What failed is open until somebody closes it, and so is what somebody was sent to; what prints, while it does.
  const [opened, setOpened] = useState<boolean | null>(null);
  const prints = item.state === "running" && item.output !== null;
  const open = opened ?? (item.state === "failed" || prints || isRevealed([item]) || isRevealed(inside));
  const mcp = mcpName(item.tool);
  const changes = changesOf(item);
  const calls = inside.filter((one) => one.kind === "tool").length;
  return (
    <details
      class={`item tool ${item.state}`}
      data-testid="tool-card"
      data-tool={item.tool}
      data-state={item.state}
      data-item={item.key}
      open={open}
      onToggle={follow((now) => {
        if (now !== open) setOpened(now);
      })}
    >
      <summary>
        <Icon name="chevron" />
        <Icon name={toolIcon(item.tool)} />
        <strong>{toolName(item.tool)}</strong>
        {mcp !== null && (
          <span class="tag" title={text.fromServer(mcp.server)}>
            {mcp.server}
          </span>
        )}
        <span class="summary">{verbatim(summaryOf(item))}</span>
        {changes !== null && (
          <span class="changes" title={text.changes(changes.added, changes.removed)}>
            <span class="added">+{count(changes.added)}</span> <span class="removed">−{count(changes.removed)}</span>
          </span>
        )}
        {calls > 0 && <span class="faint wide">{text.calls(calls)}</span>}
        <span class="state">
          {waits ? null : item.state === "running" ? (
            <Elapsed since={item.at} />
          ) : (
            <span class="elapsed">{duration(item.doneAt - item.at)}</span>
          )}
          <span class="word">{waits ? text.toolWaits : text.toolStates[item.state]}</span>
          <Icon name={waits ? "question" : STATE_ICONS[item.state]} />
        </span>
      </summary>
      {open && (
        <div class="tool-body">
          <ToolBody item={item}>
            {inside.length > 0 && (
              <div class="nested" role="group" aria-label={text.subAgent}>
                <Branch tree={treeOf([item, ...inside])} parent={item.toolUseId} depth={depth + 1} />
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

function ErrorCard({ item }: { item: ErrorItem }) {
  return (
    <div class="item card error" data-testid="error-card" data-item={item.key} data-code={item.code}>
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
