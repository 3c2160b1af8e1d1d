import { describe, expect, it } from "vitest";
import type { Turn } from "../session/conversation.ts";
import { recalled, saidBefore } from "./recall.ts";

const turns = (...words: (string | null)[]) => words.map((content) => ({ message: content === null ? null : { id: "", content } })) as unknown as Turn[];

describe("what was said before", () => {
  it("is there with what is not sent yet, the newest first, each once in a row", () => {
    expect(saidBefore(turns("a", "b", null, "b", " ", "a"), [{ content: "a" }, { content: "c" }])).toEqual(["c", "a", "b", "a"]);
    expect(saidBefore([], [])).toEqual([]);
  });

  it("comes back by the arrow keys, until it is changed", () => {
    const said = ["new", "middle", "two\nlines"];
    const after = (at: number, draft: string, key: "ArrowUp" | "ArrowDown", caret = draft.length) => recalled(said, at, key, { draft, caret });
    expect(after(-1, "", "ArrowUp")).toBe(0);
    expect(after(0, "new", "ArrowUp")).toBe(1);
    expect(after(1, "middle", "ArrowUp", 2)).toBe(2);
    expect(after(2, "two\nlines", "ArrowUp")).toBeNull();
    expect(after(1, "middle", "ArrowDown")).toBe(0);
    expect(after(0, "new", "ArrowDown")).toBe(-1);
    // Within it the caret moves.
    expect(after(2, "two\nlines", "ArrowDown", 1)).toBeNull();
    expect(recalled(["two\nlines", "x"], 0, "ArrowUp", { draft: "two\nlines", caret: 6 })).toBeNull();
    // What somebody has written is left alone.
    for (const key of ["ArrowUp", "ArrowDown"] as const) expect(after(0, "new!", key)).toBeNull();
    expect(after(-1, "", "ArrowDown")).toBeNull();
    expect(recalled([], -1, "ArrowUp", { draft: "", caret: 0 })).toBeNull();
  });
});
