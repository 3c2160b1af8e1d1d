use proptest::prelude::*;
use serde_json::{Value, json};

use super::terms;
use crate::translate::incoming::Incoming;
use crate::translate::stream::ChatStream;

pub(super) fn run(bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut stream = ChatStream::new(terms(true));
    let mut out = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        let cut = cut.clamp(from, bytes.len());
        stream.push(&bytes[from..cut]);
        out.extend(stream.take());
        from = cut;
    }
    stream.finish();
    out.extend(stream.take());
    out
}

/// The events of a stream, one line each: what a reader has to know of them.
pub(super) fn told(out: &[u8]) -> String {
    let text = std::str::from_utf8(out).unwrap();
    let mut lines = Vec::new();
    for event in text.split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
        let index = &data["index"];
        lines.push(match data["type"].as_str().unwrap() {
            "message_start" => format!("start {}", data["message"]["usage"]["input_tokens"]),
            "content_block_start" => {
                let block = &data["content_block"];
                match block["type"].as_str().unwrap() {
                    "tool_use" => format!(
                        "{index} tool {} {} {}",
                        block["id"].as_str().unwrap(),
                        block["name"].as_str().unwrap(),
                        block["input"]
                    ),
                    kind => format!("{index} {kind}"),
                }
            }
            "content_block_delta" => {
                let delta = &data["delta"];
                let text = ["text", "thinking", "partial_json", "signature"]
                    .iter()
                    .find_map(|key| delta[key].as_str())
                    .unwrap();
                format!("{index} + {text}")
            }
            "content_block_stop" => format!("{index} ."),
            "message_delta" => {
                let usage = &data["usage"];
                format!(
                    "stop {} in {} cached {} out {}",
                    data["delta"]["stop_reason"].as_str().unwrap(),
                    usage["input_tokens"],
                    usage["cache_read_input_tokens"],
                    usage["output_tokens"]
                )
            }
            "message_stop" => "end".into(),
            "error" => format!(
                "error {}: {}",
                data["error"]["type"].as_str().unwrap(),
                data["error"]["message"].as_str().unwrap()
            ),
            other => other.to_owned(),
        });
    }
    lines.join("\n")
}

/// Translates bytes whole, byte by byte and in pieces, which must come to the same.
pub(super) fn raw(bytes: &[u8]) -> String {
    let whole = run(bytes, &[]);
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(run(bytes, &every), whole, "byte by byte");
    let thirds: Vec<usize> = (0..bytes.len()).step_by(37).collect();
    assert_eq!(run(bytes, &thirds), whole, "in pieces of 37 bytes");
    told(&whole)
}

pub(super) fn sse(chunks: &[Value], end: &str) -> Vec<u8> {
    let mut text: String = chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\n\n"))
        .collect();
    text.push_str(end);
    text.into_bytes()
}

pub(super) fn stream(chunks: &[Value]) -> String {
    raw(&sse(chunks, "data: [DONE]\n\n"))
}

pub(super) fn delta(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

pub(super) fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

pub(super) fn call(index: Value, id: &str, name: &str, arguments: &str) -> Value {
    let mut call = json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let fields = call.as_object_mut().unwrap();
    fields.retain(|_, value| !value.is_null() && value != "");
    delta(json!({"tool_calls": [call]}))
}

#[test]
fn s01_s03_text_is_one_block_between_start_and_end() {
    insta::assert_snapshot!(stream(&[
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"content": "Hel"})),
        delta(json!({"content": "lo ä"})),
        finish("stop"),
    ]), @"
    start 7
    0 text
    0 + Hel
    0 + lo ä
    0 .
    stop end_turn in 7 cached 0 out 3
    end
    ");
}

#[test]
fn s02_each_kind_of_content_has_its_own_block() {
    insta::assert_snapshot!(stream(&[
        delta(json!({"reasoning": "hm"})),
        delta(json!({"reasoning": "m"})),
        delta(json!({"content": "I'll look."})),
        call(json!(0), "call_1", "Bash", ""),
        call(json!(0), "", "", "{\"a\":"),
        call(json!(0), "", "", "1}"),
        finish("tool_calls"),
    ]), @r#"
    start 7
    0 thinking
    0 + hm
    0 + m
    0 + litellm-router-unsigned
    0 .
    1 text
    1 + I'll look.
    1 .
    2 tool call_1 Bash {}
    2 + {"a":
    2 + 1}
    2 .
    stop tool_use in 7 cached 0 out 8
    end
    "#);
}

#[test]
fn n02_text_may_come_in_parts_and_beside_what_nobody_reads() {
    insta::assert_snapshot!(stream(&[
        delta(json!({"content": [{"type": "text", "text": "a"}, {"type": "odd"}], "annotations": [{}]})),
        delta(json!({"content": {"text": "no"}})),
        delta(json!({"content": 7, "refusal": "b"})),
        finish("stop"),
    ]), @"
    start 7
    0 text
    0 + a
    0 + b
    0 .
    stop end_turn in 7 cached 0 out 2
    end
    ");
}

#[test]
fn s08_usage_is_found_wherever_it_comes() {
    let usage = json!({"prompt_tokens": 20, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}});
    let content = delta(json!({"content": "x"}));
    let with = |mut chunk: Value, key: &str, value: Value| {
        chunk[key] = value;
        chunk
    };
    let expected = "stop end_turn in 15 cached 5 out 9\nend";
    let after = json!({"choices": [], "usage": usage});
    for chunks in [
        vec![
            content.clone(),
            with(finish("stop"), "usage", usage.clone()),
        ],
        vec![content.clone(), finish("stop"), after],
        vec![
            with(
                content.clone(),
                "usage",
                json!({"prompt_tokens": 20, "completion_tokens": 1}),
            ),
            with(finish("stop"), "usage", usage.clone()),
        ],
        vec![
            content.clone(),
            with(finish("stop"), "x_groq", json!({"id": "r", "usage": usage})),
        ],
    ] {
        let said = stream(&chunks);
        assert!(said.ends_with(expected), "{said}");
        assert_eq!(said.matches("stop end_turn").count(), 1);
    }
    assert!(stream(&[content, finish("stop")]).ends_with("stop end_turn in 7 cached 0 out 1\nend"));
}

#[test]
fn s09_reasons_that_are_repeated_end_it_once() {
    let said = stream(&[
        delta(json!({"content": "x"})),
        finish("stop"),
        finish("stop"),
        finish("length"),
    ]);
    assert!(
        said.ends_with("stop end_turn in 7 cached 0 out 1\nend"),
        "{said}"
    );
    let said = raw(&sse(
        &[finish("stop")],
        "data: [DONE]\n\ndata: [DONE]\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"late\"}}]}\n\n",
    ));
    assert!(!said.contains("late"));
    assert_eq!(
        said.matches("end\n").count() + usize::from(said.ends_with("end")),
        1
    );
}

#[test]
fn s10_an_end_without_a_reason_is_no_end() {
    let text = [delta(json!({"content": "x"}))];
    assert!(stream(&text).ends_with("stop end_turn in 7 cached 0 out 1\nend"));
    assert!(stream(&[call(json!(0), "a", "T", "{}")]).contains("stop tool_use"));
    let cut = raw(&sse(&text, ""));
    insta::assert_snapshot!(cut, @"
    start 7
    0 text
    0 + x
    error api_error: groq cut the stream before the answer was finished
    ");
    assert_eq!(raw(&sse(&[text[0].clone(), finish("")], "")), cut);
    assert!(raw(&sse(&[text[0].clone(), finish("stop")], "")).ends_with("end"));
    assert!(raw(b"").starts_with("error api_error"));
}

#[test]
fn s11_usage_comes_once_and_is_the_last_word() {
    let chunk = |n: u64| json!({"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 4, "completion_tokens": n}});
    let said = stream(&[chunk(1), chunk(2), chunk(3), finish("stop")]);
    assert!(
        said.ends_with("stop end_turn in 4 cached 0 out 3\nend"),
        "{said}"
    );
}

#[test]
fn s12_an_error_within_the_stream_is_an_error_event() {
    let text = delta(json!({"content": "x"}));
    let broken = json!({"error": {"code": 529, "message": "overloaded"}, "choices": [{"delta": {}, "finish_reason": "error"}]});
    assert!(stream(&[text.clone(), broken]).ends_with("error overloaded_error: groq: overloaded"));
    let groq = b"event: error\ndata: {\"error\":{\"message\":\"Failed to call a function\",\"code\":\"tool_use_failed\",\"status_code\":400}}\n\n";
    assert_eq!(
        raw(groq),
        "error api_error: groq: Failed to call a function"
    );
    let bare = b"event: error\ndata: {\"message\":\"no\",\"code\":503}\n\n";
    assert_eq!(raw(bare), "error api_error: groq: no");
    assert!(
        stream(&[text.clone(), json!({"object": "error", "message": "vllm"})])
            .ends_with("error api_error: groq: vllm")
    );
    assert!(stream(&[text, finish("error")]).contains("error api_error"));

    let mut stream = ChatStream::new(terms(true));
    stream.push(groq);
    assert_eq!(stream.early_failure().unwrap().status, 500);
}

#[test]
fn s15_comments_and_odd_lines_do_not_disturb() {
    let said = raw(
        "\u{FEFF}: OPENROUTER PROCESSING\r\n\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"ü\"}}]}\r\n\r\n: again\n\ndata: not json\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]"
            .as_bytes(),
    );
    insta::assert_snapshot!(said, @"
    start 7
    0 text
    0 + ü
    0 .
    stop end_turn in 7 cached 0 out 1
    end
    ");
}

#[test]
fn s18_events_can_become_a_whole_answer() {
    let mut stream = ChatStream::new(terms(false));
    stream.push(&sse(
        &[delta(json!({"content": "Hi"})), finish("stop")],
        "data: [DONE]\n\n",
    ));
    stream.finish();
    let (answer, _) = Box::new(stream).answer().unwrap();
    let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
    assert_eq!(body["content"], json!([{"type": "text", "text": "Hi"}]));
}

#[test]
fn s19_the_first_token_goes_out_before_the_second_comes_in() {
    let mut stream = ChatStream::new(terms(true));
    stream.push(&sse(&[delta(json!({"content": "one"}))], ""));
    assert!(told(&stream.take()).ends_with("0 + one"));
}

fn some_chunk() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just(""),
        Just("a"),
        Just("ä\n"),
        Just("{"),
        Just("{}"),
        Just("\"q\":1}"),
        Just("null")
    ];
    let index = prop_oneof![
        Just(json!(0)),
        Just(json!(1)),
        Just(Value::Null),
        Just(json!("x"))
    ];
    let name = prop_oneof![Just(""), Just("a"), Just("b")];
    prop_oneof![
        text.clone()
            .prop_map(|text| delta(json!({"content": text}))),
        text.clone()
            .prop_map(|text| delta(json!({"reasoning_content": text}))),
        (index, name.clone(), name, text)
            .prop_map(|(index, id, name, text)| call(index, id, name, text)),
        prop_oneof![Just("stop"), Just("length"), Just("error")].prop_map(finish),
        Just(json!({"usage": {"prompt_tokens": -1.5, "completion_tokens": "x"}})),
        Just(json!({"choices": [7]})),
        Just(json!([])),
    ]
}

proptest! {
    /// Whatever a provider sends, the client gets a stream that keeps the rules.
    #[test]
    fn s02_any_chunks_in_any_pieces_keep_the_rules(
        chunks in proptest::collection::vec(some_chunk(), 0..12),
        mut cuts in proptest::collection::vec(0usize..2_000, 0..8),
        ended in any::<bool>(),
    ) {
        cuts.sort_unstable();
        let bytes = sse(&chunks, if ended { "data: [DONE]\n\n" } else { "" });
        let whole = run(&bytes, &[]);
        prop_assert_eq!(&run(&bytes, &cuts), &whole);

        let said = told(&whole);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.last().copied().unwrap_or_default();
        prop_assert!(last == "end" || last.starts_with("error ") || said.contains("\nerror ") || said.starts_with("error "), "{}", said);
        let starts = lines.iter().filter(|line| **line == "start 7").count();
        prop_assert!(starts <= 1);
        if last == "end" {
            let opened = lines.iter().filter(|line| line.ends_with(" text") || line.ends_with(" thinking") || line.contains(" tool ")).count();
            let closed = lines.iter().filter(|line| line.ends_with(" .")).count();
            prop_assert_eq!(opened, closed);
        }
    }

    #[test]
    fn s20_any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        run(&bytes, &[]);
    }
}
