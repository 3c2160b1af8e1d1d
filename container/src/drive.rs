//! The task that runs the turns, one at a time, on the kept process.

use std::sync::Arc;
use std::time::Duration;

use protocol::ProblemKind;
use protocol::event::EventBody;
use protocol::options::Turn;
use protocol::sandbox::{AgentState, Record, TurnEnd};
use serde_json::json;
use tokio::sync::mpsc;

use crate::agent::{Job, Shared};
use crate::claude::{Exit, Heard, MAX_LINE};
use crate::conversations::fresh_uuid;
use crate::kept::Kept;
use crate::translate::{Cause, Translator, end_of, merge};
use crate::turn_log::{MAX_BYTES, TurnLog};
use crate::wire::{Kind, Message};

/// How long an interrupted turn may take to end by itself. All of an interrupt is over in a second.
const PATIENCE_INTERRUPT: Duration = Duration::from_millis(700);

/// How many processes may die under a message before they have taken it.
const ATTEMPTS: u32 = 3;

/// Lines that are looked at together.
const BATCH: usize = 64;

pub struct Driver {
    shared: Arc<Shared>,
    kept: Kept,
    translator: Translator,
    /// A message was sent, and its result has not come.
    busy: bool,
}

/// The end of a turn, and the error to show with it.
type Ended = (Option<EventBody>, TurnEnd);

impl Driver {
    pub fn new(shared: Arc<Shared>) -> Self {
        let workspace = shared.setup.workspace.to_string_lossy().into_owned();
        Self {
            kept: Kept::new(Arc::clone(&shared)),
            shared,
            translator: Translator::new(workspace),
            busy: false,
        }
    }

    /// Runs turns until the server stops.
    pub async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        self.kept.restart();
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                () = shared.stopped() => break,
                job = jobs.recv() => match job {
                    Some(job) => self.run_job(job).await,
                    None => break,
                },
                heard = self.kept.hear() => self.heard_idle(heard).await,
            }
            self.kept.show_state();
        }
        self.kept.end().await;
    }

    async fn run_job(&mut self, job: Job) {
        if job.log.is_interrupted() {
            job.log.end_interrupted();
            return;
        }
        self.shared.process().state = AgentState::Busy;
        let model = self.kept.model(&job.turn);
        let shared = Arc::clone(&self.shared);
        let result = tokio::select! {
            biased;
            () = shared.stopped() => Err(Cause::new(
                ProblemKind::SandboxFailed,
                "The sandbox was stopped",
            )),
            result = self.turn(&job.log, &job.turn) => result,
        };
        if *shared.stopping.borrow() {
            self.end_log(&job.log, result, model);
            return;
        }
        if std::mem::take(&mut self.busy) {
            self.kept.put_down().await;
        }
        self.end_log(&job.log, result, model);
        if self.kept.claude.is_none() {
            self.kept.restart();
        }
        self.kept.spare_background();
    }

    fn end_log(&mut self, log: &TurnLog, result: Result<Ended, Cause>, model: String) {
        self.kept.show_state();
        match result {
            Ok((error, end)) => log.end(error, end),
            Err(cause) => log.end(Some(cause.event()), cause.end(Some(model))),
        }
    }

    async fn turn(&mut self, log: &TurnLog, turn: &Turn) -> Result<Ended, Cause> {
        self.translator.begin();
        for _ in 0..ATTEMPTS {
            if let Some(end) = self.attempt(log, turn).await? {
                return Ok(end);
            }
        }
        Err(Cause::new(
            ProblemKind::SandboxFailed,
            "Claude Code ends before it takes a message",
        ))
    }

    /// None where the process was dead before it could take the message.
    async fn attempt(&mut self, log: &TurnLog, turn: &Turn) -> Result<Option<Ended>, Cause> {
        tokio::select! {
            biased;
            () = log.interruption() => {
                return Ok(Some((None, interrupted(None))));
            }
            ready = self.kept.prepare(turn) => ready?,
        }
        let Some(claude) = &self.kept.claude else {
            return Err(lost(&Exit("it is not there".to_owned())));
        };
        let uuid = fresh_uuid();
        claude.send_prompt(Some(&uuid), &turn.prompt);
        self.busy = true;
        self.converse(log, &uuid, self.kept.model(turn)).await
    }

    /// Listens until the turn's result.
    async fn converse(
        &mut self,
        log: &TurnLog,
        uuid: &str,
        model: String,
    ) -> Result<Option<Ended>, Cause> {
        let mut deadline: Option<tokio::time::Instant> = None;
        let mut lost_lines = false;
        // The turn is being worked on.
        let mut taken = false;
        loop {
            let Some(claude) = &mut self.kept.claude else {
                return Err(lost(&Exit("it is not there".to_owned())));
            };
            let heard = tokio::select! {
                biased;
                // It does not obey: it is put down.
                () = until(deadline) => return Ok(Some((None, interrupted(Some(model))))),
                () = log.interruption(), if deadline.is_none() => {
                    claude.send_control(&fresh_uuid(), json!({ "subtype": "interrupt" }));
                    self.translator.interrupt();
                    deadline = Some(tokio::time::Instant::now() + PATIENCE_INTERRUPT);
                    continue;
                }
                heard = claude.hear() => heard,
            };
            let mut batch = vec![heard];
            while batch.len() < BATCH
                && let Some(heard) = claude.hear_waiting()
            {
                batch.push(heard);
            }
            let mut pieces = Pieces::default();
            for heard in batch {
                let message = match heard {
                    Heard::Message(message) => message,
                    Heard::TooLong(bytes) => {
                        lost_lines = true;
                        taken = true;
                        pieces.add(vec![left_out(bytes).event()]);
                        continue;
                    }
                    Heard::Gone(exit) => {
                        pieces.flush(log)?;
                        self.kept.bury().await;
                        if deadline.is_some() {
                            return Ok(Some((None, interrupted(Some(model)))));
                        }
                        if !taken {
                            self.busy = false;
                            return Ok(None);
                        }
                        return Err(lost(&exit));
                    }
                };
                taken |= is_work(&message.kind);
                self.record(log, &mut pieces, &message)?;
                let end = match &message.kind {
                    Kind::Result(result) => {
                        let ours = result
                            .user_message_uuids
                            .as_ref()
                            .is_none_or(|uuids| uuids.iter().any(|ended| ended == uuid));
                        ours.then(|| {
                            end_of(
                                result,
                                deadline.is_some(),
                                Some(model.clone()),
                                self.shared.setup.model_host(),
                            )
                        })
                    }
                    // The result itself was too long to be read.
                    Kind::Lifecycle(message)
                        if lost_lines
                            && message.command_uuid == uuid
                            && matches!(message.state.as_str(), "completed" | "cancelled") =>
                    {
                        let cause = Cause::new(
                            ProblemKind::TooLarge,
                            "Claude Code's result was too long to be read",
                        );
                        Some((Some(cause.event()), cause.end(Some(model.clone()))))
                    }
                    _ => None,
                };
                if let Some(end) = end {
                    self.busy = false;
                    if deadline.is_some() {
                        self.kept.sweep().await;
                    }
                    return Ok(Some(end));
                }
            }
            pieces.flush(log)?;
        }
    }

    /// Writes down what a line means.
    fn record(
        &mut self,
        log: &TurnLog,
        pieces: &mut Pieces,
        message: &Message,
    ) -> Result<(), Cause> {
        let tools_ran = self.translator.tools_run();
        let events = self.translator.translate(&message.kind);
        let mut conversation = None;
        match &message.kind {
            Kind::StreamEvent(_) => {
                pieces.add(events);
                return Ok(());
            }
            // Between Claude Code and its host.
            Kind::ControlRequest(_)
            | Kind::ControlResponse(_)
            | Kind::Lifecycle(_)
            | Kind::ThinkingTokens => return Ok(()),
            Kind::Init(init) => {
                self.shared.conversations().set_current(&init.session_id);
                let mut process = self.shared.process();
                if process.conversation.as_ref() != Some(&init.session_id) {
                    conversation = Some(init.session_id.clone());
                    self.translator.begin_conversation();
                }
                process.conversation = Some(init.session_id.clone());
                process.version = Some(init.claude_code_version.clone());
            }
            _ => {}
        }
        pieces.flush(log)?;
        if !events.is_empty() || conversation.is_some() {
            log.add(Record {
                events,
                claude_session_id: conversation,
                ..Record::default()
            })
            .map_err(|_| full())?;
        }
        // The results of an interrupted turn come while its commands are still ending.
        if tools_ran && !self.translator.tools_run() && !log.is_interrupted() {
            self.kept.spare_background();
        }
        Ok(())
    }

    /// What comes between turns: nothing that belongs to one.
    async fn heard_idle(&mut self, heard: Heard) {
        match heard {
            Heard::Gone(exit) => {
                tracing::warn!(exit = exit.0, "Claude Code has ended between turns");
                self.kept.ended_idle().await;
            }
            Heard::Message(_) | Heard::TooLong(_) => {}
        }
    }
}

/// Pieces of text that came together, as one record.
#[derive(Default)]
struct Pieces(Vec<EventBody>);

impl Pieces {
    fn add(&mut self, events: Vec<EventBody>) {
        for event in events {
            let rest = match self.0.last_mut() {
                Some(last) => merge(last, event),
                None => Some(event),
            };
            self.0.extend(rest);
        }
    }

    fn flush(&mut self, log: &TurnLog) -> Result<(), Cause> {
        let events = std::mem::take(&mut self.0);
        if events.is_empty() {
            return Ok(());
        }
        log.add(Record {
            events,
            ..Record::default()
        })
        .map_err(|_| full())
    }
}

/// Whether a message shows that the turn is being worked on: from there on it may have done something,
/// and is not begun a second time.
fn is_work(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::StreamEvent(_)
            | Kind::Assistant(_)
            | Kind::User(_)
            | Kind::ControlRequest(_)
            | Kind::Result(_)
    )
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn interrupted(model: Option<String>) -> TurnEnd {
    TurnEnd {
        outcome: protocol::Outcome::Interrupted,
        content: "Interrupted".to_owned(),
        model,
        usage: None,
    }
}

fn lost(exit: &Exit) -> Cause {
    Cause::new(
        ProblemKind::SandboxFailed,
        format!("Claude Code ended in the middle of the turn ({})", exit.0),
    )
}

fn left_out(bytes: u64) -> Cause {
    Cause::new(
        ProblemKind::TooLarge,
        format!(
            "A message of Claude Code's was left out: it has {bytes} bytes, and {MAX_LINE} are read"
        ),
    )
}

fn full() -> Cause {
    Cause::new(
        ProblemKind::TooLarge,
        format!(
            "The turn was stopped: its output was not taken, and no more than {MAX_BYTES} bytes of it are kept"
        ),
    )
}
