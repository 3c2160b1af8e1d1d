//! What is on the disk: each file, folder and link with what tells whether it has changed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

/// More entries are not saved.
pub const MAX_ENTRIES: usize = 200_000;

/// The tag of folders that hold what can be made again, such as a compiler's output. Its first bytes
/// are the signature of <https://bford.info/cachedir/>.
const CACHE_TAG: &str = "CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// In the home: what programs can make again, what lives as long as a process, and the server's own
/// note about this disk.
const NOT_KEPT: [&str; 9] = [
    super::MARKER,
    ".cache",
    ".npm",
    ".claude/cache",
    ".claude/debug",
    ".claude/ide",
    ".claude/shell-snapshots",
    ".claude/statsig",
    ".claude/telemetry",
];

/// The folders that are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    Workspace,
    Home,
}

impl Root {
    pub const ALL: [Self; 2] = [Self::Workspace, Self::Home];

    /// Its name in an archive.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Home => "home",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.name() == name)
    }

    fn keeps(self, path: &Path) -> bool {
        self == Self::Workspace || !NOT_KEPT.iter().any(|left_out| path == Path::new(left_out))
    }
}

/// Where something is: a path without `..` in one of the roots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub root: Root,
    pub path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub mode: u32,
    /// Seconds since the epoch.
    pub modified: i64,
    pub stamp: Stamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File {
        size: u64,
        /// SHA-256 of the content, where it has been read.
        hash: Option<[u8; 32]>,
    },
    /// A symbolic link, and what it holds.
    Link(PathBuf),
}

/// Changes with every write to a file, whatever the writer says about its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    inode: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Entry {
    fn of(kind: Kind, metadata: &Metadata) -> Self {
        Self {
            kind,
            mode: metadata.mode() & 0o7777,
            modified: metadata.mtime(),
            stamp: Stamp::of(metadata),
        }
    }

    /// Whether it is the same as before. A folder's stamp changes with what is in it.
    pub fn is_as(&self, before: &Self) -> bool {
        let same_kind = match (&self.kind, &before.kind) {
            (Kind::Folder, Kind::Folder) => true,
            (Kind::File { size, .. }, Kind::File { size: old, .. }) => {
                size == old && self.stamp == before.stamp
            }
            (Kind::Link(target), Kind::Link(old)) => target == old,
            _ => false,
        };
        same_kind && self.mode == before.mode
    }
}

/// Everything that a save holds, by its place; a folder comes before what is in it.
#[derive(Debug, Clone, Default)]
pub struct Index {
    pub entries: BTreeMap<Place, Entry>,
}

/// Why there is no index.
#[derive(Debug)]
pub enum Unread {
    TooMany,
    Io(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Index {
    /// Walks the roots. What can't be read, and what is neither file, folder nor link, is left out.
    ///
    /// # Errors
    /// Where a root can't be read, or there is too much in them.
    pub fn of(roots: &[(Root, Dir)]) -> Result<Self, Unread> {
        let mut index = Self::default();
        for (root, dir) in roots {
            let mut folders = vec![PathBuf::new()];
            while let Some(at) = folders.pop() {
                let Some(folder) = readable(open_folder(dir, &at))? else {
                    continue;
                };
                let tagged = is_cache(&folder);
                for entry in folder.entries()? {
                    let entry = entry?;
                    let path = at.join(entry.file_name());
                    if !root.keeps(&path) || (tagged && entry.file_name() != CACHE_TAG) {
                        continue;
                    }
                    let Some(metadata) = readable(entry.metadata())? else {
                        continue;
                    };
                    let kind = metadata.file_type();
                    let kind = if kind.is_dir() {
                        folders.push(path.clone());
                        Kind::Folder
                    } else if kind.is_symlink() {
                        // As it stands: it may lead anywhere, and is not followed.
                        let target = folder.read_link_contents(entry.file_name());
                        let Some(target) = readable(target)? else {
                            continue;
                        };
                        Kind::Link(target)
                    } else if kind.is_file() {
                        let size = metadata.len();
                        Kind::File { size, hash: None }
                    } else {
                        continue;
                    };
                    let place = Place { root: *root, path };
                    index.entries.insert(place, Entry::of(kind, &metadata));
                    if index.entries.len() > MAX_ENTRIES {
                        return Err(Unread::TooMany);
                    }
                }
            }
        }
        Ok(index)
    }

    /// Leaves out a folder of a root, with all that is in it.
    pub fn leave_out(&mut self, root: Root, folder: &str) {
        self.entries
            .retain(|place, _| place.root != root || !place.path.starts_with(folder));
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.entries.values().map(Entry::bytes).sum()
    }

    /// The parts of the roots that take most, for a person: `workspace/data (3 MB)`.
    pub fn largest(&self, count: usize) -> Vec<String> {
        let mut parts: BTreeMap<String, u64> = BTreeMap::new();
        for (place, entry) in &self.entries {
            let first = place.path.components().next();
            let first = first.map_or("".into(), |part| part.as_os_str().to_string_lossy());
            *parts
                .entry(format!("{}/{first}", place.root.name()))
                .or_default() += entry.bytes();
        }
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        parts.truncate(count);
        let told = parts
            .into_iter()
            .map(|(name, bytes)| format!("{name} ({} MB)", bytes / 1_000_000));
        told.collect()
    }
}

impl Entry {
    fn bytes(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        }
    }
}

fn open_folder(root: &Dir, path: &Path) -> io::Result<Dir> {
    if path.as_os_str().is_empty() {
        return root.try_clone();
    }
    root.open_dir(path)
}

/// What was read; none of what is gone meanwhile, or nobody may read. Everything else that goes wrong
/// must not pass for a file that was removed.
fn readable<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether a folder says of itself that it can be made again.
pub fn is_cache(folder: &Dir) -> bool {
    use std::io::Read;
    let mut begin = [0; CACHE_SIGNATURE.len()];
    open_file(folder, Path::new(CACHE_TAG))
        .and_then(|mut tag| tag.read_exact(&mut begin))
        .is_ok()
        && begin == *CACHE_SIGNATURE
}

/// Opens what is a file, without following a link and without waiting for whoever is at the other end
/// of a pipe that has taken its place.
///
/// # Errors
/// Where it is no file, or can't be read.
pub fn open_file(dir: &Dir, path: &Path) -> io::Result<cap_std::fs::File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let file = dir.open_with(path, &options)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok(file)
}
