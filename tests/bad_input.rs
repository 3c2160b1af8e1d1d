//! What is wrong gets a clear error, and the session goes on.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "bad_input::over_http", over_http),
        test(world, "bad_input::through_the_socket", through_the_socket),
        test(world, "bad_input::a_socket_that_floods", flood),
        test(world, "bad_input::paths_and_methods", paths),
        test(world, "bad_input::other_origins", origins),
    ]
}

async fn over_http(world: Arc<World>) -> Result<()> {
    let long = "x".repeat(2_000_000);
    for (body, status, field) in [
        ("{".to_owned(), 400, None),
        ("[]".to_owned(), 400, None),
        ("{}".to_owned(), 400, Some("prompt")),
        (
            json!({ "prompt": "x", "maxTurns": "many" }).to_string(),
            400,
            Some("maxTurns"),
        ),
        (
            json!({ "prompt": "x", "allowedTools": 3 }).to_string(),
            400,
            Some("allowedTools"),
        ),
        (
            json!({ "prompt": "x", "cwd": "/etc" }).to_string(),
            400,
            Some("cwd"),
        ),
        (
            json!({ "prompt": "x", "sessionId": "../x" }).to_string(),
            400,
            Some("sessionId"),
        ),
        (
            json!({ "prompt": "x", "executable": "/bin/sh" }).to_string(),
            400,
            Some("executable"),
        ),
        (
            json!({ "prompt": "x", "model": "no/such-model" }).to_string(),
            404,
            Some("model"),
        ),
        (json!({ "prompt": long }).to_string(), 413, Some("prompt")),
        (
            json!({ "prompt": "x".repeat(4_000_000) }).to_string(),
            413,
            None,
        ),
    ] {
        for path in ["/agent/message", "/claude-code"] {
            let shown: String = body.chars().take(60).collect();
            let response = world
                .http
                .post(world.url(path))
                .header("content-type", "application/json")
                .body(body.clone())
                .send()
                .await?;
            ensure!(
                response.status() == status,
                "{path} {shown}: {}",
                response.status()
            );
            ensure!(
                response.headers()["content-type"] == "application/problem+json",
                "{path} {shown}"
            );
            let problem: Value = response.json().await?;
            ensure!(
                problem["status"] == status
                    && problem["detail"].is_string()
                    && problem["message"].is_string(),
                "{problem}"
            );
            if let Some(field) = field {
                ensure!(
                    problem["errors"][0]["field"] == field,
                    "{path} {shown}: {problem}"
                );
            }
        }
    }
    Ok(())
}

async fn through_the_socket(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("bad"), Some(0)).await?;
    for (frame, words) in [
        ("not json".to_owned(), "JSON"),
        ("[]".to_owned(), "JSON object"),
        (json!({ "type": "shout" }).to_string(), "unknown type"),
        (json!({ "type": "user_message" }).to_string(), "no prompt"),
        (
            json!({ "type": "user_message", "content": 3 }).to_string(),
            "content",
        ),
        (
            json!({ "type": "user_message", "content": "x", "cwd": "/" }).to_string(),
            "cwd",
        ),
        (
            json!({ "type": "user_message", "content": "x".repeat(2_000_000) }).to_string(),
            "limit",
        ),
    ] {
        tab.send_text(&frame).await?;
        let error = tab.until_told(|frame| frame["type"] == "error").await?;
        let told = error["content"].as_str().unwrap_or_default();
        let field = error["field"].as_str().unwrap_or_default();
        ensure!(
            told.contains(words) || field.contains(words),
            "{words}: {error}"
        );
    }
    tab.send_bytes(vec![1, 2, 3]).await?;
    let error = tab.until_told(|frame| frame["type"] == "error").await?;
    ensure!(
        error["content"]
            .as_str()
            .unwrap_or_default()
            .contains("binary"),
        "{error}"
    );
    ensure!(
        tab.events.is_empty(),
        "nothing of it is in the log: {}",
        tab.seen()
    );
    tab.say("run `echo all the same`").await?;
    tab.completed().await?;
    Ok(())
}

async fn flood(world: Arc<World>) -> Result<()> {
    let session = fresh_session("flood");
    let mut quiet = world.tab(&session, Some(0)).await?;
    let mut flood = world.tab(&session, Some(0)).await?;
    // Frames that do nothing: those that still come through must not touch the other's turn.
    for _ in 0..1000 {
        let nothing = json!({ "type": "resume", "from": 1_000_000 });
        if flood.send(nothing).await.is_err() {
            break;
        }
    }
    let error = flood.until_told(|frame| frame["type"] == "error").await?;
    ensure!(error["code"] == "too_many_requests", "{error}");
    quiet.say("run `echo undisturbed`").await?;
    quiet.completed().await?;
    Ok(())
}

async fn paths(world: Arc<World>) -> Result<()> {
    let request = |method: &str, path: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or_default();
        world.http.request(method, world.url(path)).send()
    };
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/agent/message", 405),
        ("PUT", "/claude-code", 405),
        ("DELETE", "/demo/health", 405),
        ("GET", "/demo/ws/fine", 426),
        ("GET", "/demo/a%2Fb", 400),
        ("GET", "/assets/no-such-file.js", 404),
        ("GET", "/demo/health", 200),
        ("GET", "/demo/some-session", 200),
        ("GET", "/sandbox/some-session/v1/models", 401),
    ] {
        let response = request(method, path).await?;
        ensure!(
            response.status() == status,
            "{method} {path}: {}",
            response.status()
        );
        ensure!(
            response.headers().contains_key("x-request-id"),
            "{method} {path}"
        );
        ensure!(
            status != 405 || response.headers().contains_key("allow"),
            "{method} {path}"
        );
    }
    let page = request("GET", "/demo/some-session").await?.text().await?;
    let script = page
        .split('"')
        .find(|part| part.ends_with(".js"))
        .unwrap_or_default()
        .to_owned();
    let response = request("GET", &script).await?;
    ensure!(
        response.status() == 200 && script.starts_with("/assets/"),
        "{script}: {}",
        response.status()
    );
    ensure!(response.headers().contains_key("x-request-id"), "{script}");
    ensure!(
        response.headers()["x-content-type-options"] == "nosniff",
        "{script}"
    );
    ensure!(world.tab("not%20an%20id", None).await.is_err());
    Ok(())
}

async fn origins(world: Arc<World>) -> Result<()> {
    let response = world
        .http
        .post(world.url("/agent/message"))
        .header("origin", "https://evil.example")
        .json(&json!({ "message": "hi" }))
        .send()
        .await?;
    ensure!(response.status() == 403, "{}", response.status());
    let image = world
        .http
        .get(world.url("/claude-code/debug?sessionId=x"))
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "no-cors")
        .send()
        .await?;
    ensure!(
        image.status() == 403,
        "an image of another page: {}",
        image.status()
    );
    let response = world
        .http
        .get(world.url("/demo/models"))
        .header("host", "evil.example")
        .send()
        .await?;
    ensure!(
        response.status() == 503,
        "a name that was made to point here: {}",
        response.status()
    );
    Ok(())
}
