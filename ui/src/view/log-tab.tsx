import { useState } from "preact/hooks";
import { exportName, fetchDocument, save } from "../session/download.ts";
import type { LogEvent } from "../session/wire.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Icon } from "./icon.tsx";
import { memo } from "./memo.ts";
import { Nothing } from "./nothing.tsx";
import { terminalText } from "./terminal-text.ts";
import { json } from "./tool-body.tsx";

/** Rows that are shown. */
const MOST = 200;

interface Row {
  readonly first: LogEvent;
  /** Pieces of the same block, one after the other, are one row. */
  readonly pieces: number;
}

/** The session's log as it comes, the newest first. */
export function LogTab() {
  const session = useSession();
  // Whatever changes the log changes this.
  void session.conversation.value.seq;
  const rows = rowsOf(session.recent).slice(-MOST).reverse();
  if (rows.length === 0) return <Nothing icon="lines" words={text.noEvents} />;
  const download = async () => {
    try {
      const path = `/api/sessions/${encodeURIComponent(session.id)}/events`;
      save(await fetchDocument(path), exportName(session.id, "ndjson"));
    } catch (error) {
      session.tell(text.exportFailed(error instanceof Error ? error.message : ""));
    }
  };
  return (
    <div class="log-tab">
      <header>
        <span class="faint">{text.lastEvents(session.recent.length)}</span>
        <button type="button" class="quiet small" onClick={download}>
          <Icon name="download" />
          {text.downloadLog}
        </button>
      </header>
      <ul class="rows">
        {rows.map(({ first, pieces }) => (
          <EventRow key={first.seq} event={first} pieces={pieces} />
        ))}
      </ul>
    </div>
  );
}

export function rowsOf(events: readonly LogEvent[]): Row[] {
  const rows: Row[] = [];
  for (const event of events) {
    const last = rows.at(-1);
    if (last !== undefined && samePieces(last.first, event)) {
      rows[rows.length - 1] = { ...last, pieces: last.pieces + 1 };
    } else {
      rows.push({ first: event, pieces: 1 });
    }
  }
  return rows;
}

function samePieces(one: LogEvent, other: LogEvent): boolean {
  return (
    (one.type === "progress" || one.type === "thinking") &&
    one.type === other.type &&
    "block" in other &&
    one.block === other.block
  );
}

const EventRow = memo(({ event, pieces }: { event: LogEvent; pieces: number }) => {
  const [open, setOpen] = useState(false);
  const at = new Date(event.timestamp).toLocaleTimeString();
  return (
    <li>
      <details onToggle={(toggled) => setOpen(toggled.currentTarget.open)}>
        <summary class="row">
          <span class="seq">{event.seq}</span>
          <strong>{pieces > 1 ? `${event.type} × ${pieces}` : event.type}</strong>
          <span class="summary">{terminalText(event.content.slice(0, 400)).slice(0, 200)}</span>
          <time class="faint">{at}</time>
        </summary>
        {open && <pre tabIndex={0}>{json(event)}</pre>}
      </details>
    </li>
  );
});
