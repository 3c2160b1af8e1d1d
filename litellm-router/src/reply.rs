//! The answer in Anthropic's form, as events or as one message.
//!
//! Whoever produces content (a translated provider, the demo, a mock) says what comes through the
//! [`Sink`] trait; what that looks like on the wire is decided here alone. [`EventStream`] keeps the
//! order that clients rely on: one `message_start` before anything, blocks numbered from 0 without
//! gaps that never overlap, each opened when its first content is there and closed once, one
//! `message_delta` and one `message_stop` at the end, and nothing after it
//! (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>).

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::error::Refusal;

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    EndTurn,
    MaxTokens,
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

/// What an answer is called: its id and the model's name as the caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub id: String,
    pub model: String,
}

/// Takes an answer in the order in which it is produced.
pub trait Sink {
    /// More visible text.
    fn text(&mut self, delta: &str);
    /// More of the model's thinking.
    fn thinking(&mut self, delta: &str);
    /// The mark at the end of a stretch of thinking.
    fn signature(&mut self, signature: &str);
    /// A tool call begins. Its input follows until anything else comes.
    fn tool_call(&mut self, id: &str, name: &str);
    /// More of the JSON text of the current call's input.
    fn tool_input(&mut self, json: &str);
    /// The model has stopped.
    fn finish(&mut self, reason: StopReason, usage: Usage);
    /// The answer ends here without having been finished.
    fn fail(&mut self, refusal: &Refusal);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Thinking,
    Tool,
}

/// A [`Sink`] that writes server-sent events.
#[derive(Debug)]
pub struct EventStream {
    identity: Identity,
    /// What `message_start` says; replaced by the true count at the end.
    input_estimate: u64,
    out: Vec<u8>,
    started: bool,
    ended: bool,
    open: Open,
    index: usize,
}

impl EventStream {
    /// A stream that has not said anything yet.
    pub fn new(identity: Identity, input_estimate: u64) -> Self {
        Self {
            identity,
            input_estimate,
            out: Vec::new(),
            started: false,
            ended: false,
            open: Open::Nothing,
            index: 0,
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

    /// Whether the stream is over, well or not.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// A sign of life. Claude Code counts data, not comments, and gives up after some 20 s without.
    pub fn ping(&mut self) {
        if !self.ended {
            self.start();
            self.event("ping", &json!({"type": "ping"}));
        }
    }

    fn event(&mut self, name: &str, data: &impl Serialize) {
        self.out.extend_from_slice(b"event: ");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\ndata: ");
        // Writing to memory cannot fail, and the values are this module's own.
        let _ = serde_json::to_writer(&mut self.out, data);
        self.out.extend_from_slice(b"\n\n");
    }

    fn start(&mut self) {
        if self.started {
            return;
        }
        self.started = true;
        let usage = Usage {
            input_tokens: self.input_estimate,
            ..Usage::default()
        };
        let start = MessageStart {
            kind: "message_start",
            message: MessageHead {
                id: &self.identity.id,
                kind: "message",
                role: "assistant",
                model: &self.identity.model,
                content: [],
                stop_reason: None,
                stop_sequence: None,
                usage,
            },
        };
        // Serialised apart, because `start` borrows from `self`.
        let bytes = serde_json::to_vec(&start).unwrap_or_default();
        self.out.extend_from_slice(b"event: message_start\ndata: ");
        self.out.extend_from_slice(&bytes);
        self.out.extend_from_slice(b"\n\n");
    }

    fn close(&mut self) {
        if self.open == Open::Nothing {
            return;
        }
        self.open = Open::Nothing;
        let stop = json!({"type": "content_block_stop", "index": self.index});
        self.event("content_block_stop", &stop);
        self.index += 1;
    }

    fn open(&mut self, what: Open, block: &impl Serialize) {
        self.start();
        self.close();
        self.open = what;
        let start = BlockStart {
            kind: "content_block_start",
            index: self.index,
            content_block: block,
        };
        self.event("content_block_start", &start);
    }

    fn delta(&mut self, delta: Delta) {
        let event = BlockDelta {
            kind: "content_block_delta",
            index: self.index,
            delta,
        };
        self.event("content_block_delta", &event);
    }
}

impl Sink for EventStream {
    fn text(&mut self, delta: &str) {
        if self.ended || delta.is_empty() {
            return;
        }
        if self.open != Open::Text {
            self.open(Open::Text, &json!({"type": "text", "text": ""}));
        }
        self.delta(Delta::Text { text: delta });
    }

    fn thinking(&mut self, delta: &str) {
        if self.ended || delta.is_empty() {
            return;
        }
        if self.open != Open::Thinking {
            let block = json!({"type": "thinking", "thinking": "", "signature": ""});
            self.open(Open::Thinking, &block);
        }
        self.delta(Delta::Thinking { thinking: delta });
    }

    fn signature(&mut self, signature: &str) {
        if !self.ended && self.open == Open::Thinking {
            self.delta(Delta::Signature { signature });
            self.close();
        }
    }

    fn tool_call(&mut self, id: &str, name: &str) {
        if self.ended {
            return;
        }
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        self.open(Open::Tool, &block);
    }

    fn tool_input(&mut self, json: &str) {
        if !self.ended && self.open == Open::Tool && !json.is_empty() {
            self.delta(Delta::InputJson { partial_json: json });
        }
    }

    fn finish(&mut self, reason: StopReason, usage: Usage) {
        if self.ended {
            return;
        }
        self.start();
        self.close();
        self.ended = true;
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": usage,
        });
        self.event("message_delta", &delta);
        self.event("message_stop", &json!({"type": "message_stop"}));
    }

    fn fail(&mut self, refusal: &Refusal) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.event("error", &refusal.body());
    }
}

#[derive(Serialize)]
struct MessageStart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: MessageHead<'a>,
}

#[derive(Serialize)]
struct MessageHead<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: Option<()>,
    stop_sequence: Option<()>,
    usage: Usage,
}

#[derive(Serialize)]
struct BlockStart<'a, B> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: usize,
    content_block: &'a B,
}

#[derive(Serialize)]
struct BlockDelta<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: usize,
    delta: Delta<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Debug, PartialEq)]
enum Block {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
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
    end: Option<Result<(StopReason, Usage), Refusal>>,
}

impl Message {
    /// A message without content.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            blocks: Vec::new(),
            end: None,
        }
    }

    /// The answer: the message, or the error that it ended in.
    pub fn answer(&self) -> Answer {
        let (reason, usage) = match &self.end {
            Some(Ok(end)) => *end,
            Some(Err(refusal)) => return refusal.answer(),
            None => return Refusal::new(502, "the answer was cut before its end").answer(),
        };
        let mut content = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            match block_json(block) {
                Ok(block) => content.push(block),
                Err(refusal) => return refusal.answer(),
            }
        }
        Answer::json(
            200,
            &json!({
                "id": self.identity.id,
                "type": "message",
                "role": "assistant",
                "model": self.identity.model,
                "content": content,
                "stop_reason": reason,
                "stop_sequence": null,
                "usage": usage,
            }),
        )
    }
}

fn block_json(block: &Block) -> Result<Value, Refusal> {
    Ok(match block {
        Block::Text(text) => json!({"type": "text", "text": text}),
        Block::Thinking { text, signature } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Block::Tool { id, name, input } => {
            let input: Value = match input.trim() {
                "" => json!({}),
                text => serde_json::from_str(text).map_err(|error| {
                    Refusal::new(
                        502,
                        format!("the model called {name} with input that is not JSON: {error}"),
                    )
                })?,
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

    fn finish(&mut self, reason: StopReason, usage: Usage) {
        self.end.get_or_insert(Ok((reason, usage)));
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.end.get_or_insert_with(|| Err(refusal.clone()));
    }
}

/// The form in which the caller asked for its answer.
#[derive(Debug)]
pub enum Reply {
    Events(EventStream),
    Whole(Message),
}

impl Reply {
    /// A reply in the form that the request asks for.
    pub fn new(identity: Identity, streams: bool, input_estimate: u64) -> Self {
        if streams {
            Self::Events(EventStream::new(identity, input_estimate))
        } else {
            Self::Whole(Message::new(identity))
        }
    }

    fn sink(&mut self) -> &mut dyn Sink {
        match self {
            Self::Events(events) => events,
            Self::Whole(message) => message,
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
    fn tool_call(&mut self, id: &str, name: &str) {
        self.sink().tool_call(id, name);
    }
    fn tool_input(&mut self, json: &str) {
        self.sink().tool_input(json);
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
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            id: "msg_1".into(),
            model: "m".into(),
        }
    }

    fn events() -> EventStream {
        EventStream::new(identity(), 3)
    }

    fn written(mut events: EventStream) -> String {
        String::from_utf8(events.take()).unwrap()
    }

    #[test]
    fn s01_s02_s03_blocks_open_lazily_and_never_overlap() {
        let mut stream = events();
        stream.text("");
        stream.thinking("hm");
        stream.text("Hi");
        stream.tool_call("toolu_1", "Bash");
        stream.tool_input("{}");
        stream.finish(StopReason::ToolUse, Usage::default());
        insta::assert_snapshot!(written(stream), @r#"
        event: message_start
        data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

        event: content_block_start
        data: {"type":"content_block_start","index":0,"content_block":{"signature":"","thinking":"","type":"thinking"}}

        event: content_block_delta
        data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

        event: content_block_stop
        data: {"index":0,"type":"content_block_stop"}

        event: content_block_start
        data: {"type":"content_block_start","index":1,"content_block":{"text":"","type":"text"}}

        event: content_block_delta
        data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}

        event: content_block_stop
        data: {"index":1,"type":"content_block_stop"}

        event: content_block_start
        data: {"type":"content_block_start","index":2,"content_block":{"id":"toolu_1","input":{},"name":"Bash","type":"tool_use"}}

        event: content_block_delta
        data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}

        event: content_block_stop
        data: {"index":2,"type":"content_block_stop"}

        event: message_delta
        data: {"delta":{"stop_reason":"tool_use","stop_sequence":null},"type":"message_delta","usage":{"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"input_tokens":0,"output_tokens":0}}

        event: message_stop
        data: {"type":"message_stop"}
        "#);
    }

    #[test]
    fn s09_nothing_comes_after_the_end() {
        let mut stream = events();
        stream.text("a");
        stream.finish(StopReason::EndTurn, Usage::default());
        let _ = stream.take();
        stream.text("b");
        stream.ping();
        stream.tool_call("t", "Bash");
        stream.finish(StopReason::EndTurn, Usage::default());
        stream.fail(&Refusal::new(500, "late"));
        assert_eq!(written(stream), "");
    }

    #[test]
    fn n01_a_message_has_every_field_that_clients_read() {
        let mut message = Message::new(identity());
        message.thinking("t");
        message.signature("s");
        message.text("a");
        message.text("b");
        message.tool_call("toolu_1", "Bash");
        message.finish(StopReason::ToolUse, Usage::default());
        let answer = message.answer();
        let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
        assert_eq!(
            body,
            json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "text", "text": "ab"},
                    {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}],
                "stop_reason": "tool_use", "stop_sequence": null,
                "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0, "output_tokens": 0}})
        );
    }
}
