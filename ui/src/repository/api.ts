/** The Git repository of the session's workspace, over HTTP. What comes from there may say anything. */
import { type FileDiff, readDiff } from "../files/diff.ts";
import { ask } from "../session/admission.ts";
import { reasonOf } from "../session/download.ts";
import { isFields } from "../session/wire.ts";

/** A sandbox that sleeps is woken first. */
const PATIENCE_MS = 120_000;
/** What an answer names (`protocol::repository`). */
const MOST_CHANGES = 2_000;
const MOST_COMMITS = 50;
const MOST_BRANCHES = 200;

const KINDS = ["added", "modified", "deleted", "type_changed", "untracked", "conflicted"] as const;
export type ChangeKind = (typeof KINDS)[number];

const OPERATIONS = ["merge", "rebase", "cherry_pick", "revert"] as const;
export type Operation = (typeof OPERATIONS)[number];

/** The only places that a link leads to. */
const HOSTS = ["github.com", "gitlab.com", "bitbucket.org"];

export interface Change {
  readonly path: string;
  readonly kind: ChangeKind;
  readonly staged: boolean;
  /** Lines; null where nobody has counted them. */
  readonly added: number | null;
  readonly removed: number | null;
}

export interface Commit {
  readonly hash: string;
  readonly subject: string;
  readonly author: string;
  /** Milliseconds. */
  readonly at: number;
}

export interface Upstream {
  readonly name: string;
  /** Null where it is not there any more. */
  readonly ahead: number | null;
  readonly behind: number | null;
}

export interface Repository {
  /** Null where a commit is checked out instead. */
  readonly branch: string | null;
  /** Null before the first commit. */
  readonly head: string | null;
  readonly upstream: Upstream | null;
  readonly changes: readonly Change[];
  /** How many there are, of which `changes` may be a part. */
  readonly all: number;
  readonly truncated: boolean;
  readonly commits: readonly Commit[];
  readonly branches: readonly string[];
  readonly moreBranches: boolean;
  readonly host: string;
  /** The repository's page, and the one on which a pull request is opened. */
  readonly web: string | null;
  readonly newRequest: string | null;
  readonly operation: Operation | null;
}

export interface Found {
  readonly repository: Repository | null;
  /** What a reader has to know. */
  readonly note: string | null;
}

/** Null for what is none. */
export function readFound(body: unknown): Found | null {
  if (!isFields(body)) return null;
  const note = text(body.note);
  if (body.repository === null) return { repository: null, note };
  return isFields(body.repository) ? { repository: readRepository(body.repository), note } : null;
}

function readRepository(body: { readonly [name: string]: unknown }): Repository {
  const upstream = isFields(body.upstream) ? body.upstream : null;
  const name = upstream === null ? null : text(upstream.name);
  const remote = isFields(body.remote) ? body.remote : {};
  const counts = isFields(body.counts) ? body.counts : {};
  const changes = list(body.changes, MOST_CHANGES).flatMap((one): Change[] => {
    const path = isFields(one) ? text(one.path) : null;
    if (!isFields(one) || path === null) return [];
    return [
      {
        path,
        kind: KINDS.find((kind) => kind === one.kind) ?? "modified",
        staged: one.staged === true,
        added: number(one.additions),
        removed: number(one.deletions),
      },
    ];
  });
  return {
    branch: text(body.branch),
    head: text(body.head),
    upstream: upstream === null || name === null ? null : { name, ahead: number(upstream.ahead), behind: number(upstream.behind) },
    changes,
    all: Math.max(changes.length, number(counts.all) ?? 0),
    truncated: body.truncated === true,
    commits: list(body.commits, MOST_COMMITS).flatMap((one): Commit[] => {
      const hash = isFields(one) ? text(one.hash) : null;
      if (!isFields(one) || hash === null) return [];
      return [{ hash, subject: text(one.subject) ?? "", author: text(one.author) ?? "", at: (number(one.time) ?? 0) * 1000 }];
    }),
    branches: list(body.branches, MOST_BRANCHES).flatMap((one) => text(one) ?? []),
    moreBranches: body.more_branches === true,
    host: text(remote.host) ?? "",
    web: link(remote.web),
    newRequest: link(remote.new_request),
    operation: OPERATIONS.find((one) => one === body.operation) ?? null,
  };
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? Math.floor(value) : null;
}

function list(value: unknown, most: number): unknown[] {
  return Array.isArray(value) ? value.slice(0, most) : [];
}

/** An address that a person may be led to; null for any other. */
export function link(value: unknown): string | null {
  if (typeof value !== "string" || !URL.canParse(value)) return null;
  const { protocol, host, username, password, href } = new URL(value);
  return protocol === "https:" && HOSTS.includes(host) && username === "" && password === "" ? href : null;
}

/** The server answered with something that is not success. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    words: string,
  ) {
    super(words);
  }
}

/** @throws {Refused} in words for the person. */
async function said(session: string, path: string, init: RequestInit): Promise<unknown> {
  const answer = await ask(`/api/sessions/${encodeURIComponent(session)}/repository${path}`, init);
  if (!answer.ok) throw new Refused(answer.status, await reasonOf(answer));
  return answer.json().catch(() => null);
}

function within(stop?: AbortSignal): AbortSignal {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  return stop === undefined ? patience : AbortSignal.any([stop, patience]);
}

/** Asks the sandbox, which is woken where it sleeps. @throws {Refused} in words for the person. */
export async function fetchRepository(session: string, stop: AbortSignal): Promise<Found> {
  const found = readFound(await said(session, "", { signal: within(stop) }));
  if (found === null) throw new Refused(502, "no repository");
  return found;
}

/** What has changed in one file since the last commit. @throws {Refused} in words for the person. */
export async function fetchFileDiff(session: string, path: string, stop: AbortSignal): Promise<FileDiff> {
  const body = await said(session, `/diff?${new URLSearchParams({ path })}`, { signal: within(stop) });
  const diff = readDiff({ files: [body] })?.files[0];
  if (diff === undefined) throw new Refused(502, "no diff");
  return diff;
}

function act(session: string, what: string, wish: object): Promise<unknown> {
  const headers = { "content-type": "application/json" };
  return said(session, `/${what}`, { method: "POST", headers, body: JSON.stringify(wish), signal: within() });
}

/** Commits these paths, or all changes; gives the commit's name. @throws {Refused} in words for the person. */
export async function commit(session: string, message: string, paths: readonly string[] | null, head: string | null): Promise<string> {
  const made = await act(session, "commit", { message, ...(paths === null ? {} : { paths }), head: head ?? "" });
  const told = isFields(made) && isFields(made.commit) ? made.commit.hash : null;
  return typeof told === "string" ? told : "";
}

/** Checks a branch out, or begins one. @throws {Refused} in words for the person. */
export async function switchTo(session: string, name: string, create: boolean): Promise<void> {
  await act(session, "branch", { name, create });
}

/** @throws {Refused} in words for the person. */
export async function discard(session: string, paths: readonly string[]): Promise<void> {
  await act(session, "discard", { paths });
}
