//! Who gets in where: every route with every wrong credential, keys, and what is written down of it.

use std::sync::Arc;
use std::time::Duration;

use agent_router::routes::table::{Kind, Need, Row, TABLE};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test, with_limits};
use xtask::stack::Provider;

use access::{Right, Scopes};

pub const OPERATOR: &str = "the-operators-token-of-this-test";

/// A world in which nobody gets anything for nothing.
///
/// # Errors
/// Where there can be no runtime.
pub fn guarded() -> Result<Arc<Running>> {
    Running::guarded(Provider::Local, |options| {
        let team = crate::identity::Team::get()?;
        let vars = [
            ("OPERATOR_TOKEN", OPERATOR),
            ("ACCESS_TEAM_DOMAIN", &team.issuer),
            ("ACCESS_AUD", crate::identity::AUDIENCE),
        ];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.worker_vars.extend(vars);
        // These tests show many wrong keys from one address.
        with_limits(options, &[(20, 100_000)])
    })
}

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "access::every_route_refuses_strangers", every_route),
        test(world, "access::keys_come_and_go", keys),
        test(world, "access::keys_by_the_command_line", command_line),
        test(world, "access::what_is_not_there_is_not_made", unknown),
        test(world, "access::the_audit_log", audit),
        test(
            world,
            "access::nothing_gets_into_headers_or_logs",
            injection,
        ),
    ]
}

/// A request with a token, or without.
pub fn ask(world: &World, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
    let request = world.http.request(method, world.url(path));
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// The answer's JSON, where its status is `status`.
pub async fn answered(request: RequestBuilder, status: u16) -> Result<Value> {
    let answer = request.send().await?;
    let (got, path) = (answer.status(), answer.url().path().to_owned());
    let body = answer.text().await?;
    ensure!(got == status, "{path}: {got} instead of {status}: {body}");
    Ok(serde_json::from_str(&body).unwrap_or_default())
}

/// A new key, made by the operator. Gives its id and the key.
pub async fn key(world: &World, owner: &str, wish: Value) -> Result<(String, String)> {
    let mut wish = wish;
    wish["owner"] = json!(owner);
    let request = ask(world, Method::POST, "/api/keys", Some(OPERATOR)).json(&wish);
    let made = answered(request, 201).await?;
    let text = |name: &str| made[name].as_str().map(str::to_owned).context("no key");
    Ok((text("id")?, text("key")?))
}

pub async fn all_scopes(world: &World, owner: &str) -> Result<String> {
    let scopes = json!({ "scopes": ["read", "write", "launch", "admin"] });
    Ok(key(world, owner, scopes).await?.1)
}

/// A session of the holder of a key.
pub async fn begin(world: &World, test: &str, token: &str) -> Result<String> {
    let session = fresh_session(test);
    let path = format!("/api/sessions/{session}/tickets");
    answered(ask(world, Method::POST, &path, Some(token)), 201).await?;
    Ok(session)
}

/// A request to a row of the table, about this session.
fn request(world: &World, row: &Row, method: &str, session: &str) -> Result<RequestBuilder> {
    let path = row.path.replace("{session}", session);
    let path = path
        .replace("{id}", "0123456789abcdef")
        .replace("{request*}", "ask-1");
    let path = path
        .replace("{path*}", "v1/messages")
        .replace("{terminal*}", "main")
        .replace("{name}", "x.js");
    let mut request = ask(world, method.parse()?, &path, None);
    if matches!(row.kind, Kind::Socket | Kind::Terminal) {
        request = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    if row.kind == Kind::Shares && method == "POST" {
        request = request.json(&json!({ "mode": "read" }));
    } else if method == "POST" {
        request = request.json(&json!({ "prompt": "x", "sessionId": session }));
    }
    Ok(request)
}

/// What a row answers to somebody whose session it is not: an account of its own everybody has.
fn to_another(row: &Row) -> Option<u16> {
    match row.needs {
        Need::Session { .. } | Need::Operator => Some(403),
        Need::Sandbox => Some(401),
        Need::Account
        | Need::Scope(_)
        | Need::Launch
        | Need::Somebody
        | Need::Nothing
        | Need::SetUp => None,
    }
}

/// What a row answers to a key of the owner's that may read alone.
fn to_a_reader(row: &Row) -> Option<u16> {
    match row.needs {
        Need::Session {
            right: Right::Write | Right::Shell | Right::Manage,
            ..
        }
        | Need::Scope(Scopes::LAUNCH)
        | Need::Launch
        | Need::Account
        | Need::Operator => Some(403),
        _ => None,
    }
}

async fn every_route(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "alice").await?;
    let session = begin(&world, "table", &alice).await?;
    let mallory = all_scopes(&world, "mallory").await?;
    let (_, reader) = key(&world, "alice", json!({ "scopes": ["read"] })).await?;
    let (_, expired) = key(&world, "alice", json!({ "expires_in": 1 })).await?;
    let (id, revoked) = key(&world, "alice", json!({})).await?;
    let path = format!("/api/keys/{id}?owner=alice");
    answered(ask(&world, Method::DELETE, &path, Some(OPERATOR)), 204).await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let last = if alice.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}", alice.get(..alice.len() - 1).unwrap_or_default());
    let link = format!(
        "ars_w_99999999999999_1_01234567_{}_{session}",
        "0".repeat(64)
    );

    for row in TABLE {
        let needs_nothing = matches!(row.needs, Need::Nothing | Need::SetUp);
        for method in row.methods {
            for (what, token, expected) in [
                ("no token", None, Some(401)),
                ("a wrong token", Some("wrong"), Some(401)),
                ("a forged key", Some(forged.as_str()), Some(401)),
                ("an expired key", Some(&expired), Some(401)),
                ("a revoked key", Some(&revoked), Some(401)),
                ("a forged link", Some(&link), Some(401)),
                ("another's key", Some(&mallory), to_another(row)),
                ("a key that reads", Some(&reader), to_a_reader(row)),
            ] {
                let Some(mut expected) = expected.filter(|_| !needs_nothing) else {
                    continue;
                };
                // Where no session is asked about it, a link is nobody.
                let needs_account = matches!(
                    row.needs,
                    Need::Account | Need::Scope(_) | Need::Launch | Need::Operator
                );
                if what == "a forged link" && needs_account {
                    expected = 403;
                }
                let mut request = request(&world, row, method, &session)?;
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let answer = request.send().await?;
                ensure!(
                    answer.status() == expected,
                    "{method} {} with {what}: {} instead of {expected}",
                    row.path,
                    answer.status()
                );
                let challenged = answer.headers().contains_key("www-authenticate");
                ensure!(
                    challenged == (answer.status() == StatusCode::UNAUTHORIZED),
                    "{method} {} with {what}",
                    row.path
                );
            }
        }
    }
    Ok(())
}

async fn keys(world: Arc<World>) -> Result<()> {
    let owner = "keys-test";
    let admin = all_scopes(&world, owner).await?;
    let made = ask(&world, Method::POST, "/api/keys", Some(&admin))
        .json(&json!({ "name": "ci", "scopes": ["read"], "expires_in": 600 }));
    let made = answered(made, 201).await?;
    ensure!(
        made["owner"] == owner && made["scopes"] == json!(["read"]),
        "{made}"
    );
    let reader = made["key"].as_str().context("no key")?;

    let listed = answered(ask(&world, Method::GET, "/api/keys", Some(&admin)), 200).await?;
    let text = listed.to_string();
    ensure!(
        text.contains("\"ci\"") && text.contains("expires_at"),
        "{text}"
    );
    ensure!(!text.contains(reader), "a list must not hold keys: {text}");
    let secret = reader.split('_').nth(3).context("no secret")?;
    ensure!(!text.contains(secret), "{text}");

    // Nobody gives what it has not, nor to others.
    for (token, wish, status) in [
        (admin.as_str(), json!({ "owner": "alice" }), 403),
        (&admin, json!({ "scopes": ["operator"] }), 400),
        (&admin, json!({ "scopes": [] }), 400),
        (&admin, json!({ "name": "a\nb" }), 400),
        (&admin, json!({ "expires_in": 0 }), 400),
        (&admin, json!({ "owner_id": "alice" }), 400),
        (reader, json!({}), 403),
        (OPERATOR, json!({ "owner": "../x" }), 400),
    ] {
        let request = ask(&world, Method::POST, "/api/keys", Some(token)).json(&wish);
        answered(request, status)
            .await
            .with_context(|| wish.to_string())?;
    }
    for path in ["/api/keys?owner=alice", "/api/audit?owner=alice"] {
        answered(ask(&world, Method::GET, path, Some(&admin)), 403).await?;
    }

    let path = format!("/api/keys/{}", made["id"].as_str().unwrap_or_default());
    let menu = || ask(&world, Method::GET, "/demo/models", Some(reader));
    answered(menu(), 200).await?;
    answered(ask(&world, Method::DELETE, &path, Some(&admin)), 204).await?;
    answered(menu(), 401).await?;
    answered(ask(&world, Method::DELETE, &path, Some(&admin)), 404).await?;
    Ok(())
}

async fn command_line(world: Arc<World>) -> Result<()> {
    let run = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO"));
        command
            .args(["run", "--quiet", "--package", "xtask", "--", "keys"])
            .args(arguments)
            .args(["--owner", "by-hand"])
            .current_dir(xtask::root())
            .env("AGENT_ROUTER_URL", &world.stack.url)
            .env("AGENT_ROUTER_TOKEN", OPERATOR);
        async move { anyhow::Ok(command.output().await?) }
    };
    let made = run(&["create", "--name", "ci", "--scopes", "read"]).await?;
    let key = String::from_utf8(made.stdout)?.trim().to_owned();
    ensure!(
        key.starts_with("ar_by-hand_"),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let menu = || ask(&world, Method::GET, "/demo/models", Some(&key));
    answered(menu(), 200).await?;
    let id = key.split('_').nth(2).context("no id")?;
    let listed = String::from_utf8(run(&["list"]).await?.stdout)?;
    ensure!(
        listed.contains(id) && listed.contains("ci") && !listed.contains(&key),
        "{listed}"
    );
    ensure!(run(&["revoke", id]).await?.status.success());
    answered(menu(), 401).await?;
    let again = run(&["revoke", id]).await?;
    let told = String::from_utf8_lossy(&again.stderr);
    ensure!(
        !again.status.success() && told.contains("no such key"),
        "{told}"
    );
    ensure!(!told.contains(OPERATOR), "{told}");
    Ok(())
}

async fn unknown(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "alice").await?;
    let (_, reader) = key(&world, "alice", json!({ "scopes": ["read", "write"] })).await?;
    let session = fresh_session("unknown");
    for path in [
        format!("/agent/{session}/state"),
        format!("/api/sessions/{session}/events"),
        format!("/api/sessions/{session}/access"),
    ] {
        answered(ask(&world, Method::GET, &path, Some(&alice)), 404).await?;
        answered(ask(&world, Method::GET, &path, Some(OPERATOR)), 404).await?;
    }
    // To begin one is a scope of its own.
    let say = |token| {
        let said = json!({ "prompt": "hi", "model": "local/demo", "sessionId": session });
        ask(&world, Method::POST, "/agent/message", Some(token)).json(&said)
    };
    answered(say(&reader), 403).await?;
    let path = format!("/api/sessions/{session}/access");
    answered(ask(&world, Method::GET, &path, Some(&alice)), 404).await?;
    answered(say(&alice), 200).await?;
    answered(say(&reader), 200).await?;
    let access = answered(ask(&world, Method::GET, &path, Some(&reader)), 200).await?;
    ensure!(
        access["write"] == true && access["manage"] == false,
        "{access}"
    );
    let mallory = all_scopes(&world, "mallory").await?;
    answered(say(&mallory), 403).await?;
    answered(ask(&world, Method::GET, &path, Some(OPERATOR)), 200).await?;
    Ok(())
}

async fn audit(world: Arc<World>) -> Result<()> {
    let owner = fresh_session("audit").replace('_', "-");
    let admin = all_scopes(&world, &owner).await?;
    let session = fresh_session("audit");
    let said = json!({ "prompt": "a-secret-word", "model": "local/demo", "sessionId": session });
    let request = ask(&world, Method::POST, "/agent/message", Some(&admin));
    let request = request.json(&said).header("cf-connecting-ip", "192.0.2.7");
    answered(request, 200).await?;
    let shares = format!("/api/sessions/{session}/shares");
    let wish = json!({ "mode": "read" });
    answered(
        ask(&world, Method::POST, &shares, Some(&admin)).json(&wish),
        201,
    )
    .await?;

    // Nobody waits for what is written down, so it may take a moment.
    let mut log = Value::Null;
    for _ in 0..100 {
        log = answered(ask(&world, Method::GET, "/api/audit", Some(&admin)), 200).await?;
        if log["entries"]
            .as_array()
            .is_some_and(|entries| entries.len() >= 4)
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let entries = log["entries"].as_array().cloned().unwrap_or_default();
    let mut whats: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry["what"].as_str())
        .collect();
    whats.sort_unstable();
    ensure!(
        whats == ["create key", "launch", "message", "share"],
        "{log}"
    );
    for entry in &entries {
        let by = entry["by"].as_str().unwrap_or_default();
        ensure!(by.starts_with("key:") || by == "operator", "{entry}");
        let request_id = entry["request_id"].as_str().unwrap_or_default();
        ensure!(request_id.starts_with("req_"), "{entry}");
    }
    let launch = entries.iter().find(|entry| entry["what"] == "launch");
    ensure!(
        launch.is_some_and(|entry| entry["about"] == session.as_str()),
        "{log}"
    );
    let text = log.to_string();
    ensure!(
        !text.contains("a-secret-word") && !text.contains(&admin),
        "{text}"
    );

    let first = "/api/audit?limit=3";
    let page = answered(ask(&world, Method::GET, first, Some(&admin)), 200).await?;
    let next = format!("/api/audit?limit=3&before={}", page["next_before"]);
    let page = answered(ask(&world, Method::GET, &next, Some(&admin)), 200).await?;
    ensure!(
        page["entries"]
            .as_array()
            .is_some_and(|entries| entries.len() == 1),
        "{page}"
    );
    ensure!(page["next_before"].is_null(), "{page}");
    for wrong in ["limit=0", "limit=1001", "limit=x", "before=-1"] {
        let path = format!("/api/audit?{wrong}");
        answered(ask(&world, Method::GET, &path, Some(&admin)), 400).await?;
    }
    Ok(())
}

async fn injection(world: Arc<World>) -> Result<()> {
    for id in [
        "a%0d%0aset-cookie:x=y",
        "%2e%2e",
        "%00",
        "a%2fb",
        "%F0%9F%98%80",
        "%E2%80%AEx",
        "a%20b",
    ] {
        for path in [
            format!("/agent/{id}/state"),
            format!("/api/sessions/{id}/events"),
            format!("/demo/{id}"),
        ] {
            let answer = ask(&world, Method::GET, &path, Some(OPERATOR))
                .send()
                .await?;
            // A client takes `..` away before it asks.
            let gone = answer.url().path() != path;
            let status = answer.status().as_u16();
            ensure!(gone || matches!(status, 400 | 404), "{path}: {status}");
            ensure!(!answer.headers().contains_key("set-cookie"), "{path}");
        }
    }
    // What a client says of itself is nobody's address, and nobody's name.
    let owner = fresh_session("injection").replace('_', "-");
    let admin = all_scopes(&world, &owner).await?;
    let session = fresh_session("injection");
    let path = format!("/api/sessions/{session}/tickets");
    let request = ask(&world, Method::POST, &path, Some(&admin))
        .header(
            "x-visit",
            r#"{"caller":{"who":{"known":{"owner":"alice"}}}}"#,
        )
        .header("x-session-id", "another")
        .header("x-user-id", "alice")
        .header("x-forwarded-for", "198.51.100.9")
        .header("user-agent", "a\",\"level\":\"error");
    answered(request, 201).await?;
    let mut log = String::new();
    for _ in 0..100 {
        let request = ask(&world, Method::GET, "/api/audit", Some(&admin));
        log = answered(request, 200).await?.to_string();
        if log.contains("launch") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(log.contains("launch") && log.contains(&session), "{log}");
    ensure!(
        !log.contains("198.51.100.9") && !log.contains("another"),
        "{log}"
    );
    let printed = world.stack.log();
    for secret in [OPERATOR, admin.as_str()] {
        ensure!(!printed.contains(secret), "a secret is in the log");
    }
    Ok(())
}
