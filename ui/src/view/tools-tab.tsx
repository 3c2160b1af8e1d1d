import { useState } from "preact/hooks";
import type { ToolItem } from "../session/conversation.ts";
import { duration, text } from "../text.ts";
import { useSession } from "./context.ts";
import { Elapsed } from "./elapsed.tsx";
import { Icon } from "./icon.tsx";
import { memo } from "./memo.ts";
import { Nothing } from "./nothing.tsx";
import { reveal } from "./reveal.ts";
import { STATE_ICONS, summaryOf, toolIcon, toolName } from "./tool-kind.ts";

/** Calls that are listed; who wants others searches for them. */
const MOST = 300;

interface Call {
  readonly turn: string;
  readonly item: ToolItem;
}

/** All calls of the conversation, the newest first. */
export function ToolsTab() {
  const { turns } = useSession().conversation.value;
  const [sought, setSought] = useState("");
  const calls = turns.flatMap((turn) =>
    turn.items.flatMap((item): Call[] => (item.kind === "tool" ? [{ turn: turn.id, item }] : [])),
  );
  if (calls.length === 0) return <Nothing icon="wrench" words={text.noTools} />;
  const words = sought.trim().toLowerCase();
  const fits = calls.filter(({ item }) => `${item.tool} ${item.summary}`.toLowerCase().includes(words));
  return (
    <div class="tools-tab">
      <input
        type="search"
        value={sought}
        placeholder={text.filterTools}
        aria-label={text.filterTools}
        onInput={(event) => setSought(event.currentTarget.value)}
      />
      <p class="faint">{fits.length === 0 ? text.noToolFits : text.toolsCount(fits.length)}</p>
      <ul class="rows">
        {fits
          .slice(-MOST)
          .reverse()
          .map(({ turn, item }) => (
            <Row key={`${turn} ${item.key}`} turn={turn} item={item} />
          ))}
      </ul>
    </div>
  );
}

const Row = memo(({ turn, item }: Call) => (
  <li class={`call ${item.state}`}>
    <button type="button" class="quiet row" title={text.showInConversation} onClick={() => reveal(turn, item.key)}>
      <Icon name={toolIcon(item.tool)} />
      <strong>{toolName(item.tool)}</strong>
      <span class="summary">{summaryOf(item)}</span>
      <span class="state">
        {item.state === "running" ? (
          <Elapsed since={item.at} />
        ) : (
          <span class="elapsed">{duration(item.doneAt - item.at)}</span>
        )}
        <span class="hidden">{text.toolStates[item.state]}</span>
        <Icon name={STATE_ICONS[item.state]} />
      </span>
    </button>
  </li>
));
