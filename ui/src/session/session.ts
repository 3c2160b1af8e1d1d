/**
 * The session as this page has it: what the log says, what was not sent yet, how the link is.
 * The view reads its signals and calls its methods; nothing else speaks to the server.
 */
import { batch, computed, signal } from "@preact/signals";
import { text } from "../text.ts";
import { askDoor, type Door } from "./admission.ts";
import { Attachments } from "./attachments.ts";
import { Connection, type Link, type Surroundings } from "./connection.ts";
import { type Conversation, fold, nothingSaid, withOlder, withQueue } from "./conversation.ts";
import { kept, textOr } from "./kept.ts";
import { fetchMenu, type Menu } from "./models.ts";
import { fetchOlder } from "./older.ts";
import { fieldsOf, type Options, readOptions } from "./options.ts";
import { Outbox, type Unsent } from "./outbox.ts";
import { plus, sumOfUsage } from "./spent.ts";
import type { LogEvent, PermissionMode, Refusal, Snapshot, Sum } from "./wire.ts";

/** What somebody decides about a request. */
export interface RequestAnswer {
  behavior: "allow" | "allow_session" | "deny";
  message?: string;
  answers?: Record<string, string>;
  /** A plan's. */
  mode?: PermissionMode;
}

/** How long a notice stays. */
const NOTICE_MS = 8_000;
/** A page that is not seen gets no frames; its events are taken this often. */
const HIDDEN_FLUSH_MS = 250;
const MENU_RETRY_MS = 5_000;
/** Events that are kept as they came, for who looks at the log. */
const RECENT = 1_000;

export class Session {
  readonly conversation = signal(nothingSaid);
  readonly link = signal<Link>({ state: "connecting" });
  /** Whether the session lets this page in. */
  readonly door = signal<Door>("open");
  readonly outbox;
  readonly notice = signal<string | null>(null);
  readonly menu = signal<Menu | null>(null);
  readonly options;
  readonly draft;
  /** What goes with the next message. */
  readonly attachments;
  /** How far this machine's clock is before the server's, in milliseconds. */
  readonly clockSkew = signal(0);

  /** What is known of the log before the conversation: nothing, some, or being fetched. */
  readonly older = signal<"none" | "some" | "loading" | "failed">("none");

  /** What all turns since ever have used; null where the server has not said so. */
  readonly spent = signal<Sum | null>(null);

  private readonly snapshot = signal<Snapshot | null>(null);
  private stopsAgain = false;
  private readonly pendingModel = signal<string | null>(null);
  /** The turn that somebody has asked to stop; it may not have heard. */
  readonly stopping = signal<string | null>(null);
  private readonly pendingMode = signal<PermissionMode | null>(null);
  /** The requests whose answers are on their way. */
  readonly answering = signal<ReadonlySet<string>>(new Set());
  private readonly lastModel = kept("model", textOr(""));

  /** Everything that the log held when the link came up is here. */
  readonly caughtUp = computed(() => {
    const snapshot = this.snapshot.value;
    return snapshot !== null && this.conversation.value.seq >= snapshot.seq;
  });

  /** What this page may here. Before the session has said so, nothing speaks against it. */
  readonly access = computed(() => this.snapshot.value?.access ?? { write: true, manage: false, shell: true });

  /** The model that answers the next message. The session's own choice wins over this browser's. */
  readonly model = computed(
    () =>
      this.pendingModel.value ?? this.sessionModel() ?? this.ownDefault() ?? this.menu.value?.default ?? "",
  );

  /** What the agent may do without asking. */
  readonly mode = computed<PermissionMode>(
    () => this.pendingMode.value ?? this.said((all) => all.mode) ?? this.snapshot.value?.permissionMode ?? "acceptEdits",
  );

  /** The rules by which more is allowed in this session without asking. */
  readonly rules = computed<readonly string[]>(
    () => this.said((all) => all.rules) ?? this.snapshot.value?.permissionRules ?? [],
  );

  private readonly stored;
  private readonly storedDraft;
  private readonly storedOptions;
  private readonly connection: Connection;
  /** The newest events, as they came. They change with the conversation. */
  recent: readonly LogEvent[] = [];
  private pending: LogEvent[] = [];
  /** The events that are here of turns whose beginnings are not. */
  private ofCut: LogEvent[] = [];
  private flushing = false;
  private noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly id: string,
    address: string,
    page: Surroundings,
  ) {
    this.stored = new Outbox(id);
    this.outbox = signal(this.stored.list());
    this.storedDraft = kept(`draft/${id}`, textOr(""));
    this.draft = signal(this.storedDraft.get());
    this.attachments = new Attachments(id);
    this.storedOptions = kept(`options/${id}`, readOptions);
    this.options = signal(this.storedOptions.get());
    this.connection = new Connection(
      address,
      {
        link: (link) => this.linkChanged(link),
        snapshot: (snapshot) => this.begin(snapshot),
        event: (event) => this.take(event),
        repeat: (event) => this.acknowledge(event),
        refusal: (refusal) => this.refused(refusal),
        reset: () => this.reset(),
      },
      page,
    );
  }

  open(): void {
    this.connection.open();
    void this.loadMenu();
  }

  close(): void {
    this.connection.close();
  }

  /** Tries again to be let in, after somebody has signed in. */
  enter(): void {
    this.door.value = "open";
    this.open();
  }

  /** A socket that is refused does not say why: the server is asked. */
  private async knock(): Promise<void> {
    const door = await askDoor(this.id);
    if (door === null || door === "open" || this.link.value.state === "live") return;
    this.connection.close();
    this.door.value = door;
  }

  wake(): void {
    this.connection.wake();
  }

  lostNetwork(): void {
    this.connection.lostNetwork();
  }

  /** Another tab has changed what is kept. */
  reread(): void {
    this.outbox.value = this.stored.list();
    this.draft.value = this.storedDraft.get();
    this.options.value = this.storedOptions.get();
  }

  /** Says something. It is kept until the session has stored it. */
  say(content: string): void {
    const fields: Record<string, unknown> = fieldsOf(this.options.value);
    const own = this.sessionModel() === null ? this.ownDefault() : null;
    const model = this.pendingModel.value ?? own;
    if (model !== null) fields.model = model;
    // A choice that the session may not have heard goes with the message.
    if (this.pendingMode.value !== null) fields.permissionMode = this.pendingMode.value;
    const message = { id: newId(), content, fields, refused: null };
    this.stored.add(message);
    this.outbox.value = this.stored.list();
    this.send(message);
  }

  sayAgain(id: string): void {
    this.stored.refuse(id, null);
    this.outbox.value = this.stored.list();
    const message = this.outbox.value.find((one) => one.id === id);
    if (message !== undefined) this.send(message);
  }

  forget(id: string): void {
    this.stored.remove(id);
    this.outbox.value = this.stored.list();
  }

  /** Stops a turn, or takes one that waits out of the queue. */
  interrupt(turnId: string): void {
    if (this.connection.send({ type: "interrupt", turn_id: turnId })) {
      this.stopping.value = turnId;
    } else {
      this.tell(text.cannotStopNow);
    }
  }

  /** Fetches a page of what was said before the conversation begins. */
  async loadOlder(): Promise<void> {
    if (this.older.value !== "some" && this.older.value !== "failed") return;
    this.older.value = "loading";
    this.flush();
    const since = this.conversation.value.since;
    try {
      const events = await fetchOlder(this.id, since);
      // The log may have become another one meanwhile.
      if (this.conversation.value.since === since) this.takeOlder(events);
    } catch {
      if (this.conversation.value.since === since) this.older.value = "failed";
    }
  }

  private takeOlder(events: readonly LogEvent[]): void {
    this.flush();
    batch(() => {
      const whole = withOlder(this.conversation.value, events, this.ofCut);
      this.conversation.value = whole;
      this.keepCut([...events, ...this.ofCut]);
      this.older.value = whole.since > 1 ? "some" : "none";
    });
  }

  /** Keeps those of `events` that are of cut turns. */
  private keepCut(events: readonly LogEvent[]): void {
    const cut = new Set(this.conversation.value.turns.filter((turn) => turn.cut).map((turn) => turn.id));
    this.ofCut = cut.size === 0 ? [] : events.filter((event) => cut.has(event.turnId ?? ""));
  }

  chooseModel(model: string): void {
    this.lastModel.set(model);
    this.pendingModel.value = model === this.sessionModel() ? null : model;
    if (this.pendingModel.value !== null) this.connection.send({ type: "set_model", model });
  }

  chooseMode(mode: PermissionMode): void {
    this.pendingMode.value = mode === this.mode.value ? null : mode;
    if (this.pendingMode.value !== null) this.connection.send({ type: "set_permission_mode", mode });
  }

  /** From now on, this is asked for again. */
  removeRule(rule: string): void {
    if (!this.connection.send({ type: "remove_rule", rule })) this.tell(text.cannotAnswerNow);
  }

  /** Answers a request of the agent's. The first answer counts, whoever gives it. */
  answer(requestId: string, answer: RequestAnswer): void {
    const frame = { ...answer, type: "permission_response", request_id: requestId };
    if (!this.connection.send(frame)) {
      this.tell(text.cannotAnswerNow);
      return;
    }
    this.answering.value = new Set([...this.answering.value, requestId]);
  }

  private answered(requestId: string): void {
    if (!this.answering.value.has(requestId)) return;
    this.answering.value = new Set([...this.answering.value].filter((one) => one !== requestId));
  }

  setOptions(options: Options): void {
    this.options.value = options;
    this.storedOptions.set(options);
  }

  setDraft(draft: string): void {
    // Its sandbox is there then when the message is.
    if (this.draft.value === "" && draft !== "") this.connection.send({ type: "wake" });
    this.draft.value = draft;
    this.storedDraft.set(draft);
  }

  /** Tells the person something that does not belong to the conversation. */
  tell(words: string | null): void {
    clearTimeout(this.noticeTimer);
    this.notice.value = words;
    if (words !== null) this.noticeTimer = setTimeout(() => this.tell(null), NOTICE_MS);
  }

  /** What the log says of something, where it is all here: else the snapshot knows better. */
  private said<T>(of: (conversation: Conversation) => T | null): T | null {
    return this.caughtUp.value ? of(this.conversation.value) : null;
  }

  private sessionModel(): string | null {
    return this.said((all) => all.model) ?? this.snapshot.value?.preferredModel ?? null;
  }

  /** What was chosen last in this browser, where it can still answer. */
  private ownDefault(): string | null {
    const last = this.lastModel.get();
    const known = this.menu.value?.models.some((model) => model.id === last && model.available);
    return known === true ? last : null;
  }

  private send(message: Unsent): void {
    const { id, content, fields } = message;
    this.connection.send({ ...fields, type: "user_message", content, id });
  }

  private linkChanged(link: Link): void {
    this.link.value = link;
    if (link.state === "waiting") void this.knock();
    if (link.state !== "live") return;
    const model = this.pendingModel.value;
    if (model !== null) this.connection.send({ type: "set_model", model });
    const mode = this.pendingMode.value;
    if (mode !== null) this.connection.send({ type: "set_permission_mode", mode });
    this.answering.value = new Set();
    for (const message of this.stored.list()) {
      if (message.refused === null) this.send(message);
    }
    this.stopsAgain = this.stopping.value !== null;
    this.stopAgain();
  }

  private begin(snapshot: Snapshot): void {
    this.flush();
    this.snapshot.value = snapshot;
    this.spent.value = snapshot.spent;
    if (this.conversation.value.seq === 0) {
      // What the events to come change is changed from here on.
      const { permissionMode: mode, permissionRules: rules } = snapshot;
      this.conversation.value = withQueue({ ...nothingSaid, mode, rules }, snapshot.queue);
    }
    this.clockSkew.value = Date.now() - snapshot.timestamp;
  }

  /** A link that broke may have taken with it that a turn is to stop: it is said again where nothing came of it. */
  private stopAgain(): void {
    if (!this.stopsAgain || !this.caughtUp.value) return;
    this.stopsAgain = false;
    const turn = this.conversation.value.turns.find(({ id }) => id === this.stopping.value);
    if (turn !== undefined && turn.state !== "ended" && !turn.stopping) {
      this.connection.send({ type: "interrupt", turn_id: turn.id });
    }
  }

  private take(event: LogEvent): void {
    this.pending.push(event);
    if (this.flushing) return;
    this.flushing = true;
    // Many pieces of text come within one frame of the screen; they are drawn once. A page that is
    // hidden, or is being hidden, has no frames.
    setTimeout(() => this.flush(), HIDDEN_FLUSH_MS);
    requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    this.flushing = false;
    const events = this.pending;
    if (events.length === 0) return;
    this.pending = [];
    batch(() => {
      for (const event of events) this.acknowledge(event);
      const first = this.conversation.value.since === 0;
      this.recent = [...this.recent, ...events].slice(-RECENT);
      this.conversation.value = fold(this.conversation.value, events);
      this.keepCut([...this.ofCut, ...events]);
      if (first) this.older.value = this.conversation.value.since > 1 ? "some" : "none";
      // The session has heard of the choice. Another one may have been made since.
      const chosen = this.pendingModel.value;
      if (events.some((event) => event.type === "status" && event.model === chosen)) {
        this.pendingModel.value = null;
      }
      for (const event of events) {
        this.spend(event);
        if (event.type === "permission_response") this.answered(event.requestId);
        if (event.type === "status" && event.mode === this.pendingMode.value) this.pendingMode.value = null;
      }
    });
    this.stopAgain();
  }

  /** What has ended since the session has told what was used adds to that. */
  private spend(event: LogEvent): void {
    if (event.type !== "status" || event.usage === null || this.spent.value === null) return;
    if (event.seq > (this.snapshot.value?.seq ?? 0)) this.spent.value = plus(this.spent.value, sumOfUsage(event.usage));
  }

  /** The session has this message. */
  private acknowledge(event: LogEvent): void {
    if (event.type !== "user_message") return;
    if (!this.outbox.value.some((message) => message.id === event.id)) return;
    this.forget(event.id);
  }

  private refused(refusal: Refusal): void {
    if (refusal.id !== null && this.outbox.value.some((message) => message.id === refusal.id)) {
      this.stored.refuse(refusal.id, refusal.content);
      this.outbox.value = this.stored.list();
      return;
    }
    if (refusal.field === "model") this.pendingModel.value = null;
    if (refusal.field === "mode") this.pendingMode.value = null;
    if (refusal.id !== null) this.answered(refusal.id);
    this.tell(refusal.content);
  }

  private reset(): void {
    this.pending = [];
    this.ofCut = [];
    this.recent = [];
    this.older.value = "none";
    this.conversation.value = nothingSaid;
  }

  private async loadMenu(): Promise<void> {
    try {
      this.menu.value = await fetchMenu();
    } catch {
      // Whoever signs in asks for it again.
      if (this.door.value === "open") setTimeout(() => void this.loadMenu(), MENU_RETRY_MS);
    }
  }
}

/** A fresh id for a message. `randomUUID` is missing where the page came over plain HTTP. */
function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
