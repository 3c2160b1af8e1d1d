/**
 * What this browser keeps between visits. A browser may refuse (private windows, full storage): then
 * things are kept for as long as the page lives, and nothing else changes.
 */
const PREFIX = "agent-router";

export interface Kept<T> {
  get(): T;
  set(value: T): void;
}

/** A value by its name. `read` makes a valid one of whatever was stored, or of undefined. */
export function kept<T>(name: string, read: (stored: unknown) => T): Kept<T> {
  const key = `${PREFIX}/${name}`;
  let memory: unknown;
  let refused = false;
  return {
    get() {
      if (refused) return read(memory);
      try {
        const stored = localStorage.getItem(key);
        return read(stored === null ? undefined : JSON.parse(stored));
      } catch {
        return read(memory);
      }
    },
    set(value) {
      memory = value;
      try {
        localStorage.setItem(key, JSON.stringify(value));
        refused = false;
      } catch {
        refused = true;
      }
    },
  };
}

export function textOr(otherwise: string): (stored: unknown) => string {
  return (stored) => (typeof stored === "string" ? stored : otherwise);
}
