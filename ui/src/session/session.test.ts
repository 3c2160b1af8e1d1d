import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { HANDSHAKE_MS, PING_EVERY_MS, PONG_WITHIN_MS, retryDelay } from "./connection.ts";
import { Session } from "./session.ts";

/** The other end of the page's socket. */
class Peer {
  static all: Peer[] = [];
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  sent: Record<string, unknown>[] = [];
  closed = false;
  constructor(readonly url: string) {
    Peer.all.push(this);
  }
  send(line: string) {
    this.sent.push(JSON.parse(line));
  }
  close() {
    this.closed = true;
  }
  say(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  snapshot(seq: number, preferredModel: string | null = null) {
    this.say({ type: "status", snapshot: true, seq, timestamp: Date.now(), state: "idle", session: { claudeSession: { preferredModel } } });
  }
  event(seq: number, body: object) {
    this.say({ seq, turn_id: "turn-1", timestamp: 1, content: "", ...body });
  }
  of(type: string) {
    return this.sent.filter((frame) => frame.type === type);
  }
}

let online = true;
let session: Session;

function open(id = "s1"): Session {
  session = new Session(id, "ws://here/demo/ws/s1", {
    open: (url) => new Peer(url) as unknown as WebSocket,
    online: () => online,
    random: () => 0,
  });
  session.open();
  return session;
}

function peer(): Peer {
  const last = Peer.all.at(-1);
  if (last === undefined) throw new Error("no socket");
  return last;
}

const frames = () => vi.advanceTimersByTime(300);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", () => Promise.reject(new Error("no network")));
  localStorage.clear();
  Peer.all = [];
  online = true;
});

afterEach(() => {
  session.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the link", () => {
  it("goes on after a drop from the last event that was seen", () => {
    open();
    expect(peer().url).toBe("ws://here/demo/ws/s1?tail=500&warm=false");
    expect(session.link.value.state).toBe("connecting");
    peer().snapshot(2);
    peer().event(1, { type: "user_message", content: "hi", id: "m" });
    expect(session.caughtUp.value).toBe(false);
    peer().event(2, { type: "progress", content: "a", block: "b" });
    frames();
    expect(session.caughtUp.value).toBe(true);
    expect(session.link.value.state).toBe("live");
    peer().onclose?.();
    expect(session.link.value).toEqual({ state: "waiting", retryAt: Date.now() + 500 });
    vi.advanceTimersByTime(499);
    expect(Peer.all).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(peer().url).toBe("ws://here/demo/ws/s1?from=2&warm=false");
  });

  it("waits longer each time, between half a second and ten", () => {
    expect([0, 1, 2, 3, 4, 50].map((attempt) => retryDelay(attempt, 0))).toEqual([500, 1000, 2000, 4000, 5000, 5000]);
    expect([0, 1, 2, 3, 4, 50].map((attempt) => retryDelay(attempt, 1))).toEqual([1000, 2000, 4000, 8000, 10000, 10000]);
  });

  it("gives up a handshake that hangs, and has one socket at a time", () => {
    open();
    vi.advanceTimersByTime(HANDSHAKE_MS);
    expect(peer().closed).toBe(true);
    vi.advanceTimersByTime(1000);
    expect(Peer.all.filter((one) => !one.closed)).toHaveLength(1);
    expect(Peer.all).toHaveLength(2);
  });

  it("finds a dead link by its missing pong", () => {
    open();
    peer().snapshot(0);
    vi.advanceTimersByTime(PING_EVERY_MS);
    expect(peer().of("ping")).toHaveLength(1);
    peer().say({ type: "pong" });
    vi.advanceTimersByTime(PING_EVERY_MS);
    expect(peer().closed).toBe(false);
    vi.advanceTimersByTime(PONG_WITHIN_MS);
    expect(Peer.all[0]?.closed).toBe(true);
    expect(session.link.value.state).toBe("waiting");
  });

  it("comes back at once when the network or the page does", () => {
    open();
    peer().onclose?.();
    session.wake();
    expect(Peer.all).toHaveLength(2);
    session.wake();
    expect(Peer.all).toHaveLength(2);
  });

  it("says that it is offline", () => {
    online = false;
    open();
    expect(session.link.value.state).toBe("offline");
    expect(Peer.all).toHaveLength(0);
    online = true;
    session.wake();
    expect(Peer.all).toHaveLength(1);
  });

  it("asks on where there is more", () => {
    open();
    peer().snapshot(9);
    peer().event(8, { type: "user_message", content: "hi", id: "m" });
    peer().say({ type: "status", seq: null, more: true, next: 8, content: "There are more" });
    expect(peer().of("resume")).toEqual([{ type: "resume", from: 8 }]);
    expect(session.caughtUp.value).toBe(false);
    peer().event(9, { type: "progress", content: "a", block: "b" });
    frames();
    expect(session.caughtUp.value).toBe(true);
  });

  it("asks for what is missing where events have a gap", () => {
    open();
    peer().snapshot(0);
    peer().event(1, { type: "progress", content: "a", block: "b" });
    peer().event(3, { type: "progress", content: "b", block: "b" });
    peer().event(4, { type: "progress", content: "d", block: "b" });
    expect(peer().of("resume")).toEqual([{ type: "resume", from: 1 }]);
    for (const [at, content] of ["b", "c", "d"].entries()) {
      peer().event(at + 2, { type: "progress", content, block: "b" });
    }
    frames();
    expect(session.conversation.value.turns[0]?.items).toMatchObject([{ text: "abcd" }]);
  });

  it("begins anew where the log is another one", () => {
    open();
    peer().snapshot(1);
    peer().event(1, { type: "user_message", content: "old", id: "m" });
    frames();
    peer().onclose?.();
    session.wake();
    peer().snapshot(0);
    expect(session.conversation.value.turns).toEqual([]);
    expect(peer().of("resume")).toEqual([{ type: "resume", from: 0 }]);
  });
});

describe("what was said before", () => {
  const line = (seq: number, body: object) =>
    JSON.stringify({ seq, turn_id: "turn-1", timestamp: 1, content: "", ...body });
  const answer = (...lines: string[]) =>
    vi.stubGlobal("fetch", (path: string) => {
      asked.push(path);
      return Promise.resolve(new Response(`${lines.join("\n")}\n`));
    });
  let asked: string[] = [];
  beforeEach(() => {
    asked = [];
    open();
    peer().snapshot(3);
    peer().event(3, { type: "progress", content: "b", block: "b" });
    frames();
  });

  it("comes page by page, and is put before the rest", async () => {
    expect(session.older.value).toBe("some");
    answer(line(2, { type: "progress", content: "a", block: "b" }));
    const loading = session.loadOlder();
    expect(session.older.value).toBe("loading");
    // It goes on meanwhile.
    peer().event(4, { type: "progress", content: "c", block: "b" });
    await loading;
    expect(session.older.value).toBe("some");
    expect(session.conversation.value.turns[0]).toMatchObject({ message: null, items: [{ text: "abc" }] });
    answer(line(1, { type: "user_message", content: "go", id: "m" }));
    await session.loadOlder();
    expect(session.older.value).toBe("none");
    expect(session.conversation.value.turns[0]).toMatchObject({ message: { content: "go" }, items: [{ text: "abc" }] });
    await session.loadOlder();
    expect(asked).toEqual([3, 2].map((before) => `/api/sessions/s1/events?before=${before}&limit=1000`));
    peer().onclose?.();
    session.wake();
    expect(peer().url).toBe("ws://here/demo/ws/s1?from=4&warm=false");
  });

  it("can be asked for again where it did not come, or not what was asked for", async () => {
    for (const lines of [["nonsense"], [line(1, { type: "progress" })], []]) {
      answer(...lines);
      await session.loadOlder();
      expect(session.older.value).toBe("failed");
    }
    answer(line(1, { type: "user_message", content: "go", id: "m" }), line(2, { type: "progress", content: "a", block: "b" }));
    await session.loadOlder();
    expect(session.older.value).toBe("none");
    expect(session.conversation.value.turns).toMatchObject([{ message: { content: "go" }, items: [{ text: "ab" }] }]);
  });
});

describe("messages", () => {
  it("wait for the connection, and are sent until the session has them", () => {
    open();
    session.say("first");
    session.say("second");
    expect(peer().sent).toEqual([]);
    peer().snapshot(0);
    const [first, second] = peer().of("user_message");
    expect([first?.content, second?.content]).toEqual(["first", "second"]);
    peer().event(1, { type: "user_message", content: "first", id: first?.id });
    frames();
    expect(session.outbox.value.map((message) => message.content)).toEqual(["second"]);
    peer().onclose?.();
    session.wake();
    peer().snapshot(1);
    expect(peer().of("user_message")).toEqual([second]);
    // Stored before: the server answers with the event of then.
    peer().event(1, { type: "user_message", content: "second", id: second?.id });
    expect(session.outbox.value).toEqual([]);
  });

  it("outlive the page", () => {
    open();
    session.say("keep me");
    session.setDraft("half a thou");
    session.close();
    open();
    expect(session.draft.value).toBe("half a thou");
    peer().snapshot(0);
    expect(peer().of("user_message")).toMatchObject([{ content: "keep me" }]);
    session.close();
    expect(open("another").outbox.value).toEqual([]);
  });

  it("that are refused stay, with the reason", () => {
    open();
    peer().snapshot(0);
    session.say("too fast");
    const id = peer().of("user_message")[0]?.id as string;
    peer().say({ type: "error", content: "wait a second", code: "too_many_requests", id });
    expect(session.outbox.value).toMatchObject([{ refused: "wait a second" }]);
    session.sayAgain(id);
    expect(peer().of("user_message")).toHaveLength(2);
    session.forget(id);
    expect(session.outbox.value).toEqual([]);
  });

  it("carry only the options that were changed", () => {
    open();
    peer().snapshot(0);
    session.say("a");
    session.setOptions({ ...session.options.value, maxTurns: 3, moreTools: "Bash(git log:*, git diff:*), mcp__x__*" });
    session.say("b");
    expect(peer().of("user_message")[0]).toEqual({ type: "user_message", content: "a", id: expect.any(String) });
    expect(peer().of("user_message")[1]).toMatchObject({
      maxTurns: 3,
      allowedTools: ["Bash", "Read", "Write", "Edit", "Glob", "Grep", "Task", "TodoWrite", "Bash(git log:*, git diff:*)", "mcp__x__*"],
    });
  });

  it("are not lost where the browser keeps nothing", () => {
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
      throw new Error("full");
    });
    open();
    session.say("still here");
    expect(session.outbox.value).toHaveLength(1);
    peer().snapshot(0);
    expect(peer().of("user_message")).toHaveLength(1);
    vi.restoreAllMocks();
  });
});

describe("the model", () => {
  it("is the session's, whoever chose it", () => {
    open();
    peer().snapshot(1, "a/b");
    expect(session.model.value).toBe("a/b");
    peer().event(1, { type: "status", turn_id: null, state: "idle", model: "a/b" });
    frames();
    session.chooseModel("c/d");
    expect(session.model.value).toBe("c/d");
    expect(peer().of("set_model")).toEqual([{ type: "set_model", model: "c/d" }]);
    peer().event(2, { type: "status", turn_id: null, state: "idle", model: "c/d" });
    peer().event(3, { type: "status", turn_id: null, state: "idle", model: "e/f" });
    frames();
    expect(session.model.value).toBe("e/f");
  });

  it("that is refused is not kept", () => {
    open();
    peer().snapshot(0, "a/b");
    session.chooseModel("no/such");
    peer().say({ type: "error", content: "there is no such model", code: "not_found", field: "model", id: null });
    expect(session.model.value).toBe("a/b");
    expect(session.notice.value).toBe("there is no such model");
  });

  it("that was chosen without a connection is told when there is one", () => {
    open();
    session.chooseModel("c/d");
    peer().snapshot(0, "a/b");
    expect(peer().of("set_model")).toEqual([{ type: "set_model", model: "c/d" }]);
    expect(session.model.value).toBe("c/d");
  });
});

describe("stopping a turn", () => {
  const run = (seq: number) => peer().event(seq, { type: "status", state: "running" });
  const interrupts = () => peer().of("interrupt").length;

  it("is seen at once, and said again where a broken link took it away", () => {
    open();
    peer().snapshot(1);
    run(1);
    frames();
    session.interrupt("turn-1");
    expect([session.stopping.value, interrupts()]).toEqual(["turn-1", 1]);
    peer().onclose?.();
    vi.advanceTimersByTime(5_000);
    peer().snapshot(1);
    expect(interrupts()).toBe(1);
    // Once: whoever asks twice ends it at once.
    peer().event(2, { type: "progress", content: "a", block: "b" });
    frames();
    expect(interrupts()).toBe(1);
  });

  it("is not said again to a turn that has heard it", () => {
    open();
    peer().snapshot(1);
    run(1);
    frames();
    session.interrupt("turn-1");
    peer().onclose?.();
    vi.advanceTimersByTime(5_000);
    peer().snapshot(2);
    expect(interrupts()).toBe(0);
    peer().event(2, { type: "status", state: "running", content: "Interrupting" });
    frames();
    expect(interrupts()).toBe(0);
  });
});

describe("the door", () => {
  const answers = (status: number) =>
    vi.stubGlobal("fetch", () => Promise.resolve(new Response("{}", { status })));

  it("is not knocked at for ever by somebody who is not known", async () => {
    answers(401);
    open();
    peer().onclose?.();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(session.door.value).toBe("signed-out");
    expect(Peer.all).toHaveLength(1);
    answers(200);
    session.enter();
    peer().snapshot(0);
    expect(Peer.all).toHaveLength(2);
    expect(session.door.value).toBe("open");
    expect(session.link.value.state).toBe("live");
  });

  it("is closed to whom the session is not open, and open where it is only far away", async () => {
    answers(500);
    open();
    peer().onclose?.();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(session.door.value).toBe("open");
    expect(Peer.all.length).toBeGreaterThan(1);
    answers(403);
    peer().onclose?.();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(session.door.value).toBe("refused");
  });

  it("lets a reader read", () => {
    open();
    expect(session.access.value).toEqual({ write: true, manage: false, shell: true });
    peer().say({ type: "status", snapshot: true, seq: 0, timestamp: 1, state: "idle", access: { write: false, manage: false } });
    expect(session.access.value).toEqual({ write: false, manage: false, shell: false });
  });
});
