//! The task that runs the turns, one at a time, on the kept process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::event::EventBody;
use protocol::options::Turn;
use protocol::sandbox::{AgentState, AnswerRequest, MAX_RECORD, Record, Settings, TurnEnd};
use protocol::{PermissionMode, ProblemKind, TurnId, Verdict};
use serde_json::json;
use tokio::sync::mpsc;

use crate::agent::{Job, Shared, TurnJob};
use crate::asks::Asks;
use crate::claude::{Exit, Heard, MAX_LINE};
use crate::conversations::fresh_uuid;
use crate::kept::{Kept, MAX_BACKGROUND, to_mode, to_model};
use crate::launch::allow;
use crate::live_output::LiveOutput;
use crate::translate::{Cause, Translator, end_of, merge};
use crate::turn_log::{MAX_BYTES, Order, TurnLog};
use crate::wire::{ControlAnswer, ControlRequest, Kind, Message};

/// How long an interrupted turn may take to end by itself. All of an interrupt is over in a second.
const PATIENCE_INTERRUPT: Duration = Duration::from_millis(700);

/// How many processes may die under a message before they have taken it.
const ATTEMPTS: u32 = 3;

/// Bytes of a transcript's lines that a record may hold: as text in JSON they take up to twice that.
const MAX_MIRRORED: usize = MAX_RECORD / 2 - 1000;

/// Lines that are looked at together.
const BATCH: usize = 64;

pub struct Driver {
    shared: Arc<Shared>,
    kept: Kept,
    translator: Translator,
    asks: Asks,
    /// Switches that the process was asked for in the middle of the turn, by the request's id.
    switches: HashMap<String, Switch>,
    live_output: LiveOutput,
    /// A message was sent, and its result has not come.
    busy: bool,
}

/// See [`Driver::switches`].
enum Switch {
    Model(String),
    Mode(PermissionMode),
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
            asks: Asks::default(),
            switches: HashMap::new(),
            live_output: LiveOutput::default(),
            busy: false,
        }
    }

    /// Runs turns until the server stops.
    pub async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let shared = Arc::clone(&self.shared);
        if shared.disk.is_ready() {
            self.kept.restart();
            shared.history.begin().await;
        }
        tokio::spawn(Arc::clone(&shared.watcher).run());
        loop {
            tokio::select! {
                biased;
                () = shared.stopped() => break,
                job = jobs.recv() => match job {
                    Some(Job::Turn(job)) => self.run_job(*job).await,
                    Some(Job::DiskReady) => self.kept.restart(),
                    None => break,
                },
                heard = self.kept.hear() => self.heard_idle(heard).await,
            }
            self.kept.show_state();
        }
        self.kept.end().await;
    }

    async fn run_job(&mut self, job: TurnJob) {
        if job.log.is_interrupted() {
            job.log.end_interrupted();
            return;
        }
        self.shared.process().state = AgentState::Busy;
        self.shared.secrets.add(&job.secrets);
        if job.log.id == TurnId(1) {
            self.shared.history.first_turn().await;
        }
        self.shared.egress.begin(&job.turn.launch.egress, &job.log);
        self.shared.watcher.begin(&job.log);
        if let Some(transcript) = &job.transcript {
            self.kept.complete(transcript).await;
        }
        let model = self.kept.model(&job.turn);
        let shared = Arc::clone(&self.shared);
        let result = tokio::select! {
            biased;
            () = shared.stopped() => Err(Cause::new(
                ProblemKind::SandboxFailed,
                "The sandbox was stopped",
            )),
            result = self.turn(&job) => result,
        };
        self.asks.clear();
        self.switches.clear();
        self.live_output.end_all();
        if let Some(claude) = &mut self.kept.claude {
            claude.asks_people = false;
        }
        shared.watcher.end().await;
        if *shared.stopping.borrow() {
            self.end_log(&job.log, result, model);
            return;
        }
        if std::mem::take(&mut self.busy) {
            self.kept.put_down().await;
        }
        // A save that comes with the end waits for what the turn has left.
        let held = shared.history.hold().await;
        self.end_log(&job.log, result, model);
        if self.kept.claude.is_none() {
            self.kept.restart();
        }
        // Said where calls are over; this is what has come since.
        self.kept.spare_background().await;
        tokio::select! {
            () = shared.stopped() => {}
            () = shared.history.turn_ended(held, job.log.id) => {}
        }
    }

    fn end_log(&mut self, log: &TurnLog, result: Result<Ended, Cause>, model: String) {
        self.kept.show_state();
        match result {
            Ok((error, end)) => log.end(error, end),
            Err(cause) => log.end(Some(cause.event()), cause.end(Some(model))),
        }
    }

    async fn turn(&mut self, job: &TurnJob) -> Result<Ended, Cause> {
        self.translator.begin(self.shared.secrets.mask());
        for _ in 0..ATTEMPTS {
            if let Some(end) = self.attempt(job).await? {
                return Ok(end);
            }
        }
        Err(Cause::new(
            ProblemKind::SandboxFailed,
            "Claude Code ends before it takes a message",
        ))
    }

    /// None where the process was dead before it could take the message.
    async fn attempt(&mut self, job: &TurnJob) -> Result<Option<Ended>, Cause> {
        let TurnJob {
            log, turn, asks, ..
        } = job;
        tokio::select! {
            biased;
            () = log.interruption() => {
                return Ok(Some((None, interrupted(None))));
            }
            ready = self.kept.prepare(turn) => ready?,
        }
        let Some(claude) = &mut self.kept.claude else {
            return Err(lost(&Exit("it is not there".to_owned())));
        };
        claude.asks_people = *asks;
        let uuid = fresh_uuid();
        claude.send_prompt(Some(&uuid), &turn.prompt);
        self.busy = true;
        self.converse(log, turn, &uuid).await
    }

    /// Listens until the turn's result.
    async fn converse(
        &mut self,
        log: &Arc<TurnLog>,
        turn: &Turn,
        uuid: &str,
    ) -> Result<Option<Ended>, Cause> {
        let mut model = self.kept.model(turn);
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
                order = log.next_order() => {
                    match order {
                        Order::Answer(answer) => self.answer(turn, answer),
                        Order::Settings(settings) => {
                            if let Some(other) = &settings.model {
                                model.clone_from(other);
                            }
                            self.settings(turn, settings);
                        }
                    }
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
                let calls_are_over = self.record(log, turn, &mut pieces, &message)?;
                if calls_are_over && self.kept.spare_background().await {
                    pieces.add(vec![too_many_processes().event()]);
                }
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

    /// Writes down what a line means. Returns whether with it the calls of tools are over that ran.
    fn record(
        &mut self,
        log: &Arc<TurnLog>,
        turn: &Turn,
        pieces: &mut Pieces,
        message: &Message,
    ) -> Result<bool, Cause> {
        let tools_ran = self.translator.tools_run();
        let mut events = self.translator.translate(&message.kind);
        let mut withdrawn = Vec::new();
        let mut conversation = None;
        match &message.kind {
            Kind::StreamEvent(_) => {
                pieces.add(events);
                return Ok(false);
            }
            Kind::ControlRequest(request) => events.extend(self.ask(request)),
            Kind::ControlCancel(cancel) => {
                withdrawn.extend(self.asks.withdraw(&cancel.request_id));
            }
            Kind::ModeChanged(changed) => {
                if let Some(claude) = &mut self.kept.claude {
                    let rules = claude.rules.clone();
                    claude.allow(allow(turn.launch.default_tools, changed.mode, &rules));
                }
            }
            Kind::ControlResponse(response) => self.switched(&response.response),
            Kind::Mirror(mirror) => {
                let written = mirror.transcript(&self.kept.conversation_id());
                let Some(written) = written.filter(|written| written.lines.len() <= MAX_MIRRORED)
                else {
                    return Ok(false);
                };
                pieces.flush(log)?;
                return log
                    .add(Record {
                        transcript: Some(written),
                        ..Record::default()
                    })
                    .map(|()| false)
                    .map_err(|_| full());
            }
            // Between Claude Code and its host.
            Kind::Lifecycle(_) | Kind::ThinkingTokens => return Ok(false),
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
        for event in &events {
            match event {
                EventBody::FileChange { path, .. } => self.shared.watcher.said(path),
                EventBody::ToolUse {
                    tool, tool_use_id, ..
                } if tool == "Bash" => {
                    let shared = Arc::clone(&self.shared);
                    let folder = move || shared.output_folder();
                    let secrets = &self.shared.secrets;
                    self.live_output.follow(tool_use_id, folder, log, secrets);
                }
                EventBody::ToolResult { tool_use_id, .. } => {
                    let folder = || self.shared.output_folder();
                    self.live_output.end(tool_use_id, folder);
                }
                _ => {}
            }
        }
        if !events.is_empty() || !withdrawn.is_empty() || conversation.is_some() {
            log.add(Record {
                events,
                withdrawn,
                claude_session_id: conversation,
                ..Record::default()
            })
            .map_err(|_| full())?;
        }
        // The results of an interrupted turn come while its commands are still ending.
        Ok(tools_ran && !self.translator.tools_run() && !log.is_interrupted())
    }

    /// The event of what Claude Code asks of a person; what nobody is to be asked is answered.
    fn ask(&mut self, request: &ControlRequest) -> Option<EventBody> {
        let claude = self.kept.claude.as_mut()?;
        if !claude.is_for_people(request) {
            return None; // Answered where it was heard.
        }
        let workspace = self.shared.setup.workspace.to_string_lossy();
        let folder = claude.start.cwd.to_string_lossy();
        match self.asks.ask(request, &folder, &workspace) {
            Ok(event) => Some(event),
            Err(refusal) => {
                claude.send(&refusal);
                None
            }
        }
    }

    /// Hands on what a person has answered. What is not open any more is left alone.
    fn answer(&mut self, turn: &Turn, answer: AnswerRequest) {
        let Some(claude) = &mut self.kept.claude else {
            return;
        };
        let mode = match &answer.verdict {
            Verdict::Allow {
                permission_mode, ..
            } => *permission_mode,
            Verdict::Deny { .. } => None,
        };
        let Some(line) = self.asks.answer(&answer.request_id, answer.verdict) else {
            return;
        };
        let now = mode.or(claude.running.mode).unwrap_or_default();
        claude.rules = answer.rules;
        claude.allow(allow(turn.launch.default_tools, now, &claude.rules));
        claude.send(&line);
    }

    /// Has the process go on with other settings, without waiting: it says when it does.
    fn settings(&mut self, turn: &Turn, settings: Settings) {
        let Some(claude) = &mut self.kept.claude else {
            return;
        };
        let Settings {
            model,
            permission_mode: mode,
            rules,
            ..
        } = settings;
        if let Some(model) = model.filter(|model| claude.running.model.as_ref() != Some(model)) {
            let id = fresh_uuid();
            let request = to_model(&model, turn.launch.fast_model.as_deref());
            claude.send_control(&id, request);
            claude.running.model = None;
            self.switches.insert(id, Switch::Model(model));
        }
        if claude.running.mode != Some(mode) {
            let id = fresh_uuid();
            claude.send_control(&id, to_mode(mode));
            claude.running.mode = None;
            self.switches.insert(id, Switch::Mode(mode));
        }
        claude.rules = rules;
        claude.allow(allow(turn.launch.default_tools, mode, &claude.rules));
    }

    /// The process has answered a switch. One that it refused is asked for again by the next turn.
    fn switched(&mut self, answer: &ControlAnswer) {
        let (Some(switch), Some(claude)) = (
            self.switches.remove(&answer.request_id),
            &mut self.kept.claude,
        ) else {
            return;
        };
        if answer.subtype == "success" {
            match switch {
                Switch::Model(model) => claude.running.model = Some(model),
                Switch::Mode(mode) => claude.running.mode = Some(mode),
            }
        }
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

fn too_many_processes() -> Cause {
    Cause::new(
        ProblemKind::TooLarge,
        format!(
            "More than {MAX_BACKGROUND} processes were left in the background: they were ended"
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
