//! What fails ends as failed, says why, and the next turn works.

use std::time::{Duration, Instant};

use protocol::event::EventBody;
use reqwest::StatusCode;
use serde_json::json;

use crate::upstream::Reply;
use crate::world::{World, eventually, processes_with};

fn kill(pid: u64) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn the_process_is_killed_in_the_middle_of_a_turn() {
    let world = World::new().await;
    world.script(
        "sleep",
        vec![Reply::Call(
            "Bash",
            json!({"command": "while true; do sleep 0.77006; done"}),
        )],
    );
    world.turn(1, "my name is Ada").await.completed();
    let records = world.begin(2, json!({"prompt": "script:sleep"})).await;
    eventually("the command runs", || !processes_with("0.77006").is_empty()).await;
    let debug = world.debug().await;
    kill(debug["claude"]["pid"].as_u64().unwrap());
    let (code, content) = records.rest().await.failed();
    assert_eq!(code, "sandbox_failed");
    assert!(content.contains("signal: 9"), "{content}");
    assert_eq!(processes_with("0.77006").len(), 0);
    world.turn(3, "who am I?").await.completed();
    assert!(world.upstream.last_conversation().contains("Ada"));
}

#[tokio::test]
async fn the_process_is_killed_between_turns() {
    let world = World::new().await;
    world.turn(1, "my name is Ada").await.completed();
    kill(world.claude_pid().await);
    world.turn(2, "who am I?").await.completed();
    assert!(world.upstream.last_conversation().contains("Ada"));
}

#[tokio::test]
async fn a_provider_that_fails() {
    let world = World::new().await;
    let error = r#"{"type":"error","error":{"type":"api_error","message":"the lights went out"}}"#;
    let key = r#"{"type":"error","error":{"type":"authentication_error","message":"no such key"}}"#;
    let bad =
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"no such model"}}"#;
    world.script("dark", vec![Reply::Refuse(500, error)]);
    world.script("key", vec![Reply::Refuse(401, key)]);
    world.script("bad", vec![Reply::Refuse(400, bad)]);
    for (turn, script, words) in [
        (1, "dark", ["500", "the lights went out"]),
        (2, "key", ["401", "no such key"]),
        (3, "bad", ["400", "no such model"]),
    ] {
        let ended = world.turn(turn, &format!("script:{script}")).await;
        if script == "dark" {
            let retried = ended.events().into_iter().any(|event| {
                matches!(event, EventBody::Status(status)
                    if status.content == "The model's provider answered 500; trying again (1 of 1)")
            });
            assert!(retried, "{ended:#?}");
        }
        // Told once, as an error and not as if the assistant had said it.
        assert!(ended.said().is_empty());
        let (code, content) = ended.failed();
        assert_eq!(code, "model_failed");
        for word in words {
            assert!(content.contains(word), "{content}");
        }
        assert!(!content.contains("127.0.0.1"), "{content}");
    }
    world.turn(4, "hello").await.completed();
}

#[tokio::test]
async fn a_provider_that_hangs() {
    let world = World::with(&[("AGENT_API_TIMEOUT_MS", "1000"), ("AGENT_MAX_RETRIES", "0")]).await;
    world.script("hang", vec![Reply::Hang]);
    let begin = Instant::now();
    let (code, _) = world.turn(1, "script:hang").await.failed();
    assert_eq!(code, "model_failed");
    assert!(begin.elapsed() < Duration::from_secs(30));
    world.turn(2, "hello").await.completed();
}

#[tokio::test]
async fn a_stream_that_is_cut() {
    let world = World::with(&[("AGENT_MAX_RETRIES", "0")]).await;
    world.script("cut", vec![Reply::Cut("half a sen")]);
    let turn = world.turn(1, "script:cut").await;
    // Claude Code keeps what has come, or gives up: never is it a silent end.
    if turn.end().outcome == protocol::Outcome::Completed {
        assert_eq!(turn.said(), ["half a sen"]);
    } else {
        assert_eq!(turn.failed().0, "model_failed");
    }
    world.turn(2, "hello").await.completed();
}

#[tokio::test]
async fn lines_longer_than_are_read() {
    let world = World::new().await;
    let content = "x".repeat(20 * 1024 * 1024);
    let path = world.workspace().join("big.txt");
    let input = json!({"file_path": path.to_str().unwrap(), "content": content});
    world.script("big", vec![Reply::Call("Write", input), Reply::Say("Big")]);
    let turn = world.turn(1, "script:big").await.completed();
    let (code, words) = turn.error().unwrap();
    assert_eq!(code, "too_large");
    assert!(words.contains("left out"), "{words}");
    assert_eq!(turn.said(), ["Big"]);
    assert_eq!(std::fs::metadata(path).unwrap().len(), content.len() as u64);
    let memory = world.debug().await["memory"]["server_bytes"]
        .as_u64()
        .unwrap();
    assert!(memory < 100 * 1024 * 1024, "{memory}");
}

#[tokio::test]
async fn long_inputs_and_outputs_are_cut() {
    let world = World::new().await;
    let content = "y".repeat(1024 * 1024);
    let path = world.workspace().join("long.txt");
    let path = path.to_str().unwrap();
    world.script(
        "long",
        vec![
            Reply::Call("Write", json!({"file_path": path, "content": content})),
            Reply::Say("Long"),
        ],
    );
    let turn = world.turn(1, "script:long").await.completed();
    let input = turn
        .events()
        .into_iter()
        .find_map(|event| match event {
            EventBody::ToolUse { input, .. } => Some(input.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(input["cut"], true);
    assert_eq!(input["file_path"], path);
    assert!(input.get("content").is_none());
}

/// More than is kept, in blocks that a line of Claude Code's has room for.
const MUCH: Reply = Reply::Much {
    blocks: 24,
    pieces: 48,
    bytes: 64 * 1024,
};

#[tokio::test]
async fn output_that_nobody_acknowledges_ends_the_turn() {
    let world = World::new().await;
    world.script("much", vec![MUCH]);
    let turn = world.turn(1, "script:much").await;
    assert!(turn.records.len() > 10);
    let (code, content) = turn.failed();
    assert_eq!(code, "too_large");
    assert!(content.contains("67108864"), "{content}");
    world.turn(2, "hello").await.completed();
}

#[tokio::test]
async fn output_that_is_acknowledged_as_it_comes_has_no_end() {
    let world = World::new().await;
    world.script("much", vec![MUCH]);
    let mut records = world.begin(1, json!({"prompt": "script:much"})).await;
    let (mut streamed, mut unacknowledged) = (0, 0);
    let end = loop {
        let record = records.next().await.expect("an end");
        if let Some(end) = record.end {
            break end;
        }
        for event in &record.events {
            if let EventBody::Progress { content, .. } = event {
                streamed += content.len();
            }
        }
        unacknowledged += 1;
        // The last stays: a session acknowledges what it has stored, not what it is about to.
        if unacknowledged > 8 && record.n > 1 {
            unacknowledged = 0;
            let body = json!({"turn_id": "turn-1", "n": record.n - 1});
            let answer = world.post("/acknowledge", &body).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
    };
    assert_eq!(end.outcome, protocol::Outcome::Completed, "{end:?}");
    assert!(streamed > 64 * 1024 * 1024, "{streamed}");
}

#[tokio::test]
async fn there_is_no_claude_code() {
    let world = World::with(&[("AGENT_CLAUDE", "/nonexistent/claude")]).await;
    let health: serde_json::Value = world.get("/").await.json().await.unwrap();
    assert_eq!(health["status"], "healthy");
    let (code, content) = world.turn(1, "hello").await.failed();
    assert_eq!(code, "sandbox_failed");
    assert!(content.contains("could not be started"), "{content}");
    let direct = world.post("/", &json!({"prompt": "hello"})).await;
    assert_eq!(direct.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_program_that_is_not_claude_code() {
    for program in ["/bin/false", "/bin/true"] {
        let world = World::with(&[("AGENT_CLAUDE", program)]).await;
        let (code, content) = world.turn(1, "hello").await.failed();
        assert_eq!(code, "sandbox_failed");
        assert!(content.contains("did not start"), "{content}");
    }
}

#[tokio::test]
async fn the_end_of_the_server_is_the_end_of_all_it_started() {
    let mut world = World::new().await;
    world.script(
        "sleep",
        vec![Reply::Call(
            "Bash",
            json!({"command": "setsid sleep 77007 & sleep 77008; true"}),
        )],
    );
    let mut records = world.begin(1, json!({"prompt": "script:sleep"})).await;
    records
        .until(|event| matches!(event, EventBody::ToolUse { .. }))
        .await;
    eventually("the command runs", || {
        !processes_with("77007").is_empty() && !processes_with("sleep\x0077008").is_empty()
    })
    .await;
    let claude = world.debug().await["claude"]["pid"].as_u64().unwrap();
    let begin = Instant::now();
    assert_eq!(world.stop().await, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5));
    let (code, content) = records.rest().await.failed();
    assert_eq!(
        (code.as_str(), content.as_str()),
        ("sandbox_failed", "The sandbox was stopped")
    );
    assert_eq!(processes_with("77007").len(), 0);
    assert_eq!(processes_with("77008").len(), 0);
    assert!(!std::path::Path::new(&format!("/proc/{claude}")).exists());
}

#[tokio::test]
async fn a_server_that_is_killed_takes_its_agent_along() {
    let mut world = World::new().await;
    world.script(
        "sleep",
        vec![Reply::Call(
            "Bash",
            json!({"command": "while true; do sleep 0.77012; done"}),
        )],
    );
    let _records = world.begin(1, json!({"prompt": "script:sleep"})).await;
    eventually("the command runs", || !processes_with("0.77012").is_empty()).await;
    let claude = world.debug().await["claude"]["pid"].as_u64().unwrap();
    world.server.kill().await.unwrap();
    eventually("the agent is gone", || {
        !std::path::Path::new(&format!("/proc/{claude}")).exists()
            && processes_with("0.77012").is_empty()
    })
    .await;
}
