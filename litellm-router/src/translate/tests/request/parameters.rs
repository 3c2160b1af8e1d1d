use serde_json::{Value, json};

use super::{bytes_to, chat, to};

#[test]
fn r17_the_limit_is_cut_and_named_as_the_provider_wants() {
    let request = json!({"model": "m", "max_tokens": 64000, "messages": []});
    assert_eq!(to("openrouter/x", &request).unwrap()["max_tokens"], 8000);
    for model in ["groq/x", "openai/o3", "openai/gpt-5-mini"] {
        let body = to(model, &request).unwrap();
        assert_eq!(body["max_completion_tokens"], 8000, "{model}");
        assert!(body.get("max_tokens").is_none(), "{model}");
    }
}

#[test]
fn r19_stop_sequences_are_at_most_four_and_not_empty() {
    let stops = json!(["a", "", " \n", "b", "c", "d", "e"]);
    let body = chat(json!({"model": "m", "messages": [], "stop_sequences": stops}));
    assert_eq!(body["stop"], json!(["a", "b", "c", "d"]));
    // The others are looked for in the answer.
    let request = json!({"model": "m", "messages": [], "stop_sequences": stops}).to_string();
    let (_, asked) = bytes_to("groq/x", request.as_bytes()).unwrap();
    assert_eq!((asked.stops.len(), asked.own_stops), (4, vec!["e".into()]));
    let (_, asked) = bytes_to("openai/o3", request.as_bytes()).unwrap();
    assert_eq!((asked.stops.len(), asked.own_stops.len()), (0, 5));
    assert!(
        chat(json!({"model": "m", "messages": []}))
            .get("stop")
            .is_none()
    );
}

#[test]
fn r20_sampling_is_said_where_it_is_understood() {
    let request =
        json!({"model": "m", "messages": [], "temperature": 0.0, "top_p": 0.5, "top_k": 40});
    let groq = to("groq/x", &request).unwrap();
    assert_eq!(
        (&groq["temperature"], &groq["top_p"]),
        (&json!(1e-8), &json!(0.5))
    );
    assert!(groq.get("top_k").is_none());
    assert_eq!(to("openrouter/x", &request).unwrap()["temperature"], 0.0);
    assert!(
        to("openai/o3", &request)
            .unwrap()
            .get("temperature")
            .is_none()
    );
}

#[test]
fn r25_what_is_anthropics_own_is_not_forwarded() {
    let request = json!({
        "model": "m", "messages": [], "metadata": {"user_id": "u".repeat(150)},
        "thinking": {"type": "adaptive", "display": "updates"}, "output_config": {"effort": "high"},
        "context_management": {"edits": []}, "mcp_servers": [], "container": "c",
        "service_tier": "auto", "speed": "fast", "new_key": 1});
    let body = to("groq/x", &request).unwrap();
    let mut keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["messages", "model", "stream"]);
}

#[test]
fn s08_a_stream_asks_for_its_usage() {
    let body = chat(json!({"model": "m", "messages": [], "stream": true}));
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    assert_eq!(body["model"], "x");
}

#[test]
fn r17_a_limit_that_is_none_is_refused_in_clear_words() {
    let refused = |limit: Value| {
        let request = json!({"model": "m", "messages": [], "max_tokens": limit});
        let refused = to("groq/x", &request).unwrap_err();
        assert_eq!(refused.status, 400);
        refused.message
    };
    insta::assert_snapshot!(refused(json!(0)), @"max_tokens: must be at least 1");
    insta::assert_snapshot!(refused(json!(10_000_000_000_u64)), @"max_tokens: 10000000000 is more than any model writes");
    assert!(
        refused(json!(-5)).starts_with("max_tokens: must be a whole number of tokens, and not -5")
    );
    assert!(refused(json!(1.5)).starts_with("max_tokens: must be a whole number of tokens"));
    let body = chat(json!({"model": "m", "messages": []}));
    assert!(body.get("max_tokens").is_none(), "no limit is fine");
}

#[test]
fn r19_models_that_take_no_stop_get_none() {
    let request = json!({"model": "m", "messages": [], "stop_sequences": ["a"]});
    assert!(to("openai/o3", &request).unwrap().get("stop").is_none());
    assert_eq!(
        to("openai/gpt-4.1", &request).unwrap()["stop"],
        json!(["a"])
    );
}

#[test]
fn r20_numbers_out_of_range_are_cut_and_top_k_goes_where_it_is_known() {
    let request =
        json!({"model": "m", "messages": [], "temperature": 9.0, "top_p": 1.5, "top_k": 40});
    let sent = to("openrouter/x", &request).unwrap();
    assert_eq!(
        (&sent["temperature"], &sent["top_p"], &sent["top_k"]),
        (&json!(2.0), &json!(1.0), &json!(40))
    );
    assert_eq!(to("hosted_vllm/x", &request).unwrap()["top_k"], 40);
    assert!(
        to("openai/gpt-4.1", &request)
            .unwrap()
            .get("top_k")
            .is_none()
    );
    let negative = json!({"model": "m", "messages": [], "temperature": -1});
    assert_eq!(to("groq/x", &negative).unwrap()["temperature"], 1e-8);
}

#[test]
fn r21_a_user_goes_up_as_a_hash_where_it_is_of_use() {
    let id = json!({"session_id": "s", "account": "a".repeat(150)}).to_string();
    let request = json!({"model": "m", "messages": [], "metadata": {"user_id": id}});
    let user = |model: &str| to(model, &request).unwrap()["user"].clone();
    let hash = user("openrouter/x");
    assert!(hash.as_str().is_some_and(|hash| hash.len() == 64), "{hash}");
    assert_eq!(hash, user("openai/gpt-4.1"));
    assert_eq!(user("groq/x"), Value::Null);
    let odd = json!({"model": "m", "messages": [], "metadata": {"user_id": null, "x": 1}});
    assert_eq!(to("openrouter/x", &odd).unwrap()["user"], Value::Null);
}

/// A request for an answer that fits a schema, as Claude Code makes one for a session's title.
fn title(streams: bool, tools: Value) -> Value {
    let schema = json!({"$schema": "s", "type": "object", "properties": {"title": {"type": "string"}},
        "required": ["title"], "additionalProperties": false});
    json!({"model": "m", "system": "Name it.", "messages": [], "stream": streams, "tools": tools,
        "output_config": {"format": {"type": "json_schema", "schema": schema}}})
}

#[test]
fn r31_a_schema_for_the_answer_is_a_response_format() {
    let format = to("openai/gpt-4.1", &title(true, json!([]))).unwrap()["response_format"].clone();
    assert_eq!(
        format,
        json!({"type": "json_schema", "json_schema": {"name": "answer", "strict": true, "schema":
            {"type": "object", "properties": {"title": {"type": "string"}},
             "required": ["title"], "additionalProperties": false}}})
    );
    let former = json!({"model": "m", "messages": [],
        "output_format": {"type": "json_schema", "schema": {"type": "array"}}});
    let format = &chat(former)["response_format"]["json_schema"];
    assert_eq!(
        *format,
        json!({"name": "answer", "schema": {"type": "array"}})
    );
}

#[test]
fn r31_a_schema_is_said_in_words_where_the_provider_cannot_take_it() {
    let tool = json!([{"name": "T", "input_schema": {}}]);
    let in_words = |model: &str, request: &Value| {
        let sent = to(model, request).unwrap();
        assert!(sent.get("response_format").is_none(), "{model}");
        let system = sent["messages"][0]["content"].as_str().unwrap().to_owned();
        assert!(
            system.starts_with("Name it.\n\nAnswer with one JSON value"),
            "{system}"
        );
        assert!(system.contains("\"title\""), "{system}");
    };
    in_words("groq/openai/gpt-oss-120b", &title(true, json!([])));
    in_words("groq/openai/gpt-oss-120b", &title(false, tool));
    in_words("groq/llama-3.3-70b-versatile", &title(false, json!([])));
    in_words("deepseek/deepseek-chat", &title(false, json!([])));
    let alone = to("groq/openai/gpt-oss-120b", &title(false, json!([]))).unwrap();
    assert_eq!(alone["response_format"]["type"], "json_schema");
}
