//! Agents that work with others: through the Worker's own server of tools, from a sandbox and from outside.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

use crate::access::{all_scopes, answered, ask, key};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(
            world,
            "orchestration::an_agent_works_with_another",
            together,
        ),
        test(world, "orchestration::its_bounds_hold", bounds),
        test(
            world,
            "orchestration::its_budget_bounds_all_below_it",
            budget,
        ),
        test(world, "orchestration::a_client_works_with_agents", client),
    ]
}

pub fn docker_tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![test(
        world,
        "docker::an_agent_works_with_another",
        together_in_containers,
    )]
}

pub fn guarded_tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![test(
        world,
        "orchestration::others_agents_are_not_reached",
        others,
    )]
}

fn post(world: &World, path: &str, body: &Value) -> RequestBuilder {
    ask(world, Method::POST, path, None).json(body)
}

/// Makes an agent whose model is the scripted one. Gives its id.
async fn make(world: &World, name: &str, fields: Value) -> Result<String> {
    let id = format!("{name}-{}", fresh_session("a"));
    let mut config = json!({
        "id": id, "name": name, "model": "local/demo", "permission_mode": "acceptEdits",
        "allowed_tools": ["Bash", "Write", "Read"],
    });
    if let (Some(config), Some(fields)) = (config.as_object_mut(), fields.as_object()) {
        config.extend(fields.clone());
    }
    answered(post(world, "/api/configs/custom", &config), 200).await?;
    Ok(id)
}

async fn launch(world: &World, agent: &str) -> Result<String> {
    let told = answered(
        post(world, "/api/agents/launch", &json!({ "config_id": agent })),
        200,
    )
    .await?;
    Ok(told["session_id"]
        .as_str()
        .context("no session")?
        .to_owned())
}

async fn chat(world: &World, session: &str, message: &str) -> Result<Value> {
    let path = format!("/api/agents/{session}/chat");
    answered(post(world, &path, &json!({ "message": message })), 200).await
}

async fn describe(world: &World, session: &str) -> Result<Value> {
    let path = format!("/api/agents/sessions/{session}");
    answered(ask(world, Method::GET, &path, None), 200).await
}

/// Has an agent launch another one, and gives both sessions.
async fn one_and_another(world: &World) -> Result<(String, String)> {
    let helper = make(world, "helper", json!({})).await?;
    let orchestration = json!({ "orchestration": { "agents": [helper], "max_sessions": 2 } });
    let lead = make(world, "lead", orchestration).await?;
    let session = launch(world, &lead).await?;
    let prompt = format!("ask the agent {helper} to create a hello world app");
    let told = chat(world, &session, &prompt).await?;
    ensure!(
        told.to_string()
            .contains("This is what the other agent came to"),
        "{told}"
    );
    ensure!(
        told.to_string().contains("hello.py"),
        "the answer of the other: {told}"
    );
    let lead = describe(world, &session).await?;
    let child = lead["children"][0].as_str().context("no child")?.to_owned();
    let told = describe(world, &child).await?;
    ensure!(told["parent"] == json!(session), "{told}");
    ensure!(
        told["config_id"] == json!(helper) && told["turns"] == 1,
        "{told}"
    );
    let path = format!("/api/sessions/{session}/events");
    let log = ask(world, Method::GET, &path, None)
        .send()
        .await?
        .text()
        .await?;
    let launched = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["type"] == "session_launched")
        .context("no event of the launch")?;
    ensure!(
        launched["launched_session_id"] == json!(child),
        "{launched}"
    );
    ensure!(launched["turn_id"] == "turn-1", "{launched}");
    Ok((session, child))
}

async fn together(world: Arc<World>) -> Result<()> {
    let (_, child) = one_and_another(&world).await?;
    ensure!(world.workspace(&child).join("hello.py").exists());
    Ok(())
}

async fn together_in_containers(world: Arc<World>) -> Result<()> {
    let (_, child) = one_and_another(&world).await?;
    let path = format!("/api/files/{child}/hello.py");
    answered(ask(&world, Method::GET, &path, None), 200).await?;
    Ok(())
}

/// What an agent is told that calls a tool of the server itself, with the token of its sandbox.
async fn called_by(world: &World, session: &str, tool: &str, arguments: Value) -> Result<String> {
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": tool, "arguments": arguments },
    });
    let command = format!(
        "curl -s $ANTHROPIC_BASE_URL/mcp -H \"authorization: Bearer $ANTHROPIC_AUTH_TOKEN\" -d '{call}'"
    );
    let told = chat(world, session, &format!("run `{command}`")).await?;
    Ok(told.to_string())
}

async fn bounds(world: Arc<World>) -> Result<()> {
    // One generation: what is launched launches nobody, whatever its own configuration says.
    let helper = make(
        &world,
        "below",
        json!({ "orchestration": { "max_depth": 5 } }),
    )
    .await?;
    let orchestration = json!({ "orchestration": { "agents": [helper], "max_sessions": 1 } });
    let lead = make(&world, "bounded", orchestration).await?;
    let session = launch(&world, &lead).await?;
    let nested = format!("ask the agent {helper} to ask the agent {helper} to say hello");
    let told = chat(&world, &session, &nested).await?;
    ensure!(
        told.to_string().contains("may launch none itself"),
        "{told}"
    );
    // One session.
    let launching = json!({ "agent": helper });
    let told = called_by(&world, &session, "launch_agent", launching).await?;
    ensure!(told.contains("may launch 1 sessions"), "{told}");
    only_one_was_launched(&world, &session, &helper).await?;
    let told = called_by(
        &world,
        &session,
        "launch_agent",
        json!({ "agent": "code-assistant" }),
    )
    .await?;
    ensure!(told.contains("may not launch code-assistant"), "{told}");
    // Sessions that it has not launched are none of its own, whoever's they are.
    let stranger = launch(&world, &helper).await?;
    for (tool, arguments) in [
        (
            "send_message",
            json!({ "session_id": stranger, "message": "hi" }),
        ),
        ("wait_for_agents", json!({ "session_ids": [stranger] })),
        ("list_files", json!({ "session_id": stranger })),
        ("stop_agent", json!({ "session_id": session })),
    ] {
        let told = called_by(&world, &session, tool, arguments).await?;
        ensure!(
            told.contains("is no session that you have launched"),
            "{tool}: {told}"
        );
    }
    // One whose configuration says nothing of others.
    let alone = make(&world, "alone", json!({})).await?;
    let session = launch(&world, &alone).await?;
    let told = called_by(&world, &session, "list_agents", json!({})).await?;
    ensure!(told.contains("does not let it work with others"), "{told}");
    Ok(())
}

/// What an agent may cost, those that it has launched may not go beyond either, whatever their own
/// configurations say.
async fn budget(world: Arc<World>) -> Result<()> {
    let last = make(&world, "last", json!({})).await?;
    // It has no bound of its own, and its calls cost money.
    let middle = json!({ "model": "priced/demo", "orchestration": { "agents": [last] } });
    let middle = make(&world, "middle", middle).await?;
    let orchestration = json!({
        "orchestration": { "agents": [middle], "max_depth": 2, "max_cost_usd": 0.001 },
    });
    let lead = make(&world, "lead", orchestration).await?;
    let session = launch(&world, &lead).await?;
    let prompt = format!("ask the agent {middle} to run `echo money`");
    chat(&world, &session, &prompt).await?;
    let lead = describe(&world, &session).await?;
    let below = lead["children"][0].as_str().context("no child")?.to_owned();
    let told = called_by(&world, &below, "launch_agent", json!({ "agent": last })).await?;
    ensure!(told.contains("US dollars of 0.001"), "{told}");
    ensure!(describe(&world, &below).await?["children"] == json!([]));
    let again = json!({ "session_id": below, "message": "say hello" });
    let told = called_by(&world, &session, "send_message", again).await?;
    ensure!(told.contains("US dollars of 0.001"), "{told}");
    // Without that bound it launches.
    let free = launch(&world, &middle).await?;
    chat(&world, &free, "run `echo money`").await?;
    let told = called_by(&world, &free, "launch_agent", json!({ "agent": last })).await?;
    ensure!(told.contains("session_id"), "{told}");
    Ok(())
}

/// What was refused was not begun either: it is not in the log of what was done, in no list, and not among
/// what runs.
async fn only_one_was_launched(world: &World, session: &str, helper: &str) -> Result<()> {
    let lead = describe(world, session).await?;
    let children = lead["children"].as_array().context("no children")?;
    ensure!(children.len() == 1, "{lead}");
    let audit = ask(world, Method::GET, "/api/audit?limit=100", None);
    let audit = answered(audit, 200).await?;
    let entries = audit["entries"].as_array().context("no entries")?;
    let by = json!(format!("agent:{session}"));
    let begun = entries
        .iter()
        .filter(|entry| entry["what"] == "launch" && entry["by"] == by);
    ensure!(begun.count() <= 1, "{audit}");
    let list = format!("/api/agents/sessions?q={helper}&limit=1000");
    let list = answered(ask(world, Method::GET, &list, None), 200).await?;
    let sessions = list["sessions"].as_array().context("no sessions")?;
    let listed: Vec<_> = sessions
        .iter()
        .filter(|one| one["config_id"] == json!(helper))
        .map(|one| &one["session_id"])
        .collect();
    ensure!(listed == [&children[0]], "{list}");
    let running = answered(ask(world, Method::GET, "/api/sandboxes", None), 200).await?;
    let running = running["sandboxes"].as_array().context("no sandboxes")?;
    for sandbox in running {
        let of = &sandbox["session_id"];
        let path = format!("/api/agents/sessions/{}", of.as_str().unwrap_or_default());
        // Those of other trials come and go.
        let told = ask(world, Method::GET, &path, None).send().await?;
        let told: Value = told.json().await.unwrap_or_default();
        ensure!(
            told["config_id"] != json!(helper) || *of == children[0],
            "{sandbox}"
        );
    }
    Ok(())
}

/// Calls a tool as a client from outside.
async fn call(world: &World, token: Option<&str>, tool: &str, arguments: Value) -> Result<Value> {
    let body = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": tool, "arguments": arguments },
    });
    let request = ask(world, Method::POST, "/mcp", token)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-06-18")
        .json(&body);
    let answer = request.send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    let streams = answer.headers()["content-type"] == "text/event-stream";
    ensure!(streams == (tool == "wait_for_agents"), "{tool}");
    let text = answer.text().await?;
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    let told: Value = serde_json::from_str(data.unwrap_or(&text))?;
    ensure!(told["id"] == 7, "{told}");
    Ok(told["result"].clone())
}

async fn client(world: Arc<World>) -> Result<()> {
    let hello = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": { "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } },
    });
    let told = answered(post(&world, "/mcp", &hello), 200).await?;
    ensure!(
        told["result"]["serverInfo"]["name"] == "agent-router",
        "{told}"
    );
    let word = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    answered(post(&world, "/mcp", &word), 202).await?;
    answered(ask(&world, Method::GET, "/mcp", None), 405).await?;
    let helper = make(&world, "outside", json!({})).await?;
    let list = call(&world, None, "list_agents", json!({})).await?;
    ensure!(list.to_string().contains(&helper), "{list}");
    let launching = json!({ "agent": helper, "message": "create a hello world app" });
    let told = call(&world, None, "launch_agent", launching).await?;
    let session = told["structuredContent"]["session_id"]
        .as_str()
        .context("no session")?
        .to_owned();
    let waiting = json!({ "session_ids": [session], "timeout_seconds": 60 });
    let told = call(&world, None, "wait_for_agents", waiting).await?;
    let one = &told["structuredContent"]["sessions"][0];
    ensure!(one["done"] == true && one["status"] == "idle", "{told}");
    ensure!(one["answer"].to_string().contains("hello.py"), "{told}");
    let file = json!({ "session_id": session, "path": "hello.py" });
    let told = call(&world, None, "read_file", file).await?;
    ensure!(
        told["structuredContent"]["content"]
            .as_str()
            .is_some_and(|text| text.contains("print")),
        "{told}"
    );
    let told = call(&world, None, "list_files", json!({ "session_id": session })).await?;
    ensure!(
        told["structuredContent"]["total_files"].as_u64() >= Some(1),
        "{told}"
    );
    let file = json!({ "session_id": session, "path": "../../etc/passwd" });
    let told = call(&world, None, "read_file", file).await?;
    ensure!(
        told["isError"] == true && !told.to_string().contains("root:"),
        "{told}"
    );
    // What is long, or no text, is said to be so; one that is gone hides nothing of the others.
    let put = async |path: &str, body: Vec<u8>| {
        let path = format!("/api/files/{session}/{path}");
        let put = ask(&world, Method::PUT, &path, None).body(body);
        answered(put, 201).await
    };
    put("long.txt", vec![b'a'; 1_500_000]).await?;
    put("picture.png", b"\x89PNG\r\n\x1a\n".to_vec()).await?;
    for (path, words) in [("long.txt", "longer"), ("picture.png", "no text")] {
        let file = json!({ "session_id": session, "path": path });
        let told = call(&world, None, "read_file", file).await?;
        ensure!(
            told["isError"] == true && told.to_string().contains(words),
            "{told}"
        );
    }
    let many = "run `mkdir many && cd many && seq 7000 | xargs touch`";
    let many = json!({ "session_id": session, "message": many });
    call(&world, None, "send_message", many).await?;
    let gone = fresh_session("gone");
    let waiting = json!({ "session_ids": [gone, session], "timeout_seconds": 60 });
    let told = call(&world, None, "wait_for_agents", waiting).await?;
    let told = &told["structuredContent"]["sessions"];
    ensure!(told[0]["error"].is_string(), "{told}");
    ensure!(told[0]["session_id"] == json!(gone), "{told}");
    ensure!(told[1]["turn_id"] == "turn-2", "{told}");
    let told = call(&world, None, "list_files", json!({ "session_id": session })).await?;
    ensure!(told["structuredContent"]["next"].is_string(), "{told}");
    // Waiting has an end, and a long turn can be stopped.
    let more = json!({ "session_id": session, "message": "stream 1000 words every 100 ms" });
    call(&world, None, "send_message", more).await?;
    let waiting = json!({ "session_ids": [session], "timeout_seconds": 1 });
    let told = call(&world, None, "wait_for_agents", waiting).await?;
    ensure!(
        told["structuredContent"]["sessions"][0]["done"] == false,
        "{told}"
    );
    call(&world, None, "stop_agent", json!({ "session_id": session })).await?;
    let waiting = json!({ "session_ids": [session] });
    let told = call(&world, None, "wait_for_agents", waiting).await?;
    ensure!(
        told["structuredContent"]["sessions"][0]["turn_id"] == "turn-3",
        "{told}"
    );
    let told = call(&world, None, "launch_agent", json!({ "agent": "nobody" })).await?;
    ensure!(told["isError"] == true, "{told}");
    Ok(())
}

async fn others(world: Arc<World>) -> Result<()> {
    let owner = format!("mine-{}", fresh_session("o"));
    let mine = all_scopes(&world, &owner).await?;
    let theirs = all_scopes(&world, &format!("theirs-{}", fresh_session("o"))).await?;
    let config = json!({ "id": "own-demo", "name": "Demo", "model": "local/demo" });
    let made = ask(&world, Method::POST, "/api/configs/custom", Some(&mine)).json(&config);
    answered(made, 200).await?;
    let told = call(
        &world,
        Some(&mine),
        "launch_agent",
        json!({ "agent": "own-demo" }),
    )
    .await?;
    let session = told["structuredContent"]["session_id"]
        .as_str()
        .context("no session")?
        .to_owned();
    for (tool, arguments) in [
        (
            "send_message",
            json!({ "session_id": session, "message": "hi" }),
        ),
        ("wait_for_agents", json!({ "session_ids": [session] })),
        ("read_file", json!({ "session_id": session, "path": "a" })),
        ("list_files", json!({ "session_id": session })),
        ("stop_agent", json!({ "session_id": session })),
        ("launch_agent", json!({ "agent": "own-demo" })),
    ] {
        let told = call(&world, Some(&theirs), tool, arguments).await?;
        ensure!(told["isError"] == true, "{tool}: {told}");
    }
    let told = call(&world, Some(&theirs), "list_sessions", json!({})).await?;
    ensure!(!told.to_string().contains(&session), "{told}");
    // A key that launches alone reads nothing, and says nothing.
    let launcher = key(&world, &owner, json!({ "scopes": ["launch"] }))
        .await?
        .1;
    for (tool, arguments) in [
        ("list_agents", json!({})),
        ("list_sessions", json!({})),
        ("wait_for_agents", json!({ "session_ids": [session] })),
        ("list_files", json!({ "session_id": session })),
        ("read_file", json!({ "session_id": session, "path": "a" })),
        (
            "send_message",
            json!({ "session_id": session, "message": "hi" }),
        ),
        ("stop_agent", json!({ "session_id": session })),
        ("launch_agent", json!({ "agent": "own-demo" })),
    ] {
        let told = call(&world, Some(&launcher), tool, arguments).await?;
        ensure!(told["isError"] == true, "{tool}: {told}");
        ensure!(told.to_string().contains("scope"), "{tool}: {told}");
    }
    let reader = key(&world, &owner, json!({ "scopes": ["read", "write"] }))
        .await?
        .1;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    answered(
        ask(&world, Method::POST, "/mcp", Some(&reader)).json(&body),
        403,
    )
    .await?;
    Ok(())
}
