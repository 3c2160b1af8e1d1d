//! The model chosen last is the session's, also after workerd was killed; and with it the log.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use world::{Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "model_choice::is_seen_by_every_tab", every_tab),
        lone_test(
            world,
            "model_choice::survives_a_restart_of_workerd",
            restart,
        ),
        test(world, "model_choice::unknown_models_are_refused", unknown),
    ]
}

async fn every_tab(world: Arc<World>) -> Result<()> {
    let session = fresh_session("model");
    let mut one = world.tab(&session, Some(0)).await?;
    let mut two = world.tab(&session, Some(0)).await?;
    one.send(json!({ "type": "set_model", "model": "scripted/text" }))
        .await?;
    two.until(|event| event["type"] == "status" && event["model"] == "scripted/text")
        .await?;
    // A message that names no model is answered by the one that was chosen.
    two.send(json!({ "type": "user_message", "content": "hi" }))
        .await?;
    two.completed().await?;
    ensure!(
        two.contents("result") == ["Scripted answer"],
        "{}",
        two.seen()
    );
    Ok(())
}

async fn restart() -> Result<()> {
    let mut world = World::start(Provider::Local).await?;
    let session = fresh_session("model");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo before > kept.txt`").await?;
    tab.completed().await?;
    tab.send(json!({ "type": "set_model", "model": "scripted/text" }))
        .await?;
    tab.until(|event| event["model"] == "scripted/text" && event["turn_id"].is_null())
        .await?;
    let before = tab.events;

    world.crash_and_restart_workers().await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    let snapshot = tab.next().await?;
    ensure!(
        snapshot["session"]["claudeSession"]["preferredModel"] == "scripted/text",
        "{snapshot}"
    );
    tab.send(json!({ "type": "user_message", "content": "hi" }))
        .await?;
    tab.until(|event| event["content"] == "Scripted answer" && event["type"] == "result")
        .await?;
    tab.completed().await?;
    ensure!(
        tab.events[..before.len()] == before,
        "the log is the same: {}",
        tab.seen()
    );
    tab.say("run `cat kept.txt`").await?;
    tab.completed().await?;
    ensure!(
        tab.contents("tool_result")
            .last()
            .is_some_and(|output| output.contains("before")),
        "{}",
        tab.seen()
    );
    world.stack.stop().await;
    Ok(())
}

async fn unknown(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("model"), Some(0)).await?;
    tab.send(json!({ "type": "set_model", "model": "local/dem" }))
        .await?;
    let error = tab.until_told(|frame| frame["type"] == "error").await?;
    ensure!(
        error["field"] == "model"
            && error["content"]
                .as_str()
                .unwrap_or_default()
                .contains("local/demo"),
        "{error}"
    );
    tab.send(json!({ "type": "user_message", "content": "hi", "model": "no/such", "id": "m" }))
        .await?;
    let error = tab.until_told(|frame| frame["type"] == "error").await?;
    ensure!(
        error["id"] == "m" && error["code"] == "not_found",
        "{error}"
    );
    tab.say("hello there").await?;
    tab.completed().await?;

    // No session begins with such a message over HTTP.
    for path in ["/agent/message", "/claude-code"] {
        let session = fresh_session("model");
        let message = json!({ "prompt": "hi", "model": "no/such", "sessionId": session });
        let answer = world.post(path, &message).await?;
        ensure!(answer.status() == 404, "{path}: {}", answer.text().await?);
        let state = world.url(&format!("/api/agents/sessions/{session}"));
        let state = reqwest::get(state).await?;
        ensure!(state.status() == 404, "{path}: {}", state.text().await?);
    }
    Ok(())
}
