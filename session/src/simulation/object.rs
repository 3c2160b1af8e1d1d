//! The session with its storage, as its object keeps them: a step is stored as a whole or has not
//! happened. Every step is held against what must be true ([`Ledger`]).

use std::collections::BTreeMap;

use protocol::{Event, EventBody, TurnId};

use super::ledger::Ledger;
use crate::{Effect, Input, Phase, Session, State};

pub struct Object {
    pub session: Session,
    /// What the storage has.
    pub log: Vec<Event>,
    state: State,
    /// Of the log's last row.
    n: u64,
    /// The messages that are stored, by their senders' ids.
    pub messages: BTreeMap<String, TurnId>,
    /// Every start of a turn, in their order.
    pub started: Vec<TurnId>,
    ledger: Ledger,
}

/// Why a step has not happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The session does not take it.
    Input,
    /// The storage does not.
    Storage,
}

impl Object {
    pub fn new() -> Self {
        let id = protocol::SessionId::parse("s").unwrap();
        Self {
            session: Session::new(id),
            log: Vec::new(),
            state: State::default(),
            n: 0,
            messages: BTreeMap::new(),
            started: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// Takes inputs that came together, and gives what is to be done then.
    ///
    /// # Errors
    /// Where nothing of it has happened.
    pub fn take(
        &mut self,
        inputs: Vec<Input>,
        now: u64,
        storage_works: bool,
    ) -> Result<Vec<Effect>, Refused> {
        let before = self.session.clone();
        let mut said = Vec::new();
        let (mut events, mut effects) = (Vec::new(), Vec::new());
        for input in inputs {
            if let Input::Message { id, .. } = &input {
                said.push(id.clone());
            }
            match self.session.step(input, now) {
                Ok(step) => {
                    events.extend(step.events);
                    effects.extend(step.effects);
                }
                Err(_) => {
                    assert!(self.session == before, "a refused input changes nothing");
                    return Err(Refused::Input);
                }
            }
        }
        if !storage_works {
            self.session = before;
            return Err(Refused::Storage);
        }
        for event in &events {
            self.ledger.note(event);
            if let (EventBody::UserMessage { id, .. }, Some(turn)) = (&event.body, event.turn_id) {
                assert!(said.contains(id), "{id} was said by nobody");
                self.messages.insert(id.clone(), turn);
            }
        }
        if !events.is_empty() {
            self.n = self.session.position.n;
        }
        if self.session.state != self.state {
            self.state.clone_from(&self.session.state);
        }
        self.log.extend(events);
        for effect in &effects {
            self.check(effect);
        }
        self.ledger.check(&self.session);
        Ok(effects)
    }

    /// What is asked for is so.
    fn check(&mut self, effect: &Effect) {
        let session = &self.session;
        let current = session.state.current.as_ref();
        match effect {
            Effect::Start { turn } => {
                assert!(self.started.last().is_none_or(|last| last <= turn));
                self.started.push(*turn);
                let times = self.started.iter().rev().take_while(|one| *one == turn);
                assert!(times.count() <= 3, "{turn} is begun anew for ever");
            }
            Effect::Attach { turn, after } => {
                assert_eq!(current.unwrap().id, *turn);
                assert_eq!(session.position.n, *after);
            }
            // It may get lost: the state remembers it until it is heard.
            Effect::Interrupt { turn } => {
                assert!(session.state.to_stop == Some(*turn) || current.is_some());
            }
            Effect::Answer { request_id } => {
                let mut untold = session.state.untold.iter();
                assert!(
                    untold.any(|untold| untold.request_id == *request_id)
                        || self.ledger.turn_of(request_id) != current.map(|current| current.id)
                );
            }
            Effect::Settings { turn, .. } => assert_eq!(current.unwrap().id, *turn),
            Effect::Save { turn } => {
                let current = current.unwrap();
                assert_eq!((current.id, current.phase), (*turn, Phase::Saving));
            }
            Effect::Acknowledge { .. } => {}
        }
    }

    /// The object is gone, and comes back from what is stored.
    pub fn wake(&mut self, through_json: bool) {
        let mut woken = Session::new(self.session.id.clone());
        woken.state.clone_from(&self.state);
        if through_json {
            let json = serde_json::to_string(&self.state).unwrap();
            woken.state = serde_json::from_str(&json).unwrap();
        }
        woken.position.seq = self.log.len() as u64;
        woken.position.n = self.n;
        assert!(woken.state == self.session.state, "the state is stored");
        assert_eq!(woken.position.seq, self.session.position.seq);
        assert!(woken.position.n <= self.session.position.n);
        let left = woken.state.current.is_some() || woken.state.to_stop.is_some();
        assert_eq!(woken.reattach().is_some(), left);
        self.session = woken;
    }

    pub fn current(&self) -> Option<TurnId> {
        let current = self.session.state.current.as_ref();
        current.map(|current| current.id)
    }

    pub fn seq(&self) -> u64 {
        self.log.len() as u64
    }
}
