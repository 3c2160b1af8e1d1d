//! What is in a folder, down to a depth, page by page.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use cap_std::fs::{Dir, Metadata, MetadataExt};
use jiff::Timestamp;
use protocol::Problem;
use protocol::files::{Kind, Listing, Node};
use protocol::options::WORKSPACE;

use super::git::{self, Statuses};
use super::ignores::Ignores;
use super::{Files, Wanted, address_of, blocking};

/// Entries that one walk looks at.
pub const MAX_LOOKED_AT: usize = 100_000;

/// Repositories whose status is asked for.
const MAX_REPOSITORIES: usize = 8;

/// Bytes of a link's content that are shown.
const LONGEST_TARGET: usize = 4096;

#[derive(Debug, Clone)]
pub struct Wish {
    /// How many folders deep.
    pub depth: usize,
    /// What `.gitignore` leaves out is there as well.
    pub ignored: bool,
    /// Entries that are kept.
    pub limit: usize,
    /// The last entry of the page before.
    pub after: Option<PathBuf>,
}

/// One entry.
#[derive(Debug)]
pub struct Found {
    pub name: OsString,
    pub kind: Kind,
    pub size: u64,
    /// Seconds and nanoseconds since the epoch.
    pub modified: (i64, i64),
    pub target: Option<PathBuf>,
    pub more: bool,
    pub children: Vec<Found>,
}

#[derive(Debug)]
pub struct Survey {
    /// The folder that was asked for.
    pub path: PathBuf,
    pub top: Found,
    pub files: usize,
    pub items: usize,
    pub truncated: bool,
    /// The last entry that is here, where there are more.
    pub last: Option<PathBuf>,
    /// The folders that hold a repository, with that above the one that was asked for.
    repositories: Vec<(PathBuf, Dir)>,
}

impl Files {
    /// Walks a folder, when it is its turn.
    ///
    /// # Errors
    /// Where the folder itself can't be read.
    pub async fn survey(&self, wanted: Wanted, wish: Wish) -> Result<Survey, Problem> {
        let _walk = self.walks.acquire().await;
        let root = Arc::clone(&self.root);
        blocking(move || survey(&root, &wanted, &wish).map_err(|error| wanted.problem(&error)))
            .await
    }
}

/// Walks a folder. What can't be read is there by its name alone.
///
/// # Errors
/// Where the folder itself can't be read.
fn survey(root: &Dir, wanted: &Wanted, wish: &Wish) -> io::Result<Survey> {
    let dir = root.open_dir(wanted.to_open())?;
    let mut walk = Walk {
        wish,
        ignores: Ignores::default(),
        files: 0,
        items: 0,
        kept: 0,
        truncated: false,
        last: None,
        is_full: false,
        repositories: Vec::new(),
    };
    walk.look_above(root, wanted.path());
    let metadata = dir.dir_metadata()?;
    let mut top = Found::of(wanted.name().to_owned(), &metadata);
    walk.folder(&dir, wanted.path(), 0, &mut top)?;
    Ok(Survey {
        path: wanted.path().to_owned(),
        top,
        files: walk.files,
        items: walk.items,
        truncated: walk.truncated,
        last: walk.last.filter(|_| walk.is_full),
        repositories: walk.repositories,
    })
}

struct Walk<'a> {
    wish: &'a Wish,
    ignores: Ignores,
    files: usize,
    items: usize,
    kept: usize,
    truncated: bool,
    last: Option<PathBuf>,
    /// There is more than was to be kept.
    is_full: bool,
    repositories: Vec<(PathBuf, Dir)>,
}

impl Walk<'_> {
    /// What the folders above say of the one that was asked for.
    fn look_above(&mut self, root: &Dir, path: &Path) {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            let at = Wanted(folder.to_owned());
            let Ok(dir) = root.open_dir(at.to_open()) else {
                return;
            };
            if !self.wish.ignored {
                self.ignores.enter(&dir, folder);
            }
            if dir.symlink_metadata(".git").is_ok() {
                self.repositories.clear();
                self.repositories.push((folder.to_owned(), dir));
            }
        }
    }

    fn folder(&mut self, dir: &Dir, path: &Path, depth: usize, into: &mut Found) -> io::Result<()> {
        let entered = !self.wish.ignored && self.ignores.enter(dir, path);
        let result = self.entries(dir, path, depth, into);
        if entered {
            self.ignores.leave();
        }
        result
    }

    fn entries(
        &mut self,
        dir: &Dir,
        path: &Path,
        depth: usize,
        into: &mut Found,
    ) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in dir.entries()? {
            if self.items + entries.len() >= MAX_LOOKED_AT {
                self.truncated = true;
                break;
            }
            let entry = entry?;
            let name = entry.file_name();
            if name == ".git" && self.repositories.len() < MAX_REPOSITORIES {
                self.repositories.push((path.to_owned(), dir.try_clone()?));
            }
            // Gone meanwhile.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let at = path.join(&name);
            if !self.wish.ignored && self.ignores.leaves_out(&at, metadata.is_dir()) {
                continue;
            }
            entries.push((name, metadata));
        }
        entries.sort_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        for (name, metadata) in entries {
            let at = path.join(&name);
            let mut found = Found::of(name, &metadata);
            self.items += 1;
            self.files += usize::from(found.kind == Kind::File);
            let keeps = self.keeps(&at);
            if found.kind == Kind::Symlink {
                found.target = dir.read_link_contents(&found.name).ok();
            }
            if found.kind == Kind::Directory {
                if depth + 1 >= self.wish.depth {
                    found.more = true;
                } else {
                    let read = dir.open_dir(&found.name);
                    let read =
                        read.and_then(|below| self.folder(&below, &at, depth + 1, &mut found));
                    found.more |= read.is_err();
                }
            }
            // A folder of the page before is here again for what is new in it.
            if keeps || !found.children.is_empty() {
                into.children.push(found);
            }
        }
        Ok(())
    }

    /// Whether an entry belongs to this page.
    fn keeps(&mut self, at: &Path) -> bool {
        let after = self.wish.after.as_deref();
        if after.is_some_and(|after| in_order(at, after) != Ordering::Greater) {
            return false;
        }
        if self.kept == self.wish.limit {
            self.is_full = true;
            return false;
        }
        self.kept += 1;
        self.last = Some(at.to_owned());
        true
    }
}

/// The order of a walk: a folder before what is in it, the rest by the bytes of the names.
fn in_order(one: &Path, other: &Path) -> Ordering {
    let bytes = |path: &Path| -> Vec<Vec<u8>> {
        let parts = path.components().map(Component::as_os_str);
        parts.map(|part| part.as_bytes().to_vec()).collect()
    };
    bytes(one).cmp(&bytes(other))
}

impl Found {
    fn of(name: OsString, metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        let kind = if kind.is_dir() {
            Kind::Directory
        } else if kind.is_file() {
            Kind::File
        } else if kind.is_symlink() {
            Kind::Symlink
        } else {
            Kind::Other
        };
        Self {
            name,
            kind,
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            target: None,
            more: false,
            children: Vec::new(),
        }
    }
}

impl Survey {
    /// What Git says of the repositories that are in it.
    pub async fn statuses(&self, children: &crate::processes::Children) -> Statuses {
        let mut all = Statuses::default();
        let begin = Instant::now();
        for (path, dir) in &self.repositories {
            if begin.elapsed() > git::PATIENCE {
                break;
            }
            git::status(dir, path, children, &mut all).await;
        }
        all
    }

    pub fn listing(self, statuses: &Statuses) -> Listing {
        let root = if self.path.as_os_str().is_empty() {
            PathBuf::from(WORKSPACE)
        } else {
            Path::new(WORKSPACE).join(&self.path)
        };
        let mut tree = node(self.top, &self.path, statuses);
        if tree.name.is_empty() {
            tree.name = root
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
        }
        Listing {
            root: root.to_string_lossy().into_owned(),
            tree,
            total_files: self.files,
            total_items: self.items,
            truncated: self.truncated,
            next: self.last.as_deref().map(address_of),
        }
    }
}

fn node(found: Found, path: &Path, statuses: &Statuses) -> Node {
    let is_dir = found.kind == Kind::Directory;
    let children = found.children.into_iter();
    let children = children.map(|child| {
        let at = path.join(&child.name);
        node(child, &at, statuses)
    });
    let children = is_dir.then(|| children.collect());
    let (seconds, nanoseconds) = found.modified;
    let nanoseconds = i32::try_from(nanoseconds).unwrap_or_default();
    let short = |text: &OsStr| -> String {
        let text = text.to_string_lossy();
        text.chars().take(LONGEST_TARGET).collect()
    };
    Node {
        name: found.name.to_string_lossy().into_owned(),
        kind: found.kind,
        path: path.to_string_lossy().into_owned(),
        encoded: path.to_str().is_none().then(|| address_of(path)),
        size: (found.kind == Kind::File).then_some(found.size),
        modified: Timestamp::new(seconds, nanoseconds)
            .ok()
            .map(|time| time.to_string()),
        git: statuses.of(path),
        target: found.target.map(|target| short(target.as_os_str())),
        more: found.more,
        children,
    }
}
