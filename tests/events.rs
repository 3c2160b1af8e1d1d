//! The log over HTTP: onwards as NDJSON and SSE, followed or not, and page by page backwards.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use world::{Reader, Running, World, fresh_session, lines, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "events::the_log_in_each_form", forms),
        test(world, "events::pages_backwards_cover_all_once", backwards),
        test(world, "events::following_a_session_that_begins", following),
        test(world, "events::what_is_wrong_is_told", wrong),
    ]
}

/// A session with two turns, and its whole log as a socket has it.
async fn two_turns(world: &World) -> Result<(String, Vec<Value>)> {
    let session = fresh_session("events");
    let mut tab = world.tab(&session, Some(0)).await?;
    for words in ["stream 40 words every 1 ms", "run `echo two`"] {
        tab.say(words).await?;
        tab.completed().await?;
    }
    Ok((session, tab.events))
}

async fn forms(world: Arc<World>) -> Result<()> {
    let (session, log) = two_turns(&world).await?;
    let path = format!("/api/sessions/{session}/events");
    for (query, first) in [
        ("", 0),
        ("?from=0", 0),
        ("?from=5", 5),
        ("?from=5&follow=false", 5),
        ("?tail=3", log.len() - 3),
        ("?tail=100000", 0),
        ("?tail=0", log.len()),
    ] {
        let answer = world
            .http
            .get(world.url(&format!("{path}{query}")))
            .send()
            .await?;
        ensure!(answer.status() == 200, "{query}: {}", answer.status());
        ensure!(answer.headers()["content-type"] == "application/x-ndjson");
        ensure!(answer.headers()["x-last-seq"] == log.len().to_string().as_str());
        ensure!(!answer.headers().contains_key("x-next-before"));
        let events = lines(&answer.text().await?)?;
        ensure!(events == log[first..], "{query}: {} events", events.len());
    }
    let answer = world
        .http
        .get(world.url(&format!("{path}?from=1")))
        .header("accept", "text/event-stream")
        .header("last-event-id", (log.len() - 2).to_string())
        .send()
        .await?;
    ensure!(answer.headers()["content-type"] == "text/event-stream");
    let body = answer.text().await?;
    let wanted: String = log[log.len() - 2..]
        .iter()
        .map(|event| format!("id: {}\ndata: {event}\n\n", event["seq"]))
        .collect();
    ensure!(fields_of(&body) == fields_of(&wanted), "{body}");
    Ok(())
}

/// The ids and events of a body of SSE.
fn fields_of(body: &str) -> Vec<(String, Value)> {
    body.split_terminator("\n\n")
        .map(|event| {
            let (id, data) = event.split_once('\n').unwrap_or_default();
            let data = data.strip_prefix("data: ").unwrap_or_default();
            (
                id.to_owned(),
                serde_json::from_str(data).unwrap_or_default(),
            )
        })
        .collect()
}

async fn backwards(world: Arc<World>) -> Result<()> {
    let (session, log) = two_turns(&world).await?;
    for limit in [1, 7, 1000] {
        let mut seen: Vec<Value> = Vec::new();
        let mut before = log.len() as u64 + 1;
        loop {
            let path = format!("/api/sessions/{session}/events?before={before}&limit={limit}");
            let answer = world.http.get(world.url(&path)).send().await?;
            ensure!(answer.status() == 200, "{path}");
            let next = answer.headers().get("x-next-before").cloned();
            let page = lines(&answer.text().await?)?;
            ensure!(
                page.len() <= limit && !page.is_empty(),
                "{path}: {}",
                page.len()
            );
            ensure!(
                page.len() == limit || next.is_none(),
                "a page is full, or the last: {path}"
            );
            seen.splice(0..0, page);
            let Some(next) = next else { break };
            before = next.to_str()?.parse()?;
        }
        ensure!(seen == log, "{limit}: {} of {}", seen.len(), log.len());
    }
    let path = format!("/api/sessions/{session}/events?before=1");
    let answer = world.http.get(world.url(&path)).send().await?;
    ensure!(
        answer.text().await?.is_empty(),
        "there is nothing before the first"
    );
    Ok(())
}

/// Who follows a session before anything was said in it hears it from the first event on.
async fn following(world: Arc<World>) -> Result<()> {
    let session = fresh_session("events");
    // A session begins where somebody opens it; reading one that is not there finds none.
    let mut tab = world.tab(&session, None).await?;
    let mut readers = Vec::new();
    for sse in [true, false] {
        readers.push(Reader::open(&world, &session, 0, sse).await?);
    }
    tab.say("run `echo hello`").await?;
    tab.completed().await?;
    for mut reader in readers {
        let mut seen = Vec::new();
        while seen.len() < tab.events.len() {
            seen.push(reader.next().await?.context("the stream ended")?);
        }
        ensure!(seen == tab.events, "{seen:?}");
    }
    Ok(())
}

async fn wrong(world: Arc<World>) -> Result<()> {
    let session = fresh_session("events");
    world.tab(&session, None).await?;
    for (query, status, field) in [
        ("from=x", 400, "from"),
        ("follow=maybe", 400, "follow"),
        ("before=3&limit=0", 400, "limit"),
        ("limit=3", 400, "limit"),
        ("from=7", 409, "from"),
        ("from=18446744073709551615", 409, "from"),
    ] {
        let path = format!("/api/sessions/{session}/events?{query}");
        let answer = world.http.get(world.url(&path)).send().await?;
        ensure!(answer.status() == status, "{query}: {}", answer.status());
        ensure!(answer.headers()["content-type"] == "application/problem+json");
        let problem: Value = answer.json().await?;
        ensure!(problem["errors"][0]["field"] == field, "{problem}");
    }
    let whole = format!("/api/sessions/{session}/events");
    for (path, status) in [
        (format!("{whole}?before=18446744073709551615"), 200),
        (format!("{whole}?tail=18446744073709551615"), 200),
        ("/api/sessions/a%20b/events".to_owned(), 400),
        ("/api/sessions/x/else".to_owned(), 404),
    ] {
        let answer = world.http.get(world.url(&path)).send().await?;
        ensure!(answer.status() == status, "{path}: {}", answer.status());
    }
    let answer = world
        .http
        .get(world.url(&whole))
        .header("origin", "http://elsewhere.example")
        .send()
        .await?;
    ensure!(
        answer.status() == 403,
        "another origin's page: {}",
        answer.status()
    );
    let answer = world.http.post(world.url(&whole)).send().await?;
    ensure!(answer.status() == 405 && answer.headers()["allow"] == "GET");
    Ok(())
}
