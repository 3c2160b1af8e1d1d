//! Every test there is.

use std::time::Instant;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::process::run;
use crate::tools::{self, Tools};
use crate::{build, root, say};

/// Runs everything; with a filter, the end-to-end tests whose name holds it.
///
/// # Errors
/// What failed.
pub async fn run_all(filter: Option<&str>) -> Result<()> {
    let begin = Instant::now();
    build::all().await?;
    let tools = Tools::install().await?;
    if filter.is_none() {
        say("unit and property tests");
        run(Command::new("cargo")
            .args(["test", "--workspace", "--exclude", "end-to-end"])
            .env("AGENT_TEST_CLAUDE", tools::claude()?)
            .current_dir(root()))
        .await
        .context("unit and property tests")?;
        say("the UI's tests");
        let mut ui = Command::new("npm");
        ui.args(["run", "--silent", "test", "--workspace", "ui"])
            .current_dir(root());
        run(tools.with_node(&mut ui))
            .await
            .context("the UI's tests")?;
    }

    say("end-to-end tests");
    let mut skipped = Vec::new();
    let mut end_to_end = Command::new("cargo");
    end_to_end.args(["test", "--package", "end-to-end", "--", "--test-threads=2"]);
    if let Some(filter) = filter {
        end_to_end.arg(filter);
    }
    if !tools::docker_answers().await {
        end_to_end.args(["--skip", "docker::"]);
        skipped.push(
            "sandboxes in containers: no Docker engine answers (DOCKER_HOST says where to look)",
        );
    }
    match tools::chromium().await {
        Some(path) => drop(end_to_end.env("CHROMIUM_PATH", path)),
        None => {
            end_to_end.args(["--skip", "browser::"]);
            skipped
                .push("the browser: no Chromium is installed (CHROMIUM_PATH says where to look)");
        }
    }
    run(end_to_end.current_dir(root()))
        .await
        .context("end-to-end tests")?;
    for what in &skipped {
        eprintln!("\x1b[1;33mskipped\x1b[0m {what}");
    }
    say(&format!(
        "all tests passed in {} s",
        begin.elapsed().as_secs()
    ));
    Ok(())
}
