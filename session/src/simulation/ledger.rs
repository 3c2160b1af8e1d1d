//! What must be true of every log, kept as it grows, and of the session's state beside it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::event::TurnState;
use protocol::{Event, EventBody, TurnId};

use super::sandbox::{LIE, request_of};
use crate::{MAX_OPEN, MAX_QUEUE, MAX_RULES, Session};

#[derive(Default)]
pub struct Ledger {
    events: u64,
    ended: BTreeSet<TurnId>,
    said: BTreeSet<String>,
    /// The turn of each request that was ever made.
    asked: BTreeMap<String, TurnId>,
    open: BTreeSet<String>,
    used_tools: BTreeSet<TurnId>,
}

impl Ledger {
    /// One more event.
    pub fn note(&mut self, event: &Event) {
        self.events += 1;
        assert_eq!(event.seq, self.events, "seq is gap-free");
        match &event.body {
            EventBody::PermissionResponse {
                request_id,
                content,
                ..
            } => {
                assert!(self.open.remove(request_id), "{request_id} ends once");
                assert_ne!(content, LIE, "a sandbox answers nothing");
            }
            EventBody::Status(status) if status.content == LIE => {
                assert_eq!(status.state, TurnState::Running);
                assert!(status.permission_mode.is_none() && status.rules.is_none());
            }
            body => {
                if let Some(request) = request_of(body) {
                    let asked = self
                        .asked
                        .insert(request.to_owned(), event.turn_id.unwrap());
                    assert!(asked.is_none(), "{request} is asked once");
                    self.open.insert(request.to_owned());
                }
            }
        }
        let Some(turn) = event.turn_id else { return };
        assert!(
            !self.ended.contains(&turn),
            "nothing of a turn comes after its end"
        );
        match &event.body {
            EventBody::Status(status) if status.state == TurnState::Ended => {
                assert!(status.outcome.is_some());
                assert!(
                    !self.open.iter().any(|open| self.asked[open] == turn),
                    "nothing is open when its turn has ended"
                );
                self.ended.insert(turn);
            }
            EventBody::Status(status) if status.state == TurnState::Starting => assert!(
                !self.used_tools.contains(&turn),
                "what a tool did is not done twice"
            ),
            EventBody::ToolUse { .. } => {
                self.used_tools.insert(turn);
            }
            EventBody::UserMessage { id, .. } => {
                assert!(self.said.insert(id.clone()), "{id} is stored once");
                assert_ne!(id, LIE, "a sandbox says nothing for a person");
            }
            _ => {}
        }
    }

    /// The turn in which something was asked.
    pub fn turn_of(&self, request_id: &str) -> Option<TurnId> {
        self.asked.get(request_id).copied()
    }

    /// What holds between the log and the state, after each step.
    pub fn check(&self, session: &Session) {
        assert_eq!(session.position.seq, self.events);
        let state = &session.state;
        let current = state.current.as_ref().map(|current| current.id);
        if current.is_none() {
            assert!(state.queue.is_empty(), "nothing waits for nobody");
        }
        assert!(state.queue.len() <= MAX_QUEUE);
        if let Some(turn) = state.to_stop {
            assert!(
                current.is_none_or(|current| turn >= current),
                "a later turn ends it by itself"
            );
        }
        assert!(state.open.len() == self.open.len());
        for open in &state.open {
            assert!(
                self.open.contains(&open.request_id),
                "what is open in the log is open in the state"
            );
        }
        assert!(state.open.len() + state.untold.len() <= MAX_OPEN);
        assert!(state.rules.len() <= MAX_RULES);
        assert!(state.open.iter().all(|open| Some(open.turn) == current));
        assert!(state.untold.iter().all(|one| Some(one.turn) == current));
        let interrupted = state.current.as_ref().is_some_and(|now| now.interrupted);
        assert!(state.open.is_empty() || !interrupted);
        let mut modes = state.waiting_modes.keys();
        assert!(modes.all(|turn| state.queue.contains(turn)));
        let alive = || state.queue.iter().copied().chain(current);
        for turn in alive() {
            assert!(!self.ended.contains(&turn), "{turn} is over and alive");
        }
        assert_eq!(
            (self.ended.len() + alive().count()) as u64,
            state.last_turn,
            "a turn is over or alive"
        );
        assert_eq!(self.said.len() as u64, state.last_turn);
    }
}
