//! The session's agent: its turns, one at a time, on one kept `claude` process.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::options::Turn;
use protocol::sandbox::{AgentState, Transcript, TurnRequest};
use protocol::{Problem, ProblemKind, SessionId, TurnId};
use tokio::sync::{mpsc, watch};

use crate::conversations::Conversations;
use crate::direct::Slots;
use crate::disk::{self, Disk};
use crate::drive::Driver;
use crate::egress::Egress;
use crate::history::History;
use crate::launch::Setup;
use crate::mask::Secrets;
use crate::processes::Children;
use crate::repository::Repo;
use crate::turn_log::TurnLog;
use crate::watcher::Watcher;

/// Bytes of a token for the model that is one; where there is none, a word stands for it.
const MIN_TOKEN: usize = 16;

/// What the driver is to do.
#[derive(Debug)]
pub enum Job {
    Turn(Box<TurnJob>),
    /// The disk has become ready: the conversation to go on with stands on it now.
    DiskReady,
}

/// A turn that is to run.
#[derive(Debug)]
pub struct TurnJob {
    pub log: Arc<TurnLog>,
    pub turn: Turn,
    /// A person can be asked.
    pub asks: bool,
    /// What the conversation's transcript may lack.
    pub transcript: Option<Transcript>,
    /// Values that nobody may be shown.
    pub secrets: Vec<String>,
}

/// What the parts of the server share.
#[derive(Debug)]
pub struct Shared {
    pub setup: Setup,
    pub children: Arc<Children>,
    conversations: Mutex<Conversations>,
    process: Mutex<ProcessState>,
    pub direct: Slots,
    /// What nobody may be shown.
    pub secrets: Arc<Secrets>,
    pub disk: Disk,
    pub history: History,
    pub repository: Arc<Repo>,
    pub egress: Arc<Egress>,
    pub watcher: Arc<Watcher>,
    /// Set once, when the server stops.
    pub stopping: watch::Sender<bool>,
}

/// The kept process, as the outside sees it.
#[derive(Debug, Clone)]
pub struct ProcessState {
    pub state: AgentState,
    pub pid: Option<u32>,
    /// How many processes have been started.
    pub starts: u64,
    pub version: Option<String>,
    pub conversation: Option<String>,
}

impl Shared {
    pub fn new(setup: Setup, disk: Disk, egress: Arc<Egress>) -> Self {
        let conversations = Conversations::load(&setup.home);
        let secrets = egress.secrets();
        let token = setup.model_token.reveal();
        if token.len() >= MIN_TOKEN {
            secrets.add(&[token.to_owned()]);
        }
        let children: Arc<Children> = Arc::default();
        let history = History::new(&setup.workspace, &setup.home, Arc::clone(&children));
        let repository = Repo::new(&setup.workspace, &setup.home, Arc::clone(&children));
        let watcher = Watcher::new(&setup.workspace, Arc::clone(&secrets));
        Self {
            secrets,
            watcher: Arc::new(watcher),
            setup,
            children,
            history,
            repository: Arc::new(repository),
            conversations: Mutex::new(conversations),
            process: Mutex::new(ProcessState {
                state: AgentState::Starting,
                pid: None,
                starts: 0,
                version: None,
                conversation: None,
            }),
            direct: Slots::default(),
            disk,
            egress,
            stopping: watch::Sender::new(false),
        }
    }

    pub fn conversations(&self) -> MutexGuard<'_, Conversations> {
        self.conversations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub fn process(&self) -> MutexGuard<'_, ProcessState> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where Claude Code keeps what commands print while they run; none before it has said anything.
    pub fn output_folder(&self) -> Option<PathBuf> {
        let conversation = self.process().conversation.clone()?;
        self.conversations().output_folder(&conversation)
    }

    /// Returns when the server stops.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender is this one's own, so it can't be gone.
        let _seen = stopping.wait_for(|stopping| *stopping).await;
    }
}

/// The handle that requests come in by.
#[derive(Debug)]
pub struct Agent {
    pub shared: Arc<Shared>,
    jobs: mpsc::UnboundedSender<Job>,
    turns: Mutex<Turns>,
}

/// The turns whose records are kept: the latest, and the one before it.
#[derive(Debug, Default)]
struct Turns {
    session: Option<SessionId>,
    kept: VecDeque<Arc<TurnLog>>,
}

impl Agent {
    /// Starts the agent; its first process comes up in the background.
    pub fn start(
        setup: Setup,
        disk: Disk,
        session: Option<SessionId>,
        egress: Arc<Egress>,
    ) -> Self {
        let shared = Arc::new(Shared::new(setup, disk, egress));
        let (jobs, queue) = mpsc::unbounded_channel();
        tokio::spawn(Driver::new(Arc::clone(&shared)).run(queue));
        Self {
            shared,
            jobs,
            turns: Mutex::new(Turns {
                session,
                kept: VecDeque::new(),
            }),
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a turn, or finds it where it was started already.
    ///
    /// # Errors
    /// A 409 problem for another session's turn, for a turn before the latest, and before the disk is
    /// ready.
    pub fn begin(&self, request: TurnRequest) -> Result<Arc<TurnLog>, Problem> {
        if !self.shared.disk.is_ready() {
            return Err(disk::not_ready());
        }
        let mut turns = self.turns();
        match &turns.session {
            None => turns.session = Some(request.session_id),
            Some(session) if *session == request.session_id => {}
            Some(_) => {
                return Err(Problem::new(
                    ProblemKind::Conflict,
                    "this sandbox belongs to another session",
                ));
            }
        }
        if let Some(latest) = turns.kept.back() {
            if latest.id == request.turn_id {
                return Ok(Arc::clone(latest));
            }
            if latest.id > request.turn_id {
                return Err(Problem::new(
                    ProblemKind::Conflict,
                    format!("{} is over: {} came after it", request.turn_id, latest.id),
                ));
            }
            latest.interrupt();
        }
        let log = turns.add(request.turn_id);
        let job = Job::Turn(Box::new(TurnJob {
            log: Arc::clone(&log),
            turn: request.turn,
            asks: request.asks,
            transcript: request.transcript,
            secrets: request.secrets,
        }));
        // Where the driver is gone the server stops, and the stream is cut.
        let _stopping = self.jobs.send(job);
        Ok(log)
    }

    /// The disk has become ready.
    pub fn disk_ready(&self) {
        self.shared.conversations().reload();
        let _stopping = self.jobs.send(Job::DiskReady);
    }

    /// A turn whose records are kept.
    pub fn find(&self, id: TurnId) -> Option<Arc<TurnLog>> {
        self.turns().kept.iter().find(|log| log.id == id).cloned()
    }

    /// Whether a turn has run here, or one after it.
    pub fn has_run(&self, id: TurnId) -> bool {
        self.turns()
            .kept
            .back()
            .is_some_and(|latest| latest.id >= id)
    }

    /// Ends a turn; returns when it has ended. One that has not come yet will not start.
    pub async fn interrupt(&self, id: TurnId) {
        let log = {
            let mut turns = self.turns();
            match turns.kept.iter().find(|log| log.id == id) {
                Some(log) => Arc::clone(log),
                None if turns.kept.back().is_none_or(|latest| latest.id < id) => {
                    if let Some(latest) = turns.kept.back() {
                        latest.interrupt();
                    }
                    let log = turns.add(id);
                    log.end_interrupted();
                    log
                }
                None => return,
            }
        };
        log.interrupt();
        log.ended().await;
    }

    /// The turn that runs.
    pub fn running(&self) -> Option<TurnId> {
        let turns = self.turns();
        let running = turns.kept.iter().find(|log| !log.has_ended())?;
        Some(running.id)
    }

    /// Ends everything, and returns when it has ended or `patience` is over.
    pub async fn stop(&self, patience: Duration) {
        self.shared.stopping.send_replace(true);
        let begin = Instant::now();
        while begin.elapsed() < patience && self.shared.process().pid.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Turns {
    fn add(&mut self, id: TurnId) -> Arc<TurnLog> {
        while self.kept.len() > 1 {
            self.kept.pop_front();
        }
        let log = Arc::new(TurnLog::new(id));
        self.kept.push_back(Arc::clone(&log));
        log
    }
}
