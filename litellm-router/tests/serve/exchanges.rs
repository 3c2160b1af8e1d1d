//! What goes to a provider, what its answer becomes, and what is answered without one.

use litellm_router::answer::Body;
use litellm_router::job::Next;
use litellm_router::serve::{Call, Served};
use litellm_router::upstream;
use serde_json::{Value, json};

use super::{CONFIG, Outcome, ask, client, header, json_of};

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
        came: super::NOW,
        now: super::NOW,
    };
    let Served::Job(mut job) = client.served(&call) else {
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
fn r14_every_chat_provider_gets_the_same_schema_and_anthropic_its_bytes() {
    const CHATS: [&str; 11] = [
        "groq",
        "openrouter",
        "cerebras",
        "openai",
        "deepseek",
        "moonshot",
        "ollama",
        "ollama_chat",
        "lm_studio",
        "hosted_vllm",
        "custom_openai",
    ];
    let schema = r##"{"$schema":"s","$id":"i","type":"object","properties":{"z":{"$ref":"#/$defs/A"},"a":{"type":"string","pattern":"^x","format":"uri"},"o":{"type":"object","additionalProperties":{}}},"additionalProperties":false,"$defs":{"A":{"type":"integer","minimum":1}}}"##;
    let cleaned = r##"{"type":"object","properties":{"z":{"$ref":"#/$defs/A"},"a":{"type":"string","pattern":"^x","format":"uri"},"o":{"type":"object","additionalProperties":true}},"additionalProperties":false,"$defs":{"A":{"type":"integer","minimum":1}}}"##;
    let entries = CHATS.map(|name| {
        format!("- {{model_name: {name}, litellm_params: {{model: {name}/x, api_key: k, api_base: 'http://10.0.0.1/v1'}}}}\n")
    });
    let yaml = format!(
        "model_list:\n{}- {{model_name: claude, litellm_params: {{model: anthropic/x, api_key: k}}}}\n",
        entries.concat()
    );
    let client = client(&yaml, &[]);
    let sent = |model: &str| {
        let body = format!(
            r#"{{"model":"{model}","max_tokens":9,"tools":[{{"name":"T","input_schema":{schema}}}],"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        let exchange = client.fetch("/v1/messages", body.as_bytes());
        String::from_utf8(exchange.body.to_vec()).unwrap()
    };
    for name in CHATS {
        let sent = sent(name);
        assert!(
            sent.contains(&format!(r#""parameters":{cleaned}"#)),
            "{name}: {sent}"
        );
    }
    assert!(sent("claude").contains(&format!(r#""input_schema":{schema}"#)));
}
