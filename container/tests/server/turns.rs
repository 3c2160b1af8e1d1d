//! Turns as they should go.

use std::time::Duration;

use protocol::event::{EventBody, TurnState};
use protocol::{Outcome, SessionId};
use reqwest::StatusCode;
use serde_json::json;

use crate::upstream::Reply;
use crate::world::{Records, World, turn_request};

#[tokio::test]
async fn it_listens_before_the_agent_is_ready_and_the_first_turn_works() {
    let world = World::new().await;
    let health: serde_json::Value = world.get("/").await.json().await.unwrap();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["protocol"], 1);
    assert_eq!(health["agent"], "starting");

    let turn = world.turn(1, "hello").await.completed();
    assert_eq!(turn.said(), ["Hello from the model"]);
    let streamed: String = turn
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventBody::Progress { content, .. } => Some(content.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(streamed, "Hello from the model");
    let usage = turn.end().usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (10, 20));
    assert_eq!(turn.end().model.as_deref(), Some("test/model"));
    let named = turn
        .records
        .iter()
        .filter(|record| record.claude_session_id.is_some());
    assert_eq!(named.count(), 1);
    // No record is without content.
    assert!(turn.records.iter().all(|record| {
        !record.events.is_empty()
            || record.claude_session_id.is_some()
            || record.transcript.is_some()
            || record.end.is_some()
    }));
}

#[tokio::test]
async fn the_process_is_kept_and_remembers() {
    let world = World::new().await;
    let pid = world.claude_pid().await;
    world.turn(1, "my name is Ada").await.completed();
    let second = world.turn(2, "what is my name?").await.completed();
    assert_eq!(world.claude_pid().await, pid);
    assert!(
        world
            .upstream
            .last_conversation()
            .contains("my name is Ada")
    );
    assert_eq!(second.end().usage.unwrap().output_tokens, 20);
}

#[tokio::test]
async fn tools_work_on_the_workspace() {
    let world = World::new().await;
    let file = world.workspace().join("hello.py");
    let path = file.to_str().unwrap();
    world.script(
        "tools",
        vec![
            Reply::Call("Write", json!({"file_path": path, "content": "print(6*7)\n"})),
            Reply::Call("Bash", json!({"command": "cat hello.py; exit 3"})),
            Reply::Call("Edit", json!({"file_path": path, "old_string": "6", "new_string": "5"})),
            Reply::Call(
                "TodoWrite",
                json!({"todos": [{"content": "Rest", "status": "in_progress", "activeForm": "Resting"}]}),
            ),
            Reply::Think("Let me see.", "Done"),
        ],
    );
    let turn = world.turn(1, "script:tools").await.completed();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "print(5*7)\n");
    let told: Vec<String> = turn
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventBody::ToolUse { content, .. } => Some(content.clone()),
            EventBody::ToolResult { is_error, .. } => Some(format!("is_error {is_error}")),
            EventBody::FileChange { content, .. } | EventBody::TodoUpdate { content, .. } => {
                Some(content.clone())
            }
            EventBody::Thinking {
                content,
                partial: false,
                ..
            } => Some(content.clone()),
            _ => None,
        })
        .collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        "Write hello.py",
        "is_error false",
        "Wrote hello.py",
        "Bash: cat hello.py; exit 3",
        "is_error true",
        "Edit hello.py",
        "is_error false",
        "Edited hello.py",
        "TodoWrite: 1 to do",
        "is_error false",
        "0 of 1 done; now: Resting",
        "Let me see.",
    ]
    "#);
}

#[tokio::test]
async fn a_token_that_stands_alone_is_not_held_back() {
    let world = World::new().await;
    world.script(
        "slow",
        vec![Reply::Slowly("one two three", Duration::from_millis(300))],
    );
    let mut records = world.begin(1, json!({"prompt": "script:slow"})).await;
    let piece = |word: &'static str| move |event: &EventBody| matches!(event, EventBody::Progress { content, .. } if content == word);
    records.until(piece("one ")).await;
    let begin = std::time::Instant::now();
    records.until(piece("two ")).await;
    let pause = begin.elapsed().as_millis();
    assert!((150..450).contains(&pause), "{pause}");
    records.until(piece("three")).await;
}

#[tokio::test]
async fn what_a_command_prints_is_told_while_it_runs() {
    let world = World::new().await;
    let command = "echo one; until test -e go-on; do sleep 0.1; done; echo two";
    let call = json!({"command": command, "description": "Waits"});
    let replies = vec![Reply::Call("Bash", call), Reply::Say("Done.")];
    world.script("waits", replies);
    let mut records = world.begin(1, json!({"prompt": "script:waits"})).await;
    let one = |event: &EventBody| matches!(event, EventBody::ToolOutput { content, .. } if content == "one\n");
    records.until(one).await;
    std::fs::write(world.workspace().join("go-on"), "").unwrap();
    let result = |event: &EventBody| matches!(event, EventBody::ToolResult { content, .. } if content == "one\ntwo");
    records.until(result).await;
    records.rest().await.completed();
}

#[tokio::test]
async fn who_comes_back_gets_exactly_the_rest() {
    let world = World::new().await;
    world.script(
        "slow",
        vec![Reply::Slowly("a b c d e f", Duration::from_millis(100))],
    );
    let mut first = world.begin(1, json!({"prompt": "script:slow"})).await;
    first
        .until(|event| matches!(event, EventBody::Progress { .. }))
        .await;
    // Gone: the turn goes on.
    drop(first);
    let whole = Records::of(world.get("/turns/turn-1?after=0").await)
        .rest()
        .await
        .completed();
    assert_eq!(whole.said(), ["a b c d e f"]);
    let count = whole.records.len() as u64;
    for after in [1, 3, count - 1] {
        let rest = Records::of(world.get(&format!("/turns/turn-1?after={after}")).await)
            .rest()
            .await;
        assert_eq!(rest.records.first().unwrap().n, after + 1);
        assert_eq!(rest.records.len() as u64, count - after);
    }
    // The same turn once more is the same turn, not another.
    let again = world
        .begin(1, json!({"prompt": "script:slow"}))
        .await
        .rest()
        .await;
    assert_eq!(again.records.len() as u64, count);
    assert_eq!(world.upstream.requests().len(), 1);

    let body = json!({"turn_id": "turn-1", "n": 3});
    let done = world.post("/acknowledge", &body).await;
    assert_eq!(done.status(), StatusCode::NO_CONTENT);
    let gone = world.get("/turns/turn-1?after=2").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    let rest = Records::of(world.get("/turns/turn-1?after=3").await);
    assert_eq!(rest.rest().await.records.len() as u64, count - 3);
    let unknown = world.get("/turns/turn-7").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn silence_is_told_from_a_dead_link() {
    let world = World::new().await;
    world.script("hang", vec![Reply::Hang]);
    let mut records = world.begin(1, json!({"prompt": "script:hang"})).await;
    let begin = std::time::Instant::now();
    while records.next().await.unwrap().n > 0 {}
    assert!(begin.elapsed() >= Duration::from_secs(5));
    world.interrupt(1).await;
}

#[tokio::test]
async fn a_sub_agent_is_part_of_one_turn() {
    let world = World::new().await;
    world.script(
        "boss",
        vec![
            Reply::Call(
                "Agent",
                json!({"description": "count", "prompt": "script:worker", "subagent_type": "general-purpose"}),
            ),
            Reply::Say("All counted"),
        ],
    );
    world.script(
        "worker",
        vec![
            Reply::Call("Bash", json!({"command": "echo from-below"})),
            Reply::Say("I counted"),
        ],
    );
    let turn = world.turn(1, "script:boss").await.completed();
    assert_eq!(turn.said().last().unwrap(), "All counted");
    let below = turn.events().into_iter().any(|event| {
        matches!(event, EventBody::ToolUse { tool, parent_tool_use_id: Some(_), .. } if tool == "Bash")
    });
    assert!(below, "{turn:#?}");
    // With the sub-agent's calls.
    assert_eq!(turn.end().usage.unwrap().output_tokens, 80);
    let next = world.turn(2, "hello").await.completed();
    assert_eq!(next.said(), ["Hello from the model"]);
}

#[tokio::test]
async fn another_launch_is_another_process_in_the_same_conversation() {
    let world = World::new().await;
    world.turn(1, "my name is Ada").await.completed();
    let pid = world.claude_pid().await;
    let options =
        json!({"prompt": "who am I?", "appendSystemPrompt": "Speak like a PIRATE", "maxTurns": 3});
    world.begin(2, options).await.rest().await.completed();
    assert_ne!(world.claude_pid().await, pid);
    assert!(
        world
            .upstream
            .last_conversation()
            .contains("my name is Ada")
    );
}

#[tokio::test]
async fn another_model_is_no_other_process() {
    let world = World::new().await;
    world.turn(1, "hello").await.completed();
    let pid = world.claude_pid().await;
    for (turn, options, model) in [
        (
            2,
            json!({"prompt": "hello", "model": "other/model"}),
            "other/model",
        ),
        (
            3,
            json!({"prompt": "hello", "permissionMode": "plan"}),
            "test/model",
        ),
        (4, json!({"prompt": "hello"}), "test/model"),
    ] {
        let ended = world.begin(turn, options).await.rest().await.completed();
        assert_eq!(ended.end().model.as_deref(), Some(model));
        let requests = world.upstream.requests();
        assert_eq!(requests.last().unwrap()["model"], model);
    }
    assert_eq!(world.claude_pid().await, pid);
}

#[tokio::test]
async fn a_sub_agent_that_asks_for_haiku_gets_a_model_that_there_is() {
    let world = World::new().await;
    for alias in ["haiku", "sonnet", "opus"] {
        let input = json!({
            "description": "count", "prompt": "script:worker", "model": alias,
            "subagent_type": "general-purpose",
        });
        let script = vec![Reply::Call("Agent", input), Reply::Say("All counted")];
        world.script(alias, script);
    }
    world.script("worker", vec![Reply::Say("I counted")]);
    let pid = world.claude_pid().await;
    let mut turn = 0;
    for (model, alias, called) in [
        ("test/model", "haiku", "test/model"),
        ("other/model", "haiku", "other/model"),
        ("other/model", "sonnet", "other/model"),
        ("other/model", "opus", "other/model"),
        ("anthropic/claude-sonnet-5", "haiku", "claude-haiku"),
        ("test/model", "haiku", "test/model"),
    ] {
        turn += 1;
        let before = world.upstream.requests().len();
        let options = json!({"prompt": format!("script:{alias}"), "model": model});
        world.begin(turn, options).await.rest().await.completed();
        let models: Vec<String> = world.upstream.requests()[before..]
            .iter()
            .map(|request| request["model"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(models.len(), 3, "{models:?}");
        assert_eq!(models[0], model);
        assert!(models[1].starts_with(called), "{alias}: {models:?}");
        assert_eq!(models[2], model);
    }
    assert_eq!(world.claude_pid().await, pid);
}

#[tokio::test]
async fn a_new_conversation_on_request_and_an_old_one_by_name() {
    let world = World::new().await;
    let first = world.turn(1, "my name is Ada").await.completed();
    let name = first
        .records
        .iter()
        .find_map(|record| record.claude_session_id.clone())
        .unwrap();
    let options = json!({"prompt": "who am I?", "continueSession": false});
    let second = world.begin(2, options).await.rest().await.completed();
    assert!(!world.upstream.last_conversation().contains("Ada"));
    assert!(
        second
            .records
            .iter()
            .any(|record| record.claude_session_id.is_some())
    );
    let options = json!({"prompt": "and now?", "resumeSessionId": name});
    world.begin(3, options).await.rest().await.completed();
    assert!(world.upstream.last_conversation().contains("Ada"));

    let options = json!({"prompt": "x", "resumeSessionId": "00000000-0000-4000-8000-000000000000"});
    let (code, content) = world.begin(4, options).await.rest().await.failed();
    assert_eq!(code, "sandbox_failed");
    assert!(content.contains("No conversation found"), "{content}");
    world.turn(5, "hello").await.completed();
    assert!(world.upstream.last_conversation().contains("Ada"));
}

#[tokio::test]
async fn a_new_server_goes_on_with_the_conversation() {
    let mut world = World::new().await;
    world.turn(1, "my name is Ada").await.completed();
    world.restart().await;
    world.turn(2, "who am I?").await.completed();
    assert!(world.upstream.last_conversation().contains("Ada"));
}

#[tokio::test]
async fn turns_come_in_order() {
    let world = World::new().await;
    world.turn(5, "hello").await.completed();
    let late = world
        .post("/turns", &turn_request(4, json!({"prompt": "late"})))
        .await;
    assert_eq!(late.status(), StatusCode::CONFLICT);
    assert_eq!(late.headers()["content-type"], "application/problem+json");
    let mut other = turn_request(6, json!({"prompt": "x"}));
    other["session_id"] = json!(SessionId::parse("another").unwrap());
    let other = world.post("/turns", &other).await;
    assert_eq!(other.status(), StatusCode::CONFLICT);
    let mut newer = turn_request(6, json!({"prompt": "x"}));
    newer["protocol"] = json!(2);
    let newer = world.post("/turns", &newer).await;
    assert_eq!(newer.status(), StatusCode::CONFLICT);
    let problem: serde_json::Value = newer.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("older than the Worker") && detail.contains("deploy again"));
    assert_eq!(world.upstream.requests().len(), 1);
    world.turn(6, "hello").await.completed();
}

#[tokio::test]
async fn a_new_turn_ends_the_one_that_runs() {
    let world = World::new().await;
    world.script("hang", vec![Reply::Hang]);
    let mut first = world.begin(1, json!({"prompt": "script:hang"})).await;
    first
        .until(|event| {
            matches!(event, EventBody::Status(status) if status.state == TurnState::Running)
        })
        .await;
    let second = world.turn(2, "hello").await.completed();
    assert_eq!(second.said(), ["Hello from the model"]);
    assert_eq!(first.rest().await.outcome(), Outcome::Interrupted);
}

#[tokio::test]
async fn too_many_calls_of_the_model() {
    let world = World::new().await;
    world.script(
        "loop",
        vec![Reply::Call("Bash", json!({"command": "echo again"}))],
    );
    let options = json!({"prompt": "script:loop", "maxTurns": 2});
    let (code, _) = world.begin(1, options).await.rest().await.failed();
    assert_eq!(code, "max_turns");
}

#[tokio::test]
async fn permissions_can_be_skipped_as_root_too() {
    let world = World::new().await;
    world.script(
        "fetch",
        vec![
            Reply::Call("Bash", json!({"command": "id -u"})),
            Reply::Say("Done"),
        ],
    );
    let options = json!({
        "prompt": "script:fetch", "permissionMode": "bypassPermissions", "allowedTools": ["Read"],
    });
    let turn = world.begin(1, options).await.rest().await.completed();
    assert_eq!(turn.outputs().len(), 1);
    assert!(turn.outputs()[0].trim().parse::<u32>().is_ok());
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_nothing_hangs() {
    let world = World::new().await;
    world.script(
        "fetch",
        vec![
            Reply::Call("WebFetch", json!({"url": "http://x.test", "prompt": "x"})),
            Reply::Say("Then not"),
        ],
    );
    let turn = world.turn(1, "script:fetch").await.completed();
    assert!(
        turn.outputs()[0].contains("Nobody can be asked"),
        "{turn:#?}"
    );
}

#[tokio::test]
async fn requests_that_are_none() {
    let world = World::new().await;
    for (method, path, status, allow) in [
        ("DELETE", "/", 405, "GET, HEAD, POST"),
        ("GET", "/turns", 405, "POST"),
        ("POST", "/turns/turn-1", 405, "GET, HEAD"),
        ("GET", "/interrupt", 405, "POST"),
        ("GET", "/acknowledge", 405, "POST"),
        ("GET", "/answer", 405, "POST"),
        ("GET", "/settings", 405, "POST"),
        ("POST", "/debug", 405, "GET, HEAD"),
        ("GET", "/nothing", 404, ""),
        ("POST", "/turns", 400, ""),
        ("GET", "/turns/seven", 400, ""),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = world
            .http
            .request(method.clone(), format!("{}{path}", world.url))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap());
        assert_eq!(header("content-type"), Some("application/problem+json"));
        assert_eq!(header("allow").unwrap_or_default(), allow);
    }
    let big = "x".repeat(3 * 1024 * 1024);
    let answer = world
        .http
        .post(format!("{}/interrupt", world.url))
        .body(big)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let browser = world
        .http
        .post(&world.url)
        .header("origin", "https://evil.test")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(browser.status(), StatusCode::FORBIDDEN);
}
