use serde_json::{Value, json};

use super::{bytes_to, called, chat, messages, messages_to};

#[test]
fn r01_system_blocks_become_one_leading_message() {
    let request = |system: Value| {
        chat(
            json!({"model": "m", "system": system, "messages": [{"role": "user", "content": "hi"}]}),
        )
    };
    let expected =
        json!([{"role": "system", "content": "one\n\ntwo"}, {"role": "user", "content": "hi"}]);
    let blocks = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    assert_eq!(request(blocks)["messages"], expected);
    assert_eq!(request(json!("one\n\ntwo"))["messages"], expected);
    assert_eq!(request(json!(""))["messages"][0]["role"], "user");
}

#[test]
fn r02_the_billing_header_stays_here() {
    let system = json!([{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1"},
        {"type": "text", "text": "You are"}]);
    let body = chat(json!({"model": "m", "system": system, "messages": []}));
    assert_eq!(
        body["messages"],
        json!([{"role": "system", "content": "You are"}])
    );
}

#[test]
fn r03_a_system_turn_within_the_conversation_comes_after_the_results() {
    let turns = messages(json!([
        {"role": "user", "content": "go"},
        {"role": "system", "content": "env"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {}}]},
        {"role": "system", "content": [{"type": "text", "text": "news"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "out"}]},
    ]));
    assert_eq!(
        turns,
        json!([
            {"role": "user", "content": "go\n\n<system-reminder>\nenv\n</system-reminder>"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function",
                "function": {"name": "Bash", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "out"},
            {"role": "user", "content": "<system-reminder>\nnews\n</system-reminder>"},
        ])
    );
}

#[test]
fn r05_tool_results_come_first() {
    let turns = messages(json!([
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "T", "input": {}},
            {"type": "tool_use", "id": "b", "name": "T", "input": {}}]},
        {"role": "user", "content": [
            {"type": "text", "text": "and"},
            {"type": "tool_result", "tool_use_id": "b", "content": "2"},
            {"type": "text", "text": "then"},
            {"type": "tool_result", "tool_use_id": "a", "content": "1"}]},
    ]));
    let order: Vec<&str> = turns
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["content"].as_str().unwrap_or("call"))
        .collect();
    assert_eq!(order, ["call", "1", "2", "and\n\nthen"]);
}

#[test]
fn r10_calls_keep_their_input_as_text_and_no_content_is_no_key() {
    let call = &called(json!("x"))[0];
    assert_eq!(
        call,
        &json!({"role": "assistant", "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "Bash", "arguments": "{\"a\":2,\"b\":1}"}}]})
    );
    // The order of keys is the caller's, to the byte.
    let body = br#"{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"T","input":{"z":1, "a":[]}}]}]}"#;
    let (sent, _) = bytes_to("groq/x", body).unwrap();
    assert!(
        String::from_utf8(sent)
            .unwrap()
            .contains(r#""arguments":"{\"z\":1, \"a\":[]}""#)
    );
}

#[test]
fn r11_calls_without_result_get_one_and_results_without_call_go() {
    let turns = called(json!([
        {"type": "tool_result", "tool_use_id": "ghost", "content": "boo"},
        {"type": "text", "text": "stop"}]));
    assert_eq!(turns[1]["content"], "(no result: the call was interrupted)");
    assert_eq!(turns[2]["content"], "stop");
    assert_eq!(turns.as_array().unwrap().len(), 3);
    let unanswered = messages(json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "T", "input": {}}]}]));
    assert_eq!(unanswered[1]["tool_call_id"], "a");
}

#[test]
fn r23_thinking_of_the_past_is_left_out() {
    let turns = messages(json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "secret", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "more", "signature": "s"}]},
    ]));
    assert_eq!(
        turns,
        json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])
    );
}

#[test]
fn r26_empty_texts_are_left_out() {
    let turns = messages(json!([
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "q"}]},
        {"role": "assistant", "content": [{"type": "text", "text": ""}]},
    ]));
    assert_eq!(turns, json!([{"role": "user", "content": "q"}]));
}

#[test]
fn r27_turns_of_one_side_become_one() {
    let turns = messages(json!([
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"}, {"role": "assistant", "content": "d"},
    ]));
    assert_eq!(
        turns,
        json!([{"role": "user", "content": "a\n\nb"}, {"role": "assistant", "content": "c\n\nd"}])
    );
}

#[test]
fn r03_a_role_that_nobody_knows_is_a_users() {
    let turns = messages(json!([
        {"role": "oracle", "content": "a"},
        {"role": "user", "content": "b"},
    ]));
    assert_eq!(turns, json!([{"role": "user", "content": "a\n\nb"}]));
}

#[test]
fn r11_results_without_any_call_leave_nothing_behind() {
    let turns = messages(json!([
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "boo"}]},
        {"role": "user", "content": "hi"},
    ]));
    assert_eq!(turns, json!([{"role": "user", "content": "hi"}]));
}

#[test]
fn r12_ids_that_providers_refuse_go_up_in_another_form_with_their_results() {
    let long = format!("chatcmpl-tool-{}", "0".repeat(32));
    let turns = json!([
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": long, "name": "T", "input": {}},
            {"type": "tool_use", "id": "functions.T:1", "name": "T", "input": {}},
            {"type": "tool_use", "id": "toolu_ok", "name": "T", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "functions.T:1", "content": "2"},
            {"type": "tool_result", "tool_use_id": "toolu_ok", "content": "3"},
            {"type": "tool_result", "tool_use_id": long, "content": "1"}]},
    ]);
    let sent = messages(turns.clone());
    for (place, content) in ["1", "2", "3"].iter().enumerate() {
        let id = sent[0]["tool_calls"][place]["id"].as_str().unwrap();
        assert!(id.len() <= 40 && !id.contains(['.', ':']), "{id}");
        assert_eq!(sent[place + 1]["tool_call_id"], id);
        assert_eq!(sent[place + 1]["content"], *content);
    }
    assert_eq!(sent[0]["tool_calls"][2]["id"], "toolu_ok");
    assert_eq!(messages(turns), sent, "the same each time");
}

#[test]
fn r12_calls_of_one_id_are_told_apart_by_their_order() {
    let call = json!({"type": "tool_use", "id": "a", "name": "T", "input": {}});
    let result = |text: &str| json!({"type": "tool_result", "tool_use_id": "a", "content": text});
    let sent = messages(json!([
        {"role": "assistant", "content": [call, call]},
        {"role": "user", "content": [result("1"), result("2")]},
    ]));
    let calls = &sent[0]["tool_calls"];
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert_eq!(
        (&sent[1]["tool_call_id"], &sent[1]["content"]),
        (&calls[0]["id"], &json!("1"))
    );
    assert_eq!(
        (&sent[2]["tool_call_id"], &sent[2]["content"]),
        (&calls[1]["id"], &json!("2"))
    );
}

#[test]
fn r27_a_prefilled_answer_stays_the_last_word() {
    let turns = messages_to(
        "groq/x",
        json!([
        {"role": "user", "content": "json please"}, {"role": "assistant", "content": "{"}]),
    );
    assert_eq!(turns[1], json!({"role": "assistant", "content": "{"}));
}
