//! An answer as chat completions clients read it, as chunks or whole
//! (<https://platform.openai.com/docs/api-reference/chat/object>).
//!
//! Thinking goes into `reasoning_content`, the field that DeepSeek began and most clients show.
//! OpenAI's form has no place for its signature, without which Anthropic does not take it back, so
//! whole blocks come beside it in `thinking_blocks`, where users of LiteLLM look for them; a client
//! that sends them back in its assistant message lets the model think on.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::api::Api;
use crate::error::Refusal;
use crate::reply::{Identity, Sink, StopReason, Usage};

/// The most thinking of one block that is kept for `thinking_blocks`, in bytes.
const LONGEST_THOUGHT: usize = 1024 * 1024;

/// The form in which a chat client asked for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatForm {
    pub streams: bool,
    /// Whether the last chunk is to hold the usage (`stream_options.include_usage`).
    pub include_usage: bool,
    /// When the answer was begun, in seconds since 1970.
    pub created: u64,
}

fn finish_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn => "stop",
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
    thought: String,
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
            thought: String::new(),
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

    /// A sign of life: a comment, because chat completions have no event for it.
    pub fn ping(&mut self) {
        if !self.ended {
            self.started = true;
            self.out.extend_from_slice(b": ping\n\n");
        }
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
        if self.thought.len() + delta.len() <= LONGEST_THOUGHT {
            self.thought.push_str(delta);
        }
        let delta = Delta {
            reasoning_content: Some(delta),
            ..Delta::default()
        };
        self.choice(delta, None);
    }

    fn signature(&mut self, signature: &str) {
        if !self.ended {
            let block = ThinkingBlock::Thinking {
                thinking: std::mem::take(&mut self.thought).into(),
                signature: signature.into(),
            };
            self.thinking_block(block);
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

    /// The answer: the completion, or the error that it ended in.
    pub fn answer(&self) -> Answer {
        let (reason, usage) = match &self.end {
            Some(Ok(end)) => *end,
            Some(Err(refusal)) => return refusal.answer_for(Api::Chat),
            None => {
                let cut = Refusal::new(502, "the answer was cut before its end");
                return cut.answer_for(Api::Chat);
            }
        };
        Answer::json(
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
        )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Reply;

    fn reply(streams: bool, include_usage: bool) -> Reply {
        let identity = Identity {
            id: "chatcmpl-1".into(),
            model: "m".into(),
        };
        let form = ChatForm {
            streams,
            include_usage,
            created: 7,
        };
        Reply::chat(identity, form)
    }

    const USAGE: Usage = Usage {
        input_tokens: 1,
        cache_creation_input_tokens: 20,
        cache_read_input_tokens: 300,
        output_tokens: 4,
    };

    fn play(reply: &mut Reply) {
        reply.thinking("h");
        reply.thinking("m");
        reply.signature("s");
        reply.redacted_thinking("r");
        reply.text("");
        reply.text("Hi");
        reply.tool_call("toolu_1", "Bash");
        reply.tool_input("{\"a\"");
        reply.tool_input(":1}");
        reply.tool_call("toolu_2", "Now");
        reply.finish(StopReason::ToolUse, USAGE);
    }

    fn written(reply: &mut Reply) -> String {
        String::from_utf8(reply.take()).unwrap()
    }

    #[test]
    fn a_stream_names_the_role_once_and_ends_with_reason_usage_and_done() {
        let mut reply = reply(true, true);
        play(&mut reply);
        insta::assert_snapshot!(written(&mut reply), @r#"
        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"h"},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"m"},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s"}]},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"thinking_blocks":[{"type":"redacted_thinking","data":"r"}]},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"toolu_1","type":"function","function":{"name":"Bash","arguments":""}}]},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"toolu_2","type":"function","function":{"name":"Now","arguments":""}}]},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]},"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"completion_tokens":4,"prompt_tokens":321,"prompt_tokens_details":{"cache_write_tokens":20,"cached_tokens":300},"total_tokens":325}}

        data: [DONE]
        "#);
    }

    #[test]
    fn a_stream_without_include_usage_has_no_usage_anywhere() {
        let mut reply = reply(true, false);
        reply.text("a");
        reply.finish(StopReason::MaxTokens, USAGE);
        insta::assert_snapshot!(written(&mut reply), @r#"
        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}

        data: [DONE]
        "#);
    }

    #[test]
    fn an_error_in_the_stream_is_data_and_no_done_follows() {
        let mut reply = reply(true, true);
        reply.text("a");
        let _ = reply.take();
        reply.fail(&Refusal::new(529, "Overloaded"));
        reply.finish(StopReason::EndTurn, USAGE);
        reply.text("b");
        reply.ping();
        insta::assert_snapshot!(written(&mut reply), @r#"data: {"error":{"code":"server_is_overloaded","message":"Overloaded","param":null,"type":"service_unavailable_error"}}"#);
    }

    #[test]
    fn a_ping_is_a_comment_and_commits_to_the_status() {
        let mut reply = reply(true, true);
        assert!(!reply.started());
        reply.ping();
        assert!(reply.started());
        assert_eq!(written(&mut reply), ": ping\n\n");
    }

    #[test]
    fn a_whole_completion_has_every_field_that_clients_read() {
        let mut reply = reply(false, false);
        play(&mut reply);
        let body: Value = serde_json::from_slice(reply.answer().whole().unwrap()).unwrap();
        insta::assert_snapshot!(format!("{body:#}"), @r#"
        {
          "choices": [
            {
              "finish_reason": "tool_calls",
              "index": 0,
              "logprobs": null,
              "message": {
                "content": "Hi",
                "reasoning_content": "hm",
                "refusal": null,
                "role": "assistant",
                "thinking_blocks": [
                  {
                    "signature": "s",
                    "thinking": "hm",
                    "type": "thinking"
                  },
                  {
                    "data": "r",
                    "type": "redacted_thinking"
                  }
                ],
                "tool_calls": [
                  {
                    "function": {
                      "arguments": "{\"a\":1}",
                      "name": "Bash"
                    },
                    "id": "toolu_1",
                    "type": "function"
                  },
                  {
                    "function": {
                      "arguments": "{}",
                      "name": "Now"
                    },
                    "id": "toolu_2",
                    "type": "function"
                  }
                ]
              }
            }
          ],
          "created": 7,
          "id": "chatcmpl-1",
          "model": "m",
          "object": "chat.completion",
          "usage": {
            "completion_tokens": 4,
            "prompt_tokens": 321,
            "prompt_tokens_details": {
              "cache_write_tokens": 20,
              "cached_tokens": 300
            },
            "total_tokens": 325
          }
        }
        "#);
    }

    #[test]
    fn content_is_null_only_beside_calls() {
        let content = |play: &dyn Fn(&mut Reply)| {
            let mut reply = reply(false, false);
            play(&mut reply);
            reply.finish(StopReason::EndTurn, USAGE);
            let body: Value = serde_json::from_slice(reply.answer().whole().unwrap()).unwrap();
            body["choices"][0]["message"]["content"].clone()
        };
        assert_eq!(content(&|_| {}), "");
        assert_eq!(content(&|reply| reply.text("a")), "a");
        assert!(content(&|reply| reply.tool_call("t", "n")).is_null());
    }

    #[test]
    fn a_whole_completion_that_failed_is_an_error_in_openais_words() {
        let mut reply = reply(false, false);
        reply.text("a");
        reply.fail(&Refusal::new(429, "slow"));
        let answer = reply.answer();
        assert_eq!(answer.status, 429);
        let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
        assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    }
}
