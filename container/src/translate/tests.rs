//! Lines that Claude Code 2.1.329 wrote in scripted conversations, and what they are as events.

use std::fmt::Write;

use serde_json::json;

use super::*;
use crate::wire::Message;

const WORKSPACE: &str = "/srv/real/workspace";

fn parse(line: &str) -> Message {
    Message::parse(line.as_bytes().to_vec()).unwrap()
}

/// The events of all lines, and the end.
fn told(recorded: &str, interrupted: bool) -> String {
    let mut translator = Translator::new(WORKSPACE);
    translator.begin(Default::default());
    if interrupted {
        translator.interrupt();
    }
    let mut told = String::new();
    for line in recorded.lines() {
        let message = parse(line);
        for event in translator.translate(&message.kind) {
            writeln!(told, "{}", serde_json::to_string(&event).unwrap()).unwrap();
        }
        if let Kind::Result(result) = &message.kind {
            let (error, mut end) = end_of(result, interrupted, None, "router.internal");
            if let Some(usage) = &mut end.usage {
                usage.duration_ms = 7;
            }
            if let Some(error) = error {
                writeln!(told, "{}", serde_json::to_string(&error).unwrap()).unwrap();
            }
            writeln!(told, "end {}", serde_json::to_string(&end).unwrap()).unwrap();
        }
    }
    assert!(!translator.tools_run(), "every call has its result");
    told
}

macro_rules! recorded {
    ($name:ident, $interrupted:expr) => {
        #[test]
        fn $name() {
            let lines = include_str!(concat!("recorded/", stringify!($name), ".jsonl"));
            insta::assert_snapshot!(told(lines, $interrupted));
        }
    };
}

recorded!(tools, false);
recorded!(sub_agent, false);
recorded!(provider_error, false);
recorded!(max_turns, false);
recorded!(interrupt, true);
recorded!(tasks, false);

fn assistant(block: &str) -> Kind {
    let line = format!(r#"{{"type":"assistant","message":{{"id":"m","content":[{block}]}}}}"#);
    parse(&line).kind
}

#[test]
fn without_a_stream_the_blocks_are_counted() {
    let mut translator = Translator::new(WORKSPACE);
    let mut places = Vec::new();
    for _ in 0..2 {
        for event in translator.translate(&assistant(r#"{"type":"text","text":"x"}"#)) {
            if let EventBody::Result { place, .. } = event {
                places.push(place.block);
            }
        }
    }
    assert_eq!(places, ["m:0", "m:1"]);
}

#[test]
fn a_file_outside_the_workspace_is_no_file_change() {
    for path in [
        "/etc/passwd",
        "/srv/real/workspace2/x",
        "/srv/real/workspace",
    ] {
        let mut translator = Translator::new(WORKSPACE);
        let call = format!(
            r#"{{"type":"tool_use","id":"t","name":"Write","input":{{"file_path":"{path}"}}}}"#
        );
        translator.translate(&assistant(&call));
        let result = r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t","content":"ok"}]}}"#;
        let events = translator.translate(&parse(result).kind);
        assert_eq!(events.len(), 1, "{path}: {events:?}");
    }
}

#[test]
fn outputs_are_cut_and_pictures_are_named() {
    let mut translator = Translator::new(WORKSPACE);
    let long = "ä".repeat(MAX_TOOL_OUTPUT);
    let line = format!(
        r#"{{"type":"user","message":{{"content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"image","source":{{}}}},{{"type":"text","text":"{long}"}}]}}]}}}}"#
    );
    let events = translator.translate(&parse(&line).kind);
    let [
        EventBody::ToolResult {
            content, cut_bytes, ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert!(content.starts_with("[image]\nää"));
    assert!(content.len() <= MAX_TOOL_OUTPUT);
    assert_eq!(
        *cut_bytes + content.len() as u64,
        2 * MAX_TOOL_OUTPUT as u64 + 8
    );
}

#[test]
fn no_event_is_longer_than_a_row() {
    // A control character takes six bytes in JSON.
    let text = "\\u0001".repeat(1_300_000);
    let mut translator = Translator::new(WORKSPACE);
    for block in [
        format!(r#"{{"type":"text","text":"{text}"}}"#),
        format!(r#"{{"type":"thinking","thinking":"{text}"}}"#),
        format!(r#"{{"type":"tool_use","id":"t","name":"Bash","input":{{"command":"{text}"}}}}"#),
    ] {
        for event in translator.translate(&assistant(&block)) {
            let length = serde_json::to_string(&event).unwrap().len();
            assert!(length <= MAX_EVENT, "{length}");
        }
    }
}

#[test]
fn an_input_nested_too_deep_is_an_object_that_says_so() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let call = format!(
        r#"{{"type":"tool_use","id":"t","name":"Bash","input":{{"command":"ls","x":{deep}}}}}"#
    );
    let events = Translator::new(WORKSPACE).translate(&assistant(&call));
    let [EventBody::ToolUse { content, input, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(content, "Bash: ls");
    assert_eq!(input["cut"], true);
}

#[test]
fn summaries_are_one_line_and_name_the_workspace_relatively() {
    let input = serde_json::json!({"command": format!("cat {WORKSPACE}/a\n && ls {WORKSPACE}")});
    let summary = tools::summary("Bash", &input, WORKSPACE);
    assert_eq!(summary, "Bash: cat a  && ls .");
    let input = serde_json::json!({"command": "ü".repeat(500)});
    let summary = tools::summary("Bash", &input, WORKSPACE);
    assert_eq!(summary.chars().count(), 200);
}

#[test]
fn pieces_of_one_block_are_joined_and_others_are_not() {
    let piece = |content: &str, block: &str| EventBody::Progress {
        content: content.to_owned(),
        place: Place {
            block: block.to_owned(),
            parent_tool_use_id: None,
        },
    };
    let mut first = piece("a", "m:0");
    assert_eq!(merge(&mut first, piece("b", "m:0")), None);
    assert_eq!(first, piece("ab", "m:0"));
    let other = piece("c", "m:1");
    assert_eq!(merge(&mut first, other.clone()), Some(other));
}

#[test]
fn a_secret_in_pieces_is_held_back_until_it_is_known() {
    let mut translator = Translator::new("/w");
    translator.begin(Arc::new(Mask::new(["hunter2"])));
    let mut told = Vec::new();
    let mut say = |line: serde_json::Value| {
        let message = Message::parse(line.to_string().into_bytes()).unwrap();
        for event in translator.translate(&message.kind) {
            told.push(match event {
                EventBody::Progress { content, place } => format!("{}+{content}", place.block),
                EventBody::Thinking {
                    content,
                    place,
                    partial: true,
                } => format!("{}~{content}", place.block),
                EventBody::Result { content, place } => format!("{}={content}", place.block),
                other => format!("{other:?}"),
            });
        }
    };
    let stream = |event: serde_json::Value| json!({"type": "stream_event", "event": event});
    let delta = |index: u64, kind: &str, text: &str| {
        let field = kind.trim_end_matches("_delta");
        let delta = json!({"type": kind, field: text});
        stream(json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    say(stream(
        json!({"type": "message_start", "message": {"id": "m"}}),
    ));
    say(stream(json!({"type": "content_block_start", "index": 0})));
    for piece in ["a hu", "nter", "2 b hunt", "ing hun"] {
        say(delta(0, "thinking_delta", piece));
    }
    say(stream(json!({"type": "content_block_stop", "index": 0})));
    say(stream(json!({"type": "content_block_start", "index": 1})));
    for piece in ["ter2 hunter2", "", "hu"] {
        say(delta(1, "text_delta", piece));
    }
    let content = json!([{"type": "text", "text": "whole"}]);
    say(json!({"type": "assistant", "message": {"id": "m", "content": content}}));
    say(stream(json!({"type": "content_block_stop", "index": 1})));
    assert_eq!(
        told,
        [
            "m:0~a ",
            "m:0~[secret] b ",
            "m:0~hunting ",
            "m:0~hun",
            "m:1+ter2 [secret]",
            "m:1+hu",
            "m:1=whole"
        ]
    );
}
