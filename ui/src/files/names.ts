/** Names of files for people to read. */

/** Characters that are not seen, or that turn around what is. */
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A name in which nothing hides. */
export function shownName(name: string): string {
  return name.replace(HIDDEN, "\ufffd");
}

/** A name under which this machine may keep it. */
export function savedName(name: string): string {
  const kept = shownName(name).replace(/[\\/:*?"<>|\ufffd]/g, "_").replace(/^\.+/, "_");
  return kept.slice(0, 200) || "file";
}

/** How a file's text is best looked at. */
export type Look = "markdown" | "table" | "notebook" | "code";

export function lookOf(path: string): Look {
  const ending = /\.([^./]+)$/.exec(path.toLowerCase())?.[1] ?? "";
  if (ending === "md" || ending === "markdown") return "markdown";
  if (ending === "csv" || ending === "tsv") return "table";
  return ending === "ipynb" ? "notebook" : "code";
}
