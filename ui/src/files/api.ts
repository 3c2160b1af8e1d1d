/** The files of a session's sandbox, over HTTP. What comes from there may say anything. */
import { ask } from "../session/admission.ts";
import { reasonOf } from "../session/download.ts";
import { isFields } from "../session/wire.ts";
import { type FileNode, readNode } from "./tree.ts";

/** A sandbox that sleeps is woken first. */
const PATIENCE_MS = 90_000;
const TRANSFER_MS = 600_000;
/** Of an upload (`protocol::files`). */
export const MOST_FILES = 50;

export interface Listing {
  /** Where the agent sees the workspace. */
  readonly root: string;
  readonly tree: FileNode;
  readonly files: number;
  /** There is more than this. */
  readonly cut: boolean;
  /** It is what was saved last: the sandbox sleeps, and was not woken for it. */
  readonly saved: boolean;
}

export type Content =
  | { readonly kind: "text"; readonly content: string; readonly language: string; readonly version: string | null }
  | { readonly kind: "image"; readonly content: Blob }
  | { readonly kind: "binary"; readonly size: number; readonly type: string };

/** The server answered with something that is not success. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    words: string,
  ) {
    super(words);
  }
}

export class Files {
  constructor(private readonly session: string) {}

  async list(): Promise<Listing> {
    const answer = await this.ask("");
    const body: unknown = await answer.json();
    const tree = readNode(isFields(body) ? body.tree : null, "");
    if (!isFields(body) || tree === null) throw new Refused(502, "no list of files");
    return {
      root: typeof body.root === "string" ? body.root : "",
      tree,
      files: typeof body.total_files === "number" ? body.total_files : 0,
      cut: body.truncated === true || typeof body.next === "string",
      saved: answer.headers.has("x-from-save"),
    };
  }

  async read(file: FileNode): Promise<Content> {
    const answer = await this.ask(`/${file.address}`);
    const type = answer.headers.get("content-type") ?? "";
    if (type.startsWith("image/")) return { kind: "image", content: await answer.blob() };
    const body: unknown = await answer.json().catch(() => null);
    if (isFields(body) && typeof body.content === "string") {
      const language = typeof body.language === "string" ? body.language : "";
      return { kind: "text", content: body.content, language, version: answer.headers.get("etag") };
    }
    const fields = isFields(body) ? body : {};
    return {
      kind: "binary",
      size: typeof fields.size === "number" ? fields.size : (file.size ?? 0),
      type: typeof fields.content_type === "string" ? fields.content_type : "",
    };
  }

  /** Writes the whole file, where it still is the `version` that was read; null for in any case. Gives the new one. */
  async write(file: FileNode, content: string, version: string | null): Promise<string | null> {
    const headers: Record<string, string> = { "content-type": "application/octet-stream" };
    if (version !== null) headers["if-match"] = version;
    const answer = await this.ask(`/${file.address}`, { method: "PUT", headers, body: content });
    return answer.headers.get("etag");
  }

  download(file: FileNode): Promise<Blob> {
    return this.blob(`/${file.address}/download`, {});
  }

  zip(): Promise<Blob> {
    return this.blob("/download", { method: "POST" });
  }

  async upload(files: readonly File[], folder: string, overwrite: boolean): Promise<void> {
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    const query = new URLSearchParams({ target_path: folder, overwrite: String(overwrite) });
    await this.ask(`/upload?${query}`, { method: "POST", body: form, signal: AbortSignal.timeout(TRANSFER_MS) });
  }

  private async blob(path: string, init: RequestInit): Promise<Blob> {
    return (await this.ask(path, { ...init, signal: AbortSignal.timeout(TRANSFER_MS) })).blob();
  }

  private async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const base = `/api/files/${encodeURIComponent(this.session)}`;
    const address = `${base}${path}`;
    // A name such as `..` would make it an address of something else, with this page's rights.
    const real = new URL(address, location.origin).pathname;
    if (real !== base && !real.startsWith(`${base}/`)) throw new Refused(400, "no path of a file");
    const answer = await ask(address, { signal: AbortSignal.timeout(PATIENCE_MS), ...init });
    if (!answer.ok) throw new Refused(answer.status, await reasonOf(answer));
    return answer;
  }
}
