//! Files that appear whole or not at all, and what else changes the workspace.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt};
use futures_util::{Stream, StreamExt};
use protocol::content::names;
use protocol::files::{Change, Changed, MAX_FILE, Written};
use protocol::{Problem, ProblemKind};
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt;

use super::read::{self, Content, Opened};
use super::{Files, Wanted, blocking};

/// How long a sender may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// A file beside the one that it will be, under a name that nobody has. It is gone where it is not
/// placed.
pub struct Staged {
    dir: Dir,
    name: OsString,
    /// None when it is placed.
    file: Option<tokio::fs::File>,
    pub size: u64,
}

impl Staged {
    /// In a folder, which is made where it is missing.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn new(root: &Dir, folder: &Wanted) -> io::Result<Self> {
        let dir = made(root, folder)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = OsString::from(format!(".{digits}.part"));
        let file = dir.open_with(&name, OpenOptions::new().write(true).create_new(true))?;
        Ok(Self {
            dir,
            name,
            file: Some(tokio::fs::File::from_std(file.into_std())),
            size: 0,
        })
    }

    /// # Errors
    /// Those of the disk.
    pub async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        file.write_all(piece).await?;
        self.size += piece.len() as u64;
        Ok(())
    }

    /// All of it is with the system, which may say only now that there was no room.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn complete(&mut self) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        file.flush().await
    }

    /// Gives it its name. What is replaced leaves it its rights.
    ///
    /// # Errors
    /// `AlreadyExists` where there is something and it is not to be replaced, or can't be.
    pub fn place(&mut self, name: &OsStr, overwrite: bool) -> io::Result<()> {
        if overwrite {
            match self.dir.symlink_metadata(name) {
                Ok(old) if old.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(old) if old.is_file() => {
                    let rights = Permissions::from_mode(old.permissions().mode() & 0o777);
                    self.dir.set_permissions(&self.name, rights)?;
                }
                _ => {}
            }
        }
        rename(&self.dir, &self.name, &self.dir, name, overwrite)?;
        self.file = None;
        Ok(())
    }

    /// Takes back a file that was placed where nothing was.
    pub fn take_back(&self, name: &OsStr) {
        let _gone = self.dir.remove_file(name);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _gone = self.dir.remove_file(&self.name);
        }
    }
}

/// A folder, made where it is missing.
fn made(root: &Dir, folder: &Wanted) -> io::Result<Dir> {
    match root.open_dir(folder.to_open()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            root.create_dir_all(folder.path())?;
            root.open_dir(folder.path())
        }
        opened => opened,
    }
}

/// Renames within folders that are open, so that no path is followed. Without `overwrite` nothing that
/// is there is replaced, also where it comes into being at that moment.
fn rename(from: &Dir, name: &OsStr, to: &Dir, new: &OsStr, overwrite: bool) -> io::Result<()> {
    let flags = if overwrite {
        RenameFlags::empty()
    } else {
        RenameFlags::NOREPLACE
    };
    match rustix::fs::renameat_with(from, name, to, new, flags) {
        // A file system that can't: a second name is never given to what exists either.
        Err(Errno::INVAL | Errno::NOSYS)
            if !overwrite && !from.symlink_metadata(name)?.is_dir() =>
        {
            rustix::fs::linkat(from, name, to, new, AtFlags::empty())?;
            from.remove_file(name)
        }
        done => Ok(done?),
    }
}

impl Files {
    /// Writes a whole file from a stream; the folders above it are made where they are missing.
    ///
    /// # Errors
    /// 412 where the file is not as `If-Match` or `If-None-Match` say, 413 where it is too long.
    pub async fn put<E>(
        &self,
        wanted: &Wanted,
        asked: &HeaderMap,
        body: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    ) -> Result<(Written, String), Problem> {
        let written = self.put_all(wanted, asked, body).await;
        if written.is_err() {
            drain(body, 2 * MAX_FILE).await;
        }
        written
    }

    async fn put_all<E>(
        &self,
        wanted: &Wanted,
        asked: &HeaderMap,
        body: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    ) -> Result<(Written, String), Problem> {
        // A link within the workspace stays, and what it leads to is written.
        let (root, link) = (Arc::clone(&self.root), wanted.clone());
        let wanted = blocking(move || match root.canonicalize(link.to_open()) {
            Ok(real) => Ok(Wanted(real)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(link),
            Err(error) => Err(link.problem(&error)),
        })
        .await?;
        let (folder, name) = wanted.parts()?;
        let failed = |error: io::Error| wanted.problem(&error);
        let declared = asked
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok());
        if declared
            .and_then(|text| text.parse().ok())
            .is_some_and(|bytes: u64| bytes > MAX_FILE)
        {
            return Err(too_large(&wanted));
        }
        let root = Arc::clone(&self.root);
        let path = wanted.clone();
        let mut staged =
            blocking(move || Staged::new(&root, &folder).map_err(|error| path.problem(&error)))
                .await?;
        let cut = |_: &E| Problem::bad_request("the request's body was cut");
        while let Some(piece) = next(body, cut).await? {
            if staged.size + piece.len() as u64 > MAX_FILE {
                return Err(too_large(&wanted));
            }
            staged.write(&piece).await.map_err(failed)?;
        }
        staged.complete().await.map_err(failed)?;

        let _alone = self.replacing.lock().await;
        let (root, path) = (Arc::clone(&self.root), wanted.clone());
        let (if_match, if_none) = (
            asked.get(header::IF_MATCH).cloned(),
            asked.get(header::IF_NONE_MATCH).cloned(),
        );
        let name = name.to_owned();
        blocking(move || {
            let before = version(&root, &path)?;
            heed(
                before.as_deref(),
                if_match.as_ref(),
                if_none.as_ref(),
                &path,
            )?;
            // What was not there is not replaced where it has come meanwhile.
            let size_bytes = staged.size;
            staged
                .place(&name, before.is_some())
                .map_err(|error| path.problem(&error))?;
            let now = version(&root, &path)?.unwrap_or_default();
            let written = Written {
                path: path.lossy(),
                size_bytes,
                created: before.is_none(),
            };
            Ok((written, now))
        })
        .await
    }

    /// Makes a folder, or gives something another name.
    ///
    /// # Errors
    /// 409 where there is something already.
    pub async fn change(&self, change: Change) -> Result<Changed, Problem> {
        let root = Arc::clone(&self.root);
        blocking(move || match change {
            Change::Mkdir { path } => {
                let wanted = Wanted::from_text(&path);
                let (above, name) = wanted.parts()?;
                let made = made(&root, &above).and_then(|above| above.create_dir(name));
                made.map_err(|error| wanted.problem(&error))?;
                Ok(Changed {
                    path: wanted.lossy(),
                })
            }
            Change::Rename {
                from,
                to,
                overwrite,
            } => {
                let (from, to) = (Wanted::from_text(&from), Wanted::from_text(&to));
                let (from_folder, name) = from.parts()?;
                let (to_folder, new) = to.parts()?;
                let from_folder = root
                    .open_dir(from_folder.to_open())
                    .map_err(|error| from_folder.problem(&error))?;
                from_folder
                    .symlink_metadata(name)
                    .map_err(|error| from.problem(&error))?;
                let to_folder =
                    made(&root, &to_folder).map_err(|error| to_folder.problem(&error))?;
                rename(&from_folder, name, &to_folder, new, overwrite).map_err(
                    |error| match error.raw_os_error().map(Errno::from_raw_os_error) {
                        Some(Errno::INVAL) => Problem::bad_request(format!(
                            "{} can't be moved into itself",
                            from.told()
                        ))
                        .at("to"),
                        Some(Errno::NOTDIR) => Problem::new(
                            ProblemKind::Conflict,
                            format!("{} is a file, and no folder takes its place", to.told()),
                        ),
                        _ => to.problem(&error),
                    },
                )?;
                Ok(Changed { path: to.lossy() })
            }
        })
        .await
    }

    /// Removes a file, a link (not what it leads to), or a folder.
    ///
    /// # Errors
    /// 409 for a folder with something in it, where it is not `recursive`.
    pub async fn delete(&self, wanted: Wanted, recursive: bool) -> Result<(), Problem> {
        let root = Arc::clone(&self.root);
        blocking(move || {
            let (folder, name) = wanted.parts()?;
            let failed = |error: io::Error| wanted.problem(&error);
            let dir = root.open_dir(folder.to_open()).map_err(failed)?;
            let name = Path::new(name);
            let is_dir = dir.symlink_metadata(name).map_err(failed)?.is_dir();
            match (is_dir, recursive) {
                (true, true) => dir.remove_dir_all(name).map_err(failed),
                (true, false) => dir.remove_dir(name).map_err(|error| {
                    let mut problem = failed(error);
                    if problem.kind == ProblemKind::Conflict {
                        problem.detail += "; with ?recursive=true it goes with all that is in it";
                    }
                    problem
                }),
                (false, _) => dir.remove_file(name).map_err(failed),
            }
        })
        .await
    }
}

/// The next of what somebody sends.
///
/// # Errors
/// Where it was cut, or its sender is silent.
pub async fn next<T, E>(
    body: &mut (impl Stream<Item = Result<T, E>> + Unpin),
    unread: impl Fn(&E) -> Problem,
) -> Result<Option<T>, Problem> {
    match tokio::time::timeout(SILENCE, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(error))) => Err(unread(&error)),
        Err(_) => Err(Problem::new(
            ProblemKind::TimedOut,
            format!("nothing of the body came for {} seconds", SILENCE.as_secs()),
        )),
    }
}

/// Reads past what is left of a refused body, up to `limit` bytes: its sender reads nothing before it
/// has sent everything.
pub async fn drain<E>(body: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin), limit: u64) {
    let mut read = 0;
    while read < limit
        && let Ok(Some(Ok(piece))) = tokio::time::timeout(SILENCE, body.next()).await
    {
        read += piece.len() as u64;
    }
}

fn too_large(wanted: &Wanted) -> Problem {
    Problem::new(
        ProblemKind::TooLarge,
        format!(
            "{} is longer than {MAX_FILE} bytes, the limit of one file",
            wanted.told()
        ),
    )
}

/// The version of the file at a path; none where there is nothing.
fn version(root: &Dir, wanted: &Wanted) -> Result<Option<String>, Problem> {
    let opened = match read::open(root, wanted) {
        Ok(opened) => opened,
        Err(problem) if problem.kind == ProblemKind::NotFound => {
            // A link that leads to nothing is something to replace.
            let there = root.symlink_metadata(wanted.path()).is_ok();
            return Ok(there.then(String::new));
        }
        Err(problem) => return Err(problem),
    };
    match opened {
        Opened::Folder => Err(wanted.problem(&io::ErrorKind::IsADirectory.into())),
        Opened::File(opening) => {
            let content = Content::of(opening).map_err(|error| wanted.problem(&error))?;
            Ok(Some(content.version))
        }
    }
}

/// Whether a file may be replaced as its sender says.
fn heed(
    before: Option<&str>,
    if_match: Option<&HeaderValue>,
    if_none_match: Option<&HeaderValue>,
    wanted: &Wanted,
) -> Result<(), Problem> {
    let refused = |words: &str| {
        let detail = format!("{} {words}", wanted.told());
        Err(Problem::new(ProblemKind::PreconditionFailed, detail))
    };
    let text = |value: Option<&HeaderValue>| {
        value.map(|value| value.to_str().unwrap_or_default().to_owned())
    };
    if let Some(tags) = text(if_match)
        && !before.is_some_and(|before| names(&tags, before, false))
    {
        return refused("has been changed since; read it again");
    }
    if let Some(tags) = text(if_none_match)
        && before.is_some_and(|before| names(&tags, before, true))
    {
        return refused("is there already");
    }
    Ok(())
}
