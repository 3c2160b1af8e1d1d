//! Many sandboxes on one machine.

use std::path::Path;
use std::process::Stdio;

use protocol::sandbox::AgentState;
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::upstream::{Reply, Upstream};
use crate::world::{Records, address, claude, client, eventually, processes_with, turn_request};

const TOKEN: &str = "a-token-of-the-tests";

struct Host {
    process: Child,
    url: String,
    http: reqwest::Client,
}

impl Host {
    async fn start(data: &Path, idle_seconds: u32) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_agent-server"))
            .args(["host", "--listen=127.0.0.1:0", "--until-stdin-closes"])
            .arg("--token-from-stdin")
            .arg(format!("--data={}", data.display()))
            .arg(format!("--idle-seconds={idle_seconds}"))
            .env("AGENT_CLAUDE", claude())
            .env("AGENT_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = process.stdin.as_mut().unwrap();
        stdin
            .write_all(format!("{TOKEN}\n").as_bytes())
            .await
            .unwrap();
        let url = address(&mut process).await;
        Self {
            process,
            url,
            http: client(),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(TOKEN)
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = response.status();
        (status, response.json().await.unwrap_or_default())
    }

    async fn ensure(&self, name: &str, upstream: &Upstream) -> Ensured {
        let wanted = json!({
            "session_id": "the-session", "model_url": upstream.url, "model_token": "t",
            "env": {"AGENT_MODEL": "test/model"},
        });
        let path = format!("/sandboxes/{name}");
        let (status, answer) = self.ask(Method::PUT, &path, wanted).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Ensured {
            url: text("url"),
            token: text("server_token"),
            started: answer["started"].as_bool().unwrap(),
        }
    }

    async fn state(&self, name: &str) -> Value {
        let path = format!("/sandboxes/{name}");
        self.ask(Method::GET, &path, json!(null)).await.1
    }

    async fn end(&self, name: &str) -> String {
        loop {
            let state = self.state(name).await;
            if state["state"] == "ended" {
                assert!(state.get("url").is_none() && state.get("server_token").is_none());
                return state["end"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Ensured {
    url: String,
    token: String,
    started: bool,
}

async fn pid_of_claude(sandbox: &Ensured) -> u64 {
    loop {
        let request = client().get(format!("{}/debug", sandbox.url));
        let debug = request.bearer_auth(&sandbox.token).send().await.unwrap();
        let debug: Value = debug.json().await.unwrap();
        if debug["agent"] == json!(AgentState::Ready) {
            return debug["claude"]["pid"].as_u64().unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The server that a Claude Code belongs to.
fn parent(pid: u64) -> rustix::process::Pid {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    rustix::process::Pid::from_raw(parent.unwrap().trim().parse().unwrap()).unwrap()
}

fn is_alive(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_sandbox_is_there_when_it_is_wanted() {
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let mut host = Host::start(data.path(), 600).await;
    let one = host.ensure("one", &upstream).await;
    assert!(one.started);
    let again = host.ensure("one", &upstream).await;
    let same = Ensured {
        started: false,
        ..one.clone()
    };
    assert_eq!(again, same);
    let other = host.ensure("two", &upstream).await;
    assert_ne!(other.url, one.url);
    assert_ne!(other.token, one.token);
    let state = host.state("one").await;
    assert_eq!(state["url"], one.url);
    assert_eq!(state["server_token"], one.token);

    let body = turn_request(1, json!({"prompt": "hello"}));
    let request = client()
        .post(format!("{}/turns", one.url))
        .body(body.to_string());
    let stranger = request.try_clone().unwrap().bearer_auth(&other.token);
    let refused = stranger.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let request = request.bearer_auth(&one.token);
    let turn = Records::of(request.send().await.unwrap()).rest().await;
    assert_eq!(turn.completed().said(), ["Hello from the model"]);
    assert!(data.path().join("one/workspace").is_dir());

    let (_, list) = host.ask(Method::GET, "/sandboxes", json!(null)).await;
    assert_eq!(list["sandboxes"].as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains(&one.token));
    let pid = pid_of_claude(&one).await;
    let (status, _) = host
        .ask(Method::DELETE, "/sandboxes/one", json!(null))
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(!is_alive(pid));
    let (status, _) = host.ask(Method::GET, "/sandboxes/one", json!(null)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    // The host's end is theirs, even where it can't say so.
    let pid = pid_of_claude(&other).await;
    host.process.kill().await.unwrap();
    eventually("the sandbox has ended", || !is_alive(pid)).await;
}

#[tokio::test]
async fn who_has_no_token_gets_nothing() {
    let data = tempfile::tempdir().unwrap();
    let host = Host::start(data.path(), 600).await;
    for token in ["", "a-token-of-the-test", "a-token-of-the-testsx"] {
        let answer = host
            .http
            .get(format!("{}/sandboxes", host.url))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    let rebound = host
        .http
        .get(format!("{}/sandboxes", host.url))
        .bearer_auth(TOKEN)
        .header("host", "evil.test:1")
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status(), StatusCode::FORBIDDEN);
    let wanted = json!({"session_id": "s", "model_url": "http://x.test", "model_token": "t"});
    let (status, _) = host
        .ask(Method::PUT, "/sandboxes/..%2F..%2Fetc", wanted)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = host.ask(Method::POST, "/sandboxes", json!(null)).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn nobody_uses_it() {
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let host = Host::start(data.path(), 1).await;
    let first = host.ensure("one", &upstream).await;
    assert_eq!(host.end("one").await, "it had not been used for 1 second");
    let again = host.ensure("one", &upstream).await;
    assert!(again.started);
    assert_ne!(again.url, first.url);
    assert_ne!(again.token, first.token);
}

#[tokio::test]
async fn a_server_that_is_killed_is_told() {
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let host = Host::start(data.path(), 600).await;
    let sandbox = host.ensure("one", &upstream).await;
    let server = parent(pid_of_claude(&sandbox).await);
    rustix::process::kill_process(server, Signal::KILL).unwrap();
    assert_eq!(host.end("one").await, "it was killed (signal 9)");
}

#[tokio::test]
async fn what_a_killed_server_has_started_ends_with_it() {
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let command = "env -i setsid sleep 77031 >/dev/null 2>&1 </dev/null & echo started";
    upstream.script(
        "background",
        vec![
            Reply::Call("Bash", json!({ "command": command })),
            Reply::Say("Done"),
        ],
    );
    let host = Host::start(data.path(), 600).await;
    let sandbox = host.ensure("one", &upstream).await;
    let other = host.ensure("two", &upstream).await;
    let body = turn_request(1, json!({"prompt": "script:background"}));
    let request = client()
        .post(format!("{}/turns", sandbox.url))
        .bearer_auth(&sandbox.token)
        .body(body.to_string());
    let turn = Records::of(request.send().await.unwrap()).rest().await;
    turn.completed();
    assert_eq!(processes_with("77031").len(), 1);
    let claude = pid_of_claude(&sandbox).await;
    rustix::process::kill_process(parent(claude), Signal::KILL).unwrap();
    let gone = || !is_alive(claude) && processes_with("77031").is_empty();
    eventually("nothing of it runs", gone).await;
    assert!(is_alive(pid_of_claude(&other).await), "others go on");
    assert!(!host.ensure("two", &upstream).await.started);
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_up_nobody_else_and_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let host = Host::start(data.path(), 600).await;
    let deaf = host.ensure("deaf", &upstream).await;
    let server = parent(pid_of_claude(&deaf).await);
    rustix::process::kill_process(server, Signal::STOP).unwrap();
    assert_eq!(host.state("deaf").await["state"], "running");
    let begin = std::time::Instant::now();
    let (replaced, others) = tokio::join!(host.ensure("deaf", &upstream), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert!(host.ensure("other", &upstream).await.started);
        let (_, list) = host.ask(Method::GET, "/sandboxes", json!(null)).await;
        assert_eq!(list["sandboxes"].as_array().unwrap().len(), 2);
        host.ask(Method::DELETE, "/sandboxes/other", json!(null))
            .await;
        begin.elapsed()
    });
    // Its end was waited for meanwhile.
    assert!(others < std::time::Duration::from_secs(7), "{others:?}");
    assert!(begin.elapsed() > std::time::Duration::from_secs(7));
    assert!(replaced.started);
    assert_ne!(replaced.url, deaf.url);
}

#[tokio::test]
async fn a_server_that_is_ending_is_not_said_to_run() {
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let host = Host::start(data.path(), 600).await;
    let first = host.ensure("one", &upstream).await;
    let claude = pid_of_claude(&first).await;
    let server = parent(claude);
    // So that it takes its time.
    let claude = rustix::process::Pid::from_raw(i32::try_from(claude).unwrap()).unwrap();
    rustix::process::kill_process(claude, Signal::STOP).unwrap();
    rustix::process::kill_process(server, Signal::TERM).unwrap();
    assert_eq!(host.end("one").await, "it was told to stop");
    assert!(is_alive(
        u64::try_from(server.as_raw_nonzero().get()).unwrap()
    ));
    let next = host.ensure("one", &upstream).await;
    assert!(next.started);
    assert_ne!(next.url, first.url);
}

#[tokio::test]
async fn an_agent_finds_no_token_of_its_host_or_its_server() {
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    // As somebody starts it by hand: the token is in its environment.
    let token = "a-token-for-one-test";
    let mut process = Command::new(env!("CARGO_BIN_EXE_agent-server"))
        .args(["host", "--listen=127.0.0.1:0", "--token-env=SOME_TOKEN"])
        .arg(format!("--data={}", data.path().display()))
        .env("AGENT_CLAUDE", claude())
        .env("SOME_TOKEN", token)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let host = process.id().unwrap();
    let wanted = json!({
        "session_id": "the-session", "model_url": upstream.url, "model_token": "t",
        "env": {"AGENT_MODEL": "test/model"},
    });
    let url = address(&mut process).await;
    let request = client()
        .put(format!("{url}/sandboxes/one"))
        .bearer_auth(token);
    let answer = request.body(wanted.to_string()).send().await.unwrap();
    let sandbox: Value = answer.json().await.unwrap();
    let server_token = sandbox["server_token"].as_str().unwrap();

    let url = sandbox["url"].as_str().unwrap();
    let started = Ensured {
        url: url.to_owned(),
        token: server_token.to_owned(),
        started: true,
    };
    let server = parent(pid_of_claude(&started).await).as_raw_nonzero();
    let look = format!(
        "for pid in {host} {server} $PPID; do echo; echo pid=$pid; tr '\\0' '\\n' < /proc/$pid/environ; done; true"
    );
    let look = Reply::Call("Bash", json!({"command": look}));
    upstream.script("look", vec![look, Reply::Say("Seen")]);
    let request = client().post(format!("{url}/turns"));
    let request = request.bearer_auth(server_token);
    let request = request.body(turn_request(1, json!({"prompt": "script:look"})).to_string());
    let turn = Records::of(request.send().await.unwrap()).rest().await;
    let seen = turn.completed().outputs().concat();
    assert!(
        seen.contains(&format!("pid={server}")) && seen.contains("AGENT_RUN="),
        "{seen}"
    );
    assert!(
        !seen.contains(token) && !seen.contains(server_token),
        "{seen}"
    );
    // Root may read everything; others see nothing at all.
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(seen.contains("AGENT_SESSION_ID="), is_root, "{seen}");
    let host = rustix::process::Pid::from_raw(i32::try_from(host).unwrap()).unwrap();
    rustix::process::kill_process(host, Signal::TERM).unwrap();
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn it_listens_on_this_machine_alone_and_wants_a_token() {
    let data = tempfile::tempdir().unwrap();
    for (listen, token) in [("0.0.0.0:0", TOKEN), ("127.0.0.1:0", "short")] {
        let ended = Command::new(env!("CARGO_BIN_EXE_agent-server"))
            .args(["host", "--listen", listen])
            .arg(format!("--data={}", data.path().display()))
            .env("AGENT_HOST_TOKEN", token)
            .output()
            .await
            .unwrap();
        assert!(!ended.status.success(), "{listen} {token}");
        assert!(ended.stdout.is_empty());
    }
}
