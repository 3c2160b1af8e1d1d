//! Groq's `tool_use_failed`: a call that the provider could not read.

use serde_json::{Value, json};

use super::stream::{delta, sse, told};
use super::terms;
use crate::error::ErrorClass;
use crate::translate::asked::Asked;
use crate::translate::completion::Terms;
use crate::translate::incoming::Incoming;
use crate::translate::names::ToolNames;
use crate::translate::response;
use crate::translate::stream::ChatStream;

fn with_tools(streams: bool) -> Terms {
    Terms {
        asked: Asked {
            tools: ToolNames::of(["read"].into_iter()),
            ..Asked::default()
        },
        ..terms(streams)
    }
}

fn failed(generation: &str) -> Value {
    json!({"error": {"message": "Failed to call a function.", "type": "invalid_request_error",
        "code": "tool_use_failed", "failed_generation": generation, "status_code": 400}})
}

const CLEAR: &str = r#"<function=read>{"file_path": "a.txt"}</function>"#;

#[test]
fn e08_a_clear_call_in_a_refusal_is_the_answer() {
    let body = failed(CLEAR).to_string();
    let (answer, _) = response::refused(400, body.as_bytes(), vec![], with_tools(false)).unwrap();
    assert_eq!(answer.status, 200);
    let message: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(
        message["content"],
        json!([{"type": "tool_use", "id": "toolu_1_0", "name": "read", "input": {"file_path": "a.txt"}}])
    );
    let (answer, _) = response::refused(400, body.as_bytes(), vec![], with_tools(true)).unwrap();
    assert!(told(answer.whole().unwrap()).contains("0 tool toolu_1_0 read {}"));
}

#[test]
fn e08_a_refusal_without_a_clear_call_is_worth_another_try() {
    for generation in ["", "I will read", r#"<function=other>{}</function>"#] {
        let body = failed(generation).to_string();
        let headers = vec![("request-id".to_owned(), "r".to_owned())];
        let refused = response::refused(400, body.as_bytes(), headers.clone(), with_tools(false))
            .unwrap_err();
        assert_eq!(
            (refused.status, refused.class()),
            (500, ErrorClass::FailedGeneration)
        );
        assert_eq!(refused.headers, headers);
    }
    let other = json!({"error": {"message": "no", "failed_generation": CLEAR}}).to_string();
    let refused = response::refused(400, other.as_bytes(), vec![], with_tools(false)).unwrap_err();
    assert_eq!(
        refused.status, 400,
        "only the code says that it is such a failure"
    );
}

#[test]
fn e08_a_clear_call_in_a_streams_error_is_the_answer() {
    let event = format!("event: error\ndata: {}\n\n", failed(CLEAR));
    let run = |before: Vec<u8>| {
        let mut stream = ChatStream::new(with_tools(true));
        stream.push(&before);
        stream.push(event.as_bytes());
        assert!(stream.is_done() && stream.failed().is_none());
        stream.finish();
        told(&stream.take())
    };
    insta::assert_snapshot!(run(sse(&[delta(json!({"content": "Reading."}))], "")), @r#"
    start 7
    0 text
    0 + Reading.
    0 .
    1 tool toolu_1_0 read {}
    1 + {"file_path": "a.txt"}
    1 .
    stop tool_use in 7 cached 0 out 10
    end
    "#);
    assert!(run(Vec::new()).starts_with("start 7\n0 tool toolu_1_0 read"));
}
