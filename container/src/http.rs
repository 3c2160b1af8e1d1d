//! The routes.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use bytes::BytesMut;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use protocol::options::MAX_BODY;
use protocol::sandbox::{
    Acknowledge, AnswerRequest, HEARTBEAT_SECONDS, Health, InterruptRequest, PROTOCOL, SAVE_AFTER,
    SAVE_SHA256, SaveRequest, Settings, TurnRequest,
};
use protocol::{ClaudeCodeOptions, Problem, ProblemKind, TurnId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use crate::agent::Agent;
use crate::direct::{self, RequestId};
use crate::disk;
use crate::files::{self, Files};
use crate::guard::{authorize, refuse_browsers, refuse_foreign_names};
use crate::history;
use crate::launch::Secret;
use crate::repository;
use crate::terminal::{self, Terminals};
use crate::turn_log::{Order, Read, TurnLog};

/// Bytes of a turn's request, with what its conversation's transcript may lack.
const MAX_TURN: usize = 40 * 1024 * 1024;

/// How many times the limit of a body is read before its sender is cut off.
const MAX_EXCESS: usize = 16;

/// What the routes share.
#[derive(Debug)]
pub struct Server {
    pub agent: Agent,
    pub files: Files,
    pub terminals: Arc<Terminals>,
    begin: Instant,
    /// Milliseconds from `begin` to the last request that was not a question after its health.
    last_use: AtomicU64,
    open_streams: AtomicU64,
    meter: crate::resources::Meter,
}

impl Server {
    pub fn new(agent: Agent, files: Files) -> Self {
        Self {
            agent,
            files,
            terminals: Arc::default(),
            begin: Instant::now(),
            last_use: AtomicU64::new(0),
            open_streams: AtomicU64::new(0),
            meter: crate::resources::Meter::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn used(&self) {
        self.last_use.fetch_max(self.now(), Ordering::Relaxed);
    }

    /// For how long nobody has used it. A running turn and an open answer are use; of a terminal what is typed
    /// is, and not that it is open.
    pub fn idle(&self) -> Duration {
        if self.agent.running().is_some() || self.open_streams.load(Ordering::Relaxed) > 0 {
            self.used();
        }
        let last = self.last_use.load(Ordering::Relaxed);
        Duration::from_millis(self.now().saturating_sub(last)).min(self.terminals.unused())
    }

    fn health(&self) -> Health {
        Health {
            status: "healthy".to_owned(),
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.now(),
            unused_ms: u64::try_from(self.idle().as_millis()).ok(),
            agent: self.agent.shared.process().state,
            disk: Some(self.agent.shared.disk.told()),
            turn_id: self.agent.running(),
            terminals: self.terminals.told(),
        }
    }
}

/// A problem as an answer.
#[derive(Debug)]
pub struct Refused(pub Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = HeaderValue::from_static("application/problem+json");
        (
            status,
            [(header::CONTENT_TYPE, json)],
            self.0.to_json().to_string(),
        )
            .into_response()
    }
}

pub(crate) type Answer = Result<Response, Refused>;

/// The routes. Where there is a `token`, all but the health are for those who carry it; where the
/// server listens on this machine alone (`loopback`), it is asked by this machine's names only.
pub fn routes(server: Arc<Server>, token: Option<Secret>, loopback: bool) -> Router {
    let mut routes = Router::new()
        .route(
            "/",
            only(
                on(MethodFilter::GET, health).on(MethodFilter::POST, direct_request),
                "GET, HEAD, POST",
            ),
        )
        .route("/debug", only(on(MethodFilter::GET, debug), "GET, HEAD"))
        .route(
            "/resources",
            only(on(MethodFilter::GET, resources), "GET, HEAD"),
        )
        .route("/turns", only(on(MethodFilter::POST, begin), "POST"))
        .route(
            "/turns/{turn_id}",
            only(on(MethodFilter::GET, attach), "GET, HEAD"),
        )
        .route(
            "/interrupt",
            only(on(MethodFilter::POST, interrupt), "POST"),
        )
        .route("/answer", only(on(MethodFilter::POST, answer), "POST"))
        .route("/settings", only(on(MethodFilter::POST, settings), "POST"))
        .route(
            "/acknowledge",
            only(on(MethodFilter::POST, acknowledge), "POST"),
        )
        .route("/save", only(on(MethodFilter::POST, save), "POST"))
        .route("/restore", only(on(MethodFilter::POST, restore), "POST"))
        .merge(files::http::routes())
        .merge(history::http::routes())
        .merge(repository::http::routes())
        .merge(terminal::http::routes())
        .fallback(unknown);
    if let Some(token) = token {
        routes = routes.layer(middleware::from_fn_with_state(token, authorize));
    }
    routes = routes.layer(middleware::from_fn(refuse_browsers));
    if loopback {
        routes = routes.layer(middleware::from_fn(refuse_foreign_names));
    }
    routes.with_state(server)
}

pub(crate) fn only<S: Clone + Send + Sync + 'static>(
    methods: MethodRouter<S>,
    allow: &'static str,
) -> MethodRouter<S> {
    methods.fallback(move || async move {
        let problem = Problem::new(
            ProblemKind::MethodNotAllowed,
            format!("this path answers {allow}"),
        );
        (
            [(header::ALLOW, HeaderValue::from_static(allow))],
            Refused(problem),
        )
    })
}

pub(crate) async fn unknown(method: Method, uri: axum::http::Uri) -> Refused {
    let path: String = uri.path().chars().take(200).collect();
    Refused(Problem::new(
        ProblemKind::NotFound,
        format!("there is no {method} {path}"),
    ))
}

/// The body, up to `limit` bytes. A longer one is read past, so that its sender, who reads nothing
/// before it has sent everything, hears the answer; but not without end.
pub(crate) async fn body(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while length < limit * MAX_EXCESS
        && let Some(piece) = stream.next().await
    {
        let piece = piece.map_err(|_| Problem::bad_request("the request's body was cut"))?;
        length += piece.len();
        if length <= limit {
            bytes.extend_from_slice(&piece);
        }
    }
    if length > limit {
        return Err(Problem::new(
            ProblemKind::TooLarge,
            format!("the request is longer than {limit} bytes"),
        ));
    }
    Ok(bytes.freeze())
}

async fn json<T: DeserializeOwned>(request: Body) -> Result<T, Problem> {
    json_of(request, MAX_BODY).await
}

async fn json_of<T: DeserializeOwned>(request: Body, limit: usize) -> Result<T, Problem> {
    let bytes = body(request, limit).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad_request(format!("not what is expected here: {error}")))
}

async fn health(State(server): State<Arc<Server>>) -> Response {
    axum::Json(server.health()).into_response()
}

/// To watch is no use: a sandbox that is looked at alone goes to sleep.
async fn resources(State(server): State<Arc<Server>>) -> Response {
    let workspace = &server.agent.shared.setup.workspace;
    axum::Json(server.meter.read(workspace).await).into_response()
}

async fn debug(State(server): State<Arc<Server>>) -> Response {
    let mut answer = serde_json::to_value(server.health()).unwrap_or_default();
    let process = server.agent.shared.process().clone();
    let variables: BTreeSet<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    if let Some(members) = answer.as_object_mut() {
        members.insert(
            "claude".to_owned(),
            serde_json::json!({
                "pid": process.pid,
                "starts": process.starts,
                "version": process.version,
                "conversation": process.conversation,
            }),
        );
        members.insert(
            "memory".to_owned(),
            serde_json::json!({
                "server_bytes": resident(std::process::id()),
                "claude_bytes": process.pid.and_then(resident),
            }),
        );
        members.insert("environment".to_owned(), serde_json::json!(variables));
        members.insert(
            "idle_ms".to_owned(),
            u64::try_from(server.idle().as_millis())
                .unwrap_or(u64::MAX)
                .into(),
        );
    }
    axum::Json(answer).into_response()
}

/// Bytes of memory that a process holds (`VmRSS`).
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    after: u64,
}

async fn begin(
    State(server): State<Arc<Server>>,
    Query(from): Query<Place>,
    request: Body,
) -> Answer {
    server.used();
    let request: TurnRequest = json_of(request, MAX_TURN).await?;
    if request.protocol > PROTOCOL {
        return Err(Problem::new(
            ProblemKind::Conflict,
            format!(
                "the sandbox's image is older than the Worker: it speaks version {PROTOCOL} of their protocol, and this turn came in version {}; deploy again, so that both are of one version",
                request.protocol
            ),
        )
        .into());
    }
    let log = server.agent.begin(request)?;
    records(&server, log, from)
}

async fn attach(
    State(server): State<Arc<Server>>,
    Path(turn_id): Path<String>,
    Query(from): Query<Place>,
) -> Answer {
    server.used();
    let turn_id: TurnId = turn_id.parse().map_err(Refused)?;
    let log = server.agent.find(turn_id).ok_or_else(|| {
        Problem::new(
            ProblemKind::NotFound,
            format!("{turn_id} is not known here, or not any more"),
        )
    })?;
    records(&server, log, from)
}

/// The records as they come, until the last.
fn records(server: &Arc<Server>, log: Arc<TurnLog>, from: Place) -> Answer {
    if let Read::Forgotten(n) = log.read(from.after) {
        let problem = Problem::new(
            ProblemKind::NotFound,
            format!(
                "the records of {} up to {n} have been acknowledged and are not kept",
                log.id
            ),
        );
        return Err(problem.into());
    }
    let open = OpenStream::new(server);
    let lines = stream::unfold((log, from, open), |(log, mut from, open)| async move {
        let mut changes = log.changes();
        loop {
            match log.read(from.after) {
                Read::Lines(lines, last) => {
                    from.after = last;
                    return Some((lines, (log, from, open)));
                }
                // Another reader has acknowledged what this one has not read: it asks again.
                Read::Ended | Read::Forgotten(_) => return None,
                Read::Nothing => {
                    let silence = Duration::from_secs(HEARTBEAT_SECONDS);
                    if tokio::time::timeout(silence, changes.changed())
                        .await
                        .is_err()
                    {
                        let heartbeat = Bytes::from_static(b"{\"n\":0}\n");
                        return Some((heartbeat, (log, from, open)));
                    }
                }
            }
        }
    });
    Ok(ndjson(lines))
}

/// Counts an answer as use, as long as it is open.
pub(crate) struct OpenStream(Arc<Server>);

impl OpenStream {
    pub(crate) fn new(server: &Arc<Server>) -> Self {
        server.open_streams.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(server))
    }

    /// Counts as long as a body is being sent that is not in memory already.
    pub(crate) fn until_sent(self, response: Response) -> Response {
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |piece| {
                let _open = &self;
                piece
            }))
        })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open_streams.fetch_sub(1, Ordering::Relaxed);
        self.0.used();
    }
}

/// An answer of lines, sent one by one.
fn ndjson(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let body = Body::from_stream(lines.map(Ok::<_, Infallible>));
    (headers, body).into_response()
}

async fn interrupt(State(server): State<Arc<Server>>, request: Body) -> Answer {
    server.used();
    let request: InterruptRequest = json(request).await?;
    server.agent.interrupt(request.turn_id).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn answer(State(server): State<Arc<Server>>, request: Body) -> Answer {
    server.used();
    let request: AnswerRequest = json(request).await?;
    order(&server, request.turn_id, Order::Answer(request))
}

async fn settings(State(server): State<Arc<Server>>, request: Body) -> Answer {
    server.used();
    let request: Settings = json(request).await?;
    order(&server, request.turn_id, Order::Settings(request))
}

fn order(server: &Server, turn: TurnId, order: Order) -> Answer {
    let log = server.agent.find(turn).ok_or_else(|| {
        Problem::new(
            ProblemKind::NotFound,
            format!("{turn} is not known here, or not any more"),
        )
    })?;
    if !log.order(order) {
        let words = "the turn has not looked at what it was told before; try again";
        return Err(Problem::new(ProblemKind::TooManyRequests, words).into());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn acknowledge(State(server): State<Arc<Server>>, request: Body) -> Answer {
    server.used();
    let request: Acknowledge = json(request).await?;
    if let Some(log) = server.agent.find(request.turn_id) {
        log.acknowledge(request.n);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An archive of what has changed, as it stands on the disk.
async fn save(State(server): State<Arc<Server>>, request: Body) -> Answer {
    let request: SaveRequest = json(request).await?;
    if let Some(turn) = request.turn
        && !server.agent.has_run(turn)
    {
        let words = format!("{turn} did not run in this sandbox: what it has done is lost");
        return Err(Problem::new(ProblemKind::Conflict, words).into());
    }
    server.terminals.saved();
    // The history is saved with what it is of.
    server.agent.shared.history.settled().await;
    let Some(archive) = server.agent.shared.disk.save(request).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let digits: String = archive
        .sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let file = tokio::fs::File::from_std(archive.file);
    let body = ReaderStream::with_capacity(file, 64 * 1024);
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, "application/gzip")
        .header(header::CONTENT_LENGTH, archive.bytes)
        .header(SAVE_SHA256, digits);
    if let Some(after) = archive.after {
        response = response.header(SAVE_AFTER, after);
    }
    let response = response.body(Body::from_stream(body));
    response.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()).into())
}

#[derive(Deserialize)]
struct Restore {
    #[serde(default)]
    last: bool,
}

/// Archives back onto a new disk.
async fn restore(
    State(server): State<Arc<Server>>,
    Query(Restore { last }): Query<Restore>,
    request: Body,
) -> Answer {
    server.used();
    let mut stream = request
        .into_data_stream()
        .map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error));
    let files = &server.agent.shared.disk;
    let mut piece = stream.next().await;
    if piece.is_none() && last {
        files.restore_nothing().await?;
    } else {
        // What unpacks it runs where it may wait, so it needs a stream of its own.
        let (pieces, read) = tokio::sync::mpsc::channel(4);
        let archive = SyncIoBridge::new(StreamReader::new(ReceiverStream::new(read)));
        let send = async {
            while let Some(next) = piece.take() {
                if pieces.send(next).await.is_err() {
                    break; // It has failed; the rest is not needed.
                }
                piece = stream.next().await;
            }
            drop(pieces);
        };
        let (restored, ()) = tokio::join!(files.restore(archive, last), send);
        restored?;
    }
    if last {
        // Before anybody can write there.
        server.agent.shared.history.begin().await;
        server.agent.disk_ready();
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    request_id: Option<String>,
}

async fn direct_request(
    State(server): State<Arc<Server>>,
    Query(named): Query<Named>,
    request: Body,
) -> Answer {
    server.used();
    let request_id = named.request_id.as_deref().map(RequestId::parse);
    let request_id = request_id.transpose()?;
    let bytes = body(request, MAX_BODY).await?;
    let options = ClaudeCodeOptions::from_slice(&bytes)?;
    let stream = options.wants_stream();
    let session = options.session_id.clone();
    let turn = options.into_turn()?;
    if !server.agent.shared.disk.is_ready() {
        return Err(disk::not_ready().into());
    }
    let answer = direct::begin(&server.agent.shared, turn, session).await?;
    if stream {
        let open = OpenStream::new(&server);
        return Ok(ndjson(answer.lines().map(move |line| {
            let _open = &open;
            line
        })));
    }
    let open = OpenStream::new(&server);
    let summary = answer.summary(request_id).await?;
    drop(open);
    Ok(axum::Json(summary).into_response())
}
