//! What can be said to a call before anybody is asked.

use litellm_router::config;
use litellm_router::serve::LARGEST_BODY;
use serde_json::json;

use super::{CONFIG, Outcome, ask, client};

#[test]
fn paths_and_methods_have_their_statuses() {
    let client = client(CONFIG, &[]);
    for (method, path, status) in [
        ("HEAD", "/", 200),
        ("GET", "/health", 200),
        ("GET", "/health/liveliness", 200),
        ("GET", "/health/readiness", 200),
        ("GET", "/worker-health", 200),
        ("GET", "/v1/models?limit=1000", 200),
        ("GET", "/v1/models/groq/openai/gpt-oss-120b", 200),
        ("GET", "/v1/models/groq%2Fany", 200),
        ("GET", "/v1/models/unknown/model", 404),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/messages", 405),
        ("GET", "/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/chat/completions", 400),
    ] {
        assert_eq!(
            client.answer(method, path, b"").0,
            status,
            "{method} {path}"
        );
    }
    let Outcome::Answer(refused) = client.call("DELETE", "/v1/messages", b"") else {
        panic!()
    };
    assert!(refused.headers.contains(&("allow".into(), "POST".into())));
}

#[test]
fn a_wrong_body_is_told_what_is_wrong() {
    let client = client(CONFIG, &[]);
    let (status, body) = client.answer("POST", "/v1/messages?beta=true", b"{\"model\":7}");
    assert_eq!(status, 400);
    assert_eq!(body["type"], "error");
    assert_eq!(body["error"]["type"], "invalid_request_error");
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("model: "),
        "{body}"
    );
    let large = vec![b' '; LARGEST_BODY + 1];
    let (status, body) = client.answer("POST", "/v1/messages", &large);
    assert_eq!(
        (status, &body["error"]["type"]),
        (413, &json!("request_too_large"))
    );
}

#[test]
fn an_unknown_model_is_told_its_neighbours() {
    let (status, body) = client(CONFIG, &[]).ask("local/dem");
    assert_eq!(
        (status, &body["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("local/dem ") && message.contains("local/demo"),
        "{message}"
    );
}

#[test]
fn pages_of_the_web_can_call_no_model() {
    let page = client(CONFIG, &[]).with("origin", "https://evil.example");
    assert_eq!(page.ask("local/demo").0, 403);
}

#[test]
fn c02_the_bundled_models_are_listed_with_what_is_available() {
    let client = client(config::BUNDLED, &[("GROQ_API_KEY", "k")]);
    let (_, page) = client.answer("GET", "/v1/models", b"");
    let models: Vec<(&str, bool)> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| {
            (
                model["id"].as_str().unwrap(),
                model["available"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        models,
        [
            ("local/demo", true),
            ("groq/openai/gpt-oss-120b", true),
            ("groq/openai/gpt-oss-20b", true),
            ("groq/moonshotai/kimi-k2-instruct", true),
            ("openrouter/z-ai/glm-4.5-air", false),
            ("openrouter/z-ai/glm-4.5", false),
            ("openrouter/qwen/qwen3-coder", false),
        ]
    );
}

#[test]
fn health_names_keys_and_never_shows_them() {
    let client = client(CONFIG, &[("GROQ_API_KEY", "gsk-secret")]);
    let (_, health) = client.answer("GET", "/worker-health", b"");
    assert_eq!(health["internal_keys"], json!(["groq"]));
    assert_eq!(health["service"], "litellm-router");
    assert!(!health.to_string().contains("gsk-secret"));
}
