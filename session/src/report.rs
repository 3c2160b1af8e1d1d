//! What the account of a session's owner is told of each turn that has ended.

use protocol::event::Usage;
use protocol::{Event, EventBody, Outcome, TurnId, TurnState};
use serde::{Deserialize, Serialize};

/// A turn that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub turn: TurnId,
    /// Where the log stands with its end.
    pub seq: u64,
    /// Milliseconds since the epoch.
    pub ended_at: u64,
    pub outcome: Option<Outcome>,
    /// What it took, where that is known.
    pub usage: Option<Usage>,
}

impl Report {
    /// What an event has to report: the end of its turn, or nothing.
    pub fn of(event: &Event) -> Option<Self> {
        match (&event.body, event.turn_id) {
            (EventBody::Status(status), Some(turn)) if status.state == TurnState::Ended => {
                Some(Self {
                    turn,
                    seq: event.seq,
                    ended_at: event.timestamp,
                    outcome: status.outcome,
                    usage: status.usage,
                })
            }
            _ => None,
        }
    }
}
