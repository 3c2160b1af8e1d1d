//! A session begun anew from one of another's turns: what its log says, and what it begins with.

use protocol::{Event, SessionId, TurnId};
use serde::{Deserialize, Serialize};

use crate::{Session, State};

/// Where a session comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub session_id: SessionId,
    pub turn_id: TurnId,
}

impl Session {
    /// The state of a session that goes on after `turn` of this one, as `id`. What was allowed without
    /// asking is asked for again.
    pub fn forked(&self, turn: TurnId, id: SessionId, now: u64) -> Self {
        let mut fork = Self::new(id);
        fork.patience = self.patience;
        fork.state = State {
            last_turn: turn.0,
            model: self.state.model.clone(),
            mode: self.state.mode,
            claude_session_id: self.state.claude_session_id.clone(),
            title: self.state.title.clone(),
            began_at: now,
            forked_from: Some(Origin {
                session_id: self.id.clone(),
                turn_id: turn,
            }),
            ..State::default()
        };
        fork
    }

    /// Takes an event of the log that this session goes on from, in their order. Gives it as this
    /// session's own; none for what belongs to a later turn.
    pub fn adopt(&mut self, event: Event) -> Option<Event> {
        let last = TurnId(self.state.last_turn);
        if event.turn_id.is_some_and(|turn| turn > last) {
            return None;
        }
        self.position.seq += 1;
        Some(Event {
            seq: self.position.seq,
            session_id: self.id.clone(),
            ..event
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, MAX_QUEUE};
    use protocol::sandbox::{Record, TurnEnd};
    use protocol::{EventBody, Outcome, PermissionMode};

    fn id(text: &str) -> SessionId {
        SessionId::parse(text).unwrap()
    }

    #[test]
    fn a_fork_has_its_turns_and_no_later_ones() {
        let mut source = Session::new(id("source"));
        let mut log = Vec::new();
        let mut take = |source: &mut Session, input| {
            log.extend(source.step(input, 1).unwrap().events);
        };
        let say = |id: &str| Input::Message {
            id: id.to_owned(),
            content: format!("say {id}"),
            model: Some("m".to_owned()),
            mode: Some(PermissionMode::Plan),
        };
        take(&mut source, say("one"));
        // It waits behind the first, so it stands in the log before that has ended.
        take(&mut source, say("two"));
        let end = Record {
            n: 1,
            end: Some(TurnEnd {
                outcome: Outcome::Completed,
                content: "Done".to_owned(),
                model: None,
                usage: None,
            }),
            ..Record::default()
        };
        let record = |turn| Input::Record {
            turn,
            record: end.clone(),
            spent: None,
        };
        let saved = |turn| Input::Saved {
            turn,
            save: Ok(Some(1)),
        };
        take(&mut source, record(TurnId(1)));
        take(&mut source, saved(TurnId(1)));
        source.state.rules.push("Bash(ls *)".to_owned());

        let mut fork = source.forked(TurnId(1), id("fork"), 9);
        let own: Vec<Event> = log
            .iter()
            .filter_map(|event| fork.adopt(event.clone()))
            .collect();
        let numbers: Vec<u64> = own.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=own.len() as u64).collect::<Vec<_>>());
        assert!(own.iter().all(|event| event.session_id == id("fork")));
        assert!(own.iter().all(|event| event.turn_id == Some(TurnId(1))));
        let last = own.last().unwrap();
        assert!(matches!(&last.body, EventBody::Status(status) if status.save == Some(1)));
        assert_eq!(fork.state.rules, Vec::<String>::new());
        assert_eq!(fork.state.mode, Some(PermissionMode::Plan));
        assert!(fork.state.current.is_none() && fork.state.queue.is_empty());

        // It goes on with the next turn, and has room for as many as any other.
        let step = fork.step(say("three"), 10).unwrap();
        assert_eq!(step.events[0].turn_id, Some(TurnId(2)));
        assert_eq!(step.events[0].seq, own.len() as u64 + 1);
        for more in 0..MAX_QUEUE {
            fork.step(say(&more.to_string()), 10).unwrap();
        }
    }
}
