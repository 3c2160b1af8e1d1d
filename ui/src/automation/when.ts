/** When something is said: patterns of cron in words, and times. */
import { language } from "../text.ts";
import { more } from "../words/more.ts";

/** How often, as the form asks it. Whatever else cron can say is typed. */
export const RHYTHMS = ["hourly", "daily", "weekdays", "weekly", "own"] as const;
export type Rhythm = (typeof RHYTHMS)[number];

export interface Simple {
  readonly rhythm: Exclude<Rhythm, "own">;
  readonly hour: number;
  readonly minute: number;
  /** 0 for Sunday; of a weekly one. */
  readonly weekday: number;
}

export function cronOf({ rhythm, hour, minute, weekday }: Simple): string {
  switch (rhythm) {
    case "hourly":
      return `${minute} * * * *`;
    case "daily":
      return `${minute} ${hour} * * *`;
    case "weekdays":
      return `${minute} ${hour} * * MON-FRI`;
    case "weekly":
      return `${minute} ${hour} * * ${weekday}`;
  }
}

/** What the form can say of a pattern; null for a pattern that says more. */
export function simpleOf(pattern: string): Simple | null {
  const parts = /^(\d{1,2}) (\*|\d{1,2}) \* \* (\*|MON-FRI|1-5|[0-7])$/i.exec(pattern.trim());
  if (parts === null) return null;
  const [, minutes = "", hours = "", days = ""] = parts;
  const minute = Number(minutes);
  const hour = hours === "*" ? 0 : Number(hours);
  if (minute > 59 || hour > 23) return null;
  if (hours === "*") return days === "*" ? { rhythm: "hourly", hour, minute, weekday: 1 } : null;
  if (days === "*") return { rhythm: "daily", hour, minute, weekday: 1 };
  if (/[^\d]/.test(days)) return { rhythm: "weekdays", hour, minute, weekday: 1 };
  return { rhythm: "weekly", hour, minute, weekday: Number(days) % 7 };
}

/** A pattern in words; itself, where words would be long. */
export function rhythmWords(pattern: string, zone: string | null): string {
  const words = more.automation;
  const simple = simpleOf(pattern);
  const at = simple === null ? "" : clock(simple.hour, simple.minute);
  const said =
    simple === null
      ? pattern
      : simple.rhythm === "hourly"
        ? words.everyHour(String(simple.minute).padStart(2, "0"))
        : simple.rhythm === "weekly"
          ? words.everyWeek(weekdayName(simple.weekday), at)
          : (simple.rhythm === "daily" ? words.everyDay : words.everyWeekday)(at);
  return `${said} (${zone ?? "UTC"})`;
}

export function clock(hour: number, minute: number): string {
  return `${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")}`;
}

/** 0 for Sunday. */
export function weekdayName(weekday: number): string {
  // The fourth of January 1970 was a Sunday.
  return new Date(Date.UTC(1970, 0, 4 + weekday)).toLocaleDateString(language.value, { weekday: "long", timeZone: "UTC" });
}

/** A time by the clock here: Mon, 5 Jan 2026, 09:00 */
export function moment(at: number): string {
  return new Date(at).toLocaleString(language.value, { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
}

const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
] as const;

/** How far away a time is: in 3 hours, tomorrow, 5 minutes ago. */
export function fromNow(at: number, now: number): string {
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: "auto" });
  const away = at - now;
  const [unit, ms] = UNITS.find(([, ms]) => Math.abs(away) >= ms) ?? ["minute", 60_000];
  return format.format(Math.round(away / ms), unit);
}

export function zones(): string[] {
  return Intl.supportedValuesOf?.("timeZone") ?? [];
}

export function ownZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** What a field for a time here holds: 2026-01-05T09:00 */
export function localInput(at: number): string {
  const date = new Date(at);
  return new Date(at - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
