//! Many sandboxes on one machine.

use std::path::Path;
use std::process::Stdio;

use protocol::sandbox::AgentState;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::upstream::Upstream;
use crate::world::{Records, address, claude, client, eventually, turn_request};

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
            .arg(format!("--data={}", data.display()))
            .arg(format!("--idle-seconds={idle_seconds}"))
            .env("AGENT_CLAUDE", claude())
            .env("AGENT_HOST_TOKEN", TOKEN)
            .env("AGENT_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
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

    async fn ensure(&self, name: &str, upstream: &Upstream) -> (String, bool) {
        let wanted = json!({
            "session_id": "the-session", "model_url": upstream.url, "model_token": "t",
            "env": {"AGENT_MODEL": "test/model"},
        });
        let path = format!("/sandboxes/{name}");
        let (status, answer) = self.ask(Method::PUT, &path, wanted).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let url = answer["url"].as_str().unwrap().to_owned();
        (url, answer["started"].as_bool().unwrap())
    }
}

async fn pid_of_claude(url: &str) -> u64 {
    loop {
        let debug = client().get(format!("{url}/debug")).send().await.unwrap();
        let debug: Value = debug.json().await.unwrap();
        if debug["agent"] == json!(AgentState::Ready) {
            return debug["claude"]["pid"].as_u64().unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn is_alive(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_sandbox_is_there_when_it_is_wanted() {
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let mut host = Host::start(data.path(), 600).await;
    let (url, started) = host.ensure("one", &upstream).await;
    assert!(started);
    assert_eq!(host.ensure("one", &upstream).await, (url.clone(), false));
    let (other, _) = host.ensure("two", &upstream).await;
    assert_ne!(other, url);

    let body = turn_request(1, json!({"prompt": "hello"}));
    let request = client().post(format!("{url}/turns")).body(body.to_string());
    let turn = Records::of(request.send().await.unwrap()).rest().await;
    assert_eq!(turn.completed().said(), ["Hello from the model"]);
    assert!(data.path().join("one/workspace").is_dir());

    let (_, list) = host.ask(Method::GET, "/sandboxes", json!(null)).await;
    assert_eq!(list["sandboxes"].as_array().unwrap().len(), 2);
    let pid = pid_of_claude(&url).await;
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
    let (url, _) = host.ensure("one", &upstream).await;
    loop {
        let (_, state) = host.ask(Method::GET, "/sandboxes/one", json!(null)).await;
        if state["state"] == "ended" {
            assert_eq!(state["exit_code"], 0);
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (again, started) = host.ensure("one", &upstream).await;
    assert!(started);
    assert_ne!(again, url);
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
