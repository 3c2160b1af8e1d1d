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
        lone_test(world, "dev::ctrl_c_while_it_builds", while_building),
        lone_test(world, "dev::ctrl_c_while_it_starts", while_starting),
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

/// The build is one that takes long: its first part is `npm`, which is replaced here, so that nothing of
/// the project is left half built.
async fn while_building() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let slow = tempfile::TempDir::new()?;
    let npm = slow.path().join("npm");
    std::fs::write(&npm, "#!/bin/sh\nsleep 600; true\n")?;
    std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755))?;
    let path = std::env::join_paths(std::iter::once(slow.path().to_owned()).chain(
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()),
    ))?;
    let mut dev = Dev::start("local", 0, |command| {
        command.env("PATH", path);
    })?;
    dev.line("building the UI").await?;
    dev.until_processes(|processes| {
        processes
            .iter()
            .any(|process| process.contains("sleep 600"))
    })
    .await?;
    dev.ctrl_c().await.map(drop)
}

/// Ended at different moments of its start.
async fn while_starting() -> Result<()> {
    for after in [0, 700, 1500, 2500] {
        let dev = Dev::start("local", 0, no_build)?;
        dev.until_processes(|processes| {
            processes
                .iter()
                .any(|process| process.contains("wrangler") && process.contains("litellm-router"))
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(after)).await;
        dev.ctrl_c().await?;
    }
    Ok(())
}

pub fn no_build(command: &mut Command) {
    command.arg("--no-build");
}

/// Starts `dev`, uses a sandbox, ends it as Ctrl-C does, and looks for what is left. `running` looks at
/// the session while it runs.
pub async fn ends_without_leftovers(
    provider: &str,
    running: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let session = world::fresh_session("dev");
    let mut dev = Dev::start(provider, 0, no_build)?;
    let open = dev.line("Open ").await?;
    let url = open
        .split_once("http://")
        .and_then(|(_, rest)| rest.split_once("/demo"))
        .map(|(address, _)| format!("http://{address}"))
        .context(open.clone())?;
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
    let before = processes_with(&dev.folder)?;
    ensure!(before.len() >= 2, "both Workers run: {before:?}");
    dev.ctrl_c().await.map(drop)
}

/// `cargo xtask dev` in a process group of its own, as a terminal starts it.
pub struct Dev {
    process: tokio::process::Child,
    lines: tokio::sync::mpsc::UnboundedReceiver<String>,
    seen: String,
    /// What all of its processes have in their arguments or their environment.
    folder: String,
    _data: tempfile::TempDir,
}

impl Dev {
    pub fn start(provider: &str, port: u16, more: impl FnOnce(&mut Command)) -> Result<Self> {
        let data = tempfile::TempDir::new()?;
        let folder = data.path().to_str().context("a readable path")?.to_owned();
        let port = port.to_string();
        let mut command = xtask(&[
            "dev",
            "--provider",
            provider,
            "--port",
            &port,
            "--router-port",
            "0",
            "--data",
            &folder,
        ]);
        more(&mut command);
        let mut process = command
            .env("STACK_OF", &folder)
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let output = process.stderr.take().context("its output")?;
        let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            process,
            lines,
            seen: String::new(),
            folder,
            _data: data,
        })
    }

    /// Waits for a line with a text in it.
    pub async fn line(&mut self, text: &str) -> Result<String> {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.recv())
                .await
                .with_context(|| self.seen.clone())?;
            let Some(line) = line else {
                bail!("it ended: {}", self.seen)
            };
            self.seen += &format!("{line}\n");
            if line.contains(text) {
                return Ok(line);
            }
        }
    }

    /// Waits until its processes are as wanted.
    pub async fn until_processes(&self, wanted: impl Fn(&[String]) -> bool) -> Result<()> {
        let begin = Instant::now();
        loop {
            let processes = processes_with(&self.folder)?;
            if wanted(&processes) {
                return Ok(());
            }
            ensure!(begin.elapsed() < PATIENCE, "{processes:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends what a terminal sends to the group in front, and waits until nothing is left. Gives what it
    /// has printed.
    pub async fn ctrl_c(mut self) -> Result<String> {
        self.interrupt()?;
        tokio::time::timeout(Duration::from_secs(30), self.process.wait())
            .await
            .context("it does not end")??;
        let begin = Instant::now();
        loop {
            let left = processes_with(&self.folder)?;
            if left.is_empty() {
                break;
            }
            ensure!(
                begin.elapsed() < Duration::from_secs(5),
                "left over: {left:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while let Some(line) = self.lines.recv().await {
            self.seen += &format!("{line}\n");
        }
        Ok(std::mem::take(&mut self.seen))
    }

    fn interrupt(&self) -> Result<()> {
        let group = self.process.id().context("it has ended")?;
        std::process::Command::new("kill")
            .args(["-INT", "--", &format!("-{group}")])
            .status()?;
        Ok(())
    }
}

/// A test that fails leaves nothing, either: killed, `dev` could not end its parts.
impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.interrupt();
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
                arguments.chars().take(240).collect::<String>()
            ));
        }
    }
    Ok(found)
}
