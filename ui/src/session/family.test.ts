import { describe, expect, it } from "vitest";
import { fold, nothingSaid } from "./conversation.ts";
import { inFamilies } from "./family.ts";
import { type LogEvent, parseFrame } from "./wire.ts";

const ids = (...names: string[]) => names.map((id) => ({ id }));

describe("families", () => {
  it("stand together, each below the one that launched it", () => {
    const parents = new Map([["c", "a"], ["d", "c"], ["x", "gone"]]);
    expect(inFamilies(ids("d", "b", "c", "a", "x"), parents).map(([{ id }, depth]) => [id, depth])).toEqual([["b", 0], ["a", 0], ["c", 1], ["d", 2], ["x", 0]]);
  });

  it("lose nobody in a circle", () => {
    const parents = new Map([["a", "b"], ["b", "a"]]);
    expect(inFamilies(ids("a", "b"), parents).map(([{ id }]) => id)).toEqual(["a", "b"]);
  });
});

describe("what goes beyond the sandbox", () => {
  const event = (seq: number, body: object) => {
    const frame = parseFrame(JSON.stringify({ seq, turn_id: "turn-1", timestamp: seq, content: "words", ...body }));
    if (frame?.kind !== "event") throw new Error("no event");
    return frame.event;
  };
  const items = (...events: LogEvent[]) => fold(nothingSaid, events).turns[0]?.items ?? [];

  it("is in the conversation where somebody has to know of it", () => {
    expect(
      items(
        event(1, { type: "user_message", id: "m" }),
        event(2, { type: "egress", host: "pypi.org", decision: "allowed" }),
        event(3, { type: "egress", host: "evil.example", decision: "denied" }),
        event(4, { type: "session_launched", launched_session_id: "s2", config_id: "helper" }),
      ),
    ).toMatchObject([
      { kind: "refused-host", host: "evil.example" },
      { kind: "launched", session: "s2", agent: "helper" },
    ]);
  });

  it("is read whatever is in it", () => {
    expect(event(1, { type: "egress", host: 5, decision: {} })).toMatchObject({ type: "egress", host: "", denied: false });
    expect(event(1, { type: "session_launched", launched_session_id: null })).toMatchObject({ session: "", agent: "" });
  });
});
