import { describe, expect, it } from "vitest";
import { activeTurn, type Conversation, fold, nothingSaid, openRequests, waitingTurns, withOlder, withQueue } from "./conversation.ts";
import { sumOf } from "./spent.ts";
import { type LogEvent, parseFrame } from "./wire.ts";

/** A log from what the server would send, with `seq` and times filled in. */
function log(...entries: [turn: string | null, body: object][]): LogEvent[] {
  return entries.map(([turn, body], at) => {
    const line = { seq: at + 1, session_id: "s", turn_id: turn, timestamp: 1000 * (at + 1), content: "", ...body };
    const frame = parseFrame(JSON.stringify(line));
    if (frame?.kind !== "event") throw new Error("not an event");
    return frame.event;
  });
}

const LOG = log(
  ["turn-1", { type: "user_message", content: "build it", id: "m1" }],
  ["turn-1", { type: "status", state: "queued", position: 0 }],
  ["turn-1", { type: "status", state: "starting", model: "local/demo" }],
  ["turn-1", { type: "status", state: "running" }],
  ["turn-1", { type: "thinking", content: "Let me ", partial: true, block: "b0" }],
  ["turn-1", { type: "thinking", content: "see", partial: true, block: "b0" }],
  ["turn-1", { type: "thinking", content: "Let me see.", block: "b0" }],
  ["turn-1", { type: "progress", content: "I'll ", block: "b1" }],
  ["turn-2", { type: "user_message", content: "and then this", id: "m2" }],
  ["turn-2", { type: "status", state: "queued", position: 1 }],
  ["turn-1", { type: "progress", content: "build", block: "b1" }],
  ["turn-1", { type: "result", content: "I'll build it.", block: "b1" }],
  ["turn-1", { type: "todo_update", todos: [{ content: "Write", status: "in_progress", activeForm: "Writing" }] }],
  ["turn-1", { type: "tool_use", content: "Write a.txt", tool: "Write", tool_use_id: "t1", input: { file_path: "a.txt" } }],
  ["turn-1", { type: "tool_result", content: "ok", tool_use_id: "t1", is_error: false }],
  ["turn-1", { type: "file_change", path: "a.txt", change: "written", tool_use_id: "t1" }],
  ["turn-1", { type: "file_change", path: "b.txt", change: "written", others: [{ path: "gone", change: "removed" }, { path: "c", change: "written" }] }],
  ["turn-1", { type: "file_change", path: "", change: "written", more: true }],
  ["turn-1", { type: "from_the_future", content: "?" }],
  ["turn-1", { type: "tool_use", content: "Task", tool: "Task", tool_use_id: "t2", input: {} }],
  ["turn-1", { type: "tool_use", content: "ls", tool: "Bash", tool_use_id: "t3", input: {}, parent_tool_use_id: "t2" }],
  ["turn-1", { type: "tool_result", content: "no", tool_use_id: "t3", is_error: true, cut_bytes: 7, parent_tool_use_id: "t2" }],
  [null, { type: "status", state: "running", model: "groq/x" }],
  ["turn-1", { type: "status", state: "running", content: "Interrupting" }],
  ["turn-1", { type: "status", state: "ended", outcome: "interrupted", content: "Interrupted", model: "answered", usage: { input_tokens: 5, output_tokens: 2, cost_usd: 0.5, duration_ms: 9, num_turns: 1 } }],
  ["turn-2", { type: "status", state: "starting", model: "groq/x" }],
  ["turn-2", { type: "error", content: "no sandbox", code: "no_capacity" }],
  ["turn-2", { type: "status", state: "ended", outcome: "failed", content: "Failed" }],
);

function upTo(count: number): Conversation {
  return fold(nothingSaid, LOG.slice(0, count));
}

describe("the fold", () => {
  it("shows what a command prints until its result comes", () => {
    const outputs = (content: string): [string, object] => ["turn-1", { type: "tool_output", content, tool_use_id: "t" }];
    const begin = log(["turn-1", { type: "tool_use", content: "make", tool: "Bash", tool_use_id: "t", input: {} }], outputs("one\n"), outputs("two\n"));
    const output = (events: readonly LogEvent[]) => {
      const item = fold(nothingSaid, events).turns[0]?.items[0];
      return item?.kind === "tool" ? item.output : undefined;
    };
    expect(output(begin)).toBe("one\ntwo\n");
    const end = log(["turn-1", { type: "tool_use", content: "make", tool: "Bash", tool_use_id: "t", input: {} }], outputs("one\n"), ["turn-1", { type: "tool_result", content: "all", tool_use_id: "t", is_error: false }], outputs("late"));
    expect(output(end)).toBe("all");
    const long = log(["turn-1", { type: "tool_use", content: "make", tool: "Bash", tool_use_id: "t", input: {} }], ...Array.from({ length: 20 }, () => outputs("x".repeat(4096))));
    expect(output(long)?.length).toBe(32 * 1024);
  });

  it("shows each turn with what belongs to it", () => {
    const { turns, todos, model, seq } = upTo(LOG.length);
    expect(seq).toBe(LOG.length);
    expect(model).toBe("groq/x");
    expect(todos).toEqual([{ content: "Write", status: "in_progress", activeForm: "Writing" }]);
    expect(turns.map((turn) => [turn.id, turn.message?.content, turn.outcome])).toEqual([
      ["turn-1", "build it", "interrupted"],
      ["turn-2", "and then this", "failed"],
    ]);
    const [first, second] = turns;
    expect(first).toMatchObject({ touched: ["b.txt", "c"], touches: 2 });
    expect(first?.items.map((item) => ("text" in item ? item.text : "toolUseId" in item ? item.toolUseId : item.kind))).toEqual([
      "Let me see.", "I'll build it.", "t1", "t2", "t3",
    ]);
    expect(first).toMatchObject({ startedAt: 3000, endedAt: 25000, model: "answered", usage: { cost_usd: 0.5 } });
    expect(first?.items.filter((item) => item.kind === "tool")).toMatchObject([
      { state: "done", output: "ok", files: ["a.txt"], parent: null },
      { state: "stopped", output: null, doneAt: 25000 },
      { state: "failed", output: "no", cutBytes: 7, parent: "t2" },
    ]);
    expect(second?.items).toMatchObject([{ kind: "error", text: "no sandbox", code: "no_capacity" }]);
  });

  it("is the same however the events are cut and repeated", () => {
    const whole = upTo(LOG.length);
    let random = 7;
    const next = (below: number) => {
      random = (random * 1103515245 + 12345) % 2 ** 31;
      return random % below;
    };
    for (let round = 0; round < 200; round += 1) {
      let conversation = nothingSaid;
      let at = 0;
      while (at < LOG.length) {
        const back = Math.min(at, next(6));
        const end = Math.min(LOG.length, at + 1 + next(8));
        conversation = fold(conversation, LOG.slice(at - back, end));
        at = end;
      }
      expect(conversation).toEqual(whole);
    }
  });

  it("changes nothing at all for events that it has", () => {
    const whole = upTo(LOG.length);
    expect(fold(whole, LOG)).toBe(whole);
  });

  it("keeps what an event does not touch", () => {
    const before = upTo(LOG.length - 1);
    const after = upTo(LOG.length);
    expect(fold(before, LOG).turns[0]).toBe(before.turns[0]);
    expect(after.turns[1]).not.toBe(before.turns[1]);
  });

  it("knows who runs, who waits, and who was asked to stop", () => {
    expect(waitingTurns(upTo(2))).toEqual([]);
    expect(activeTurn(upTo(3))?.state).toBe("starting");
    expect(activeTurn(upTo(10))).toMatchObject({ id: "turn-1", stopping: false });
    expect(waitingTurns(upTo(10)).map((turn) => turn.id)).toEqual(["turn-2"]);
    expect(activeTurn(upTo(24))?.stopping).toBe(true);
    expect(activeTurn(upTo(25))).toBeNull();
  });

  it("shows the pieces of a block until the whole comes", () => {
    expect(upTo(11).turns[0]?.items[1]).toMatchObject({ text: "I'll build", done: false });
    expect(upTo(12).turns[0]?.items[1]).toMatchObject({ text: "I'll build it.", done: true });
  });

  it("lets nothing happen to a turn's status after its end", () => {
    const events = log(
      ["turn-1", { type: "user_message", content: "x", id: "m" }],
      ["turn-1", { type: "status", state: "ended", outcome: "interrupted", content: "Removed" }],
      ["turn-1", { type: "status", state: "running" }],
    );
    expect(fold(nothingSaid, events).turns).toMatchObject([{ state: "ended", startedAt: 0 }]);
  });
});

describe("what a turn uses", () => {
  const usage = (input_tokens: number, num_turns: number, more: object = {}) => ({ type: "usage", content: "", usage: { input_tokens, cache_read_input_tokens: 100, output_tokens: 1, cost_usd: 0.25, num_turns, ...more } });
  const begin: [string, object][] = [
    ["turn-1", { type: "user_message", content: "x", id: "m" }],
    ["turn-1", { type: "status", state: "running" }],
  ];

  it("is told while it goes on, and replaced by what its end tells", () => {
    const events = log(
      ...begin,
      ["turn-1", usage(10, 1)],
      ["turn-1", usage(20, 2)],
      ["turn-1", { type: "status", state: "ended", outcome: "completed", usage: { input_tokens: 31, output_tokens: 2, num_turns: 3 } }],
    );
    const [running] = fold(nothingSaid, events.slice(0, 4)).turns;
    expect(running).toMatchObject({ spending: { input_tokens: 30, cache_read_input_tokens: 200, output_tokens: 2, cost_usd: 0.5, num_turns: 3 }, usage: null });
    expect(sumOf([running!])).toEqual({ input: 230, output: 2, cost: 0.5 });
    const [ended] = fold(nothingSaid, events).turns;
    expect(sumOf([ended!])).toEqual({ input: 31, output: 2, cost: null });
    const odd = fold(nothingSaid, log(...begin, ["turn-1", usage(1, 1, { cost_usd: null })], ["turn-1", usage(1, 1)], ["turn-1", { type: "usage", usage: "x" }]));
    expect(odd.turns[0]?.spending).toMatchObject({ input_tokens: 2, cost_usd: null });
  });

  it("says what the model was given last, by the agent's own calls alone", () => {
    const events = log(
      ...begin,
      ["turn-1", usage(10, 1)],
      ["turn-1", usage(500, 3)],
      ["turn-1", { type: "tool_use", tool: "Task", tool_use_id: "t", input: {} }],
      ["turn-1", usage(7, 1)],
      ["turn-1", { type: "tool_result", tool_use_id: "t" }],
      ["turn-1", usage(50, 1)],
    );
    const after = (count: number) => fold(nothingSaid, events.slice(0, count)).turns[0]?.context;
    expect([2, 3, 4, 6, 8].map(after)).toEqual([0, 110, 110, 110, 150]);
  });
});

describe("frames", () => {
  it("are read as what they must be, or not at all", () => {
    for (const bad of [7, null, "", "{", "[]", "null", '"x"', "{}", '{"type":7}', '{"type":"progress"}', '{"type":"progress","seq":-1}', '{"type":"progress","seq":1.5}']) {
      expect(parseFrame(bad)).toBeNull();
    }
    expect(parseFrame('{"type":"pong"}')).toEqual({ kind: "pong" });
    const odd = '{"type":"tool_result","seq":1,"content":{"constructor":1},"tool_use_id":[],"is_error":"yes","cut_bytes":"x","turn_id":5,"timestamp":null}';
    expect(parseFrame(odd)).toEqual({
      kind: "event",
      event: { type: "tool_result", seq: 1, turnId: null, timestamp: 0, content: "", toolUseId: "", isError: false, cutBytes: 0 },
    });
    expect(parseFrame('{"type":"todo_update","seq":1,"todos":[7,{"status":"x"}]}')).toMatchObject({
      event: { todos: [{ content: "", status: "pending" }, { content: "", status: "pending" }] },
    });
  });

  it("without a seq are for this socket alone", () => {
    expect(parseFrame('{"type":"error","content":"wait","code":"too_many_requests","field":null,"id":"m1"}')).toEqual({
      kind: "refusal",
      refusal: { content: "wait", code: "too_many_requests", field: null, id: "m1" },
    });
  });

  it("begin with where the session stands", () => {
    const line = '{"type":"status","snapshot":true,"seq":0,"timestamp":5,"state":"idle","access":{"write":true,"manage":false},"session":{"permissionMode":"plan","permissionRules":["Bash(ls *)",7],"spent":{"requests":3,"input_tokens":5,"cache_read_tokens":7,"output_tokens":2,"cost_usd":0.5},"claudeSession":{"preferredModel":"a/b"}}}';
    const access = { write: true, manage: false, shell: false };
    expect(parseFrame(line)).toEqual({ kind: "snapshot", snapshot: { seq: 0, timestamp: 5, preferredModel: "a/b", access, permissionMode: "plan", permissionRules: ["Bash(ls *)"], spent: { input: 12, output: 2, cost: 0.5 }, queue: [] } });
  });
});

describe("a conversation that begins in the middle of the log", () => {
  const whole = fold(nothingSaid, LOG);

  it("is the whole one when what was before has come, wherever it was cut", () => {
    for (let last = 1; last < LOG.length; last += 1) {
      for (let first = 0; first < last; first += 3) {
        const tail = fold(nothingSaid, LOG.slice(last));
        const cut = (events: LogEvent[], conversation: Conversation) =>
          events.filter((event) => conversation.turns.some((turn) => turn.cut && turn.id === event.turnId));
        const half = withOlder(tail, LOG.slice(first, last), cut(LOG.slice(last), tail));
        expect(half.since).toBe(first + 1);
        const all = withOlder(half, LOG.slice(0, first), cut(LOG.slice(first), half));
        expect({ last, first, ...(first === 0 ? half : all) }).toEqual({ last, first, ...whole });
      }
    }
  });

  it("says what is known of a turn whose beginning is not there", () => {
    const at = LOG.findIndex((event) => event.type === "tool_use");
    const cut = fold(nothingSaid, LOG.slice(at, at + 1));
    expect(activeTurn(cut)).toMatchObject({ id: "turn-1", cut: true, message: null, state: "running" });
    expect(cut.since).toBe(at + 1);
  });

  it("shows the messages that wait, though they were said before it begins", () => {
    const at = LOG.findIndex((event) => event.type === "tool_use");
    const queue = [{ turnId: "turn-2", id: "m2", content: "and then" }];
    const cut = fold(withQueue(nothingSaid, queue), LOG.slice(at, at + 1));
    expect(cut.turns.map((turn) => turn.id)).toEqual(["turn-1", "turn-2"]);
    expect(waitingTurns(cut)).toMatchObject([{ message: { content: "and then" } }]);
    expect(withOlder(cut, LOG.slice(0, at), LOG.slice(at, at + 1)).turns).toEqual(fold(nothingSaid, LOG.slice(0, at + 1)).turns);
    const begun = fold(withQueue(nothingSaid, queue), LOG.slice(0, 10));
    expect(begun).toEqual(fold(nothingSaid, LOG.slice(0, 10)));
  });
});

describe("what the agent asks", () => {
  const asked = log(
    ["turn-1", { type: "user_message", content: "go", id: "m1" }],
    ["turn-1", { type: "status", state: "starting", permission_mode: "default" }],
    ["turn-1", { type: "permission_request", request_id: "ask-1", tool: "Bash", content: "Bash: ls", input: { command: "ls" }, rules: ["Bash(ls *)"], expires_at: 9 }],
    ["turn-1", { type: "question", request_id: "ask-2", content: "Which?", input: { questions: [] } }],
    ["turn-1", { type: "permission_response", request_id: "ask-1", behavior: "allow_session", content: "Allowed", rules: ["Bash(ls *)"] }],
    ["turn-1", { type: "permission_response", request_id: "ask-2", behavior: "answer", content: "Answered", answers: { "Which?": "Red" } }],
    ["turn-1", { type: "permission_request", request_id: "ask-3", tool: "ExitPlanMode", content: "Plan", input: { plan: "# Do" } }],
    ["turn-1", { type: "permission_response", request_id: "ask-3", behavior: "allow", content: "Approved", permission_mode: "acceptEdits" }],
    [null, { type: "status", state: "running", content: "again", rules: [] }],
  );
  const open = (count: number) => openRequests(fold(nothingSaid, asked.slice(0, count))).map((item) => item.requestId);

  it("is open until it is answered, each once", () => {
    expect([3, 4, 5, 6, 7, 8].map(open)).toEqual([["ask-1"], ["ask-1", "ask-2"], ["ask-2"], [], ["ask-3"], []]);
  });

  it("changes the session's mode and rules", () => {
    const at = (count: number) => fold(nothingSaid, asked.slice(0, count));
    expect([at(2).mode, at(8).mode]).toEqual(["default", "acceptEdits"]);
    expect([at(4).rules, at(5).rules, at(9).rules]).toEqual([null, ["Bash(ls *)"], []]);
  });

  it("keeps what was answered", () => {
    const items = fold(nothingSaid, asked).turns[0]?.items ?? [];
    const ends = items.map((item) => item.kind === "request" && [item.end?.behavior, item.end?.answers]);
    expect(ends).toEqual([["allow_session", {}], ["answer", { "Which?": "Red" }], ["allow", {}]]);
  });
});
