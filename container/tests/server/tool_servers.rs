//! Servers of tools (MCP): they work from the first turn on, what they are given nobody else sees, and
//! a turn does not wait long for one that does not start.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::options::Launch;
use serde_json::{Value, json};

use crate::upstream::Reply;
use crate::world::World;

const SECRET: &str = "hunter2-of-the-tool-server";

/// The one over standard input and output, with a secret.
fn server() -> Value {
    json!({
        "type": "stdio", "command": env!("CARGO_BIN_EXE_tool-server"), "args": [],
        "env": {"TOOL_SECRET": SECRET},
    })
}

fn with_servers(servers: Value) -> Launch {
    let mut launch = Launch {
        mcp_config: Some(json!({"mcpServers": servers})),
        ..Launch::default()
    };
    for name in ["mcp__own", "mcp__far"] {
        launch.allowed_tools.push(name.to_owned());
    }
    launch
}

fn has() -> Reply {
    Reply::Call("mcp__own__has", json!({"name": "TOOL_SECRET"}))
}

/// The names of the processes and files that hold a text.
fn holding(text: &str, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(text) {
            found.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                if String::from_utf8_lossy(&bytes).contains(text) {
                    found.push(entry.path().to_string_lossy().into_owned());
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn a_server_with_a_secret_works_and_nobody_sees_it() {
    let world = World::new().await;
    world.script("has", vec![has(), Reply::Say("Looked")]);
    let launch = with_servers(json!({"own": server()}));
    let turn = world
        .launch(1, "script:has", launch.clone())
        .await
        .completed();
    assert_eq!(turn.outputs(), ["present"]);
    // It was offered to the model from the start, with what reads the server's own things.
    let first = &world.upstream.requests()[0];
    let offered = crate::upstream::tools(first);
    for name in [
        "mcp__own__has",
        "mcp__own__reveal",
        "ListMcpResourcesTool",
        "ReadMcpResourceTool",
    ] {
        let named_later = first["messages"].to_string().contains(name);
        assert!(offered.contains(name) || named_later, "{name}: {offered:?}");
    }
    assert!(offered.contains("mcp__own__has"));
    assert_eq!(holding(SECRET, world.root.path()), Vec::<String>::new());
    // The next turn finds it as it was.
    let pid = world.claude_pid().await;
    let turn = world.launch(2, "script:has", launch).await.completed();
    assert_eq!(turn.outputs(), ["present"]);
    assert_eq!(world.claude_pid().await, pid);
}

#[tokio::test]
async fn an_agent_has_no_base_tools_but_those_that_read_what_servers_offer() {
    let world = World::new().await;
    let launch = Launch {
        tools: Some(vec![
            "ListMcpResourcesTool".to_owned(),
            "ReadMcpResourceTool".to_owned(),
        ]),
        ..with_servers(json!({"own": server()}))
    };
    world.launch(1, "hello", launch).await.completed();
    let expected = [
        "ListMcpResourcesTool",
        "ReadMcpResourceTool",
        "mcp__own__has",
        "mcp__own__reveal",
    ];
    let expected: BTreeSet<String> = expected.map(str::to_owned).into();
    assert_eq!(world.upstream.last_tools(), expected);
}

/// A server over HTTP: what it was shown of who asks.
#[derive(Default)]
struct Far(Mutex<Vec<String>>);

async fn far(State(far): State<Arc<Far>>, headers: HeaderMap, body: String) -> Response {
    let shown = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    far.0.lock().unwrap().extend(shown);
    let Ok(request) = serde_json::from_str::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let result = match request["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "far", "version": "1.0.0"},
        }),
        Some("tools/list") => json!({"tools": [{
            "name": "greet", "description": "Greets", "inputSchema": {"type": "object"},
        }]}),
        Some("tools/call") => json!({"content": [{"type": "text", "text": "Greetings from afar"}]}),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    axum::Json(json!({"jsonrpc": "2.0", "id": request["id"], "result": result})).into_response()
}

#[tokio::test]
async fn a_server_over_http_gets_its_headers() {
    let seen = Arc::new(Far::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let app = axum::Router::new()
        .route("/mcp", axum::routing::post(far))
        .with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let world = World::new().await;
    world.script(
        "greet",
        vec![
            Reply::Call("mcp__far__greet", json!({})),
            Reply::Say("Greeted"),
        ],
    );
    let bearer = format!("Bearer {SECRET}");
    let servers =
        json!({"far": {"type": "http", "url": url, "headers": {"Authorization": bearer}}});
    let turn = world
        .launch(1, "script:greet", with_servers(servers))
        .await
        .completed();
    assert_eq!(turn.outputs(), ["Greetings from afar"]);
    let seen = seen.0.lock().unwrap().clone();
    assert!(
        !seen.is_empty() && seen.iter().all(|shown| *shown == bearer),
        "{seen:?}"
    );
    assert_eq!(holding(SECRET, world.root.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_turn_goes_on_without_servers_that_do_not_start_and_says_so() {
    let world = World::new().await;
    let mut mute = server();
    mute["args"] = json!(["--mute"]);
    let launch = with_servers(json!({
        "own": server(),
        "mute": mute,
        "missing": {"type": "stdio", "command": "/nowhere/server"},
        "refused": {"type": "http", "url": "http://127.0.0.1:1/mcp"},
        "wrong": {"type": "http"},
    }));
    world.script("has", vec![has(), Reply::Say("Looked")]);
    let turn = world
        .launch(1, "script:has", launch.clone())
        .await
        .completed();
    assert_eq!(turn.outputs(), ["present"]);
    let errors = |turn: &crate::world::Turn| -> Vec<String> {
        let errors = turn.events().into_iter().filter_map(|event| match event {
            protocol::event::EventBody::Error { content, .. } => Some(content.clone()),
            _ => None,
        });
        errors.collect()
    };
    let told = errors(&turn);
    for (name, words) in [
        ("mute", "has not started yet"),
        ("missing", "did not start"),
        ("refused", "did not start"),
        ("wrong", "can't be used"),
    ] {
        let of_it = told
            .iter()
            .filter(|error| error.contains(&format!("{name:?} {words}")));
        assert_eq!(of_it.count(), 1, "{name}: {told:?}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
    // They are not told again.
    let again = world.launch(2, "script:has", launch).await.completed();
    assert!(
        errors(&again).iter().all(|error| error.contains("mute")),
        "{again:?}"
    );
}
