//! Requests beside the session.

use protocol::event::EventBody;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::upstream::Reply;
use crate::world::{Records, World, eventually, processes_with};

async fn lines(world: &World, body: Value) -> Vec<Value> {
    let response = world.post("/", &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let mut records = Records::of(response);
    let mut lines = Vec::new();
    while let Some(line) = records.line().await {
        lines.push(serde_json::from_str(&line).unwrap());
    }
    lines
}

#[tokio::test]
async fn claude_codes_messages_as_they_are() {
    let world = World::new().await;
    for body in [
        json!({"prompt": "hello", "stream": true}),
        json!({"message": "hello", "outputFormat": "stream-json"}),
    ] {
        let lines = lines(&world, body).await;
        assert_eq!(lines.first().unwrap()["subtype"], "init", "{lines:#?}");
        let result = lines.last().unwrap();
        assert_eq!(result["type"], "result");
        assert_eq!(result["result"], "Hello from the model");
        assert!(lines.iter().any(|line| line["type"] == "assistant"));
        assert!(lines.iter().all(|line| line["type"] != "stream_event"));
    }
}

#[tokio::test]
async fn one_answer_and_a_conversation_that_goes_on() {
    let world = World::new().await;
    world.turn(1, "the kept one").await.completed();
    let pid = world.claude_pid().await;
    let body = json!({"prompt": "my name is Ada", "sessionId": "mine"});
    let first: Value = world.post("/", &body).await.json().await.unwrap();
    assert_eq!(first["type"], "result");
    assert_eq!(first["result"], "Hello from the model");
    assert_eq!(first["sessionId"], "mine");
    assert!(first["requestId"].as_str().unwrap().starts_with("req_"));
    let named: Value = world
        .post("/?request_id=req_Named-1", &json!({"prompt": "hello"}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(named["requestId"], "req_Named-1");
    for bad in ["", "a%20b", "a%0Ab", &"x".repeat(65)] {
        let path = format!("/?request_id={bad}");
        let answer = world.post(&path, &json!({"prompt": "hello"})).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    assert!(first["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(first["cost_usd"].is_number());

    let ask = |body: Value| {
        let world = &world;
        async move {
            let answer = world.post("/", &body).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let _body = answer.text().await;
            world.upstream.last_conversation()
        }
    };
    let same = ask(json!({"prompt": "who am I?", "sessionId": "mine"})).await;
    assert!(same.contains("Ada") && !same.contains("the kept one"));
    let other = ask(json!({"prompt": "who am I?", "sessionId": "other"})).await;
    assert!(!other.contains("Ada"));
    let new = ask(json!({"prompt": "x", "sessionId": "mine", "continueSession": false})).await;
    assert!(!new.contains("Ada"));
    // The session's own process took no part.
    world.turn(2, "hello").await.completed();
    assert!(!world.upstream.last_conversation().contains("Ada"));
    assert_eq!(world.claude_pid().await, pid);
}

#[tokio::test]
async fn failures_are_problems() {
    let world = World::new().await;
    let key = r#"{"type":"error","error":{"type":"authentication_error","message":"no such key"}}"#;
    world.script("key", vec![Reply::Refuse(401, key)]);
    let answer = world.post("/", &json!({"prompt": "script:key"})).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/model_failed");
    assert!(problem["detail"].as_str().unwrap().contains("no such key"));

    for (body, field) in [
        (json!({}), "prompt"),
        (json!({"prompt": "x", "cwd": "/etc"}), "cwd"),
        (json!({"prompt": "x", "executable": "sh"}), "executable"),
        (json!({"prompt": "x", "sessionId": "../x"}), "sessionId"),
    ] {
        let answer = world.post("/", &body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn a_link_out_of_the_workspace_is_not_followed() {
    let world = World::new().await;
    std::os::unix::fs::symlink("/etc", world.workspace().join("out")).unwrap();
    let body = json!({"prompt": "x", "cwd": "/workspace/out"});
    assert_eq!(
        world.post("/", &body).await.status(),
        StatusCode::BAD_REQUEST
    );
    let body = json!({"prompt": "x", "cwd": "/workspace/new/folder"});
    assert_eq!(world.post("/", &body).await.status(), StatusCode::OK);
    assert!(world.workspace().join("new/folder").is_dir());
}

#[tokio::test]
async fn a_stream_always_ends_in_a_result() {
    let world = World::new().await;
    world.script(
        "suicide",
        vec![Reply::Call(
            "Bash",
            json!({"command": "kill -9 $PPID; sleep 0.5"}),
        )],
    );
    let lines = lines(&world, json!({"prompt": "script:suicide", "stream": true})).await;
    let result = lines.last().unwrap();
    assert_eq!(result["type"], "result");
    assert_eq!(result["is_error"], true);
    assert!(result["result"].as_str().unwrap().contains("signal: 9"));
}

#[tokio::test]
async fn a_caller_that_goes_takes_its_process_along() {
    let world = World::new().await;
    world.script(
        "sleep",
        vec![Reply::Call(
            "Bash",
            json!({"command": "setsid sleep 77010 & while true; do sleep 0.77011; done"}),
        )],
    );
    for stream in [true, false] {
        let body = json!({"prompt": "script:sleep", "stream": stream});
        let request = world.http.post(&world.url).body(body.to_string()).send();
        let response = tokio::spawn(async move {
            let mut response = Records::of(request.await.unwrap());
            while response.line().await.is_some() {}
        });
        eventually("the command runs", || {
            !processes_with("sleep\x0077010").is_empty() && !processes_with("0.77011").is_empty()
        })
        .await;
        response.abort();
        eventually("it is gone", || {
            processes_with("77010").is_empty() && processes_with("0.77011").is_empty()
        })
        .await;
    }
    // A turn beside it is not touched.
    let turn = world.turn(1, "hello").await.completed();
    assert!(
        turn.events()
            .iter()
            .any(|event| matches!(event, EventBody::Result { .. }))
    );
}
