import { afterEach, describe, expect, it, vi } from "vitest";
import { entries } from "../view/rail.tsx";
import { fetchProviders, launch, listed, readAgent, readListed, readProviders, readSessions, total } from "./sessions.ts";

afterEach(() => vi.unstubAllGlobals());

function answers(status: number, body: unknown) {
  const asked: [string, RequestInit][] = [];
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    asked.push([path, init]);
    return Promise.resolve(new Response(JSON.stringify(body), { status }));
  });
  return asked;
}

const one = { session_id: "a", agent_id: "a", config_id: "code-assistant", title: "T", status: "idle", last_active: "2026-11-21T10:00:00.000Z" };
const at = Date.parse(one.last_active);

describe("the places where sandboxes run", () => {
  it("are read as the server names them", () => {
    const providers = [{ name: "cloudflare", default: true, enforces: ["memory", "cpu", "luck"] }, { name: "docker" }, { name: 5 }, null];
    expect(readProviders({ providers, total: 2, default: "cloudflare" })).toEqual({
      all: [
        { name: "cloudflare", enforces: ["cpu", "memory"] },
        { name: "docker", enforces: [] },
      ],
      usual: "cloudflare",
    });
    expect(readProviders("x")).toEqual({ all: [], usual: "" });
  });

  it("are missed where the server does not say", async () => {
    answers(503, { detail: "not now" });
    await expect(fetchProviders()).rejects.toThrow("not now");
  });
});

describe("the account's sessions", () => {
  it("are read for what they are", () => {
    expect(readListed(one)).toEqual([{ id: "a", title: "T", status: "idle", agent: "code-assistant", model: "", cost: null, open: 0, at }]);
    expect(readListed({ ...one, model: "local/demo", cost_usd: 0.25, open_requests: 2 })).toMatchObject([{ model: "local/demo", cost: 0.25, open: 2 }]);
    expect(readListed({ session_id: "b", config_id: null, status: "constructor", last_active: "never" })).toEqual([{ id: "b", title: "", status: null, agent: "", model: "", cost: null, open: 0, at: 0 }]);
    for (const odd of [null, 5, {}, { session_id: "../x" }, { session_id: "javascript:alert(1)" }]) expect(readListed(odd)).toEqual([]);
  });

  it("stay as they are known where the server does not answer", async () => {
    answers(200, { sessions: [one], total: 7 });
    await readSessions();
    expect([listed.value?.length, total.value]).toEqual([1, 7]);
    answers(500, {});
    await readSessions();
    expect([listed.value?.length, total.value]).toEqual([1, 7]);
  });

  it("stand with those that were opened here, the newest first", () => {
    const here = [
      { id: "new", title: "", at: 0 },
      { id: "a", title: "Here", at: 5 },
      { id: "link", title: "Somebody else's", at: at + 1 },
    ].map((visit) => ({ ...visit, seen: 0 }));
    const all = entries(readListed({ ...one, title: "" }), here);
    expect(all.map(({ id, title, own }) => [id, title, own])).toEqual([
      ["new", "", true],
      ["link", "Somebody else's", true],
      ["a", "Here", false],
    ]);
    expect(entries(null, here).map((entry) => entry.id)).toEqual(["new", "link", "a"]);
  });

  it("are marked where something is new, and where they wait for a person", () => {
    const marks = (seen: number, open: number) => {
      const [entry] = entries(readListed({ ...one, open_requests: open }), [{ id: "a", title: "", at: 0, seen }]);
      return [entry?.unread, entry?.open];
    };
    expect(marks(at, 0)).toEqual([false, 0]);
    expect(marks(at - 1, 0)).toEqual([true, 0]);
    // How far it was seen is not known.
    expect(marks(0, 0)).toEqual([false, 0]);
    expect(marks(at, 1)).toEqual([false, 1]);
  });
});

describe("agents", () => {
  it("are read for what they are", () => {
    expect(readAgent({ id: "x", name: "", description: 5, allowed_tools: ["a", "b"], has_mcp_servers: true, mcp_env: ["TOKEN", 5] })).toEqual([
      { id: "x", name: "x", description: "", tools: 2, servers: true, team: false, secrets: ["TOKEN"], own: false },
    ]);
    expect(readAgent({ name: "x" })).toEqual([]);
  });

  it("are launched with what they need, and nothing else", async () => {
    const asked = answers(200, { session_id: "s1" });
    expect(await launch({ config_id: "x" }, { secrets: {}, key: "", provider: "" })).toBe("s1");
    expect(await launch({ config_id: "x" }, { secrets: { TOKEN: "t" }, key: "k", provider: "docker" })).toBe("s1");
    expect(asked.map(([, init]) => JSON.parse(String(init.body)))).toEqual([{ config_id: "x" }, { config_id: "x", mcp_env: { TOKEN: "t" }, api_key: "k", provider: "docker" }]);
    answers(400, { detail: "mcp_env.TOKEN is missing" });
    await expect(launch({ config_id: "x" }, { secrets: {}, key: "", provider: "" })).rejects.toThrow("mcp_env.TOKEN is missing");
    answers(200, { session_id: "//evil.example" });
    await expect(launch({ config_id: "x" }, { secrets: {}, key: "", provider: "" })).rejects.toThrow("no session");
  });
});
