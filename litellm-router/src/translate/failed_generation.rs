//! Tool calls that a model meant and its provider could not read.
//!
//! Groq answers such a sample with `tool_use_failed` and hands over what the model wrote as
//! `failed_generation` (<https://console.groq.com/docs/tool-use>). Most of it is a call in the
//! dialect of another model. Only what is certainly a call of a tool on offer is taken for one: what
//! remains is an error, after which the same request may well succeed.

use serde_json::Value;

use super::arguments::Arguments;
use crate::json;

/// More text than this is not looked at.
const LARGEST: usize = 256 * 1024;
/// The most calls that are taken out of it.
const MOST_CALLS: usize = 16;

/// One call: the tool's name and the JSON text of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeantCall {
    pub name: String,
    pub arguments: String,
}

/// The calls in `error.failed_generation` of an error body, if all of it is calls; `offers` says
/// whether a tool of a name exists.
pub fn calls_in(error: &Value, offers: &dyn Fn(&str) -> bool) -> Option<Vec<MeantCall>> {
    let error = error.get("error").unwrap_or(error);
    let text = error.get("failed_generation")?.as_str()?;
    if text.len() > LARGEST {
        return None;
    }
    let calls = in_json(unfenced(text)).or_else(|| in_tags(text))?;
    let fine = !calls.is_empty()
        && calls.len() <= MOST_CALLS
        && calls.iter().all(|call| offers(&call.name));
    fine.then_some(calls)
}

/// Without a code fence around it.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```") else {
        return text;
    };
    let inner = inner.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    inner.strip_suffix("```").unwrap_or(inner).trim()
}

/// `{"tool_calls": […]}`, `{"name": …, "parameters": …}` or a list of those.
fn in_json(text: &str) -> Option<Vec<MeantCall>> {
    let value: Value = json::read(text).ok()?;
    let list = match &value {
        Value::Array(items) => items.as_slice(),
        Value::Object(fields) => match fields.get("tool_calls").and_then(Value::as_array) {
            Some(items) => items.as_slice(),
            None => std::slice::from_ref(&value),
        },
        _ => return None,
    };
    list.iter().map(one_in_json).collect()
}

fn one_in_json(call: &Value) -> Option<MeantCall> {
    let call = call
        .get("function")
        .filter(|f| f.is_object())
        .unwrap_or(call);
    let name = call.get("name")?.as_str()?.to_owned();
    let arguments = ["arguments", "parameters", "input"]
        .iter()
        .find_map(|key| call.get(key));
    let arguments = match arguments {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => mended(text)?,
        Some(object @ Value::Object(_)) => object.to_string(),
        Some(_) => return None,
    };
    Some(MeantCall { name, arguments })
}

/// `<function=name>{…}</function>` with its many variants, `name{…}</function>`, and
/// `<tool_call>{…}</tool_call>`.
fn in_tags(text: &str) -> Option<Vec<MeantCall>> {
    let mut calls = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if calls.len() >= MOST_CALLS {
            return None;
        }
        if let Some(inner) = rest.strip_prefix("<tool_call>") {
            let (call, after) = inner.split_once("</tool_call>").unwrap_or((inner, ""));
            calls.extend(in_json(call.trim())?);
            rest = after.trim_start();
            continue;
        }
        let inner = rest.strip_prefix("<function=").unwrap_or(rest);
        let brace = inner.find('{')?;
        let (name, from_brace) = inner.split_at_checked(brace)?;
        let name = name.trim_end_matches(['=', '>', '(', ' ', '\n']).trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        let end = object_end(from_brace).unwrap_or(from_brace.len());
        let (object, after) = from_brace.split_at_checked(end)?;
        calls.push(MeantCall {
            name: name.to_owned(),
            arguments: mended(object)?,
        });
        let after = after.trim_start().trim_start_matches([')', '>']);
        let after = after.trim_start();
        rest = after.strip_prefix("</function>").unwrap_or(after);
        rest = rest
            .trim_start()
            .trim_start_matches([';', ','])
            .trim_start();
    }
    Some(calls)
}

/// The length of the object that `text` begins with.
fn object_end(text: &str) -> Option<usize> {
    let mut arguments = Arguments::default();
    for (at, c) in text.char_indices() {
        arguments.push(c.encode_utf8(&mut [0; 4]));
        if arguments.is_whole() {
            return Some(at + c.len_utf8());
        }
    }
    None
}

fn mended(text: &str) -> Option<String> {
    let mut arguments = Arguments::default();
    arguments.push(text);
    arguments.finish().then(|| arguments.take().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn meant(text: &str) -> Option<String> {
        let error = json!({"error": {"code": "tool_use_failed", "failed_generation": text}});
        let calls = calls_in(&error, &|name| matches!(name, "read" | "web_search"))?;
        let lines = calls
            .iter()
            .map(|call| format!("{} {}", call.name, call.arguments));
        Some(lines.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn e08_a_call_in_another_dialect_is_found() {
        let one = r#"read {"file_path": "a.txt"}"#;
        for text in [
            r#"<function=read={"file_path": "a.txt"}</function>"#,
            r#"<function=read>{"file_path": "a.txt"}</function>"#,
            r#"<function=read{"file_path": "a.txt"}></function>"#,
            r#"<function=read>{"file_path": "a.txt"}"#,
            r#"<function=read({"file_path": "a.txt"})</function>"#,
            r#"read{"file_path": "a.txt"}</function>"#,
            r#"<function=read>{"file_path": "a.txt",}</function>"#,
        ] {
            assert_eq!(
                meant(text).map(|s| s.replace("\",}", "\"}")).as_deref(),
                Some(one),
                "{text}"
            );
        }
        let compact = r#"read {"file_path":"a.txt"}"#;
        for text in [
            "```\n{\n  \"tool_calls\": [{\"id\": \"x\", \"type\": \"function\", \"function\": {\"name\": \"read\"}, \"parameters\": {}}]}\n```",
            r#"{"tool_calls":[{"id":"x","function":{"name":"read","arguments":"{\"file_path\":\"a.txt\"}"}}]}"#,
            r#"[{"name": "read", "parameters": {"file_path": "a.txt"}}]"#,
            r#"<tool_call>{"name": "read", "arguments": {"file_path": "a.txt"}}</tool_call>"#,
        ] {
            let found = meant(text).unwrap();
            assert!(found == compact || found == "read {}", "{text}: {found}");
        }
        assert_eq!(
            meant(r#"<function=read>{}</function><function=web_search>{"q":1}</function>"#)
                .as_deref(),
            Some(r#"read {}; web_search {"q":1}"#)
        );
    }

    #[test]
    fn e08_what_is_not_certainly_a_call_is_none() {
        for text in [
            "",
            "Tool use failed: JSON does not match the expected schema for tool calls",
            r#"I will read it. <function=read>{"a":1}</function>"#,
            r#"<function=unknown>{"a":1}</function>"#,
            r#"<function=read>{"a":"#,
            r#"{"answer": 42}"#,
            "[1]",
        ] {
            assert_eq!(meant(text), None, "{text}");
        }
        assert_eq!(calls_in(&json!({"error": "text"}), &|_| true), None);
    }

    proptest! {
        #[test]
        fn e08_any_failed_generation_is_survived(text in r#"(<function=|read|>|\{|\}|"a":|1|,|</function>|<tool_call>|</tool_call>|ä|```| ){0,16}"#) {
            meant(&text);
        }
    }
}
