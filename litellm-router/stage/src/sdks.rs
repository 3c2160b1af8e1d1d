//! The SDKs that people use, unmodified, against a router whose providers are a stage: Anthropic's for
//! Python and TypeScript, and OpenAI's for Python. Prometheus's parser reads its metrics.
//!
//! Each script of `sdks/` prints the name of every case that holds. The SDKs come from their
//! registries, in these versions. Where that can't be done, a test says that it was skipped, and why;
//! with `CI=true` it fails.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::providers::{Script, Stage, chunk};

const PYTHON: [&str; 3] = [
    "anthropic==2.12.0",
    "openai==3.54.0",
    "prometheus_client==0.26.0",
];
const TYPESCRIPT: [&str; 1] = ["@anthropic-ai/sdk@1.12.0"];

const REFUSALS: [u16; 6] = [400, 401, 403, 404, 429, 500];

/// An SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    AnthropicsForPython,
    AnthropicsForTypescript,
    OpenaisForPython,
}

impl Sdk {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::AnthropicsForPython,
        Self::AnthropicsForTypescript,
        Self::OpenaisForPython,
    ];

    /// Whether everything holds with this SDK at the router at `url`, which has the configuration of
    /// [`config`] and `stage` behind it. What is installed for that goes into `folder`.
    pub async fn holds(self, url: &str, stage: &Stage, folder: &Path) {
        let (program, file, packages) = match self {
            Self::AnthropicsForPython => (python(folder).await, "anthropic_sdk.py", None),
            Self::OpenaisForPython => (python(folder).await, "openai_sdk.py", None),
            Self::AnthropicsForTypescript => {
                let node = Some(PathBuf::from("node"));
                let packages = typescript(folder).await;
                (
                    node.filter(|_| packages.is_some()),
                    "anthropic_sdk.mjs",
                    packages,
                )
            }
        };
        let Some(program) = program else { return };
        let scripts = scripts();
        let scripts: Vec<(&str, &[Script])> = scripts
            .iter()
            .map(|(name, scripts)| (name.as_str(), scripts.as_slice()))
            .collect();
        stage.begin_anew(&scripts);
        let mut script = Command::new(program);
        script.arg(script_file(file)).arg(url).args(packages);
        assert_eq!(play(script, stage).await, self.cases(), "{self:?}");
        the_provider_got_it(stage);
    }

    /// What has to hold, by the names that the scripts have for it.
    fn cases(self) -> &'static [&'static str] {
        match self {
            Self::AnthropicsForPython => &[
                "text",
                "streaming",
                "streaming_helper",
                "asynchronous",
                "tools",
                "images",
                "errors",
                "bad_requests",
                "error_within_a_stream",
                "retries",
                "counting",
                "models",
                "a_provider_of_the_same_dialect",
                "demo",
                "cancellation",
            ],
            Self::AnthropicsForTypescript => &[
                "text",
                "streaming",
                "streaming_helper",
                "tools",
                "images",
                "errors",
                "error_within_a_stream",
                "counting",
                "models",
                "a_provider_of_the_same_dialect",
                "demo",
                "cancellation",
            ],
            Self::OpenaisForPython => &[
                "text",
                "streaming",
                "usage_of_a_stream",
                "tools",
                "images",
                "a_provider_of_the_other_dialect",
                "errors",
                "error_within_a_stream",
                "models",
                "demo",
                "cancellation",
            ],
        }
    }
}

/// What the scripts can't see: that tools' results, the image and the caller's key went on.
fn the_provider_got_it(stage: &Stage) {
    let sent = stage.sent();
    let to = |provider: &str| {
        let mut all = sent.iter().filter(|sent| sent.provider == provider);
        all.next_back()
            .unwrap_or_else(|| panic!("nothing was sent to {provider}"))
    };
    let results = to("tools").json();
    let messages = results["messages"].as_array().unwrap();
    let calls = messages
        .iter()
        .find(|message| message["role"] == "assistant")
        .and_then(|message| message["tool_calls"].as_array());
    let results: Vec<&Value> = messages
        .iter()
        .filter(|message| message["role"] == "tool")
        .collect();
    assert_eq!(results.len(), 2, "{messages:?}");
    assert_eq!(calls.map(Vec::len), Some(2), "{messages:?}");
    for (call, result) in calls.unwrap().iter().zip(results) {
        assert_eq!(call["id"], result["tool_call_id"]);
        assert!(
            result["content"]
                .as_str()
                .unwrap()
                .starts_with("21 degrees")
        );
    }
    let image = to("image").json();
    let url = image.pointer("/messages/0/content/0/image_url/url");
    assert!(
        url.and_then(Value::as_str)
            .is_some_and(|url| url.starts_with("data:image/png;base64,iVBOR")),
        "{image}"
    );
    assert_eq!(
        to("text").headers["authorization"],
        "Bearer sk-the-callers-own"
    );
}

/// Whether Prometheus's own parser reads the metrics of the router at `url`, which has the configuration
/// of [`config`] and has answered a call. What is installed for that goes into `folder`.
pub async fn metrics_are_read(url: &str, stage: &Stage, folder: &Path) {
    let Some(program) = python(folder).await else {
        return;
    };
    let mut script = Command::new(program);
    script.arg(script_file("metrics.py")).arg(url);
    let held = play(script, stage).await;
    assert_eq!(held, ["parsed", "counter", "histogram", "gauge"]);
}

/// The models that the programs ask for, as [`Stage::configured`] takes it.
pub fn config() -> String {
    let chat = [
        "text",
        "stream",
        "tools",
        "image",
        "breaks",
        "endless",
        "busy-once",
    ];
    let refusing = REFUSALS.map(|status| format!("refuses-{status}"));
    let mut models: String = chat
        .iter()
        .copied()
        .chain(refusing.iter().map(String::as_str))
        .map(|name| {
            format!(
                "- {{model_name: {name}, litellm_params: {{model: openai/{name}, api_base: \
                 PROVIDERS/{name}}}, model_info: {{supports_vision: true}}}}\n"
            )
        })
        .collect();
    models += "- {model_name: claude, litellm_params: {model: anthropic/claude, api_base: PROVIDERS/claude}}\n";
    models += "- {model_name: local/demo, litellm_params: {model: demo/scripted}}\n";
    let settings = "num_retries: 0, disable_cooldowns: true";
    format!("router_settings: {{{settings}}}\nmodel_list:\n{models}")
}

fn scripts() -> Vec<(String, Vec<Script>)> {
    let text = |text: &str| {
        Script::json(
            200,
            json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}),
        )
    };
    let said = |text: &str| chunk(json!({"content": text}), Value::Null);
    let usage = json!({"id": "c", "object": "chat.completion.chunk", "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}});
    let stream = Script::events(&[
        &chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        &said("Hel"),
        &said("lo "),
        &said("there"),
        &chunk(json!({}), json!("stop")),
        &format!("data: {usage}\n\n"),
        "data: [DONE]\n\n",
    ])
    // Apart, as from a model that thinks about each word.
    .every(Duration::from_millis(20));
    let call = |index: u8, call: Value| {
        let mut call = call;
        call["index"] = json!(index);
        chunk(json!({"tool_calls": [call]}), Value::Null)
    };
    let role = chunk(json!({"role": "assistant", "content": null}), Value::Null);
    let begun = |id: &str| {
        json!({"id": id, "type": "function",
        "function": {"name": "get_weather", "arguments": ""}})
    };
    let arguments = |text: &str| json!({"function": {"arguments": text}});
    let tools = Script::events(&[
        &role,
        &call(0, begun("call_1")),
        &call(0, arguments("{\"ci")),
        &call(0, arguments("ty\":\"Paris\"}")),
        &call(1, begun("call_2")),
        &call(1, arguments("{\"city\":\"Ro")),
        &call(1, arguments("me\"}")),
        &chunk(json!({}), json!("tool_calls")),
        "data: [DONE]\n\n",
    ]);
    let breaks = Script::events(&[
        &said("half"),
        "data: {\"error\":{\"message\":\"fell over\",\"type\":\"server_error\",\"code\":500}}\n\n",
    ]);
    let event = |kind: &str, more: Value| {
        let mut event = more;
        event["type"] = json!(kind);
        format!("event: {kind}\ndata: {event}\n\n")
    };
    let claude = Script::events(&[
        &event(
            "message_start",
            json!({"message": {"id": "msg_1", "type": "message", "role": "assistant",
                "model": "claude", "content": [], "stop_reason": null, "stop_sequence": null,
                "usage": {"input_tokens": 7, "output_tokens": 1}}}),
        ),
        &event(
            "content_block_start",
            json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        &event(
            "content_block_delta",
            json!({"index": 0, "delta": {"type": "text_delta", "text": "Bonjour"}}),
        ),
        &event("content_block_stop", json!({"index": 0})),
        &event(
            "message_delta",
            json!({"delta": {"stop_reason": "end_turn", "stop_sequence": null},
                "usage": {"output_tokens": 3}}),
        ),
        &event("message_stop", json!({})),
    ]);
    let refusal = |status: u16| {
        Script::json(
            status,
            json!({"error": {"message": "no", "type": "x", "code": null}}),
        )
    };

    let mut scripts: Vec<(String, Vec<Script>)> = [
        ("text", vec![text("Hello there")]),
        ("stream", vec![stream]),
        ("tools", vec![tools, text("Warm.")]),
        ("image", vec![text("A pixel.")]),
        ("breaks", vec![breaks]),
        (
            "endless",
            vec![Script::events(&[&said("and on")]).hanging()],
        ),
        ("busy-once", vec![refusal(503), text("Hello there")]),
        ("claude", vec![claude]),
    ]
    .map(|(name, scripts)| (name.to_owned(), scripts))
    .into();
    let refusing = REFUSALS.map(|status| (format!("refuses-{status}"), vec![refusal(status)]));
    scripts.extend(refusing);
    scripts
}

/// Runs a script to its end. Where it says that it has left in the middle of an answer, waits until
/// the provider has heard it, and tells the script.
async fn play(mut script: Command, stage: &Stage) -> Vec<String> {
    let mut child = script
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut told = child.stdin.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let complaints = tokio::spawn(async move {
        let mut text = String::new();
        stderr.read_to_string(&mut text).await.map(|_| text)
    });
    let mut held = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line == "left" {
                // The script is waited for so long, and no longer.
                while stage.under_way() > 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                told.write_all(b"heard\n").await.unwrap();
            } else {
                held.push(line);
            }
        }
    };
    let patience = Duration::from_secs(120);
    let in_time = tokio::time::timeout(patience, reading).await;
    if in_time.is_err() {
        child.kill().await.unwrap();
    }
    let status = child.wait().await.unwrap();
    let complaints = complaints.await.unwrap().unwrap();
    assert!(status.success(), "after {held:?}: {complaints}");
    held
}

fn script_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sdks")
        .join(name)
}

/// A Python that has the SDKs.
async fn python(folder: &Path) -> Option<PathBuf> {
    let folder = folder.join("clients/python");
    let python = folder.join("bin/python");
    let installed = install(&folder, &PYTHON, || async {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).await?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(PYTHON))
        .await
    });
    told("Python", installed.await).map(|()| python)
}

/// The folder that has the SDK for TypeScript.
async fn typescript(folder: &Path) -> Option<PathBuf> {
    let folder = folder.join("clients/typescript");
    let installed = install(&folder, &TYPESCRIPT, || async {
        run(Command::new("npm")
            .args(["install", "--no-save", "--ignore-scripts", "--prefix"])
            .arg(&folder)
            .args(TYPESCRIPT))
        .await?;
        run(Command::new("node").arg("--version")).await
    });
    told("TypeScript", installed.await)?;
    tokio::fs::write(folder.join("package.json"), "{}")
        .await
        .unwrap();
    Some(folder)
}

/// Installs what is not there in these versions. Tests that want the same wait for each other.
async fn install<F>(
    folder: &Path,
    packages: &[&str],
    install: impl FnOnce() -> F,
) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let marker = folder.join("installed");
    let wanted = packages.join(" ");
    if std::fs::read_to_string(&marker).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    install().await?;
    std::fs::write(&marker, wanted).map_err(|error| error.to_string())
}

async fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{:?}", command.as_std());
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| format!("{shown}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{shown}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// Says what is missing where even a test that passes is heard. Where everything has to be there
/// (`CI`), a test that cannot run has failed.
fn told(language: &str, installed: Result<(), String>) -> Option<()> {
    let Err(why) = installed else {
        return Some(());
    };
    let what = format!("the SDKs for {language} can't be installed: {why}");
    let in_ci = std::env::var("CI").is_ok_and(|value| !["", "0", "false"].contains(&&*value));
    assert!(!in_ci, "{what}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
    None
}
