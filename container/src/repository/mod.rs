//! The person's own Git repository, at the root of the workspace: what is there, commits, branches.
//!
//! The repository is hostile: whoever has written what is in it has not asked the person. So Git runs alone (`git`),
//! what it prints is read as bytes (`said`), and a path reaches it only where it has named that path itself.
//!
//! | part | purpose |
//! | --- | --- |
//! | `git` | the processes |
//! | `said` | what they print; pure |
//! | `remote` | the repository's page elsewhere; pure |
//! | `act` | what is done: commits, branches, changes that are given up |
//! | `http` | the routes |

mod act;
mod git;
pub mod http;
mod remote;
mod said;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::diff::{FileDiff, FileStatus, MAX_COMPARED, MAX_PATCH};
use protocol::repository::{
    ChangeKind, Found, MAX_BRANCHES, MAX_CHANGES, MAX_COMMITS, Operation, Remote, Repository,
};
use protocol::{Problem, ProblemKind};
use tokio::sync::{Mutex, Semaphore};

use crate::processes::Children;
use git::{Bounds, Git, Printed, READING};
use said::Status;

/// How many may read at a time. Others wait.
const READERS: usize = 2;

/// Bytes that are read of a status, of the settings, and of a list that is bounded in another way already.
const LONGEST_STATUS: u64 = 16 * 1024 * 1024;
const LONGEST_SETTINGS: u64 = 1024 * 1024;
const LONGEST_LIST: u64 = 1024 * 1024;

/// Filters that are turned off.
const MOST_FILTERS: usize = 100;

/// Nothing is said to it.
const NO_INPUT: &[u8] = b"";

#[derive(Debug)]
pub struct Repo {
    workspace: PathBuf,
    home: PathBuf,
    children: Arc<Children>,
    readers: Semaphore,
    /// Held while something is changed.
    writing: Mutex<()>,
}

/// Git on a repository that is there, and what its settings say.
#[derive(Debug)]
struct Opened {
    git: Git,
    settings: Vec<(String, String)>,
    /// The filters that its settings name. None of them runs.
    filters: Vec<String>,
}

/// Whether there is a repository.
#[derive(Debug)]
enum There {
    Is(Box<Opened>),
    Not(Option<String>),
}

impl Repo {
    pub fn new(workspace: &Path, home: &Path, children: Arc<Children>) -> Self {
        Self {
            workspace: workspace.to_owned(),
            home: home.to_owned(),
            children,
            readers: Semaphore::new(READERS),
            writing: Mutex::default(),
        }
    }

    async fn look(&self) -> Result<There, Problem> {
        let folder = self.workspace.join(".git");
        match std::fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let words = ".git is a link or a file that leads elsewhere: such a repository is not shown here. Ask the agent about it";
                return Ok(There::Not(Some(words.to_owned())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Not(None)),
            Err(error) => {
                return Err(Problem::new(
                    ProblemKind::Forbidden,
                    format!(".git can't be read: {error}"),
                ));
            }
        }
        let has = |name: &str| std::fs::metadata(folder.join(name)).is_ok();
        if !["HEAD", "objects", "refs"].into_iter().all(has) {
            let words = "there is a folder .git, but it is no repository. Ask the agent about it";
            return Ok(There::Not(Some(words.to_owned())));
        }
        let mut git = Git::new(Arc::clone(&self.children), &self.workspace, &self.home);
        let listed = git
            .run(
                &["config", "--list", "-z"],
                NO_INPUT,
                reading(LONGEST_SETTINGS),
            )
            .await?
            .done()?;
        let settings = said::settings(&listed.output);
        let mut filters: Vec<String> = Vec::new();
        for (name, _) in &settings {
            if let Some((filter, _)) = said::filter_of(name)
                && !filters.iter().any(|known| known == filter)
            {
                filters.push(filter.to_owned());
            }
        }
        if !listed.whole || filters.len() > MOST_FILTERS {
            let words =
                "the repository has more settings than are read here; ask the agent about it";
            return Err(Problem::new(ProblemKind::TooLarge, words));
        }
        for filter in &filters {
            for (setting, off) in [
                ("clean", ""),
                ("smudge", ""),
                ("process", ""),
                ("required", "false"),
            ] {
                git.set(format!("filter.{filter}.{setting}"), off);
            }
        }
        Ok(There::Is(Box::new(Opened {
            git,
            settings,
            filters,
        })))
    }

    /// The repository, for who needs one.
    ///
    /// # Errors
    /// 404 where there is none.
    async fn open(&self) -> Result<Opened, Problem> {
        match self.look().await? {
            There::Is(opened) => Ok(*opened),
            There::Not(why) => Err(Problem::new(
                ProblemKind::NotFound,
                why.unwrap_or_else(|| {
                    "the workspace is no Git repository; ask the agent to run git init".to_owned()
                }),
            )),
        }
    }

    /// All that is shown of the repository.
    ///
    /// # Errors
    /// Where Git is not there, takes too long, or can't read it.
    pub async fn found(&self) -> Result<Found, Problem> {
        let _reading = self.readers.acquire().await;
        let opened = match self.look().await? {
            There::Is(opened) => opened,
            There::Not(note) => {
                return Ok(Found {
                    repository: None,
                    note,
                });
            }
        };
        let (mut status, whole) = opened.status().await?;
        let (lines, commits, branches, base) = tokio::join!(
            opened.lines(&status),
            opened.commits(&status),
            opened.branches(),
            opened.base_branch(),
        );
        if let Some(lines) = lines {
            said::add_lines(&mut status, &lines.output);
        }
        let (changes, mut counts) = said::changes(&status, MAX_CHANGES);
        counts.at_least = !whole;
        let (branches, more_branches) = branches?;
        let mut remote = opened.remote(&status);
        if let (Some(remote), Some(branch)) = (&mut remote, &status.branch)
            && status.head.is_some()
            && base.unwrap_or_else(|| guessed_base(&branches)) != *branch
        {
            remote.new_request = Some(remote::new_request(remote, branch));
        }
        let note = (!opened.filters.is_empty() && self.workspace.join(".gitattributes").is_file())
            .then(|| {
                let filters: Vec<String> = opened.filters.iter().map(|one| said::short(one)).collect();
                format!(
                    "Its settings name filters ({}). These are programs and are not run here, so files that go through them may seem changed.",
                    filters.join(", ")
                )
            });
        Ok(Found {
            repository: Some(Repository {
                truncated: changes.len() < counts.all || !whole,
                changes,
                counts,
                commits: commits?,
                branches,
                more_branches,
                remote,
                operation: self.operation(),
                branch: status.branch,
                head: status.head,
                upstream: status.upstream,
            }),
            note,
        })
    }

    /// What is under way, by the traces that Git leaves of it.
    fn operation(&self) -> Option<Operation> {
        let is_there = |name: &str| {
            let trace = self.workspace.join(".git").join(name);
            std::fs::symlink_metadata(trace).is_ok()
        };
        [
            ("rebase-merge", Operation::Rebase),
            ("rebase-apply", Operation::Rebase),
            ("MERGE_HEAD", Operation::Merge),
            ("CHERRY_PICK_HEAD", Operation::CherryPick),
            ("REVERT_HEAD", Operation::Revert),
        ]
        .into_iter()
        .find_map(|(name, operation)| is_there(name).then_some(operation))
    }

    /// One file as it is, compared with the last commit.
    ///
    /// # Errors
    /// 404 where it has not changed.
    pub async fn diff(&self, path: &str) -> Result<FileDiff, Problem> {
        let _reading = self.readers.acquire().await;
        let mut opened = self.open().await?;
        opened
            .git
            .set("core.bigFileThreshold", (MAX_COMPARED + 1).to_string());
        let (status, _) = opened.status().await?;
        let found = act::find(&status, path)?;
        let kind = status.changes.get(&found).map(|state| state.kind);
        let untracked = kind == Some(ChangeKind::Untracked);
        if untracked && found.ends_with(b"/") {
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!("{path} is a repository of its own: it is not compared"),
            ));
        }
        let printed = opened.patch(&status, &found, untracked).await?;
        let too_long = !printed.whole;
        let patch = said::lossy(&printed.output);
        let (additions, deletions) = counted(&patch);
        let binary = !too_long
            && patch.lines().any(|line| line.starts_with("Binary files "))
            && !patch.lines().any(|line| line.starts_with("@@"));
        Ok(FileDiff {
            path: path.to_owned(),
            old_path: None,
            status: match kind {
                Some(ChangeKind::Added | ChangeKind::Untracked) => FileStatus::Added,
                Some(ChangeKind::Deleted) => FileStatus::Deleted,
                Some(ChangeKind::TypeChanged) => FileStatus::TypeChanged,
                _ => FileStatus::Modified,
            },
            additions: if too_long { 0 } else { additions },
            deletions: if too_long { 0 } else { deletions },
            binary,
            patch: (!too_long && !binary).then_some(patch),
        })
    }
}

impl Opened {
    /// What has changed, and whether that is all.
    async fn status(&self) -> Result<(Status, bool), Problem> {
        let arguments = [
            "--no-optional-locks",
            "status",
            "--porcelain=v2",
            "--branch",
            "-z",
            "--untracked-files=all",
            "--no-renames",
            // To look into one, Git starts another.
            "--ignore-submodules=dirty",
        ];
        let printed = self
            .git
            .run(&arguments, NO_INPUT, reading(LONGEST_STATUS))
            .await?
            .done()?;
        Ok((said::status(&printed.output, printed.whole), printed.whole))
    }

    /// What a file is compared with: the last commit, or the tree without a file.
    async fn before(&self, status: &Status) -> Result<String, Problem> {
        if status.head.is_some() {
            return Ok("HEAD".to_owned());
        }
        let arguments = ["hash-object", "-t", "tree", "--stdin"];
        let printed = self.git.run(&arguments, NO_INPUT, reading(1024)).await?;
        Ok(printed.done()?.text())
    }

    /// The numbers of lines of what is tracked; none where they do not come.
    async fn lines(&self, status: &Status) -> Option<Printed> {
        let before = self.before(status).await.ok()?;
        let mut arguments = vec!["diff", "--numstat", "-z"];
        arguments.extend(PLAIN);
        arguments.extend([before.as_str(), "--"]);
        let printed = self.git.run(&arguments, NO_INPUT, reading(LONGEST_STATUS));
        printed.await.ok()?.done().ok()
    }

    async fn commits(
        &self,
        status: &Status,
    ) -> Result<Vec<protocol::repository::LoggedCommit>, Problem> {
        if status.head.is_none() {
            return Ok(Vec::new());
        }
        self.log(MAX_COMMITS).await
    }

    /// The last commits.
    async fn log(&self, most: usize) -> Result<Vec<protocol::repository::LoggedCommit>, Problem> {
        let count = format!("--max-count={most}");
        let arguments = [
            "log",
            "-z",
            count.as_str(),
            said::COMMIT,
            "--no-show-signature",
            "--no-color",
            "--no-notes",
            "--encoding=UTF-8",
            "HEAD",
            "--",
        ];
        let printed = self
            .git
            .run(&arguments, NO_INPUT, reading(LONGEST_LIST))
            .await?;
        Ok(said::commits(&printed.done()?.output))
    }

    /// The branches, and whether there are more.
    async fn branches(&self) -> Result<(Vec<String>, bool), Problem> {
        let count = format!("--count={}", MAX_BRANCHES + 1);
        let arguments = [
            "for-each-ref",
            "--format=%(refname:lstrip=2)",
            "--sort=-committerdate",
            count.as_str(),
            "refs/heads/",
        ];
        let printed = self
            .git
            .run(&arguments, NO_INPUT, reading(LONGEST_LIST))
            .await?
            .done()?;
        let mut names: Vec<String> = said::lossy(&printed.output)
            .lines()
            .map(str::to_owned)
            .collect();
        let more = names.len() > MAX_BRANCHES;
        names.truncate(MAX_BRANCHES);
        Ok((names, more))
    }

    /// The branch that others are taken over into, as far as a remote has said.
    async fn base_branch(&self) -> Option<String> {
        let arguments = ["symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"];
        let printed = self
            .git
            .run(&arguments, NO_INPUT, reading(1024))
            .await
            .ok()?;
        let name = printed.done().ok()?.text();
        name.strip_prefix("refs/remotes/origin/").map(str::to_owned)
    }

    /// The place where the branch's remote lies, or `origin`, or the only one there is.
    fn remote(&self, status: &Status) -> Option<Remote> {
        let last = |wanted: &str| {
            let found = self.settings.iter().rev().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let address = |name: &str| last(&format!("remote.{name}.url"));
        let followed = status.branch.as_ref().and_then(|branch| {
            last(&format!("branch.{branch}.remote")).filter(|name| address(name).is_some())
        });
        let any = || {
            let mut names = self
                .settings
                .iter()
                .filter_map(|(name, _)| name.strip_prefix("remote.")?.strip_suffix(".url"));
            names.next()
        };
        let name = followed
            .or_else(|| address("origin").map(|_| "origin"))
            .or_else(any)?;
        remote::remote(name, address(name)?)
    }

    /// The patch of one file, up to what is told of one.
    async fn patch(
        &self,
        status: &Status,
        path: &[u8],
        untracked: bool,
    ) -> Result<Printed, Problem> {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let mut arguments: Vec<&OsStr> = vec![OsStr::new("diff"), OsStr::new("-p")];
        arguments.extend(PLAIN.map(OsStr::new));
        let before = self.before(status).await?;
        let bounds = reading(MAX_PATCH as u64);
        let name = OsStr::from_bytes(path);
        if untracked {
            arguments.extend(["--no-index", "--", "/dev/null"].map(OsStr::new));
            // Its standard input is not meant.
            let name = if path == b"-" {
                OsStr::new("./-")
            } else {
                name
            };
            arguments.push(name);
            let printed = self.git.run(&arguments, NO_INPUT, bounds).await?;
            // It says so when there is a difference.
            return match printed.code {
                Some(1) => Ok(printed),
                _ => printed.done(),
            };
        }
        arguments.extend([OsStr::new(&before), OsStr::new("--"), name]);
        self.git.run(&arguments, NO_INPUT, bounds).await?.done()
    }
}

/// How files are compared, whatever the settings say.
const PLAIN: [&str; 7] = [
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-relative",
    "--submodule=short",
    "--ignore-submodules=dirty",
];

fn reading(bytes: u64) -> Bounds {
    Bounds {
        bytes,
        time: READING,
    }
}

/// Where no remote has said which branch others are taken over into.
fn guessed_base(branches: &[String]) -> String {
    let usual = ["main", "master"];
    let found = usual
        .iter()
        .find(|usual| branches.iter().any(|name| name == *usual));
    (*found.unwrap_or(&"main")).to_owned()
}

/// The lines that came and went in a patch.
fn counted(patch: &str) -> (u64, u64) {
    let (mut added, mut deleted, mut inside) = (0, 0, false);
    for line in patch.lines() {
        match line.as_bytes().first() {
            Some(b'@') => inside = true,
            Some(b'd') => inside = false, // The head of the other half, where the type has changed.
            Some(b'+') if inside => added += 1,
            Some(b'-') if inside => deleted += 1,
            _ => {}
        }
    }
    (added, deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_patch() {
        let patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n-a\n+++b\n+c\n \n--- d\ndiff --git a/x b/x\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+l\n";
        assert_eq!(counted(patch), (3, 2));
    }

    #[test]
    fn what_others_are_taken_over_into() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(guessed_base(&names(&["x", "master"])), "master");
        assert_eq!(guessed_base(&names(&["master", "main"])), "main");
        assert_eq!(guessed_base(&[]), "main");
    }
}
