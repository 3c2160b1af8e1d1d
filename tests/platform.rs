//! `/api`: agents from presets and configurations, launched, spoken to, found again and removed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use world::{Running, World, lone_test, test};
use xtask::stack::Provider;

use crate::access::{all_scopes, answered, ask, key};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "platform::presets_are_listed_and_read", presets),
        test(world, "platform::an_agent_is_launched_and_spoken_to", chat),
        test(world, "platform::what_is_wrong_is_named", wrong),
        test(
            world,
            "platform::a_stream_goes_on_after_the_last_event_id",
            comes_back,
        ),
        test(world, "platform::ten_sessions_at_once", ten),
        test(world, "platform::tools_are_watched", tools),
        test(world, "platform::a_turn_is_interrupted", interrupted),
        test(
            world,
            "platform::a_session_is_stopped_and_gone_on_from",
            stopped,
        ),
        test(world, "platform::what_is_used_is_watched", resources),
        test(
            world,
            "platform::a_key_of_ones_own_calls_the_model",
            own_key,
        ),
        lone_test(
            world,
            "platform::an_unused_session_ends_and_keeps_its_log",
            idle_end,
        ),
    ]
}

pub fn guarded_tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "platform::configurations_come_and_go", configs),
        test(world, "platform::two_owners_see_their_own_alone", owners),
    ]
}

/// An agent that the tests launch: the demonstration, which answers without a key.
fn demo(fields: Value) -> Value {
    let mut config = json!({ "id": "demo", "name": "Demo", "model": "local/demo" });
    if let (Some(config), Some(fields)) = (config.as_object_mut(), fields.as_object()) {
        config.extend(fields.clone());
    }
    config
}

async fn launch(world: &World, body: Value) -> Result<String> {
    let told = answered(post(world, "/api/agents/launch", &body), 200).await?;
    ensure!(told["status"] == "running", "{told}");
    ensure!(told["agent_id"] == told["session_id"], "{told}");
    Ok(told["session_id"]
        .as_str()
        .context("no session")?
        .to_owned())
}

fn post(world: &World, path: &str, body: &Value) -> RequestBuilder {
    ask(world, Method::POST, path, None).json(body)
}

/// The objects of a chat's stream, with their ids, to its end.
async fn told(request: RequestBuilder) -> Result<Vec<(Option<u64>, Value)>> {
    let answer = request.header("accept", "text/event-stream").send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    let kind = answer.headers()["content-type"].to_str()?.to_owned();
    ensure!(kind.starts_with("text/event-stream"), "{kind}");
    let text = answer.text().await?;
    ensure!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let mut all = Vec::new();
    for block in text.split("\n\n").filter(|block| block.contains("data: {")) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let id = field("id: ").map(str::parse).transpose()?;
        all.push((
            id,
            serde_json::from_str(field("data: ").unwrap_or_default())?,
        ));
    }
    Ok(all)
}

fn of_type<'a>(told: &'a [(Option<u64>, Value)], kind: &str) -> Vec<&'a Value> {
    let values = told.iter().map(|(_, value)| value);
    values.filter(|value| value["type"] == kind).collect()
}

async fn presets(world: Arc<World>) -> Result<()> {
    for path in ["/api/configs/", "/api/configs"] {
        let list = answered(ask(&world, Method::GET, path, None), 200).await?;
        ensure!(list["total"] == 5, "{list}");
        let review = &list["configs"][4];
        ensure!(review["id"] == "github-code-review", "{review}");
        ensure!(review["has_mcp_servers"] == true && review["has_sub_agents"] == false);
        ensure!(review["mcp_env"] == json!(["GITHUB_TOKEN"]), "{review}");
    }
    let path = "/api/configs/fullstack-team";
    let whole = answered(ask(&world, Method::GET, path, None), 200).await?;
    ensure!(whole["agents"]["devops"]["model"] == "haiku", "{whole}");
    ensure!(whole["resource_limits"]["cpu_quota"] == 300_000, "{whole}");
    answered(ask(&world, Method::GET, "/api/configs/nobody", None), 404).await?;
    let path = "/api/configs/schema.json";
    let schema = answered(ask(&world, Method::GET, path, None), 200).await?;
    ensure!(
        schema["properties"]["allowed_tools"].is_object(),
        "{schema}"
    );
    Ok(())
}

async fn chat(world: Arc<World>) -> Result<()> {
    let config = demo(json!({ "permission_mode": "acceptEdits" }));
    let session = launch(&world, json!({ "config": config, "provider": "local" })).await?;
    let path = format!("/api/agents/{session}/chat");
    let message = json!({ "message": "create a hello world app" });
    let stream = told(post(&world, &path, &message)).await?;
    let uses = of_type(&stream, "tool_use");
    ensure!(
        uses.iter().any(|told| told["tool"] == "Write"),
        "{stream:?}"
    );
    let results = of_type(&stream, "tool_result");
    ensure!(results.len() == uses.len(), "{stream:?}");
    ensure!(
        results.iter().all(|told| told["is_error"] == false),
        "{results:?}"
    );
    let (_, last) = stream.last().context("nothing")?;
    ensure!(last["type"] == "metadata", "the last of a turn: {last}");
    ensure!(last["usage"]["output_tokens"].as_u64() > Some(0), "{last}");
    ensure!(world.workspace(&session).join("hello.py").exists());

    // The other door, as one document.
    let body = json!({
        "sessionId": session,
        "messages": [
            { "role": "user", "content": "create a hello world app" },
            { "role": "assistant", "content": "done" },
            { "role": "user", "content": "run `echo one; echo two >&2; exit 3`" },
        ],
    });
    let document = answered(post(&world, "/api/agents/chat", &body), 200).await?;
    ensure!(document["session_id"] == session.as_str(), "{document}");
    let result = &document["tool_results"][0];
    ensure!(result["is_error"] == true, "{document}");
    ensure!(
        result["output"]
            .as_str()
            .is_some_and(|text| text.contains("one")),
        "{document}"
    );
    ensure!(
        document["content"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );

    // Both in one session, which the other family of routes knows as well.
    let path = format!("/api/sessions/{session}/events");
    let log = ask(&world, Method::GET, &path, None)
        .send()
        .await?
        .text()
        .await?;
    ensure!(
        log.matches("\"type\":\"user_message\"").count() == 2,
        "{log}"
    );

    let path = format!("/api/agents/sessions/{session}");
    let about = answered(ask(&world, Method::GET, &path, None), 200).await?;
    ensure!(
        about["status"] == "idle" && about["config_id"] == "demo",
        "{about}"
    );
    ensure!(about["title"] == "create a hello world app", "{about}");
    let list = answered(
        ask(
            &world,
            Method::GET,
            "/api/agents/sessions?q=hello+world",
            None,
        ),
        200,
    );
    let list = list.await?;
    let found = list["sessions"].as_array().context("no list")?;
    let found = found
        .iter()
        .find(|one| one["session_id"] == session.as_str());
    let found = found.context("it is in the list")?;
    ensure!(
        found["status"] == "idle" && found["agent_id"] == session.as_str(),
        "{found}"
    );
    ensure!(
        found["created_at"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );

    let gone = answered(ask(&world, Method::DELETE, &path, None), 200).await?;
    ensure!(gone["status"] == "success", "{gone}");
    answered(ask(&world, Method::GET, &path, None), 404).await?;
    let message = json!({ "message": "hello?" });
    let path = format!("/api/agents/{session}/chat");
    answered(post(&world, &path, &message), 404).await?;
    let list = answered(ask(&world, Method::GET, "/api/agents/sessions", None), 200).await?;
    ensure!(!list.to_string().contains(&session), "{list}");
    Ok(())
}

async fn wrong(world: Arc<World>) -> Result<()> {
    let demo_of = |fields: Value| json!({ "config": demo(fields) });
    let list = "/api/agents/sessions?status=unheard";
    let told = answered(ask(&world, Method::GET, list, None), 400).await?;
    ensure!(told["errors"][0]["field"] == "status", "{told}");
    // What older clients send besides begins nothing else, and they are told.
    let mut more = demo_of(json!({}));
    more["model"] = json!("a/b");
    let told = answered(post(&world, "/api/agents/launch", &more), 200).await?;
    ensure!(
        told["warnings"]
            .to_string()
            .contains("model: a launch has no such field"),
        "{told}"
    );
    let session = told["session_id"].as_str().context("no session")?;
    let list = format!("/api/agents/sessions?q={session}");
    let told = answered(ask(&world, Method::GET, &list, None), 200).await?;
    ensure!(told["sessions"][0]["config_id"] == "demo", "{told}");
    for (body, field) in [
        (json!({}), "config_id"),
        (
            json!({ "config_id": "code-assistant", "config": demo(json!({})) }),
            "config",
        ),
        (json!({ "config_id": 7 }), "config_id"),
        (json!({ "config": "x" }), "config"),
        (demo_of(json!({ "id": "A B" })), "config.id"),
        (
            demo_of(json!({ "allowed_tools": ["Bash", "Nope"] })),
            "config.allowed_tools[1]",
        ),
        (demo_of(json!({ "max_turns": 0 })), "config.max_turns"),
        (
            demo_of(json!({ "permission_mode": "root" })),
            "config.permission_mode",
        ),
        (
            json!({ "config_id": "code-assistant", "provider": "moon" }),
            "provider",
        ),
        (
            json!({ "config_id": "code-assistant", "provider": "docker" }),
            "provider",
        ),
        (
            json!({ "config_id": "github-code-review" }),
            "mcp_env.GITHUB_TOKEN",
        ),
        (
            json!({ "config_id": "code-assistant", "mcp_env": { "X": "y" } }),
            "mcp_env.X",
        ),
        (
            json!({ "config_id": "code-assistant", "api_key": 5 }),
            "api_key",
        ),
    ] {
        let problem = answered(post(&world, "/api/agents/launch", &body), 400).await?;
        ensure!(problem["errors"][0]["field"] == field, "{body}: {problem}");
        ensure!(problem["detail"].is_string(), "{problem}");
    }
    let nobody = json!({ "config_id": "nobody" });
    answered(post(&world, "/api/agents/launch", &nobody), 404).await?;
    let unknown = demo_of(json!({ "model": "nobody/has-it" }));
    answered(post(&world, "/api/agents/launch", &unknown), 404).await?;

    let session = launch(&world, demo_of(json!({}))).await?;
    let path = format!("/api/agents/{session}/chat");
    for (body, field) in [
        (json!({}), "message"),
        (json!({ "message": "" }), "prompt"),
        (json!({ "message": 5 }), "message"),
        (json!({ "messages": [] }), "messages"),
    ] {
        let problem = answered(post(&world, &path, &body), 400).await?;
        ensure!(problem["errors"][0]["field"] == field, "{body}: {problem}");
    }
    let nowhere = json!({ "message": "hi" });
    answered(post(&world, "/api/agents/chat", &nowhere), 400).await?;
    answered(
        post(&world, "/api/agents/nobody-has-this/chat", &nowhere),
        404,
    )
    .await?;
    answered(ask(&world, Method::GET, &path, None), 405).await?;
    let list = ask(&world, Method::GET, "/api/agents/sessions?limit=x", None);
    answered(list, 400).await?;
    Ok(())
}

async fn comes_back(world: Arc<World>) -> Result<()> {
    let session = launch(&world, json!({ "config": demo(json!({})) })).await?;
    let path = format!("/api/agents/{session}/chat");
    let message = json!({ "message": "create a hello world app", "id": "the-same" });
    let all = told(post(&world, &path, &message)).await?;
    let place = all.len() / 2;
    let (place, id) = all
        .iter()
        .enumerate()
        .skip(place)
        .find_map(|(place, (id, _))| id.map(|id| (place, id)))
        .context("ids")?;
    let rest = post(&world, &path, &message).header("last-event-id", id.to_string());
    ensure!(
        told(rest).await? == all[place + 1..],
        "what came after {id}"
    );
    // By the key that clients send with what may be sent twice.
    let again = post(
        &world,
        &path,
        &json!({ "message": "create a hello world app" }),
    );
    ensure!(told(again.header("idempotency-key", "the-same")).await? == all);
    Ok(())
}

async fn tools(world: Arc<World>) -> Result<()> {
    let session = launch(&world, json!({ "config": demo(json!({})) })).await?;
    let watch = ask(
        &world,
        Method::GET,
        &format!("/api/tools/{session}/stream"),
        None,
    );
    let mut watch = watch.header("accept", "text/event-stream").send().await?;
    ensure!(watch.status() == 200);
    let message = json!({ "message": "run `echo watched`" });
    let path = format!("/api/agents/{session}/chat");
    answered(post(&world, &path, &message), 200).await?;
    let mut seen = String::new();
    while !seen.contains("tool_complete") {
        let chunk = tokio::time::timeout(world::PATIENCE, watch.chunk()).await??;
        let chunk = chunk.with_context(|| format!("it ends with {seen}"))?;
        seen += std::str::from_utf8(&chunk)?;
    }
    let at = |kind: &str| {
        let told = format!("\"type\":\"{kind}\"");
        seen.find(&told)
            .with_context(|| format!("no {kind} in {seen}"))
    };
    ensure!(at("tool_start")? < at("tool_use")? && at("tool_use")? < at("tool_complete")?);
    ensure!(seen.contains("watched"), "{seen}");
    Ok(())
}

async fn interrupted(world: Arc<World>) -> Result<()> {
    let session = launch(&world, json!({ "config": demo(json!({})) })).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `sleep 60`").await?;
    tab.until(|event| event["type"] == "tool_use").await?;
    let path = format!("/api/agents/sessions/{session}");
    let about = answered(ask(&world, Method::GET, &path, None), 200).await?;
    ensure!(about["status"] == "running", "{about}");
    let stop = format!("{path}/interrupt");
    let stopped = answered(post(&world, &stop, &json!({})), 200).await?;
    ensure!(stopped["interrupted"] == true, "{stopped}");
    let end = tab.until(|event| event["state"] == "ended").await?;
    ensure!(end["outcome"] == "interrupted", "{end}");
    // It lives on.
    tab.say("run `echo alive`").await?;
    tab.completed().await?;
    let stopped = answered(post(&world, &stop, &json!({})), 200).await?;
    ensure!(stopped["interrupted"] == false, "{stopped}");
    Ok(())
}

async fn stopped(world: Arc<World>) -> Result<()> {
    let config = demo(json!({ "permission_mode": "acceptEdits" }));
    let session = launch(&world, json!({ "config": config })).await?;
    let chat = format!("/api/agents/{session}/chat");
    let hello = json!({ "message": "create a hello world app" });
    answered(post(&world, &chat, &hello), 200).await?;
    // One that runs, and one that waits.
    let long = json!({ "message": "stream 1000 words every 100 ms" });
    let running = post(&world, &chat, &long).send();
    let waiting = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        post(&world, &chat, &hello).send().await
    };
    let stop = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let path = format!("/api/agents/sessions/{session}/stop");
        answered(post(&world, &path, &json!({})), 200).await
    };
    let (running, waiting, stopped) = tokio::join!(running, waiting, stop);
    let told = stopped?;
    ensure!(told["status"] == "stopped", "{told}");
    for turn in [running?, waiting?] {
        let told = turn.text().await?;
        ensure!(told.contains("interrupted"), "{told}");
    }
    let told = answered(post(&world, &chat, &hello), 409).await?;
    ensure!(told.to_string().contains("ended"), "{told}");
    let path = format!("/api/agents/sessions/{session}");
    let told = answered(ask(&world, Method::GET, &path, None), 200).await?;
    ensure!(told["status"] == "stopped", "{told}");
    let events = format!("/api/sessions/{session}/events");
    answered(ask(&world, Method::GET, &events, None), 200).await?;

    // Another one begins with its files as they are now, and none of its conversation.
    let late = format!("/api/files/{session}/late.txt");
    let put = ask(&world, Method::PUT, &late, None).body("put after the end");
    let put = put.send().await?;
    ensure!(put.status() == 201, "{}", put.text().await?);
    let wish = json!({ "config": demo(json!({})), "workspace_from": session });
    let next = launch(&world, wish).await?;
    let path = format!("/api/agents/{next}/chat");
    let told = answered(
        post(&world, &path, &json!({ "message": "read hello.py" })),
        200,
    )
    .await?;
    ensure!(
        told["turn_id"] == "turn-1" && told.to_string().contains("print"),
        "{told}"
    );
    let late = ask(
        &world,
        Method::GET,
        &format!("/api/files/{next}/late.txt"),
        None,
    );
    let late = answered(late, 200).await?;
    ensure!(late["content"] == "put after the end", "{late}");
    let wish = json!({ "config": demo(json!({})), "workspace_from": "nobody-has-this" });
    let told = answered(post(&world, "/api/agents/launch", &wish), 404).await?;
    ensure!(told["errors"][0]["field"] == "workspace_from", "{told}");
    Ok(())
}

async fn resources(world: Arc<World>) -> Result<()> {
    let health = answered(ask(&world, Method::GET, "/health", None), 200).await?;
    ensure!(
        health["status"] == "healthy" && health["agent_image"].is_string(),
        "{health}"
    );
    let session = launch(&world, json!({ "config": demo(json!({})) })).await?;
    let path = format!("/api/agents/{session}/chat");
    let message = json!({ "message": "run `true`" });
    answered(post(&world, &path, &message), 200).await?;
    let path = format!("/api/resources/{session}");
    let used = answered(ask(&world, Method::GET, &path, None), 200).await?;
    ensure!(used["status"] == "running", "{used}");
    ensure!(
        used["container_id"] == format!("claude-session-{session}"),
        "{used}"
    );
    // Claude Code alone takes more.
    ensure!(used["memory"]["used_mb"].as_f64() > Some(50.0), "{used}");
    ensure!(used["memory"]["limit_bytes"].as_u64() > used["memory"]["used_bytes"].as_u64());
    ensure!(used["cpu"]["count"].as_f64() > Some(0.0), "{used}");
    ensure!(used["processes"].as_u64() >= Some(2), "{used}");
    let watch = ask(&world, Method::GET, &path, None).header("accept", "text/event-stream");
    let mut watch = watch.send().await?;
    let mut seen = String::new();
    while seen.matches("data: {").count() < 2 {
        let chunk = tokio::time::timeout(world::PATIENCE, watch.chunk()).await??;
        seen += std::str::from_utf8(&chunk.context("it ends")?)?;
    }
    answered(
        ask(&world, Method::GET, "/api/resources/nobody-has-this", None),
        404,
    )
    .await?;
    Ok(())
}

async fn own_key(world: Arc<World>) -> Result<()> {
    let own = "sk-somebodys-own-key-abcde";
    let config = demo(json!({ "model": "scripted/key" }));
    let body = json!({ "config": config, "api_key": own });
    let session = launch(&world, body).await?;
    let path = format!("/api/agents/{session}/chat");
    let message = json!({ "message": "which key?" });
    let as_owner = |key: &str| ask(&world, Method::POST, &path, Some(key)).json(&message);
    let document = answered(as_owner(own), 200).await?;
    ensure!(document["content"] == "called with abcde", "{document}");
    // It is who they are, and nobody else is.
    answered(as_owner("sk-somebody-elses-key-abcde"), 403).await?;
    let mine = answered(
        ask(&world, Method::GET, "/api/agents/sessions", Some(own)),
        200,
    )
    .await?;
    ensure!(mine["total"] == 1, "{mine}");
    // Without a key of one's own, it is the router's.
    let other = launch(
        &world,
        json!({ "config": demo(json!({ "model": "scripted/key" })) }),
    )
    .await?;
    let path = format!("/api/agents/{other}/chat");
    let document = answered(post(&world, &path, &message), 200).await?;
    ensure!(document["content"] == "called with t-key", "{document}");
    // It is nowhere to be found: not in the log, not in what is stored, not in the sandbox.
    let events = format!("/api/sessions/{session}/events");
    let log = ask(&world, Method::GET, &events, Some(own))
        .send()
        .await?
        .text()
        .await?;
    ensure!(!log.contains(own), "{log}");
    ensure!(
        world.find_stored(own)?.is_empty(),
        "{:?}",
        world.find_stored(own)?
    );
    Ok(())
}

async fn idle_end() -> Result<()> {
    let world = World::start_with_worker(Provider::Local, &[("IDLE_END_SECONDS", "3")]).await?;
    let session = launch(&world, json!({ "config": demo(json!({})) })).await?;
    let path = format!("/api/agents/{session}/chat");
    let message = json!({ "message": "run `echo kept > file`" });
    answered(post(&world, &path, &message), 200).await?;
    let about = format!("/api/agents/sessions/{session}");
    let begin = std::time::Instant::now();
    loop {
        let told = answered(ask(&world, Method::GET, &about, None), 200).await?;
        if told["status"] == "stopped" {
            break;
        }
        ensure!(begin.elapsed() < world::PATIENCE, "{told}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let refused = answered(post(&world, &path, &message), 409).await?;
    ensure!(
        refused["detail"]
            .as_str()
            .is_some_and(|words| words.contains("ended")),
        "{refused}"
    );
    // The index hears of it, and its sandbox is saved and stopped, a moment later.
    let stopped = "/api/agents/sessions?status=stopped";
    loop {
        let list = answered(ask(&world, Method::GET, stopped, None), 200).await?;
        let processes = world.processes_in_sandbox(&session, "agent-server")?;
        if list["total"] == 1 && processes.is_empty() {
            break;
        }
        ensure!(begin.elapsed() < world::PATIENCE, "{list} {processes:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let events = format!("/api/sessions/{session}/events");
    let log = ask(&world, Method::GET, &events, None)
        .send()
        .await?
        .text()
        .await?;
    ensure!(log.contains("echo kept"), "{log}");
    Ok(())
}

async fn configs(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "config-alice").await?;
    let bob = all_scopes(&world, "config-bob").await?;
    let as_alice = |method, path: &str| ask(&world, method, path, Some(&alice));
    let list = "/api/configs/custom/list";
    let none = answered(as_alice(Method::GET, list), 200).await?;
    ensure!(none == json!({ "configs": [], "total": 0 }), "{none}");
    let mine = demo(json!({ "id": "mine", "allowed_tools": ["MultiEdit"] }));
    let custom = "/api/configs/custom";
    let made = answered(as_alice(Method::POST, custom).json(&mine), 200).await?;
    ensure!(
        made["status"] == "success" && made["config_id"] == "mine",
        "{made}"
    );
    ensure!(
        made["warnings"][0]
            .as_str()
            .is_some_and(|words| words.contains("Edit"))
    );
    answered(as_alice(Method::POST, custom).json(&mine), 409).await?;
    let yaml = "id: second\nname: From YAML\nallowed_tools: [Read]\n";
    answered(as_alice(Method::POST, custom).body(yaml), 200).await?;
    let told = answered(as_alice(Method::POST, custom).body("id: [\n"), 400).await?;
    ensure!(
        told["detail"]
            .as_str()
            .is_some_and(|words| words.contains("line")),
        "{told}"
    );
    let preset = demo(json!({ "id": "code-assistant" }));
    answered(as_alice(Method::POST, custom).json(&preset), 409).await?;

    let all = answered(as_alice(Method::GET, list), 200).await?;
    ensure!(
        all["total"] == 2 && all["configs"][0]["id"] == "second",
        "{all}"
    );
    let whole = answered(as_alice(Method::GET, "/api/configs/mine"), 200).await?;
    ensure!(whole["allowed_tools"] == json!(["Edit"]), "{whole}");
    let changed = demo(json!({ "id": "mine", "description": "Changed" }));
    answered(
        as_alice(Method::PUT, "/api/configs/custom/mine").json(&changed),
        200,
    )
    .await?;
    answered(
        as_alice(Method::PUT, "/api/configs/custom/other").json(&changed),
        400,
    )
    .await?;
    let whole = answered(as_alice(Method::GET, "/api/configs/mine"), 200).await?;
    ensure!(whole["description"] == "Changed", "{whole}");

    // Another owner has none of it.
    for (method, path) in [
        (Method::GET, "/api/configs/mine"),
        (Method::DELETE, "/api/configs/custom/mine"),
    ] {
        answered(ask(&world, method, path, Some(&bob)), 404).await?;
    }
    let theirs = ask(&world, Method::PUT, "/api/configs/custom/mine", Some(&bob));
    answered(theirs.json(&changed), 404).await?;
    let from_it = json!({ "config_id": "mine" });
    let launch =
        |key: &str| ask(&world, Method::POST, "/api/agents/launch", Some(key)).json(&from_it);
    answered(launch(&bob), 404).await?;
    answered(launch(&alice), 200).await?;

    answered(as_alice(Method::DELETE, "/api/configs/custom/mine"), 200).await?;
    answered(as_alice(Method::DELETE, "/api/configs/custom/mine"), 404).await?;
    answered(launch(&alice), 404).await?;
    // Each of it is in the audit log.
    let audit = answered(as_alice(Method::GET, "/api/audit"), 200)
        .await?
        .to_string();
    for what in ["create config", "update config", "delete config", "launch"] {
        ensure!(audit.contains(what), "{what}: {audit}");
    }
    Ok(())
}

/// Each of ten that work at the same time has its own answer, files and conversation.
async fn ten(world: Arc<World>) -> Result<()> {
    let one = async |number: usize| -> Result<()> {
        let session = launch(&world, json!({ "config": demo(json!({})) })).await?;
        let path = format!("/api/agents/{session}/chat");
        let say = async |message: String| {
            answered(post(&world, &path, &json!({ "message": message })), 200).await
        };
        say(format!(
            "run `echo I am {number} > me.txt && sleep 2 && cat me.txt`"
        ))
        .await?;
        let told = say("run `ls && cat me.txt`".to_owned()).await?;
        let turns = told["turn_id"] == "turn-2";
        ensure!(
            turns && told.to_string().contains(&format!("I am {number}\\n")),
            "{number}: {told}"
        );
        let file = ask(
            &world,
            Method::GET,
            &format!("/api/files/{session}/me.txt"),
            None,
        );
        let file = answered(file, 200).await?;
        ensure!(
            file["content"] == format!("I am {number}\n"),
            "{number}: {file}"
        );
        Ok(())
    };
    futures_util::future::try_join_all((0..10).map(one)).await?;
    Ok(())
}

/// Nothing of a session can be had, changed or used by the holder of a key of another owner.
async fn beyond_reach(world: &World, session: &str, key: &str) -> Result<()> {
    for (method, path) in [
        (Method::GET, format!("/api/agents/sessions/{session}")),
        (Method::DELETE, format!("/api/agents/sessions/{session}")),
        (
            Method::POST,
            format!("/api/agents/sessions/{session}/interrupt"),
        ),
        (Method::POST, format!("/api/agents/sessions/{session}/stop")),
        (Method::POST, format!("/api/agents/{session}/chat")),
        (Method::GET, format!("/api/tools/{session}/stream")),
        (Method::GET, format!("/api/resources/{session}")),
        (Method::GET, format!("/api/files/{session}")),
        (Method::POST, format!("/api/files/{session}")),
        (Method::GET, format!("/api/files/{session}/secret.txt")),
        (Method::PUT, format!("/api/files/{session}/secret.txt")),
        (Method::DELETE, format!("/api/files/{session}/secret.txt")),
        (Method::POST, format!("/api/files/{session}/download")),
        (Method::POST, format!("/api/files/{session}/upload")),
        (Method::GET, format!("/api/sessions/{session}/diff")),
        (Method::GET, format!("/api/sessions/{session}/repository")),
        (
            Method::POST,
            format!("/api/sessions/{session}/repository/commit"),
        ),
        (Method::POST, format!("/api/sessions/{session}/fork")),
    ] {
        let request = ask(world, method, &path, Some(key)).json(&json!({ "message": "hi" }));
        answered(request, 403).await?;
    }
    let beside = ask(world, Method::POST, "/api/agents/chat", Some(key));
    let beside = beside.json(&json!({ "message": "hi", "sessionId": session }));
    answered(beside, 403).await?;
    let with_its_files = json!({ "config": demo(json!({})), "workspace_from": session });
    let launch = ask(world, Method::POST, "/api/agents/launch", Some(key)).json(&with_its_files);
    answered(launch, 403).await?;
    for (tool, more) in [
        ("send_message", json!({ "message": "hi" })),
        ("stop_agent", json!({})),
        ("list_files", json!({})),
        ("read_file", json!({ "path": "secret.txt" })),
    ] {
        let mut arguments = more;
        arguments["session_id"] = json!(session);
        let call = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments },
        });
        let told = ask(world, Method::POST, "/mcp", Some(key)).json(&call);
        let told = answered(told, 200).await?;
        ensure!(
            told["result"]["isError"] == true && !told.to_string().contains("keep out"),
            "{tool}: {told}"
        );
    }
    Ok(())
}

async fn owners(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "platform-alice").await?;
    let bob = all_scopes(&world, "platform-bob").await?;
    let body = json!({ "config": demo(json!({})) });
    let launch = |key: &str| ask(&world, Method::POST, "/api/agents/launch", Some(key)).json(&body);
    let mut sessions = Vec::new();
    for key in [&alice, &bob] {
        let session = answered(launch(key), 200).await?;
        let session = session["session_id"].as_str().context("no session")?;
        let file = format!("/api/files/{session}/secret.txt");
        answered(
            ask(&world, Method::PUT, &file, Some(key)).body("keep out"),
            201,
        )
        .await?;
        sessions.push(session.to_owned());
    }
    for (number, (session, key)) in sessions.iter().zip([&bob, &alice]).enumerate() {
        beyond_reach(&world, session, key).await?;
        let list = ask(&world, Method::GET, "/api/agents/sessions", Some(key));
        let list = answered(list, 200).await?;
        let own = &sessions[1 - number];
        ensure!(
            list["total"] == 1 && list["sessions"][0]["session_id"] == own.as_str(),
            "{list}"
        );
    }
    for (session, key) in sessions.iter().zip([&alice, &bob]) {
        let file = format!("/api/files/{session}/secret.txt");
        let told = answered(ask(&world, Method::GET, &file, Some(key)), 200).await?;
        ensure!(told["content"] == "keep out", "{told}");
    }
    // A provider's key makes nobody here, where that was not said.
    let stranger = "sk-ant-api03-a-strangers-key";
    let by_key = json!({ "config": demo(json!({})), "api_key": stranger });
    let request = ask(&world, Method::POST, "/api/agents/launch", None).json(&by_key);
    answered(request, 401).await?;
    answered(launch(stranger), 401).await?;
    // A key of this deployment's does in the body what it does in the header.
    let by_key = json!({ "config": demo(json!({})), "api_key": alice });
    let request = ask(&world, Method::POST, "/api/agents/launch", None).json(&by_key);
    answered(request, 200).await?;
    let reader = key(&world, "platform-alice", json!({ "scopes": ["read"] }))
        .await?
        .1;
    answered(launch(&reader), 403).await?;
    Ok(())
}
