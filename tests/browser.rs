//! The UI in a real Chromium, driven by Playwright.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use world::{Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

/// In a world in which nobody gets anything for nothing.
pub fn guarded_tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![test(world, "browser::signing_in_and_sharing", |world| {
        playwright(world, "admission.mjs")
    })]
}

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    [
        ("browser::a_conversation", "conversation.mjs"),
        ("browser::no_rule_of_axe_is_broken", "accessibility.mjs"),
        ("browser::all_from_the_keyboard", "keyboard.mjs"),
        ("browser::options_and_the_link", "options.mjs"),
        ("browser::a_long_history", "history.mjs"),
        ("browser::what_the_agent_asks", "permissions.mjs"),
        ("browser::the_workbench", "workbench.mjs"),
        ("browser::settings", "settings.mjs"),
        ("browser::the_files", "files.mjs"),
        ("browser::launching_an_agent", "launch.mjs"),
        ("browser::making_an_agent", "agents.mjs"),
        ("browser::commands_by_name", "palette.mjs"),
        ("browser::files_with_a_message", "attachments.mjs"),
        ("browser::many_sessions", "sessions.mjs"),
        ("browser::besides_talking", "talk.mjs"),
        ("browser::nothing_hostile_runs", "hostile.mjs"),
    ]
    .into_iter()
    .map(|(name, script)| test(world, name, move |world| playwright(world, script)))
    .chain([lone_test(world, "browser::a_sandbox_that_sleeps", asleep)])
    .collect()
}

/// In a world of its own, in which sandboxes are put to sleep soon.
async fn asleep() -> Result<()> {
    let vars = [("SANDBOX_SLEEP_SECONDS", "6")];
    let world = World::start_with_worker(Provider::Local, &vars).await?;
    let world = Arc::new(world);
    playwright(Arc::clone(&world), "asleep.mjs").await?;
    if let Some(world) = Arc::into_inner(world) {
        world.stack.stop().await;
    }
    Ok(())
}

/// Runs a script of `tests/browser/` against the stack.
async fn playwright(world: Arc<World>, script: &str) -> Result<()> {
    let tools = xtask::tools::Tools::install().await?;
    let output = tokio::process::Command::new(&tools.node)
        .arg(xtask::root().join("tests/browser").join(script))
        .env("BASE_URL", &world.stack.url)
        .env("SESSION", fresh_session("browser"))
        .env("TOKEN", crate::access::OPERATOR)
        .output()
        .await
        .context("starting node")?;
    ensure!(
        output.status.success(),
        "{script}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
