//! Anthropic's stream of events.

use serde::Serialize;
use serde_json::json;

use super::{Identity, Sink, StopReason, Usage};
use crate::error::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Thinking,
    Tool,
    /// A block that has all its content from the beginning.
    Whole,
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
    stopped_at: Option<String>,
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
            stopped_at: None,
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

    fn redacted_thinking(&mut self, data: &str) {
        if !self.ended {
            let block = json!({"type": "redacted_thinking", "data": data});
            self.open(Open::Whole, &block);
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

    fn stopped_at(&mut self, sequence: &str) {
        self.stopped_at = Some(sequence.to_owned());
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
            "delta": {"stop_reason": reason, "stop_sequence": self.stopped_at},
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
        let refusal = refusal.clone().of_call(self.identity.request_id());
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
