//! The agent-server in its sandbox, as `protocol::sandbox` describes it, and what it may say.

use std::collections::BTreeSet;

use protocol::event::{Answered, Asked, Place, Status, TurnState};
use protocol::sandbox::{Record, TurnEnd};
use protocol::{Decision, EventBody, Outcome, PermissionMode, TurnId};

use super::chance::Chance;

/// The words of what a sandbox may not claim.
pub const LIE: &str = "not so";

/// A sandbox of the session's name. Another one comes up where one is gone.
#[derive(Default)]
pub struct Sandbox {
    pub up: bool,
    /// Counts the sandboxes.
    pub generation: u64,
    pub turn: Option<AgentTurn>,
    /// It has no save of the session's files yet.
    pub fresh: bool,
    asks: u64,
}

/// A turn as the agent-server keeps it: the latest alone.
pub struct AgentTurn {
    pub id: TurnId,
    /// Numbered from 1.
    pub records: Vec<Record>,
    pub ended: bool,
    /// What it has asked and nobody has answered: it does not go on without.
    pub waiting: BTreeSet<String>,
}

impl Sandbox {
    /// Brings a sandbox up where there is none.
    pub fn wake(&mut self) {
        if !self.up {
            self.up = true;
            self.fresh = true;
            self.generation += 1;
        }
    }

    /// It is gone, with all that ran in it.
    pub fn lose(&mut self) {
        self.up = false;
        self.turn = None;
    }

    /// Begins a turn, or finds it. Whether it is taken: one before the latest is over.
    pub fn begin(&mut self, id: TurnId) -> bool {
        self.wake();
        match &self.turn {
            Some(turn) if turn.id > id => return false,
            Some(turn) if turn.id == id => return true,
            _ => {}
        }
        self.turn = Some(AgentTurn {
            id,
            records: Vec::new(),
            ended: false,
            waiting: BTreeSet::new(),
        });
        true
    }

    /// Ends a turn. One that has not come will not start.
    pub fn interrupt(&mut self, id: TurnId) {
        if self.begin(id) && !self.turn.as_ref().unwrap().ended {
            self.finish(Outcome::Interrupted);
        }
    }

    pub fn runs(&self) -> Option<&AgentTurn> {
        self.turn.as_ref().filter(|turn| !turn.ended)
    }

    fn record(&mut self, record: Record) {
        if let Some(turn) = self.turn.as_mut().filter(|turn| !turn.ended) {
            let n = turn.records.len() as u64 + 1;
            turn.ended = record.end.is_some();
            turn.records.push(Record { n, ..record });
        }
    }

    pub fn finish(&mut self, outcome: Outcome) {
        self.record(Record {
            end: end(outcome),
            ..Record::default()
        });
    }

    /// Whether the turn can end by itself.
    pub fn may_finish(&self) -> bool {
        self.runs().is_some_and(|turn| turn.waiting.is_empty())
    }

    pub fn hear_answer(&mut self, turn: TurnId, agent_id: &str) {
        if let Some(turn) = self.turn.as_mut().filter(|known| known.id == turn) {
            turn.waiting.remove(agent_id);
        }
    }

    /// Does something, whatever it is.
    pub fn work(&mut self, chance: &mut Chance, lies: bool) {
        let Some(turn) = self.turn.as_mut().filter(|turn| !turn.ended) else {
            return;
        };
        let events = |events| Record {
            events,
            ..Record::default()
        };
        let record = match chance.below(12) {
            0..4 => events(vec![text("x")]),
            4 => events(vec![text("x"), text("y"), tool_use()]),
            5 => events(vec![tool_use()]),
            // What the session learns without an event.
            6 => Record {
                claude_session_id: Some(format!("conversation-{}", turn.id)),
                ..Record::default()
            },
            7 | 8 if turn.waiting.len() < 8 => {
                self.asks += 1;
                let id = format!("agent-{}", self.asks);
                turn.waiting.insert(id.clone());
                events(vec![request(&id, chance.below(4))])
            }
            9 => {
                let withdrawn: Vec<String> = turn.waiting.pop_first().into_iter().collect();
                Record {
                    withdrawn,
                    ..Record::default()
                }
            }
            10 if lies => events(self.lies()),
            11 if turn.waiting.is_empty() => {
                return self.finish(match chance.below(3) {
                    0 => Outcome::Failed,
                    _ => Outcome::Completed,
                });
            }
            _ => Record::default(),
        };
        self.record(record);
    }

    /// What is not a sandbox's to say.
    fn lies(&self) -> Vec<EventBody> {
        let lie = LIE.to_owned();
        vec![
            EventBody::UserMessage {
                content: lie.clone(),
                id: lie.clone(),
            },
            EventBody::Status(Status::new(TurnState::Ended, LIE)),
            EventBody::Status(Status::new(TurnState::Idle, LIE)),
            EventBody::PermissionResponse {
                content: lie,
                request_id: format!("ask-{}", self.asks),
                behavior: Decision::Allow,
                answered: Answered::default(),
            },
            EventBody::Status(Status {
                permission_mode: Some(PermissionMode::BypassPermissions),
                rules: Some(vec!["Bash".to_owned()]),
                ..Status::new(TurnState::Running, LIE)
            }),
            // Under names that it has used before, and as if it were another's.
            request(&format!("agent-{}", self.asks), 3),
            request("", 3),
        ]
    }
}

/// The request that an event makes.
pub fn request_of(body: &EventBody) -> Option<&str> {
    match body {
        EventBody::PermissionRequest { request_id, .. }
        | EventBody::Question { request_id, .. } => Some(request_id),
        _ => None,
    }
}

/// A request as the agent makes it: of a kind, with or without rules.
pub fn request(id: &str, kind: usize) -> EventBody {
    let (content, request_id, asked) = ("may I?".to_owned(), id.to_owned(), Asked::default());
    let input = serde_json::json!({});
    match kind {
        0 => EventBody::Question {
            content,
            request_id,
            input,
            asked,
        },
        kind => EventBody::PermissionRequest {
            content,
            request_id,
            tool: if kind == 1 { "ExitPlanMode" } else { "Bash" }.to_owned(),
            input,
            rules: if kind == 2 {
                Vec::new()
            } else {
                vec!["Bash(ls *)".to_owned(), "(no rule".to_owned()]
            },
            asked,
        },
    }
}

pub fn text(content: &str) -> EventBody {
    EventBody::Progress {
        content: content.to_owned(),
        place: Place {
            block: "b".to_owned(),
            parent_tool_use_id: None,
        },
    }
}

pub fn tool_use() -> EventBody {
    EventBody::ToolUse {
        content: "ls".to_owned(),
        tool: "Bash".to_owned(),
        tool_use_id: "t".to_owned(),
        input: serde_json::Value::Null,
        parent_tool_use_id: None,
    }
}

pub fn end(outcome: Outcome) -> Option<TurnEnd> {
    Some(TurnEnd {
        outcome,
        content: "over".to_owned(),
        model: None,
        usage: None,
    })
}
