//! Requests, by topic.

mod content;
mod conversation;
mod hostile;
mod parameters;
mod reasoning;
mod tools;

use serde_json::{Value, json};

use crate::error::Refusal;
use crate::messages::MessagesRequest;
use crate::providers;
use crate::translate::asked::Asked;
use crate::translate::request::{Upstream, translate};

/// A deployment of a model that writes at most 8,000 tokens; one called "blind" takes no images.
fn upstream(model: &str) -> Upstream<'_> {
    let (provider, model) = providers::split(model);
    Upstream {
        provider,
        model,
        max_output_tokens: Some(8_000),
        vision: !model.contains("blind"),
        drop_server_tools: false,
    }
}

fn bytes_to(model: &str, body: &[u8]) -> Result<(Vec<u8>, Asked), Refusal> {
    translate(&MessagesRequest::parse(body)?, upstream(model))
}

pub(super) fn to(model: &str, request: &Value) -> Result<Value, Refusal> {
    let (body, _) = bytes_to(model, request.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn chat(request: Value) -> Value {
    to("openrouter/x", &request).unwrap()
}

fn messages(turns: Value) -> Value {
    messages_to("openrouter/x", turns)
}

fn messages_to(model: &str, turns: Value) -> Value {
    to(model, &json!({"model": "m", "messages": turns})).unwrap()["messages"].clone()
}

/// An answered call `a`, for histories.
fn called(then: Value) -> Value {
    messages(json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {"b": 1, "a": 2}}]},
        {"role": "user", "content": then},
    ]))
}
