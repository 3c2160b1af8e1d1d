use super::*;
use crate::error::Refusal;
use crate::reply::{Identity, Reply, Sink};

fn reply(streams: bool, include_usage: bool) -> Reply {
    let identity = Identity {
        id: "chatcmpl-1".into(),
        model: "m".into(),
    };
    let form = ChatForm {
        streams,
        include_usage,
        created: 7,
    };
    Reply::chat(identity, form)
}

const USAGE: Usage = Usage {
    input_tokens: 1,
    cache_creation_input_tokens: 20,
    cache_read_input_tokens: 300,
    output_tokens: 4,
};

fn play(reply: &mut Reply) {
    reply.thinking("h");
    reply.thinking("m");
    reply.signature("s");
    reply.redacted_thinking("r");
    reply.text("");
    reply.text("Hi");
    reply.tool_call("toolu_1", "Bash");
    reply.tool_input("{\"a\"");
    reply.tool_input(":1}");
    reply.tool_call("toolu_2", "Now");
    reply.finish(StopReason::ToolUse, USAGE);
}

fn written(reply: &mut Reply) -> String {
    String::from_utf8(reply.take()).unwrap()
}

#[test]
fn a_stream_names_the_role_once_and_ends_with_reason_usage_and_done() {
    let mut reply = reply(true, true);
    play(&mut reply);
    insta::assert_snapshot!(written(&mut reply), @r#"
    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"h"},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"m"},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s"}]},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"thinking_blocks":[{"type":"redacted_thinking","data":"r"}]},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"toolu_1","type":"function","function":{"name":"Bash","arguments":""}}]},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"toolu_2","type":"function","function":{"name":"Now","arguments":""}}]},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]},"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"completion_tokens":4,"prompt_tokens":321,"prompt_tokens_details":{"cache_write_tokens":20,"cached_tokens":300},"total_tokens":325}}

    data: [DONE]
    "#);
}

#[test]
fn a_stream_without_include_usage_has_no_usage_anywhere() {
    let mut reply = reply(true, false);
    reply.text("a");
    reply.finish(StopReason::MaxTokens, USAGE);
    insta::assert_snapshot!(written(&mut reply), @r#"
    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}

    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}

    data: [DONE]
    "#);
}

#[test]
fn an_error_in_the_stream_is_data_and_no_done_follows() {
    let mut reply = reply(true, true);
    reply.text("a");
    let _ = reply.take();
    reply.fail(&Refusal::new(529, "Overloaded"));
    reply.finish(StopReason::EndTurn, USAGE);
    reply.text("b");
    insta::assert_snapshot!(written(&mut reply), @r#"data: {"error":{"code":"server_is_overloaded","message":"Overloaded","param":null,"type":"service_unavailable_error"}}"#);
}

#[test]
fn a_whole_completion_has_every_field_that_clients_read() {
    let mut reply = reply(false, false);
    play(&mut reply);
    let body: Value = serde_json::from_slice(reply.answer().unwrap().whole().unwrap()).unwrap();
    insta::assert_snapshot!(format!("{body:#}"), @r#"
    {
      "choices": [
        {
          "finish_reason": "tool_calls",
          "index": 0,
          "logprobs": null,
          "message": {
            "content": "Hi",
            "reasoning_content": "hm",
            "refusal": null,
            "role": "assistant",
            "thinking_blocks": [
              {
                "signature": "s",
                "thinking": "hm",
                "type": "thinking"
              },
              {
                "data": "r",
                "type": "redacted_thinking"
              }
            ],
            "tool_calls": [
              {
                "function": {
                  "arguments": "{\"a\":1}",
                  "name": "Bash"
                },
                "id": "toolu_1",
                "type": "function"
              },
              {
                "function": {
                  "arguments": "{}",
                  "name": "Now"
                },
                "id": "toolu_2",
                "type": "function"
              }
            ]
          }
        }
      ],
      "created": 7,
      "id": "chatcmpl-1",
      "model": "m",
      "object": "chat.completion",
      "usage": {
        "completion_tokens": 4,
        "prompt_tokens": 321,
        "prompt_tokens_details": {
          "cache_write_tokens": 20,
          "cached_tokens": 300
        },
        "total_tokens": 325
      }
    }
    "#);
}

#[test]
fn content_is_null_only_beside_calls() {
    let content = |play: &dyn Fn(&mut Reply)| {
        let mut reply = reply(false, false);
        play(&mut reply);
        reply.finish(StopReason::EndTurn, USAGE);
        let body: Value = serde_json::from_slice(reply.answer().unwrap().whole().unwrap()).unwrap();
        body["choices"][0]["message"]["content"].clone()
    };
    assert_eq!(content(&|_| {}), "");
    assert_eq!(content(&|reply| reply.text("a")), "a");
    assert!(content(&|reply| reply.tool_call("t", "n")).is_null());
}

#[test]
fn a_whole_completion_that_failed_is_an_error_in_openais_words() {
    let mut reply = reply(false, false);
    reply.text("a");
    reply.fail(&Refusal::new(429, "slow"));
    let answer = reply
        .answer()
        .unwrap_err()
        .answer_for(crate::api::Api::Chat);
    assert_eq!(answer.status, 429);
    let body: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
}

#[test]
fn thinking_too_long_to_be_kept_is_shown_but_not_handed_back() {
    let mut reply = reply(true, false);
    let much = "x".repeat(300 * 1024);
    for _ in 0..5 {
        reply.thinking(&much);
    }
    reply.signature("s1");
    reply.thinking("short");
    reply.signature("s2");
    let written = written(&mut reply);
    assert_eq!(written.matches("reasoning_content").count(), 6);
    assert!(!written.contains("s1"));
    assert!(written.contains(r#""thinking":"short","signature":"s2""#));
}
