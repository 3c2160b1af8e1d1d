//! What a session has done is there again when its sandbox is another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{PATIENCE, Running, Tab, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "saves::a_lost_disk_comes_back", lost_disk),
        test(
            world,
            "saves::a_turn_without_tools_is_begun_anew",
            begun_anew,
        ),
        test(
            world,
            "saves::a_turn_with_tools_says_what_happened",
            with_tools,
        ),
        test(
            world,
            "saves::a_crashed_agent_is_another_one",
            crashed_agent,
        ),
        lone_test(world, "saves::a_damaged_one_is_passed_over", damaged),
        lone_test(world, "saves::too_much_is_told", too_much),
        lone_test(world, "saves::before_the_sandbox_sleeps", sleeps),
    ]
}

async fn say(tab: &mut Tab, model: &str, content: &str) -> Result<()> {
    let frame = json!({ "type": "user_message", "content": content, "model": model });
    tab.send(frame).await
}

async fn done(tab: &mut Tab, content: &str) -> Result<Value> {
    tab.say(content).await?;
    tab.completed().await
}

fn last_output(tab: &Tab) -> String {
    let outputs = tab.contents("tool_result");
    outputs.last().cloned().unwrap_or_default()
}

async fn lost_disk(world: Arc<World>) -> Result<()> {
    let session = fresh_session("saves");
    let mut tab = world.tab(&session, Some(0)).await?;
    let made = "run `mkdir -p a/b && echo hello > a/b/notes.txt && printf '#!/bin/sh\\necho ran' > go.sh \
                && chmod 755 go.sh && ln -s a/b/notes.txt link && touch gone`";
    let end = done(&mut tab, made).await?;
    ensure!(end["save"] == 1, "an ended turn is saved: {end}");
    let end = done(&mut tab, "run `rm gone; echo more >> a/b/notes.txt`").await?;
    ensure!(end["save"] == 2, "{end}");

    world.lose_sandbox(&session)?;
    done(&mut tab, "run `cat link; ./go.sh; ls`").await?;
    let output = last_output(&tab);
    let lines: Vec<&str> = output.lines().collect();
    ensure!(
        lines == ["hello", "more", "ran", "a", "go.sh", "link"],
        "{output}"
    );
    ensure!(
        tab.contents("status")
            .iter()
            .any(|words| words.contains("new sandbox")),
        "it is told: {}",
        tab.seen()
    );

    // The conversation as well.
    let recalled = recall(&mut tab, "what did I say?").await?;
    ensure!(
        recalled.contains("rm gone") && recalled.ends_with("what did I say?"),
        "{recalled}"
    );
    Ok(())
}

/// What the model was sent of the conversation, as it repeats it.
async fn recall(tab: &mut Tab, words: &str) -> Result<String> {
    say(tab, "scripted/recall", words).await?;
    tab.completed().await?;
    Ok(tab.contents("result").pop().unwrap_or_default())
}

async fn begun_anew(world: Arc<World>) -> Result<()> {
    let session = fresh_session("saves");
    let mut tab = world.tab(&session, Some(0)).await?;
    done(&mut tab, "run `echo kept > kept`").await?;
    say(&mut tab, "scripted/slow", "tell me a story").await?;
    tab.until(|event| event["type"] == "progress" && event["turn_id"] == "turn-2")
        .await?;
    world.lose_sandbox(&session)?;
    tab.completed().await?;
    let again = |words: &String| words.contains("Starting again");
    ensure!(tab.contents("status").iter().any(again), "{}", tab.seen());
    let whole = tab.contents("result").pop().unwrap_or_default();
    ensure!(
        whole.contains("piece 0") && whole.contains("piece 19"),
        "{whole}"
    );
    // What the first attempt came to is not part of the conversation twice.
    let recalled = recall(&mut tab, "and now?").await?;
    ensure!(
        recalled.matches("tell me a story").count() == 1,
        "{recalled}"
    );
    done(&mut tab, "run `cat kept`").await?;
    ensure!(last_output(&tab).trim() == "kept", "{}", tab.seen());
    Ok(())
}

async fn with_tools(world: Arc<World>) -> Result<()> {
    let session = fresh_session("saves");
    let mut tab = world.tab(&session, Some(0)).await?;
    // The very first turn: nothing has been saved yet.
    tab.say("run `echo one > one` and run `sleep 60`").await?;
    tab.until(|event| event["type"] == "tool_result").await?;
    tab.until(|event| event["type"] == "tool_use").await?;
    world.lose_sandbox(&session)?;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    ensure!(tab.contents("error").len() == 1, "{}", tab.seen());

    // The conversation was written down as it went.
    let recalled = recall(&mut tab, "where were we?").await?;
    ensure!(
        recalled.contains("echo one > one") && recalled.ends_with("where were we?"),
        "{recalled}"
    );
    Ok(())
}

async fn crashed_agent(world: Arc<World>) -> Result<()> {
    let session = fresh_session("saves");
    let mut tab = world.tab(&session, Some(0)).await?;
    done(&mut tab, "run `echo kept > kept`").await?;
    tab.say("run `sleep 60`").await?;
    tab.until(|event| event["type"] == "tool_use" && event["turn_id"] == "turn-2")
        .await?;
    world.kill_in_sandbox(&session, "claude")?;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    let told = tab.contents("error").pop().unwrap_or_default();
    ensure!(told.contains("Claude Code ended"), "{told}");
    done(&mut tab, "run `cat kept`").await?;
    ensure!(last_output(&tab).trim() == "kept", "{}", tab.seen());
    Ok(())
}

async fn damaged() -> Result<()> {
    let world = World::start(Provider::Local).await?;
    let session = fresh_session("saves");
    let mut tab = world.tab(&session, Some(0)).await?;
    done(&mut tab, "run `echo first > file`").await?;
    let first = world.archives()?;
    done(&mut tab, "run `echo second > file`").await?;
    let second = world
        .archives()?
        .into_iter()
        .find(|path| !first.contains(path));
    let second = second.context("another archive")?;
    let mut bytes = std::fs::read(&second)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&second, bytes)?;

    world.lose_sandbox(&session)?;
    done(&mut tab, "run `cat file`").await?;
    ensure!(last_output(&tab).trim() == "first", "{}", tab.seen());
    ensure!(
        tab.contents("error")
            .iter()
            .any(|words| words.contains("damaged")),
        "it is told: {}",
        tab.seen()
    );
    // What is saved from now on builds on what was restored.
    done(&mut tab, "run `echo third > file`").await?;
    world.lose_sandbox(&session)?;
    done(&mut tab, "run `cat file`").await?;
    ensure!(last_output(&tab).trim() == "third", "{}", tab.seen());
    world.stack.stop().await;
    Ok(())
}

async fn too_much() -> Result<()> {
    let world = World::start_with_worker(Provider::Local, &[("SAVE_MAX_MB", "3")]).await?;
    let session = fresh_session("saves");
    let mut tab = world.tab(&session, Some(0)).await?;
    let end = done(
        &mut tab,
        "run `mkdir data; head -c 4000000 /dev/urandom > data/big; echo small > small`",
    )
    .await?;
    ensure!(end["save"].is_null(), "{end}");
    let told = tab.contents("error").pop().unwrap_or_default();
    ensure!(
        told.contains("workspace/data (4 MB)") && told.contains("3 MB are the limit"),
        "{told}"
    );
    let end = done(&mut tab, "run `rm -r data`").await?;
    ensure!(end["save"] == 1, "{end}");
    world.lose_sandbox(&session)?;
    done(&mut tab, "run `cat small`").await?;
    ensure!(last_output(&tab).trim() == "small", "{}", tab.seen());
    world.stack.stop().await;
    Ok(())
}

async fn sleeps() -> Result<()> {
    let vars = [("SANDBOX_SLEEP_SECONDS", "3")];
    let world = World::start_with_worker(Provider::Local, &vars).await?;
    let session = fresh_session("saves");
    let mut tab = world.tab(&session, Some(0)).await?;
    // Something in the background goes on when the turn has ended.
    done(
        &mut tab,
        "run `(sleep 1.5; echo later > later) > /dev/null 2>&1 & echo begun`",
    )
    .await?;
    let begin = Instant::now();
    while !world
        .processes_in_sandbox(&session, "agent-server")?
        .is_empty()
    {
        ensure!(begin.elapsed() < PATIENCE, "it does not sleep");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    std::fs::remove_dir_all(world.workspace(&session).parent().context("a folder")?)?;
    done(&mut tab, "run `cat later`").await?;
    ensure!(last_output(&tab).trim() == "later", "{}", tab.seen());
    world.stack.stop().await;
    Ok(())
}
