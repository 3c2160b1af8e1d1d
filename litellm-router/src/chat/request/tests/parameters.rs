use serde_json::{Value, json};

use super::*;

#[test]
fn the_order_of_fields_is_fixed_so_that_a_prompt_cache_finds_it() {
    let request = json!({"stream": true, "messages": [{"role": "user", "content": "hi"}], "user": "u1",
        "tools": [tool("Bash")], "model": "claude-sonnet-4-5", "stop": "END", "temperature": 0.5});
    let call = to_messages(request.to_string().as_bytes()).unwrap();
    insta::assert_snapshot!(String::from_utf8(call.body).unwrap(), @r#"{"model":"claude-sonnet-4-5","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"tools":[{"name":"Bash","input_schema":{"type":"object","properties":{}}}],"temperature":0.5,"stop_sequences":["END"],"metadata":{"user_id":"u1"},"stream":true}"#);
}

#[test]
fn the_call_says_what_a_router_has_to_know() {
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 1,
        "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 9, "max_tokens": 8})
    .to_string();
    let call = to_messages(request.as_bytes()).unwrap();
    assert_eq!((call.model.as_str(), call.max_tokens), ("m", 9));
    assert!(call.streams && call.include_usage);
    let head = head(request.as_bytes()).unwrap();
    assert_eq!(
        (head.model.as_str(), head.streams, head.include_usage),
        ("m", true, true)
    );
    let plain = br#"{"model":"m","messages":[7],"n":7,"stream":null,"stream_options":null}"#;
    let plain = super::head(plain).unwrap();
    assert!(!plain.streams && !plain.include_usage);
}

#[test]
fn limits_and_sampling_fit_anthropics_bounds() {
    assert_eq!(with(json!({}))["max_tokens"], 4_096);
    assert_eq!(with(json!({"max_tokens": 5}))["max_tokens"], 5);
    assert_eq!(with(json!({"temperature": 1.7}))["temperature"], 1.0);
    assert_eq!(with(json!({"temperature": -1}))["temperature"], 0.0);
    let both = with(json!({"temperature": 0.3, "top_p": 0.9, "top_k": 5}));
    assert!(both["top_p"].is_null() && both["top_k"] == 5);
    assert_eq!(with(json!({"top_p": 0.9, "top_k": -1}))["top_p"], 0.9);
    let newer = for_model("claude-opus-4-7", json!({"temperature": 0.3, "top_p": 0.9}));
    assert!(newer["temperature"].is_null() && newer["top_p"].is_null());
    let other = for_model("kimi-k2", json!({"temperature": 0.3, "top_p": 0.9}));
    assert!(other["temperature"] == 0.3 && other["top_p"] == 0.9);
    assert_eq!(
        with(json!({"stop": "END"}))["stop_sequences"],
        json!(["END"])
    );
    assert_eq!(
        with(json!({"stop": ["a", "\n", ""]}))["stop_sequences"],
        json!(["a"])
    );
    assert!(with(json!({"stop": null}))["stop_sequences"].is_null());
    insta::assert_snapshot!(refused(json!({"max_tokens": 0})), @r"max_tokens: it has to be at least 1");
    insta::assert_snapshot!(refused(json!({"max_completion_tokens": -1})), @r"max_completion_tokens: it has to be at least 1");
    insta::assert_snapshot!(refused(json!({"n": 2})), @r"n: this model gives one answer to a call; ask as often as you want answers");
}

#[test]
fn an_effort_makes_the_model_think() {
    let body = with(json!({"reasoning_effort": "medium", "temperature": 0.2, "top_p": 0.5}));
    assert_eq!(
        body["thinking"],
        json!({"type": "enabled", "budget_tokens": 8_192})
    );
    assert_eq!(body["max_tokens"], 4_096 + 8_192);
    assert!(body["temperature"].is_null() && body["top_p"].is_null());
    let newer = for_model("claude-opus-5", json!({"reasoning_effort": "medium"}));
    assert_eq!(
        newer["thinking"],
        json!({"type": "adaptive", "display": "summarized"})
    );
    assert_eq!(newer["output_config"], json!({"effort": "medium"}));
    let forced =
        with(json!({"reasoning_effort": "high", "tools": [tool("f")], "tool_choice": "required"}));
    assert!(forced["thinking"].is_null());
    // Anthropic's own words are passed on.
    let own = json!({"type": "enabled", "budget_tokens": 5_000});
    let body = with(json!({"thinking": own, "reasoning_effort": "low", "temperature": 0.2}));
    assert_eq!(
        (&body["thinking"], &body["max_tokens"]),
        (&own, &json!(9_096))
    );
    assert!(body["temperature"].is_null());
}

#[test]
fn what_a_model_takes_is_told_by_its_name_at_the_provider() {
    let request = json!({"model": "best", "messages": [{"role": "user", "content": "x"}], "reasoning_effort": "low"});
    let body = |target: &str| {
        let call = to_messages_for(request.to_string().as_bytes(), target).unwrap();
        serde_json::from_slice::<Value>(&call.body).unwrap()
    };
    assert_eq!(body("claude-haiku-4-5")["thinking"]["type"], "enabled");
    assert_eq!(body("claude-opus-5")["thinking"]["type"], "adaptive");
    assert_eq!(body("claude-opus-5")["model"], "best");
}

#[test]
fn a_schema_for_the_answer_is_held_to_where_that_is_possible() {
    let schema = json!({"type": "object", "required": ["n"], "properties": {
        "n": {"type": "integer", "minimum": 1}, "minimum": {"type": "string", "maxLength": 3},
        "list": {"type": "array", "items": {"oneOf": [{"type": "object", "properties": {}}, {"type": "null"}]}}}});
    let format = |schema: &Value| {
        json!({"response_format": {"type": "json_schema",
        "json_schema": {"name": "x", "strict": true, "schema": schema}}})
    };
    let body = with(format(&schema));
    insta::assert_snapshot!(body["output_config"]["format"], @r#"{"schema":{"additionalProperties":false,"properties":{"list":{"items":{"anyOf":[{"additionalProperties":false,"properties":{},"type":"object"},{"type":"null"}]},"type":"array"},"minimum":{"type":"string"},"n":{"type":"integer"}},"required":["n"],"type":"object"},"type":"json_schema"}"#);
    assert!(body["system"].is_null());
    // Too old for it, or open to any key: then in words.
    let words = |body: Value| body["system"][0]["text"].as_str().unwrap().to_owned();
    assert!(words(for_model("claude-3-5-haiku", format(&schema))).contains(r#""maxLength":3"#));
    let open = json!({"type": "object", "additionalProperties": {"type": "string"}});
    insta::assert_snapshot!(words(with(format(&open))), @r#"
    Answer with JSON and nothing else: no text around it, no code fence. The JSON has to fit this schema:
    {"additionalProperties":{"type":"string"},"type":"object"}
    "#);
    let object = json!({"response_format": {"type": "json_object"}});
    insta::assert_snapshot!(words(with(object)), @r"Answer with one JSON object and nothing else: no text around it, no code fence.");
    assert!(with(json!({"response_format": {"type": "text"}}))["system"].is_null());
    insta::assert_snapshot!(refused(json!({"response_format": {"type": "grammar"}})), @r"response_format.type: grammar is not known");
    insta::assert_snapshot!(refused(json!({"response_format": {"type": "json_schema"}})), @r"response_format.json_schema.schema: it is not there");
}

#[test]
fn a_user_is_an_opaque_id() {
    let user = |user: &str| with(json!({"user": user}))["metadata"]["user_id"].clone();
    assert_eq!(user("u-1"), "u-1");
    for telling in ["ada@example.org", "+49 30 123456", &"x".repeat(257)] {
        assert_eq!(user(telling).as_str().unwrap().len(), 64);
    }
    assert!(with(json!({"user": ""}))["metadata"].is_null());
    assert_eq!(
        with(json!({"safety_identifier": "s"}))["metadata"]["user_id"],
        "s"
    );
}

#[test]
fn what_has_no_counterpart_is_dropped() {
    let body = with(
        json!({"logprobs": true, "top_logprobs": 3, "logit_bias": {"1": 2}, "seed": 1, "store": true,
        "frequency_penalty": 1, "presence_penalty": 1, "service_tier": "flex", "metadata": {"a": "b"},
        "verbosity": "low", "prediction": {}, "new_field": [1], "n": null}),
    );
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["max_tokens", "messages", "model"]);
}

#[test]
fn a_wrong_body_is_told_where_and_why() {
    let refused = |body: &str| to_messages(body.as_bytes()).unwrap_err().message;
    let reasons = [
        refused("{"),
        refused("[]"),
        refused(r#"{"messages":[]}"#),
        refused(r#"{"model":"m","messages":[{"role":"user","content":7}]}"#),
        refused(r#"{"model":"m","messages":[{"content":"x"}]}"#),
        refused(r#"{"model":"m","messages":[],"stop":7}"#),
        head(b"{\"model\":7}").unwrap_err().message,
    ];
    insta::assert_snapshot!(reasons.join("\n"), @r"
    the body is not a chat completions request: EOF while parsing an object at line 1 column 1
    the body is not a chat completions request: invalid length 0, expected struct ChatRequest with 21 elements at line 1 column 2
    the body is not a chat completions request: missing field `model` at line 1 column 15
    messages[0].content: invalid type: integer `7`, expected a string or a list of content parts at line 1 column 51
    messages[0]: missing field `role` at line 1 column 40
    stop: invalid type: integer `7`, expected a string or a list of strings at line 1 column 35
    model: invalid type: integer `7`, expected a string at line 1 column 10
    ");
}
