//! What the object asks of the sandbox, what comes back, and what gets lost between them. How it goes on
//! then follows `src/session/turn.rs`.

use protocol::sandbox::Record;
use protocol::{Outcome, Problem, ProblemKind, TurnId};

use super::object::Refused;
use super::sandbox::{end, text};
use super::world::World;
use crate::{Effect, Input, Phase, Session, Spent};

/// Times in a row that a stream may break, and that a save or an answer is tried.
const ATTEMPTS: u32 = 8;
const SAVE_ATTEMPTS: u32 = 4;

/// What a request has come to, on its way back.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Heard,
    NotHeard,
    Stream { after: u64 },
    Refused,
    Gone,
    Saved(Option<u64>),
    NotSaved,
}

/// What the object does beside its steps, and forgets when it is evicted.
#[derive(Debug, Clone)]
pub struct Task {
    pub what: What,
    pub attempt: u32,
    /// None while the request is on its way.
    pub answer: Option<Answer>,
    /// Who sent it is gone: nobody waits for its answer.
    pub orphan: bool,
}

#[derive(Debug, Clone)]
pub enum What {
    Open {
        reader: u64,
        effect: Effect,
    },
    Read {
        reader: u64,
        turn: TurnId,
        after: u64,
        generation: u64,
    },
    Save {
        turn: TurnId,
    },
    Interrupt {
        turn: TurnId,
    },
    Answer {
        request_id: String,
    },
    Settings {
        turn: TurnId,
        change: u64,
    },
    Acknowledge,
}

impl World {
    pub fn begin(&mut self, what: What, attempt: u32) {
        self.tasks.push(Task {
            what,
            attempt,
            answer: None,
            orphan: false,
        });
    }

    /// What is on its way goes on, or gets lost.
    pub fn advance(&mut self, at: usize) {
        let mut task = self.tasks.swap_remove(at);
        if let What::Read {
            reader,
            turn,
            after,
            generation,
        } = task.what
        {
            self.read(reader, turn, after, generation, task.attempt);
            return;
        }
        let lost = self.chance.one_in(self.weather.loses_messages);
        self.say(|| format!("{task:?}{}", if lost { " gets lost" } else { "" }));
        match task.answer.take() {
            None => {
                // It may have been heard all the same.
                let heard = !lost || self.chance.one_in(2);
                let answer = heard.then(|| self.hear(&task.what));
                if task.orphan {
                    return;
                }
                match answer.filter(|_| !lost) {
                    Some(answer) => {
                        task.answer = Some(answer);
                        self.tasks.push(task);
                    }
                    None => self.broke(task),
                }
            }
            Some(_) if lost => self.broke(task),
            Some(answer) => self.answered(task, answer),
        }
    }

    /// Whether a turn is on its way to the sandbox.
    pub fn is_starting(&self) -> bool {
        let starts = |task: &Task| {
            matches!(
                &task.what,
                What::Open {
                    effect: Effect::Start { .. },
                    ..
                }
            )
        };
        let mut tasks = self.tasks.iter().filter(|task| !task.orphan);
        tasks.any(starts)
    }

    /// The sandbox gets a request.
    fn hear(&mut self, what: &What) -> Answer {
        let starting = self.is_starting();
        let sandbox = &mut self.sandbox;
        match what {
            What::Open {
                effect: Effect::Start { turn },
                ..
            } => match sandbox.begin(*turn) {
                true => Answer::Stream { after: 0 },
                false => Answer::Refused,
            },
            What::Open {
                effect: Effect::Attach { turn, after },
                ..
            } => match &sandbox.turn {
                Some(known) if known.id == *turn => Answer::Stream { after: *after },
                _ => Answer::Gone,
            },
            What::Save { turn } => match &sandbox.turn {
                Some(known) if known.id == *turn && self.chance.one_in(8) => Answer::NotSaved,
                Some(known) if known.id == *turn => {
                    self.saves += 1;
                    Answer::Saved(Some(self.saves))
                }
                _ => Answer::Gone,
            },
            // A start that is on its way may meet another sandbox: it is told again.
            What::Interrupt { turn } if starting => {
                sandbox.interrupt(*turn);
                Answer::NotHeard
            }
            What::Interrupt { turn } => {
                if sandbox.up {
                    sandbox.interrupt(*turn);
                }
                Answer::Heard
            }
            What::Answer { request_id } => {
                let mut untold = self.object.session.state.untold.iter();
                if let Some(untold) = untold.find(|untold| untold.request_id == *request_id) {
                    sandbox.hear_answer(untold.turn, &untold.agent_id);
                }
                Answer::Heard
            }
            What::Settings { turn, .. } => match &sandbox.turn {
                Some(known) if known.id == *turn => Answer::Heard,
                _ => Answer::NotHeard,
            },
            What::Open { .. } | What::Read { .. } | What::Acknowledge => Answer::Heard,
        }
    }

    /// A connection broke: what was to be done is done again, or given up.
    fn broke(&mut self, task: Task) {
        let attempt = task.attempt + 1;
        match task.what {
            What::Open { reader, .. } => self.open_again(reader, attempt),
            What::Save { turn } if attempt < SAVE_ATTEMPTS => {
                self.begin(What::Save { turn }, attempt)
            }
            What::Save { turn } => self.saved(turn, Err(problem("not saved"))),
            What::Answer { .. } if attempt < SAVE_ATTEMPTS => self.begin(task.what, attempt),
            // The alarm tells it again.
            _ => {}
        }
    }

    fn answered(&mut self, task: Task, answer: Answer) {
        match (task.what, answer) {
            (What::Open { reader, effect }, answer) => {
                let (Effect::Start { turn } | Effect::Attach { turn, .. }) = effect else {
                    return;
                };
                if self.reader != reader {
                    return;
                }
                match answer {
                    Answer::Stream { after } => {
                        if std::mem::take(&mut self.sandbox.fresh) && self.saves > 0 {
                            let save = Some(self.saves);
                            let damage = self.chance.one_in(4).then(|| "torn".to_owned());
                            let _ = self.take(vec![Input::Restored { turn, save, damage }]);
                        }
                        let generation = self.sandbox.generation;
                        self.begin(
                            What::Read {
                                reader,
                                turn,
                                after,
                                generation,
                            },
                            task.attempt,
                        );
                    }
                    answer => self.lose(reader, turn, answer == Answer::Gone),
                }
            }
            (What::Save { turn }, Answer::Saved(save)) => self.saved(turn, Ok(save)),
            (What::Save { turn }, Answer::Gone) => {
                let _ = self.take(vec![Input::Lost {
                    turn,
                    problem: problem("gone"),
                    sandbox_gone: true,
                }]);
                self.saving.take_if(|saving| *saving == turn);
            }
            (What::Save { turn }, _) => self.saved(turn, Err(problem("not saved"))),
            (What::Interrupt { turn }, Answer::Heard) => {
                let _ = self.take(vec![Input::Stopped { turn }]);
            }
            (What::Answer { request_id }, _) => {
                let _ = self.take(vec![Input::Answered { request_id }]);
            }
            (What::Settings { change, .. }, Answer::Heard) => {
                let _ = self.take(vec![Input::SettingsHeard { change }]);
            }
            _ => {}
        }
    }

    fn saved(&mut self, turn: TurnId, save: Result<Option<u64>, Problem>) {
        let _ = self.take(vec![Input::Saved { turn, save }]);
        self.saving.take_if(|saving| *saving == turn);
    }

    fn done(&mut self, reader: u64) {
        self.reading &= self.reader != reader;
    }

    fn lose(&mut self, reader: u64, turn: TurnId, sandbox_gone: bool) {
        if self.reader == reader {
            let problem = problem("gone");
            let _ = self.take(vec![Input::Lost {
                turn,
                problem,
                sandbox_gone,
            }]);
        }
        self.done(reader);
    }

    fn open_again(&mut self, reader: u64, failures: u32) {
        if self.reader != reader {
            return;
        }
        match self.object.session.reattach() {
            Some(Effect::Start { turn } | Effect::Attach { turn, .. }) if failures >= ATTEMPTS => {
                self.lose(reader, turn, false);
            }
            Some(effect @ (Effect::Start { .. } | Effect::Attach { .. })) => {
                self.begin(What::Open { reader, effect }, failures);
            }
            _ => self.done(reader),
        }
    }

    /// Some records come through a turn's stream.
    fn read(&mut self, reader: u64, turn: TurnId, after: u64, generation: u64, failures: u32) {
        if self.reader != reader || self.object.current() != Some(turn) {
            self.done(reader);
            return;
        }
        let (records, ended) = match &self.sandbox.turn {
            Some(known) if known.id == turn && self.sandbox.generation == generation => {
                (&known.records[..], known.ended)
            }
            _ => return self.open_again(reader, failures + 1),
        };
        let mut first = after as usize;
        if self.chance.one_in(self.weather.echoes) {
            first = first.saturating_sub(1 + self.chance.below(3));
        } else if self.chance.one_in(self.weather.gaps) {
            first += 1;
        }
        let some = records.iter().skip(first).take(1 + self.chance.below(3));
        let some: Vec<Record> = some.cloned().collect();
        let Some(last) = some.last().map(|record| record.n) else {
            let what = What::Read {
                reader,
                turn,
                after,
                generation,
            };
            match ended {
                // An end that the session has not heard is another sandbox's.
                true => self.open_again(reader, failures + 1),
                false => self.begin(what, failures),
            }
            return;
        };
        if self.chance.one_in(self.weather.echoes) {
            self.echo(turn);
        }
        let before = self.object.session.position.n;
        self.say(|| {
            format!(
                "records {:?} of {turn}",
                some.iter().map(|one| one.n).collect::<Vec<_>>()
            )
        });
        let ended = some.iter().any(|record| record.end.is_some());
        let booked = Spent {
            requests: self.now,
            ..Spent::default()
        };
        let inputs = some.into_iter().map(|record| Input::Record {
            turn,
            spent: record.end.is_some().then_some(booked),
            record,
        });
        let taken = self.take(inputs.collect());
        if self.reader != reader {
            return;
        }
        let n = self.object.session.position.n;
        let saves = |session: &Session| {
            let current = session.state.current.as_ref();
            current.is_none_or(|current| current.id != turn || current.phase == Phase::Saving)
        };
        if taken.is_err() || (last > n && !saves(&self.object.session)) {
            let failures = if n == before { failures + 1 } else { 1 };
            return self.open_again(reader, failures);
        }
        if ended {
            return self.done(reader);
        }
        let what = What::Read {
            reader,
            turn,
            after: last.max(after),
            generation,
        };
        self.begin(what, 0);
    }

    /// A record that the session has, or of another turn: nothing comes of it.
    fn echo(&mut self, turn: TurnId) {
        let n = self.object.session.position.n;
        let other = TurnId(self.chance.below(12) as u64);
        let (turn, n) = match other != turn && self.chance.one_in(2) {
            true => (other, n + 1),
            false => (turn, self.chance.below(n as usize + 1) as u64),
        };
        let record = Record {
            n,
            events: vec![text("echo")],
            end: self
                .chance
                .one_in(2)
                .then(|| end(Outcome::Completed).unwrap()),
            ..Record::default()
        };
        let before = (self.object.session.clone(), self.object.seq());
        let spent = None;
        let taken = self.take(vec![Input::Record {
            turn,
            record,
            spent,
        }]);
        assert!(taken != Err(Refused::Input));
        assert!(before == (self.object.session.clone(), self.object.seq()));
    }
}

fn problem(words: &str) -> Problem {
    Problem::new(ProblemKind::SandboxFailed, words)
}
