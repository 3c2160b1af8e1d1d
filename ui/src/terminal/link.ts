/**
 * One socket to a terminal, held as long as somebody looks at it. A link that breaks comes back by itself, to
 * the same terminal; it never opens another one, and wakes nobody: that only a person does.
 */
import { retryDelay } from "../session/connection.ts";
import { frames, type Listed, parseSign, type Sign, type Size, socketAddress, type Why } from "./wire.ts";

export type State =
  | { readonly kind: "connecting" }
  /** The sandbox is being woken for it. */
  | { readonly kind: "waking" }
  | { readonly kind: "live" }
  /** The link broke, and is tried again. */
  | { readonly kind: "broken" }
  | { readonly kind: "ended"; readonly why: Why; readonly code: number | null }
  /** With the server's words; none where it could not be asked. */
  | { readonly kind: "failed"; readonly words: string };

/** What a link tells its owner. */
export interface Listener {
  state(state: State): void;
  /** Before the screen is written anew. */
  begin(cut: boolean): void;
  printed(bytes: Uint8Array): void;
  /** What was printed before has come: what the screen answers from now on is meant. */
  live(): void;
  resized(size: Size): void;
}

/** What a link needs of the page. */
export interface Surroundings {
  open(url: string): WebSocket;
  list(): Promise<Listed>;
  random(): number;
}

/** A sandbox may have to be started, with its files. */
const WAKING_MS = 90_000;
const HANDSHAKE_MS = 10_000;
const PING_EVERY_MS = 20_000;
const PONG_WITHIN_MS = 10_000;

type Timer = ReturnType<typeof setTimeout>;

export class Link {
  private socket: WebSocket | null = null;
  private live = false;
  private attempt = 0;
  private over = false;
  private handshake: Timer | undefined;
  private retry: Timer | undefined;
  private ping: Timer | undefined;
  private pong: Timer | undefined;

  constructor(
    private readonly session: string,
    private readonly name: string,
    private size: Size,
    private readonly listener: Listener,
    private readonly page: Surroundings,
  ) {}

  /** Connects: to a terminal that is there, or, where a person has asked for it, to a new one. */
  open(attach: boolean, wakes = false): void {
    this.over = false;
    this.listener.state({ kind: wakes ? "waking" : "connecting" });
    this.connect(attach, wakes ? WAKING_MS : HANDSHAKE_MS);
  }

  close(): void {
    this.over = true;
    clearTimeout(this.retry);
    this.drop();
  }

  /** Types. What is typed while there is no link is lost, and not said later to whatever runs then. */
  type(typed: string): void {
    if (!this.live) return;
    for (const frame of frames(typed)) this.socket?.send(frame);
  }

  resize(size: Size): void {
    this.size = size;
    if (this.live) this.socket?.send(JSON.stringify({ type: "resize", ...size }));
  }

  /** The page is back, or the network is. */
  wake(): void {
    if (this.live) this.beat();
    else if (!this.over && this.socket === null) {
      clearTimeout(this.retry);
      this.attempt = 0;
      void this.again();
    }
  }

  private connect(attach: boolean, patience: number): void {
    let socket: WebSocket;
    try {
      socket = this.page.open(socketAddress(this.session, this.name, this.size, attach));
    } catch {
      this.later();
      return;
    }
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.handshake = setTimeout(() => this.lost(socket), patience);
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      if (data instanceof ArrayBuffer) this.listener.printed(new Uint8Array(data));
      else if (typeof data === "string") this.heard(parseSign(data));
    };
    socket.onclose = () => this.lost(socket);
    socket.onerror = () => this.lost(socket);
  }

  private heard(sign: Sign | null): void {
    switch (sign?.type) {
      case "opened":
        clearTimeout(this.handshake);
        this.listener.begin(sign.cut);
        break;
      case "live":
        this.attempt = 0;
        if (!this.live) {
          this.live = true;
          this.ping = setInterval(() => this.beat(), PING_EVERY_MS);
        }
        this.listener.live();
        this.listener.state({ kind: "live" });
        break;
      case "resized":
        this.listener.resized(sign.size);
        break;
      case "pong":
        clearTimeout(this.pong);
        break;
      case "ended":
        this.end(sign.why, sign.code);
        break;
    }
  }

  private beat(): void {
    const socket = this.socket;
    if (!this.live || socket === null) return;
    socket.send('{"type":"ping"}');
    clearTimeout(this.pong);
    this.pong = setTimeout(() => this.lost(socket), PONG_WITHIN_MS);
  }

  private end(why: Why, code: number | null): void {
    this.close();
    this.listener.state({ kind: "ended", why, code });
  }

  private lost(socket: WebSocket): void {
    if (this.socket !== socket) return;
    this.drop();
    if (!this.over) void this.again();
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    this.live = false;
    clearTimeout(this.handshake);
    clearInterval(this.ping);
    clearTimeout(this.pong);
    if (socket === null) return;
    socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close();
  }

  /** A socket that is refused, or cut, does not say why: the server is asked, and then tried again. */
  private async again(): Promise<void> {
    this.listener.state({ kind: "broken" });
    let there: Listed;
    try {
      there = await this.page.list();
    } catch (error) {
      if (this.over || this.socket !== null) return;
      // Who may not is told; who has no network waits for it.
      if (error instanceof TypeError || (error instanceof DOMException && error.name === "TimeoutError")) this.later();
      else this.listener.state({ kind: "failed", words: error instanceof Error ? error.message : "" });
      return;
    }
    if (this.over || this.socket !== null) return;
    if (there.asleep) this.end("stopped", null);
    else if (!there.open.includes(this.name)) this.end("closed", null);
    else this.later();
  }

  private later(): void {
    this.listener.state({ kind: "broken" });
    const delay = retryDelay(this.attempt, this.page.random());
    this.attempt += 1;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.connect(true, HANDSHAKE_MS), this.attempt === 1 ? 0 : delay);
  }
}
