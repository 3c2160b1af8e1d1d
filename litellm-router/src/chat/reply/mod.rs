//! An answer as chat completions clients read it, as chunks or whole
//! (<https://platform.openai.com/docs/api-reference/chat/object>).
//!
//! Thinking goes into `reasoning_content`, the field that DeepSeek began and most clients show.
//! OpenAI's form has no place for its signature, without which Anthropic does not take it back, so
//! whole blocks come beside it in `thinking_blocks`, where users of LiteLLM look for them; a client
//! that sends them back in its assistant message lets the model think on.

mod events;
mod whole;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::request::Head;
use crate::reply::{StopReason, Usage};

pub use events::ChatEvents;
pub use whole::ChatWhole;

/// The form in which a chat client asked for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatForm {
    pub streams: bool,
    /// Whether the last chunk is to hold the usage (`stream_options.include_usage`).
    pub include_usage: bool,
    /// When the answer was begun, in seconds since 1970.
    pub created: u64,
}

impl ChatForm {
    /// The form that a call asks for. `created` is its time, in seconds since 1970.
    pub fn of(head: &Head, created: u64) -> Self {
        Self {
            streams: head.streams,
            include_usage: head.include_usage,
            created,
        }
    }
}

fn finish_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence => "stop",
        StopReason::MaxTokens => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::Refusal => "content_filter",
    }
}

/// Usage in OpenAI's terms, where tokens from a cache and into one count as input.
fn usage_json(usage: Usage) -> Value {
    let prompt = usage
        .input_tokens
        .saturating_add(usage.cache_read_input_tokens)
        .saturating_add(usage.cache_creation_input_tokens);
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt.saturating_add(usage.output_tokens),
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_input_tokens,
            "cache_write_tokens": usage.cache_creation_input_tokens,
        },
    })
}

/// Arguments as JSON text: a call without any has an empty object, because clients parse them.
fn arguments(input: &str) -> &str {
    if input.trim().is_empty() { "{}" } else { input }
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ThinkingBlock<'a> {
    Thinking {
        thinking: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
}

#[cfg(test)]
mod tests;
