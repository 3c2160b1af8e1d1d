//! An answer of a provider that speaks Anthropic's dialect, as content of a [`Reply`], for callers
//! that do not read that dialect themselves.
//!
//! Read with tolerance, as everything from outside: what is unknown is passed over. But an answer
//! counts as whole only when it says so: a stream that ends before `message_stop` was cut.

use serde_json::{Map, Value};

use super::incoming::Incoming;
use crate::answer::Answer;
use crate::count;
use crate::error::{self, KeyOwner, Refusal};
use crate::reply::{Reply, Sink, StopReason, Usage};
use crate::sse::{Event, SseParser};

/// The longest signature of one block of thinking, in bytes. Real ones have some kilobytes.
const LONGEST_SIGNATURE: usize = 1024 * 1024;

/// What has to be known of the call to pass its answer on.
#[derive(Debug)]
pub struct Terms {
    /// Takes the answer; nothing has been said in it yet.
    pub reply: Reply,
    pub provider: &'static str,
    pub key_owner: KeyOwner,
}

/// Passes on a response that came whole, with a status of success.
///
/// # Errors
/// What is wrong with it.
pub fn translate(body: &[u8], terms: Terms) -> Result<(Answer, Usage), Refusal> {
    let mut message = Reader::new(terms);
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => message.whole(&value),
        Err(_) => message.fail(Refusal::new(
            502,
            format!(
                "{} answered with something that is not JSON",
                message.provider
            ),
        )),
    }
    message.answer()
}

/// The error of a response whose status is none of success. The provider's message stays as it is,
/// because clients read it; its request id becomes a header, if it was only in the body.
///
/// `headers` are those worth keeping (see [`error::kept_headers`]).
pub fn refusal(
    provider: &str,
    status: u16,
    body: &[u8],
    owner: KeyOwner,
    headers: Vec<(String, String)>,
) -> Refusal {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut refusal = error::from_provider(provider, status, body, owner, headers);
    let said = value.pointer("/error/message").and_then(Value::as_str);
    if refusal.status == status
        && let Some(said) = said
    {
        said.clone_into(&mut refusal.message);
    }
    let id = value.get("request_id").and_then(Value::as_str);
    if let Some(id) = id
        && !refusal.headers.iter().any(|(name, _)| name == "request-id")
        && id.bytes().all(|byte| byte.is_ascii_graphic())
    {
        refusal.headers.push(("request-id".into(), id.to_owned()));
    }
    refusal
}

/// The status of an error that came in a stream, where only its type tells
/// (<https://docs.anthropic.com/en/api/errors>).
fn status_of(kind: &str) -> u16 {
    match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        // end_turn, stop_sequence, pause_turn (a pause between tools of Anthropic's own) and what
        // may be added.
        _ => StopReason::EndTurn,
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A stream that is being passed on. Bytes go in by [`Incoming::push`], what they become is taken
/// out by [`Incoming::take`].
#[derive(Debug)]
pub struct MessageStream {
    parser: SseParser,
    message: Reader,
}

impl MessageStream {
    /// A stream that has not begun.
    pub fn new(terms: Terms) -> Self {
        Self {
            parser: SseParser::default(),
            message: Reader::new(terms),
        }
    }

    fn too_large(&mut self) {
        let message = format!("{} sent an event that is too large", self.message.provider);
        self.message.fail(Refusal::new(502, message));
    }
}

impl Incoming for MessageStream {
    fn push(&mut self, bytes: &[u8]) {
        let message = &mut self.message;
        if !message.done
            && self
                .parser
                .push(bytes, &mut |event| message.event(event))
                .is_err()
        {
            self.too_large();
        }
    }

    fn finish(&mut self) {
        let message = &mut self.message;
        if !message.done
            && self
                .parser
                .finish(&mut |event| message.event(event))
                .is_err()
        {
            self.too_large();
        }
        if !self.message.done {
            let message = format!(
                "{} cut the stream before the answer was finished",
                self.message.provider
            );
            self.message.fail(Refusal::new(502, message));
        }
    }

    fn fail(&mut self, refusal: Refusal) {
        self.message.fail(refusal);
    }

    fn is_done(&self) -> bool {
        self.message.done
    }

    fn failed(&self) -> Option<&Refusal> {
        self.message.failed.as_ref()
    }

    fn take(&mut self) -> Vec<u8> {
        self.message.reply.take()
    }

    fn early_failure(&mut self) -> Option<Refusal> {
        let failed = self.message.failed.clone()?;
        (!self.message.reply.started()).then_some(failed)
    }

    fn is_between_events(&self) -> bool {
        true
    }

    fn usage(&self) -> Usage {
        let mut usage = self.message.usage;
        if self.message.reason.is_none() {
            // The count comes at the end alone, and a client may leave before.
            usage.output_tokens = usage.output_tokens.max(self.message.streamed);
        }
        usage
    }

    fn answer(self: Box<Self>) -> Result<(Answer, Usage), Refusal> {
        self.message.answer()
    }
}

/// What the block that is open is, as far as it matters.
#[derive(Debug, PartialEq)]
enum Open {
    /// Text, or a block that is not passed on.
    Other,
    Thinking {
        signature: String,
    },
    Tool {
        /// Input that came with the block's beginning. It counts if none follows.
        input: Option<String>,
    },
}

/// An answer that is being read.
#[derive(Debug)]
struct Reader {
    reply: Reply,
    provider: &'static str,
    key_owner: KeyOwner,
    open: Open,
    calls_tools: bool,
    reason: Option<StopReason>,
    usage: Usage,
    /// Tokens that have come, by estimate.
    streamed: u64,
    done: bool,
    failed: Option<Refusal>,
}

impl Reader {
    fn new(terms: Terms) -> Self {
        Self {
            reply: terms.reply,
            provider: terms.provider,
            key_owner: terms.key_owner,
            open: Open::Other,
            calls_tools: false,
            reason: None,
            usage: Usage::default(),
            streamed: 0,
            done: false,
            failed: None,
        }
    }

    fn event(&mut self, event: Event) {
        if self.done {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(event.data) else {
            // An event that cannot be read is missed at the end, if it mattered.
            return;
        };
        let kind = match text(&value, "type") {
            "" => event.name,
            kind => kind,
        };
        match kind {
            "message_start" => {
                if let Some(message) = value.get("message") {
                    self.usage(message.get("usage"));
                }
            }
            "content_block_start" => {
                self.close();
                if let Some(block) = value.get("content_block") {
                    self.begin(block);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = value.get("delta") {
                    self.delta(delta);
                }
            }
            "content_block_stop" => self.close(),
            "message_delta" => {
                self.usage(value.get("usage"));
                self.reason(value.get("delta"));
            }
            "message_stop" => self.end(),
            "error" => self.error(&value),
            // A ping, or an event that is new.
            _ => {}
        }
    }

    fn whole(&mut self, message: &Value) {
        if text(message, "type") == "error" {
            return self.error(message);
        }
        let Some(content) = message.get("content").and_then(Value::as_array) else {
            let message = format!("{} answered without any content", self.provider);
            return self.fail(Refusal::new(502, message));
        };
        for block in content {
            self.begin(block);
            self.close();
        }
        self.usage(message.get("usage"));
        self.reason(Some(message));
        self.end();
    }

    /// A block begins, in a whole message with all that it has.
    fn begin(&mut self, block: &Value) {
        match text(block, "type") {
            "text" => self.reply.text(text(block, "text")),
            "thinking" => {
                self.reply.thinking(text(block, "thinking"));
                self.open = Open::Thinking {
                    signature: text(block, "signature").to_owned(),
                };
            }
            "redacted_thinking" => self.reply.redacted_thinking(text(block, "data")),
            "tool_use" => {
                self.calls_tools = true;
                self.reply.tool_call(text(block, "id"), text(block, "name"));
                let input = block
                    .get("input")
                    .filter(|input| input.as_object().is_some_and(|input| !input.is_empty()));
                self.open = Open::Tool {
                    input: input.map(Value::to_string),
                };
            }
            // Tools that run at Anthropic's side and their results; their outcome is in the text.
            _ => {}
        }
    }

    fn delta(&mut self, delta: &Value) {
        self.streamed += ["text", "thinking", "partial_json"]
            .map(|key| count::of_text(text(delta, key)))
            .iter()
            .sum::<u64>();
        match text(delta, "type") {
            "text_delta" => self.reply.text(text(delta, "text")),
            "thinking_delta" => self.reply.thinking(text(delta, "thinking")),
            "signature_delta" => {
                let more = text(delta, "signature");
                if let Open::Thinking { signature } = &mut self.open {
                    if signature.len() + more.len() > LONGEST_SIGNATURE {
                        let message = format!("{} sent an endless signature", self.provider);
                        return self.fail(Refusal::new(502, message));
                    }
                    signature.push_str(more);
                }
            }
            "input_json_delta" => {
                let more = text(delta, "partial_json");
                if let Open::Tool { input } = &mut self.open
                    && !more.is_empty()
                {
                    *input = None;
                    self.reply.tool_input(more);
                }
            }
            // Citations, and what may be added.
            _ => {}
        }
    }

    fn close(&mut self) {
        match std::mem::replace(&mut self.open, Open::Other) {
            Open::Thinking { signature } if !signature.is_empty() => {
                self.reply.signature(&signature);
            }
            Open::Tool { input: Some(input) } => self.reply.tool_input(&input),
            _ => {}
        }
    }

    /// Counts are cumulative, and an event may hold only some of them.
    fn usage(&mut self, usage: Option<&Value>) {
        let none = Map::new();
        let usage = usage.and_then(Value::as_object).unwrap_or(&none);
        let counts = [
            ("input_tokens", &mut self.usage.input_tokens),
            (
                "cache_creation_input_tokens",
                &mut self.usage.cache_creation_input_tokens,
            ),
            (
                "cache_read_input_tokens",
                &mut self.usage.cache_read_input_tokens,
            ),
            ("output_tokens", &mut self.usage.output_tokens),
        ];
        for (key, count) in counts {
            if let Some(new) = usage.get(key).and_then(Value::as_u64) {
                *count = new;
            }
        }
    }

    fn reason(&mut self, from: Option<&Value>) {
        let reason = from.and_then(|from| from.get("stop_reason")?.as_str());
        if let Some(reason) = reason {
            self.reason = Some(stop_reason(reason));
        }
    }

    fn error(&mut self, value: &Value) {
        let kind = value.pointer("/error/type").and_then(Value::as_str);
        let status = status_of(kind.unwrap_or_default());
        let body = value.to_string();
        let refusal = refusal(
            self.provider,
            status,
            body.as_bytes(),
            self.key_owner,
            Vec::new(),
        );
        self.fail(refusal);
    }

    fn end(&mut self) {
        if self.done {
            return;
        }
        self.close();
        self.done = true;
        let reason = match self.reason.unwrap_or(StopReason::EndTurn) {
            // A call that nobody sees (of Anthropic's own tools) is none to wait for.
            StopReason::ToolUse if !self.calls_tools => StopReason::EndTurn,
            StopReason::EndTurn if self.calls_tools => StopReason::ToolUse,
            reason => reason,
        };
        self.reply.finish(reason, self.usage);
    }

    fn fail(&mut self, refusal: Refusal) {
        if !self.done {
            self.done = true;
            self.reply.fail(&refusal);
            self.failed = Some(refusal);
        }
    }

    fn answer(mut self) -> Result<(Answer, Usage), Refusal> {
        match self.failed {
            Some(refusal) => Err(refusal),
            None => Ok((self.reply.answer()?, self.usage)),
        }
    }
}

#[cfg(test)]
mod tests;
