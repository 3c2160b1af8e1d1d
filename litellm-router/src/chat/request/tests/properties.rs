use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::providers;
use crate::translate::request::{Upstream, translate};

fn word() -> impl Strategy<Value = String> {
    "[a-zäß \"\\\\{}]{1,12}".prop_filter("blank texts are left out", |text| !text.trim().is_empty())
}

/// A conversation in Anthropic's words whose sides alternate and whose calls are all answered.
fn conversation() -> impl Strategy<Value = Value> {
    let calls = prop::collection::vec(("[A-Z][a-z]{1,8}", word(), word()), 0..3);
    let round = (word(), prop::option::of(word()), calls);
    prop::collection::vec(round, 1..5).prop_map(|rounds| {
        let mut turns: Vec<Value> = Vec::new();
        let mut results: Vec<Value> = Vec::new();
        let mut count = 0;
        for (asked, answered, calls) in rounds {
            let mut said = std::mem::take(&mut results);
            said.push(json!({"type": "text", "text": asked}));
            turns.push(json!({"role": "user", "content": said}));
            let mut content = Vec::new();
            if let Some(text) = &answered {
                content.push(json!({"type": "text", "text": text}));
            }
            for (name, argument, result) in calls {
                count += 1;
                let id = format!("toolu_{count}");
                content.push(json!({"type": "tool_use", "id": id, "name": name, "input": {"b": argument, "a": count}}));
                results.push(json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": result}]}));
            }
            if content.is_empty() {
                content.push(json!({"type": "text", "text": "ok"}));
            }
            turns.push(json!({"role": "assistant", "content": content}));
        }
        results.push(json!({"type": "text", "text": "end"}));
        turns.push(json!({"role": "user", "content": results}));
        json!(turns)
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~ä]{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["user", "tool", "function", "data:,", "text", "f"])
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "role",
        "content",
        "type",
        "text",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "image_url",
        "url",
        "file",
        "file_data",
        "tool_call_id",
        "id",
        "schema",
        "properties",
        "thinking_blocks",
        "allowed_tools",
        "tools",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5).prop_map(|entries| {
                Value::Object(
                    entries
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn texts_calls_and_results_survive_the_way_there_and_back(turns in conversation()) {
        let request = json!({"model": "m", "max_tokens": 9, "system": "s", "messages": turns,
            "tools": [{"name": "Bash", "input_schema": {"type": "object", "properties": {}}}]});
        let request = request.to_string();
        let upstream = Upstream {
            provider: providers::split("openai/x").0,
            model: "x",
            max_output_tokens: None,
            vision: true,
            drop_server_tools: true,
        };
        let (chat, _) = translate(&MessagesRequest::parse(request.as_bytes()).unwrap(), upstream).unwrap();
        let back: Value = serde_json::from_slice(&to_messages(&chat).unwrap().body).unwrap();
        prop_assert_eq!(&back["messages"], &turns);
        prop_assert_eq!(&back["system"][0]["text"], "s");
        prop_assert_eq!(&back["tools"][0]["name"], "Bash");
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = to_messages(&bytes);
        let _ = head(&bytes);
    }

    #[test]
    fn arbitrary_json_is_translated_or_refused(
        messages in prop::collection::vec(any_json(), 0..4),
        tools in any_json(),
        choice in any_json(),
        format in any_json(),
    ) {
        let request = json!({"model": "claude-opus-4-6", "messages": messages, "tools": tools,
            "tool_choice": choice, "response_format": format});
        match to_messages(request.to_string().as_bytes()) {
            Ok(call) => {
                let body: Value = serde_json::from_slice(&call.body).unwrap();
                let turns = body["messages"].as_array().unwrap();
                prop_assert!(!turns.is_empty());
                for (at, turn) in turns.iter().enumerate() {
                    prop_assert_eq!(turn["role"] == "user", at % 2 == 0);
                    prop_assert!(!turn["content"].as_array().unwrap().is_empty());
                }
            }
            Err(refusal) => prop_assert_eq!(refusal.status, 400),
        }
    }
}
