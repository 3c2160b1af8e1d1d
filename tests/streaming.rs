//! How a model's words come through the router's Worker: each when it is there, none lost, with signs of
//! life between them, and to nobody who has left.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::provider::MANY;
use world::{PATIENCE, Running, World, test};

const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
const END: &str = "data: {\"type\":\"message_stop\"}\n\n";

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "streaming::no_token_waits_for_the_next", at_once),
        test(world, "streaming::who_leaves_stops_the_provider", left),
        test(world, "streaming::silence_has_signs_of_life", silence),
        test(world, "streaming::a_late_answer_has_signs_of_life", late),
        test(world, "streaming::many_tokens_at_once_all_arrive", many),
    ]
}

async fn at_once(world: Arc<World>) -> Result<()> {
    // The provider never sends a second one.
    let text = first_of(&mut ask(&world, "endless").await?).await?;
    ensure!(text.starts_with("event: message_start\n"), "{text}");
    Ok(())
}

async fn left(world: Arc<World>) -> Result<()> {
    let before = world.provider.endless();
    let mut answer = ask(&world, "endless").await?;
    first_of(&mut answer).await?;
    let during = world.provider.endless();
    ensure!(during > 0, "{before} before, {during} while somebody reads");
    drop(answer);
    // Another test's answer may be among them, and is dropped as well.
    for _ in 0..600 {
        if world.provider.endless() == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the provider still answers somebody who has left")
}

async fn silence(world: Arc<World>) -> Result<()> {
    let text = ask(&world, "halting").await?.text().await?;
    let at = |part: &str| {
        text.find(part)
            .with_context(|| format!("no {part}: {text}"))
    };
    let (before, ping, after) = (at("before")?, at(PING)?, at(" after")?);
    ensure!(before < ping && ping < after, "{text}");
    ensure!(text.ends_with(END), "{text}");
    Ok(())
}

async fn late(world: Arc<World>) -> Result<()> {
    let text = ask(&world, "late").await?.text().await?;
    ensure!(text.starts_with(PING), "{text}");
    ensure!(text.contains("\"late\"") && text.ends_with(END), "{text}");
    Ok(())
}

async fn many(world: Arc<World>) -> Result<()> {
    let text = ask(&world, "fast").await?.text().await?;
    let mut said = String::new();
    for line in text.lines() {
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        let event: Value = serde_json::from_str(data).with_context(|| data.to_owned())?;
        said += event["delta"]["text"].as_str().unwrap_or_default();
    }
    let wanted: String = (0..MANY).map(|number| format!("{number} ")).collect();
    ensure!(said == wanted, "{said}");
    ensure!(text.ends_with(END), "{text}");
    Ok(())
}

async fn ask(world: &World, way: &str) -> Result<reqwest::Response> {
    let body = json!({
        "model": format!("scripted/{way}"),
        "max_tokens": 100,
        "stream": true,
        "messages": [{"role": "user", "content": "hi"}],
    });
    let url = format!("{}/v1/messages", world.stack.router_url);
    let request = world.http.post(url).bearer_auth(&world.stack.master_key);
    let answer = request.json(&body).send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    Ok(answer)
}

/// What comes until the provider's first token is there.
async fn first_of(answer: &mut reqwest::Response) -> Result<String> {
    let mut text = String::new();
    while !text.contains("\"one\"") {
        let chunk = tokio::time::timeout(PATIENCE, answer.chunk()).await;
        let chunk = chunk.with_context(|| format!("no token: {text}"))??;
        let chunk = chunk.with_context(|| format!("an end: {text}"))?;
        text += &String::from_utf8_lossy(&chunk);
    }
    Ok(text)
}
