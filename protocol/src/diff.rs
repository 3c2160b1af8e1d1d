//! What has changed in a session's workspace between two points of the session:
//! `GET /api/sessions/{id}/diff?from=turn-2&to=turn-3`, which the Worker asks of the agent-server as
//! `GET /diff?from=…&to=…`.
//!
//! A point is [`BEGIN`], the end of a turn (`turn-3`), or [`NOW`]. With `Accept: text/x-diff` the answer
//! is the diff as text, while it is made.

use serde::{Deserialize, Serialize};

/// The workspace as the session began with it.
pub const BEGIN: &str = "begin";

/// The workspace as it is.
pub const NOW: &str = "now";

/// The type of a diff as text.
pub const TEXT: &str = "text/x-diff";

/// Bytes of a file that is compared; what is larger counts as it was when it was smaller.
pub const MAX_COMPARED: u64 = 5 * 1024 * 1024;

/// Files that an answer names.
pub const MAX_FILES: usize = 2000;

/// Bytes of one file's patch in an answer, and of all of them.
pub const MAX_PATCH: usize = 256 * 1024;
pub const MAX_PATCHES: usize = 2 * 1024 * 1024;

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Diff {
    pub from: String,
    pub to: String,
    /// Without what `.gitignore` and `CACHEDIR.TAG` name.
    pub files: Vec<FileDiff>,
    /// There are more files than are named, or patches that are too long to be here.
    pub truncated: bool,
    /// What a reader has to know: that the begin is not the session's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What has changed in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileDiff {
    /// What is no UTF-8 in it is replaced.
    pub path: String,
    /// Where it was before, of one that was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_path: Option<String>,
    pub status: FileStatus,
    /// Lines; 0 of a file that is no text.
    pub additions: u64,
    pub deletions: u64,
    /// It is no text, so there is no patch of it.
    pub binary: bool,
    /// In the unified form, with Git's own head; none where it is too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    Added,
    Modified,
    Deleted,
    Renamed,
    /// A file has become a link, or the other way round.
    TypeChanged,
}
