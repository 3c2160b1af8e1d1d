//! The other ways in: share links, one-time tickets, sockets, and a browser's cookie.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};
use world::{Running, World, test};

use crate::access::{OPERATOR, all_scopes, answered, ask, begin, key};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "sharing::links", shares),
        test(world, "sharing::tickets_are_used_once", tickets),
        test(world, "sharing::sockets_show_who_they_are", sockets),
        test(world, "sharing::a_browser_signs_in_and_out", cookies),
    ]
}

async fn shares(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "alice").await?;
    let session = begin(&world, "shares", &alice).await?;
    let path = format!("/api/sessions/{session}/shares");
    let share = |wish: Value| ask(&world, Method::POST, &path, Some(&alice)).json(&wish);
    for wrong in [
        json!({}),
        json!({ "mode": "all" }),
        json!({ "mode": "read", "expires_in": 0 }),
    ] {
        answered(share(wrong), 400).await?;
    }
    let read = answered(share(json!({ "mode": "read" })), 201).await?;
    let write = answered(share(json!({ "mode": "write", "expires_in": 600 })), 201).await?;
    let short = answered(share(json!({ "mode": "read", "expires_in": 1 })), 201).await?;
    let token = |link: &Value| link["token"].as_str().unwrap_or_default().to_owned();
    let (read, write, short) = (token(&read), token(&write), token(&short));
    let listed = answered(ask(&world, Method::GET, &path, Some(&alice)), 200).await?;
    ensure!(
        listed["shares"]
            .as_array()
            .is_some_and(|all| all.len() == 3),
        "{listed}"
    );
    ensure!(!listed.to_string().contains("ars_"), "{listed}");

    // What a link opens, and what not.
    let state = format!("/agent/{session}/state");
    for (token, path, status) in [
        (&read, state.as_str(), 200),
        (&read, "/demo/models", 200),
        (&read, "/api/keys", 403),
        (&read, "/claude-code/debug?sessionId=x", 403),
        (&write, path.as_str(), 403),
    ] {
        answered(ask(&world, Method::GET, path, Some(token)), status).await?;
    }
    let other = begin(&world, "shares", &alice).await?;
    let other = format!("/agent/{other}/state");
    answered(ask(&world, Method::GET, &other, Some(&write)), 401).await?;

    // A socket by a link: what it reads it gets, what it says it may not.
    let protocol = |token: &str| format!("agent-router, bearer.{token}");
    let by = |token: &str| vec![("sec-websocket-protocol", protocol(token))];
    let headers = by(&read);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut reader = world.tab_as(&session, "", &headers).await?;
    let snapshot = reader.next().await?;
    ensure!(
        snapshot["access"] == json!({ "write": false, "manage": false, "shell": false }),
        "{snapshot}"
    );
    for frame in [
        json!({ "type": "user_message", "content": "hi", "model": "local/demo" }),
        json!({ "type": "interrupt" }),
        json!({ "type": "set_model", "model": "local/demo" }),
    ] {
        reader.send(frame.clone()).await?;
        let told = reader.until_told(|told| told["type"] == "error").await?;
        ensure!(told["code"] == "forbidden", "{frame}: {told}");
    }
    let headers = by(&write);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut writer = world.tab_as(&session, "", &headers).await?;
    writer.say("say one word").await?;
    writer.completed().await?;
    reader.completed().await?;

    tokio::time::sleep(Duration::from_millis(1100)).await;
    answered(ask(&world, Method::GET, &state, Some(&short)), 401).await?;
    answered(ask(&world, Method::DELETE, &path, Some(&alice)), 204).await?;
    for token in [&read, &write] {
        answered(ask(&world, Method::GET, &state, Some(token)), 401).await?;
    }
    for tab in [&mut reader, &mut writer] {
        let (code, _) = tab.closed().await?;
        ensure!(code == 4401, "closed with {code}");
    }
    let again = answered(share(json!({ "mode": "read" })), 201).await?;
    answered(ask(&world, Method::GET, &state, Some(&token(&again))), 200).await?;
    Ok(())
}

async fn tickets(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "alice").await?;
    let session = begin(&world, "tickets", &alice).await?;
    let other = begin(&world, "tickets", &alice).await?;
    let path = format!("/api/sessions/{session}/tickets");
    let made = answered(ask(&world, Method::POST, &path, Some(&alice)), 201).await?;
    let ticket = format!("?ticket={}", made["ticket"].as_str().context("no ticket")?);
    ensure!(
        world.tab_as(&other, &ticket, &[]).await.is_err(),
        "another session"
    );
    let mut tab = world.tab_as(&session, &ticket, &[]).await?;
    tab.say("say one word").await?;
    tab.completed().await?;
    ensure!(
        world.tab_as(&session, &ticket, &[]).await.is_err(),
        "used twice"
    );
    let state = format!("/agent/{session}/state{ticket}");
    answered(ask(&world, Method::GET, &state, None), 401).await?;
    Ok(())
}

async fn sockets(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "alice").await?;
    let session = begin(&world, "sockets", &alice).await?;
    let bearer = format!("Bearer {alice}");
    let protocol = format!("agent-router, bearer.{alice}");
    let own = world.stack.url.clone();
    let other_port = "http://127.0.0.1:1".to_owned();
    let lookalike = own.replacen("127.0.0.1", "127.0.0.1.evil.example", 1);
    for (what, query, headers, status) in [
        (
            "a program",
            "",
            vec![("authorization", bearer.as_str())],
            101,
        ),
        (
            "a page of its own",
            "",
            vec![
                ("origin", own.as_str()),
                ("sec-websocket-protocol", &protocol),
            ],
            101,
        ),
        (
            "another site",
            "",
            vec![
                ("origin", "https://evil.example"),
                ("authorization", &bearer),
            ],
            403,
        ),
        (
            "no site",
            "",
            vec![("origin", "null"), ("sec-websocket-protocol", &protocol)],
            403,
        ),
        (
            "another port",
            "",
            vec![("origin", &other_port), ("authorization", &bearer)],
            403,
        ),
        (
            "a lookalike",
            "",
            vec![("origin", &lookalike), ("authorization", &bearer)],
            403,
        ),
        ("nobody", "", vec![], 401),
        (
            "nobody with a protocol",
            "",
            vec![("sec-websocket-protocol", "agent-router")],
            401,
        ),
        (
            "a token in the URL",
            "?token=x",
            vec![("authorization", &bearer)],
            400,
        ),
        ("a key in the URL", "?from=0&api_key=x", vec![], 400),
        ("a ticket that is none", "?ticket=x", vec![], 401),
    ] {
        let path = format!("/demo/ws/{session}{query}");
        let mut request = ask(&world, Method::GET, &path, None)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        ensure!(answer.status() == status, "{what}: {}", answer.status());
        let offered = headers
            .iter()
            .any(|(name, _)| *name == "sec-websocket-protocol");
        let chosen = answer.headers().get("sec-websocket-protocol");
        if status == 101 {
            ensure!(chosen.is_some() == offered, "{what}: {chosen:?}");
        }
    }
    Ok(())
}

async fn cookies(world: Arc<World>) -> Result<()> {
    let own = world.stack.url.as_str();
    let alice = all_scopes(&world, "alice").await?;
    let session = begin(&world, "cookies", &alice).await?;
    let login = |token: &str| {
        ask(&world, Method::POST, "/api/login", None).json(&json!({ "token": token }))
    };
    answered(login("wrong"), 401).await?;
    answered(login(&alice).header("origin", "https://evil.example"), 403).await?;
    let answer = login(&alice).header("origin", own).send().await?;
    let cookie = answer
        .headers()
        .get("set-cookie")
        .context("no cookie")?
        .to_str()?
        .to_owned();
    ensure!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    ensure!(!cookie.contains(&alice), "the token itself stays out of it");
    let cookie = cookie.split(';').next().unwrap_or_default();
    let with = |method, path: &str| ask(&world, method, path, None).header("cookie", cookie);

    let state = format!("/agent/{session}/state");
    let shares = format!("/api/sessions/{session}/shares");
    answered(with(Method::GET, &state), 200).await?;
    // What changes something is done by its own pages alone.
    let wish = json!({ "mode": "read" });
    answered(with(Method::POST, &shares).json(&wish), 403).await?;
    let site = |value| {
        with(Method::POST, &shares)
            .json(&wish)
            .header("sec-fetch-site", value)
    };
    answered(site("cross-site"), 403).await?;
    answered(site("same-site"), 403).await?;
    answered(site("none"), 403).await?;
    answered(site("same-origin"), 201).await?;
    let form = with(Method::POST, &shares).header("origin", "https://evil.example");
    answered(
        form.header("content-type", "text/plain")
            .body(wish.to_string()),
        403,
    )
    .await?;
    ensure!(
        world
            .tab_as(&session, "", &[("cookie", cookie)])
            .await
            .is_err(),
        "no origin"
    );
    world
        .tab_as(&session, "", &[("cookie", cookie), ("origin", own)])
        .await?;

    // Signing out makes the key void, not only the browser forget it.
    answered(with(Method::POST, "/api/logout"), 403).await?;
    answered(with(Method::POST, "/api/logout").header("origin", own), 204).await?;
    answered(with(Method::GET, &state), 401).await?;

    // So does the end of what somebody has signed in with.
    let (id, key) = key(&world, "alice", json!({})).await?;
    let cookie = cookie_of(&login(&key).send().await?)?;
    let read = || ask(&world, Method::GET, &state, None).header("cookie", &cookie);
    answered(read(), 200).await?;
    let path = format!("/api/keys/{id}?owner=alice");
    answered(ask(&world, Method::DELETE, &path, Some(OPERATOR)), 204).await?;
    answered(read(), 401).await?;

    // The operator's browser is the operator.
    let cookie = cookie_of(&login(OPERATOR).send().await?)?;
    let request = ask(&world, Method::GET, "/api/keys?owner=alice", None);
    answered(request.header("cookie", &cookie), 200).await?;
    Ok(())
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie_of(answer: &reqwest::Response) -> Result<String> {
    let set = answer.headers().get("set-cookie").context("no cookie")?;
    let cookie = set.to_str()?.split(';').next();
    Ok(cookie.unwrap_or_default().to_owned())
}
