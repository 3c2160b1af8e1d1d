//! Any bytes as the body of a call to `/v1/chat/completions`: an answer, and upstream only what keeps
//! the rules of the Messages API.

use bytes::Bytes;
use litellm_router::chat::request::{head, to_messages_for};
use litellm_router::messages::MessagesRequest;
use litellm_router::pass_through;
use serde_json::Value;

/// Models of several generations, which take different things.
const MODELS: [&str; 4] = [
    "claude-opus-4-6",
    "claude-sonnet-4-5",
    "claude-3-5-haiku",
    "claude",
];

/// Sides alternate, a user begins, nothing is empty, and each call has its result right behind it.
fn check(body: &[u8]) {
    MessagesRequest::parse(body).expect("it is a Messages request");
    let message: Value = serde_json::from_slice(body).expect("the request is JSON");
    assert!(
        message["max_tokens"]
            .as_u64()
            .is_some_and(|limit| limit > 0)
    );
    let turns = message["messages"].as_array().expect("it has messages");
    assert!(!turns.is_empty(), "nobody says anything");
    let mut waiting: Vec<&Value> = Vec::new();
    for (at, turn) in turns.iter().enumerate() {
        assert_eq!(
            turn["role"] == "user",
            at % 2 == 0,
            "sides do not alternate"
        );
        let blocks = turn["content"].as_array().expect("content is blocks");
        assert!(!blocks.is_empty(), "a turn of nothing");
        let of_kind = |kind: &str, key: &'static str| -> Vec<&Value> {
            let found = blocks.iter().filter(|block| block["type"] == kind);
            found.map(|block| &block[key]).collect()
        };
        let results = of_kind("tool_result", "tool_use_id");
        for call in &waiting {
            assert!(results.contains(call), "a call without its result");
        }
        assert_eq!(results.len(), waiting.len(), "a result without its call");
        waiting = of_kind("tool_use", "id");
        for block in blocks {
            let text = block["text"].as_str();
            assert!(text.is_none_or(|text| !text.is_empty()), "an empty text");
        }
    }
    assert!(waiting.is_empty(), "a call without its result");
}

pub fn run(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let _ = pass_through::edited(&body, Some("model"));
    let _ = pass_through::asking_for_usage(data);
    let _ = pass_through::with_limit(data, 5);
    let _ = pass_through::without(body, &|key| key == "n");
    let _ = head(data);
    for model in MODELS {
        if let Ok(call) = to_messages_for(data, model) {
            check(&call.body);
        }
    }
}
