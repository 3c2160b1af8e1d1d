//! Messages that arrive while a turn runs wait, in order.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use world::{Running, World, fresh_session, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "queue::three_messages_run_in_order", in_order),
        test(world, "queue::one_that_waits_can_be_removed", removed),
        test(world, "queue::a_message_sent_twice_is_said_once", once),
    ]
}

async fn in_order(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("queue"), Some(0)).await?;
    for number in 1..=3 {
        tab.say(&format!(
            "run `echo number {number} >> order.txt; cat order.txt`"
        ))
        .await?;
    }
    for number in 1..=3 {
        let end = tab.completed().await?;
        ensure!(end["turn_id"] == format!("turn-{number}"), "{}", tab.seen());
    }
    let outputs = tab.contents("tool_result");
    let last = outputs.last().cloned().unwrap_or_default();
    ensure!(last.trim() == "number 1\nnumber 2\nnumber 3", "{last:?}");
    let waited = tab
        .events
        .iter()
        .filter(|event| event["state"] == "queued" && event["position"] == 2)
        .count();
    ensure!(waited == 1, "the third waits behind two: {}", tab.seen());
    Ok(())
}

async fn removed(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("queue"), Some(0)).await?;
    tab.say("stream 60 words every 30 ms").await?;
    tab.say("run `touch never`").await?;
    tab.say("run `ls`").await?;
    tab.until(|event| event["type"] == "user_message" && event["turn_id"] == "turn-3")
        .await?;
    tab.send(json!({ "type": "interrupt", "turn_id": "turn-2" }))
        .await?;
    let end = tab.end().await?;
    ensure!(
        end["turn_id"] == "turn-2" && end["outcome"] == "interrupted",
        "{}",
        tab.seen()
    );
    ensure!(tab.completed().await?["turn_id"] == "turn-1");
    ensure!(tab.completed().await?["turn_id"] == "turn-3");
    ensure!(
        !tab.contents("tool_result").join("\n").contains("never"),
        "{}",
        tab.seen()
    );
    Ok(())
}

async fn once(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("queue"), Some(0)).await?;
    let message = json!({ "type": "user_message", "content": "run `echo once`", "id": "m-1", "model": "local/demo" });
    tab.send(message.clone()).await?;
    tab.send(message.clone()).await?;
    tab.completed().await?;
    tab.send(message).await?;
    // The answer to the repeated message is the stored event again.
    let again = tab
        .until(|event| event["type"] == "user_message" && event["id"] == "m-1")
        .await?;
    ensure!(again["seq"] == 1, "{again}");
    tab.say("run `echo twice`").await?;
    tab.completed().await?;
    let turns: std::collections::BTreeSet<String> = tab
        .events
        .iter()
        .map(|event| event["turn_id"].to_string())
        .collect();
    ensure!(turns.len() == 2, "{turns:?}");
    Ok(())
}
