//! What the agent asks a person, and what it does with the answer: the real Claude Code.

use std::time::Duration;

use protocol::event::EventBody;
use protocol::sandbox::{Record, TurnRequest};
use protocol::{Outcome, TurnId};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::upstream::Reply;
use crate::world::{Records, Turn, World, turn_request};

fn bash(command: &str) -> Reply {
    Reply::Call("Bash", json!({"command": command}))
}

fn questions() -> Value {
    json!({"questions": [{
        "question": "Which colour?", "header": "Colour", "multiSelect": false,
        "options": [
            {"label": "Red", "description": "warm"},
            {"label": "Blue", "description": "cold"},
        ],
    }]})
}

/// A turn that is being read, with what it has asked.
struct Reading<'a> {
    world: &'a World,
    turn: u64,
    records: Records,
    seen: Vec<Record>,
}

struct Asked {
    id: String,
    tool: String,
    content: String,
    input: Value,
    rules: Vec<String>,
}

impl<'a> Reading<'a> {
    async fn begin(world: &'a World, turn: u64, options: Value) -> Self {
        Self::with_rules(world, turn, options, &[]).await
    }

    async fn with_rules(world: &'a World, turn: u64, options: Value, rules: &[&str]) -> Self {
        let mut request: TurnRequest = serde_json::from_value(turn_request(turn, options)).unwrap();
        request.asks = true;
        request.turn.rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let request = serde_json::to_value(request).unwrap();
        let response = world.post("/turns", &request).await;
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            world,
            turn,
            records: Records::of(response),
            seen: Vec::new(),
        }
    }

    async fn asked(&mut self) -> Asked {
        loop {
            let record = self.records.next().await.expect("it asks nothing");
            assert!(record.end.is_none(), "it ended: {record:?} {:?}", self.seen);
            let asked = record.events.iter().find_map(|event| match event {
                EventBody::PermissionRequest {
                    content,
                    request_id,
                    tool,
                    input,
                    rules,
                    ..
                } => Some(Asked {
                    id: request_id.clone(),
                    tool: tool.clone(),
                    content: content.clone(),
                    input: input.clone(),
                    rules: rules.clone(),
                }),
                EventBody::Question {
                    content,
                    request_id,
                    input,
                    ..
                } => Some(Asked {
                    id: request_id.clone(),
                    tool: "a question".to_owned(),
                    content: content.clone(),
                    input: input.clone(),
                    rules: Vec::new(),
                }),
                _ => None,
            });
            self.seen.push(record);
            if let Some(asked) = asked {
                return asked;
            }
        }
    }

    async fn answer(&self, asked: &Asked, verdict: Value, rules: &[&str]) {
        let body = json!({
            "turn_id": TurnId(self.turn), "request_id": asked.id, "verdict": verdict, "rules": rules,
        });
        // However often it is told.
        for _ in 0..2 {
            let answer = self.world.post("/answer", &body).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
    }

    async fn settings(&self, model: &str, mode: &str, rules: &[&str]) {
        let body = json!({
            "turn_id": TurnId(self.turn), "model": model, "permission_mode": mode, "rules": rules,
        });
        let answer = self.world.post("/settings", &body).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    /// Reads the rest; nothing more may be asked.
    async fn rest(mut self) -> Turn {
        let rest = self.records.rest().await;
        for event in rest.events() {
            let asks = matches!(
                event,
                EventBody::PermissionRequest { .. } | EventBody::Question { .. }
            );
            assert!(!asks, "it asks more: {event:?}");
        }
        self.seen.extend(rest.records);
        Turn { records: self.seen }
    }
}

fn allow() -> Value {
    json!({"behavior": "allow"})
}

#[tokio::test]
async fn a_command_is_asked_for_and_allowed_refused_or_changed() {
    let world = World::new().await;
    let commands = vec![
        bash("touch allowed"),
        bash("touch refused"),
        bash("touch before"),
        Reply::Say("Done"),
    ];
    world.script("ask", commands);
    let options = json!({"prompt": "script:ask", "permissionMode": "default"});
    let mut turn = Reading::begin(&world, 1, options).await;
    let asked = turn.asked().await;
    assert_eq!(
        (asked.tool.as_str(), asked.content.as_str()),
        ("Bash", "Bash: touch allowed")
    );
    assert_eq!(asked.input["command"], "touch allowed");
    assert_eq!(asked.rules, ["Bash(touch allowed *)"]);
    assert!(!world.workspace().join("allowed").exists());
    turn.answer(&asked, allow(), &[]).await;
    let asked = turn.asked().await;
    turn.answer(
        &asked,
        json!({"behavior": "deny", "message": "Not that one."}),
        &[],
    )
    .await;
    let asked = turn.asked().await;
    let changed = json!({"behavior": "allow", "updated_input": {"command": "touch after"}});
    turn.answer(&asked, changed, &[]).await;
    let turn = turn.rest().await.completed();
    let there = |name: &str| world.workspace().join(name).exists();
    assert!(there("allowed") && !there("refused") && !there("before") && there("after"));
    assert_eq!(turn.outputs()[1], "Not that one.");
}

#[tokio::test]
async fn what_is_allowed_for_the_session_is_not_asked_again_by_any_process() {
    let world = World::new().await;
    let two = vec![
        bash("mkdir -p a/b"),
        bash("mkdir -p a/c"),
        Reply::Say("Done"),
    ];
    world.script("two", two);
    let options = |prompt: &str| json!({"prompt": prompt, "permissionMode": "default"});
    let mut turn = Reading::begin(&world, 1, options("script:two")).await;
    let asked = turn.asked().await;
    turn.answer(&asked, allow(), &["Bash(mkdir *)"]).await;
    turn.rest().await.completed();
    let pid = world.claude_pid().await;

    // The next turn names it, as the session keeps it; another process knows it too.
    for (number, max_turns) in [(2, 10), (3, 11)] {
        let mut options = options("script:two");
        options["maxTurns"] = max_turns.into();
        let turn = Reading::with_rules(&world, number, options, &["Bash(mkdir *)"]).await;
        turn.rest().await.completed();
    }
    assert_ne!(world.claude_pid().await, pid);

    // It does not cover what only begins like it.
    for command in [
        "mkdir x; touch y",
        "mkdir $(touch y)",
        "mkdir x\ntouch y",
        "mkdir x | sh",
    ] {
        world.script("not", vec![bash(command), Reply::Say("Done")]);
        static TURN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(10);
        let number = TURN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut turn =
            Reading::with_rules(&world, number, options("script:not"), &["Bash(mkdir *)"]).await;
        let asked = turn.asked().await;
        turn.answer(&asked, json!({"behavior": "deny", "message": "No"}), &[])
            .await;
        turn.rest().await.completed();
    }

    // Without it, it is asked for again, in the same process.
    let pid = world.claude_pid().await;
    let mut turn = Reading::begin(&world, 20, options("script:two")).await;
    let asked = turn.asked().await;
    turn.answer(&asked, allow(), &["Bash(mkdir *)"]).await;
    turn.rest().await.completed();
    assert_eq!(world.claude_pid().await, pid);
}

#[tokio::test]
async fn edits_of_the_workspace_are_one_rule() {
    let world = World::new().await;
    let path = |name: &str| world.workspace().join(name).to_str().unwrap().to_owned();
    let write = |name: &str| Reply::Call("Write", json!({"file_path": path(name), "content": "x"}));
    world.script(
        "write",
        vec![write("a.txt"), write("b.txt"), Reply::Say("Done")],
    );
    let options = json!({"prompt": "script:write", "permissionMode": "default"});
    let mut turn = Reading::begin(&world, 1, options).await;
    let asked = turn.asked().await;
    assert_eq!(asked.content, "Write a.txt");
    assert_eq!(
        asked.rules,
        [format!("Edit(/{}/**)", world.workspace().to_str().unwrap())]
    );
    turn.answer(&asked, allow(), &[&asked.rules[0]]).await;
    turn.rest().await.completed();
    assert!(world.workspace().join("b.txt").exists());
}

#[tokio::test]
async fn a_question_waits_for_a_person_in_every_mode() {
    let world = World::new().await;
    let ask = Reply::Call("AskUserQuestion", questions());
    world.script("question", vec![ask, Reply::Say("Done")]);
    let modes = ["bypassPermissions", "acceptEdits", "default", "plan"];
    for (turn, mode) in (1..).zip(modes) {
        let options = json!({
            "prompt": "script:question", "permissionMode": mode,
            "allowedTools": ["AskUserQuestion", "Bash"],
        });
        let mut turn = Reading::begin(&world, turn, options).await;
        let asked = turn.asked().await;
        assert_eq!(
            (asked.tool.as_str(), asked.content.as_str()),
            ("a question", "Which colour?")
        );
        assert_eq!(asked.input["questions"], questions()["questions"]);
        let answers = json!({"behavior": "allow", "answers": {"Which colour?": "Red"}});
        turn.answer(&asked, answers, &[]).await;
        let turn = turn.rest().await.completed();
        assert!(
            turn.outputs()[0].contains("\"Which colour?\"=\"Red\""),
            "{mode}: {turn:?}"
        );
    }
}

/// The model writes its plan into the file that Claude Code names, and asks for its approval.
async fn plan(world: &World, turn: u64) -> Reading<'_> {
    let options = json!({"prompt": "hello", "permissionMode": "plan"});
    Reading::begin(world, turn, options)
        .await
        .rest()
        .await
        .completed();
    let told = world.upstream.last_conversation();
    let file = told
        .split(|c: char| !(c.is_ascii_alphanumeric() || ['/', '.', '-'].contains(&c)))
        .rfind(|word| word.contains("/.claude/plans/") && word.ends_with(".md"))
        .expect("the plan's file is named");
    let content = "# The plan\n\n1. Do it";
    world.script(
        "plan",
        vec![
            Reply::Call("Write", json!({"file_path": file, "content": content})),
            Reply::Call("ExitPlanMode", json!({})),
            Reply::Call(
                "Write",
                json!({"file_path": world.workspace().join(format!("{turn}.txt")), "content": "x"}),
            ),
            Reply::Say("Done"),
        ],
    );
    let options = json!({"prompt": "script:plan", "permissionMode": "plan"});
    Reading::begin(world, turn + 1, options).await
}

#[tokio::test]
async fn a_plan_is_approved_and_carried_out() {
    let world = World::new().await;
    let mut turn = plan(&world, 1).await;
    let asked = turn.asked().await;
    assert_eq!(asked.tool, "ExitPlanMode");
    assert_eq!(asked.input["plan"], "# The plan\n\n1. Do it");
    assert!(!world.workspace().join("1.txt").exists());
    let approve = |mode: &str| json!({"behavior": "allow", "permission_mode": mode});
    turn.answer(&asked, approve("acceptEdits"), &[]).await;
    turn.rest().await.completed();
    assert!(world.workspace().join("1.txt").exists());

    // With each edit asked for.
    let mut turn = plan(&world, 3).await;
    let asked = turn.asked().await;
    turn.answer(&asked, approve("default"), &[]).await;
    let asked = turn.asked().await;
    assert_eq!(asked.content, "Write 3.txt");
    turn.answer(&asked, allow(), &[]).await;
    turn.rest().await.completed();
    assert!(world.workspace().join("3.txt").exists());

    // Not yet: it goes on planning, and changes nothing without being asked.
    let mut turn = plan(&world, 5).await;
    let asked = turn.asked().await;
    turn.answer(
        &asked,
        json!({"behavior": "deny", "message": "More detail"}),
        &[],
    )
    .await;
    let asked = turn.asked().await;
    assert_eq!(asked.content, "Write 5.txt");
    turn.answer(&asked, json!({"behavior": "deny", "message": "Plan"}), &[])
        .await;
    let turn = turn.rest().await.completed();
    assert!(turn.outputs()[1].contains("More detail"), "{turn:?}");
    assert!(!world.workspace().join("5.txt").exists());
}

#[tokio::test]
async fn the_mode_and_the_model_change_in_the_middle_of_a_turn() {
    let world = World::new().await;
    let commands = (1..5)
        .map(|n| bash(&format!("touch {n}")))
        .chain([Reply::Say("Done")]);
    world.script("four", commands.collect());
    let pid = world.claude_pid().await;
    let options = json!({"prompt": "script:four", "permissionMode": "default"});
    let mut turn = Reading::begin(&world, 1, options).await;
    let asked = turn.asked().await;
    turn.settings("other/model", "default", &[]).await;
    turn.answer(&asked, allow(), &[]).await;
    let asked = turn.asked().await;
    assert_eq!(
        world.upstream.requests().last().unwrap()["model"],
        "other/model"
    );
    // From here on nothing is asked, whether by the mode or by bypassing all of it.
    let mode = "bypassPermissions";
    turn.settings("other/model", mode, &[]).await;
    turn.answer(&asked, allow(), &[]).await;
    let turn = turn.rest().await.completed();
    assert_eq!(turn.end().model.as_deref(), Some("other/model"));
    assert!(world.workspace().join("4").exists());

    // And back: the next turn is asked again. All of it was one process.
    world.script("one", vec![bash("touch 5"), Reply::Say("Done")]);
    let options = json!({"prompt": "script:one", "permissionMode": "default"});
    let mut turn = Reading::begin(&world, 2, options).await;
    let asked = turn.asked().await;
    turn.answer(&asked, json!({"behavior": "deny", "message": "No"}), &[])
        .await;
    turn.rest().await.completed();
    assert_eq!(world.claude_pid().await, pid);
}

#[tokio::test]
async fn an_interrupt_withdraws_the_request_and_the_process_stays() {
    let world = World::new().await;
    world.script("ask", vec![bash("touch never"), Reply::Say("Done")]);
    let pid = world.claude_pid().await;
    let options = json!({"prompt": "script:ask", "permissionMode": "default"});
    let mut turn = Reading::begin(&world, 1, options).await;
    let asked = turn.asked().await;
    let took = world.interrupt(1).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    // Too late.
    turn.answer(&asked, allow(), &[]).await;
    let turn = turn.rest().await;
    assert_eq!(turn.outcome(), Outcome::Interrupted);
    let withdrawn = |record: &Record| record.withdrawn == [asked.id.clone()];
    assert!(turn.records.iter().any(withdrawn), "{turn:?}");
    world.turn(2, "hello").await.completed();
    assert_eq!(world.claude_pid().await, pid);
    assert!(!world.workspace().join("never").exists());
}

#[tokio::test]
async fn several_requests_are_open_at_once() {
    let world = World::new().await;
    // Of two calls that are made together, both are asked for.
    let fetch = |n: u32| {
        let input = json!({"url": format!("https://{n}.example/"), "prompt": "p"});
        ("WebFetch", input)
    };
    world.script(
        "two",
        vec![Reply::Calls(vec![fetch(1), fetch(2)]), Reply::Say("Done")],
    );
    let options = json!({"prompt": "script:two", "permissionMode": "default"});
    let mut turn = Reading::begin(&world, 1, options).await;
    let (first, second) = (turn.asked().await, turn.asked().await);
    assert_ne!(first.id, second.id);
    for asked in [second, first] {
        turn.answer(
            &asked,
            json!({"behavior": "deny", "message": asked.input["url"]}),
            &[],
        )
        .await;
    }
    let mut outputs = turn.rest().await.completed().outputs();
    // They come as they are over, and both are answered by now.
    outputs.sort();
    assert_eq!(outputs, ["https://1.example/", "https://2.example/"]);
}

#[tokio::test]
async fn where_nobody_can_be_asked_it_is_refused_at_once() {
    let world = World::new().await;
    world.script("ask", vec![bash("touch never"), Reply::Say("Done")]);
    // A Worker that does not know of requests.
    let options = json!({"prompt": "script:ask", "permissionMode": "default"});
    let turn = world.begin(1, options).await.rest().await.completed();
    assert_eq!(
        turn.outputs(),
        ["Nobody can be asked for permission in this session."]
    );
    // An answer for a turn that is not known.
    let body = json!({
        "turn_id": TurnId(9), "request_id": "r", "verdict": allow(), "rules": [],
    });
    assert_eq!(
        world.post("/answer", &body).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.post("/answer", &json!({})).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert!(!world.workspace().join("never").exists());
}
