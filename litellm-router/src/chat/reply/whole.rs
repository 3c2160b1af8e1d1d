//! The answer as one object.

use serde::Serialize;
use serde_json::{Value, json};

use super::{ThinkingBlock, arguments, finish_reason, usage_json};
use crate::answer::Answer;
use crate::error::Refusal;
use crate::reply::{Identity, Sink, StopReason, Usage};

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    input: String,
}

impl Call {
    fn json(&self) -> Value {
        json!({"id": self.id, "type": "function", "function": {
            "name": self.name, "arguments": arguments(&self.input),
        }})
    }
}

#[derive(Serialize)]
struct WholeMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    thinking_blocks: &'a [ThinkingBlock<'static>],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
}

/// A [`Sink`] that gathers one whole chat completion.
#[derive(Debug)]
pub struct ChatWhole {
    identity: Identity,
    created: u64,
    text: String,
    reasoning: String,
    /// Where the current block of thinking begins in `reasoning`.
    thought: usize,
    thinking_blocks: Vec<ThinkingBlock<'static>>,
    calls: Vec<Call>,
    end: Option<Result<(StopReason, Usage), Refusal>>,
}

impl ChatWhole {
    /// A completion without content. `created` is in seconds since 1970.
    pub fn new(identity: Identity, created: u64) -> Self {
        Self {
            identity,
            created,
            text: String::new(),
            reasoning: String::new(),
            thought: 0,
            thinking_blocks: Vec::new(),
            calls: Vec::new(),
            end: None,
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// The error that it ended in.
    pub fn answer(&self) -> Result<Answer, Refusal> {
        let (reason, usage) = match &self.end {
            Some(Ok(end)) => *end,
            Some(Err(refusal)) => return Err(refusal.clone()),
            None => return Err(Refusal::new(502, "the answer was cut before its end")),
        };
        Ok(Answer::json(
            200,
            &json!({
                "id": self.identity.id,
                "object": "chat.completion",
                "created": self.created,
                "model": self.identity.model,
                "choices": [{
                    "index": 0,
                    "message": self.message(),
                    "logprobs": null,
                    "finish_reason": finish_reason(reason),
                }],
                "usage": usage_json(usage),
            }),
        ))
    }

    fn message(&self) -> WholeMessage<'_> {
        let only_calls = self.text.is_empty() && !self.calls.is_empty();
        WholeMessage {
            role: "assistant",
            content: (!only_calls).then_some(self.text.as_str()),
            refusal: None,
            reasoning_content: &self.reasoning,
            thinking_blocks: &self.thinking_blocks,
            tool_calls: self.calls.iter().map(Call::json).collect(),
        }
    }
}

impl Sink for ChatWhole {
    fn text(&mut self, delta: &str) {
        if self.end.is_none() {
            self.text.push_str(delta);
        }
    }

    fn thinking(&mut self, delta: &str) {
        if self.end.is_none() {
            self.reasoning.push_str(delta);
        }
    }

    fn signature(&mut self, signature: &str) {
        if self.end.is_none() {
            let thinking = self.reasoning.get(self.thought..).unwrap_or_default();
            self.thinking_blocks.push(ThinkingBlock::Thinking {
                thinking: thinking.to_owned().into(),
                signature: signature.to_owned().into(),
            });
            self.thought = self.reasoning.len();
        }
    }

    fn redacted_thinking(&mut self, data: &str) {
        if self.end.is_none() {
            let data = data.to_owned().into();
            self.thinking_blocks
                .push(ThinkingBlock::RedactedThinking { data });
        }
    }

    fn tool_call(&mut self, id: &str, name: &str) {
        if self.end.is_none() {
            self.calls.push(Call {
                id: id.to_owned(),
                name: name.to_owned(),
                input: String::new(),
            });
        }
    }

    fn tool_input(&mut self, json: &str) {
        if let (None, Some(call)) = (&self.end, self.calls.last_mut()) {
            call.input.push_str(json);
        }
    }

    fn finish(&mut self, reason: StopReason, usage: Usage) {
        self.end.get_or_insert(Ok((reason, usage)));
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.end.get_or_insert_with(|| Err(refusal.clone()));
    }
}
