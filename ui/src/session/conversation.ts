/**
 * The conversation as a fold of the session's log: events in, a value to show out.
 *
 * The value is never changed, only replaced, and what an event does not touch keeps its identity:
 * that is how the view knows what it need not draw again.
 */
import { inputOf, together } from "./spent.ts";
import type {
  Decision,
  LogEvent,
  Outcome,
  PermissionMode,
  Snapshot,
  Todo,
  TurnState,
  Usage,
} from "./wire.ts";

export interface Conversation {
  /** The first event that is in here; 0 where there is none. */
  readonly since: number;
  /** The last event that is in here. */
  readonly seq: number;
  readonly turns: readonly Turn[];
  /** The agent's list of what there is to do. */
  readonly todos: readonly Todo[];
  /** The model that the session was told to answer with, as far as the log says. */
  readonly model: string | null;
  /** The session's permission mode, as far as the log says. */
  readonly mode: PermissionMode | null;
  /** What the session allows without asking, as far as the log says. */
  readonly rules: readonly string[] | null;
}

export interface Turn {
  readonly id: string;
  /** Its beginning is not in here, only what came later. */
  readonly cut: boolean;
  readonly message: { readonly id: string; readonly content: string } | null;
  readonly state: Exclude<TurnState, "idle">;
  /** Somebody asked to stop it, and it has not ended yet. */
  readonly stopping: boolean;
  readonly items: readonly Item[];
  /** Files that have changed beside the calls that say so of themselves, and how often that was told. */
  readonly touched: readonly string[];
  readonly touches: number;
  /** When it left the queue; 0 while it waits. Times are the server's, in milliseconds. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: Outcome | null;
  /** The last words of its status. */
  readonly note: string;
  readonly model: string | null;
  readonly usage: Usage | null;
  /** What its calls of the model have used so far, as far as that was told before its end. */
  readonly spending: Usage | null;
  /** Tokens that the agent's last call has given to the model; 0 where that is not known. */
  readonly context: number;
}

interface Placed {
  /** Unique in its turn. */
  readonly key: string;
  /** The call of the sub-agent that it belongs to. */
  readonly parent: string | null;
  readonly at: number;
}

export interface TextItem extends Placed {
  readonly kind: "text" | "thinking";
  readonly text: string;
  /** The block is whole. */
  readonly done: boolean;
  readonly doneAt: number;
}

export interface ToolItem extends Placed {
  readonly kind: "tool";
  readonly tool: string;
  readonly toolUseId: string;
  readonly summary: string;
  readonly input: unknown;
  readonly state: "running" | "done" | "failed" | "stopped";
  /** While it runs the last of what it has printed until now. */
  readonly output: string | null;
  readonly cutBytes: number;
  readonly doneAt: number;
  /** Files that the call wrote. */
  readonly files: readonly string[];
}

export interface ErrorItem extends Placed {
  readonly kind: "error";
  readonly text: string;
  readonly code: string;
}

/** A host that the sandbox may not reach. */
export interface RefusedHostItem extends Placed {
  readonly kind: "refused-host";
  readonly host: string;
}

/** The agent has begun a session of another agent. */
export interface LaunchedItem extends Placed {
  readonly kind: "launched";
  readonly session: string;
  /** The configuration that it was launched with. */
  readonly agent: string;
}

/** The agent asks for something that a person has to decide. */
export interface RequestItem extends Placed {
  readonly kind: "request";
  readonly requestId: string;
  /** The call that is asked about. */
  readonly toolUseId: string;
  readonly text: string;
  /** None for a question. */
  readonly tool: string | null;
  readonly input: unknown;
  /** What would not be asked again in this session. */
  readonly rules: readonly string[];
  readonly reason: string | null;
  readonly expiresAt: number;
  /** What became of it; null while somebody has to decide. */
  readonly end: RequestEnd | null;
}

export interface RequestEnd {
  readonly behavior: Decision;
  /** In a line. */
  readonly text: string;
  readonly message: string | null;
  readonly answers: Readonly<Record<string, string>>;
  readonly updatedInput: unknown;
}

export type Item = TextItem | ToolItem | ErrorItem | RequestItem | RefusedHostItem | LaunchedItem;

export const nothingSaid: Conversation = {
  since: 0,
  seq: 0,
  turns: [],
  todos: [],
  model: null,
  mode: null,
  rules: null,
};

/** Takes events in; those that it has already change nothing. */
export function fold(conversation: Conversation, events: readonly LogEvent[]): Conversation {
  return events.reduce(take, conversation);
}

/** The conversation with the turns that wait, whose messages may be further back in the log. */
export function withQueue(conversation: Conversation, queue: Snapshot["queue"]): Conversation {
  return queue.reduce((next, { turnId, id, content }) => {
    if (next.turns.some((turn) => turn.id === turnId)) return next;
    return { ...next, turns: withTurn(next.turns, { ...newTurn(turnId), cut: true, message: { id, content } }) };
  }, conversation);
}

/**
 * The conversation with `older` events, which come right before it. `ofCut` are the events that it has
 * of the turns that are cut: those are made anew, from their beginnings.
 */
export function withOlder(
  conversation: Conversation,
  older: readonly LogEvent[],
  ofCut: readonly LogEvent[],
): Conversation {
  const anew = fold(nothingSaid, [...older, ...ofCut]);
  const whole = new Map(conversation.turns.map((turn) => [turn.id, turn]));
  for (const turn of anew.turns) {
    // The message of one that waited is known from the session's state before it is reached.
    const known = whole.get(turn.id);
    const waits = turn.cut && turn.message === null && known?.message != null;
    whole.set(turn.id, waits ? { ...turn, message: known.message } : turn);
  }
  return {
    since: anew.since === 0 ? conversation.since : anew.since,
    seq: conversation.seq,
    turns: [...whole.values()].reduce<readonly Turn[]>(withTurn, []),
    todos: conversation.todos === nothingSaid.todos ? anew.todos : conversation.todos,
    model: conversation.model ?? anew.model,
    mode: conversation.mode ?? anew.mode,
    rules: conversation.rules ?? anew.rules,
  };
}

/** The turn that is starting or running. */
export function activeTurn(conversation: Conversation): Turn | null {
  return (
    conversation.turns.find((turn) => turn.state === "starting" || turn.state === "running") ?? null
  );
}

/** The requests that somebody has to decide. */
export function openRequests(conversation: Conversation): RequestItem[] {
  const items = activeTurn(conversation)?.items ?? [];
  return items.filter((item) => item.kind === "request").filter((item) => item.end === null);
}

/** The turns that wait for another one to end. */
export function waitingTurns(conversation: Conversation): Turn[] {
  return activeTurn(conversation) === null
    ? []
    : conversation.turns.filter((turn) => turn.state === "queued");
}

/** The files that a turn wrote, each once. */
export function filesOf(turn: Turn): string[] {
  const files = turn.items.flatMap((item) => (item.kind === "tool" ? item.files : []));
  return [...new Set([...files, ...turn.touched])];
}

function take(conversation: Conversation, event: LogEvent): Conversation {
  if (event.seq <= conversation.seq) return conversation;
  const next = { ...conversation, since: conversation.since || event.seq, seq: event.seq };
  switch (event.type) {
    case "unknown":
      return next;
    case "todo_update":
      return { ...next, todos: event.todos };
    case "status":
      return takeStatus(next, event);
    case "permission_response":
      return changeTurn(
        { ...next, mode: event.mode ?? next.mode, rules: withRules(next.rules, event.rules) },
        event,
        (turn) => takeIntoTurn(turn, event),
      );
    default:
      return changeTurn(next, event, (turn) => takeIntoTurn(turn, event));
  }
}

type Of<T extends LogEvent["type"]> = Extract<LogEvent, { type: T }>;

function takeStatus(conversation: Conversation, event: Of<"status">): Conversation {
  // With a turn's start, and with none, the model is the session's; else the one that answered.
  const chosen = event.turnId === null || event.state === "starting" ? event.model : null;
  const next = {
    ...conversation,
    model: chosen ?? conversation.model,
    mode: event.mode ?? conversation.mode,
    rules: event.rules ?? conversation.rules,
  };
  const state = event.state;
  if (event.turnId === null || state === "idle") return next;
  return changeTurn(next, event, (turn) => {
    if (turn.state === "ended") return turn;
    if (state === "ended") {
      return {
        ...turn,
        state,
        stopping: false,
        items: turn.items.map((item) => settle(item, event.timestamp)),
        endedAt: event.timestamp,
        outcome: event.outcome ?? "failed",
        note: event.content,
        model: event.model ?? turn.model,
        usage: event.usage,
      };
    }
    return {
      ...turn,
      state,
      // The session says `running` a second time when it was asked to stop a running turn.
      stopping: turn.stopping || (state === "running" && event.content === "Interrupting"),
      startedAt: turn.startedAt || (state === "queued" ? 0 : event.timestamp),
      note: event.content,
      model: event.model ?? turn.model,
    };
  });
}

function withRules(rules: readonly string[] | null, more: readonly string[]): readonly string[] | null {
  return more.length === 0 ? rules : [...new Set([...(rules ?? []), ...more])];
}

/** Nothing of a turn goes on when it has ended. */
function settle(item: Item, at: number): Item {
  if (item.kind === "tool" && item.state === "running") {
    return { ...item, state: "stopped", doneAt: at };
  }
  if ((item.kind === "text" || item.kind === "thinking") && !item.done) {
    return { ...item, done: true, doneAt: at };
  }
  return item;
}

function takeIntoTurn(turn: Turn, event: LogEvent): Turn {
  const placed = { at: event.timestamp, parent: null };
  switch (event.type) {
    case "user_message":
      return { ...turn, cut: false, message: { id: event.id, content: event.content } };
    case "progress":
      return withText(turn, "text", event, true);
    case "result":
      return withText(turn, "text", event, false);
    case "thinking":
      return withText(turn, "thinking", event, event.partial);
    case "tool_use":
      return withItem(turn, {
        ...placed,
        kind: "tool",
        key: `tool ${event.toolUseId}`,
        parent: event.parent,
        tool: event.tool,
        toolUseId: event.toolUseId,
        summary: event.content,
        input: event.input,
        state: "running",
        output: null,
        cutBytes: 0,
        doneAt: 0,
        files: [],
      });
    case "tool_output":
      return changeTool(turn, event.toolUseId, (item) =>
        item.state === "running" ? { ...item, output: `${item.output ?? ""}${event.content}`.slice(-MAX_LIVE_OUTPUT) } : item,
      );
    case "tool_result":
      return changeTool(turn, event.toolUseId, (item) => ({
        ...item,
        state: event.isError ? "failed" : "done",
        output: event.content,
        cutBytes: event.cutBytes,
        doneAt: event.timestamp,
      }));
    case "file_change":
      if (event.toolUseId === "") {
        const touched = [...new Set([...turn.touched, ...event.paths])].slice(-MAX_TOUCHED);
        return { ...turn, touched, touches: turn.touches + 1 };
      }
      return changeTool(turn, event.toolUseId, (item) => ({
        ...item,
        files: [...item.files, ...event.paths],
      }));
    case "error":
      return withItem(turn, {
        ...placed,
        kind: "error",
        key: `error ${event.seq}`,
        text: event.content,
        code: event.code,
      });
    case "usage":
      return { ...turn, spending: together(turn.spending, event.usage), context: contextOf(turn, event.usage) };
    case "egress":
      // What is reached is for the log alone.
      if (!event.denied) return turn;
      return withItem(turn, { ...placed, kind: "refused-host", key: `egress ${event.seq}`, host: event.host });
    case "session_launched":
      return withItem(turn, {
        ...placed,
        kind: "launched",
        key: `launched ${event.session}`,
        session: event.session,
        agent: event.agent,
      });
    case "permission_request":
    case "question":
      return withItem(turn, {
        ...placed,
        kind: "request",
        key: `request ${event.requestId}`,
        requestId: event.requestId,
        toolUseId: event.toolUseId,
        text: event.content,
        tool: event.type === "question" ? null : event.tool,
        input: event.input,
        rules: event.type === "question" ? [] : event.rules,
        reason: event.type === "question" ? null : event.reason,
        expiresAt: event.expiresAt,
        end: null,
      });
    case "permission_response":
      return {
        ...turn,
        items: turn.items.map((item) =>
          item.kind === "request" && item.requestId === event.requestId
            ? { ...item, end: endOf(event) }
            : item,
        ),
      };
    default:
      return turn;
  }
}

/** Of several calls nobody knows what each took; those of a sub-agent have a context of their own. */
function contextOf(turn: Turn, usage: Usage): number {
  const helped = turn.items.some((item) => item.kind === "tool" && item.state === "running" && ["Task", "Agent"].includes(item.tool));
  return usage.num_turns === 1 && !helped ? inputOf(usage) : turn.context;
}

function endOf(event: Of<"permission_response">): RequestEnd {
  const { behavior, content, message, answers, updatedInput } = event;
  return { behavior, text: content, message, answers, updatedInput };
}

/** Pieces are added to their block; the whole block takes their place. */
function withText(
  turn: Turn,
  kind: TextItem["kind"],
  event: Of<"progress" | "result" | "thinking">,
  partial: boolean,
): Turn {
  const key = `${kind} ${event.block} ${event.parent ?? ""}`;
  const at = turn.items.findLastIndex((item) => item.key === key);
  const known = turn.items[at];
  if (known === undefined) {
    return withItem(turn, {
      kind,
      key,
      parent: event.parent,
      at: event.timestamp,
      text: event.content,
      done: !partial,
      doneAt: partial ? 0 : event.timestamp,
    });
  }
  if ((known.kind !== "text" && known.kind !== "thinking") || known.done) return turn;
  const text = partial ? known.text + event.content : event.content;
  const doneAt = partial ? 0 : event.timestamp;
  return { ...turn, items: turn.items.with(at, { ...known, text, done: !partial, doneAt }) };
}

function withItem(turn: Turn, item: Item): Turn {
  return { ...turn, items: [...turn.items, item] };
}

function changeTool(turn: Turn, toolUseId: string, change: (item: ToolItem) => ToolItem): Turn {
  const at = turn.items.findLastIndex(
    (item) => item.kind === "tool" && item.toolUseId === toolUseId,
  );
  const item = turn.items[at];
  return item?.kind === "tool" ? { ...turn, items: turn.items.with(at, change(item)) } : turn;
}

/** What belongs to no turn is shown with the last one. */
function changeTurn(
  conversation: Conversation,
  event: LogEvent,
  change: (turn: Turn) => Turn,
): Conversation {
  const turns = conversation.turns;
  const id = event.turnId ?? turns.at(-1)?.id ?? "";
  const at = turns.findLastIndex((turn) => turn.id === id);
  const known = turns[at];
  if (known === undefined) {
    const turn = event.type === "user_message" ? newTurn(id) : midway(id, event);
    return { ...conversation, turns: withTurn(turns, change(turn)) };
  }
  const changed = change(known);
  return changed === known ? conversation : { ...conversation, turns: turns.with(at, changed) };
}

/** Turns are shown in the order of their numbers, which is that of their messages. */
function withTurn(turns: readonly Turn[], turn: Turn): readonly Turn[] {
  const at = turns.findIndex((other) => numberOf(other) > numberOf(turn));
  return at < 0 ? [...turns, turn] : turns.toSpliced(at, 0, turn);
}

function numberOf(turn: Turn): number {
  return Number(turn.id.replace("turn-", ""));
}

/** A turn whose beginning is further back in the log: what is not told of it is most likely so. */
function midway(id: string, event: LogEvent): Turn {
  const waits = event.type === "status" && event.state === "queued";
  return { ...newTurn(id), cut: true, state: "running", startedAt: waits ? 0 : event.timestamp };
}

/** Files that a turn keeps that it has not written by a tool of its own. */
const MAX_TOUCHED = 500;

/** Characters that are kept of what a command prints while it runs. */
const MAX_LIVE_OUTPUT = 32 * 1024;

function newTurn(id: string): Turn {
  return {
    id,
    cut: false,
    message: null,
    state: "queued",
    stopping: false,
    items: [],
    touched: [],
    touches: 0,
    startedAt: 0,
    endedAt: 0,
    outcome: null,
    note: "",
    model: null,
    usage: null,
    spending: null,
    context: 0,
  };
}
