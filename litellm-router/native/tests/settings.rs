//! Settings of the router that nothing else shows over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use world::{Script, World, chunk, question, text_of, told};

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

/// The status of a call with a key of the caller's own.
async fn with_own_key(world: &World, model: &str) -> u16 {
    let request = world.http.post(world.url("/v1/messages"));
    let request = request
        .header("x-api-key", "their-own")
        .json(&question(model, false));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_callers_own_key_goes_where_the_routers_key_may_not_for_now() {
    let hello = Script::chat("hello");
    let checked = config("enable_pre_call_checks: true");
    let world = World::start(&checked, &[("one", std::slice::from_ref(&hello))]).await;
    // A minute may turn in between, but not twice.
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(world.ask("a", false).await.status().as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(with_own_key(&world, "a").await, 200);

    // What the router's key has closed is open to it as well.
    let slow_down = Script::json(429, json!({"error": {"message": "slow down"}}));
    let scripts = [("one", &[slow_down, hello][..])];
    let world = World::start(&config("allowed_fails: 0, cooldown_time: 600"), &scripts).await;
    assert_eq!(world.ask("a", false).await.status(), 429);
    assert_eq!(world.ask("a", false).await.status(), 429);
    assert_eq!(world.asked().len(), 1, "it is cooling down");
    assert_eq!(with_own_key(&world, "a").await, 200);
}

fn failing() -> Script {
    Script::json(500, json!({"error": {"message": "fell over"}}))
}

#[tokio::test]
async fn where_no_group_is_named_for_it_the_default_ones_answer() {
    let settings = "default_fallbacks: [b]";
    let scripts = [("one", &[failing()][..]), ("two", &[Script::chat("hello")])];
    let world = World::start(&config(settings), &scripts).await;
    let text = world.ask("a", true).await.text().await.unwrap();
    assert_eq!(text_of(&text), "hello");
    assert_eq!(world.asked(), ["one", "two"]);
}

#[tokio::test]
async fn a_conversation_that_is_too_long_goes_to_who_takes_longer_ones() {
    let too_long = Script::json(
        400,
        json!({"error": {"message": "too long", "code": "context_length_exceeded"}}),
    );
    // What is wrong in another way goes there as little as what is well.
    for (refusal, asked) in [(too_long, &["one", "two"][..]), (failing(), &["one"])] {
        let scripts = [("one", &[refusal][..]), ("two", &[Script::chat("hello")])];
        let settings = "context_window_fallbacks: [{a: [b]}]";
        let world = World::start(&config(settings), &scripts).await;
        world.ask("a", false).await;
        assert_eq!(world.asked(), asked);
    }
}

#[tokio::test]
async fn a_provider_that_says_when_to_come_back_is_heard() {
    let wait = |seconds: &str| {
        let error = json!({"error": {"message": "slow down"}});
        Script::json(429, error).with("retry-after", seconds)
    };
    let config = "router_settings: {num_retries: 1, disable_cooldowns: true}\nmodel_list:\n\
                  - {model_name: a, litellm_params: {model: openai/1, api_base: PROVIDERS/one}}\n";
    let scripts = [("one", &[wait("2"), Script::chat("hello")][..])];
    let world = World::start(config, &scripts).await;
    let began = Instant::now();
    assert_eq!(world.ask("a", false).await.status(), 200);
    // Without its word it would have been asked after 1.25 s at the latest.
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(world.asked().len(), 2);
    // Nobody is kept waiting for an hour; who calls is told instead.
    let world = World::start(config, &[("one", &[wait("3600")])]).await;
    let response = world.ask("a", false).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "3600");
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test]
async fn the_timeout_of_the_router_is_that_of_each_deployment_without_its_own() {
    let late = Script::chat("hello").after(Duration::from_secs(600));
    let scripts = [("one", &[late.clone()][..]), ("two", &[late])];
    let world = World::start(&config("timeout: 0.05"), &scripts).await;
    for model in ["a", "b"] {
        let (status, body) = told(world.ask(model, false).await).await;
        assert_eq!(status, 504, "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("0.05 s"), "{message}");
    }
}

/// Model `m` at `one` and `two`, with these settings of the router and of each.
fn pair(strategy: &str, one: &str, two: &str) -> String {
    let entry = |place: &str, more: &str| {
        format!(
            "- {{model_name: m, litellm_params: {{model: openai/x, api_base: PROVIDERS/{place}{more}}}}}\n"
        )
    };
    format!(
        "router_settings: {{routing_strategy: {strategy}}}\nmodel_list:\n{}{}",
        entry("one", one),
        entry("two", two)
    )
}

/// How often each was asked after so many calls, one after the other.
async fn shares(config: &str, scripts: [Script; 2], calls: usize) -> [usize; 2] {
    let [one, two] = scripts;
    let world = World::start(config, &[("one", &[one]), ("two", &[two])]).await;
    for _ in 0..calls {
        let response = world.ask("m", true).await;
        assert_eq!(text_of(&response.text().await.unwrap()), "hello");
    }
    let asked = world.asked();
    ["one", "two"].map(|place| asked.iter().filter(|one| *one == place).count())
}

#[tokio::test]
async fn the_cheapest_is_asked() {
    let price = |dollars: &str| {
        format!(", input_cost_per_token: {dollars}, output_cost_per_token: {dollars}")
    };
    let config = pair("cost-based-routing", &price("0.02"), &price("0.01"));
    let hello = || Script::chat("hello");
    assert_eq!(shares(&config, [hello(), hello()], 8).await, [0, 8]);
}

#[tokio::test]
async fn the_fastest_is_asked_once_both_are_known() {
    let config = pair("latency-based-routing", "", "");
    let slow = Script::chat("hello").after(Duration::from_secs(3));
    let shares = shares(&config, [slow, Script::chat("hello")], 8).await;
    assert_eq!(shares, [1, 7]);
}

#[tokio::test]
async fn who_has_been_used_least_is_asked() {
    let config = pair("usage-based-routing", "", "");
    let using = |tokens: u32| {
        let usage =
            json!({"choices": [], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}});
        Script::events(&[
            &chunk(json!({"content": "hello"}), Value::Null),
            &chunk(json!({}), json!("stop")),
            &format!("data: {usage}\n\n"),
            "data: [DONE]\n\n",
        ])
    };
    // One call to the first uses as much as twenty to the second. A minute may turn in between, but not
    // twice.
    let [dear, _] = shares(&config, [using(2_000), using(100)], 12).await;
    assert!((1..=2).contains(&dear), "{dear}");
}

/// How often somebody is asked when the same question comes so often with these headers and keys.
async fn asked_with(settings: &str, header: Option<&str>, more: Value) -> (usize, World) {
    let config = format!("{}litellm_settings: {{{settings}}}\n", config(""));
    let world = World::start(&config, &[("one", &[Script::chat("hello")])]).await;
    for _ in 0..3 {
        let mut question = question("a", true);
        for (key, value) in more.as_object().unwrap() {
            question[key] = value.clone();
        }
        let mut request = world.http.post(world.url("/v1/messages")).json(&question);
        if let Some(header) = header {
            request = request.header("cache-control", header);
        }
        let response = request.send().await.unwrap();
        let kept = response.headers().contains_key("x-litellm-cache-key");
        let text = response.text().await.unwrap();
        assert_eq!(text_of(&text), "hello", "{kept}");
    }
    (world.asked().len(), world)
}

#[tokio::test]
async fn answers_are_kept_where_that_is_wanted_and_nowhere_else() {
    let tools = json!({"tools": [{"name": "Bash", "input_schema": {"type": "object"}}]});
    let no_store = json!({"cache": {"no-store": true}});
    for (settings, header, more, asked) in [
        ("", None, json!({}), 3),
        ("cache: false", None, json!({}), 3),
        ("cache: true", None, json!({}), 1),
        ("cache: true", None, tools.clone(), 3),
        (
            "cache: true, cache_params: {with_tools: true}",
            None,
            tools,
            1,
        ),
        (
            "cache: true, cache_params: {max_bytes: 10}",
            None,
            json!({}),
            3,
        ),
        ("cache: true", Some("no-store"), json!({}), 3),
        ("cache: true", None, no_store, 3),
    ] {
        let (times, world) = asked_with(settings, header, more.clone()).await;
        assert_eq!(times, asked, "{settings} {header:?} {more}");
        if header.is_some() {
            // Nothing was kept for those who would take it.
            world.ask("a", true).await.text().await.unwrap();
            assert_eq!(world.asked().len(), asked + 1);
        }
    }
}
