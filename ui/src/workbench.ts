/**
 * Which parts of the page are open. On a wide screen the rail of sessions and the side panel stand
 * beside the conversation, and stay as they were left; on others one of them slides over it.
 */
import { computed, signal } from "@preact/signals";
import { kept } from "./session/kept.ts";

export const TABS = ["files", "terminal", "tasks", "tools", "resources", "log"] as const;
export type Tab = (typeof TABS)[number];
export type Side = "rail" | "panel";

/** From here on there is room for all three beside each other (style/bench.css says the same). */
const WIDE = "(min-width: 80rem)";
/** Of the side panel, in CSS pixels. */
export const NARROWEST = 280;
export const WIDEST = 900;

const query = globalThis.matchMedia?.(WIDE);
export const wide = signal(query?.matches ?? true);
query?.addEventListener("change", (change) => {
  wide.value = change.matches;
  over.value = null;
});

const open = (stored: unknown) => stored !== false;
const stored = {
  rail: kept("rail-open", open),
  panel: kept("panel-open", open),
  tab: kept<Tab>("panel-tab", (value) => TABS.find((one) => one === value) ?? "files"),
  width: kept("panel-width", (value) => within(typeof value === "number" ? value : 384)),
};
const docked = { rail: signal(stored.rail.get()), panel: signal(stored.panel.get()) };

/** What slides over the conversation. */
export const over = signal<Side | null>(null);
export const railShown = computed(() => (wide.value ? docked.rail.value : over.value === "rail"));
export const panelShown = computed(() => (wide.value ? docked.panel.value : over.value === "panel"));
export const tab = signal(stored.tab.get());
export const panelWidth = signal(stored.width.get());

/** Somebody wants to see the files: for that a sandbox may be woken. A page that is only open wakes none. */
export const filesWanted = signal(false);

export function show(side: Side, is: boolean): void {
  if (side === "panel" && is && tab.value === "files") filesWanted.value = true;
  if (!wide.value) {
    over.value = is ? side : null;
    return;
  }
  docked[side].value = is;
  stored[side].set(is);
}

export function toggle(side: Side): void {
  show(side, !(side === "rail" ? railShown : panelShown).value);
}

export function openTab(wanted: Tab): void {
  tab.value = wanted;
  stored.tab.set(wanted);
  show("panel", true);
}

/** The file that the files tab is to show next, as the agent names it. */
export const wantedFile = signal<string | null>(null);

export function openFile(path: string): void {
  wantedFile.value = path;
  filesView.value = "tree";
  openTab("files");
}

/** What the files tab shows: the tree, what was changed by turns, or the repository. */
export const FILES_VIEWS = ["tree", "changes", "git"] as const;
export type FilesView = (typeof FILES_VIEWS)[number];
export const filesView = signal<FilesView>("tree");

export function viewFiles(as: FilesView): void {
  filesView.value = as;
  if (as === "tree") filesWanted.value = true;
}

/** The turn whose changes are shown; nothing for those of all turns. */
export const wantedChanges = signal("");

export function openChanges(turn: string): void {
  wantedChanges.value = turn;
  filesView.value = "changes";
  openTab("files");
}

export function setPanelWidth(pixels: number): void {
  panelWidth.value = within(pixels);
  stored.width.set(panelWidth.value);
}

function within(pixels: number): number {
  return Math.round(Math.min(WIDEST, Math.max(NARROWEST, pixels)));
}
