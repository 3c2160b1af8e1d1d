//! Git, on the repository of the workspace.
//!
//! Whoever has written the repository's configuration, Git would run what it names: hooks, filters, monitors,
//! pagers, programs that sign, that compare, that fetch what is missing. It is told not to, of everything that is
//! known, and it can't ([`crate::alone`]), whatever it is told.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use protocol::{Problem, ProblemKind};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::said;
use crate::alone::ALONE;
use crate::processes::{Children, OWN_PROGRAM, signal};

/// How long Git may read, and how long it may write.
pub const READING: Duration = Duration::from_secs(20);
pub const WRITING: Duration = Duration::from_secs(60);

/// How long one that is told to end may take to put away its locks.
const ENDING: Duration = Duration::from_secs(3);

/// Bytes of what it complains of that are read.
const LONGEST_COMPLAINT: u64 = 16 * 1024;

/// Programs that a configuration could name and that this is not to run, and what else it could change of what is
/// printed.
const OFF: [(&str, &str); 23] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("sequence.editor", "false"),
    ("core.askPass", "false"),
    ("core.sshCommand", "false"),
    ("core.alternateRefsCommand", "false"),
    ("core.commitGraph", "false"),
    ("commit.gpgSign", "false"),
    ("gpg.program", "false"),
    ("log.showSignature", "false"),
    ("submodule.recurse", "false"),
    ("status.submoduleSummary", "false"),
    // Looking takes no lock, which the agent's own Git would find held.
    ("diff.autoRefreshIndex", "false"),
    ("diff.noprefix", "false"),
    ("diff.mnemonicPrefix", "false"),
    ("checkout.workers", "1"),
    ("protocol.allow", "never"),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("color.ui", "false"),
];

#[derive(Debug, Clone)]
pub struct Git {
    children: Arc<Children>,
    workspace: PathBuf,
    home: PathBuf,
    /// What is said besides [`OFF`].
    settings: Vec<(String, String)>,
}

/// What a process has printed.
#[derive(Debug)]
pub struct Printed {
    pub output: Vec<u8>,
    /// That was all of it.
    pub whole: bool,
    pub code: Option<i32>,
    /// What it has complained of.
    pub complaint: String,
}

impl Printed {
    /// # Errors
    /// 409 where Git has failed, with its words.
    pub fn done(self) -> Result<Self, Problem> {
        if self.code == Some(0) || !self.whole {
            return Ok(self);
        }
        Err(said::problem(&self.complaint))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).trim().to_owned()
    }
}

/// How much of it is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub bytes: u64,
    pub time: Duration,
}

impl Git {
    pub fn new(children: Arc<Children>, workspace: &Path, home: &Path) -> Self {
        Self {
            children,
            workspace: workspace.to_owned(),
            home: home.to_owned(),
            settings: Vec::new(),
        }
    }

    /// With one more setting. It counts before those of the repository.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.settings.push((name.into(), value.into()));
    }

    /// Runs to its end.
    ///
    /// # Errors
    /// Where there is no Git, or it takes too long.
    pub async fn run(
        &self,
        arguments: &[impl AsRef<OsStr>],
        input: &[u8],
        bounds: Bounds,
    ) -> Result<Printed, Problem> {
        let mut command = self.command();
        command.args(arguments);
        let mut child = self
            .children
            .spawn(&mut command)
            .map_err(|error| failed(&error))?;
        let pid = child.id();
        let _owned = Owned(&self.children, pid);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let talking = async {
            let say = async {
                if let Some(mut stdin) = stdin {
                    // One that does not listen says why at its end.
                    let _deaf = stdin.write_all(input).await;
                }
            };
            let read = async {
                let (output, whole) = up_to(stdout, bounds.bytes).await?;
                if !whole {
                    end(pid);
                }
                io::Result::Ok((output, whole))
            };
            let complaint = async {
                let (begin, rest) = match stderr {
                    Some(stderr) => {
                        let mut stderr = stderr;
                        let mut begin = Vec::new();
                        (&mut stderr)
                            .take(LONGEST_COMPLAINT)
                            .read_to_end(&mut begin)
                            .await?;
                        (begin, Some(stderr))
                    }
                    None => (Vec::new(), None),
                };
                if let Some(mut rest) = rest {
                    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
                }
                io::Result::Ok(begin)
            };
            let ((), read, complaint) = tokio::join!(say, read, complaint);
            let (output, whole) = read?;
            let status = child.wait().await?;
            io::Result::Ok(Printed {
                output,
                whole,
                code: status.code(),
                complaint: String::from_utf8_lossy(&complaint?).into_owned(),
            })
        };
        let talked = tokio::time::timeout(bounds.time, talking).await;
        if talked.is_err() {
            // One that is killed leaves its locks behind.
            end(pid);
            if tokio::time::timeout(ENDING, child.wait()).await.is_err() {
                let _gone = child.kill().await;
            }
        }
        match talked {
            Ok(printed) => printed.map_err(|error| failed(&error)),
            Err(_) => Err(Problem::new(
                ProblemKind::TimedOut,
                "Git took too long; name what can be made again in .gitignore, or ask the agent to do it",
            )),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(OWN_PROGRAM);
        command
            .args([ALONE, "git"])
            .current_dir(&self.workspace)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // The agent's own settings count: its name, what it leaves out, how its lines end.
            .env("HOME", &self.home)
            .env("GIT_DIR", self.workspace.join(".git"))
            .env("GIT_WORK_TREE", &self.workspace)
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            // It counts before what a configuration allows.
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", "false")
            .env("GIT_PAGER", "cat")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let own = OFF.iter().copied();
        let added = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut count = 0;
        for (name, value) in own.chain(added) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        command
    }
}

async fn up_to(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let Some(from) = from else {
        return Ok((bytes, true));
    };
    let mut from = from.take(most);
    from.read_to_end(&mut bytes).await?;
    Ok((bytes, from.limit() > 0))
}

/// Is no child of ours any more, however the wait for it ends.
struct Owned<'a>(&'a Children, Option<u32>);

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.1 {
            self.0.forget(pid);
        }
    }
}

fn end(pid: Option<u32>) {
    if let Some(pid) = pid {
        signal(pid, Signal::TERM);
    }
}

fn failed(error: &io::Error) -> Problem {
    Problem::new(
        ProblemKind::SandboxFailed,
        format!("Git could not be run in the sandbox: {error}"),
    )
}
