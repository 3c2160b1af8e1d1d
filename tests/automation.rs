//! What happens without a person at hand: turns that webhooks hear of, prompts that are said at a time, and
//! what an account is told that it has used.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use libtest_mimic::Trial;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

use crate::access::{all_scopes, answered, ask, begin, key};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "automation::webhooks_hear_of_ended_turns", webhooks),
        test(world, "automation::a_webhook_is_tried_again", tried_again),
        test(
            world,
            "automation::nothing_is_sent_where_nobody_is",
            gone_meanwhile,
        ),
        test(
            world,
            "automation::a_webhook_that_never_answers_keeps_none_waiting",
            silent,
        ),
        test(world, "automation::what_is_scheduled_is_said", schedules),
        test(
            world,
            "automation::what_is_switched_off_meanwhile_stays_off",
            switched_off,
        ),
        test(world, "automation::what_is_wrong_is_named", wrong),
        test(world, "automation::what_was_used_by_day_and_session", usage),
        test(
            world,
            "automation::what_is_counted_webhooks_hear_of",
            counted_and_told,
        ),
        test(world, "automation::others_see_nothing_of_it", others),
    ]
}

/// What is told at a path, asked for again until it is `there`.
async fn until(
    world: &World,
    path: &str,
    token: &str,
    there: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let began = Instant::now();
    loop {
        let told = answered(ask(world, Method::GET, path, Some(token)), 200).await?;
        if there(&told) {
            return Ok(told);
        }
        ensure!(began.elapsed() < world::PATIENCE, "waited in vain: {told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a webhook's server has heard.
#[derive(Debug, Clone)]
struct Heard {
    headers: HeaderMap,
    body: String,
}

/// A server that keeps what it hears, and answers with these statuses, the last of them for good.
struct Hook {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

type Answers = (Arc<Mutex<Vec<Heard>>>, Arc<Mutex<Vec<u16>>>);

impl Hook {
    async fn answering(statuses: &[u16]) -> Result<Self> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let state: Answers = (Arc::clone(&heard), Arc::new(Mutex::new(statuses.to_vec())));
        let app = Router::new().route("/hook", post(hear)).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, heard })
    }

    /// What was heard, when it is so much.
    async fn hears(&self, count: usize) -> Result<Vec<Heard>> {
        let began = Instant::now();
        loop {
            let heard = self
                .heard
                .lock()
                .map_or_else(|_| Vec::new(), |all| all.clone());
            if heard.len() >= count {
                return Ok(heard);
            }
            ensure!(
                began.elapsed() < world::PATIENCE,
                "it hears {} times",
                heard.len()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn hear(
    State((heard, statuses)): State<Answers>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if let Ok(mut heard) = heard.lock() {
        heard.push(Heard {
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        });
    }
    let mut statuses = statuses
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let status = if statuses.len() > 1 {
        statuses.remove(0)
    } else {
        statuses[0]
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}

fn send(world: &World, method: Method, path: &str, token: &str, body: &Value) -> RequestBuilder {
    ask(world, method, path, Some(token)).json(body)
}

async fn say(world: &World, session: &str, token: &str, prompt: &str) -> Result<Value> {
    let said = json!({ "prompt": prompt, "sessionId": session, "model": "local/demo" });
    answered(
        send(world, Method::POST, "/agent/message", token, &said),
        200,
    )
    .await
}

async fn webhooks(world: Arc<World>) -> Result<()> {
    let owner = format!("hooks-{}", fresh_session("o"));
    let token = all_scopes(&world, &owner).await?;
    let (hook, one_session) = (
        Hook::answering(&[204]).await?,
        Hook::answering(&[204]).await?,
    );
    let session = begin(&world, "hooked", &token).await?;
    let other = begin(&world, "other", &token).await?;
    let wish = json!({ "url": hook.url });
    let made = answered(
        send(&world, Method::POST, "/api/webhooks", &token, &wish),
        201,
    )
    .await?;
    let secret = made["secret"].as_str().context("no secret")?.to_owned();
    let wish = json!({ "url": one_session.url, "session_id": session });
    answered(
        send(&world, Method::POST, "/api/webhooks", &token, &wish),
        201,
    )
    .await?;

    let said = say(&world, &session, &token, "say hello").await?;
    say(&world, &other, &token, "say hello").await?;
    let heard = hook.hears(2).await?;
    let first = &heard[0];
    let header = |name: &str| -> Result<String> {
        let value = first
            .headers
            .get(name)
            .with_context(|| format!("no {name}"))?;
        Ok(value.to_str()?.to_owned())
    };
    let told: Value = serde_json::from_str(&first.body)?;
    ensure!(told["type"] == "turn.ended", "{told}");
    ensure!(told["data"]["session_id"] == json!(session), "{told}");
    ensure!(told["data"]["turn_id"] == said["turnId"], "{told}");
    ensure!(told["data"]["outcome"] == "completed", "{told}");
    ensure!(
        told["data"]["usage"]["output_tokens"].as_u64() > Some(0),
        "{told}"
    );
    let (id, at) = (header("webhook-id")?, header("webhook-timestamp")?);
    let signed = automation::webhook::signature(&secret, &id, at.parse()?, &first.body);
    ensure!(
        signed == Some(header("webhook-signature")?),
        "another signature"
    );
    let other_turn: Value = serde_json::from_str(&heard[1].body)?;
    ensure!(
        other_turn["data"]["session_id"] == json!(other),
        "{other_turn}"
    );
    ensure!(heard[1].headers.get("webhook-id") != first.headers.get("webhook-id"));
    // The one that hears of one session has heard of that alone.
    ensure!(one_session.hears(1).await?.len() == 1);

    let list = answered(ask(&world, Method::GET, "/api/webhooks", Some(&token)), 200).await?;
    ensure!(
        list["total"] == 2 && !list.to_string().contains(&secret),
        "{list}"
    );
    let path = format!("/api/webhooks/{}", made["id"].as_str().unwrap_or_default());
    let ping = format!("{path}/ping");
    answered(send(&world, Method::POST, &ping, &token, &json!({})), 202).await?;
    let heard = hook.hears(3).await?;
    ensure!(heard[2].body.contains("\"ping\""), "{}", heard[2].body);
    let deliveries = format!("{path}/deliveries");
    let sent = until(&world, &deliveries, &token, |sent| {
        let all = sent["deliveries"].as_array();
        all.is_some_and(|all| all.iter().all(|one| one["outcome"] == "delivered"))
    })
    .await?;
    let sent = sent["deliveries"].as_array().cloned().unwrap_or_default();
    ensure!(sent.len() == 3 && sent[0]["answer"] == "204", "{sent:?}");
    answered(ask(&world, Method::DELETE, &path, Some(&token)), 204).await?;
    say(&world, &session, &token, "say hello").await?;
    ensure!(one_session.hears(2).await?.len() == 2);
    ensure!(
        hook.hears(3).await?.len() == 3,
        "a webhook that was deleted"
    );
    Ok(())
}

async fn tried_again(world: Arc<World>) -> Result<()> {
    let owner = format!("again-{}", fresh_session("o"));
    let token = all_scopes(&world, &owner).await?;
    let (broken, gone) = (
        Hook::answering(&[503, 200]).await?,
        Hook::answering(&[410]).await?,
    );
    let mut paths = Vec::new();
    for hook in [&broken, &gone] {
        let wish = json!({ "url": hook.url });
        let made = answered(
            send(&world, Method::POST, "/api/webhooks", &token, &wish),
            201,
        )
        .await?;
        let id = made["id"].as_str().context("no id")?;
        paths.push(format!("/api/webhooks/{id}/deliveries"));
    }
    let session = begin(&world, "again", &token).await?;
    say(&world, &session, &token, "say hello").await?;
    let heard = broken.hears(2).await?;
    ensure!(heard[0].body == heard[1].body);
    ensure!(
        heard[0].headers.get("webhook-id") == heard[1].headers.get("webhook-id"),
        "the same message has another id"
    );
    until(&world, &paths[0], &token, |sent| {
        let one = &sent["deliveries"][0];
        one["outcome"] == "delivered" && one["attempts"] == 2
    })
    .await?;
    let sent = answered(ask(&world, Method::GET, &paths[1], Some(&token)), 200).await?;
    ensure!(sent["deliveries"][0]["outcome"] == "failed", "{sent}");
    // Where nobody is any more, nothing is sent to.
    let list = answered(ask(&world, Method::GET, "/api/webhooks", Some(&token)), 200).await?;
    ensure!(list["webhooks"][1]["gone"] == true, "{list}");
    say(&world, &session, &token, "say hello").await?;
    broken.hears(3).await?;
    ensure!(gone.hears(1).await?.len() == 1);
    Ok(())
}

/// What waits to be sent once more when its webhook's server says that nobody is there any more is not sent.
async fn gone_meanwhile(world: Arc<World>) -> Result<()> {
    let token = all_scopes(&world, &format!("gone-{}", fresh_session("o"))).await?;
    let hook = Hook::answering(&[503, 410]).await?;
    let wish = json!({ "url": hook.url });
    let made = send(&world, Method::POST, "/api/webhooks", &token, &wish);
    let made = answered(made, 201).await?;
    let path = format!("/api/webhooks/{}", made["id"].as_str().context("no id")?);
    let ping = format!("{path}/ping");
    for heard in 1..=2 {
        answered(send(&world, Method::POST, &ping, &token, &json!({})), 202).await?;
        hook.hears(heard).await?;
    }
    let sent = until(&world, &format!("{path}/deliveries"), &token, |sent| {
        let all = sent["deliveries"].as_array();
        all.is_some_and(|all| all.iter().all(|one| one["outcome"] == "failed"))
    })
    .await?;
    for delivery in sent["deliveries"].as_array().context("no list")? {
        ensure!(delivery["attempts"] == 1, "{sent}");
        ensure!(delivery["next_attempt_at"].is_null(), "{sent}");
    }
    ensure!(hook.hears(2).await?.len() == 2);
    Ok(())
}

/// A server that takes connections, and says nothing. Gives its address, and counts those that are open and
/// those that were closed.
async fn silent_server() -> Result<(String, Arc<AtomicUsize>, Arc<AtomicUsize>)> {
    let counts = || Arc::new(AtomicUsize::new(0));
    let (open, closed) = (counts(), counts());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let counted = (Arc::clone(&open), Arc::clone(&closed));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let (open, closed) = counted.clone();
            open.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut connection, &mut tokio::io::sink()).await;
                open.fetch_sub(1, SeqCst);
                closed.fetch_add(1, SeqCst);
            });
        }
    });
    Ok((url, open, closed))
}

async fn silent(world: Arc<World>) -> Result<()> {
    let token = all_scopes(&world, &format!("silent-{}", fresh_session("o"))).await?;
    let (url, open, closed) = silent_server().await?;
    let good = Hook::answering(&[204]).await?;
    let mut pings = Vec::new();
    for url in [&url, &good.url] {
        let wish = json!({ "url": url });
        let made = send(&world, Method::POST, "/api/webhooks", &token, &wish);
        let made = answered(made, 201).await?;
        let id = made["id"].as_str().context("no id")?;
        pings.push(format!("/api/webhooks/{id}/ping"));
    }
    for ping in std::iter::repeat_n(&pings[0], 8).chain([&pings[1]]) {
        answered(send(&world, Method::POST, ping, &token, &json!({})), 202).await?;
    }
    good.hears(1).await?;
    // Two at a time; where these were given up just now, others take their places.
    let at_once = open.load(SeqCst);
    ensure!(at_once <= 4, "{at_once} are under way at once");
    // What takes too long is given up, and does not stay open.
    let began = Instant::now();
    while closed.load(SeqCst) == 0 {
        ensure!(began.elapsed() < world::PATIENCE, "nothing is given up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ping = send(&world, Method::POST, &pings[1], &token, &json!({}));
    answered(ping, 202).await?;
    good.hears(2).await?;
    Ok(())
}

async fn schedules(world: Arc<World>) -> Result<()> {
    let owner = format!("plans-{}", fresh_session("o"));
    let token = all_scopes(&world, &owner).await?;
    let session = begin(&world, "plans", &token).await?;
    say(&world, &session, &token, "say hello").await?;
    let at = in_seconds(3);
    let wish = json!({ "session_id": session, "prompt": "count to three words", "at": at, "name": "Once" });
    let made = answered(
        send(&world, Method::POST, "/api/schedules", &token, &wish),
        201,
    )
    .await?;
    let id = made["id"].as_str().context("no id")?.to_owned();
    ensure!(
        made["next_at"].is_string() && made["name"] == "Once",
        "{made}"
    );
    let list = until(&world, "/api/schedules", &token, |list| {
        list["schedules"][0]["last_turn"].is_string()
    })
    .await?;
    let done = list["schedules"][0].clone();
    ensure!(
        done["id"] == json!(id) && done["next_at"].is_null(),
        "{done}"
    );
    ensure!(
        done["last_turn"] == "turn-2" && done["last_error"].is_null(),
        "{done}"
    );
    let path = format!("/api/sessions/{session}/events");
    let log = ask(&world, Method::GET, &path, Some(&token))
        .send()
        .await?
        .text()
        .await?;
    ensure!(log.contains("count to three words"), "{log}");
    // It may be changed to come again and again, and rest.
    let path = format!("/api/schedules/{id}");
    let wish = json!({
        "session_id": session, "prompt": "good morning", "cron": "0 9 * * MON-FRI",
        "timezone": "Europe/Berlin",
    });
    let changed = answered(send(&world, Method::PUT, &path, &token, &wish), 200).await?;
    let next = changed["next_at"].as_str().context("no time")?;
    ensure!(
        next.ends_with("T08:00:00.000Z") || next.ends_with("T07:00:00.000Z"),
        "{changed}"
    );
    let mut resting = wish.clone();
    resting["enabled"] = json!(false);
    let changed = answered(send(&world, Method::PUT, &path, &token, &resting), 200).await?;
    ensure!(changed["next_at"].is_null(), "{changed}");
    answered(ask(&world, Method::DELETE, &path, Some(&token)), 204).await?;
    answered(ask(&world, Method::DELETE, &path, Some(&token)), 404).await?;
    let audit = answered(ask(&world, Method::GET, "/api/audit", Some(&token)), 200).await?;
    let by = format!("schedule:{id}");
    ensure!(audit.to_string().contains(&by), "{audit}");
    Ok(())
}

/// A prompt can't be said, and its schedule is switched off before that is known: it is not tried again.
async fn switched_off(world: Arc<World>) -> Result<()> {
    let token = all_scopes(&world, &format!("off-{}", fresh_session("o"))).await?;
    let wish = json!({ "url": "http://127.0.0.1:1/hook" });
    let made = send(&world, Method::POST, "/api/webhooks", &token, &wish);
    let made = answered(made, 201).await?;
    let webhook = made["id"].as_str().context("no id")?;
    let session = begin(&world, "off", &token).await?;
    let fails = "CREATE TRIGGER fails BEFORE INSERT ON turn
                 BEGIN SELECT raise(ABORT, 'told to fail'); END";
    world.sql(&session, fails).await?;
    // The account forgets what was sent long ago while it waits for what it says to be taken.
    let meanwhile = format!(
        "INSERT INTO delivery (id, webhook, body, made_at) VALUES ('old', '{webhook}', '{{}}', 0);
         CREATE TRIGGER meanwhile AFTER DELETE ON delivery
         BEGIN UPDATE schedule SET due_at = NULL, next_at = NULL; END"
    );
    world.account_sql(webhook, &meanwhile).await?;
    let wish = json!({ "session_id": session, "prompt": "hi", "at": in_seconds(2) });
    let made = send(&world, Method::POST, "/api/schedules", &token, &wish);
    answered(made, 201).await?;
    let deliveries = format!("/api/webhooks/{webhook}/deliveries");
    until(&world, &deliveries, &token, |sent| sent["total"] == 0).await?;
    for _ in 0..20 {
        let list = answered(
            ask(&world, Method::GET, "/api/schedules", Some(&token)),
            200,
        )
        .await?;
        let one = &list["schedules"][0];
        ensure!(
            one["next_at"].is_null() && one["last_error"].is_null(),
            "{one}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A time so many seconds from now, as RFC 3339 has it.
fn in_seconds(seconds: u64) -> String {
    let at = time::OffsetDateTime::now_utc() + Duration::from_secs(seconds);
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default()
}

async fn wrong(world: Arc<World>) -> Result<()> {
    let owner = format!("wrong-{}", fresh_session("o"));
    let token = all_scopes(&world, &owner).await?;
    let session = begin(&world, "wrong", &token).await?;
    let prompt = json!({ "session_id": session, "prompt": "hi" });
    let with = |fields: Value| {
        let mut wish = prompt.clone();
        if let (Some(wish), Some(fields)) = (wish.as_object_mut(), fields.as_object()) {
            wish.extend(fields.clone());
        }
        wish
    };
    for (path, wish, status, field) in [
        (
            "/api/webhooks",
            json!({ "url": "ftp://example.com" }),
            400,
            Some("url"),
        ),
        (
            "/api/webhooks",
            json!({ "url": "nonsense" }),
            400,
            Some("url"),
        ),
        ("/api/webhooks", json!({}), 400, None),
        (
            "/api/webhooks",
            json!({ "url": "https://example.com", "evnets": [] }),
            400,
            None,
        ),
        ("/api/schedules", prompt.clone(), 400, Some("cron")),
        (
            "/api/schedules",
            with(json!({ "cron": "* * * * * *" })),
            400,
            Some("cron"),
        ),
        (
            "/api/schedules",
            with(json!({ "cron": "0 9 * * *", "timezone": "Mars/Olympus" })),
            400,
            Some("timezone"),
        ),
        (
            "/api/schedules",
            with(json!({ "at": "2001-01-01T00:00:00Z" })),
            400,
            Some("at"),
        ),
        (
            "/api/schedules",
            with(json!({ "prompt": "", "cron": "0 9 * * *" })),
            400,
            Some("prompt"),
        ),
        (
            "/api/schedules",
            json!({ "session_id": "nobody-began-this", "prompt": "hi", "cron": "0 9 * * *" }),
            404,
            Some("session_id"),
        ),
    ] {
        let told = answered(send(&world, Method::POST, path, &token, &wish), status).await?;
        ensure!(
            told["errors"][0]["field"].as_str() == field,
            "{path} {wish}: {told}"
        );
    }
    for path in [
        "/api/usage?from=yesterday",
        "/api/usage?from=2026-02-01&to=2026-01-01",
    ] {
        let told = answered(ask(&world, Method::GET, path, Some(&token)), 400).await?;
        ensure!(told["errors"][0]["field"] == "from", "{told}");
    }
    Ok(())
}

async fn usage(world: Arc<World>) -> Result<()> {
    let owner = format!("usage-{}", fresh_session("o"));
    let token = all_scopes(&world, &owner).await?;
    let (one, other) = (
        begin(&world, "one", &token).await?,
        begin(&world, "two", &token).await?,
    );
    let mut output = 0;
    for session in [&one, &one, &other] {
        let said = say(&world, session, &token, "say hello").await?;
        output += said["usage"]["output_tokens"]
            .as_u64()
            .context("no usage")?;
    }
    let all = until(&world, "/api/usage", &token, |all| {
        all["total"]["turns"] == 3
    })
    .await?;
    ensure!(
        all["total"]["output_tokens"] == json!(output),
        "{output}: {all}"
    );
    ensure!(all["total"]["seconds"].as_f64() > Some(0.0), "{all}");
    let days = all["days"].as_array().context("no days")?;
    let turns: u64 = days.iter().filter_map(|day| day["turns"].as_u64()).sum();
    ensure!(turns == 3 && days.len() <= 2, "{all}");
    ensure!(all["sessions"].as_array().map(Vec::len) == Some(2), "{all}");
    let of_one = answered(
        ask(
            &world,
            Method::GET,
            &format!("/api/usage?session_id={one}"),
            Some(&token),
        ),
        200,
    )
    .await?;
    ensure!(of_one["total"]["turns"] == 2, "{of_one}");
    // What was used is known also when its session is gone, and a fork has used nothing yet.
    let path = format!("/api/sessions/{one}/fork");
    answered(send(&world, Method::POST, &path, &token, &json!({})), 201).await?;
    let path = format!("/api/sessions/{one}");
    answered(ask(&world, Method::DELETE, &path, Some(&token)), 204).await?;
    let all = answered(ask(&world, Method::GET, "/api/usage", Some(&token)), 200).await?;
    ensure!(all["total"]["turns"] == 3, "{all}");
    Ok(())
}

/// Where the account can't store what a webhook is to hear, the turn is not counted either: it is told again.
async fn counted_and_told(world: Arc<World>) -> Result<()> {
    let token = all_scopes(&world, &format!("both-{}", fresh_session("o"))).await?;
    let hook = Hook::answering(&[204]).await?;
    let wish = json!({ "url": hook.url });
    let made = send(&world, Method::POST, "/api/webhooks", &token, &wish);
    let made = answered(made, 201).await?;
    let webhook = made["id"].as_str().context("no id")?;
    let session = begin(&world, "both", &token).await?;
    let fails = "CREATE TRIGGER fails BEFORE INSERT ON delivery
                 BEGIN SELECT raise(ABORT, 'told to fail'); END";
    world.account_sql(webhook, fails).await?;
    say(&world, &session, &token, "say hello").await?;
    // The turn has ended, and the account hears of it, for all that is stored of that.
    for _ in 0..30 {
        let all = answered(ask(&world, Method::GET, "/api/usage", Some(&token)), 200).await?;
        ensure!(all["total"]["turns"] == 0, "{all}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.account_sql(webhook, "DROP TRIGGER fails").await?;
    say(&world, &session, &token, "say hello").await?;
    let heard = hook.hears(2).await?;
    for turn in ["turn-1", "turn-2"] {
        let of_turn = heard.iter().filter(|one| one.body.contains(turn));
        ensure!(of_turn.count() == 1, "{turn}: {heard:?}");
    }
    let all = until(&world, "/api/usage", &token, |all| {
        all["total"]["turns"] == 2
    });
    all.await.map(drop)
}

async fn others(world: Arc<World>) -> Result<()> {
    let own = all_scopes(&world, &format!("own-{}", fresh_session("o"))).await?;
    let other_owner = format!("other-{}", fresh_session("o"));
    let other = all_scopes(&world, &other_owner).await?;
    let session = begin(&world, "mine", &own).await?;
    let wish = json!({ "session_id": session, "prompt": "hi", "cron": "0 9 * * *" });
    answered(
        send(&world, Method::POST, "/api/schedules", &other, &wish),
        403,
    )
    .await?;
    let made = answered(
        send(&world, Method::POST, "/api/schedules", &own, &wish),
        201,
    )
    .await?;
    let id = made["id"].as_str().context("no id")?;
    let path = format!("/api/schedules/{id}");
    answered(send(&world, Method::PUT, &path, &other, &json!({
        "session_id": begin(&world, "theirs", &other).await?, "prompt": "hi", "cron": "0 9 * * *",
    })), 404).await?;
    answered(ask(&world, Method::DELETE, &path, Some(&other)), 404).await?;
    for path in ["/api/schedules", "/api/webhooks", "/api/usage"] {
        let told = answered(ask(&world, Method::GET, path, Some(&other)), 200).await?;
        ensure!(!told.to_string().contains(&session), "{path}: {told}");
    }
    let reader = key(&world, &other_owner, json!({ "scopes": ["read"] }))
        .await?
        .1;
    answered(
        ask(&world, Method::GET, "/api/webhooks", Some(&reader)),
        403,
    )
    .await?;
    answered(
        send(&world, Method::POST, "/api/schedules", &reader, &wish),
        403,
    )
    .await?;
    Ok(())
}
