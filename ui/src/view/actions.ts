/** What can be done with a session as a whole, wherever somebody asks for it. */
import { signal } from "@preact/signals";
import { signOut } from "../session/admission.ts";
import { exportName, fetchDocument, save } from "../session/download.ts";
import type { Session } from "../session/session.ts";
import { text } from "../text.ts";
import { copy } from "./copy-button.tsx";

export type DialogName = "share" | "settings" | "delete" | "launch" | "palette" | "usage" | "automation";

/** Which is open. It stays so where the page is drawn in another language. */
export const dialog = signal<DialogName | null>(null);

/** The agent that the launch dialog is to begin with. */
export const agentToLaunch = signal<string | null>(null);

export async function exportAs(session: Session, format: "json" | "markdown"): Promise<void> {
  const path = `/api/sessions/${encodeURIComponent(session.id)}/export?format=${format}`;
  try {
    save(await fetchDocument(path), exportName(session.id, format === "json" ? "json" : "md"));
  } catch (error) {
    session.tell(text.exportFailed(error instanceof Error ? error.message : ""));
  }
}

export async function copyLink(session: Session): Promise<void> {
  const address = `${location.origin}${location.pathname}`;
  session.tell((await copy(address)) ? text.linkCopied : text.cannotCopy);
}

export async function leave(session: Session): Promise<void> {
  try {
    await signOut();
    location.reload();
  } catch {
    session.tell(text.shareFailed);
  }
}
