//! Reasoning that has to go back to the model that made it, carried through a client that knows
//! nothing of it.
//!
//! OpenRouter's `reasoning_details` hold signatures and encrypted thoughts without which Claude and
//! Gemini do not go on after a tool call. Anthropic's clients send thinking blocks back as they got
//! them, so the details travel in the signature of our thinking block, or in the data of a redacted
//! one where there is no text. Both begin with [`SIGNATURE`], by which they are found and taken out
//! again for every other provider.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::messages::Block;

/// Marks thinking that comes from here, so that it can be told from what Anthropic has signed.
pub const SIGNATURE: &str = "litellm-router-unsigned";
/// Between the mark and what it carries. Another version is another format: it is not read.
const VERSION: &str = ".v1.";
/// The most bytes of details that travel with one answer. Each request carries them again.
const MOST_BYTES: usize = 256 * 1024;
/// The most details of one answer. Models make a handful; each new one is compared with all.
const MOST_DETAILS: usize = 512;
/// A repetition shorter than this is taken for the model's own.
const SHORTEST_REPEAT: usize = 16;

/// Whether a thinking block's signature, or a redacted block's data, is from here.
pub fn is_own(mark: &str) -> bool {
    mark.strip_prefix(SIGNATURE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[derive(Serialize, Deserialize)]
struct Carried {
    /// Whose reasoning it is, as `provider/model`.
    model: String,
    details: Vec<Value>,
}

/// The mark that carries `details` of `model`; the bare mark where there are none, or too many.
fn mark(model: &str, details: &[Value]) -> String {
    if details.is_empty() {
        return SIGNATURE.to_owned();
    }
    let carried = Carried {
        model: model.to_owned(),
        details: details.to_vec(),
    };
    match serde_json::to_vec(&carried) {
        Ok(bytes) if bytes.len() <= MOST_BYTES => {
            format!("{SIGNATURE}{VERSION}{}", URL_SAFE_NO_PAD.encode(bytes))
        }
        _ => SIGNATURE.to_owned(),
    }
}

/// What a mark carries for `model`: nothing if it is another's, damaged or too large.
fn carried(mark: &str, model: &str) -> Vec<Value> {
    let read = || -> Option<Vec<Value>> {
        let text = mark.strip_prefix(SIGNATURE)?.strip_prefix(VERSION)?;
        if text.len() > MOST_BYTES * 2 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let carried: Carried = serde_json::from_slice(&bytes).ok()?;
        (carried.model == model).then_some(carried.details)
    };
    read().unwrap_or_default()
}

/// The details that the thinking of one message carries for `model`, as they came.
pub fn details_of<'b>(blocks: impl Iterator<Item = &'b Block<'b>>, model: &str) -> Vec<Value> {
    let mut details = Details::default();
    for block in blocks {
        let mark = match &*block.kind {
            "thinking" => &block.signature,
            "redacted_thinking" => &block.data,
            _ => continue,
        };
        for detail in carried(mark, model) {
            details.take(&detail);
        }
    }
    details.entries.into_iter().map(Value::Object).collect()
}

/// `reasoning_details` as they come: in fragments with the same index that belong together, and in
/// repetitions of what has been there.
#[derive(Debug, Default)]
pub struct Details {
    entries: Vec<Map<String, Value>>,
    /// For each entry, whether it has changed since it was last written.
    unwritten: Vec<bool>,
    bytes: usize,
}

impl Details {
    /// Takes one detail, whole or a fragment. Returns the readable text that is new.
    pub fn take<'v>(&mut self, detail: &'v Value) -> &'v str {
        let Some(fields) = detail.as_object() else {
            return "";
        };
        let text_key = match fields.get("type").and_then(Value::as_str) {
            Some("reasoning.text") => "text",
            Some("reasoning.summary") => "summary",
            _ => {
                self.add(fields);
                return "";
            }
        };
        let text = fields.get(text_key).and_then(Value::as_str).unwrap_or("");
        let Some(place) = self.place(fields) else {
            self.add(fields);
            return text;
        };
        self.extend(place, fields, text_key, text)
    }

    /// The entry that a fragment continues.
    fn place(&self, fields: &Map<String, Value>) -> Option<usize> {
        let same = |entry: &Map<String, Value>, key: &str| match (entry.get(key), fields.get(key)) {
            (Some(Value::Null) | None, _) | (_, Some(Value::Null) | None) => true,
            (a, b) => a == b,
        };
        let place = self
            .entries
            .iter()
            .rposition(|entry| entry.get("type") == fields.get("type"))?;
        let entry = self.entries.get(place)?;
        (same(entry, "index") && same(entry, "id")).then_some(place)
    }

    fn extend<'v>(
        &mut self,
        place: usize,
        fields: &Map<String, Value>,
        text_key: &str,
        text: &'v str,
    ) -> &'v str {
        let Some(entry) = self.entries.get_mut(place) else {
            return "";
        };
        let known = entry.get(text_key).and_then(Value::as_str).unwrap_or("");
        let repeats = text.len() >= SHORTEST_REPEAT && text == known;
        let new = if repeats { "" } else { text };
        let mut changed = !new.is_empty();
        if changed && self.bytes <= MOST_BYTES {
            self.bytes += new.len();
            if let Some(Value::String(known)) = entry.get_mut(text_key) {
                known.push_str(new);
            } else {
                entry.insert(text_key.to_owned(), new.into());
            }
        }
        for (key, value) in fields {
            let is_known = entry.get(key).is_some_and(|known| !known.is_null());
            if key != text_key && !value.is_null() && !is_known {
                self.bytes += key.len() + size(value);
                entry.insert(key.clone(), value.clone());
                changed = true;
            }
        }
        if changed && let Some(unwritten) = self.unwritten.get_mut(place) {
            *unwritten = true;
        }
        new
    }

    fn add(&mut self, fields: &Map<String, Value>) {
        if self.bytes > MOST_BYTES || self.entries.contains(fields) {
            return;
        }
        if self.entries.len() == MOST_DETAILS {
            self.bytes = usize::MAX;
            return;
        }
        self.bytes += fields
            .iter()
            .map(|(key, value)| key.len() + size(value))
            .sum::<usize>();
        self.entries.push(fields.clone());
        self.unwritten.push(true);
    }

    /// Whether there is anything that has not been written yet.
    pub fn has_unwritten(&self) -> bool {
        self.unwritten.contains(&true)
    }

    /// The mark that carries what has not been written yet.
    pub fn mark(&mut self, model: &str) -> String {
        // What is cut is of no use to anybody: a signature belongs to the whole.
        if self.bytes > MOST_BYTES {
            self.unwritten.fill(false);
            return SIGNATURE.to_owned();
        }
        let new: Vec<Value> = self
            .entries
            .iter()
            .zip(&self.unwritten)
            .filter(|(_, unwritten)| **unwritten)
            .map(|(entry, _)| Value::Object(entry.clone()))
            .collect();
        self.unwritten.fill(false);
        mark(model, &new)
    }
}

/// About as many bytes as a value takes in JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| key.len() + size(value))
            .sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MODEL: &str = "openrouter/google/gemini-3-pro";

    fn gathered(fragments: &[Value]) -> (Vec<Value>, String) {
        let mut details = Details::default();
        let shown: String = fragments.iter().map(|f| details.take(f)).collect();
        let mark = details.mark(MODEL);
        assert!(is_own(&mark));
        (carried(&mark, MODEL), shown)
    }

    #[test]
    fn r23_fragments_become_the_whole_that_was_signed() {
        let text = |text: &str| json!({"type": "reasoning.text", "text": text, "format": "anthropic-claude-v1", "index": 0});
        let (kept, shown) = gathered(&[
            text("Let"),
            text(" me compute 17 * 23."),
            json!({"type": "reasoning.text", "signature": "Et8B", "index": 0}),
            // The whole once more, as some endpoints end.
            text("Let me compute 17 * 23."),
            json!({"type": "reasoning.encrypted", "data": "xyz", "id": "call_1", "index": 1}),
            json!({"type": "reasoning.encrypted", "data": "xyz", "id": "call_1", "index": 1}),
        ]);
        assert_eq!(shown, "Let me compute 17 * 23.");
        assert_eq!(
            kept,
            [
                json!({"type": "reasoning.text", "text": "Let me compute 17 * 23.", "signature": "Et8B",
                    "format": "anthropic-claude-v1", "index": 0}),
                json!({"type": "reasoning.encrypted", "data": "xyz", "id": "call_1", "index": 1}),
            ]
        );
    }

    #[test]
    fn r23_another_index_is_another_thought() {
        let summary = |index: u32, text: &str| json!({"type": "reasoning.summary", "summary": text, "index": index});
        let (kept, shown) = gathered(&[summary(0, "a"), summary(1, "b"), summary(1, "c")]);
        assert_eq!(shown, "abc");
        assert_eq!(kept, [summary(0, "a"), summary(1, "bc")]);
    }

    #[test]
    fn r23_a_mark_is_read_for_its_own_model_and_version_alone() {
        let details = [json!({"type": "reasoning.encrypted", "data": "x"})];
        let whole = mark(MODEL, &details);
        assert_eq!(carried(&whole, MODEL), details);
        assert!(carried(&whole, "openrouter/other").is_empty());
        assert!(carried(&whole.replace(".v1.", ".v2."), MODEL).is_empty());
        assert!(carried(&whole.replace(".v1.", ".v1.!"), MODEL).is_empty());
        assert!(carried(SIGNATURE, MODEL).is_empty());
        assert!(is_own(SIGNATURE) && is_own(&whole));
        assert!(!is_own("litellm-router-unsigned-not") && !is_own("Eq=="));
    }

    #[test]
    fn r23_details_without_measure_do_not_travel() {
        let large = "x".repeat(MOST_BYTES + 1);
        let (kept, _) = gathered(&[json!({"type": "reasoning.encrypted", "data": large})]);
        assert!(kept.is_empty());
        let mut details = Details::default();
        for longer in 0..50 {
            let text = "y".repeat(100_000 + longer);
            details.take(&json!({"type": "reasoning.text", "text": text, "index": 0}));
        }
        assert!(details.bytes <= MOST_BYTES + 100_100);
        assert!(details.mark(MODEL) == SIGNATURE);
        let mut details = Details::default();
        for index in 0..100_000 {
            details.take(&json!({"type": "reasoning.encrypted", "data": "x", "index": index}));
        }
        assert_eq!(details.entries.len(), MOST_DETAILS);
        assert!(details.mark(MODEL) == SIGNATURE);
    }
}
