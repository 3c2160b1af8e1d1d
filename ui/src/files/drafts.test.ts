import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { anyDraft, draftOf, keepDraft } from "./drafts.ts";

const draft = { typed: "mine", base: "theirs", version: "v1" };

beforeEach(() => sessionStorage.clear());
afterEach(() => vi.restoreAllMocks());

describe("what was typed into a file", () => {
  it("is kept until it is saved or given up", () => {
    expect([draftOf("s", "a/b.txt"), anyDraft("s")]).toEqual([null, null]);
    keepDraft("s", "a/b.txt", draft);
    expect(draftOf("s", "a/b.txt")).toEqual(draft);
    expect([anyDraft("s"), anyDraft("other")]).toEqual(["a/b.txt", null]);
    keepDraft("s", "a/b.txt", null);
    expect([draftOf("s", "a/b.txt"), anyDraft("s")]).toEqual([null, null]);
  });

  it("is kept where the browser has no room for it", () => {
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
      throw new Error("full");
    });
    keepDraft("s", "large.txt", draft);
    expect([draftOf("s", "large.txt"), anyDraft("s")]).toEqual([draft, "large.txt"]);
    keepDraft("s", "large.txt", null);
    expect(anyDraft("s")).toBeNull();
  });

  it("is read from whatever is stored", () => {
    for (const stored of ["{", "5", '{"typed":5,"base":""}']) {
      sessionStorage.setItem("agent-router/edit/s/x", stored);
      expect([draftOf("s", "x"), anyDraft("s")]).toEqual([null, null]);
    }
  });
});
