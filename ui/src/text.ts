/** The page's words in the language that was chosen, and numbers in words. */
import { signal } from "@preact/signals";
import { en, type Words } from "./words/en.ts";

export const LANGUAGES = { en: "English", de: "Deutsch", zh: "中文" } as const;
export type Language = keyof typeof LANGUAGES;

/** The words of the language. Whoever reads them while drawing is drawn again in another one. */
export let text: Words = en;
export const language = signal<Language>("en");

const OTHERS: Record<Exclude<Language, "en">, () => Promise<Words>> = {
  de: async () => (await import("./words/de.ts")).de,
  zh: async () => (await import("./words/zh.ts")).zh,
};

const followers = new Set<(wanted: Language) => Promise<void>>();

/** Has further words follow the language: those of the parts that are fetched when they are opened. */
export async function follow(fetchWords: (wanted: Language) => Promise<void>): Promise<void> {
  followers.add(fetchWords);
  await fetchWords(language.value);
}

/** Speaks another language from now on. Where its words can't be fetched, nothing changes. */
export async function speak(wanted: Language): Promise<void> {
  try {
    const words = wanted === "en" ? en : await OTHERS[wanted]();
    for (const fetchWords of followers) await fetchWords(wanted);
    text = words;
  } catch {
    return;
  }
  language.value = wanted;
  document.documentElement.lang = wanted;
}

/** 0.4 s · 12.3 s · 2 min 5 s · 1 h 4 min */
export function duration(ms: number): string {
  const { seconds: s, minutes: min, hours: h } = text.units;
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${decimals(seconds, 1)} ${s}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} ${min} ${Math.floor(seconds % 60)} ${s}`;
  return `${Math.floor(minutes / 60)} ${h} ${minutes % 60} ${min}`;
}

/** How long ago, roughly: now · 5 min · 3 h · 2 d */
export function ago(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return text.ago.now;
  if (minutes < 60) return `${minutes} ${text.ago.minutes}`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} ${text.ago.hours}` : `${Math.floor(hours / 24)} ${text.ago.days}`;
}

export function count(value: number): string {
  return value.toLocaleString(language.value);
}

/** US dollars, with as many digits as a small sum needs. */
export function dollars(value: number): string {
  return `$${decimals(value, value < 1 ? 4 : 2)}`;
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} ${text.units.bytes}`;
  if (value < 1024 * 1024) return `${decimals(value / 1024, 1)} KiB`;
  if (value < 1024 ** 3) return `${decimals(value / 1024 ** 2, 1)} MiB`;
  return `${decimals(value / 1024 ** 3, 1)} GiB`;
}

const formats = new Map<string, Intl.NumberFormat>();

function decimals(value: number, digits: number): string {
  const key = `${language.value} ${digits}`;
  const made =
    formats.get(key) ??
    new Intl.NumberFormat(language.value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  formats.set(key, made);
  return made.format(value);
}
