//! What can be said to a call before anybody is asked.

use std::sync::Arc;

use litellm_router::config;
use litellm_router::relay::Record;
use litellm_router::serve::{self, Call, LARGEST_BODY, Router, Served};
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
    // What it can serve by itself, as the list of models has it: `own` needs no key.
    assert_eq!(
        health["available_providers"],
        json!(["groq", "hosted_vllm"])
    );
}

#[test]
fn what_is_wrong_with_the_configuration_is_hidden_from_strangers_and_not_denied() {
    let yaml = format!("{CONFIG}odd: 1\ngeneral_settings: {{master_key: sk-master}}\n");
    for (key, told) in [("sk-master", true), ("sk-else", false)] {
        let client = client(&yaml, &[]).with("x-api-key", key);
        let (_, health) = client.answer("GET", "/worker-health", b"");
        let warnings = health.get("config_warnings");
        assert_eq!(warnings.is_some(), told, "{health}");
        assert!(warnings.is_none_or(|warnings| warnings.to_string().contains("odd")));
    }
}

#[test]
fn a_router_whose_master_key_is_not_set_says_that_it_refuses_every_call() {
    let yaml = format!("{CONFIG}odd: 1\ngeneral_settings: {{master_key: os.environ/MASTER}}\n");
    let shut = client(&yaml, &[]).with("x-api-key", "sk-master");
    let words = "every call is refused until the variable MASTER is set";
    assert!(shut.router.warnings()[0].starts_with(words));
    assert!(shut.router.asks_for_a_key());
    for (path, status) in [
        ("/", 503),
        ("/health", 503),
        ("/health/readiness", 503),
        ("/health/liveliness", 200),
        ("/worker-health", 503),
    ] {
        let (told, health) = shut.answer("GET", path, b"");
        assert_eq!(told, status, "{path}");
        assert_eq!(health["status"], "unhealthy", "{path}");
        assert!(
            health["error"].as_str().unwrap().starts_with(words),
            "{health}"
        );
    }
    let (status, body) = shut.ask("local/demo");
    assert!(status == 500 && body.to_string().contains(words), "{body}");
    let open = client(&yaml, &[("MASTER", "sk-master")]);
    assert_eq!(open.answer("GET", "/health", b"").0, 200);
    assert!(open.router.shut().is_none());
}

#[test]
fn the_bundled_configuration_serves_each_provider_that_the_readme_names() {
    let client = client(config::BUNDLED, &[]);
    for provider in [
        "anthropic",
        "groq",
        "openrouter",
        "openai",
        "cerebras",
        "deepseek",
        "moonshot",
    ] {
        let (status, model) = client.answer("GET", &format!("/v1/models/{provider}/any"), b"");
        assert_eq!((status, &model["owned_by"]), (200, &json!(provider)));
    }
}

/// What is logged of a call that comes to nothing, if it does before its body is read (`None`) or after.
fn record(client: &super::Client, path: &str, body: Option<&[u8]>) -> Option<Record> {
    let header = |name: &str| client.headers.get(name).map(|value| (*value).to_owned());
    let call = Call {
        method: "POST",
        path,
        header: &header,
        body: body.unwrap_or_default().to_vec().into(),
        entropy: 1,
        came: super::NOW,
        now: super::NOW + 20,
    };
    let served = match body {
        Some(_) => Some(client.served(&call)),
        None => client.router.enter(&call).err(),
    };
    match served {
        Some(Served::Refused(answer, record)) => {
            assert_eq!(answer.status, record.status);
            Some(*record)
        }
        _ => None,
    }
}

#[test]
fn a_call_that_is_refused_leaves_a_line_and_a_number_and_nothing_of_its_content() {
    let yaml = format!(
        "{CONFIG}general_settings:\n  master_key: sk-master\n  keys:\n  \
         - {{name: t, key: sk-team, models: [mocked], limits: {{rpm_limit: 1}}}}\n"
    );
    let team = client(&yaml, &[("GROQ_API_KEY", "k")]).with("x-api-key", "sk-team");
    let ask_secret = |model: &str| {
        let body = String::from_utf8(ask(model)).unwrap();
        body.replace("hi", "sk-content").into_bytes()
    };
    let refused = |path: &str, body: &[u8]| record(&team, path, Some(body)).unwrap();
    let messages = "/v1/messages?key=sk-query";
    assert!(record(&team, messages, Some(&ask_secret("mocked"))).is_none());
    let records = [
        refused(messages, &ask_secret("mocked")),
        refused(messages, &ask_secret("local/demo")),
        refused("/chat/completions", &ask_secret("no-such-model")),
        refused("/v1/messages/count_tokens", b"sk-content"),
        refused(messages, &vec![b' '; LARGEST_BODY + 1]),
        refused("/sk-path", b""),
    ];
    let lines: Vec<String> = records.iter().map(Record::line).collect();
    assert!(!lines.concat().contains("sk-"), "{lines:?}");
    let told = records.map(|record| {
        let trail = record.trail;
        format!("{} {} {}", record.status, trail.route, trail.model)
    });
    assert_eq!(
        told,
        [
            "429 /v1/messages mocked",
            "403 /v1/messages local/demo",
            "404 /v1/chat/completions no-such-model",
            "400 /v1/messages/count_tokens ",
            "413 /v1/messages ",
            "404 other ",
        ]
    );
    // Whose limit it was, and how long it had been waited for.
    for part in [
        r#""outcome":"refused""#,
        r#""accounts":["key:t"]"#,
        r#""ms":20,"#,
    ] {
        assert!(lines[0].contains(part), "{}", lines[0]);
    }
    let numbers = client_with_master(&team).call("GET", "/metrics", b"");
    let Outcome::Answer(numbers) = numbers else {
        panic!("asks somebody")
    };
    let numbers = String::from_utf8(numbers.whole().unwrap().to_vec()).unwrap();
    for line in [
        r#"{model="mocked",route="/v1/messages",status_code="429",outcome="refused",cache="off"} 1"#,
        r#"{model="",route="/v1/chat/completions",status_code="404",outcome="refused",cache="off"} 1"#,
    ] {
        assert!(numbers.contains(line), "{line} is not in\n{numbers}");
    }
    assert!(!numbers.contains("no-such-model"), "{numbers}");
}

fn client_with_master(other: &super::Client) -> super::Client {
    super::Client {
        router: Arc::clone(&other.router),
        headers: [("x-api-key", "sk-master")].into(),
    }
}

#[test]
fn who_may_not_call_is_told_so_before_the_body_is_read() {
    let yaml = format!("{CONFIG}general_settings: {{master_key: sk-master}}\n");
    let stranger = client(&yaml, &[]);
    for (path, status) in [
        ("/v1/messages", 401),
        ("/v1/chat/completions", 401),
        ("/v1/messages/count_tokens", 401),
        ("/v1/models", 405),
        ("/nothing", 404),
    ] {
        let record = record(&stranger, path, None).unwrap();
        assert_eq!(record.status, status, "{path}");
    }
    let page = client(&yaml, &[]).with("origin", "https://evil.example");
    assert_eq!(record(&page, "/v1/messages", None).unwrap().status, 403);
    let master = client(&yaml, &[]).with("x-api-key", "sk-master");
    assert!(record(&master, "/v1/messages", None).is_none());
}

#[test]
fn a_router_whose_configuration_cannot_be_read_says_so_and_quotes_nothing_of_it() {
    let yaml = "router_settings:\n  routing_strategy: sk-secret\n";
    let wrong = Router::new(yaml, &|_| None).unwrap_err();
    assert!(wrong.to_string().contains("sk-secret"));
    for (path, status, says) in [
        ("/", 503, "unhealthy"),
        ("/health", 503, "unhealthy"),
        ("/health/readiness", 503, "unhealthy"),
        ("/health/liveliness", 200, "unhealthy"),
        ("/worker-health?a=b", 503, "litellm-router"),
        ("/v1/messages", 500, "\"request_id\":\"req_1\""),
        ("/v1/chat/completions", 500, "server_error"),
        ("/nothing", 500, "api_error"),
    ] {
        let answer = serve::without_configuration(path, &wrong, "req_1");
        let body = String::from_utf8(answer.whole().unwrap().to_vec()).unwrap();
        assert_eq!(answer.status, status, "{path}");
        assert!(body.contains(says) && !body.contains("sk-secret"), "{body}");
        assert!(body.contains("at line 2, column 21;"), "{body}");
    }
}
