//! The router from the outside, without a network: calls in, answers or upstream requests out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use litellm_router::answer::{Answer, Body};
use litellm_router::config;
use litellm_router::job::Next;
use litellm_router::serve::{Call, LARGEST_BODY, Router, Served};
use litellm_router::upstream::{self, Exchange};
use proptest::prelude::*;
use serde_json::{Value, json};

const CONFIG: &str = "
model_list:
  - {model_name: local/demo, litellm_params: {model: demo/scripted}}
  - {model_name: 'groq/*', litellm_params: {model: 'groq/*'}}
  - {model_name: 'openrouter/*', litellm_params: {model: 'openrouter/*'}}
  - {model_name: 'claude-*', litellm_params: {model: 'anthropic/claude-*'}}
  - {model_name: opus, litellm_params: {model: anthropic/claude-opus-x, api_key: os.environ/OTHER, timeout: 1.5}}
  - {model_name: own, litellm_params: {model: hosted_vllm/qwen, api_base: 'http://10.0.0.1/v1/', extra_headers: {X-Team: os.environ/TEAM}}}
  - {model_name: mocked, litellm_params: {model: groq/x, mock_response: A mocked answer.}}
  - {model_name: limited, litellm_params: {model: groq/x, mock_response: litellm.RateLimitError}}
  - {model_name: too-long, litellm_params: {model: groq/x, mock_response: litellm.ContextWindowExceededError}}
";

/// What becomes of a call at first.
enum Outcome {
    Answer(Answer),
    Fetch(Box<Exchange>),
}

struct Client {
    router: Arc<Router>,
    headers: BTreeMap<&'static str, &'static str>,
}

fn client(yaml: &str, secrets: &[(&'static str, &'static str)]) -> Client {
    Client {
        router: Router::new(yaml, &|name| {
            let found = secrets.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .unwrap(),
        headers: BTreeMap::new(),
    }
}

impl Client {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) -> Outcome {
        let get = |name: &str| self.headers.get(name).map(|value| (*value).to_owned());
        let served = self.router.serve(&Call {
            method,
            path,
            header: &get,
            body: body.to_vec().into(),
            entropy: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
            now: 1_700_000_000_000,
        });
        match served {
            Served::Answer(answer) => Outcome::Answer(answer),
            Served::Books(account) => {
                let books = self.router.books(&account);
                Outcome::Answer(self.router.answer_with(&account, books, 1_700_000_000_000))
            }
            Served::Job(mut job) => match job.first() {
                Next::Send(exchange, _) => Outcome::Fetch(exchange),
                Next::Answer(answer, _) => Outcome::Answer(answer),
                Next::Refuse(refusal) => Outcome::Answer(refusal.answer_for(job.api())),
            },
        }
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        match self.call(method, path, body) {
            Outcome::Answer(answer) => (answer.status, json_of(&answer)),
            Outcome::Fetch(exchange) => panic!("would fetch {}", exchange.url),
        }
    }

    fn ask(&self, model: &str) -> (u16, Value) {
        self.answer("POST", "/v1/messages", &ask(model))
    }

    fn fetch(&self, path: &str, body: &[u8]) -> Box<Exchange> {
        match self.call("POST", path, body) {
            Outcome::Fetch(exchange) => exchange,
            Outcome::Answer(answer) => panic!("answered {}", json_of(&answer)),
        }
    }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(answer.whole().unwrap()).unwrap_or(Value::Null)
}

fn ask(model: &str) -> Vec<u8> {
    json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
        .into_bytes()
}

fn header<'e>(exchange: &'e Exchange, name: &str) -> Option<&'e str> {
    let mut found = exchange.headers.iter().filter(|(known, _)| known == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

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
fn without_any_key_the_answer_names_what_could_be_served() {
    let client = client(CONFIG, &[("OPENROUTER_API_KEY", "or-key")]);
    let (status, body) = client.ask("groq/x");
    assert_eq!(
        (status, &body["error"]["type"]),
        (401, &json!("authentication_error"))
    );
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("no key for groq") && message.contains("openrouter"),
        "{message}"
    );
    assert!(!message.contains("or-key"));
}

#[test]
fn the_routers_key_or_the_callers_own_goes_upstream() {
    let secrets = [
        ("GROQ_API_KEY", "router-groq"),
        ("ANTHROPIC_API_KEY", "sk-ant-api-r"),
        ("TEAM", "blue"),
    ];
    let own = client(CONFIG, &secrets).with("authorization", "Bearer own-key");
    let auto = client(CONFIG, &secrets).with("x-api-key", "auto-detect");

    let exchange = auto.fetch("/v1/messages?beta=true", &ask("groq/openai/gpt-oss-120b"));
    assert_eq!(
        exchange.url,
        "https://api.groq.com/openai/v1/chat/completions"
    );
    assert_eq!(
        header(&exchange, "authorization"),
        Some("Bearer router-groq")
    );
    let body: Value = serde_json::from_slice(&exchange.body).unwrap();
    assert_eq!(body["model"], "openai/gpt-oss-120b");

    let exchange = own.fetch("/v1/messages", &ask("groq/x"));
    assert_eq!(header(&exchange, "authorization"), Some("Bearer own-key"));
    let exchange = own.fetch("/v1/messages", &ask("claude-x"));
    assert_eq!(header(&exchange, "authorization"), Some("Bearer own-key"));
    assert_eq!(header(&exchange, "x-api-key"), None);
    let exchange = auto.fetch("/v1/messages", &ask("claude-x"));
    assert_eq!(header(&exchange, "x-api-key"), Some("sk-ant-api-r"));

    // A server of one's own takes no key and gets the headers of the configuration.
    let exchange = auto.fetch("/v1/messages", &ask("own"));
    assert_eq!(exchange.url, "http://10.0.0.1/v1/chat/completions");
    assert_eq!(header(&exchange, "authorization"), None);
    assert_eq!(header(&exchange, "x-team"), Some("blue"));
}

#[test]
fn with_a_master_key_the_routers_keys_are_for_its_holders() {
    let yaml = format!("{CONFIG}general_settings: {{master_key: os.environ/MASTER}}\n");
    let secrets = [("GROQ_API_KEY", "router-groq"), ("MASTER", "sk-master")];
    let nobody = client(&yaml, &secrets);
    assert_eq!(nobody.ask("groq/x").0, 401);
    assert_eq!(nobody.ask("local/demo").0, 401);
    let holder = client(&yaml, &secrets).with("authorization", "Bearer sk-master");
    assert_eq!(
        header(
            &holder.fetch("/v1/messages", &ask("groq/x")),
            "authorization"
        ),
        Some("Bearer router-groq")
    );
    assert_eq!(holder.ask("local/demo").0, 200);
    let other = client(&yaml, &secrets).with("x-api-key", "gsk-own");
    assert_eq!(
        header(
            &other.fetch("/v1/messages", &ask("groq/x")),
            "authorization"
        ),
        Some("Bearer gsk-own")
    );
    // A master key whose variable is missing closes the door, also for who presents the real one:
    // it would go to a provider.
    let forgotten = [("GROQ_API_KEY", "router-groq")];
    assert_eq!(client(&yaml, &forgotten).ask("groq/x").0, 500);
    let holder = client(&yaml, &forgotten).with("authorization", "Bearer sk-master");
    assert_eq!(holder.ask("groq/x").0, 500);
    // Without an entry in the configuration the variable is enough.
    let by_variable = [("LITELLM_MASTER_KEY", "sk-master")];
    assert_eq!(client(CONFIG, &by_variable).ask("local/demo").0, 401);
    let holder = client(CONFIG, &by_variable).with("authorization", "Bearer sk-master");
    assert_eq!(holder.ask("local/demo").0, 200);
}

#[test]
fn a_key_for_some_models_lets_no_provider_choose_another() {
    const KEYS: &str = "
general_settings:
  master_key: sk-master
  keys: [{name: t, key: sk-t, models: ['openrouter/a', 'claude-*']}]
";
    let secrets = [("OPENROUTER_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k")];
    let gateway = [("ANTHROPIC_BASE_URL", "http://10.0.0.1:4000")];
    for (secrets, key, door, model, others) in [
        (
            &secrets[..],
            "sk-t",
            "/v1/chat/completions",
            "openrouter/a",
            false,
        ),
        (
            &secrets[..],
            "sk-master",
            "/v1/chat/completions",
            "openrouter/a",
            true,
        ),
        (&secrets[..], "sk-t", "/v1/messages", "openrouter/a", false),
        (&secrets[..], "sk-t", "/v1/messages", "claude-x", false),
        (&secrets[..], "sk-master", "/v1/messages", "claude-x", true),
        (&gateway[..], "sk-t", "/v1/messages", "claude-x", false),
    ] {
        let client = client(&format!("{CONFIG}{KEYS}"), secrets).with("x-api-key", key);
        let body = json!({"model": model, "max_tokens": 9, "route": "fallback",
            "models": ["b"], "fallbacks": ["c"], "top_p": 0.5,
            "messages": [{"role": "user", "content": "hi"}]});
        let sent = client.fetch(door, body.to_string().as_bytes());
        let sent: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(sent["top_p"], 0.5);
        for name in ["models", "route"] {
            assert_eq!(sent.get(name).is_some(), others, "{key} {door} {sent}");
        }
        assert_eq!(sent.get("fallbacks"), None, "{key} {door} {sent}");
    }
}

#[test]
fn a_server_without_a_key_and_the_routers_secrets_are_for_holders_of_the_master_key() {
    let yaml = "model_list:\n  - model_name: mine\n    litellm_params:\n      model: hosted_vllm/m\n      \
                api_base: http://10.0.0.1/v1\n  - model_name: theirs\n    litellm_params:\n      \
                model: groq/m\n      extra_headers: {x-secret: os.environ/SECRET, x-plain: blue}\n";
    let secrets = [("LITELLM_MASTER_KEY", "sk-master"), ("SECRET", "hush")];
    let other = client(yaml, &secrets).with("authorization", "Bearer anything");
    assert_eq!(other.ask("mine").0, 401);
    let exchange = other.fetch("/v1/messages", &ask("theirs"));
    assert_eq!(header(&exchange, "x-secret"), None);
    assert_eq!(header(&exchange, "x-plain"), None);
}

#[test]
fn what_the_configuration_names_and_nobody_has_is_told_at_the_start() {
    let yaml = format!(
        "{CONFIG}  - {{model_name: odd, litellm_params: {{model: foo/bar}}}}\nrouter_settings: \
         {{fallbacks: [{{mocked: [groq/any, gone]}}], default_fallbacks: [lost], model_group_alias: {{x: nope}}}}\n"
    );
    insta::assert_snapshot!(client(&yaml, &[("OTHER", "k")]).router.warnings().join("\n"), @"
    model_list.5.litellm_params.extra_headers.X-Team: the variable os.environ/TEAM is not set
    model_list.9 (odd): foo/bar begins with no provider that is known here, and there is no api_base
    router_settings.model_group_alias.x: no entry of the model list answers for nope
    router_settings.fallbacks.mocked: no entry of the model list answers for gone
    router_settings.default_fallbacks: no entry of the model list answers for lost
    ");
}

#[test]
fn a_key_goes_to_the_provider_that_it_is_for_and_to_no_other() {
    let yaml = "general_settings: {master_key: sk-master}\nmodel_list:\n\
                - {model_name: '*/*', litellm_params: {model: groq/*, api_key: groq-secret}}\n\
                - {model_name: local, litellm_params: {model: ollama/llama3}}\n\
                - {model_name: vllm, litellm_params: {model: openai/x, api_base: 'http://10.0.0.1/v1'}}\n\
                - {model_name: empty, litellm_params: {model: hosted_vllm/x, api_base: 'http://10.0.0.1', api_key: EMPTY}}\n";
    // The caller's choice of a provider does not take the key of another along.
    let holder = client(yaml, &[]).with("x-api-key", "sk-master");
    assert_eq!(holder.ask("openrouter/x/y").0, 401);
    // The operator's own servers are for holders of the master key.
    let stranger = client(yaml, &[]).with("x-api-key", "anything");
    for model in ["local", "vllm", "empty"] {
        assert_eq!(stranger.ask(model).0, 401, "{model}");
    }
}

#[test]
fn pages_of_the_web_can_call_no_model() {
    let page = client(CONFIG, &[]).with("origin", "https://evil.example");
    assert_eq!(page.ask("local/demo").0, 403);
}

#[test]
fn e06_anthropics_bytes_pass_through() {
    let secrets = [
        ("ANTHROPIC_API_KEY", "sk-ant-api-r"),
        ("OTHER", "sk-ant-api-other"),
    ];
    let client = client(CONFIG, &secrets)
        .with("anthropic-version", "2023-06-01")
        .with("anthropic-beta", "one,two");
    let body = br#"{ "model" : "claude-x","new":1.50, "messages":[ {"role":"user"} ]}"#;
    let exchange = client.fetch("/v1/messages?beta=true", body);
    assert_eq!(
        exchange.url,
        "https://api.anthropic.com/v1/messages?beta=true"
    );
    assert_eq!(exchange.body, body[..]);
    assert_eq!(header(&exchange, "anthropic-beta"), Some("one,two"));
    assert_eq!(exchange.timeout_ms, 600_000);

    let other = client.fetch(
        "/v1/messages",
        br#"{ "model" : "opus","new":1.50, "messages":[ {"role":"user"} ]}"#,
    );
    assert_eq!(
        other.body[..],
        br#"{ "model" : "claude-opus-x","new":1.50, "messages":[ {"role":"user"} ]}"#[..]
    );
    assert_eq!(header(&other, "x-api-key"), Some("sk-ant-api-other"));
    assert_eq!(other.timeout_ms, 1_500);

    let next = exchange.begin(529, &|name| match name {
        "content-type" => Some("application/json".into()),
        "request-id" => Some("req_up".into()),
        "anthropic-ratelimit-tokens-reset" => Some("soon".into()),
        "set-cookie" => Some("no".into()),
        _ => None,
    });
    let upstream::Next::Collect(collect) = next else {
        panic!("not collected")
    };
    // The words and the status of an error as well, to the byte.
    let error = br#"{ "type":"error", "error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let answer = collect.answer(error).unwrap_err().answer();
    assert_eq!(answer.status, 529);
    assert_eq!(answer.whole().unwrap(), error);
    let names: Vec<&str> = answer
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "content-type",
            "request-id",
            "anthropic-ratelimit-tokens-reset"
        ]
    );
}

#[test]
fn e07_an_error_before_the_stream_keeps_its_status() {
    let client = client(CONFIG, &[("GROQ_API_KEY", "k")]);
    let mut body: Value = serde_json::from_slice(&ask("groq/x")).unwrap();
    body["stream"] = true.into();
    let exchange = client.fetch("/v1/messages", body.to_string().as_bytes());
    let next = exchange.begin(429, &|name| (name == "retry-after").then(|| "3".into()));
    let upstream::Next::Collect(collect) = next else {
        panic!("not collected")
    };
    let refusal = collect
        .answer(br#"{"error":{"message":"slow"}}"#)
        .unwrap_err();
    let answer = refusal.answer();
    assert_eq!(
        (answer.status, json_of(&answer)["error"]["type"].clone()),
        (429, json!("rate_limit_error"))
    );
    assert!(answer.headers.contains(&("retry-after".into(), "3".into())));
}

#[test]
fn mocks_answer_in_both_forms() {
    let client = client(CONFIG, &[]);
    let (status, body) = client.ask("mocked");
    assert_eq!(
        (status, &body["content"][0]["text"]),
        (200, &json!("A mocked answer."))
    );
    assert_eq!(body["model"], "mocked");
    assert_eq!(client.ask("limited").0, 429);
    let (status, body) = client.ask("too-long");
    assert_eq!(status, 400);
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("prompt is too long: ")
    );

    let mut request: Value = serde_json::from_slice(&ask("mocked")).unwrap();
    request["stream"] = true.into();
    let outcome = client.call("POST", "/v1/messages", request.to_string().as_bytes());
    let Outcome::Answer(answer) = outcome else {
        panic!()
    };
    let Body::Whole(events) = answer.body else {
        panic!()
    };
    assert!(
        String::from_utf8(events)
            .unwrap()
            .ends_with("data: {\"type\":\"message_stop\"}\n\n")
    );
}

#[test]
fn c01_tokens_are_counted_by_anthropic_or_estimated() {
    let client = client(CONFIG, &[("ANTHROPIC_API_KEY", "k")]);
    let path = "/v1/messages/count_tokens?beta=true";
    let exchange = client.fetch(path, &ask("claude-x"));
    assert_eq!(
        exchange.url,
        "https://api.anthropic.com/v1/messages/count_tokens?beta=true"
    );
    let (status, body) = client.answer("POST", path, &ask("groq/x"));
    assert_eq!((status, &body["estimate"]), (200, &json!(true)));
    assert!(body["input_tokens"].as_u64().unwrap() > 0);
}

#[test]
fn c01_who_cannot_count_is_not_asked_to() {
    const MIXED: &str = "
model_list:
  - {model_name: m, litellm_params: {model: groq/x, weight: 1}}
  - {model_name: m, litellm_params: {model: anthropic/claude-x, weight: 0}}
  - {model_name: n, litellm_params: {model: groq/x}}
  - {model_name: c, litellm_params: {model: anthropic/claude-x}}
router_settings: {num_retries: 0, fallbacks: [{c: [n]}]}
";
    let keys = [("ANTHROPIC_API_KEY", "k"), ("GROQ_API_KEY", "k")];
    let client = client(MIXED, &keys);
    let path = "/v1/messages/count_tokens";
    for model in ["m", "c"] {
        let exchange = client.fetch(path, &ask(model));
        assert_eq!(
            exchange.url,
            "https://api.anthropic.com/v1/messages/count_tokens"
        );
    }
    assert_eq!(client.answer("POST", path, &ask("n")).1["estimate"], true);
    let call = Call {
        method: "POST",
        path,
        header: &|_| None,
        body: ask("c").into(),
        entropy: 1,
        now: 1_700_000_000_000,
    };
    let Served::Job(mut job) = client.router.serve(&call) else {
        panic!("nobody is asked");
    };
    assert!(matches!(job.first(), Next::Send(..)));
    let down = litellm_router::error::Refusal::new(503, "down");
    let Next::Refuse(refusal) = job.after(down, call.now, 1) else {
        panic!("somebody else is asked to count");
    };
    assert_eq!(refusal.status, 503);
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

/// JSON as a client might send it, right and wrong: the keys and types of the protocol in any place.
fn some_json() -> impl Strategy<Value = Value> {
    const KEYS: &[&str] = &[
        "type",
        "role",
        "content",
        "text",
        "id",
        "name",
        "input",
        "tool_use_id",
        "is_error",
        "source",
        "media_type",
        "data",
        "url",
        "thinking",
        "tool_name",
        "cache_control",
    ];
    const TEXTS: &[&str] = &[
        "text",
        "tool_use",
        "tool_result",
        "image",
        "document",
        "thinking",
        "user",
        "assistant",
        "system",
        "tool_reference",
        "base64",
        "a",
        "",
        "run `ls`",
        "replace `a` with `b` in `ä`",
        "İ sub-agent İ",
        "hello world",
        "stream 3 words every x",
        "think about",
        "read f.txt",
        "<system-reminder>",
    ];
    let leaf = prop_oneof![
        proptest::sample::select(TEXTS).prop_map(|text| json!(text)),
        Just(Value::Null),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i32>().prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::hash_map(proptest::sample::select(KEYS), inner, 0..6).prop_map(
                |fields| fields
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            ),
        ]
    })
}

/// A turn that is likely to be accepted, so that more than the reader is tried.
fn some_turn() -> impl Strategy<Value = Value> {
    let block = prop_oneof![
        some_json(),
        "[a-z` ]{0,12}".prop_map(|text| json!({"type": "text", "text": text})),
        "[ab]".prop_map(|id| json!({"type": "tool_use", "id": id, "name": "Bash", "input": {}})),
        ("[ab]", some_json()).prop_map(
            |(id, content)| json!({"type": "tool_result", "tool_use_id": id, "content": content})
        ),
        Just(json!({"type": "tool_result", "tool_use_id": "a", "content": "out"})),
    ];
    let role = proptest::sample::select(&["user", "assistant", "system"][..]);
    (role, proptest::collection::vec(block, 0..4))
        .prop_map(|(role, content)| json!({"role": role, "content": content}))
}

proptest! {
    #[test]
    fn no_body_and_no_path_makes_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        path in "/(v1/(messages|models)?)?[ -~]{0,20}",
        method in proptest::sample::select(&["GET", "POST", "HEAD", "X"][..]),
    ) {
        client(CONFIG, &[]).call(method, &path, &body);
    }

    #[test]
    fn no_request_makes_it_panic_and_every_call_upstream_has_its_result(
        model in proptest::sample::select(&["local/demo", "groq/x", "claude-x", "mocked"][..]),
        turns in proptest::collection::vec(some_turn(), 0..6),
        stream in any::<bool>(),
        extra in some_json(),
    ) {
        let mut request = json!({"model": model, "messages": turns, "stream": stream});
        request["tools"] = json!([{"name": "Bash", "input_schema": extra}]);
        let client = client(CONFIG, &[("GROQ_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k")]);
        match client.call("POST", "/v1/messages", request.to_string().as_bytes()) {
            Outcome::Answer(answer) => {
                if let Body::Paced(pieces) = answer.body {
                    prop_assert!(pieces.count() > 1);
                }
            }
            Outcome::Fetch(exchange) if model == "groq/x" => {
                let sent: Value = serde_json::from_slice(&exchange.body).unwrap();
                let mut open: Vec<Value> = Vec::new();
                for message in sent["messages"].as_array().unwrap() {
                    if message["role"] == "tool" {
                        prop_assert!(!open.is_empty());
                        prop_assert_eq!(&open.remove(0), &message["tool_call_id"]);
                    } else {
                        prop_assert!(open.is_empty(), "a call has no result: {}", sent);
                        let calls = message["tool_calls"].as_array().into_iter().flatten();
                        open = calls.map(|call| call["id"].clone()).collect();
                    }
                }
                prop_assert!(open.is_empty());
            }
            Outcome::Fetch(_) => {}
        }
    }
}
