/** What a person sets for this browser: how the page looks, speaks, moves, and whether it calls. */
import { effect, type Signal, signal } from "@preact/signals";
import { type Kept, kept } from "./session/kept.ts";
import { type Language, LANGUAGES, speak } from "./text.ts";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];
export const MOTIONS = ["system", "reduced", "full"] as const;
export type Motion = (typeof MOTIONS)[number];

/** A setting: its value, kept for the next visit, and in step with this browser's other tabs. */
class Setting<T> {
  private readonly stored: Kept<T>;
  private readonly now: Signal<T>;

  /** `read` makes a valid value of whatever was stored. */
  constructor(name: string, read: (stored: unknown) => T) {
    this.stored = kept(name, read);
    this.now = signal(this.stored.get());
  }

  get value(): T {
    return this.now.value;
  }

  set(value: T): void {
    this.now.value = value;
    this.stored.set(value);
  }

  reread(): void {
    this.now.value = this.stored.get();
  }
}

function oneOf<const T extends string>(known: readonly T[]): (stored: unknown) => T {
  return (stored) => known.find((one) => one === stored) ?? (known[0] as T);
}

export const theme = new Setting<Theme>("theme", oneOf(THEMES));
export const motion = new Setting<Motion>("motion", oneOf(MOTIONS));
/** Null for what the browser prefers. */
export const chosenLanguage = new Setting<Language | null>("language", (stored) => languageOf(stored));
/** Whether the page tells of a turn's end while it is not in front. */
export const notify = new Setting("notify", (stored) => stored === true);

export function rereadSettings(): void {
  for (const one of [theme, motion, chosenLanguage, notify]) one.reread();
}

/** Follows the settings from now on. Resolves when the page can be drawn in its language. */
export async function applySettings(): Promise<void> {
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    document.documentElement.dataset.motion = motion.value;
  });
  const spoken = speak(wantedLanguage());
  let first = true;
  effect(() => {
    const wanted = wantedLanguage();
    if (!first) void speak(wanted);
    first = false;
  });
  await spoken;
}

export function wantedLanguage(): Language {
  const preferred = navigator.languages.map((tag) => languageOf(tag.split("-")[0]));
  return chosenLanguage.value ?? preferred.find((one) => one !== null) ?? "en";
}

function languageOf(tag: unknown): Language | null {
  return typeof tag === "string" && Object.hasOwn(LANGUAGES, tag) ? (tag as Language) : null;
}
