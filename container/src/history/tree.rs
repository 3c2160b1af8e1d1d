//! What is in the workspace, compared with what was there at the last point.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::{Dir, Metadata, MetadataExt};
use protocol::diff::MAX_COMPARED;
use sha1::{Digest, Sha1};
use tokio::sync::mpsc::Sender;

use super::{EMPTY, Failed, import};
use crate::disk::{Stamp, is_cache, open_file};
use crate::files::Ignores;

/// More files are not compared, nor are more bytes.
const MAX_ENTRIES: usize = 50_000;
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Nor are those found among more entries than these.
const MAX_LOOKED_AT: usize = 1_000_000;

/// A file that was changed so shortly before it was looked at may be changed again without a trace in
/// its times.
const FRESH: Duration = Duration::from_secs(2);

/// Folders within folders.
const MAX_DEPTH: usize = 200;

/// What Git calls a file, a program and a link.
const FILE: &str = "100644";
const PROGRAM: &str = "100755";
const LINK: &str = "120000";

/// The name of an object: SHA-1, as Git has it.
pub type Name = [u8; 20];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub mode: &'static str,
    pub name: Name,
    /// What it looked like when it was read; the default where it is to be read again.
    stamp: Stamp,
}

/// What a commit holds.
#[derive(Debug)]
pub struct Known {
    pub commit: String,
    entries: BTreeMap<PathBuf, Entry>,
}

/// A file that is otherwise; none where it is gone.
pub type Change = (PathBuf, Option<Entry>);

#[derive(Debug)]
pub struct Walked {
    pub known: Known,
    pub changes: Vec<Change>,
}

impl Known {
    pub fn empty() -> Self {
        Self {
            commit: EMPTY.to_owned(),
            entries: BTreeMap::new(),
        }
    }

    /// From what `git ls-tree -r -z` prints; none where that is not understood.
    pub fn read(commit: &str, output: &[u8]) -> Option<Self> {
        use std::ffi::OsStr;
        let mut entries = BTreeMap::new();
        for record in output
            .split(|byte| *byte == 0)
            .filter(|one| !one.is_empty())
        {
            let tab = record.iter().position(|byte| *byte == b'\t')?;
            let (about, path) = (record.get(..tab)?, record.get(tab + 1..)?);
            let mut about = std::str::from_utf8(about).ok()?.split(' ');
            let (mode, _kind, name) = (about.next()?, about.next()?, about.next()?);
            let mode = [FILE, PROGRAM, LINK]
                .into_iter()
                .find(|known| *known == mode)?;
            let entry = Entry {
                mode,
                name: name_of(name)?,
                stamp: Stamp::default(),
            };
            entries.insert(Path::new(OsStr::from_bytes(path)).to_owned(), entry);
        }
        Some(Self {
            commit: commit.to_owned(),
            entries,
        })
    }

    /// It is now what another commit holds.
    pub fn become_as(&mut self, commit: &str, changes: Vec<Change>) {
        commit.clone_into(&mut self.commit);
        for (path, entry) in changes {
            match entry {
                Some(entry) => self.entries.insert(path, entry),
                None => self.entries.remove(&path),
            };
        }
    }
}

/// Walks the workspace, and says to Git what it does not know yet; nothing where that is nothing.
pub fn walk(root: &Dir, mut known: Known, git: &Sender<Vec<u8>>) -> Result<Walked, Failed> {
    let mut walk = Walk {
        ignores: Ignores::default(),
        files: Vec::new(),
        bytes: 0,
        looked_at: 0,
    };
    walk.folder(root, Path::new(""), 0)?;
    let say = |words: Vec<u8>| {
        let said = git.blocking_send(words);
        said.map_err(|_| Failed::Broken("Git has stopped".to_owned()))
    };
    let mut changes: Vec<Change> = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, metadata) in walk.files {
        let old = known.entries.get_mut(&path);
        let stamp = Stamp::of(&metadata);
        if let Some(old) = &old
            && (old.stamp == stamp || is_large(&metadata))
        {
            seen.insert(path);
            continue;
        }
        if is_large(&metadata) {
            continue;
        }
        let Some((mode, content)) = read(root, &path, &metadata) else {
            continue; // It has just gone, or nobody may read it.
        };
        let entry = Entry {
            mode,
            name: name(&content),
            stamp: if is_fresh(&metadata) {
                Stamp::default()
            } else {
                stamp
            },
        };
        seen.insert(path.clone());
        match old {
            Some(old) if (old.mode, old.name) == (entry.mode, entry.name) => {
                old.stamp = entry.stamp;
            }
            Some(old) if old.name == entry.name => changes.push((path, Some(entry))),
            _ => {
                say(import::blob(&content))?;
                changes.push((path, Some(entry)));
            }
        }
    }
    let gone = known.entries.keys().filter(|path| !seen.contains(*path));
    changes.extend(gone.map(|path| (path.clone(), None)));
    if changes.is_empty() {
        return Ok(Walked { known, changes });
    }
    let after = Some(known.commit.as_str()).filter(|commit| *commit != EMPTY);
    say(import::commit(after, now().as_secs()))?;
    // First what is gone: a file may have become a folder.
    for (path, _) in changes.iter().filter(|(_, entry)| entry.is_none()) {
        say(import::delete(path))?;
    }
    for (path, entry) in &changes {
        if let Some(entry) = entry {
            say(import::put(path, entry.mode, &digits(&entry.name)))?;
        }
    }
    say(import::DONE.to_vec())?;
    Ok(Walked { known, changes })
}

struct Walk {
    ignores: Ignores,
    files: Vec<(PathBuf, Metadata)>,
    bytes: u64,
    /// Entries of all kinds, also those that are left out.
    looked_at: usize,
}

impl Walk {
    fn folder(&mut self, dir: &Dir, path: &Path, depth: usize) -> Result<(), Failed> {
        if depth > MAX_DEPTH || is_cache(dir) {
            return Ok(());
        }
        let entered = self.ignores.enter(dir, path);
        let result = self.entries(dir, path, depth);
        if entered {
            self.ignores.leave();
        }
        result
    }

    fn entries(&mut self, dir: &Dir, path: &Path, depth: usize) -> Result<(), Failed> {
        // A folder that goes meanwhile has nothing in it.
        for entry in dir.entries().into_iter().flatten().map_while(Result::ok) {
            self.looked_at += 1;
            let file_name = entry.file_name();
            // A repository of the agent's own, or what leads to one.
            if file_name.eq_ignore_ascii_case(".git") {
                continue;
            }
            let Ok(metadata) = entry.metadata() else {
                continue; // Gone meanwhile.
            };
            let at = path.join(&file_name);
            let kind = metadata.file_type();
            if self.ignores.leaves_out(&at, kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                // What can't be read is not there.
                if let Ok(below) = dir.open_dir(&file_name) {
                    self.folder(&below, &at, depth + 1)?;
                }
            } else if kind.is_file() || kind.is_symlink() {
                if !is_large(&metadata) {
                    self.bytes += metadata.len();
                }
                self.files.push((at, metadata));
            }
            if self.files.len() > MAX_ENTRIES
                || self.bytes > MAX_BYTES
                || self.looked_at > MAX_LOOKED_AT
            {
                return Err(Failed::TooMuch(format!(
                    "the workspace holds more than can be compared: {MAX_ENTRIES} files or {} MB; name what can be made again in .gitignore, or put a CACHEDIR.TAG beside it",
                    MAX_BYTES / 1_000_000
                )));
            }
        }
        Ok(())
    }
}

fn is_large(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.len() > MAX_COMPARED
}

fn is_fresh(metadata: &Metadata) -> bool {
    let changed = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
    now() < changed + FRESH
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// What is there, as Git keeps it; none where it can't be read.
fn read(root: &Dir, path: &Path, metadata: &Metadata) -> Option<(&'static str, Vec<u8>)> {
    if metadata.is_symlink() {
        let target = root.read_link_contents(path).ok()?;
        return Some((LINK, target.as_os_str().as_bytes().to_vec()));
    }
    let file = open_file(root, path).ok()?;
    let mut content = Vec::new();
    file.take(MAX_COMPARED).read_to_end(&mut content).ok()?;
    let mode = if metadata.mode() & 0o100 == 0 {
        FILE
    } else {
        PROGRAM
    };
    Some((mode, content))
}

/// The name that Git gives to a file's content.
fn name(content: &[u8]) -> Name {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hash.finalize().into()
}

fn digits(name: &Name) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name_of(digits: &str) -> Option<Name> {
    let mut name = Name::default();
    if digits.len() != name.len() * 2 || !super::points::is_name(digits) {
        return None;
    }
    for (byte, at) in name.iter_mut().zip((0..digits.len()).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(name)
}

/// Bytes of all files in a folder of the server's own.
pub fn bytes_below(folder: &Path) -> u64 {
    let mut folders = vec![(folder.to_owned(), 0)];
    let mut bytes = 0;
    while let Some((folder, depth)) = folders.pop() {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        for entry in entries.filter_map(io::Result::ok) {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() && depth < 3 {
                folders.push((entry.path(), depth + 1));
            }
            bytes += metadata.len();
        }
    }
    bytes
}
