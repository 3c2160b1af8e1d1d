/** Light or dark: as the system says, until a person says otherwise. */
import { signal } from "@preact/signals";
import { kept } from "./session/kept.ts";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const stored = kept<Theme>("theme", (value) => THEMES.find((one) => one === value) ?? "system");

export const theme = signal(stored.get());

export function applyTheme(): void {
  document.documentElement.dataset.theme = theme.value;
}

export function nextTheme(): void {
  const at = THEMES.indexOf(theme.value);
  theme.value = THEMES[(at + 1) % THEMES.length] ?? "system";
  stored.set(theme.value);
  applyTheme();
}
