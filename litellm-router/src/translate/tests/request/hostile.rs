//! Requests that nobody means well: an answer in a time that grows with their length alone.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{bytes_to, to};

/// Generous, because tests run unoptimised beside others; what grows with the square of the size
/// takes minutes.
const LONGEST: Duration = Duration::from_secs(10);

#[test]
fn r32_ten_thousand_calls_and_results_take_linear_time() {
    let ids: Vec<String> = (0..10_000).map(|n| format!("call_{n}")).collect();
    let calls: Vec<Value> = ids
        .iter()
        .map(|id| json!({"type": "tool_use", "id": id, "name": "T", "input": {}}))
        .collect();
    let results: Vec<Value> = ids
        .iter()
        .rev()
        .map(|id| json!({"type": "tool_result", "tool_use_id": id, "content": "x"}))
        .collect();
    let tools: Vec<Value> = ids
        .iter()
        .map(|id| json!({"name": id, "input_schema": {"type": "object"}, "defer_loading": true}))
        .collect();
    let request = json!({"model": "m", "tools": tools, "messages": [
        {"role": "assistant", "content": calls}, {"role": "user", "content": results}]});
    let begun = Instant::now();
    let sent = to("groq/x", &request).unwrap();
    assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    assert_eq!(sent["messages"].as_array().unwrap().len(), 10_001);
}

#[test]
fn r32_ten_thousand_blocks_and_turns_take_linear_time() {
    let blocks: Vec<Value> = (0..10_000)
        .map(|_| json!({"type": "text", "text": "x"}))
        .collect();
    let turns: Vec<Value> = (0..10_000)
        .map(|n| json!({"role": if n % 2 == 0 { "user" } else { "assistant" }, "content": "x"}))
        .collect();
    let begun = Instant::now();
    for turns in [json!([{"role": "user", "content": blocks}]), json!(turns)] {
        to("groq/x", &json!({"model": "m", "messages": turns})).unwrap();
    }
    assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
}

#[test]
fn r32_what_is_no_request_is_refused() {
    let deep = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":{}{}}}]}}"#,
        r#"[{"type":"x","content":"#.repeat(50_000),
        "}]".repeat(50_000)
    );
    for body in [
        b"\xFF\xFE".as_slice(),
        b"{\"model\":\"\xFF\",\"messages\":[]}",
        b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xC3\x28\"}]}",
        b"",
        b"null",
        b"[]",
        br#"{"model":"m"}"#,
        br#"{"model":"m","messages":{}}"#,
        br#"{"model":"m","messages":[{"content":"x"}]}"#,
        br#"{"model":"m","messages":[{"role":"user","content":"x"}]} trailing"#,
        br#"{"model":"\ud800","messages":[]}"#,
        deep.as_bytes(),
    ] {
        let refused = bytes_to("groq/x", body).unwrap_err();
        assert_eq!(refused.status, 400);
        assert!(refused.message.len() < 2_100, "{}", refused.message.len());
    }
}

#[test]
fn r32_depth_that_nobody_reads_goes_through_or_is_refused() {
    let input = format!(r#"{}1{}"#, r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    let call = format!(
        r#"{{"model":"m","messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"T","input":{input}}}]}}],
        "tools":[{{"name":"T","input_schema":{input}}}]}}"#
    );
    match bytes_to("groq/x", call.as_bytes()) {
        Ok((sent, _)) => assert!(sent.len() > input.len()),
        Err(refused) => assert_eq!(refused.status, 400),
    }
}

fn some_block() -> impl Strategy<Value = Value> {
    let id = prop_oneof![Just(""), Just("a"), Just("b"), Just("x.y:0")];
    let text = prop_oneof![Just(""), Just("t"), Just("ä")];
    prop_oneof![
        text.clone().prop_map(|text| json!({"type": "text", "text": text})),
        id.clone()
            .prop_map(|id| json!({"type": "tool_use", "id": id, "name": "T", "input": {}})),
        (id, text.clone(), any::<bool>()).prop_map(|(id, text, is_error)| {
            json!({"type": "tool_result", "tool_use_id": id, "content": text, "is_error": is_error})
        }),
        text.prop_map(
            |text| json!({"type": "thinking", "thinking": text, "signature": "litellm-router-unsigned"})
        ),
        Just(json!({"type": "image", "source": {"type": "url", "url": "u"}})),
        Just(json!({"type": "unknown", "text": 7})),
    ]
}

proptest! {
    /// Each call has its result directly behind it, and no result is without its call.
    #[test]
    fn r11_any_conversation_keeps_calls_and_results_together(
        turns in proptest::collection::vec(
            (prop_oneof![Just("user"), Just("assistant"), Just("system"), Just("odd")],
             proptest::collection::vec(some_block(), 0..5)), 0..6),
        model in prop_oneof![Just("groq/x"), Just("openrouter/anthropic/claude-x"), Just("deepseek/x")],
    ) {
        let turns: Vec<Value> = turns
            .into_iter()
            .map(|(role, content)| json!({"role": role, "content": content}))
            .collect();
        let sent = to(model, &json!({"model": "m", "messages": turns})).unwrap();
        let messages = sent["messages"].as_array().unwrap();
        let mut waiting: Vec<&Value> = Vec::new();
        let mut last = "";
        for message in messages {
            let role = message["role"].as_str().unwrap();
            if role == "tool" {
                prop_assert!(!waiting.is_empty());
                prop_assert_eq!(waiting.remove(0), &message["tool_call_id"]);
            } else {
                prop_assert!(waiting.is_empty());
                prop_assert!(role != last || role == "tool", "{:?}", messages);
            }
            if let Some(calls) = message["tool_calls"].as_array() {
                waiting = calls.iter().map(|call| &call["id"]).collect();
                for (place, id) in waiting.iter().enumerate() {
                    prop_assert!(!waiting[..place].contains(id));
                }
            }
            last = role;
        }
        prop_assert!(waiting.is_empty());
    }
}
