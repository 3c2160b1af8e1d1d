/** The agents and sessions of a scripted account. */
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

/** What the Worker would answer; undefined for what it is not asked. */
export function platform(method: string, path: string, body: string): object | undefined {
  if (path === "/api/configs/") return { configs: AGENTS, total: AGENTS.length };
  if (path === "/api/configs/custom/list") return { configs: [], total: 0 };
  if (path === "/api/agents/launch" && method === "POST") {
    const id = `launched-${Date.now()}`;
    return { session_id: id, agent_id: id, config_id: JSON.parse(body).config_id, status: "running", message: "Launched" };
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
    return { sessions, total: sessions.length + 5 };
  }
  return undefined;
}
