//! A call to a provider that speaks the caller's own dialect, Anthropic's or OpenAI's: the bytes pass
//! as they are, but for two things in a request that cannot stay.
//!
//! The model may have another name there. And a conversation that began with another model may hold
//! thinking that this router has written; Anthropic refuses a signature that is not its own, so such
//! blocks are taken out. Every other byte, known or unknown, goes on as it came.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::{Answer, Body};
use crate::api::Api;
use crate::controls;
use crate::demo;
use crate::error::{self, Refusal};
use crate::json;
use crate::reply::Usage;
use crate::sse::{Event, SseParser};
use crate::translate::incoming::Incoming;
use crate::translate::reasoning;
use crate::translate::usage::usage_in;

/// The marks under thinking that comes from here.
const OWN_SIGNATURES: [&str; 2] = [reasoning::SIGNATURE, demo::SIGNATURE];

/// The body with `model` in place of the caller's name, where there is one, and without thinking of
/// this router's own.
///
/// # Errors
/// 400 where the body is not a JSON object with one `model`.
pub fn edited(body: &Bytes, model: Option<&str>) -> Result<Bytes, Refusal> {
    let own_thinking = OWN_SIGNATURES
        .iter()
        .any(|mark| memchr::memmem::find(body, mark.as_bytes()).is_some());
    if model.is_none() && !own_thinking {
        return Ok(body.clone());
    }
    let request: Request = serde_json::from_slice(body).map_err(|error| invalid(&error))?;
    let mut edits = Vec::new();
    if let Some(model) = model {
        let name = serde_json::to_string(model).map_err(|error| invalid(&error))?;
        edits.push((place(body, request.model), name));
    }
    if own_thinking {
        for turn in request.messages {
            edits.extend(own_thinking_in(body, turn));
        }
    }
    Ok(applied(body, edits).into())
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
fn own_thinking_in(text: &[u8], turn: &RawValue) -> Option<(Range<usize>, String)> {
    // A turn whose content is a plain string has no blocks.
    let turn: Turn = json::read(turn.get()).ok()?;
    let is_own = |block: &RawValue| {
        json::read(block.get()).is_ok_and(|block: Block| {
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
fn place(text: &[u8], value: &RawValue) -> Range<usize> {
    let start = (value.get().as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.saturating_add(value.get().len())
}

fn applied(text: &[u8], mut edits: Vec<(Range<usize>, String)>) -> Vec<u8> {
    edits.sort_by_key(|(place, _)| place.start);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for (place, new) in edits {
        out.extend_from_slice(text.get(at..place.start).unwrap_or_default());
        out.extend_from_slice(new.as_bytes());
        at = place.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out
}

/// The body without some of its keys, by the deployment's `additional_drop_params`, and where `own`
/// is set without those that are LiteLLM's own.
///
/// # Errors
/// 400 where the body is not a JSON object.
pub fn without(body: Bytes, dropped: &[String], own: bool) -> Result<Bytes, Refusal> {
    if dropped.is_empty() && !own {
        return Ok(body);
    }
    let fields: BTreeMap<&str, &RawValue> =
        serde_json::from_slice(&body).map_err(|error| invalid(&error))?;
    let kept: BTreeMap<&str, &RawValue> = fields
        .into_iter()
        .filter(|(name, _)| !dropped.iter().any(|drop| drop == name))
        .filter(|(name, _)| !own || !controls::is_own(name))
        .collect();
    let kept = serde_json::to_vec(&kept).map_err(|error| invalid(&error))?;
    Ok(kept.into())
}

/// A chat whose limits on the answer's tokens are at most `most`.
///
/// # Errors
/// 400 where the body is not a JSON object.
pub fn with_limit(body: &[u8], most: u64) -> Result<Vec<u8>, Refusal> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        max_tokens: Option<&'a RawValue>,
        #[serde(borrow)]
        max_completion_tokens: Option<&'a RawValue>,
    }
    let request: Request = serde_json::from_slice(body).map_err(|error| invalid(&error))?;
    let limits = [request.max_tokens, request.max_completion_tokens];
    let mut edits: Vec<_> = limits
        .into_iter()
        .flatten()
        .filter(|limit| limit.get().parse::<u64>().is_ok_and(|limit| limit > most))
        .map(|limit| (place(body, limit), most.to_string()))
        .collect();
    edits.sort_by_key(|(place, _)| place.start);
    Ok(applied(body, edits))
}

/// A chat that streams, with the wish to be told at its end what it has used.
///
/// # Errors
/// 400 where the body is not a JSON object.
pub fn asking_for_usage(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        stream_options: Option<&'a RawValue>,
    }
    const WISH: &str = r#"{"include_usage":true}"#;
    let request: Request = serde_json::from_slice(body).map_err(|error| invalid(&error))?;
    let edit = match request.stream_options {
        Some(options) => (place(body, options), WISH.to_owned()),
        None => {
            let after = memchr::memchr(b'{', body).map_or(0, |at| at + 1);
            (after..after, format!("\"stream_options\":{WISH},"))
        }
    };
    Ok(applied(body, vec![edit]))
}

/// Whether a body is a JSON object, as every answer in either dialect is.
pub fn is_object(body: &[u8]) -> bool {
    let begins = body.trim_ascii_start().starts_with(b"{");
    begins && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// The usage that a whole answer in the dialect of `api` tells of itself.
pub fn usage_of(body: &[u8], api: Api) -> Usage {
    if api == Api::Chat {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        return usage_in(&value).unwrap_or_default();
    }
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

/// A stream that goes byte for byte to a client that speaks the provider's dialect. It is only
/// watched: for its usage, and for whether it came to its end.
#[derive(Debug)]
pub struct PassedThrough {
    api: Api,
    provider: &'static str,
    parser: SseParser,
    out: Vec<u8>,
    watch: Watch,
    /// The client has not asked for the chunk that tells the usage, and does not get it.
    keeps_usage: bool,
    /// Whether the client has got anything.
    told: bool,
    failed: Option<Refusal>,
    over: bool,
    /// What the call is called here.
    request_id: Option<String>,
}

#[derive(Debug, Default)]
struct Watch {
    usage: Usage,
    events: u64,
    /// The answer has come to its end: `message_stop`, or a reason why a chat's model stopped.
    stopped: bool,
    /// `[DONE]` has come, after which a chat says nothing.
    done: bool,
    /// The provider has sent an `error` event; the client sees it as it is.
    error: Option<Vec<u8>>,
    /// Whether the last bytes ended an event.
    between: bool,
}

impl Watch {
    fn take(&mut self, event: Event, api: Api) {
        self.events += 1;
        match api {
            Api::Messages => self.message_event(event),
            Api::Chat => self.chunk(event),
        }
    }

    /// Most chunks hold only text, and are not even read.
    fn chunk(&mut self, event: Event) {
        if event.data == b"[DONE]" {
            self.done = true;
            return;
        }
        let error = event.name == "error" || has_value(event.data, b"\"error\"");
        if has_value(event.data, b"\"usage\"") || error {
            let value: Value = serde_json::from_slice(event.data).unwrap_or_default();
            if let Some(usage) = usage_in(&value) {
                self.usage = usage;
            }
            if error && (event.name == "error" || value.get("error").is_some()) {
                self.error = Some(event.data.to_vec());
            }
        }
        self.stopped |= has_value(event.data, b"\"finish_reason\"");
    }

    fn message_event(&mut self, event: Event) {
        #[derive(Deserialize)]
        struct Told {
            message: Option<Message>,
            usage: Option<TokensUsed>,
        }
        #[derive(Deserialize)]
        struct Message {
            usage: Option<TokensUsed>,
        }
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

/// Whether an event may have the key `quoted` with another value than null. What stands in a text does not
/// count, because its quotes are escaped there.
fn has_value(data: &[u8], quoted: &[u8]) -> bool {
    memchr::memmem::find_iter(data, quoted).any(|at| {
        let after = data.get(at + quoted.len()..).unwrap_or_default();
        let value = after.trim_ascii_start().strip_prefix(b":");
        value.is_some_and(|value| !value.trim_ascii_start().starts_with(b"null"))
    })
}

impl PassedThrough {
    /// A stream in the dialect of `api` that has not begun.
    /// `keeps_usage`: a chunk that holds nothing but the usage is not for the client.
    pub fn new(provider: &'static str, api: Api, keeps_usage: bool) -> Self {
        Self {
            api,
            provider,
            parser: SseParser::default(),
            out: Vec::new(),
            watch: Watch::default(),
            keeps_usage,
            told: false,
            failed: None,
            over: false,
            request_id: None,
        }
    }

    /// The same stream of a call that has an id, for errors that the router adds.
    pub fn of_call(mut self, request_id: Option<String>) -> Self {
        self.request_id = request_id;
        self
    }
}

/// Watches events, and writes those that are for the client into `out`, where there is one.
fn watching(watch: &mut Watch, api: Api, mut out: Option<&mut Vec<u8>>) -> impl FnMut(Event) {
    move |event| {
        if let Some(out) = &mut out
            && !is_usage_alone(event.data)
        {
            for line in event.data.split(|&byte| byte == b'\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            out.push(b'\n');
        }
        watch.take(event, api);
    }
}

/// Whether a chunk holds no choice, only what was used.
fn is_usage_alone(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Vec<serde::de::IgnoredAny>,
    }
    has_value(data, b"\"usage\"")
        && serde_json::from_slice::<Chunk>(data).is_ok_and(|chunk| chunk.choices.is_empty())
}

impl Incoming for PassedThrough {
    fn push(&mut self, bytes: &[u8]) {
        if self.over {
            return;
        }
        if !self.keeps_usage {
            self.out.extend_from_slice(bytes);
        }
        let (watch, api) = (&mut self.watch, self.api);
        let out = self.keeps_usage.then_some(&mut self.out);
        watch.between = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n");
        let read = self.parser.push(bytes, &mut watching(watch, api, out));
        if read.is_err() {
            let message = format!("{} sent an event that is too large", self.provider);
            self.fail(Refusal::new(502, message));
        } else if let Some(data) = &self.watch.error {
            let error: Value = serde_json::from_slice(data).unwrap_or_default();
            let status = match error.pointer("/error/type").and_then(Value::as_str) {
                _ if self.api == Api::Chat => {
                    error::status_in(error.get("error").unwrap_or(&error))
                }
                Some("overloaded_error") => 529,
                Some("rate_limit_error") => 429,
                Some("invalid_request_error") => 400,
                _ => 500,
            };
            let said = error::message_in(data);
            self.failed.get_or_insert(Refusal::new(status, said));
            self.over = true;
        } else {
            self.over = self.watch.done;
        }
    }

    fn finish(&mut self) {
        if self.over {
            return;
        }
        let (watch, api) = (&mut self.watch, self.api);
        let out = self.keeps_usage.then_some(&mut self.out);
        let read = self.parser.finish(&mut watching(watch, api, out)).is_ok();
        if read && (self.watch.stopped || self.watch.done) {
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
        if self.watch.stopped {
            // All has been said; that the connection did not end well is nobody's loss.
            return;
        }
        // What was cut in the middle of a line must not swallow the event that says so.
        self.out.extend_from_slice(match self.api {
            Api::Messages => b"\n\nevent: error\ndata: ".as_slice(),
            Api::Chat => b"\n\ndata: ",
        });
        let refusal = refusal.of_call(self.request_id.clone());
        let body = refusal.body_for(self.api).to_string();
        self.out.extend_from_slice(body.as_bytes());
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

    fn is_between_events(&self) -> bool {
        !self.told || (self.watch.between && self.out.is_empty())
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
mod tests;
