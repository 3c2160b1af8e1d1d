//! A Fly Machines API of this machine's own, as its documentation says that it is
//! (<https://fly.io/docs/machines/api/machines-resource/>), for one app: each machine is an agent-server
//! in a folder of its own. Beside it, the app's public address, which passes a request on to the machine
//! that `fly-force-instance-id` names. It refuses what the real one refuses: a wrong token, a name that
//! is taken, memory in other steps than 256 MB, to destroy a machine that runs.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

pub const APP: &str = "sandboxes-of-a-test";
const TOKEN: &str = "FlyV1 the-token-of-this-test";

/// The API and the app's address.
pub struct Fly {
    api: String,
    app: String,
    cloud: Arc<Cloud>,
}

/// The one of all tests, which is started for the first that needs it, on its runtime.
///
/// # Errors
/// Where there are no ports.
pub fn fly() -> Result<&'static Fly> {
    let fly = THE_ONE.get_or_init(|| Fly::start().map_err(|error| format!("{error:#}")));
    fly.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

static THE_ONE: OnceLock<std::result::Result<Fly, String>> = OnceLock::new();

/// Ends every machine that still runs.
pub fn end() {
    if let Some(Ok(fly)) = THE_ONE.get() {
        for machine in fly.cloud.machines().values() {
            kill(machine.process, "-KILL");
        }
        let _gone = std::fs::remove_dir_all(fly.cloud.folder.path());
    }
}

struct Cloud {
    machines: Mutex<BTreeMap<String, Machine>>,
    folder: TempDir,
    http: reqwest::Client,
}

struct Machine {
    told: Value,
    /// Where its server listens.
    url: Option<String>,
    process: Option<u32>,
}

/// A signal to a machine's server, and all that it has started.
fn kill(process: Option<u32>, signal: &str) {
    if let Some(process) = process {
        let group = format!("-{process}");
        let _gone = std::process::Command::new("kill")
            .args([signal, "--", &group])
            .stderr(Stdio::null())
            .status();
    }
}

impl Fly {
    fn start() -> Result<Self> {
        let cloud = Arc::new(Cloud {
            machines: Mutex::default(),
            folder: TempDir::new()?,
            http: reqwest::Client::builder().no_proxy().build()?,
        });
        let api = Router::new()
            .route("/v1/apps/{app}/machines", get(list).post(create))
            .route("/v1/apps/{app}/machines/{id}", get(show).delete(destroy))
            .route("/v1/apps/{app}/machines/{id}/wait", get(wait))
            .route("/v1/apps/{app}/machines/{id}/stop", post(stop))
            .layer(axum::middleware::from_fn(authorize))
            .with_state(Arc::clone(&cloud));
        let app = Router::new().fallback(pass).with_state(Arc::clone(&cloud));
        let mut urls = Vec::new();
        for routes in [api, app] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            urls.push(format!("http://{}", listener.local_addr()?));
            tokio::spawn(async move { axum::serve(listener, routes).await });
        }
        let app = urls.pop().context("an address")?;
        let api = urls.pop().context("an address")?;
        Ok(Self { api, app, cloud })
    }

    /// What a Worker needs to know.
    pub fn vars(&self) -> Vec<(String, String)> {
        [
            ("FLY_API_TOKEN", TOKEN),
            ("FLY_APP_NAME", APP),
            ("FLY_IMAGE", "registry.fly.io/sandboxes-of-a-test:1"),
            ("FLY_API_URL", &self.api),
            ("FLY_SANDBOX_URL", &self.app),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The machines of a session, as the API shows them.
    pub fn machines_of(&self, session: &str) -> Vec<Value> {
        let machines = self.cloud.machines();
        let told = machines.values().map(|machine| &machine.told);
        let of_session =
            |told: &&Value| told["config"]["metadata"]["agent_router_session"] == session;
        told.filter(of_session).cloned().collect()
    }

    /// Kills what runs in a session's machines.
    pub fn kill(&self, session: &str) {
        for machine in self.cloud.machines().values() {
            if machine.told["config"]["metadata"]["agent_router_session"] == session {
                kill(machine.process, "-KILL");
            }
        }
    }

    /// A machine that is there with nothing in it, under the name of a session of the same deployment as
    /// another.
    pub fn plant(&self, session: &str, lost: &str) {
        let other = self.machines_of(session);
        let deployment = other
            .first()
            .map(|told| &told["config"]["metadata"]["agent_router"]);
        let id = fresh_id();
        let metadata = json!({ "agent_router": deployment, "agent_router_session": lost });
        let told = json!({
            "id": id, "name": id, "state": "stopped", "instance_id": fresh_id(), "region": "iad",
            "config": { "image": "x", "metadata": metadata }, "events": [],
        });
        let machine = Machine {
            told,
            url: None,
            process: None,
        };
        self.cloud.machines().insert(id, machine);
    }
}

impl Cloud {
    fn machines(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self, id: &str) -> Option<Value> {
        self.machines().get(id).map(|machine| machine.told.clone())
    }

    fn becomes(&self, id: &str, state: &str, event: Value) {
        if let Some(machine) = self.machines().get_mut(id) {
            machine.told["state"] = json!(state);
            if let Some(events) = machine.told["events"].as_array_mut() {
                events.insert(0, event);
            }
        }
    }

    /// Boots a machine, and notes how it ends.
    async fn boot(self: Arc<Self>, id: String) {
        if let Err(error) = self.run(&id).await {
            let event = json!({ "type": "launch", "status": "failed", "error": error.to_string() });
            self.becomes(&id, "failed", event);
        }
    }

    async fn run(&self, id: &str) -> Result<()> {
        let told = self.told(id).context("gone")?;
        self.becomes(
            id,
            "starting",
            json!({ "type": "start", "status": "starting" }),
        );
        let folder = self.folder.path().join(id);
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new(xtask::build::built_agent_server()?);
        // It ends with this process, however that does.
        command
            .args(["serve", "--until-stdin-closes"])
            .env_clear()
            .process_group(0);
        let env = told["config"]["env"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for (name, value) in &env {
            command.env(name, value.as_str().unwrap_or_default());
        }
        let mut child = command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // Its own network and its own disk.
            .env("AGENT_LISTEN", "127.0.0.1:0")
            .env("AGENT_WORKSPACE", folder.join("workspace"))
            .env("AGENT_HOME", folder.join("home"))
            .env("AGENT_CLAUDE", xtask::tools::claude()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let _lifeline = child.stdin.take();
        let process = child.id();
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let said: Value = serde_json::from_str(&lines.next_line().await?.context("silent")?)?;
        if let Some(machine) = self.machines().get_mut(id) {
            machine.url = said["url"].as_str().map(str::to_owned);
            machine.process = process;
        }
        self.becomes(
            id,
            "started",
            json!({ "type": "start", "status": "started" }),
        );
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let status = child.wait().await?;
        kill(process, "-KILL");
        let requested = self
            .told(id)
            .is_some_and(|told| told["state"] == "stopping");
        use std::os::unix::process::ExitStatusExt;
        let signal = status.signal();
        let exit = json!({
            "exit_code": status.code().unwrap_or(128 + signal.unwrap_or(0)),
            "guest_signal": signal.unwrap_or(-1), "oom_killed": false, "requested_stop": requested,
        });
        let request = json!({ "exit_event": exit, "restart_count": 0 });
        let event = json!({ "type": "exit", "status": "stopped", "request": request });
        self.becomes(id, "stopped", event);
        // It starts with a new disk, if it is started again.
        let _gone = std::fs::remove_dir_all(folder);
        Ok(())
    }
}

fn fresh_id() -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{:014x}", 0x0017_81d9_e000_0000_u64 + count)
}

fn refused(status: StatusCode, words: &str) -> Response {
    (status, Json(json!({ "error": words }))).into_response()
}

async fn authorize(request: Request, next: axum::middleware::Next) -> Response {
    let given = request.headers().get("authorization");
    if given.is_none_or(|given| given.as_bytes() != format!("Bearer {TOKEN}").as_bytes()) {
        return refused(StatusCode::UNAUTHORIZED, "unauthenticated");
    }
    if request.uri().path().split('/').nth(3) != Some(APP) {
        return refused(StatusCode::NOT_FOUND, "app not found");
    }
    next.run(request).await
}

async fn list(
    State(cloud): State<Arc<Cloud>>,
    Query(wanted): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    let machines = cloud.machines();
    let fits = |told: &&Value| {
        wanted
            .iter()
            .all(|(name, value)| match name.strip_prefix("metadata.") {
                Some(key) => told["config"]["metadata"][key] == **value,
                None => true,
            })
    };
    let told = machines.values().map(|machine| &machine.told);
    Json(told.filter(fits).cloned().collect())
}

async fn create(State(cloud): State<Arc<Cloud>>, Json(wanted): Json<Value>) -> Response {
    let config = &wanted["config"];
    if !config["image"].is_string() {
        return refused(StatusCode::BAD_REQUEST, "config.image is required");
    }
    let guest = &config["guest"];
    let (cpus, memory) = (guest["cpus"].as_u64(), guest["memory_mb"].as_u64());
    let (cpus, memory) = (cpus.unwrap_or(1), memory.unwrap_or(256));
    if ![1, 2, 4, 8].contains(&cpus)
        || memory % 256 != 0
        || memory > 2048 * cpus
        || memory < 256 * cpus
    {
        let words =
            format!("invalid_argument: unable to run {cpus} CPUs with {memory} MiB of memory");
        return refused(StatusCode::UNPROCESSABLE_ENTITY, &words);
    }
    let id = fresh_id();
    let name = wanted["name"]
        .as_str()
        .map_or_else(|| format!("m-{id}"), str::to_owned);
    let told = json!({
        "id": id, "name": name, "state": "created", "instance_id": fresh_id(),
        "region": wanted["region"].as_str().unwrap_or("iad"), "private_ip": "fdaa::1",
        "config": config, "events": [{ "type": "launch", "status": "created" }],
    });
    let machine = Machine {
        told: told.clone(),
        url: None,
        process: None,
    };
    cloud.machines().insert(id.clone(), machine);
    tokio::spawn(cloud.boot(id));
    Json(told).into_response()
}

type OfMachine = Path<(String, String)>;

async fn show(State(cloud): State<Arc<Cloud>>, Path((_, id)): OfMachine) -> Response {
    match cloud.told(&id) {
        Some(told) => Json(told).into_response(),
        None => refused(StatusCode::NOT_FOUND, "machine not found"),
    }
}

async fn wait(
    State(cloud): State<Arc<Cloud>>,
    Path((_, id)): OfMachine,
    Query(wanted): Query<BTreeMap<String, String>>,
) -> Response {
    let text = |name: &str| wanted.get(name).map_or("", String::as_str);
    let state = wanted.get("state").map_or("started", String::as_str);
    if !["started", "stopped", "suspended", "destroyed"].contains(&state) {
        return refused(StatusCode::BAD_REQUEST, "invalid state");
    }
    if state == "stopped" && text("instance_id").is_empty() {
        return refused(StatusCode::BAD_REQUEST, "instance_id is required");
    }
    let seconds = text("timeout").parse().unwrap_or(60);
    if !(1..=60).contains(&seconds) {
        return refused(
            StatusCode::BAD_REQUEST,
            "timeout must be between 1 and 60 seconds",
        );
    }
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        match cloud.told(&id) {
            None if state == "destroyed" => return Json(json!({ "ok": true })).into_response(),
            None => return refused(StatusCode::NOT_FOUND, "machine not found"),
            Some(told) if told["state"] == state => {
                return Json(json!({ "ok": true })).into_response();
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    refused(StatusCode::REQUEST_TIMEOUT, "deadline_exceeded")
}

async fn stop(
    State(cloud): State<Arc<Cloud>>,
    Path((_, id)): OfMachine,
    how: Option<Json<Value>>,
) -> Response {
    let process = match cloud.machines().get(&id) {
        Some(machine) => machine.process,
        None => return refused(StatusCode::NOT_FOUND, "machine not found"),
    };
    cloud.becomes(
        &id,
        "stopping",
        json!({ "type": "stop", "status": "stopping" }),
    );
    let signal =
        how.and_then(|how| Some(how["signal"].as_str()?.trim_start_matches("SIG").to_owned()));
    if let Some(process) = process {
        let signal = format!("-{}", signal.unwrap_or_else(|| "INT".to_owned()));
        let _gone = std::process::Command::new("kill")
            .args([&signal, &process.to_string()])
            .status();
    }
    Json(json!({ "ok": true })).into_response()
}

async fn destroy(
    State(cloud): State<Arc<Cloud>>,
    Path((_, id)): OfMachine,
    Query(how): Query<BTreeMap<String, String>>,
) -> Response {
    let mut machines = cloud.machines();
    let Some(machine) = machines.get(&id) else {
        return refused(StatusCode::NOT_FOUND, "machine not found");
    };
    let runs = machine.told["state"] != "stopped" && machine.told["state"] != "failed";
    if runs && how.get("force").is_none_or(|force| force != "true") {
        let words =
            "failed_precondition: unable to destroy machine, not currently in stopped state";
        return refused(StatusCode::PRECONDITION_FAILED, words);
    }
    kill(machine.process, "-KILL");
    machines.remove(&id);
    Json(json!({ "ok": true })).into_response()
}

/// The app's public address.
async fn pass(State(cloud): State<Arc<Cloud>>, headers: HeaderMap, request: Request) -> Response {
    let id = headers.get("fly-force-instance-id");
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let url = cloud.machines().get(id).and_then(|machine| {
        let runs = machine.told["state"] == "started";
        machine.url.clone().filter(|_| runs)
    });
    let Some(url) = url else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "no such machine runs");
    };
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut passed = cloud.http.request(parts.method, format!("{url}{path}"));
    for (name, value) in &parts.headers {
        if !["host", "connection", "transfer-encoding"].contains(&name.as_str()) {
            passed = passed.header(name, value);
        }
    }
    match passed
        .body(reqwest::Body::wrap_stream(body.into_data_stream()))
        .send()
        .await
    {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                if !["connection", "transfer-encoding"].contains(&name.as_str()) {
                    response = response.header(name, value);
                }
            }
            let body = Body::from_stream(answer.bytes_stream());
            let response = response.body(body);
            response.unwrap_or_else(|_| refused(StatusCode::BAD_GATEWAY, "a bad answer"))
        }
        Err(_) => refused(StatusCode::BAD_GATEWAY, "the machine does not answer"),
    }
}
