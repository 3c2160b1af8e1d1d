//! Many sandboxes on one machine, for a laptop without containers: each is a folder, and a server of
//! its own that runs as long as it is used.
//!
//! | request | answer |
//! | --- | --- |
//! | `PUT /sandboxes/{name}` with a [`Wanted`] | `{"url", "started"}`: its server runs |
//! | `GET /sandboxes/{name}` | `{"name", "state", "url"?, "exit_code"?, "signal"?}` |
//! | `GET /sandboxes` | `{"sandboxes": […]}` |
//! | `DELETE /sandboxes/{name}` | 204 once its server has ended; the folder stays |
//!
//! This separates sessions' files from each other by folder alone: the agents run as this user. It is
//! for one person's machine, and it only listens there.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use protocol::{Problem, ProblemKind, SessionId};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal as on_signal};
use tokio::sync::Mutex;

use crate::http::{Refused, body, only, refuse_browsers, unknown};
use crate::launch::Secret;
use crate::processes::{OWN_PROGRAM, descendants, signal};
use crate::serve::{announce, stdin_closed};

/// Bytes of a request.
const MAX_REQUEST: usize = 64 * 1024;

/// Characters of a sandbox's name.
const MAX_NAME: usize = 160;

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
    /// A sandbox that nobody has used for so many seconds ends
    #[arg(long, env = "AGENT_IDLE_SECONDS", default_value_t = 600)]
    pub idle_seconds: u64,
    /// End when the standard input is closed, as it is when the process that started this one ends
    #[arg(long)]
    pub until_stdin_closes: bool,
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
    /// Held while a server starts or stops, so that no name has two.
    sandboxes: Mutex<HashMap<String, Sandbox>>,
}

struct Sandbox {
    wanted: Wanted,
    url: String,
    child: Child,
    pid: u32,
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
    let token = std::env::var(&options.token_env)
        .ok()
        .filter(|token| token.len() >= 16)
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
        token: Secret::new(token),
        sandboxes: Mutex::default(),
    });
    let app = routes(Arc::clone(&host));
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let url = format!("http://{address}");
    announce(&url);
    tracing::info!(url, "listening");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closed(), if until_stdin_closes => {}
    }
    serving.abort();
    let mut sandboxes = host.sandboxes.lock().await;
    let all = sandboxes.drain().map(|(_, sandbox)| stop(sandbox));
    futures_util::future::join_all(all).await;
    Ok(())
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
        .with_state(host)
}

async fn authorize(State(host): State<Arc<Host>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes)
        .and_then(|value| value.strip_prefix(b"Bearer "))
        .unwrap_or_default();
    if bool::from(given.ct_eq(host.token.reveal().as_bytes())) {
        return next.run(request).await;
    }
    let problem = Problem::new(
        ProblemKind::Unauthenticated,
        "the request needs this host's token: Authorization: Bearer …",
    );
    let challenge = HeaderValue::from_static("Bearer");
    ([(header::WWW_AUTHENTICATE, challenge)], Refused(problem)).into_response()
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
    let mut sandboxes = host.sandboxes.lock().await;
    if let Some(sandbox) = sandboxes.get_mut(&name)
        && sandbox.is_running()
        && sandbox.wanted == wanted
    {
        return Ok(axum::Json(json!({ "url": sandbox.url, "started": false })).into_response());
    }
    if let Some(other) = sandboxes.remove(&name) {
        stop(other).await;
    }
    let sandbox = start(&host.options, &name, wanted).await.map_err(|error| {
        tracing::error!(name, %error, "a sandbox did not start");
        Problem::new(
            ProblemKind::SandboxFailed,
            format!("the sandbox's server did not start: {error}"),
        )
    })?;
    let answer = json!({ "url": sandbox.url, "started": true });
    sandboxes.insert(name, sandbox);
    Ok(axum::Json(answer).into_response())
}

async fn show(
    State(host): State<Arc<Host>>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let mut sandboxes = host.sandboxes.lock().await;
    let sandbox = sandboxes.get_mut(&name).ok_or_else(|| none(&name))?;
    Ok(axum::Json(sandbox.state(&name)).into_response())
}

async fn list(State(host): State<Arc<Host>>) -> Response {
    let mut sandboxes = host.sandboxes.lock().await;
    let all: Vec<Value> = sandboxes
        .iter_mut()
        .map(|(name, sandbox)| sandbox.state(name))
        .collect();
    axum::Json(json!({ "sandboxes": all })).into_response()
}

async fn remove(
    State(host): State<Arc<Host>>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let mut sandboxes = host.sandboxes.lock().await;
    let sandbox = sandboxes.remove(&name).ok_or_else(|| none(&name))?;
    stop(sandbox).await;
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
    fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_none()
    }

    fn state(&mut self, name: &str) -> Value {
        self.is_running();
        match self.ended {
            None => json!({ "name": name, "state": "running", "url": self.url }),
            Some(status) => json!({
                "name": name,
                "state": "ended",
                "exit_code": status.code(),
                "signal": status.signal(),
            }),
        }
    }
}

async fn start(options: &Options, name: &str, wanted: Wanted) -> io::Result<Sandbox> {
    let folder = options.data.join(name);
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(OWN_PROGRAM);
    command
        .arg0("agent-server")
        .args(["serve", "--listen=127.0.0.1:0", "--until-stdin-closes"])
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
    let mut child = command.spawn()?;
    let pid = child.id().unwrap_or_default();
    let url = tokio::time::timeout(PATIENCE_START, address(&mut child))
        .await
        .map_err(|_| io::Error::other("it did not say where it listens"))??;
    Ok(Sandbox {
        wanted,
        url,
        pid,
        _lifeline: child.stdin.take(),
        child,
        ended: None,
    })
}

/// The address that a server prints when it listens.
async fn address(child: &mut Child) -> io::Result<String> {
    let silent = || io::Error::other("it ended, or did not say where it listens");
    let stdout = child.stdout.take().ok_or_else(silent)?;
    let mut line = String::new();
    BufReader::new(stdout.take(1000))
        .read_line(&mut line)
        .await?;
    let said: Value = serde_json::from_str(&line).map_err(|_| silent())?;
    let url = said.get("url").and_then(Value::as_str);
    url.map(str::to_owned).ok_or_else(silent)
}

/// Ends a sandbox's server, and all that it has started.
async fn stop(mut sandbox: Sandbox) {
    if !sandbox.is_running() {
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
