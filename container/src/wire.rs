//! Claude Code's lines (`--output-format stream-json`), as far as this server reads them.
//!
//! New kinds of line appear with most releases, and a line holds what a model and its tools wrote. So
//! a line is read in two steps: what kind it is, then the few members that matter. What is not known
//! passes through as it came. Raw values are not built into trees here, since a tool's input may be
//! nested deeper than a parser follows, and the line must still be understood.

use std::collections::HashMap;
use std::path::Path;

use protocol::PermissionMode;
use protocol::sandbox::Transcript;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One line, and what it is.
#[derive(Debug)]
pub struct Message {
    pub raw: Box<RawValue>,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// `system/init`: at the start of each turn, after its message.
    Init(Init),
    /// `system/api_retry`
    ApiRetry(ApiRetry),
    /// `system/compact_boundary`
    CompactBoundary,
    Assistant(Assistant),
    User(User),
    StreamEvent(StreamEvent),
    Result(Box<TurnResult>),
    ControlRequest(Box<ControlRequest>),
    /// `control_cancel_request`: it does not ask that any more.
    ControlCancel(ControlCancel),
    /// `system/status` with the permission mode, where it has changed.
    ModeChanged(ModeChanged),
    ControlResponse(ControlResponse),
    /// `command_lifecycle`: where a message of ours is.
    Lifecycle(Lifecycle),
    /// `transcript_mirror` (with `--session-mirror`): what was written to a transcript.
    Mirror(Mirror),
    /// `system/thinking_tokens`: an estimate that comes with each piece of thinking.
    ThinkingTokens,
    Other,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    subtype: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub struct Init {
    pub session_id: String,
    #[serde(default)]
    pub model: String,
    #[serde(default)]
    pub claude_code_version: String,
    #[serde(default, deserialize_with = "if_known")]
    pub mcp_servers: Option<Vec<ServerState>>,
    #[serde(default, deserialize_with = "if_known")]
    pub mcp_server_errors: Option<Vec<ServerError>>,
}

/// A server of tools.
#[derive(Debug, Deserialize)]
pub struct ServerState {
    pub name: String,
    /// `connected`, `pending`, `failed`, `needs-auth` or `disabled`.
    pub status: String,
}

/// One that was left out.
#[derive(Debug, Deserialize)]
pub struct ServerError {
    pub name: String,
    #[serde(default)]
    pub message: String,
}

#[derive(Debug, Deserialize)]
pub struct ApiRetry {
    pub attempt: u64,
    pub max_retries: u64,
    #[serde(default)]
    pub error_status: Option<u16>,
}

#[derive(Debug, Deserialize)]
pub struct Assistant {
    pub message: AssistantMessage,
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
    /// The line tells of a failed call of the model, in the form of an answer.
    #[serde(default)]
    pub is_api_error_message: bool,
}

#[derive(Debug, Deserialize)]
pub struct AssistantMessage {
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub content: Vec<Block>,
}

/// A content block of any kind.
#[derive(Debug, Default, Deserialize)]
pub struct Block {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub thinking: Option<String>,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
    #[serde(default)]
    pub tool_use_id: Option<String>,
    #[serde(default)]
    pub content: Option<Box<RawValue>>,
    #[serde(default)]
    pub is_error: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub struct User {
    pub message: UserMessage,
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct UserMessage {
    pub content: Content,
}

/// What a message or a tool's result holds.
#[derive(Debug)]
pub enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::of(&raw).ok_or_else(|| serde::de::Error::custom("neither a text nor blocks"))
    }
}

impl Content {
    /// Not `untagged`: that would build a tree of what the blocks hold.
    pub fn of(raw: &RawValue) -> Option<Self> {
        if raw.get().starts_with('"') {
            return serde_json::from_str(raw.get()).ok().map(Self::Text);
        }
        serde_json::from_str(raw.get()).ok().map(Self::Blocks)
    }
}

#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    pub event: ApiEvent,
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
}

/// An event of the Messages API's stream.
#[derive(Debug, Deserialize)]
pub struct ApiEvent {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub index: u64,
    #[serde(default)]
    pub message: Option<StartedMessage>,
    #[serde(default)]
    pub delta: Option<Delta>,
}

#[derive(Debug, Deserialize)]
pub struct StartedMessage {
    #[serde(default)]
    pub id: String,
}

#[derive(Debug, Deserialize)]
pub struct Delta {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub thinking: Option<String>,
}

/// The end of what a message (or several) set off. Whether it failed, `is_error` says; `subtype` is
/// `success` for a failed call of the model as well.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TurnResult {
    pub subtype: String,
    pub is_error: bool,
    pub result: Option<String>,
    pub errors: Vec<String>,
    pub terminal_reason: Option<String>,
    pub api_error_status: Option<u16>,
    pub session_id: Option<String>,
    /// Which messages of ours it ends; older releases leave it out.
    pub user_message_uuids: Option<Vec<String>>,
    pub duration_ms: f64,
    pub num_turns: u64,
    /// Of the whole process, not of this turn.
    pub total_cost_usd: f64,
    pub usage: MainUsage,
    /// By model, with sub-agents' calls.
    pub model_usage_since_last_result: Option<HashMap<String, ModelUsage>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MainUsage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub cache_creation_input_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModelUsage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub cache_creation_input_tokens: u64,
}

#[derive(Debug, Deserialize)]
pub struct Lifecycle {
    pub command_uuid: String,
    /// `queued`, `started`, `completed` or `cancelled`.
    pub state: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// The transcript, or that of a sub-agent.
    pub file_path: String,
    pub entries: Vec<Box<RawValue>>,
}

impl Mirror {
    /// The lines, where they are of this conversation and not of a sub-agent's.
    pub fn transcript(&self, conversation: &str) -> Option<Transcript> {
        let name = Path::new(&self.file_path).file_stem()?;
        if name != conversation || self.entries.is_empty() {
            return None;
        }
        let lines: Vec<&str> = self.entries.iter().map(|entry| entry.get()).collect();
        Some(Transcript {
            conversation: conversation.to_owned(),
            lines: lines.join("\n"),
        })
    }
}

#[derive(Debug, Deserialize)]
pub struct ControlRequest {
    pub request_id: String,
    pub request: ControlAsked,
}

/// Of `can_use_tool` all but the subtype.
#[derive(Debug, Deserialize)]
pub struct ControlAsked {
    pub subtype: String,
    #[serde(default)]
    pub tool_name: String,
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
    /// The input as it came, where another is shown.
    #[serde(skip)]
    pub given: Option<Box<RawValue>>,
    #[serde(default)]
    pub tool_use_id: Option<String>,
    #[serde(default)]
    pub decision_reason: Option<String>,
    #[serde(default, deserialize_with = "if_known")]
    pub permission_suggestions: Option<Vec<Suggestion>>,
}

/// A change of permissions by which a request would not be made again.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Suggestion {
    /// `addRules`, `addDirectories`, `setMode` and others.
    #[serde(rename = "type")]
    pub kind: String,
    pub behavior: String,
    pub rules: Vec<SuggestedRule>,
    pub directories: Vec<String>,
    pub mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SuggestedRule {
    #[serde(rename = "toolName")]
    pub tool_name: String,
    #[serde(rename = "ruleContent")]
    pub content: Option<String>,
}

/// What is not of the known form is as good as nothing.
fn if_known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

#[derive(Debug, Deserialize)]
pub struct ControlCancel {
    pub request_id: String,
}

#[derive(Debug, Deserialize)]
pub struct ModeChanged {
    #[serde(rename = "permissionMode")]
    pub mode: PermissionMode,
}

#[derive(Debug, Deserialize)]
pub struct ControlResponse {
    pub response: ControlAnswer,
}

#[derive(Debug, Deserialize)]
pub struct ControlAnswer {
    pub subtype: String,
    pub request_id: String,
    #[serde(default)]
    pub error: Option<String>,
}

impl Message {
    /// `None` where it is not JSON with a type.
    pub fn parse(line: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(line)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let raw = RawValue::from_string(text).ok()?;
        let kind = Kind::of(raw.get())?;
        Some(Self { raw, kind })
    }
}

impl Kind {
    fn of(line: &str) -> Option<Self> {
        let head: Head<'_> = serde_json::from_str(line).ok()?;
        let known = match (head.kind.as_ref(), head.subtype.as_deref()) {
            ("system", Some("init")) => read(line).map(Self::Init),
            ("system", Some("api_retry")) => read(line).map(Self::ApiRetry),
            ("system", Some("compact_boundary")) => Some(Self::CompactBoundary),
            ("system", Some("thinking_tokens")) => Some(Self::ThinkingTokens),
            ("transcript_mirror", _) => read(line).map(Self::Mirror),
            ("assistant", _) => read(line).map(Self::Assistant),
            ("user", _) => read(line).map(Self::User),
            ("stream_event", _) => read(line).map(Self::StreamEvent),
            // A result ends a turn even where its members are not what they were.
            ("result", _) => Some(Self::Result(Box::new(
                read(line).unwrap_or_else(|| unreadable_result(line)),
            ))),
            ("system", Some("status")) => read(line).map(Self::ModeChanged),
            ("control_cancel_request", _) => read(line).map(Self::ControlCancel),
            ("control_request", _) => {
                read(line).map(|request| Self::ControlRequest(Box::new(request)))
            }
            ("command_lifecycle", _) => read(line).map(Self::Lifecycle),
            ("control_response", _) => read(line).map(Self::ControlResponse),
            _ => None,
        };
        Some(known.unwrap_or(Self::Other))
    }
}

fn read<'de, T: Deserialize<'de>>(line: &'de str) -> Option<T> {
    serde_json::from_str(line).ok()
}

/// What can still be told of a result whose form is not known: whether it failed, and with what.
fn unreadable_result(line: &str) -> TurnResult {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Least {
        is_error: Option<bool>,
    }
    let least: Least = read(line).unwrap_or_default();
    TurnResult {
        is_error: least.is_error.unwrap_or(true),
        ..TurnResult::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Option<Kind> {
        Message::parse(line.as_bytes().to_vec()).map(|message| message.kind)
    }

    #[test]
    fn a_type_of_tomorrow_passes_through() {
        let line = r#"{"type":"brand_new","x":1}"#;
        let message = Message::parse(line.as_bytes().to_vec()).unwrap();
        assert!(matches!(message.kind, Kind::Other));
        assert_eq!(message.raw.get(), line);
    }

    #[test]
    fn what_is_no_line_of_the_protocol_is_none() {
        for line in ["", "null", "[]", "{}", "{\"type\":1}", "warning: x", "{"] {
            assert!(kind(line).is_none(), "{line}");
        }
    }

    #[test]
    fn depth_does_not_hide_a_line() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        let line = format!(
            r#"{{"type":"assistant","message":{{"id":"m","content":[{{"type":"tool_use","id":"t","name":"X","input":{{"a":{deep}}}}}]}}}}"#
        );
        assert!(matches!(kind(&line), Some(Kind::Assistant(_))));
        let line = format!(
            r#"{{"permission_denials":[{{"tool_input":{deep}}}],"is_error":false,"type":"result","result":"ok"}}"#
        );
        let Some(Kind::Result(result)) = kind(&line) else {
            panic!("the result is not seen");
        };
        assert_eq!(result.result.as_deref(), Some("ok"));
    }

    #[test]
    fn a_result_of_another_form_is_still_an_end() {
        let line = r#"{"type":"result","is_error":false,"num_turns":"many","usage":7}"#;
        let Some(Kind::Result(result)) = kind(line) else {
            panic!("the result is not seen");
        };
        assert!(!result.is_error);
    }
}
