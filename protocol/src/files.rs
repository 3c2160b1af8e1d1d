//! The files of a session: what `/api/files` answers, what may be asked of it, and how the Worker asks
//! the agent-server.
//!
//! | request to the agent-server | answer |
//! | --- | --- |
//! | `GET /files/{path}` | a folder as a [`Listing`], a text as a [`TextFile`], an image or with `?raw=true` the bytes, anything else as a [`BinaryFile`] |
//! | `GET /files/{path}/download` | the bytes, to be kept in a file |
//! | `PUT /files/{path}` | [`Written`]; `If-Match` and `If-None-Match: *` are heeded |
//! | `DELETE /files/{path}?recursive=` | 204 |
//! | `POST /files` with a [`Change`] | [`Changed`] |
//! | `POST /upload?target_path=&overwrite=` with a multipart form | [`Uploaded`] |
//! | `POST /zip?path=&ignored=` | a ZIP, while it is made |
//! | `GET /diff?from=&to=` | a [`Diff`](crate::diff::Diff), or the same as text |
//! | `/repository…` | [`crate::repository`] |
//!
//! Paths are relative to the workspace. In an address each byte of a name may be percent-encoded, so
//! that names which are no UTF-8 have one as well ([`Node::encoded`]).

use serde::{Deserialize, Serialize};

/// On every request: the session, as `/api` names it in its answers.
pub const SESSION: &str = "x-session-id";

/// Headers of a request that reach the agent-server.
pub const REQUEST_HEADERS: [&str; 7] = [
    "accept",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "range",
];

/// Bytes of one file that is written.
pub const MAX_FILE: u64 = 50 * 1024 * 1024;

/// Bytes of the files of one upload.
pub const MAX_UPLOAD: u64 = 200 * 1024 * 1024;

/// Bytes of an upload's request: its files, and what stands between them.
pub const MAX_FORM: u64 = MAX_UPLOAD + 1024 * 1024;

/// Files of one upload.
pub const MAX_UPLOAD_FILES: usize = 50;

/// Bytes of the files in a ZIP.
pub const MAX_ZIP: u64 = 1024 * 1024 * 1024;

/// Files in a ZIP.
pub const MAX_ZIP_FILES: usize = 10_000;

/// Bytes of a text that is answered as JSON. A longer one is had with `?raw=true`.
pub const MAX_TEXT: u64 = 2 * 1024 * 1024;

/// Folders within folders that a listing shows. What is deeper is listed from a folder below.
pub const MAX_DEPTH: usize = 50;

/// Entries of a listing at most, and where nothing is said.
pub const MAX_ITEMS: usize = 10_000;

/// Bytes of a [`Change`].
pub const MAX_CHANGE: usize = 32 * 1024;

/// A folder with what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listing {
    /// Where the agent sees it.
    pub root: String,
    pub tree: Node,
    /// Files, down to the depth that was asked for.
    pub total_files: usize,
    /// Files, folders, links and whatever else there is.
    pub total_items: usize,
    /// The totals are too small: there is more than is looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// There are more entries: the `after` to ask for the next page with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Node {
    /// What is no UTF-8 in it is replaced.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub path: String,
    /// The path for an address, percent-encoded, where `path` is not the whole truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded: Option<String>,
    /// Bytes, of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// What Git says of it, where it has something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitStatus>,
    /// What a link holds. It is not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// A folder whose entries are not all here: it lies too deep, or can't be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Vec<Node>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Directory,
    File,
    Symlink,
    /// A pipe, a socket, a device.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GitStatus {
    Added,
    Modified,
    Renamed,
    Untracked,
    Conflicted,
}

/// A file that is text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TextFile {
    pub path: String,
    pub content: String,
    /// In small letters, such as `rust`; `text` where it is not known.
    pub language: String,
    pub size_bytes: u64,
    pub lines: usize,
}

/// A file that is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BinaryFile {
    /// `binary`
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub path: String,
    pub size: u64,
    pub content_type: String,
    /// Why it is not shown, for a person.
    pub message: String,
    pub download_url: String,
}

/// What is changed without a body of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Makes a folder, and those above it where they are missing.
    Mkdir { path: String },
    /// Renames or moves.
    Rename {
        from: String,
        to: String,
        /// What is there is replaced.
        #[serde(default)]
        overwrite: bool,
    },
}

/// What has been changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changed {
    pub path: String,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Written {
    pub path: String,
    pub size_bytes: u64,
    /// It was not there before.
    pub created: bool,
}

/// What came with an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Uploaded {
    pub session_id: String,
    pub target_path: String,
    pub uploaded: Vec<UploadedFile>,
    pub total_files: usize,
    pub total_size_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UploadedFile {
    pub name: String,
    pub path: String,
    pub size_bytes: u64,
}
