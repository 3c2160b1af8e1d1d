//! What to say about a request's body that is not JSON, or JSON of another shape.
//!
//! serde_json tells line and column. People look for a field, so its path is found by going through
//! the text up to there; only who sends something wrong pays for it.

use std::fmt::Write;

use crate::error::Refusal;

/// The most characters of an error that tells what is wrong with a body.
const LONGEST_REASON: usize = 500;
/// The levels of a path that are told; deeper ones are no help to anybody.
const LONGEST_PATH: usize = 32;

/// 400 with the place and the reason. `kind` is what the body should have been.
pub fn refusal(body: &[u8], kind: &str, error: &serde_json::Error) -> Refusal {
    let path = path(read_before(body, error));
    let reason = if path.is_empty() {
        format!("the body is not {kind}: {error}")
    } else {
        format!("{path}: {error}")
    };
    Refusal::new(400, reason.chars().take(LONGEST_REASON).collect::<String>())
}

/// What of a text was read before an error. A line's columns are its bytes, counted from 1.
fn read_before<'a>(text: &'a [u8], error: &serde_json::Error) -> (&'a [u8], &'a [u8]) {
    let lines = memchr::memchr_iter(b'\n', text).map(|end| end + 1);
    let mut starts = std::iter::once(0).chain(lines);
    let start = starts.nth(error.line().saturating_sub(1)).unwrap_or(0);
    text.split_at_checked(start + error.column())
        .unwrap_or((text, b""))
}

/// A list or an object that has begun.
enum Level<'a> {
    List(usize),
    Object {
        /// The key read last, with its quotes.
        key: &'a [u8],
        /// Whether a string is a key here.
        at_key: bool,
    },
}

/// The path of the value that a reader was at: `messages[0].content`, or "" for the whole. The text
/// is what it had read, and what comes after that.
fn path((read, rest): (&[u8], &[u8])) -> String {
    let mut levels: Vec<Level> = Vec::new();
    let mut deeper = 0_usize;
    let mut at = 0;
    while let Some(&byte) = read.get(at) {
        let begin = at;
        at += 1;
        let full = levels.len() >= LONGEST_PATH;
        match (byte, levels.last_mut()) {
            (b'"', level) => {
                at = end_of_string(read, at);
                if let Some(Level::Object { key, at_key: true }) = level
                    && deeper == 0
                {
                    *key = read.get(begin..at).unwrap_or_default();
                }
            }
            (b'{' | b'[', _) if full => deeper += 1,
            (b'}' | b']', _) if deeper > 0 => deeper -= 1,
            _ if deeper > 0 => {}
            (b'{', _) => levels.push(Level::Object {
                key: b"",
                at_key: true,
            }),
            (b'[', _) => levels.push(Level::List(0)),
            (b'}' | b']', _) => {
                levels.pop();
            }
            (b',', Some(Level::List(index))) => *index += 1,
            (b',', Some(Level::Object { key, at_key })) => {
                *key = b"";
                *at_key = true;
            }
            (b':', Some(Level::Object { at_key, .. })) => *at_key = false,
            _ => {}
        }
    }
    // A list that was opened and no more is itself what nobody expected, unless its first item is
    // another one: then it may be that.
    let opened = read.trim_ascii_end().ends_with(b"[");
    let next = rest.trim_ascii_start().first();
    if opened && deeper == 0 && !matches!(next, Some(b'[' | b'{')) {
        levels.pop();
    }
    written(&levels)
}

/// Where a string ends that has begun before `at`, after its quotes.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = text.get(at) {
        at += match byte {
            b'\\' => 2,
            b'"' => return at + 1,
            _ => 1,
        };
    }
    text.len()
}

fn written(levels: &[Level]) -> String {
    let mut path = String::new();
    for level in levels {
        match level {
            Level::List(index) => {
                let _ = write!(path, "[{index}]");
            }
            Level::Object { key, .. } => {
                let Ok(key) = serde_json::from_slice::<String>(key) else {
                    continue;
                };
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&key);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::messages::MessagesRequest;

    fn told(body: &str) -> String {
        let error = serde_json::from_str::<Vec<u64>>(body).unwrap_err();
        refusal(body.as_bytes(), "a list of numbers", &error).message
    }

    #[test]
    fn the_whole_body_has_no_path() {
        insta::assert_snapshot!(told("7"), @"the body is not a list of numbers: invalid type: integer `7`, expected a sequence at line 1 column 1");
        insta::assert_snapshot!(told("[1] 2"), @"the body is not a list of numbers: trailing characters at line 1 column 5");
        insta::assert_snapshot!(told(""), @"the body is not a list of numbers: EOF while parsing a value at line 1 column 0");
    }

    #[test]
    fn a_path_has_an_end_and_costs_no_memory() {
        let deep = format!("{{\"\\u0061\": {}", "[".repeat(1_000_000));
        let split = (deep.as_bytes(), &b""[..]);
        assert_eq!(path(split), format!("a{}", "[0]".repeat(LONGEST_PATH - 1)));
        let closed = format!("{}{}", "[".repeat(1_000_000), "]".repeat(999_999));
        assert_eq!(path((closed.as_bytes(), b", 1]")), "[0]");
    }

    /// The path as a reader knows it that keeps it all the time.
    fn known<'a, T: Deserialize<'a>>(body: &'a [u8]) -> String {
        // A list in place of an object counts as bad syntax where it is too long. There the two may
        // differ by an item.
        if let Err(error) = serde_json::from_slice::<T>(body)
            && !error.is_data()
        {
            return found::<T>(body);
        }
        let mut reader = serde_json::Deserializer::from_slice(body);
        match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Err(error) => error.path().to_string(),
            Ok(_) => "nothing is wrong".to_owned(),
        }
    }

    fn found<'a, T: Deserialize<'a>>(body: &'a [u8]) -> String {
        match serde_json::from_slice::<T>(body) {
            Err(error) => match path(read_before(body, &error)) {
                path if path.is_empty() => ".".to_owned(),
                path => path,
            },
            Ok(_) => "nothing is wrong".to_owned(),
        }
    }

    /// A request with most of the fields that there are.
    fn request() -> Value {
        json!({
            "model": "m", "max_tokens": 5, "stream": true, "temperature": 0.5, "top_k": 3,
            "stop_sequences": ["a", "b\"\\"], "system": [{"type": "text", "text": "x"}],
            "messages": [
                {"role": "user", "content": "[{\\\"hi, \"},"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "tool_use", "id": "i", "name": "n", "input": {"a": [1, {"b": 2}]}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "i", "is_error": true, "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "m", "data": "d"}}]},
                    {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}
            ],
            "tools": [{"name": "n", "type": "custom", "description": "d", "input_schema": {}, "defer_loading": false}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
            "thinking": {"type": "enabled", "budget_tokens": 1000},
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
            "metadata": {"user_id": "u"},
        })
    }

    fn places(value: &Value, pointer: String, all: &mut Vec<String>) {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    places(item, format!("{pointer}/{index}"), all);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    places(field, format!("{pointer}/{key}"), all);
                }
            }
            _ => {}
        }
        all.push(pointer);
    }

    /// A request in which one value is another, or gone.
    fn wrong() -> impl Strategy<Value = Value> {
        let mut all = Vec::new();
        places(&request(), String::new(), &mut all);
        let other = prop_oneof![
            Just(None),
            Just(Some(json!(null))),
            Just(Some(json!(true))),
            Just(Some(json!(-7))),
            Just(Some(json!("text"))),
            Just(Some(json!([]))),
            Just(Some(json!({}))),
            Just(Some(json!([7, "a"]))),
            Just(Some(json!(["a", 7]))),
            Just(Some(json!({"a": [], "b": {}}))),
        ];
        (prop::sample::select(all), other).prop_map(|(place, other)| {
            let mut request = request();
            match (other, place.rsplit_once('/')) {
                (None, Some((parent, key))) => {
                    if let Some(Value::Object(fields)) = request.pointer_mut(parent) {
                        fields.remove(key);
                    }
                }
                (other, _) => *request.pointer_mut(&place).unwrap() = other.unwrap_or_default(),
            }
            request
        })
    }

    fn same<T: DeserializeOwned>(body: &str) {
        assert_eq!(
            found::<T>(body.as_bytes()),
            known::<T>(body.as_bytes()),
            "{body}"
        );
    }

    proptest! {
        #[test]
        fn the_path_is_that_of_a_reader_which_keeps_it(request in wrong(), spaced in any::<bool>()) {
            let body = if spaced {
                serde_json::to_string_pretty(&request).unwrap()
            } else {
                request.to_string()
            };
            prop_assert_eq!(
                found::<MessagesRequest>(body.as_bytes()),
                known::<MessagesRequest>(body.as_bytes()),
                "{}", body
            );
        }

        #[test]
        fn numbers_that_should_be_others_are_found(
            list in prop::collection::vec(prop::collection::vec(-3_i64..300, 0..4), 0..4)
        ) {
            same::<Vec<Vec<u8>>>(&json!(list).to_string());
            same::<Vec<u8>>(&json!(list).to_string());
        }

        #[test]
        fn any_bytes_have_a_path(body in any::<Vec<u8>>(), json in r#"[\[\]{}:,"a1 \\\n]{0,30}"#) {
            let _ = found::<MessagesRequest>(&body);
            let _ = found::<MessagesRequest>(json.as_bytes());
            let _ = found::<Vec<Vec<u8>>>(json.as_bytes());
        }
    }
}
