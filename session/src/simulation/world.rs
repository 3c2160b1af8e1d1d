//! A session's object, its sandbox, three clients, and all that is on its way between them. Whatever is
//! on its way arrives in any order, or gets lost; the object may be evicted and the sandbox killed
//! at any moment.

use protocol::{Outcome, PermissionMode, TurnId};

use super::chance::Chance;
use super::client::{CLIENTS, Client, Frame};
use super::network::{Task, What};
use super::object::{Object, Refused};
use super::sandbox::Sandbox;
use crate::{Effect, Input, Spent};

/// The faults of one history: each happens once in so many steps, or never (0).
pub struct Weather {
    pub loses_messages: usize,
    pub evicts: usize,
    pub crashes: usize,
    pub kills_sandboxes: usize,
    pub storage_fails: usize,
    pub jumps: usize,
    pub echoes: usize,
    pub gaps: usize,
    pub lies: bool,
    pub disconnects: usize,
}

impl Weather {
    pub const CALM: Self = Self {
        loses_messages: 0,
        evicts: 0,
        crashes: 0,
        kills_sandboxes: 0,
        storage_fails: 0,
        jumps: 0,
        echoes: 0,
        gaps: 0,
        lies: false,
        disconnects: 0,
    };

    /// Some faults often, some seldom, some never: so that they meet in every combination.
    fn of(chance: &mut Chance) -> Self {
        let mut once_in = |often: usize| match chance.below(3) {
            0 => 0,
            1 => often,
            _ => often * 5,
        };
        Self {
            loses_messages: once_in(4),
            evicts: once_in(12),
            crashes: once_in(20),
            kills_sandboxes: once_in(15),
            storage_fails: once_in(5),
            jumps: once_in(15),
            echoes: once_in(5),
            gaps: once_in(5),
            lies: chance.one_in(2),
            disconnects: 8,
        }
    }
}

pub struct World {
    pub chance: Chance,
    pub weather: Weather,
    pub now: u64,
    pub object: Object,
    pub sandbox: Sandbox,
    pub clients: [Client; CLIENTS],
    pub tasks: Vec<Task>,
    /// The object's memory beside its session.
    pub reader: u64,
    pub reading: bool,
    pub saving: Option<TurnId>,
    pub saves: u64,
    pub trace: Option<Vec<String>>,
}

impl World {
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let weather = Weather::of(&mut chance);
        Self {
            chance,
            weather,
            now: 1_000_000_000,
            object: Object::new(),
            sandbox: Sandbox::default(),
            clients: Default::default(),
            tasks: Vec::new(),
            reader: 0,
            reading: false,
            saving: None,
            saves: 0,
            trace: None,
        }
    }

    pub fn say(&mut self, words: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(words());
        }
    }

    /// One step of anybody's.
    pub fn step(&mut self) {
        self.now += 1 + self.chance.below(50) as u64;
        let weather = &self.weather;
        if self.chance.one_in(weather.evicts) {
            self.evict(false);
        } else if self.chance.one_in(weather.crashes) {
            self.evict(true);
        } else if self.chance.one_in(weather.kills_sandboxes) {
            self.say(|| "the sandbox is lost".to_owned());
            self.sandbox.lose();
            // What nobody waits for was on its way to this one alone.
            self.tasks.retain(|task| !task.orphan);
        } else if self.chance.one_in(weather.jumps) {
            let minutes = self.chance.below(15) as u64;
            self.now = match self.chance.one_in(3) {
                true => self.now.saturating_sub(minutes * 60_000),
                false => self.now + minutes * 60_000,
            };
            self.say(|| format!("the clock jumps by {minutes} minutes"));
        }
        match self.chance.below(20) {
            0..8 if !self.tasks.is_empty() => {
                let task = self.chance.below(self.tasks.len());
                self.advance(task);
            }
            8..12 => {
                let lies = self.weather.lies;
                self.sandbox.work(&mut self.chance, lies);
            }
            12 => self.alarm(),
            _ => {
                let who = self.chance.below(CLIENTS);
                self.client(who);
            }
        }
    }

    /// Everything works from here on, and everybody does what is theirs to do: in the end nothing is
    /// left.
    pub fn heal(&mut self) {
        self.weather = Weather::CALM;
        self.say(|| "the world heals".to_owned());
        for _ in 0..2_000 {
            if self.is_done() {
                return;
            }
            self.now += 1_000;
            self.alarm();
            for task in (0..self.tasks.len()).rev() {
                if task < self.tasks.len() {
                    self.advance(task);
                }
            }
            // Nobody is told by the agent that it goes on where it was to stop.
            let state = &self.object.session.state;
            let current = state.current.as_ref();
            let wanted = current.filter(|current| !current.interrupted);
            let runs = self.sandbox.runs().map(|turn| turn.id);
            if runs.is_some() && runs == wanted.map(|current| current.id) {
                if self.sandbox.may_finish() {
                    self.sandbox.finish(Outcome::Completed);
                } else if self.chance.one_in(4) {
                    // Nobody answers what is still open.
                    self.now += self.object.session.patience;
                }
            }
            for who in 0..CLIENTS {
                self.client_heals(who);
            }
        }
        panic!(
            "something is stuck: {:?}, the agent's {:?}, {:?}",
            self.object.session.state,
            self.sandbox.runs().map(|turn| (turn.id, &turn.waiting)),
            self.tasks
        );
    }

    fn is_done(&self) -> bool {
        let state = &self.object.session.state;
        let clients = &self.clients;
        state.current.is_none()
            && state.to_stop.is_none()
            && self.tasks.is_empty()
            && self.sandbox.runs().is_none()
            && clients
                .iter()
                .all(|client| client.outbox.is_empty() && client.seen == self.object.seq())
    }

    fn evict(&mut self, crashes: bool) {
        self.say(|| format!("the object is gone (a crash: {crashes})"));
        // What is on its way to the sandbox may arrive.
        for at in (0..self.tasks.len()).rev() {
            let stays = self.tasks[at].answer.is_none() && self.sandbox.up && self.chance.one_in(2);
            match stays && !matches!(self.tasks[at].what, What::Read { .. }) {
                true => self.tasks[at].orphan = true,
                false => drop(self.tasks.remove(at)),
            }
        }
        (self.reading, self.saving) = (false, None);
        self.object.wake(self.chance.one_in(16));
        if crashes {
            for client in &mut self.clients {
                client.disconnect();
            }
        }
    }

    /// Gives the session what has come, shows what came of it, and carries out what is to be done.
    pub fn take(&mut self, inputs: Vec<Input>) -> Result<(), Refused> {
        let works = !self.chance.one_in(self.weather.storage_fails);
        let before = self.object.seq();
        let taken = self.object.take(inputs, self.now, works);
        if self.trace.is_some() {
            let events = &self.object.log[before as usize..];
            let events: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
            self.say(|| format!("  → {events:#?}\n  → {taken:?}"));
        }
        let effects = taken?;
        for client in &mut self.clients {
            client.show(before, self.object.seq());
        }
        for effect in effects {
            self.carry_out(effect);
        }
        Ok(())
    }

    pub fn carry_out(&mut self, effect: Effect) {
        let what = match effect {
            Effect::Start { .. } | Effect::Attach { .. } => {
                self.reader += 1;
                self.reading = true;
                let reader = self.reader;
                What::Open { reader, effect }
            }
            Effect::Save { turn } => {
                if self.saving.replace(turn) == Some(turn) {
                    return;
                }
                What::Save { turn }
            }
            Effect::Interrupt { turn } => What::Interrupt { turn },
            Effect::Answer { request_id } => What::Answer { request_id },
            Effect::Settings { turn, change } => What::Settings { turn, change },
            Effect::Acknowledge { .. } => What::Acknowledge,
        };
        self.begin(what, 0);
    }

    fn alarm(&mut self) {
        self.say(|| "the alarm".to_owned());
        let next = self.object.session.next_expiry();
        if next.is_some_and(|at| at <= self.now) && self.take(vec![Input::Expire]).is_ok() {
            let next = self.object.session.next_expiry();
            assert!(next.is_none_or(|at| at > self.now), "asked for ever");
        }
        if self.reading || self.saving.is_some() {
            self.retell();
        } else {
            self.take_up();
        }
    }

    pub fn retell(&mut self) {
        for effect in self.object.session.retell() {
            self.carry_out(effect);
        }
    }

    pub fn take_up(&mut self) {
        let left = self.object.session.reattach();
        if let Some(effect) = left.filter(|_| !self.reading) {
            self.carry_out(effect);
            self.retell();
        }
    }

    /// A frame of a client's arrives.
    pub fn frame(&mut self, who: usize, frame: Frame) {
        self.say(|| format!("client {who}: {frame:?}"));
        let input = match frame {
            Frame::Resume => return self.clients[who].send_page(self.object.seq()),
            Frame::Say { id, mode } => return self.message(who, id, mode),
            Frame::Interrupt { turn } => Input::Interrupt { turn },
            Frame::Model(model) => Input::SetModel { model },
            Frame::Mode(mode) => Input::SetMode { mode },
            Frame::RemoveRule => Input::RemoveRule {
                rule: "Bash(ls *)".to_owned(),
            },
            Frame::Book(requests) => Input::Booked {
                spent: Spent {
                    requests,
                    ..Spent::default()
                },
            },
            Frame::Answer { request_id, answer } => Input::Answer {
                request_id,
                answer,
                by: "somebody".to_owned(),
            },
        };
        let _ = self.take(vec![input]);
    }

    fn message(&mut self, who: usize, id: String, mode: Option<PermissionMode>) {
        if !self.object.messages.contains_key(&id) {
            let message = Input::Message {
                id: id.clone(),
                content: "hi".to_owned(),
                model: None,
                mode,
            };
            match self.take(vec![message]) {
                // It is sent again.
                Err(Refused::Storage) => return,
                Err(Refused::Input) => {
                    assert!(self.object.session.state.queue.len() >= crate::MAX_QUEUE);
                }
                Ok(()) => assert!(self.object.messages.contains_key(&id)),
            }
        }
        // Its sender may not hear that.
        if !self.chance.one_in(self.weather.loses_messages) {
            self.clients[who].outbox.remove(&id);
        }
    }
}
