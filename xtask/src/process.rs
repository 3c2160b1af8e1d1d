//! Child processes: each in a process group of its own, its lines labelled, ended when its
//! [`Service`] is dropped.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long a process has from the request to end until it is killed.
const GRACE: Duration = Duration::from_secs(8);

/// Runs a command to its end, with its output on this terminal. It is killed where nobody waits for
/// it any more.
///
/// # Errors
/// Where it can't be started or fails.
pub async fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{:?}", command.as_std());
    let status = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown} failed: {status}");
    }
    Ok(())
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// Where it can't be started or fails.
pub async fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("starting {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A process that goes on until it is stopped.
pub struct Service {
    name: String,
    group: Pid,
    ended: watch::Receiver<bool>,
}

impl Service {
    /// Starts it. Each line that it prints is given to `lines`.
    ///
    /// # Errors
    /// Where it can't be started.
    pub fn start(
        name: &str,
        command: &mut Command,
        lines: impl Fn(&str) + Send + Sync + Clone + 'static,
    ) -> Result<Self> {
        // Keys of providers are for the router, which gets them another way.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().ends_with("_API_KEY") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name} ({:?})", command.as_std()))?;
        let group = child.id().context("a process without an id")?;
        if let Some(output) = child.stdout.take() {
            tokio::spawn(each_line(output, lines.clone()));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(each_line(output, lines));
        }
        let (sender, ended) = watch::channel(false);
        tokio::spawn(async move { wait(child, sender).await });
        Ok(Self {
            name: name.to_owned(),
            group: Pid::from_raw(i32::try_from(group)?),
            ended,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the process that was started, and of its group.
    pub fn id(&self) -> i32 {
        self.group.as_raw()
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
    }

    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Asks it to end, and kills its whole group where it does not.
    pub async fn stop(&self) {
        if !self.has_ended() {
            let _ = killpg(self.group, Signal::SIGTERM);
            let _ = tokio::time::timeout(GRACE, self.ended()).await;
        }
        // Whatever it started and left behind.
        let _ = killpg(self.group, Signal::SIGKILL);
    }

    /// Stops its whole group without ending it: it takes connections, and answers none.
    pub fn pause(&self) {
        let _ = killpg(self.group, Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        let _ = killpg(self.group, Signal::SIGCONT);
    }

    /// Kills its whole group at once, as a crash would.
    pub async fn kill(&self) {
        let _ = killpg(self.group, Signal::SIGKILL);
        self.ended().await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}

async fn wait(mut child: Child, ended: watch::Sender<bool>) {
    let _ = child.wait().await;
    let _ = ended.send(true);
}

async fn each_line(output: impl AsyncRead + Unpin, lines: impl Fn(&str)) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    // As bytes: a line that is not UTF-8 must not end the reading, which the child waits for.
    while reader
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|read| read > 0)
    {
        lines(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}
