import { describe, expect, it } from "vitest";
import { fold, nothingSaid, type ToolItem } from "../session/conversation.ts";
import { daysOf, sumOf } from "../session/spent.ts";
import { parseFrame, type LogEvent } from "../session/wire.ts";
import { pieces } from "./ansi.ts";
import { chunksOf } from "./chunk.tsx";
import { readNode } from "../files/tree.ts";
import { commandsFor } from "./commands.tsx";
import { filesFor, filesIn } from "./mentions.ts";
import { findPlaces, rangesOf } from "./find.ts";
import { grouped } from "./item.tsx";
import { rowsOf } from "./log-tab.tsx";
import { changesOf } from "./tool-body.tsx";
import { mcpName, summaryOf, toolIcon, toolName } from "./tool-kind.ts";

function events(...bodies: object[]): LogEvent[] {
  return bodies.map((body, at) => {
    const frame = parseFrame(JSON.stringify({ turn_id: "turn-1", timestamp: 1, content: "", ...body, seq: at + 1 }));
    if (frame?.kind !== "event") throw new Error("no event");
    return frame.event;
  });
}

const call = (id: string, tool: string, input: object = {}, content = tool) => ({ type: "tool_use", tool_use_id: id, tool, input, content });
const done = (id: string, content = "") => ({ type: "tool_result", tool_use_id: id, content, is_error: false });

function turn(...bodies: object[]) {
  const [only] = fold(nothingSaid, events({ type: "user_message", id: "m", content: "Hello There" }, ...bodies)).turns;
  if (only === undefined) throw new Error("no turn");
  return only;
}

function tool(...bodies: object[]): ToolItem {
  const item = turn(...bodies).items[0];
  if (item?.kind !== "tool") throw new Error("no tool");
  return item;
}

describe("a terminal's output", () => {
  it("keeps its colours and drops what else a terminal would do", () => {
    expect(pieces("plain \u001b[1;31mred\u001b[0m \u001b[92mgreen\u001b[39m\u001b]0;title\u0007\u001b[2K end")).toEqual([
      { text: "plain ", looks: [] },
      { text: "red", looks: ["bold", "c1"] },
      { text: " ", looks: [] },
      { text: "green", looks: ["c10"] },
      { text: " end", looks: [] },
    ]);
  });

  it("takes odd sequences for what they are", () => {
    const text = (output: string) => pieces(output).map((piece) => piece.text).join("");
    expect(text("\u001b[38;5;196ma\u001b[38;2;1;2;3mb\u001b[mc\u001b[99999md\u001b[")).toBe("abcd");
    expect(pieces("\u001b[38;5;9mx")[0]?.looks).toEqual(["c9"]);
    expect(pieces("\u001b[38;5;999mx")[0]?.looks).toEqual([]);
    expect(pieces("\u001b[48;5;1;4mx")[0]?.looks).toEqual(["underline"]);
    expect(text("\u001b]8;;javascript:alert(1)\u0007link\u001b]8;;\u0007 \u001b[31m<b>\u202etxt")).toBe("link <b>\ufffdtxt");
    expect(pieces("")).toEqual([]);
  });
});

describe("tool calls", () => {
  it("are named by what they are", () => {
    expect(mcpName("mcp__git_hub__list_issues")).toEqual({ server: "git_hub", tool: "list_issues" });
    expect(mcpName("mcp__only")).toBeNull();
    expect(toolName("mcp__a__b")).toBe("b");
    expect(toolIcon("mcp__a__b")).toBe("plug");
    expect(toolIcon("constructor")).toBe("wrench");
    expect(summaryOf(tool(call("1", "Read", {}, "Read a.txt")))).toBe("a.txt");
    expect(summaryOf(tool(call("1", "Bash", {}, "ls -l")))).toBe("ls -l");
  });

  it("say how much they change", () => {
    expect(changesOf(tool(call("1", "Write", { content: "a\nb\n" })))).toEqual({ added: 2, removed: 0 });
    expect(changesOf(tool(call("1", "Edit", { old_string: "a\nb", new_string: "a\nc\nd" })))).toEqual({ added: 2, removed: 1 });
    expect(changesOf(tool(call("1", "Read", { content: "a" })))).toBeNull();
    expect(changesOf(tool(call("1", "Edit", { edits: "none" })))).toEqual({ added: 0, removed: 0 });
  });

  it("that only look are one where there are many in a row", () => {
    const look = (id: string, name = "Read") => [call(id, name), done(id)];
    const all = turn(...look("1"), ...look("2", "Grep"), ...look("3"), call("4", "Bash"), done("4"), ...look("5"), ...look("6"), call("7", "Read"));
    const shape = grouped(all.items).map((one) => (Array.isArray(one) ? one.length : one.kind === "tool" ? one.tool : one.kind));
    expect(shape).toEqual([3, "Bash", "Read", "Read", "Read"]);
  });
});

describe("search", () => {
  it("finds what was said and done, in any case", () => {
    const one = turn(
      { type: "result", block: "b", content: "I run the PROGRAM" },
      call("1", "Bash", { command: "./program --fast" }),
      done("1", "\u001b[31mpro\u001b[0mgram ended"),
      { type: "thinking", block: "t", content: "nothing here" },
    );
    expect(findPlaces([one], "program").map((place) => place.item)).toEqual(["text b ", "tool 1"]);
    expect(findPlaces([one], "program ended").map((place) => place.item)).toEqual(["tool 1"]);
    expect(findPlaces([one], " hello ")).toEqual([{ turn: "turn-1", item: null }]);
    expect(findPlaces([one], "  ")).toEqual([]);
  });

  it("finds the words in what is drawn", () => {
    const element = document.createElement("div");
    element.append("aXa", document.createElement("b"), "Ax");
    expect(rangesOf(element, "x").map(String)).toEqual(["X", "x"]);
    expect(rangesOf(element, "a")).toHaveLength(3);
    expect(rangesOf(element, "")).toEqual([]);
  });
});

describe("what a session has used", () => {
  const ended = (usage: object) => turn({ type: "status", state: "ended", outcome: "completed", usage });
  it("is the sum of its turns, and has a price where each has one", () => {
    const one = ended({ input_tokens: 10, cache_read_input_tokens: 5, output_tokens: 2, cost_usd: 0.5 });
    expect(sumOf([one, turn(), one])).toEqual({ input: 30, output: 4, cost: 1 });
    expect(sumOf([one, ended({ input_tokens: 1, output_tokens: 1 })])?.cost).toBeNull();
    expect(sumOf([turn()])).toBeNull();
    const day = 24 * 3_600_000;
    const at = (endedAt: number) => ({ ...one, endedAt });
    const noon = new Date(2026, 10, 21, 12).getTime();
    expect(daysOf([at(noon - day), at(noon), turn(), at(noon + 1000)]).map(({ turns, sum }) => [turns, sum.input])).toEqual([
      [2, 30],
      [1, 15],
    ]);
  });
});

describe("the composer and the log", () => {
  it("offers commands for the beginning of one", () => {
    expect(commandsFor("/com").map((one) => one.label)).toEqual(["/compact"]);
    expect(commandsFor("/").length).toBeGreaterThan(4);
    expect(commandsFor("/compact ")).toEqual([]);
    expect(commandsFor("a /com")).toEqual([]);
    expect(commandsFor("/constructor")).toEqual([]);
  });

  it("are beside files that are named, where a name is being typed", () => {
    const known = ["src/main.rs", "README.md", "src/domain/read.rs"];
    const drafts = (draft: string) => filesFor(draft, known).map((one) => one.draft);
    expect(drafts("look at @read")).toEqual(["look at @README.md ", "look at @src/domain/read.rs "]);
    expect(drafts("@main")).toEqual(["@src/main.rs ", "@src/domain/read.rs "]);
    expect(filesFor("@", known)).toHaveLength(3);
    for (const none of ["me@read", "@read ", "read", "@nothing"]) expect(drafts(none)).toEqual([]);
    const tree = readNode({ name: "", path: "", type: "directory", children: [{ name: "a b", path: "a b", type: "file" }, { name: "c", path: "c", type: "file" }] }, "");
    expect(tree === null ? [] : filesIn(tree)).toEqual(["c"]);
  });

  it("shows pieces of a block as one row", () => {
    const piece = (block: string) => ({ type: "progress", block, content: "a" });
    const rows = rowsOf(events(piece("1"), piece("1"), piece("2"), { type: "result", block: "2" }, piece("2")));
    expect(rows.map(({ first, pieces: number }) => [first.type, first.seq, number])).toEqual([
      ["progress", 1, 2],
      ["progress", 3, 1],
      ["result", 4, 1],
      ["progress", 5, 1],
    ]);
  });
});

describe("long lists", () => {
  it("are cut into pieces, of which the last alone changes", () => {
    const items = Array.from({ length: 205 }, (_, at) => at);
    const before = chunksOf(items);
    const after = chunksOf([...items, 205]);
    expect(before.flat()).toEqual(items);
    expect(before.length).toBeGreaterThan(4);
    expect(after.slice(0, -1)).toEqual(before.slice(0, -1));
    expect(chunksOf(items.slice(0, 50))).toEqual([items.slice(0, 50)]);
  });
});
