//! A panic in one session, in a build in which a message can make one: it is answered, nothing of it is
//! stored, and what the other sessions of the same isolate do goes on.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, Tab, World, fresh_session, lone_test};
use xtask::build::PANICKING;
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![lone_test(world, "panics::stay_in_their_session", stay)]
}

async fn stay() -> Result<()> {
    let built = xtask::root().join(PANICKING).join("index.js");
    ensure!(built.exists(), "build it with: cargo xtask build panics");
    let world = World::start_as(Provider::Local, |options| {
        world::with_config(options, |config| {
            let main = built.display().to_string();
            Ok(config.replace("\"build/index.js\"", &json!(main).to_string()))
        })
    })
    .await?;
    let (other, session) = (fresh_session("other"), fresh_session("panics"));
    let mut other = world.tab(&other, Some(0)).await?;
    other.say("stream 100 words every 50 ms").await?;
    other.until(|event| event["type"] == "progress").await?;

    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo before`").await?;
    tab.completed().await?;
    let before = tab.events.len();
    for place in ["at once", "while it is stored"] {
        let words = format!("panic {place}");
        let body = json!({ "sessionId": session, "message": words, "model": "local/demo" });
        let answer = world.post("/agent/message", &body).await?;
        ensure!(answer.status() == 500, "{place}: {}", answer.status());
        ensure!(answer.headers().contains_key("x-request-id"), "{place}");
        let problem: Value = answer.json().await.context("it is no problem")?;
        ensure!(
            problem["type"] == "/problems/internal",
            "{place}: {problem}"
        );
        ensure!(
            !problem.to_string().contains("told to panic"),
            "nothing of the insides: {problem}"
        );
        // The same by its socket, which may be closed by it, but not left without a word.
        let mut told = world.tab(&session, Some(before as u64)).await?;
        told.say(&words).await?;
        heard(&mut told).await.with_context(|| place.to_owned())?;
    }

    // It goes on from what is stored, and nothing of the others is.
    let mut again = world.tab(&session, Some(0)).await?;
    let snapshot = again.next().await?;
    ensure!(
        snapshot["seq"] == before && snapshot["state"] == "idle",
        "{snapshot}"
    );
    again.say("run `echo after`").await?;
    again.completed().await?;

    // Its neighbour has heard nothing of it.
    other.completed().await?;
    let words = other.contents("result").pop().unwrap_or_default();
    ensure!(words.split_whitespace().count() >= 100, "{words}");
    for (place, event) in other.events.iter().enumerate() {
        ensure!(event["seq"] == place + 1, "{}", other.seen());
    }
    world.stack.stop().await;
    Ok(())
}

/// An error for this socket, or its end.
async fn heard(tab: &mut Tab) -> Result<()> {
    loop {
        match tab.next().await {
            Ok(frame) if frame["type"] == "error" => return Ok(()),
            Ok(_) => {}
            Err(error) if error.to_string().contains("no frame came") => return Err(error),
            Err(_) => return Ok(()),
        }
    }
}
