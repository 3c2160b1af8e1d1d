//! The task that owns the kept `claude` process and runs the turns on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::ProblemKind;
use protocol::event::EventBody;
use protocol::options::{Launch, Turn};
use protocol::sandbox::{AgentState, Record, TurnEnd};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::agent::{Job, Shared};
use crate::claude::{Claude, Exit, Heard, MAX_LINE};
use crate::conversations::fresh_uuid;
use crate::launch::{Change, Conversation, Start, change};
use crate::processes::{Identity, own_session};
use crate::translate::{Cause, Translator, end_of, merge};
use crate::turn_log::{MAX_BYTES, TurnLog};
use crate::wire::{Kind, Message};
use crate::workspace;

/// How long a process may take until it is ready.
const PATIENCE_START: Duration = Duration::from_secs(60);

/// How long it may take for the answer to a control request.
const PATIENCE_CONTROL: Duration = Duration::from_secs(5);

/// How long an interrupted turn may take to end by itself. All of an interrupt is over in a second.
const PATIENCE_INTERRUPT: Duration = Duration::from_millis(700);

/// How long a process that did not obey an interrupt has between SIGTERM and SIGKILL.
const PATIENCE_TERM: Duration = Duration::from_millis(150);

/// How long a process has to end by itself, once its input is closed. An idle one takes 30 ms.
const PATIENCE_CLOSE: Duration = Duration::from_millis(500);

/// How long it has then between SIGTERM and SIGKILL.
const PATIENCE_STOP: Duration = Duration::from_secs(4);

/// A process that ends sooner than this after its start is not started again until a turn needs it.
const SOON: Duration = Duration::from_secs(10);

/// How many processes may die under a message before they have taken it.
const ATTEMPTS: u32 = 3;

/// Lines that are looked at together.
const BATCH: usize = 64;

pub struct Driver {
    shared: Arc<Shared>,
    claude: Option<Claude>,
    started: Instant,
    translator: Translator,
    /// A message was sent, and its result has not come.
    busy: bool,
    /// What was started by calls that are over: background servers, which outlive an interrupt.
    spared: HashSet<Identity>,
}

/// The end of a turn, and the error to show with it.
type Ended = (Option<EventBody>, TurnEnd);

impl Driver {
    pub fn new(shared: Arc<Shared>) -> Self {
        let workspace = shared.setup.workspace.to_string_lossy().into_owned();
        Self {
            shared,
            claude: None,
            started: Instant::now(),
            translator: Translator::new(workspace),
            busy: false,
            spared: HashSet::new(),
        }
    }

    /// Runs turns until the server stops.
    pub async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        self.restart();
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                () = shared.stopped() => break,
                job = jobs.recv() => match job {
                    Some(job) => self.run_job(job).await,
                    None => break,
                },
                heard = next(&mut self.claude) => self.heard_idle(heard),
            }
            self.show_state();
        }
        if let Some(claude) = self.claude.take() {
            let (pid, mark) = (claude.pid, claude.mark.clone());
            claude
                .stop(PATIENCE_CLOSE, PATIENCE_STOP, &self.shared.children)
                .await;
            self.shared.children.kill_family(pid, &mark, |_| true).await;
        }
        self.show_state();
    }

    async fn run_job(&mut self, job: Job) {
        if job.log.is_interrupted() {
            job.log.end_interrupted();
            return;
        }
        self.shared.process().state = AgentState::Busy;
        let model = self.model(&job.turn);
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
            self.put_down().await;
        }
        self.end_log(&job.log, result, model);
        match &self.claude {
            Some(claude) => {
                self.spared = self.shared.children.family_names(claude.pid, &claude.mark);
            }
            None => self.restart(),
        }
    }

    fn end_log(&mut self, log: &TurnLog, result: Result<Ended, Cause>, model: String) {
        self.show_state();
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
            ready = self.prepare(turn) => ready?,
        }
        let Some(claude) = &self.claude else {
            return Err(lost(&Exit("it is not there".to_owned())));
        };
        let uuid = fresh_uuid();
        claude.send_prompt(Some(&uuid), &turn.prompt);
        self.busy = true;
        self.converse(log, &uuid, self.model(turn)).await
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
        // The process has taken the message: something has come back.
        let mut taken = false;
        loop {
            let Some(claude) = &mut self.claude else {
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
                        self.bury().await;
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
                taken |= !matches!(message.kind, Kind::ControlResponse(_));
                self.record(log, &mut pieces, &message)?;
                let end = match &message.kind {
                    Kind::Result(result) => {
                        let ours = result
                            .user_message_uuids
                            .as_ref()
                            .is_none_or(|uuids| uuids.iter().any(|ended| ended == uuid));
                        let before = self.cost(result.total_cost_usd);
                        ours.then(|| {
                            end_of(
                                result,
                                deadline.is_some(),
                                Some(model.clone()),
                                before,
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
                        self.sweep().await;
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
        log.add(Record {
            events,
            message: Some(message.raw.clone()),
            claude_session_id: conversation,
            ..Record::default()
        })
        .map_err(|_| full())?;
        if tools_ran
            && !self.translator.tools_run()
            && let Some(claude) = &self.claude
        {
            self.spared = self.shared.children.family_names(claude.pid, &claude.mark);
        }
        Ok(())
    }

    /// What the process had cost before this result.
    fn cost(&mut self, now: f64) -> f64 {
        match &mut self.claude {
            Some(claude) => std::mem::replace(&mut claude.cost, now),
            None => 0.0,
        }
    }

    /// What comes between turns: nothing that belongs to one.
    fn heard_idle(&mut self, heard: Heard) {
        match heard {
            Heard::Gone(exit) => {
                tracing::warn!(exit = exit.0, "Claude Code has ended between turns");
                self.claude = None;
                if self.started.elapsed() > SOON {
                    self.restart();
                }
            }
            Heard::Message(message) => {
                if let Kind::Result(result) = &message.kind {
                    self.cost(result.total_cost_usd);
                }
            }
            Heard::TooLong(_) => {}
        }
    }

    fn model(&self, turn: &Turn) -> String {
        turn.model
            .clone()
            .unwrap_or_else(|| self.shared.setup.model.clone())
    }

    /// Brings up a process that runs as the turn wants it.
    async fn prepare(&mut self, turn: &Turn) -> Result<(), Cause> {
        let model = self.model(turn);
        let conversation = self.conversation(&turn.launch);
        let change = match &mut self.claude {
            Some(claude) if claude.conversation == conversation.id() => {
                let start = &mut claude.start;
                let change = change(&start.launch, &start.model, &turn.launch, &model);
                // Before it is asked for: where the answer is not waited for, it is asked for again.
                start.model.clone_from(&model);
                start.launch.permission_mode = turn.launch.permission_mode;
                change
            }
            _ => Change::Restart,
        };
        let switched = match change {
            Change::Restart => false,
            Change::Switch { model: other, mode } => {
                self.until_ready().await?;
                // `set_model` would spend a call of the model on the question whether there is one.
                let model = other.then(
                    || json!({ "subtype": "apply_flag_settings", "settings": { "model": model } }),
                );
                let mode =
                    mode.map(|mode| json!({ "subtype": "set_permission_mode", "mode": mode }));
                let mut switched = true;
                for request in [model, mode].into_iter().flatten() {
                    switched &= self.control(request).await;
                }
                switched
            }
        };
        if !switched {
            if let Some(claude) = self.claude.take() {
                claude
                    .stop(PATIENCE_CLOSE, PATIENCE_STOP, &self.shared.children)
                    .await;
            }
            self.launch(turn.launch.clone(), model, conversation)?;
        }
        self.until_ready().await
    }

    /// The conversation that a turn belongs to.
    fn conversation(&self, launch: &Launch) -> Conversation {
        let conversations = self.shared.conversations();
        if let Some(id) = &launch.resume_session_id {
            return Conversation::Resume(id.clone());
        }
        match &self.claude {
            Some(claude) => {
                let id = claude.conversation.clone();
                match conversations.has_transcript(&id) {
                    true if launch.continue_session => Conversation::Resume(id),
                    true => Conversation::New(fresh_uuid()),
                    false => Conversation::New(id),
                }
            }
            None if launch.continue_session => conversations.current(),
            None => Conversation::New(fresh_uuid()),
        }
    }

    /// Starts a process with the defaults in the background, so that the next turn finds it ready.
    fn restart(&mut self) {
        let conversation = self.shared.conversations().current();
        let model = self.shared.setup.model.clone();
        if let Err(cause) = self.launch(Launch::default(), model, conversation) {
            tracing::error!(cause = cause.content);
        }
        self.show_state();
    }

    fn launch(
        &mut self,
        launch: Launch,
        model: String,
        conversation: Conversation,
    ) -> Result<(), Cause> {
        let setup = &self.shared.setup;
        let folder = |path: &str| {
            workspace::folder(&setup.workspace, path)
                .map_err(|problem| Cause::new(problem.kind, problem.detail))
        };
        let start = Start {
            cwd: folder(&launch.cwd)?,
            add_dir: launch
                .add_dir
                .iter()
                .map(|path| folder(path))
                .collect::<Result<_, _>>()?,
            launch,
            model,
            conversation,
            partial: true,
        };
        let claude = Claude::spawn(setup, start, &self.shared.children).map_err(|error| {
            Cause::new(
                ProblemKind::SandboxFailed,
                format!("Claude Code could not be started: {error}"),
            )
        })?;
        claude.send_initialize();
        let mut process = self.shared.process();
        process.pid = Some(claude.pid);
        process.starts += 1;
        drop(process);
        self.started = Instant::now();
        self.spared.clear();
        self.claude = Some(claude);
        Ok(())
    }

    async fn until_ready(&mut self) -> Result<(), Cause> {
        let waiting = async {
            while let Some(claude) = &mut self.claude
                && !claude.ready
            {
                if let Heard::Gone(exit) = claude.hear().await {
                    self.claude = None;
                    return Err(Cause::new(
                        ProblemKind::SandboxFailed,
                        format!("Claude Code did not start: {}", exit.0),
                    ));
                }
            }
            Ok(())
        };
        match tokio::time::timeout(PATIENCE_START, waiting).await {
            Ok(ready) => ready,
            Err(_) => {
                self.put_down().await;
                Err(Cause::new(
                    ProblemKind::SandboxFailed,
                    format!(
                        "Claude Code was not ready after {} seconds",
                        PATIENCE_START.as_secs()
                    ),
                ))
            }
        }
    }

    /// Asks for something and waits for the answer. False where it was refused or not answered.
    async fn control(&mut self, request: Value) -> bool {
        let id = fresh_uuid();
        let Some(claude) = &mut self.claude else {
            return false;
        };
        claude.send_control(&id, request);
        let answer = async {
            loop {
                match claude.hear().await {
                    Heard::Message(message) => {
                        if let Kind::ControlResponse(answer) = &message.kind
                            && answer.response.request_id == id
                        {
                            return answer.response.subtype == "success";
                        }
                    }
                    Heard::TooLong(_) => {}
                    Heard::Gone(_) => return false,
                }
            }
        };
        tokio::time::timeout(PATIENCE_CONTROL, answer)
            .await
            .unwrap_or(false)
    }

    /// Ends what the interrupted calls have left behind.
    async fn sweep(&self) {
        let Some(claude) = &self.claude else {
            return;
        };
        let session = own_session();
        self.shared
            .children
            .kill_family(claude.pid, &claude.mark, |process| {
                process.session != session && !self.spared.contains(&process.identity())
            })
            .await;
    }

    /// Ends the process and what its running calls have started, but not what was in the background
    /// before.
    async fn put_down(&mut self) {
        let Some(claude) = self.claude.take() else {
            return;
        };
        let (pid, mark) = (claude.pid, claude.mark.clone());
        claude.kill(PATIENCE_TERM).await;
        self.clean_up(pid, &mark).await;
    }

    /// The same, where the process is gone already.
    async fn bury(&mut self) {
        if let Some(claude) = self.claude.take() {
            self.clean_up(claude.pid, &claude.mark).await;
        }
    }

    async fn clean_up(&self, pid: u32, mark: &str) {
        self.shared
            .children
            .kill_family(pid, mark, |process| {
                !self.spared.contains(&process.identity())
            })
            .await;
    }

    fn show_state(&self) {
        let mut process = self.shared.process();
        process.pid = self.claude.as_ref().map(|claude| claude.pid);
        process.state = match &self.claude {
            None => AgentState::Stopped,
            Some(claude) if claude.ready => AgentState::Ready,
            Some(_) => AgentState::Starting,
        };
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

async fn next(claude: &mut Option<Claude>) -> Heard {
    match claude {
        Some(claude) => claude.hear().await,
        None => std::future::pending().await,
    }
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
