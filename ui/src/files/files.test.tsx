import { render } from "preact";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Files, Refused } from "./api.ts";
import { readTable } from "./csv.ts";
import { lookOf, savedName, shownName } from "./names.ts";
import { Notebook, readCells } from "./notebook.tsx";
import { type FileNode, nodeAt, readNode, relative, rowsOf } from "./tree.ts";

afterEach(() => vi.unstubAllGlobals());

const file = (name: string, more: object = {}) => ({ name, type: "file", path: name, ...more });
const folder = (name: string, children: object[], path = name) => ({ name, type: "directory", path, children });

function tree(...children: object[]): FileNode {
  const read = readNode(folder("workspace", children, ""), "");
  if (read === null) throw new Error("no tree");
  return read;
}

describe("the tree", () => {
  const all = tree(
    file("b10.txt"),
    file("b9.txt", { size: 5, git: "modified" }),
    folder("src", [file("main.rs", { path: "src/main.rs", git: "untracked" }), folder("deep", [file("x", { path: "src/deep/x" })], "src/deep")]),
  );
  const names = (opened: string[], sought = "") => rowsOf(all, new Set(opened), sought).map((row) => `${"  ".repeat(row.depth)}${row.node.name}`);

  it("has folders first, and numbers in their order", () => {
    expect(names([])).toEqual(["src", "b9.txt", "b10.txt"]);
    expect(names(["src"])).toEqual(["src", "  deep", "  main.rs", "b9.txt", "b10.txt"]);
    expect(names(["src/deep"])).toEqual(["src", "b9.txt", "b10.txt"]);
    expect(names([], "MAIN")).toEqual(["main.rs"]);
    expect(names([], "nothing")).toEqual([]);
  });

  it("says what has changed", () => {
    expect(nodeAt(all, "b9.txt")).toMatchObject({ size: 5, state: "changed" });
    expect(nodeAt(all, "src/main.rs")?.state).toBe("added");
    expect(nodeAt(all, "src/nothing")).toBeNull();
    expect(nodeAt(all, "")).toBeNull();
  });

  it("takes odd lists for what they are", () => {
    expect(readNode(null, "")).toBeNull();
    expect(readNode({ name: 5 }, "")).toBeNull();
    const odd = tree({ name: "a", type: "weird", git: "constructor", size: "big", children: "none" }, null as never, file("\u202egpj.exe\u0000"));
    expect(odd.children.map(({ name, kind, state, size }) => [name, kind, state, size])).toEqual([
      ["a", "file", null, null],
      ["\ufffdgpj.exe\ufffd", "file", null, null],
    ]);
    let deep: object = file("end");
    for (let one = 0; one < 500; one += 1) deep = folder("d", [deep]);
    expect(() => tree(deep)).not.toThrow();
  });

  it("asks for each path as it is", () => {
    expect(tree(file("a b#?%2e/..\u{1F600}")).children[0]?.address).toBe("a%20b%23%3F%252e/..%F0%9F%98%80");
    expect(tree(file("x", { encoded: "%ff%fe/a?b#c" })).children[0]?.address).toBe("%ff%fe/a%3Fb%23c");
  });

  it("knows the agent's paths", () => {
    const from = (path: string, root: string) => relative(path, { root, tree: all });
    expect(from("/work/space/src/new.rs", "/work/space/")).toBe("src/new.rs");
    expect(from("/tmp/x/workspace/src/main.rs", "/workspace")).toBe("src/main.rs");
    expect(from("/workspace/new", "")).toBe("new");
    expect(from("./b9.txt", "/workspace")).toBe("b9.txt");
    expect(from("/etc/passwd", "/workspace")).toBe("/etc/passwd");
  });
});

describe("names", () => {
  it("hide nothing, and can be kept anywhere", () => {
    expect(shownName("a\nb\u200bc")).toBe("a\ufffdb\ufffdc");
    expect(savedName('../.ssh/"key"\r\n')).toBe("__.ssh__key___");
    expect(savedName("...")).toBe("_");
    expect(savedName("x".repeat(300))).toHaveLength(200);
    expect(["A.MD", "b.csv", "c.ipynb", "d", "md", ".md"].map(lookOf)).toEqual(["markdown", "table", "notebook", "code", "code", "markdown"]);
  });
});

describe("tables", () => {
  it("are read with their quotes", () => {
    expect(readTable('a,b\r\n1,"x, ""y""\nz"\r\n\r\n2,\r\n', "t.csv")).toEqual({ head: ["a", "b"], rows: [["1", 'x, "y"\nz'], ["2", ""]], all: 2 });
    expect(readTable("a;b;c\n1;2;3", "t.csv").rows).toEqual([["1", "2", "3"]]);
    expect(readTable("a,b\tc\n", "t.tsv").head).toEqual(["a,b", "c"]);
    expect(readTable("", "t.csv")).toEqual({ head: [], rows: [], all: 0 });
    expect(readTable('"open', "t.csv").head).toEqual(["open"]);
  });

  it("are cut", () => {
    const table = readTable(`${"c,".repeat(200)}\n${"1\n".repeat(900)}`, "t.csv");
    expect([table.head.length, table.rows.length, table.all]).toEqual([100, 500, 900]);
  });
});

describe("notebooks", () => {
  it("show their cells as text", () => {
    const content = JSON.stringify({ cells: [{ cell_type: "markdown", source: "# T <script>" }, { cell_type: "code", source: ["a\n", "b"], outputs: [{ text: ["<img src=x onerror=alert(1)>"] }, { data: { "text/html": "<script>", "text/plain": "42" } }, null] }, 7] });
    expect(readCells(content)?.cells[1]).toEqual({ markdown: false, source: "a\nb", output: "<img src=x onerror=alert(1)>\n42" });
    const host = document.createElement("div");
    render(<Notebook content={content} />, host);
    expect(host.querySelectorAll("script, img")).toHaveLength(0);
    expect(host.textContent).toContain("<img src=x onerror=alert(1)>");
    expect(readCells("{")).toBeNull();
    expect(readCells('{"cells":5}')).toBeNull();
  });
});

describe("the server's answers", () => {
  const answers = (body: BodyInit, init: ResponseInit) => {
    const asked: [string, RequestInit][] = [];
    vi.stubGlobal("fetch", (path: string, given: RequestInit) => {
      asked.push([path, given]);
      return Promise.resolve(new Response(body, init));
    });
    return asked;
  };
  const one = tree(file("a b.txt", { size: 3 })).children[0] as FileNode;

  it("are texts with their version, pictures, or neither", async () => {
    const files = new Files("s 1");
    const asked = answers(JSON.stringify({ path: "a b.txt", content: "hi", language: "text" }), { headers: { etag: '"1"' } });
    expect(await files.read(one)).toEqual({ kind: "text", content: "hi", language: "text", version: '"1"' });
    expect(asked[0]?.[0]).toBe("/api/files/s%201/a%20b.txt");
    answers("<svg/>", { headers: { "content-type": "image/svg+xml" } });
    expect((await files.read(one)).kind).toBe("image");
    answers(JSON.stringify({ type: "binary", size: 9, content_type: "application/pdf" }), {});
    expect(await files.read(one)).toEqual({ kind: "binary", size: 9, type: "application/pdf" });
    answers("no json", {});
    expect(await files.read(one)).toEqual({ kind: "binary", size: 3, type: "" });
  });

  it("refuse in words", async () => {
    answers(JSON.stringify({ detail: "it was changed" }), { status: 412 });
    const refused = await new Files("s").write(one, "x", '"1"').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refused);
    expect(refused).toMatchObject({ status: 412, message: "it was changed" });
    answers("[]", {});
    await expect(new Files("s").list()).rejects.toThrow("no list of files");
  });

  it("are asked for in this session alone", async () => {
    const asked = answers("{}", {});
    const files = new Files("s");
    for (const path of ["../../keys", "..", "a/../../t/x", "%2e%2e/t"]) {
      for (const node of [tree(file(path)).children[0], tree(file("x", { encoded: path })).children[0]]) {
        const given = node as FileNode;
        await files.write(given, "x", null).catch(() => null);
        await files.read(given).catch(() => null);
      }
    }
    const reached = asked.map(([path]) => new URL(path, "http://here").pathname);
    expect(reached.filter((path) => !path.startsWith("/api/files/s/"))).toEqual([]);
    expect(reached.length).toBeGreaterThan(0);
  });

  it("are written against the version that was read", async () => {
    const asked = answers("{}", { headers: { etag: '"2"' } });
    expect(await new Files("s").write(one, "x", '"1"')).toBe('"2"');
    await new Files("s").write(one, "x", null);
    expect(asked.map(([, init]) => new Headers(init.headers).get("if-match"))).toEqual(['"1"', null]);
    expect(asked[0]?.[1].method).toBe("PUT");
  });
});
