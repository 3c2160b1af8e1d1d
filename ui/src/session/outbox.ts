/** Messages that the session has not stored yet, or has refused. Kept until one or the other. */
import { kept } from "./kept.ts";
import { isFields } from "./wire.ts";

export interface Unsent {
  readonly id: string;
  readonly content: string;
  /** Further fields of the message: the model, the options. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Why the session refused it; null while it is on its way. */
  readonly refused: string | null;
}

export class Outbox {
  private readonly stored;

  constructor(session: string) {
    this.stored = kept(`outbox/${session}`, readOutbox);
  }

  /** In the order in which they were written. Another tab may have added to them. */
  list(): readonly Unsent[] {
    return this.stored.get();
  }

  add(message: Unsent): void {
    this.stored.set([...this.list(), message]);
  }

  remove(id: string): void {
    const before = this.list();
    const after = before.filter((message) => message.id !== id);
    if (after.length !== before.length) this.stored.set(after);
  }

  /** Notes the session's reason, or, with null, that it is on its way again. */
  refuse(id: string, reason: string | null): void {
    this.stored.set(
      this.list().map((message) => (message.id === id ? { ...message, refused: reason } : message)),
    );
  }
}

function readOutbox(stored: unknown): readonly Unsent[] {
  if (!Array.isArray(stored)) return [];
  return stored.flatMap((one: unknown) => {
    if (!isFields(one) || typeof one.id !== "string" || typeof one.content !== "string") return [];
    const fields = isFields(one.fields) ? one.fields : {};
    const refused = typeof one.refused === "string" ? one.refused : null;
    return [{ id: one.id, content: one.content, fields, refused }];
  });
}
