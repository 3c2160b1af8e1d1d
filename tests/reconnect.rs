//! A client that comes back gets exactly what it missed; a turn goes on without any client.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use world::{Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "reconnect::exactly_what_was_missed", missed),
        test(world, "reconnect::without_from_only_what_is_new", only_new),
        test(world, "reconnect::resume_on_an_open_socket", resume),
        lone_test(
            world,
            "reconnect::a_turn_goes_on_while_workerd_is_killed",
            workerd_killed,
        ),
    ]
}

async fn missed(world: Arc<World>) -> Result<()> {
    let session = fresh_session("reconnect");
    let mut whole = world.tab(&session, Some(0)).await?;
    let mut cut = world.tab(&session, Some(0)).await?;
    whole.say("stream 80 words every 20 ms").await?;
    let mut seen = Vec::new();
    // Leaves in the middle of the text again and again, and comes back each time.
    for _ in 0..5 {
        for _ in 0..6 {
            cut.until(|_| true).await?;
        }
        seen.append(&mut cut.events);
        drop(cut);
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        cut = world
            .tab(
                &session,
                seen.last().and_then(|event| event["seq"].as_u64()),
            )
            .await?;
    }
    cut.completed().await?;
    seen.append(&mut cut.events);
    whole.completed().await?;
    ensure!(
        seen == whole.events,
        "{} events instead of {}",
        seen.len(),
        whole.events.len()
    );
    Ok(())
}

async fn workerd_killed() -> Result<()> {
    let mut world = World::start(Provider::Local).await?;
    let session = fresh_session("killed");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `sh -c 'sleep 20; echo and went on'`").await?;
    tab.until(|event| event["tool"] == "Bash").await?;
    let before = tab.events;

    world.crash_and_restart_workers().await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    let snapshot = tab.next().await?;
    ensure!(
        snapshot["state"] == "running",
        "the turn is under way: {snapshot}"
    );
    tab.completed().await?;
    ensure!(
        tab.events[..before.len()] == before,
        "the log is the same: {}",
        tab.seen()
    );
    ensure!(
        tab.contents("tool_result") == ["and went on"],
        "{}",
        tab.seen()
    );
    ensure!(tab.contents("user_message").len() == 1, "{}", tab.seen());
    world.stack.stop().await;
    Ok(())
}

async fn only_new(world: Arc<World>) -> Result<()> {
    let session = fresh_session("reconnect");
    let mut first = world.tab(&session, None).await?;
    first.say("run `echo one`").await?;
    first.completed().await?;
    let mut second = world.tab(&session, None).await?;
    let snapshot = second.next().await?;
    ensure!(
        snapshot["snapshot"] == true && snapshot["state"] == "idle",
        "{snapshot}"
    );
    ensure!(
        snapshot["seq"].as_u64() == Some(first.events.len() as u64),
        "{snapshot}"
    );
    ensure!(
        snapshot["session"]["claudeSession"]["preferredModel"] == "local/demo",
        "{snapshot}"
    );
    second.say("run `echo two`").await?;
    second.completed().await?;
    ensure!(
        second
            .events
            .first()
            .is_some_and(|event| event["turn_id"] == "turn-2"),
        "{}",
        second.seen()
    );
    Ok(())
}

async fn resume(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("reconnect"), None).await?;
    tab.say("run `echo one`").await?;
    tab.completed().await?;
    let live = std::mem::take(&mut tab.events);
    tab.send(json!({ "type": "resume", "from": 2 })).await?;
    let mut again = Vec::new();
    while again.len() < live.len() - 2 {
        again.push(tab.next().await?);
    }
    ensure!(again == live[2..], "{again:?}");
    Ok(())
}
