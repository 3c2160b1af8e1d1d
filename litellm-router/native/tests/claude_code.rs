//! Claude Code itself, as it is installed, on a model that speaks OpenAI's dialect.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use world::{Script, World, chunk};

/// Longer than Claude Code takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const CONFIG: &str = "
model_list:
- model_name: scripted
  litellm_params: {model: openai/m, api_base: PROVIDERS/one, api_key: k}
router_settings: {num_retries: 0}
";

/// A PNG of one red pixel.
const PIXEL: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82";

/// `AGENT_TEST_CLAUDE`, or what `npm install` has put into a folder above.
fn claude() -> PathBuf {
    if let Some(path) = std::env::var_os("AGENT_TEST_CLAUDE") {
        return path.into();
    }
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    let places = ["", "-musl"]
        .map(|libc| format!("node_modules/@anthropic-ai/claude-code-linux-{machine}{libc}/claude"));
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut found = folders.flat_map(|folder| places.iter().map(|place| folder.join(place)));
    found.find(|path| path.is_file()).unwrap_or_else(|| {
        panic!(
            "these tests need Claude Code: run `npm install` in the repository's root, or set \
             AGENT_TEST_CLAUDE to the path of its binary"
        )
    })
}

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("claude-code-{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        for inner in ["home", "workspace"] {
            std::fs::create_dir_all(path.join(inner)).unwrap();
        }
        Self(path)
    }

    fn workspace(&self) -> PathBuf {
        self.0.join("workspace")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Claude Code, asked something.
fn ask(world: &World, folder: &Folder, prompt: &str) -> Child {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Command::new(claude())
        .args(["-p", prompt, "--output-format=stream-json", "--verbose"])
        .arg("--include-partial-messages")
        .args([
            "--model=scripted",
            "--setting-sources=",
            "--strict-mcp-config",
        ])
        .args(["--permission-mode=acceptEdits", "--allowedTools=Bash,Write"])
        .current_dir(folder.workspace())
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder.0.join("home"))
        .env("ANTHROPIC_BASE_URL", world.url(""))
        .env("ANTHROPIC_AUTH_TOKEN", "auto-detect")
        .env("NO_PROXY", "127.0.0.1")
        .env("CLAUDE_CODE_MAX_RETRIES", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// All messages that it prints, the last of which is its result.
async fn messages(child: Child) -> Vec<Value> {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let read: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = read.last().map(|message| message["type"].clone());
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(last, Some(json!("result")), "{text}{complaints}");
    read
}

/// A call of a tool, its arguments in pieces.
fn call(id: &str, tool: &str, arguments: &Value) -> String {
    let arguments = arguments.to_string();
    let (first, second) = arguments.split_at(arguments.len() / 2);
    let head = json!({"index": 0, "id": id, "type": "function", "function": {"name": tool, "arguments": first}});
    let rest = json!({"index": 0, "function": {"arguments": second}});
    let deltas = [head, rest].map(|call| chunk(json!({"tool_calls": [call]}), Value::Null));
    deltas.concat() + &chunk(json!({}), json!("tool_calls"))
}

fn stream(parts: &str) -> Script {
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":7}}"#;
    Script::events(&[parts, usage, "\n\ndata: [DONE]\n\n"])
}

fn says(text: &str) -> Script {
    let parts = [
        chunk(json!({"content": text}), Value::Null),
        chunk(json!({}), json!("stop")),
    ];
    stream(&parts.concat())
}

#[tokio::test]
async fn it_hears_an_answer() {
    let folder = Folder::new("text");
    let world = World::start(CONFIG, &[("one", &[says("Grüße 🎈")])]).await;
    let messages = messages(ask(&world, &folder, "say hello")).await;
    let result = messages.last().unwrap();
    assert_eq!(
        (&result["is_error"], &result["result"]),
        (&json!(false), &json!("Grüße 🎈")),
        "{result}"
    );
    assert_eq!(result["usage"]["output_tokens"], 7, "{result}");
    let sent = world.sent().remove(0).json();
    assert_eq!(sent["model"], "m");
    assert!(
        !sent.to_string().contains("x-anthropic-billing-header"),
        "{sent}"
    );
    assert!(
        sent["tools"]
            .as_array()
            .is_some_and(|tools| tools.len() > 2),
        "{sent}"
    );
    assert!(sent.to_string().contains("say hello"), "{sent}");
}

#[tokio::test]
async fn it_hears_each_piece_as_the_provider_wrote_it() {
    let folder = Folder::new("pieces");
    let pieces = ["Grü", "ße", " an", " alle, ", "🎈"];
    let parts = pieces.map(|text| chunk(json!({"content": text}), Value::Null));
    let parts = parts.concat() + &chunk(json!({}), json!("stop"));
    let world = World::start(CONFIG, &[("one", &[stream(&parts)])]).await;
    let messages = messages(ask(&world, &folder, "say hello")).await;
    let events = messages
        .iter()
        .filter(|message| message["type"] == "stream_event")
        .map(|message| &message["event"]);
    let texts = events
        .clone()
        .filter(|event| event["delta"]["type"] == "text_delta");
    let texts: Vec<&str> = texts
        .filter_map(|event| event["delta"]["text"].as_str())
        .collect();
    assert_eq!(texts, pieces);
    let mut kinds: Vec<&str> = events.filter_map(|event| event["type"].as_str()).collect();
    kinds.retain(|kind| *kind != "ping");
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
}

#[tokio::test]
async fn it_writes_files_and_runs_commands() {
    let folder = Folder::new("tools");
    let file = folder.workspace().join("note.txt");
    let write = call(
        "call_1",
        "Write",
        &json!({"file_path": file, "content": "by the model\n"}),
    );
    let bash = call(
        "call_2",
        "Bash",
        &json!({"command": "wc -c < note.txt", "description": "Count"}),
    );
    let scripts = [stream(&write), stream(&bash), says("It is done.")];
    let world = World::start(CONFIG, &[("one", &scripts)]).await;
    let messages = messages(ask(&world, &folder, "write a note")).await;
    assert_eq!(
        messages.last().unwrap()["result"],
        "It is done.",
        "{messages:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "by the model\n");
    // What the tools said went back to the model, each behind its call.
    let sent = world.sent();
    let conversation = sent.last().unwrap().json();
    let turns = conversation["messages"].as_array().unwrap();
    for (id, tool, says) in [("call_1", "Write", "note.txt"), ("call_2", "Bash", "13")] {
        let at = turns
            .iter()
            .position(|turn| turn["tool_calls"][0]["id"] == id)
            .unwrap_or_else(|| panic!("{id} is not in {conversation}"));
        assert_eq!(turns[at]["tool_calls"][0]["function"]["name"], tool);
        assert_eq!(turns[at + 1]["tool_call_id"], id);
        assert!(
            turns[at + 1]["content"].to_string().contains(says),
            "{}",
            turns[at + 1]
        );
    }
}

#[tokio::test]
async fn it_shows_the_model_an_image() {
    let folder = Folder::new("image");
    let file = folder.workspace().join("pixel.png");
    std::fs::write(&file, PIXEL).unwrap();
    let read = call("call_1", "Read", &json!({"file_path": file}));
    let scripts = [stream(&read), says("A red pixel.")];
    let world = World::start(CONFIG, &[("one", &scripts)]).await;
    let messages = messages(ask(&world, &folder, "what is on pixel.png?")).await;
    assert_eq!(
        messages.last().unwrap()["result"],
        "A red pixel.",
        "{messages:?}"
    );
    let sent = world.sent();
    let conversation = sent.last().unwrap().json();
    let turns = conversation["messages"].as_array().unwrap();
    let result = turns.iter().position(|turn| turn["role"] == "tool");
    let result = result.unwrap_or_else(|| panic!("no result in {conversation}"));
    assert_eq!(turns[result]["tool_call_id"], "call_1");
    // A result holds text alone; the image stands in what the user says next.
    assert!(turns[result]["content"].is_string(), "{}", turns[result]);
    assert_eq!(turns[result + 1]["role"], "user");
    let parts = turns[result + 1]["content"].as_array().unwrap();
    let mut images = parts
        .iter()
        .filter_map(|part| part["image_url"]["url"].as_str());
    assert!(
        images.any(|url| url.starts_with("data:image/") && url.contains(";base64,")),
        "{}",
        turns[result + 1]
    );
}

#[tokio::test]
async fn it_tells_what_went_wrong() {
    for (status, words) in [
        (400, "the model wants no such thing"),
        (500, "fell over"),
        (401, "no key"),
    ] {
        let folder = Folder::new(&format!("error-{status}"));
        let failing = Script::json(status, json!({"error": {"message": words}}));
        let world = World::start(CONFIG, &[("one", &[failing])]).await;
        let messages = messages(ask(&world, &folder, "fail")).await;
        let result = messages.last().unwrap();
        assert_eq!(result["is_error"], true, "{result}");
        let told = result["result"].as_str().unwrap_or_default();
        // A key of the router's own is not the caller's to mend.
        let wanted = if status == 401 {
            "refused the router's own key"
        } else {
            words
        };
        assert!(told.contains(wanted), "{status}: {told}");
    }
}

#[tokio::test]
async fn it_shortens_a_conversation_that_is_too_long() {
    let folder = Folder::new("overflow");
    let words = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.";
    let too_long = Script::json(
        400,
        json!({"error": {"message": words, "code": "context_length_exceeded"}}),
    );
    let world = World::start(CONFIG, &[("one", &[too_long])]).await;
    let messages = messages(ask(&world, &folder, "much")).await;
    let told = messages.last().unwrap()["result"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    // Its own words for Anthropic's "prompt is too long".
    assert!(told.starts_with("Prompt is too long"), "{told}");
}

#[tokio::test]
async fn it_goes_away_and_the_provider_hears_it() {
    let folder = Folder::new("interrupt");
    let endless = Script::events(&[&chunk(json!({"content": "and on"}), Value::Null)]).hanging();
    let world = World::start(CONFIG, &[("one", &[endless])]).await;
    let mut child = ask(&world, &folder, "go on");
    let begin = std::time::Instant::now();
    while world.open() == 0 {
        assert!(begin.elapsed() < PATIENCE, "it has asked nobody");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().await.unwrap();
    world
        .until("the provider hears it", |world| world.open() == 0)
        .await;
}
