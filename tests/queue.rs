//! Messages that arrive while a turn runs wait, in order.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use world::{Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "queue::three_messages_run_in_order", in_order),
        test(world, "queue::one_that_waits_can_be_removed", removed),
        test(world, "queue::a_message_sent_twice_is_said_once", once),
        lone_test(world, "queue::a_full_one_says_so", full),
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

/// One runs, a hundred wait, and the next is refused until there is room.
async fn full() -> Result<()> {
    let world = World::start(Provider::Local).await?;
    let session = fresh_session("queue");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `sleep 600`").await?;
    tab.until(|event| event["tool"] == "Bash").await?;
    let message = |number: usize| {
        json!({ "type": "user_message", "content": format!("message {number} {}", "x".repeat(600)),
                "id": format!("m-{number}") })
    };
    // As many as a connection may send at once.
    for numbers in [1..=30, 31..=60, 61..=90, 91..=100] {
        let mut sender = world.tab(&session, None).await?;
        let last = format!("m-{}", numbers.end());
        for number in numbers {
            sender.send(message(number)).await?;
        }
        sender.until(|event| event["id"] == last.as_str()).await?;
    }

    let mut late = world.tab(&session, None).await?;
    late.send(message(101)).await?;
    let error = late.until_told(|frame| frame["type"] == "error").await?;
    ensure!(
        error["id"] == "m-101" && error["code"] == "too_many_requests" && error["seq"].is_null(),
        "{error}"
    );
    let told = error["content"].as_str().unwrap_or_default();
    ensure!(told.contains("100 messages are waiting"), "{told}");
    let body = json!({ "message": "over HTTP", "sessionId": session });
    let refused = world.post("/agent/message", &body).await?;
    ensure!(refused.status() == 429, "{}", refused.status());

    // Whoever comes sees all that waits, the beginnings of it.
    let mut other = world.tab(&session, None).await?;
    let snapshot = other.next().await?;
    let queue = snapshot["session"]["queue"].as_array().cloned();
    let queue = queue.unwrap_or_default();
    ensure!(queue.len() == 100, "{}", queue.len());
    for (place, waiting) in queue.iter().enumerate() {
        let number = place + 1;
        let content = waiting["content"].as_str().unwrap_or_default();
        ensure!(
            waiting["id"] == format!("m-{number}")
                && waiting["turn_id"] == format!("turn-{}", number + 1)
                && content.starts_with(&format!("message {number} "))
                && content.len() == 500,
            "{waiting}"
        );
    }

    // One that goes makes room for one.
    late.send(json!({ "type": "interrupt", "turn_id": "turn-50" }))
        .await?;
    late.send(message(101)).await?;
    late.send(message(102)).await?;
    let said = late.until(|event| event["id"] == "m-101").await?;
    ensure!(said["turn_id"] == "turn-102", "{said}");
    let error = late.until_told(|frame| frame["type"] == "error").await?;
    ensure!(error["id"] == "m-102", "{error}");
    world.stack.stop().await;
    Ok(())
}
