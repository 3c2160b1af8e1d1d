//! What a session's model calls use is known at the router, whichever process of it has served them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "spend::is_booked_for_the_session", booked),
        test(world, "spend::is_told_with_the_end_of_each_turn", told),
        test(world, "spend::is_told_while_a_turn_goes_on", meanwhile),
        test(world, "spend::is_for_holders_of_the_master_key", closed),
        test(world, "spend::openais_door_is_open_in_the_worker", chat),
    ]
}

async fn booked(world: Arc<World>) -> Result<()> {
    let session = fresh_session("spend");
    let mut tab = world.tab(&session, Some(0)).await?;
    for _ in 0..2 {
        tab.send(json!({"type": "user_message", "content": "hi", "model": "scripted/text"}))
            .await?;
        tab.completed().await?;
    }
    // It is booked when the answer has gone out, which may be a moment after the turn has ended.
    let mut total = Value::Null;
    for _ in 0..100 {
        let answer = router(&world, &format!("/spend/sessions/{session}"))
            .bearer_auth(&world.stack.master_key)
            .send()
            .await?;
        ensure!(answer.status() == 200, "{}", answer.text().await?);
        total = answer.json::<Value>().await?["total"].take();
        // The scripted model tells of 3 tokens in and 2 out, each time; Claude Code may ask more often.
        if total["output_tokens"].as_u64() >= Some(4) {
            ensure!(total["input_tokens"].as_u64() >= Some(6), "{total}");
            ensure!(total["unpriced_requests"] == total["requests"], "{total}");
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("two answers are not booked: {total}")
}

/// Each call is told of when it is booked, before the turn's end tells of all.
async fn meanwhile(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("meanwhile"), Some(0)).await?;
    let content = "run `echo one` and run `sleep 3` and run `echo three`";
    tab.send(json!({"type": "user_message", "content": content, "model": "priced/demo"}))
        .await?;
    let told = tab.until(|event| event["type"] == "usage").await?;
    ensure!(told["usage"]["num_turns"].as_u64() >= Some(1), "{told}");
    let cost = told["usage"]["cost_usd"].as_f64().unwrap_or_default();
    ensure!(cost > 0.0, "{told}");
    let all = tab.completed().await?;
    ensure!(all["usage"]["cost_usd"].as_f64() > Some(cost), "{all}");
    Ok(())
}

/// A turn tells what its calls have used by the router's prices, and no cost where it has none.
async fn told(world: Arc<World>) -> Result<()> {
    let mut tab = world.tab(&fresh_session("cost"), Some(0)).await?;
    let mut turn = async |model: &str| -> Result<Value> {
        tab.send(json!({"type": "user_message", "content": "run `echo money`", "model": model}))
            .await?;
        Ok(tab.completed().await?["usage"].take())
    };
    for _ in 0..2 {
        let usage = turn("priced/demo").await?;
        let tokens = |name: &str| usage[name].as_f64().unwrap_or_default();
        let cost = 0.001 * tokens("input_tokens") + 0.01 * tokens("output_tokens");
        let told = usage["cost_usd"].as_f64().unwrap_or_default();
        ensure!(cost > 0.0 && (told - cost).abs() < 1e-6, "{cost} {usage}");
        // Two calls of the model, at least: the tool, and what is said after it.
        ensure!(usage["num_turns"].as_u64() >= Some(2), "{usage}");
    }
    let usage = turn("local/demo").await?;
    ensure!(usage["output_tokens"].as_u64() > Some(0), "{usage}");
    ensure!(usage.get("cost_usd").is_none(), "{usage}");
    Ok(())
}

async fn closed(world: Arc<World>) -> Result<()> {
    for path in ["/spend/sessions/any", "/metrics"] {
        for key in ["", "another"] {
            let answer = router(&world, path).bearer_auth(key).send().await?;
            ensure!(answer.status() == 401, "{path} {key}: {}", answer.status());
        }
    }
    let answer = router(&world, "/metrics")
        .bearer_auth(&world.stack.master_key)
        .send()
        .await?;
    let numbers = answer.text().await?;
    ensure!(numbers.contains("litellm_deployment_state"), "{numbers}");
    Ok(())
}

async fn chat(world: Arc<World>) -> Result<()> {
    let ask = |model: &str| {
        let body = json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
        let url = format!("{}/v1/chat/completions", world.stack.router_url);
        let request = world.http.post(url).bearer_auth(&world.stack.master_key);
        request.json(&body).send()
    };
    // One that passes through, and one that the router plays.
    for model in ["scripted/text", "local/demo"] {
        let text = ask(model).await?.text().await?;
        ensure!(text.contains("chat.completion.chunk"), "{model}: {text}");
        ensure!(text.ends_with("data: [DONE]\n\n"), "{model}: {text}");
    }
    let refused = ask("scripted/500").await?;
    let status = refused.status();
    let body: Value = refused.json().await?;
    ensure!(
        status == 500 && body["error"]["message"].is_string(),
        "{status} {body}"
    );
    Ok(())
}

fn router(world: &World, path: &str) -> reqwest::RequestBuilder {
    world.http.get(format!("{}{path}", world.stack.router_url))
}
