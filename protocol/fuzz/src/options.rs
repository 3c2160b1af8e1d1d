//! Any bytes as the body of a request for a turn: a turn that keeps the rules, or a refusal.

use protocol::ClaudeCodeOptions;

use super::{check_refusal, check_turn};

pub fn run(data: &[u8]) {
    match ClaudeCodeOptions::from_slice(data).and_then(ClaudeCodeOptions::into_turn) {
        Ok(turn) => check_turn(&turn),
        Err(problem) => check_refusal(&problem),
    }
}
