import { describe, expect, it } from "vitest";
import { fold, nothingSaid } from "../session/conversation.ts";
import type { LogEvent } from "../session/wire.ts";
import { patchLines, readDiff, spanOf } from "./diff.ts";

const HEAD = "diff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n";

describe("a patch", () => {
  it("is read by the numbers of its hunks", () => {
    const patch = `${HEAD}@@ -1,3 +1,3 @@\n one\n--- two\n+++ 2\n three\n@@ -20 +20,2 @@ fn main()\n @@ -1 +1 @@\n+diff --git a/b b/b\n`;
    expect(patchLines(patch)).toEqual([
      { kind: "same", text: "one" },
      { kind: "removed", text: "-- two" },
      { kind: "added", text: "++ 2" },
      { kind: "same", text: "three" },
      null,
      { kind: "same", text: "@@ -1 +1 @@" },
      { kind: "added", text: "diff --git a/b b/b" },
    ]);
  });

  it("says where a line has no end, and what is left out before it", () => {
    expect(patchLines(`${HEAD}@@ -9 +9 @@\n-x\n\\ No newline at end of file\n+x\n`)).toEqual([
      null,
      { kind: "removed", text: "x" },
      { kind: "unended" },
      { kind: "added", text: "x" },
    ]);
  });

  it("is nothing where there is none", () => {
    expect(patchLines("")).toEqual([]);
    expect(patchLines("diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n")).toEqual([]);
    expect(patchLines("@@ -x +y @@\n+lost\n\\")).toEqual([]);
  });
});

describe("a diff", () => {
  it("is read as what it must be, or not at all", () => {
    for (const bad of [null, 7, [], {}, { files: "x" }]) expect(readDiff(bad)).toBeNull();
    const file = { path: "a", status: "renamed", old_path: "b", additions: 2, deletions: -1, binary: "yes", patch: 5 };
    expect(readDiff({ files: [null, { path: 5 }, file, { path: "c", status: "exploded" }], truncated: true, note: "anew" })).toEqual({
      files: [
        { path: "a", oldPath: "b", status: "renamed", added: 2, removed: 0, binary: false, patch: null },
        { path: "c", oldPath: null, status: "modified", added: 0, removed: 0, binary: false, patch: null },
      ],
      truncated: true,
      note: "anew",
    });
  });

  it("is of a turn, of one that goes on, or of all", () => {
    let seq = 0;
    const event = (turn: string, state: string) =>
      ({ seq: (seq += 1), turnId: turn, timestamp: seq, content: "", type: "status", state, outcome: null, model: null, usage: null, mode: null, rules: null }) as unknown as LogEvent;
    const [first, second] = fold(nothingSaid, [event("turn-1", "ended"), event("turn-2", "running")]).turns;
    expect(spanOf(first ?? null)).toEqual({ from: "begin", to: "turn-1" });
    expect(spanOf(second ?? null)).toEqual({ from: "turn-1", to: "now" });
    expect(spanOf(null)).toEqual({ from: "begin", to: "now" });
  });
});
