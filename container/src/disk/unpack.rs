//! An archive back onto the disk. What it says is checked like a client's words: nothing that it names
//! lies outside of the roots, whatever links there are.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use flate2::read::GzDecoder;
use rustix::fs::{OFlags, Timespec, Timestamps, futimens};
use tar::EntryType;

use super::archive::{APPEND, DELETE, FORMAT, HEADER, Header};
use super::index::{Place, Root};

/// Bytes of the archive's header.
const MAX_HEADER: u64 = 4096;

/// Reads an archive to its end and does what it says. Returns what it says of itself; `check` sees that
/// before anything is done.
///
/// # Errors
/// Where it is torn, is no archive of this kind, or the disk does not take it. Then the disk holds a
/// part of it.
pub fn unpack(
    roots: &[(Root, Dir)],
    from: impl Read,
    check: impl FnOnce(&Header) -> io::Result<()>,
) -> io::Result<Header> {
    let mut archive = tar::Archive::new(GzDecoder::new(from));
    let mut entries = archive.entries()?;
    let first = entries.next().ok_or_else(|| broken("it is empty"))??;
    if first.path()? != Path::new(HEADER) {
        return Err(broken("it does not begin with its header"));
    }
    let header: Header = serde_json::from_reader(first.take(MAX_HEADER))?;
    if header.format != FORMAT {
        // Another one can't be better: this program is too old for them.
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "its format is {}, and {FORMAT} is understood",
                header.format
            ),
        ));
    }
    check(&header)?;
    let mut folders = BTreeMap::new();
    for entry in entries {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let (place, what) = meant(&path).ok_or_else(|| {
            let path: String = path.to_string_lossy().chars().take(200).collect();
            broken(&format!("it names {path:?}"))
        })?;
        let (_, dir) = roots
            .iter()
            .find(|(root, _)| *root == place.root)
            .ok_or_else(|| broken("it names a folder that is not here"))?;
        open_parent(dir, &place, &mut folders)?;
        match (what, entry.header().entry_type()) {
            (What::Delete, _) => remove(dir, &place.path)?,
            (What::Append(size), EntryType::Regular) => {
                if dir.symlink_metadata(&place.path)?.is_file() {
                    // Whatever its mode was, its owner adds to it; the entry has the mode that it gets.
                    dir.set_permissions(&place.path, Permissions::from_mode(0o600))?;
                }
                let mut file = open(dir, &place.path, false)?;
                if file.metadata()?.len() < size {
                    return Err(broken("it adds to a file that is shorter than it was"));
                }
                file.set_len(size)?;
                file.seek(SeekFrom::Start(size))?;
                fill(file, &mut entry)?;
            }
            (What::Put, EntryType::Regular) => {
                make_way(dir, &place.path, |_| false)?;
                fill(open(dir, &place.path, true)?, &mut entry)?;
            }
            (What::Put, EntryType::Directory) => {
                make_way(dir, &place.path, |metadata| metadata.is_dir())?;
                dir.create_dir_all(&place.path)?;
                let mode = entry.header().mode()?;
                // What belongs into it has to find room first.
                dir.set_permissions(&place.path, Permissions::from_mode(mode | 0o700))?;
                folders.insert(place, mode);
            }
            (What::Put, EntryType::Symlink) => {
                make_way(dir, &place.path, |_| false)?;
                let target = entry
                    .link_name()?
                    .ok_or_else(|| broken("a link to nothing"))?;
                dir.symlink_contents(target, &place.path)?;
            }
            _ => return Err(broken("it holds what is neither file, folder nor link")),
        }
    }
    // To the end, where the checksum is.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    for (place, mode) in folders.into_iter().rev() {
        if let Some((_, dir)) = roots.iter().find(|(root, _)| *root == place.root) {
            match dir.symlink_metadata(&place.path) {
                Ok(metadata) if metadata.is_dir() => {
                    dir.set_permissions(&place.path, Permissions::from_mode(mode & 0o7777))?;
                }
                // It was taken away after something in it.
                _ => {}
            }
        }
    }
    Ok(header)
}

/// Takes away what is in a root.
///
/// # Errors
/// Where that is not possible.
pub fn clear(dir: &Dir) -> io::Result<()> {
    for entry in dir.entries()? {
        let name = entry?.file_name();
        if name != super::MARKER {
            remove(dir, Path::new(&name))?;
        }
    }
    Ok(())
}

enum What {
    Put,
    /// What follows the first bytes.
    Append(u64),
    Delete,
}

/// What an entry's name means; none where it means nothing, or leads anywhere else.
fn meant(path: &Path) -> Option<(Place, What)> {
    let mut parts = path.components().map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let mut first = parts.next()??.to_str()?;
    let mut what = What::Put;
    if first == APPEND {
        what = What::Append(parts.next()??.to_str()?.parse().ok()?);
        first = parts.next()??.to_str()?;
    } else if first == DELETE {
        what = What::Delete;
        first = parts.next()??.to_str()?;
    }
    let root = Root::of(first)?;
    let path: PathBuf = parts.collect::<Option<_>>()?;
    (!path.as_os_str().is_empty()).then_some((Place { root, path }, what))
}

fn open(dir: &Dir, path: &Path, new: bool) -> io::Result<cap_std::fs::File> {
    if new && let Some(parent) = path.parent() {
        dir.create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(new)
        .truncate(new)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    dir.open_with(path, &options)
}

/// Writes an entry's content where the file stands, and gives it the entry's mode and time.
fn fill(mut file: cap_std::fs::File, entry: &mut tar::Entry<'_, impl Read>) -> io::Result<()> {
    io::copy(entry, &mut file)?;
    let header = entry.header();
    file.set_permissions(Permissions::from_mode(header.mode()? & 0o7777))?;
    let time = Timespec {
        tv_sec: i64::try_from(header.mtime()?).unwrap_or(0),
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    futimens(&file, &times)?;
    Ok(())
}

/// Lets its owner write into the folder that something is in, until the end.
fn open_parent(dir: &Dir, place: &Place, folders: &mut BTreeMap<Place, u32>) -> io::Result<()> {
    const WRITABLE: u32 = 0o300;
    let parent = place.path.parent().unwrap_or(Path::new(""));
    if parent.as_os_str().is_empty() {
        return Ok(());
    }
    let mode = match dir.symlink_metadata(parent) {
        Ok(metadata) if metadata.is_dir() => metadata.permissions().mode(),
        _ => return Ok(()),
    };
    if mode & WRITABLE != WRITABLE {
        dir.set_permissions(parent, Permissions::from_mode(mode | 0o700))?;
        let parent = Place {
            root: place.root,
            path: parent.to_owned(),
        };
        folders.entry(parent).or_insert(mode);
    }
    Ok(())
}

/// Removes what stands at a place, unless it may `stay`.
fn make_way(
    dir: &Dir,
    path: &Path,
    stay: impl FnOnce(&cap_std::fs::Metadata) -> bool,
) -> io::Result<()> {
    match dir.symlink_metadata(path) {
        Ok(metadata) if stay(&metadata) => Ok(()),
        Ok(_) => remove(dir, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove(dir: &Dir, path: &Path) -> io::Result<()> {
    let removed = match dir.symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => dir.remove_dir_all(path).or_else(|error| {
            if error.kind() != io::ErrorKind::PermissionDenied {
                return Err(error);
            }
            open_folders(dir, path)?;
            dir.remove_dir_all(path)
        }),
        Ok(_) => dir.remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        // It went with the folder that it was in.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Lets its owner remove what is in a folder, however deep.
fn open_folders(dir: &Dir, path: &Path) -> io::Result<()> {
    dir.set_permissions(path, Permissions::from_mode(0o700))?;
    for entry in dir.read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(dir, &path.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn broken(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the archive can't be used: {why}"),
    )
}
