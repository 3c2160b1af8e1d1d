//! What there is to be told of paths that something has happened to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cap_std::fs::Dir;
use protocol::event::{ChangedFile, EventBody, FileChange, cut};

use super::{MAX_KEPT, Platform};
use crate::disk::is_cache;
use crate::files::Ignores;
use crate::mask::Secrets;

/// Files that an event names, and bytes of a path in it.
const MAX_TOLD: usize = 50;
const MAX_PATH: usize = 1_024;

/// Folders within folders, and entries that are looked at for one event.
const MAX_DEPTH: usize = 200;
const MAX_LOOKED_AT: usize = 20_000;

/// What has changed and is not told yet.
#[derive(Debug, Default)]
pub struct Seen {
    pub paths: BTreeMap<PathBuf, Touch>,
    /// Also other files.
    pub more: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Touch {
    /// It was not there before.
    created: bool,
    at: Instant,
}

impl Seen {
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.more
    }

    pub fn add(&mut self, path: &Path, created: bool) {
        let at = Instant::now();
        if let Some(touch) = self.paths.get_mut(path) {
            touch.created |= created;
            touch.at = at;
        } else if self.paths.len() < MAX_KEPT {
            self.paths.insert(path.to_owned(), Touch { created, at });
        } else {
            self.more = true;
        }
    }
}

/// What there is to be told.
#[derive(Debug, Default)]
pub struct Looked {
    pub files: Vec<Found>,
    pub more: bool,
}

#[derive(Debug)]
pub struct Found {
    pub path: PathBuf,
    change: FileChange,
    pub at: Instant,
}

impl Looked {
    /// None where there is nothing to be told.
    pub fn event(self, secrets: &Secrets) -> Option<EventBody> {
        let more = self.more || self.files.len() > MAX_TOLD;
        let mask = secrets.mask();
        let mut files = self.files.into_iter().take(MAX_TOLD).map(|file| {
            let mut path = mask.text(&file.path.to_string_lossy()).into_owned();
            cut(&mut path, MAX_PATH);
            ChangedFile {
                path,
                change: file.change,
            }
        });
        let Some(first) = files.next() else {
            return more.then(|| EventBody::FileChange {
                content: "Files have changed".to_owned(),
                path: String::new(),
                change: FileChange::Written,
                tool_use_id: String::new(),
                others: Vec::new(),
                more,
            });
        };
        let others: Vec<ChangedFile> = files.collect();
        let verb = match first.change {
            FileChange::Removed => "Removed",
            FileChange::Written | FileChange::Edited => "Wrote",
        };
        let rest = match (others.len(), more) {
            (0, false) => String::new(),
            (0, true) => ", and others have changed".to_owned(),
            (1, false) => ", and 1 other has changed".to_owned(),
            (count, false) => format!(", and {count} others have changed"),
            (count, true) => format!(", and more than {count} others have changed"),
        };
        Some(EventBody::FileChange {
            content: format!("{verb} {}{rest}", first.path),
            path: first.path,
            change: first.change,
            tool_use_id: String::new(),
            others,
            more,
        })
    }
}

/// Looks what has become of paths that something has happened to. New folders are watched from now on.
pub fn look(root: &Dir, platform: &mut Platform, seen: Seen) -> Looked {
    let mut looked = Looked::default();
    let mut walk = Walk::new(root, platform);
    let mut walked: Option<PathBuf> = None;
    for (path, touch) in seen.paths {
        // It has been looked at with the new folder that it is in.
        if walked
            .as_ref()
            .is_some_and(|walked| path.starts_with(walked))
        {
            continue;
        }
        let metadata = root.symlink_metadata(&path);
        let is_dir = metadata.as_ref().is_ok_and(|metadata| metadata.is_dir());
        if walk.descent.leaves_out(&path, is_dir) {
            continue;
        }
        let mut add = |path: &Path, change| {
            looked.files.push(Found {
                path: path.to_owned(),
                change,
                at: touch.at,
            });
        };
        match (metadata, touch.created) {
            // What was in it before it was watched has told nobody.
            (Ok(_), true) if is_dir => match root.open_dir(&path) {
                Ok(dir) => {
                    walk.below(&dir, &path, 0, &mut |path| add(path, FileChange::Written));
                    walked = Some(path);
                }
                Err(_) => add(&path, FileChange::Written),
            },
            (Ok(_), _) => add(&path, FileChange::Written),
            (Err(_), false) => add(&path, FileChange::Removed),
            // It has come and gone.
            (Err(_), true) => {}
        }
    }
    looked.files.sort_by(|one, other| one.path.cmp(&other.path));
    looked.more = seen.more || !walk.is_whole;
    looked
}

/// A walk through folders that are watched from now on.
pub struct Walk<'a> {
    descent: Descent,
    platform: &'a mut Platform,
    /// Entries that may still be looked at.
    left: usize,
    /// Nothing had to be passed by.
    pub is_whole: bool,
}

impl<'a> Walk<'a> {
    pub fn new(root: &Dir, platform: &'a mut Platform) -> Self {
        Self {
            descent: Descent::new(root),
            platform,
            left: MAX_LOOKED_AT,
            is_whole: true,
        }
    }

    /// The files of a folder that was not left out; itself where it has none.
    pub fn below(&mut self, dir: &Dir, path: &Path, depth: usize, add: &mut impl FnMut(&Path)) {
        self.is_whole &= self.platform.watch(path);
        let mut is_empty = true;
        for entry in dir.entries().into_iter().flatten().map_while(Result::ok) {
            is_empty = false;
            let Some(left) = self.left.checked_sub(1) else {
                self.is_whole = false;
                return;
            };
            self.left = left;
            let at = path.join(entry.file_name());
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if self.descent.leaves_out(&at, is_dir) {
                continue;
            }
            match entry.open_dir() {
                Ok(folder) if is_dir && depth < MAX_DEPTH => {
                    if is_cache(&folder) {
                        continue;
                    }
                    self.below(&folder, &at, depth + 1, add);
                }
                _ => add(&at),
            }
        }
        if is_empty {
            add(path);
        }
    }
}

/// The way down to a path, with what is left out on it. For paths in their order it is not gone anew.
pub struct Descent {
    ignores: Ignores,
    levels: Vec<Level>,
}

struct Level {
    path: PathBuf,
    /// None where it is gone, or left out.
    dir: Option<Dir>,
    is_out: bool,
    entered: bool,
}

impl Descent {
    pub fn new(root: &Dir) -> Self {
        let mut ignores = Ignores::default();
        let entered = ignores.enter(root, Path::new(""));
        let root = Level {
            path: PathBuf::new(),
            dir: root.try_clone().ok(),
            is_out: false,
            entered,
        };
        Self {
            ignores,
            levels: vec![root],
        }
    }

    pub fn leaves_out(&mut self, path: &Path, is_dir: bool) -> bool {
        let parent = path.parent().unwrap_or(Path::new(""));
        while let Some(level) = self.levels.pop_if(|level| !parent.starts_with(&level.path)) {
            if level.entered {
                self.ignores.leave();
            }
        }
        while let Some(level) = self.levels.last() {
            if level.is_out {
                return true;
            }
            let next = parent.strip_prefix(&level.path).ok();
            let next = next.and_then(|rest| rest.components().next());
            let (Some(next), Some(above)) = (next, &level.dir) else {
                break;
            };
            let path = level.path.join(next);
            let mut is_out = self.ignores.leaves_out(&path, true);
            let dir = match is_out {
                true => None,
                false => above.open_dir(next).ok(),
            };
            is_out = is_out || dir.as_ref().is_some_and(is_cache);
            let entered = match &dir {
                Some(dir) if !is_out => self.ignores.enter(dir, &path),
                _ => false,
            };
            self.levels.push(Level {
                path,
                dir,
                is_out,
                entered,
            });
        }
        self.ignores.leaves_out(path, is_dir)
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn seen(paths: &[(&str, bool)]) -> Seen {
        let mut seen = Seen::default();
        for (path, created) in paths {
            seen.add(Path::new(path), *created);
        }
        seen
    }

    fn told(looked: &Looked) -> Vec<(&str, FileChange)> {
        let told = looked.files.iter();
        told.map(|file| (file.path.to_str().unwrap(), file.change))
            .collect()
    }

    fn workspace() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let root = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        (folder, root)
    }

    #[test]
    fn what_has_become_of_it() {
        let (_folder, root) = workspace();
        root.create_dir_all("new/deep").unwrap();
        root.create_dir_all("new/empty").unwrap();
        root.write("new/deep/file", "x").unwrap();
        root.write("changed", "x").unwrap();
        let looked = look(
            &root,
            &mut Platform::default(),
            seen(&[
                ("changed", false),
                ("new", true),
                ("new/deep", true),
                ("gone", false),
                ("passing", true),
            ]),
        );
        assert_eq!(
            told(&looked),
            [
                ("changed", FileChange::Written),
                ("gone", FileChange::Removed),
                ("new/deep/file", FileChange::Written),
                ("new/empty", FileChange::Written),
            ]
        );
        assert!(!looked.more);
    }

    #[test]
    fn what_is_left_out_is_not_told() {
        let (_folder, root) = workspace();
        root.create_dir_all("out/deep").unwrap();
        root.create_dir_all("cache").unwrap();
        root.create_dir_all("src/.git").unwrap();
        root.write(".gitignore", "out/\n*.log\n").unwrap();
        root.write("src/.gitignore", "!kept.log\n").unwrap();
        root.write(
            "cache/CACHEDIR.TAG",
            "Signature: 8a477f597d28d172789f06886806bc55",
        )
        .unwrap();
        for path in [
            "out/deep/a",
            "cache/b",
            "src/a.log",
            "src/kept.log",
            "c.log",
        ] {
            root.write(path, "x").unwrap();
        }
        let looked = look(
            &root,
            &mut Platform::default(),
            seen(&[
                ("out/deep/a", false),
                ("cache/b", true),
                ("src", true),
                ("src/.git/index", false),
                ("c.log", false),
                ("out/gone/too", false),
            ]),
        );
        assert_eq!(
            told(&looked),
            [
                ("src/.gitignore", FileChange::Written),
                ("src/kept.log", FileChange::Written)
            ]
        );
    }

    #[test]
    fn more_than_is_told() {
        let (_folder, root) = workspace();
        let mut many = Seen::default();
        for number in 0..MAX_KEPT + 5 {
            many.add(Path::new(&format!("{number:04}")), false);
        }
        assert!(many.more);
        let Some(EventBody::FileChange {
            content,
            path,
            others,
            more,
            ..
        }) = look(&root, &mut Platform::default(), many).event(&Secrets::default())
        else {
            panic!("nothing is told");
        };
        assert_eq!(path, "0000");
        assert_eq!((others.len(), more), (MAX_TOLD - 1, true));
        assert_eq!(
            content,
            "Removed 0000, and more than 49 others have changed"
        );
    }
}
