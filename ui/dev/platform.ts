/** The agents and sessions of a scripted account. */
import { readFileSync } from "node:fs";

const agent = (id: string, name: string, description: string, tools: number, more: object = {}) => ({
  id,
  name,
  description,
  version: "1.0.0",
  allowed_tools: Array.from({ length: tools }, (_, at) => `Tool${at}`),
  has_mcp_servers: false,
  has_sub_agents: false,
  permission_mode: "acceptEdits",
  mcp_env: [],
  ...more,
});

const AGENTS = [
  agent("code-assistant", "Code assistant", "Builds features and mends bugs in a repository, with tests first and small steps.", 8),
  agent("research-agent", "Research agent", "Researches a question on the web, checks what it finds, and writes it up with its sources.", 6),
  agent("fullstack-team", "Full-stack team", "A lead that plans the work and hands it to three specialists.", 5, { has_sub_agents: true }),
  agent("github-code-review", "GitHub code review", "Reviews pull requests on GitHub and comments on what matters; needs a GitHub token.", 4, { has_mcp_servers: true, mcp_env: ["GITHUB_PERSONAL_ACCESS_TOKEN"] }),
];

/** The agents that somebody has made since the server began. */
const own = new Map<string, Record<string, unknown>>();

const inShort = (config: Record<string, unknown>) =>
  agent(String(config.id), String(config.name), String(config.description ?? ""), Array.isArray(config.allowed_tools) ? config.allowed_tools.length : 0);

const refusal = (status: number, field: string, detail: string) => ({ status, body: { detail, errors: [{ field, detail }] } });

/** What the Worker would answer, with 200 where it does not say another status; undefined for what it is not asked. */
export function platform(method: string, path: string, body: string): { status?: number; body: unknown } | undefined {
  if (path === "/api/configs/schema.json") {
    return { body: JSON.parse(readFileSync(new URL("../../agents/schema.json", import.meta.url), "utf8")) };
  }
  if (path === "/api/configs/") return { body: { configs: AGENTS, total: AGENTS.length } };
  if (path === "/api/configs/custom/list") return { body: { configs: [...own.values()].map(inShort), total: own.size } };
  const named = path.match(/^\/api\/configs\/(?:custom\/?)?([\w-]*)$/)?.[1] ?? null;
  if (named !== null && method === "DELETE") {
    own.delete(named);
    return { body: { status: "success", config_id: named } };
  }
  if (named !== null && (method === "POST" || method === "PUT")) {
    const config = JSON.parse(body);
    if (method === "POST" && own.has(config.id)) return refusal(409, "id", `${config.id} is there already`);
    const limit = config.resource_limits?.memory_limit;
    if (limit !== undefined && !/^\d+[kmgt]?$/i.test(limit)) {
      return refusal(400, "resource_limits.memory_limit", "memory_limit must be a size such as 512m or 4g");
    }
    own.set(config.id, config);
    return { body: { status: "success", config_id: config.id, warnings: config.color === undefined ? [] : ["color is no field of a configuration, and has no effect"] } };
  }
  if (named !== null) {
    const preset = AGENTS.find(({ id }) => id === named);
    const config = own.get(named) ?? (preset === undefined ? undefined : wholeOf(preset));
    return config === undefined ? { status: 404, body: { detail: "there is no such configuration" } } : { body: config };
  }
  if (path === "/api/agents/launch" && method === "POST") {
    const id = `launched-${Date.now()}`;
    const wish = JSON.parse(body);
    return { body: { session_id: id, agent_id: id, config_id: wish.config_id ?? wish.config.id, status: "running", message: "Launched" } };
  }
  if (path === "/api/agents/sessions") {
    const titles = ["Add a login page", "Why is the build red?", "Compare three message queues", "Review pull request 42", "", "A very long title of a session in which somebody has said very much at once", "Migrate the tests"];
    const states = ["running", "idle", "sleeping", "error", "starting", "stopped", "sleeping"];
    const sessions = titles.map((title, at) => ({
      session_id: `listed-${at}`,
      agent_id: `listed-${at}`,
      config_id: at % 3 === 2 ? "research-agent" : null,
      title,
      status: states[at],
      created_at: new Date(Date.now() - at * 8_000_000).toISOString(),
      last_active: new Date(Date.now() - at * 7_000_000).toISOString(),
    }));
    return { body: { sessions, total: sessions.length + 5 } };
  }
  const launched = path.match(/^\/api\/agents\/sessions\/(launched-\d)$/)?.[1];
  if (launched !== undefined) return { body: { session_id: launched, agent_id: launched, config_id: "research-agent", title: "Compare three queues", status: launched === "launched-1" ? "running" : "idle", parent: null, children: [], last_active: new Date().toISOString() } };
  return undefined;
}

function wholeOf({ id, name, description, version }: (typeof AGENTS)[number]): Record<string, unknown> {
  return {
    id,
    name,
    description,
    version,
    permission_mode: "acceptEdits",
    allowed_tools: ["Bash", "Read", "Write", "Edit", "Grep", "Glob", "Task", "TodoWrite"],
    system_prompt: { type: "preset", preset: "claude_code", append: "Work test first.\nTake small steps.\n" },
    ...(id === "fullstack-team"
      ? { agents: { frontend: { description: "Builds what people see", prompt: "You build the page.", model: "sonnet" }, devops: { description: "Runs it", prompt: "You run it.", tools: ["Bash"] } } }
      : {}),
    ...(id === "github-code-review"
      ? { mcp_servers: { github: { type: "stdio", command: "npx", args: ["-y", "@modelcontextprotocol/server-github"], env: { GITHUB_PERSONAL_ACCESS_TOKEN: "${GITHUB_PERSONAL_ACCESS_TOKEN}" } } } }
      : {}),
    resource_limits: { cpu_quota: 200000, memory_limit: "4g", storage_limit: "10g" },
    max_turns: 100,
  };
}
