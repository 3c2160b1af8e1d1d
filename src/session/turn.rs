//! A turn's stream from the sandbox: asked for, read to its terminal record, and asked for again
//! from where it broke.

use std::rc::Rc;
use std::time::Duration;

use ::session::{Effect, Input, Session, Spent};
use futures_util::future::{Either, select};
use futures_util::{StreamExt, pin_mut};
use protocol::sandbox::{
    Acknowledge, HEARTBEAT_SECONDS, InterruptRequest, MAX_RECORD, PROTOCOL, Transcript, TurnRequest,
};
use protocol::{EventBody, Problem, ProblemKind, TurnId};
use worker::{Delay, Method, Response};

use super::{Object, UnderWay};
use crate::answer::{internal, problem_of, within};
use crate::container::{self, DiskSave, Running, Sandbox};

/// Silence after which a stream counts as broken.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT_SECONDS);

/// Times in a row that a stream may break, or not open, without a record in between.
const ATTEMPTS: u32 = 8;

/// How long the sandbox may take to answer, until it is asked again: its start is part of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to hear something small.
const TELLING: Duration = Duration::from_secs(10);

/// How long the router may take to tell what it has booked, for which the end of a turn waits.
const BOOKS: Duration = Duration::from_secs(1);

/// How long after a call's end what it has used is asked for.
const BOOKING: Duration = Duration::from_millis(500);

/// Bytes of a stream after which the agent is told that it may forget them.
const ACKNOWLEDGE_EVERY: usize = 1024 * 1024;

/// How long a save may take until the turn ends without it.
const SAVING: Duration = Duration::from_secs(60);

/// Times that a save is tried.
const SAVE_ATTEMPTS: u32 = 4;

/// Milliseconds after which what the tools of a turn have done is saved while it goes on.
const SAVE_EVERY_MS: u64 = 15_000;

/// Why there is no stream.
enum Unopened {
    Refused(Problem),
    /// The sandbox that the turn ran in is gone.
    SandboxGone(Problem),
}

impl From<Problem> for Unopened {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// How reading a stream ended.
enum Reading {
    /// The turn has ended, or another reader has taken over.
    Done,
    Broke,
}

impl Object {
    pub(super) fn sandbox(&self) -> Result<Sandbox, Problem> {
        let id = self.with_session(|session| session.id.clone())?;
        container::of(&self.env, &id)
    }

    /// Gets the sandbox going, so that the first message finds it running.
    pub(super) fn warm_up(self: &Rc<Self>) {
        let object = Rc::clone(self);
        self.platform
            .wait_until(std::panic::AssertUnwindSafe(async move {
                // Why it can't start is told by the turn that needs it.
                if let Ok(sandbox) = object.sandbox() {
                    let _ = sandbox.start().await;
                }
            }));
    }

    /// Reads the turn that is under way to its end, through as many streams as it takes.
    pub(super) async fn read_turn(self: &Rc<Self>, reader: u64) {
        let mut failures = 0;
        while self.reader.get() == reader {
            let Some(effect) = self.with_session(Session::reattach).ok().flatten() else {
                return;
            };
            let (Effect::Start { turn } | Effect::Attach { turn, .. }) = effect else {
                return;
            };
            let before = self.taken();
            let opened = async { Ok(self.open(&effect).await) };
            let opened = within(PATIENCE, "the sandbox", opened).await;
            let told = match opened {
                // It may be at the files of a large session; who asks again waits for the same start.
                Err(late) => late.detail,
                Ok(Ok(response)) => match self.read(response, reader, turn).await {
                    Reading::Done => return,
                    Reading::Broke => {
                        "the connection to the sandbox kept breaking; send the message again"
                            .to_owned()
                    }
                },
                Ok(Err(Unopened::Refused(problem))) if may_pass(&problem) => problem.detail,
                Ok(Err(Unopened::Refused(problem))) => {
                    self.lose(reader, turn, problem, false);
                    return;
                }
                // Where the turn is begun anew, another reader takes over.
                Ok(Err(Unopened::SandboxGone(problem))) => {
                    self.lose(reader, turn, problem, true);
                    return;
                }
            };
            failures = if self.taken() == before {
                failures + 1
            } else {
                1
            };
            if failures >= ATTEMPTS {
                self.lose(
                    reader,
                    turn,
                    Problem::new(ProblemKind::SandboxUnreachable, told),
                    false,
                );
                return;
            }
            Delay::from(Duration::from_millis(50 << failures)).await;
        }
    }

    /// The turn that is under way, and how many of its records are taken.
    fn taken(&self) -> Option<(TurnId, u64)> {
        let taken =
            |session: &Session| Some((session.state.current.as_ref()?.id, session.position.n));
        self.with_session(taken).ok().flatten()
    }

    fn lose(self: &Rc<Self>, reader: u64, turn: TurnId, problem: Problem, sandbox_gone: bool) {
        if self.reader.get() == reader {
            // The log can't be written, and said so in the operator's log: the alarm tries again.
            let lost = Input::Lost {
                turn,
                problem,
                sandbox_gone,
            };
            let _ = self.take_with(vec![lost], |log, step| {
                let again = step.effects.contains(&Effect::Start { turn });
                // What the first attempt came to is no part of the conversation.
                if again {
                    log.forget_attempt(turn)
                } else {
                    Ok(())
                }
            });
        }
    }

    /// Writes down that the sandbox's files were restored, as the container's object says.
    fn note_restored(self: &Rc<Self>, effect: &Effect, response: &Response) {
        let note = response.headers().get(container::RESTORED).ok().flatten();
        let note = note.and_then(|note| serde_json::from_str::<container::Note>(&note).ok());
        if let (Some(container::Note { save, damage }), Effect::Start { turn }) = (note, effect) {
            let turn = *turn;
            // What can't be stored is in the operator's log.
            let _ = self.take(vec![Input::Restored { turn, save, damage }]);
        }
    }

    /// Saves what a turn has left on the sandbox's disk.
    pub(super) async fn save(self: &Rc<Self>, turn: TurnId) {
        let mut attempt = 1;
        let save = loop {
            let saved = match self.sandbox() {
                Ok(sandbox) => {
                    within(SAVING, "the storage of saves", sandbox.save(Some(turn))).await
                }
                Err(problem) => Err(problem),
            };
            match saved {
                Err(problem) if may_pass(&problem) && attempt < SAVE_ATTEMPTS => {
                    attempt += 1;
                    Delay::from(Duration::from_millis(100 << attempt)).await;
                }
                saved => break saved,
            }
        };
        let kept = matches!(save, Ok(DiskSave::Saved(Some(_))));
        let input = match save {
            Ok(DiskSave::Saved(save)) => Input::Saved {
                turn,
                save: Ok(save),
            },
            Ok(DiskSave::Lost(problem)) => Input::Lost {
                turn,
                problem,
                sandbox_gone: true,
            },
            Err(problem) => Input::Saved {
                turn,
                save: Err(problem),
            },
        };
        let taken = self.take_with(vec![input], |log, _| {
            if kept {
                log.forget_transcript(turn)
            } else {
                Ok(())
            }
        });
        if taken.is_err() {
            self.set_watch().await;
        }
    }

    /// Saves what a turn that is under way has done until now, so that little of a long one is lost.
    fn save_meanwhile(self: &Rc<Self>) {
        let object = Rc::clone(self);
        self.platform
            .wait_until(std::panic::AssertUnwindSafe(async move {
                let Some(_saving) = UnderWay::begin(&object.saving) else {
                    return;
                };
                if let Ok(sandbox) = object.sandbox() {
                    // What goes wrong is told where the turn ends.
                    let _ = within(SAVING, "the storage of saves", sandbox.save(None)).await;
                }
            }));
    }

    /// Tells, beside the turn, what its calls have used until now.
    fn tell_spending(self: &Rc<Self>, turn: TurnId) {
        let object = Rc::clone(self);
        self.platform
            .wait_until(std::panic::AssertUnwindSafe(async move {
                let Some(asking) = UnderWay::begin(&object.asking_spent) else {
                    return;
                };
                // The router books a call when its answer is out.
                Delay::from(BOOKING).await;
                let spent = object.spent().await;
                drop(asking);
                if let Some(spent) = spent {
                    let _ = object.take(vec![Input::Spent { turn, spent }]);
                }
            }));
    }

    /// Opens a stream of the turn's records.
    async fn open(self: &Rc<Self>, effect: &Effect) -> Result<Response, Unopened> {
        let sandbox = self.sandbox()?;
        let mut response = match effect {
            Effect::Attach { turn, after } => {
                let path = format!("/turns/{turn}?after={after}");
                match sandbox.running_agent(Method::Get, &path, None).await? {
                    Running::Answer(response) => response,
                    Running::Stopped(why) => return Err(Unopened::SandboxGone(why)),
                }
            }
            Effect::Start { turn } => {
                let mut asked = self
                    .log
                    .turn(*turn)
                    .map_err(|error| internal("log", &error))?
                    .ok_or_else(|| internal("turn", &"its request is not stored"))?;
                if self.with_session(|session| session.state.spent.is_none())? {
                    let booked = self.spent().await.map(|spent| Input::Booked { spent });
                    let _ = self.take(booked.into_iter().collect());
                }
                if asked.model.is_none() {
                    asked.model = Some(self.model().await?);
                }
                let mut secrets = Vec::new();
                if let Some(agent) = self.agents.get() {
                    let launched = agent.launch(asked.launch)?;
                    (asked.launch, secrets) = (launched.launch, launched.secrets);
                }
                let session_id = self.with_session(|session| {
                    asked.launch.permission_mode = session.mode();
                    asked.rules.clone_from(&session.state.rules);
                    session.id.clone()
                })?;
                let request = TurnRequest {
                    protocol: PROTOCOL,
                    session_id,
                    turn_id: *turn,
                    asks: true,
                    turn: asked,
                    transcript: self
                        .log
                        .transcript_before(*turn)
                        .map_err(|error| internal("log", &error))?,
                    secrets,
                };
                let body =
                    serde_json::to_vec(&request).map_err(|error| internal("turn", &error))?;
                let _opening = UnderWay::begin(&self.opening);
                sandbox.agent(Method::Post, "/turns", Some(body)).await?
            }
            Effect::Interrupt { .. }
            | Effect::Acknowledge { .. }
            | Effect::Answer { .. }
            | Effect::Settings { .. }
            | Effect::Save { .. } => {
                return Err(internal("turn", &"not a stream").into());
            }
        };
        match problem_of(&mut response).await {
            Some(problem) if problem.kind == ProblemKind::NotFound => {
                Err(Unopened::SandboxGone(Problem::new(
                    ProblemKind::SandboxFailed,
                    "The sandbox was lost and is new",
                )))
            }
            Some(problem) => Err(problem.into()),
            None => {
                self.note_restored(effect, &response);
                Ok(response)
            }
        }
    }

    /// What the router has booked for the session, if it says so soon.
    async fn spent(&self) -> Option<Spent> {
        let id = self.with_session(|session| session.id.clone()).ok()?;
        let asked = within(
            BOOKS,
            "the model router",
            crate::models::spent(&self.env, &id),
        );
        asked.await.ok()
    }

    /// Reads records and gives them to the session, all that came together at once.
    async fn read(self: &Rc<Self>, mut response: Response, reader: u64, turn: TurnId) -> Reading {
        let Ok(mut stream) = response.stream() else {
            return Reading::Broke;
        };
        let mut pending = Vec::new();
        let mut unacknowledged = 0;
        let mut saved_at = worker::Date::now().as_millis();
        let mut unsaved = false;
        loop {
            let next = stream.next();
            let silence = Delay::from(SILENCE);
            pin_mut!(next, silence);
            let chunk = match select(next, silence).await {
                Either::Left((Some(Ok(chunk)), _)) => chunk,
                Either::Left((None | Some(Err(_)), _)) | Either::Right(_) => return Reading::Broke,
            };
            if self.reader.get() != reader
                || self.taken().is_none_or(|(current, _)| current != turn)
            {
                return Reading::Done;
            }
            unacknowledged += chunk.len();
            pending.extend_from_slice(&chunk);
            let (mut inputs, taken) = match records_of(&pending, turn) {
                Ok(records) => records,
                Err(problem) => {
                    self.lose(reader, turn, problem, false);
                    return Reading::Done;
                }
            };
            pending.drain(..taken);
            let last = inputs.iter().map(number).max().unwrap_or(0);
            let end = inputs.iter_mut().find_map(spent_with_end);
            let ended = end.is_some();
            if let Some(spent) = end {
                // What its calls have used is told with the end, and not after it.
                *spent = self.spent().await;
                if self.reader.get() != reader {
                    return Reading::Done;
                }
            }
            let from = self.taken().map_or(0, |(_, n)| n);
            let transcripts = transcripts_of(&mut inputs, from);
            let taken = self.take_with(inputs, |log, _| {
                transcripts
                    .iter()
                    .try_for_each(|transcript| log.keep_transcript(turn, transcript))
            });
            let Ok(step) = taken else {
                return Reading::Broke;
            };
            unsaved |= step.events.iter().any(|event| changes_files(&event.body));
            if !ended && step.events.iter().any(|event| ends_a_call(&event.body)) {
                self.tell_spending(turn);
            }
            let now = worker::Date::now().as_millis();
            if unsaved && !ended && now.saturating_sub(saved_at) > SAVE_EVERY_MS {
                (unsaved, saved_at) = (false, now);
                self.save_meanwhile();
            }
            if ended || self.reader.get() != reader {
                return Reading::Done;
            }
            let n = self.taken().map_or(0, |(_, n)| n);
            if last > n {
                return Reading::Broke; // There is a gap: what is missing is asked for again.
            }
            // Only what a row of the log remembers: after an eviction the rest is asked for again.
            if unacknowledged > ACKNOWLEDGE_EVERY && !step.events.is_empty() {
                unacknowledged = 0;
                self.carry_out(Effect::Acknowledge { turn, n });
            }
        }
    }

    /// Tells the agent to stop a turn, and remembers that it has heard it.
    pub(super) async fn tell_interrupt(self: &Rc<Self>, turn: TurnId) {
        let body = InterruptRequest { turn_id: turn };
        // What is on its way to the sandbox by now may meet another one, which has heard nothing.
        let may_start = self.starting();
        let heard = match self.tell_agent("/interrupt", &body).await {
            Ok(Running::Answer(response)) => response.status_code() < 300,
            // What does not run does not go on.
            Ok(Running::Stopped(_)) => !self.starting(),
            Err(_) => false,
        };
        let heard = heard || self.starting() && self.tell_after_start(&body).await;
        if heard && !may_start {
            // Where it can't be stored, the alarm tells it again, which does no harm.
            let _ = self.take(vec![Input::Stopped { turn }]);
        } else {
            self.set_watch().await;
        }
    }

    /// Whether a turn is being given to a sandbox that may still be starting.
    fn starting(&self) -> bool {
        self.opening.get()
    }

    async fn tell_after_start(&self, body: &InterruptRequest) -> bool {
        let (Ok(sandbox), Ok(body)) = (self.sandbox(), serde_json::to_vec(body)) else {
            return false;
        };
        let told = sandbox.agent(Method::Post, "/interrupt", Some(body));
        matches!(within(PATIENCE, "the sandbox", told).await, Ok(response) if response.status_code() < 300)
    }

    pub(super) async fn tell_acknowledge(&self, turn: TurnId, n: u64) {
        // What it does not hear costs it memory alone.
        let _ = self
            .tell_agent("/acknowledge", &Acknowledge { turn_id: turn, n })
            .await;
    }

    pub(super) async fn tell_agent(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<Running, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| internal(path, &error))?;
        let sandbox = self.sandbox()?;
        let told = sandbox.running_agent(Method::Post, path, Some(body));
        within(TELLING, "the sandbox", told).await
    }
}

/// Whether trying again may help.
fn may_pass(problem: &Problem) -> bool {
    matches!(
        problem.kind,
        ProblemKind::SandboxUnreachable | ProblemKind::NoCapacity | ProblemKind::Internal
    )
}

/// The records of all whole lines, and how many bytes they were.
fn records_of(bytes: &[u8], turn: TurnId) -> Result<(Vec<Input>, usize), Problem> {
    let broken = |words: &str| Problem::new(ProblemKind::SandboxFailed, words);
    let mut inputs = Vec::new();
    let mut taken = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            if line.len() > MAX_RECORD {
                return Err(broken("the sandbox sent a line that is too long"));
            }
            break;
        };
        taken += line.len() + 1;
        let record = serde_json::from_slice(line)
            .map_err(|_| broken("the sandbox said something that is not understood"))?;
        inputs.push(Input::Record {
            turn,
            record,
            spent: None,
        });
    }
    Ok((inputs, taken))
}

/// What Claude Code has written to its transcript, in the records that the session has not taken yet.
fn transcripts_of(inputs: &mut [Input], from: u64) -> Vec<Transcript> {
    let transcript = |input: &mut Input| match input {
        Input::Record { record, .. } if record.n > from => record.transcript.take(),
        _ => None,
    };
    inputs.iter_mut().filter_map(transcript).collect()
}

/// Whether a call of the model has ended with this.
fn ends_a_call(body: &EventBody) -> bool {
    matches!(body, EventBody::ToolUse { .. })
}

/// Whether a tool may have changed files by then.
fn changes_files(body: &EventBody) -> bool {
    matches!(body, EventBody::ToolResult { .. })
}

fn number(input: &Input) -> u64 {
    match input {
        Input::Record { record, .. } => record.n,
        _ => 0,
    }
}

/// Where a record that ends its turn says what was spent.
fn spent_with_end(input: &mut Input) -> Option<&mut Option<Spent>> {
    match input {
        Input::Record { record, spent, .. } if record.end.is_some() => Some(spent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_whole_lines() {
        let (inputs, taken) = records_of(b"{\"n\":1}\n{\"n\":2}\n{\"n\":", TurnId(1)).unwrap();
        assert_eq!(
            (inputs.iter().map(number).collect::<Vec<_>>(), taken),
            (vec![1, 2], 16)
        );
        assert!(records_of(b"nonsense\n", TurnId(1)).is_err());
        assert!(records_of(&vec![b'x'; MAX_RECORD + 1], TurnId(1)).is_err());
        assert_eq!(records_of(b"", TurnId(1)).unwrap().1, 0);
    }
}
