//! Settings of the router that nothing else shows over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use serde_json::json;
use world::{Script, World, question, text_of};

fn config(settings: &str) -> String {
    format!(
        "router_settings: {{num_retries: 0, {settings}}}\nmodel_list:\n\
         - {{model_name: a, litellm_params: {{model: openai/1, api_base: PROVIDERS/one, rpm: 2}}}}\n\
         - {{model_name: b, litellm_params: {{model: openai/2, api_base: PROVIDERS/two}}}}\n"
    )
}

#[tokio::test]
async fn what_a_filter_refuses_goes_to_the_groups_that_are_for_it_alone() {
    let filtered = Script::json(
        400,
        json!({"error": {"message": "flagged", "code": "content_policy_violation"}}),
    );
    let wrong = Script::json(400, json!({"error": {"message": "no such parameter"}}));
    for (refusal, status, asked) in [(filtered, 200, &["one", "two"][..]), (wrong, 400, &["one"])] {
        let scripts = [("one", &[refusal][..]), ("two", &[Script::chat("hello")])];
        let world = World::start(&config("content_policy_fallbacks: [{a: [b]}]"), &scripts).await;
        assert_eq!(world.ask("a", false).await.status(), status);
        assert_eq!(world.asked(), asked);
    }
}

#[tokio::test]
async fn a_group_answers_to_its_other_names() {
    let aliases = "model_group_alias: {short: b, secret: {model: b, hidden: true}}";
    let world = World::start(&config(aliases), &[("two", &[Script::chat("hello")])]).await;
    for name in ["short", "secret"] {
        let text = world.ask(name, true).await.text().await.unwrap();
        assert_eq!(text_of(&text), "hello");
        // It is told by the name that was asked for.
        assert!(text.contains(&format!("\"model\":\"{name}\"")), "{text}");
    }
    assert_eq!(world.sent()[0].json()["model"], "2");
    let models = world.http.get(world.url("/v1/models")).send().await;
    let models = models.unwrap().text().await.unwrap();
    assert!(
        models.contains("short") && !models.contains("secret"),
        "{models}"
    );
}

#[tokio::test]
async fn a_limit_of_a_deployment_holds_where_calls_are_checked_before() {
    for (settings, refused) in [("enable_pre_call_checks: true", true), ("", false)] {
        let scripts = [("one", &[Script::chat("hello")][..])];
        let world = World::start(&config(settings), &scripts).await;
        // A minute may turn in between, but not twice.
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(world.ask("a", false).await.status().as_u16());
        }
        assert_eq!(statuses.contains(&429), refused, "{statuses:?}");
        assert_eq!(statuses.first(), Some(&200));
    }
}

#[tokio::test]
async fn a_callers_own_key_uses_up_nothing_of_what_the_routers_key_may() {
    let refused = Script::json(401, json!({"error": {"message": "no such key"}}));
    let mut script = vec![refused; 6];
    script.push(Script::chat("hello"));
    let scripts = [("one", &script[..])];
    let world = World::start(&config("enable_pre_call_checks: true"), &scripts).await;
    for _ in 0..6 {
        let request = world.http.post(world.url("/v1/messages"));
        let request = request
            .header("x-api-key", "their-own")
            .json(&question("a", false));
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    assert_eq!(world.ask("a", false).await.status(), 200);
}
