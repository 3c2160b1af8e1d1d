/**
 * Files that go with the next message: they are put into the session's workspace while it is written, and the
 * message names them (`@attachments/plan.pdf`), which Claude Code reads.
 */
import { signal } from "@preact/signals";
import { text } from "../text.ts";
import { ask, authorization } from "./admission.ts";
import { kept } from "./kept.ts";
import { isFields } from "./wire.ts";

export interface Attachment {
  readonly key: number;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** An address of the picture, where it is one that was chosen here. */
  readonly picture: string | null;
  /** Where it is in the workspace; null while it is on its way. */
  readonly path: string | null;
  /** How much of it has gone out, from 0 to 1. */
  readonly sent: number;
  /** Why it did not get there. */
  readonly wrong: string | null;
}

/** Of one file (`protocol::files`). */
export const MOST_BYTES = 50 * 1024 * 1024;
/** Of a message. */
export const MOST_FILES = 20;
/** Where they are put, in the workspace. */
const FOLDER = "attachments";
/** Names that are tried where one is taken. */
const TRIES = 20;

/** Puts a file under a name. Gives its path; null where the name is taken. @throws in words for the person. */
export type Send = (file: File, name: string, progress: (sent: number) => void, stop: AbortSignal) => Promise<string | null>;

export class Attachments {
  readonly list;
  private readonly stored;
  private readonly underWay = new Map<number, { readonly file: File; readonly stop: AbortController }>();
  private last = 0;

  constructor(
    private readonly session: string,
    private readonly send: Send = uploader(session),
  ) {
    this.stored = kept(`attachments/${session}`, readKept);
    this.list = signal<readonly Attachment[]>(this.stored.get().map((one) => ({ ...one, key: this.nextKey() })));
  }

  /** All of them are there, or have failed. */
  get settled(): boolean {
    return this.list.value.every(({ path, wrong }) => path !== null || wrong !== null);
  }

  add(files: readonly File[]): void {
    const room = MOST_FILES - this.list.value.length;
    files.forEach((file, at) => {
      const key = this.nextKey();
      const wrong = at >= room ? text.uploadMany(MOST_FILES) : file.size > MOST_BYTES ? text.attachLarge : null;
      const picture = wrong === null && /^image\/(?:png|jpeg|gif|webp)$/.test(file.type) ? URL.createObjectURL(file) : null;
      this.list.value = [...this.list.value, { key, name: file.name, size: file.size, picture, path: null, sent: 0, wrong }];
      if (wrong === null) void this.put(key, file);
    });
  }

  /** Tries again what has failed. */
  again(key: number): void {
    const file = this.underWay.get(key)?.file;
    if (file === undefined) return;
    this.change(key, { wrong: null, sent: 0 });
    void this.put(key, file);
  }

  remove(key: number): void {
    const one = this.list.value.find((other) => other.key === key);
    this.underWay.get(key)?.stop.abort();
    this.drop([key]);
    // Nobody has been told of it: it need not stay.
    if (one?.path != null) void ask(`${address(this.session)}/${encoded(one.path)}`, { method: "DELETE" }).catch(() => undefined);
  }

  /** The paths of those that are there. They belong to a message now. */
  take(): string[] {
    const here = this.list.value.filter(({ path }) => path !== null);
    this.drop(here.map(({ key }) => key));
    return here.flatMap(({ path }) => (path === null ? [] : [path]));
  }

  private async put(key: number, file: File): Promise<void> {
    const stop = new AbortController();
    this.underWay.set(key, { file, stop });
    try {
      for (let tried = 1; tried <= TRIES; tried += 1) {
        const path = await this.send(file, safeName(file, tried), (sent) => this.change(key, { sent }), stop.signal);
        if (stop.signal.aborted) return;
        if (path === null) continue;
        this.underWay.delete(key);
        this.change(key, { path, sent: 1 });
        this.keep();
        return;
      }
      this.change(key, { wrong: text.uploadFailed(file.name) });
    } catch (error) {
      if (!stop.signal.aborted) this.change(key, { wrong: error instanceof Error ? error.message : "" });
    }
  }

  private change(key: number, changed: Partial<Attachment>): void {
    this.list.value = this.list.value.map((one) => (one.key === key ? { ...one, ...changed } : one));
  }

  private drop(keys: readonly number[]): void {
    for (const one of this.list.value) {
      if (!keys.includes(one.key)) continue;
      if (one.picture !== null) URL.revokeObjectURL(one.picture);
      this.underWay.delete(one.key);
    }
    this.list.value = this.list.value.filter(({ key }) => !keys.includes(key));
    this.keep();
  }

  /** What is there already is there also when the page comes back. */
  private keep(): void {
    const here = this.list.value.filter(({ path }) => path !== null);
    this.stored.set(here.map((one) => ({ ...one, picture: null })));
  }

  private nextKey(): number {
    this.last += 1;
    return this.last;
  }
}

/** A message with the files that go with it. */
export function withAttachments(words: string, paths: readonly string[]): string {
  if (paths.length === 0) return words;
  const named = paths.map((path) => `@${path}`).join(" ");
  return words.trim() === "" ? named : `${words.trimEnd()}\n\n${named}`;
}

/** A name that ends nowhere but at its end: without spaces, and what else a mention does not go through. */
export function safeName({ name, type }: Pick<File, "name" | "type">, tried: number): string {
  const safe = name.normalize("NFC").replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[.-]+/, "").slice(-100);
  const whole = safe === "" ? `file${type === "image/png" ? ".png" : ""}` : safe;
  if (tried === 1) return whole;
  const dot = whole.lastIndexOf(".");
  return dot > 0 ? `${whole.slice(0, dot)}-${tried}${whole.slice(dot)}` : `${whole}-${tried}`;
}

function address(session: string): string {
  return `/api/files/${encodeURIComponent(session)}`;
}

function encoded(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** A request of the older kind: only that one tells how much has gone out. */
function uploader(session: string): Send {
  return (file, name, progress, stop) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", `${address(session)}/upload?target_path=${FOLDER}&overwrite=false`);
      for (const [header, value] of Object.entries(authorization())) request.setRequestHeader(header, value);
      request.responseType = "json";
      request.upload.onprogress = ({ loaded, total, lengthComputable }) => lengthComputable && progress(loaded / total);
      request.onerror = () => reject(new Error(text.attachBroke));
      request.onload = () => {
        const body: unknown = request.response;
        if (request.status === 409) return resolve(null);
        if (request.status < 300) return resolve(`${FOLDER}/${name}`);
        const detail = isFields(body) && typeof body.detail === "string" ? body.detail : "";
        reject(new Error(detail === "" ? `status ${request.status}` : detail));
      };
      stop.addEventListener("abort", () => {
        request.abort();
        resolve(null);
      });
      const form = new FormData();
      form.append("files", file, name);
      request.send(form);
    });
}

function readKept(stored: unknown): readonly Omit<Attachment, "key">[] {
  if (!Array.isArray(stored)) return [];
  return stored.flatMap((one: unknown) => {
    if (!isFields(one) || typeof one.name !== "string" || typeof one.path !== "string") return [];
    const size = typeof one.size === "number" ? one.size : 0;
    return [{ name: one.name, size, picture: null, path: one.path, sent: 1, wrong: null }];
  });
}
