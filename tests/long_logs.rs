//! Histories that are long: they open at their end, are read in pages however they are read, and who
//! does not read costs others nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Reader, Running, Tab, World, fresh_session, lines, lone_test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        lone_test(world, "long_logs::open_at_the_end", at_the_end),
        lone_test(world, "long_logs::who_does_not_read", unread),
    ]
}

const EVENTS: u64 = 100_000;
const MIB: u64 = 1024 * 1024;

/// A world with a session whose log was written before its object started.
async fn with_log(rows: u64, a_row: u64, bytes: u64) -> Result<(World, String)> {
    let mut world = World::start(Provider::Local).await?;
    let session = fresh_session("long");
    // Who asks for a ticket begins the session, and starts no sandbox.
    let path = format!("/api/sessions/{session}/tickets");
    let begun = world.http.post(world.url(&path)).send().await?;
    begun.error_for_status()?;
    world.stack.kill("worker").await;
    world.plant(&session, rows, a_row, bytes).await?;
    world.stack.start_workers().await?;
    Ok((world, session))
}

async fn at_the_end() -> Result<()> {
    let (world, session) = with_log(EVENTS / 500, 500, 100).await?;
    opens_with_its_tail(&world, &session).await?;
    backwards_in_pages(&world, &session).await?;
    onwards_in_pages(&world, &session).await?;
    world.stack.stop().await;
    Ok(())
}

/// A socket that asks for the tail gets the state and the tail, and no frame more.
async fn opens_with_its_tail(world: &World, session: &str) -> Result<()> {
    for (asked, first) in [(500, EVENTS - 499), (0, EVENTS + 1)] {
        let mut tab = world.tab_with(session, &format!("?tail={asked}")).await?;
        let snapshot = tab.next().await?;
        ensure!(snapshot["seq"] == EVENTS, "{snapshot}");
        // What comes before its answer was sent before.
        tab.send(json!({ "type": "ping" })).await?;
        while tab.next().await? != json!({ "type": "pong" }) {}
        ensure!(tab.told.len() == 2, "{:?}", tab.told);
        in_order(&tab.events, first, EVENTS)?;
    }
    // As many as a page holds, where more is asked for than that.
    let mut tab = world.tab_with(session, &format!("?tail={EVENTS}")).await?;
    tab.until(|event| event["seq"] == EVENTS).await?;
    let first = EVENTS + 1 - tab.events.len() as u64;
    ensure!(
        (500..5_000).contains(&tab.events.len()),
        "{}",
        tab.events.len()
    );
    in_order(&tab.events, first, EVENTS)
}

async fn backwards_in_pages(world: &World, session: &str) -> Result<()> {
    let mut before = EVENTS + 1;
    loop {
        let path = format!("/api/sessions/{session}/events?before={before}&limit=1000");
        let answer = world.http.get(world.url(&path)).send().await?;
        let next = answer.headers().get("x-next-before").cloned();
        let page = answer.text().await?;
        ensure!(page.len() as u64 <= MIB, "a page of {} bytes", page.len());
        let page = lines(&page)?;
        let first = page.first().and_then(|event| event["seq"].as_u64());
        let first = first.context("an empty page")?;
        in_order(&page, first, before - 1)?;
        let Some(next) = next else {
            ensure!(first == 1, "the last page begins with {first}");
            return Ok(());
        };
        before = next.to_str()?.parse()?;
        ensure!(before == first);
    }
}

/// Who asks on gets all of it once, as a socket or over HTTP; who does not gets a page, and no more.
async fn onwards_in_pages(world: &World, session: &str) -> Result<()> {
    let mut tab = world.tab(session, Some(0)).await?;
    tab.until(|event| event["seq"] == EVENTS).await?;
    in_order(&tab.events, 1, EVENTS)?;

    let mut http = Reader::open(world, session, 0, true).await?;
    for seq in 1..=EVENTS {
        let event = http.next().await?.context("the stream ended")?;
        ensure!(event["seq"] == seq, "{seq}: {event}");
    }

    let mut other = world.tab(session, Some(0)).await?;
    other.asks_on = false;
    let more = other.until_told(|frame| frame["more"] == true).await?;
    ensure!(more["type"] == "status" && more["seq"].is_null(), "{more}");
    let next = more["next"].as_u64().context("next")?;
    in_order(&other.events, 1, next)?;

    // Long enough for the object to be put to sleep: what it knows of its sockets is not lost by that.
    drop(http);
    tokio::time::sleep(Duration::from_secs(13)).await;
    let mut http = Reader::open(world, session, EVENTS, true).await?;

    // Something happens: it is shown to those who have all before it.
    tab.send(json!({ "type": "set_model", "model": "local/demo" }))
        .await?;
    tab.until(|event| event["seq"] == EVENTS + 1).await?;
    ensure!(
        http.next()
            .await?
            .is_some_and(|event| event["seq"] == EVENTS + 1)
    );
    other.send(json!({ "type": "ping" })).await?;
    while other.next().await? != json!({ "type": "pong" }) {}
    in_order(&other.events, 1, next)?;

    other.asks_on = true;
    other
        .send(json!({ "type": "resume", "from": next }))
        .await?;
    other.until(|event| event["seq"] == EVENTS + 1).await?;
    in_order(&other.events, 1, EVENTS + 1)
}

fn in_order(events: &[Value], first: u64, last: u64) -> Result<()> {
    ensure!(
        events.len() as u64 == last + 1 - first,
        "{} events instead of {first} to {last}",
        events.len()
    );
    for (event, seq) in events.iter().zip(first..) {
        ensure!(event["seq"] == seq, "{seq}: {event}");
    }
    Ok(())
}

/// 60 MB of log, and clients that open it and read nothing.
async fn unread() -> Result<()> {
    let (world, session) = with_log(60, 8, 125_000).await?;
    let mut reads = world.tab_with(&session, "?tail=1").await?;
    reads.until(|_| true).await?;
    let before = world.worker_memory();
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(world.narrow_tab(&session, Some(0)).await?);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    check_memory(&world, before, 120, "8 sockets that opened 60 MB")?;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(Reader::open(&world, &session, 0, true).await?);
        streams.push(Reader::open(&world, &session, 0, false).await?);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    // More than they hold: what they have read passes through the heap until it is swept.
    check_memory(&world, before, 300, "16 streams that opened 60 MB")?;

    // One of them asks on and on, and reads nothing all the while.
    let mut greedy = sockets.swap_remove(0);
    for seq in 0..200 {
        if greedy
            .send(json!({ "type": "resume", "from": seq }))
            .await
            .is_err()
        {
            break;
        }
    }
    // Long enough for a busy machine to send what does not fit into the buffers on the way.
    tokio::time::sleep(Duration::from_secs(15)).await;
    closed_for_now(&mut greedy)
        .await
        .context("who asks on and on")?;

    // What comes is shown to those who have all before it: some read it, some don't.
    reads.say("run `sleep 120`").await?;
    says(&mut reads, "warm", 10).await?;
    let before = world.worker_memory();
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(world.narrow_tab(&session, None).await?);
    }
    // The kernel's buffers on the way hold up to half of it.
    says(&mut reads, "long", 60).await?;
    check_memory(&world, before, 120, "60 MB to each of 8 that are silent")?;
    for mut tab in silent {
        closed_for_now(&mut tab)
            .await
            .with_context(|| format!("who is silent: {} events", tab.events.len()))?;
        let first = tab.events.first().and_then(|event| event["seq"].as_u64());
        let first = first.context("nothing was sent before")?;
        in_order(&tab.events, first, first + tab.events.len() as u64 - 1)?;
        // It comes back for what it has missed.
        let last = first + tab.events.len() as u64 - 1;
        let mut again = world.tab(&session, Some(last)).await?;
        again.until(|event| event["id"] == "long-59").await?;
        in_order(&again.events, last + 1, last + again.events.len() as u64)?;
    }
    drop((sockets, streams));
    world.stack.stop().await;
    Ok(())
}

/// Says something of a megabyte so many times, and hears itself each time.
async fn says(tab: &mut Tab, name: &str, times: usize) -> Result<()> {
    for place in 0..times {
        let id = format!("{name}-{place}");
        let content = format!("{place} {}", "y".repeat(1_000_000));
        tab.send(
            json!({ "type": "user_message", "content": content, "id": id, "model": "local/demo" }),
        )
        .await?;
        tab.until(|event| event["id"] == id.as_str()).await?;
    }
    Ok(())
}

/// The memory of the Worker's processes stays far below what nobody reads.
fn check_memory(world: &World, before: Option<u64>, most: u64, what: &str) -> Result<()> {
    if let (Some(before), Some(now)) = (before, world.worker_memory()) {
        let grown = now.saturating_sub(before) / MIB;
        ensure!(grown < most, "{what}: {grown} MiB more");
    }
    Ok(())
}

async fn closed_for_now(tab: &mut Tab) -> Result<()> {
    let (code, reason) = tab.closed().await?;
    ensure!(code == 1013 && reason.contains("from="), "{code} {reason}");
    Ok(())
}
