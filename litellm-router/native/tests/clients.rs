//! The SDKs that people use, unmodified, against the program's router, and who reads its metrics.

mod world;

use std::path::Path;

use litellm_router_stage::sdks::{self, Sdk};
use world::{World, question};

async fn holds(sdk: Sdk) {
    let world = World::start(&sdks::config(), &[]).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    sdk.holds(&world.url(""), &world.stage, folder).await;
}

#[tokio::test]
async fn anthropics_python_sdk() {
    holds(Sdk::AnthropicsForPython).await;
}

#[tokio::test]
async fn anthropics_typescript_sdk() {
    holds(Sdk::AnthropicsForTypescript).await;
}

#[tokio::test]
async fn openais_python_sdk() {
    holds(Sdk::OpenaisForPython).await;
}

#[tokio::test]
async fn prometheus() {
    let world = World::start(&sdks::config(), &[]).await;
    let asked = world.http.post(world.url("/v1/messages"));
    let asked = asked.json(&question("local/demo", false)).send().await;
    assert!(asked.is_ok_and(|answer| answer.status() == 200));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    sdks::metrics_are_read(&world.url(""), &world.stage, folder).await;
}
