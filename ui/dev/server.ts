/**
 * For work on the page without the rest: `npm run dev -w ui`, then open /demo.
 *
 * It speaks the session's WebSocket with scripted turns (script.ts): the log, the queue, interrupts
 * and replay are as the protocol has them, the agent is not there. `npm run preview -w ui` serves
 * the built page in the same way, under the policy that the Worker sends.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Plugin } from "vite";
import { type WebSocket, WebSocketServer } from "ws";
import { automation } from "./automation.ts";
import { changed, ScriptedFiles } from "./files.ts";
import { platform } from "./platform.ts";
import { repository } from "./repository.ts";
import { answer, MODELS, past, type Step } from "./script.ts";
import { ScriptedTerminals } from "./terminal.ts";

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
  "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/** Events of a long past. */
const LONG = 10_000;

class ScriptedSession {
  readonly files = new ScriptedFiles();
  readonly terminals = new ScriptedTerminals();
  private readonly log: string[] = [];
  private readonly sockets = new Set<WebSocket>();
  private readonly said = new Set<string>();
  private readonly queue: { turn: string; id: string; content: string }[] = [];
  private current: { turn: string; stop: () => void } | null = null;
  private turns = 0;
  private model: string | null = null;

  /** A session whose name has "long" in it has a long past; with "giant" it is one turn. */
  constructor(private readonly id: string) {
    const giant = id.includes("giant");
    if (!giant && !id.includes("long")) return;
    for (let turn = 1; this.log.length < LONG; turn += 1) {
      this.turns = turn;
      for (const event of past(turn, giant ? LONG / 2 : 0)) this.write(`turn-${turn}`, event);
    }
  }

  /** The lines of a page backwards. */
  page(before: number, limit: number): string[] {
    const end = Math.min(before - 1, this.log.length);
    return this.log.slice(Math.max(0, end - limit), end);
  }

  connect(socket: WebSocket, query: URLSearchParams): void {
    const tail = query.get("tail");
    const from = tail === null ? Number(query.get("from") ?? 0) : Math.max(0, this.log.length - Number(tail));
    this.sockets.add(socket);
    socket.send(
      JSON.stringify({
        type: "status",
        snapshot: true,
        seq: this.log.length,
        session_id: this.id,
        turn_id: this.current?.turn ?? null,
        timestamp: Date.now(),
        state: this.current === null ? "idle" : "running",
        content: "Connected",
        access: { write: true, manage: true, shell: true },
        session: {
          claudeSession: { preferredModel: this.model },
          queue: this.queue.map(({ turn, id, content }) => ({ turn_id: turn, id, content })),
        },
      }),
    );
    for (const line of this.log.slice(from)) socket.send(line);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("message", (data) => this.frame(socket, String(data)));
  }

  private frame(socket: WebSocket, data: string): void {
    const frame = JSON.parse(data);
    switch (frame.type) {
      case "ping":
        socket.send('{"type":"pong"}');
        break;
      case "resume":
        for (const line of this.log.slice(frame.from)) socket.send(line);
        break;
      case "set_model":
        this.model = frame.model;
        this.write(null, {
          type: "status",
          state: this.current === null ? "idle" : "running",
          content: `The model is now ${frame.model}`,
          model: frame.model,
        });
        break;
      case "permission_response": {
        const { request_id, behavior, message, answers } = frame;
        const decision = answers === undefined ? behavior : "answer";
        const content = `Decided: ${decision}`;
        this.write(this.current?.turn ?? null, { type: "permission_response", request_id, behavior: decision, content, message, answers });
        break;
      }
      case "set_permission_mode":
        this.write(null, { type: "status", state: "idle", content: "Another mode", permission_mode: frame.mode });
        break;
      case "interrupt":
        this.interrupt(frame.turn_id ?? this.current?.turn);
        break;
      case "user_message":
        this.say(socket, frame);
        break;
    }
  }

  private say(socket: WebSocket, frame: { id: string; content: string; model?: string }): void {
    if (frame.content.includes("too many")) {
      const refusal = { type: "error", content: "too many messages at once on this connection; wait a second", code: "too_many_requests", id: frame.id };
      socket.send(JSON.stringify(refusal));
      return;
    }
    if (this.said.has(frame.id)) return;
    this.said.add(frame.id);
    this.model = frame.model ?? this.model;
    this.turns += 1;
    const turn = `turn-${this.turns}`;
    this.write(turn, { type: "user_message", content: frame.content, id: frame.id });
    this.write(turn, { type: "status", state: "queued", content: "Queued", position: this.queue.length });
    this.queue.push({ turn, id: frame.id, content: frame.content });
    if (this.current === null) void this.next();
  }

  private interrupt(turn: string | undefined): void {
    const waiting = this.queue.findIndex((one) => one.turn === turn);
    if (waiting >= 0) {
      this.queue.splice(waiting, 1);
      this.end(turn ?? "", "interrupted", "Removed from the queue");
    } else if (this.current !== null && this.current.turn === turn) {
      this.current.stop();
    }
  }

  private async next(): Promise<void> {
    const message = this.queue.shift();
    if (message === undefined) return;
    const { turn } = message;
    let stopped = false;
    let wake = () => {};
    const stop = () => {
      stopped = true;
      this.write(turn, { type: "status", state: "running", content: "Interrupting" });
      setTimeout(() => wake(), 600);
    };
    this.current = { turn, stop };
    this.write(turn, { type: "status", state: "starting", content: "Starting", model: this.model ?? MODELS.default });
    const begun = Date.now();
    let last: Step | undefined;
    for (const step of answer(message.content)) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, step.after);
      });
      if (stopped) break;
      this.write(turn, step.event);
      last = step;
    }
    const failed = last?.event.type === "error";
    const usage = {
      input_tokens: 1284,
      output_tokens: 412,
      cache_read_input_tokens: 18210,
      cache_creation_input_tokens: 0,
      cost_usd: 0.0123,
      duration_ms: Date.now() - begun,
      num_turns: 4,
    };
    this.current = null;
    if (stopped) this.end(turn, "interrupted", "Interrupted");
    else this.end(turn, failed ? "failed" : "completed", "Ended", { usage, model: this.model ?? MODELS.default });
    void this.next();
  }

  private end(turn: string, outcome: string, content: string, more: object = {}): void {
    this.write(turn, { type: "status", state: "ended", outcome, content, ...more });
  }

  private write(turn: string | null, body: object): void {
    const seq = this.log.length + 1;
    const event = { seq, session_id: this.id, turn_id: turn, timestamp: Date.now(), ...body };
    const line = JSON.stringify(event);
    this.log.push(line);
    for (const socket of this.sockets) socket.send(line);
  }
}

/** A sandbox that is now busy and now not; with `asleep` in a session's name it sleeps. */
function resources(request: IncomingMessage, response: ServerResponse, known: boolean): void {
  let at = 0;
  const asleep = request.url?.includes("asleep") === true;
  const document = () => {
    at += 1;
    const wave = Math.sin(at / 3) + Math.sin(at / 7);
    return {
      status: asleep ? "sleeping" : "running",
      cpu: { percent: asleep ? 0 : 70 + 30 * wave, count: 2 },
      memory: { used_bytes: 900_000_000 + 40_000_000 * at, limit_bytes: 4_294_967_296 },
      disk: { used_bytes: 2_400_000_000, total_bytes: 10_737_418_240 },
      processes: 9 + (at % 5),
    };
  };
  if (!known) return void response.writeHead(404, { "content-type": "application/json" }).end('{"detail":"there is no such session"}');
  if (request.headers.accept?.includes("text/event-stream") !== true) {
    return void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document()));
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = () => response.write(`data: ${JSON.stringify(document())}\n\n`);
  // What was before somebody looked, so that there is something to see.
  for (let before = 0; before < (asleep ? 1 : 30); before += 1) send();
  const timer = setInterval(send, 1_000);
  request.on("close", () => clearInterval(timer));
}

export function scriptedServer(): Plugin {
  const sessions = new Map<string, ScriptedSession>();
  const sockets = new WebSocketServer({ noServer: true });

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const terminal = url.pathname.match(/^\/api\/sessions\/([\w.-]+)\/terminals\/([a-z0-9-]+)$/);
    const shells = sessions.get(terminal?.[1] ?? "")?.terminals;
    if (shells !== undefined) {
      const attach = url.searchParams.get("attach") === "true";
      return sockets.handleUpgrade(request, socket, head, (accepted) => shells.join(terminal?.[2] ?? "", accepted, attach));
    }
    const id = url.pathname.match(/^\/demo\/ws\/([\w.-]+)$/)?.[1];
    if (id === undefined) return;
    const session = sessions.get(id) ?? new ScriptedSession(id);
    sessions.set(id, session);
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      session.connect(accepted, url.searchParams);
    });
  };

  /** Answers what the Worker would; any session's page is index.html. */
  const route = (request: IncomingMessage, response: ServerResponse, next: () => void) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    const session = sessions.get(pathname.match(/^\/api\/sessions\/([\w.-]+)\/events$/)?.[1] ?? "");
    const files = pathname.match(/^\/api\/files\/([\w.-]+)\/?(.*)$/);
    const filed = sessions.get(files?.[1] ?? "");
    const terminal = pathname.match(/^\/api\/sessions\/([\w.-]+)\/terminals\/?([a-z0-9-]*)$/);
    const shells = sessions.get(terminal?.[1] ?? "")?.terminals;
    if (/^\/api\/(?:agents\/|configs\/|usage$|webhooks|schedules|providers$)/.test(pathname)) {
      let body = "";
      request.on("data", (chunk) => (body += String(chunk)));
      request.on("end", () => {
        const said = platform(request.method ?? "GET", pathname, body) ?? automation(request.method ?? "GET", pathname, body);
        response.writeHead(said === undefined ? 404 : (said.status ?? 200), { "content-type": "application/json" });
        response.end(said?.status === 204 ? undefined : JSON.stringify(said === undefined ? { detail: "there is nothing here" } : said.body));
      });
    } else if (pathname.startsWith("/api/resources/")) {
      resources(request, response, sessions.has(decodeURIComponent(pathname.split("/")[3] ?? "")));
    } else if (/^\/api\/sessions\/[\w.-]+\/diff$/.test(pathname)) {
      const patch = request.headers.accept?.includes("text/x-diff") === true;
      response.writeHead(200, { "content-type": patch ? "text/x-diff" : "application/json" });
      response.end(patch ? "diff --git a/hello.py b/hello.py\n" : JSON.stringify(changed(searchParams.get("from"), searchParams.get("to"))));
    } else if (/^\/api\/sessions\/[\w.-]+\/repository(?:\/|$)/.test(pathname)) {
      repository(request, response, pathname.split("/").at(-1) ?? "");
    } else if (shells !== undefined) {
      shells.answer(request, response, terminal?.[2] ?? "", terminal?.[1]?.includes("asleep") === true);
    } else if (filed !== undefined) {
      void filed.files.answer(request, response, files?.[2] ?? "", files?.[1]?.includes("asleep") === true);
    } else if (session !== undefined) {
      const page = session.page(Number(searchParams.get("before")), Number(searchParams.get("limit")));
      response.end(page.map((line) => `${line}\n`).join(""));
    } else if (pathname === "/demo/models") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(MODELS));
    } else if (["/", "/demo", "/demo/"].includes(pathname)) {
      response.writeHead(302, { location: `/demo/${randomUUID()}` }).end();
    } else {
      if (/^\/(?:demo\/[\w.-]+|agents(?:\/[\w-]+)?)$/.test(pathname)) request.url = "/index.html";
      next();
    }
  };

  return {
    name: "scripted-session",
    configureServer(server) {
      server.httpServer?.on("upgrade", upgrade);
      server.middlewares.use(route);
    },
    configurePreviewServer(server) {
      server.httpServer.on("upgrade", upgrade);
      server.middlewares.use((request, response, next) => {
        response.setHeader("content-security-policy", POLICY);
        route(request, response, next);
      });
    },
  };
}
