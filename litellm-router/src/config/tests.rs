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
fn what_is_wrong_with_a_value_is_told_with_its_line_its_column_and_its_path() {
    let told = |yaml: &str| {
        let error = Config::parse(yaml).unwrap_err();
        assert!(error.line_and_column().is_some(), "{error}");
        error.to_string()
    };
    // In the fifth line of an entry that is fine otherwise.
    for (entry, path, words) in [
        (
            "timeout: -1",
            "timeout",
            "must be a number that is not negative",
        ),
        (
            "timeout: soon",
            "timeout",
            "a number is expected here, not a text",
        ),
        (
            "stream_timeout: -.5",
            "stream_timeout",
            "must be a number that is not negative",
        ),
        (
            "weight: .nan",
            "weight",
            "must be a number that is not negative",
        ),
        (
            "input_cost_per_token: -1e-6",
            "input_cost_per_token",
            "must be a number that is not negative",
        ),
        (
            "cache_read_input_token_cost: -1",
            "cache_read_input_token_cost",
            "must be a number that is not negative",
        ),
        (
            "max_retries: -1",
            "max_retries",
            "a whole number from 0 to 4294967295 is expected here, not -1",
        ),
        (
            "rpm: 1.5",
            "rpm",
            "a whole number that is not negative is expected here, not 1.5",
        ),
        ("order: first", "order", "a whole number is expected here"),
        (
            "drop_params: maybe",
            "drop_params",
            "true or false is expected here",
        ),
        (
            "additional_drop_params: top_k",
            "additional_drop_params",
            "a list is expected here",
        ),
        (
            "additional_drop_params: [{a: b}]",
            "additional_drop_params.0",
            "a text is expected here, not a mapping",
        ),
        (
            "extra_headers: [a]",
            "extra_headers",
            "a mapping is expected here, not a list",
        ),
        (
            "extra_headers: {a: [b]}",
            "extra_headers.a",
            "a text is expected here, not a list",
        ),
        (
            "extra_headers: {'a b': c}",
            "extra_headers",
            "\"a b\" is no name of a header",
        ),
        (
            "extra_headers: {a: \"b\\nc\"}",
            "extra_headers",
            "the value of a has a line break",
        ),
    ] {
        let told = told(&format!(
            "model_list:\n- model_name: a\n  litellm_params:\n    model: groq/a\n    {entry}\n"
        ));
        let place = "line 5, column ";
        assert!(told.starts_with(place), "{entry}: {told}");
        let path = format!(", model_list.0.litellm_params.{path}: ");
        assert!(
            told.contains(&path) && told.contains(words),
            "{entry}: {told}"
        );
    }
    for (yaml, wanted) in [
        (
            "model_list:\n- model_name: a\n  litellm_params: 5\n",
            "line 3, column 19, model_list.0.litellm_params: a mapping is expected here, not 5",
        ),
        (
            "model_list:\n- model_name: ''\n  litellm_params: {model: a}",
            "line 2, column 15, model_list.0.model_name: must not be empty",
        ),
        (
            "model_list:\n- model_name: a\n  litellm_params: {rpm: 5}",
            "line 3, column 19, model_list.0.litellm_params: needs a model that is not empty",
        ),
        (
            "model_list:\n- litellm_params: {model: b}",
            "line 2, column 3, model_list.0: model_name is missing",
        ),
        (
            "model_list:\n- litellm_params: {model: b}\n  model_nam: a\n",
            "line 3, column 3, model_list.0: model_name is missing; model_nam stands here instead",
        ),
        (
            "model_list: {model_name: a}",
            "line 1, column 13, model_list: a list is expected here, not a mapping",
        ),
        (
            "router_settings:\n  routing_strategy: fastest\n",
            "line 2, column 21, router_settings.routing_strategy: one of \
             simple-shuffle, least-busy, latency-based-routing, usage-based-routing, \
             usage-based-routing-v2, cost-based-routing is expected here, not fastest",
        ),
        (
            "router_settings:\n  retry_policy:\n    timeout: -20\n",
            "line 3, column 14, router_settings.retry_policy.timeout: must be a number that is not negative",
        ),
        (
            "router_settings:\n  retry_policy: {RateLimitErrorRetries: -2}\n",
            "line 2, column 41, router_settings.retry_policy.RateLimitErrorRetries: a whole \
             number from 0 to 4294967295 is expected here, not -2",
        ),
        (
            "router_settings: {cooldown_time: -5}",
            "line 1, column 34, router_settings.cooldown_time: must be a number that is not negative",
        ),
        (
            "router_settings: {retry_after: .inf}",
            "line 1, column 32, router_settings.retry_after: must be a number that is not negative",
        ),
        (
            "router_settings: {fallbacks: [{a: b}]}",
            "line 1, column 35, router_settings.fallbacks.0.a: a list is expected here, not a text",
        ),
        (
            "router_settings: {model_group_alias: {a: 5}}",
            "line 1, column 42, router_settings.model_group_alias.a: the name of a group, or \
             a mapping with model and hidden is expected here, not 5",
        ),
        (
            "router_settings: {model_group_alias: {a: {hidden: true}}}",
            "line 1, column 42, router_settings.model_group_alias.a: model is missing",
        ),
        (
            "litellm_settings: {cache_params: {ttl: -1}}",
            "line 1, column 40, litellm_settings.cache_params.ttl: must be a number that is not negative",
        ),
        (
            "litellm_settings: {cache_params: {max_bytes: 1e6}}",
            "line 1, column 46, litellm_settings.cache_params.max_bytes: a whole number that is \
             not negative is expected here, not 1000000",
        ),
        (
            "litellm_settings: {request_timeout: -3}",
            "line 1, column 37, litellm_settings.request_timeout: must be a number that is not negative",
        ),
        (
            "general_settings:\n  session_limits: {max_budget: -1}\n",
            "line 2, column 32, general_settings.session_limits.max_budget: must be a number that is not negative",
        ),
        (
            "general_settings:\n  keys:\n  - {name: a, key: b, limits: {budget_duration: 1w}}\n",
            "line 3, column 49, general_settings.keys.0.limits.budget_duration: a duration such as \
             30s, 15m, 24h or 30d is expected here, not 1w",
        ),
        (
            "general_settings: {keys: [{name: '', key: b}]}",
            "line 1, column 34, general_settings.keys.0.name: must not be empty",
        ),
        (
            "environment_variables: [A]",
            "line 1, column 24, environment_variables: a mapping is expected here, not a list",
        ),
    ] {
        assert_eq!(told(yaml), wanted);
    }
}

#[test]
fn a_time_limit_of_nothing_is_none_as_in_litellm() {
    let config = Config::parse(
        "model_list: [{model_name: a, litellm_params: {model: b, timeout: 0}}]\n\
         router_settings: {timeout: 0, retry_policy: {timeout: 0}}\n",
    )
    .unwrap();
    assert_eq!(config.models.first().unwrap().litellm_params.timeout, None);
    assert_eq!(config.routing, Routing::default());
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
    let error = Config::parse(yaml).unwrap_err().to_string();
    assert!(error.contains("redis"), "{error}");
    let yaml = "litellm_settings: {cache: true, cache_params: {type: local, ttl: 5}}";
    assert!((Config::parse(yaml).unwrap().cache.unwrap().ttl_s - 5.0).abs() < f64::EPSILON);
    assert_eq!(
        Config::parse("litellm_settings: {cache: false}")
            .unwrap()
            .cache,
        None
    );
}

#[test]
fn two_keys_of_one_name_are_refused_where_they_stand() {
    let yaml = "general_settings:\n  keys:\n  - {name: team, key: a}\n  - {name: team, key: b}\n";
    let wrong = Config::parse(yaml).unwrap_err();
    assert!(wrong.line_and_column().is_some(), "{wrong}");
    assert!(
        wrong
            .to_string()
            .contains("general_settings.keys: two keys have the name team"),
        "{wrong}"
    );
}
