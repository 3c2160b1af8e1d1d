//! Stopping a turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use world::{Running, World, fresh_session, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(
            world,
            "interrupt::a_running_command_ends_within_a_second",
            |world| async move { running_command(&world, &fresh_session("interrupt")).await },
        ),
        test(world, "interrupt::without_a_turn_it_does_nothing", nothing),
        test(
            world,
            "interrupt::a_turn_that_is_starting_never_runs",
            |world| async move { starting(&world, &fresh_session("interrupt")).await },
        ),
    ]
}

/// Interrupts a command that would take a minute; the next message works.
pub async fn running_command(world: &World, session: &str) -> Result<()> {
    let mut tab = world.tab(session, Some(0)).await?;
    // A mark in its arguments, by which the process can be found.
    let mark = format!("mark-{session}");
    tab.say(&format!("run `sh -c 'sleep 60; echo slept' {mark}`"))
        .await?;
    tab.until(|event| event["tool"] == "Bash").await?;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let asked = Instant::now();
    tab.send(json!({ "type": "interrupt" })).await?;
    let end = tab.end().await?;
    let took = asked.elapsed();
    ensure!(end["outcome"] == "interrupted", "{}", tab.seen());
    // Far sooner than the command would have ended; a busy machine has its own seconds.
    ensure!(took < Duration::from_secs(10), "it took {took:?}");
    tab.say(&format!(
        "run `ps -eo args | grep -v grep | grep -c {mark} || true`"
    ))
    .await?;
    tab.completed().await?;
    let left = tab.contents("tool_result").pop().unwrap_or_default();
    // The shell that counts has the mark in its own arguments: it alone may be there.
    ensure!(
        left.trim().parse::<u32>().is_ok_and(|left| left <= 2),
        "processes are left: {left:?} {}",
        tab.seen()
    );
    Ok(())
}

async fn nothing(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("interrupt"), Some(0)).await?;
    tab.send(json!({ "type": "interrupt" })).await?;
    tab.send(json!({ "type": "interrupt", "turn_id": "turn-99" }))
        .await?;
    tab.say("hello there").await?;
    tab.completed().await?;
    ensure!(
        tab.events
            .first()
            .is_some_and(|event| event["type"] == "user_message"),
        "{}",
        tab.seen()
    );
    Ok(())
}

/// Interrupts a turn at once, while its sandbox is still starting: nothing of it may ever run.
pub async fn starting(world: &World, session: &str) -> Result<()> {
    let mut tab = world.tab(session, Some(0)).await?;
    tab.say("run `touch ran-unseen`").await?;
    tab.send(json!({ "type": "interrupt" })).await?;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "interrupted", "{}", tab.seen());
    // Long enough for a sandbox to start and for the agent to run a command.
    tokio::time::sleep(Duration::from_secs(4)).await;
    tab.say("run `ls`").await?;
    tab.completed().await?;
    let listed = tab.contents("tool_result").pop().unwrap_or_default();
    ensure!(!listed.contains("ran-unseen"), "it ran: {}", tab.seen());
    Ok(())
}
