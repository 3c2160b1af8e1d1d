//! A server of the build, with the real Claude Code, a scripted model, and folders of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use protocol::event::EventBody;
use protocol::options::Launch;
use protocol::sandbox::{Record, TurnEnd, TurnRequest};
use protocol::{ClaudeCodeOptions, Outcome, SessionId, TurnId};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::upstream::{Reply, Upstream};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The real Claude Code: `AGENT_TEST_CLAUDE`, or what `npm install` has put into a folder above.
pub fn claude() -> PathBuf {
    if let Some(path) = std::env::var_os("AGENT_TEST_CLAUDE") {
        return path.into();
    }
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    for folder in Path::new(env!("CARGO_MANIFEST_DIR")).ancestors() {
        for libc in ["", "-musl"] {
            let path = folder.join(format!(
                "node_modules/@anthropic-ai/claude-code-linux-{machine}{libc}/claude"
            ));
            if path.is_file() {
                return path;
            }
        }
    }
    panic!(
        "these tests need the real Claude Code: run `npm install` in the repository's root, \
         or set AGENT_TEST_CLAUDE to the path of its binary"
    );
}

pub struct World {
    pub upstream: Arc<Upstream>,
    pub root: TempDir,
    pub url: String,
    pub http: reqwest::Client,
    pub server: Child,
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these variables for the server.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start().await;
        let root = tempfile::tempdir().unwrap();
        let (server, url) = start_server(root.path(), &upstream.url, variables).await;
        Self {
            upstream,
            root,
            url,
            http: client(),
            server,
        }
    }

    /// Stops the server as its host would, and starts another in the same folders.
    pub async fn restart(&mut self) {
        self.stop().await;
        let (server, url) = start_server(self.root.path(), &self.upstream.url, &[]).await;
        self.server = server;
        self.url = url;
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn stop(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.server.id().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.server.wait()).await;
        status.unwrap().unwrap().code()
    }

    pub fn workspace(&self) -> PathBuf {
        self.root.path().join("workspace")
    }

    pub fn script(&self, name: &str, replies: Vec<Reply>) {
        self.upstream.script(name, replies);
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.http
            .post(format!("{}{path}", self.url))
            .body(body.to_string())
            .send()
            .await
            .unwrap()
    }

    pub async fn debug(&self) -> Value {
        self.get("/debug").await.json().await.unwrap()
    }

    /// The kept process, once it is ready.
    pub async fn claude_pid(&self) -> u64 {
        let begin = Instant::now();
        loop {
            let debug = self.debug().await;
            if debug["agent"] == "ready" {
                return debug["claude"]["pid"].as_u64().unwrap();
            }
            assert!(begin.elapsed() < PATIENCE, "{debug}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts a turn with these options, and reads it from its first record.
    pub async fn begin(&self, turn: u64, options: Value) -> Records {
        self.send(&turn_request(turn, options)).await
    }

    /// Starts the turn that a request describes.
    pub async fn send(&self, request: &Value) -> Records {
        let response = self.post("/turns", request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Records::of(response)
    }

    /// Runs a turn with what an agent's configuration says, to its end.
    pub async fn launch(&self, turn: u64, prompt: &str, launch: Launch) -> Turn {
        let mut request = turn_request(turn, json!({"prompt": prompt}));
        let fields = serde_json::to_value(launch).unwrap();
        let turn = request["turn"].as_object_mut().unwrap();
        turn.extend(fields.as_object().unwrap().clone());
        self.send(&request).await.rest().await
    }

    /// Runs a turn to its end.
    pub async fn turn(&self, turn: u64, prompt: &str) -> Turn {
        self.begin(turn, json!({"prompt": prompt}))
            .await
            .rest()
            .await
    }

    pub async fn interrupt(&self, turn: u64) -> Duration {
        let begin = Instant::now();
        let body = json!({"turn_id": TurnId(turn)});
        let response = self.post("/interrupt", &body).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        begin.elapsed()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SIGTERM, so that nothing of it stays behind; the wait is the next test's.
        if let Some(pid) = self.server.id().and_then(|pid| i32::try_from(pid).ok()) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(8)
                && matches!(self.server.try_wait(), Ok(None))
            {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub fn turn_request(turn: u64, options: Value) -> Value {
    let options = ClaudeCodeOptions::from_value(options).unwrap();
    serde_json::to_value(TurnRequest {
        protocol: 1,
        asks: false,
        session_id: SessionId::parse("the-session").unwrap(),
        transcript: None,
        secrets: Vec::new(),
        turn_id: TurnId(turn),
        turn: options.into_turn().unwrap(),
    })
    .unwrap()
}

async fn start_server(root: &Path, model_url: &str, variables: &[(&str, &str)]) -> (Child, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_agent-server"))
        .args(["serve", "--listen=127.0.0.1:0", "--model=test/model"])
        .arg(format!(
            "--workspace={}",
            root.join("workspace").to_str().unwrap()
        ))
        .arg(format!("--home={}", root.join("home").to_str().unwrap()))
        .arg(format!("--model-url={model_url}"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("AGENT_CLAUDE", claude())
        .env("AGENT_MODEL_TOKEN", "the-model-token")
        .env("AGENT_MAX_RETRIES", "1")
        .env("AGENT_LOG", "warn")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let url = address(&mut server).await;
    (server, url)
}

/// The address that a server prints when it listens.
pub async fn address(server: &mut Child) -> String {
    let stdout = server.stdout.take().unwrap();
    let line = BufReader::new(stdout)
        .lines()
        .next_line()
        .await
        .unwrap()
        .expect("the server ended before it listened");
    let line: Value = serde_json::from_str(&line).unwrap();
    line["url"].as_str().unwrap().to_owned()
}

/// A turn's stream, record by record.
pub struct Records {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: BytesMut,
}

impl Records {
    pub fn of(response: Response) -> Self {
        Self {
            body: response.bytes_stream().boxed(),
            buffer: BytesMut::new(),
        }
    }

    /// The next line.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            let piece = tokio::time::timeout(PATIENCE, self.body.next())
                .await
                .expect("the stream is silent");
            match piece {
                Some(bytes) => self.buffer.extend_from_slice(&bytes.unwrap()),
                None => {
                    assert!(self.buffer.is_empty(), "half a line");
                    return None;
                }
            }
        }
    }

    pub async fn next(&mut self) -> Option<Record> {
        let line = self.line().await?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Reads until an event is what is looked for.
    pub async fn until(&mut self, wanted: impl Fn(&EventBody) -> bool) -> EventBody {
        loop {
            let record = self.next().await.expect("the stream ended before");
            assert!(record.end.is_none(), "the turn ended before: {record:?}");
            if let Some(event) = record.events.into_iter().find(&wanted) {
                return event;
            }
        }
    }

    pub async fn rest(mut self) -> Turn {
        let mut records = Vec::new();
        while let Some(record) = self.next().await {
            if record.n > 0 {
                records.push(record);
            }
        }
        let numbers: Vec<u64> = records.iter().map(|record| record.n).collect();
        let first = numbers.first().copied().unwrap_or(1);
        let gap_free: Vec<u64> = (first..).take(numbers.len()).collect();
        assert_eq!(numbers, gap_free);
        let ends = records.iter().filter(|record| record.end.is_some()).count();
        assert_eq!(ends, 1, "one end, and one only: {records:?}");
        assert!(records.last().unwrap().end.is_some());
        Turn { records }
    }
}

/// A turn that has ended.
#[derive(Debug)]
pub struct Turn {
    pub records: Vec<Record>,
}

impl Turn {
    pub fn end(&self) -> &TurnEnd {
        self.records.last().unwrap().end.as_ref().unwrap()
    }

    pub fn outcome(&self) -> Outcome {
        self.end().outcome
    }

    pub fn events(&self) -> Vec<&EventBody> {
        self.records
            .iter()
            .flat_map(|record| &record.events)
            .collect()
    }

    /// The whole texts of the assistant.
    pub fn said(&self) -> Vec<String> {
        let results = self.events().into_iter().filter_map(|event| match event {
            EventBody::Result { content, .. } => Some(content.clone()),
            _ => None,
        });
        results.collect()
    }

    /// The outputs of the tools.
    pub fn outputs(&self) -> Vec<String> {
        let results = self.events().into_iter().filter_map(|event| match event {
            EventBody::ToolResult { content, .. } => Some(content.clone()),
            _ => None,
        });
        results.collect()
    }

    /// The code and the words of its error.
    pub fn error(&self) -> Option<(String, String)> {
        self.events().into_iter().find_map(|event| match event {
            EventBody::Error { content, code } => Some((code.clone(), content.clone())),
            _ => None,
        })
    }

    #[track_caller]
    pub fn completed(self) -> Self {
        assert_eq!(self.outcome(), Outcome::Completed, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn failed(self) -> (String, String) {
        assert_eq!(self.outcome(), Outcome::Failed, "{self:#?}");
        let error = self.error().expect("a failure has its error event");
        assert_eq!(error.1, self.end().content);
        error
    }
}

/// The processes whose command line holds this text.
pub fn processes_with(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(text) {
            found.push(pid);
        }
    }
    found
}

/// Waits until something is so.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
