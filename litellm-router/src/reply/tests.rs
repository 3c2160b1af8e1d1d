use serde_json::{Value, json};

use super::*;

fn identity() -> Identity {
    Identity {
        id: "msg_1".into(),
        model: "m".into(),
    }
}

fn events() -> EventStream {
    EventStream::new(identity(), 3)
}

fn written(mut events: EventStream) -> String {
    String::from_utf8(events.take()).unwrap()
}

#[test]
fn s01_s02_s03_blocks_open_lazily_and_never_overlap() {
    let mut stream = events();
    stream.text("");
    stream.thinking("hm");
    stream.text("Hi");
    stream.tool_call("toolu_1", "Bash");
    stream.tool_input("{}");
    stream.finish(StopReason::ToolUse, Usage::default());
    insta::assert_snapshot!(written(stream), @r#"
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

    event: content_block_start
    data: {"type":"content_block_start","index":0,"content_block":{"signature":"","thinking":"","type":"thinking"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

    event: content_block_stop
    data: {"index":0,"type":"content_block_stop"}

    event: content_block_start
    data: {"type":"content_block_start","index":1,"content_block":{"text":"","type":"text"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}

    event: content_block_stop
    data: {"index":1,"type":"content_block_stop"}

    event: content_block_start
    data: {"type":"content_block_start","index":2,"content_block":{"id":"toolu_1","input":{},"name":"Bash","type":"tool_use"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}

    event: content_block_stop
    data: {"index":2,"type":"content_block_stop"}

    event: message_delta
    data: {"delta":{"stop_reason":"tool_use","stop_sequence":null},"type":"message_delta","usage":{"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"input_tokens":0,"output_tokens":0}}

    event: message_stop
    data: {"type":"message_stop"}
    "#);
}

#[test]
fn s09_nothing_comes_after_the_end() {
    let mut stream = events();
    stream.text("a");
    stream.finish(StopReason::EndTurn, Usage::default());
    let _ = stream.take();
    stream.text("b");
    stream.tool_call("t", "Bash");
    stream.finish(StopReason::EndTurn, Usage::default());
    stream.fail(&Refusal::new(500, "late"));
    assert_eq!(written(stream), "");
}

#[test]
fn n01_a_message_has_every_field_that_clients_read() {
    let mut message = Message::new(identity());
    message.thinking("t");
    message.signature("s");
    message.text("a");
    message.text("b");
    message.tool_call("toolu_1", "Bash");
    message.finish(StopReason::ToolUse, Usage::default());
    let answer = message.answer().unwrap();
    let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "text", "text": "ab"},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0, "output_tokens": 0}})
    );
}
