//! Calls that fail and come through all the same, and those that do not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use std::time::Duration;

use serde_json::{Value, json};
use world::{Script, World, chunk, question, text_of, told};

/// Models `a` (two deployments), `b` and `c`, with these router_settings.
fn config(settings: &str) -> String {
    let at = |name: &str, place: &str| {
        format!(
            "- {{model_name: {name}, litellm_params: {{model: openai/{place}, \
             api_base: PROVIDERS/{place}, timeout: 2, stream_timeout: 1}}}}\n"
        )
    };
    format!(
        "router_settings: {{{settings}}}\nmodel_list:\n{}{}{}{}",
        at("a", "one"),
        at("a", "two"),
        at("b", "three"),
        at("c", "four")
    )
}

fn failing() -> Script {
    Script::json(500, json!({"error": {"message": "fell over"}}))
}

#[tokio::test]
async fn a_failed_call_is_tried_at_the_other_deployment_at_once() {
    for stream in [true, false] {
        let scripts = [
            ("one", &[failing()][..]),
            ("two", &[Script::chat("hello")][..]),
        ];
        let world = World::start(&config("disable_cooldowns: true"), &scripts).await;
        while !world.asked().contains(&"one".to_owned()) {
            let response = world.ask("a", stream).await;
            assert_eq!(response.status(), 200);
            assert_eq!(text_of(&response.text().await.unwrap()), "hello");
        }
        assert!(world.asked().ends_with(&["one".into(), "two".into()]));
    }
}

#[tokio::test]
async fn an_error_within_the_stream_before_any_content_is_tried_again() {
    let early = Script::events(&["data: {\"error\":{\"message\":\"busy\",\"code\":503}}\n\n"]);
    let world = World::start(&config(""), &[("three", &[early, Script::chat("hello")])]).await;
    let text = world.ask("b", true).await.text().await.unwrap();
    assert_eq!(text_of(&text), "hello");
    assert_eq!(text.matches("message_start\n").count(), 1);
    assert_eq!(world.asked(), ["three", "three"]);
}

#[tokio::test]
async fn after_the_first_token_nothing_is_tried_again() {
    let begun = Script::events(&[
        &chunk(json!({"content": "half"}), Value::Null),
        "data: {\"error\":{\"message\":\"busy\",\"code\":503}}\n\n",
    ]);
    let world = World::start(&config(""), &[("three", &[begun])]).await;
    let text = world.ask("b", true).await.text().await.unwrap();
    assert!(
        text.contains("half") && text.contains("event: error"),
        "{text}"
    );
    assert_eq!(world.asked(), ["three"]);
}

#[tokio::test]
async fn another_group_answers_where_one_is_down_under_the_name_that_was_asked_for() {
    let settings = "num_retries: 0, fallbacks: [{b: [c]}]";
    let world = World::start(
        &config(settings),
        &[("three", &[failing()]), ("four", &[Script::chat("from c")])],
    )
    .await;
    let text = world.ask("b", true).await.text().await.unwrap();
    assert_eq!(text_of(&text), "from c");
    assert!(text.contains("\"model\":\"b\""), "{text}");
    assert_eq!(world.asked(), ["three", "four"]);
}

#[tokio::test]
async fn where_all_are_down_the_first_ones_word_is_told() {
    let settings = "num_retries: 0, fallbacks: [{b: [c]}]";
    let other = Script::json(500, json!({"error": {"message": "c's words"}}));
    let world = World::start(
        &config(settings),
        &[("three", &[failing()]), ("four", &[other])],
    )
    .await;
    let (status, body) = told(world.ask("b", false).await).await;
    assert_eq!(
        (status, body["error"]["message"].as_str().unwrap()),
        (500, "openai: fell over")
    );
}

#[tokio::test]
async fn a_deployment_over_its_limit_is_left_alone_for_a_while() {
    let limited = Script::json(429, json!({"error": {"message": "slow down"}}));
    let world = World::start(
        &config("cooldown_time: 60"),
        &[("one", &[limited]), ("two", &[Script::chat("hello")])],
    )
    .await;
    for _ in 0..20 {
        assert_eq!(world.ask("a", false).await.status(), 200);
    }
    let asked = world.asked();
    assert!(
        asked.iter().filter(|name| *name == "one").count() <= 1,
        "{asked:?}"
    );
}

#[tokio::test]
async fn s13_a_slow_provider_is_given_up_for_the_next() {
    let slow = Script::chat("late").after(Duration::from_secs(60));
    let settings = "num_retries: 0, fallbacks: [{b: [c]}]";
    let world = World::start(
        &config(settings),
        &[("three", &[slow]), ("four", &[Script::chat("soon")])],
    )
    .await;
    let text = world.ask("b", true).await.text().await.unwrap();
    assert_eq!(text_of(&text), "soon");
}

#[tokio::test]
async fn a_stream_has_its_first_words_within_its_own_timeout() {
    // The connection is there, and the provider even says that it is at work.
    let slow = Script::events(&[": processing\n\n"]).hanging();
    let settings = "num_retries: 0, fallbacks: [{b: [c]}]";
    let config = config(settings).replace(
        "timeout: 2, stream_timeout: 1",
        "timeout: 60, stream_timeout: 1",
    );
    let world = World::start(
        &config,
        &[("three", &[slow]), ("four", &[Script::chat("soon")])],
    )
    .await;
    let text = world.ask("b", true).await.text().await.unwrap();
    assert_eq!(text_of(&text), "soon");
}

#[tokio::test]
async fn who_wants_an_answer_sooner_than_it_can_be_had_keeps_nobody_else_from_it() {
    let settings = "num_retries: 0, allowed_fails: 0";
    let slow = Script::chat("hello").after(Duration::from_millis(500));
    let world = World::start(&config(settings), &[("three", &[slow])]).await;
    for stream in [true, false] {
        let mut hasty = question("b", stream);
        hasty["timeout"] = json!(0.1);
        assert_eq!(world.post("/v1/messages", &hasty).await.status(), 504);
        assert_eq!(world.ask("b", stream).await.status(), 200);
    }
}

#[tokio::test]
async fn a_whole_answer_has_to_be_whole_within_its_timeout() {
    let drips = Script {
        parts: vec![(Duration::from_millis(200), " ".into()); 500],
        ..Script::json(200, json!({}))
    };
    let world = World::start(
        &config("num_retries: 0, fallbacks: [{b: [c]}]"),
        &[("three", &[drips]), ("four", &[Script::chat("from c")])],
    )
    .await;
    let text = world.ask("b", false).await.text().await.unwrap();
    assert_eq!(text_of(&text), "from c");
    assert_eq!(world.asked(), ["three", "four"]);
}

#[tokio::test]
async fn a_request_timeout_leaves_time_for_another() {
    let hanging = Script::chat("late").after(Duration::from_secs(60));
    let config = config("num_retries: 0, fallbacks: [{b: [c]}]")
        .replace(", timeout: 2, stream_timeout: 1", "")
        + "litellm_settings: {request_timeout: 1}\n";
    let scripts = [
        ("three", &[hanging][..]),
        ("four", &[Script::chat("soon")][..]),
    ];
    let world = World::start(&config, &scripts).await;
    let text = world.ask("b", false).await.text().await.unwrap();
    assert_eq!(text_of(&text), "soon");
}

#[tokio::test]
async fn a_whole_answer_that_never_ends_is_given_up_at_the_deadline() {
    let mut endless = Script::body(200, "application/json", "");
    endless.parts = vec![(Duration::from_millis(300), " ".into()); 200];
    let settings = "num_retries: 0, retry_policy: {timeout: 1}";
    let world = World::start(&config(settings), &[("three", &[endless])]).await;
    let (status, body) = told(world.ask("b", false).await).await;
    assert_eq!(status, 504, "{body}");
}

#[tokio::test]
async fn a_deployment_that_breaks_in_mid_answer_counts_as_failed() {
    let cut = Script::events(&[&chunk(json!({"content": "x"}), Value::Null)]);
    let config = config("allowed_fails: 0, cooldown_time: 60");
    let scripts = [("one", &[cut][..]), ("two", &[Script::chat("well")][..])];
    let world = World::start(&config, &scripts).await;
    for _ in 0..20 {
        world.ask("a", true).await.text().await.unwrap();
    }
    let ones = world.asked().iter().filter(|name| *name == "one").count();
    assert!(ones <= 1, "{:?}", world.asked());
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_stream() {
    // The provider ends its response a little after its last event.
    let mut late = Script::chat("x");
    late.parts
        .push((Duration::from_millis(20), ": bye\n\n".into()));
    let world = World::start(&config(""), &[("three", &[late])]).await;
    for _ in 0..5 {
        world.ask("b", true).await.text().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let connections: std::collections::HashSet<_> =
        world.sent().iter().map(|sent| sent.from).collect();
    assert_eq!(connections.len(), 1);
}

#[tokio::test]
async fn an_answer_tells_which_deployment_it_comes_from() {
    let settings = "num_retries: 0, fallbacks: [{b: [c]}]";
    let scripts = [
        ("three", &[failing()][..]),
        ("four", &[Script::chat("x")][..]),
    ];
    let world = World::start(&config(settings), &scripts).await;
    for stream in [true, false] {
        let answer = world.ask("b", stream).await;
        assert_eq!(answer.headers()["x-litellm-model-id"], "c#3");
        assert_eq!(answer.headers()["x-litellm-attempted-fallbacks"], "1");
    }
}

#[tokio::test]
async fn nothing_is_tried_after_the_deadline() {
    let settings = "num_retries: 9, retry_policy: {max_retries: 9, timeout: 2}";
    let world = World::start(&config(settings), &[("three", &[failing()])]).await;
    let (status, _) = told(world.ask("b", false).await).await;
    // The last try may begin so late that the deadline ends it.
    assert!([500, 504].contains(&status), "{status}");
    assert!(world.asked().len() <= 4, "{:?}", world.asked());
}

#[tokio::test]
async fn c03_calls_count_as_busy_to_the_end_of_their_stream() {
    let open = Script::events(&[&chunk(json!({"content": "x"}), Value::Null)]).hanging();
    let mut config = config("routing_strategy: least-busy");
    config = config.replace("stream_timeout: 1", "stream_timeout: 600");
    let world = World::start(
        &config,
        &[
            ("one", std::slice::from_ref(&open)),
            ("two", std::slice::from_ref(&open)),
        ],
    )
    .await;
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut response = world.ask("a", true).await;
        response.chunk().await.unwrap();
        held.push(response);
    }
    let ones = world.asked().iter().filter(|name| *name == "one").count();
    assert_eq!(ones, 3, "{:?}", world.asked());
    // Those that end make room: the next calls go where it is.
    let first = world.asked()[0].clone();
    drop(held.remove(0));
    world
        .until("one stream has ended", |world| world.open() == 5)
        .await;
    let mut response = world.ask("a", true).await;
    response.chunk().await.unwrap();
    assert_eq!(world.asked()[6], first);
}

#[tokio::test]
async fn a_conversation_stays_with_its_deployment() {
    let scripts = [Script::chat("x")];
    let world = World::start(&config(""), &[("one", &scripts), ("two", &scripts)]).await;
    for session in ["s1", "s2", "s3", "s4", "s5", "s6"] {
        let before = world.asked().len();
        for _ in 0..5 {
            let request = world.http.post(world.url("/v1/messages"));
            let request = request.header("x-claude-code-session-id", session);
            let response = request.json(&question("a", false)).send().await.unwrap();
            assert_eq!(response.status(), 200);
        }
        let asked = world.asked().split_off(before);
        assert!(asked.iter().all(|name| *name == asked[0]), "{asked:?}");
    }
}

#[tokio::test]
async fn e06_the_words_of_anthropics_refusal_are_the_last_ones_to_the_byte() {
    let config = "model_list:\n- {model_name: m, litellm_params: {model: anthropic/x, \
                  api_base: PROVIDERS/one, api_key: k}}\n\
                  - {model_name: f, litellm_params: {model: openai/x, api_base: PROVIDERS/two}}\n\
                  router_settings: {num_retries: 3, fallbacks: [{m: [f]}]}";
    let body = "{ \"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\
                \"message\":\"messages.1: thinking signature is invalid\"},\"request_id\":\"req_9\"}";
    let refusal = Script::body(400, "application/json", body).with("request-id", "req_9");
    let world = World::start(config, &[("one", &[refusal])]).await;
    let response = world.ask("m", true).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["request-id"], "req_9");
    assert_eq!(response.text().await.unwrap(), body);
    assert_eq!(world.asked(), ["one"]);
}

#[tokio::test]
async fn r18_a_request_that_fits_with_a_shorter_answer_is_sent_again_with_one() {
    let message = "This model's maximum context length is 1000 tokens. However, you requested \
                   1300 tokens (300 in the messages, 1000 in the completion).";
    let refusal = Script::json(
        400,
        json!({"error": {"message": message, "code": "context_length_exceeded"}}),
    );
    let world = World::start(&config(""), &[("three", &[refusal, Script::chat("fits")])]).await;
    let mut request = question("b", false);
    request["max_tokens"] = json!(1000);
    let text = world
        .post("/v1/messages", &request)
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(text_of(&text), "fits");
    let limits: Vec<Value> = world
        .sent()
        .iter()
        .map(|sent| sent.json()["max_tokens"].clone())
        .collect();
    assert_eq!(limits[0], 1000);
    assert!(limits[1].as_u64().unwrap() <= 700, "{limits:?}");
}

#[tokio::test]
async fn everything_can_go_through_another_gateway() {
    let config = "environment_variables: {ANTHROPIC_BASE_URL: PROVIDERS/gateway, ANTHROPIC_AUTH_TOKEN: sk-other}\n\
                  model_list:\n\
                  - {model_name: local/demo, litellm_params: {model: demo/scripted}}\n\
                  - {model_name: 'groq/*', litellm_params: {model: 'groq/*', api_key: k}}";
    let answer = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n\
                  event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let world = World::start(config, &[("gateway", &[Script::events(&[answer])])]).await;
    for model in ["groq/a/b", "claude-x", "anything"] {
        let request = world.http.post(world.url("/v1/messages?beta=true"));
        let request = request
            .header("x-claude-code-session-id", "c-1")
            .header("x-claude-code-agent-id", "a-1")
            .header("x-claude-code-parent-agent-id", "p-1")
            .header("x-agent-router-session", "s-1");
        let response = request.json(&question(model, true)).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), answer);
        let sent = world.sent().pop().unwrap();
        assert_eq!(
            (sent.path.as_str(), &sent.json()["model"]),
            ("/v1/messages", &json!(model))
        );
        assert_eq!(sent.headers["x-api-key"], "sk-other");
        assert_eq!(sent.headers["x-claude-code-session-id"], "c-1");
        assert_eq!(sent.headers["x-claude-code-agent-id"], "a-1");
        assert_eq!(sent.headers["x-claude-code-parent-agent-id"], "p-1");
        assert_eq!(sent.headers["x-agent-router-session"], "s-1");
    }
    // What the router plays itself stays here.
    let text = world.ask("local/demo", true).await.text().await.unwrap();
    assert!(text_of(&text).contains("demo"), "{text}");
    assert_eq!(world.sent().len(), 3);
    // A gateway that is this router itself would never answer.
    let request = world.http.post(world.url("/v1/messages"));
    let request = request.header("x-litellm-router-hop", "1");
    let circle = request.json(&question("m", true)).send().await.unwrap();
    assert_eq!(circle.status(), 508);
}

#[tokio::test]
async fn what_litellm_reads_of_a_body_is_heeded_here_and_goes_no_further() {
    let groups = [
        ("three", &[failing()][..]),
        ("four", &[Script::chat("from c")][..]),
    ];
    let ask = async |controls: Value, door: &str| {
        let world = World::start(&config(""), &groups).await;
        let mut body = question("b", false);
        for (key, value) in controls.as_object().unwrap() {
            body[key] = value.clone();
        }
        let status = world.post(door, &body).await.status().as_u16();
        for sent in world.sent() {
            let sent = sent.json();
            for key in controls.as_object().unwrap().keys() {
                assert_eq!(sent[key], Value::Null, "{key} went upstream");
            }
            assert_eq!(sent["messages"][0]["content"], "hi");
        }
        (status, world.asked().join(" "))
    };
    for door in ["/v1/messages", "/v1/chat/completions"] {
        let asked = async |controls: Value| ask(controls, door).await;
        // Two retries are what the configuration has.
        assert_eq!(
            asked(json!({"tags": ["x"]})).await,
            (500, "three three three".into())
        );
        assert_eq!(
            asked(json!({"num_retries": 0})).await,
            (500, "three".into())
        );
        let elsewhere = json!({"num_retries": 0, "fallbacks": ["nowhere", "c"]});
        assert_eq!(asked(elsewhere).await, (200, "three four".into()));
        // What nobody is to choose but the operator.
        let theirs = json!({"num_retries": 0, "api_base": "http://127.0.0.1:9", "api_key": "k",
            "mock_response": "mocked", "mock_testing_fallbacks": true, "cache": {"no-cache": true}});
        assert_eq!(asked(theirs).await, (500, "three".into()));
    }
    let slow = Script::chat("late").after(Duration::from_secs(20));
    let world = World::start(&config(""), &[("four", &[slow])]).await;
    let mut hasty = question("c", false);
    hasty["timeout"] = json!(0.1);
    hasty["num_retries"] = json!(0);
    let (status, body) = told(world.post("/v1/messages", &hasty).await).await;
    assert_eq!(status, 504, "{body}");
}

#[tokio::test]
async fn a_key_falls_back_on_its_own_models_alone() {
    let config = config("") + "general_settings:\n  keys: [{name: t, key: sk-t, models: [b]}]\n";
    let scripts = [
        ("three", &[failing()][..]),
        ("four", &[Script::chat("no")][..]),
    ];
    let world = World::start(&config, &scripts).await;
    let mut body = question("b", false);
    body["num_retries"] = json!(0);
    body["fallbacks"] = json!(["c"]);
    let request = world.http.post(world.url("/v1/messages")).json(&body);
    let answer = request.header("x-api-key", "sk-t").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), world.asked().len()), (500, 1));
}

#[tokio::test]
async fn r18_a_chats_limit_is_cut_to_the_models_and_lowered_when_it_is_too_high() {
    let config =
        "model_list: [{model_name: m, litellm_params: {model: openai/x, api_base: PROVIDERS/one},
        model_info: {max_output_tokens: 4000}}]";
    let words = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens \
        (5000 in the messages, 4000 in the completion).";
    let too_high = Script::json(400, json!({"error": {"message": words}}));
    let world = World::start(config, &[("one", &[too_high, Script::chat("hello")])]).await;
    let mut chat = question("m", true);
    chat["max_tokens"] = json!(50_000);
    let text = world
        .post("/v1/chat/completions", &chat)
        .await
        .text()
        .await
        .unwrap();
    assert!(text.contains("hello"), "{text}");
    let limits: Vec<u64> = world
        .sent()
        .iter()
        .map(|sent| sent.json()["max_tokens"].as_u64().unwrap())
        .collect();
    assert!(
        limits[0] == 4_000 && limits[1] < 3_200 && limits.len() == 2,
        "{limits:?}"
    );
}

#[tokio::test]
async fn e01_an_overloaded_provider_of_either_dialect_is_529_at_either_door() {
    let config = "
router_settings: {num_retries: 0}
model_list:
- {model_name: chat, litellm_params: {model: openai/x, api_base: PROVIDERS/one}}
- {model_name: messages, litellm_params: {model: anthropic/x, api_base: PROVIDERS/two, api_key: k}}";
    let overloaded =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let scripts = [
        (
            "one",
            &[Script::json(
                503,
                json!({"error": {"message": "The model is overloaded"}}),
            )][..],
        ),
        ("two", &[Script::json(529, overloaded)][..]),
    ];
    let world = World::start(config, &scripts).await;
    for model in ["chat", "messages"] {
        for stream in [true, false] {
            let (status, body) =
                told(world.post("/v1/messages", &question(model, stream)).await).await;
            assert_eq!(
                (status, &body["error"]["type"]),
                (529, &json!("overloaded_error")),
                "{model}"
            );
        }
    }
    // OpenAI's words for it; a provider that speaks chat is told as it is.
    for (model, wanted) in [("messages", 529), ("chat", 503)] {
        let door = "/v1/chat/completions";
        let (status, body) = told(world.post(door, &question(model, true)).await).await;
        let message = body["error"]["message"].as_str().unwrap().to_lowercase();
        assert!(
            status == wanted && message.contains("overloaded"),
            "{model}: {status} {body}"
        );
    }
}
