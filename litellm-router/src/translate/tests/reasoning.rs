//! Reasoning on its way through: from a provider to the client, and back to the provider.

use serde_json::{Value, json};

use super::request::to;
use super::stream::{call, delta, finish, sse, stream};
use super::terms;
use crate::pass_through;
use crate::translate::asked::Asked;
use crate::translate::completion::Terms;
use crate::translate::incoming::Incoming;
use crate::translate::stream::ChatStream;

const MODEL: &str = "openrouter/google/gemini-3-pro-preview";

#[test]
fn n06_a_tag_at_the_beginning_is_thinking_wherever_it_is_cut() {
    insta::assert_snapshot!(stream(&[
        delta(json!({"content": " <thi"})),
        delta(json!({"content": "nk>h"})),
        delta(json!({"content": "m</th"})),
        delta(json!({"content": "ink>\n\nHi <think>"})),
        finish("stop"),
    ]), @"
    start 7
    0 thinking
    0 + h
    0 + m
    0 + litellm-router-unsigned
    0 .
    1 text
    1 + Hi <think>
    1 .
    stop end_turn in 7 cached 0 out 5
    end
    ");
}

#[test]
fn n06_a_tag_that_is_never_closed_is_all_thinking() {
    insta::assert_snapshot!(stream(&[delta(json!({"content": "<think>hm"})), finish("length")]), @"
    start 7
    0 thinking
    0 + hm
    0 + litellm-router-unsigned
    0 .
    stop max_tokens in 7 cached 0 out 1
    end
    ");
    // The beginning of a tag that became none is text, and comes before a call.
    insta::assert_snapshot!(stream(&[
        delta(json!({"content": "<thi"})),
        call(json!(0), "a", "T", "{}"),
        finish("tool_calls"),
    ]), @"
    start 7
    0 text
    0 + <thi
    0 .
    1 tool a T {}
    1 + {}
    1 .
    stop tool_use in 7 cached 0 out 3
    end
    ");
}

#[test]
fn n06_fragments_and_repetitions_are_shown_once() {
    let text = |text: &str| json!({"type": "reasoning.text", "text": text, "index": 0});
    insta::assert_snapshot!(stream(&[
        delta(json!({"reasoning": "Let me ", "reasoning_details": [text("Let me ")]})),
        delta(json!({"reasoning_details": [text("compute that.")]})),
        delta(json!({"reasoning_details": [text("Let me compute that.")]})),
        delta(json!({"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]})),
        delta(json!({"content": "42"})),
        finish("stop"),
    ]), @"
    start 7
    0 thinking
    0 + Let me 
    0 + compute that.
    0 + litellm-router-unsigned
    0 .
    1 text
    1 + 42
    1 .
    stop end_turn in 7 cached 0 out 7
    end
    ");
}

/// The blocks of the message that a client puts together from a stream of the model.
fn blocks(chunks: &[Value], wants_thinking: bool) -> Vec<Value> {
    let terms = Terms {
        asked: Asked {
            reasoning_for: Some(MODEL.into()),
            ..Asked::default()
        },
        wants_thinking,
        ..terms(false)
    };
    let mut stream = ChatStream::new(terms);
    stream.push(&sse(chunks, "data: [DONE]\n\n"));
    stream.finish();
    let (answer, _) = Box::new(stream).answer().unwrap();
    let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
    body["content"].as_array().unwrap().clone()
}

fn history(blocks: &[Value]) -> Value {
    json!({"model": "m", "messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "tool_T_1", "content": "out"}]}]})
}

fn signed(text: &str) -> Value {
    json!({"type": "reasoning.text", "text": text, "format": "google-gemini-v1", "index": 0})
}

fn encrypted() -> Value {
    json!({"type": "reasoning.encrypted", "data": "AbCd==", "id": "tool_T_1", "format": "google-gemini-v1", "index": 1})
}

#[test]
fn r23_details_come_back_unmodified_to_the_model_that_made_them() {
    let answer = blocks(
        &[
            delta(json!({"reasoning": "hm", "reasoning_details": [signed("hm")]})),
            delta(json!({"reasoning_details": [encrypted()]})),
            call(json!(0), "tool_T_1", "T", "{}"),
            finish("tool_calls"),
        ],
        true,
    );
    assert_eq!(answer.len(), 2, "one block of thinking, one call");
    assert_eq!(answer[0]["thinking"], "hm", "the text as it was");
    let sent = to(MODEL, &history(&answer)).unwrap();
    assert_eq!(
        sent["messages"][1],
        json!({"role": "assistant", "reasoning_details": [signed("hm"), encrypted()],
            "tool_calls": [{"id": "tool_T_1", "type": "function",
                "function": {"name": "T", "arguments": "{}"}}]})
    );
    // Another model of the same provider, and other providers, hear nothing of it.
    for other in ["openrouter/anthropic/claude-x", "groq/x", "deepseek/x"] {
        let sent = to(other, &history(&answer)).unwrap().to_string();
        assert!(
            !sent.contains("AbCd") && !sent.contains("unsigned"),
            "{sent}"
        );
    }
    let body = history(&answer).to_string();
    let sent = pass_through::edited(&body.into(), Some("claude-x")).unwrap();
    let sent = String::from_utf8(sent.to_vec()).unwrap();
    assert!(
        !sent.contains("thinking") && sent.contains("tool_use"),
        "{sent}"
    );
}

#[test]
fn r23_encrypted_thoughts_come_back_even_where_no_thinking_was_asked_for() {
    for late in [false, true] {
        let call = call(json!(0), "tool_T_1", "T", "{}");
        let details = delta(json!({"reasoning_details": [encrypted()]}));
        let mut chunks = vec![details, call];
        if late {
            chunks.reverse();
        }
        chunks.push(finish("tool_calls"));
        let answer = blocks(&chunks, false);
        let kinds: Vec<&str> = answer.iter().map(|b| b["type"].as_str().unwrap()).collect();
        let expected = if late {
            ["tool_use", "redacted_thinking"]
        } else {
            ["redacted_thinking", "tool_use"]
        };
        assert_eq!(kinds, expected);
        let sent = to(MODEL, &history(&answer)).unwrap();
        assert_eq!(
            sent["messages"][1]["reasoning_details"],
            json!([encrypted()])
        );
        let body = history(&answer).to_string();
        let sent = pass_through::edited(&body.into(), None).unwrap();
        assert!(
            !String::from_utf8(sent.to_vec())
                .unwrap()
                .contains("redacted")
        );
    }
}

#[test]
fn r23_a_signature_that_comes_late_finds_its_text() {
    let answer = blocks(
        &[
            delta(
                json!({"reasoning": "A thought of some length.", "reasoning_details": [signed("A thought of some length.")]}),
            ),
            delta(json!({"content": "Calling."})),
            call(json!(0), "tool_T_1", "T", "{}"),
            delta(
                json!({"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]}),
            ),
            finish("tool_calls"),
        ],
        true,
    );
    let sent = to(MODEL, &history(&answer)).unwrap();
    let mut whole = signed("A thought of some length.");
    whole["signature"] = json!("s");
    assert_eq!(sent["messages"][1]["reasoning_details"], json!([whole]));
    assert_eq!(sent["messages"][1]["content"], "Calling.");
}

#[test]
fn r23_thinking_of_a_provider_without_details_is_only_marked() {
    let said = stream(&[
        delta(json!({"reasoning_content": "hm", "reasoning_details": [encrypted()]})),
        call(json!(0), "a", "T", "{}"),
        finish("tool_calls"),
    ]);
    assert!(said.contains("0 + litellm-router-unsigned\n0 ."), "{said}");
    assert!(!said.contains("redacted"), "{said}");
}
