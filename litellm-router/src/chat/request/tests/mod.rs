mod content;
mod conversation;
mod parameters;
mod properties;
mod tools;

use serde_json::{Value, json};

use super::*;
use crate::messages::MessagesRequest;

fn translated(request: &Value) -> Result<Value, Refusal> {
    let call = to_messages(request.to_string().as_bytes())?;
    // Whatever comes out is a Messages request for the rest of the router too.
    MessagesRequest::parse(&call.body)?;
    Ok(serde_json::from_slice(&call.body).unwrap())
}

/// The body for a request that has these fields beside its model and messages.
fn with(fields: Value) -> Value {
    for_model("claude-sonnet-4-5", fields)
}

fn for_model(model: &str, fields: Value) -> Value {
    let mut request = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in fields.as_object().unwrap() {
        request[key] = value.clone();
    }
    translated(&request).unwrap()
}

fn messages(messages: Value) -> Value {
    with(json!({"messages": messages}))
}

fn refused(fields: Value) -> String {
    let mut request =
        json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in fields.as_object().unwrap() {
        request[key] = value.clone();
    }
    let refusal = translated(&request).unwrap_err();
    assert_eq!(refusal.status, 400);
    refusal.message
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}
