/** The files of a scripted session, kept in memory: as much of `/api/files` as the page asks for. */
import type { IncomingMessage, ServerResponse } from "node:http";

const PICTURE = Buffer.from(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 40"><rect width="80" height="40" rx="6" fill="#0b6b63"/><circle cx="24" cy="20" r="10" fill="#fff"/><script>alert(1)</script></svg>',
);

const notebook = JSON.stringify({
  nbformat: 4,
  metadata: { kernelspec: { language: "python" } },
  cells: [
    { cell_type: "markdown", source: ["# Sales\n", "What was sold, by *region*."] },
    { cell_type: "code", source: ["total = sum(sales)\n", "total"], outputs: [{ data: { "text/plain": ["42"] } }] },
  ],
});

/** What `/api/sessions/{id}/diff` answers: one of each kind. */
export function changed(from: string | null, to: string | null): object {
  const head = (path: string) => `diff --git a/${path} b/${path}\nindex 1111111..2222222 100644\n--- a/${path}\n+++ b/${path}\n`;
  const one = (path: string, status: string, additions: number, deletions: number, more: object = {}) => ({ path, status, additions, deletions, binary: false, ...more });
  const greeter = `${head("hello.py")}@@ -1,6 +1,7 @@\n import sys\n \n \n-def greet(name):\n+def greet(name: str) -> str:\n+    \"\"\"Words for a person.\"\"\"\n     return f"Hello, {name}!"\n \n@@ -40 +41 @@ def main():\n-print("x")\n+print("\u202ey")\n\\ No newline at end of file\n`;
  const files = [
    one("hello.py", "modified", 3, 2, { patch: greeter }),
    one("made/by/a/command/with/a/long/path/of/folders/generated.txt", "added", 1, 0, { patch: `${head("generated.txt")}@@ -0,0 +1 @@\n+made\n` }),
    one("src/new-name.ts", "renamed", 0, 0, { old_path: "src/old-name.ts", patch: "similarity index 100%\n" }),
    one("logo.png", "modified", 0, 0, { binary: true }),
    one("package-lock.json", "modified", 9_120, 8_004),
    one("gone.txt", "deleted", 0, 2, { patch: `${head("gone.txt")}@@ -1,2 +0,0 @@\n-one\n-two\n` }),
  ];
  return { from, to, files: to === "now" ? files : files.slice(0, 2), truncated: to === "now", ...(from === "begin" ? { note: "The history of the workspace began anew after turn-1, as there was too much in it" } : {}) };
}

export class ScriptedFiles {
  private version = 1;
  private readonly files = new Map<string, Buffer>(
    Object.entries({
      "README.md": "# Greeter\n\nSays hello.\n\n| What | Where |\n| --- | --- |\n| program | `hello.py` |\n",
      "hello.py": 'import sys\n\n\ndef greet(name: str) -> str:\n    """Words for a person."""\n    return f"Hello, {name}!"\n\n\nif __name__ == "__main__":\n    print(greet(sys.argv[1] if len(sys.argv) > 1 else "world"))\n',
      "src/main.rs": 'fn main() {\n    // Says hello.\n    println!("Hello, {}!", 42);\n}\n',
      "src/deep/er/settings.yaml": "name: greeter\nretries: 3\n",
      "data/sales.csv": 'region,sold,note\nNorth,12,"a, b"\nSouth,30,<img src=x onerror=alert(1)>\n',
      "notebooks/sales.ipynb": notebook,
      "bin/tool": "\u0000\u0001",
      "<img src=x onerror=alert(1)>.txt": "hostile name",
      "a-very-long-name-of-a-file-that-nobody-would-give-but-a-program-that-makes-names-of-hashes-0123456789abcdef.log": "x\n".repeat(20),
    }).map(([name, content]) => [name, Buffer.from(content)]),
  );

  constructor() {
    this.files.set("logo.svg", PICTURE);
  }

  async answer(request: IncomingMessage, response: ServerResponse, path: string, asleep: boolean): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const json = (status: number, value: unknown, headers: Record<string, string> = {}) =>
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
    if (path === "" && request.method === "GET") {
      const saved: Record<string, string> = asleep ? { "x-from-save": "3" } : {};
      json(200, { root: "/workspace", tree: this.tree(), total_files: this.files.size, total_items: this.files.size }, saved);
      return;
    }
    if (request.method === "POST") {
      if (path === "upload") {
        const names = [...body.toString("latin1").matchAll(/filename="([^"]*)"/g)].map((match) => match[1] ?? "");
        const replaces = names.some((name) => this.files.has(name)) && !(request.url ?? "").includes("overwrite=true");
        if (replaces) return void json(409, { detail: "a file is there already" });
        for (const name of names) this.files.set(name, Buffer.from("uploaded\n"));
        return void json(200, { uploaded: names });
      }
      return void response.writeHead(200, { "content-type": "application/zip" }).end("PK");
    }
    const name = decodeURIComponent(path.replace(/\/download$/, ""));
    const file = this.files.get(name);
    const etag = `"${this.version}"`;
    if (request.method === "PUT") {
      const expected = request.headers["if-match"];
      if (expected !== undefined && expected !== etag) return void json(412, { detail: "it is another version" });
      this.files.set(name, body);
      this.version += 1;
      return void json(200, { path: name }, { etag: `"${this.version}"` });
    }
    if (file === undefined) return void json(404, { detail: "there is no such file" });
    if (path.endsWith("/download")) return void response.end(file);
    if (name.endsWith(".svg")) return void response.writeHead(200, { "content-type": "image/svg+xml" }).end(file);
    if (file.includes(0)) return void json(200, { type: "binary", size: file.length, content_type: "application/octet-stream" });
    const language = { py: "python", rs: "rust", md: "markdown", yaml: "yaml" }[name.split(".").at(-1) ?? ""] ?? "text";
    json(200, { path: name, content: file.toString(), language, size_bytes: file.length, lines: 1 }, { etag });
  }

  private tree(): object {
    interface Folder {
      name: string;
      type: string;
      path: string;
      children: object[];
    }
    const root: Folder = { name: "workspace", type: "directory", path: "", children: [] };
    const folders = new Map<string, Folder>([["", root]]);
    const folder = (path: string): Folder => {
      const known = folders.get(path);
      if (known !== undefined) return known;
      const made: Folder = { name: path.split("/").at(-1) ?? "", type: "directory", path, children: [] };
      folders.set(path, made);
      folder(path.split("/").slice(0, -1).join("/")).children.push(made);
      return made;
    };
    for (const [path, content] of this.files) {
      const parts = path.split("/");
      const node = { name: parts.at(-1), type: "file", path, size: content.length, ...(path === "hello.py" ? { git: "modified" } : path === "README.md" ? { git: "untracked" } : {}) };
      folder(parts.slice(0, -1).join("/")).children.push(node);
    }
    return root;
  }
}
