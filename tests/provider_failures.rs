//! A provider that fails: an `error` event with the cause, the turn ends as failed, and the next
//! message works.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use world::{Running, World, fresh_session, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    [
        ("401", "key"),
        ("429", "too many requests"),
        ("500", "fell over"),
        ("cut", ""),
        ("hang", ""),
        ("html", ""),
    ]
    .into_iter()
    .map(|(way, cause)| {
        test(world, &format!("provider_failures::{way}"), move |world| {
            failure(world, way, cause)
        })
    })
    .collect()
}

async fn failure(world: Arc<World>, way: &'static str, cause: &'static str) -> Result<()> {
    let mut tab = world.tab(&fresh_session("failure"), Some(0)).await?;
    tab.send(
        json!({ "type": "user_message", "content": "hi", "model": format!("scripted/{way}") }),
    )
    .await?;
    let end = tab.end().await?;
    ensure!(end["outcome"] == "failed", "{}", tab.seen());
    let errors = tab.contents("error");
    ensure!(errors.len() == 1, "one error says why: {}", tab.seen());
    let error = errors.join(" ").to_lowercase();
    ensure!(error.contains(cause), "the cause is told: {error}");
    ensure!(!error.contains("test-key"), "no key is told: {error}");
    tab.say("run `echo still here`").await?;
    tab.completed().await?;
    ensure!(
        tab.contents("tool_result")
            .last()
            .is_some_and(|output| output.contains("still here")),
        "{}",
        tab.seen()
    );
    Ok(())
}
