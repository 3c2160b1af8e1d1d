//! A call to a provider that speaks the caller's own dialect, Anthropic's or OpenAI's: the bytes pass
//! as they are, but for two things in a request that cannot stay.
//!
//! The model may have another name there. And a conversation that began with another model may hold
//! thinking that this router has written; Anthropic refuses a signature that is not its own, so such
//! blocks are taken out. Every other byte, known or unknown, goes on as it came.

mod stream;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::demo;
use crate::error::Refusal;
use crate::json;
use crate::reply::Usage;
use crate::translate::reasoning;
use crate::translate::usage::usage_in;

pub use stream::PassedThrough;

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

/// The body without the keys that `leaves_out` names; the others keep their bytes and their order.
///
/// # Errors
/// 400 where the body is not a JSON object.
pub fn without(body: Bytes, leaves_out: &dyn Fn(&str) -> bool) -> Result<Bytes, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(&body);
    let entries = reader
        .deserialize_map(Entries)
        .map_err(|error| invalid(&error))?;
    if !entries.iter().any(|(key, _)| leaves_out(key)) {
        return Ok(body);
    }
    let mut kept = Vec::with_capacity(body.len());
    let mut at = 0;
    for (key, value) in &entries {
        let end = place(&body, value).end;
        // Between two values there are only a comma, blanks, the key and a colon.
        let entry = body.get(at..end).unwrap_or_default();
        let entry = memchr::memchr(b'"', entry).and_then(|quote| entry.get(quote..));
        at = end;
        if !leaves_out(key) {
            kept.push(if kept.is_empty() { b'{' } else { b',' });
            kept.extend_from_slice(entry.unwrap_or_default());
        }
    }
    if kept.is_empty() {
        kept.push(b'{');
    }
    kept.push(b'}');
    Ok(kept.into())
}

/// Reads the entries of an object in their order.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
        let mut entries = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            entries.push((key, value));
        }
        Ok(entries)
    }
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

/// A chat that streams, with the wish to be told at its end what it has used. What else it says about
/// its stream stays.
///
/// # Errors
/// 400 where the body or its `stream_options` is not a JSON object, or says the same twice.
pub fn asking_for_usage(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow, default, deserialize_with = "even_null")]
        stream_options: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Options<'a> {
        #[serde(borrow, default, deserialize_with = "even_null")]
        include_usage: Option<&'a RawValue>,
    }
    const WISH: &str = r#"{"include_usage":true}"#;
    let request: Request = serde_json::from_slice(body).map_err(|error| invalid(&error))?;
    let edit = match request.stream_options {
        None => {
            let after = memchr::memchr(b'{', body).map_or(0, |at| at + 1);
            (after..after, format!("\"stream_options\":{WISH},"))
        }
        Some(options) if options.get() == "null" => (place(body, options), WISH.to_owned()),
        Some(options) if !options.get().starts_with('{') => {
            return Err(invalid(&"stream_options is not an object"));
        }
        Some(options) => {
            let asked: Options = json::read(options.get()).map_err(|error| invalid(&error))?;
            let inside = options.get().strip_prefix('{').map(str::trim_start);
            let after = place(body, options).start + 1;
            match asked.include_usage {
                Some(wish) => (place(body, wish), "true".to_owned()),
                None if inside == Some("}") => (place(body, options), WISH.to_owned()),
                None => (after..after, r#""include_usage":true,"#.to_owned()),
            }
        }
    };
    Ok(applied(body, vec![edit]))
}

/// Reads a value that may be missing; `null` is there, and not missing.
fn even_null<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
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

/// No call uses more tokens, whatever is told.
const MOST: u64 = 1_000_000_000_000_000;

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
        let set = |to: &mut u64, told: Option<u64>| *to = told.map_or(*to, |told| told.min(MOST));
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

#[cfg(test)]
mod tests;
