//! The events of a session's log, as every stream (WebSocket, SSE, NDJSON, history) carries them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Decision, EgressDecision, PermissionMode, SessionId, TurnId};

/// One entry of a session's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Gap-free from 1, in the order of the log.
    pub seq: u64,
    pub session_id: SessionId,
    /// The turn it belongs to; none for what belongs to the session as a whole.
    pub turn_id: Option<TurnId>,
    /// Milliseconds since the epoch.
    pub timestamp: u64,
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. `content` is always there and always words for a person, so that a client that
/// knows nothing else can show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// What a person said. Stored once, however often its sender sends it.
    UserMessage {
        content: String,
        /// The id that its sender gave it, or one that the session made.
        id: String,
    },
    /// The turn, or the session, is in another state.
    Status(Status),
    /// A piece of the assistant's text; the whole block follows as `result` with the same `block`.
    Progress {
        content: String,
        #[serde(flatten)]
        place: Place,
    },
    /// A whole block of the assistant's text.
    Result {
        content: String,
        #[serde(flatten)]
        place: Place,
    },
    /// The model's thinking: pieces with `partial`, then the whole block without.
    Thinking {
        content: String,
        #[serde(default, skip_serializing_if = "is_false")]
        partial: bool,
        #[serde(flatten)]
        place: Place,
    },
    /// The agent calls a tool. `content` sums the call up in a line.
    ToolUse {
        content: String,
        tool: String,
        tool_use_id: String,
        input: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    /// A piece of what a command prints while it runs; where it prints much, not all of it. The whole follows
    /// as the `tool_result` of the same call.
    ToolOutput {
        content: String,
        tool_use_id: String,
    },
    /// The tool's answer. `content` is its text, cut at [`MAX_TOOL_OUTPUT`].
    ToolResult {
        content: String,
        tool_use_id: String,
        is_error: bool,
        /// How many bytes were cut from the end, 0 for none.
        #[serde(default, skip_serializing_if = "is_zero")]
        cut_bytes: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    /// A file of the workspace was written by a tool, or files of it have changed in some other way while
    /// the turn ran, such as by a program. Of the second kind there are few events, each with some files.
    FileChange {
        content: String,
        /// Below the workspace. Empty where nobody can say which files it were.
        path: String,
        change: FileChange,
        /// The call that says so of itself; empty for other changes.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        tool_use_id: String,
        /// What else has changed with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<ChangedFile>,
        /// More files have changed than are named here.
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
    },
    /// The agent's list of what there is to do, whole.
    TodoUpdate { content: String, todos: Vec<Todo> },
    /// The agent asks whether it may. `ExitPlanMode` asks whether its input's `plan` is to be carried
    /// out.
    PermissionRequest {
        /// The call in a line.
        content: String,
        request_id: String,
        tool: String,
        input: Value,
        /// What would not be asked again in this session where it is allowed for all of it: rules of
        /// Claude Code's, such as `Bash(npm test *)`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rules: Vec<String>,
        #[serde(flatten)]
        asked: Asked,
    },
    /// The agent asks the person something. `input.questions` holds the questions and their options.
    Question {
        content: String,
        request_id: String,
        input: Value,
        #[serde(flatten)]
        asked: Asked,
    },
    /// What became of a request or question: the one event that ends it.
    PermissionResponse {
        content: String,
        request_id: String,
        behavior: Decision,
        #[serde(flatten)]
        answered: Answered,
    },
    /// Something in the sandbox wanted to reach a host; told once a turn for each.
    Egress {
        content: String,
        host: String,
        decision: EgressDecision,
    },
    /// What the calls of the model have used that have ended since this was told last, in a turn that goes on.
    /// The turn's end tells what all of them have.
    Usage { content: String, usage: Usage },
    /// The agent has begun a session of another agent, with which it works.
    SessionLaunched {
        content: String,
        launched_session_id: SessionId,
        /// The configuration that it was launched with.
        config_id: String,
    },
    /// Something failed. `code` is a [`ProblemKind`](crate::ProblemKind)'s code.
    Error { content: String, code: String },
    /// One of a type that this version does not know, as a newer agent-server may send it. Never in a
    /// log.
    #[serde(other)]
    Unknown,
}

/// What goes with every request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Asked {
    /// The call that is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
    /// Why it is asked, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is denied unless somebody has answered, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expires_at: u64,
}

/// What an answer came with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answered {
    /// The person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<BTreeMap<String, String>>,
    /// What the tool is called with instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_input: Option<Value>,
    /// What is not asked any more in this session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The session's mode from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// Who has answered, as the audit log names them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
}

/// Where a piece of the model's output belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Place {
    /// The content block of the model's message, the same for all its pieces.
    pub block: String,
    /// The call of the sub-agent that it comes from; none for the main agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<String>,
}

/// The state of a session, or of one turn of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// No turn runs and none waits; never the state of a turn.
    Idle,
    Queued,
    Starting,
    Running,
    Ended,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Completed,
    Failed,
    Interrupted,
}

/// A `status` event. One with [`TurnState::Ended`] is the last event of its turn, and the only one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    pub content: String,
    pub state: TurnState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How many turns are before this one, with [`TurnState::Queued`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// The model that answers, with [`TurnState::Running`] and [`TurnState::Ended`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the turn took, with [`TurnState::Ended`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The session's permission mode from now on, where it is another, and at a turn's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// All that is allowed in this session without asking, where it has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
    /// The save that holds the workspace and the conversation as the turn left them, with
    /// [`TurnState::Ended`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save: Option<u64>,
}

impl Status {
    pub fn new(state: TurnState, content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            state,
            outcome: None,
            position: None,
            model: None,
            usage: None,
            permission_mode: None,
            rules: None,
            save: None,
        }
    }
}

/// What a turn took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    #[serde(default)]
    pub cache_read_input_tokens: u64,
    #[serde(default)]
    pub cache_creation_input_tokens: u64,
    /// US dollars by the router's prices; none where it has no price for one of the models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// From the start of the turn in the agent to its end.
    pub duration_ms: u64,
    /// Calls of the model.
    pub num_turns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    Written,
    Edited,
    Removed,
}

/// A file that has changed with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangedFile {
    /// Below the workspace.
    pub path: String,
    pub change: FileChange,
}

/// One thing to do. TodoWrite's form; TaskCreate and TaskUpdate are brought to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Todo {
    pub content: String,
    /// `pending`, `in_progress` or `completed`.
    pub status: String,
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        rename = "activeForm"
    )]
    pub active_form: String,
}

/// Bytes of a tool's output that an event carries; more is cut, and `cut_bytes` says how much.
pub const MAX_TOOL_OUTPUT: usize = 128 * 1024;

/// Bytes of one event as JSON. A row of a Durable Object's SQLite holds 2 MB.
pub const MAX_EVENT: usize = 1_500_000;

pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Cuts `text` to at most `limit` bytes at a character's edge; returns how many bytes were cut.
pub fn cut(text: &mut String, limit: usize) -> u64 {
    if text.len() <= limit {
        return 0;
    }
    let whole = text.len();
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    (whole - end) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form() {
        let event = Event {
            seq: 4,
            session_id: SessionId::parse("s").unwrap(),
            turn_id: Some(TurnId(1)),
            timestamp: 1000,
            body: EventBody::Status(Status {
                outcome: Some(Outcome::Completed),
                ..Status::new(TurnState::Ended, "Completed")
            }),
        };
        insta::assert_snapshot!(serde_json::to_string(&event).unwrap(), @r#"{"seq":4,"session_id":"s","turn_id":"turn-1","timestamp":1000,"type":"status","content":"Completed","state":"ended","outcome":"completed"}"#);
        let back: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
        assert_eq!(back, event);
    }

    #[test]
    fn cuts_at_a_characters_edge() {
        let mut text = "aä€".to_owned();
        assert_eq!(cut(&mut text, 4), 3);
        assert_eq!(text, "aä");
        assert_eq!(cut(&mut text, 4), 0);
    }
}
