//! Who may call, how much, and what is known of it afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use serde_json::{Value, json};
use world::{Script, World, chunk, question, text_of, told};

const CONFIG: &str = "
model_list:
- model_name: priced
  litellm_params: {model: openai/x, api_base: PROVIDERS/one, api_key: router-key,
    input_cost_per_token: 0.01, output_cost_per_token: 0.02, cache_read_input_token_cost: 0.001}
- {model_name: free, litellm_params: {model: openai/x, api_base: PROVIDERS/one, api_key: router-key}}
- {model_name: theirs, litellm_params: {model: openai/x, api_base: PROVIDERS/one, api_key: router-key,
                                       configurable_clientside_auth_params: [api_key]}}
general_settings:
  master_key: sk-master
  keys:
  - {name: team, key: sk-team, models: [pri*], limits: {max_budget: 0.5}}
  - {name: quick, key: sk-quick, limits: {rpm_limit: 2}}
  session_limits: {max_tokens: 50}
  allowed_origins: [https://ui.example]
litellm_settings:
  cache: true
";

/// 20 tokens in, of which 10 from a cache, 5 out: $0.21.
fn answer() -> Script {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 10}}});
    Script::events(&[
        &chunk(json!({"content": "hello"}), Value::Null),
        &chunk(json!({}), json!("stop")),
        &format!("data: {usage}\n\n"),
        "data: [DONE]\n\n",
    ])
}

struct Caller<'w> {
    world: &'w World,
    headers: Vec<(&'static str, &'static str)>,
}

impl Caller<'_> {
    async fn send(&self, path: &str, body: Option<Value>) -> reqwest::Response {
        let url = self.world.url(path);
        let mut request = match &body {
            Some(body) => self.world.http.post(url).json(body),
            None => self.world.http.get(url),
        };
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// Asks something that nobody has asked before.
    async fn ask(&self, model: &str, stream: bool) -> (u16, Value) {
        let mut question = question(model, stream);
        let number = self.world.asked().len();
        question["messages"][0]["content"] = json!(format!("question {number}"));
        told(self.send("/v1/messages", Some(question)).await).await
    }
}

fn caller<'w>(world: &'w World, key: &'static str) -> Caller<'w> {
    Caller {
        world,
        headers: vec![("x-api-key", key)],
    }
}

#[tokio::test]
async fn a_key_is_for_its_models_and_its_budget() {
    let world = World::start(CONFIG, &[("one", &[answer()])]).await;
    let team = caller(&world, "sk-team");
    let (status, body) = team.ask("free", false).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (403, &json!("permission_error"))
    );
    // $0.21 a call: the third reaches the budget of $0.50, the fourth is over it.
    for _ in 0..3 {
        assert_eq!(team.ask("priced", true).await.0, 200);
    }
    let (status, body) = team.ask("priced", true).await;
    assert_eq!(status, 429);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("team") && message.contains("budget of $0.5"),
        "{message}"
    );
    // The router's own key went upstream, not the caller's.
    assert_eq!(
        world.sent()[0].headers["authorization"],
        "Bearer router-key"
    );
    let spend = caller(&world, "sk-master")
        .send("/spend/keys/team", None)
        .await;
    let (_, spend) = told(spend).await;
    assert_eq!(spend["total"]["requests"], 3);
    assert!(
        (spend["total"]["cost_usd"].as_f64().unwrap() - 0.63).abs() < 1e-9,
        "{spend}"
    );
}

#[tokio::test]
async fn a_key_that_is_sent_in_somebodys_name_goes_to_no_server_of_the_operators() {
    let world = World::start(CONFIG, &[("one", &[answer()])]).await;
    let vouched = |key: &'static str, alice: &'static str| Caller {
        world: &world,
        headers: vec![("x-api-key", key), ("x-agent-router-provider-key", alice)],
    };
    let alice = vouched("sk-master", "sk-ant-api03-alice");
    for stream in [true, false] {
        assert_eq!(alice.ask("priced", stream).await.0, 200);
    }
    for sent in world.sent() {
        assert_eq!(sent.headers["authorization"], "Bearer router-key");
        assert!(
            !format!("{:?}", sent.headers).contains("alice"),
            "{:?}",
            sent.headers
        );
    }
    // One whose entry says that it takes such keys.
    assert_eq!(alice.ask("theirs", false).await.0, 200);
    let last = world.sent().pop().unwrap();
    assert_eq!(last.headers["authorization"], "Bearer sk-ant-api03-alice");
    // One that cannot be read is not a reason to use the router's, nor does it ask for the books.
    for unreadable in ["", " ", "k\u{e9}y"] {
        let (status, body) = vouched("sk-master", unreadable).ask("free", false).await;
        assert_eq!(status, 401, "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("x-agent-router-provider-key"), "{message}");
    }
    assert_eq!(world.asked().len(), 3);
    // From others it says nothing.
    let (status, _) = vouched("sk-quick", "sk-ant-api03-alice")
        .ask("free", false)
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        vouched("not-mine", "sk-ant-api03-alice")
            .ask("free", false)
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn the_routers_key_counts_where_it_goes_instead_of_somebodys() {
    let config = "
model_list:
- {model_name: a, litellm_params: {model: openai/x, api_base: PROVIDERS/one, api_key: k, rpm: 2}}
general_settings: {master_key: sk-master}
router_settings: {enable_pre_call_checks: true, num_retries: 0}
";
    let world = World::start(config, &[("one", &[answer()])]).await;
    let alice = Caller {
        world: &world,
        headers: vec![
            ("x-api-key", "sk-master"),
            ("x-agent-router-provider-key", "sk-ant-api03-alice"),
        ],
    };
    // A minute may turn in between, but not twice.
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(alice.ask("a", false).await.0);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_chat_that_streams_is_metered_though_its_caller_wants_no_usage() {
    let world = World::start(CONFIG, &[("one", &[answer()])]).await;
    let team = caller(&world, "sk-team");
    let question = json!({"model": "priced", "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    // LiteLLM's base URL has no /v1 at its end.
    let told = team.send("/chat/completions", Some(question)).await;
    let text = told.text().await.unwrap();
    assert!(
        text.contains("hello") && !text.contains("prompt_tokens"),
        "{text}"
    );
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let sent = world.sent().remove(0).json();
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    let spend = caller(&world, "sk-master")
        .send("/spend/keys/team", None)
        .await;
    let spend: Value = spend.json().await.unwrap();
    assert!(
        (spend["total"]["cost_usd"].as_f64().unwrap() - 0.21).abs() < 1e-9,
        "{spend}"
    );
    // Numbers of others are not for the holder of a key.
    for path in ["/spend/keys/quick", "/metrics"] {
        assert_eq!(team.send(path, None).await.status(), 401);
    }
}

#[tokio::test]
async fn requests_a_minute_are_limited() {
    let world = World::start(CONFIG, &[("one", &[answer()])]).await;
    let quick = caller(&world, "sk-quick");
    // A minute may turn in between, but not twice.
    let mut refused = 0;
    for _ in 0..6 {
        refused += u32::from(quick.ask("free", false).await.0 == 429);
    }
    assert!((2..=4).contains(&refused), "{refused}");
}

#[tokio::test]
async fn a_session_has_its_own_limit_and_books() {
    let world = World::start(CONFIG, &[("one", &[answer()])]).await;
    let mut session = caller(&world, "sk-master");
    session.headers.push(("x-agent-router-session", "s-1"));
    for status in [200, 200, 429] {
        assert_eq!(session.ask("free", true).await.0, status);
    }
    let mut other = caller(&world, "sk-master");
    other.headers.push(("x-agent-router-session", "s-2"));
    assert_eq!(other.ask("free", true).await.0, 200);
    let (_, spend) = told(session.send("/spend/sessions/s-1", None).await).await;
    let total = &spend["total"];
    assert_eq!(
        (
            &total["input_tokens"],
            &total["cache_read_tokens"],
            &total["output_tokens"]
        ),
        (&json!(20), &json!(20), &json!(10))
    );
    // What has no price is counted as such, and not as free.
    assert_eq!(total["unpriced_requests"], 2);
    // A caller with a provider's key of its own cannot speak for a session.
    let mut stranger = caller(&world, "sk-own");
    stranger.headers.push(("x-agent-router-session", "s-1"));
    assert_eq!(stranger.ask("free", true).await.0, 401);
    assert_eq!(
        stranger.send("/spend/sessions/s-1", None).await.status(),
        401
    );
}

#[tokio::test]
async fn the_same_request_is_answered_from_memory_where_that_is_wanted() {
    let world = World::start(CONFIG, &[("one", &[answer()])]).await;
    let mut master = caller(&world, "sk-master");
    for stream in [true, false] {
        let before = world.asked().len();
        let first = master
            .send("/v1/messages", Some(question("free", stream)))
            .await;
        let first = first.text().await.unwrap();
        assert_eq!(text_of(&first), "hello");
        let again = master
            .send("/v1/messages", Some(question("free", stream)))
            .await;
        assert!(again.headers().contains_key("x-litellm-cache-key"));
        assert_eq!(again.text().await.unwrap(), first);
        assert_eq!(world.asked().len(), before + 1);
    }
    // It is counted, costs nothing, and is nobody's failure.
    let numbers = master.send("/metrics", None).await.text().await.unwrap();
    for (cache, count) in [("miss", 2), ("hit", 2)] {
        let line = format!(
            r#"{{model="free",route="/v1/messages",status_code="200",outcome="completed",cache="{cache}"}} {count}"#
        );
        assert!(numbers.contains(&line), "{line}\nis not in\n{numbers}");
    }
    // Not for who does not want it, and never for a request with tools.
    let before = world.asked().len();
    let mut with_tools = question("free", false);
    with_tools["tools"] = json!([{"name": "Bash", "input_schema": {"type": "object"}}]);
    for _ in 0..2 {
        master.send("/v1/messages", Some(with_tools.clone())).await;
    }
    master.headers.push(("cache-control", "no-cache"));
    master
        .send("/v1/messages", Some(question("free", true)))
        .await;
    assert_eq!(world.asked().len(), before + 3);
}

#[tokio::test]
async fn metrics_count_what_happened_and_name_nothing_that_callers_wrote() {
    let config = CONFIG.replace("- {model_name: free,", "- {model_name: 'free*',");
    let failing = Script::json(500, json!({"error": {"message": "no"}}));
    let world = World::start(&config, &[("one", &[answer(), failing, answer()])]).await;
    let master = caller(&world, "sk-master");
    assert_eq!(master.ask("priced", true).await.0, 200);
    assert_eq!(master.ask("free-made-up-name", false).await.0, 200);
    assert_eq!(
        caller(&world, "").send("/metrics", None).await.status(),
        401
    );
    let numbers = master.send("/metrics", None).await.text().await.unwrap();
    for line in [
        r#"litellm_proxy_total_requests_metric_total{model="priced",route="/v1/messages",status_code="200",outcome="completed",cache="miss"} 1"#,
        r#"litellm_output_tokens_metric_total{model="priced"} 5"#,
        r#"litellm_cached_tokens_metric_total{model="free*"} 10"#,
        r#"litellm_spend_metric_total{model="priced"} 0.21"#,
        r#"litellm_deployment_failure_responses_total{model_id="free*#1",exception_class="InternalServerError"} 1"#,
        r#"litellm_deployment_in_flight{model_id="priced#0"} 0"#,
    ] {
        assert!(numbers.contains(line), "{line}\nis not in\n{numbers}");
    }
    assert!(!numbers.contains("made-up"), "{numbers}");
}

#[tokio::test]
async fn pages_of_named_origins_may_call_and_others_may_not() {
    let world = World::start(CONFIG, &[("one", &[answer()])]).await;
    let mut page = caller(&world, "sk-master");
    page.headers.push(("origin", "https://ui.example"));
    let response = page
        .send("/v1/messages", Some(question("free", true)))
        .await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["access-control-allow-origin"],
        "https://ui.example"
    );
    let asks = world
        .http
        .request(reqwest::Method::OPTIONS, world.url("/v1/messages"));
    let asks = asks.header("origin", "https://ui.example");
    let asks = asks.header("access-control-request-headers", "x-api-key");
    let answer = asks.send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(
        answer.headers()["access-control-allow-headers"],
        "x-api-key"
    );
    page.headers[1].1 = "https://evil.example";
    let refused = page
        .send("/v1/messages", Some(question("free", true)))
        .await;
    assert_eq!(refused.status(), 403);
    assert!(
        !refused
            .headers()
            .contains_key("access-control-allow-origin")
    );
}

/// What has been used by the books of the key `team`.
async fn spent(world: &World) -> Value {
    let master = caller(world, "sk-master");
    let (_, spend) = told(master.send("/spend/keys/team", None).await).await;
    spend["total"].clone()
}

#[tokio::test]
async fn who_leaves_before_the_answer_begins_has_used_what_was_sent() {
    let late = answer().after(std::time::Duration::from_secs(600));
    for stream in [false, true] {
        let world = World::start(CONFIG, &[("one", std::slice::from_ref(&late))]).await;
        let team = caller(&world, "sk-team");
        let mut long = question("priced", stream);
        long["messages"][0]["content"] = json!("x".repeat(7_000));
        let asked = team.send("/v1/messages", Some(long));
        let reached = world.until("the provider is asked", |world| !world.asked().is_empty());
        tokio::select! {
            _ = asked => panic!("it was answered"),
            () = reached => {}
        }
        let mut total = Value::Null;
        for _ in 0..1_000 {
            total = spent(&world).await;
            if total["requests"] == 1 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let input = total["input_tokens"].as_f64().unwrap();
        assert!((2_000.0..2_200.0).contains(&input), "{total}");
        let cost = total["cost_usd"].as_f64().unwrap();
        assert!((cost - input * 0.01).abs() < 1e-6, "{total}");
    }
}

#[tokio::test]
async fn who_has_limits_is_not_tried_for_more_often_and_pays_for_each_time() {
    let config = format!("{CONFIG}router_settings: {{num_retries: 1}}\n");
    let late = answer().after(std::time::Duration::from_secs(600));
    let world = World::start(&config, &[("one", &[late])]).await;
    let mut hurried = question("priced", false);
    hurried["timeout"] = json!(0.05);
    hurried["num_retries"] = json!(20);
    hurried["messages"][0]["content"] = json!("x".repeat(70));
    let team = caller(&world, "sk-team");
    let response = team.send("/v1/messages", Some(hurried.clone())).await;
    assert_eq!(response.status(), 504);
    assert_eq!(world.asked().len(), 2);
    let total = spent(&world).await;
    let sent: usize = world.sent().iter().map(|sent| sent.body.len()).sum();
    let estimate = (sent * 2 / 7) as f64;
    let input = total["input_tokens"].as_f64().unwrap();
    assert!((input - estimate).abs() < 4.0, "{estimate} {total}");
    assert!((total["cost_usd"].as_f64().unwrap() - input * 0.01).abs() < 1e-6);
    // Who has none may have it tried as often as it likes.
    hurried["num_retries"] = json!(2);
    let master = caller(&world, "sk-master");
    master.send("/v1/messages", Some(hurried)).await;
    assert_eq!(world.asked().len(), 5);
}

#[tokio::test]
async fn a_cost_that_is_known_in_part_is_told_to_be_one() {
    let config =
        format!("{CONFIG}router_settings: {{num_retries: 0, fallbacks: [{{priced: [free]}}]}}\n");
    let config = config.replace("models: [pri*], ", "").replace(
        "PROVIDERS/one, api_key: router-key,",
        "PROVIDERS/late, api_key: router-key, timeout: 0.05,",
    );
    let late = answer().after(std::time::Duration::from_secs(600));
    let world = World::start(&config, &[("late", &[late]), ("one", &[answer()])]).await;
    let team = caller(&world, "sk-team");
    assert_eq!(team.ask("priced", false).await.0, 200);
    let total = spent(&world).await;
    assert!(total["cost_usd"].as_f64().unwrap() > 0.0, "{total}");
    assert_eq!(total["unpriced_requests"], 1, "{total}");
}

#[tokio::test]
async fn a_provider_that_itself_says_it_has_had_no_time_has_used_nothing() {
    let config = format!("{CONFIG}router_settings: {{num_retries: 0}}\n");
    for status in [408, 504] {
        let failing = Script::json(status, json!({"error": {"message": "upstream timed out"}}));
        let world = World::start(&config, &[("one", &[failing])]).await;
        let team = caller(&world, "sk-team");
        assert!(team.ask("priced", false).await.0 >= 400);
        let total = spent(&world).await;
        assert_eq!(total["requests"], 1, "{total}");
        assert_eq!(total["input_tokens"], 0, "{total}");
    }
}

#[tokio::test]
async fn what_one_may_ask_for_is_not_kept_for_another_who_may_not() {
    let world = World::start(CONFIG, &[("one", &[answer()])]).await;
    let mut wishing = question("priced", false);
    wishing["fallbacks"] = json!(["free"]);
    // The second may not fall back on it, the third asks in the words of another version.
    let master = caller(&world, "sk-master");
    let team = caller(&world, "sk-team");
    let mut other = caller(&world, "sk-master");
    other.headers.push(("anthropic-version", "2023-01-01"));
    for (caller, asked) in [
        (&master, 1),
        (&team, 2),
        (&other, 3),
        (&master, 3),
        (&team, 3),
    ] {
        caller.send("/v1/messages", Some(wishing.clone())).await;
        assert_eq!(world.asked().len(), asked);
    }
    // What stands behind the question mark goes to Anthropic as well.
    for _ in 0..2 {
        let beta = master.send("/v1/messages?beta=true", Some(wishing.clone()));
        beta.await;
        assert_eq!(world.asked().len(), 4);
    }
}
