//! The kept `claude` process: brought up as a turn wants it, and put down with what it has started.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::options::{Launch, Turn};
use protocol::sandbox::{AgentState, Transcript};
use protocol::{PermissionMode, ProblemKind};
use serde_json::{Value, json};

use crate::agent::Shared;
use crate::claude::{Claude, Heard};
use crate::conversations::fresh_uuid;
use crate::launch::{Change, Conversation, Start, aliases, allow, change};
use crate::processes::{Identity, Process, own_session};
use crate::translate::Cause;
use crate::wire::Kind;
use crate::workspace;

/// How long a process may take until it is ready.
const PATIENCE_START: Duration = Duration::from_secs(60);

/// How long it may take for the answer to a control request.
const PATIENCE_CONTROL: Duration = Duration::from_secs(5);

/// How long a process that did not obey an interrupt has between SIGTERM and SIGKILL.
const PATIENCE_TERM: Duration = Duration::from_millis(150);

/// How long a process has to end by itself, once its input is closed. An idle one takes 30 ms.
const PATIENCE_CLOSE: Duration = Duration::from_millis(500);

/// How long it has then between SIGTERM and SIGKILL.
const PATIENCE_STOP: Duration = Duration::from_secs(4);

/// A process that ends sooner than this after its start is not started again until a turn needs it.
const SOON: Duration = Duration::from_secs(10);

/// Processes that calls may leave in the background.
pub const MAX_BACKGROUND: usize = 256;

pub struct Kept {
    shared: Arc<Shared>,
    /// None between the end of one process and the start of the next.
    pub claude: Option<Claude>,
    started: Instant,
    /// What was started by calls that are over: background servers, which outlive an interrupt.
    spared: HashSet<Identity>,
}

impl Kept {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            claude: None,
            started: Instant::now(),
            spared: HashSet::new(),
        }
    }

    /// The next that comes from the process, if there is one.
    pub async fn hear(&mut self) -> Heard {
        match &mut self.claude {
            Some(claude) => claude.hear().await,
            None => std::future::pending().await,
        }
    }

    /// From now on, what the process's tools have started up to now outlives an interrupt, and the
    /// process itself. Its MCP servers serve nobody but it. What multiplies is ended instead, before nobody
    /// else can begin anything; returns whether there was such.
    pub async fn spare_background(&mut self) -> bool {
        let Some(claude) = &self.claude else {
            return false;
        };
        let session = own_session();
        let is_started_by_tools = |process: &Process| process.session != session;
        let children = &self.shared.children;
        let mut family = children.family(claude.pid, &claude.mark);
        family.retain(is_started_by_tools);
        let is_too_much = family.len() > MAX_BACKGROUND;
        if is_too_much {
            family.clear();
            let killed = children
                .kill_family(claude.pid, &claude.mark, is_started_by_tools)
                .await;
            tracing::warn!(killed, "too many processes were left in the background");
        }
        self.spared = family.iter().map(Process::identity).collect();
        is_too_much
    }

    /// The process has ended without a turn. It is started again, unless it only just was.
    pub async fn ended_idle(&mut self) {
        self.bury().await;
        if self.started.elapsed() > SOON {
            self.restart();
        }
    }

    /// Ends the process and all that it has ever started.
    pub async fn end(&mut self) {
        if let Some(claude) = self.claude.take() {
            let (pid, mark) = (claude.pid, claude.mark.clone());
            let children = &self.shared.children;
            claude.stop(PATIENCE_CLOSE, PATIENCE_STOP, children).await;
            children.kill_family(pid, &mark, |_| true).await;
        }
        self.show_state();
    }

    /// The model that a turn is answered by.
    pub fn model(&self, turn: &Turn) -> String {
        turn.model
            .clone()
            .unwrap_or_else(|| self.shared.setup.model.clone())
    }

    /// Brings up a process that runs as the turn wants it.
    pub async fn prepare(&mut self, turn: &Turn) -> Result<(), Cause> {
        let model = self.model(turn);
        let conversation = self.conversation(&turn.launch);
        let change = match &self.claude {
            Some(claude) if claude.conversation == conversation.id() => {
                change(&claude.start.launch, &claude.running, &turn.launch, &model)
            }
            _ => Change::Restart,
        };
        let switched = match change {
            Change::Restart => false,
            Change::Switch { model: other, mode } => {
                self.until_ready().await?;
                (!other
                    || self
                        .switch_model(&model, turn.launch.fast_model.as_deref())
                        .await)
                    && match mode {
                        Some(mode) => self.switch_mode(mode).await,
                        None => true,
                    }
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
        if let Some(claude) = &mut self.claude {
            claude.rules.clone_from(&turn.rules);
            claude.allow(allow(
                turn.launch.default_tools,
                turn.launch.permission_mode,
                &turn.rules,
            ));
        }
        self.until_ready().await
    }

    /// Switches to another model, and what the aliases stand for with it. False where that was refused
    /// or not answered.
    async fn switch_model(&mut self, model: &str, fast_model: Option<&str>) -> bool {
        let Some(claude) = &mut self.claude else {
            return false;
        };
        // Whoever waits for the answer may stop waiting: then nobody knows what it runs with.
        claude.running.model = None;
        let switched = self.control(to_model(model, fast_model)).await;
        if let Some(claude) = &mut self.claude
            && switched
        {
            claude.running.model = Some(model.to_owned());
        }
        switched
    }

    /// The same for the permission mode.
    async fn switch_mode(&mut self, mode: PermissionMode) -> bool {
        let Some(claude) = &mut self.claude else {
            return false;
        };
        claude.running.mode = None;
        let switched = self.control(to_mode(mode)).await;
        if let Some(claude) = &mut self.claude
            && switched
        {
            claude.running.mode = Some(mode);
        }
        switched
    }

    /// Claude Code's name for the conversation that the process takes part in.
    pub fn conversation_id(&self) -> String {
        let claude = self.claude.as_ref();
        claude.map_or_else(String::new, |claude| claude.conversation.clone())
    }

    /// Adds to a conversation's transcript what it lacks; then it is the one to go on with, by a
    /// process that has read it.
    pub async fn complete(&mut self, transcript: &Transcript) {
        let completed = self.shared.conversations().complete(transcript);
        match completed {
            Ok(false) => {}
            Ok(true) => self.put_down().await,
            // The turn goes on with what there is.
            Err(error) => tracing::warn!(%error, "a transcript could not be completed"),
        }
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
    pub fn restart(&mut self) {
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
            kept: true,
        };
        let allowed = allow(
            start.launch.default_tools,
            start.launch.permission_mode,
            &[],
        );
        let shared = &self.shared;
        let spawned = Claude::spawn(setup, start, &shared.children, &shared.secrets);
        let mut claude = spawned.map_err(|error| {
            Cause::new(
                ProblemKind::SandboxFailed,
                format!("Claude Code could not be started: {error}"),
            )
        })?;
        claude.send_initialize(setup);
        claude.allow(allowed);
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
                    return Some(exit);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE_START, waiting).await {
            Ok(None) => Ok(()),
            Ok(Some(exit)) => {
                self.bury().await;
                Err(Cause::new(
                    ProblemKind::SandboxFailed,
                    format!("Claude Code did not start: {}", exit.0),
                ))
            }
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
    pub async fn sweep(&self) {
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
    pub async fn put_down(&mut self) {
        let Some(claude) = self.claude.take() else {
            return;
        };
        let (pid, mark) = (claude.pid, claude.mark.clone());
        claude.kill(PATIENCE_TERM).await;
        self.clean_up(pid, &mark).await;
    }

    /// The same, where the process is gone already.
    pub async fn bury(&mut self) {
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

    /// Tells the outside what the process does between turns.
    pub fn show_state(&self) {
        let mut process = self.shared.process();
        process.pid = self.claude.as_ref().map(|claude| claude.pid);
        process.state = match &self.claude {
            None => AgentState::Stopped,
            Some(claude) if claude.ready => AgentState::Ready,
            Some(_) => AgentState::Starting,
        };
    }
}

/// The control request that switches to another model, and what the aliases stand for with it.
/// `set_model` would spend a call of the model on the question whether there is one.
pub fn to_model(model: &str, fast_model: Option<&str>) -> Value {
    // An empty variable is as good as none, and one that was set can't be taken away.
    let env: serde_json::Map<String, Value> = aliases(model, fast_model)
        .into_iter()
        .map(|(name, model)| (name.to_owned(), model.unwrap_or_default().into()))
        .collect();
    json!({
        "subtype": "apply_flag_settings",
        "settings": { "model": model, "env": env },
    })
}

/// The control request that switches to another permission mode.
pub fn to_mode(mode: PermissionMode) -> Value {
    json!({ "subtype": "set_permission_mode", "mode": mode })
}
