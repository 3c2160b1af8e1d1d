//! `POST /claude-code`: Claude Code's own messages, without a session's log.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, lines, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "direct::json", as_json),
        test(world, "direct::ndjson", as_ndjson),
        test(world, "direct::goes_on_with_a_session_id", goes_on),
        test(world, "direct::debug_tells_no_values", debug),
    ]
}

async fn as_json(world: Arc<World>) -> Result<()> {
    let session = fresh_session("direct");
    let body = json!({ "prompt": "create a hello world app", "model": "local/demo", "sessionId": session });
    let response = world.post("/claude-code", &body).await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    let answer: Value = response.json().await?;
    ensure!(
        answer["type"] == "result" && answer["sessionId"] == session.as_str(),
        "{answer}"
    );
    ensure!(
        answer["requestId"]
            .as_str()
            .is_some_and(|id| id.starts_with("req_")),
        "{answer}"
    );
    ensure!(
        answer["duration_ms"].is_number() && answer["cost_usd"].is_number(),
        "{answer}"
    );
    ensure!(world.workspace(&session).join("hello.py").exists());
    Ok(())
}

async fn as_ndjson(world: Arc<World>) -> Result<()> {
    let body = json!({
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "run `echo direct`" }] }],
        "inputFormat": "stream-json", "stream": true, "model": "local/demo",
    });
    let response = world.post("/claude-code", &body).await?;
    ensure!(response.headers()["content-type"] == "application/x-ndjson");
    let messages = lines(&response.text().await?)?;
    ensure!(
        messages
            .iter()
            .any(|message| message["type"] == "system" && message["subtype"] == "init")
    );
    ensure!(
        messages
            .iter()
            .any(|message| message["type"] == "assistant")
    );
    ensure!(
        messages.last().context("no message")?["type"] == "result",
        "{messages:?}"
    );
    Ok(())
}

async fn goes_on(world: Arc<World>) -> Result<()> {
    let session = fresh_session("direct");
    let mut claude_sessions = Vec::new();
    for prompt in ["run `echo one > kept.txt`", "run `cat kept.txt`"] {
        let body = json!({ "prompt": prompt, "model": "local/demo", "sessionId": session, "stream": true });
        let messages = lines(&world.post("/claude-code", &body).await?.text().await?)?;
        claude_sessions.push(messages.last().context("no message")?["session_id"].clone());
    }
    ensure!(
        claude_sessions[0] == claude_sessions[1],
        "{claude_sessions:?}"
    );
    Ok(())
}

async fn debug(world: Arc<World>) -> Result<()> {
    let session = fresh_session("debug");
    let path = format!("/claude-code/debug?sessionId={session}");
    let asleep = world.http.get(world.url(&path)).send().await?;
    ensure!(
        asleep.status() == 409,
        "looking starts no sandbox: {}",
        asleep.status()
    );
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("hello").await?;
    tab.completed().await?;
    let response = world.http.get(world.url(&path)).send().await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    let text = response.text().await?;
    let debug: Value = serde_json::from_str(&text)?;
    ensure!(
        debug["status"] == "healthy" && debug["uptime_ms"].is_u64(),
        "{debug}"
    );
    Ok(())
}
