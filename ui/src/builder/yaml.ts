/** A configuration as YAML, which somebody may write by hand: what is changed elsewhere leaves the rest as it is. */
import { type Document, isMap, parseDocument, stringify, type YAMLMap } from "yaml";
import { isFields } from "../session/wire.ts";

export type Config = Readonly<Record<string, unknown>>;

export type Reading =
  | { readonly config: Config }
  /** In words of the parser's; null where it is YAML, but no configuration. */
  | { readonly line: number; readonly words: string | null };

/** The server takes no more (`agents::MAX_BODY`). */
const MOST_BYTES = 256 * 1024;
/** A list of words that is no longer than this stands in one line. */
const LINE = 90;
/** No line is folded: in a prompt each line end means something. */
const FORM = { lineWidth: 0, flowCollectionPadding: false } as const;

export function readYaml(text: string): Reading {
  if (text.length > MOST_BYTES) return { line: 1, words: `> ${MOST_BYTES / 1024} KiB` };
  const document = parsed(text);
  const error = document.errors[0];
  if (error !== undefined) return { line: error.linePos?.[0].line ?? 1, words: firstLine(error.message) };
  try {
    const value: unknown = document.toJS({ maxAliasCount: 20 });
    return isFields(value) ? { config: value } : { line: 1, words: null };
  } catch (error) {
    return { line: 1, words: firstLine(error instanceof Error ? error.message : "") };
  }
}

export function asYaml(config: Config): string {
  return written(parsed(""), config);
}

/** The same text where it says what `config` has, comments and all, and the new where it does not. */
export function changedYaml(text: string, config: Config): string {
  const document = parsed(text);
  return written(document.errors.length === 0 ? document : parsed(""), config);
}

function parsed(text: string) {
  return parseDocument(text, { stringKeys: true });
}

function firstLine(words: string): string {
  return words.split(/\n| at line /, 1)[0] ?? "";
}

function written(document: ReturnType<typeof parsed>, config: Config): string {
  if (isMap(document.contents)) change(document, document.contents, config);
  else document.contents = document.createNode(config) as never;
  if (isMap(document.contents)) for (const { value } of document.contents.items) inOneLine(value);
  try {
    return document.toString(FORM);
  } catch {
    return stringify(config, FORM);
  }
}

function change(document: Document.Parsed, map: YAMLMap, fields: Config): void {
  const before: unknown = map.toJS(document, { maxAliasCount: 20 });
  const known = isFields(before) ? before : {};
  for (const name of Object.keys(known)) if (!Object.hasOwn(fields, name)) map.delete(name);
  for (const [name, value] of Object.entries(fields)) {
    if (Object.hasOwn(known, name) && JSON.stringify(known[name]) === JSON.stringify(value)) continue;
    const node = map.get(name, true);
    if (isMap(node) && isFields(value)) change(document, node as YAMLMap, value);
    else map.set(name, inOneLine(document.createNode(value)));
  }
}

/** Short lists of words, such as tools, are best seen at once. */
function inOneLine<T>(node: T): T {
  const list = node as { items?: { value?: unknown }[]; flow?: boolean; range?: unknown };
  if (!Array.isArray(list.items) || isMap(node) || list.range) return node;
  const words = list.items.map((one) => one.value);
  if (words.every((word) => typeof word === "string" && !word.includes("\n")) && words.join(", ").length < LINE) list.flow = true;
  return node;
}
