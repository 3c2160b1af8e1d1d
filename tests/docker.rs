//! The same through a real container.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{PATIENCE, Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

use crate::{dev, hello_world, interrupt};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "docker::hello_world", |world| async move {
            hello_world::hello_world(&world, &fresh_session("docker"))
                .await
                .map(drop)
        }),
        test(world, "docker::interrupt", |world| async move {
            interrupt::running_command(&world, &fresh_session("docker")).await
        }),
        test(
            world,
            "docker::a_turn_that_is_starting_never_runs",
            |world| async move { interrupt::starting(&world, &fresh_session("docker")).await },
        ),
        lone_test(world, "docker::ctrl_c_of_dev_leaves_no_container", ctrl_c),
        lone_test(world, "docker::ctrl_c_while_it_starts", early_ctrl_c),
        test(world, "docker::stacks_beside_each_other", beside),
        test(world, "docker::no_key_and_no_internet", walled_off),
        test(world, "docker::what_an_agent_names_it_reaches", egress),
        test(
            world,
            "docker::a_container_that_is_killed_ends_the_turn",
            killed,
        ),
    ]
}

async fn walled_off(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("docker"), Some(0)).await?;
    tab.send(json!({
        "type": "user_message", "model": "local/demo",
        "content": "run `id -un; env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'` and \
                    run `curl -sS -m 3 --noproxy '*' http://1.1.1.1/ 2>&1 || echo unreachable` and \
                    run `curl -s -m 3 -o /dev/null -w '%{http_code}' http://router.internal/say -X POST -H 'host: session.internal' -H 'x-session-id: other' || echo refused`",
    }))
    .await?;
    tab.completed().await?;
    let outputs = tab.contents("tool_result");
    ensure!(outputs.len() == 3, "{}", tab.seen());
    ensure!(
        outputs[0].starts_with("agent"),
        "not as root: {}",
        outputs[0]
    );
    for name in ["API_KEY", "SECRET", "LITELLM"] {
        ensure!(!outputs[0].contains(name), "{}", outputs[0]);
    }
    ensure!(outputs[1].contains("unreachable"), "{}", outputs[1]);
    ensure!(
        outputs[2].contains("404") || outputs[2].contains("refused"),
        "{}",
        outputs[2]
    );
    Ok(())
}

/// With the proxy and past it. The host that is named exists nowhere: that the request came as far as the
/// edge, and no further, is what can be seen without the internet.
async fn egress(world: Arc<World>) -> Result<()> {
    let config = json!({
        "id": "reaches", "name": "Reaches", "model": "local/demo", "egress": ["allowed.example"],
    });
    let launch = json!({ "config": config });
    let told = world.post("/api/agents/launch", &launch).await?;
    let told: Value = told.error_for_status()?.json().await?;
    let session = told["session_id"].as_str().context("no session")?;
    let mut tab = world.tab(session, Some(0)).await?;
    tab.say(
        "run `curl -s -m 20 http://denied.example/` and \
         run `curl -s -m 20 http://allowed.example/` and \
         run `curl -s -m 20 --noproxy '*' http://allowed.example/past` and \
         run `curl -sS -m 3 --noproxy '*' http://denied.example/ 2>&1 || echo unreachable` and \
         run `curl -s -m 20 --noproxy '*' -H 'host: denied.example' http://allowed.example/ || echo refused`",
    )
    .await?;
    tab.completed().await?;
    let outputs = tab.contents("tool_result");
    ensure!(outputs.len() == 5, "{}", tab.seen());
    for (output, words) in outputs.iter().zip([
        "may not reach denied.example",
        "allowed.example can't be reached",
        "allowed.example can't be reached",
        "unreachable",
        "refused",
    ]) {
        ensure!(output.contains(words), "{words}: {}", tab.seen());
    }
    let decisions = tab.egress();
    ensure!(
        decisions.contains(&("denied.example", "denied"))
            && decisions.contains(&("allowed.example", "allowed"))
            && decisions.len() == 2,
        "each once: {decisions:?}"
    );
    Ok(())
}

async fn killed(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("docker"), Some(0)).await?;
    tab.say("run `kill -9 -1; sleep 30`").await?;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    ensure!(
        tab.contents("error").len() == 1,
        "one error says why: {}",
        tab.seen()
    );
    tab.say("run `echo up again`").await?;
    tab.completed().await?;
    ensure!(
        tab.contents("tool_result")
            .last()
            .is_some_and(|output| output.contains("up again")),
        "{}",
        tab.seen()
    );
    Ok(())
}

/// Another stack on the same engine, with the same image and a session of the same name, comes and goes.
async fn beside(world: Arc<World>) -> Result<()> {
    let session = fresh_session("docker");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo here > whose.txt; while ! test -e go; do sleep 0.2; done; cat whose.txt`")
        .await?;
    tab.until(|event| event["tool"] == "Bash").await?;

    let other = World::start(Provider::Cloudflare).await?;
    let mut there = other.tab(&session, Some(0)).await?;
    there.say("run `touch go; ls`").await?;
    there.completed().await?;
    ensure!(there.contents("tool_result") == ["go"], "{}", there.seen());
    ensure!(
        containers_of(&session)?.len() == 2,
        "each stack has its own"
    );
    other.stack.stop().await;
    ensure!(
        containers_of(&session)?.len() == 1,
        "the other's alone is removed"
    );

    let body = json!({ "prompt": "run `touch go`", "model": "local/demo", "sessionId": session });
    let response = world.post("/claude-code", &body).await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    tab.completed().await?;
    ensure!(tab.contents("tool_result") == ["here"], "{}", tab.seen());
    // The image is there as well, for sandboxes that are yet to come.
    let mut next = world.tab(&fresh_session("docker"), Some(0)).await?;
    next.say("run `echo next`").await?;
    next.completed().await?;
    Ok(())
}

async fn ctrl_c() -> Result<()> {
    let session = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let seen = Arc::clone(&session);
    dev::ends_without_leftovers("cloudflare", move |session| {
        session.clone_into(&mut seen.lock().unwrap());
        ensure!(
            containers_of(session)?.len() == 1,
            "its sandbox is a container"
        );
        Ok(())
    })
    .await?;
    let session = session.lock().unwrap().clone();
    ensure!(
        containers_of(&session)?.is_empty(),
        "the container is left over"
    );
    Ok(())
}

/// While the image is built, when it is there, and when a page that was open before asks for its sandbox,
/// which it does as soon as it can.
async fn early_ctrl_c() -> Result<()> {
    let dev = dev::Dev::start("cloudflare", 0, dev::no_build)?;
    dev.until_processes(|processes| {
        processes
            .iter()
            .any(|process| process.contains("docker build"))
    })
    .await?;
    nothing_left(&dev.ctrl_c().await?)?;

    let mut dev = dev::Dev::start("cloudflare", 0, dev::no_build)?;
    dev.line("cloudflare-dev/").await?;
    nothing_left(&dev.ctrl_c().await?)?;

    let session = fresh_session("dev");
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let dev = dev::Dev::start("cloudflare", port, dev::no_build)?;
    let begin = Instant::now();
    let page = format!("ws://127.0.0.1:{port}/demo/ws/{session}");
    while tokio_tungstenite::connect_async(&page).await.is_err() {
        ensure!(begin.elapsed() < PATIENCE, "it does not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    nothing_left(&dev.ctrl_c().await?)?;
    // None that was still being started comes later, either.
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(
        containers_of(&session)?.is_empty(),
        "the container is left over"
    );
    Ok(())
}

/// Looks for the image that a stack has built, by what it has printed.
fn nothing_left(printed: &str) -> Result<()> {
    let Some((_, rest)) = printed.split_once("cloudflare-dev/") else {
        return Ok(());
    };
    let name = rest.split_whitespace().next().unwrap_or_default();
    let name = format!("cloudflare-dev/{}", name.trim_matches(['\'', '"']));
    let left = docker(&["images", "--quiet", &name])?;
    ensure!(left.is_empty(), "{name} is left over");
    Ok(())
}

/// The containers that there are, also ended ones, that were started for a session.
pub fn containers_of(session: &str) -> Result<Vec<String>> {
    let wanted = format!("AGENT_SESSION_ID={session} ");
    let mut found = Vec::new();
    for id in docker(&["ps", "--all", "--quiet"])?.lines() {
        let environment = docker(&[
            "inspect",
            "--format",
            "{{range .Config.Env}}{{.}} {{end}}",
            id,
        ])?;
        if environment.contains(&wanted) {
            found.push(id.to_owned());
        }
    }
    Ok(found)
}

pub fn docker(arguments: &[&str]) -> Result<String> {
    let program = std::env::var("WRANGLER_DOCKER_BIN").unwrap_or_else(|_| "docker".to_owned());
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
