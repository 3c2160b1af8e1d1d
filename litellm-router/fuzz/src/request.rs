//! Any bytes as the body of a call to `/v1/messages`: an answer, and upstream only what keeps the
//! rules of chat completions.

use bytes::Bytes;
use litellm_router::messages::MessagesRequest;
use litellm_router::translate::request::{Upstream, translate};
use litellm_router::{count, pass_through, providers};
use serde_json::Value;

const MODELS: [&str; 6] = [
    "groq/openai/gpt-oss-120b",
    "openrouter/anthropic/claude-x",
    "openai/o3",
    "deepseek/deepseek-chat",
    "hosted_vllm/kimi-k2",
    "ollama/llama3",
];

fn check(body: &[u8]) {
    let chat: Value = serde_json::from_slice(body).expect("the request is JSON");
    let messages = chat["messages"].as_array().expect("it has messages");
    let mut waiting: Vec<&Value> = Vec::new();
    for message in messages {
        for (key, value) in message.as_object().expect("a message is an object") {
            assert!(!value.is_null(), "{key} is null");
        }
        if message["role"] == "tool" {
            assert!(!waiting.is_empty(), "a result without its call");
            assert_eq!(waiting.remove(0), &message["tool_call_id"]);
        } else {
            assert!(waiting.is_empty(), "a call without its result");
        }
        waiting.extend(
            message["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|call| &call["id"]),
        );
    }
    assert!(waiting.is_empty(), "a call without its result");
}

pub fn run(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let _ = pass_through::edited(&body, Some("model"));
    let Ok(request) = MessagesRequest::parse(data) else {
        return;
    };
    let _ = count::of_request(&request);
    for model in MODELS {
        let (provider, model) = providers::split(model);
        let upstream = Upstream {
            provider,
            model,
            max_output_tokens: Some(8_192),
            vision: true,
            drop_server_tools: false,
        };
        if let Ok((body, _)) = translate(&request, upstream) {
            check(&body);
        }
    }
}
