//! The sandbox's disk, saved outside of it: what is in the workspace and in the agent's home becomes
//! an archive, and comes back from archives where the disk is a new one.
//!
//! ```text
//!            nothing to restore, or the last archive is unpacked
//! awaiting ──────────────────────────────────────────────────────► ready ── save, save, …
//!    └── first archive ──► restoring (torn where it does not come to its end)
//! ```
//!
//! Only a new disk is ever restored. What a disk has been through is noted on the disk itself, so that a
//! server that starts again on the same disk restores nothing over what is newer.

mod archive;
mod index;
mod unpack;

#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use protocol::sandbox::{DiskState, SaveRequest};
use protocol::{Problem, ProblemKind};

pub use archive::Archive;
use archive::{FORMAT, Header};
use index::{Index, MAX_ENTRIES, Root, Unread};
pub use index::{Stamp, is_cache, open_file};

/// The note about this disk, in the agent's home. It says `restoring` or `ready`.
const MARKER: &str = ".agent-server-disk";

/// Largest parts that somebody hears of whose disk is too large to save.
const LARGEST: usize = 3;

#[derive(Debug)]
pub struct Disk {
    roots: Arc<Vec<(Root, Dir)>>,
    state: Mutex<State>,
    /// Held while an archive is written or unpacked.
    busy: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum State {
    /// Nothing may run here yet.
    Awaiting {
        /// The last save that was unpacked.
        at: Option<u64>,
        /// There is something of an archive that did not come to its end.
        torn: bool,
    },
    Ready {
        /// What the disk held at these saves: the last one that is known to be kept elsewhere, and
        /// the one after it.
        known: Vec<(u64, Arc<Index>)>,
    },
}

impl Disk {
    /// Where the server is to wait for what was saved (`awaits`), a disk that has never been used does.
    ///
    /// # Errors
    /// Where the folders can't be opened.
    pub fn open(workspace: &Path, home: &Path, awaits: bool) -> io::Result<Self> {
        let open = |path| Dir::open_ambient_dir(path, ambient_authority());
        let roots = vec![
            (Root::Workspace, open(workspace)?),
            (Root::Home, open(home)?),
        ];
        let disk = Self {
            roots: Arc::new(roots),
            state: Mutex::new(State::Ready { known: Vec::new() }),
            busy: tokio::sync::Mutex::default(),
        };
        let note = disk
            .home()
            .and_then(|home| home.read_to_string(MARKER).ok());
        let torn = note.as_deref() == Some("restoring");
        let is_new = note.is_none() && open(workspace)?.entries()?.next().is_none();
        if torn || (awaits && is_new) {
            *disk.state() = State::Awaiting { at: None, torn };
        } else {
            disk.note("ready")?;
        }
        Ok(disk)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn home(&self) -> Option<&Dir> {
        let home = self.roots.iter().find(|(root, _)| *root == Root::Home);
        home.map(|(_, dir)| dir)
    }

    /// Whole or not at all.
    fn note(&self, words: &str) -> io::Result<()> {
        let Some(home) = self.home() else {
            return Ok(());
        };
        let new = format!("{MARKER}.new");
        home.write(&new, words)?;
        home.open(&new)?.sync_all()?;
        home.rename(&new, home, MARKER)
    }

    pub fn told(&self) -> DiskState {
        match *self.state() {
            State::Awaiting { .. } => DiskState::Awaiting,
            State::Ready { .. } => DiskState::Ready,
        }
    }

    pub fn is_ready(&self) -> bool {
        self.told() == DiskState::Ready
    }

    /// An archive of what has changed since the save that the request names, or of everything where
    /// that is not known here; `None` where nothing has.
    ///
    /// # Errors
    /// 413 where there is more than may be saved, saying what takes most; 409 before the disk is ready.
    pub async fn save(&self, request: SaveRequest) -> Result<Option<Archive>, Problem> {
        let _alone = self.busy.lock().await;
        let before = match &*self.state() {
            State::Awaiting { .. } => return Err(not_ready()),
            State::Ready { known } => request.after.and_then(|after| {
                let known = known.iter().find(|(save, _)| *save == after);
                known.map(|(_, index)| Arc::clone(index))
            }),
        };
        let header = Header {
            format: FORMAT,
            save: request.save,
            after: before.as_ref().and(request.after),
        };
        let (roots, base) = (Arc::clone(&self.roots), before.clone());
        let written = blocking(move || {
            let mut index = Index::of(&roots)?;
            if index.bytes() > request.max_bytes {
                // It tells of the workspace, and is not to take its room: without it the history begins anew.
                index.leave_out(Root::Home, crate::history::FOLDER);
            }
            if index.bytes() > request.max_bytes {
                return Ok(Err(too_large(&index, request.max_bytes)));
            }
            archive::write(&roots, index, base.as_deref(), &header)
                .map_err(Unread::Io)
                .map(Ok)
        });
        let archive = match written.await {
            Ok(written) => written?,
            Err(Unread::TooMany) => {
                return Err(Problem::new(
                    ProblemKind::TooLarge,
                    format!(
                        "the workspace has more than {MAX_ENTRIES} files and can't be saved; remove what can be made again, or put a CACHEDIR.TAG beside it"
                    ),
                ));
            }
            Err(Unread::Io(error)) => return Err(failed("saved", &error)),
        };
        if let (Some(archive), State::Ready { known }) = (&archive, &mut *self.state()) {
            known.retain(|(save, _)| Some(*save) == request.after);
            known.push((request.save, Arc::clone(&archive.index)));
        }
        Ok(archive)
    }

    /// Unpacks an archive onto a new disk. It has to be a whole one, or the one after the last. With
    /// `last` the disk is ready afterwards.
    ///
    /// # Errors
    /// 400 for an archive that is torn or has not its turn, 409 where the disk is in use. A failed one
    /// leaves the disk waiting for a whole one.
    pub async fn restore(
        &self,
        archive: impl Read + Send + 'static,
        last: bool,
    ) -> Result<(), Problem> {
        let _alone = self.busy.lock().await;
        let (at, torn) = self.awaiting()?;
        self.note("restoring")
            .map_err(|error| failed("restored", &error))?;
        *self.state() = State::Awaiting {
            at: None,
            torn: true,
        };
        let roots = Arc::clone(&self.roots);
        let unpacked = blocking(move || {
            unpack::unpack(&roots, archive, |header| {
                if header.after.is_some() && (torn || header.after != at) {
                    let why = format!(
                        "it comes after save {:?}, and the disk is at {at:?}",
                        header.after
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
                if header.after.is_none() && (torn || at.is_some()) {
                    roots.iter().try_for_each(|(_, dir)| unpack::clear(dir))?;
                }
                Ok(())
            })
        });
        let header = unpacked.await.map_err(|error| not_unpacked(&error))?;
        *self.state() = State::Awaiting {
            at: Some(header.save),
            torn: false,
        };
        if last {
            let roots = Arc::clone(&self.roots);
            let index = blocking(move || Index::of(&roots)).await;
            let known = index.ok().map(|index| (header.save, Arc::new(index)));
            self.ready(known.into_iter().collect())?;
        }
        Ok(())
    }

    /// There is nothing to restore: the disk is used as it is.
    ///
    /// # Errors
    /// 409 where a part of an archive is on it, or it is in use.
    pub async fn restore_nothing(&self) -> Result<(), Problem> {
        let _alone = self.busy.lock().await;
        let (at, torn) = self.awaiting()?;
        if torn || at.is_some() {
            let roots = Arc::clone(&self.roots);
            let cleared =
                blocking(move || roots.iter().try_for_each(|(_, dir)| unpack::clear(dir)));
            cleared
                .await
                .map_err(|error: io::Error| failed("restored", &error))?;
        }
        self.ready(Vec::new())
    }

    /// The save that is on a disk which is not ready, and whether something else is.
    fn awaiting(&self) -> Result<(Option<u64>, bool), Problem> {
        match *self.state() {
            State::Awaiting { at, torn } => Ok((at, torn)),
            State::Ready { .. } => Err(in_use()),
        }
    }

    fn ready(&self, known: Vec<(u64, Arc<Index>)>) -> Result<(), Problem> {
        self.note("ready")
            .map_err(|error| failed("restored", &error))?;
        *self.state() = State::Ready { known };
        Ok(())
    }
}

/// Where turns are refused.
pub fn not_ready() -> Problem {
    Problem::new(
        ProblemKind::Conflict,
        "the sandbox waits for the saved files of its session",
    )
}

fn in_use() -> Problem {
    Problem::new(
        ProblemKind::Conflict,
        "the disk is in use: only a new one is restored",
    )
}

fn failed(what: &str, error: &io::Error) -> Problem {
    Problem::new(
        ProblemKind::SandboxFailed,
        format!("the workspace could not be {what}: {error}"),
    )
}

/// 400 where it is the archive's fault: another one may do.
fn not_unpacked(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        // What reads archives has no kinds of its own.
        | io::ErrorKind::Other => Problem::bad_request(error.to_string()),
        _ => failed("restored", error),
    }
}

fn too_large(index: &Index, limit: u64) -> Problem {
    Problem::new(
        ProblemKind::TooLarge,
        format!(
            "the workspace can't be saved: it holds {} MB, and {} MB are the limit. Most take {}. Remove what can be made again, or put a CACHEDIR.TAG beside it",
            index.bytes() / 1_000_000,
            limit / 1_000_000,
            index.largest(LARGEST).join(", "),
        ),
    )
}

/// Runs what waits for the disk where nothing else waits for it.
async fn blocking<T: Send + 'static, E: From<io::Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // Not what archives fail with.
        Err(error) => Err(io::Error::new(io::ErrorKind::Interrupted, error).into()),
    }
}
