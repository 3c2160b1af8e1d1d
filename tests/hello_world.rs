//! A message through the WebSocket becomes a file that was written and run.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use world::{Running, World, fresh_session, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(
            world,
            "hello_world::a_file_is_written_and_run",
            |world| async move {
                let session = fresh_session("hello");
                let events = hello_world(&world, &session).await?;
                let written = std::fs::read_to_string(world.workspace(&session).join("hello.py"))
                    .context("hello.py is in the workspace")?;
                ensure!(written.contains("print"), "{written}");
                ensure!(!events.is_empty());
                Ok(())
            },
        ),
        test(world, "hello_world::two_tabs_see_the_same", two_tabs),
    ]
}

/// Says "create a hello world app" and checks that each step of it comes, in order.
pub async fn hello_world(world: &World, session: &str) -> Result<Vec<serde_json::Value>> {
    let mut tab = world.tab(session, Some(0)).await?;
    tab.say("create a hello world app").await?;
    let message = tab.until(|event| event["type"] == "user_message").await?;
    ensure!(message["content"] == "create a hello world app");
    let write = tab.until(|event| event["tool"] == "Write").await?;
    let written = tab
        .until(|event| {
            event["tool_use_id"] == write["tool_use_id"] && event["type"] == "tool_result"
        })
        .await?;
    ensure!(written["is_error"] == false, "{}", tab.seen());
    let run = tab.until(|event| event["tool"] == "Bash").await?;
    let ran = tab
        .until(|event| event["tool_use_id"] == run["tool_use_id"] && event["type"] == "tool_result")
        .await?;
    ensure!(ran["is_error"] == false, "{}", tab.seen());
    let output = ran["content"].as_str().unwrap_or_default().to_lowercase();
    ensure!(
        output.contains("hello"),
        "the program's own output: {}",
        tab.seen()
    );
    let end = tab.completed().await?;
    ensure!(end["usage"]["num_turns"].as_u64() >= Some(3), "{end}");
    // The text is streamed: each block of it in pieces, how many depends on the machine.
    for (place, whole) in tab.events.iter().enumerate() {
        if whole["type"] == "result" {
            let pieces: String = tab.events[..place]
                .iter()
                .filter(|event| event["type"] == "progress" && event["block"] == whole["block"])
                .filter_map(|event| event["content"].as_str())
                .collect();
            ensure!(whole["content"] == pieces, "{pieces:?}: {}", tab.seen());
        }
    }
    let texts = tab.contents("result");
    ensure!(texts.len() >= 2, "{}", tab.seen());
    ensure!(!tab.contents("file_change").is_empty(), "{}", tab.seen());
    let seqs: Vec<u64> = tab
        .events
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    ensure!(
        seqs == (1..=seqs.len() as u64).collect::<Vec<_>>(),
        "gap-free: {seqs:?}"
    );
    Ok(tab.events)
}

async fn two_tabs(world: Arc<World>) -> Result<()> {
    let session = fresh_session("tabs");
    let mut one = world.tab(&session, Some(0)).await?;
    let mut two = world.tab(&session, Some(0)).await?;
    one.say("run `echo seen by both`").await?;
    one.completed().await?;
    two.completed().await?;
    ensure!(one.events == two.events, "{}\n{}", one.seen(), two.seen());
    ensure!(
        two.contents("tool_result")
            .iter()
            .any(|output| output.contains("seen by both")),
        "{}",
        two.seen()
    );
    Ok(())
}
