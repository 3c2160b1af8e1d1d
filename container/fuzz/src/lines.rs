//! Any bytes as what Claude Code writes: the same lines however they come, and events that are not too
//! long and hold no secret.

use std::sync::Arc;

use agent_server::lines::{Line, Lines};
use agent_server::mask::Mask;
use agent_server::translate::{Translator, end_of};
use agent_server::wire::{Kind, Message};
use protocol::event::{EventBody, MAX_EVENT};
use tokio::io::BufReader;

/// Bytes of a line here.
const LIMIT: usize = 2000;

const SECRET: &str = "hunter2";

fn lines(data: &[u8], piece: usize) -> Vec<Line> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("there is a runtime").block_on(async {
        let mut lines = Lines::new(BufReader::with_capacity(piece, data), LIMIT);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("memory is read") {
            all.push(line);
        }
        all
    })
}

/// What people are shown of an event.
fn shown(event: &EventBody) -> Vec<String> {
    match event {
        EventBody::ToolUse { content, input, .. } => vec![content.clone(), input.to_string()],
        EventBody::ToolResult { content, .. }
        | EventBody::Result { content, .. }
        | EventBody::Error { content, .. } => vec![content.clone()],
        _ => Vec::new(),
    }
}

pub fn run(data: &[u8]) {
    let all = lines(data, 7);
    assert_eq!(all, lines(data, 4096));
    let mask = Arc::new(Mask::new([SECRET]));
    let mut translator = Translator::new("/workspace");
    translator.begin(Arc::clone(&mask));
    for line in all {
        let Line::Whole(line) = line else {
            continue;
        };
        assert!(line.len() <= LIMIT);
        let Some(mut message) = Message::parse(line) else {
            continue;
        };
        mask.message(&mut message);
        let mut events = translator.translate(&message.kind);
        if let Kind::Result(result) = &message.kind {
            let (error, _end) = end_of(result, false, None, "router.internal");
            events.extend(error);
        }
        for event in events {
            let length = serde_json::to_vec(&event).expect("it is JSON").len();
            assert!(length <= MAX_EVENT);
            for text in shown(&event) {
                assert!(!text.contains(SECRET), "{text}");
            }
        }
    }
}
