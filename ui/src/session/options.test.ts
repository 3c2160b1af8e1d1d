import { describe, expect, it } from "vitest";
import { DEFAULT_OPTIONS, fieldsOf, readOptions } from "./options.ts";

describe("options", () => {
  it("say in a message what is not usual, and nothing else", () => {
    expect(fieldsOf(DEFAULT_OPTIONS)).toEqual({});
    expect(fieldsOf({ ...DEFAULT_OPTIONS, tools: ["Read"], moreTools: "Bash(git log:*, git diff:*), mcp__x", maxTurns: 3, fastModel: " a/b ", effort: "xhigh" })).toEqual({
      allowedTools: ["Read", "Bash(git log:*, git diff:*)", "mcp__x"],
      maxTurns: 3,
      fastModel: "a/b",
      additionalArgs: ["--effort=xhigh"],
    });
  });

  it("are read from whatever is stored", () => {
    expect(readOptions({ ...DEFAULT_OPTIONS, effort: "high" }).effort).toBe("high");
    expect(readOptions({ tools: 5, maxTurns: "x", effort: "high --dangerously" })).toEqual(DEFAULT_OPTIONS);
    expect(readOptions(null)).toEqual(DEFAULT_OPTIONS);
  });
});
