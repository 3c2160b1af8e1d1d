//! What the agent asks people: it waits in the session for whoever comes, is answered once, and is
//! over when its turn is.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, Tab, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "permissions::the_first_answer_counts", first_answer),
        test(world, "permissions::an_answer_over_http", over_http),
        test(
            world,
            "permissions::what_is_allowed_for_the_session_is_not_asked_again",
            for_the_session,
        ),
        test(
            world,
            "permissions::a_client_that_comes_back_answers",
            comes_back,
        ),
        test(
            world,
            "permissions::an_interrupt_withdraws_what_is_asked",
            interrupted,
        ),
        test(
            world,
            "permissions::a_question_waits_for_a_person_also_where_all_is_allowed",
            question,
        ),
        test(world, "permissions::a_plan_is_approved", plan),
        test(
            world,
            "permissions::the_mode_changes_in_the_middle_of_a_turn_and_stays",
            mode,
        ),
        lone_test(
            world,
            "permissions::answered_after_workerd_was_killed",
            after_a_crash,
        ),
        lone_test(
            world,
            "permissions::what_nobody_answers_is_denied_in_time",
            nobody,
        ),
    ]
}

/// Says something in a permission mode.
async fn say(tab: &mut Tab, content: &str, mode: &str) -> Result<()> {
    tab.send(json!({
        "type": "user_message", "content": content, "model": "local/demo", "permissionMode": mode,
    }))
    .await
}

/// Says it in the session's own mode.
async fn say_on(tab: &mut Tab, content: &str) -> Result<()> {
    tab.send(json!({ "type": "user_message", "content": content }))
        .await
}

async fn asked(tab: &mut Tab) -> Result<Value> {
    let asks = |event: &Value| {
        matches!(
            event["type"].as_str(),
            Some("permission_request" | "question")
        )
    };
    tab.until(asks).await
}

async fn answer(tab: &mut Tab, request: &Value, answer: Value) -> Result<()> {
    let mut frame = answer;
    frame["type"] = "permission_response".into();
    frame["request_id"] = request["request_id"].clone();
    tab.send(frame).await
}

async fn answered(tab: &mut Tab) -> Result<Value> {
    tab.until(|event| event["type"] == "permission_response")
        .await
}

/// The session's own state, as a client gets it that connects.
async fn snapshot(world: &World, session: &str) -> Result<Value> {
    let mut tab = world.tab(session, None).await?;
    let snapshot = tab.until_told(|frame| frame["snapshot"] == true).await?;
    Ok(snapshot["session"].clone())
}

async fn first_answer(world: Arc<World>) -> Result<()> {
    let session = fresh_session("permissions");
    let mut tab = world.tab(&session, Some(0)).await?;
    let mut other = world.tab(&session, Some(0)).await?;
    say(&mut tab, "run `touch asked`", "default").await?;
    let request = asked(&mut tab).await?;
    ensure!(request["tool"] == "Bash", "{request}");
    ensure!(request["input"]["command"] == "touch asked", "{request}");
    ensure!(
        request["rules"] == json!(["Bash(touch asked *)"]),
        "{request}"
    );
    ensure!(
        request["expires_at"].as_u64() > request["timestamp"].as_u64(),
        "{request}"
    );
    ensure!(!world.workspace(&session).join("asked").exists());

    // Both see it; the second to answer hears that it is over, and sees how.
    ensure!(asked(&mut other).await? == request);
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    let response = answered(&mut other).await?;
    ensure!(response["behavior"] == "allow", "{response}");
    ensure!(
        response["request_id"] == request["request_id"],
        "{response}"
    );
    answer(&mut other, &request, json!({ "behavior": "deny" })).await?;
    let refused = other.until_told(|frame| frame["type"] == "error").await?;
    ensure!(refused["code"] == "conflict", "{refused}");
    ensure!(refused["id"] == request["request_id"], "{refused}");
    tab.completed().await?;
    ensure!(world.workspace(&session).join("asked").exists());
    ensure!(
        tab.contents("permission_response") == ["Allowed"],
        "{}",
        tab.seen()
    );
    Ok(())
}

async fn over_http(world: Arc<World>) -> Result<()> {
    let session = fresh_session("permissions");
    let mut tab = world.tab(&session, Some(0)).await?;
    say(&mut tab, "run `touch refused`", "default").await?;
    let request = asked(&mut tab).await?;
    let id = request["request_id"].as_str().context("no id")?;
    let path = |id: &str| format!("/api/sessions/{session}/permissions/{id}");
    for (id, body, status) in [
        (id, json!({}), 400),
        (id, json!([]), 400),
        (id, json!({ "answers": { "a": "b" } }), 400),
        ("ask-77", json!({ "behavior": "deny" }), 404),
        ("%2e%2e", json!({ "behavior": "deny" }), 404),
    ] {
        let refused = world.post(&path(id), &body).await?;
        ensure!(
            refused.status() == status,
            "{id} {body}: {}",
            refused.status()
        );
    }
    let no = json!({ "behavior": "deny", "message": "Not this file." });
    let event: Value = world.post(&path(id), &no).await?.json().await?;
    ensure!(event["behavior"] == "deny", "{event}");
    let again = world.post(&path(id), &no).await?;
    ensure!(again.status() == 409, "{}", again.status());
    ensure!(answered(&mut tab).await? == event);
    tab.completed().await?;
    let told = tab.contents("tool_result").pop().unwrap_or_default();
    ensure!(told.contains("Not this file."), "{told}");
    ensure!(!world.workspace(&session).join("refused").exists());
    Ok(())
}

async fn for_the_session(world: Arc<World>) -> Result<()> {
    let session = fresh_session("permissions");
    let mut tab = world.tab(&session, Some(0)).await?;
    say(&mut tab, "run `mkdir -p a` and `mkdir -p a`", "default").await?;
    let request = asked(&mut tab).await?;
    let rules = request["rules"].clone();
    let rule = rules[0].as_str().context("no rule")?.to_owned();
    answer(&mut tab, &request, json!({ "behavior": "allow_session" })).await?;
    tab.completed().await?;
    say_on(&mut tab, "run `mkdir -p a`").await?;
    tab.completed().await?;
    ensure!(
        tab.contents("permission_request").len() == 1,
        "{}",
        tab.seen()
    );
    ensure!(snapshot(&world, &session).await?["permissionRules"] == rules);

    // It does not hold any more where somebody takes it back.
    tab.send(json!({ "type": "remove_rule", "rule": rule }))
        .await?;
    let removed = tab
        .until(|event| event["rules"].is_array() && event["type"] == "status")
        .await?;
    ensure!(removed["rules"] == json!([]), "{removed}");
    say_on(&mut tab, "run `mkdir -p a`").await?;
    let request = asked(&mut tab).await?;
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    tab.completed().await?;
    Ok(())
}

async fn comes_back(world: Arc<World>) -> Result<()> {
    let session = fresh_session("permissions");
    let mut tab = world.tab(&session, Some(0)).await?;
    say(&mut tab, "run `touch later`", "default").await?;
    let request = asked(&mut tab).await?;
    drop(tab);
    let open = snapshot(&world, &session).await?["permissionRequests"].clone();
    ensure!(open[0]["request_id"] == request["request_id"], "{open}");
    ensure!(open[0]["seq"] == request["seq"], "{open}");
    let mut tab = world.tab(&session, Some(0)).await?;
    ensure!(asked(&mut tab).await? == request);
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    tab.completed().await?;
    ensure!(world.workspace(&session).join("later").exists());
    ensure!(snapshot(&world, &session).await?["permissionRequests"] == json!([]));
    Ok(())
}

async fn interrupted(world: Arc<World>) -> Result<()> {
    let session = fresh_session("permissions");
    let mut tab = world.tab(&session, Some(0)).await?;
    say(&mut tab, "run `touch never`", "default").await?;
    let request = asked(&mut tab).await?;
    tab.send(json!({ "type": "interrupt" })).await?;
    ensure!(answered(&mut tab).await?["behavior"] == "withdrawn");
    ensure!(
        tab.end().await?["outcome"] == "interrupted",
        "{}",
        tab.seen()
    );
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    let refused = tab.until_told(|frame| frame["type"] == "error").await?;
    ensure!(refused["code"] == "conflict", "{refused}");
    say_on(&mut tab, "hello there").await?;
    tab.completed().await?;
    ensure!(!world.workspace(&session).join("never").exists());
    Ok(())
}

async fn question(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("permissions"), Some(0)).await?;
    say(&mut tab, "please ask me a question", "bypassPermissions").await?;
    let request = asked(&mut tab).await?;
    ensure!(request["type"] == "question", "{request}");
    let questions = &request["input"]["questions"];
    ensure!(questions[0]["options"][0]["label"] == "Red", "{questions}");
    // It is no question whether it may.
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    let refused = tab.until_told(|frame| frame["type"] == "error").await?;
    ensure!(refused["field"] == "answers", "{refused}");
    let text = |at: usize| questions[at]["question"].as_str().unwrap_or_default();
    let answers = json!({ text(0): "Green", text(1): ["Bread", "Olives"] });
    tab.send(json!({
        "type": "question_response", "request_id": request["request_id"], "answers": answers,
    }))
    .await?;
    let response = answered(&mut tab).await?;
    ensure!(response["behavior"] == "answer", "{response}");
    ensure!(
        response["answers"][text(1)] == "Bread, Olives",
        "{response}"
    );
    tab.completed().await?;
    let told = tab.contents("tool_result").pop().unwrap_or_default();
    ensure!(
        told.contains("Green") && told.contains("Bread, Olives"),
        "{told}"
    );
    Ok(())
}

async fn plan(world: Arc<World>) -> Result<()> {
    let session = fresh_session("permissions");
    let mut tab = world.tab(&session, Some(0)).await?;
    say(&mut tab, "plan: a garden shed", "plan").await?;
    let request = asked(&mut tab).await?;
    ensure!(request["tool"] == "ExitPlanMode", "{request}");
    let plan = request["input"]["plan"].as_str().unwrap_or_default();
    ensure!(plan.contains("a garden shed"), "{request}");
    ensure!(!world.workspace(&session).join("plan.txt").exists());
    // First not.
    answer(
        &mut tab,
        &request,
        json!({ "behavior": "deny", "message": "A larger one" }),
    )
    .await?;
    tab.completed().await?;
    ensure!(snapshot(&world, &session).await?["permissionMode"] == "plan");
    ensure!(!world.workspace(&session).join("plan.txt").exists());

    say_on(&mut tab, "plan: a large garden shed").await?;
    let request = asked(&mut tab).await?;
    let approve = json!({ "behavior": "allow", "mode": "acceptEdits" });
    answer(&mut tab, &request, approve).await?;
    tab.completed().await?;
    ensure!(
        world.workspace(&session).join("plan.txt").exists(),
        "{}",
        tab.seen()
    );
    ensure!(snapshot(&world, &session).await?["permissionMode"] == "acceptEdits");
    Ok(())
}

async fn mode(world: Arc<World>) -> Result<()> {
    let session = fresh_session("permissions");
    let mut tab = world.tab(&session, Some(0)).await?;
    say(
        &mut tab,
        "run `touch 1` and `touch 2` and `touch 3`",
        "default",
    )
    .await?;
    let request = asked(&mut tab).await?;
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    let request = asked(&mut tab).await?;
    tab.send(json!({ "type": "set_permission_mode", "mode": "bypassPermissions" }))
        .await?;
    tab.until(|event| event["permission_mode"] == "bypassPermissions")
        .await?;
    // The agent hears of it beside this.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    tab.completed().await?;
    say_on(&mut tab, "run `touch 4`").await?;
    tab.completed().await?;
    ensure!(
        tab.contents("permission_request").len() == 2,
        "{}",
        tab.seen()
    );
    ensure!(world.workspace(&session).join("4").exists());
    // And it is the session's, until somebody chooses another.
    ensure!(snapshot(&world, &session).await?["permissionMode"] == "bypassPermissions");
    tab.send(json!({ "type": "set_permission_mode", "mode": "default" }))
        .await?;
    say_on(&mut tab, "run `touch 5`").await?;
    let request = asked(&mut tab).await?;
    answer(&mut tab, &request, json!({ "behavior": "deny" })).await?;
    tab.completed().await?;
    tab.send(json!({ "type": "set_permission_mode", "mode": "all" }))
        .await?;
    let refused = tab.until_told(|frame| frame["type"] == "error").await?;
    ensure!(refused["field"] == "mode", "{refused}");
    Ok(())
}

async fn after_a_crash() -> Result<()> {
    let mut world = World::start(Provider::Local).await?;
    let session = fresh_session("permissions");
    let mut tab = world.tab(&session, Some(0)).await?;
    say(&mut tab, "run `touch survived`", "default").await?;
    let request = asked(&mut tab).await?;
    world.crash_and_restart_workers().await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    ensure!(asked(&mut tab).await? == request);
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    tab.completed().await?;
    ensure!(world.workspace(&session).join("survived").exists());

    // Answered, and killed before the agent can have heard it.
    say_on(&mut tab, "run `touch told-again`").await?;
    let request = asked(&mut tab).await?;
    answer(&mut tab, &request, json!({ "behavior": "allow" })).await?;
    answered(&mut tab).await?;
    world.crash_and_restart_workers().await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    for _ in 0..2 {
        tab.completed().await?;
    }
    ensure!(world.workspace(&session).join("told-again").exists());
    world.stack.stop().await;
    Ok(())
}

async fn nobody() -> Result<()> {
    let seconds = ("PERMISSION_TIMEOUT_SECONDS".to_owned(), "2".to_owned());
    let world = World::start_with_both(Provider::Local, Vec::new(), vec![seconds]).await?;
    let mut tab = world.tab(&fresh_session("permissions"), Some(0)).await?;
    for (words, tool) in [
        ("run `touch late`", "Bash"),
        ("please ask me a question", "AskUserQuestion"),
    ] {
        say(&mut tab, words, "default").await?;
        let request = asked(&mut tab).await?;
        let response = answered(&mut tab).await?;
        ensure!(response["behavior"] == "expired", "{response}");
        ensure!(
            response["timestamp"].as_u64() >= request["expires_at"].as_u64(),
            "{response}"
        );
        tab.completed().await?;
        let told = tab.contents("tool_result").pop().unwrap_or_default();
        ensure!(told.contains("Nobody has answered"), "{tool}: {told}");
    }
    world.stack.stop().await;
    Ok(())
}
