use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::chat::reply::ChatForm;
use crate::reply::Identity;

fn chat(streams: bool) -> Reply {
    let identity = Identity {
        id: "chatcmpl-1".into(),
        model: "m".into(),
    };
    let form = ChatForm {
        streams,
        include_usage: true,
        created: 7,
    };
    Reply::chat(identity, form)
}

fn messages(streams: bool) -> Reply {
    let identity = Identity {
        id: "msg_1".into(),
        model: "m".into(),
    };
    Reply::new(identity, streams, 0)
}

fn terms(reply: Reply) -> Terms {
    Terms {
        reply,
        provider: "anthropic",
        key_owner: KeyOwner::Caller,
    }
}

fn sse(events: &[Value]) -> String {
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", text(event, "type"));
    events.iter().map(event).collect()
}

fn relayed_in<'b>(reply: Reply, chunks: impl Iterator<Item = &'b [u8]>) -> String {
    let mut stream = MessageStream::new(terms(reply));
    let mut out = Vec::new();
    for chunk in chunks {
        stream.push(chunk);
        out.extend(stream.take());
    }
    stream.finish();
    out.extend(stream.take());
    String::from_utf8(out).unwrap()
}

fn relayed(bytes: &str) -> String {
    let whole = relayed_in(chat(true), std::iter::once(bytes.as_bytes()));
    let by_byte = relayed_in(chat(true), bytes.as_bytes().chunks(1));
    assert_eq!(whole, by_byte);
    whole
}

/// Texts, reasons and errors of a stream, without what repeats in every chunk.
fn short(written: &str) -> String {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(value) => match value.pointer("/choices/0") {
            Some(choice) => format!("{} {}", choice["delta"], choice["finish_reason"]),
            None => value
                .get("error")
                .or(value.get("usage"))
                .unwrap()
                .to_string(),
        },
        Err(_) => line.to_owned(),
    };
    let lines = written.split("\n\n").filter(|part| !part.is_empty());
    lines
        .map(|part| line(part.strip_prefix("data: ").unwrap_or(part)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_9", "usage": {"input_tokens": 3,
        "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 1}}})
}

fn block(block: Value, deltas: &[Value]) -> Vec<Value> {
    let mut events =
        vec![json!({"type": "content_block_start", "index": 0, "content_block": block})];
    events.extend(
        deltas
            .iter()
            .map(|delta| json!({"type": "content_block_delta", "index": 0, "delta": delta})),
    );
    events.push(json!({"type": "content_block_stop", "index": 0}));
    events
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 42}}),
        json!({"type": "message_stop"}),
    ]
}

fn everything() -> String {
    let mut events = vec![start(), json!({"type": "ping"})];
    events.extend(block(
        json!({"type": "thinking", "thinking": "", "signature": ""}),
        &[
            json!({"type": "thinking_delta", "thinking": "Hm, "}),
            json!({"type": "thinking_delta", "thinking": "ä"}),
            json!({"type": "signature_delta", "signature": "Eq"}),
            json!({"type": "signature_delta", "signature": "=="}),
        ],
    ));
    events.extend(block(
        json!({"type": "redacted_thinking", "data": "r"}),
        &[],
    ));
    events.extend(block(
        json!({"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}),
        &[json!({"type": "input_json_delta", "partial_json": "{\"query\":1}"})],
    ));
    events.extend(block(
        json!({"type": "web_search_tool_result", "tool_use_id": "srv", "content": []}),
        &[],
    ));
    events.extend(block(
        json!({"type": "text", "text": ""}),
        &[
            json!({"type": "text_delta", "text": "Hällo"}),
            json!({"type": "citations_delta", "citation": {}}),
        ],
    ));
    events.extend(block(
        json!({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}),
        &[
            json!({"type": "input_json_delta", "partial_json": ""}),
            json!({"type": "input_json_delta", "partial_json": "{\"a\""}),
            json!({"type": "input_json_delta", "partial_json": ":1}"}),
        ],
    ));
    events.extend(block(
        json!({"type": "tool_use", "id": "toolu_2", "name": "Now", "input": {}}),
        &[],
    ));
    events.extend(end("tool_use"));
    sse(&events)
}

#[test]
fn a_stream_of_every_kind_of_block_becomes_chunks() {
    insta::assert_snapshot!(short(&relayed(&everything())), @r#"
    {"content":"","role":"assistant"} null
    {"reasoning_content":"Hm, "} null
    {"reasoning_content":"ä"} null
    {"thinking_blocks":[{"signature":"Eq==","thinking":"Hm, ä","type":"thinking"}]} null
    {"thinking_blocks":[{"data":"r","type":"redacted_thinking"}]} null
    {"content":"Hällo"} null
    {"tool_calls":[{"function":{"arguments":"","name":"Bash"},"id":"toolu_1","index":0,"type":"function"}]} null
    {"tool_calls":[{"function":{"arguments":"{\"a\""},"index":0}]} null
    {"tool_calls":[{"function":{"arguments":":1}"},"index":0}]} null
    {"tool_calls":[{"function":{"arguments":"","name":"Now"},"id":"toolu_2","index":1,"type":"function"}]} null
    {"tool_calls":[{"function":{"arguments":"{}"},"index":1}]} null
    {} "tool_calls"
    {"completion_tokens":42,"prompt_tokens":123,"prompt_tokens_details":{"cache_write_tokens":20,"cached_tokens":100},"total_tokens":165}
    [DONE]
    "#);
}

#[test]
fn a_stream_becomes_the_same_stream_for_a_caller_of_messages() {
    let written = relayed_in(messages(true), std::iter::once(everything().as_bytes()));
    for kept in [
        r#""thinking":"ä""#,
        r#""signature":"Eq==""#,
        r#""data":"r""#,
        r#""text":"Hällo""#,
        r#""partial_json":":1}""#,
        r#""stop_reason":"tool_use""#,
        r#""cache_read_input_tokens":100"#,
    ] {
        assert!(written.contains(kept), "{kept} in {written}");
    }
    assert!(!written.contains("web_search"));
}

/// What the caller is told, well or not.
fn told(read: Result<(Answer, Usage), Refusal>) -> Answer {
    match read {
        Ok((answer, _)) => answer,
        Err(refusal) => refusal.answer_for(crate::api::Api::Chat),
    }
}

#[test]
fn a_stream_that_nobody_asked_for_becomes_a_whole_answer() {
    let mut stream = Box::new(MessageStream::new(terms(chat(false))));
    stream.push(everything().as_bytes());
    stream.finish();
    assert!(stream.take().is_empty());
    let body: Value = serde_json::from_slice(stream.answer().unwrap().0.whole().unwrap()).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "Hällo");
    assert_eq!(body["usage"]["prompt_tokens"], 123);
}

#[test]
fn stop_reasons_have_openais_names() {
    let finished = |reason: &str| {
        let mut events = vec![start()];
        events.extend(block(json!({"type": "text", "text": "a"}), &[]));
        events.extend(end(reason));
        let written = short(&relayed(&sse(&events)));
        let line = written
            .lines()
            .find(|line| line.starts_with("{} "))
            .unwrap();
        format!("{reason} {line}")
    };
    let reasons = [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "refusal",
        "pause_turn",
        "model_context_window_exceeded",
        "new_reason",
    ];
    insta::assert_snapshot!(reasons.map(finished).join("\n"), @r#"
    end_turn {} "stop"
    max_tokens {} "length"
    stop_sequence {} "stop"
    tool_use {} "stop"
    refusal {} "content_filter"
    pause_turn {} "stop"
    model_context_window_exceeded {} "length"
    new_reason {} "stop"
    "#);
}

#[test]
fn input_that_comes_with_the_call_counts_if_none_follows() {
    let call = |deltas: &[Value]| {
        let start = json!({"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}});
        let mut events = block(start, deltas);
        events.extend(end("tool_use"));
        short(&relayed(&sse(&events)))
    };
    let at_once = call(&[]);
    assert!(
        at_once.contains(r#"{"arguments":"{\"a\":1}"}"#),
        "{at_once}"
    );
    let later = call(&[json!({"type": "input_json_delta", "partial_json": "{\"b\":2}"})]);
    assert!(!later.contains(r#"\"a\":1"#), "{later}");
}

#[test]
fn a_cut_stream_is_never_a_clean_end() {
    let everything = everything();
    let whole = relayed(&everything);
    assert!(whole.ends_with("data: [DONE]\n\n"));
    let stop = everything.find("event: message_stop").unwrap();
    for cut in [0, 1, 40, stop / 2, stop, stop + 30] {
        let cut: String = everything.chars().take(cut).collect();
        let written = relayed(&cut);
        assert!(!written.contains("[DONE]"), "{written}");
        assert!(written.contains("cut the stream"), "{written}");
    }
    // Only the empty line after the last event is missing.
    assert_eq!(relayed(everything.trim_end()), whole);
}

#[test]
fn an_error_in_the_stream_keeps_its_message_and_gets_its_status() {
    let error =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let mut stream = MessageStream::new(terms(chat(true)));
    stream.push(sse(&[start(), error.clone()]).as_bytes());
    assert!(stream.is_done());
    // Nothing has been said yet, so the caller can still be told by the status.
    let early = stream.early_failure().unwrap();
    assert_eq!((early.status, early.message.as_str()), (529, "Overloaded"));
    let mut events = vec![start()];
    events.extend(block(json!({"type": "text", "text": "a"}), &[]));
    events.push(error);
    insta::assert_snapshot!(short(&relayed(&sse(&events))), @r#"
    {"content":"","role":"assistant"} null
    {"content":"a"} null
    {"code":"server_is_overloaded","message":"Overloaded","param":null,"type":"service_unavailable_error"}
    "#);
}

#[test]
fn a_whole_message_becomes_a_whole_completion_or_chunks() {
    let body = json!({"id": "msg_9", "type": "message", "role": "assistant", "model": "x",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "Eq=="},
            {"type": "text", "text": "Hi"},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
            {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"a": 1}}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 5, "output_tokens": 6}})
    .to_string();
    let answer = told(translate(body.as_bytes(), terms(chat(false))));
    let body_of = |answer: &Answer| String::from_utf8(answer.whole().unwrap().to_vec()).unwrap();
    let whole: Value = serde_json::from_str(&body_of(&answer)).unwrap();
    insta::assert_snapshot!(whole["choices"][0]["message"], @r#"{"content":"Hi","reasoning_content":"hm","refusal":null,"role":"assistant","thinking_blocks":[{"signature":"Eq==","thinking":"hm","type":"thinking"}],"tool_calls":[{"function":{"arguments":"{\"a\":1}","name":"Bash"},"id":"toolu_1","type":"function"}]}"#);
    assert_eq!(whole["usage"]["total_tokens"], 11);
    let events = body_of(&told(translate(body.as_bytes(), terms(chat(true)))));
    assert!(events.ends_with("data: [DONE]\n\n"));
}

#[test]
fn what_is_no_message_is_an_error() {
    let status = |body: &str| {
        let answer = told(translate(body.as_bytes(), terms(chat(true))));
        let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
        assert!(body["error"]["message"].is_string());
        answer.status
    };
    assert_eq!(status("<html>"), 502);
    assert_eq!(status("{}"), 502);
    assert_eq!(
        status(r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#),
        429
    );
}

#[test]
fn anthropics_error_keeps_its_message_and_request_id() {
    let body = br#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"},"request_id":"req_1"}"#;
    let told = refusal("anthropic", 404, body, KeyOwner::Caller, Vec::new());
    assert_eq!(
        (told.status, told.message.as_str()),
        (404, "model: claude-x")
    );
    assert_eq!(told.headers, [("request-id".into(), "req_1".into())]);
    let header = vec![("request-id".to_owned(), "req_2".to_owned())];
    let told = refusal("anthropic", 404, body, KeyOwner::Caller, header.clone());
    assert_eq!(told.headers, header);
    let overflow = br#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 200001 tokens > 200000 maximum"}}"#;
    let told = refusal("anthropic", 400, overflow, KeyOwner::Router, Vec::new());
    assert_eq!(
        told.class(),
        crate::error::ErrorClass::ContextWindowExceeded
    );
    assert_eq!(
        told.body_for(crate::api::Api::Chat)["error"]["code"],
        "context_length_exceeded"
    );
}

#[test]
fn e05_the_routers_own_key_being_refused_is_not_the_callers_401() {
    let body = br#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#;
    let told = |owner| refusal("anthropic", 401, body, owner, Vec::new());
    assert_eq!(told(KeyOwner::Router).status, 502);
    assert_eq!(told(KeyOwner::Caller).status, 401);
    assert_eq!(told(KeyOwner::Caller).message, "invalid x-api-key");
}

#[test]
fn memory_is_bounded() {
    let mut stream = MessageStream::new(terms(chat(true)));
    let line = vec![b'x'; 1024 * 1024];
    for _ in 0..64 {
        stream.push(&line);
    }
    assert!(stream.failed().unwrap().message.contains("too large"));
    let mut stream = MessageStream::new(terms(chat(true)));
    let more = "s".repeat(LONGEST_SIGNATURE / 4);
    let delta = json!({"type": "signature_delta", "signature": more});
    stream.push(sse(&block(json!({"type": "thinking"}), &vec![delta; 8])).as_bytes());
    assert!(stream.failed().unwrap().message.contains("signature"));
}

fn event() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
        "ping",
    ]);
    let block = prop::sample::select(vec![
        json!({"type": "text", "text": "x"}),
        json!({"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}),
        json!({"type": "tool_use"}),
        json!({"type": "thinking", "thinking": "h", "signature": "s"}),
        json!({"type": "redacted_thinking"}),
        json!({"type": "text_delta", "text": "é"}),
        json!({"type": "input_json_delta", "partial_json": "{"}),
        json!({"type": "signature_delta", "signature": "s"}),
        json!({"stop_reason": "tool_use"}),
        json!(7),
    ]);
    (kind, block.clone(), block).prop_map(|(kind, block, delta)| {
        json!({"type": kind, "content_block": block, "delta": delta, "usage": {"input_tokens": -1}})
    })
}

proptest! {
    #[test]
    fn chunks_may_end_anywhere(cuts in prop::collection::vec(1usize..200, 0..60)) {
        let bytes = everything();
        let mut rest = bytes.as_bytes();
        let mut chunks = Vec::new();
        for cut in cuts {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        chunks.push(rest);
        prop_assert_eq!(relayed_in(chat(true), chunks.into_iter()), relayed(&bytes));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let written = relayed_in(chat(true), std::iter::once(&*bytes));
        prop_assert!(!written.contains("[DONE]"));
        let _ = translate(&bytes, terms(chat(false)));
    }

    #[test]
    fn events_in_any_order_become_chunks_that_end_once(events in prop::collection::vec(event(), 0..20)) {
        let written = relayed(&sse(&events));
        let errors = written.matches("data: {\"error\"").count();
        prop_assert_eq!(written.matches("[DONE]").count() + errors, 1);
        for part in written.split("\n\n").filter(|part| !part.is_empty()) {
            let data = part.strip_prefix("data: ").unwrap();
            prop_assert!(data == "[DONE]" || serde_json::from_str::<Value>(data).is_ok());
        }
    }
}

#[test]
fn what_was_streamed_counts_though_nobody_waits_for_the_usage() {
    let mut stream = MessageStream::new(terms(chat(true)));
    let said = "x".repeat(700);
    stream.push(
        sse(&[
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": said}}),
        ])
        .as_bytes(),
    );
    assert_eq!(
        (stream.usage().input_tokens, stream.usage().output_tokens),
        (5, 200)
    );
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 90}});
    stream.push(sse(&[end]).as_bytes());
    assert_eq!(stream.usage().output_tokens, 90);
}
