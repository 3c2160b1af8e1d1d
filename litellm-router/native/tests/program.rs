//! The program itself, started as a person starts it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// How long the program may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str =
    "model_list: [{model_name: d, litellm_params: {model: demo/scripted, tags: [x]}}]";

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_litellm-router"));
    command
        .args(arguments)
        // The keys and gateways of whoever runs the tests are none of theirs.
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn ended(mut command: Command) -> (bool, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap().unwrap();
    let text = [stdout, stderr].concat();
    (status.success(), String::from_utf8(text).unwrap())
}

fn file(name: &str, text: &str) -> PathBuf {
    let name = format!("{}-{name}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// The program, the address that it says it listens at, and what else it says.
async fn listening(mut command: Command) -> (Child, String, mpsc::UnboundedReceiver<String>) {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = async {
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once("listens at ") {
                let address = address.split('"').next().unwrap().to_owned();
                // It must not wait for whoever reads what comes later, or does not.
                let (say, said) = mpsc::unbounded_channel();
                tokio::spawn(async move {
                    while let Ok(Some(line)) = lines.next_line().await {
                        let _ = say.send(line);
                    }
                });
                return (address, said);
            }
            said.push(line);
        }
        panic!("it ended: {}", said.join("\n"))
    };
    let (address, said) = tokio::time::timeout(PATIENCE, address).await.unwrap();
    (child, address, said)
}

#[tokio::test]
async fn it_tells_how_it_is_used() {
    let (well, text) = ended(program(&["--help"])).await;
    assert!(well, "{text}");
    for option in [
        "--config <FILE>",
        "--host <ADDRESS>",
        "--port <PORT>",
        "--num-workers <N>",
        "--check",
        "--debug",
        "--log-format <FORMAT>",
        "default: 4000",
        "LITELLM_CONFIG_FILE",
    ] {
        assert!(text.contains(option), "{option} is not in\n{text}");
    }
    let (well, text) = ended(program(&["--no-such-option"])).await;
    assert!(!well && text.contains("--no-such-option"), "{text}");
}

#[tokio::test]
async fn it_checks_a_configuration_and_ends() {
    let fine = file("fine.yaml", CONFIG);
    let (well, text) = ended(program(&["--check", "--config", fine.to_str().unwrap()])).await;
    assert!(well, "{text}");
    assert!(
        text.contains("can be read; warnings: 1")
            && text.contains("model_list.0.litellm_params.tags"),
        "{text}"
    );
    let wrong = file("wrong.yaml", "router_settings:\n  cooldown_time: -1\n");
    let (well, text) = ended(program(&["--check", "--config", wrong.to_str().unwrap()])).await;
    assert!(
        !well && text.contains("line 2, column 18, router_settings.cooldown_time"),
        "{text}"
    );
    let (well, text) = ended(program(&["--config", "/no/such/file.yaml"])).await;
    assert!(!well && text.contains("/no/such/file.yaml"), "{text}");
    let (well, text) = ended(program(&["--check"])).await;
    assert!(well && text.contains("the bundled configuration"), "{text}");
}

#[tokio::test]
async fn where_no_terminal_reads_it_the_log_is_lines_of_json() {
    let lines = |text: String| {
        let lines = text.lines().map(serde_json::from_str::<Value>);
        lines.collect::<Result<Vec<_>, _>>()
    };
    let yaml = "model_list: []\nodd: \"a\\nb\"\n";
    let odd = file("odd.yaml", yaml);
    // No such address of this machine: it ends at once.
    let at = ["--config", odd.to_str().unwrap(), "--host", "203.0.113.1"];
    let start = |more: &[&str]| {
        let mut command = program(&[&at[..], more].concat());
        command.env("LITELLM_MASTER_KEY", "sk-master");
        ended(command)
    };
    let (well, text) = start(&[]).await;
    let told = lines(text).unwrap();
    assert!(!well && told.len() == 3, "{told:?}");
    for (line, level, words) in [
        (&told[0], "WARN", "odd has no effect"),
        (&told[1], "WARN", "there is no entry"),
        (&told[2], "ERROR", "cannot be listened at"),
    ] {
        assert_eq!(line["level"], level);
        let message = line["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert!(line["timestamp"].is_string() && line["target"].is_string());
    }
    let (_, text) = start(&["--log-format", "text"]).await;
    assert!(text.contains("odd has no effect"), "{text}");
    assert!(lines(text).is_err());
}

#[tokio::test]
async fn a_master_key_that_is_not_set_is_what_is_told_first() {
    let yaml = "odd: 1\nmodel_list: []\ngeneral_settings: {master_key: os.environ/NO_SUCH_KEY}\n";
    let shut = file("shut.yaml", yaml);
    let shut = ["--config", shut.to_str().unwrap()];
    let words = "every call is refused until the variable NO_SUCH_KEY is set";
    let (well, text) = ended(program(&[&shut[..], &["--check"]].concat())).await;
    let first = text.lines().next().unwrap();
    assert!(well && first.contains(words), "{text}");
    let open = ["--host", "0.0.0.0", "--port", "0"];
    let (well, text) = ended(program(&[&shut[..], &open].concat())).await;
    assert!(!well && text.contains(words), "{text}");
    assert!(!text.contains("everybody"), "{text}");
}

#[tokio::test]
async fn it_listens_to_the_world_only_where_callers_are_asked_for_a_key() {
    let open = ["--host", "0.0.0.0", "--port", "0"];
    let (well, text) = ended(program(&open)).await;
    assert!(!well && text.contains("LITELLM_MASTER_KEY"), "{text}");
    let mut guarded = program(&open);
    guarded.env("LITELLM_MASTER_KEY", "sk-master");
    let (_child, address, _said) = listening(guarded).await;
    assert!(address.starts_with("http://0.0.0.0:"), "{address}");
    // A key that the configuration hands out protects the router's as well as a master key.
    let keys = "general_settings: {keys: [{name: a, key: sk-a}]}\nmodel_list: []";
    let keys = file("keys.yaml", keys);
    let config = ["--config", keys.to_str().unwrap()];
    let (_child, address, _) = listening(program(&[&open[..], &config].concat())).await;
    assert!(address.starts_with("http://0.0.0.0:"), "{address}");
}

#[tokio::test]
async fn it_serves_where_it_is_told_to_and_ends_when_it_is_told_to() {
    let config = file("served.yaml", CONFIG);
    let config = config.to_str().unwrap();
    let flags = ["--config", config, "--host", "127.0.0.1", "--port", "0"];
    let (mut child, address, _said) = listening(program(&flags)).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body =
        r#"{"model": "d", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}"#;
    let answer = http.post(format!("{address}/v1/messages")).body(body);
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("\"type\":\"message\"")
    );
    let other = http.post(format!("{address}/v1/messages"));
    let other = other.body(body.replace("\"d\"", "\"e\"")).send().await;
    assert_eq!(other.unwrap().status(), 404);

    stop(&mut child).await;
}

/// Tells it to end, and waits until it has.
async fn stop(child: &mut Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).unwrap();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert!(status.unwrap().unwrap().success());
}

#[tokio::test]
async fn each_call_leaves_one_line_and_no_more() {
    let yaml = "model_list:\n- {model_name: d, litellm_params: {model: demo/scripted}}\n\
                - {model_name: m, litellm_params: {model: groq/x, mock_response: Mocked.}}\n\
                litellm_settings: {cache: true}\n";
    let config = file("logged.yaml", yaml);
    let flags = ["--config", config.to_str().unwrap(), "--port", "0"];
    let (mut child, address, mut said) = listening(program(&flags)).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut asked = Vec::new();
    for (path, model, stream, status) in [
        ("/v1/messages", "d", false, 200),
        ("/v1/messages", "d", true, 200),
        ("/v1/chat/completions", "d", true, 200),
        ("/v1/messages", "m", false, 200),
        // From the cache.
        ("/v1/messages", "m", false, 200),
        ("/v1/messages", "no-such", false, 404),
    ] {
        let body = json!({"model": model, "max_tokens": 99, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}]});
        let call = http.post(format!("{address}{path}")).body(body.to_string());
        let answer = call.send().await.unwrap();
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        asked.push((id, status));
        answer.bytes().await.unwrap();
    }
    // These ask no model, and leave nothing.
    let count = json!({"model": "d", "messages": [{"role": "user", "content": "hi"}]});
    let count = http
        .post(format!("{address}/v1/messages/count_tokens"))
        .json(&count);
    assert_eq!(count.send().await.unwrap().status(), 200);
    for path in ["/v1/models", "/health", "/worker-health", "/metrics"] {
        let read = http.get(format!("{address}{path}")).send().await.unwrap();
        assert_eq!(read.status(), 200, "{path}");
    }
    stop(&mut child).await;
    let mut lines = Vec::new();
    while let Some(line) = said.recv().await {
        let line: Value = serde_json::from_str(&line).unwrap();
        let id = line["request_id"].as_str().unwrap().to_owned();
        lines.push((id, line["status"].as_u64().unwrap()));
    }
    asked.sort();
    lines.sort();
    assert_eq!(lines, asked);
}
