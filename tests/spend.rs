//! What a session's model calls use is known at the router, whichever process of it has served them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "spend::is_booked_for_the_session", booked),
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
