/** Documents of a session, saved on this machine. */
import { ask } from "./admission.ts";
import { isFields } from "./wire.ts";

/** A whole document takes as long as it takes; a server that is silent this long is not there. */
const PATIENCE_MS = 120_000;

/** @throws what the server says, in words for the person. */
export async function fetchDocument(path: string, init: RequestInit = {}): Promise<Blob> {
  const answer = await ask(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...init });
  if (!answer.ok) throw new Error(await reasonOf(answer));
  return answer.blob();
}

/** Why the server refused. */
export async function reasonOf(answer: Response): Promise<string> {
  const body: unknown = await answer.json().catch(() => null);
  const detail = isFields(body) ? body.detail : null;
  return typeof detail === "string" && detail !== "" ? detail : `status ${answer.status}`;
}

/** Has the browser save it under a name. */
export function save(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser reads it after this has returned.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export function exportName(session: string, ending: string): string {
  return `session-${session}.${ending}`;
}
