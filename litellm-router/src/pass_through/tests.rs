use super::*;
use crate::translate::incoming::Incoming;

fn edit(body: &str, model: Option<&str>) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    String::from_utf8(edited(&body, model).unwrap().to_vec()).unwrap()
}

#[test]
fn counts_without_measure_are_cut() {
    let body = br#"{"usage":{"input_tokens":18446744073709551615,"output_tokens":7}}"#;
    let usage = usage_of(body, Api::Messages);
    assert_eq!((usage.input_tokens, usage.output_tokens), (MOST, 7));
}

#[test]
fn usage_that_nobody_asked_for_is_asked_for_and_kept_here() {
    for (body, asked) in [
        (
            r#"{"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":false},"n":1}"#,
            r#"{"stream_options":{"include_usage":true},"n":1}"#,
        ),
        (
            r#"{"n":1,"stream_options" : null}"#,
            r#"{"n":1,"stream_options" : {"include_usage":true}}"#,
        ),
        (
            r#"{"n":1,"stream\u005foptions":null}"#,
            r#"{"n":1,"stream\u005foptions":{"include_usage":true}}"#,
        ),
        (
            r#"{"n":1,"stream_options":{ }}"#,
            r#"{"n":1,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"n":1,"stream_options":{ "a":{"include_usage":7}}}"#,
            r#"{"n":1,"stream_options":{"include_usage":true, "a":{"include_usage":7}}}"#,
        ),
        (
            r#"{"n":1,"stream_options":{"include_obfuscation":false,"include_usage": null}}"#,
            r#"{"n":1,"stream_options":{"include_obfuscation":false,"include_usage": true}}"#,
        ),
    ] {
        let made = asking_for_usage(body.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(made).unwrap(), asked);
    }
    for wrong in [
        r#"{"stream_options":null,"stream_options":{}}"#,
        r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#,
        r#"{"stream_options":"all"}"#,
        r#"{"stream_options":[true]}"#,
    ] {
        assert_eq!(asking_for_usage(wrong.as_bytes()).unwrap_err().status, 400);
    }
    let text =
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":1\"}}],\"usage\":null}\n\n";
    let end = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";
    let used = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
    let done = "data: [DONE]\n\n";
    for size in [1, 5, 1_000] {
        let mut stream = PassedThrough::new("groq", Api::Chat, true);
        let mut out = Vec::new();
        for bytes in [text, end, used, done].concat().as_bytes().chunks(size) {
            stream.push(bytes);
            out.extend(stream.take());
        }
        assert_eq!(String::from_utf8(out).unwrap(), [text, end, done].concat());
        assert_eq!(stream.usage().output_tokens, 2);
    }
}

#[test]
fn r17_a_chats_limits_are_cut_where_they_stand() {
    let body =
        br#"{"max_completion_tokens": 900,"messages":[{"max_tokens":7000}],"max_tokens":50 }"#;
    let cut = with_limit(body, 60).unwrap();
    let cut = String::from_utf8(cut).unwrap();
    assert_eq!(
        cut,
        r#"{"max_completion_tokens": 60,"messages":[{"max_tokens":7000}],"max_tokens":50 }"#
    );
    let both = with_limit(body, 8).unwrap();
    let both = String::from_utf8(both).unwrap();
    assert!(
        both.starts_with(r#"{"max_completion_tokens": 8,"#)
            && both.ends_with(r#""max_tokens":8 }"#)
    );
}

#[test]
fn s09_a_provider_that_does_not_close_after_the_end_is_no_error() {
    let mut stream = PassedThrough::new("anthropic", Api::Messages, false);
    stream.push(b"event: message_stop\ndata: {}\n\n");
    let _ = stream.take();
    stream.fail(crate::upstream::fell_silent("anthropic", 1));
    assert!(stream.is_done() && stream.failed().is_none() && stream.take().is_empty());
}

#[test]
fn what_comes_before_the_first_event_is_not_kept_without_bound() {
    let comments = b": x\n".repeat(64 * 1024);
    for api in [Api::Messages, Api::Chat] {
        let mut stream = PassedThrough::new("anthropic", api, false);
        for _ in 0..32 {
            stream.push(&comments);
            assert!(!stream.is_done() && stream.take().is_empty());
        }
        stream.push(&comments);
        assert!(stream.is_done() && stream.early_failure().unwrap().status == 502);
        assert!(stream.take().len() < 1_000);
    }
}

#[test]
fn what_was_streamed_counts_though_nobody_waits_for_the_usage() {
    let text = "x".repeat(700);
    let chunk = |text: &str| {
        format!("data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let mut chat = PassedThrough::new("groq", Api::Chat, true).answering(7);
    assert_eq!(chat.usage(), Usage::default());
    for text in ["", &text, &text] {
        chat.push(chunk(text).as_bytes());
    }
    assert_eq!(chat.usage().input_tokens, 7);
    assert!((400..420).contains(&chat.usage().output_tokens));
    chat.push(
        b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
    );
    assert_eq!(
        (chat.usage().input_tokens, chat.usage().output_tokens),
        (3, 2)
    );

    let mut messages = PassedThrough::new("anthropic", Api::Messages, false);
    let start = r#"{"message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#;
    messages.push(format!("event: message_start\ndata: {start}\n\n").as_bytes());
    for text in ["x", &text, &text] {
        let delta = format!(r#"{{"delta":{{"type":"text_delta","text":"{text}"}}}}"#);
        messages.push(format!("event: content_block_delta\ndata: {delta}\n\n").as_bytes());
    }
    assert_eq!(messages.usage().input_tokens, 5);
    assert!((390..420).contains(&messages.usage().output_tokens));
    messages.push(b"event: message_delta\ndata: {\"usage\":{\"output_tokens\":9}}\n\n");
    assert_eq!(messages.usage().output_tokens, 9);
}

#[test]
fn an_empty_reason_is_not_the_end_of_a_chat() {
    for (reason, ends) in [(r#""""#, false), (r#" "" "#, false), (r#""stop""#, true)] {
        let mut stream = PassedThrough::new("groq", Api::Chat, false);
        let chunk =
            format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":{reason}}}]}}\n\n");
        stream.push(chunk.as_bytes());
        stream.finish();
        assert_eq!(stream.failed().is_none(), ends, "{reason}");
    }
}

#[test]
fn keys_are_left_out_and_the_others_keep_their_bytes_and_their_order() {
    let cut = |body: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let cut = without(body, &|key| ["a", "b"].contains(&key)).unwrap();
        String::from_utf8(cut.to_vec()).unwrap()
    };
    for (body, left) in [
        (
            r#"{ "z":1.50, "a" :{"z":"}, \""},"\u0062":2 , "y": { "a":1 } }"#,
            r#"{"z":1.50,"y": { "a":1 }}"#,
        ),
        (r#"{ "z" : 1 , "A":2}"#, r#"{ "z" : 1 , "A":2}"#),
        (r#"{"a":1,"k\"":2,"b":3}"#, r#"{"k\"":2}"#),
        (r#"{"a":1,"b":2}"#, "{}"),
        ("{}", "{}"),
    ] {
        assert_eq!(cut(body), left);
    }
    assert!(without(Bytes::from_static(b"[1]"), &|_| true).is_err());
}

#[test]
fn e06_only_the_model_is_replaced() {
    let body = r#"{ "messages":[{"model":"inner"}],  "model" : "claude-x" ,"n":1.50}"#;
    assert_eq!(edit(body, None), body);
    assert_eq!(
        edit(body, Some("a\"b")),
        r#"{ "messages":[{"model":"inner"}],  "model" : "a\"b" ,"n":1.50}"#
    );
    assert!(edited(&Bytes::from_static(b"[]"), Some("m")).is_err());
    let twice = Bytes::from_static(br#"{"model":"a","model":"b"}"#);
    assert!(edited(&twice, Some("m")).is_err());
}

#[test]
fn r24_thinking_of_our_own_is_taken_out_and_anthropics_stays() {
    let ours = format!(
        r#"{{"type":"thinking","thinking":"x","signature":"{}"}}"#,
        reasoning::SIGNATURE
    );
    let demo = ours.replace(reasoning::SIGNATURE, demo::SIGNATURE);
    let theirs = r#"{"type": "thinking","thinking":"y","signature":"Eq=="}"#;
    let text = r#"{ "type":"text","text":"a" }"#;
    let body = |first: &str, second: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}}, {{"role":"assistant","content":[ {first} ]}},{{"content":[{second}]}}],"model":"m"}}"#
        )
    };
    assert_eq!(
        edit(
            &body(&format!("{ours} , {theirs}, {text}"), &demo),
            Some("n")
        ),
        body(
            &format!("{theirs},{text}"),
            r#"{"type":"text","text":"(empty)"}"#
        )
        .replace(r#""model":"m""#, r#""model":"n""#)
    );
    // The mark in what somebody said is no reason to touch anything.
    let quoted = body(text, &text.replace('a', reasoning::SIGNATURE));
    assert_eq!(edit(&quoted, None), quoted);
}
