//! What is done in the repository: commits, branches, changes that are given up.

use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use protocol::repository::{
    ChangeKind, Commit, Committed, Discard, Discarded, MAX_MESSAGE, Operation, Switch, Switched,
};
use protocol::{Problem, ProblemKind};

use super::git::{Bounds, Printed, WRITING};
use super::said::{self, Status};
use super::{NO_INPUT, Opened, PLAIN, Repo, reading};

/// Who has made a commit where nobody has said: in the repository's settings, or the agent's.
const NAME: &str = "Agent Router user";
const EMAIL: &str = "user@agent-router.invalid";

/// Bytes of a branch's name.
const LONGEST_NAME: usize = 200;

/// Bytes of a list of paths with what is to be known of each.
const LONGEST_ATTRIBUTES: u64 = 16 * 1024 * 1024;

/// Paths from the standard input, each ended by a zero: so none is an argument.
const FROM_INPUT: [&str; 2] = ["--pathspec-from-file=-", "--pathspec-file-nul"];

fn conflict(words: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Conflict, words)
}

/// The path's own bytes, of one that has changed and is named as the status tells it.
///
/// # Errors
/// 404 where it has not changed; 409 where two are told alike.
pub fn find(status: &Status, path: &str) -> Result<Vec<u8>, Problem> {
    if status.changes.contains_key(path.as_bytes()) {
        return Ok(path.as_bytes().to_vec());
    }
    let mut alike = status
        .changes
        .keys()
        .filter(|known| said::lossy(known) == path);
    match (alike.next(), alike.next()) {
        (Some(found), None) => Ok(found.clone()),
        (Some(_), Some(_)) => Err(conflict(format!(
            "more than one file is told as {:?}; ask the agent to rename them",
            said::short(path)
        ))),
        (None, _) => Err(Problem::new(
            ProblemKind::NotFound,
            format!(
                "{:?} is not changed, or not any more; look again",
                said::short(path)
            ),
        )
        .at("path")),
    }
}

fn find_all(status: &Status, paths: &[String]) -> Result<Vec<Vec<u8>>, Problem> {
    if paths.is_empty() {
        return Err(Problem::bad_request("name one path at least").at("paths"));
    }
    let found = paths.iter().map(|path| find(status, path));
    let mut found: Vec<Vec<u8>> = found.collect::<Result<_, _>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Git takes a path for all that is below it, and what it puts back in a folder's place takes the folder away.
///
/// # Errors
/// 409 where that would reach another change. Also where both are meant: `git commit` takes no such two.
fn refuse_nested(status: &Status, paths: &[Vec<u8>]) -> Result<(), Problem> {
    for path in paths {
        let mut folder = path.clone();
        folder.push(b'/');
        let below = status
            .changes
            .range(folder.clone()..)
            .map(|(below, _)| below.as_slice())
            .take_while(|below| below.starts_with(&folder));
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let above = slashes.filter_map(|(at, _)| path.get(..at));
        let above = above.filter(|above| status.changes.contains_key(*above));
        if let Some(other) = below.chain(above).next() {
            let [path, other] =
                [path.as_slice(), other].map(|one| said::named(std::iter::once(one)));
            return Err(conflict(format!(
                "{path} can't be had without {other}: one has come in the other's place; ask the agent to do it"
            )));
        }
    }
    Ok(())
}

/// As they are said to Git.
fn listed(paths: &[Vec<u8>]) -> Vec<u8> {
    let mut list = Vec::new();
    for path in paths {
        list.extend_from_slice(path);
        list.push(0);
    }
    list
}

fn all(status: &Status, whole: bool) -> Result<&Status, Problem> {
    if whole {
        return Ok(status);
    }
    Err(Problem::new(
        ProblemKind::TooLarge,
        "more has changed than is read here; name what can be made again in .gitignore, or ask the agent to do it",
    ))
}

impl Repo {
    /// Makes a commit. Returns it, and whether it is new: one that this very request has made before is not.
    ///
    /// # Errors
    /// 400 for a message that is none; 409 where there is nothing to commit, another commit was made, or Git
    /// refuses.
    pub async fn commit(self: &Arc<Self>, wish: Commit) -> Result<(Committed, bool), Problem> {
        let message = wish.message.trim();
        if message.is_empty() || message.contains('\0') {
            return Err(Problem::bad_request("a commit needs a message").at("message"));
        }
        if message.len() > MAX_MESSAGE {
            let words = format!("the message is longer than {MAX_MESSAGE} bytes");
            return Err(Problem::new(ProblemKind::TooLarge, words).at("message"));
        }
        let _writing = self.writing.lock().await;
        let mut opened = self.open().await?;
        let (status, whole) = opened.status().await?;
        let status = all(&status, whole)?;
        if let Some(seen) = &wish.head
            && *seen != status.head.clone().unwrap_or_default()
        {
            return match opened.made_already(seen, message).await? {
                Some(commit) => Ok((Committed { commit }, false)),
                None => Err(conflict(
                    "another commit was made meanwhile; look at what is there now, and try again",
                )),
            };
        }
        let operation = self.operation();
        if operation == Some(Operation::Rebase) {
            return Err(conflict(
                "a rebase is under way: ask the agent to go on with it or to give it up (git rebase --abort)",
            ));
        }
        let paths = match &wish.paths {
            Some(paths) => {
                let paths = find_all(status, paths)?;
                refuse_nested(status, &paths)?;
                paths
            }
            None => status.changes.keys().cloned().collect(),
        };
        if paths.is_empty() && operation.is_none() {
            return Err(conflict("there is nothing to commit: no file has changed"));
        }
        if wish.paths.is_some() && operation.is_some() {
            return Err(conflict(
                "a merge is under way, which is committed as a whole: choose all changes, or ask the agent to give it up",
            ));
        }
        let kind = |path: &Vec<u8>| status.changes.get(path).map(|state| state.kind);
        let conflicts = paths
            .iter()
            .filter(|path| kind(path) == Some(ChangeKind::Conflicted));
        let conflicts: Vec<&[u8]> = conflicts.map(Vec::as_slice).collect();
        if !conflicts.is_empty() {
            return Err(conflict(format!(
                "these files are in conflict: {}; ask the agent to solve that and to add them (git add)",
                said::named(conflicts.into_iter())
            )));
        }
        opened.refuse_filtered(&paths).await?;
        opened.name_somebody();
        let list = listed(&paths);
        if !paths.is_empty() {
            let mut arguments = vec!["add", "--all"];
            arguments.extend(FROM_INPUT);
            opened.write(&arguments, &list).await?;
        }
        let message = format!("--message={message}");
        let mut arguments = vec![
            "commit",
            "--quiet",
            "--no-verify",
            "--no-gpg-sign",
            "--no-status",
            "--cleanup=whitespace",
            message.as_str(),
        ];
        if wish.paths.is_some() {
            arguments.push("--only");
            arguments.extend(FROM_INPUT);
            opened.write(&arguments, &list).await?;
        } else {
            opened.write(&arguments, NO_INPUT).await?;
        }
        let commit = opened.log(1).await?.pop();
        let commit = commit.ok_or_else(|| conflict("the commit is not there"))?;
        Ok((Committed { commit }, true))
    }

    /// Checks another branch out. Returns whether it is new.
    ///
    /// # Errors
    /// 400 for what is no name; 409 where work would be lost, or Git refuses.
    pub async fn switch(self: &Arc<Self>, wish: Switch) -> Result<(Switched, bool), Problem> {
        let name = wish.name.trim();
        let no_name = || {
            let words = format!("{:?} can't be the name of a branch", said::short(name));
            Problem::bad_request(words).at("name")
        };
        let odd = name.is_empty()
            || name.len() > LONGEST_NAME
            || name.starts_with('-')
            || name == "@"
            || name.contains("@{")
            || name.contains(char::is_control);
        if odd {
            return Err(no_name());
        }
        let _writing = self.writing.lock().await;
        let opened = self.open().await?;
        let arguments = ["check-ref-format", "--branch", name];
        let checked = opened.git.run(&arguments, NO_INPUT, reading(1024)).await?;
        if checked.code != Some(0) || checked.text() != name {
            return Err(no_name());
        }
        let (status, whole) = opened.status().await?;
        let status = all(&status, whole)?;
        let switched = Switched {
            branch: name.to_owned(),
        };
        if status.branch.as_deref() == Some(name) && !wish.create {
            return Ok((switched, false));
        }
        if wish.create {
            opened
                .write(
                    &["switch", "--quiet", "--no-track", "--create", name],
                    NO_INPUT,
                )
                .await?;
            return Ok((switched, true));
        }
        if status.head.is_some() {
            opened.refuse_filtered_in(name).await?;
        }
        if status.branch.is_none() && status.head.is_some() && !opened.is_kept().await? {
            return Err(conflict(
                "the commit that is checked out is on no branch and would be lost: make a branch of it first",
            ));
        }
        opened
            .write(
                &[
                    "switch",
                    "--quiet",
                    "--guess",
                    "--no-recurse-submodules",
                    name,
                ],
                NO_INPUT,
            )
            .await?;
        Ok((switched, false))
    }

    /// Gives changes up, of these files alone.
    ///
    /// # Errors
    /// 404 where one of them has not changed; then nothing is given up.
    pub async fn discard(self: &Arc<Self>, wish: Discard) -> Result<Discarded, Problem> {
        let _writing = self.writing.lock().await;
        let opened = self.open().await?;
        let (status, whole) = opened.status().await?;
        let status = all(&status, whole)?;
        let paths = find_all(status, &wish.paths)?;
        refuse_nested(status, &paths)?;
        let files = paths.len();
        let untracked = |path: &Vec<u8>| {
            let state = status.changes.get(path);
            state.is_some_and(|state| state.kind == ChangeKind::Untracked)
        };
        let (loose, tracked): (Vec<_>, Vec<_>) = paths.into_iter().partition(untracked);
        if let Some(inner) = loose.iter().find(|path| path.ends_with(b"/")) {
            return Err(conflict(format!(
                "{} is a repository of its own, with commits that may be nowhere else: ask the agent to remove it",
                said::named(std::iter::once(inner.as_slice()))
            )));
        }
        opened.refuse_filtered(&tracked).await?;
        if !tracked.is_empty() {
            let list = listed(&tracked);
            let mut arguments = match status.head {
                Some(_) => vec![
                    "restore",
                    "--quiet",
                    "--source=HEAD",
                    "--staged",
                    "--worktree",
                ],
                None => vec!["rm", "--quiet", "--force"],
            };
            arguments.extend(FROM_INPUT);
            opened.write(&arguments, &list).await?;
        }
        let workspace = self.workspace.clone();
        let removed = tokio::task::spawn_blocking(move || remove(&workspace, &loose)).await;
        removed.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))??;
        Ok(Discarded { files })
    }
}

/// Deletes files of the workspace. No path leads out of it.
fn remove(workspace: &std::path::Path, paths: &[Vec<u8>]) -> Result<(), Problem> {
    use std::os::unix::ffi::OsStrExt;
    let failed = |what: &[u8], error: &std::io::Error| {
        Problem::new(
            ProblemKind::Forbidden,
            format!(
                "{} can't be deleted: {error}",
                said::named(std::iter::once(what))
            ),
        )
    };
    let root = Dir::open_ambient_dir(workspace, ambient_authority())
        .map_err(|error| failed(b"a file", &error))?;
    for path in paths {
        match root.remove_file(std::ffi::OsStr::from_bytes(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Opened {
    async fn write(&self, arguments: &[&str], input: &[u8]) -> Result<Printed, Problem> {
        let bounds = Bounds {
            bytes: 64 * 1024,
            time: WRITING,
        };
        self.git.run(arguments, input, bounds).await?.done()
    }

    /// The last commit, where it is what somebody who had seen the one before has asked for.
    async fn made_already(
        &self,
        seen: &str,
        message: &str,
    ) -> Result<Option<protocol::repository::LoggedCommit>, Problem> {
        let arguments = [
            "log",
            "--max-count=1",
            "--format=%P%x00%B",
            "--encoding=UTF-8",
            "HEAD",
            "--",
        ];
        let printed = self
            .git
            .run(&arguments, NO_INPUT, reading(MAX_MESSAGE as u64 * 2))
            .await?;
        let Ok(printed) = printed.done() else {
            return Ok(None);
        };
        let text = printed.text();
        let same = text.split_once('\0').is_some_and(|(parents, said)| {
            let first = parents.trim().split(' ').next().unwrap_or_default();
            first == seen && said.trim() == message
        });
        if !same {
            return Ok(None);
        }
        Ok(self.log(1).await?.pop())
    }

    /// What another branch has otherwise, and goes through a filter, would be written as the filter has left it.
    ///
    /// # Errors
    /// 409 where that is so of a file, or can't be found out.
    async fn refuse_filtered_in(&self, branch: &str) -> Result<(), Problem> {
        if self.filters.is_empty() {
            return Ok(());
        }
        let branch = format!("refs/heads/{branch}");
        let mut arguments = vec!["diff", "--name-only", "-z"];
        arguments.extend(PLAIN);
        arguments.extend(["HEAD", branch.as_str(), "--"]);
        let printed = self
            .git
            .run(&arguments, NO_INPUT, reading(LONGEST_ATTRIBUTES))
            .await?
            .done()?;
        let touched: Vec<Vec<u8>> = printed
            .output
            .split(|byte| *byte == 0)
            .filter(|path| !path.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        // Which files go through a filter is otherwise there.
        let other_rules = touched.iter().any(|path| path.ends_with(b".gitattributes"));
        if !printed.whole || other_rules {
            return Err(conflict(
                "the repository has filters, which are programs and are not run here, and the branch may have other \
                 files that go through them: ask the agent to switch",
            ));
        }
        self.refuse_filtered(&touched).await
    }

    /// Whether a branch, a tag or a remote has the commit that is checked out.
    async fn is_kept(&self) -> Result<bool, Problem> {
        let arguments = [
            "for-each-ref",
            "--contains=HEAD",
            "--count=1",
            "--format=%(refname)",
        ];
        let printed = self
            .git
            .run(&arguments, NO_INPUT, reading(64 * 1024))
            .await?;
        Ok(!printed.done()?.output.is_empty())
    }

    /// A commit has an author, also where the settings name none.
    fn name_somebody(&mut self) {
        let says = |wanted: &str| {
            self.settings
                .iter()
                .any(|(name, value)| name == wanted && !value.is_empty())
        };
        let (name, email) = (says("user.name"), says("user.email"));
        if !name {
            self.git.set("user.name", NAME);
        }
        if !email {
            self.git.set("user.email", EMAIL);
        }
    }

    /// What goes through a filter would be kept otherwise than the repository wants it, as no filter runs.
    ///
    /// # Errors
    /// 409 where that is so of a file.
    async fn refuse_filtered(&self, paths: &[Vec<u8>]) -> Result<(), Problem> {
        if self.filters.is_empty() || paths.is_empty() {
            return Ok(());
        }
        let bounds = reading(LONGEST_ATTRIBUTES);
        let arguments = ["check-attr", "-z", "--stdin", "filter"];
        let printed = self
            .git
            .run(&arguments, &listed(paths), bounds)
            .await?
            .done()?;
        if !printed.whole {
            return Err(conflict(
                "these are too many files to say of each that it goes through no filter; ask the agent to do it",
            ));
        }
        let fields: Vec<&[u8]> = printed.output.split(|byte| *byte == 0).collect();
        let filtered = fields.chunks_exact(3).filter_map(|fields| match fields {
            [path, _, filter] => self
                .filters
                .iter()
                .any(|known| known.as_bytes() == *filter)
                .then_some(*path),
            _ => None,
        });
        let filtered: Vec<&[u8]> = filtered.collect();
        if filtered.is_empty() {
            return Ok(());
        }
        Err(conflict(format!(
            "these files go through a filter, which is a program and is not run here: {}; ask the agent to do it",
            said::named(filtered.into_iter())
        )))
    }
}
