//! The UI in a real Chromium, driven by Playwright.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use world::{Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

/// Calls of the turn that [`many_calls`] shows.
const CALLS: u64 = 5_000;

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
        ("browser::the_repository", "repository.mjs"),
        ("browser::a_terminal", "terminal.mjs"),
        ("browser::launching_an_agent", "launch.mjs"),
        ("browser::making_an_agent", "agents.mjs"),
        ("browser::commands_by_name", "palette.mjs"),
        ("browser::files_with_a_message", "attachments.mjs"),
        ("browser::many_sessions", "sessions.mjs"),
        ("browser::besides_talking", "talk.mjs"),
        ("browser::nothing_hostile_runs", "hostile.mjs"),
        ("browser::agents_that_launch_others", "launched.mjs"),
        ("browser::what_was_used", "usage.mjs"),
        ("browser::webhooks_and_schedules", "automation.mjs"),
        ("browser::each_page_fits", "pages.mjs"),
        ("browser::a_network_that_is_cut", "offline.mjs"),
        ("browser::the_first_paint", "paint.mjs"),
        ("browser::a_fast_stream", "fast.mjs"),
    ]
    .into_iter()
    .map(|(name, script)| test(world, name, move |world| playwright(world, script)))
    .chain([
        lone_test(world, "browser::a_sandbox_that_sleeps", asleep),
        lone_test(world, "browser::an_hour_of_streaming", an_hour),
        lone_test(world, "browser::a_turn_of_many_calls", many_calls),
    ])
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

/// Alone on the machine: it streams as fast as it can.
async fn an_hour() -> Result<()> {
    let world = Arc::new(World::start(Provider::Local).await?);
    playwright(Arc::clone(&world), "memory.mjs").await?;
    if let Some(world) = Arc::into_inner(world) {
        world.stack.stop().await;
    }
    Ok(())
}

/// With a history that would take hours to make: it is written before its object starts.
async fn many_calls() -> Result<()> {
    let mut world = World::start(Provider::Local).await?;
    let session = fresh_session("calls");
    // Who asks for a ticket begins the session, and starts no sandbox.
    let path = format!("/api/sessions/{session}/tickets");
    let begun = world.http.post(world.url(&path)).send().await?;
    begun.error_for_status()?;
    world.stack.kill("worker").await;
    world.plant_calls(&session, CALLS).await?;
    world.stack.start_workers().await?;
    let world = Arc::new(world);
    in_browser(&world, "calls.mjs", &session).await?;
    if let Some(world) = Arc::into_inner(world) {
        world.stack.stop().await;
    }
    Ok(())
}

/// Runs a script of `tests/browser/` against the stack, with a session of its own.
async fn playwright(world: Arc<World>, script: &str) -> Result<()> {
    in_browser(&world, script, &fresh_session("browser")).await
}

async fn in_browser(world: &World, script: &str, session: &str) -> Result<()> {
    let tools = xtask::tools::Tools::install().await?;
    let output = tokio::process::Command::new(&tools.node)
        .arg(xtask::root().join("tests/browser").join(script))
        .env("BASE_URL", &world.stack.url)
        .env("SESSION", session)
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
