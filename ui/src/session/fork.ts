/** A new session from what another one was at the end of a turn. */
import { ask } from "./admission.ts";
import { reasonOf } from "./download.ts";
import { isFields } from "./wire.ts";

/** It is as much work as restoring a sandbox's disk. */
const PATIENCE_MS = 60_000;

/**
 * Goes on from the end of a turn, or of the last one. The new session's id; null where the server has no forks.
 *
 * @throws what the server says, in words for the person.
 */
export async function fork(session: string, turn: number | null): Promise<string | null> {
  const answer = await ask(`/api/sessions/${encodeURIComponent(session)}/fork`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(turn === null ? {} : { turn }),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (answer.status === 404 || answer.status === 405) return null;
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const made: unknown = await answer.json().catch(() => null);
  const id = isFields(made) ? made.session_id : null;
  if (typeof id !== "string" || !/^[\w.-]{1,128}$/.test(id)) throw new Error("no session");
  return id;
}
