import { signal } from "@preact/signals";
import { render } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fold, nothingSaid } from "../session/conversation.ts";
import type { Session } from "../session/session.ts";
import type { LogEvent } from "../session/wire.ts";
import { SessionProvider } from "../view/context.ts";
import { filesView, filesWanted, openTab, wantedChanges } from "../workbench.ts";
import { ChangesView } from "./changes-view.tsx";
import { FilesTab } from "./files-tab.tsx";

/** A turn that has ended, in which a file was written. */
function conversation(turn: number) {
  let seq = 0;
  const event = (body: object) => ({ seq: (seq += 1), turnId: `turn-${turn}`, timestamp: seq, content: "", parent: null, ...body }) as unknown as LogEvent;
  const status = { type: "status", outcome: null, model: null, usage: null, mode: null, rules: null };
  return fold(nothingSaid, [
    event({ type: "user_message", id: "m" }),
    event({ ...status, state: "starting" }),
    event({ type: "tool_use", tool: "Write", toolUseId: "w", input: { file_path: "/workspace/said.txt", content: "x" } }),
    event({ type: "tool_result", toolUseId: "w", isError: false, cutBytes: 0, content: "File created successfully" }),
    event({ ...status, state: "ended", outcome: "completed" }),
  ]);
}

const place = document.body.appendChild(document.createElement("div"));
const caughtUp = signal(true);
let asleep = true;
let asked: string[] = [];
let diff: { status: number; body: unknown } = { status: 200, body: null };

/** What the page shows of a session, whose turn has this number so that nothing is known of it yet. */
function show(part: "files" | "changes", turn: number): void {
  const session = { id: "s", conversation: signal(conversation(turn)), older: signal("none"), caughtUp, access: signal({ write: true }), tell: () => undefined } as unknown as Session;
  render(<SessionProvider value={session}>{part === "files" ? <FilesTab /> : <ChangesView changes={1} />}</SessionProvider>, place);
}

const seen = (test: string) => vi.waitFor(() => expect(place.querySelector(`[data-testid="${test}"]`)).not.toBeNull());
const from = (who: string) => vi.waitFor(() => expect(place.querySelector<HTMLElement>("[data-testid=changes]")?.dataset.from).toBe(who));
const press = (test: string) => place.querySelector<HTMLElement>(`[data-testid="${test}"]`)?.click();
const listings = () => asked.filter((path) => path === "/api/files/s").length;

beforeEach(() => {
  asleep = true;
  asked = [];
  filesWanted.value = false;
  filesView.value = "tree";
  wantedChanges.value = "";
  caughtUp.value = true;
  diff = { status: 200, body: { from: "", to: "", truncated: false, files: [{ path: "by-a-command.txt", status: "added", additions: 1, deletions: 0, binary: false, patch: "@@ -0,0 +1 @@\n+made\n" }] } };
  vi.stubGlobal("fetch", (path: string) => {
    asked.push(path);
    const json = (body: unknown, status = 200, headers: Record<string, string> = {}) => Promise.resolve(new Response(JSON.stringify(body), { status, headers }));
    if (path.startsWith("/api/resources/")) return json({ status: asleep ? "sleeping" : "running" });
    if (path.includes("/diff?")) return json(diff.body, diff.status);
    const tree = { name: "workspace", type: "directory", path: "", children: [{ name: "a.txt", type: "file", path: "a.txt" }] };
    return json({ root: "/workspace", tree, total_files: 1, total_items: 1 }, 200, asleep ? { "x-from-save": "4" } : {});
  });
});

afterEach(() => {
  render(null, place);
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("the changes of a session that sleeps", () => {
  it("are what its calls say until somebody wants all of them", async () => {
    show("changes", 1);
    await from("calls");
    expect(place.textContent).toContain("said.txt");
    expect(asked.filter((path) => path.includes("/diff?"))).toEqual([]);
    press("changes-whole");
    await from("sandbox");
    expect(place.textContent).toContain("by-a-command.txt");
    expect(asked.at(-1)).toBe("/api/sessions/s/diff?from=begin&to=now");
  });

  it("of one that is awake are what the sandbox says; of a turn that is over it is asked once", async () => {
    asleep = false;
    wantedChanges.value = "turn-2";
    show("changes", 2);
    await from("sandbox");
    expect(asked.at(-1)).toBe("/api/sessions/s/diff?from=turn-1&to=turn-2");
    render(null, place);
    asked = [];
    asleep = true;
    show("changes", 2);
    await from("sandbox");
    expect(asked).toEqual([]);
  });

  it("are what its calls say where it can't say them, with its reason", async () => {
    asleep = false;
    diff = { status: 413, body: { detail: "there was too much of it" } };
    show("changes", 3);
    await from("calls");
    expect(place.textContent).toContain("there was too much of it");
    expect(place.textContent).toContain("said.txt");
  });
});

describe("the files of a session that sleeps", () => {
  it("are asked for when somebody opens them, not by a page that is open", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    show("files", 1);
    await seen("files-asleep");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(listings()).toBe(0);
    openTab("files");
    await seen("from-save");
    await vi.waitFor(() => expect(listings()).toBe(1));
    // The link broke and came back.
    caughtUp.value = false;
    await vi.advanceTimersByTimeAsync(1_000);
    caughtUp.value = true;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(listings()).toBe(1);
  });

  it("are asked for by a button, where the tab was open before", async () => {
    show("files", 1);
    await seen("files-asleep");
    press("wake");
    await seen("from-save");
    expect(place.textContent).toContain("a.txt");
  });

  it("are not asked for by who looks at changes", async () => {
    filesView.value = "changes";
    openTab("files");
    show("files", 4);
    await from("calls");
    expect(listings()).toBe(0);
    press("files-tree");
    await seen("from-save");
  });
});
