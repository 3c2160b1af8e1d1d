import { beforeEach, describe, expect, it } from "vitest";
import { forgetVisit, noteVisit, rereadVisited, visited } from "./visited.ts";

beforeEach(() => {
  localStorage.clear();
  rereadVisited();
});

const ids = () => visited.value.map((one) => one.id);

describe("the sessions that were opened here", () => {
  it("stand with their first words, the newest first", () => {
    noteVisit("a", { title: "  First words\nand more", at: 1 });
    noteVisit("b", { at: 3 });
    noteVisit("a", { at: 2 });
    expect(visited.value).toEqual([
      { id: "b", title: "", at: 3, seen: 0 },
      { id: "a", title: "First words", at: 2, seen: 0 },
    ]);
    noteVisit("a", { at: 4 });
    expect(ids()).toEqual(["a", "b"]);
    forgetVisit("a");
    // Its page notes it once more as it leaves.
    noteVisit("a", { at: 5 });
    expect(ids()).toEqual(["b"]);
  });

  it("are remembered as they were left", () => {
    noteVisit("c", { seen: 5 });
    noteVisit("c", { seen: 3 });
    expect(visited.value).toMatchObject([{ seen: 5 }]);
  });

  it("are cut, and at most so many", () => {
    for (let one = 0; one < 250; one += 1) noteVisit(`s${one}`, { title: "x".repeat(500), at: one });
    expect(visited.value).toHaveLength(200);
    expect(visited.value[0]?.id).toBe("s249");
    expect(visited.value[0]?.title).toHaveLength(80);
  });

  it("are read from whatever is stored", () => {
    localStorage.setItem("agent-router/sessions", JSON.stringify([null, 1, { id: "../x" }, { id: 5 }, { id: "ok", title: 7, at: "x" }, { id: "javascript:alert(1)" }]));
    rereadVisited();
    expect(visited.value).toEqual([{ id: "ok", title: "", at: 0, seen: 0 }]);
  });
});
