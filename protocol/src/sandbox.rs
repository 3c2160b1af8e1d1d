//! What the session says to the agent-server in its sandbox, and hears from it.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | [`Health`] |
//! | `POST /turns` with a [`TurnRequest`] | the turn's [`Record`]s as NDJSON, from the first |
//! | `GET /turns/{turn_id}?after=N` | the same from `n > N`; 404 where the turn is not known any more |
//! | `GET /resources` | [`Resources`] |
//! | `POST /interrupt` with an [`InterruptRequest`] | 204 once the turn has ended or will not start |
//! | `POST /answer` with an [`AnswerRequest`] | 204 once it is taken, also where the request is not open any more; 404 where the turn is not known |
//! | `POST /settings` with [`Settings`] | 204 once they are taken: the running turn goes on with them; 404 where it is not known |
//! | `POST /acknowledge` with an [`Acknowledge`] | 204; the records up to `n` are forgotten, also in the middle of the turn |
//! | `POST /save` with a [`SaveRequest`] | an archive (`.tar.gz`) of what has changed, 204 where that is nothing |
//! | `POST /restore?last=…` with an archive | 204; without `last`, or with a body of no bytes, see [`DiskState`] |
//! | `POST /` with ClaudeCodeOptions | a turn beside the session's log: Claude Code's own messages |
//!
//! A stream of records ends with one that has an `end`. One without it was cut: the session asks
//! again with the last `n` it has stored.
//!
//! A new Worker meets agent-servers of the image before it, so fields are only ever added, and
//! [`PROTOCOL`] counts up where that is not enough.

use serde::{Deserialize, Serialize};

use crate::event::{EventBody, Outcome, Usage};
use crate::options::Turn;
use crate::{PermissionMode, SessionId, TurnId, Verdict};

/// The version of this protocol.
pub const PROTOCOL: u32 = 1;

/// The port that the agent-server listens on in a container.
pub const PORT: u16 = 3000;

/// The port of a sandbox's gate by which its agent-server is reached, where it has one.
pub const GATE_IN: u16 = 43000;

/// The port of a sandbox's gate at which it listens as a proxy for what leaves the sandbox.
pub const GATE_OUT: u16 = 43128;

/// Seconds of silence after which the agent-server sends a [`Record`] without content, so that the
/// other end can tell a slow turn from a dead link.
pub const HEARTBEAT_SECONDS: u64 = 5;

/// Bytes of one record as a line of NDJSON. More is an error of the agent-server's.
pub const MAX_RECORD: usize = 2 * crate::event::MAX_EVENT;

/// Starts a turn. One of a higher [`PROTOCOL`] than the agent-server's is refused (409): its image is
/// older than the Worker. Sent again with the same `turn_id`, it attaches to the turn that runs. A turn with
/// a higher id ends one that still runs; one with a lower id than the last is refused (409): it is an
/// echo of a turn that the session has given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRequest {
    pub protocol: u32,
    pub session_id: SessionId,
    pub turn_id: TurnId,
    /// The session can ask a person; without it, what needs one is refused at once.
    #[serde(default)]
    pub asks: bool,
    pub turn: Turn,
    /// What the conversation came to after the last save: a disk that was lost in the middle of a turn
    /// lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Transcript>,
    /// Values that the launch holds and nobody may be shown: they are masked in all that is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterruptRequest {
    pub turn_id: TurnId,
}

/// The answer to a request or question. Sent again, it changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerRequest {
    pub turn_id: TurnId,
    /// The agent's own name for the request.
    pub request_id: String,
    pub verdict: Verdict,
    /// All that is allowed in the session without asking.
    pub rules: Vec<String>,
}

/// What the turn goes on with: all that was changed since its start, so that it can be sent again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub turn_id: TurnId,
    /// None: the turn's own.
    #[serde(default)]
    pub model: Option<String>,
    pub permission_mode: PermissionMode,
    /// All that is allowed in the session without asking.
    pub rules: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acknowledge {
    pub turn_id: TurnId,
    pub n: u64,
}

/// Asks for what has changed on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveRequest {
    /// The number that this save will have. Counts up.
    pub save: u64,
    /// The last one that is kept. Where the agent-server does not know what the disk held then, the
    /// archive holds everything, and says so ([`SAVE_AFTER`] is missing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// More bytes of files are not saved: 413.
    pub max_bytes: u64,
    /// The turn whose end this saves. A sandbox in which it did not run has nothing of it to save: 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
}

/// Header of the answer to a [`SaveRequest`]: the save that the archive builds on.
pub const SAVE_AFTER: &str = "x-save-after";

/// Header of the answer to a [`SaveRequest`]: the archive's SHA-256 in hexadecimal digits.
pub const SAVE_SHA256: &str = "x-save-sha256";

/// Whether turns may run on the sandbox's disk.
///
/// An agent-server that is started with `AGENT_AWAIT_RESTORE=true` on a new disk waits for archives: a
/// whole one, then those that build on it, in their order, the last with `last=true`. An empty body
/// with `last=true` says that there is none. Until then a turn is refused (409).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskState {
    Awaiting,
    Ready,
}

/// A conversation's last lines, as Claude Code writes them to its transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// Claude Code's name for the conversation.
    pub conversation: String,
    /// JSON, one a line.
    pub lines: String,
}

/// One line of a turn's stream.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1 within the turn; 0 for a heartbeat, which is not kept.
    pub n: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventBody>,
    /// Claude Code's name for the conversation, where it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_session_id: Option<String>,
    /// Requests of this turn's events that are not asked any more, by their names there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<String>,
    /// What Claude Code has just written to the conversation's transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Transcript>,
    /// The last record of a turn says how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<TurnEnd>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnEnd {
    pub outcome: Outcome,
    /// One sentence for a person.
    pub content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What the agent-server says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `healthy` as soon as it listens.
    pub status: String,
    pub protocol: u32,
    pub version: String,
    pub uptime_ms: u64,
    /// For how long nobody has used it: no turn, no request but after its health and for a save.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_ms: Option<u64>,
    pub agent: AgentState,
    /// None from an agent-server that knows nothing of saves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskState>,
    /// The turn that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<TurnId>,
    /// None where no terminal is open, and none was used since the last save.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminals: Option<crate::terminal::Use>,
}

/// What a sandbox uses of its machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Of one processor: two that are busy are 200.
    pub cpu_percent: f64,
    /// Processors that it may use.
    pub cpu_count: f64,
    /// Bytes, as are the others.
    pub memory_used: u64,
    pub memory_limit: u64,
    /// Of the disk that the workspace is on.
    pub disk_used: u64,
    pub disk_total: u64,
    pub processes: u64,
}

/// The state of the kept `claude` process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    Starting,
    Ready,
    Busy,
    Stopped,
}
