import { describe, expect, it } from "vitest";
import type { ToolItem, Turn } from "../session/conversation.ts";
import { fold, nothingSaid } from "../session/conversation.ts";
import type { LogEvent } from "../session/wire.ts";
import { changesIn } from "./changes.ts";

type Call = Pick<ToolItem, "tool" | "input"> & { output?: string; failed?: boolean };

/** Turns in which these calls were made. */
function turns(...all: Call[][]): readonly Turn[] {
  let seq = 0;
  const event = (turn: number, body: object) =>
    ({ seq: (seq += 1), turnId: `turn-${turn}`, timestamp: seq, content: "", parent: null, ...body }) as unknown as LogEvent;
  const events = all.flatMap((calls, at) => [
    event(at + 1, { type: "user_message", id: `m${at}` }),
    ...calls.flatMap(({ tool, input, output = "", failed = false }, call) => [
      event(at + 1, { type: "tool_use", tool, toolUseId: `${at}-${call}`, input }),
      event(at + 1, { type: "tool_result", toolUseId: `${at}-${call}`, isError: failed, cutBytes: 0, content: output }),
    ]),
  ]);
  return fold(nothingSaid, events).turns;
}

const write = (file_path: string, content: string, output = "File created successfully at: x"): Call => ({ tool: "Write", input: { file_path, content }, output });
const edit = (file_path: string, old_string: string, new_string: string, more: object = {}): Call => ({ tool: "Edit", input: { file_path, old_string, new_string, ...more } });

describe("what was changed", () => {
  it("is one difference where the whole file is known", () => {
    const all = turns([write("/a", "one\ntwo\n"), edit("/a", "two", "2")], [edit("/a", "one", "1"), edit("/a", "1", "I")]);
    expect(changesIn(all, null)).toEqual([{ path: "/a", isNew: true, parts: [{ before: "", after: "I\n2\n" }] }]);
    expect(changesIn(all, "turn-2")).toEqual([{ path: "/a", isNew: false, parts: [{ before: "one\n2\n", after: "I\n2\n" }] }]);
    expect(changesIn(all, "turn-1")).toEqual([{ path: "/a", isNew: true, parts: [{ before: "", after: "one\n2\n" }] }]);
  });

  it("is one for each edit where it is not", () => {
    const all = turns([edit("/a", "x", "y"), { tool: "MultiEdit", input: { file_path: "/a", edits: [{ old_string: "b", new_string: "c" }, { old_string: 5 }] } }]);
    expect(changesIn(all, null)).toEqual([{ path: "/a", isNew: false, parts: [{ before: "x", after: "y" }, { before: "b", after: "c" }] }]);
    // Something else has changed it in between.
    const other = turns([write("/a", "one"), edit("/a", "three", "3")]);
    expect(changesIn(other, null)[0]?.parts).toEqual([{ before: "", after: "one" }, { before: "three", after: "3" }]);
    expect(changesIn(turns([write("/a", "new", "updated")]), null)).toEqual([{ path: "/a", isNew: false, parts: [{ before: "", after: "new" }] }]);
  });

  it("leaves out what came to nothing", () => {
    expect(changesIn(turns([edit("/a", "x", "y"), { ...edit("/b", "x", "y"), failed: true }]), null).map(({ path }) => path)).toEqual(["/a"]);
    expect(changesIn(turns([write("/a", "x")], [edit("/a", "x", "y"), edit("/a", "y", "x")]), "turn-2")).toEqual([]);
    expect(changesIn(turns([{ tool: "Bash", input: { command: "rm /a" } }, { tool: "Write", input: "x" }, { tool: "Edit", input: { file_path: 5 } }]), null)).toEqual([]);
  });

  it("takes words as they are, and everywhere where that was asked for", () => {
    const all = turns([write("/a", "aXbX"), edit("/a", "X", "$&", { replace_all: true })]);
    expect(changesIn(all, null)[0]?.parts).toEqual([{ before: "", after: "a$&b$&" }]);
  });
});
