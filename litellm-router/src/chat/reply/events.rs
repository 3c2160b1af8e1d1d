//! The answer as chunks.

use serde::Serialize;
use serde_json::Value;

use super::{ChatForm, ThinkingBlock, arguments, finish_reason, usage_json};
use crate::api::Api;
use crate::error::Refusal;
use crate::reply::{Identity, Sink, StopReason, Usage};

/// The most thinking of one block that is kept for `thinking_blocks`, in bytes.
const LONGEST_THOUGHT: usize = 1024 * 1024;

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// `Some(None)` is written as null: with `include_usage` every chunk has the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Value>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Default)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_blocks: Option<[ThinkingBlock<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallPiece<'a>; 1]>,
}

#[derive(Serialize)]
struct CallPiece<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// A [`Sink`] that writes chunks as server-sent events.
#[derive(Debug)]
pub struct ChatEvents {
    identity: Identity,
    form: ChatForm,
    out: Vec<u8>,
    /// Whether anything but an error has been written, be it only a comment.
    started: bool,
    /// Whether the first chunk, which names the role, has been written.
    has_role: bool,
    ended: bool,
    /// Calls that have begun.
    calls: usize,
    /// The last call is open, and whether it has had any input.
    open_call: Option<bool>,
    /// The current block of thinking, `None` once it has become too long to be kept.
    thought: Option<String>,
}

impl ChatEvents {
    /// A stream that has not said anything yet.
    pub fn new(identity: Identity, form: ChatForm) -> Self {
        Self {
            identity,
            form,
            out: Vec::new(),
            started: false,
            has_role: false,
            ended: false,
            calls: 0,
            open_call: None,
            thought: Some(String::new()),
        }
    }

    /// Takes what has been written since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Whether anything has been said that cannot be taken back.
    pub fn started(&self) -> bool {
        self.started
    }

    fn data(&mut self, value: &impl Serialize) {
        self.out.extend_from_slice(b"data: ");
        // Writing to memory cannot fail, and the values are this module's own.
        let _ = serde_json::to_writer(&mut self.out, value);
        self.out.extend_from_slice(b"\n\n");
    }

    fn chunk(&mut self, choices: &[Choice], usage: Option<Value>) {
        self.started = true;
        // Set aside while the chunk borrows it.
        let identity = std::mem::take(&mut self.identity);
        let chunk = Chunk {
            id: &identity.id,
            object: "chat.completion.chunk",
            created: self.form.created,
            model: &identity.model,
            choices,
            usage: self.form.include_usage.then_some(usage),
        };
        self.data(&chunk);
        self.identity = identity;
    }

    fn choice(&mut self, delta: Delta, finish_reason: Option<&'static str>) {
        if !std::mem::replace(&mut self.has_role, true) {
            self.choice(
                Delta {
                    role: Some("assistant"),
                    content: Some(""),
                    ..Delta::default()
                },
                None,
            );
        }
        let choice = Choice {
            index: 0,
            delta,
            finish_reason,
        };
        self.chunk(&[choice], None);
    }

    fn input(&mut self, arguments: &str) {
        let piece = CallPiece {
            index: self.calls.saturating_sub(1),
            id: None,
            kind: None,
            function: Function {
                name: None,
                arguments,
            },
        };
        let delta = Delta {
            tool_calls: Some([piece]),
            ..Delta::default()
        };
        self.choice(delta, None);
    }

    fn close_call(&mut self) {
        if self.open_call.take() == Some(false) {
            self.input(arguments(""));
        }
    }

    fn thinking_block(&mut self, block: ThinkingBlock) {
        let delta = Delta {
            thinking_blocks: Some([block]),
            ..Delta::default()
        };
        self.choice(delta, None);
    }
}

impl Sink for ChatEvents {
    fn text(&mut self, delta: &str) {
        if self.ended || delta.is_empty() {
            return;
        }
        self.close_call();
        let delta = Delta {
            content: Some(delta),
            ..Delta::default()
        };
        self.choice(delta, None);
    }

    fn thinking(&mut self, delta: &str) {
        if self.ended || delta.is_empty() {
            return;
        }
        self.close_call();
        self.thought = self
            .thought
            .take()
            .filter(|thought| thought.len() + delta.len() <= LONGEST_THOUGHT)
            .map(|thought| thought + delta);
        let delta = Delta {
            reasoning_content: Some(delta),
            ..Delta::default()
        };
        self.choice(delta, None);
    }

    fn signature(&mut self, signature: &str) {
        let thought = self.thought.replace(String::new());
        // Under half of what it signs, a signature is worth nothing.
        if let (false, Some(thought)) = (self.ended, thought) {
            self.thinking_block(ThinkingBlock::Thinking {
                thinking: thought.into(),
                signature: signature.into(),
            });
        }
    }

    fn redacted_thinking(&mut self, data: &str) {
        if !self.ended {
            self.close_call();
            self.thinking_block(ThinkingBlock::RedactedThinking { data: data.into() });
        }
    }

    fn tool_call(&mut self, id: &str, name: &str) {
        if self.ended {
            return;
        }
        self.close_call();
        let piece = CallPiece {
            index: self.calls,
            id: Some(id),
            kind: Some("function"),
            function: Function {
                name: Some(name),
                arguments: "",
            },
        };
        self.calls += 1;
        self.open_call = Some(false);
        let delta = Delta {
            tool_calls: Some([piece]),
            ..Delta::default()
        };
        self.choice(delta, None);
    }

    fn tool_input(&mut self, json: &str) {
        if !self.ended && self.open_call.is_some() && !json.is_empty() {
            self.open_call = Some(true);
            self.input(json);
        }
    }

    fn finish(&mut self, reason: StopReason, usage: Usage) {
        if self.ended {
            return;
        }
        self.close_call();
        self.choice(Delta::default(), Some(finish_reason(reason)));
        if self.form.include_usage {
            self.chunk(&[], Some(usage_json(usage)));
        }
        self.ended = true;
        self.out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// Without `[DONE]`: a client must not take the answer for a whole one.
    fn fail(&mut self, refusal: &Refusal) {
        if !std::mem::replace(&mut self.ended, true) {
            self.data(&refusal.body_for(Api::Chat));
        }
    }
}
