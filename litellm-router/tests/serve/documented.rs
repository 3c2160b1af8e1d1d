//! A configuration of LiteLLM's is taken as it stands.

use super::{Client, ask, client, header};

const YAML: &str = include_str!("documented.yaml");

fn team() -> Client {
    let keys = [
        ("LITELLM_MASTER_KEY", "sk-master"),
        ("OPENAI_API_KEY", "openai-key"),
        ("OPENROUTER_API_KEY", "openrouter-key"),
        ("ANTHROPIC_API_KEY", "sk-ant-api-key"),
        ("GROQ_API_KEY", "groq-key"),
    ];
    client(YAML, &keys).with("x-api-key", "sk-master")
}

#[test]
fn what_has_no_use_here_is_named_and_nothing_is_refused() {
    insta::assert_snapshot!(team().router.warnings().join("\n"), @"
    model_list.0.litellm_params.organization has no effect in this router
    model_list.0.model_info.version has no effect in this router
    model_list.0.model_info.mode has no effect in this router
    model_list.3.model_info.supports_function_calling has no effect in this router
    litellm_settings.set_verbose has no effect in this router
    litellm_settings.json_logs has no effect in this router
    litellm_settings.success_callback has no effect in this router
    router_settings.redis_host has no effect in this router
    router_settings.redis_port has no effect in this router
    general_settings.database_url has no effect in this router
    general_settings.store_model_in_db has no effect in this router
    general_settings.alerting has no effect in this router
    general_settings.proxy_batch_write_at has no effect in this router
    ");
}

#[test]
fn every_model_of_it_goes_where_it_says() {
    for (model, url, key) in [
        (
            "claude-sonnet",
            "https://api.anthropic.com/v1/messages",
            ("x-api-key", "sk-ant-api-key"),
        ),
        (
            "vllm-models",
            "http://10.0.0.7:8000/v1/chat/completions",
            ("x-team", "search"),
        ),
        (
            "groq/llama-3.3-70b-versatile",
            "https://api.groq.com/openai/v1/chat/completions",
            ("authorization", "Bearer groq-key"),
        ),
    ] {
        let exchange = team().fetch("/v1/messages", &ask(model));
        assert_eq!(exchange.url, url, "{model}");
        assert_eq!(header(&exchange, key.0), Some(key.1), "{model}");
    }
    // Either of the two, by its alias as well.
    let exchange = team().fetch("/v1/chat/completions", &ask("gpt-4"));
    let places = [
        "https://api.openai.com/v1/chat/completions",
        "https://openrouter.ai/api/v1/chat/completions",
    ];
    assert!(places.contains(&&*exchange.url), "{}", exchange.url);
    let exchange = team().fetch("/v1/messages", &ask("local-llama"));
    assert!(
        exchange.url.starts_with("http://localhost:11434/"),
        "{}",
        exchange.url
    );
    let (_, page) = team().answer("GET", "/v1/models", b"");
    let names = page["data"].as_array().unwrap().iter();
    let names: Vec<_> = names.filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(
        names,
        [
            "gpt-4.1",
            "claude-sonnet",
            "local-llama",
            "vllm-models",
            "gpt-4",
            "groq/llama-3.3-70b-versatile"
        ]
    );
}
