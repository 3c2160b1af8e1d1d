//! Any bytes of a provider that speaks Anthropic's dialect, in any pieces, for a caller that speaks
//! OpenAI's: no panic, the same chunks whatever the pieces, one end, and no more memory than was sent.

use litellm_router::chat::reply::ChatForm;
use litellm_router::error::KeyOwner;
use litellm_router::reply::{Identity, Reply};
use litellm_router::translate::from_messages::{MessageStream, Terms, translate};
use litellm_router::translate::incoming::Incoming;
use serde_json::{Value, json};

use super::told;

fn terms(streams: bool) -> Terms {
    let identity = Identity {
        id: "chatcmpl-1".into(),
        model: "asked".into(),
    };
    let form = ChatForm {
        streams,
        include_usage: true,
        created: 7,
    };
    Terms {
        reply: Reply::chat(identity, form),
        provider: "provider",
        key_owner: KeyOwner::Router,
    }
}

/// Every chunk is JSON, and exactly one end comes: `[DONE]` after a reason, or an error.
fn check(out: &[u8]) {
    let text = std::str::from_utf8(out).expect("chunks are UTF-8");
    let mut ended = false;
    let mut reasons = 0;
    for part in text.split_terminator("\n\n") {
        assert!(!ended, "something after the end: {part}");
        let data = part.strip_prefix("data: ").expect("a chunk has data");
        if data == "[DONE]" {
            assert_eq!(reasons, 1, "one reason before the end");
            ended = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).expect("a chunk is JSON");
        if chunk.get("error").is_some() {
            ended = true;
            continue;
        }
        let choice = &chunk["choices"][0];
        reasons += usize::from(choice["finish_reason"].is_string());
    }
    assert!(ended, "neither an end nor an error");
}

/// Each line as an event: its first byte says which, the rest is the text.
fn events(lines: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some((&kind, text)) = line.split_first() else {
            continue;
        };
        let text = String::from_utf8_lossy(text);
        let index = i64::from(kind >> 4 & 3);
        let delta =
            |delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let start = |block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
        let event = match kind & 15 {
            0 => {
                json!({"type": "message_start", "message": {"id": text, "usage": {"input_tokens": 3}}})
            }
            1 => start(json!({"type": "text", "text": ""})),
            2 | 3 => delta(json!({"type": "text_delta", "text": text})),
            4 => start(json!({"type": "tool_use", "id": text, "name": "Bash", "input": {}})),
            5 | 6 => delta(json!({"type": "input_json_delta", "partial_json": text})),
            7 => start(json!({"type": "thinking", "thinking": text})),
            8 => delta(json!({"type": "thinking_delta", "thinking": text})),
            9 => delta(json!({"type": "signature_delta", "signature": text})),
            10 => start(json!({"type": "redacted_thinking", "data": text})),
            11 => json!({"type": "content_block_stop", "index": index}),
            12 => {
                json!({"type": "message_delta", "delta": {"stop_reason": text}, "usage": {"output_tokens": 7}})
            }
            13 => json!({"type": "message_stop"}),
            14 => json!({"type": "error", "error": {"type": text, "message": text}}),
            _ => json!({"type": text, "index": text}),
        };
        let name = event["type"]
            .as_str()
            .unwrap_or_default()
            .replace(['\n', '\r'], " ");
        stream.extend(format!("event: {name}\ndata: {event}\n\n").into_bytes());
    }
    stream
}

pub fn run(data: &[u8]) {
    let Some((&switches, bytes)) = data.split_first() else {
        return;
    };
    let built = (switches & 1 != 0).then(|| events(bytes));
    let bytes = built.as_deref().unwrap_or(bytes);
    let whole = told(bytes, u32::from(switches), || {
        MessageStream::new(terms(true))
    });
    check(&whole);

    let mut stream = MessageStream::new(terms(false));
    stream.push(bytes);
    stream.finish();
    assert!(stream.take().is_empty());
    let answers = [Box::new(stream).answer(), translate(bytes, terms(false))];
    for (answer, _) in answers.into_iter().flatten() {
        let body = answer.whole().expect("a whole answer");
        serde_json::from_slice::<Value>(body).expect("a completion is JSON");
    }
}
