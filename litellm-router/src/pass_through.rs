//! A request on its way to Anthropic: the caller's own bytes, but for two things that cannot stay.
//!
//! The model may have another name there. And a conversation that began with another model may hold
//! thinking that this router has written; Anthropic refuses a signature that is not its own, so such
//! blocks are taken out. Every other byte, known or unknown, goes on as it came.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::demo;
use crate::error::Refusal;
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
