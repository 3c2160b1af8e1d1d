//! The answers that the Worker puts together as it goes. What crosses a wire in a type of its own is
//! described by that type; `tests/openapi.rs` holds these to what the server says.

use std::collections::BTreeMap;

use protocol::event::Todo;
use protocol::{Decision, Outcome, Owner, PermissionMode, SessionId, TurnId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

/// RFC 9457, with `error` and `message` for clients of earlier systems.
#[derive(Deserialize, JsonSchema)]
pub struct Problem {
    /// `/problems/` and the code, such as `/problems/not_found`.
    #[serde(rename = "type")]
    pub kind: ProblemType,
    pub title: String,
    pub status: u16,
    /// What is wrong, and what to do about it, for a person.
    pub detail: String,
    /// The `title`.
    pub error: String,
    /// The `detail`.
    pub message: String,
    /// The members of the request that are at fault.
    #[serde(default)]
    pub errors: Vec<FieldProblem>,
}

/// A member of a request that is at fault.
#[derive(Deserialize, JsonSchema)]
pub struct FieldProblem {
    /// As its sender spells it, such as `config.max_turns`.
    pub field: String,
    pub detail: String,
}

/// The types of problems.
pub struct ProblemType;

impl JsonSchema for ProblemType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProblemType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let types = protocol::ProblemKind::ALL.map(|kind| format!("/problems/{}", kind.code()));
        json_schema!({ "type": "string", "enum": types })
    }
}

impl<'de> Deserialize<'de> for ProblemType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self)
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct Health {
    /// `healthy`
    pub status: String,
    pub version: String,
    /// Where sandboxes run.
    pub provider: String,
    pub agent_image: String,
    /// Milliseconds since the epoch.
    pub timestamp: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct Models {
    /// The one that answers where nobody has chosen another.
    pub default: String,
    pub models: Vec<Model>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Model {
    pub id: String,
    pub name: String,
    pub provider: String,
    /// The router has a key for it.
    pub available: bool,
    /// The most tokens that it takes at once; none where the router's configuration does not say.
    pub context_window: Option<u64>,
}

/// A turn that has ended.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// `Message processed`
    pub status: String,
    /// Milliseconds since the epoch.
    pub timestamp: u64,
    pub session_id: SessionId,
    pub turn_id: TurnId,
    pub outcome: Option<Outcome>,
    /// The agent's last words.
    pub result: String,
    pub usage: Option<protocol::event::Usage>,
}

/// What Claude Code has answered.
#[derive(Deserialize, JsonSchema)]
pub struct DirectResult {
    /// `result`
    #[serde(rename = "type")]
    pub kind: String,
    pub result: String,
    #[serde(rename = "sessionId")]
    pub session_id: Option<String>,
    #[serde(rename = "requestId")]
    pub request_id: String,
    pub cost_usd: Option<f64>,
    pub duration_ms: Option<u64>,
}

/// The session in the form of the earlier system.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub session_id: SessionId,
    pub is_running: bool,
    pub last_activity: u64,
    pub claude_session: ClaudeSession,
    pub container_state: ContainerState,
    pub messages: Vec<StateMessage>,
    pub queue: Vec<Queued>,
    pub permission_mode: PermissionMode,
    pub permission_rules: Vec<String>,
    pub permission_requests: Vec<OpenRequest>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaudeSession {
    pub id: Option<String>,
    pub workspace_path: String,
    pub preferred_model: Option<String>,
    pub last_command: Option<String>,
    pub session_files: Vec<String>,
    pub active_tools: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerState {
    pub is_active: bool,
    pub last_heartbeat: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct StateMessage {
    pub id: String,
    /// `user` or `assistant`
    pub role: String,
    pub content: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub timestamp: u64,
}

/// A message that waits for its turn.
#[derive(Deserialize, JsonSchema)]
pub struct Queued {
    pub turn_id: TurnId,
    pub id: String,
    pub content: String,
}

/// What the agent asks, and nobody has answered.
#[derive(Deserialize, JsonSchema)]
pub struct OpenRequest {
    pub request_id: String,
    pub turn_id: TurnId,
    pub seq: u64,
    pub kind: String,
    pub tool: Option<String>,
    pub content: String,
    pub rules: Vec<String>,
    pub expires_at: u64,
}

/// The whole log.
#[derive(Deserialize, JsonSchema)]
pub struct Export {
    pub session_id: SessionId,
    pub events: Vec<protocol::Event>,
}

#[derive(Deserialize, JsonSchema)]
pub struct ForkWish {
    /// A number, or such as `turn-3`; without, the last that has ended.
    pub turn: Option<TurnNumber>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TurnNumber {
    Number(u64),
    Id(TurnId),
}

#[derive(Deserialize, JsonSchema)]
pub struct Forked {
    pub session_id: SessionId,
    pub forked_from: SessionId,
}

/// What the caller may.
#[derive(Deserialize, JsonSchema)]
pub struct Access {
    pub by: String,
    pub read: bool,
    pub write: bool,
    pub manage: bool,
    /// To open terminals in its sandbox.
    pub shell: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareWish {
    pub mode: ShareMode,
    /// Seconds: 7 days where nothing is said, at most 90.
    #[schemars(range(min = 1, max = 7_776_000))]
    pub expires_in: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShareMode {
    Read,
    Write,
}

#[derive(Deserialize, JsonSchema)]
pub struct Share {
    pub id: String,
    pub mode: ShareMode,
    pub expires_at: String,
    /// What opens the session; it is shown once.
    pub token: String,
    /// The page with the token behind its `#`.
    pub path: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct Shares {
    pub shares: Vec<KeptShare>,
}

#[derive(Deserialize, JsonSchema)]
pub struct KeptShare {
    pub id: String,
    pub mode: ShareMode,
    pub created_at: String,
    pub expires_at: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct Ticket {
    /// For `?ticket=` of the session's WebSocket, once.
    pub ticket: String,
    /// Seconds.
    pub expires_in: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct LoginWish {
    /// An API key, or the operator's token.
    pub token: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct SignedIn {
    pub owner: Owner,
    pub scopes: Vec<Scope>,
}

/// What a key may.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Read,
    Write,
    Launch,
    Admin,
    Operator,
}

#[derive(Deserialize, JsonSchema)]
pub struct Keys {
    pub keys: Vec<Key>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Key {
    pub id: String,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub created_at: String,
    pub created_by: String,
    pub expires_at: Option<String>,
    /// A browser has it that somebody has signed in with.
    pub browser: bool,
}

#[derive(Deserialize, JsonSchema)]
pub struct KeyWish {
    /// What it is for, on one line.
    pub name: Option<String>,
    /// `read`, `write` and `launch` where nothing is said.
    pub scopes: Option<Vec<Scope>>,
    /// Seconds; without, it holds until it is revoked.
    #[schemars(range(min = 1))]
    pub expires_in: Option<u64>,
    /// Whose; others than one's own for the operator.
    pub owner: Option<Owner>,
}

#[derive(Deserialize, JsonSchema)]
pub struct NewKey {
    pub id: String,
    /// The key; it is shown once.
    pub key: String,
    pub owner: Owner,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Audit {
    pub entries: Vec<Deed>,
    /// The `before` of the next older page; null where there is none.
    pub next_before: Option<u64>,
}

/// Something that was done in an account's name.
#[derive(Deserialize, JsonSchema)]
pub struct Deed {
    pub id: u64,
    pub time: String,
    pub what: String,
    pub about: String,
    pub by: String,
    pub address: String,
    pub request_id: String,
}

/// What was used between two days.
#[derive(Deserialize, JsonSchema)]
pub struct UsageTold {
    pub from: String,
    pub to: String,
    pub total: Used,
    pub days: Vec<UsedOnADay>,
    /// Those that cost most, a hundred at most.
    pub sessions: Vec<UsedBySession>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Used {
    pub turns: u64,
    pub failed_turns: u64,
    /// From the starts of the turns to their ends.
    pub seconds: f64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub cache_creation_input_tokens: u64,
    /// Of the turns whose cost is known.
    pub cost_usd: f64,
    /// Turns whose cost is not known.
    pub unpriced_turns: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct UsedOnADay {
    pub day: String,
    #[serde(flatten)]
    pub used: Used,
}

#[derive(Deserialize, JsonSchema)]
pub struct UsedBySession {
    pub session_id: SessionId,
    /// Null where it was deleted.
    pub title: Option<String>,
    #[serde(flatten)]
    pub used: Used,
}

#[derive(Deserialize, JsonSchema)]
pub struct Webhooks {
    pub webhooks: Vec<WebhookTold>,
    pub total: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct WebhookTold {
    pub id: String,
    pub url: String,
    pub session_id: Option<SessionId>,
    /// Its server has said that nobody is there any more; nothing is sent until it is tried.
    pub gone: bool,
    pub created_at: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct NewWebhook {
    pub id: String,
    pub url: String,
    pub session_id: Option<SessionId>,
    /// With this its messages are signed; it is shown once.
    pub secret: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct Pinged {
    /// The message's id.
    pub id: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct Deliveries {
    pub deliveries: Vec<Delivery>,
    pub total: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct Delivery {
    pub id: String,
    pub message: automation::webhook::Message,
    pub attempts: u64,
    /// `pending`, `delivered` or `failed`.
    pub outcome: String,
    /// To the last attempt: a status, or why there was none.
    pub answer: String,
    pub created_at: String,
    pub next_attempt_at: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Schedules {
    pub schedules: Vec<ScheduleTold>,
    pub total: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct ScheduleTold {
    pub id: String,
    pub session_id: SessionId,
    pub prompt: String,
    #[serde(default)]
    pub name: String,
    pub at: Option<String>,
    pub cron: Option<String>,
    pub timezone: Option<String>,
    /// `false` for one that rests.
    pub enabled: Option<bool>,
    pub created_at: String,
    /// When it is due next; not there where it is not.
    pub next_at: Option<String>,
    pub last_at: Option<String>,
    /// The turn that it became last.
    pub last_turn: Option<String>,
    /// Why it could not be said last.
    pub last_error: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Configs {
    pub configs: Vec<ConfigInShort>,
    pub total: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct ConfigInShort {
    pub id: String,
    pub name: String,
    pub description: String,
    pub version: String,
    pub allowed_tools: Vec<String>,
    pub has_mcp_servers: bool,
    pub has_sub_agents: bool,
    pub permission_mode: PermissionMode,
    /// What has to be given at the launch.
    pub mcp_env: Vec<String>,
    pub setting_sources: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
pub struct ConfigDone {
    /// `success`
    pub status: String,
    pub config_id: String,
    /// What in it has no effect here.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Either `config_id` or `config`.
#[derive(Deserialize, JsonSchema)]
pub struct LaunchWish {
    /// A preset's, or one's own.
    pub config_id: Option<String>,
    pub config: Option<agents::AgentConfig>,
    /// Where the sandbox is to run, for as long as there is the session: one of those that
    /// `GET /api/providers` names. The deployment's default where nothing is said.
    pub provider: Option<String>,
    /// A session whose workspace, as its last turn left it, this one begins with.
    pub workspace_from: Option<SessionId>,
    /// Secrets that the configuration's servers ask for, by name.
    pub mcp_env: Option<BTreeMap<String, String>>,
    /// A key of one's own for a provider of models.
    pub api_key: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Launched {
    pub session_id: SessionId,
    /// The `session_id`.
    pub agent_id: SessionId,
    pub config_id: String,
    /// `running`
    pub status: String,
    /// Where its sandbox runs.
    pub provider: String,
    pub message: String,
    /// What in the configuration has no effect here.
    pub warnings: Vec<String>,
}

/// Where sandboxes may run.
#[derive(Deserialize, JsonSchema)]
pub struct Providers {
    pub providers: Vec<Provider>,
    pub total: u64,
    /// The name of the one of launches that name none.
    pub default: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct Provider {
    pub name: String,
    pub default: bool,
    /// Which of an agent's limits its sandboxes are held to: `cpu`, `memory`, `storage`.
    pub enforces: Vec<String>,
}

/// What runs where sandboxes do.
#[derive(Deserialize, JsonSchema)]
pub struct Sandboxes {
    pub sandboxes: Vec<Sandbox>,
    pub total: u64,
    /// So many more were not looked at.
    pub left_off: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct Sandbox {
    pub provider: String,
    pub session_id: SessionId,
    /// Of one that does not run, its files are there.
    pub running: bool,
    /// No session has it.
    pub orphan: bool,
    /// It has been removed now.
    pub removed: bool,
}

/// How a session stands.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    Starting,
    Running,
    Idle,
    Sleeping,
    Error,
    Stopped,
}

#[derive(Deserialize, JsonSchema)]
pub struct Sessions {
    pub sessions: Vec<ListedSession>,
    /// Of all pages.
    pub total: u64,
}

#[derive(Deserialize, JsonSchema)]
pub struct ListedSession {
    pub session_id: SessionId,
    pub agent_id: SessionId,
    pub config_id: Option<String>,
    pub title: String,
    pub status: SessionStatus,
    pub provider: String,
    /// The one that answers next, where that is known.
    pub model: Option<String>,
    /// How many requests of its agent wait for a person.
    pub open_requests: u64,
    /// US dollars until the end of its last turn; none where nothing was used, or the price of a call is not
    /// known.
    pub cost_usd: Option<f64>,
    pub created_at: String,
    pub last_active: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct SessionInFull {
    pub session_id: SessionId,
    pub agent_id: SessionId,
    pub config_id: Option<String>,
    pub title: Option<String>,
    pub status: SessionStatus,
    pub provider: String,
    pub created_at: String,
    pub last_active: String,
    pub model: Option<String>,
    pub permission_mode: PermissionMode,
    pub turns: u64,
    pub forked_from: Option<Value>,
    /// The session whose agent has launched it.
    pub parent: Option<SessionId>,
    /// Those that its own agent has launched.
    pub children: Vec<SessionId>,
    pub config: Option<agents::AgentConfig>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Removed {
    /// `success`, or where it stands.
    pub status: String,
    pub session_id: SessionId,
    pub message: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct Interrupted {
    /// A turn ran.
    pub interrupted: bool,
}

/// One of `message`, `prompt` and `messages`.
#[derive(Deserialize, JsonSchema)]
pub struct ChatWish {
    pub message: Option<String>,
    pub prompt: Option<String>,
    /// All that was said; the last of the role `user` counts.
    pub messages: Option<Vec<protocol::options::Message>>,
    /// The session, where the path names none.
    #[serde(rename = "sessionId")]
    pub session_id: Option<SessionId>,
    /// The message's own, by which it is the same when it is sent again.
    pub id: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub struct ChatAnswer {
    /// The agent's last words.
    pub content: String,
    pub tool_results: Vec<Value>,
    pub usage: Tokens,
    pub cost_usd: Option<f64>,
    pub duration_ms: u64,
    pub outcome: Option<Outcome>,
    pub model: Option<String>,
    pub session_id: SessionId,
    pub turn_id: TurnId,
}

#[derive(Deserialize, JsonSchema)]
pub struct Tokens {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub cache_creation_input_tokens: u64,
}

/// An object of a chat's stream.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChatEvent {
    /// A piece of the agent's text.
    Text {
        content: String,
    },
    ToolUse {
        tool: String,
        input: Value,
        tool_use_id: String,
        /// The call of the sub-agent that it comes from.
        parent_tool_use_id: Option<String>,
    },
    ToolResult {
        output: String,
        tool_use_id: String,
        is_error: bool,
        parent_tool_use_id: Option<String>,
    },
    Thinking {
        content: String,
    },
    TodoUpdate {
        todos: Vec<Todo>,
    },
    /// As in the session's log.
    PermissionRequest {
        content: String,
        request_id: String,
        tool: String,
        input: Value,
    },
    Question {
        content: String,
        request_id: String,
        input: Value,
    },
    PermissionResponse {
        content: String,
        request_id: String,
        behavior: Decision,
    },
    Error {
        content: String,
        error: String,
        code: String,
    },
    /// The last of a turn.
    Metadata {
        usage: Tokens,
        cost_usd: Option<f64>,
        duration_ms: u64,
        outcome: Option<Outcome>,
        model: Option<String>,
    },
}

/// An object of the stream of a session's tools.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolEvent {
    ToolStart {
        tool: String,
        tool_use_id: String,
        timestamp: u64,
    },
    ToolUse {
        tool: String,
        tool_use_id: String,
        input: Value,
        content: String,
        timestamp: u64,
    },
    ToolComplete {
        tool: Option<String>,
        tool_use_id: String,
        output: String,
        is_error: bool,
        timestamp: u64,
    },
    ToolError {
        tool: Option<String>,
        tool_use_id: String,
        output: String,
        is_error: bool,
        timestamp: u64,
    },
    TodoUpdate {
        todos: Vec<Todo>,
        timestamp: u64,
    },
    Thinking {
        content: String,
        timestamp: u64,
    },
    /// Nothing happened for a while.
    Ping,
}

/// The terminals of a session.
#[derive(Deserialize, JsonSchema)]
pub struct Terminals {
    /// `running` or `sleeping`.
    pub sandbox: String,
    pub terminals: Vec<protocol::terminal::Open>,
}

#[derive(Deserialize, JsonSchema)]
pub struct Resources {
    pub session_id: SessionId,
    pub container_id: String,
    pub cpu: Cpu,
    pub memory: Memory,
    pub disk: Disk,
    pub processes: u64,
    /// `running` or `sleeping`
    pub status: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct Cpu {
    pub percent: f64,
    pub count: f64,
}

#[derive(Deserialize, JsonSchema)]
pub struct Memory {
    pub used_bytes: u64,
    pub limit_bytes: u64,
    pub percent: f64,
    pub used_mb: f64,
    pub limit_mb: f64,
}

#[derive(Deserialize, JsonSchema)]
pub struct Disk {
    pub percent: f64,
    pub used_bytes: u64,
    pub total_bytes: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FileOrFolder {
    Folder(protocol::files::Listing),
    Text(protocol::files::TextFile),
    Binary(protocol::files::BinaryFile),
}

#[derive(Deserialize, JsonSchema)]
pub struct UploadForm {
    /// The files; the field's name does not matter.
    #[schemars(with = "Vec<Bytes>")]
    pub files: Vec<Value>,
}

/// The bytes of a file.
pub struct Bytes;

impl JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "binary" })
    }
}
