//! The person's own Git repository in a session's workspace: what is there, and what is done with it. It has
//! nothing to do with what [`crate::diff`] compares.
//!
//! | request to the agent-server | answer |
//! | --- | --- |
//! | `GET /repository` | [`Found`] |
//! | `GET /repository/diff?path=` | a [`FileDiff`](crate::diff::FileDiff): the file as it is, compared with the last commit |
//! | `POST /repository/commit` with a [`Commit`] | [`Committed`] |
//! | `POST /repository/branch` with a [`Switch`] | [`Switched`] |
//! | `POST /repository/discard` with a [`Discard`] | [`Discarded`] |
//!
//! The Worker has the same below `/api/sessions/{id}`. Paths are those that [`Change::path`] names, and no others:
//! a path that has not changed is refused.

use serde::{Deserialize, Serialize};

/// Changes that an answer names.
pub const MAX_CHANGES: usize = 2000;

/// Commits that an answer names: the last.
pub const MAX_COMMITS: usize = 50;

/// Branches that an answer names: those with the newest commits.
pub const MAX_BRANCHES: usize = 200;

/// Bytes of a commit's message.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Bytes of a request.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// What there is in the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Found {
    /// None where the workspace is no repository.
    #[serde(default)]
    pub repository: Option<Repository>,
    /// What a reader has to know, such as why something that looks like a repository is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A repository as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Repository {
    /// None where a commit is checked out instead of a branch.
    #[serde(default)]
    pub branch: Option<String>,
    /// The name of the last commit; none before the first.
    #[serde(default)]
    pub head: Option<String>,
    /// The branch of a remote that this one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// By path.
    pub changes: Vec<Change>,
    pub counts: Counts,
    /// There are more changes than are named; where `counts.at_least` says so, than are counted.
    pub truncated: bool,
    /// The newest first.
    pub commits: Vec<LoggedCommit>,
    /// The one with the newest commit first.
    pub branches: Vec<String>,
    /// There are more branches than are named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_branches: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// What is under way and has to be ended first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
}

/// The branch of a remote that a branch follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Upstream {
    /// Such as `origin/main`.
    pub name: String,
    /// Commits that it does not have; none where it is not there any more.
    #[serde(default)]
    pub ahead: Option<u64>,
    /// Commits that it has and the branch has not, as of the last time that it was fetched.
    #[serde(default)]
    pub behind: Option<u64>,
}

/// A file that is not as the last commit has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// From the repository's folder. What is no UTF-8 in it is replaced; `/` at its end is a repository within.
    pub path: String,
    pub kind: ChangeKind,
    /// In the index (`git add`).
    pub staged: bool,
    /// In the folder, otherwise than in the index.
    pub unstaged: bool,
    /// Lines; none where nobody has counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additions: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions: Option<u64>,
}

/// One that was renamed is one that is deleted and one that is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
    /// A file has become a link, or the other way round.
    TypeChanged,
    Untracked,
    Conflicted,
}

/// How many files are changed. One may be counted as staged and as unstaged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counts {
    pub all: usize,
    pub staged: usize,
    pub unstaged: usize,
    pub untracked: usize,
    pub conflicts: usize,
    /// There are more than are counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// A commit as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoggedCommit {
    pub hash: String,
    /// 300 letters at most, as of the author's name.
    pub subject: String,
    pub author: String,
    /// When it was written: seconds since 1970.
    pub time: i64,
}

/// Where the repository lies at GitHub, GitLab or Bitbucket. Made from the remote's address, without what may be
/// secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Remote {
    /// Such as `origin`.
    pub name: String,
    pub host: String,
    /// Its page.
    pub web: String,
    /// The page on which a pull request (a merge request) of the branch is opened; none of the branch that it
    /// would be opened against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_request: Option<String>,
}

/// What Git has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Merge,
    Rebase,
    CherryPick,
    Revert,
}

/// A commit that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Commit {
    pub message: String,
    /// All changes where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// The last commit as its sender has seen it; empty before the first. Where another was made meanwhile the
    /// request is refused, unless it was made by this very request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

/// A commit that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Committed {
    pub commit: LoggedCommit,
}

/// Another branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub name: String,
    /// It is new, and begins at the last commit.
    #[serde(default)]
    pub create: bool,
}

/// The branch that is checked out now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Switched {
    pub branch: String,
}

/// Changes that are given up: files become what they are in the last commit, untracked ones are deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Discard {
    pub paths: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Discarded {
    pub files: usize,
}
