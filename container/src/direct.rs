//! Requests beside the session: each has a `claude` process of its own, which ends with the request.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use protocol::options::Turn;
use protocol::{Problem, ProblemKind, SessionId};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::agent::Shared;
use crate::claude::{Claude, Heard, MAX_LINE};
use crate::conversations::{fresh_uuid, random};
use crate::launch::{Conversation, Start};
use crate::translate::Cause;
use crate::wire::{Kind, TurnResult};
use crate::workspace;

/// Requests at once. Each is a process of 200 to 300 MB.
const MAX_AT_ONCE: usize = 4;

/// Characters of a request's id.
const MAX_REQUEST_ID: usize = 64;

/// Lines that wait for their reader; then Claude Code waits.
const WAITING: usize = 64;

/// How long a request waits for one before it to be over.
const PATIENCE_SLOT: Duration = Duration::from_secs(3);

/// How long a process has to end by itself after its result, and then after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(1);

/// What limits direct requests.
#[derive(Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    /// Session ids whose conversation a process writes at the moment.
    busy: Mutex<HashSet<String>>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            busy: Mutex::default(),
        }
    }
}

/// The right to run; given back when it is dropped.
struct Slot {
    shared: Arc<Shared>,
    session: Option<String>,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Waits a moment for one to become free: a process ends a little after its answer.
    async fn take(shared: &Arc<Shared>, session: Option<String>) -> Result<Self, Problem> {
        let slots = &shared.direct;
        let deadline = Instant::now() + PATIENCE_SLOT;
        let free = Arc::clone(&slots.free).acquire_owned();
        let permit = tokio::time::timeout_at(deadline, free)
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| {
                Problem::new(
                    ProblemKind::NoCapacity,
                    format!(
                        "{MAX_AT_ONCE} requests run here already; try again when one has ended"
                    ),
                )
            })?;
        while !slots.claim(session.as_ref()) {
            if Instant::now() >= deadline {
                return Err(Problem::new(
                    ProblemKind::Conflict,
                    "a request with this sessionId runs already; two can't continue one conversation",
                )
                .at("sessionId"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self {
            shared: Arc::clone(shared),
            session,
            _permit: permit,
        })
    }
}

impl Slots {
    /// Takes the session's conversation, unless somebody has it.
    fn claim(&self, session: Option<&String>) -> bool {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        session.is_none_or(|session| busy.insert(session.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            let busy = &self.shared.direct.busy;
            busy.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(session);
        }
    }
}

/// The name of a request, by which its caller finds it in logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// # Errors
    /// A 400 problem where it is not 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if text.is_empty() || text.len() > MAX_REQUEST_ID || !text.bytes().all(allowed) {
            return Err(Problem::bad_request(format!(
                "request_id is 1 to {MAX_REQUEST_ID} of the characters A-Z a-z 0-9 _ -"
            ))
            .at("request_id"));
        }
        Ok(Self(text.to_owned()))
    }

    fn random() -> Self {
        let digits = random()
            .iter()
            .take(12)
            .fold(String::new(), |digits, byte| {
                digits + &format!("{byte:02x}")
            });
        Self(format!("req_{digits}"))
    }
}

/// A request that runs. Dropping it ends its process.
#[derive(Debug)]
pub struct Direct {
    lines: mpsc::Receiver<Out>,
    session: Option<String>,
    model_host: String,
}

#[derive(Debug)]
enum Out {
    Line(Bytes),
    /// The last line, and what it says.
    Result(Bytes, Box<TurnResult>),
}

/// Starts a request. `session` is the caller's name for a conversation to continue.
///
/// # Errors
/// A problem where it can't be started: too many at once, a bad folder, no Claude Code.
pub async fn begin(
    shared: &Arc<Shared>,
    turn: Turn,
    session: Option<String>,
) -> Result<Direct, Problem> {
    if let Some(session) = &session {
        SessionId::parse(session)?;
    }
    let slot = Slot::take(shared, session.clone()).await?;
    let setup = &shared.setup;
    let launch = turn.launch;
    let conversation = match (&launch.resume_session_id, &session) {
        (Some(id), _) => Conversation::Resume(id.clone()),
        (None, Some(session)) if launch.continue_session => shared.conversations().direct(session),
        _ => Conversation::New(fresh_uuid()),
    };
    let start = Start {
        cwd: workspace::folder(&setup.workspace, &launch.cwd)?,
        add_dir: launch
            .add_dir
            .iter()
            .map(|path| workspace::folder(&setup.workspace, path))
            .collect::<Result<_, _>>()?,
        model: turn.model.unwrap_or_else(|| setup.model.clone()),
        launch,
        conversation,
        kept: false,
    };
    let spawned = Claude::spawn(setup, start, &shared.children, &shared.secrets);
    let claude = spawned.map_err(|error| {
        Problem::new(
            ProblemKind::SandboxFailed,
            format!("Claude Code could not be started: {error}"),
        )
    })?;
    claude.send_initialize(setup);
    claude.send_prompt(None, &turn.prompt);
    let (to_lines, lines) = mpsc::channel(WAITING);
    tokio::spawn(drive(claude, slot, to_lines));
    Ok(Direct {
        lines,
        session,
        model_host: setup.model_host().to_owned(),
    })
}

async fn drive(mut claude: Claude, slot: Slot, lines: mpsc::Sender<Out>) {
    let shared = Arc::clone(&slot.shared);
    let (pid, mark) = (claude.pid, claude.mark.clone());
    let completed = tokio::select! {
        biased;
        () = lines.closed() => false,
        () = shared.stopped() => false,
        completed = listen(&mut claude, &slot, &lines) => completed,
    };
    if completed {
        claude.stop(PATIENCE, PATIENCE, &shared.children).await;
    } else {
        claude.kill(PATIENCE).await;
    }
    // What its tools have put into the background belongs to the request too.
    shared.children.kill_family(pid, &mark, |_| true).await;
}

/// Hands on its lines. True where it has given its result.
async fn listen(claude: &mut Claude, slot: &Slot, lines: &mpsc::Sender<Out>) -> bool {
    loop {
        let out = match claude.hear().await {
            Heard::Gone(exit) => {
                let cause = format!("Claude Code ended without a result ({})", exit.0);
                // Where the reader is gone, nobody misses it.
                let _gone = lines.send(synthetic(&claude.conversation, cause)).await;
                return false;
            }
            Heard::TooLong(bytes) => Out::Line(line(&json!({
                "type": "system",
                "subtype": "informational",
                "content": format!("a line of {bytes} bytes was left out; {MAX_LINE} are read"),
                "session_id": claude.conversation,
            }))),
            Heard::Message(mut message) => {
                slot.shared.secrets.mask().raw(&mut message.raw);
                let mut bytes = Vec::with_capacity(message.raw.get().len() + 1);
                bytes.extend_from_slice(message.raw.get().as_bytes());
                bytes.push(b'\n');
                match message.kind {
                    Kind::ControlRequest(_) | Kind::ControlResponse(_) => continue,
                    Kind::Result(result) => Out::Result(bytes.into(), result),
                    Kind::Init(init) => {
                        if let Some(session) = &slot.session {
                            let mut conversations = slot.shared.conversations();
                            conversations.set_direct(session, &init.session_id);
                        }
                        Out::Line(bytes.into())
                    }
                    _ => Out::Line(bytes.into()),
                }
            }
        };
        let last = matches!(out, Out::Result(..));
        if lines.send(out).await.is_err() {
            return false;
        }
        if last {
            return true;
        }
    }
}

/// A result in Claude Code's form, where it gave none.
fn synthetic(conversation: &str, cause: String) -> Out {
    let bytes = line(&json!({
        "type": "result",
        "subtype": "error_during_execution",
        "is_error": true,
        "result": cause,
        "session_id": conversation,
    }));
    let result = TurnResult {
        is_error: true,
        result: Some(cause),
        ..TurnResult::default()
    };
    Out::Result(bytes, Box::new(result))
}

fn line(value: &Value) -> Bytes {
    format!("{value}\n").into()
}

impl Direct {
    /// Claude Code's messages as they come, each a line. The last is a `result`.
    pub fn lines(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(Some(self), |running| async move {
            let mut running = running?;
            match running.lines.recv().await {
                Some(Out::Line(line)) => Some((line, Some(running))),
                Some(Out::Result(line, _)) => Some((line, None)),
                // The server stops.
                None => match synthetic("", "The sandbox was stopped".to_owned()) {
                    Out::Line(line) | Out::Result(line, _) => Some((line, None)),
                },
            }
        })
    }

    /// The answer in one piece, under this id or a random one.
    ///
    /// # Errors
    /// A 502 problem with the cause.
    pub async fn summary(mut self, request_id: Option<RequestId>) -> Result<Value, Problem> {
        let result = loop {
            match self.lines.recv().await {
                Some(Out::Line(_)) => {}
                Some(Out::Result(_, result)) => break result,
                None => {
                    return Err(Problem::new(
                        ProblemKind::SandboxFailed,
                        "The sandbox was stopped",
                    ));
                }
            }
        };
        if let Some(Cause { code, content }) = result.cause(&self.model_host) {
            let kind = match code.as_str() {
                "sandbox_failed" => ProblemKind::SandboxFailed,
                _ => ProblemKind::ModelFailed,
            };
            return Err(Problem::new(kind, content));
        }
        Ok(json!({
            "type": "result",
            "result": result.result.unwrap_or_default(),
            "sessionId": self.session.or(result.session_id),
            "requestId": request_id.unwrap_or_else(RequestId::random).0,
            "cost_usd": result.total_cost_usd,
            "duration_ms": result.duration_ms,
        }))
    }
}
