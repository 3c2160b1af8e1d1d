//! Any bytes as a frame of a client's WebSocket: a message that keeps the rules, or a refusal.

use protocol::ClientMessage;

use super::{check_refusal, check_turn};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match ClientMessage::parse(text) {
        Ok(ClientMessage::UserMessage { id, turn }) => {
            let printable = |id: &String| id.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(
                id.as_ref()
                    .is_none_or(|id| !id.is_empty() && id.len() <= 128 && printable(id))
            );
            check_turn(&turn);
        }
        Ok(ClientMessage::SetModel { model }) => assert!(!model.trim().is_empty()),
        Ok(_) => {}
        Err(problem) => check_refusal(&problem),
    }
}
