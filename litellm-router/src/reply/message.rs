//! Anthropic's whole message.

use serde_json::{Value, json};

use super::{Identity, Sink, StopReason, Usage};
use crate::answer::Answer;
use crate::error::Refusal;
use crate::json;

#[derive(Debug, PartialEq)]
enum Block {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    Redacted(String),
    Tool {
        id: String,
        name: String,
        input: String,
    },
}

/// A [`Sink`] that gathers one whole message.
#[derive(Debug)]
pub struct Message {
    identity: Identity,
    blocks: Vec<Block>,
    stopped_at: Option<String>,
    end: Option<Result<(StopReason, Usage), Refusal>>,
}

impl Message {
    /// A message without content.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            blocks: Vec::new(),
            stopped_at: None,
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
        let mut content = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            match block_json(block, reason) {
                Ok(block) => content.push(block),
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(Answer::json(
            200,
            &json!({
                "id": self.identity.id,
                "type": "message",
                "role": "assistant",
                "model": self.identity.model,
                "content": content,
                "stop_reason": reason,
                "stop_sequence": self.stopped_at,
                "usage": usage,
            }),
        ))
    }
}

fn block_json(block: &Block, reason: StopReason) -> Result<Value, Refusal> {
    Ok(match block {
        Block::Text(text) => json!({"type": "text", "text": text}),
        Block::Thinking { text, signature } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Block::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
        Block::Tool { id, name, input } => {
            let input: Value = match input.trim() {
                "" => json!({}),
                text => match json::read(text) {
                    Ok(input) => input,
                    // The limit cut the call; the stop reason tells the client not to run it.
                    Err(_) if reason == StopReason::MaxTokens => json!({}),
                    Err(error) => {
                        let message =
                            format!("the model called {name} with input that is not JSON: {error}");
                        return Err(Refusal::new(502, message));
                    }
                },
            };
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        }
    })
}

impl Sink for Message {
    fn text(&mut self, delta: &str) {
        if self.end.is_some() || delta.is_empty() {
            return;
        }
        match self.blocks.last_mut() {
            Some(Block::Text(text)) => text.push_str(delta),
            _ => self.blocks.push(Block::Text(delta.to_owned())),
        }
    }

    fn thinking(&mut self, delta: &str) {
        if self.end.is_some() || delta.is_empty() {
            return;
        }
        match self.blocks.last_mut() {
            Some(Block::Thinking { text, signature }) if signature.is_empty() => {
                text.push_str(delta);
            }
            _ => self.blocks.push(Block::Thinking {
                text: delta.to_owned(),
                signature: String::new(),
            }),
        }
    }

    fn signature(&mut self, mark: &str) {
        if let (None, Some(Block::Thinking { signature, .. })) = (&self.end, self.blocks.last_mut())
        {
            mark.clone_into(signature);
        }
    }

    fn redacted_thinking(&mut self, data: &str) {
        if self.end.is_none() {
            self.blocks.push(Block::Redacted(data.to_owned()));
        }
    }

    fn tool_call(&mut self, id: &str, name: &str) {
        if self.end.is_none() {
            self.blocks.push(Block::Tool {
                id: id.to_owned(),
                name: name.to_owned(),
                input: String::new(),
            });
        }
    }

    fn tool_input(&mut self, json: &str) {
        if let (None, Some(Block::Tool { input, .. })) = (&self.end, self.blocks.last_mut()) {
            input.push_str(json);
        }
    }

    fn stopped_at(&mut self, sequence: &str) {
        self.stopped_at = Some(sequence.to_owned());
    }

    fn finish(&mut self, reason: StopReason, usage: Usage) {
        self.end.get_or_insert(Ok((reason, usage)));
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.end.get_or_insert_with(|| Err(refusal.clone()));
    }
}
