/** A repository with one of each kind of change: as much of `/api/sessions/{id}/repository` as the page asks for. */
import type { IncomingMessage, ServerResponse } from "node:http";

const change = (path: string, kind: string, more: object = {}) => ({ path, kind, staged: false, unstaged: true, ...more });
let branch = "fix/greeting";
let branches = ["fix/greeting", "main", "<img src=x onerror=alert(1)>"];
let changes = [
  change("hello.py", "modified", { additions: 3, deletions: 2 }),
  change("both.txt", "conflicted"),
  change("gone.txt", "deleted", { staged: true, unstaged: false, additions: 0, deletions: 2 }),
  change("made/by/a/command/with/a/long/path/of/folders/generated.txt", "untracked"),
  change("-\u202ename\nof two lines", "untracked"),
];
let commits = ["Greet by name", "<script>alert(1)</script> A subject that is so long that it does not fit into a line of the side panel"].map((subject, at) => ({
  hash: String(at + 1).repeat(40),
  subject,
  author: "Ann",
  time: 1_760_000_000 - at * 100_000,
}));

export function repository(request: IncomingMessage, response: ServerResponse, what: string): void {
  let body = "";
  request.on("data", (chunk) => (body += String(chunk)));
  request.on("end", () => {
    const json = (status: number, value: unknown) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    const wish = (body === "" ? {} : JSON.parse(body)) as { name?: string; create?: boolean; message?: string; paths?: string[] };
    const path = new URL(request.url ?? "/", "http://localhost").searchParams.get("path") ?? "";
    const named = ({ path: one }: { path: string }) => wish.paths === undefined || wish.paths.includes(one);
    switch (what) {
      case "repository": {
        const remote = { name: "origin", host: "github.com", web: "https://github.com/o/r", ...(branch === "main" ? {} : { new_request: `https://github.com/o/r/compare/${branch}?expand=1` }) };
        const upstream = { name: `origin/${branch}`, ahead: 2, behind: 1 };
        return json(200, { repository: { branch, head: commits[0]?.hash, upstream, changes, counts: { all: changes.length }, truncated: false, commits, branches, remote } });
      }
      case "diff":
        return json(200, { path, status: "modified", additions: 1, deletions: 1, binary: false, patch: `diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n` });
      case "branch":
        if (changes.length > 0 && wish.create !== true) return json(409, { detail: 'the branch has these files otherwise, and what has changed in them would be lost: "hello.py"; commit or discard it first' });
        branch = wish.name ?? branch;
        if (!branches.includes(branch)) branches = [branch, ...branches];
        return json(200, { branch });
      case "commit":
        commits = [{ hash: "a".repeat(40), subject: wish.message?.split("\n")[0] ?? "", author: "Ann", time: Math.floor(Date.now() / 1000) }, ...commits];
        changes = changes.filter((one) => !named(one));
        return json(201, { commit: commits[0] });
      default:
        changes = changes.filter((one) => !named(one));
        return json(200, { files: wish.paths?.length ?? 0 });
    }
  });
}
