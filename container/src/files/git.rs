//! What Git says of the files in a repository.
//!
//! The repository is the agent's, and Git does what a repository's configuration tells it to: so it runs
//! with nothing of the server's environment, and without the programs that its status could start.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cap_std::fs::Dir;
use protocol::files::GitStatus;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::processes::Children;

/// How long one repository may take, and how long all before the last. After that nothing is said.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a status that are read.
const LONGEST: u64 = 4 * 1024 * 1024;

/// By path in the workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Statuses {
    of: HashMap<PathBuf, GitStatus>,
}

impl Statuses {
    /// A folder that is not tracked is named alone, without what is in it.
    pub fn of(&self, path: &Path) -> Option<GitStatus> {
        if let Some(status) = self.of.get(path) {
            return Some(*status);
        }
        let above = path
            .ancestors()
            .skip(1)
            .filter_map(|above| self.of.get(above));
        above
            .copied()
            .find(|status| *status == GitStatus::Untracked)
    }

    /// Reads what `git status --porcelain=v2 -z` prints (git-status(1)); `at` is the repository's
    /// folder. What is not understood says nothing.
    fn read(&mut self, output: &[u8], at: &Path) {
        let mut records = output.split(|byte| *byte == 0);
        while let Some(record) = records.next() {
            let field = |count: usize| record.splitn(count, |byte| *byte == b' ').nth(count - 1);
            let (path, status) = match record.first() {
                Some(b'?') => (field(2), GitStatus::Untracked),
                Some(b'1') => (field(9), changed(record)),
                Some(b'2') => {
                    records.next(); // Where it was before.
                    (field(10), GitStatus::Renamed)
                }
                Some(b'u') => (field(11), GitStatus::Conflicted),
                _ => continue,
            };
            if let Some(path) = path {
                let path = path.strip_suffix(b"/").unwrap_or(path);
                self.of.insert(at.join(OsStr::from_bytes(path)), status);
            }
        }
    }
}

/// Of a changed entry: what the index or the folder has new, or otherwise.
fn changed(record: &[u8]) -> GitStatus {
    match record.get(2..4) {
        Some([b'A', _] | [_, b'A']) => GitStatus::Added,
        _ => GitStatus::Modified,
    }
}

/// Adds the status of the repository in a folder; nothing where there is no Git, or it takes too long.
pub async fn status(dir: &Dir, at: &Path, children: &Children, into: &mut Statuses) {
    // The folder that is open here, wherever it may have been moved to.
    let folder = format!("/proc/{}/fd/{}", std::process::id(), dir.as_raw_fd());
    let real = tokio::fs::read_link(&folder).await.unwrap_or_default();
    let mut command = Command::new("git");
    command
        .args(["--no-optional-locks", "-c", "core.fsmonitor=false"])
        .args(["-c", "core.hooksPath=/dev/null", "status"])
        .args(["--porcelain=v2", "-z", "--untracked-files=normal"])
        .arg("--ignore-submodules=all")
        .current_dir(&folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        // Not a repository that the workspace itself lies in.
        .env(
            "GIT_CEILING_DIRECTORIES",
            real.parent().unwrap_or(Path::new("/")),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let Ok(mut child) = children.spawn(&mut command) else {
        return;
    };
    let pid = child.id();
    let mut output = Vec::new();
    let asked = async {
        let stdout = child.stdout.take()?;
        stdout.take(LONGEST).read_to_end(&mut output).await.ok()?;
        child
            .wait()
            .await
            .ok()
            .filter(std::process::ExitStatus::success)
    };
    let answered = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
    if answered.is_none() {
        let _gone = child.kill().await;
    }
    if let Some(pid) = pid {
        children.forget(pid);
    }
    // The last record of a status that was cut is none.
    if answered.is_some() && (output.len() as u64) < LONGEST {
        into.read(&output, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_prints() {
        let output = b"1 .M N... 100644 100644 100644 aa bb a b.txt\x00\
            1 A. N... 000000 100644 100644 00 cc new\x00\
            2 R. N... 100644 100644 100644 aa bb R100 to\x00from\x00\
            u UU N... 100644 100644 100644 100644 aa bb cc both\x00\
            ? folder/\x00? odd\xff\x00# branch.head main\x001 short\x00x";
        let mut statuses = Statuses::default();
        statuses.read(output, Path::new("r"));
        for (path, status) in [
            ("r/a b.txt", Some(GitStatus::Modified)),
            ("r/new", Some(GitStatus::Added)),
            ("r/to", Some(GitStatus::Renamed)),
            ("r/from", None),
            ("r/both", Some(GitStatus::Conflicted)),
            ("r/folder", Some(GitStatus::Untracked)),
            ("r/folder/deep/x", Some(GitStatus::Untracked)),
            ("r/short", None),
            ("r", None),
        ] {
            assert_eq!(statuses.of(Path::new(path)), status, "{path}");
        }
        let odd = Path::new("r").join(OsStr::from_bytes(b"odd\xff"));
        assert_eq!(statuses.of(&odd), Some(GitStatus::Untracked));
        assert_eq!(statuses.of.len(), 6);
    }
}
