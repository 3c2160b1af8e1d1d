import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { wantedSecrets } from "./agents.ts";
import { Draft } from "./draft.ts";
import { check, KEYWORDS, type Schema } from "./schema.ts";
import { GROUPS, rulesOf, toolsByGroup, withTool } from "./tools.ts";
import { asYaml, changedYaml, readYaml } from "./yaml.ts";

const file = (path: string) => readFileSync(join(import.meta.dirname, "../../..", path), "utf8");
const schema: Schema = JSON.parse(file("agents/schema.json"));
const places = (value: unknown) => check(schema, value).map(({ path, kind }) => `${path} ${kind}`);

describe("the schema that is served", () => {
  it("says nothing that is not understood here", () => {
    const keywords = (part: unknown): string[] => {
      if (typeof part !== "object" || part === null) return [];
      return Object.entries(part).flatMap(([name, value]) =>
        name === "properties" || name === "$defs"
          ? [name, ...Object.values(value as object).flatMap(keywords)]
          : name === "anyOf"
            ? [name, ...(value as unknown[]).flatMap(keywords)]
            : name === "default" || name === "enum"
              ? [name]
              : [name, ...keywords(value)],
      );
    };
    expect([...new Set(keywords(schema))].filter((word) => !KEYWORDS.includes(word) && !/^\d+$/.test(word))).toEqual([]);
  });

  it("holds for the agents that come with the project", () => {
    for (const preset of ["code-assistant", "data-analysis", "fullstack-team", "github-code-review", "research-agent"]) {
      const read = readYaml(file(`presets/${preset}.yaml`));
      expect("config" in read && check(schema, read.config), preset).toEqual([]);
    }
  });

  it("finds what is wrong, and where", () => {
    expect(places({ id: "a", name: "A" })).toEqual([]);
    expect(places({ id: "No!", name: "" })).toEqual(["name missing", "id pattern"]);
    expect(places({ id: "a", name: "A", max_turns: 0, cwd: 5 })).toEqual(["max_turns least", "cwd type"]);
    expect(places({ id: "a", name: "A", max_turns: 1001.5 })).toEqual(["max_turns type"]);
    expect(places({ id: "a", name: "A", allowed_tools: ["Bash", 5] })).toEqual(["allowed_tools[1] type"]);
    expect(places({ id: "a", name: "A", permission_mode: "never" })).toEqual(["permission_mode choice"]);
    expect(places({ id: "a", name: "A", agents: { tester: { prompt: "", description: "x", color: 1 } } })).toEqual([
      "agents.tester.prompt missing",
      "agents.tester.color unknown",
    ]);
    expect(places({ id: "a", name: "A", mcp_servers: { s: { type: "ftp", args: [1] } } })).toEqual([
      "mcp_servers.s.type choice",
      "mcp_servers.s.args[0] type",
    ]);
    expect(places({ id: "a", name: "A", system_prompt: 5 })).toEqual(["system_prompt type"]);
    expect(places({ id: "a", name: "A", system_prompt: { type: "preset", preset: "other" } })).toEqual(["system_prompt.preset choice"]);
    expect(places("a")).toEqual([" type"]);
  });
});

describe("YAML", () => {
  const written = `# Ours.
id: tester # stays
name: Tester
allowed_tools: [Bash, Read]
system_prompt: |
  First line.

  Second: with a colon
max_turns: 5
`;

  it("is read and written as the same", () => {
    const read = readYaml(written);
    if (!("config" in read)) throw new Error("it is YAML");
    expect(read.config.system_prompt).toBe("First line.\n\nSecond: with a colon\n");
    expect(changedYaml(written, read.config)).toBe(written);
    expect(readYaml(asYaml(read.config))).toEqual(read);
    expect(asYaml({ id: "a", allowed_tools: ["Bash", "Read"], system_prompt: "one\ntwo\n" })).toBe(
      "id: a\nallowed_tools: [Bash, Read]\nsystem_prompt: |\n  one\n  two\n",
    );
  });

  it("keeps what was not changed as somebody has written it", () => {
    const read = readYaml(written);
    if (!("config" in read)) throw new Error("it is YAML");
    const { max_turns: _gone, ...rest } = read.config;
    const changed = changedYaml(written, { ...rest, name: "Other", env: { A: "1" } });
    expect(changed).toBe(written.replace("Tester\n", "Other\n").replace("max_turns: 5\n", 'env:\n  A: "1"\n'));
  });

  it("says where it can't be read", () => {
    expect(readYaml("id: a\nname: [")).toMatchObject({ line: 2 });
    expect(readYaml("- a")).toEqual({ line: 1, words: null });
    expect(readYaml("")).toEqual({ line: 1, words: null });
    expect("config" in readYaml(`id: ${"a".repeat(300_000)}`)).toBe(false);
    const bomb = `a: &a [x, x, x, x, x, x, x, x]\n${[..."bcdefgh"].map((name, at) => `${name}: &${name} [${Array(8).fill(`*${"abcdefgh"[at]}`).join(", ")}]`).join("\n")}\n`;
    expect("config" in readYaml(bomb)).toBe(false);
    expect("config" in readYaml("__proto__: {x: 1}\nid: a")).toBe(true);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });
});

describe("a draft", () => {
  const draft = () => {
    const made = new Draft();
    made.schema.value = schema;
    made.begin({ id: "a", name: "A" }, true);
    return made;
  };

  it("says the same as form and as text", () => {
    const made = draft();
    expect(made.changed.value).toBe(false);
    made.set("max_turns", 5);
    expect(made.text.value).toBe("id: a\nname: A\nmax_turns: 5\n");
    made.type(made.text.value.replace("5", "7 # more"));
    expect(made.config.value).toEqual({ id: "a", name: "A", max_turns: 7 });
    made.set("name", "B");
    expect(made.text.value).toBe("id: a\nname: B\nmax_turns: 7 # more\n");
    made.set("max_turns", undefined);
    made.set("name", "");
    expect(made.text.value).toBe('id: a\nname: ""\n');
    expect(made.flaws.value).toEqual([{ path: "name", kind: "missing", wanted: "name" }]);
    made.set("name", "A");
    made.keep();
    expect(made.changed.value).toBe(false);
  });

  it("keeps what it was while the text can't be read", () => {
    const made = draft();
    made.type("id: [");
    expect(made.unreadable.value?.line).toBe(1);
    expect(made.config.value).toEqual({ id: "a", name: "A" });
    made.set("name", "B");
    expect(made.text.value).toBe("id: a\nname: B\n");
    expect(made.unreadable.value).toBeNull();
  });

  it("shows what the server says until the place is another one", () => {
    const made = draft();
    made.set("resource_limits", { memory_limit: "x" });
    made.refused.value = { path: "resource_limits.memory_limit", kind: "said", wanted: "must be a size" };
    made.set("name", "B");
    expect(made.flaws.value).toHaveLength(1);
    made.set("resource_limits", { memory_limit: "4g" });
    expect(made.flaws.value).toEqual([]);
  });

  it("names fields that have no effect", () => {
    const made = draft();
    made.type("id: a\nname: A\ncolor: red\nmodel: null\n");
    expect([made.unknown.value, made.flaws.value]).toEqual([["color"], []]);
  });
});

describe("tools", () => {
  it("are those that the server knows", () => {
    const known = [...(/KNOWN[^=]*= \[([^\]]*)\]/.exec(file("agents/src/tools.rs"))?.[1] ?? "").matchAll(/"(\w+)"/g)].map((found) => found[1]);
    expect(Object.values(GROUPS).flat().sort()).toEqual(known.sort());
  });

  it("stand in the order of their groups, before rules", () => {
    const groups = toolsByGroup({ mcp_servers: { github: {} } });
    const given = ["Bash(git log:*)", "Bash"];
    expect(rulesOf([...given, "mcp__github__*"], groups)).toEqual(["Bash(git log:*)"]);
    expect(withTool(given, "Read", true, groups)).toEqual(["Read", "Bash", "Bash(git log:*)"]);
    expect(withTool(given, "Bash", false, groups)).toEqual(["Bash(git log:*)"]);
  });

  it("of servers ask for secrets by their names", () => {
    const mcp_servers = { a: { env: { T: "x${TOKEN}", U: 5 }, args: ["${B}", "${B}", "$C"], url: "https://x/${D_1}" }, b: null };
    expect(wantedSecrets({ mcp_servers })).toEqual(["B", "D_1", "TOKEN"]);
    expect(wantedSecrets({})).toEqual([]);
  });
});
