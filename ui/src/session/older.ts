/** Events from further back in the log than a page has. */
import { ask } from "./admission.ts";
import { type LogEvent, parseFrame } from "./wire.ts";

/** Events that are asked for at once; the server gives fewer where they are large. */
const PAGE = 1000;

/**
 * The events before `before`, the newest that fit into an answer, in ascending order and up to the one
 * right before it. Rejects where they can't be had.
 */
export async function fetchOlder(session: string, before: number): Promise<LogEvent[]> {
  const path = `/api/sessions/${encodeURIComponent(session)}/events?before=${before}&limit=${PAGE}`;
  const answer = await ask(path);
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const events: LogEvent[] = [];
  for (const line of (await answer.text()).split("\n")) {
    const frame = line === "" ? null : parseFrame(line);
    if (frame?.kind === "event") events.push(frame.event);
  }
  const whole = events.every((event, at) => event.seq === before - events.length + at);
  if (events.length === 0 || !whole) throw new Error("not the events before");
  return events;
}
