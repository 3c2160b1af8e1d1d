use serde_json::{Value, json};

use super::*;

#[test]
fn a_whole_conversation_is_said_in_anthropics_words() {
    let body = messages(json!([
        {"role": "system", "content": "You are terse."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "List the files.", "name": "ada"},
        {"role": "assistant", "content": null, "refusal": null, "audio": null, "function_call": null,
         "tool_calls": [call("call_1", "Bash", "{\"command\": \"ls\"}"), call("call_2", "Now", "")]},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a.txt"},
        {"role": "user", "content": "And now?"},
        {"role": "system", "content": "The mode has changed."},
        {"role": "user", "content": [{"type": "text", "text": "Go on."}]},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Thanks."},
    ]));
    insta::assert_snapshot!(format!("{body:#}"), @r#"
    {
      "max_tokens": 4096,
      "messages": [
        {
          "content": [
            {
              "text": "List the files.",
              "type": "text"
            }
          ],
          "role": "user"
        },
        {
          "content": [
            {
              "id": "call_1",
              "input": {
                "command": "ls"
              },
              "name": "Bash",
              "type": "tool_use"
            },
            {
              "id": "call_2",
              "input": {},
              "name": "Now",
              "type": "tool_use"
            }
          ],
          "role": "assistant"
        },
        {
          "content": [
            {
              "content": [
                {
                  "text": "a.txt",
                  "type": "text"
                }
              ],
              "tool_use_id": "call_1",
              "type": "tool_result"
            },
            {
              "content": [
                {
                  "text": "noon",
                  "type": "text"
                }
              ],
              "tool_use_id": "call_2",
              "type": "tool_result"
            },
            {
              "text": "And now?",
              "type": "text"
            },
            {
              "text": "<system-reminder>\nThe mode has changed.\n</system-reminder>",
              "type": "text"
            },
            {
              "text": "Go on.",
              "type": "text"
            }
          ],
          "role": "user"
        },
        {
          "content": [
            {
              "text": "Done.",
              "type": "text"
            }
          ],
          "role": "assistant"
        },
        {
          "content": [
            {
              "text": "Thanks.",
              "type": "text"
            }
          ],
          "role": "user"
        }
      ],
      "model": "claude-sonnet-4-5",
      "system": [
        {
          "text": "You are terse.",
          "type": "text"
        },
        {
          "text": "Be kind.",
          "type": "text"
        }
      ],
      "tool_choice": {
        "type": "none"
      },
      "tools": [
        {
          "input_schema": {
            "properties": {},
            "type": "object"
          },
          "name": "Bash"
        },
        {
          "input_schema": {
            "properties": {},
            "type": "object"
          },
          "name": "Now"
        }
      ]
    }
    "#);
}

#[test]
fn a_later_system_message_stays_in_its_place_as_a_note() {
    let body = messages(json!([
        {"role": "user", "content": "a"}, {"role": "system", "content": "b"},
        {"role": "assistant", "content": "c"}, {"role": "developer", "content": "d"},
    ]));
    assert!(body["system"].is_null());
    let note = |text: &str| format!("<system-reminder>\n{text}\n</system-reminder>");
    assert_eq!(body["messages"][0]["content"][1]["text"], note("b"));
    assert_eq!(body["messages"][2]["content"][0]["text"], note("d"));
}

#[test]
fn a_system_message_alone_is_said_by_the_user() {
    let body = messages(json!([{"role": "system", "content": "Write a poem."}]));
    assert!(body["system"].is_null());
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": [{"type": "text", "text": "Write a poem."}]}])
    );
    insta::assert_snapshot!(refused(json!({"messages": []})), @r"messages: there is none");
}

#[test]
fn arguments_are_an_object_whatever_the_model_wrote() {
    let input = |arguments: Value| {
        let call = json!({"id": "a", "function": {"name": "f", "arguments": arguments}});
        let said = messages(
            json!([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]),
        );
        said["messages"][1]["content"][0]["input"].clone()
    };
    assert_eq!(
        input(json!("{\"b\":1,\"a\":[2]}")),
        json!({"b": 1, "a": [2]})
    );
    assert_eq!(input(json!({"b": 1})), json!({"b": 1}));
    for empty in [
        json!(""),
        json!(" "),
        json!("null"),
        json!(null),
        json!("{}"),
    ] {
        assert_eq!(input(empty), json!({}));
    }
    assert_eq!(input(json!("[1]")), json!({"input": [1]}));
    assert_eq!(input(json!("{\"a\":")), json!({"input": "{\"a\":"}));
}

#[test]
fn every_call_has_one_result_directly_after_it() {
    let body = messages(json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call("a", "f", "{}"), call("b", "f", "{}")]},
        {"role": "user", "content": "wait"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "tool", "tool_call_id": "b", "content": "more"},
        {"role": "assistant", "tool_calls": [call("c", "f", "{}")]},
    ]));
    assert_eq!(
        body["messages"][2]["content"],
        json!([
            {"type": "tool_result", "tool_use_id": "a",
             "content": [{"type": "text", "text": "(no result: the call was interrupted)"}]},
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "more"}]},
            {"type": "text", "text": "wait"}])
    );
    assert_eq!(body["messages"][4]["content"][0]["tool_use_id"], "c");
    let orphan = json!([{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "z", "content": "y"}]);
    insta::assert_snapshot!(refused(json!({"messages": orphan})), @r"messages[1]: this result belongs to no call of the assistant's message before it");
    insta::assert_snapshot!(refused(json!({"messages": [{"role": "oracle", "content": "y"}]})), @r"messages[0].role: oracle is not known");
    insta::assert_snapshot!(refused(json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]})), @r"messages[0].tool_calls: a call names no function");
}

#[test]
fn ids_are_sound_and_each_is_there_once() {
    let turn = |id: &str| {
        [
            json!({"role": "assistant", "tool_calls": [call(id, "f", "{}")]}),
            json!({"role": "tool", "tool_call_id": id, "content": id}),
        ]
    };
    let mut said = vec![json!({"role": "user", "content": "x"})];
    for id in ["call_0", "call_0", "functions.f:0", "functions:f.0"] {
        said.extend(turn(id));
    }
    let body = messages(json!(said));
    let turns = body["messages"].as_array().unwrap();
    let ids: Vec<&str> = (1..9)
        .map(|at| {
            let block = &turns[at]["content"][0];
            let id = block.get("id").or(block.get("tool_use_id")).unwrap();
            id.as_str().unwrap()
        })
        .collect();
    insta::assert_snapshot!(ids.join(" "), @r"call_0 call_0 call_0_2 call_0_2 functionsf0_d6bdd4de functionsf0_d6bdd4de functionsf0_82709413 functionsf0_82709413");
}

#[test]
fn the_old_functions_work_as_tools_do() {
    let body = with(json!({
        "functions": [{"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}],
        "function_call": {"name": "f"},
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{\"a\":1}"}},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "2"}]}));
    assert_eq!(body["tools"][0]["name"], "f");
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "f"}));
    assert_eq!(
        body["messages"][1]["content"][0],
        json!({"type": "tool_use", "id": "call", "name": "f", "input": {"a": 1}})
    );
    assert_eq!(body["messages"][4]["content"][0]["tool_use_id"], "call_2");
    assert_eq!(body["messages"][4]["content"][0]["content"][0]["text"], "2");
}

#[test]
fn r26_blank_texts_of_a_chat_are_left_out_and_no_turn_is_empty() {
    let body = messages(json!([
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": " \n"}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": null},
        {"role": "assistant", "content": "The answer is  \n"},
    ]));
    assert!(body["system"].is_null());
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "(empty)"}, {"type": "text", "text": "(empty)"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "The answer is"}]}])
    );
    let body = messages(
        json!([{"role": "assistant", "content": "a"}, {"role": "assistant", "refusal": "b"}]),
    );
    assert_eq!(body["messages"][0]["role"], "user");
    assert_eq!(body["messages"][1]["content"].as_array().unwrap().len(), 2);
}

#[test]
fn thinking_that_comes_back_is_thought_on() {
    let thinking = json!({"type": "thinking", "thinking": "hm", "signature": "Eq=="});
    let history = |blocks: Value| {
        json!([{"role": "user", "content": "x"},
            {"role": "assistant", "reasoning_content": "hm", "thinking_blocks": blocks, "tool_calls": [call("a", "f", "{}")]},
            {"role": "tool", "tool_call_id": "a", "content": "r"}])
    };
    let ask = |model: &str, blocks: Value| {
        for_model(
            model,
            json!({"messages": history(blocks), "tools": [tool("f")], "reasoning_effort": "low"}),
        )
    };
    let body = ask("claude-sonnet-4-5", json!([thinking]));
    assert_eq!(body["messages"][1]["content"][0], thinking);
    assert_eq!(body["thinking"]["budget_tokens"], 2_048);
    // Older models refuse to think on where a past turn lacks its thinking, newer ones do not mind.
    assert!(ask("claude-sonnet-4-5", json!(null))["thinking"].is_null());
    assert_eq!(
        ask("claude-opus-4-6", json!(null))["thinking"]["type"],
        "adaptive"
    );
}

/// The shortest of three times that this thread works on a conversation of so many calls and results; what
/// else the machine does does not count.
fn time_of(calls: usize) -> std::time::Duration {
    let id = |n: usize| format!("c{}", n % 7);
    let asked: Vec<Value> = (0..calls)
        .map(|n| call(&id(n), &format!("f{n}"), "{}"))
        .collect();
    let mut said = vec![
        json!({"role": "user", "content": "x"}),
        json!({"role": "assistant", "tool_calls": asked}),
    ];
    said.extend((0..calls).map(|n| json!({"role": "tool", "tool_call_id": id(n), "content": "r"})));
    let body = json!({"model": "m", "messages": said}).to_string();
    let worked = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        std::time::Duration::try_from(time).unwrap()
    };
    let time = || {
        let before = worked();
        to_messages(body.as_bytes()).unwrap();
        worked() - before
    };
    [time(), time(), time()].into_iter().min().unwrap()
}

#[test]
fn thousands_of_calls_take_a_time_in_proportion() {
    // In proportion it is 8 times as long; were each compared with each, 64 times.
    let (few, many) = (time_of(1_000), time_of(8_000));
    assert!(many < few * 32, "{few:?} {many:?}");
}
