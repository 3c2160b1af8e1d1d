//! Git, on a store of objects alone: each process has a repository of its own without any
//! configuration, which is gone after it, and no work tree.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use protocol::diff::{FileDiff, MAX_COMPARED};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc::Receiver;

use super::changes::{self, Patches};
use super::tree::Known;
use super::{Failed, points};
use crate::processes::Children;

/// How long a comparison may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that are read of a list of files, and of the patches from which an answer takes some.
const LONGEST_LIST: u64 = 32 * 1024 * 1024;
const LONGEST_PATCHES: u64 = 64 * 1024 * 1024;

/// Where objects are read, and written.
#[derive(Debug, Clone)]
pub struct Objects {
    write: PathBuf,
    read: Option<PathBuf>,
}

impl Objects {
    pub fn kept(folder: &Path) -> Self {
        Self {
            write: folder.to_owned(),
            read: None,
        }
    }

    /// What is new comes into another folder.
    pub fn beside(folder: &Path, kept: &Path) -> Self {
        Self {
            write: folder.to_owned(),
            read: Some(kept.to_owned()),
        }
    }
}

/// Bytes without which a disk is full.
const LEAST_ROOM: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub struct Git {
    children: Arc<Children>,
    objects: Objects,
}

/// A process, and the repository that it has.
#[derive(Debug)]
pub struct Run {
    child: Child,
    children: Arc<Children>,
    pid: Option<u32>,
    repository: TempDir,
    /// The folder that its objects come into.
    writes_to: PathBuf,
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            self.children.forget(pid);
        }
    }
}

impl Run {
    /// Waits for its end.
    ///
    /// # Errors
    /// Where it has failed: what it was given can't be used, unless somebody has killed it or the disk is full.
    pub async fn end(&mut self) -> Result<(), Failed> {
        let status = self.child.wait().await?;
        if status.success() {
            return Ok(());
        }
        if status.code().is_none() {
            return Err(Failed::Other(io::Error::other("Git was killed")));
        }
        let disk = rustix::fs::statvfs(&self.writes_to);
        if disk.is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_ROOM) {
            return Err(Failed::Other(io::ErrorKind::StorageFull.into()));
        }
        Err(Failed::Broken("it was damaged".to_owned()))
    }

    pub fn output(&mut self) -> Result<ChildStdout, Failed> {
        let output = self.child.stdout.take();
        output.ok_or_else(|| Failed::Other(io::ErrorKind::BrokenPipe.into()))
    }
}

impl Git {
    pub fn new(children: Arc<Children>, objects: Objects) -> Self {
        Self { children, objects }
    }

    fn run(&self, arguments: &[&str], input: bool) -> Result<Run, Failed> {
        let repository = tempfile::Builder::new().prefix("history-").tempdir()?;
        std::fs::create_dir(repository.path().join("refs"))?;
        std::fs::write(repository.path().join("HEAD"), "ref: refs/heads/now\n")?;
        let mut command = Command::new("git");
        command
            .args(["-c", "core.bare=true", "-c", "core.hooksPath=/dev/null"])
            .args(["-c", "core.fsmonitor=false", "-c", "core.commitGraph=false"])
            .args(["-c", "core.compression=1", "-c", "core.fsync=none"])
            // Names that other systems would not take are the agent's own affair.
            .args([
                "-c",
                "core.protectNTFS=false",
                "-c",
                "core.protectHFS=false",
            ])
            .args(["-c", "gc.auto=0", "-c", "protocol.allow=never"])
            // What somebody has put into the store beside.
            .arg("-c")
            .arg(format!("core.bigFileThreshold={}", MAX_COMPARED + 1))
            .args(arguments)
            .current_dir(repository.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GIT_DIR", repository.path())
            .env("GIT_OBJECT_DIRECTORY", &self.objects.write)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .stdin(if input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(read) = &self.objects.read {
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", read);
        }
        let child = self.children.spawn(&mut command).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return Failed::NoGit;
            }
            Failed::Other(error)
        })?;
        Ok(Run {
            pid: child.id(),
            children: Arc::clone(&self.children),
            child,
            repository,
            writes_to: self.objects.write.clone(),
        })
    }

    /// Hands on what is to be imported. Returns the commit; none where nothing came.
    ///
    /// # Errors
    /// Where Git is not there, or does not take it.
    pub async fn import(&self, mut pieces: Receiver<Vec<u8>>) -> Result<Option<String>, Failed> {
        let Some(first) = pieces.recv().await else {
            return Ok(None);
        };
        let mut run = self.run(&["fast-import", "--quiet", "--done"], true)?;
        let stdin = run.child.stdin.take();
        let mut stdin = stdin.ok_or_else(|| Failed::Other(io::ErrorKind::BrokenPipe.into()))?;
        let mut piece = Some(first);
        while let Some(words) = piece {
            if stdin.write_all(&words).await.is_err() {
                break; // Its end says why.
            }
            piece = pieces.recv().await;
        }
        drop((stdin, pieces));
        run.end().await?;
        let reference = run.repository.path().join("refs/heads/now");
        let commit = tokio::fs::read_to_string(reference).await?;
        let commit = commit.trim_end();
        if !points::is_name(commit) {
            return Err(Failed::Broken("it was damaged".to_owned()));
        }
        Ok(Some(commit.to_owned()))
    }

    /// What a commit holds.
    pub async fn known(&self, commit: &str) -> Result<Known, Failed> {
        let arguments = ["ls-tree", "-r", "-z", commit];
        let (output, whole) = self.read(&arguments, LONGEST_LIST).await?;
        let known = Known::read(commit, &output).filter(|_| whole);
        known.ok_or_else(|| Failed::Broken("it was damaged".to_owned()))
    }

    /// The files that are otherwise in another commit, and whether there are more.
    pub async fn changed(&self, from: &str, to: &str) -> Result<(Vec<FileDiff>, bool), Failed> {
        let arguments = diff(&["--raw", "--numstat", "-z", "--no-abbrev"], from, to);
        let (output, whole) = self.read(&arguments, LONGEST_LIST).await?;
        let (files, all) = changes::files(&output);
        Ok((files, !(whole && all)))
    }

    /// Adds to the files what has changed in them; returns whether something is missing.
    pub async fn add_patches(
        &self,
        from: &str,
        to: &str,
        files: &mut [FileDiff],
    ) -> Result<bool, Failed> {
        if files.is_empty() {
            return Ok(false);
        }
        let mut run = self.run(&diff(&["-p"], from, to), false)?;
        let mut output = run.output()?.take(LONGEST_PATCHES);
        let reading = async {
            let mut patches = Patches::new(files);
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = output.read(&mut buffer).await?;
                if read == 0 {
                    break;
                }
                patches.read(buffer.get(..read).unwrap_or_default());
            }
            if output.limit() > 0 {
                run.end().await?;
            }
            Ok(patches.end(output.limit() > 0))
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(read) => read,
            Err(_) => Ok(true),
        }
    }

    /// A diff as text, while it is made.
    pub fn text(&self, from: &str, to: &str) -> Result<Run, Failed> {
        self.run(&diff(&["-p"], from, to), false)
    }

    /// All that a process prints, and whether that was all.
    async fn read(&self, arguments: &[&str], longest: u64) -> Result<(Vec<u8>, bool), Failed> {
        let mut run = self.run(arguments, false)?;
        let mut bytes = Vec::new();
        let reading = async {
            let mut output = run.output()?.take(longest);
            output.read_to_end(&mut bytes).await?;
            if output.limit() == 0 {
                return Ok(false);
            }
            run.end().await.map(|()| true)
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(whole) => whole.map(|whole| (bytes, whole)),
            Err(_) => Err(Failed::Other(io::ErrorKind::TimedOut.into())),
        }
    }
}

fn diff<'a>(form: &[&'a str], from: &'a str, to: &'a str) -> Vec<&'a str> {
    let mut arguments = vec!["diff-tree", "-r", "-M", "-l1000"];
    arguments.extend(["--no-ext-diff", "--no-textconv", "--no-color"]);
    arguments.extend(form);
    arguments.extend([from, to]);
    arguments
}
