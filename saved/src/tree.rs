//! What the archives of a chain make together: the whole one, and those that say what has changed.

use std::collections::BTreeMap;
use std::ops::Bound;

use protocol::files::{Kind, Listing, MAX_TEXT, Node};
use protocol::options::WORKSPACE;

use crate::Unread;
use crate::tar::{self, Entry};

/// Entries of a workspace that is read here, and bytes of their paths.
const MAX_ENTRIES: usize = 50_000;
const MAX_PATHS: usize = 8 * 1024 * 1024;

/// Bytes of what links hold and of where contents stand, and parts of one file: a save's chain has no more
/// archives.
const MAX_HELD: usize = 8 * 1024 * 1024;
const MAX_PIECES: usize = 256;

/// Bytes of a link's content that are shown.
const LONGEST_TARGET: usize = 4096;

/// Between the parts of a path here: with it the order of bytes is that of a walk, in which a folder
/// comes before what is in it.
const BETWEEN: u8 = 0;

/// A path below the workspace, none of whose parts leads up.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<u8>);

impl Path {
    /// From a part of an address: percent-encoded, and decoded once. None for what leads anywhere else.
    pub fn from_address(address: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(address.len());
        let mut rest = address.bytes();
        while let Some(byte) = rest.next() {
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let mut digits = rest.clone();
            let mut digit = || char::from(digits.next()?).to_digit(16);
            match (digit(), digit()) {
                (Some(high), Some(low)) => {
                    bytes.push(u8::try_from(high * 16 + low).ok()?);
                    rest = digits;
                }
                _ => bytes.push(byte), // It stands for itself.
            }
        }
        Self::of(&bytes)
    }

    /// From bytes as an archive has them.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"/") || bytes.contains(&BETWEEN) {
            return None;
        }
        let mut path = Vec::with_capacity(bytes.len());
        for part in bytes.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return None,
                _ => {}
            }
            if !path.is_empty() {
                path.push(BETWEEN);
            }
            path.extend_from_slice(part);
        }
        Some(Self(path))
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last part.
    pub fn name(&self) -> &[u8] {
        let parts = self.0.rsplit(|byte| *byte == BETWEEN);
        parts.into_iter().next().unwrap_or_default()
    }

    /// The same without its last part, where that is this word and not all.
    pub fn without_last(&self, word: &str) -> Option<Self> {
        let above = self.0.strip_suffix(word.as_bytes())?;
        let above = above.strip_suffix(&[BETWEEN])?;
        Some(Self(above.to_vec()))
    }

    fn above(&self) -> Option<Self> {
        let end = self.0.iter().rposition(|byte| *byte == BETWEEN)?;
        self.0.get(..end).map(|above| Self(above.to_vec()))
    }

    fn bytes(&self) -> Vec<u8> {
        let slash = |byte: &u8| if *byte == BETWEEN { b'/' } else { *byte };
        self.0.iter().map(slash).collect()
    }

    /// What is no UTF-8 is replaced.
    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// For an address.
    pub fn address(&self) -> String {
        address(&self.bytes())
    }
}

/// As a part of an address.
pub fn address(bytes: &[u8]) -> String {
    let mut address = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            address.push(char::from(*byte));
        } else {
            address += &format!("%{byte:02X}");
        }
    }
    address
}

/// Where a part of a file's content stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The archive, counted from 0.
    pub archive: usize,
    pub at: u64,
    pub length: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub size: u64,
    /// Seconds since the epoch.
    pub modified: u64,
    pub pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Folder { modified: Option<u64> },
    Link { holds: Vec<u8>, modified: u64 },
    File(File),
}

/// The workspace, as far as its archives have been read: each from its begin to its end, in their order.
#[derive(Debug, Default)]
pub struct Tree {
    entries: BTreeMap<Path, What>,
    paths: usize,
    /// Bytes that were kept beside the paths, also those that were let go since.
    held: usize,
    archive: usize,
    /// Files whose content is kept, where it is not longer than a text that is shown.
    wanted: Vec<(Path, Option<Vec<u8>>)>,
    /// The one whose content comes.
    reading: Option<usize>,
}

impl Tree {
    /// Keeps the content of these files.
    pub fn with(wanted: impl IntoIterator<Item = Path>) -> Self {
        Self {
            wanted: wanted.into_iter().map(|path| (path, None)).collect(),
            ..Self::default()
        }
    }

    /// The next archive begins.
    pub fn next_archive(&mut self) {
        self.archive += 1;
    }

    pub fn file(&self, path: &Path) -> Option<&File> {
        match self.entries.get(path) {
            Some(What::File(file)) => Some(file),
            _ => None,
        }
    }

    pub fn is_folder(&self, path: &Path) -> bool {
        path.is_root() || matches!(self.entries.get(path), Some(What::Folder { .. }))
    }

    /// The content of a file that was wanted; none where it is too long.
    pub fn content(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.file(path)?;
        let wanted = self.wanted.iter_mut().find(|(wanted, _)| wanted == path);
        wanted.and_then(|(_, content)| content.take())
    }

    /// Whether a file there says what is to be left out.
    pub fn has_ignores(&self) -> bool {
        self.entries.keys().any(|path| path.name() == b".gitignore")
    }

    /// All that is below a path.
    fn below(&self, path: &Path) -> Vec<Path> {
        let mut begin = path.0.clone();
        begin.push(BETWEEN);
        let from = Path(begin.clone());
        let below = self.entries.range(from..);
        let below = below.take_while(|(at, _)| at.0.starts_with(&begin));
        below.map(|(at, _)| at.clone()).collect()
    }

    fn remove(&mut self, path: &Path) {
        let below = self.below(path);
        for gone in below.iter().chain([path]) {
            if self.entries.remove(gone).is_some() {
                self.paths -= gone.0.len();
            }
        }
    }

    fn put(&mut self, path: Path, what: What) -> Result<(), Unread> {
        let mut missing = Vec::new();
        let mut above = path.above();
        while let Some(folder) = above {
            match self.entries.get(&folder) {
                Some(What::Folder { .. }) => break,
                // Nothing of it is put there, so that nothing lies below a file.
                Some(_) => return Err(Unread::Broken),
                None => {}
            }
            above = folder.above();
            missing.push(folder);
        }
        for folder in missing {
            self.insert(folder, What::Folder { modified: None })?;
        }
        match (&what, self.entries.get(&path)) {
            (_, None) | (What::Folder { .. }, Some(What::Folder { .. })) => {}
            (_, Some(_)) => self.remove(&path),
        }
        self.insert(path, what)
    }

    /// Counts what is kept beside the paths.
    fn hold(&mut self, bytes: usize) -> Result<(), Unread> {
        self.held = self.held.saturating_add(bytes);
        match self.held > MAX_HELD {
            true => Err(Unread::TooMuch),
            false => Ok(()),
        }
    }

    fn insert(&mut self, path: Path, what: What) -> Result<(), Unread> {
        let length = path.0.len();
        if self.entries.insert(path, what).is_none() {
            self.paths += length;
        }
        if self.entries.len() > MAX_ENTRIES || self.paths > MAX_PATHS {
            return Err(Unread::TooMuch);
        }
        Ok(())
    }

    /// Begins to keep a file's content, after its first bytes, where it is wanted.
    fn begin(&mut self, path: &Path, kept: u64, size: u64) -> bool {
        self.reading = self.wanted.iter().position(|(wanted, _)| wanted == path);
        let reading = self.reading.and_then(|at| self.wanted.get_mut(at));
        let Some((_, content)) = reading else {
            return false;
        };
        if size > MAX_TEXT {
            *content = None;
            return false;
        }
        if kept == 0 {
            *content = Some(Vec::new());
        }
        let Some(content) = content else {
            return false;
        };
        content.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        true
    }
}

impl tar::Reader for Tree {
    fn entry(&mut self, entry: Entry) -> Result<bool, Unread> {
        let Entry {
            path,
            kind,
            size,
            modified,
            at,
        } = entry;
        let piece = Piece {
            archive: self.archive,
            at,
            length: size,
        };
        let place = |rest: &[u8]| match rest.strip_prefix(b"workspace/") {
            Some(path) => match Path::of(path) {
                Some(path) if !path.is_root() => Ok(Some(path)),
                _ => Err(Unread::Broken),
            },
            // The agent's home, and what the archive says of itself.
            None => Ok(None),
        };
        if let Some(rest) = path.strip_prefix(b"delete/") {
            if let Some(path) = place(rest)? {
                self.remove(&path);
            }
            return Ok(false);
        }
        if let Some(rest) = path.strip_prefix(b"append/") {
            let slash = rest.iter().position(|byte| *byte == b'/');
            let (kept, rest) = rest
                .split_at_checked(slash.ok_or(Unread::Broken)?)
                .ok_or(Unread::Broken)?;
            let kept = std::str::from_utf8(kept).ok();
            let kept: u64 = kept
                .and_then(|kept| kept.parse().ok())
                .ok_or(Unread::Broken)?;
            let Some(path) = place(rest.get(1..).unwrap_or_default())? else {
                return Ok(false);
            };
            self.hold(size_of::<Piece>())?;
            let Some(What::File(file)) = self.entries.get_mut(&path) else {
                return Err(Unread::Broken);
            };
            if file.pieces.len() >= MAX_PIECES {
                return Err(Unread::TooMuch);
            }
            if kind != tar::Kind::File || file.size < kept {
                return Err(Unread::Broken);
            }
            let mut left = kept;
            for piece in &mut file.pieces {
                piece.length = piece.length.min(left);
                left -= piece.length;
            }
            file.pieces.retain(|piece| piece.length > 0);
            file.pieces.push(piece);
            file.modified = modified;
            file.size = kept.checked_add(size).ok_or(Unread::Broken)?;
            let size = file.size;
            return Ok(self.begin(&path, kept, size));
        }
        let Some(path) = place(&path)? else {
            return Ok(false);
        };
        match kind {
            tar::Kind::Folder => {
                let modified = Some(modified);
                self.put(path, What::Folder { modified })?;
                Ok(false)
            }
            tar::Kind::Link(mut holds) => {
                holds.truncate(LONGEST_TARGET);
                self.hold(holds.len())?;
                self.put(path, What::Link { holds, modified })?;
                Ok(false)
            }
            tar::Kind::File => {
                let wanted = self.begin(&path, 0, size);
                let file = File {
                    size,
                    modified,
                    pieces: vec![piece],
                };
                self.put(path, What::File(file))?;
                Ok(wanted)
            }
        }
    }

    fn content(&mut self, piece: &[u8]) {
        let reading = self.reading.and_then(|at| self.wanted.get_mut(at));
        if let Some((_, Some(content))) = reading {
            content.extend_from_slice(piece);
        }
    }
}

/// What of a folder is listed, as `container/src/files/survey.rs` has it.
#[derive(Debug, Clone)]
pub struct Wish {
    pub depth: usize,
    pub limit: usize,
    /// Also repositories. What `.gitignore` leaves out is not known here.
    pub ignored: bool,
    pub after: Option<Path>,
    /// A time of change as it is written, from seconds since the epoch.
    pub time: fn(u64) -> String,
}

struct Walk<'a> {
    tree: &'a Tree,
    wish: &'a Wish,
    files: usize,
    items: usize,
    kept: usize,
    last: Option<&'a Path>,
    is_full: bool,
}

impl Tree {
    /// A folder with what is in it; none where there is no folder at the path.
    pub fn listing(&self, path: &Path, wish: &Wish) -> Option<Listing> {
        if !self.is_folder(path) {
            return None;
        }
        let mut walk = Walk {
            tree: self,
            wish,
            files: 0,
            items: 0,
            kept: 0,
            last: None,
            is_full: false,
        };
        let children = walk.folder(path, 0);
        let root = match path.is_root() {
            true => WORKSPACE.to_owned(),
            false => format!("{WORKSPACE}/{}", path.lossy()),
        };
        let name = match path.is_root() {
            true => WORKSPACE.trim_start_matches('/').to_owned(),
            false => String::from_utf8_lossy(path.name()).into_owned(),
        };
        let folder = What::Folder { modified: None };
        let what = self.entries.get(path).unwrap_or(&folder);
        Some(Listing {
            root,
            tree: Node {
                name,
                children: Some(children),
                ..node(path, what, wish.time)
            },
            total_files: walk.files,
            total_items: walk.items,
            truncated: false,
            next: walk.last.filter(|_| walk.is_full).map(Path::address),
        })
    }
}

impl<'a> Walk<'a> {
    fn folder(&mut self, path: &Path, depth: usize) -> Vec<Node> {
        let mut begin = path.0.clone();
        if !path.is_root() {
            begin.push(BETWEEN);
        }
        let mut children = Vec::new();
        let mut from = Bound::Included(Path(begin.clone()));
        loop {
            let mut next = self.tree.entries.range((from, Bound::Unbounded));
            let Some((at, what)) = next.next().filter(|(at, _)| at.0.starts_with(&begin)) else {
                return children;
            };
            // The first path that is not below this one.
            let mut after = at.0.clone();
            after.push(BETWEEN + 1);
            from = Bound::Included(Path(after));
            if !self.wish.ignored && at.name() == b".git" && matches!(what, What::Folder { .. }) {
                continue;
            }
            self.items += 1;
            self.files += usize::from(matches!(what, What::File(_)));
            let keeps = self.keeps(at);
            let mut node = node(at, what, self.wish.time);
            if let What::Folder { .. } = what {
                if depth + 1 >= self.wish.depth {
                    node.more = true;
                } else {
                    node.children = Some(self.folder(at, depth + 1));
                }
            }
            if keeps
                || node
                    .children
                    .as_ref()
                    .is_some_and(|below| !below.is_empty())
            {
                children.push(node);
            }
        }
    }

    /// Whether an entry belongs to this page.
    fn keeps(&mut self, at: &'a Path) -> bool {
        if self.wish.after.as_ref().is_some_and(|after| at <= after) {
            return false;
        }
        if self.kept == self.wish.limit {
            self.is_full = true;
            return false;
        }
        self.kept += 1;
        self.last = Some(at);
        true
    }
}

/// An entry without those below it.
fn node(path: &Path, what: &What, time: fn(u64) -> String) -> Node {
    let (kind, size, modified, target) = match what {
        What::Folder { modified } => (Kind::Directory, None, *modified, None),
        What::File(file) => (Kind::File, Some(file.size), Some(file.modified), None),
        What::Link { holds, modified } => {
            let holds = String::from_utf8_lossy(holds);
            let target = holds.chars().take(LONGEST_TARGET).collect();
            (Kind::Symlink, None, Some(*modified), Some(target))
        }
    };
    let bytes = path.bytes();
    Node {
        name: String::from_utf8_lossy(path.name()).into_owned(),
        kind,
        path: path.lossy(),
        encoded: std::str::from_utf8(&bytes)
            .is_err()
            .then(|| address(&bytes)),
        size,
        modified: modified.map(time),
        git: None,
        target,
        more: false,
        children: (kind == Kind::Directory).then(Vec::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::Reader;
    use proptest::prelude::*;

    fn told(tree: &mut Tree, path: &str, content: &str, at: u64) -> Result<(), Unread> {
        let wanted = tree.entry(Entry {
            path: path.as_bytes().to_vec(),
            kind: tar::Kind::File,
            size: content.len() as u64,
            modified: 0,
            at,
        })?;
        if wanted {
            Reader::content(tree, content.as_bytes());
        }
        Ok(())
    }

    #[test]
    fn what_archives_make_together() {
        let a = Path::from_address("d/a").unwrap();
        let mut tree = Tree::with([a.clone()]);
        told(&mut tree, "save.json", "{}", 512).unwrap();
        told(&mut tree, "home/x", "x", 1024).unwrap();
        told(&mut tree, "workspace/d/a", "0123", 2048).unwrap();
        told(&mut tree, "workspace/d/b", "", 4096).unwrap();
        tree.next_archive();
        told(&mut tree, "append/3/workspace/d/a", "xy", 512).unwrap();
        told(&mut tree, "delete/workspace/d/b", "", 1024).unwrap();
        let file = tree.file(&a).unwrap().clone();
        assert_eq!(file.size, 5);
        let piece = |archive, at, length| Piece {
            archive,
            at,
            length,
        };
        assert_eq!(file.pieces, [piece(0, 2048, 3), piece(1, 512, 2)]);
        assert_eq!(tree.content(&a).as_deref(), Some(&b"012xy"[..]));
        assert!(tree.file(&Path::from_address("d/b").unwrap()).is_none());
        told(&mut tree, "workspace/d", "now a file", 9).unwrap();
        assert!(tree.file(&a).is_none());
        for bad in [
            "workspace/../x",
            "workspace/",
            "append/x/workspace/d",
            "append/99/workspace/d",
            "append/0/workspace/nothing",
            "delete/workspace/..",
        ] {
            assert_eq!(told(&mut tree, bad, "", 0), Err(Unread::Broken), "{bad}");
        }
    }

    #[test]
    fn what_is_held_has_a_bound() {
        let link = |number: usize| Entry {
            path: format!("workspace/{number}").into_bytes(),
            kind: tar::Kind::Link(vec![b'x'; 4095]),
            size: 0,
            modified: 0,
            at: 0,
        };
        let mut tree = Tree::default();
        let read = (0..49_000).try_for_each(|number| tree.entry(link(number)).map(drop));
        assert_eq!(read, Err(Unread::TooMuch));
        let mut tree = Tree::default();
        told(&mut tree, "workspace/a", "", 0).unwrap();
        let read = (0..1000).try_for_each(|_| told(&mut tree, "append/0/workspace/a", "x", 0));
        assert_eq!(read, Ok(()), "what is cut off is no part");
        let read = (0..1000).try_for_each(|kept| {
            told(
                &mut tree,
                &format!("append/{}/workspace/a", kept + 1),
                "x",
                0,
            )
        });
        assert_eq!(read, Err(Unread::TooMuch));
    }

    #[test]
    fn addresses() {
        let lossy = |address| Path::from_address(address).map(|path| path.lossy());
        assert_eq!(lossy("a/./b//c%20d/").as_deref(), Some("a/b/c d"));
        assert_eq!(lossy("%zz%4").as_deref(), Some("%zz%4"));
        for out in ["../x", "a/%2e%2e/b", "/etc", "%2fetc", "a%00"] {
            assert_eq!(lossy(out), None, "{out}");
        }
        let odd = Path::from_address("a/%FF%20").unwrap();
        assert_eq!(odd.address(), "a/%FF%20");
        assert_eq!(odd.name(), b"\xff ");
        let file = Path::from_address("a/download").unwrap();
        assert_eq!(file.without_last("download"), Path::from_address("a"));
        assert_eq!(
            Path::from_address("download")
                .unwrap()
                .without_last("download"),
            None
        );
    }

    proptest! {
        #[test]
        fn any_entries(entries in proptest::collection::vec(("(delete/|append/[0-9]{0,3}/|)(workspace|home|x)(/[a-c.]{0,2}){0,4}", 0..5u64, any::<bool>()), 0..40)) {
            let mut tree = Tree::with(Path::from_address("a"));
            for (path, size, folder) in entries {
                let kind = if folder { tar::Kind::Folder } else { tar::Kind::File };
                let _broken = tree.entry(Entry { path: path.into_bytes(), kind, size, modified: 0, at: 0 });
                for what in tree.entries.values() {
                    if let What::File(file) = what {
                        prop_assert_eq!(file.size, file.pieces.iter().map(|piece| piece.length).sum::<u64>());
                    }
                }
                prop_assert_eq!(tree.paths, tree.entries.keys().map(|path| path.0.len()).sum::<usize>());
            }
            let wish = Wish { depth: 50, limit: 10_000, ignored: true, after: None, time: |seconds| seconds.to_string() };
            let listing = tree.listing(&Path::default(), &wish).unwrap();
            prop_assert_eq!(listing.total_items, tree.entries.len());
        }
    }
}
