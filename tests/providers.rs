//! The same trials for each place that sandboxes run in: a sandbox starts, works, streams, sleeps, is
//! killed, is listed, is deleted, and is held to its limits, or it is said that it is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};
use world::{PATIENCE, Running, Tab, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

use crate::access::{answered, ask};
use crate::dev;
use crate::docker::{containers_of, docker};
use crate::fly::fly;
use crate::terminal::Viewer;

/// What a place is called, and what can be asked of it.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    name: &'static str,
    /// It tells what it has.
    lists: bool,
    /// The limits hold.
    holds: bool,
}

const LOCAL: Place = Place {
    name: "local",
    lists: true,
    holds: false,
};
const DOCKER: Place = Place {
    name: "docker",
    lists: true,
    holds: true,
};
const CLOUDFLARE: Place = Place {
    name: "cloudflare",
    lists: false,
    // On this machine the platform is played by one that knows no instance types.
    holds: false,
};

const FLY: Place = Place {
    name: "fly_machines",
    lists: true,
    // Its machines are processes here; that they have the size is what is looked at.
    holds: false,
};

/// A stack that has all places but Cloudflare's, with Docker's as the default.
///
/// # Errors
/// Where there can be no runtime.
pub fn three() -> Result<Arc<Running>> {
    Running::guarded(Provider::Docker, |options| {
        options.more_providers = vec![Provider::Local];
        options.worker_vars.extend(fly()?.vars());
        Ok(())
    })
}

pub fn tests(docker: &Arc<Running>, cloudflare: &Arc<Running>) -> Vec<Trial> {
    let mut all = Vec::new();
    for (place, world) in [
        (DOCKER, docker),
        (LOCAL, docker),
        (FLY, docker),
        (CLOUDFLARE, cloudflare),
    ] {
        let mut add = |name: &str, trial: fn(Arc<World>, Place) -> Trying| {
            let name = format!("providers::{}::{name}", place.name);
            all.push(test(world, &name, move |world| trial(world, place)));
        };
        add("a_turn_runs_and_streams", |world, place| {
            Box::pin(turn(world, place))
        });
        add("a_killed_sandbox_is_told_in_words", |world, place| {
            Box::pin(killed(world, place))
        });
        add("a_deleted_session_leaves_nothing", |world, place| {
            Box::pin(deleted(world, place))
        });
        add("limits_hold_or_it_is_said", |world, place| {
            Box::pin(limits(world, place))
        });
        // What stands in for Fly's own proxy here passes no WebSocket on.
        if place != FLY {
            add("a_terminal", |world, place| {
                Box::pin(terminal(world, place))
            });
        }
    }
    all.push(test(docker, "providers::docker::what_is_offered", offered));
    all.push(test(docker, "providers::docker::bombs", bombs));
    all.push(test(docker, "providers::docker::walled_off", walled_off));
    all.push(test(
        docker,
        "providers::docker::only_what_is_named",
        egress,
    ));
    for place in [DOCKER, FLY] {
        let name = format!("providers::{}::", place.name);
        all.push(test(
            docker,
            &format!("{name}orphans_are_removed"),
            move |world| orphans(world, place),
        ));
        all.push(lone_test(
            docker,
            &format!("{name}asleep_nothing_is_left"),
            move || asleep(place),
        ));
    }
    all.push(lone_test(
        docker,
        "providers::docker::ctrl_c_of_dev",
        ctrl_c,
    ));
    all
}

type Trying = std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>;

fn agent(fields: Value) -> Value {
    let mut config = json!({ "id": "placed", "name": "Placed", "model": "local/demo" });
    if let (Some(config), Some(fields)) = (config.as_object_mut(), fields.as_object()) {
        config.extend(fields.clone());
    }
    config
}

/// Launches an agent with a provider. Gives the session, and the warnings.
async fn launch(world: &World, provider: &str, fields: Value) -> Result<(String, String)> {
    let launch = json!({ "config": agent(fields), "provider": provider });
    let request = ask(world, Method::POST, "/api/agents/launch", None).json(&launch);
    let told = answered(request, 200).await?;
    ensure!(told["provider"] == provider, "{told}");
    let session = told["session_id"].as_str().context("no session")?;
    Ok((session.to_owned(), told["warnings"].to_string()))
}

async fn last_output(tab: &mut Tab, content: &str) -> Result<String> {
    tab.say(content).await?;
    tab.completed().await?;
    let outputs = tab.contents("tool_result");
    Ok(outputs.last().cloned().unwrap_or_default())
}

async fn turn(world: Arc<World>, place: Place) -> Result<()> {
    let (session, _) = launch(&world, place.name, json!({})).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `echo first > kept.txt; id -un` and run `sleep 1; cat kept.txt`")
        .await?;
    // The first result is there while the second command still runs.
    tab.until(|event| event["type"] == "tool_result").await?;
    let state = ask(
        &world,
        Method::GET,
        &format!("/agent/{session}/state"),
        None,
    );
    ensure!(answered(state, 200).await?["isRunning"] == true);
    tab.completed().await?;
    let outputs = tab.contents("tool_result");
    ensure!(outputs.len() == 2, "{}", tab.seen());
    ensure!(outputs[1].contains("first"), "{}", tab.seen());
    let path = format!("/api/agents/sessions/{session}");
    let told = answered(ask(&world, Method::GET, &path, None), 200).await?;
    ensure!(told["provider"] == place.name, "{told}");
    let found = listed(&world, &session).await?;
    match place.lists {
        true => {
            let found = found.context("it is not listed")?;
            ensure!(found["provider"] == place.name, "{found}");
            ensure!(
                found["running"] == true && found["orphan"] == false,
                "{found}"
            );
        }
        false => ensure!(found.is_none(), "{found:?}"),
    }
    Ok(())
}

async fn terminal(world: Arc<World>, place: Place) -> Result<()> {
    let (session, _) = launch(&world, place.name, json!({})).await?;
    let mut shell = Viewer::open(&world, &session, "main", "?cols=90&rows=20").await?;
    let told = shell.run("echo hello-$((6*7)); stty size; pwd").await?;
    let folder = match place.holds || place == CLOUDFLARE {
        true => told.ends_with("/workspace"),
        // Where sandboxes are processes it is a folder of theirs.
        false => told.contains("workspace"),
    };
    ensure!(told.starts_with("hello-42\n20 90\n") && folder, "{told}");
    let variables = shell.run("env").await?;
    ensure!(
        !variables.contains("ANTHROPIC") && !variables.contains("TOKEN"),
        "{variables}"
    );
    drop(shell);
    let mut back = Viewer::open(&world, &session, "main", "?attach=true").await?;
    back.until("hello-42").await?;
    back.run("sleep 86421 & true").await?;
    let stop = format!("/api/agents/sessions/{session}/stop");
    answered(ask(&world, Method::POST, &stop, None), 200).await?;
    let ended = back.until_sign("ended").await?;
    ensure!(ended["why"] == "stopped", "{ended}");
    Ok(())
}

/// What is told of a session's sandbox by the place where it runs.
async fn listed(world: &World, session: &str) -> Result<Option<Value>> {
    let all = answered(ask(world, Method::GET, "/api/sandboxes", None), 200).await?;
    let all = all["sandboxes"].as_array().context("no list")?;
    Ok(all.iter().find(|one| one["session_id"] == session).cloned())
}

/// Kills a sandbox's server as a machine that fails would.
fn kill(world: &World, place: Place, session: &str) -> Result<()> {
    if place == LOCAL {
        return world.kill_in_sandbox(session, "agent-server");
    }
    if place == FLY {
        fly()?.kill(session);
        return Ok(());
    }
    for id in containers_of(session)? {
        docker(&["kill", &id])?;
    }
    Ok(())
}

async fn killed(world: Arc<World>, place: Place) -> Result<()> {
    let (session, _) = launch(&world, place.name, json!({})).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    let output = last_output(&mut tab, "run `echo before > kept.txt; cat kept.txt`").await?;
    ensure!(output.contains("before"), "{}", tab.seen());
    tab.say("run `sleep 600`").await?;
    tab.until(|event| event["type"] == "tool_use").await?;
    kill(&world, place, &session)?;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    let errors = tab.contents("error");
    ensure!(
        errors.len() == 1 && errors[0].contains("killed"),
        "one error says why: {errors:?}"
    );
    let output = last_output(&mut tab, "run `cat kept.txt`").await?;
    ensure!(output.contains("before"), "{}", tab.seen());
    Ok(())
}

async fn deleted(world: Arc<World>, place: Place) -> Result<()> {
    let (session, _) = launch(&world, place.name, json!({})).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    last_output(&mut tab, "run `echo here`").await?;
    let path = format!("/api/agents/sessions/{session}");
    answered(ask(&world, Method::DELETE, &path, None), 200).await?;
    ensure!(listed(&world, &session).await?.is_none(), "it is listed");
    ensure!(containers_of(&session)?.is_empty(), "a container is left");
    let label = format!("label=agent-router.session={session}");
    for what in ["volume", "network"] {
        let left = docker(&[what, "ls", "--quiet", "--filter", &label])?;
        ensure!(left.is_empty(), "a {what} is left: {left}");
    }
    ensure!(!world.workspace(&session).exists(), "files are left");
    let left = fly()?.machines_of(&session);
    ensure!(left.is_empty(), "a machine is left: {left:?}");
    Ok(())
}

async fn limits(world: Arc<World>, place: Place) -> Result<()> {
    let small = json!({ "resource_limits": { "cpu_quota": 50_000, "memory_limit": "512m" } });
    let (session, warnings) = launch(&world, place.name, small).await?;
    match place.name {
        "local" => ensure!(warnings.contains("no limits"), "{warnings}"),
        "cloudflare" => ensure!(
            warnings.contains("standard-1: memory 4 GiB, more than 0.5 GiB"),
            "{warnings}"
        ),
        "fly_machines" => ensure!(warnings.contains("512 MiB"), "{warnings}"),
        _ => ensure!(
            warnings.contains("storage_limit") && warnings.contains("memory_limit hold"),
            "{warnings}"
        ),
    }
    if place == FLY {
        let mut tab = world.tab(&session, Some(0)).await?;
        last_output(&mut tab, "run `echo here`").await?;
        let machines = fly()?.machines_of(&session);
        ensure!(machines.len() == 1, "{machines:?}");
        let guest = &machines[0]["config"]["guest"];
        let wanted = json!({ "cpu_kind": "shared", "cpus": 1, "memory_mb": 512 });
        ensure!(*guest == wanted, "{guest}");
        ensure!(machines[0]["region"] == "iad", "{machines:?}");
    }
    if !place.holds {
        return Ok(());
    }
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say(
        "run `python3 -c \"x = bytearray(2 << 30); x[::4096] = b'1' * len(x[::4096]); print('had ' + 'it')\"`",
    )
    .await?;
    tab.end().await?;
    let told = [tab.contents("tool_result"), tab.contents("error")].concat();
    ensure!(!told.iter().any(|told| told.contains("had it")), "{told:?}");
    ensure!(
        told.iter()
            .any(|told| told.contains("137") || told.contains("Killed") || told.contains("memory")),
        "it is said: {}",
        tab.seen()
    );
    let resources = format!("/api/resources/{session}");
    let told = answered(ask(&world, Method::GET, &resources, None), 200).await?;
    ensure!(told["memory"]["limit_bytes"] == 512 << 20, "{told}");
    ensure!(told["cpu"]["count"] == 0.5, "{told}");
    let output = last_output(&mut tab, "run `echo still here`").await?;
    ensure!(output.contains("still here"), "{}", tab.seen());
    Ok(())
}

/// What would bring a machine down leaves a sandbox that goes on working.
async fn bombs(world: Arc<World>) -> Result<()> {
    let small = json!({ "resource_limits": { "cpu_quota": 50_000, "memory_limit": "1g" } });
    let (session, _) = launch(&world, DOCKER.name, small).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    for (bomb, said) in [
        // What commands say goes through files there, so it is said when there is room again.
        (
            "head -c 2G /dev/zero > /tmp/full; code=$?; rm /tmp/full; echo it said $code",
            "it said 1",
        ),
        ("yes | head -c 10G | tail -c 4", "y"),
        ("f() { f | f & }; f; sleep 3; echo over", ""),
    ] {
        tab.say(&format!("run `{bomb}`")).await?;
        tab.end().await?;
        let told = [tab.contents("tool_result"), tab.contents("error")].concat();
        let told = told.last().cloned().unwrap_or_default();
        ensure!(told.contains(said), "{bomb}: {}", tab.seen());
        let output = last_output(&mut tab, "run `echo still here`").await?;
        ensure!(output.contains("still here"), "{bomb}: {}", tab.seen());
    }
    let resources = format!("/api/resources/{session}");
    let told = answered(ask(&world, Method::GET, &resources, None), 200).await?;
    ensure!(told["processes"].as_u64() < Some(50), "{told}");
    Ok(())
}

async fn offered(world: Arc<World>) -> Result<()> {
    let told = answered(ask(&world, Method::GET, "/api/providers", None), 200).await?;
    ensure!(told["default"] == "docker" && told["total"] == 3, "{told}");
    let names: Vec<&Value> = told["providers"]
        .as_array()
        .context("no list")?
        .iter()
        .map(|one| &one["name"])
        .collect();
    ensure!(names == ["docker", "fly_machines", "local"], "{told}");
    for provider in ["cloudflare", "mainframe", ""] {
        let launch = json!({ "config": agent(json!({})), "provider": provider });
        let request = ask(&world, Method::POST, "/api/agents/launch", None).json(&launch);
        let problem = answered(request, 400).await?;
        ensure!(problem["errors"][0]["field"] == "provider", "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(
            detail.contains("docker or fly_machines or local"),
            "{detail}"
        );
    }
    // One that is not launched runs where the deployment's do.
    let session = fresh_session("placed");
    let mut tab = world.tab(&session, Some(0)).await?;
    last_output(&mut tab, "run `echo here`").await?;
    let found = listed(&world, &session).await?.context("not listed")?;
    ensure!(found["provider"] == "docker", "{found}");
    Ok(())
}

async fn walled_off(world: Arc<World>) -> Result<()> {
    let (session, _) = launch(&world, "docker", json!({})).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say(
        "run `id -un; grep -E 'CapEff|NoNewPrivs' /proc/self/status; touch /usr/x 2>&1; touch /tmp/x && echo tmp; \
              env; cat /proc/1/environ || echo hidden` and \
         run `curl -sS -m 3 --noproxy '*' http://1.1.1.1/ 2>&1 || echo unreachable` and \
         run `getent hosts example.com || echo nameless; \
              curl -sS -m 3 --noproxy '*' http://$(hostname -I | sed 's/[0-9]*[.][0-9]* *$/0.1/')/ 2>&1; true` and \
         run `curl -s -m 5 -o /dev/null -w '%{http_code}' --noproxy '*' ${ANTHROPIC_BASE_URL%/sandbox/*}/demo/health` and \
         run `curl -s -m 5 --noproxy '*' ${ANTHROPIC_BASE_URL%/sandbox/*}/api/keys -H 'host: localhost'; echo` and \
         run `curl -s -m 5 -o /dev/null -w '%{http_code}' --noproxy '*' ${ANTHROPIC_BASE_URL%/sandbox/*}/sandbox/other/v1/models -H \"authorization: Bearer $ANTHROPIC_AUTH_TOKEN\"`",
    )
    .await?;
    tab.completed().await?;
    let outputs = tab.contents("tool_result");
    ensure!(outputs.len() == 6, "{}", tab.seen());
    ensure!(outputs[0].starts_with("agent"), "{}", outputs[0]);
    for words in [
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Read-only file system",
        "tmp",
        "hidden",
    ] {
        ensure!(outputs[0].contains(words), "{words}: {}", outputs[0]);
    }
    for name in ["AGENT_SERVER_TOKEN", "LITELLM", "DOCKER_", "SECRETS_KEY"] {
        ensure!(!outputs[0].contains(name), "{name}: {}", outputs[0]);
    }
    ensure!(outputs[1].contains("unreachable"), "{}", outputs[1]);
    ensure!(outputs[2].contains("nameless"), "{}", outputs[2]);
    // Nobody is at the address that the machine itself would have: not even one who refuses.
    let nobody = outputs[2].contains("No route") || outputs[2].contains("timed out");
    ensure!(nobody && !outputs[2].contains("refused"), "{}", outputs[2]);
    ensure!(
        outputs[3].contains("403"),
        "the Worker's other routes: {}",
        outputs[3]
    );
    ensure!(outputs[4].contains("no output"), "{}", outputs[4]);
    ensure!(
        outputs[5].contains("401"),
        "another's calls: {}",
        outputs[5]
    );
    // Its container is as small as it was asked for, and in no network but its own.
    let ids = containers_of(&session)?;
    ensure!(ids.len() == 1, "{ids:?}");
    let told: Value = serde_json::from_str(&docker(&["inspect", &ids[0]])?)?;
    let host = &told[0]["HostConfig"];
    ensure!(
        host["PidsLimit"] == 1024 && host["Privileged"] == false,
        "{host}"
    );
    ensure!(host["MemorySwap"] == host["Memory"], "{host}");
    let networks = told[0]["NetworkSettings"]["Networks"].as_object();
    ensure!(
        networks.is_some_and(|networks| networks.len() == 1),
        "{told}"
    );
    Ok(())
}

/// With the sandbox's own proxy, and straight at the gate. The hosts exist nowhere: how far a request comes
/// is what can be seen without the internet.
async fn egress(world: Arc<World>) -> Result<()> {
    let named = json!({ "egress": ["allowed.example"] });
    let (session, _) = launch(&world, "docker", named).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say(
        "run `curl -s -m 20 http://denied.example/` and \
         run `curl -s -m 20 http://allowed.example/` and \
         run `curl -sS -m 20 https://allowed.example/ 2>&1; true` and \
         run `curl -s -m 20 -x http://gate:43128 http://denied.example/` and \
         run `curl -s -m 20 -x http://gate:43128 http://169.254.169.254/` and \
         run `curl -sS -m 3 --noproxy '*' http://allowed.example/ 2>&1 || echo unreachable`",
    )
    .await?;
    tab.completed().await?;
    let outputs = tab.contents("tool_result");
    ensure!(outputs.len() == 6, "{}", tab.seen());
    for (output, words) in outputs.iter().zip([
        "may not reach denied.example",
        "allowed.example can't be reached",
        "502",
        "may not reach denied.example",
        "may not reach 169.254.169.254",
        "unreachable",
    ]) {
        ensure!(output.contains(words), "{words}: {}", tab.seen());
    }
    let decisions = tab.egress();
    ensure!(
        decisions == [("denied.example", "denied"), ("allowed.example", "allowed")],
        "{decisions:?}"
    );
    Ok(())
}

/// Something that is there under the name of a session that nobody has begun.
async fn orphans(world: Arc<World>, place: Place) -> Result<()> {
    let (session, _) = launch(&world, place.name, json!({})).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    last_output(&mut tab, "run `echo here`").await?;
    let lost = fresh_session("lost");
    match place == FLY {
        true => fly()?.plant(&session, &lost),
        false => plant(&session, &lost)?,
    }
    let found = listed(&world, &lost).await?.context("not listed")?;
    ensure!(found["provider"] == place.name, "{found}");
    ensure!(
        found["orphan"] == true && found["running"] == false,
        "{found}"
    );

    let removal = ask(&world, Method::DELETE, "/api/sandboxes", None);
    let told = answered(removal, 200).await?;
    let removed = |id: &str| {
        let all = told["sandboxes"].as_array()?;
        let one = all.iter().find(|one| one["session_id"] == id)?;
        one["removed"].as_bool()
    };
    ensure!(removed(&lost) == Some(true), "{told}");
    ensure!(removed(&session) == Some(false), "{told}");
    ensure!(listed(&world, &lost).await?.is_none());
    let output = last_output(&mut tab, "run `echo still here`").await?;
    ensure!(output.contains("still here"), "{}", tab.seen());
    Ok(())
}

/// A volume of the deployment that `session` is of, for another session.
fn plant(session: &str, lost: &str) -> Result<()> {
    let ids = containers_of(session)?;
    let told: Value = serde_json::from_str(&docker(&["inspect", &ids[0]])?)?;
    let deployment = &told[0]["Config"]["Labels"]["agent-router.deployment"];
    let deployment = deployment.as_str().context("no deployment")?;
    let of_deployment = format!("--label=agent-router.deployment={deployment}");
    let of_session = format!("--label=agent-router.session={lost}");
    let volume = format!("{deployment}.work.{lost}");
    docker(&["volume", "create", &of_deployment, &of_session, &volume]).map(drop)
}

/// A sandbox that nobody uses is stopped, and another one goes on with its files.
async fn asleep(place: Place) -> Result<()> {
    let sandboxes = match place == FLY {
        true => Provider::Local,
        false => Provider::Docker,
    };
    let world = World::start_as(sandboxes, |options| {
        options.worker_vars.extend(fly()?.vars());
        if place == FLY {
            let own = ("SANDBOX_DEPLOYMENT".to_owned(), "asleep".to_owned());
            options.worker_vars.push(own);
        }
        for (name, value) in [
            ("SANDBOX_SLEEP_SECONDS", "8"),
            ("SANDBOX_PROVIDER", place.name),
        ] {
            options
                .worker_vars
                .push((name.to_owned(), value.to_owned()));
        }
        Ok(())
    })
    .await?;
    let there = |session: &str| -> Result<usize> {
        Ok(containers_of(session)?.len() + fly()?.machines_of(session).len())
    };
    let session = fresh_session("asleep");
    let mut tab = world.tab(&session, Some(0)).await?;
    last_output(&mut tab, "run `echo kept > kept.txt`").await?;
    ensure!(there(&session)? == 1);
    let begin = Instant::now();
    while there(&session)? > 0 {
        ensure!(begin.elapsed() < PATIENCE, "it does not sleep");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let path = format!("/api/agents/sessions/{session}");
    let told = answered(ask(&world, Method::GET, &path, None), 200).await?;
    ensure!(told["status"] == "sleeping", "{told}");
    let output = last_output(&mut tab, "run `cat kept.txt`").await?;
    ensure!(output.contains("kept"), "{}", tab.seen());
    world.stack.stop().await;
    if place == DOCKER {
        ensure!(there(&session)? == 0, "it is left over");
    }
    Ok(())
}

async fn ctrl_c() -> Result<()> {
    let seen = Arc::new(std::sync::Mutex::new(String::new()));
    let session = Arc::clone(&seen);
    dev::ends_without_leftovers("docker", move |id| {
        ensure!(containers_of(id)?.len() == 1, "its sandbox is a container");
        match session.lock() {
            Ok(mut session) => id.clone_into(&mut session),
            Err(_) => bail!("a lock"),
        }
        Ok(())
    })
    .await?;
    let session = seen
        .lock()
        .map(|session| session.clone())
        .unwrap_or_default();
    let label = format!("label=agent-router.session={session}");
    for list in [
        &["ps", "--all", "--quiet"][..],
        &["network", "ls", "--quiet"],
        &["volume", "ls", "--quiet"],
    ] {
        let left = docker(&[list, &["--filter", &label]].concat())?;
        ensure!(left.is_empty(), "{list:?}: {left}");
    }
    Ok(())
}
