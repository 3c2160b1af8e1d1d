//! Whose key goes where, and who may use which.

use litellm_router::job::Trail;
use litellm_router::relay::{Ending, Record};
use litellm_router::spend::{Account, Spending};
use serde_json::{Value, json};

use super::{CONFIG, ask, client, header};

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
            "models": ["b"], "fallbacks": ["c"], "top_p": 0.5, "preset": "p", "provider": {"sort": "price"},
            "plugins": [{"id": "web"}], "transforms": ["middle-out"],
            "messages": [{"role": "user", "content": "hi"}]});
        let sent = client.fetch(door, body.to_string().as_bytes());
        let sent: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(sent["top_p"], 0.5);
        for name in [
            "models",
            "route",
            "preset",
            "provider",
            "plugins",
            "transforms",
        ] {
            assert_eq!(sent.get(name).is_some(), others, "{key} {door} {sent}");
        }
        assert_eq!(sent.get("fallbacks"), None, "{key} {door} {sent}");
    }
    // A preset may be named in the model's place, too.
    let keys = KEYS.replace("openrouter/a", "openrouter/*");
    let bound = client(&format!("{CONFIG}{keys}"), &secrets).with("x-api-key", "sk-t");
    bound.fetch("/v1/messages", &ask("openrouter/b:online"));
    for preset in ["openrouter/@preset/p", "openrouter/b@preset/p"] {
        assert_eq!(bound.ask(preset).0, 403, "{preset}");
    }
    let keys = keys.replace("openrouter/*", "openrouter/@preset/p");
    let bound = client(&format!("{CONFIG}{keys}"), &secrets).with("x-api-key", "sk-t");
    bound.fetch("/v1/messages", &ask("openrouter/@preset/p"));
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

const LIMITED: &str = "general_settings: {master_key: sk-m, keys: [{name: t, key: sk-t, \
                       limits: {rpm_limit: 3}}]}\n";

#[test]
fn each_request_to_a_provider_counts_against_a_limit_of_requests() {
    let client = client(&format!("{CONFIG}{LIMITED}"), &[("GROQ_API_KEY", "k")]);
    let client = client.with("x-api-key", "sk-t");
    client.fetch("/v1/messages", &ask("groq/a"));
    let accounts = vec![Account::Key("t".into())];
    let record = |sent| Record {
        request_id: "req_1".into(),
        trail: Trail {
            accounts: accounts.clone(),
            counts: true,
            sent,
            ..Trail::default()
        },
        status: 504,
        outcome: Ending::Failed,
        first_ms: 0,
        total_ms: 0,
    };
    // The first was counted when the call was let in.
    assert_eq!(client.router.over(&record(2), super::NOW)[0].sent, 2);
    client.fetch("/v1/messages", &ask("groq/a"));
    assert_eq!(client.ask("groq/a").0, 429);
}

#[test]
fn a_limit_of_requests_is_one_of_counts_of_tokens_as_well() {
    let client = client(&format!("{CONFIG}{LIMITED}"), &[("ANTHROPIC_API_KEY", "k")]);
    let client = client.with("x-api-key", "sk-t");
    let count = "/v1/messages/count_tokens";
    for _ in 0..3 {
        client.fetch(count, &ask("claude-x"));
    }
    assert_eq!(client.answer("POST", count, &ask("claude-x")).0, 429);
    assert_eq!(client.ask("claude-x").0, 429);
}

#[test]
fn a_count_of_tokens_is_booked_as_so_many_requests_that_use_nothing() {
    let client = client(&format!("{CONFIG}{LIMITED}"), &[("ANTHROPIC_API_KEY", "k")]);
    let client = client.with("x-api-key", "sk-t");
    let count = "/v1/messages/count_tokens";
    client.fetch(count, &ask("claude-x"));
    let record = Record {
        request_id: "req_1".into(),
        trail: Trail {
            accounts: vec![Account::Key("t".into())],
            counts: false,
            sent: 3,
            ..Trail::default()
        },
        status: 200,
        outcome: Ending::Completed,
        first_ms: 0,
        total_ms: 0,
    };
    let bookings = client.router.over(&record, super::NOW);
    assert_eq!(bookings[0].sent, 3, "where all books are kept it counts");
    assert_eq!(bookings[0].spent, Spending::default());
    // And here: one when it was let in, and two that were tried after it.
    assert_eq!(client.answer("POST", count, &ask("claude-x")).0, 429);
}

#[test]
fn c02_a_key_sees_the_models_that_it_is_for_and_a_stranger_sees_no_keys_models() {
    let keys = "general_settings: {master_key: sk-m, keys: [\
                {name: t, key: sk-t, models: [groq/mine, local/*]}, \
                {name: u, key: sk-u, models: [groq/theirs]}]}\n";
    let yaml = format!("{CONFIG}{keys}");
    let listed = |key: &'static str| {
        let client = client(&yaml, &[]).with("x-api-key", key);
        let (_, page) = client.answer("GET", "/v1/models", b"");
        let ids = page["data"].as_array().unwrap().iter();
        ids.map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("sk-t"), ["local/demo", "groq/mine"]);
    assert_eq!(listed("sk-u"), ["groq/theirs"]);
    let (all, some) = (listed("sk-m"), listed("a-key-of-its-own"));
    assert!(all.contains(&"groq/mine".into()) && all.contains(&"groq/theirs".into()));
    assert!(some.contains(&"local/demo".into()), "{some:?}");
    assert!(
        !some
            .iter()
            .any(|id| id == "groq/mine" || id == "groq/theirs")
    );
    let holder = client(&yaml, &[]).with("x-api-key", "sk-t");
    for (path, status) in [
        ("/v1/models/groq/mine", 200),
        ("/v1/models/groq/theirs", 403),
    ] {
        assert_eq!(holder.answer("GET", path, b"").0, status, "{path}");
    }
}

#[test]
fn a_model_that_a_key_is_for_and_nobody_answers_for_is_told_at_the_start() {
    let yaml = format!(
        "{CONFIG}router_settings: {{model_group_alias: {{short: own}}}}\ngeneral_settings: {{keys: [{{name: t, \
         key: sk-t, models: ['*', groq/x, 'groq/x/*', 'op*', '*/glm', short, gone, 'gone/*', 'grok/*']}}]}}\n"
    );
    let client = client(&yaml, &[("OTHER", "k"), ("TEAM", "k")]);
    insta::assert_snapshot!(client.router.warnings().join("\n"), @"
    general_settings.keys (t): no entry of the model list answers for gone
    general_settings.keys (t): no entry of the model list answers for gone/*
    general_settings.keys (t): no entry of the model list answers for grok/*
    ");
}

#[test]
fn only_keys_of_the_configuration_have_books() {
    let client = client(&format!("{CONFIG}{LIMITED}"), &[]).with("x-api-key", "sk-m");
    for (path, status) in [
        ("/spend/keys/t", 200),
        ("/spend/keys/sk-t", 404),
        ("/spend/sessions/new", 200),
        ("/spend/else/x", 404),
    ] {
        assert_eq!(client.answer("GET", path, b"").0, status, "{path}");
    }
}

#[test]
fn what_is_there_twice_or_can_never_match_is_told_at_the_start() {
    let yaml = "model_list:\n- {model_name: a, litellm_params: {model: demo/a}, model_info: {id: one}}\n\
                - {model_name: b, litellm_params: {model: demo/b}, model_info: {id: one}}\n\
                general_settings:\n  allowed_origins: ['*', 'https://ui.example', 'https://ui.example/']\n  \
                keys: [{name: a, key: k}, {name: b, key: os.environ/KEY}, {name: c, key: ''}, {name: d, key: m}]\n";
    insta::assert_snapshot!(client(yaml, &[("KEY", "k"), ("LITELLM_MASTER_KEY", "m")]).router.warnings().join("\n"), @"
    general_settings.keys (b): it is the same key as a, whose models and limits count
    general_settings.keys (c): it is empty, and nobody can present it
    general_settings.keys (d): it is the master key, which is for every model and has no limits
    model_list.1.model_info.id: an earlier entry has the id one too; their numbers are not told apart
    general_settings.allowed_origins: no page has the origin https://ui.example/; one is written as https://ui.example, without a path or a slash at its end
    ");
}
