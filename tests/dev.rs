//! `cargo xtask dev`, as a person starts and ends it.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use world::{PATIENCE, Running, lone_test, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        lone_test(world, "dev::ctrl_c_leaves_no_process", ctrl_c),
        lone_test(world, "dev::other_hosts_are_refused", other_hosts),
        lone_test(world, "dev::a_filter_without_a_match_is_named", filter),
        test(world, "dev::a_taken_port_is_named", |world| async move {
            let port = world
                .stack
                .url
                .rsplit(':')
                .next()
                .unwrap_or_default()
                .to_owned();
            let output = xtask(&["dev", "--no-build", "--port", &port])
                .output()
                .await?;
            let told = String::from_utf8_lossy(&output.stderr);
            ensure!(
                !output.status.success() && told.contains("--port"),
                "{told}"
            );
            Ok(())
        }),
    ]
}

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--package", "xtask", "--"])
        .args(arguments)
        .current_dir(xtask::root());
    command
}

async fn other_hosts() -> Result<()> {
    let output = xtask(&["dev", "--no-build", "--host", "0.0.0.0"])
        .output()
        .await?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && told.contains("authentication"),
        "{told}"
    );
    Ok(())
}

async fn filter() -> Result<()> {
    let output = xtask(&["test", "no_such_behaviour"]).output().await?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && told.contains("no test matches \"no_such_behaviour\""),
        "{told}"
    );
    ensure!(told.contains("queue, reconnect"), "what there is: {told}");
    ensure!(
        !told.contains("building"),
        "before all that takes long: {told}"
    );
    let help = xtask(&["test", "--help"]).output().await?;
    let help = String::from_utf8_lossy(&help.stdout);
    ensure!(help.contains("cargo xtask test queue"), "{help}");
    Ok(())
}

async fn ctrl_c() -> Result<()> {
    ends_without_leftovers("local", |_| Ok(())).await
}

/// Starts `dev`, uses a sandbox, ends it as Ctrl-C does, and looks for what is left. `running` looks at
/// the session while it runs.
pub async fn ends_without_leftovers(
    provider: &str,
    running: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let session = world::fresh_session("dev");
    let data = tempfile::TempDir::new()?;
    let folder = data.path().to_str().context("a readable path")?.to_owned();
    let mut dev = xtask(&[
        "dev",
        "--no-build",
        "--provider",
        provider,
        "--port",
        "0",
        "--router-port",
        "0",
        "--data",
        &folder,
    ])
    .stderr(Stdio::piped())
    .kill_on_drop(true)
    .spawn()?;
    let mut lines = BufReader::new(dev.stderr.take().context("its output")?).lines();
    let mut seen = String::new();
    let url = loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .context(seen.clone())??;
        let Some(line) = line else {
            bail!("it ended: {seen}")
        };
        if let Some(place) = line.find("http://").filter(|_| line.contains("/demo")) {
            break line[place..]
                .split("/demo")
                .next()
                .unwrap_or_default()
                .to_owned();
        }
        seen += &format!("{line}\n");
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    // A session, so that there is a sandbox to end.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let said = client
        .post(format!("{url}/agent/message"))
        .json(
            &json!({ "message": "run `echo awake`", "model": "local/demo", "sessionId": session }),
        )
        .send()
        .await?;
    ensure!(said.status() == 200, "{}", said.text().await?);

    running(&session)?;
    let before = processes_with(&folder)?;
    ensure!(before.len() >= 2, "both Workers run: {before:?}");
    let id = dev.id().context("its id")?;
    // Ctrl-C goes to cargo and to what it runs; here to the child, which cargo waits for.
    for child in children_of(id)? {
        Command::new("kill")
            .args(["-INT", &child.to_string()])
            .status()
            .await?;
    }
    tokio::time::timeout(Duration::from_secs(30), dev.wait())
        .await
        .context("it ends")??;
    let begin = Instant::now();
    loop {
        let left = processes_with(&folder)?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(
            begin.elapsed() < Duration::from_secs(5),
            "left over: {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The processes that have a text in their arguments or their environment, other than this one.
fn processes_with(text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        if !id.bytes().all(|byte| byte.is_ascii_digit()) || id == std::process::id().to_string() {
            continue;
        }
        let read = |name: &str| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let arguments = read("cmdline");
        if arguments.contains(text) || read("environ").contains(text) {
            found.push(format!(
                "{id} {}",
                arguments.chars().take(120).collect::<String>()
            ));
        }
    }
    Ok(found)
}

fn children_of(parent: u32) -> Result<Vec<u32>> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    Ok(children
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect())
}
