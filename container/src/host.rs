//! Many sandboxes on one machine, for a laptop without containers: each is a folder, and a server of
//! its own that runs as long as it is used.
//!
//! | request | answer |
//! | --- | --- |
//! | `PUT /sandboxes/{name}` with a [`Wanted`] | `{"url", "server_token", "started"}`: its server answers |
//! | `GET /sandboxes/{name}` | `{"name", "state", "url", "server_token"}` where it runs, else `{"name", "state", "end"}` |
//! | `GET /sandboxes` | `{"sandboxes": […]}`, the same of each, without tokens |
//! | `DELETE /sandboxes/{name}` | 204 once its server has ended; the folder stays, unless `?files=true` |
//!
//! `state` is `running`, `ended`, or, in the list, `changing` while it starts or stops. `server_token`
//! is what the server wants as `Authorization: Bearer …`; `end` says in words how it ended.
//!
//! This separates sessions' files from each other by folder alone: the agents run as this user. It is
//! for one person's machine, and it only listens there.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use protocol::{Problem, ProblemKind, SessionId};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, Take};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal as on_signal};
use tokio::sync::Mutex;

use crate::guard::{carries_token, no_token, refuse_browsers, refuse_foreign_names};
use crate::http::{Refused, body, only, unknown};
use crate::launch::Secret;
use crate::processes::{Children, OWN_PROGRAM, descendants, has_ended, signal};
use crate::serve::{End, Ending, bury_orphans, say, stdin_closed};
use crate::token::TOKEN_FROM_STDIN;

/// Bytes of a request.
const MAX_REQUEST: usize = 64 * 1024;

/// Bytes that a server may say on its standard output.
const MAX_SAID: u64 = 4096;

/// Characters of a sandbox's name.
const MAX_NAME: usize = 160;

/// How long a server may take to say that it is there.
const PATIENCE_ANSWER: Duration = Duration::from_secs(2);

/// How an answer begins that is one.
const OK: &[u8; 12] = b"HTTP/1.1 200";

/// How long a server may take until it listens.
const PATIENCE_START: Duration = Duration::from_secs(20);

/// How long a server has to end. It takes five seconds itself.
const PATIENCE_STOP: Duration = Duration::from_secs(7);

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to listen; only on this machine
    #[arg(long, env = "AGENT_HOST_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// The folder with the sandboxes, each with its workspace and its home
    #[arg(long, env = "AGENT_HOST_DATA")]
    pub data: PathBuf,
    /// The Claude Code binary
    #[arg(long, env = "AGENT_CLAUDE", default_value = "/opt/claude/claude")]
    pub claude: PathBuf,
    /// The variable that holds the token which every request must carry (Authorization: Bearer …)
    #[arg(long, default_value = "AGENT_HOST_TOKEN")]
    pub token_env: String,
    /// The token is the first line of the standard input
    #[arg(long)]
    pub token_from_stdin: bool,
    #[arg(skip)]
    token: Option<Secret>,
    /// A sandbox that nobody has used for so many seconds ends
    #[arg(long, env = "AGENT_IDLE_SECONDS", default_value_t = 600)]
    pub idle_seconds: u64,
    /// End when the standard input is closed, as it is when the process that started this one ends
    #[arg(long)]
    pub until_stdin_closes: bool,
}

impl Options {
    /// Takes the host's token, see [`crate::token::take`].
    ///
    /// # Errors
    /// Those of [`crate::token::take`].
    pub fn take_token(&mut self) -> io::Result<()> {
        let (from_stdin, needed) = (self.token_from_stdin, self.until_stdin_closes);
        self.token = crate::token::take(&self.token_env, from_stdin, needed)?;
        Ok(())
    }
}

/// What a sandbox is wanted for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Wanted {
    pub session_id: SessionId,
    pub model_url: String,
    model_token: Token,
    /// More variables for its server, `AGENT_…` alone.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// A secret from JSON.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

struct Host {
    options: Options,
    token: Secret,
    sandboxes: std::sync::Mutex<HashMap<String, Slot>>,
    /// Their servers, and what falls to this process when one of them dies.
    children: Arc<Children>,
}

/// A name's place, held while its server starts or stops, so that no name has two.
type Slot = Arc<Mutex<Option<Sandbox>>>;

struct Sandbox {
    wanted: Wanted,
    url: String,
    token: Secret,
    child: Child,
    pid: u32,
    /// What its server said when it began to end.
    last_word: Arc<OnceLock<End>>,
    /// Its server ends when this is closed, however this process ends.
    _lifeline: Option<ChildStdin>,
    ended: Option<ExitStatus>,
}

/// Offers sandboxes until it is told to end, and ends them all then. Prints its address as a line of
/// JSON, `{"url":"http://…"}`, as soon as it listens.
///
/// # Errors
/// Where it can't listen, would listen for other machines, or has no token.
pub async fn host(options: Options) -> io::Result<()> {
    let mut terminate = on_signal(SignalKind::terminate())?;
    let mut interrupt = on_signal(SignalKind::interrupt())?;
    let child_ended = on_signal(SignalKind::child())?;
    let token = options.token.clone();
    let token = token
        .filter(|token| token.reveal().len() >= 16)
        .ok_or_else(|| {
            io::Error::other(format!(
                "{} must hold a token of at least 16 characters: whoever has it runs programs here",
                options.token_env
            ))
        })?;
    let listener = TcpListener::bind(&options.listen).await?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(io::Error::other(format!(
            "{address} can be reached from other machines; listen on 127.0.0.1"
        )));
    }
    std::fs::create_dir_all(&options.data)?;
    let until_stdin_closes = options.until_stdin_closes;
    let host = Arc::new(Host {
        options,
        token,
        sandboxes: std::sync::Mutex::default(),
        children: Arc::default(),
    });
    Children::adopt_orphans();
    tokio::spawn(bury_orphans(Arc::clone(&host.children), child_ended));
    let app = routes(Arc::clone(&host));
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let url = format!("http://{address}");
    say(&json!({ "url": url }));
    tracing::info!(url, "listening");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closed(), if until_stdin_closes => {}
    }
    serving.abort();
    let children = &host.children;
    let all = host.slots().into_iter().map(|(_, slot)| async move {
        if let Some(sandbox) = slot.lock().await.take() {
            stop(sandbox, children).await;
        }
    });
    futures_util::future::join_all(all).await;
    Ok(())
}

impl Host {
    fn sandboxes(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> Vec<(String, Slot)> {
        let sandboxes = self.sandboxes();
        let slots = sandboxes.iter();
        slots
            .map(|(name, slot)| (name.clone(), Arc::clone(slot)))
            .collect()
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        self.sandboxes().get(name).cloned()
    }

    /// Gives up a name's place that is empty, unless somebody else is about to use it.
    fn forget_empty(&self, name: &str, slot: Slot) {
        let mut sandboxes = self.sandboxes();
        // Dropped before the map is unlocked, so that the next to count does not count it.
        let slot = slot;
        let empty = slot.try_lock().is_ok_and(|sandbox| sandbox.is_none());
        // The map's and this one: whoever else wants it must come by the map, which is locked.
        if empty && Arc::strong_count(&slot) <= 2 {
            sandboxes.remove(name);
        }
    }
}

fn routes(host: Arc<Host>) -> Router {
    Router::new()
        .route("/sandboxes", only(on(MethodFilter::GET, list), "GET, HEAD"))
        .route(
            "/sandboxes/{name}",
            only(
                on(MethodFilter::GET, show)
                    .on(MethodFilter::PUT, ensure)
                    .on(MethodFilter::DELETE, remove),
                "GET, HEAD, PUT, DELETE",
            ),
        )
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&host), authorize))
        .layer(middleware::from_fn(refuse_browsers))
        .layer(middleware::from_fn(refuse_foreign_names))
        .with_state(host)
}

async fn authorize(State(host): State<Arc<Host>>, request: Request, next: Next) -> Response {
    if carries_token(request.headers(), &host.token) {
        return next.run(request).await;
    }
    no_token("the request needs this host's token: Authorization: Bearer …")
}

/// A folder's name, and nothing else.
fn checked(name: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty()
        || name.len() > MAX_NAME
        || !name.bytes().all(allowed)
        || name.bytes().all(|byte| byte == b'.')
    {
        return Err(Problem::bad_request(format!(
            "a sandbox's name is 1 to {MAX_NAME} of the characters A-Z a-z 0-9 . _ - and not only dots"
        ))
        .at("name"));
    }
    Ok(())
}

fn wanted(bytes: &[u8]) -> Result<Wanted, Problem> {
    let wanted: Wanted = serde_json::from_slice(bytes)
        .map_err(|error| Problem::bad_request(format!("not what is expected here: {error}")))?;
    if !wanted.model_url.starts_with("http://") && !wanted.model_url.starts_with("https://") {
        return Err(Problem::bad_request("model_url must be an http address").at("model_url"));
    }
    for (name, value) in &wanted.env {
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if !name.starts_with("AGENT_") || !name.bytes().all(plain) || value.contains('\0') {
            return Err(Problem::bad_request(
                "env may hold variables of the agent-server alone, which begin with AGENT_",
            )
            .at("env"));
        }
    }
    Ok(wanted)
}

async fn ensure(
    State(host): State<Arc<Host>>,
    Path(name): Path<String>,
    request: Body,
) -> Result<Response, Refused> {
    checked(&name)?;
    let wanted = wanted(&body(request, MAX_REQUEST).await?)?;
    let slot = Arc::clone(host.sandboxes().entry(name.clone()).or_default());
    let mut place = slot.lock().await;
    let answer = ensure_in(&mut place, &host, &name, wanted).await;
    drop(place);
    host.forget_empty(&name, slot);
    Ok(axum::Json(answer?).into_response())
}

async fn ensure_in(
    place: &mut Option<Sandbox>,
    host: &Host,
    name: &str,
    wanted: Wanted,
) -> Result<Value, Problem> {
    if let Some(sandbox) = place
        && sandbox.is_running()
        && sandbox.wanted == wanted
        && answers(&sandbox.url).await
    {
        return Ok(sandbox.started(false));
    }
    if let Some(other) = place.take() {
        stop(other, &host.children).await;
    }
    let sandbox = start(host, name, wanted).await.map_err(|error| {
        tracing::error!(name, %error, "a sandbox did not start");
        Problem::new(
            ProblemKind::SandboxFailed,
            format!("the sandbox's server did not start: {error}"),
        )
    })?;
    Ok(place.insert(sandbox).started(true))
}

async fn show(
    State(host): State<Arc<Host>>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let slot = host.slot(&name).ok_or_else(|| none(&name))?;
    let mut place = slot.lock().await;
    let sandbox = place.as_mut().ok_or_else(|| none(&name))?;
    let mut state = sandbox.state(&name, host.options.idle_seconds);
    if let Some(members) = state.as_object_mut()
        && members.contains_key("url")
    {
        members.insert("server_token".to_owned(), sandbox.token.reveal().into());
    }
    Ok(axum::Json(state).into_response())
}

async fn list(State(host): State<Arc<Host>>) -> Response {
    let mut all = Vec::new();
    for (name, slot) in host.slots() {
        match slot.try_lock().as_deref_mut() {
            Ok(Some(sandbox)) => all.push(sandbox.state(&name, host.options.idle_seconds)),
            Ok(None) => {}
            Err(_) => all.push(json!({ "name": name, "state": "changing" })),
        }
    }
    axum::Json(json!({ "sandboxes": all })).into_response()
}

#[derive(Deserialize)]
struct Remove {
    /// The folder goes as well.
    #[serde(default)]
    files: bool,
}

async fn remove(
    State(host): State<Arc<Host>>,
    Path(name): Path<String>,
    Query(Remove { files }): Query<Remove>,
) -> Result<Response, Refused> {
    checked(&name)?;
    let slot = Arc::clone(host.sandboxes().entry(name.clone()).or_default());
    let mut place = slot.lock().await;
    let sandbox = place.take();
    let mut existed = sandbox.is_some();
    if let Some(sandbox) = sandbox {
        stop(sandbox, &host.children).await;
    }
    if files {
        match tokio::fs::remove_dir_all(host.options.data.join(&name)).await {
            Ok(()) => existed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let words = format!("the files of {name} could not be deleted: {error}");
                return Err(Problem::new(ProblemKind::SandboxFailed, words).into());
            }
        }
    }
    drop(place);
    host.forget_empty(&name, slot);
    if !existed {
        return Err(none(&name).into());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn none(name: &str) -> Problem {
    let name: String = name.chars().take(MAX_NAME).collect();
    Problem::new(
        ProblemKind::NotFound,
        format!("there is no sandbox {name:?}"),
    )
}

impl Sandbox {
    /// Whether its server runs and has not begun to end.
    fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_none() && self.last_word.get().is_none()
    }

    fn started(&self, started: bool) -> Value {
        json!({ "url": self.url, "server_token": self.token.reveal(), "started": started })
    }

    fn state(&mut self, name: &str, idle_seconds: u64) -> Value {
        if self.is_running() {
            return json!({ "name": name, "state": "running", "url": self.url });
        }
        let end = end_in_words(self.last_word.get(), self.ended, idle_seconds);
        json!({ "name": name, "state": "ended", "end": end })
    }
}

/// How a server ended, as the end of the sentence "The sandbox stopped: …".
fn end_in_words(last_word: Option<&End>, status: Option<ExitStatus>, idle_seconds: u64) -> String {
    if let Some(signal) = status.and_then(|status| status.signal()) {
        return format!("it was killed (signal {signal})");
    }
    match (last_word, status.and_then(|status| status.code())) {
        (_, Some(code @ 1..)) => format!("it ended with exit code {code}"),
        (Some(End::Unused), _) => format!("it had not been used for {}", in_words(idle_seconds)),
        _ => "it was told to stop".to_owned(),
    }
}

fn in_words(seconds: u64) -> String {
    let (count, unit) = match seconds {
        60.. if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// Whether a server says that it is there.
async fn answers(url: &str) -> bool {
    let ask = async {
        let address = url.strip_prefix("http://")?;
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut status = [0; OK.len()];
        stream.read_exact(&mut status).await.ok()?;
        Some(status == *OK)
    };
    let answer = tokio::time::timeout(PATIENCE_ANSWER, ask).await;
    answer.ok().flatten().unwrap_or(false)
}

async fn start(host: &Host, name: &str, wanted: Wanted) -> io::Result<Sandbox> {
    let options = &host.options;
    let folder = options.data.join(name);
    std::fs::create_dir_all(&folder)?;
    let token = Secret::random()?;
    let mut command = Command::new(OWN_PROGRAM);
    command
        .arg0("agent-server")
        .args(["serve", "--listen=127.0.0.1:0", "--until-stdin-closes"])
        .arg(TOKEN_FROM_STDIN)
        .env_clear()
        .envs(&wanted.env)
        .env("AGENT_WORKSPACE", folder.join("workspace"))
        .env("AGENT_HOME", folder.join("home"))
        .env("AGENT_CLAUDE", &options.claude)
        .env("AGENT_SESSION_ID", wanted.session_id.as_str())
        .env("AGENT_MODEL_URL", &wanted.model_url)
        .env("AGENT_MODEL_TOKEN", &wanted.model_token.0)
        .env("AGENT_IDLE_SECONDS", options.idle_seconds.to_string())
        // A Ctrl-C in a terminal is for this process, which ends its children in order.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    for name in ["PATH", "TMPDIR", "AGENT_LOG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut child = host.children.spawn(&mut command)?;
    let pid = child.id().unwrap_or_default();
    let mut lifeline = child.stdin.take();
    if let Some(stdin) = &mut lifeline {
        stdin
            .write_all(format!("{}\n", token.reveal()).as_bytes())
            .await?;
    }
    let mut said = Said::of(&mut child)?;
    let url = tokio::time::timeout(PATIENCE_START, said.address())
        .await
        .map_err(|_| io::Error::other("it did not say where it listens"))??;
    let last_word = Arc::new(OnceLock::new());
    let (heard, children) = (Arc::clone(&last_word), Arc::clone(&host.children));
    tokio::spawn(async move {
        said.until_the_last_word(heard).await;
        // Where it was killed, it could end nothing of what it had started.
        has_ended(pid).await;
        children.kill_orphans().await;
    });
    Ok(Sandbox {
        wanted,
        url,
        token,
        pid,
        last_word,
        _lifeline: lifeline,
        child,
        ended: None,
    })
}

/// What a server says on its standard output: where it listens, and when it begins to end.
struct Said(Lines<BufReader<Take<ChildStdout>>>);

impl Said {
    fn of(child: &mut Child) -> io::Result<Self> {
        let stdout = child.stdout.take();
        let stdout = stdout.ok_or_else(|| io::Error::other("no pipe"))?;
        Ok(Self(BufReader::new(stdout.take(MAX_SAID)).lines()))
    }

    async fn address(&mut self) -> io::Result<String> {
        let silent = || io::Error::other("it ended, or did not say where it listens");
        let line = self.0.next_line().await?.ok_or_else(silent)?;
        let said: Value = serde_json::from_str(&line).map_err(|_| silent())?;
        let url = said.get("url").and_then(Value::as_str);
        url.map(str::to_owned).ok_or_else(silent)
    }

    async fn until_the_last_word(mut self, last_word: Arc<OnceLock<End>>) {
        while let Ok(Some(line)) = self.0.next_line().await {
            if let Ok(Ending { ending }) = serde_json::from_str(&line) {
                // The first is the one.
                let _said = last_word.set(ending);
            }
        }
    }
}

/// Ends a sandbox's server, and all that it has started.
async fn stop(mut sandbox: Sandbox, children: &Children) {
    end(&mut sandbox).await;
    children.forget(sandbox.pid);
    children.kill_orphans().await;
}

async fn end(sandbox: &mut Sandbox) {
    if let Ok(Some(_)) = sandbox.child.try_wait() {
        return;
    }
    signal(sandbox.pid, Signal::TERM);
    if tokio::time::timeout(PATIENCE_STOP, sandbox.child.wait())
        .await
        .is_ok()
    {
        return;
    }
    let family = descendants(sandbox.pid);
    signal(sandbox.pid, Signal::KILL);
    for process in family {
        signal(process.pid, Signal::KILL);
    }
    // Killed: it ends.
    let _ended = tokio::time::timeout(PATIENCE_STOP, sandbox.child.wait()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folders_names() {
        for good in ["a", "claude-session-x.y_Z", "..a", &"n".repeat(160)] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"n".repeat(161)] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_is_told_in_words() {
        let words = |last_word: Option<End>, raw, idle_seconds| {
            let status = Some(ExitStatus::from_raw(raw));
            end_in_words(last_word.as_ref(), status, idle_seconds)
        };
        assert_eq!(words(None, 9, 600), "it was killed (signal 9)");
        assert_eq!(words(None, 3 << 8, 600), "it ended with exit code 3");
        let unused = "it had not been used for 10 minutes";
        assert_eq!(words(Some(End::Unused), 0, 600), unused);
        assert_eq!(end_in_words(Some(&End::Unused), None, 600), unused);
        assert!(words(Some(End::Unused), 0, 60).ends_with(" 1 minute"));
        assert!(words(Some(End::Unused), 0, 90).ends_with(" 90 seconds"));
        assert_eq!(words(Some(End::Told), 0, 600), "it was told to stop");
        assert_eq!(words(None, 0, 600), "it was told to stop");
    }

    #[test]
    fn what_is_wanted_is_checked() {
        let with = |member: &str| {
            wanted(
                format!(
                    r#"{{"session_id":"s","model_url":"http://127.0.0.1:1","model_token":"hunter2",{member}}}"#
                )
                .as_bytes(),
            )
        };
        let good = with(r#""env":{"AGENT_MODEL":"m"}"#).unwrap();
        assert!(!format!("{good:?}").contains("hunter2"));
        assert!(with(r#""env":{"LD_PRELOAD":"x"}"#).is_err());
        assert!(with(r#""env":{"AGENT_X=":"x"}"#).is_err());
        assert!(with(r#""env":{}"#).is_ok());
        assert!(wanted(b"{}").is_err());
    }
}
