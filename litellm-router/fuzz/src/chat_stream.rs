//! Any bytes of a provider, in any pieces: no panic, the same events whatever the pieces, events that
//! keep Anthropic's order, and no more memory than the provider sent.

use litellm_router::error::KeyOwner;
use litellm_router::reply::Identity;
use litellm_router::translate::asked::Asked;
use litellm_router::translate::completion::Terms;
use litellm_router::translate::incoming::Incoming;
use litellm_router::translate::names::ToolNames;
use litellm_router::translate::stream::ChatStream;
use serde_json::{Value, json};

use super::told;

fn terms(streams: bool, switches: u8) -> Terms {
    Terms {
        identity: Identity {
            id: "msg_1".into(),
            model: "asked".into(),
        },
        streams,
        asked: Asked {
            tools: ToolNames::of(["read", "Bash"].into_iter()),
            stops: vec!["stop".into()],
            own_stops: match switches & 4 {
                0 => Vec::new(),
                _ => vec!["lo".into(), "END".into()],
            },
            reasoning_for: (switches & 1 != 0).then(|| "openrouter/x".into()),
        },
        provider: "provider",
        key_owner: KeyOwner::Router,
        wants_thinking: switches & 2 != 0,
        input_estimate: 7,
    }
}

/// Checks the order of events.
fn check(out: &[u8]) {
    let text = std::str::from_utf8(out).expect("events are UTF-8");
    let mut started = false;
    let mut ended = false;
    let mut failed = false;
    let mut open: Option<String> = None;
    let mut index = 0;
    let mut input = String::new();
    let mut inputs = Vec::new();
    let mut stop = String::new();
    for event in text.split_terminator("\n\n") {
        assert!(!ended && !failed, "an event after the end");
        let (name, data) = event.split_once("\ndata: ").expect("an event has data");
        let data: Value = serde_json::from_str(data).expect("data is JSON");
        let kind = data["type"].as_str().expect("data has a type").to_owned();
        assert_eq!(name, format!("event: {kind}"));
        if kind == "error" {
            failed = true;
            continue;
        }
        assert_eq!(
            kind == "message_start",
            !started,
            "one start, before all else"
        );
        started = true;
        match kind.as_str() {
            "message_start" => {}
            "content_block_start" => {
                assert!(open.is_none(), "blocks overlap");
                assert_eq!(data["index"], index);
                open = data["content_block"]["type"].as_str().map(str::to_owned);
                input.clear();
            }
            "content_block_delta" => {
                assert_eq!(data["index"], index);
                let block = open.as_deref().expect("a delta outside of a block");
                let delta = data["delta"]["type"].as_str().expect("a delta has a type");
                assert!(matches!(
                    (block, delta),
                    ("text", "text_delta")
                        | ("thinking", "thinking_delta" | "signature_delta")
                        | ("tool_use", "input_json_delta")
                ));
                input.push_str(data["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            "content_block_stop" => {
                if open.take().expect("a stop without a start") == "tool_use" {
                    inputs.push(input.clone());
                }
                index += 1;
            }
            "message_delta" => {
                stop = data["delta"]["stop_reason"]
                    .as_str()
                    .expect("a reason")
                    .to_owned();
            }
            "message_stop" => ended = true,
            other => panic!("an event of type {other}"),
        }
    }
    assert!(ended || failed, "neither an end nor an error");
    if ended {
        assert!(open.is_none(), "a block that is never closed");
        if stop == "max_tokens" {
            inputs.pop();
        }
        for input in &inputs {
            let input: Value = serde_json::from_str(input).expect("input is JSON");
            assert!(input.is_object());
        }
    }
}

/// Each line as a chunk of a stream: its first byte says what of, the rest is the text. So the fuzzer
/// need not find out about JSON first.
fn chunks(lines: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some((&kind, text)) = line.split_first() else {
            continue;
        };
        let text = String::from_utf8_lossy(text);
        let index = i64::from(kind >> 4 & 3);
        let call = |call: Value| json!({"delta": {"tool_calls": [call]}});
        let choice = match kind & 15 {
            0 | 1 => json!({"delta": {"content": text}}),
            2 => json!({"delta": {"reasoning_content": text}}),
            3 => json!({"delta": {"reasoning_details": [
                {"type": "reasoning.text", "text": text, "index": index}]}}),
            4 => json!({"delta": {"reasoning_details": [
                {"type": "reasoning.encrypted", "data": text, "index": index}]}}),
            5 => call(json!({"index": index, "id": text, "function": {"name": "read"}})),
            6 | 7 => call(json!({"index": index, "function": {"arguments": text}})),
            8 => call(json!({"function": {"name": "Bash", "arguments": text}})),
            9 => call(
                json!({"index": index, "id": text, "function": {"name": text, "arguments": "{}"}}),
            ),
            10 => json!({"delta": {}, "finish_reason": "stop"}),
            11 => json!({"delta": {}, "finish_reason": "length"}),
            12 => json!({"delta": {"content": text}, "finish_reason": "tool_calls"}),
            13 => json!({"delta": {"content": [{"text": text}], "refusal": text}}),
            14 => json!({"delta": {"function_call": {"name": "read", "arguments": text}}}),
            _ => json!({"error": {"code": "tool_use_failed", "failed_generation": text}}),
        };
        let chunk = json!({"choices": [choice], "error": choice.get("error")});
        stream.extend(format!("data: {chunk}\n\n").into_bytes());
    }
    stream
}

pub fn run(data: &[u8]) {
    let Some((&switches, bytes)) = data.split_first() else {
        return;
    };
    let built = (switches & 4 != 0).then(|| chunks(bytes));
    let bytes = built.as_deref().unwrap_or(bytes);
    let whole = told(bytes, u32::from(switches), || {
        ChatStream::new(terms(true, switches))
    });
    check(&whole);

    let mut stream = ChatStream::new(terms(false, switches));
    stream.push(bytes);
    stream.finish();
    assert!(stream.take().is_empty());
    if let Ok((answer, _)) = Box::new(stream).answer() {
        let body = answer.whole().expect("a whole answer");
        serde_json::from_slice::<Value>(body).expect("a message is JSON");
    }
}
