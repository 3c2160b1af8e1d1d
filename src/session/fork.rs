//! A session that goes on from one of another's turns: that one tells what it begins with, and gives
//! its log; this one takes both, and its sandbox's object what was saved of the other's disk.

use std::rc::Rc;

use futures_util::{StreamExt, stream};
use protocol::{Event, EventBody, Problem, ProblemKind, SessionId, TurnId, TurnState};
use serde::{Deserialize, Serialize};
use worker::Env;

use super::agent::Launch;
use super::streams::{LogReader, stream_out};
use super::{Form, Object, stub};
use crate::answer::{self, Answer, internal};

/// Bytes of a log that are taken in at a time.
const BATCH: usize = 256 * 1024;

/// What a fork of a session begins with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fork {
    pub from: SessionId,
    pub turn: TurnId,
    /// `seq` of the event that ended the turn, in the other one's log.
    pub seq: u64,
    /// The save that holds what the turn has left.
    pub save: u64,
    /// The machine's state after the turn, as JSON.
    state: String,
    /// What the other one was launched with. Its secrets are among it where both have one owner.
    launch: Option<Launch>,
}

/// From where somebody wants to go on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wish {
    /// None: the last turn that has ended.
    pub turn: Option<TurnId>,
    /// Whoever asks owns the session, so that secrets may come along.
    pub is_owner: bool,
    pub id: SessionId,
}

impl Object {
    /// What a fork begins with.
    ///
    /// # Errors
    /// 404 for a turn that there is not, 409 for one that has not ended, or was not saved.
    pub(super) fn fork(&self, wish: &Wish) -> std::result::Result<Fork, Problem> {
        let failed = |error: worker::Error| internal("fork", &error);
        let end = self.log.end_of(wish.turn).map_err(failed)?;
        let Some((seq, turn, save)) = end else {
            let last = self.with_session(|session| session.state.last_turn)?;
            let (kind, words) = match wish.turn {
                Some(turn) if turn.0 == 0 || turn.0 > last => {
                    (ProblemKind::NotFound, format!("there is no {turn}"))
                }
                Some(turn) => (
                    ProblemKind::Conflict,
                    format!("{turn} has not ended; go on from one that has"),
                ),
                None => (
                    ProblemKind::Conflict,
                    "no turn of this session has ended yet".to_owned(),
                ),
            };
            return Err(Problem::new(kind, words).at("turn"));
        };
        let save = save.ok_or_else(|| {
            Problem::new(
                ProblemKind::Conflict,
                format!("what {turn} has left was not saved; go on from another turn"),
            )
            .at("turn")
        })?;
        let now = worker::Date::now().as_millis();
        let state = self.with_session(|session| {
            let forked = session.forked(turn, wish.id.clone(), now);
            serde_json::to_string(&forked.state)
        })?;
        let launch = self
            .agents
            .get()
            .map(|agent| agent.as_launch(wish.is_owner));
        Ok(Fork {
            from: self.with_session(|session| session.id.clone())?,
            turn,
            seq,
            save,
            state: state.map_err(|error| internal("fork", &error))?,
            launch,
        })
    }

    /// The log up to an event, as lines.
    pub(super) fn log_up_to(self: &Rc<Self>, last: u64) -> Answer {
        let reader = LogReader {
            object: Rc::clone(self),
            from: 0,
        };
        let pieces = stream::try_unfold(reader, move |mut reader| async move {
            if reader.from >= last {
                return Ok::<_, worker::Error>(None);
            }
            let page = reader.next().await?;
            let lines = page.events.iter().filter(|(seq, _)| *seq <= last);
            let mut written = String::new();
            for (_, line) in lines {
                written += line;
                written.push('\n');
            }
            Ok(Some((written, reader)))
        });
        stream_out(Form::Ndjson, &[], pieces)
    }

    /// Begins this session, which nobody has used yet, as a fork.
    ///
    /// # Errors
    /// Where a part of it can't be had; nothing of it is kept then.
    pub(super) async fn begin_as(self: &Rc<Self>, fork: Fork) -> std::result::Result<(), Problem> {
        let begun = self.with_session(|session| session.position.seq > 0)?;
        if begun {
            return Err(Problem::new(
                ProblemKind::Conflict,
                "this session has begun already",
            ));
        }
        match self.take_over(fork).await {
            Ok(()) => {
                // It has a title now, and all that was said, which it had not when somebody asked for it first.
                self.told_index.replace(None);
                self.tell_index();
                Ok(())
            }
            Err(problem) => {
                self.wipe().await?;
                Err(problem)
            }
        }
    }

    async fn take_over(self: &Rc<Self>, fork: Fork) -> std::result::Result<(), Problem> {
        let failed = |error: worker::Error| internal("fork", &error);
        let id = self.with_session(|session| session.id.clone())?;
        self.sandbox()?.copy_saves(&fork.from, fork.save).await?;
        let state = serde_json::from_str(&fork.state).map_err(|error| internal("fork", &error))?;
        {
            let mut session = self.session.borrow_mut();
            let session = session
                .as_mut()
                .ok_or_else(|| internal("session", &"unnamed"))?;
            session.state = state;
            self.log.keep_state(session).map_err(failed)?;
        }
        if let Some(launch) = fork.launch {
            self.agents.keep(&self.env, &id, launch)?;
        }
        let log = stub::log_up_to(&self.env, &fork.from, fork.seq).await?;
        let mut response = answer::done(log).await?;
        let mut stream = response.stream().map_err(failed)?;
        let mut pending = Vec::new();
        while let Some(chunk) = stream.next().await {
            pending.extend_from_slice(&chunk.map_err(failed)?);
            if pending.len() > BATCH {
                self.adopt(&mut pending)?;
            }
        }
        self.adopt(&mut pending)
    }

    /// Takes whole lines of the other one's log as this session's own.
    fn adopt(&self, pending: &mut Vec<u8>) -> std::result::Result<(), Problem> {
        let failed = |error: worker::Error| internal("fork", &error);
        let whole = pending.iter().rposition(|byte| *byte == b'\n');
        let Some(whole) = whole else { return Ok(()) };
        let lines: Vec<u8> = pending.drain(..=whole).collect();
        let mut session = self.session.borrow_mut();
        let session = session
            .as_mut()
            .ok_or_else(|| internal("session", &"unnamed"))?;
        let mut events = Vec::new();
        for line in lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let event: Event =
                serde_json::from_slice(line).map_err(|error| internal("fork", &error))?;
            events.extend(session.adopt(event));
        }
        let lines = super::log::lines_of(&events).map_err(failed)?;
        self.log
            .transaction(|| self.log.append(&events, &lines, &session.state, session))
            .map_err(failed)
    }
}

/// The turn that an event ends, and the save that holds it.
pub(super) fn ended(event: &Event) -> Option<(TurnId, Option<u64>)> {
    match &event.body {
        EventBody::Status(status) if status.state == TurnState::Ended => {
            Some((event.turn_id?, status.save))
        }
        _ => None,
    }
}

/// Begins a session that goes on from one of another's turns. Gives its id.
///
/// # Errors
/// What stands against it, see [`Object::fork`]; 429 where too many are begun.
pub async fn fork(
    env: &Env,
    from: &SessionId,
    visit: &super::Visit,
    turn: Option<TurnId>,
) -> std::result::Result<SessionId, Problem> {
    let bytes = crate::random::bytes().map_err(|error| internal("random", &error))?;
    let id = SessionId::from_random(bytes);
    let fork = stub::fork(env, from, visit, turn, &id).await?;
    let launching = super::Visit {
        caller: visit.caller.clone(),
        right: access::Right::Write,
        launches: true,
    };
    stub::begin_as(env, &id, &launching, &fork).await?;
    Ok(id)
}
