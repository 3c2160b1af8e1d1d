//! Sessions that go on from a turn of another one.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

use crate::access::{all_scopes, answered, ask, key};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "fork::a_turn_is_gone_on_from", goes_on),
        test(world, "fork::a_launched_session_is_forked", launched),
        test(world, "fork::what_can_not_be_forked", refused),
    ]
}

pub fn guarded_tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![test(world, "fork::only_who_may_begin_sessions_forks", who)]
}

async fn fork(world: &World, session: &str, wish: Value) -> Result<String> {
    let path = format!("/api/sessions/{session}/fork");
    let request = ask(world, Method::POST, &path, None).json(&wish);
    let told = answered(request, 201).await?;
    ensure!(told["forked_from"] == session, "{told}");
    Ok(told["session_id"].as_str().context("no id")?.to_owned())
}

async fn run(world: &World, session: &str, what: &str) -> Result<Value> {
    let body = json!({ "message": what, "sessionId": session, "model": "local/demo" });
    answered(
        ask(world, Method::POST, "/agent/message", None).json(&body),
        200,
    )
    .await
}

async fn goes_on(world: Arc<World>) -> Result<()> {
    let session = fresh_session("fork");
    run(&world, &session, "run `echo one > one; echo first > both`").await?;
    run(&world, &session, "run `echo two > two; echo second > both`").await?;
    run(&world, &session, "run `rm one`").await?;
    let early = fork(&world, &session, json!({ "turn": 1 })).await?;
    let late = fork(&world, &session, json!({})).await?;

    // Its log is the other one's up to there, as its own.
    let mut tab = world.tab(&early, Some(0)).await?;
    let seen = tab.until(|event| event["state"] == "ended").await?;
    ensure!(seen["turn_id"] == "turn-1", "{seen}");
    let numbers: Vec<u64> = tab
        .events
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    ensure!(
        numbers == (1..=numbers.len() as u64).collect::<Vec<_>>(),
        "{numbers:?}"
    );
    ensure!(
        tab.events
            .iter()
            .all(|event| event["session_id"] == early.as_str())
    );
    ensure!(!tab.seen().contains("echo two"), "{}", tab.seen());

    // Its files and its conversation are what they were then.
    tab.say("run `cat both; ls`").await?;
    let end = tab.completed().await?;
    ensure!(end["turn_id"] == "turn-2", "{end}");
    let output = tab
        .events
        .iter()
        .rev()
        .find(|event| event["type"] == "tool_result")
        .and_then(|event| event["content"].as_str())
        .context("no output")?;
    ensure!(
        output.contains("first") && output.contains("one"),
        "{output}"
    );
    ensure!(
        !output.contains("two") && !output.contains("second"),
        "{output}"
    );
    tab.send(
        json!({ "type": "user_message", "content": "what did I say?", "model": "scripted/recall" }),
    )
    .await?;
    tab.completed().await?;
    let recalled = tab.contents("result").pop().unwrap_or_default();
    ensure!(
        recalled.contains("echo one") && !recalled.contains("echo two"),
        "{recalled}"
    );

    // The other one knows nothing of it, and a later fork has all of it.
    run(
        &world,
        &session,
        "run `test ! -e one && cat both | grep second`",
    )
    .await?;
    let told = run(&world, &late, "run `test ! -e one && cat both`").await?;
    ensure!(told["turnId"] == "turn-4", "{told}");
    ensure!(world.workspace(&late).join("two").exists());

    // A fork of a fork, when the first is gone.
    let again = fork(&world, &early, json!({ "turn": "turn-2" })).await?;
    let path = format!("/api/sessions/{session}");
    answered(ask(&world, Method::DELETE, &path, None), 204).await?;
    run(&world, &again, "run `cat one`").await?;
    ensure!(world.workspace(&again).join("one").exists());
    Ok(())
}

async fn launched(world: Arc<World>) -> Result<()> {
    let config = json!({
        "id": "forked", "name": "Forked", "model": "local/demo", "env": { "GREETING": "hello" },
    });
    let request = ask(&world, Method::POST, "/api/agents/launch", None);
    let told = answered(request.json(&json!({ "config": config })), 200).await?;
    let session = told["session_id"].as_str().context("no session")?;
    run(&world, session, "run `echo $GREETING > greeting`").await?;
    let fork = fork(&world, session, json!({})).await?;
    let about = format!("/api/agents/sessions/{fork}");
    let about = answered(ask(&world, Method::GET, &about, None), 200).await?;
    ensure!(about["config_id"] == "forked", "{about}");
    ensure!(about["forked_from"] == json!({ "session_id": session, "turn_id": "turn-1" }));
    run(&world, &fork, "run `echo $GREETING again >> greeting`").await?;
    let greeting = std::fs::read_to_string(world.workspace(&fork).join("greeting"))?;
    ensure!(greeting == "hello\nhello again\n", "{greeting}");
    Ok(())
}

async fn refused(world: Arc<World>) -> Result<()> {
    let session = fresh_session("fork");
    let path = format!("/api/sessions/{session}/fork");
    let fork = |wish: Value| ask(&world, Method::POST, &path, None).json(&wish);
    answered(fork(json!({})), 404).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    answered(fork(json!({})), 409).await?;
    tab.say("run `echo one > one`").await?;
    tab.completed().await?;
    tab.say("run `sleep 60`").await?;
    tab.until(|event| event["type"] == "tool_use" && event["turn_id"] == "turn-2")
        .await?;
    answered(fork(json!({ "turn": 2 })), 409).await?;
    answered(fork(json!({ "turn": 3 })), 404).await?;
    answered(fork(json!({ "turn": 0 })), 404).await?;
    for wrong in [json!("x"), json!(-1), json!([1]), json!(1.5)] {
        let problem = answered(fork(json!({ "turn": wrong })), 400).await?;
        ensure!(problem["errors"][0]["field"] == "turn", "{problem}");
    }
    // While another turn runs, one that has ended can be gone on from.
    answered(fork(json!({ "turn": 1 })), 201).await?;
    tab.send(json!({ "type": "interrupt" })).await?;
    tab.until(|event| event["state"] == "ended" && event["turn_id"] == "turn-2")
        .await?;
    Ok(())
}

async fn who(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "fork-alice").await?;
    let session = fresh_session("fork");
    let body =
        json!({ "message": "run `echo one > one`", "sessionId": session, "model": "local/demo" });
    let say = ask(&world, Method::POST, "/agent/message", Some(&alice));
    answered(say.json(&body), 200).await?;
    let path = format!("/api/sessions/{session}/fork");
    let fork = |key: &str| ask(&world, Method::POST, &path, Some(key)).json(&json!({}));
    let scopes = json!({ "scopes": ["read", "write"] });
    let (_, writer) = key(&world, "fork-alice", scopes).await?;
    answered(fork(&writer), 403).await?;
    answered(fork(&all_scopes(&world, "fork-bob").await?), 403).await?;
    let share = ask(
        &world,
        Method::POST,
        &format!("/api/sessions/{session}/shares"),
        Some(&alice),
    );
    let link = answered(share.json(&json!({ "mode": "write" })), 201).await?;
    answered(fork(link["token"].as_str().context("no link")?), 403).await?;
    let told = answered(fork(&alice), 201).await?;
    let fork = told["session_id"].as_str().context("no id")?;
    let list = ask(&world, Method::GET, "/api/agents/sessions", Some(&alice));
    ensure!(answered(list, 200).await?.to_string().contains(fork));
    Ok(())
}
