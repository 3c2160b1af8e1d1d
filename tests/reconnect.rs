//! A client that comes back gets exactly what it missed; a turn goes on without any client.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Reader, Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "reconnect::exactly_what_was_missed", missed),
        test(world, "reconnect::without_from_only_what_is_new", only_new),
        test(world, "reconnect::resume_on_an_open_socket", resume),
        test(
            world,
            "reconnect::however_a_client_comes_and_goes",
            random_walk,
        ),
        lone_test(
            world,
            "reconnect::a_turn_goes_on_while_workerd_is_killed",
            workerd_killed,
        ),
    ]
}

async fn missed(world: Arc<World>) -> Result<()> {
    let session = fresh_session("reconnect");
    let mut whole = world.tab(&session, Some(0)).await?;
    let mut cut = world.tab(&session, Some(0)).await?;
    whole.say("stream 80 words every 20 ms").await?;
    let mut seen = Vec::new();
    // Leaves in the middle of the text again and again, and comes back each time.
    for _ in 0..5 {
        for _ in 0..6 {
            cut.until(|_| true).await?;
        }
        seen.append(&mut cut.events);
        drop(cut);
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        cut = world
            .tab(
                &session,
                seen.last().and_then(|event| event["seq"].as_u64()),
            )
            .await?;
    }
    cut.completed().await?;
    seen.append(&mut cut.events);
    whole.completed().await?;
    ensure!(
        seen == whole.events,
        "{} events instead of {}",
        seen.len(),
        whole.events.len()
    );
    Ok(())
}

/// Clients of each way come and go at random while a turn streams; each has the whole log in the end,
/// every event once.
async fn random_walk(world: Arc<World>) -> Result<()> {
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .subsec_nanos();
    let session = fresh_session("walk");
    let mut whole = world.tab(&session, Some(0)).await?;
    whole.say("stream 150 words every 15 ms").await?;
    let walks = [Way::Socket, Way::Sse, Way::Ndjson].into_iter().map(|way| {
        let (world, session) = (Arc::clone(&world), session.clone());
        let random = Random(u64::from(seed) ^ (way as u64 + 1) << 40);
        async move { (way, walk(&world, &session, way, random).await) }
    });
    let walked = futures_util::future::join_all(walks).await;
    whole.completed().await?;
    for (way, seen) in walked {
        let seen = seen.with_context(|| format!("{way:?}, seed {seed}"))?;
        ensure!(
            seen == whole.events,
            "{way:?}, seed {seed}: {:?} instead of 1 to {}",
            seen.iter()
                .map(|event| event["seq"].to_string())
                .collect::<Vec<_>>()
                .join(" "),
            whole.events.len()
        );
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Socket,
    Sse,
    Ndjson,
}

async fn walk(world: &World, session: &str, way: Way, mut random: Random) -> Result<Vec<Value>> {
    let mut seen: Vec<Value> = Vec::new();
    let last = |seen: &[Value]| seen.last().and_then(|event| event["seq"].as_u64());
    let ended = |seen: &[Value]| seen.last().is_some_and(|event| event["state"] == "ended");
    while !ended(&seen) {
        let from = last(&seen).unwrap_or(0);
        let stays = random.below(30);
        match way {
            Way::Socket => {
                let mut tab = world.tab(session, Some(from)).await?;
                while tab.events.len() < stays && !ended(&tab.events) {
                    tab.until(|_| true).await?;
                }
                seen.append(&mut tab.events);
            }
            Way::Sse | Way::Ndjson => {
                let sse = matches!(way, Way::Sse);
                let mut reader = Reader::open(world, session, from, sse).await?;
                for _ in 0..stays {
                    seen.push(reader.next().await?.context("the stream ended")?);
                    if ended(&seen) {
                        break;
                    }
                }
            }
        }
        let away = random.below(80) as u64;
        tokio::time::sleep(std::time::Duration::from_millis(away)).await;
    }
    Ok(seen)
}

/// Numbers that a seed repeats (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

async fn workerd_killed() -> Result<()> {
    let mut world = World::start(Provider::Local).await?;
    let session = fresh_session("killed");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `sh -c 'sleep 20; echo and went on'`").await?;
    tab.until(|event| event["tool"] == "Bash").await?;
    let before = tab.events;

    world.crash_and_restart_workers().await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    let snapshot = tab.next().await?;
    ensure!(
        snapshot["state"] == "running",
        "the turn is under way: {snapshot}"
    );
    tab.completed().await?;
    ensure!(
        tab.events[..before.len()] == before,
        "the log is the same: {}",
        tab.seen()
    );
    ensure!(
        tab.contents("tool_result") == ["and went on"],
        "{}",
        tab.seen()
    );
    ensure!(tab.contents("user_message").len() == 1, "{}", tab.seen());
    world.stack.stop().await;
    Ok(())
}

async fn only_new(world: Arc<World>) -> Result<()> {
    let session = fresh_session("reconnect");
    let mut first = world.tab(&session, None).await?;
    first.say("run `echo one`").await?;
    first.completed().await?;
    let mut second = world.tab(&session, None).await?;
    let snapshot = second.next().await?;
    ensure!(
        snapshot["snapshot"] == true && snapshot["state"] == "idle",
        "{snapshot}"
    );
    ensure!(
        snapshot["seq"].as_u64() == Some(first.events.len() as u64),
        "{snapshot}"
    );
    ensure!(
        snapshot["session"]["claudeSession"]["preferredModel"] == "local/demo",
        "{snapshot}"
    );
    second.say("run `echo two`").await?;
    second.completed().await?;
    ensure!(
        second
            .events
            .first()
            .is_some_and(|event| event["turn_id"] == "turn-2"),
        "{}",
        second.seen()
    );
    Ok(())
}

async fn resume(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("reconnect"), None).await?;
    tab.say("run `echo one`").await?;
    tab.completed().await?;
    let live = std::mem::take(&mut tab.events);
    tab.send(json!({ "type": "resume", "from": 2 })).await?;
    let mut again = Vec::new();
    while again.len() < live.len() - 2 {
        again.push(tab.next().await?);
    }
    ensure!(again == live[2..], "{again:?}");
    Ok(())
}
