//! A turn's stream from the sandbox: asked for, read to its terminal record, and asked for again
//! from where it broke.

use std::rc::Rc;
use std::time::Duration;

use ::session::{Effect, Input, Session};
use futures_util::future::{Either, select};
use futures_util::{StreamExt, pin_mut};
use protocol::sandbox::{
    Acknowledge, HEARTBEAT_SECONDS, InterruptRequest, MAX_RECORD, PROTOCOL, Record, TurnRequest,
};
use protocol::{Problem, ProblemKind, TurnId};
use worker::{Delay, Method, Response};

use super::Object;
use crate::answer::{internal, problem_of};
use crate::container::{self, Sandbox};

/// Silence after which a stream counts as broken.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT_SECONDS);

/// Times in a row that a stream may break without a record in between.
const ATTEMPTS: u32 = 6;

/// How reading a stream ended.
enum Reading {
    /// The turn has ended, or another reader has taken over.
    Done,
    /// It broke; whether there was a record before.
    Broke { progress: bool },
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
            match self.open(&effect).await {
                Ok(response) => {
                    if self.reader.get() != reader {
                        // The turn was given up while its sandbox was starting.
                        self.tell_interrupt(turn).await;
                        return;
                    }
                    match self.read(response, reader, turn).await {
                        Reading::Done => return,
                        Reading::Broke { progress } => {
                            failures = if progress { 1 } else { failures + 1 };
                            if failures >= ATTEMPTS {
                                self.lose(reader, turn, Problem::new(
                                    ProblemKind::SandboxFailed,
                                    "the connection to the sandbox kept breaking; send the message again",
                                ));
                                return;
                            }
                        }
                    }
                }
                Err(problem) if problem.kind == ProblemKind::NoCapacity && failures < ATTEMPTS => {
                    failures += 1
                }
                Err(problem) => {
                    self.lose(reader, turn, problem);
                    return;
                }
            }
            Delay::from(Duration::from_millis(50 << failures)).await;
        }
    }

    fn lose(self: &Rc<Self>, reader: u64, turn: TurnId, problem: Problem) {
        if self.reader.get() == reader {
            // The log can't be written, and said so in the operator's log: the alarm tries again.
            let _ = self.take(vec![Input::Lost { turn, problem }]);
        }
    }

    /// Opens a stream of the turn's records.
    async fn open(&self, effect: &Effect) -> Result<Response, Problem> {
        let sandbox = self.sandbox()?;
        let mut response = match effect {
            Effect::Attach { turn, after } => {
                sandbox
                    .running_agent(Method::Get, &format!("/turns/{turn}?after={after}"), None)
                    .await?
            }
            Effect::Start { turn } => {
                let mut asked = self
                    .log
                    .turn(*turn)
                    .map_err(|error| internal("log", &error))?
                    .ok_or_else(|| internal("turn", &"its request is not stored"))?;
                if asked.model.is_none() {
                    asked.model = Some(self.model().await?);
                }
                let request = TurnRequest {
                    protocol: PROTOCOL,
                    session_id: self.with_session(|session| session.id.clone())?,
                    turn_id: *turn,
                    turn: asked,
                };
                let body =
                    serde_json::to_vec(&request).map_err(|error| internal("turn", &error))?;
                sandbox.agent(Method::Post, "/turns", Some(body)).await?
            }
            Effect::Interrupt { .. } | Effect::Acknowledge { .. } => {
                return Err(internal("turn", &"not a stream"));
            }
        };
        match problem_of(&mut response).await {
            Some(problem) if problem.kind == ProblemKind::NotFound => Err(Problem::new(
                ProblemKind::SandboxFailed,
                "the sandbox was restarted in the middle of the turn; what it had said until then is kept. Send the message again",
            )),
            Some(problem) => Err(problem),
            None => Ok(response),
        }
    }

    /// Reads records and gives them to the session, all that came together at once.
    async fn read(self: &Rc<Self>, mut response: Response, reader: u64, turn: TurnId) -> Reading {
        let mut progress = false;
        let Ok(mut stream) = response.stream() else {
            return Reading::Broke { progress };
        };
        let mut pending = Vec::new();
        loop {
            let next = stream.next();
            let silence = Delay::from(SILENCE);
            pin_mut!(next, silence);
            let chunk = match select(next, silence).await {
                Either::Left((Some(Ok(chunk)), _)) => chunk,
                Either::Left((None | Some(Err(_)), _)) | Either::Right(_) => {
                    return Reading::Broke { progress };
                }
            };
            if self.reader.get() != reader {
                return Reading::Done;
            }
            pending.extend_from_slice(&chunk);
            let mut inputs = Vec::new();
            let mut ended = false;
            let mut taken = 0;
            while let Some(length) = pending
                .get(taken..)
                .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
            {
                let line = pending.get(taken..taken + length).unwrap_or_default();
                taken += length + 1;
                match serde_json::from_slice::<Record>(line) {
                    Ok(record) => {
                        ended |= record.end.is_some();
                        progress |= record.n > 0;
                        inputs.push(Input::Record { turn, record });
                    }
                    Err(error) => {
                        internal("record", &error);
                        self.lose(
                            reader,
                            turn,
                            Problem::new(
                                ProblemKind::SandboxFailed,
                                "the sandbox said something that is not understood",
                            ),
                        );
                        return Reading::Done;
                    }
                }
            }
            pending.drain(..taken);
            if pending.len() > MAX_RECORD {
                self.lose(
                    reader,
                    turn,
                    Problem::new(
                        ProblemKind::SandboxFailed,
                        "the sandbox sent a line that is too long",
                    ),
                );
                return Reading::Done;
            }
            if !inputs.is_empty() && self.take(inputs).is_err() {
                return Reading::Broke { progress };
            }
            if ended || self.reader.get() != reader {
                return Reading::Done;
            }
        }
    }

    /// Tells the agent to stop a turn, where there is an agent.
    pub(super) async fn tell_interrupt(&self, turn: TurnId) {
        self.tell_agent("/interrupt", &InterruptRequest { turn_id: turn })
            .await;
    }

    pub(super) async fn tell_acknowledge(&self, turn: TurnId, n: u64) {
        self.tell_agent("/acknowledge", &Acknowledge { turn_id: turn, n })
            .await;
    }

    async fn tell_agent(&self, path: &str, body: &impl serde::Serialize) {
        let Ok(sandbox) = self.sandbox() else { return };
        let Ok(body) = serde_json::to_vec(body) else {
            return;
        };
        if let Err(problem) = sandbox.running_agent(Method::Post, path, Some(body)).await {
            internal(path, &problem);
        }
    }
}
