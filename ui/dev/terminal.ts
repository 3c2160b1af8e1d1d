/** Terminals without a sandbox: a shell that knows `echo` and a few colours. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { WebSocket } from "ws";

const PROMPT = "\x1b[32magent@sandbox\x1b[0m:\x1b[34m/workspace\x1b[0m$ ";
const COLOURS = Array.from({ length: 16 }, (_, at) => `\x1b[${at < 8 ? 30 + at : 82 + at}m colour ${at} \x1b[0m`).join("") + "\r\n\x1b[38;2;255;120;40mof 24 bits\x1b[0m \x1b[1mbold\x1b[0m \x1b[4munderlined\x1b[0m\r\n";

class ScriptedTerminal {
  private printed = "";
  private line = "";
  readonly viewers = new Set<WebSocket>();

  constructor(readonly name: string) {
    this.print(PROMPT);
  }

  private print(text: string): void {
    this.printed += text;
    for (const viewer of this.viewers) viewer.send(Buffer.from(text));
  }

  join(socket: WebSocket): void {
    socket.send(JSON.stringify({ type: "opened", name: this.name, cols: 80, rows: 24, new: this.viewers.size === 0, cut: false }));
    socket.send(Buffer.from(this.printed));
    socket.send('{"type":"live"}');
    this.viewers.add(socket);
    socket.on("close", () => this.viewers.delete(socket));
    socket.on("message", (data, binary) => {
      if (binary) this.typed(String(data));
      else if (JSON.parse(String(data)).type === "ping") socket.send('{"type":"pong"}');
    });
  }

  end(why: string): void {
    for (const viewer of this.viewers) {
      viewer.send(JSON.stringify({ type: "ended", why, code: why === "exited" ? 0 : null }));
      viewer.close();
    }
  }

  private typed(keys: string): void {
    for (const key of keys) {
      if (key === "\r") {
        this.print("\r\n");
        this.run(this.line);
        this.line = "";
      } else if (key === "\x7f") {
        if (this.line !== "") this.print("\b \b");
        this.line = this.line.slice(0, -1);
      } else if (key >= " ") {
        this.line += key;
        this.print(key);
      }
    }
  }

  private run(line: string): void {
    if (line === "exit") return this.end("exited");
    if (line === "sleep") return this.end("stopped");
    if (line === "colours") this.print(COLOURS);
    else if (line.startsWith("echo ")) this.print(`${line.slice(5).replace("$((6*7))", "42")}\r\n`);
    else if (line !== "") this.print(`bash: ${line}: command not found\r\n`);
    this.print(PROMPT);
  }
}

export class ScriptedTerminals {
  private readonly all = new Map<string, ScriptedTerminal>();

  join(name: string, socket: WebSocket, attach: boolean): void {
    const there = this.all.get(name);
    if (there === undefined && attach) return socket.close();
    const terminal = there ?? new ScriptedTerminal(name);
    this.all.set(name, terminal);
    terminal.join(socket);
  }

  /** `GET` of the list, and `DELETE` of one; with `asleep` in a session's name its sandbox sleeps until one is opened. */
  answer(request: IncomingMessage, response: ServerResponse, name: string, asleep: boolean): void {
    if (request.method === "DELETE") {
      this.all.get(name)?.end("closed");
      this.all.delete(name);
      return void response.writeHead(204).end();
    }
    const terminals = [...this.all.values()].map((one) => ({ name: one.name, cols: 80, rows: 24, viewers: one.viewers.size, busy: false }));
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ sandbox: asleep && terminals.length === 0 ? "sleeping" : "running", terminals }));
  }
}
