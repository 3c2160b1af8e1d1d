import { describe, expect, it } from "vitest";
import { link, readFound } from "./api.ts";

describe("a repository as the server tells it", () => {
  it("is read as it is", () => {
    const found = readFound({
      repository: {
        branch: "main",
        head: "a".repeat(40),
        upstream: { name: "origin/main", ahead: 2, behind: 0 },
        changes: [{ path: "a.txt", kind: "modified", staged: true, unstaged: false, additions: 1, deletions: 2 }, { path: "" }, null, { path: "b", kind: "odd" }],
        counts: { all: 9 },
        truncated: true,
        commits: [{ hash: "a".repeat(40), subject: "First", author: "Ann", time: 1_700_000_000 }, { subject: "none" }],
        branches: ["main", 7, "other"],
        remote: { name: "origin", host: "github.com", web: "https://github.com/o/r", new_request: "https://github.com/o/r/compare/x?expand=1" },
        operation: "merge",
      },
    });
    const repository = found?.repository;
    expect(repository?.changes).toEqual([
      { path: "a.txt", kind: "modified", staged: true, added: 1, removed: 2 },
      { path: "b", kind: "modified", staged: false, added: null, removed: null },
    ]);
    expect(repository?.all).toBe(9);
    expect(repository?.commits.map(({ subject, at }) => [subject, at])).toEqual([["First", 1_700_000_000_000]]);
    expect(repository?.branches).toEqual(["main", "other"]);
    expect([repository?.web, repository?.operation]).toEqual(["https://github.com/o/r", "merge"]);
  });

  it("may be none, or no answer", () => {
    expect(readFound({ repository: null, note: "why" })).toEqual({ repository: null, note: "why" });
    for (const body of [null, "x", [], {}, { repository: 7 }]) expect(readFound(body)).toBeNull();
    expect(readFound({ repository: {} })?.repository?.changes).toEqual([]);
  });

  it("leads nowhere but to the places that are known", () => {
    expect(link("https://gitlab.com/a/b")).toBe("https://gitlab.com/a/b");
    for (const address of ["javascript:alert(1)", "http://github.com/o/r", "https://github.com.evil.example/", "https://u:p@github.com/o/r", "//github.com/o", "x", 7, null]) {
      expect(link(address)).toBeNull();
    }
  });
});
