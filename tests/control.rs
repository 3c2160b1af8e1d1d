//! What a session's owner does with it as a whole.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use world::{Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "control::a_session_is_exported", exported),
        lone_test(world, "control::a_session_is_deleted_for_good", deleted),
    ]
}

async fn exported(world: Arc<World>) -> Result<()> {
    let session = fresh_session("control");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `printf '\\140\\140\\140\\n' > fence; cat fence`")
        .await?;
    tab.completed().await?;
    let path = format!("/api/sessions/{session}/export");
    let answer = world.http.get(world.url(&path)).send().await?;
    let name = format!("attachment; filename=\"{session}.json\"");
    ensure!(answer.headers()["content-disposition"] == name.as_str());
    let document: Value = answer.json().await?;
    ensure!(document["session_id"] == session.as_str(), "{document}");
    ensure!(
        document["events"].as_array() == Some(&tab.events),
        "{document}"
    );

    let answer = world
        .http
        .get(world.url(&format!("{path}?format=markdown")))
        .send()
        .await?;
    ensure!(
        answer.headers()["content-type"]
            .to_str()?
            .starts_with("text/markdown")
    );
    let text = answer.text().await?;
    ensure!(text.starts_with(&format!("# {session}\n")), "{text}");
    for part in [
        "## You\n\nrun `printf",
        "<summary>Bash: printf",
        "````\n```\n````",
    ] {
        ensure!(text.contains(part), "{part} is not in {text}");
    }
    let answer = world
        .http
        .get(world.url(&format!("{path}?format=pdf")))
        .send()
        .await?;
    ensure!(answer.status() == 400);
    let nobody = format!("/api/sessions/{}/export", fresh_session("control"));
    ensure!(world.http.get(world.url(&nobody)).send().await?.status() == 404);
    Ok(())
}

async fn deleted() -> Result<()> {
    let world = World::start(Provider::Local).await?;
    let session = fresh_session("control");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo secret > file`").await?;
    tab.completed().await?;
    ensure!(world.archives()?.len() == 1, "it is saved");
    // In the middle of a turn, and of what waits behind it.
    tab.say("run `sleep 60`").await?;
    tab.until(|event| event["type"] == "tool_use" && event["turn_id"] == "turn-2")
        .await?;
    tab.say("run `echo never > never`").await?;
    let url = world.url(&format!("/api/sessions/{session}"));
    let answer = world.http.delete(&url).send().await?;
    ensure!(answer.status() == 204, "{}", answer.text().await?);
    let (code, _) = tab.closed().await?;
    ensure!(code == 4410, "{code}");
    ensure!(world.archives()?.is_empty(), "nothing of it is kept");
    ensure!(!world.workspace(&session).exists(), "nor its files");
    ensure!(
        world.processes_in_sandbox(&session, "claude")?.is_empty(),
        "nor what ran there"
    );
    let events = world.url(&format!("/api/sessions/{session}/events"));
    ensure!(world.http.get(&events).send().await?.status() == 404);
    ensure!(world.http.delete(&url).send().await?.status() == 404);

    // Whoever takes the name begins with nothing.
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `ls`").await?;
    tab.completed().await?;
    ensure!(tab.events[0]["seq"] == 1, "{}", tab.seen());
    ensure!(
        tab.contents("user_message") == ["run `ls`"],
        "{}",
        tab.seen()
    );
    ensure!(
        !tab.contents("tool_result")[0].contains("file"),
        "{}",
        tab.seen()
    );
    world.stack.stop().await;
    Ok(())
}
