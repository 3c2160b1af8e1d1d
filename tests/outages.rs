//! Parts that are gone, and parts that take a connection and never answer: everybody who waits for them
//! is told so within a time, and goes on when they are back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, Tab, World, fresh_session, lone_test, test};
use xtask::process::Service;
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        lone_test(world, "outages::a_router_that_never_answers", deaf_router),
        lone_test(world, "outages::a_router_that_is_gone", no_router),
        lone_test(world, "outages::a_host_that_never_answers", deaf_host),
        lone_test(world, "outages::a_host_that_is_gone", no_host),
        test(world, "outages::a_sandbox_that_never_answers", deaf_sandbox),
    ]
}

fn part<'a>(world: &'a World, name: &str) -> Result<&'a Service> {
    world.stack.part(name).context("it does not run")
}

fn message(id: &str, model: &str) -> Value {
    json!({ "type": "user_message", "content": "run `echo once`", "id": id, "model": model })
}

/// A tab of a session that has a sandbox, and has said something with the demo model.
async fn used_session(world: &World) -> Result<(String, Tab)> {
    let session = fresh_session("outage");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo before`").await?;
    tab.completed().await?;
    Ok((session, tab))
}

async fn deaf_router() -> Result<()> {
    let world = World::start(Provider::Local).await?;
    let (_, mut tab) = used_session(&world).await?;
    let (_, mut other) = used_session(&world).await?;
    part(&world, "router")?.pause();

    // It is asked whether it has the model.
    let begin = Instant::now();
    tab.send(message("m-1", "scripted/text")).await?;
    let (error, menu) = tokio::join!(
        tab.until_told(|frame| frame["type"] == "error"),
        world.http.get(world.url("/demo/models")).send(),
    );
    let error = error?;
    ensure!(
        error["id"] == "m-1" && error["code"] == "timed_out",
        "{error}"
    );
    let told = error["content"].as_str().unwrap_or_default();
    ensure!(told.contains("model router"), "{told}");
    let menu = menu?;
    ensure!(menu.status() == 504, "{}", menu.status());
    ensure!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );

    // A turn waits for it: that can be stopped.
    other.say("run `echo never`").await?;
    other.until(|event| event["state"] == "starting").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begin = Instant::now();
    other.send(json!({ "type": "interrupt" })).await?;
    let end = other.end().await?;
    ensure!(end["outcome"] == "interrupted", "{}", other.seen());
    ensure!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );

    part(&world, "router")?.resume();
    tab.send(message("m-1", "scripted/text")).await?;
    tab.completed().await?;
    other.say("run `echo again`").await?;
    other.completed().await?;
    world.stack.stop().await;
    Ok(())
}

async fn no_router() -> Result<()> {
    let mut world = World::start(Provider::Local).await?;
    let (session, mut tab) = used_session(&world).await?;
    let before = tab.events.len();
    world.stack.kill("router").await;

    // With a model that nobody knows yet, it is refused each time.
    for _ in 0..2 {
        tab.send(message("m-1", "scripted/text")).await?;
        let error = tab.until_told(|frame| frame["type"] == "error").await?;
        ensure!(
            error["id"] == "m-1" && error["code"] == "model_failed",
            "{error}"
        );
    }
    ensure!(tab.events.len() == before, "nothing of it is kept");

    // With the session's own, it is stored, once, whoever sends it again.
    let again = message("m-2", "local/demo");
    tab.send(again.clone()).await?;
    let said = tab.until(|event| event["id"] == "m-2").await?;
    tab.send(again.clone()).await?;
    let mut other = world.tab(&session, None).await?;
    other.send(again.clone()).await?;
    let said_again = other.until(|event| event["id"] == "m-2").await?;
    ensure!(said == said_again, "{said} {said_again}");

    // Its turn says why it can't go on, and ends.
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    ensure!(tab.contents("error").len() == 1, "{}", tab.seen());

    world.stack.start_workers().await?;
    for (id, model) in [
        ("m-2", "local/demo"),
        ("m-1", "scripted/text"),
        ("m-1", "scripted/text"),
        ("m-2", "local/demo"),
    ] {
        tab.send(message(id, model)).await?;
    }
    tab.completed().await?;
    let mut whole = world.tab(&session, Some(0)).await?;
    for outcome in ["completed", "failed", "completed"] {
        ensure!(whole.end().await?["outcome"] == outcome, "{}", whole.seen());
    }
    let said: Vec<&Value> = whole
        .events
        .iter()
        .filter(|event| event["type"] == "user_message")
        .map(|event| &event["id"])
        .collect();
    ensure!(said[1..] == ["m-2", "m-1"], "each once: {said:?}");
    world.stack.stop().await;
    Ok(())
}

/// A sandbox that is starting, and starts for good only after a minute.
async fn deaf_host() -> Result<()> {
    let world = World::start(Provider::Local).await?;
    part(&world, "sandboxes")?.pause();
    let begin = Instant::now();
    let session = fresh_session("outage");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo never`").await?;
    tab.until(|event| event["state"] == "starting").await?;

    // It can be stopped meanwhile.
    let mut other = world.tab(&fresh_session("outage"), Some(0)).await?;
    other.say("run `touch ran-unseen`").await?;
    other.until(|event| event["state"] == "starting").await?;
    other.send(json!({ "type": "interrupt" })).await?;
    let end = other.end().await?;
    ensure!(end["outcome"] == "interrupted", "{}", other.seen());

    tokio::time::sleep(Duration::from_secs(45).saturating_sub(begin.elapsed())).await;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    ensure!(
        begin.elapsed() < Duration::from_secs(75),
        "{:?}",
        begin.elapsed()
    );
    let errors = tab.contents("error");
    ensure!(
        errors.len() == 1 && errors[0].contains("did not answer within 60 seconds"),
        "{errors:?}"
    );
    part(&world, "sandboxes")?.resume();
    for tab in [&mut tab, &mut other] {
        tab.say("run `ls`").await?;
        tab.completed().await?;
        let listed = tab.contents("tool_result").join("\n");
        ensure!(!listed.contains("ran-unseen"), "{}", tab.seen());
    }
    world.stack.stop().await;
    Ok(())
}

async fn no_host() -> Result<()> {
    let mut world = World::start(Provider::Local).await?;
    world.stack.kill("sandboxes").await;
    let mut tab = world.tab(&fresh_session("outage"), Some(0)).await?;
    let begin = Instant::now();
    tab.say("run `echo never`").await?;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    ensure!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
    let errors = tab.contents("error");
    ensure!(
        errors.len() == 1 && errors[0].contains("cargo xtask dev"),
        "{errors:?}"
    );
    world.stack.stop().await;
    Ok(())
}

/// A sandbox's server that takes connections and answers none is replaced for the next message.
async fn deaf_sandbox(world: Arc<World>) -> Result<()> {
    let (session, mut tab) = used_session(&world).await?;
    let server = server_of(&session)?;
    let stopped = std::process::Command::new("kill")
        .args(["-STOP", &server])
        .status()?;
    ensure!(stopped.success(), "{server}");
    let begin = Instant::now();
    tab.say("run `echo after`").await?;
    tab.completed().await?;
    ensure!(
        begin.elapsed() < Duration::from_secs(30),
        "{:?}",
        begin.elapsed()
    );
    ensure!(
        tab.contents("tool_result") == ["before", "after"],
        "{}",
        tab.seen()
    );
    ensure!(server_of(&session)? != server, "it is another one");
    Ok(())
}

/// The process of a local sandbox's agent-server.
fn server_of(session: &str) -> Result<String> {
    let wanted = format!("AGENT_SESSION_ID={session}");
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
        {
            return Ok(entry.file_name().to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("no process of {session}")
}
