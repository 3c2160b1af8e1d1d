/**
 * One socket to the session, held as long as the page lives.
 *
 * A link that is dead without a word is found by a heartbeat, a handshake that hangs by a limit,
 * and after each drop the log goes on from the last event that was seen. A page that has seen none
 * begins with the last events there are.
 */
import { type LogEvent, parseFrame, type Refusal, type Snapshot } from "./wire.ts";

export type Link =
  | { readonly state: "connecting" }
  | { readonly state: "live" }
  /** Tries again at `retryAt`, in milliseconds of this machine's clock. */
  | { readonly state: "waiting"; readonly retryAt: number }
  /** The machine says that it has no network. */
  | { readonly state: "offline" };

/** What a connection tells its owner. */
export interface Listener {
  link(link: Link): void;
  snapshot(snapshot: Snapshot): void;
  /** In order and without a gap, from any event on; each once. */
  event(event: LogEvent): void;
  /** An event that was seen before, sent again because this client asked for it again. */
  repeat(event: LogEvent): void;
  refusal(refusal: Refusal): void;
  /** The log is another one than before: it is shorter than what was seen of it. */
  reset(): void;
}

/** What a connection needs of the page. */
export interface Surroundings {
  open(url: string): WebSocket;
  online(): boolean;
  random(): number;
}

/** Events that a fresh page begins with. */
export const TAIL = 500;
export const HANDSHAKE_MS = 8_000;
export const PING_EVERY_MS = 20_000;
export const PONG_WITHIN_MS = 10_000;
/** After the page was asleep an answer has to come sooner, or the link is taken for dead. */
const PONG_AFTER_SLEEP_MS = 3_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_MOST_MS = 10_000;
/** A link that lived this long was a good one: the next retry is a first one again. */
const GOOD_AFTER_MS = 5_000;

/** Twice as long each time, with jitter over the upper half: 0.5 to 1 s, 1 to 2 s … 5 to 10 s. */
export function retryDelay(attempt: number, random: number): number {
  const most = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(most * (0.5 + random / 2));
}

type Timer = ReturnType<typeof setTimeout>;

export class Connection {
  private socket: WebSocket | null = null;
  private live = false;
  private attempt = 0;
  private seen = 0;
  private liveSince = 0;
  private askedAgain = false;
  /** The next event is the first that this page sees, whichever it is. */
  private fresh = true;
  private retry: Timer | undefined;
  private handshake: Timer | undefined;
  private ping: Timer | undefined;
  private pong: Timer | undefined;

  constructor(
    /** The socket's address, without a query. */
    private readonly address: string,
    private readonly listener: Listener,
    private readonly page: Surroundings,
  ) {}

  open(): void {
    if (this.socket !== null) return;
    clearTimeout(this.retry);
    if (!this.page.online()) {
      this.listener.link({ state: "offline" });
      // Some machines say so and are wrong: it is tried all the same, only not often.
      this.retry = setTimeout(() => this.connect(), RETRY_MOST_MS);
      return;
    }
    this.connect();
  }

  close(): void {
    clearTimeout(this.retry);
    this.drop();
  }

  /** Sends a frame; false where there is no live link, and nothing was sent. */
  send(frame: object): boolean {
    if (!this.live || this.socket === null) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** The page is back, or the network is: don't wait any longer, and don't trust the old link. */
  wake(): void {
    if (this.live) this.beat(PONG_AFTER_SLEEP_MS);
    else if (this.socket === null) {
      this.attempt = 0;
      this.open();
    }
  }

  lostNetwork(): void {
    if (this.socket === null) this.open();
    else this.beat(PONG_AFTER_SLEEP_MS);
  }

  private connect(): void {
    clearTimeout(this.retry);
    this.listener.link({ state: "connecting" });
    let socket: WebSocket;
    try {
      const query = this.fresh ? `tail=${TAIL}` : `from=${this.seen}`;
      // Who looks at a session that sleeps wakes it when there is something to say.
      socket = this.page.open(`${this.address}?${query}&warm=false`);
    } catch {
      this.again();
      return;
    }
    this.socket = socket;
    this.askedAgain = false;
    this.handshake = setTimeout(() => this.lost(socket), HANDSHAKE_MS);
    socket.onmessage = (message) => {
      if (this.socket === socket) this.frame(message.data);
    };
    socket.onclose = () => this.lost(socket);
    socket.onerror = () => this.lost(socket);
  }

  private frame(data: unknown): void {
    const frame = parseFrame(data);
    if (frame === null) return;
    switch (frame.kind) {
      case "snapshot":
        this.begin(frame.snapshot);
        break;
      case "event":
        this.take(frame.event);
        break;
      case "refusal":
        this.listener.refusal(frame.refusal);
        break;
      case "more":
        this.send({ type: "resume", from: this.seen });
        break;
      case "pong":
        clearTimeout(this.pong);
        this.pong = undefined;
        break;
    }
  }

  private begin(snapshot: Snapshot): void {
    clearTimeout(this.handshake);
    this.live = true;
    this.liveSince = Date.now();
    if (snapshot.seq < this.seen) {
      this.seen = 0;
      this.fresh = false;
      this.listener.reset();
      this.send({ type: "resume", from: 0 });
    }
    this.ping = setInterval(() => this.beat(PONG_WITHIN_MS), PING_EVERY_MS);
    this.listener.snapshot(snapshot);
    this.listener.link({ state: "live" });
  }

  private take(event: LogEvent): void {
    if (event.seq <= this.seen) {
      this.listener.repeat(event);
    } else if (event.seq === this.seen + 1 || this.fresh) {
      this.seen = event.seq;
      this.fresh = false;
      this.askedAgain = false;
      this.listener.event(event);
    } else if (!this.askedAgain) {
      this.askedAgain = true;
      this.send({ type: "resume", from: this.seen });
    }
  }

  private beat(within: number): void {
    if (!this.send({ type: "ping" })) return;
    const socket = this.socket;
    clearTimeout(this.pong);
    this.pong = setTimeout(() => {
      if (socket !== null) this.lost(socket);
    }, within);
  }

  private lost(socket: WebSocket): void {
    if (this.socket !== socket) return;
    if (this.live && Date.now() - this.liveSince >= GOOD_AFTER_MS) this.attempt = 0;
    this.drop();
    this.again();
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

  private again(): void {
    if (!this.page.online()) {
      this.open();
      return;
    }
    const delay = retryDelay(this.attempt, this.page.random());
    this.attempt += 1;
    this.listener.link({ state: "waiting", retryAt: Date.now() + delay });
    this.retry = setTimeout(() => this.connect(), delay);
  }
}
