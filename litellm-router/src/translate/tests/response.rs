use serde_json::{Value, json};

use super::terms;
use crate::translate::completion::Terms;
use crate::translate::incoming::Incoming;
use crate::translate::response::translate;
use crate::translate::stream::ChatStream;

fn answered(body: &Value) -> (u16, Value) {
    let answer = match translate(body.to_string().as_bytes(), terms(false)) {
        Ok((answer, _)) => answer,
        Err(refusal) => refusal.answer(),
    };
    (
        answer.status,
        serde_json::from_slice(answer.whole().unwrap()).unwrap(),
    )
}

fn message(message: Value, finish: &str) -> Value {
    let (status, body) = answered(&json!({
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5}}));
    assert_eq!(status, 200, "{body}");
    body
}

fn call(arguments: Value) -> Value {
    json!({"id": "call_1", "type": "function", "function": {"name": "Bash", "arguments": arguments}})
}

#[test]
fn n01_the_message_carries_the_name_that_was_asked_for() {
    assert_eq!(
        message(json!({"role": "assistant", "content": "Hi"}), "stop"),
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "asked/model",
            "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 10, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0, "output_tokens": 5}})
    );
}

#[test]
fn n02_thinking_text_and_calls_come_in_this_order_and_empty_text_does_not() {
    let body = message(
        json!({"tool_calls": [call(json!("{}"))], "content": "Hi", "reasoning": "hm"}),
        "tool_calls",
    );
    let kinds: Vec<&str> = body["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
    assert_eq!(
        message(json!({"content": ""}), "stop")["content"],
        json!([])
    );
    assert_eq!(
        message(json!({"content": null}), "stop")["content"],
        json!([])
    );
}

#[test]
fn n03_arguments_of_every_kind_become_an_object() {
    for arguments in [
        json!(""),
        json!(null),
        json!("null"),
        json!("{}"),
        json!({}),
    ] {
        let body = message(
            json!({"tool_calls": [call(arguments.clone())]}),
            "tool_calls",
        );
        assert_eq!(body["content"][0]["input"], json!({}), "{arguments}");
    }
    let body = message(json!({"tool_calls": [call(json!({"a": 1}))]}), "tool_calls");
    assert_eq!(body["content"][0]["input"], json!({"a": 1}));
    let (status, body) = answered(
        &json!({"choices": [{"message": {"tool_calls": [call(json!("{\"a\":"))]}, "finish_reason": "tool_calls"}]}),
    );
    assert_eq!(status, 502);
    assert!(
        body["error"]["message"].as_str().unwrap().contains("Bash"),
        "{body}"
    );
}

#[test]
fn n03_arguments_that_nearly_are_json_are_mended() {
    for (arguments, input) in [
        ("{\"a\": 1,}", json!({"a": 1})),
        ("{\"a\": True, \"b\": None", json!({"a": true, "b": null})),
        ("{\"a\":1}{\"a\":1}", json!({"a": 1})),
        ("\"{\\\"a\\\":1}\"", json!({"a": 1})),
    ] {
        let body = message(json!({"tool_calls": [call(json!(arguments))]}), "stop");
        assert_eq!(body["content"][0]["input"], input, "{arguments}");
        assert_eq!(body["stop_reason"], "tool_use");
    }
}

#[test]
fn n03_a_call_that_the_limit_cut_is_no_error() {
    let cut = call(json!("{\"file\": \"a.txt\", \"text\": \"half of i"));
    let body = message(
        json!({"content": "Writing.", "tool_calls": [cut]}),
        "length",
    );
    assert_eq!(body["stop_reason"], "max_tokens");
    // As from Anthropic the call is there, but with nothing that could be run by mistake.
    assert_eq!(body["content"][0]["text"], "Writing.");
    assert_eq!(body["content"][1]["name"], "Bash");
    assert_eq!(body["content"][1]["input"], json!({}));
    // A call before it that is whole stays whole.
    let both = json!([call(json!("{\"a\":1}")), {"id": "call_2", "function": {"name": "Bash", "arguments": "{\"a"}}]);
    let body = message(json!({"tool_calls": both}), "length");
    assert_eq!(body["content"][0]["input"], json!({"a": 1}));
    assert_eq!(body["content"][1]["input"], json!({}));
}

#[test]
fn n04_a_tool_call_always_stops_for_the_tool() {
    let with_tool = json!({"tool_calls": [call(json!("{}"))]});
    assert_eq!(
        message(with_tool.clone(), "stop")["stop_reason"],
        "tool_use"
    );
    assert_eq!(message(with_tool, "length")["stop_reason"], "max_tokens");
    for (finish, reason) in [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_calls", "end_turn"),
        ("eos", "end_turn"),
    ] {
        assert_eq!(
            message(json!({"content": "x"}), finish)["stop_reason"],
            reason,
            "{finish}"
        );
    }
}

#[test]
fn n05_cached_tokens_are_not_input_and_numbers_may_look_odd() {
    let usage = |usage: Value| {
        let body = json!({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage});
        answered(&body).1["usage"].clone()
    };
    assert_eq!(
        usage(json!({"prompt_tokens": 100.0, "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10}})),
        json!({"input_tokens": 30, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 60, "output_tokens": 5})
    );
    assert_eq!(
        usage(
            json!({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}, "completion_tokens": null})
        )["input_tokens"],
        0
    );
    // Without any, the estimate stands in.
    assert_eq!(usage(json!(null))["input_tokens"], 7);
}

#[test]
fn n07_an_error_with_status_200_gets_its_own_status() {
    let (status, body) = answered(&json!({"error": {"code": 429, "message": "slow down"}}));
    assert_eq!(
        (status, &body["error"]["type"]),
        (429, &json!("rate_limit_error"))
    );
    let (status, _) = answered(&json!({"object": "error", "message": "no"}));
    assert_eq!(status, 502);
    let (status, _) = answered(&json!({"choices": []}));
    assert_eq!(status, 502);
    let refusal = translate(b"<html>", terms(true)).unwrap_err();
    assert_eq!(refusal.status, 502);
}

#[test]
fn s18_a_whole_answer_can_become_events() {
    let body = json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]});
    let (answer, _) = translate(body.to_string().as_bytes(), terms(true)).unwrap();
    let text = String::from_utf8(answer.whole().unwrap().to_vec()).unwrap();
    assert!(text.starts_with("event: message_start\n"));
    assert!(text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

#[test]
fn n02_refusals_are_text_and_annotations_are_not() {
    let body = message(
        json!({"content": null, "refusal": "I can't help.", "annotations": [{"type": "url_citation"}]}),
        "stop",
    );
    assert_eq!(
        body["content"],
        json!([{"type": "text", "text": "I can't help."}])
    );
    let parts = json!({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "output_text", "text": "b"}]});
    assert_eq!(
        message(parts, "stop")["content"],
        json!([{"type": "text", "text": "ab"}])
    );
}

#[test]
fn n06_reasoning_is_found_in_every_field() {
    let thinking = |fields: Value| {
        let mut fields = fields;
        fields["content"] = json!("Hi");
        let body = message(fields, "stop");
        let block = &body["content"][0];
        assert_eq!(block["type"], "thinking");
        assert_eq!(block["signature"], "litellm-router-unsigned");
        assert_eq!(body["content"][1], json!({"type": "text", "text": "Hi"}));
        block["thinking"].as_str().unwrap().to_owned()
    };
    assert_eq!(thinking(json!({"reasoning_content": "a"})), "a");
    assert_eq!(
        thinking(json!({"reasoning": "b", "reasoning_content": ""})),
        "b"
    );
    let details = json!([
        {"type": "reasoning.summary", "summary": "c", "index": 0},
        {"type": "reasoning.encrypted", "data": "x", "index": 1},
        {"type": "reasoning.text", "text": "d", "index": 2}]);
    assert_eq!(thinking(json!({"reasoning_details": details})), "cd");
    assert_eq!(
        thinking(json!({"reasoning": "cd", "reasoning_details": details})),
        "cd"
    );
    let tagged = message(json!({"content": "<think>\nhm\n</think>\n\nHi"}), "stop");
    assert_eq!(tagged["content"][0]["thinking"], "\nhm\n");
    assert_eq!(tagged["content"][1]["text"], "Hi");
}

#[test]
fn n06_thinking_that_nobody_asked_for_is_not_shown() {
    for said in [
        json!({"content": "Hi", "reasoning": "hm"}),
        json!({"content": "<think>hm</think>Hi"}),
    ] {
        let body = json!({"choices": [{"message": said, "finish_reason": "stop"}]});
        let quiet = Terms {
            wants_thinking: false,
            ..terms(false)
        };
        let (answer, _) = translate(body.to_string().as_bytes(), quiet).unwrap();
        let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
        assert_eq!(body["content"], json!([{"type": "text", "text": "Hi"}]));
    }
}

#[test]
fn c04_counts_of_every_kind_are_read() {
    let usage = |body: Value| {
        let mut whole =
            json!({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]});
        if body.get("choices").is_some() {
            whole["choices"][0]["usage"] = body["choices"][0]["usage"].clone();
        } else {
            whole
                .as_object_mut()
                .unwrap()
                .extend(body.as_object().unwrap().clone());
        }
        let usage = answered(&whole).1["usage"].clone();
        format!(
            "{} {} {}",
            usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]
        )
    };
    let plain = json!({"prompt_tokens": 12.0, "completion_tokens": "5"});
    assert_eq!(usage(json!({"usage": plain})), "12 0 5");
    assert_eq!(
        usage(json!({"usage": null, "x_groq": {"usage": plain}})),
        "12 0 5"
    );
    assert_eq!(usage(json!({"choices": [{"usage": plain}]})), "12 0 5");
    assert_eq!(
        usage(
            json!({"usage": {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "completion_tokens": null}})
        ),
        "5 4 0"
    );
    // What says nothing leaves the estimate.
    for odd in [
        json!({}),
        json!([]),
        json!("many"),
        json!({"prompt_tokens": -3, "completion_tokens": {}}),
    ] {
        assert_eq!(usage(json!({"usage": odd})), "7 0 1", "{odd}");
    }
}

#[test]
fn r19_the_sequence_that_stopped_is_told_where_the_provider_tells_it() {
    let said = |key: &str, told: Value, finish: &str| {
        let choice =
            json!({"index": 0, "message": {"content": "Hi"}, "finish_reason": finish, key: told});
        let mut terms = terms(false);
        terms.asked.stops = vec!["END".into()];
        let body = json!({"choices": [choice]}).to_string();
        let (answer, _) = translate(body.as_bytes(), terms).unwrap();
        let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
        (body["stop_reason"].clone(), body["stop_sequence"].clone())
    };
    let told = (json!("stop_sequence"), json!("END"));
    assert_eq!(said("stop_reason", json!("END"), "stop"), told);
    assert_eq!(said("matched_stop", json!("END"), "stop"), told);
    // A token's number, and what others mean by such a key.
    let untold = (json!("end_turn"), Value::Null);
    for other in [
        json!(151645),
        json!("end_turn"),
        Value::Null,
        json!(["END"]),
    ] {
        assert_eq!(said("stop_reason", other, "stop"), untold);
    }
    let cut = (json!("max_tokens"), Value::Null);
    assert_eq!(said("stop_reason", json!("END"), "length"), cut);
}

#[test]
fn r19_the_sequence_that_stopped_a_stream_is_told_as_well() {
    let mut terms = terms(true);
    terms.asked.stops = vec!["END".into()];
    let mut stream = ChatStream::new(terms);
    stream.push(b"data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"Hi\"}, \"stop_reason\": null}]}\n\n");
    stream.push(b"data: {\"choices\": [{\"index\": 0, \"delta\": {}, \"finish_reason\": \"stop\", \"stop_reason\": \"END\"}]}\n\n");
    stream.push(b"data: [DONE]\n\n");
    stream.finish();
    let events = String::from_utf8(stream.take()).unwrap();
    let told = r#""delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}"#;
    assert!(events.contains(told), "{events}");
}

#[test]
fn r19_a_sequence_that_the_provider_does_not_take_ends_the_answer_here() {
    let terms = |streams: bool| {
        let mut terms = terms(streams);
        terms.asked.own_stops = vec!["END".into()];
        terms
    };
    let mut stream = ChatStream::new(terms(true));
    for piece in ["Hi E", "N", "D and more"] {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": piece}}]});
        stream.push(format!("data: {chunk}\n\n").as_bytes());
    }
    // The provider need not say more, and what it says does not count.
    assert!(stream.is_done() && stream.failed().is_none());
    stream.push(b"data: {\"error\": {\"message\": \"late\"}}\n\n");
    let events = String::from_utf8(stream.take()).unwrap();
    let told = r#""delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}"#;
    assert!(events.contains(told), "{events}");
    assert!(events.contains(r#""text":"Hi ""#), "{events}");
    assert!(
        !events.contains("more") && !events.contains("EN\""),
        "{events}"
    );

    let choice = json!({"index": 0, "finish_reason": "stop", "message": {"content": "Hi END and",
        "tool_calls": [{"id": "c", "function": {"name": "T", "arguments": "{}"}}]}});
    let body = json!({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 9}});
    let (answer, used) = translate(body.to_string().as_bytes(), terms(false)).unwrap();
    let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
    assert_eq!(body["content"], json!([{"type": "text", "text": "Hi "}]));
    assert_eq!(body["stop_sequence"], "END");
    assert_eq!(used.output_tokens, 9);
}

#[test]
fn r19_what_only_began_a_sequence_comes_before_what_follows_it() {
    let mut terms = terms(true);
    terms.asked.own_stops = vec!["END".into()];
    let mut stream = ChatStream::new(terms);
    let call = json!([{"index": 0, "id": "c", "function": {"name": "T", "arguments": "{}"}}]);
    for delta in [json!({"content": "the EN"}), json!({"tool_calls": call})] {
        let chunk = json!({"choices": [{"index": 0, "delta": delta}]});
        stream.push(format!("data: {chunk}\n\n").as_bytes());
    }
    stream.push(b"data: {\"choices\": [{\"index\": 0, \"delta\": {}, \"finish_reason\": \"tool_calls\"}]}\n\ndata: [DONE]\n\n");
    stream.finish();
    let events = String::from_utf8(stream.take()).unwrap();
    let at = |words: &str| {
        events
            .find(words)
            .unwrap_or_else(|| panic!("{words}: {events}"))
    };
    assert!(
        at(r#""text":"EN""#) < at(r#""type":"tool_use""#),
        "{events}"
    );
    assert!(events.contains(r#""stop_reason":"tool_use""#), "{events}");
}
