//! Whatever a client sends, nothing panics.

use litellm_router::answer::Body;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CONFIG, Outcome, client};

/// JSON as a client might send it, right and wrong: the keys and types of the protocol in any place.
fn some_json() -> impl Strategy<Value = Value> {
    const KEYS: &[&str] = &[
        "type",
        "role",
        "content",
        "text",
        "id",
        "name",
        "input",
        "tool_use_id",
        "is_error",
        "source",
        "media_type",
        "data",
        "url",
        "thinking",
        "tool_name",
        "cache_control",
    ];
    const TEXTS: &[&str] = &[
        "text",
        "tool_use",
        "tool_result",
        "image",
        "document",
        "thinking",
        "user",
        "assistant",
        "system",
        "tool_reference",
        "base64",
        "a",
        "",
        "run `ls`",
        "replace `a` with `b` in `ä`",
        "İ sub-agent İ",
        "hello world",
        "stream 3 words every x",
        "think about",
        "read f.txt",
        "<system-reminder>",
    ];
    let leaf = prop_oneof![
        proptest::sample::select(TEXTS).prop_map(|text| json!(text)),
        Just(Value::Null),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i32>().prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::hash_map(proptest::sample::select(KEYS), inner, 0..6).prop_map(
                |fields| fields
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            ),
        ]
    })
}

/// A turn that is likely to be accepted, so that more than the reader is tried.
fn some_turn() -> impl Strategy<Value = Value> {
    let block = prop_oneof![
        some_json(),
        "[a-z` ]{0,12}".prop_map(|text| json!({"type": "text", "text": text})),
        "[ab]".prop_map(|id| json!({"type": "tool_use", "id": id, "name": "Bash", "input": {}})),
        ("[ab]", some_json()).prop_map(
            |(id, content)| json!({"type": "tool_result", "tool_use_id": id, "content": content})
        ),
        Just(json!({"type": "tool_result", "tool_use_id": "a", "content": "out"})),
    ];
    let role = proptest::sample::select(&["user", "assistant", "system"][..]);
    (role, proptest::collection::vec(block, 0..4))
        .prop_map(|(role, content)| json!({"role": role, "content": content}))
}

proptest! {
    #[test]
    fn no_body_and_no_path_makes_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        path in "/(v1/(messages|models)?)?[ -~]{0,20}",
        method in proptest::sample::select(&["GET", "POST", "HEAD", "X"][..]),
    ) {
        client(CONFIG, &[]).call(method, &path, &body);
    }

    #[test]
    fn no_request_makes_it_panic_and_every_call_upstream_has_its_result(
        model in proptest::sample::select(&["local/demo", "groq/x", "claude-x", "mocked"][..]),
        turns in proptest::collection::vec(some_turn(), 0..6),
        stream in any::<bool>(),
        extra in some_json(),
    ) {
        let mut request = json!({"model": model, "messages": turns, "stream": stream});
        request["tools"] = json!([{"name": "Bash", "input_schema": extra}]);
        let client = client(CONFIG, &[("GROQ_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k")]);
        match client.call("POST", "/v1/messages", request.to_string().as_bytes()) {
            Outcome::Answer(answer) => {
                if let Body::Paced(pieces) = answer.body {
                    prop_assert!(pieces.count() > 1);
                }
            }
            Outcome::Fetch(exchange) if model == "groq/x" => {
                let sent: Value = serde_json::from_slice(&exchange.body).unwrap();
                let mut open: Vec<Value> = Vec::new();
                for message in sent["messages"].as_array().unwrap() {
                    if message["role"] == "tool" {
                        prop_assert!(!open.is_empty());
                        prop_assert_eq!(&open.remove(0), &message["tool_call_id"]);
                    } else {
                        prop_assert!(open.is_empty(), "a call has no result: {}", sent);
                        let calls = message["tool_calls"].as_array().into_iter().flatten();
                        open = calls.map(|call| call["id"].clone()).collect();
                    }
                }
                prop_assert!(open.is_empty());
            }
            Outcome::Fetch(_) => {}
        }
    }
}
