//! What a provider is really sent, over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use serde_json::{Value, json};
use world::{Script, World, question};

#[tokio::test]
async fn what_a_deployment_does_not_take_is_not_sent_to_it() {
    let drop = "additional_drop_params: [temperature, metadata, top_k]";
    let config = format!(
        "model_list:\n\
         - {{model_name: chat, litellm_params: {{model: openai/x, api_base: PROVIDERS/one, api_key: k, {drop}}}}}\n\
         - {{model_name: claude, litellm_params: {{model: anthropic/x, api_base: PROVIDERS/two, api_key: k, {drop}}}}}\n\
         - {{model_name: all, litellm_params: {{model: anthropic/x, api_base: PROVIDERS/two, api_key: k}}}}\n"
    );
    let chat = Script::json(
        200,
        json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}),
    );
    let message = Script::json(200, json!({"type": "message", "content": []}));
    let world = World::start(&config, &[("one", &[chat]), ("two", &[message])]).await;
    let keys = ["temperature", "metadata", "top_k", "top_p"];
    for (path, model, left) in [
        ("/v1/messages", "chat", &["top_p"][..]),
        ("/v1/chat/completions", "chat", &["top_p"]),
        ("/v1/messages", "claude", &["top_p"]),
        // For Anthropic a chat has neither, and its user is another key.
        ("/v1/chat/completions", "claude", &["top_p"]),
        ("/v1/messages", "all", &keys),
    ] {
        let mut body = question(model, false);
        body["temperature"] = json!(0.5);
        body["top_p"] = json!(0.9);
        body["top_k"] = json!(5);
        body["metadata"] = json!({"user_id": "u"});
        let response = world.post(path, &body).await;
        assert_eq!(response.status(), 200, "{path} {model}");
        let sent = world.sent().pop().unwrap().json();
        let there = keys.into_iter().filter(|key| sent.get(key).is_some());
        assert_eq!(there.collect::<Vec<_>>(), left, "{path} {model}: {sent}");
        assert_ne!(sent["messages"], Value::Null);
    }
}
