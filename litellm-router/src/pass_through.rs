//! A request on its way to Anthropic: the caller's own bytes, but for two things that cannot stay.
//!
//! The model may have another name there. And a conversation that began with another model may hold
//! thinking that this router has written; Anthropic refuses a signature that is not its own, so such
//! blocks are taken out. Every other byte, known or unknown, goes on as it came.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::{Answer, Body};
use crate::demo;
use crate::error::{self, Refusal};
use crate::reply::Usage;
use crate::sse::{Event, SseParser};
use crate::translate::incoming::Incoming;
use crate::translate::reasoning;

/// The marks under thinking that comes from here.
const OWN_SIGNATURES: [&str; 2] = [reasoning::SIGNATURE, demo::SIGNATURE];

/// The body with `model` in place of the caller's name, where there is one, and without thinking of
/// this router's own.
///
/// # Errors
/// 400 where the body is not a JSON object with one `model`.
pub fn edited(body: &[u8], model: Option<&str>) -> Result<Vec<u8>, Refusal> {
    let own_thinking = OWN_SIGNATURES
        .iter()
        .any(|mark| memchr::memmem::find(body, mark.as_bytes()).is_some());
    if model.is_none() && !own_thinking {
        return Ok(body.to_vec());
    }
    let text = std::str::from_utf8(body).map_err(|error| invalid(&error))?;
    let request: Request = serde_json::from_str(text).map_err(|error| invalid(&error))?;
    let mut edits = Vec::new();
    if let Some(model) = model {
        let name = serde_json::to_string(model).map_err(|error| invalid(&error))?;
        edits.push((place(text, request.model), name));
    }
    if own_thinking {
        for turn in request.messages {
            edits.extend(own_thinking_in(text, turn));
        }
    }
    Ok(applied(text, edits).into_bytes())
}

fn invalid(reason: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(400, reason.to_string())
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow, default)]
    messages: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow)]
    content: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    signature: String,
    /// Of redacted thinking.
    #[serde(default)]
    data: String,
}

/// The edit that leaves only the other blocks of a turn, if it has thinking of this router's own.
fn own_thinking_in(text: &str, turn: &RawValue) -> Option<(Range<usize>, String)> {
    // A turn whose content is a plain string has no blocks.
    let turn: Turn = serde_json::from_str(turn.get()).ok()?;
    let is_own = |block: &RawValue| {
        serde_json::from_str(block.get()).is_ok_and(|block: Block| {
            let is_own = |mark: &str| reasoning::is_own(mark) || mark == demo::SIGNATURE;
            match &*block.kind {
                "thinking" => is_own(&block.signature),
                "redacted_thinking" => is_own(&block.data),
                _ => false,
            }
        })
    };
    let kept: Vec<&str> = turn
        .content
        .iter()
        .filter(|block| !is_own(block))
        .map(|block| block.get())
        .collect();
    if kept.len() == turn.content.len() {
        return None;
    }
    let first = place(text, turn.content.first()?);
    let last = place(text, turn.content.last()?);
    let kept = if kept.is_empty() {
        // Anthropic refuses a turn without content.
        r#"{"type":"text","text":"(empty)"}"#.to_owned()
    } else {
        kept.join(",")
    };
    Some((first.start..last.end, kept))
}

/// Where a raw value, which is a part of the text, stands in it.
fn place(text: &str, value: &RawValue) -> Range<usize> {
    let start = (value.get().as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.saturating_add(value.get().len())
}

fn applied(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (place, new) in edits {
        out.push_str(text.get(at..place.start).unwrap_or_default());
        out.push_str(&new);
        at = place.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The body without some of its keys, by the deployment's `additional_drop_params`.
///
/// # Errors
/// 400 where the body is not a JSON object.
pub fn without(body: Vec<u8>, dropped: &[String]) -> Result<Vec<u8>, Refusal> {
    if dropped.is_empty() {
        return Ok(body);
    }
    let fields: BTreeMap<&str, &RawValue> =
        serde_json::from_slice(&body).map_err(|error| invalid(&error))?;
    let kept: BTreeMap<&str, &RawValue> = fields
        .into_iter()
        .filter(|(name, _)| !dropped.iter().any(|drop| drop == name))
        .collect();
    serde_json::to_vec(&kept).map_err(|error| invalid(&error))
}

/// The usage that a whole answer tells of itself.
pub fn usage_of(body: &[u8]) -> Usage {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<TokensUsed>,
    }
    let answer = serde_json::from_slice::<Answer>(body).ok();
    let mut usage = Usage::default();
    if let Some(told) = answer.and_then(|answer| answer.usage) {
        told.update(&mut usage);
    }
    usage
}

/// Anthropic's numbers; each that is missing keeps what was said before.
#[derive(Deserialize)]
struct TokensUsed {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl TokensUsed {
    fn update(&self, usage: &mut Usage) {
        let set = |to: &mut u64, told: Option<u64>| *to = told.unwrap_or(*to);
        set(&mut usage.input_tokens, self.input_tokens);
        set(&mut usage.output_tokens, self.output_tokens);
        set(
            &mut usage.cache_read_input_tokens,
            self.cache_read_input_tokens,
        );
        set(
            &mut usage.cache_creation_input_tokens,
            self.cache_creation_input_tokens,
        );
    }
}

/// An Anthropic stream that goes to a client of Anthropic's API byte for byte. It is only watched:
/// for its usage, and for whether it came to its end.
#[derive(Debug)]
pub struct PassedThrough {
    provider: &'static str,
    parser: SseParser,
    out: Vec<u8>,
    watch: Watch,
    /// Whether the client has got anything.
    told: bool,
    failed: Option<Refusal>,
    over: bool,
}

#[derive(Debug, Default)]
struct Watch {
    usage: Usage,
    events: u64,
    /// `message_stop` has come.
    stopped: bool,
    /// The provider has sent an `error` event; the client sees it as it is.
    error: Option<Vec<u8>>,
}

impl Watch {
    fn take(&mut self, event: Event) {
        #[derive(Deserialize)]
        struct Told {
            message: Option<Message>,
            usage: Option<TokensUsed>,
        }
        #[derive(Deserialize)]
        struct Message {
            usage: Option<TokensUsed>,
        }
        self.events += 1;
        match event.name {
            // Only these two hold usage; deltas, of which there are many, are not even read.
            "message_start" | "message_delta" => {
                let told = serde_json::from_slice::<Told>(event.data).ok();
                let usage = told.and_then(|told| {
                    let within = told.message.and_then(|message| message.usage);
                    within.or(told.usage)
                });
                if let Some(usage) = usage {
                    usage.update(&mut self.usage);
                }
            }
            "message_stop" => self.stopped = true,
            "error" => self.error = Some(event.data.to_vec()),
            _ => {}
        }
    }
}

impl PassedThrough {
    /// A stream that has not begun.
    pub fn new(provider: &'static str) -> Self {
        Self {
            provider,
            parser: SseParser::default(),
            out: Vec::new(),
            watch: Watch::default(),
            told: false,
            failed: None,
            over: false,
        }
    }
}

impl Incoming for PassedThrough {
    fn push(&mut self, bytes: &[u8]) {
        if self.over {
            return;
        }
        self.out.extend_from_slice(bytes);
        let watch = &mut self.watch;
        if self
            .parser
            .push(bytes, &mut |event| watch.take(event))
            .is_err()
        {
            let message = format!("{} sent an event that is too large", self.provider);
            self.fail(Refusal::new(502, message));
        } else if let Some(data) = &self.watch.error {
            let error: Value = serde_json::from_slice(data).unwrap_or_default();
            let status = match error.pointer("/error/type").and_then(Value::as_str) {
                Some("overloaded_error") => 529,
                Some("rate_limit_error") => 429,
                Some("invalid_request_error") => 400,
                _ => 500,
            };
            let said = error::message_in(data);
            self.failed.get_or_insert(Refusal::new(status, said));
            self.over = true;
        }
    }

    fn finish(&mut self) {
        if self.over {
            return;
        }
        let watch = &mut self.watch;
        let whole = self.parser.finish(&mut |event| watch.take(event)).is_ok();
        if whole && self.watch.stopped {
            self.over = true;
        } else {
            self.fail(crate::upstream::broke(self.provider));
        }
    }

    fn fail(&mut self, refusal: Refusal) {
        if self.over {
            return;
        }
        self.over = true;
        // What was cut in the middle of a line must not swallow the event that says so.
        self.out.extend_from_slice(b"\n\nevent: error\ndata: ");
        self.out
            .extend_from_slice(refusal.body().to_string().as_bytes());
        self.out.extend_from_slice(b"\n\n");
        self.failed = Some(refusal);
    }

    fn take(&mut self) -> Vec<u8> {
        // Nothing goes out before the first event is whole, because it may be an error.
        if self.watch.events == 0 && !self.over {
            return Vec::new();
        }
        self.told = true;
        std::mem::take(&mut self.out)
    }

    fn is_done(&self) -> bool {
        self.over
    }

    fn failed(&self) -> Option<&Refusal> {
        self.failed.as_ref()
    }

    fn early_failure(&mut self) -> Option<Refusal> {
        self.failed.clone().filter(|_| !self.told)
    }

    /// Anthropic sends signs of life itself, once it has begun.
    fn is_between_events(&self) -> bool {
        !self.told
    }

    fn usage(&self) -> Usage {
        self.watch.usage
    }

    fn answer(self: Box<Self>) -> Result<(Answer, Usage), Refusal> {
        match self.failed {
            Some(refusal) => Err(refusal),
            None => Ok((Answer::events(Body::Whole(self.out)), self.watch.usage)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(body: &str, model: Option<&str>) -> String {
        String::from_utf8(edited(body.as_bytes(), model).unwrap()).unwrap()
    }

    #[test]
    fn e06_only_the_model_is_replaced() {
        let body = r#"{ "messages":[{"model":"inner"}],  "model" : "claude-x" ,"n":1.50}"#;
        assert_eq!(edit(body, None), body);
        assert_eq!(
            edit(body, Some("a\"b")),
            r#"{ "messages":[{"model":"inner"}],  "model" : "a\"b" ,"n":1.50}"#
        );
        assert!(edited(b"[]", Some("m")).is_err());
        assert!(edited(br#"{"model":"a","model":"b"}"#, Some("m")).is_err());
    }

    #[test]
    fn r24_thinking_of_our_own_is_taken_out_and_anthropics_stays() {
        let ours = format!(
            r#"{{"type":"thinking","thinking":"x","signature":"{}"}}"#,
            reasoning::SIGNATURE
        );
        let demo = ours.replace(reasoning::SIGNATURE, demo::SIGNATURE);
        let theirs = r#"{"type": "thinking","thinking":"y","signature":"Eq=="}"#;
        let text = r#"{ "type":"text","text":"a" }"#;
        let body = |first: &str, second: &str| {
            format!(
                r#"{{"messages":[{{"role":"user","content":"hi"}}, {{"role":"assistant","content":[ {first} ]}},{{"content":[{second}]}}],"model":"m"}}"#
            )
        };
        assert_eq!(
            edit(
                &body(&format!("{ours} , {theirs}, {text}"), &demo),
                Some("n")
            ),
            body(
                &format!("{theirs},{text}"),
                r#"{"type":"text","text":"(empty)"}"#
            )
            .replace(r#""model":"m""#, r#""model":"n""#)
        );
        // The mark in what somebody said is no reason to touch anything.
        let quoted = body(text, &text.replace('a', reasoning::SIGNATURE));
        assert_eq!(edit(&quoted, None), quoted);
    }
}
