//! Who asks for too much is told so, and when to ask again.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use world::{Running, World, fresh_session, lone_test, with_limits};
use xtask::stack::Provider;

use crate::access::OPERATOR;

/// What is asked for more often than two windows of a limit of 3 let through.
const TOO_OFTEN: usize = 8;

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![lone_test(world, "limits::too_much_is_refused", too_much)]
}

/// A world with the deployed configuration, but for its limits.
async fn narrow() -> Result<World> {
    World::start_as(Provider::Local, |options| {
        with_limits(options, &[(300, 3), (60, 3)])?;
        options.worker_vars = vec![("OPERATOR_TOKEN".to_owned(), OPERATOR.to_owned())];
        Ok(())
    })
    .await
}

/// The answer of the first that is refused, where one is.
async fn refused(request: impl Fn() -> RequestBuilder, times: usize) -> Result<Option<Response>> {
    for _ in 0..times {
        let answer = request().send().await?;
        if answer.status() == 429 {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

async fn too_much() -> Result<()> {
    let world = narrow().await?;
    let session = fresh_session("limits");
    let path = format!("/api/sessions/{session}/tickets");
    let begin = world.http.post(world.url(&path)).bearer_auth(OPERATOR);
    ensure!(begin.send().await?.status() == 201);

    // A model that there is not, so that no turn begins.
    let message = || {
        let said = json!({ "prompt": "x", "model": "no/such", "sessionId": session });
        let request = world.http.post(world.url("/agent/message")).json(&said);
        request.bearer_auth(OPERATOR)
    };
    let launch = || {
        let path = format!("/api/sessions/{}/tickets", fresh_session("limits"));
        world.http.post(world.url(&path)).bearer_auth(OPERATOR)
    };
    let socket = || {
        let path = format!("/demo/ws/{session}");
        let request = world.http.get(world.url(&path)).bearer_auth(OPERATOR);
        request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let wrong = || {
        world
            .http
            .get(world.url("/demo/models"))
            .bearer_auth("wrong")
    };
    for (what, answer) in [
        ("messages", refused(message, TOO_OFTEN).await?),
        ("launches", refused(launch, TOO_OFTEN).await?),
        ("sockets", refused(socket, TOO_OFTEN).await?),
        ("wrong keys", refused(wrong, 42).await?),
    ] {
        let Some(answer) = answer else {
            anyhow::bail!("{what} have no limit");
        };
        ensure!(answer.headers().contains_key("retry-after"), "{what}");
        let problem: Value = answer.json().await?;
        ensure!(
            problem["type"] == "/problems/too_many_requests",
            "{what}: {problem}"
        );
    }
    // Who has a good key still reads.
    let state = world
        .http
        .get(world.url(&format!("/agent/{session}/state")));
    ensure!(state.bearer_auth(OPERATOR).send().await?.status() == 200);
    world.stack.stop().await;
    Ok(())
}
