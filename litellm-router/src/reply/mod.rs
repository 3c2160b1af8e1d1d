//! The answer in the form that the caller asked for, as events or whole.
//!
//! Whoever produces content (a translated provider, the demo, a mock) says what comes through the
//! [`Sink`] trait; what that looks like on the wire is decided by its four implementations alone.
//! Two speak Anthropic's dialect and are here. [`EventStream`] keeps the order that clients rely on:
//! one `message_start` before anything, blocks numbered from 0 without gaps that never overlap, each
//! opened when its first content is there and closed once, one `message_delta` and one
//! `message_stop` at the end, and nothing after it
//! (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>). The two that speak OpenAI's
//! are in [`crate::chat::reply`].

mod events;
mod message;

use std::borrow::Cow;

use serde::Serialize;

use crate::answer::{Answer, Body};
use crate::api::Api;
use crate::chat::reply::{ChatEvents, ChatForm, ChatWhole};
use crate::error::Refusal;

pub use events::EventStream;
pub use message::Message;

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    EndTurn,
    MaxTokens,
    /// See [`Sink::stopped_at`].
    StopSequence,
    ToolUse,
    Refusal,
}

/// Tokens used, in Anthropic's terms: `input_tokens` counts those that came from no cache. All four
/// are always on the wire, because clients do sums with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub cache_creation_input_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub output_tokens: u64,
}

impl Usage {
    /// This and `other` together.
    pub fn add(&mut self, other: &Self) {
        let sum = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        sum(&mut self.input_tokens, other.input_tokens);
        sum(&mut self.output_tokens, other.output_tokens);
        sum(
            &mut self.cache_read_input_tokens,
            other.cache_read_input_tokens,
        );
        sum(
            &mut self.cache_creation_input_tokens,
            other.cache_creation_input_tokens,
        );
    }
}

/// What an answer is called: its id and the model's name as the caller wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub id: String,
    pub model: String,
}

impl Identity {
    /// The id of the call, which has the same digits as that of its answer.
    pub fn request_id(&self) -> Option<String> {
        let prefixes = ["msg_", "chatcmpl-"];
        let digits = prefixes
            .iter()
            .find_map(|prefix| self.id.strip_prefix(prefix))?;
        Some(format!("req_{digits}"))
    }
}

/// Takes an answer in the order in which it is produced.
pub trait Sink {
    /// More visible text.
    fn text(&mut self, delta: &str);
    /// More of the model's thinking.
    fn thinking(&mut self, delta: &str);
    /// The mark at the end of a stretch of thinking.
    fn signature(&mut self, signature: &str);
    /// Thinking that only Anthropic can read.
    fn redacted_thinking(&mut self, data: &str);
    /// A tool call begins. Its input follows until anything else comes.
    fn tool_call(&mut self, id: &str, name: &str);
    /// More of the JSON text of the current call's input.
    fn tool_input(&mut self, json: &str);
    /// The sequence of the caller's that the model is about to stop for. Chat completions do not tell it.
    fn stopped_at(&mut self, _sequence: &str) {}
    /// The model has stopped.
    fn finish(&mut self, reason: StopReason, usage: Usage);
    /// The answer ends here without having been finished.
    fn fail(&mut self, refusal: &Refusal);
}

/// The form in which the caller asked for its answer: by which API, as events or whole.
#[derive(Debug)]
pub enum Reply {
    Events(EventStream),
    Whole(Message),
    ChatEvents(ChatEvents),
    ChatWhole(ChatWhole),
}

impl Reply {
    /// A reply to a call of `/v1/messages`.
    pub fn new(identity: Identity, streams: bool, input_estimate: u64) -> Self {
        if streams {
            Self::Events(EventStream::new(identity, input_estimate))
        } else {
            Self::Whole(Message::new(identity))
        }
    }

    /// A reply to a call of `/v1/chat/completions`.
    pub fn chat(identity: Identity, form: ChatForm) -> Self {
        if form.streams {
            Self::ChatEvents(ChatEvents::new(identity, form))
        } else {
            Self::ChatWhole(ChatWhole::new(identity, form.created))
        }
    }

    /// The dialect in which the caller reads its answer.
    pub fn api(&self) -> Api {
        match self {
            Self::Events(_) | Self::Whole(_) => Api::Messages,
            Self::ChatEvents(_) | Self::ChatWhole(_) => Api::Chat,
        }
    }

    /// Whether the caller gets its answer as events.
    pub fn streams(&self) -> bool {
        matches!(self, Self::Events(_) | Self::ChatEvents(_))
    }

    /// Takes what can be sent now; nothing for a caller that wants its answer whole.
    pub fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Events(events) => events.take(),
            Self::ChatEvents(events) => events.take(),
            Self::Whole(_) | Self::ChatWhole(_) => Vec::new(),
        }
    }

    /// Whether anything has been said that cannot be taken back.
    pub fn started(&self) -> bool {
        match self {
            Self::Events(events) => events.started(),
            Self::ChatEvents(events) => events.started(),
            Self::Whole(_) | Self::ChatWhole(_) => false,
        }
    }

    /// The HTTP answer of a reply that is over and of which nothing has been sent.
    ///
    /// # Errors
    /// The error that it ended in.
    pub fn answer(&mut self) -> Result<Answer, Refusal> {
        match self {
            Self::Events(_) | Self::ChatEvents(_) => Ok(Answer::events(Body::Whole(self.take()))),
            Self::Whole(message) => message.answer(),
            Self::ChatWhole(completion) => completion.answer(),
        }
    }

    fn sink(&mut self) -> &mut dyn Sink {
        match self {
            Self::Events(events) => events,
            Self::Whole(message) => message,
            Self::ChatEvents(events) => events,
            Self::ChatWhole(completion) => completion,
        }
    }
}

impl Sink for Reply {
    fn text(&mut self, delta: &str) {
        self.sink().text(delta);
    }
    fn thinking(&mut self, delta: &str) {
        self.sink().thinking(delta);
    }
    fn signature(&mut self, signature: &str) {
        self.sink().signature(signature);
    }
    fn redacted_thinking(&mut self, data: &str) {
        self.sink().redacted_thinking(data);
    }
    fn tool_call(&mut self, id: &str, name: &str) {
        self.sink().tool_call(id, name);
    }
    fn tool_input(&mut self, json: &str) {
        self.sink().tool_input(json);
    }
    fn stopped_at(&mut self, sequence: &str) {
        self.sink().stopped_at(sequence);
    }
    fn finish(&mut self, reason: StopReason, usage: Usage) {
        self.sink().finish(reason, usage);
    }
    fn fail(&mut self, refusal: &Refusal) {
        self.sink().fail(refusal);
    }
}

/// An id of `prefix` and 24 letters that look like Anthropic's own, from 128 random bits.
pub fn id_from(prefix: &str, entropy: u128) -> String {
    format!("{prefix}{}", hex(entropy, 24))
}

fn hex(entropy: u128, digits: usize) -> Cow<'static, str> {
    let all = format!("{entropy:032x}");
    Cow::Owned(all.chars().take(digits).collect())
}

#[cfg(test)]
mod tests;
