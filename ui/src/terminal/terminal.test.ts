import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Link, type State } from "./link.ts";
import { frames, type Listed, parseSign } from "./wire.ts";

describe("what a terminal says", () => {
  it("is read where it is what is expected", () => {
    expect(parseSign('{"type":"opened","name":"1","cols":80,"rows":24,"new":true,"cut":false}')).toEqual({ type: "opened", isNew: true, cut: false });
    expect(parseSign('{"type":"ended","why":"exited","code":3}')).toEqual({ type: "ended", why: "exited", code: 3 });
    expect(parseSign('{"type":"ended","why":"<script>","code":"x"}')).toEqual({ type: "ended", why: "closed", code: null });
  });

  it.each(["", "null", "[]", "{}", '{"type":"exec"}', '{"type":"resized","cols":0,"rows":1}', '{"type":"resized","cols":1e9,"rows":1}', '{"type":"resized","cols":"80","rows":24}'])(
    "is nothing where it is not: %s",
    (data) => expect(parseSign(data)).toBeNull(),
  );
});

it("types in frames that are not too long, and loses nothing", () => {
  const typed = "ä€😀".repeat(5_000);
  const all = frames(typed);
  expect(all.length).toBeGreaterThan(1);
  expect(all.every((frame) => frame.length <= 16 * 1024)).toBe(true);
  expect(new TextDecoder().decode(Buffer.concat(all))).toBe(typed);
  expect(frames("")).toEqual([]);
});

/** A socket that does what the test says. */
class FakeSocket {
  static all: FakeSocket[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  binaryType = "";
  sent: unknown[] = [];
  closed = false;
  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }
  send(data: unknown): void {
    this.sent.push(data);
  }
  close(): void {
    this.closed = true;
  }
  say(sign: object): void {
    this.onmessage?.({ data: JSON.stringify(sign) });
  }
  begin(): void {
    this.say({ type: "opened", name: "1", cols: 80, rows: 24, new: true, cut: false });
    this.say({ type: "live" });
  }
}

describe("the link to a terminal", () => {
  let states: string[];
  let there: Listed | Error;
  let asked: number;
  const link = () =>
    new Link(
      "s",
      "1",
      { cols: 80, rows: 24 },
      {
        state: (state: State) => void states.push(state.kind === "ended" ? `${state.kind} ${state.why}` : state.kind),
        begin: () => void states.push("begin"),
        printed: () => undefined,
        live: () => undefined,
        resized: () => undefined,
      },
      {
        open: (url) => new FakeSocket(url) as unknown as WebSocket,
        list: () => ((asked += 1), there instanceof Error ? Promise.reject(there) : Promise.resolve(there)),
        random: () => 0.5,
      },
    );
  const last = () => FakeSocket.all.at(-1) as FakeSocket;
  const settle = () => vi.advanceTimersByTimeAsync(0);

  beforeEach(() => {
    vi.useFakeTimers();
    FakeSocket.all = [];
    states = [];
    there = { asleep: false, open: ["1"] };
    asked = 0;
  });
  afterEach(() => vi.useRealTimers());

  it("opens one that a person has asked for, and comes back to it after a break", async () => {
    const opened = link();
    opened.open(false, true);
    expect(last().url).toContain("attach=false");
    opened.type("too early");
    last().begin();
    opened.type("ls");
    expect(last().sent).toHaveLength(1);
    expect(states).toEqual(["waking", "begin", "live"]);
    last().onclose?.();
    await settle();
    expect(asked).toBe(1);
    expect(last().url).toContain("attach=true");
    last().begin();
    expect(states.slice(3)).toEqual(["broken", "broken", "begin", "live"]);
    opened.close();
  });

  it("does not wake a sandbox that sleeps meanwhile, nor open another terminal", async () => {
    for (const [found, end] of [
      [{ asleep: true, open: [] }, "ended stopped"],
      [{ asleep: false, open: ["2"] }, "ended closed"],
    ] as const) {
      states = [];
      there = found;
      const opened = link();
      opened.open(true);
      last().begin();
      last().onclose?.();
      const sockets = FakeSocket.all.length;
      await vi.advanceTimersByTimeAsync(60_000);
      expect(FakeSocket.all.length).toBe(sockets);
      expect(states.at(-1)).toBe(end);
    }
  });

  it("waits for the network, and says what the server refuses", async () => {
    const opened = link();
    opened.open(true);
    last().begin();
    there = new TypeError("Failed to fetch");
    last().onclose?.();
    await settle();
    expect(states.at(-1)).toBe("broken");
    there = new Error("this key may open no terminal");
    await vi.advanceTimersByTimeAsync(30_000);
    last().onclose?.();
    await settle();
    expect(states.at(-1)).toBe("failed");
  });

  it("finds a link that is dead without a word", async () => {
    const opened = link();
    opened.open(true);
    const first = last();
    first.begin();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(first.sent).toEqual(['{"type":"ping"}']);
    first.say({ type: "pong" });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(first.closed).toBe(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(first.closed).toBe(true);
    opened.close();
  });

  it("stays at its end", async () => {
    const opened = link();
    opened.open(true);
    last().begin();
    last().say({ type: "ended", why: "exited", code: 0 });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(states.at(-1)).toBe("ended exited");
    expect(FakeSocket.all).toHaveLength(1);
  });
});
