//! What is wrong with a call is told by the router in workerd as by the program: the shell around it
//! is another one.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, World, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "router::tells_what_is_wrong_with_a_body", wrong),
        test(world, "router::takes_no_body_without_measure", large),
    ]
}

fn post(world: &World, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    let request = world.http.post(format!("{}{path}", world.stack.router_url));
    request.bearer_auth(&world.stack.master_key).body(body)
}

async fn wrong(world: Arc<World>) -> Result<()> {
    let said = json!([{"role": "user", "content": "hi"}]);
    let json = |body: Value| body.to_string().into_bytes();
    let wrong = [
        (b"hello".to_vec(), 400, "the body is not a"),
        (b"".to_vec(), 400, "the body is not a"),
        (b"\xff\xfe".to_vec(), 400, "the body is not a"),
        (
            json(json!({"model": "local/demo", "messages": []})),
            400,
            "at least one message",
        ),
        (
            json(json!({"model": "local/dmo", "messages": said})),
            404,
            "local/demo",
        ),
    ];
    for path in ["/v1/messages", "/v1/chat/completions"] {
        for (body, status, words) in wrong.clone() {
            let answer = post(&world, path, body).send().await?;
            let told = answer.status().as_u16();
            let id = answer
                .headers()
                .get("request-id")
                .cloned()
                .context("no id")?;
            let body: Value = answer.json().await?;
            let message = body["error"]["message"].as_str().unwrap_or_default();
            ensure!(
                told == status && message.contains(words),
                "{path}: {told} {body}"
            );
            if path == "/v1/messages" {
                ensure!(
                    body["request_id"].as_str() == Some(id.to_str()?),
                    "{id:?} {body}"
                );
            }
        }
    }
    Ok(())
}

async fn large(world: Arc<World>) -> Result<()> {
    let large = vec![b' '; 50 * 1024 * 1024];
    // A client that goes on sending may see the connection close instead of the answer.
    if let Ok(answer) = post(&world, "/v1/messages", large).send().await {
        let status = answer.status().as_u16();
        let body: Value = answer.json().await?;
        ensure!(
            status == 413 && body["error"]["type"] == "request_too_large",
            "{status} {body}"
        );
    }
    let health = world.http.get(format!("{}/health", world.stack.router_url));
    ensure!(health.send().await?.status() == 200, "it lives on");
    Ok(())
}
