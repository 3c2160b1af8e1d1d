//! What a session is, without storage, sockets or a clock.
//!
//! A [`Session`] takes an [`Input`] and answers with a [`Step`]: the events to write to its log, and
//! the [`Effect`]s to carry out once they are written. Whoever holds it writes both the events and
//! the changed [`State`] before anything else happens, so that what was seen is what is stored.
//!
//! ```text
//!             message            start             first record          last record          saved
//!   (nothing) ───────► queued ─────────► starting ──────────────► running ───────────► saving ─────► ended
//!                         │                 ▲ └────── lost before ─────┤                  │
//!                         │                 └──────── any tool ran ────┘                  │
//!                         └── interrupt ──────┴─────── interrupt, lost ┴── interrupt ─────┴────────► ended
//! ```
//!
//! A turn ends exactly once, with one `status` event of state `ended`, and nothing of it comes after.
//! What it has done to the sandbox's disk is saved before that, so that nothing of an ended turn is lost
//! with its sandbox.

mod asks;
pub mod chat;
pub mod export;
mod fork;
pub mod page;
mod report;
mod spent;
mod step;

#[cfg(test)]
mod simulation;

pub use asks::{AskKind, DEFAULT_PATIENCE, MAX_OPEN, MAX_RULES, Open, Untold};
pub use fork::Origin;
pub use report::Report;
pub use spent::Spent;
pub use step::{Effect, Input, Step};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::sandbox::TurnEnd;
use protocol::{PermissionMode, SessionId, TurnId, TurnState};
use serde::{Deserialize, Serialize};

/// Turns that may wait while one runs.
pub const MAX_QUEUE: usize = 100;

/// A session as its object keeps it in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub id: SessionId,
    pub state: State,
    pub position: Position,
    /// Milliseconds that a request of the agent's waits for an answer.
    pub patience: u64,
}

/// What changes rarely, and is stored as a whole whenever it does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The ordinal of the turn that was accepted last.
    pub last_turn: u64,
    pub current: Option<Current>,
    /// The turns that wait, in their order.
    pub queue: VecDeque<TurnId>,
    /// The model chosen last; none: the deployment's default.
    pub model: Option<String>,
    /// Claude Code's name for the conversation in the sandbox.
    pub claude_session_id: Option<String>,
    /// A turn that is over for the session, while the agent may not know that yet. One is enough: the
    /// agent ends a turn by itself when a later one comes.
    #[serde(default)]
    pub to_stop: Option<TurnId>,
    /// What the router had booked when it was asked last: the next turn tells what came after.
    #[serde(default)]
    pub spent: Option<Spent>,
    /// The same, as the events of the turn that goes on have told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_spent: Option<Spent>,
    /// The permission mode chosen last; none: the deployment's default.
    #[serde(default)]
    pub mode: Option<PermissionMode>,
    /// The modes that the messages of waiting turns have named: each is chosen when its turn starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting_modes: BTreeMap<TurnId, PermissionMode>,
    /// What is allowed in this session without asking: rules of Claude Code's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// How many requests the agent has made in this session.
    #[serde(default)]
    pub last_ask: u64,
    /// The requests of the current turn that nobody has answered yet, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Open>,
    /// Answers that the agent may not have heard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<Untold>,
    /// The settings that the running turn may not have heard of, by a number that counts their changes.
    #[serde(default)]
    pub settings: Settings,
    /// How the first message begins.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The turn that ended last failed.
    #[serde(default)]
    pub failed: bool,
    /// When the session began, in milliseconds since the epoch.
    #[serde(default)]
    pub began_at: u64,
    /// The session that this one goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<Origin>,
    /// The session whose agent has launched this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The sessions that this one's agent has launched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<SessionId>,
}

/// The session that has launched another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub session_id: SessionId,
    /// How many generations there may be below the one that was launched.
    pub levels: u8,
}

/// See [`State::settings`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub changes: u64,
    pub untold: bool,
    /// The model that was chosen while the turn was under way.
    #[serde(default)]
    pub model: Option<String>,
}

/// The turn that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Current {
    pub id: TurnId,
    pub phase: Phase,
    /// Somebody asked to stop it.
    pub interrupted: bool,
    /// It has called a tool, so that it can't be begun anew as if nothing had happened.
    #[serde(default)]
    pub used_tools: bool,
    /// How often it was begun anew, as its sandbox was lost.
    #[serde(default)]
    pub restarts: u32,
    /// How it ends when it is saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<TurnEnd>,
    /// What was told of hosts that it reaches, or may not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
}

impl Current {
    fn new(id: TurnId) -> Self {
        Self {
            id,
            phase: Phase::Starting,
            interrupted: false,
            used_tools: false,
            restarts: 0,
            end: None,
            hosts: BTreeSet::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing has come from the agent yet.
    Starting,
    Running,
    /// The agent is done with it.
    Saving,
}

/// How far the log and the agent's stream have come: changes with every event, and is found again
/// from the log's last entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// `seq` of the last event.
    pub seq: u64,
    /// `n` of the last record that was taken from the agent in the current turn.
    pub n: u64,
}

impl Session {
    pub fn new(id: SessionId) -> Self {
        Self {
            id,
            state: State::default(),
            position: Position::default(),
            patience: DEFAULT_PATIENCE,
        }
    }

    /// The state that a client is shown.
    pub fn turn_state(&self) -> TurnState {
        match &self.state.current {
            Some(Current {
                phase: Phase::Starting,
                ..
            }) => TurnState::Starting,
            Some(Current {
                phase: Phase::Running | Phase::Saving,
                ..
            }) => TurnState::Running,
            None => TurnState::Idle,
        }
    }

    /// What an index of sessions says of it.
    pub fn status(&self) -> &'static str {
        match self.turn_state() {
            TurnState::Starting => "starting",
            TurnState::Queued | TurnState::Running => "running",
            TurnState::Idle | TurnState::Ended if self.state.failed => "error",
            TurnState::Idle | TurnState::Ended => "idle",
        }
    }

    /// The permission mode of the turn that runs, and of the next that names none.
    pub fn mode(&self) -> PermissionMode {
        self.state.mode.unwrap_or_default()
    }

    /// When the first of the open requests is over, in milliseconds since the epoch.
    pub fn next_expiry(&self) -> Option<u64> {
        self.state.open.iter().map(|open| open.expires_at).min()
    }

    /// What the agent may not have heard, apart from what [`Session::reattach`] is for: told once more,
    /// it changes nothing.
    pub fn retell(&self) -> Vec<Effect> {
        let answers = self.state.untold.iter().map(|untold| Effect::Answer {
            request_id: untold.request_id.clone(),
        });
        let current = self.state.current.as_ref();
        let settings = current.and_then(|current| {
            self.state.settings.untold.then_some(Effect::Settings {
                turn: current.id,
                change: self.state.settings.changes,
            })
        });
        // A turn that goes on is read on, and its end does not come by itself.
        let to_stop = self.state.to_stop.filter(|_| current.is_some());
        let interrupt = to_stop.map(|turn| Effect::Interrupt { turn });
        answers.chain(settings).chain(interrupt).collect()
    }

    /// What is left to do after this object has lost its hold on it (it was evicted, or a connection
    /// broke): a turn that is under way, or one that the agent has to be told to stop.
    pub fn reattach(&self) -> Option<Effect> {
        let Some(current) = &self.state.current else {
            return self.state.to_stop.map(|turn| Effect::Interrupt { turn });
        };
        Some(match current.phase {
            Phase::Starting => Effect::Start { turn: current.id },
            Phase::Running => Effect::Attach {
                turn: current.id,
                after: self.position.n,
            },
            Phase::Saving => Effect::Save { turn: current.id },
        })
    }
}
