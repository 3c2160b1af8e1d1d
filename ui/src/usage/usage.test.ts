import { describe, expect, it } from "vitest";
import { everyDay, lastDays, measured, readTold } from "./usage.ts";

describe("usage", () => {
  it("is read for what it is, whatever is told", () => {
    const told = readTold({
      total: { turns: 3, failed_turns: 1, seconds: 4.5, input_tokens: 10, cache_read_input_tokens: 5, cache_creation_input_tokens: 1, output_tokens: 7, cost_usd: 0.5, unpriced_turns: "2" },
      days: [{ day: "2026-11-21", turns: 3 }, { day: "<b>", turns: 1 }, null],
      sessions: [{ session_id: "a", title: null, turns: -4 }, { title: "nobody's" }],
    });
    expect(told.total).toEqual({ turns: 3, failed: 1, seconds: 4.5, input: 16, output: 7, cost: 0.5, unpriced: 0 });
    expect(told.days.map(({ day, turns }) => [day, turns])).toEqual([["2026-11-21", 3]]);
    expect(told.sessions.map(({ id, title, turns }) => [id, title, turns])).toEqual([["a", null, 0]]);
    expect(readTold("nothing")).toMatchObject({ total: { turns: 0 }, days: [], sessions: [] });
    expect(measured(told.total, "tokens")).toBe(23);
  });

  it("has every day of a span, over the ends of months and years", () => {
    const known = readTold({ days: [{ day: "2026-12-31", turns: 2 }] }).days;
    const days = everyDay({ from: "2026-12-30", to: "2027-01-02" }, known);
    expect(days.map(({ day, turns }) => [day, turns])).toEqual([["2026-12-30", 0], ["2026-12-31", 2], ["2027-01-01", 0], ["2027-01-02", 0]]);
    expect(everyDay({ from: "2027-01-02", to: "2027-01-01" }, known)).toEqual([]);
    expect(everyDay({ from: "", to: "" }, known)).toEqual([]);
    expect(everyDay({ from: "0001-01-01", to: "2027-01-01" }, known)).toHaveLength(400);
  });

  it("ends today, by the server's clock", () => {
    expect(lastDays(7, Date.UTC(2026, 10, 21, 23, 59))).toEqual({ from: "2026-11-15", to: "2026-11-21" });
  });
});
