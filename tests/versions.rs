//! A Worker meets sandboxes of another version than its own: what is optional may be missing, and what
//! it has never heard of may come.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, Tab, World, fresh_session, lone_test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        lone_test(world, "versions::an_image_before_this_one", || works(OLDER)),
        lone_test(world, "versions::an_image_after_this_one", || works(NEWER)),
        lone_test(world, "versions::an_image_that_is_too_old", too_old),
    ]
}

/// An agent-server of another version, and the host of local sandboxes that hands it out.
#[derive(Debug, Clone, Copy)]
struct Version {
    protocol: u64,
    /// It says more than this version knows.
    says_more: bool,
    /// It knows nothing of saves, answers and settings.
    knows_less: bool,
}

/// The first of the protocol: turns, and nothing that came later.
const OLDER: Version = Version {
    protocol: 1,
    says_more: false,
    knows_less: true,
};

const NEWER: Version = Version {
    protocol: 2,
    says_more: true,
    knows_less: false,
};

const TOO_OLD: Version = Version {
    protocol: 0,
    ..OLDER
};

struct Server {
    version: Version,
    address: std::net::SocketAddr,
    /// The turns that were begun, by what they asked for.
    asked: Mutex<Vec<Value>>,
    /// Paths that were called.
    called: Mutex<Vec<String>>,
}

impl Server {
    async fn start(version: Version) -> Result<Arc<Self>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let server = Arc::new(Self {
            version,
            address: listener.local_addr()?,
            asked: Mutex::default(),
            called: Mutex::default(),
        });
        let routes = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(server)
    }

    fn health(&self) -> Value {
        let mut health = json!({
            "status": "healthy", "protocol": self.version.protocol, "version": "0.0.1",
            "uptime_ms": 1, "agent": "ready",
        });
        if self.version.says_more {
            health["disk"] = "ready".into();
            health["mood"] = json!({ "good": true });
        }
        health
    }

    /// All records of a turn. The first stream of it is cut after one.
    fn records(&self, turn: &Value) -> Vec<Value> {
        let place = json!({ "block": "b1", "mood": 1 });
        let text = |kind: &str| {
            let mut event = place.clone();
            event["type"] = kind.into();
            event["content"] =
                format!("heard: {}", turn["turn"]["prompt"].as_str().unwrap()).into();
            event
        };
        let mut end = json!({ "outcome": "completed", "content": "Completed" });
        let mut first = json!({ "n": 1, "events": [text("progress")], "claude_session_id": "c-1" });
        if self.version.says_more {
            first["mood"] = json!(["good"]);
            end["mood"] = "good".into();
            end["usage"] = json!({
                "input_tokens": 1, "output_tokens": 2, "duration_ms": 3, "num_turns": 1, "dreams": 7,
            });
        }
        vec![
            first,
            json!({ "n": 2, "events": [text("result")] }),
            json!({ "n": 3, "end": end }),
        ]
    }
}

fn respond(status: u16, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = to_bytes(request.into_body(), 1 << 22)
        .await
        .unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if path.starts_with("/sandboxes/") {
        let told = json!({
            "name": "x", "state": "running", "started": false, "server_token": "t",
            "url": format!("http://{}", server.address),
        });
        return respond(200, told.to_string());
    }
    server.called.lock().unwrap().push(path.clone());
    let version = server.version;
    match path.as_str() {
        "/" => respond(200, server.health().to_string()),
        "/turns" if body["protocol"].as_u64() > Some(version.protocol) => {
            let refusal = json!({
                "type": "/problems/conflict", "title": "Conflict", "status": 409,
                "detail": "the sandbox's image is older than its session",
            });
            respond(409, refusal.to_string())
        }
        "/turns" => {
            let all = server.records(&body);
            server.asked.lock().unwrap().push(body);
            respond(200, lines(&all[..1]))
        }
        "/interrupt" | "/acknowledge" => respond(204, ""),
        "/save" | "/answer" | "/settings" if !version.knows_less => respond(204, ""),
        path if path.starts_with("/turns/") => {
            let asked = server.asked.lock().unwrap();
            let wanted = path.trim_start_matches("/turns/");
            let known = asked.iter().find(|turn| turn["turn_id"] == wanted);
            let after = query.trim_start_matches("after=").parse().unwrap_or(0);
            match known {
                Some(turn) => respond(200, lines(&server.records(turn)[after..])),
                None => respond(404, "not found"),
            }
        }
        _ => respond(404, "not found"),
    }
}

async fn world_of(server: &Server) -> Result<World> {
    let vars = [
        ("LOCAL_SANDBOX_URL", format!("http://{}", server.address)),
        ("LOCAL_SANDBOX_TOKEN", "t".to_owned()),
    ];
    let vars: Vec<(&str, &str)> = vars
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    World::start_with_worker(Provider::Local, &vars).await
}

async fn said(tab: &mut Tab, words: &str) -> Result<Value> {
    tab.say(words).await?;
    tab.completed().await
}

/// Turns are begun, taken up where their streams were cut, and end, one after the other.
async fn works(version: Version) -> Result<()> {
    let server = Server::start(version).await?;
    let world = world_of(&server).await?;
    let mut tab = world.tab(&fresh_session("versions"), Some(0)).await?;
    for words in ["one", "two"] {
        let end = said(&mut tab, words).await?;
        ensure!(end.get("save").is_none(), "nothing is saved: {end}");
        let told = tab.contents("result").pop().context("a result")?;
        ensure!(told == format!("heard: {words}"), "{}", tab.seen());
        // What the turn goes on with can't be told, and does no harm.
        tab.send(json!({ "type": "set_permission_mode", "mode": "acceptEdits" }))
            .await?;
    }
    ensure!(tab.contents("error").is_empty(), "{}", tab.seen());
    ensure!(tab.contents("progress").len() == 2, "{}", tab.seen());
    let called = server.called.lock().unwrap().clone();
    ensure!(
        called.iter().any(|path| path == "/turns/turn-1"),
        "{called:?}"
    );
    world.stack.stop().await;
    Ok(())
}

/// One that refuses turns of this version: the turn says so, and does not wait.
async fn too_old() -> Result<()> {
    let server = Server::start(TOO_OLD).await?;
    let world = world_of(&server).await?;
    let mut tab = world.tab(&fresh_session("versions"), Some(0)).await?;
    tab.say("one").await?;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    let told = tab.contents("error").pop().unwrap_or_default();
    ensure!(told.contains("image is older"), "{}", tab.seen());
    world.stack.stop().await;
    Ok(())
}
