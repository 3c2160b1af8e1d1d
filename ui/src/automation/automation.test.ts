import { afterEach, describe, expect, it, vi } from "vitest";
import { makeWebhook, putSchedule, readDeliveries, readSchedules } from "./automation.ts";
import { makeKey, readKeys } from "./keys.ts";
import { cronOf, fromNow, localInput, rhythmWords, simpleOf } from "./when.ts";

afterEach(() => vi.unstubAllGlobals());

function answers(status: number, body: unknown) {
  const asked: [string, RequestInit][] = [];
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    asked.push([path, init]);
    return new Response(JSON.stringify(body), { status });
  });
  return asked;
}

describe("patterns", () => {
  it("are what the form says, and are read back", () => {
    for (const [simple, pattern] of [
      [{ rhythm: "hourly", hour: 0, minute: 5, weekday: 1 }, "5 * * * *"],
      [{ rhythm: "daily", hour: 9, minute: 0, weekday: 1 }, "0 9 * * *"],
      [{ rhythm: "weekdays", hour: 9, minute: 30, weekday: 1 }, "30 9 * * MON-FRI"],
      [{ rhythm: "weekly", hour: 23, minute: 59, weekday: 0 }, "59 23 * * 0"],
    ] as const) {
      expect(cronOf(simple)).toBe(pattern);
      expect(simpleOf(pattern)).toEqual(simple);
    }
    expect(simpleOf("0 9 * * 7")?.weekday).toBe(0);
    expect(simpleOf("0 9 * * 1-5")?.rhythm).toBe("weekdays");
  });

  it("that say more stay what they are", () => {
    for (const pattern of ["0 9 1 * *", "*/5 * * * *", "61 9 * * *", "0 24 * * *", "5 * * * 1", "0 9 * * MON", "nonsense"]) {
      expect(simpleOf(pattern)).toBeNull();
    }
    expect(rhythmWords("*/5 * * * *", null)).toBe("*/5 * * * * (UTC)");
  });

  it("are said in words", () => {
    expect(rhythmWords("0 9 * * MON-FRI", "Europe/Berlin")).toBe("Monday to Friday at 09:00 (Europe/Berlin)");
    expect(rhythmWords("5 14 * * 6", "UTC")).toBe("Every Saturday at 14:05 (UTC)");
    expect(fromNow(7_200_000, 0)).toBe("in 2 hours");
    expect(fromNow(0, 86_400_000)).toBe("yesterday");
    const at = new Date(2026, 0, 5, 9, 0).getTime();
    expect(localInput(at)).toBe("2026-01-05T09:00");
  });
});

describe("what the server keeps", () => {
  it("is asked for with what it takes, and nothing else", async () => {
    const asked = answers(201, { secret: "whsec_x" });
    expect(await makeWebhook("https://a.example/h", null)).toBe("whsec_x");
    await makeWebhook("https://a.example/h", "s1");
    await putSchedule(null, { session: "s1", prompt: "look", name: "", at: null, cron: "0 9 * * *", timezone: "UTC", enabled: true });
    await putSchedule("sch_1", { session: "s1", prompt: "look", name: "n", at: "2030-01-01T00:00:00Z", cron: null, timezone: "UTC", enabled: false });
    expect(asked.map(([path, init]) => [init.method, path, JSON.parse(String(init.body))])).toEqual([
      ["POST", "/api/webhooks", { url: "https://a.example/h" }],
      ["POST", "/api/webhooks", { url: "https://a.example/h", session_id: "s1" }],
      ["POST", "/api/schedules", { session_id: "s1", prompt: "look", enabled: true, cron: "0 9 * * *", timezone: "UTC" }],
      ["PUT", "/api/schedules/sch_1", { session_id: "s1", prompt: "look", enabled: false, name: "n", at: "2030-01-01T00:00:00Z" }],
    ]);
  });

  it("is read for what it is", async () => {
    answers(200, { schedules: [{ id: "sch_1", session_id: "s", prompt: "p", at: null, cron: "0 9 * * *", timezone: null, next_at: "2030-01-01T09:00:00Z", last_error: 5 }, null] });
    expect(await readSchedules()).toEqual([
      { id: "sch_1", session: "s", prompt: "p", name: "", at: null, cron: "0 9 * * *", timezone: null, enabled: true, nextAt: Date.UTC(2030, 0, 1, 9), lastAt: 0, lastError: null },
    ]);
    answers(200, { deliveries: [{ id: "m", message: { type: "turn.completed", data: { session_id: "s" } }, outcome: "odd", attempts: 2, answer: "500", created_at: "x", next_attempt_at: null }] });
    expect(await readDeliveries("wh_1")).toEqual([{ id: "m", kind: "turn.completed", session: "s", outcome: "pending", attempts: 2, answer: "500", at: 0, nextAt: 0 }]);
  });

  it("has keys, made with no more than was chosen", async () => {
    const asked = answers(201, { key: "ar_x" });
    expect(await makeKey("ci", ["read"], 86_400)).toBe("ar_x");
    await makeKey("", ["read", "write"], null);
    expect(asked.map(([, init]) => JSON.parse(String(init.body)))).toEqual([{ name: "ci", scopes: ["read"], expires_in: 86_400 }, { scopes: ["read", "write"] }]);
    answers(200, { keys: [{ id: "k1", name: "ci", scopes: ["read", "odd"], browser: false, expires_at: null }, 5] });
    expect(await readKeys()).toEqual([{ id: "k1", name: "ci", scopes: ["read"], browser: false, until: 0 }]);
  });

  it("says why it refuses", async () => {
    answers(400, { detail: "url must begin with https://", errors: [{ field: "url" }] });
    await expect(makeWebhook("http://a", null)).rejects.toMatchObject({ message: "url must begin with https://", field: "url" });
  });
});
