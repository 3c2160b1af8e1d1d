//! What a chat provider may say, whole or in pieces, as content of a [`Reply`].
//!
//! Everything is read with tolerance: a field that is missing, null or of another type than expected
//! is as if it were not there, because each provider leaves out others.

use std::borrow::Cow;

use serde_json::Value;

use super::asked::Asked;
use super::tool_calls::{Piece, ToolCalls};
use crate::count;
use crate::error::{self, KeyOwner, Refusal};
use crate::reply::{Identity, Reply, Sink, StopReason, Usage};

/// Marks thinking that comes from here, so that it can be told from what Anthropic has signed.
pub const SIGNATURE: &str = "litellm-router-unsigned";
/// The most text that waits behind an unfinished tool call.
const MOST_LATE_TEXT: usize = 1024 * 1024;

/// What has to be known of the call to translate its answer.
#[derive(Debug)]
pub struct Terms {
    pub identity: Identity,
    pub streams: bool,
    pub asked: Asked,
    pub provider: &'static str,
    pub key_owner: KeyOwner,
    pub wants_thinking: bool,
    pub input_estimate: u64,
}

/// An answer that is being translated.
#[derive(Debug)]
pub struct Completion {
    reply: Reply,
    asked: Asked,
    provider: &'static str,
    key_owner: KeyOwner,
    wants_thinking: bool,
    calls: ToolCalls,
    thinking: bool,
    late_text: String,
    reason: Option<StopReason>,
    usage: Option<Usage>,
    /// Used where the provider never tells.
    estimate: Usage,
    failed: Option<Refusal>,
}

impl Completion {
    /// An answer that has not begun.
    pub fn new(terms: Terms) -> Self {
        let own_id = terms.identity.id.replace("msg_", "toolu_");
        Self {
            reply: Reply::new(terms.identity, terms.streams, terms.input_estimate),
            asked: terms.asked,
            provider: terms.provider,
            key_owner: terms.key_owner,
            wants_thinking: terms.wants_thinking,
            calls: ToolCalls::new(own_id),
            thinking: false,
            late_text: String::new(),
            reason: None,
            usage: None,
            estimate: Usage {
                input_tokens: terms.input_estimate,
                ..Usage::default()
            },
            failed: None,
        }
    }

    /// What has been written so far.
    pub fn reply(&mut self) -> &mut Reply {
        &mut self.reply
    }

    /// The error that the answer ended in.
    pub fn failed(&self) -> Option<&Refusal> {
        self.failed.as_ref()
    }

    /// Whether the provider has said why the model stopped.
    pub fn has_reason(&self) -> bool {
        self.reason.is_some()
    }

    /// Takes a whole response or one chunk of a stream; `part` names where a choice keeps its
    /// content: `message` or `delta`.
    pub fn take(&mut self, value: &Value, part: &str) {
        if self.failed.is_some() {
            return;
        }
        if let Some(refusal) = self.error_in(value) {
            self.fail(refusal);
            return;
        }
        if let Some(usage) = usage_in(value) {
            self.usage = Some(usage);
        }
        let Some(choice) = value.pointer("/choices/0") else {
            return;
        };
        // The last chunk may hold content as well, so content comes before the reason.
        if let Some(content) = choice.get(part)
            && let Err(refusal) = self.content(content)
        {
            self.fail(refusal);
            return;
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            if reason == "error" {
                let message = format!("{} ended the answer with an error", self.provider);
                self.fail(Refusal::new(502, message));
                return;
            }
            self.reason.get_or_insert(stop_reason(reason));
        }
    }

    /// An error inside a response that said 200.
    fn error_in(&self, value: &Value) -> Option<Refusal> {
        let error = match value.get("error") {
            Some(Value::Null) | None => {
                let is_error = value.get("object").and_then(Value::as_str) == Some("error");
                is_error.then_some(value)?
            }
            Some(error) => error,
        };
        let status = error::status_in(error);
        let body = value.to_string();
        Some(error::from_provider(
            self.provider,
            status,
            body.as_bytes(),
            self.key_owner,
            Vec::new(),
        ))
    }

    fn content(&mut self, content: &Value) -> Result<(), Refusal> {
        let reasoning = ["reasoning_content", "reasoning"]
            .iter()
            .find_map(|key| content.get(key).and_then(Value::as_str))
            .unwrap_or_default();
        if self.wants_thinking && !reasoning.is_empty() && !self.calls.any() {
            self.estimate.output_tokens += count::of_text(reasoning);
            self.thinking = true;
            self.reply.thinking(reasoning);
        }
        for key in ["content", "refusal"] {
            let text = content.get(key).map(text_of).unwrap_or_default();
            if !text.is_empty() {
                self.text(&text)?;
            }
        }
        let calls = content.get("tool_calls").and_then(Value::as_array);
        for call in calls.into_iter().flatten() {
            self.call(call, call.get("function").unwrap_or(&Value::Null))?;
        }
        if let Some(function) = content.get("function_call").filter(|call| call.is_object()) {
            self.call(&Value::Null, function)?;
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Refusal> {
        self.estimate.output_tokens += count::of_text(text);
        self.end_thinking();
        if self.calls.is_open() {
            if self.late_text.len() + text.len() > MOST_LATE_TEXT {
                return Err(Refusal::new(
                    502,
                    "the provider mixed text into a tool call",
                ));
            }
            self.late_text.push_str(text);
            return Ok(());
        }
        self.calls
            .flush(false, &self.asked.tools, &mut self.reply)?;
        self.reply.text(text);
        Ok(())
    }

    fn call(&mut self, call: &Value, function: &Value) -> Result<(), Refusal> {
        let arguments = match function.get("arguments") {
            Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
            Some(object @ Value::Object(_)) => Cow::Owned(object.to_string()),
            _ => Cow::Borrowed(""),
        };
        let string = |value: &Value, key: &str| {
            let found = value.get(key).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        self.estimate.output_tokens += count::of_text(&arguments);
        self.end_thinking();
        let piece = Piece {
            index: call.get("index").and_then(Value::as_i64),
            id: &string(call, "id"),
            name: &string(function, "name"),
            arguments: &arguments,
        };
        self.calls.push(piece, &self.asked.tools, &mut self.reply)
    }

    fn end_thinking(&mut self) {
        if std::mem::take(&mut self.thinking) {
            self.reply.signature(SIGNATURE);
        }
    }

    /// The provider has ended its answer well.
    pub fn finish(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let reason = self.reason.unwrap_or(StopReason::EndTurn);
        self.end_thinking();
        let cut = reason == StopReason::MaxTokens;
        if let Err(refusal) = self.calls.flush(cut, &self.asked.tools, &mut self.reply) {
            self.fail(refusal);
            return;
        }
        let late = std::mem::take(&mut self.late_text);
        self.reply.text(&late);
        // Some providers say "stop" after a tool call; the client would not run it.
        let reason = match reason {
            StopReason::EndTurn if self.calls.any() => StopReason::ToolUse,
            StopReason::ToolUse if !self.calls.any() => StopReason::EndTurn,
            reason => reason,
        };
        self.reply
            .finish(reason, self.usage.unwrap_or(self.estimate));
    }

    /// The answer ends here, unfinished.
    pub fn fail(&mut self, refusal: Refusal) {
        self.reply.fail(&refusal);
        self.failed.get_or_insert(refusal);
    }
}

fn stop_reason(finish: &str) -> StopReason {
    match finish {
        "length" => StopReason::MaxTokens,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "content_filter" => StopReason::Refusal,
        _ => StopReason::EndTurn,
    }
}

/// Content as text: a string, or a list of parts of which some have text.
fn text_of(content: &Value) -> Cow<'_, str> {
    match content {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect::<String>()
            .into(),
        _ => Cow::Borrowed(""),
    }
}

/// Usage in Anthropic's terms: what came from a cache or went into one does not count as input.
fn usage_in(value: &Value) -> Option<Usage> {
    let usage = [value.get("usage"), value.pointer("/x_groq/usage")]
        .into_iter()
        .flatten()
        .find(|usage| usage.is_object())?;
    let number = |pointer: &str| usage.pointer(pointer).and_then(whole_number);
    let cached = number("/prompt_tokens_details/cached_tokens")
        .or_else(|| number("/prompt_cache_hit_tokens"))
        .unwrap_or(0);
    let written = number("/prompt_tokens_details/cache_write_tokens").unwrap_or(0);
    Some(Usage {
        input_tokens: number("/prompt_tokens")
            .unwrap_or(0)
            .saturating_sub(cached)
            .saturating_sub(written),
        cache_creation_input_tokens: written,
        cache_read_input_tokens: cached,
        output_tokens: number("/completion_tokens").unwrap_or(0),
    })
}

/// A count that may come as `12`, `12.0` or nonsense.
fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        (0.0..1e15).contains(&number).then_some(number as u64)
    })
}
