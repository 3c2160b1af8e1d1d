/** What a scripted account has used, and its webhooks and schedules. */
interface Answer {
  status?: number;
  body: unknown;
}

type Fields = Record<string, unknown>;

const webhooks = new Map<string, Fields>();
const schedules = new Map<string, Fields>();
const deliveries = new Map<string, Fields[]>();
let made = 0;

const day = (ago: number) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
const used = (turns: number) => ({
  turns,
  failed_turns: turns > 9 ? 2 : 0,
  seconds: turns * 73.5,
  input_tokens: turns * 9_000,
  output_tokens: turns * 1_400,
  cache_read_input_tokens: turns * 120_000,
  cache_creation_input_tokens: turns * 2_000,
  cost_usd: turns * 0.183,
  unpriced_turns: turns > 9 ? 1 : 0,
});

function usage(): Answer {
  const turns = [3, 12, 0, 7, 21, 4, 0, 0, 9, 14, 2, 30, 6, 0, 11, 5];
  const days = turns.flatMap((count, ago) => (count === 0 ? [] : [{ day: day(ago), ...used(count) }])).reverse();
  const sessions = [
    { session_id: "listed-0", title: "Add a login page", ...used(40) },
    { session_id: "listed-5", title: "A very long title of a session in which somebody has said very much at once", ...used(22) },
    { session_id: "listed-9", title: null, ...used(9) },
  ];
  return { body: { from: day(29), to: day(0), total: used(turns.reduce((sum, one) => sum + one, 0)), days, sessions } };
}

/** What the Worker would answer; undefined for what it is not asked. */
export function automation(method: string, path: string, body: string): Answer | undefined {
  const asked: Fields = body === "" ? {} : JSON.parse(body);
  const [, , kind = "", id, more] = path.split("/");
  if (kind === "usage") return usage();
  if (kind === "providers") return { body: { default: "cloudflare", total: 2, providers: [{ name: "cloudflare", default: true, enforces: ["cpu", "memory", "storage"] }, { name: "docker", default: false, enforces: ["memory"] }] } };
  const store = kind === "webhooks" ? webhooks : kind === "schedules" ? schedules : null;
  if (store === null) return undefined;
  if (id === undefined && method === "GET") return { body: { [kind]: [...store.values()], total: store.size } };
  if (method === "POST" && id !== undefined && more === "ping") {
    const sent = { id: `msg_${(made += 1)}`, message: { type: "ping", timestamp: "", data: {} }, attempts: 1, outcome: "delivered", answer: "200", created_at: new Date().toISOString(), next_attempt_at: null };
    deliveries.set(id, [sent, ...(deliveries.get(id) ?? [])]);
    return { status: 202, body: { id: sent.id } };
  }
  if (more === "deliveries") return { body: { deliveries: deliveries.get(id ?? "") ?? [], total: 0 } };
  if (method === "DELETE") {
    store.delete(id ?? "");
    return { status: 204, body: null };
  }
  const now = new Date().toISOString();
  if (kind === "webhooks") {
    if (!String(asked.url).startsWith("https://")) return { status: 400, body: { detail: "url must begin with https://", errors: [{ field: "url", detail: "" }] } };
    const one = { id: `wh_${(made += 1)}`, url: asked.url, session_id: asked.session_id ?? null, gone: false, created_at: now };
    webhooks.set(one.id, one);
    return { status: 201, body: { ...one, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKY=" } };
  }
  const key = id ?? `sch_${(made += 1)}`;
  const one = { id: key, created_at: now, next_at: asked.enabled === false ? undefined : (asked.at ?? new Date(Date.now() + 11 * 3_600_000).toISOString()), ...asked };
  schedules.set(key, one);
  return { status: id === undefined ? 201 : 200, body: one };
}
