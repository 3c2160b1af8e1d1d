//! A storage that fails in the middle of a write: nothing of it is kept, its sender hears of it, and
//! the session goes on.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "storage::a_message_is_stored_whole", message),
        test(world, "storage::a_record_is_stored_whole", record),
    ]
}

/// The message's events and the session's state are written before its turn, which can't be.
async fn message(world: Arc<World>) -> Result<()> {
    let session = fresh_session("storage");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo before`").await?;
    tab.completed().await?;
    let before = tab.events.len() as u64;

    world
        .sql(
            &session,
            "CREATE TRIGGER fails BEFORE INSERT ON turn WHEN NEW.message_id = 'fails'
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
        )
        .await?;
    let message = |id: &str| {
        json!({ "type": "user_message", "content": "run `echo after`", "id": id,
                "model": "scripted/text" })
    };
    tab.send(message("fails")).await?;
    let error = tab.until_told(|frame| frame["type"] == "error").await?;
    ensure!(
        error["id"] == "fails" && error["code"] == "internal",
        "{error}"
    );
    let told = error["content"].as_str().unwrap_or_default();
    ensure!(
        told.contains("store") && !told.contains("disk"),
        "it says what happened, and nothing of the insides: {told}"
    );

    let mut other = world.tab(&session, Some(0)).await?;
    let snapshot = other.next().await?;
    ensure!(
        snapshot["seq"] == before && snapshot["state"] == "idle",
        "nothing of it is kept: {snapshot}"
    );
    ensure!(
        snapshot["session"]["claudeSession"]["preferredModel"] == "local/demo",
        "its model is not the session's: {snapshot}"
    );

    tab.say("run `echo goes on`").await?;
    let said = tab
        .until(|event| event["type"] == "user_message" && event["turn_id"] == "turn-2")
        .await?;
    ensure!(said["seq"] == before + 1, "{said}");
    tab.completed().await?;
    world.sql(&session, "DROP TRIGGER fails").await?;
    tab.send(message("fails")).await?;
    ensure!(tab.completed().await?["turn_id"] == "turn-3");
    gap_free(&tab.events)
}

/// The last events of a turn are written before the session's state, which can't be: they are taken
/// back, and asked for again until they can be stored.
async fn record(world: Arc<World>) -> Result<()> {
    let session = fresh_session("storage");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `sleep 1; echo done`").await?;
    tab.until(|event| event["tool"] == "Bash").await?;
    world
        .sql(
            &session,
            "CREATE TRIGGER fails BEFORE UPDATE ON session
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
        )
        .await?;
    tab.until(|event| event["type"] == "tool_result").await?;
    // Long enough for the end to have been refused.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let ended = |events: &[Value]| events.iter().filter(|e| e["state"] == "ended").count();
    let mut other = world.tab(&session, Some(0)).await?;
    let snapshot = other.next().await?;
    ensure!(snapshot["state"] == "running", "{snapshot}");
    let seq = snapshot["seq"].as_u64().unwrap_or_default();
    while (other.events.len() as u64) < seq {
        other.next().await?;
    }
    ensure!(ended(&other.events) == 0, "{}", other.seen());
    world.sql(&session, "DROP TRIGGER fails").await?;
    tab.completed().await?;
    ensure!(ended(&tab.events) == 1, "{}", tab.seen());
    ensure!(tab.contents("tool_result") == ["done"], "{}", tab.seen());
    gap_free(&tab.events)
}

fn gap_free(events: &[Value]) -> Result<()> {
    for (place, event) in events.iter().enumerate() {
        ensure!(event["seq"] == place as u64 + 1, "{place}: {event}");
    }
    Ok(())
}
