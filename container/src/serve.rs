//! One sandbox's server, from its listener to its end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use protocol::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::Agent;
use crate::disk::Disk;
use crate::egress::{Egress, authorities, variables};
use crate::files::Files;
use crate::http::{Server, routes};
use crate::launch::{Secret, Setup};
use crate::processes::Children;

/// How long the agent has to end when the server is told to.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked whether anybody still uses the server.
const LOOK: Duration = Duration::from_secs(1);

/// What the server is started with.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to listen, such as 127.0.0.1:0 for a free port of this machine
    #[arg(long, env = "AGENT_LISTEN", default_value = "0.0.0.0:3000")]
    pub listen: String,
    /// The folder that the agent works in; made where it is missing
    #[arg(long, env = "AGENT_WORKSPACE", default_value = "/workspace")]
    pub workspace: PathBuf,
    /// The agent's home, with its conversations; made where it is missing
    #[arg(long, env = "AGENT_HOME", default_value = "/home/agent")]
    pub home: PathBuf,
    /// The Claude Code binary
    #[arg(long, env = "AGENT_CLAUDE", default_value = "/opt/claude/claude")]
    pub claude: PathBuf,
    /// The session that this sandbox belongs to; the first turn's, where it is not said
    #[arg(long, env = "AGENT_SESSION_ID", value_parser = session_id)]
    pub session_id: Option<SessionId>,
    /// The Messages API that the agent calls, without /v1
    #[arg(
        long,
        env = "AGENT_MODEL_URL",
        default_value = "http://router.internal"
    )]
    pub model_url: String,
    /// Wait on a new disk until it is said what to restore onto it, or that there is nothing
    #[arg(long, env = "AGENT_AWAIT_RESTORE")]
    pub await_restore: bool,
    /// The token for it. Only by AGENT_MODEL_TOKEN: arguments are seen by every process
    #[arg(skip = model_token())]
    pub model_token: Secret,
    /// What requests other than GET / must carry (Authorization: Bearer …), where it is set. Only by
    /// AGENT_SERVER_TOKEN, or --token-from-stdin
    #[arg(skip)]
    pub server_token: Option<Secret>,
    /// The token is the first line of the standard input
    #[arg(long)]
    pub token_from_stdin: bool,
    /// The model of turns that name none
    #[arg(long, env = "AGENT_MODEL", default_value = "groq/openai/gpt-oss-120b")]
    pub model: String,
    /// How often a failed call of the model is tried again
    #[arg(long, env = "AGENT_MAX_RETRIES", default_value_t = 2)]
    pub max_retries: u32,
    /// Milliseconds that a call of the model may take
    #[arg(long, env = "AGENT_API_TIMEOUT_MS", default_value_t = 600_000)]
    pub api_timeout_ms: u64,
    /// What leaves the sandbox goes through this proxy, host:port: its gate's
    #[arg(long, env = "AGENT_EGRESS_VIA")]
    pub egress_via: Option<String>,
    /// End after so many seconds without a turn or a request other than GET / and GET /debug
    #[arg(long, env = "AGENT_IDLE_SECONDS")]
    pub idle_seconds: Option<u64>,
    /// End when the standard input is closed, as it is when the process that started this one ends
    #[arg(long)]
    pub until_stdin_closes: bool,
}

fn session_id(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).map_err(|problem| problem.detail)
}

fn model_token() -> Secret {
    // Claude Code wants a token where a router wants none.
    Secret::new(std::env::var("AGENT_MODEL_TOKEN").unwrap_or_else(|_| "unused".to_owned()))
}

/// The variable with the token that requests must carry.
const SERVER_TOKEN: &str = "AGENT_SERVER_TOKEN";

impl Options {
    /// Takes the server's token, see [`crate::token::take`].
    ///
    /// # Errors
    /// Those of [`crate::token::take`].
    pub fn take_token(&mut self) -> io::Result<()> {
        let (from_stdin, needed) = (self.token_from_stdin, self.until_stdin_closes);
        self.server_token = crate::token::take(SERVER_TOKEN, from_stdin, needed)?;
        Ok(())
    }
}

/// Why a server ends, for the host that has started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// Nobody has used it for the time that it was given.
    Unused,
    Told,
}

/// The last line on the standard output: it takes no more requests.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub ending: End,
}

/// Serves until it is told to end: by SIGTERM, SIGINT, a closed input, or disuse, as the options say.
/// Prints its address as a line of JSON, `{"url":"http://…"}`, as soon as it listens, and
/// `{"ending":"unused"}` or `{"ending":"told"}` when it begins to end.
///
/// # Errors
/// Where it can't listen, or can't have its folders.
pub async fn serve(options: Options) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let child_ended = signal(SignalKind::child())?;
    let listener = TcpListener::bind(&options.listen)
        .await
        .map_err(|error| told(error, format!("can't listen on {}", options.listen)))?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}");

    let (idle_seconds, until_stdin_closes) = (options.idle_seconds, options.until_stdin_closes);
    let session = options.session_id.clone();
    let token = options.server_token.clone();
    let awaits = options.await_restore;
    let via = options.egress_via.clone();
    let mut setup = setup(options)?;
    let egress = Egress::new(Arc::default()).through(via);
    let egress = Arc::new(egress);
    let way_out = egress.listen().await?;
    setup.egress = variables(way_out, setup.model_host(), authorities().as_deref());
    let disk = Disk::open(&setup.workspace, &setup.home, awaits)?;
    let files = Files::open(&setup.workspace)?;
    Children::adopt_orphans();
    let agent = Agent::start(setup, disk, session, egress);
    tokio::spawn(bury_orphans(
        Arc::clone(&agent.shared.children),
        child_ended,
    ));
    let server = Arc::new(Server::new(agent, files));
    let app = routes(Arc::clone(&server), token, address.ip().is_loopback());
    // A token that waits for more to fill a packet is a token that is late.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::warn!(%error, "TCP_NODELAY could not be set");
        }
    });
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    say(&json!({ "url": url }));
    tracing::info!(url, "listening");

    let (end, why) = tokio::select! {
        _ = terminate.recv() => (End::Told, "SIGTERM"),
        _ = interrupt.recv() => (End::Told, "SIGINT"),
        () = stdin_closed(), if until_stdin_closes => (End::Told, "its input was closed"),
        () = unused(&server, idle_seconds) => (End::Unused, "nobody used it"),
    };
    tracing::info!(why, "stopping");
    say(&Ending { ending: end });
    serving.abort();
    tokio::join!(server.agent.stop(PATIENCE), server.terminals.stop());
    // What agents before the last one have left in the background, and requests that still ran.
    server.agent.shared.children.kill_descendants().await;
    Ok(())
}

/// Writes a line of JSON to the standard output, for whoever started this process.
pub(crate) fn say(what: &impl Serialize) {
    use std::io::Write;
    let line = serde_json::to_string(what).unwrap_or_default();
    let mut stdout = io::stdout().lock();
    // Nobody has to read it.
    let _closed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn setup(options: Options) -> io::Result<Setup> {
    for folder in [&options.workspace, &options.home] {
        std::fs::create_dir_all(folder)
            .map_err(|error| told(error, format!("can't make {}", folder.display())))?;
    }
    let absolute = |path: PathBuf| path.canonicalize().unwrap_or(path);
    Ok(Setup {
        claude: absolute(options.claude),
        workspace: options.workspace.canonicalize()?,
        home: options.home.canonicalize()?,
        model_url: options.model_url.trim_end_matches('/').to_owned(),
        model_token: options.model_token,
        model: options.model,
        max_retries: options.max_retries,
        api_timeout_ms: options.api_timeout_ms,
        path: std::env::var_os("PATH")
            .unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into()),
        egress: Vec::new(),
    })
}

fn told(error: io::Error, what: String) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

pub(crate) async fn bury_orphans(children: Arc<Children>, mut child_ended: Signal) {
    while child_ended.recv().await.is_some() {
        // tokio buries its own first, and a burst of ends is one look.
        tokio::time::sleep(Duration::from_millis(20)).await;
        children.reap();
    }
}

pub(crate) async fn stdin_closed() {
    use tokio::io::AsyncReadExt;
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    while let Ok(1..) = stdin.read(&mut buffer).await {}
}

async fn unused(server: &Server, seconds: Option<u64>) {
    let Some(seconds) = seconds else {
        return std::future::pending().await;
    };
    while server.idle() < Duration::from_secs(seconds) {
        tokio::time::sleep(LOOK).await;
    }
}
