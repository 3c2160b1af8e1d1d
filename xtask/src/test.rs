//! Every test there is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::process::{output, run};
use crate::tools::{self, Tools};
use crate::{build, root, say, wasm};

/// Runs everything; with a filter, the end-to-end tests whose name holds it.
///
/// # Errors
/// What failed, or that there is nothing to run.
pub async fn run_all(filter: Option<&str>) -> Result<()> {
    let begin = Instant::now();
    let here = Here::look().await;
    if let Some(filter) = filter {
        // Before all that takes long.
        here.must_match(filter).await?;
    }
    build::all().await?;
    if filter.is_none_or(|filter| "panics::stay_in_their_session".contains(filter)) {
        build::panicking_worker().await?;
    }
    wasm::within_budget().await?;
    let tools = Tools::install().await?;
    if filter.is_none() {
        say("unit and property tests");
        run(Command::new("cargo")
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(["--exclude", "end-to-end"])
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
    let mut tests = end_to_end(filter, here.skips());
    tests.arg("--test-threads=2");
    if let Some(path) = &here.chromium {
        tests.env("CHROMIUM_PATH", path);
    }
    run(&mut tests).await.context("end-to-end tests")?;
    for (_, why) in here.skips() {
        eprintln!("\x1b[1;33mskipped\x1b[0m {why}");
    }
    say(&format!(
        "all tests passed in {} s",
        begin.elapsed().as_secs()
    ));
    Ok(())
}

/// Lets faults happen at random on the real stack, and writes what came of it to `FAULTS.md`.
///
/// # Errors
/// What was lost, or could not be started.
pub async fn faults(rounds: u64, seed: Option<u64>, minutes: Option<f64>) -> Result<()> {
    build::all().await?;
    let mut faults = Command::new("cargo");
    faults
        .args([
            "run",
            "--quiet",
            "--package",
            "end-to-end",
            "--bin",
            "faults",
        ])
        .args(["--", "--rounds", &rounds.to_string()])
        .current_dir(root());
    if let Some(seed) = seed {
        faults.args(["--seed", &seed.to_string()]);
    }
    if let Some(minutes) = minutes {
        faults.args(["--minutes", &minutes.to_string()]);
    }
    run(&mut faults).await.context("faults")
}

/// What this machine has that not every test can do without.
struct Here {
    docker: bool,
    python: bool,
    chromium: Option<PathBuf>,
}

impl Here {
    async fn look() -> Self {
        Self {
            docker: tools::docker_answers().await,
            python: tools::python().await,
            chromium: tools::chromium().await,
        }
    }

    /// How the names of the tests begin that can't run here, and why not.
    fn skips(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let docker = (
            "docker::",
            "sandboxes in containers: no Docker engine answers (DOCKER_HOST says where to look)",
        );
        let browser = (
            "browser::",
            "the browser: no Chromium is installed (CHROMIUM_PATH says where to look)",
        );
        // Its own providers are in the names of the tests of all providers, too.
        let containers = (!self.docker).then_some(("providers::", docker.1));
        let docker = (!self.docker).then_some(docker);
        let browser = self.chromium.is_none().then_some(browser);
        let litellm = (
            "litellm::",
            "a LiteLLM proxy: there is no python3 with venv and pip to install it",
        );
        let litellm = (!self.python).then_some(litellm);
        let fuzz = (
            "openapi::requests_made_from_it",
            "requests made from the API's document: there is no python3 with venv and pip to make them",
        );
        let fuzz = (!self.python).then_some(fuzz);
        let browser = browser.into_iter();
        docker
            .into_iter()
            .chain(containers)
            .chain(browser)
            .chain(litellm)
            .chain(fuzz)
    }

    /// # Errors
    /// Where a filter leaves no test to run.
    async fn must_match(&self, filter: &str) -> Result<()> {
        say(&format!("looking for end-to-end tests with {filter:?}"));
        if !names(end_to_end(Some(filter), self.skips()))
            .await?
            .is_empty()
        {
            return Ok(());
        }
        let all = names(end_to_end(None, std::iter::empty())).await?;
        let matches = all.iter().any(|name| name.contains(filter));
        let missing: Vec<&str> = self.skips().map(|(_, why)| why).collect();
        if matches {
            bail!(
                "every test that matches {filter:?} needs what is missing here: {}",
                missing.join("; ")
            );
        }
        let behaviours: BTreeSet<&str> = all
            .iter()
            .filter_map(|name| name.split("::").next())
            .collect();
        let behaviours: Vec<&str> = behaviours.into_iter().collect();
        bail!(
            "no test matches {filter:?}; the end-to-end tests are those of {}",
            behaviours.join(", ")
        )
    }
}

fn end_to_end(
    filter: Option<&str>,
    skips: impl Iterator<Item = (&'static str, &'static str)>,
) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["test", "--package", "end-to-end", "--"])
        .current_dir(root());
    for (beginning, _) in skips {
        command.args(["--skip", beginning]);
    }
    command.args(filter);
    command
}

/// The names of the tests that a command would run.
async fn names(mut tests: Command) -> Result<Vec<String>> {
    let listed = output(tests.arg("--list")).await?;
    let name = |line: &str| line.strip_suffix(": test").map(str::to_owned);
    Ok(listed.lines().filter_map(name).collect())
}
