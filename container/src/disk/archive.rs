//! A save as an archive: a `.tar.gz` that any program opens.
//!
//! | entry | is |
//! | --- | --- |
//! | `save.json`, the first | a [`Header`] |
//! | `workspace/…`, `home/…` | a file, folder or link as it is |
//! | `append/<size>/workspace/…` | what was added to a file after its first `<size>` bytes |
//! | `delete/workspace/…` | something that is gone |
//!
//! One that says what it comes `after` holds only what has changed since then.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType};

use super::index::{Entry, Index, Kind, Place, Root, open_file};

pub const FORMAT: u32 = 1;
pub const HEADER: &str = "save.json";
pub const APPEND: &str = "append";
pub const DELETE: &str = "delete";

/// A file's content is compared with what it was, to save only what was added, from this size on.
const WORTH_COMPARING: u64 = 16 * 1024;

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    /// Counts up with the saves of a session.
    pub save: u64,
    /// The save that it builds on; none where it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// A finished archive.
#[derive(Debug)]
pub struct Archive {
    /// At its begin; gone from the disk when it is closed.
    pub file: File,
    pub bytes: u64,
    pub sha256: [u8; 32],
    /// The save that it builds on.
    pub after: Option<u64>,
    /// Entries that it holds.
    pub entries: usize,
    /// What the disk held.
    pub index: Arc<Index>,
}

/// Writes an archive of what is in `index` and not in `before`; `None` where that is nothing.
///
/// # Errors
/// Where the archive can't be written.
pub fn write(
    roots: &[(Root, Dir)],
    mut index: Index,
    before: Option<&Index>,
    header: &Header,
) -> io::Result<Option<Archive>> {
    let is_changed = |place: &Place, entry: &Entry| {
        before
            .and_then(|before| before.entries.get(place))
            .is_none_or(|old| !entry.is_as(old))
    };
    let gone: Vec<&Place> = before
        .into_iter()
        .flat_map(|before| before.entries.keys())
        .filter(|place| !index.entries.contains_key(place))
        .collect();
    let changed = index
        .entries
        .iter()
        .any(|(place, entry)| is_changed(place, entry));
    if before.is_some() && gone.is_empty() && !changed {
        return Ok(None);
    }
    let encoder = GzEncoder::new(
        Hashing::new(tempfile::tempfile()?),
        Compression::new(COMPRESSION),
    );
    let mut archive = Writer {
        tar: Builder::new(encoder),
        entries: 0,
    };
    archive.bytes(Path::new(HEADER), &serde_json::to_vec(header)?)?;
    for place in gone {
        archive.bytes(&Path::new(DELETE).join(name(place)), b"")?;
    }
    for (place, entry) in &mut index.entries {
        let old = before.and_then(|before| before.entries.get(place));
        if let Some(old) = old.filter(|old| entry.is_as(old)) {
            entry.kind.clone_from(&old.kind);
            continue;
        }
        let Some((_, dir)) = roots.iter().find(|(root, _)| *root == place.root) else {
            continue;
        };
        archive.entry(dir, place, entry, old)?;
    }
    let entries = archive.entries;
    let Hashing {
        mut file,
        hash,
        bytes,
    } = archive.tar.into_inner()?.finish()?;
    file.rewind()?;
    Ok(Some(Archive {
        file,
        bytes,
        sha256: hash.finalize().into(),
        after: header.after,
        entries,
        index: Arc::new(index),
    }))
}

/// gzip's fastest: a person waits for the end of it.
const COMPRESSION: u32 = 1;

fn name(place: &Place) -> PathBuf {
    Path::new(place.root.name()).join(&place.path)
}

struct Writer<W: Write> {
    tar: Builder<W>,
    entries: usize,
}

impl<W: Write> Writer<W> {
    fn bytes(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut header = header(EntryType::Regular, 0o644, 0);
        header.set_size(content.len() as u64);
        self.entries += 1;
        self.tar.append_data(&mut header, path, content)
    }

    /// Writes what is there, and notes in `entry` what was read.
    fn entry(
        &mut self,
        dir: &Dir,
        place: &Place,
        entry: &mut Entry,
        old: Option<&Entry>,
    ) -> io::Result<()> {
        self.entries += 1;
        match &mut entry.kind {
            Kind::Folder => {
                let mut header = header(EntryType::Directory, entry.mode, entry.modified);
                header.set_size(0);
                self.tar.append_data(&mut header, name(place), io::empty())
            }
            Kind::Link(target) => {
                let mut header = header(EntryType::Symlink, entry.mode, entry.modified);
                header.set_size(0);
                self.tar.append_link(&mut header, name(place), target)
            }
            Kind::File { size, hash } => {
                let header = header(EntryType::Regular, entry.mode, entry.modified);
                let (read, whole) = match open_file(dir, &place.path) {
                    Ok(file) => self.file(file, name(place), header, *size, old)?,
                    // The next save takes it again, or says that it is gone.
                    Err(_) => {
                        entry.stamp = super::index::Stamp::default();
                        return Ok(());
                    }
                };
                *hash = Some(read);
                if !whole {
                    // It was written to meanwhile: the next save takes it again.
                    entry.stamp = super::index::Stamp::default();
                }
                Ok(())
            }
        }
    }

    /// Writes `size` bytes of a file, or those after what it held before where that still stands at
    /// its begin. Returns the content's hash, and whether there was as much as that.
    fn file(
        &mut self,
        mut file: cap_std::fs::File,
        name: PathBuf,
        mut header: tar::Header,
        size: u64,
        old: Option<&Entry>,
    ) -> io::Result<([u8; 32], bool)> {
        let mut hash = Sha256::new();
        let mut offset = 0;
        if let Some(Entry {
            kind:
                Kind::File {
                    size: held,
                    hash: Some(known),
                },
            ..
        }) = old
            && (WORTH_COMPARING..=size).contains(held)
        {
            copy(&mut (&mut file).take(*held), &mut hash)?;
            let begin: [u8; 32] = hash.clone().finalize().into();
            if begin == *known {
                offset = *held;
            } else {
                file.rewind()?;
                hash = Sha256::new();
            }
        }
        let path = match offset {
            0 => name,
            offset => Path::new(APPEND).join(offset.to_string()).join(name),
        };
        header.set_size(size - offset);
        let mut content = Padded {
            inner: (&mut file).take(size - offset),
            hash,
            left: size - offset,
            short: false,
        };
        self.tar.append_data(&mut header, path, &mut content)?;
        Ok((content.hash.finalize().into(), !content.short))
    }
}

fn header(kind: EntryType, mode: u32, modified: i64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(u64::try_from(modified).unwrap_or(0));
    header
}

fn copy(from: &mut impl Read, hash: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// A file's content, with zeros where it is shorter than it was said to be, and its hash.
struct Padded<R> {
    inner: R,
    hash: Sha256,
    left: u64,
    short: bool,
}

impl<R: Read> Read for Padded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = self.inner.read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            self.short = true;
            read = buffer
                .len()
                .min(usize::try_from(self.left).unwrap_or(usize::MAX));
            buffer.iter_mut().take(read).for_each(|byte| *byte = 0);
        }
        self.hash.update(buffer.get(..read).unwrap_or_default());
        self.left -= read as u64;
        Ok(read)
    }
}

/// A file that is hashed while it is written.
struct Hashing {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    fn new(file: File) -> Self {
        Self {
            file,
            hash: Sha256::new(),
            bytes: 0,
        }
    }
}

impl Write for Hashing {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hash.update(buffer.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
