//! What a provider is really sent, over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use serde_json::{Value, json};
use world::{Script, World, question, told};

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

#[tokio::test]
async fn what_runs_at_anthropic_is_dropped_where_either_setting_says_so() {
    for (of_all, own, status) in [
        ("", "", 400),
        ("drop_params: true", "", 200),
        ("", ", drop_params: true", 200),
        // What an entry says of itself comes first.
        ("drop_params: true", ", drop_params: false", 400),
    ] {
        let config = format!(
            "litellm_settings: {{{of_all}}}\nmodel_list:\n\
             - {{model_name: chat, litellm_params: {{model: openai/x, api_base: PROVIDERS/one{own}}}}}\n"
        );
        let world = World::start(&config, &[("one", &[Script::chat("hello")])]).await;
        let mut body = question("chat", true);
        body["tools"] = json!([{"type": "web_search_20250305", "name": "web_search"}]);
        let response = world.post("/v1/messages", &body).await;
        assert_eq!(response.status(), status, "{of_all}{own}");
        for sent in world.sent() {
            assert_eq!(sent.json().get("tools"), None);
        }
    }
}

#[tokio::test]
async fn a_beta_that_nobody_knows_does_no_harm_and_stays_here() {
    let config = "model_list:\n\
                  - {model_name: chat, litellm_params: {model: openai/x, api_base: PROVIDERS/one}}\n";
    let world = World::start(config, &[("one", &[Script::chat("hello")])]).await;
    for path in ["/v1/messages", "/v1/chat/completions"] {
        let request = world.http.post(world.url(path));
        let request = request
            .header("anthropic-beta", "made-up-2099-01-01,another-one")
            .header("anthropic-version", "2099-01-01")
            .json(&question("chat", true));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.text().await.unwrap().contains("hello"));
        let sent = world.sent().pop().unwrap();
        let theirs = sent.headers.keys().map(|name| name.as_str());
        let theirs: Vec<_> = theirs.filter(|name| name.contains("anthropic")).collect();
        assert!(theirs.is_empty(), "{path}: {theirs:?}");
    }
}

#[tokio::test]
async fn a_chats_limit_that_is_none_is_refused_by_who_is_asked_in_the_callers_dialect() {
    let config = "model_list:\n\
        - {model_name: chat, litellm_params: {model: openai/x, api_base: PROVIDERS/one}}\n\
        - {model_name: claude, litellm_params: {model: anthropic/x, api_base: PROVIDERS/two, api_key: k}}\n";
    let refusal =
        json!({"error": {"message": "max_tokens is too small", "type": "invalid_request_error"}});
    let scripts = [("one", &[Script::json(400, refusal)][..])];
    let world = World::start(config, &scripts).await;
    for (model, asked) in [("chat", 1), ("claude", 1)] {
        let mut body = question(model, false);
        body["max_tokens"] = json!(-5);
        let (status, answer) = told(world.post("/v1/chat/completions", &body).await).await;
        assert_eq!(status, 400, "{model}: {answer}");
        let error = &answer["error"];
        assert_eq!(error["type"], "invalid_request_error", "{model}: {answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("max_tokens"), "{model}: {message}");
        // One speaks the caller's dialect, and is sent the caller's bytes. For the other they have to be
        // understood first.
        assert_eq!(world.asked().len(), asked, "{model}");
    }
    assert_eq!(world.sent()[0].json()["max_tokens"], -5);
}
