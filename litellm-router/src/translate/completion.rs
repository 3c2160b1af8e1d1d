//! What a chat provider may say, whole or in pieces, as content of a [`Reply`].
//!
//! Everything is read with tolerance: a field that is missing, null or of another type than expected
//! is as if it were not there, because each provider leaves out others.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::asked::Asked;
use super::chunk::{Chunk, Delta, stop_told};
use super::failed_generation::{self, MeantCall};
use super::reasoning::{Details, SIGNATURE};
use super::stops::Stops;
use super::think_tag::{Said, ThinkTag};
use super::tool_calls::{Piece, ToolCalls};
use super::usage::{usage_in, usage_of};
use crate::count;
use crate::error::{self, ErrorClass, KeyOwner, Refusal};
use crate::reply::{Identity, Reply, Sink, StopReason, Usage};

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
    /// Whether a block of thinking is open.
    thinking: bool,
    details: Details,
    tag: ThinkTag,
    stops: Stops,
    /// One of [`Self::stops`] has come, and nothing behind it counts.
    is_cut: bool,
    late_text: String,
    reason: Option<StopReason>,
    /// The stop sequence of the caller's that the provider has told, or that has come here.
    stopped_at: Option<String>,
    usage: Option<Usage>,
    /// Used where the provider never tells.
    estimate: Usage,
    over: bool,
    failed: Option<Refusal>,
}

impl Completion {
    /// An answer that has not begun.
    pub fn new(mut terms: Terms) -> Self {
        let own_id = terms.identity.id.replace("msg_", "toolu_");
        Self {
            reply: Reply::new(terms.identity, terms.streams, terms.input_estimate),
            stops: Stops::new(std::mem::take(&mut terms.asked.own_stops)),
            is_cut: false,
            asked: terms.asked,
            provider: terms.provider,
            key_owner: terms.key_owner,
            wants_thinking: terms.wants_thinking,
            calls: ToolCalls::new(own_id),
            thinking: false,
            details: Details::default(),
            tag: ThinkTag::default(),
            late_text: String::new(),
            reason: None,
            stopped_at: None,
            usage: None,
            estimate: Usage {
                input_tokens: terms.input_estimate,
                ..Usage::default()
            },
            over: false,
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

    /// What has been used, by the provider's word or else by estimate.
    pub fn usage(&self) -> Usage {
        self.usage.unwrap_or(self.estimate)
    }

    /// Whether the provider has said why the model stopped.
    pub fn has_reason(&self) -> bool {
        self.reason.is_some()
    }

    /// Takes a whole response or one chunk of a stream; `part` names where a choice keeps its
    /// content: `message` or `delta`.
    pub fn take(&mut self, value: &Value, part: &str) {
        if self.is_over() {
            return;
        }
        if let Some(refusal) = self.error_in(value) {
            self.fail_or_rescue(refusal, value);
            return;
        }
        if let Some(usage) = usage_in(value) {
            self.usage = Some(usage);
        }
        let choices = value.get("choices").and_then(Value::as_array);
        let Some(choice) = choices.and_then(|choices| choices.first()) else {
            return;
        };
        // The last chunk may hold content as well, so content comes before the reason.
        if let Some(content) = choice.get(part)
            && let Err(refusal) = self.content(content)
        {
            self.fail(refusal);
            return;
        }
        if self.is_cut {
            self.finish();
            return;
        }
        self.stopped_at(stop_told([
            choice.get("stop_reason"),
            choice.get("matched_stop"),
        ]));
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.stopped(reason);
        }
    }

    /// Takes one chunk of a stream that is as usual.
    pub fn take_chunk(&mut self, chunk: &Chunk) {
        if self.is_over() {
            return;
        }
        let choice = chunk.choices.first();
        let usage = usage_of([
            chunk.usage.as_ref(),
            chunk.x_groq.as_ref().and_then(|groq| groq.usage.as_ref()),
            choice.and_then(|choice| choice.usage.as_ref()),
        ]);
        if usage.is_some() {
            self.usage = usage;
        }
        let Some(choice) = choice else {
            return;
        };
        if let Some(delta) = &choice.delta
            && let Err(refusal) = self.delta(delta)
        {
            self.fail(refusal);
            return;
        }
        if self.is_cut {
            self.finish();
            return;
        }
        self.stopped_at(choice.stop_told());
        if let Some(reason) = choice.finish_reason() {
            self.stopped(reason);
        }
    }

    fn delta(&mut self, delta: &Delta) -> Result<(), Refusal> {
        self.think(delta.reasoning())?;
        for text in delta.texts() {
            if !text.is_empty() {
                self.tagged(text)?;
            }
        }
        for piece in delta.calls() {
            self.call(piece)?;
        }
        Ok(())
    }

    /// What the provider says it has stopped at, which counts where the caller has asked for that.
    fn stopped_at(&mut self, told: Option<&str>) {
        if let Some(told) = told
            && self.asked.stops.iter().any(|stop| stop == told)
        {
            self.stopped_at = Some(told.to_owned());
        }
    }

    /// The provider has said why the model stopped. Some write an empty text for null in every chunk.
    fn stopped(&mut self, reason: &str) {
        if reason.is_empty() {
            return;
        }
        if reason == "error" {
            let message = format!("{} ended the answer with an error", self.provider);
            self.fail(Refusal::new(502, message));
            return;
        }
        self.reason.get_or_insert(stop_reason(reason));
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

    /// A call that the provider could not read may still be clear enough.
    pub fn fail_or_rescue(&mut self, refusal: Refusal, value: &Value) {
        let tools = &self.asked.tools;
        let meant = failed_generation::calls_in(value, &|name| tools.offers(name));
        match meant.filter(|_| !self.calls.is_open()) {
            Some(calls) if refusal.class() == ErrorClass::FailedGeneration => self.rescue(&calls),
            _ => self.fail(refusal),
        }
    }

    /// Ends the answer with calls that the model meant.
    fn rescue(&mut self, meant: &[MeantCall]) {
        for call in meant {
            let function = json!({"name": call.name, "arguments": call.arguments});
            if let Err(refusal) = self.call_in(&Value::Null, &function) {
                self.fail(refusal);
                return;
            }
        }
        self.finish();
    }

    /// Whether the answer is over, well or not.
    pub fn is_over(&self) -> bool {
        self.over || self.failed.is_some()
    }

    fn content(&mut self, content: &Value) -> Result<(), Refusal> {
        self.reasoning(content)?;
        for key in ["content", "refusal"] {
            let text = content.get(key).map(text_of).unwrap_or_default();
            if !text.is_empty() {
                self.tagged(&text)?;
            }
        }
        let calls = content.get("tool_calls").and_then(Value::as_array);
        for call in calls.into_iter().flatten() {
            self.call_in(call, call.get("function").unwrap_or(&Value::Null))?;
        }
        if let Some(function) = content.get("function_call").filter(|call| call.is_object()) {
            self.call_in(&Value::Null, function)?;
        }
        Ok(())
    }

    /// Reasoning in a field of its own; providers that have several fill them with the same.
    fn reasoning(&mut self, content: &Value) -> Result<(), Refusal> {
        let plain = ["reasoning_content", "reasoning"]
            .iter()
            .filter_map(|key| content.get(key).and_then(Value::as_str))
            .find(|text| !text.is_empty());
        let mut from_details = String::new();
        let details = content.get("reasoning_details").and_then(Value::as_array);
        for detail in details.into_iter().flatten() {
            from_details.push_str(self.details.take(detail));
        }
        self.think(plain.unwrap_or(&from_details))
    }

    fn think(&mut self, reasoning: &str) -> Result<(), Refusal> {
        if reasoning.is_empty() || self.is_cut {
            return Ok(());
        }
        self.release()?;
        self.estimate.output_tokens += count::of_text(reasoning);
        // Thinking beside a call would have to come after it, where nobody looks for it.
        if self.wants_thinking && !self.calls.any() {
            self.thinking = true;
            self.reply.thinking(reasoning);
        }
        Ok(())
    }

    /// Text that may begin with thinking in a tag.
    fn tagged(&mut self, text: &str) -> Result<(), Refusal> {
        let mut said = Vec::new();
        self.tag.read(text, &mut |piece| said.push(piece));
        self.say(said)
    }

    /// No text follows that could still be a part of a tag or of a stop sequence.
    fn end_text(&mut self) -> Result<(), Refusal> {
        let mut said = Vec::new();
        self.tag.flush(&mut |piece| said.push(piece));
        self.say(said)?;
        self.release()
    }

    /// What could have begun a stop sequence has not.
    fn release(&mut self) -> Result<(), Refusal> {
        match self.stops.flush() {
            held if held.is_empty() => Ok(()),
            held => self.text(&held),
        }
    }

    fn say(&mut self, said: Vec<Said>) -> Result<(), Refusal> {
        for piece in said {
            match piece {
                Said::Thinking(thought) => self.think(&thought)?,
                Said::Text(text) => self.visible(&text)?,
            }
        }
        Ok(())
    }

    /// Text for the caller, as far as no stop sequence is in it that the provider does not take.
    fn visible(&mut self, text: &str) -> Result<(), Refusal> {
        if self.stops.is_empty() {
            return self.text(text);
        }
        if self.is_cut {
            return Ok(());
        }
        let (text, stop) = self.stops.read(text);
        if stop.is_some() {
            self.is_cut = true;
            self.stopped_at = stop;
        }
        match text.is_empty() {
            true => Ok(()),
            false => self.text(&text),
        }
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

    fn call_in(&mut self, call: &Value, function: &Value) -> Result<(), Refusal> {
        fn string<'v>(value: &'v Value, key: &str) -> &'v str {
            let found = value.get(key).and_then(Value::as_str);
            found.unwrap_or_default()
        }
        let arguments = match function.get("arguments") {
            Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
            Some(object @ Value::Object(_)) => Cow::Owned(object.to_string()),
            _ => Cow::Borrowed(""),
        };
        self.call(Piece {
            index: call.get("index").and_then(Value::as_i64),
            id: string(call, "id"),
            name: string(function, "name"),
            arguments: &arguments,
        })
    }

    fn call(&mut self, piece: Piece) -> Result<(), Refusal> {
        self.end_text()?;
        if self.is_cut {
            return Ok(());
        }
        self.estimate.output_tokens += count::of_text(piece.arguments);
        self.end_thinking();
        if !self.calls.any() {
            self.keep_details();
        }
        self.calls.push(piece, &self.asked.tools, &mut self.reply)
    }

    fn end_thinking(&mut self) {
        if std::mem::take(&mut self.thinking) {
            let mark = match &self.asked.reasoning_for {
                Some(model) => self.details.mark(model),
                None => SIGNATURE.to_owned(),
            };
            self.reply.signature(&mark);
        }
    }

    /// Hands on what the model has to get back and no block of thinking carries, in a block of its
    /// own: without it Gemini refuses to go on after the call.
    fn keep_details(&mut self) {
        if let Some(model) = &self.asked.reasoning_for
            && self.details.has_unwritten()
        {
            let mark = self.details.mark(model);
            if mark != SIGNATURE {
                self.reply.redacted_thinking(&mark);
            }
        }
    }

    /// The provider has ended its answer well.
    pub fn finish(&mut self) {
        if self.is_over() {
            return;
        }
        self.over = true;
        let reason = self.reason.unwrap_or(StopReason::EndTurn);
        if let Err(refusal) = self.end_content(reason == StopReason::MaxTokens) {
            self.fail(refusal);
            return;
        }
        let late = std::mem::take(&mut self.late_text);
        self.reply.text(&late);
        if self.calls.any() {
            self.keep_details();
        }
        // Some providers say "stop" after a tool call; the client would not run it.
        let reason = match reason {
            StopReason::EndTurn if self.calls.any() => StopReason::ToolUse,
            StopReason::ToolUse if !self.calls.any() => StopReason::EndTurn,
            reason => reason,
        };
        let reason = match self.stopped_at.take() {
            Some(sequence) if reason == StopReason::EndTurn => {
                self.reply.stopped_at(&sequence);
                StopReason::StopSequence
            }
            _ => reason,
        };
        self.reply.finish(reason, self.usage());
    }

    fn end_content(&mut self, cut: bool) -> Result<(), Refusal> {
        self.end_text()?;
        self.end_thinking();
        self.calls.flush(cut, &self.asked.tools, &mut self.reply)
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
