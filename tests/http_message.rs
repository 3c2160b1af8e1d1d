//! `POST /agent/message`: the turn as one document, as NDJSON and as SSE.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, lines, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "http_message::json", as_json),
        test(world, "http_message::ndjson", as_ndjson),
        test(world, "http_message::sse", as_sse),
        test(
            world,
            "http_message::sse_goes_on_after_the_last_event_id",
            comes_back,
        ),
        test(
            world,
            "http_message::is_part_of_the_session",
            part_of_the_session,
        ),
        test(world, "http_message::a_failed_turn_is_a_problem", failed),
        test(
            world,
            "http_message::a_client_that_leaves_stops_nothing",
            leaves,
        ),
    ]
}

async fn as_json(world: Arc<World>) -> Result<()> {
    let session = fresh_session("json");
    let body = json!({ "message": "create a hello world app", "sessionId": session, "model": "local/demo" });
    let response = world.post("/agent/message", &body).await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    ensure!(response.headers().contains_key("x-request-id"));
    let answer: Value = response.json().await?;
    ensure!(
        answer["status"] == "Message processed" && answer["sessionId"] == session.as_str(),
        "{answer}"
    );
    ensure!(
        answer["result"]
            .as_str()
            .is_some_and(|text| text.to_lowercase().contains("hello")),
        "{answer}"
    );
    ensure!(answer["timestamp"].is_u64(), "{answer}");
    ensure!(world.workspace(&session).join("hello.py").exists());
    Ok(())
}

async fn as_ndjson(world: Arc<World>) -> Result<()> {
    let session = fresh_session("ndjson");
    let body = json!({
        "prompt": "run `echo as lines`", "sessionId": session, "model": "local/demo", "outputFormat": "stream-json",
    });
    let response = world.post("/agent/message", &body).await?;
    ensure!(response.headers()["content-type"] == "application/x-ndjson");
    let events = lines(&response.text().await?)?;
    let last = events.last().context("no event")?;
    ensure!(
        last["state"] == "ended" && last["outcome"] == "completed",
        "{last}"
    );
    ensure!(
        events
            .iter()
            .any(|event| event["type"] == "tool_result" && event["content"] == "as lines"),
        "{events:?}"
    );
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.completed().await?;
    ensure!(
        tab.events == events,
        "the same events as through the socket"
    );
    Ok(())
}

async fn as_sse(world: Arc<World>) -> Result<()> {
    let body = json!({ "prompt": "run `echo as events`", "model": "local/demo" });
    let response = world
        .http
        .post(world.url("/agent/message"))
        .header("accept", "text/event-stream")
        .json(&body)
        .send()
        .await?;
    ensure!(response.headers()["content-type"] == "text/event-stream");
    let text = response.text().await?;
    let mut last = Value::Null;
    for (place, block) in text
        .split("\n\n")
        .filter(|block| !block.is_empty())
        .enumerate()
    {
        let (id, data) = block.split_once('\n').context("id and data")?;
        last = serde_json::from_str(data.strip_prefix("data: ").context("data")?)?;
        ensure!(
            id == format!("id: {}", last["seq"]) && last["seq"] == place as u64 + 1,
            "{block}"
        );
    }
    ensure!(last["state"] == "ended", "{last}");
    Ok(())
}

async fn comes_back(world: Arc<World>) -> Result<()> {
    let session = fresh_session("sse");
    let body = json!({ "prompt": "stream 30 words every 20 ms", "model": "local/demo", "sessionId": session, "id": "m" });
    let ask = |after: Option<&str>| {
        let request = world
            .http
            .post(world.url("/agent/message"))
            .header("accept", "text/event-stream")
            .json(&body);
        match after {
            Some(after) => request.header("last-event-id", after).send(),
            None => request.send(),
        }
    };
    let whole = ask(None).await?.text().await?;
    let rest = ask(Some("7")).await?.text().await?;
    ensure!(
        rest.starts_with("id: 8\n") && whole.ends_with(&rest),
        "{rest}"
    );
    ensure!(ask(Some("x")).await?.status() == 400);
    Ok(())
}

async fn part_of_the_session(world: Arc<World>) -> Result<()> {
    let session = fresh_session("history");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo from the socket`").await?;
    tab.completed().await?;
    // The model is the one that was chosen through the socket.
    let response = world
        .post(
            "/agent/message",
            &json!({ "message": "run `echo by http`", "sessionId": session }),
        )
        .await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    ensure!(tab.completed().await?["turn_id"] == "turn-2");
    let state: Value = world
        .http
        .get(world.url(&format!("/agent/{session}/state")))
        .send()
        .await?
        .json()
        .await?;
    let said: Vec<&str> = state["messages"]
        .as_array()
        .context("messages")?
        .iter()
        .filter(|message| message["role"] == "user")
        .filter_map(|message| message["content"].as_str())
        .collect();
    ensure!(
        said == ["run `echo from the socket`", "run `echo by http`"],
        "{state}"
    );
    ensure!(
        state["isRunning"] == false && state["claudeSession"]["id"].is_string(),
        "{state}"
    );
    Ok(())
}

async fn failed(world: Arc<World>) -> Result<()> {
    let response = world
        .post(
            "/agent/message",
            &json!({ "message": "hi", "model": "scripted/500" }),
        )
        .await?;
    ensure!(response.status() == 502, "{}", response.status());
    ensure!(response.headers()["content-type"] == "application/problem+json");
    let problem: Value = response.json().await?;
    ensure!(
        problem["type"] == "/problems/model_failed" && problem["error"].is_string(),
        "{problem}"
    );
    Ok(())
}

async fn leaves(world: Arc<World>) -> Result<()> {
    let session = fresh_session("leaves");
    let body = json!({ "message": "stream 50 words every 20 ms", "sessionId": session, "model": "local/demo", "stream": true });
    let mut response = world.post("/agent/message", &body).await?;
    ensure!(response.chunk().await?.is_some());
    drop(response);
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.completed().await?;
    Ok(())
}
