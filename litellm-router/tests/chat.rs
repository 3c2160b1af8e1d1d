//! The chat door from a call to its answer, as a router puts its parts together.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::sync::Arc;

use litellm_router::answer::{Answer, Body};
use litellm_router::error::Refusal;
use litellm_router::job::{Job, Next};
use litellm_router::serve::{Call, Router, Served};
use litellm_router::upstream::{self, Exchange};
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";
const CONFIG: &str = "
model_list:
  - {model_name: local/demo, litellm_params: {model: demo/scripted}}
  - {model_name: 'groq/*', litellm_params: {model: 'groq/*'}}
  - {model_name: best, litellm_params: {model: anthropic/claude-opus-5}}
  - {model_name: mocked, litellm_params: {model: groq/x, mock_response: A mocked answer.}}
  - {model_name: too-long, litellm_params: {model: groq/x, mock_response: litellm.ContextWindowExceededError}}
router_settings:
  num_retries: 0
  fallbacks: [{groq/small: [best]}]
";

fn router() -> Arc<Router> {
    let secret = |name: &str| match name {
        "GROQ_API_KEY" => Some("gsk_1".to_owned()),
        "ANTHROPIC_API_KEY" => Some("sk-ant-api-1".to_owned()),
        _ => None,
    };
    Router::new(CONFIG, &secret).unwrap()
}

fn served(method: &str, path: &str, body: &[u8]) -> Served {
    let router = router();
    let call = Call {
        method,
        path,
        header: &|_| None,
        body: body.to_vec().into(),
        entropy: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        came: 1_700_000_000_000,
        now: 1_700_000_000_000,
    };
    match router.enter(&call) {
        Ok(guest) => router.serve(&call, &guest),
        Err(served) => served,
    }
}

fn job(body: &str) -> Box<Job> {
    match served("POST", PATH, body.as_bytes()) {
        Served::Job(job) => job,
        Served::Books(_) => panic!("nobody asked for books"),
        Served::Answer(answer) | Served::Refused(answer, _) => panic!("{}", written(answer)),
    }
}

fn fetch(body: &str) -> Box<Exchange> {
    match job(body).first() {
        Next::Send(exchange, _) => exchange,
        Next::Answer(answer, _) => panic!("{}", written(answer)),
        Next::Refuse(refusal) => panic!("{}", refusal.message),
    }
}

/// What is answered without asking anybody.
fn answered(method: &str, path: &str, body: &[u8]) -> Answer {
    match served(method, path, body) {
        Served::Books(_) => panic!("nobody asked for books"),
        Served::Answer(answer) | Served::Refused(answer, _) => answer,
        Served::Job(mut job) => match job.first() {
            Next::Answer(answer, _) => answer,
            Next::Refuse(refusal) => refusal.answer_for(job.api()),
            Next::Send(exchange, _) => panic!("would fetch {}", exchange.url),
        },
    }
}

fn ask(request: &Value) -> Answer {
    answered("POST", PATH, request.to_string().as_bytes())
}

/// What the caller is told when the provider answers with this.
fn told(exchange: Exchange, status: u16, kind: &str, body: &[u8]) -> Answer {
    let header = |name: &str| (name == "content-type").then(|| kind.to_owned());
    let api = litellm_router::api::Api::Chat;
    match exchange.begin(status, &header) {
        upstream::Next::Collect(collect) => match collect.answer(body) {
            Ok((answer, _)) => answer,
            Err(refusal) => refusal.answer_for(api),
        },
        upstream::Next::Stream {
            headers,
            mut stream,
        } => {
            let mut out = Vec::new();
            for chunk in body.chunks(9) {
                stream.push(chunk);
                out.extend(stream.take());
            }
            if !stream.is_done() {
                stream.finish();
            }
            out.extend(stream.take());
            Answer {
                status: 200,
                headers,
                body: Body::Whole(out),
            }
        }
    }
}

fn json_of(answer: Answer) -> Value {
    serde_json::from_str(&written(answer)).unwrap()
}

fn written(answer: Answer) -> String {
    let bytes = match answer.body {
        Body::Whole(bytes) => bytes,
        Body::Paced(pieces) => pieces.flat_map(|piece| piece.bytes).collect(),
    };
    String::from_utf8(bytes).unwrap()
}

fn request(streams: bool, messages: Value) -> Value {
    let bash =
        json!({"type": "function", "function": {"name": "Bash", "parameters": {"type": "object"}}});
    json!({"model": "local/demo", "stream": streams, "stream_options": {"include_usage": true},
        "tools": [bash], "messages": messages})
}

#[test]
fn the_demo_calls_tools_and_answers_with_what_they_gave() {
    let mut said = vec![json!({"role": "user", "content": "run `echo hi`"})];
    let first: Value = serde_json::from_str(&written(ask(&request(false, json!(said))))).unwrap();
    let choice = &first["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "Bash");
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments["command"], "echo hi");

    said.push(choice["message"].clone());
    said.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "hi"}));
    let second: Value = serde_json::from_str(&written(ask(&request(false, json!(said))))).unwrap();
    assert_eq!(second["choices"][0]["finish_reason"], "stop");
    let text = second["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("hi"), "{text}");
}

#[test]
fn a_streamed_answer_holds_the_same_as_a_whole_one() {
    let said = json!([{"role": "user", "content": "think about the sea"}]);
    let whole: Value = serde_json::from_str(&written(ask(&request(false, said.clone())))).unwrap();
    let stream = written(ask(&request(true, said)));
    let mut lines = stream
        .split("\n\n")
        .map(|part| part.strip_prefix("data: ").unwrap_or(part));
    let chunks: Vec<Value> = lines
        .by_ref()
        .map_while(|line| serde_json::from_str(line).ok())
        .collect();
    assert!(stream.ends_with("data: [DONE]\n\n"));
    let gathered = |key: &str| -> String {
        chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"][key].as_str())
            .collect()
    };
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], gathered("content"));
    assert_eq!(message["reasoning_content"], gathered("reasoning_content"));
    assert_eq!(whole["usage"], chunks.last().unwrap()["usage"]);
    assert!(chunks.iter().all(|chunk| chunk["created"] == 1_700_000_000));
}

#[test]
fn the_demo_fits_the_schema_that_it_is_asked_for() {
    let mut request = request(false, json!([{"role": "user", "content": "Name my shop"}]));
    request["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "t",
        "schema": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}}});
    request["tools"] = Value::Null;
    let answer: Value = serde_json::from_str(&written(ask(&request))).unwrap();
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let content: Value = serde_json::from_str(content).unwrap();
    assert!(content["title"].is_string());
}

const STREAMED: &str = r#"{"stream_options": {"include_usage":true},"model":"groq/llama-3", "messages":[{"role":"user","content":"hi"}],"n":2,"stream":true,"logprobs":true}"#;

const CHUNKS: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"a \\\"error\\\" b\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\": \"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\": {\"prompt_tokens\":12,\"completion_tokens\":3,",
    "\"prompt_tokens_details\":{\"cached_tokens\":2}}}\n\n",
    "data: [DONE]\n\n",
);

const EVENTS: &str = r#"event: message_start
data: {"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}

event: message_stop
data: {"type":"message_stop"}

"#;

#[test]
fn a_provider_that_speaks_chat_gets_the_callers_bytes_but_for_the_model() {
    let exchange = fetch(STREAMED);
    assert_eq!(
        exchange.url,
        "https://api.groq.com/openai/v1/chat/completions"
    );
    assert_eq!(
        String::from_utf8(exchange.body.to_vec()).unwrap(),
        STREAMED.replace("groq/llama-3", "llama-3")
    );
    let authorization = ("authorization".to_owned(), "Bearer gsk_1".to_owned());
    assert!(exchange.headers.contains(&authorization));
    let answer = told(*exchange, 200, "text/event-stream", CHUNKS.as_bytes());
    assert_eq!(written(answer), CHUNKS);
    let whole = br#"{"id":"x",  "usage":{"prompt_tokens":1}}"#;
    let answer = told(*fetch(STREAMED), 200, "application/json", whole);
    assert_eq!(written(answer).as_bytes(), whole);
}

#[test]
fn a_relayed_stream_is_watched_for_usage_and_for_its_end() {
    let stream = |bytes: &str| {
        let header = |_: &str| Some("text/event-stream".to_owned());
        let upstream::Next::Stream { mut stream, .. } = fetch(STREAMED).begin(200, &header) else {
            panic!("no stream")
        };
        stream.push(bytes.as_bytes());
        stream
    };
    let whole = stream(CHUNKS);
    assert!(whole.is_done() && whole.failed().is_none());
    let usage = whole.usage();
    assert_eq!(
        (
            usage.input_tokens,
            usage.cache_read_input_tokens,
            usage.output_tokens
        ),
        (10, 2, 3)
    );
    // A reason is an end as good as [DONE], nothing is none.
    let mut ended = stream(CHUNKS.split("data: {\"choices\":[],").next().unwrap());
    assert!(!ended.is_done() && !ended.take().is_empty());
    assert!(ended.is_between_events());
    ended.finish();
    assert!(ended.failed().is_none());
    let mut cut = stream(CHUNKS.get(..100).unwrap());
    assert!(!cut.take().is_empty() && !cut.is_between_events());
    cut.finish();
    let told = String::from_utf8(cut.take()).unwrap();
    assert!(told.contains("\n\ndata: {\"error\":{"), "{told}");
    assert!(!told.contains("[DONE]"));
    let mut failed = stream("data: {\"error\":{\"message\":\"slow\",\"code\":429}}\n\n");
    assert_eq!(failed.early_failure().unwrap().status, 429);
}

#[test]
fn errors_of_a_provider_that_speaks_chat_pass_but_not_for_the_routers_key() {
    let body = br#"{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}"#;
    let answer = told(*fetch(STREAMED), 429, "application/json", body);
    assert_eq!(answer.status, 429);
    assert_eq!(written(answer).as_bytes(), body);
    let body = br#"{"error":{"message":"Invalid API Key","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let answer = told(*fetch(STREAMED), 401, "application/json", body);
    assert_eq!(answer.status, 502);
    assert_eq!(json_of(answer)["error"]["type"], "server_error");
}

#[test]
fn anthropic_is_asked_in_its_own_words_and_its_answer_translated() {
    let request = json!({"model": "best", "stream": true, "messages": [{"role": "user", "content": "hi"}],
        "reasoning_effort": "low", "temperature": 0.5});
    let exchange = fetch(&request.to_string());
    assert_eq!(exchange.url, "https://api.anthropic.com/v1/messages");
    for header in [
        ("x-api-key", "sk-ant-api-1"),
        ("anthropic-version", "2023-06-01"),
    ] {
        let header = (header.0.to_owned(), header.1.to_owned());
        assert!(exchange.headers.contains(&header), "{header:?}");
    }
    let body: Value = serde_json::from_slice(&exchange.body).unwrap();
    assert_eq!(body["model"], "claude-opus-5");
    // What a model takes is known by its own name, not by the one it was called by.
    assert_eq!(body["thinking"]["type"], "adaptive");
    assert!(body["temperature"].is_null());
    let answer = told(*exchange, 200, "text/event-stream", EVENTS.as_bytes());
    insta::assert_snapshot!(written(answer), @r#"
    data: {"id":"chatcmpl-0123456789abcdef01234567","object":"chat.completion.chunk","created":1700000000,"model":"best","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

    data: {"id":"chatcmpl-0123456789abcdef01234567","object":"chat.completion.chunk","created":1700000000,"model":"best","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}

    data: {"id":"chatcmpl-0123456789abcdef01234567","object":"chat.completion.chunk","created":1700000000,"model":"best","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

    data: [DONE]
    "#);
}

#[test]
fn anthropics_whole_answers_and_errors_are_translated_too() {
    let request =
        json!({"model": "best", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let body = br#"{"type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"max_tokens","usage":{"input_tokens":1,"output_tokens":2}}"#;
    let whole = json_of(told(*fetch(&request), 200, "application/json", body));
    assert_eq!(whole["choices"][0]["message"]["content"], "Hi");
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    assert_eq!(whole["model"], "best");
    assert_eq!(whole["created"], 1_700_000_000);
    assert!(whole["id"].as_str().unwrap().starts_with("chatcmpl-"));
    // Also where events come that nobody asked for.
    let whole = json_of(told(
        *fetch(&request),
        200,
        "text/event-stream",
        EVENTS.as_bytes(),
    ));
    assert_eq!(whole["choices"][0]["message"]["content"], "Hi");
    let body = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_7"}"#;
    let refused = told(*fetch(&request), 529, "application/json", body);
    assert_eq!(refused.status, 529);
    assert!(
        refused
            .headers
            .contains(&("request-id".into(), "req_7".into()))
    );
    assert_eq!(
        json_of(refused)["error"],
        json!({"message": "Overloaded", "type": "service_unavailable_error", "param": null,
            "code": "server_is_overloaded"})
    );
}

#[test]
fn a_fallback_may_lead_to_a_provider_of_the_other_dialect() {
    let request =
        json!({"model": "groq/small", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let mut job = job(&request);
    assert!(matches!(job.first(), Next::Send(first, _) if first.url.contains("groq")));
    let next = job.after(Refusal::new(500, "broken"), 1_700_000_000_100, 1);
    let Next::Send(second, _) = next else {
        panic!("nobody else is asked")
    };
    assert_eq!(second.url, "https://api.anthropic.com/v1/messages");
    let body: Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!(body["messages"][0]["content"][0]["text"], "hi");
}

#[test]
fn mocks_and_refusals_speak_openais_dialect() {
    let ask = |model: &str| {
        ask(&json!({"model": model, "messages": [{"role": "user", "content": "hi"}]}))
    };
    let mocked = json_of(ask("mocked"));
    assert_eq!(
        mocked["choices"][0]["message"]["content"],
        "A mocked answer."
    );
    let refused = |answer: Answer| {
        let status = answer.status;
        let body = json_of(answer);
        format!(
            "{status} {} {}",
            body["error"]["type"], body["error"]["code"]
        )
    };
    let table = [
        refused(ask("too-long")),
        refused(ask("nobody")),
        refused(answered("POST", PATH, b"{")),
        refused(answered("GET", PATH, b"")),
        refused(answered("POST", "/v1/chat/nothing", b"")),
    ];
    insta::assert_snapshot!(table.join("\n"), @r#"
    400 "invalid_request_error" "context_length_exceeded"
    404 "invalid_request_error" "model_not_found"
    400 "invalid_request_error" null
    405 "invalid_request_error" null
    404 "invalid_request_error" null
    "#);
}
