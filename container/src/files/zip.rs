//! The workspace as a ZIP, made while it is sent: of its files one piece at a time is in memory.

use std::collections::HashSet;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use cap_std::fs::{Dir, MetadataExt};
use jiff::Timestamp;
use jiff::tz::Offset;
use protocol::files::{Kind, MAX_ZIP, MAX_ZIP_FILES};
use protocol::{Problem, ProblemKind};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use zip::write::SimpleFileOptions;
use zip::{DateTime, ZipWriter};

use super::read::{self, Opened};
use super::survey::{Found, MAX_LOOKED_AT, Survey, Wish};
use super::{Files, Wanted, blocking};

/// Folders within folders that are packed.
const MAX_DEPTH: usize = 200;

/// Bytes that are sent at a time, and how many times as many wait.
const PIECE: usize = 64 * 1024;
const WAITING: usize = 4;

/// How long nothing of it may be read.
const UNREAD: Duration = Duration::from_secs(5 * 60);

pub type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// What is packed: its path, and its bytes where it is a file.
struct Entry {
    path: PathBuf,
    size: Option<u64>,
}

impl Files {
    /// Packs a folder. A link is packed as the file that it leads to, where that is in the workspace,
    /// and otherwise left out, as pipes and devices are.
    ///
    /// # Errors
    /// 413 where there are too many files or bytes, before anything is sent. What grows too long
    /// afterwards breaks the stream off.
    pub async fn zip(&self, wanted: Wanted, ignored: bool) -> Result<Pieces, Problem> {
        let packing = Arc::clone(&self.packings)
            .try_acquire_owned()
            .map_err(|_| {
                let words = "several ZIPs of this session are being made already; try again later";
                Problem::new(ProblemKind::TooManyRequests, words)
            })?;
        let at = wanted.path().to_owned();
        let wish = Wish {
            depth: MAX_DEPTH,
            ignored,
            limit: MAX_LOOKED_AT,
            after: None,
        };
        let survey = self.survey(wanted, wish).await?;
        let root = Arc::clone(&self.root);
        let entries = blocking(move || entries(&root, survey)).await?;
        let (send, pieces) = mpsc::channel(WAITING);
        let root = Arc::clone(&self.root);
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let _packing = packing;
            let sender = Sender {
                pieces: send.clone(),
                runtime: runtime.clone(),
            };
            let mut out = BufWriter::with_capacity(PIECE, sender);
            if let Err(error) = pack(&root, &at, &entries, &mut out) {
                tracing::warn!(%error, "a ZIP was broken off");
                let _gone = send.try_send(Err(error));
            }
        });
        Ok(pieces)
    }
}

fn entries(root: &Dir, survey: Survey) -> Result<Vec<Entry>, Problem> {
    let too_large = |what: String| {
        let words = format!(
            "a ZIP holds at most {MAX_ZIP_FILES} files and {MAX_ZIP} bytes; there are {what}. Ask for a folder of it with ?path=, or leave out what .gitignore names with ?ignored=false"
        );
        Problem::new(ProblemKind::TooLarge, words)
    };
    if survey.truncated {
        return Err(too_large(format!("more than {MAX_LOOKED_AT} entries")));
    }
    let mut entries = Vec::new();
    let (mut files, mut bytes) = (0, 0);
    let mut open = vec![(survey.path, survey.top)];
    while let Some((path, found)) = open.pop() {
        let Found {
            kind,
            size,
            children,
            more,
            ..
        } = found;
        if more && kind == Kind::Directory && path.components().count() >= MAX_DEPTH {
            return Err(too_large(format!("folders more than {MAX_DEPTH} deep")));
        }
        let size = match kind {
            Kind::Directory => None,
            Kind::File => Some(size),
            Kind::Symlink => match root.metadata(&path) {
                Ok(target) if target.is_file() => Some(target.len()),
                _ => continue,
            },
            Kind::Other => continue,
        };
        files += usize::from(size.is_some());
        bytes += size.unwrap_or_default();
        if files > MAX_ZIP_FILES {
            return Err(too_large("more files".to_owned()));
        }
        if bytes > MAX_ZIP {
            return Err(too_large("more bytes".to_owned()));
        }
        let below = children.into_iter().rev();
        let below: Vec<_> = below.map(|child| (path.join(&child.name), child)).collect();
        entries.push(Entry { path, size });
        open.extend(below);
    }
    Ok(entries)
}

fn pack(root: &Dir, top: &Path, entries: &[Entry], out: impl Write) -> io::Result<()> {
    let mut zip = ZipWriter::new_stream(out);
    let mut names = HashSet::new();
    let mut total = 0;
    for entry in entries {
        let Ok(below) = entry.path.strip_prefix(top) else {
            continue;
        };
        if below.as_os_str().is_empty() {
            continue;
        }
        let name = name(below, &mut names);
        if entry.size.is_none() {
            zip.add_directory(name, SimpleFileOptions::default())?;
            continue;
        }
        // What is gone meanwhile, or is no file any more, is left out.
        let Ok(Opened::File(opening)) = read::open(root, &Wanted(entry.path.clone())) else {
            continue;
        };
        let (file, metadata) = opening.into_parts();
        let mut options = SimpleFileOptions::default().unix_permissions(metadata.mode() & 0o777);
        if let Some(time) = time(metadata.mtime()) {
            options = options.last_modified_time(time);
        }
        zip.start_file(name, options)?;
        // One that grows meanwhile is packed as long as it was; one that gets shorter ends where it ends.
        total += io::copy(&mut file.take(metadata.len()), &mut zip)?;
        if total > MAX_ZIP {
            return Err(io::Error::other("the files have grown past the limit"));
        }
    }
    let mut out = zip.finish()?.into_inner();
    out.flush()
}

/// The name of an entry: one that no program which unpacks it takes for a path to somewhere else, and
/// that no other entry has.
fn name(path: &Path, names: &mut HashSet<String>) -> String {
    let plain = |letter: char| match letter {
        '\\' | ':' => '_',
        letter if letter.is_control() => '_',
        letter => letter,
    };
    let wanted: String = path.to_string_lossy().chars().map(plain).collect();
    let mut name = wanted.clone();
    let mut count = 1;
    while !names.insert(name.clone()) {
        count += 1;
        name = format!("{wanted}~{count}");
    }
    name
}

/// A time as ZIP has it: of two seconds, from 1980 on.
fn time(seconds: i64) -> Option<DateTime> {
    let time = Offset::UTC.to_datetime(Timestamp::from_second(seconds).ok()?);
    let small = |number: i8| u8::try_from(number).ok();
    DateTime::from_date_and_time(
        u16::try_from(time.year()).ok()?,
        small(time.month())?,
        small(time.day())?,
        small(time.hour())?,
        small(time.minute())?,
        small(time.second())?,
    )
    .ok()
}

/// Sends what is written to whoever reads the answer, and waits where it is not read, but not for good.
struct Sender {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Ok(Bytes::copy_from_slice(bytes));
        let sending = async { tokio::time::timeout(UNREAD, self.pieces.send(piece)).await };
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => Ok(bytes.len()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
