//! The OpenAPI document and the server that it describes: it is served with a page for reading, and
//! requests that are made from it find neither a failure of the server nor an answer of another form.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use world::{Running, World, lone_test, test};
use xtask::stack::Provider;

use crate::access::{answered, ask};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "openapi::it_is_served_and_can_be_read", served),
        lone_test(world, "openapi::requests_made_from_it", fuzzed),
    ]
}

async fn served(world: Arc<World>) -> Result<()> {
    let path = xtask::root().join(xtask::docs::DOCUMENT);
    let kept: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let told = answered(ask(&world, Method::GET, "/api/openapi.json", None), 200).await?;
    ensure!(told == kept, "it is the one that is checked in");
    let page = ask(&world, Method::GET, "/api/docs", None).send().await?;
    ensure!(page.status() == 200, "{}", page.status());
    let policy = page.headers()["content-security-policy"]
        .to_str()?
        .to_owned();
    ensure!(
        policy.contains("default-src 'none'") && !policy.contains("script-src"),
        "{policy}"
    );
    let page = page.text().await?;
    ensure!(page.contains("Launch an agent in a new session"), "{page}");
    let style = page
        .split("href=\"")
        .find(|part| part.starts_with("/assets/"));
    let style = style.and_then(|part| part.split('"').next());
    let style = ask(&world, Method::GET, style.context("no style")?, None)
        .send()
        .await?;
    ensure!(
        style.status() == 200
            && style.headers()["content-type"]
                .to_str()?
                .starts_with("text/css")
    );
    Ok(())
}

/// Seconds that requests are made for.
const SECONDS: &str = "75";

/// Those that do not end by themselves, take a turn of an agent, or end what the others ask for.
const LEFT_OUT: [&str; 8] = [
    "/api/sessions/{session}/events",
    "/api/tools/{session}/stream",
    "/agent/message",
    "/claude-code",
    "/api/agents/chat",
    "/api/agents/{session}/chat",
    "/demo/ws/{session}",
    "/sandbox/{session}/{path}",
];

async fn fuzzed() -> Result<()> {
    let program = xtask::tools::schemathesis().await?;
    // A world of its own: what is made up here fills lists that others look at.
    let world = World::start(Provider::Local).await?;
    let launch = json!({ "config": { "id": "demo", "name": "Demo", "model": "local/demo" } });
    let request = ask(&world, Method::POST, "/api/agents/launch", None).json(&launch);
    let launched = answered(request, 200).await?;
    let session = launched["session_id"].as_str().context("no session")?;
    let say = ask(
        &world,
        Method::POST,
        &format!("/api/agents/{session}/chat"),
        None,
    );
    answered(
        say.json(&json!({ "message": "create a hello world app" })),
        200,
    )
    .await?;

    // Most requests are to be about a session that is there.
    let path = xtask::root().join(xtask::docs::DOCUMENT);
    let mut document: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let operations = document["paths"].as_object_mut().context("no paths")?;
    let operations = operations.values_mut().filter_map(Value::as_object_mut);
    for operation in operations.flat_map(|path| path.values_mut()) {
        for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
            if parameter["name"] == "session" {
                parameter["schema"] = json!({ "enum": [session, "no-such-session"] });
            }
        }
    }
    let folder = tempfile::tempdir()?;
    let made = folder.path().join("openapi.json");
    std::fs::write(&made, document.to_string())?;
    let mut run = Command::new(program);
    run.arg("run")
        .arg(&made)
        .args(["--url", &world.stack.url])
        .args([
            "--checks",
            "not_a_server_error,response_schema_conformance,content_type_conformance",
        ])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args([
            "--max-time",
            SECONDS,
            "--request-timeout",
            "30",
            // Two change the same limit of Python's stack, which then fails now and then.
            "--workers",
            "1",
        ])
        .args([
            "--seed",
            "7",
            "--continue-on-failure",
            "--no-shrink",
            "--warnings",
            "off",
        ]);
    for path in LEFT_OUT {
        run.args(["--exclude-path", path]);
    }
    run.args(["--exclude-operation-id", "delete_api_sessions_session"])
        .args(["--exclude-path", "/api/agents/sessions/{session}/stop"])
        .args([
            "--exclude-operation-id",
            "delete_api_agents_sessions_session",
        ]);
    let output = run
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true)
        .output()
        .await?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    world.stack.stop().await;
    ensure!(
        output.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(told.contains("passed"), "nothing was asked: {told}");
    Ok(())
}
