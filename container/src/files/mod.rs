//! The workspace's files over HTTP: listed, read, written and packed.
//!
//! Everything goes through a folder that no path leads out of (`cap-std`, which has the kernel resolve
//! each path below it): not by `..`, not by an absolute path, and not by a link that the agent has made.
//! So nothing here looks into a path for what might be wrong with it.
//!
//! | part | purpose |
//! | --- | --- |
//! | `survey`, `ignores` | what is there |
//! | `git` | what Git says of it |
//! | `read`, `kinds` | one file, or a part of it, and what it is |
//! | `write`, `upload` | files that appear whole, or not at all |
//! | `zip` | all of it, packed while it is sent |
//! | `http` | the routes |

mod git;
pub mod http;
mod ignores;
mod kinds;
mod read;
mod survey;
mod upload;
mod write;
mod zip;

pub(crate) use ignores::Ignores;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use protocol::options::WORKSPACE;
use protocol::{Problem, ProblemKind};
use tokio::sync::{Mutex, Semaphore};

/// How many may walk the whole workspace at a time. Others wait.
const WALKS: usize = 2;

/// ZIPs that are made at a time. Others are refused: how long one takes, its reader decides.
const PACKINGS: usize = 4;

/// What stands in an address as it is.
const IN_ADDRESS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Letters of a path in words for a person.
const LONGEST_TOLD: usize = 300;

/// The workspace's files.
#[derive(Debug)]
pub struct Files {
    root: Arc<Dir>,
    walks: Semaphore,
    packings: Arc<Semaphore>,
    /// Held while it is looked whether a file is as somebody has seen it, and replaced.
    replacing: Mutex<()>,
}

impl Files {
    /// # Errors
    /// Where the folder can't be opened.
    pub fn open(workspace: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Arc::new(Dir::open_ambient_dir(workspace, ambient_authority())?),
            walks: Semaphore::new(WALKS),
            packings: Arc::new(Semaphore::new(PACKINGS)),
            replacing: Mutex::default(),
        })
    }
}

/// A path below the workspace, as somebody asks for it: any bytes. Empty for the workspace itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(PathBuf);

impl Wanted {
    /// From a part of an address: percent-encoded, and decoded once.
    pub fn from_address(address: &str) -> Self {
        let bytes: Vec<u8> = percent_decode(address.as_bytes()).collect();
        Self(tidy(Path::new(&OsString::from_vec(bytes))))
    }

    /// From JSON or a query. What the agent calls `/workspace/a` is `a`.
    pub fn from_text(text: &str) -> Self {
        let path = Path::new(text);
        Self(tidy(path.strip_prefix(WORKSPACE).unwrap_or(path)))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// For the folder itself, a path that leads there.
    fn to_open(&self) -> &Path {
        if self.is_root() {
            return Path::new(".");
        }
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    /// The same without its last part, where that is this word.
    fn without_last(&self, word: &str) -> Option<Self> {
        let last = self.0.file_name()? == word;
        let above = self.0.parent().filter(|above| *above != Path::new(""))?;
        last.then(|| Self(above.to_owned()))
    }

    /// The folder that it is in, and its name there.
    ///
    /// # Errors
    /// 400 where it has no name, as the workspace itself has none.
    fn parts(&self) -> Result<(Self, &OsStr), Problem> {
        let name = self.0.file_name().ok_or_else(|| {
            Problem::bad_request(format!("{} is no name of a file or folder", self.told()))
                .at("path")
        })?;
        let above = self.0.parent().unwrap_or(Path::new(""));
        Ok((Self(above.to_owned()), name))
    }

    fn name(&self) -> &OsStr {
        self.0.file_name().unwrap_or_default()
    }

    /// In an answer: what is no UTF-8 is replaced.
    pub fn lossy(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// In words for a person, with what could not be seen in it escaped.
    fn told(&self) -> String {
        let whole = self.lossy();
        let short: String = whole.chars().take(LONGEST_TOLD).collect();
        let more = if short.len() < whole.len() { "…" } else { "" };
        format!("{short:?}{more}")
    }

    /// What went wrong with it, by what the system says.
    fn problem(&self, error: &io::Error) -> Problem {
        problem(&self.told(), error)
    }
}

/// Without a slash at its end, twice in a row, or a dot for the same folder. What leads up or begins at
/// the root stays, and is refused where it is opened.
fn tidy(path: &Path) -> PathBuf {
    let parts = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir));
    parts.collect()
}

/// A path in an address.
fn address_of(path: &Path) -> String {
    percent_encode(path.as_os_str().as_bytes(), IN_ADDRESS).to_string()
}

fn problem(what: &str, error: &io::Error) -> Problem {
    use io::ErrorKind as E;
    let (kind, words) = match error.kind() {
        E::NotFound => (ProblemKind::NotFound, "is not there".to_owned()),
        E::NotADirectory => (
            ProblemKind::NotFound,
            "is not there: what is above it is no folder".to_owned(),
        ),
        // The system has a number for what it forbids itself.
        E::PermissionDenied if error.raw_os_error().is_none() => (
            ProblemKind::Forbidden,
            "leads out of the workspace".to_owned(),
        ),
        E::PermissionDenied | E::ReadOnlyFilesystem => (
            ProblemKind::Forbidden,
            "is not allowed to the agent's user".to_owned(),
        ),
        E::AlreadyExists => (ProblemKind::Conflict, "is there already".to_owned()),
        E::DirectoryNotEmpty => (
            ProblemKind::Conflict,
            "is a folder that is not empty".to_owned(),
        ),
        E::IsADirectory => (ProblemKind::Conflict, "is a folder".to_owned()),
        E::InvalidFilename => (ProblemKind::BadRequest, "is too long for a name".to_owned()),
        E::StorageFull | E::QuotaExceeded | E::FileTooLarge => (
            ProblemKind::TooLarge,
            "finds no room: the sandbox's disk is full".to_owned(),
        ),
        E::InvalidInput => (ProblemKind::BadRequest, "can't be a path".to_owned()),
        // Too many links, or links in a circle.
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => (
            ProblemKind::BadRequest,
            "is a link that leads nowhere".to_owned(),
        ),
        _ => (
            ProblemKind::SandboxFailed,
            format!("can't be used: {error}"),
        ),
    };
    Problem::new(kind, format!("{what} {words}"))
}

/// Runs what waits for the disk where nothing else waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Problem::new(ProblemKind::Internal, error.to_string())),
    }
}
