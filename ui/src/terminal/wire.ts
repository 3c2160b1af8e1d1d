/** What a terminal of the session's sandbox says, and how it is asked for. What it sends is not trusted. */
import { ask } from "../session/admission.ts";
import { reasonOf } from "../session/download.ts";
import { isFields } from "../session/wire.ts";

export interface Size {
  readonly cols: number;
  readonly rows: number;
}

export type Why = "exited" | "closed" | "unused" | "stopped";

export type Sign =
  /** What was printed before comes next; its screen begins anew. */
  | { readonly type: "opened"; readonly isNew: boolean; readonly cut: boolean }
  /** What was printed before has come. */
  | { readonly type: "live" }
  /** Another viewer has made it so large. */
  | { readonly type: "resized"; readonly size: Size }
  | { readonly type: "pong" }
  | { readonly type: "refused"; readonly detail: string }
  | { readonly type: "ended"; readonly why: Why; readonly code: number | null };

/** Terminals of a sandbox, at most. */
export const MOST = 4;
/** Bytes of a frame to a terminal; longer input goes in several. */
const LONGEST = 16 * 1024;
const WHYS: readonly Why[] = ["exited", "closed", "unused", "stopped"];

/** Reads a text frame; null for what is none. */
export function parseSign(data: string): Sign | null {
  let fields: unknown;
  try {
    fields = JSON.parse(data);
  } catch {
    return null;
  }
  if (!isFields(fields)) return null;
  switch (fields.type) {
    case "opened":
      return { type: "opened", isNew: fields.new === true, cut: fields.cut === true };
    case "live":
    case "pong":
      return { type: fields.type };
    case "resized": {
      const size = { cols: cells(fields.cols), rows: cells(fields.rows) };
      return size.cols > 0 && size.rows > 0 ? { type: "resized", size } : null;
    }
    case "refused":
      return { type: "refused", detail: typeof fields.detail === "string" ? fields.detail.slice(0, 500) : "" };
    case "ended": {
      const why = WHYS.find((one) => one === fields.why) ?? "closed";
      return { type: "ended", why, code: typeof fields.code === "number" ? fields.code : null };
    }
    default:
      return null;
  }
}

function cells(value: unknown): number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= 500 ? value : 0;
}

/** What is typed, in frames that are not too long. */
export function frames(typed: string): Uint8Array<ArrayBuffer>[] {
  const bytes = new TextEncoder().encode(typed);
  const all = [];
  for (let at = 0; at < bytes.length; at += LONGEST) all.push(bytes.slice(at, at + LONGEST));
  return all;
}

export interface Listed {
  readonly asleep: boolean;
  /** The names of those that are open. */
  readonly open: readonly string[];
}

/** Which terminals are open; asking wakes nobody. @throws in words for the person. */
export async function list(session: string): Promise<Listed> {
  const answer = await ask(address(session));
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const body: unknown = await answer.json();
  const all = isFields(body) && Array.isArray(body.terminals) ? body.terminals : [];
  return {
    asleep: isFields(body) && body.sandbox === "sleeping",
    open: all.flatMap((one: unknown) => (isFields(one) && typeof one.name === "string" ? [one.name] : [])),
  };
}

/** Ends a terminal, with all that runs in it. @throws in words for the person. */
export async function end(session: string, name: string): Promise<void> {
  const answer = await ask(`${address(session)}/${encodeURIComponent(name)}`, { method: "DELETE" });
  if (!answer.ok && answer.status !== 404) throw new Error(await reasonOf(answer));
}

export function socketAddress(session: string, name: string, size: Size, attach: boolean): string {
  const path = `${address(session)}/${encodeURIComponent(name)}?cols=${size.cols}&rows=${size.rows}&attach=${attach}`;
  return location.origin.replace(/^http/, "ws") + path;
}

function address(session: string): string {
  return `/api/sessions/${encodeURIComponent(session)}/terminals`;
}
