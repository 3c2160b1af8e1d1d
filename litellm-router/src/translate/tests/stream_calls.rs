//! Streams that call tools.

use serde_json::{Value, json};

use super::stream::{call, delta, finish, raw, run, sse, stream};
use super::terms;
use crate::translate::incoming::Incoming;
use crate::translate::stream::ChatStream;

#[test]
fn s04_arguments_count_wherever_they_stand() {
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "First", "{\"x\":1}"),
        call(json!(1), "b", "Second", ""),
        json!({"choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": "{\"y\":2}"}}]}, "finish_reason": "tool_calls"}]}),
    ]), @r#"
    start 7
    0 tool a First {}
    0 + {"x":1}
    0 .
    1 tool b Second {}
    1 + {"y":2}
    1 .
    stop tool_use in 7 cached 0 out 4
    end
    "#);
}

#[test]
fn s05_indexes_ids_and_names_may_be_missing_late_or_repeated() {
    // No index, no id, whole calls: Ollama.
    insta::assert_snapshot!(stream(&[
        call(Value::Null, "", "One", "{}"),
        call(Value::Null, "", "Two", "{\"a\":1}"),
        finish("stop"),
    ]), @r#"
    start 7
    0 tool toolu_1_0 One {}
    0 + {}
    0 .
    1 tool toolu_1_1 Two {}
    1 + {"a":1}
    1 .
    stop tool_use in 7 cached 0 out 3
    end
    "#);
    // Always index 0, a new id for the next call.
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "One", "{}"),
        call(json!(0), "b", "Two", "{}"),
        finish("tool_calls"),
    ]), @"
    start 7
    0 tool a One {}
    0 + {}
    0 .
    1 tool b Two {}
    1 + {}
    1 .
    stop tool_use in 7 cached 0 out 2
    end
    ");
    // Id and name in every chunk; the name comes after the id.
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "", ""),
        call(json!(0), "a", "One", "{\"q\""),
        call(json!(0), "a", "One", ":1}"),
        finish("tool_calls"),
    ]), @r#"
    start 7
    0 tool a One {}
    0 + {"q"
    0 + :1}
    0 .
    stop tool_use in 7 cached 0 out 3
    end
    "#);
    // Arguments before the name.
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "", "{\"q\""),
        call(json!(0), "", "One", ":1}"),
        finish("tool_calls"),
    ]), @r#"
    start 7
    0 tool a One {}
    0 + {"q":1}
    0 .
    stop tool_use in 7 cached 0 out 3
    end
    "#);
    assert!(
        stream(&[call(json!(0), "a", "", "{}"), finish("tool_calls")]).ends_with("without a name")
    );
}

#[test]
fn s06_calls_side_by_side_go_out_one_after_the_other() {
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "One", "{\"p\":"),
        call(json!(1), "b", "Two", "{\"q\":"),
        call(json!(0), "", "", "1}"),
        call(json!(1), "", "", "2"),
        call(json!(1), "", "", "}"),
        finish("tool_calls"),
    ]), @r#"
    start 7
    0 tool a One {}
    0 + {"p":
    0 + 1}
    0 .
    1 tool b Two {}
    1 + {"q":
    1 + 2}
    1 .
    stop tool_use in 7 cached 0 out 7
    end
    "#);
}

#[test]
fn s07_text_after_a_call_and_content_in_the_last_chunk_are_kept() {
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "One", "{}"),
        delta(json!({"content": "done"})),
        json!({"choices": [{"delta": {"content": "!"}, "finish_reason": "stop"}]}),
    ]), @"
    start 7
    0 tool a One {}
    0 + {}
    0 .
    1 text
    1 + done
    1 + !
    1 .
    stop tool_use in 7 cached 0 out 4
    end
    ");
    // Text in the middle of a call waits until the call is whole.
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "One", "{\"q\":"),
        delta(json!({"content": "\n"})),
        call(json!(0), "", "", "1}"),
        finish("tool_calls"),
    ]), @r#"
    start 7
    0 tool a One {}
    0 + {"q":
    0 + 1}
    0 .
    1 text
    1 + 

    1 .
    stop tool_use in 7 cached 0 out 4
    end
    "#);
}

#[test]
fn s04_arguments_may_come_in_the_last_chunk_alone() {
    insta::assert_snapshot!(stream(&[
        json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "One", "arguments": {"x": 1}}}]}, "finish_reason": "tool_calls"}]}),
    ]), @r#"
    start 7
    0 tool a One {}
    0 + {"x":1}
    0 .
    stop tool_use in 7 cached 0 out 2
    end
    "#);
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "One", ""),
        finish("tool_calls"),
    ]), @"
    start 7
    0 tool a One {}
    0 + {}
    0 .
    stop tool_use in 7 cached 0 out 0
    end
    ");
}

#[test]
fn r12_ids_that_are_missing_repeated_or_odd_become_our_own() {
    insta::assert_snapshot!(stream(&[
        call(json!(0), "functions.One:0", "One", "{}"),
        call(json!(1), "same", "Two", "{}"),
        call(json!(2), "same", "Three", "{}"),
        call(json!(3), "", "Four", "{}"),
        finish("tool_calls"),
    ]), @"
    start 7
    0 tool toolu_1_0 One {}
    0 + {}
    0 .
    1 tool same Two {}
    1 + {}
    1 .
    2 tool toolu_1_2 Three {}
    2 + {}
    2 .
    3 tool toolu_1_3 Four {}
    3 + {}
    3 .
    stop tool_use in 7 cached 0 out 4
    end
    ");
    // One id for all calls and no index.
    let said = stream(&[
        call(Value::Null, "same", "One", "{}"),
        call(Value::Null, "same", "One", "{}"),
        finish("tool_calls"),
    ]);
    assert!(
        said.contains("0 tool same One") && said.contains("1 tool toolu_1_1 One"),
        "{said}"
    );
}

#[test]
fn n03_arguments_are_mended_while_they_stream() {
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "One", "{\"a\": Tr"),
        call(json!(0), "", "", "ue, \"b\": [1,"),
        call(json!(0), "", "", "], "),
        call(json!(0), "", "", "}"),
        finish("tool_calls"),
    ]), @r#"
    start 7
    0 tool a One {}
    0 + {"a": 
    0 + true, "b": [1
    0 + ]
    0 + }
    0 .
    stop tool_use in 7 cached 0 out 9
    end
    "#);
    let said = stream(&[call(json!(0), "a", "One", "{\"a\": {}"), finish("stop")]);
    assert!(
        said.contains("0 + {\"a\": {}\n0 + }\n0 .\nstop tool_use"),
        "{said}"
    );
    let said = stream(&[
        call(json!(0), "a", "One", "{\"a\": oops}"),
        finish("tool_calls"),
    ]);
    assert!(
        said.ends_with("error api_error: the model called One with input that is not JSON"),
        "{said}"
    );
}

#[test]
fn n03_a_call_that_the_limit_cut_stays_unfinished() {
    insta::assert_snapshot!(stream(&[
        call(json!(0), "a", "Write", "{\"text\": \"half of i"),
        finish("length"),
    ]), @r#"
    start 7
    0 tool a Write {}
    0 + {"text": "half of i
    0 .
    stop max_tokens in 7 cached 0 out 6
    end
    "#);
    // Cut before its name was there: no call at all.
    insta::assert_snapshot!(stream(&[call(json!(0), "a", "", ""), finish("length")]), @"
    start 7
    stop max_tokens in 7 cached 0 out 0
    end
    ");
}

#[test]
fn s20_calls_without_measure_are_refused() {
    let many: Vec<Value> = (0..300).map(|n| call(json!(n), "", "T", "{}")).collect();
    assert!(stream(&many).ends_with("error api_error: the provider sent too many tool calls"));
    let large = call(
        json!(0),
        "a",
        "T",
        &format!("{{\"a\":\"{}", "x".repeat(4 * 1024 * 1024)),
    );
    let mut chunks = vec![large];
    for _ in 0..4 {
        chunks.push(call(json!(0), "", "", &"x".repeat(4 * 1024 * 1024)));
    }
    let bytes = sse(&chunks, "");
    let out = run(&bytes, &[]);
    assert!(String::from_utf8_lossy(&out).contains("too many tool calls"));
}

#[test]
fn s18_a_cut_stream_of_calls_becomes_a_whole_answer() {
    let mut stream = ChatStream::new(terms(false));
    stream.push(&sse(
        &[
            call(json!(0), "a", "Write", "{\"text\": \"half"),
            finish("length"),
        ],
        "data: [DONE]\n\n",
    ));
    stream.finish();
    let (answer, _) = Box::new(stream).answer().unwrap();
    let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
    assert_eq!(body["stop_reason"], "max_tokens");
    assert_eq!(body["content"][0]["input"], json!({}));
    assert!(raw(b"data: [DONE]\n\n").ends_with("end"));
}
