use super::*;

#[test]
fn what_has_no_effect_is_named_with_its_path() {
    let config = Config::parse(
        "model_list:\n\
         - model_name: a\n\
         \x20 litellm_params: {model: groq/a, rpm: 10, tags: [x]}\n\
         \x20 model_info: {mode: chat}\n\
         router_settings:\n\
         \x20 routing_strategy: least-busy\n\
         \x20 redis_host: r\n\
         \x20 model_group_alias: {b: {model: a, hidden: true, colour: red}}\n\
         callbacks: [prometheus]\n",
    )
    .unwrap();
    assert_eq!(config.models.len(), 1);
    assert!(config.routing.aliases.get("b").unwrap().hidden);
    insta::assert_snapshot!(config.warnings.join("\n"), @"
    model_list.0.litellm_params.tags has no effect in this router
    model_list.0.model_info.mode has no effect in this router
    router_settings.redis_host has no effect in this router
    router_settings.model_group_alias.b.colour has no effect in this router
    callbacks has no effect in this router
    ");
}

#[test]
fn the_bundled_configuration_has_no_key_without_effect() {
    let config = Config::parse(BUNDLED).unwrap();
    assert_eq!(config.warnings, [] as [String; 0]);
    assert!(
        config
            .models
            .iter()
            .any(|entry| entry.model_name == "local/demo")
    );
}

#[test]
fn an_error_names_its_line_and_column() {
    let error =
        Config::parse("model_list:\n  - model_name: a\n    litellm_params: 5\n").unwrap_err();
    assert!(error.contains("line 3"), "{error}");
    let error = Config::parse("model_list:\n  - model_name: ''\n    litellm_params: {model: a}")
        .unwrap_err();
    assert!(error.contains("model_list.0"), "{error}");
    let error = Config::parse("router_settings:\n  routing_strategy: fastest\n").unwrap_err();
    assert!(
        error.contains("line 2") && error.contains("least-busy"),
        "{error}"
    );
    let error =
        Config::parse("model_list: [{model_name: a, litellm_params: {model: b, timeout: -1}}]")
            .unwrap_err();
    assert!(error.contains("timeout must not be negative"), "{error}");
}

#[test]
fn behind_a_gateway_an_entry_keeps_its_prices_its_timeouts_and_its_limits() {
    let mut config = Config::parse(
        "model_list: [{model_name: a, litellm_params: {model: groq/x, api_key: k, timeout: 7,\n\
         \x20 stream_timeout: 3, rpm: 5, tpm: 6, input_cost_per_token: 0.5, max_retries: 1,\n\
         \x20 extra_headers: {x-secret: s}}}]",
    )
    .unwrap();
    config.go_through("http://gateway", Some("sk".into()));
    let params = &config.models.first().unwrap().litellm_params;
    assert_eq!(params.model, "anthropic/a");
    assert_eq!(params.api_base.as_deref(), Some("http://gateway"));
    assert_eq!(params.api_key.as_deref(), Some("sk"));
    assert_eq!(
        (params.timeout, params.stream_timeout),
        (Some(7.0), Some(3.0))
    );
    assert_eq!((params.rpm, params.tpm), (Some(5), Some(6)));
    assert_eq!(params.input_cost_per_token, Some(0.5));
    assert_eq!(params.max_retries, Some(1));
    assert!(params.extra_headers.is_none());
}

#[test]
fn an_empty_file_and_empty_sections_are_fine() {
    assert!(Config::parse("").unwrap().models.is_empty());
    assert!(Config::parse("model_list:\nrouter_settings:\n").is_ok());
}

#[test]
fn variables_come_from_the_environment_first() {
    let config = Config::parse("environment_variables: {A: file, B: file}").unwrap();
    let environment = |name: &str| (name == "A").then(|| "env".to_owned());
    let get = |setting| config.resolve(setting, &environment);
    assert_eq!(get("os.environ/A").as_deref(), Some("env"));
    assert_eq!(get("os.environ/B").as_deref(), Some("file"));
    assert_eq!(get("os.environ/C"), None);
    assert_eq!(get("plain").as_deref(), Some("plain"));
}

#[test]
fn router_settings_come_before_litellm_settings_and_both_forms_of_a_retry_policy_are_read() {
    let routing = |yaml| Config::parse(yaml).unwrap().routing;
    let both = routing(
        "router_settings: {num_retries: 4, retry_policy: {RateLimitErrorRetries: 7}}\n\
         litellm_settings: {num_retries: 9, allowed_fails: 3, request_timeout: 30,\n\
         \x20 fallbacks: [{a: [b]}, {c: [d, e]}]}",
    );
    assert_eq!((both.retries, both.allowed_fails), (4, Some(3)));
    assert_eq!(both.retry_policy.rate_limit, Some(7));
    assert_eq!(both.fallbacks.get("c").unwrap(), &["d", "e"]);
    let short = routing(
        "router_settings: {num_retries: 4,\n\
         \x20 retry_policy: {max_retries: 1, timeout: 20, exponential_backoff: false}}",
    );
    assert_eq!((short.retries, short.exponential_backoff), (1, false));
    assert!((short.deadline_s - 20.0).abs() < f64::EPSILON);
    assert_eq!(both.timeout_s, Some(30.0));
    assert!(both.deadline_s > 90.0);
    assert_eq!(routing(""), Routing::default());
}

#[test]
fn a_cache_of_another_kind_is_refused() {
    let yaml = "litellm_settings: {cache: true, cache_params: {type: redis}}";
    assert!(Config::parse(yaml).unwrap_err().contains("redis"));
    let yaml = "litellm_settings: {cache: true, cache_params: {type: local, ttl: 5}}";
    assert!((Config::parse(yaml).unwrap().cache.unwrap().ttl_s - 5.0).abs() < f64::EPSILON);
    assert_eq!(
        Config::parse("litellm_settings: {cache: false}")
            .unwrap()
            .cache,
        None
    );
}
