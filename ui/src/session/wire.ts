/**
 * What crosses the session's WebSocket, as the `protocol` crate writes it.
 *
 * Everything in a frame may have been written by a model or by a program in the sandbox. So each
 * field is read as the type that it must have, and nothing else of the frame goes further.
 */

export type TurnState = "idle" | "queued" | "starting" | "running" | "ended";
export const PERMISSION_MODES = ["default", "acceptEdits", "plan", "bypassPermissions"] as const;
export type PermissionMode = (typeof PERMISSION_MODES)[number];

const DECISIONS = ["allow", "allow_session", "deny", "answer", "expired", "withdrawn"] as const;
export type Decision = (typeof DECISIONS)[number];

export type Outcome = "completed" | "failed" | "interrupted";

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cache_read_input_tokens: number;
  cache_creation_input_tokens: number;
  /** None where the router has no price for one of the models. */
  cost_usd: number | null;
  duration_ms: number;
  num_turns: number;
}

/** What several turns have used. */
export interface Sum {
  readonly input: number;
  readonly output: number;
  /** US dollars; null where the price of something is not known. */
  readonly cost: number | null;
}

export interface Todo {
  content: string;
  status: "pending" | "in_progress" | "completed";
  activeForm: string;
}

export type Body =
  | { type: "user_message"; id: string }
  | {
      type: "status";
      state: TurnState;
      outcome: Outcome | null;
      model: string | null;
      usage: Usage | null;
      /** The session's permission mode from now on. */
      mode: PermissionMode | null;
      /** All that the session allows without asking, where it has changed. */
      rules: string[] | null;
    }
  | { type: "progress" | "result"; block: string; parent: string | null }
  | { type: "thinking"; block: string; parent: string | null; partial: boolean }
  | { type: "tool_use"; tool: string; toolUseId: string; input: unknown; parent: string | null }
  | { type: "tool_output"; toolUseId: string }
  | { type: "tool_result"; toolUseId: string; isError: boolean; cutBytes: number }
  | { type: "file_change"; paths: string[]; toolUseId: string }
  | { type: "todo_update"; todos: Todo[] }
  | {
      type: "permission_request";
      requestId: string;
      tool: string;
      /** The call that is asked about. */
      toolUseId: string;
      input: unknown;
      rules: string[];
      reason: string | null;
      expiresAt: number;
    }
  | { type: "question"; requestId: string; toolUseId: string; input: unknown; expiresAt: number }
  | {
      type: "permission_response";
      requestId: string;
      behavior: Decision;
      message: string | null;
      answers: Record<string, string>;
      updatedInput: unknown;
      rules: string[];
      mode: PermissionMode | null;
    }
  /** The sandbox reached a host, or wanted to. */
  | { type: "egress"; host: string; denied: boolean }
  /** The agent has begun a session of another agent. */
  | { type: "session_launched"; session: string; agent: string }
  /** What calls of the model have used that have ended since this was told last. */
  | { type: "usage"; usage: Usage }
  | { type: "error"; code: string }
  /** Of a newer server: takes its place in the log and shows nothing. */
  | { type: "unknown" };

/** An entry of the session's log. */
export type LogEvent = Body & {
  /** Gap-free from 1. */
  seq: number;
  turnId: string | null;
  /** Milliseconds since the epoch, by the server's clock. */
  timestamp: number;
  /** Words for a person, always. */
  content: string;
};

/** The first frame of a socket: where the session stands. */
export interface Snapshot {
  /** The last event that the log holds. */
  seq: number;
  timestamp: number;
  preferredModel: string | null;
  permissionMode: PermissionMode | null;
  permissionRules: string[];
  /** What all turns together have used; null where the server does not know. */
  spent: Sum | null;
  /** What this page may here besides reading. */
  access: { readonly write: boolean; readonly manage: boolean; readonly shell: boolean };
  /** The messages whose turns wait, or the beginnings of long ones. */
  queue: readonly { turnId: string; id: string; content: string }[];
}

/** A problem that is told to this socket alone. */
export interface Refusal {
  content: string;
  code: string;
  field: string | null;
  /** The message that it is about. */
  id: string | null;
}

export type Frame =
  | { kind: "event"; event: LogEvent }
  | { kind: "snapshot"; snapshot: Snapshot }
  | { kind: "refusal"; refusal: Refusal }
  /** There is more of the log after what came; it comes when it is asked for. */
  | { kind: "more" }
  | { kind: "pong" };

type Fields = Record<string, unknown>;

/** Reads a frame; null where it is none of ours. */
export function parseFrame(data: unknown): Frame | null {
  if (typeof data !== "string") return null;
  let fields: unknown;
  try {
    fields = JSON.parse(data);
  } catch {
    return null;
  }
  if (!isFields(fields) || typeof fields.type !== "string") return null;
  if (fields.type === "pong") return { kind: "pong" };
  if (fields.snapshot === true) return { kind: "snapshot", snapshot: snapshot(fields) };
  const seq = fields.seq;
  if (typeof seq === "number" && Number.isSafeInteger(seq) && seq > 0) {
    const event = {
      ...body(fields.type, fields),
      seq,
      turnId: textOrNull(fields.turn_id),
      timestamp: number(fields.timestamp),
      content: text(fields.content),
    };
    return { kind: "event", event };
  }
  if (fields.more === true) return { kind: "more" };
  if (fields.type !== "error") return null;
  const refusal = {
    content: text(fields.content),
    code: text(fields.code),
    field: textOrNull(fields.field),
    id: textOrNull(fields.id),
  };
  return { kind: "refusal", refusal };
}

function snapshot(fields: Fields): Snapshot {
  const session = isFields(fields.session) ? fields.session : {};
  const claude = isFields(session.claudeSession) ? session.claudeSession : {};
  const access = isFields(fields.access) ? fields.access : {};
  return {
    seq: number(fields.seq),
    timestamp: number(fields.timestamp),
    preferredModel: textOrNull(claude.preferredModel),
    permissionMode: mode(session.permissionMode),
    permissionRules: texts(session.permissionRules),
    spent: isFields(session.spent) ? spent(session.spent) : null,
    access: { write: access.write !== false, manage: access.manage === true, shell: access.shell === true },
    queue: (Array.isArray(session.queue) ? session.queue : []).filter(isFields).map((one) => ({
      turnId: text(one.turn_id),
      id: text(one.id),
      content: text(one.content),
    })),
  };
}

function body(type: string, fields: Fields): Body {
  const parent = textOrNull(fields.parent_tool_use_id);
  const block = text(fields.block);
  const toolUseId = text(fields.tool_use_id);
  const requestId = text(fields.request_id);
  const input = fields.input;
  switch (type) {
    case "user_message":
      return { type, id: text(fields.id) };
    case "status":
      return {
        type,
        state: oneOf(fields.state, ["idle", "queued", "starting", "running", "ended"], "running"),
        outcome:
          fields.outcome == null
            ? null
            : oneOf(fields.outcome, ["completed", "failed", "interrupted"], "failed"),
        model: textOrNull(fields.model),
        usage: isFields(fields.usage) ? usage(fields.usage) : null,
        mode: mode(fields.permission_mode),
        rules: Array.isArray(fields.rules) ? texts(fields.rules) : null,
      };
    case "progress":
    case "result":
      return { type, block, parent };
    case "thinking":
      return { type, block, parent, partial: fields.partial === true };
    case "tool_use":
      return { type, tool: text(fields.tool), toolUseId, input, parent };
    case "tool_output":
      return { type, toolUseId };
    case "tool_result":
      return {
        type,
        toolUseId,
        isError: fields.is_error === true,
        cutBytes: number(fields.cut_bytes),
      };
    case "file_change":
      return { type, paths: readPaths(fields), toolUseId };
    case "todo_update":
      return { type, todos: readTodos(fields.todos) };
    case "permission_request":
      return {
        type,
        requestId,
        tool: text(fields.tool),
        toolUseId,
        input,
        rules: texts(fields.rules),
        reason: textOrNull(fields.reason),
        expiresAt: number(fields.expires_at),
      };
    case "question":
      return { type, requestId, toolUseId, input, expiresAt: number(fields.expires_at) };
    case "permission_response":
      return {
        type,
        requestId,
        behavior: oneOf(fields.behavior, DECISIONS, "withdrawn"),
        message: textOrNull(fields.message),
        answers: isFields(fields.answers)
          ? Object.fromEntries(Object.entries(fields.answers).map(([question, answer]) => [question, text(answer)]))
          : {},
        updatedInput: fields.updated_input,
        rules: texts(fields.rules),
        mode: mode(fields.permission_mode),
      };
    case "egress":
      return { type, host: text(fields.host), denied: fields.decision === "denied" };
    case "session_launched":
      return { type, session: text(fields.launched_session_id), agent: text(fields.config_id) };
    case "usage":
      return { type, usage: usage(isFields(fields.usage) ? fields.usage : {}) };
    case "error":
      return { type, code: text(fields.code) };
    default:
      return { type: "unknown" };
  }
}

/** As the router has booked it (`session::Spent`). */
function spent(fields: Fields): Sum {
  return {
    input: number(fields.input_tokens) + number(fields.cache_read_tokens) + number(fields.cache_write_tokens),
    output: number(fields.output_tokens),
    cost: number(fields.unpriced_requests) > 0 ? null : number(fields.cost_usd),
  };
}

function usage(fields: Fields): Usage {
  return {
    input_tokens: number(fields.input_tokens),
    output_tokens: number(fields.output_tokens),
    cache_read_input_tokens: number(fields.cache_read_input_tokens),
    cache_creation_input_tokens: number(fields.cache_creation_input_tokens),
    cost_usd: typeof fields.cost_usd === "number" ? fields.cost_usd : null,
    duration_ms: number(fields.duration_ms),
    num_turns: number(fields.num_turns),
  };
}

/** What has changed, and is not gone. */
function readPaths(fields: Fields): string[] {
  const others: unknown[] = Array.isArray(fields.others) ? fields.others : [];
  const all = [fields, ...others.filter(isFields)].filter(({ change }) => change !== "removed");
  return all.map(({ path }) => text(path)).filter((path) => path !== "");
}

export function readTodos(value: unknown): Todo[] {
  return Array.isArray(value) ? value.map(todo) : [];
}

function todo(value: unknown): Todo {
  const fields = isFields(value) ? value : {};
  return {
    content: text(fields.content),
    status: oneOf(fields.status, ["pending", "in_progress", "completed"], "pending"),
    activeForm: text(fields.activeForm),
  };
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

function mode(value: unknown): PermissionMode | null {
  return PERMISSION_MODES.find((one) => one === value) ?? null;
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function oneOf<const T extends string>(value: unknown, known: readonly T[], otherwise: T): T {
  return known.find((one) => one === value) ?? otherwise;
}
