//! A chat completions request as a Messages request
//! (<https://platform.openai.com/docs/api-reference/chat/create>,
//! <https://docs.anthropic.com/en/api/messages>).
//!
//! What Anthropic refuses is left out or said in words, and what cannot be said is a 400 with the
//! reason. Fields without a counterpart (`logprobs`, `seed`, `logit_bias`, penalties, `store`, …)
//! are dropped, as Anthropic's own layer for OpenAI's SDKs does
//! (<https://platform.claude.com/docs/en/api/openai-sdk>). The output depends on the input alone, to
//! the byte, so that the prompt cache finds a conversation again.

mod claude;
mod content;
mod conversation;
mod format;
mod tools;
mod wire;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::controls::{self, Controls};
use crate::error::Refusal;
use crate::json;
use crate::malformed;
use crate::messages::NOTHING_SAID;
use claude::{Claude, DEFAULT_MAX_TOKENS, Form};
use content::Block;
use conversation::{Conversation, Turn};
use format::{Format, JsonSchema};
use tools::{Choice, Tool};
use wire::{ChatRequest, StreamOptions};

/// The longest id of a user that Anthropic takes.
const LONGEST_USER: usize = 256;

/// The target of a call that this router plays itself, by the demo or a mock: it takes everything
/// that the newest models do.
pub const NEWEST: &str = "claude";

/// What a router has to know of a call to find its deployment, whatever dialect that speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub model: String,
    pub streams: bool,
    /// Whether the stream's last chunk is to hold the usage.
    pub include_usage: bool,
    /// Whether the model may call tools.
    pub has_tools: bool,
    /// The largest limit on the answer's tokens that it names.
    pub max_tokens: Option<u64>,
    /// What it asks of the router itself.
    pub controls: Controls,
}

/// A call, translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatCall {
    pub model: String,
    pub streams: bool,
    /// Whether the stream's last chunk is to hold the usage.
    pub include_usage: bool,
    /// The most tokens of the answer, the caller's limit or the one that was put in its place.
    pub max_tokens: u64,
    /// The Messages request, as JSON. It names the same model and streams if the call does.
    pub body: Vec<u8>,
}

/// Reads only the head of a call, which costs little: the body may go to a provider as it is.
///
/// # Errors
/// 400 with the place and the reason, where it is not JSON or not such a request.
pub fn head(body: &[u8]) -> Result<Head, Refusal> {
    #[derive(Deserialize)]
    struct Request<'a> {
        model: String,
        messages: Vec<IgnoredAny>,
        stream: Option<bool>,
        stream_options: Option<StreamOptions>,
        tools: Option<Vec<IgnoredAny>>,
        functions: Option<Vec<IgnoredAny>>,
        #[serde(borrow)]
        max_tokens: Option<&'a RawValue>,
        #[serde(borrow)]
        max_completion_tokens: Option<&'a RawValue>,
    }
    let read = controls::read::<Request>(body);
    let (request, controls) = read.map_err(|error| wrong(body, &error))?;
    if request.messages.is_empty() {
        return Err(Refusal::new(400, NOTHING_SAID));
    }
    Ok(Head {
        has_tools: [&request.tools, &request.functions]
            .into_iter()
            .flatten()
            .any(|tools| !tools.is_empty()),
        max_tokens: [request.max_tokens, request.max_completion_tokens]
            .into_iter()
            .filter_map(|limit| limit?.get().parse().ok())
            .max(),
        controls,
        model: request.model,
        streams: request.stream.unwrap_or(false),
        include_usage: includes_usage(request.stream_options),
    })
}

/// Translates a call for the model that it names.
///
/// # Errors
/// 400 with the place and the reason, where the body is no chat completions request, or asks for
/// what a Messages request cannot say.
pub fn to_messages(body: &[u8]) -> Result<ChatCall, Refusal> {
    let request: ChatRequest = parsed(body)?;
    translated(&request, &request.model)
}

/// Translates a call for `target`, the model's name at its provider: what a model takes depends on
/// its generation, which the name by which it was called may not tell.
///
/// # Errors
/// As [`to_messages`].
pub fn to_messages_for(body: &[u8], target: &str) -> Result<ChatCall, Refusal> {
    let request: ChatRequest = parsed(body)?;
    translated(&request, target)
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| wrong(body, &error))
}

fn wrong(body: &[u8], error: &serde_json::Error) -> Refusal {
    malformed::refusal(body, "a chat completions request", error)
}

fn includes_usage(options: Option<StreamOptions>) -> bool {
    options.unwrap_or_default().include_usage == Some(true)
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking<'a>>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Thinking<'a> {
    Asked(&'a RawValue),
    Ours(Value),
}

#[derive(Serialize)]
struct OutputConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<JsonSchema>,
}

impl OutputConfig {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}

fn translated(request: &ChatRequest, target: &str) -> Result<ChatCall, Refusal> {
    if request.n.is_some_and(|n| n != 1) {
        let message = "n: this model gives one answer to a call; ask as often as you want answers";
        return Err(Refusal::new(400, message));
    }
    let target = Claude::of(target);
    let mut conversation = Conversation::read(&request.messages)?;
    let (tools, tool_choice) = tools::tools(request, &conversation.called)?;
    let format = match format::format(request.response_format.as_ref(), target)? {
        Format::Text => None,
        Format::Schema(schema) => Some(JsonSchema { schema }),
        Format::Words(words) => {
            conversation.system.push(Block::text(words));
            None
        }
    };
    let forced = tool_choice.as_ref().is_some_and(Choice::forces);
    let cut_off = conversation.lacks_thinking && target.wants_past_thinking();
    let limit = limit(request)?;
    let own = OwnThinking::of(request.thinking);
    let thinking = match own {
        Some(own) => claude::Thinking {
            max_tokens: limit.unwrap_or(DEFAULT_MAX_TOKENS.saturating_add(own.budget_tokens)),
            ..claude::Thinking::default()
        },
        None => target.thinking(
            request.reasoning_effort.as_deref(),
            limit,
            !forced && !cut_off,
        ),
    };
    let thinks = matches!(thinking.form, Form::Adaptive | Form::Budget(_))
        || own.is_some_and(|own| own.is_on);
    // A model that thinks is not to be steered by these.
    let sampling = target.takes_sampling() && !thinks;
    let temperature = request.temperature.filter(|_| sampling);
    let top_p = request
        .top_p
        .filter(|_| sampling && (temperature.is_none() || target.takes_both_of_sampling()));
    let streams = request.stream.unwrap_or(false);
    let body = Body {
        model: &request.model,
        max_tokens: thinking.max_tokens,
        system: conversation.system,
        messages: conversation.turns,
        tools,
        tool_choice,
        // OpenAI's goes up to 2, Anthropic's to 1.
        temperature: temperature.map(|temperature| temperature.clamp(0.0, 1.0)),
        top_p,
        // -1 stands for no limit in some clients.
        top_k: request.top_k.filter(|top_k| sampling && *top_k > 0),
        stop_sequences: request
            .stop
            .iter()
            .map(String::as_str)
            .filter(|stop| !stop.trim().is_empty())
            .collect(),
        thinking: match (request.thinking, thinking.form) {
            (Some(asked), _) => Some(Thinking::Asked(asked)),
            (None, Form::Unsaid) => None,
            (None, Form::Disabled) => Some(Thinking::Ours(json!({"type": "disabled"}))),
            // Newer models do not show their thinking to those who do not ask for it.
            (None, Form::Adaptive) => {
                let shown = json!({"type": "adaptive", "display": "summarized"});
                Some(Thinking::Ours(shown))
            }
            (None, Form::Budget(tokens)) => {
                let budget = json!({"type": "enabled", "budget_tokens": tokens});
                Some(Thinking::Ours(budget))
            }
        },
        output_config: OutputConfig {
            effort: thinking.effort,
            format,
        },
        metadata: user(request).map(|id| json!({"user_id": id})),
        stream: streams,
    };
    let written = serde_json::to_vec(&body)
        .map_err(|error| Refusal::new(400, format!("the request could not be written: {error}")))?;
    Ok(ChatCall {
        model: request.model.to_string(),
        streams,
        include_usage: includes_usage(request.stream_options),
        max_tokens: thinking.max_tokens,
        body: written,
    })
}

/// The caller's limit; the newer name goes before the older.
fn limit(request: &ChatRequest) -> Result<Option<u64>, Refusal> {
    let (name, limit) = match (request.max_completion_tokens, request.max_tokens) {
        (Some(limit), _) => ("max_completion_tokens", limit),
        (None, Some(limit)) => ("max_tokens", limit),
        (None, None) => return Ok(None),
    };
    match u64::try_from(limit) {
        Ok(limit) if limit > 0 => Ok(Some(limit)),
        _ => Err(Refusal::new(
            400,
            format!("{name}: it has to be at least 1"),
        )),
    }
}

/// Anthropic's own `thinking`, as far as other parameters depend on it.
#[derive(Clone, Copy)]
struct OwnThinking {
    is_on: bool,
    budget_tokens: u64,
}

impl OwnThinking {
    fn of(asked: Option<&RawValue>) -> Option<Self> {
        let value: Value = json::read(asked?.get()).unwrap_or_default();
        let budget = value.get("budget_tokens").and_then(Value::as_u64);
        Some(Self {
            is_on: value.get("type").and_then(Value::as_str) != Some("disabled"),
            budget_tokens: budget.unwrap_or(0),
        })
    }
}

/// An id of the caller's user that Anthropic takes: it refuses what looks like an address or a
/// number to call, which it is not to learn anyway.
fn user(request: &ChatRequest) -> Option<String> {
    let id = request
        .user
        .as_ref()
        .or(request.safety_identifier.as_ref())?;
    if id.trim().is_empty() {
        return None;
    }
    let opaque = id.len() <= LONGEST_USER
        && !id.contains('@')
        && id.bytes().any(|byte| byte.is_ascii_alphabetic());
    if opaque {
        return Some(id.clone());
    }
    let digest = Sha256::digest(id);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
