//! Which files of the workspace change while a turn runs, whoever changes them: the session is told as they
//! do.
//!
//! A build writes a hundred thousand files, and an agent may do worse. So what is told is bounded, in
//! events and in each of them, and what `.gitignore` leaves out is nobody's concern.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use notify::event::{ModifyKind, RenameMode};
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use protocol::event::{ChangedFile, EventBody, FileChange, cut};
use protocol::sandbox::Record;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::disk::is_cache;
use crate::files::Ignores;
use crate::mask::Secrets;
use crate::turn_log::TurnLog;

/// How long changes are gathered before they are told, and how long at most where they do not stop.
const PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Paths that are kept until they are told.
const MAX_KEPT: usize = 1_000;

/// Files that an event names, and bytes of a path in it.
const MAX_TOLD: usize = 50;
const MAX_PATH: usize = 1_024;

/// Folders within folders.
const MAX_DEPTH: usize = 200;

/// A change at the time of which a tool has said that it was its own.
const OWN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Watcher {
    workspace: PathBuf,
    secrets: Arc<Secrets>,
    state: Arc<Mutex<State>>,
    /// Something is to be told.
    seen: Arc<Notify>,
    /// Held while something is told.
    telling: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the turn that runs.
    log: Option<Arc<TurnLog>>,
    seen: Seen,
    /// What tools have said of themselves, and when.
    said: HashMap<PathBuf, Instant>,
    /// Ends with this.
    platform: Option<RecommendedWatcher>,
}

/// What has changed and is not told yet.
#[derive(Debug, Default)]
struct Seen {
    paths: BTreeMap<PathBuf, Touch>,
    /// Also other files.
    more: bool,
}

#[derive(Debug, Clone, Copy)]
struct Touch {
    /// It was not there before.
    created: bool,
    at: Instant,
}

impl Seen {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.more
    }

    fn add(&mut self, path: &Path, created: bool) {
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

    /// Takes what the platform says of paths below `workspace`.
    fn take(&mut self, heard: notify::Result<notify::Event>, workspace: &Path) {
        let Ok(event) = heard else {
            // Such as a folder that there is no room to watch.
            self.more = true;
            return;
        };
        if event.need_rescan() {
            self.more = true;
        }
        let created = match event.kind {
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => true,
            EventKind::Remove(_)
            | EventKind::Modify(
                ModifyKind::Any | ModifyKind::Data(_) | ModifyKind::Name(RenameMode::From),
            ) => false,
            _ => return,
        };
        for path in &event.paths {
            if let Ok(path) = path.strip_prefix(workspace)
                && path != Path::new("")
            {
                self.add(path, created);
            }
        }
    }
}

impl Watcher {
    pub fn new(workspace: &Path, secrets: Arc<Secrets>) -> Self {
        Self {
            workspace: workspace.to_owned(),
            secrets,
            state: Arc::default(),
            seen: Arc::default(),
            telling: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Begins to watch. It takes time where there are many folders, and nobody waits for it.
    pub fn start(self: &Arc<Self>) {
        let own = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let (state, seen) = (Arc::clone(&own.state), Arc::clone(&own.seen));
            let workspace = own.workspace.clone();
            let hear = move |heard| {
                let mut state = lock(&state);
                if state.log.is_some() {
                    state.seen.take(heard, &workspace);
                    if !state.seen.is_empty() {
                        seen.notify_one();
                    }
                }
            };
            let config = Config::default().with_follow_symlinks(false);
            let watched = RecommendedWatcher::new(hear, config).and_then(|mut platform| {
                platform.watch(&own.workspace, RecursiveMode::Recursive)?;
                Ok(platform)
            });
            match watched {
                Ok(platform) => own.state().platform = Some(platform),
                Err(error) => tracing::warn!(%error, "the workspace can't be watched"),
            }
        });
    }

    /// Tells what has changed, until the task that this is ends.
    pub async fn run(self: Arc<Self>) {
        let mut pause = PAUSE;
        let mut told = Instant::now();
        loop {
            self.seen.notified().await;
            // What goes on and on is told more and more seldom.
            pause = match told.elapsed() < pause {
                true => (pause * 2).min(LONGEST_PAUSE),
                false => PAUSE,
            };
            sleep(pause).await;
            self.tell().await;
            told = Instant::now();
        }
    }

    /// A turn begins, and hears of what changes.
    pub fn begin(&self, log: &Arc<TurnLog>) {
        let mut state = self.state();
        state.log = Some(Arc::clone(log));
        state.seen = Seen::default();
        state.said.clear();
    }

    /// A tool has told of this change itself.
    pub fn said(&self, path: &str) {
        let mut state = self.state();
        if state.said.len() < MAX_KEPT {
            state.said.insert(path.into(), Instant::now());
        }
    }

    /// The turn is about to end: what was not told yet is told.
    pub async fn end(&self) {
        self.tell().await;
        self.state().log = None;
    }

    async fn tell(&self) {
        let _telling = self.telling.lock().await;
        let (seen, log) = {
            let mut state = self.state();
            let seen = std::mem::take(&mut state.seen);
            let Some(log) = state.log.clone().filter(|_| !seen.is_empty()) else {
                return;
            };
            (seen, log)
        };
        let workspace = self.workspace.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let root = Dir::open_ambient_dir(workspace, ambient_authority())?;
            Ok::<_, std::io::Error>(look(&root, seen))
        });
        let Ok(Ok(mut looked)) = looked.await else {
            return;
        };
        {
            let mut state = self.state();
            let is_own = |path: &Path, at: Instant, said: &HashMap<PathBuf, Instant>| {
                said.get(path)
                    .is_some_and(|said| said.max(&at).duration_since(*said.min(&at)) < OWN)
            };
            looked
                .files
                .retain(|file| !is_own(&file.path, file.at, &state.said));
            state.said.retain(|_, said| said.elapsed() < OWN);
        }
        if let Some(event) = looked.event(&self.secrets) {
            // Where the log is full, the turn ends of that.
            let _full = log.add(Record {
                events: vec![event],
                ..Record::default()
            });
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What there is to be told.
#[derive(Debug, Default)]
struct Looked {
    files: Vec<Found>,
    more: bool,
}

#[derive(Debug)]
struct Found {
    path: PathBuf,
    change: FileChange,
    at: Instant,
}

impl Looked {
    /// None where there is nothing to be told.
    fn event(self, secrets: &Secrets) -> Option<EventBody> {
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

/// Looks what has become of paths that something has happened to.
fn look(root: &Dir, seen: Seen) -> Looked {
    let mut looked = Looked {
        more: seen.more,
        ..Looked::default()
    };
    let mut descent = Descent::new(root);
    for (path, touch) in seen.paths {
        let metadata = root.symlink_metadata(&path);
        let is_dir = metadata.as_ref().is_ok_and(|metadata| metadata.is_dir());
        if descent.leaves_out(&path, is_dir) {
            continue;
        }
        let mut add = |path: &Path, change| {
            if looked.files.len() >= MAX_KEPT {
                looked.more = true;
            } else if looked.files.last().is_none_or(|last| last.path != path) {
                looked.files.push(Found {
                    path: path.to_owned(),
                    change,
                    at: touch.at,
                });
            }
        };
        match (metadata, touch.created) {
            // What was in it before it was watched has told nobody.
            (Ok(metadata), true) if metadata.is_dir() => match root.open_dir(&path) {
                Ok(dir) => {
                    below(&dir, &path, &mut descent, 0, &mut |path| {
                        add(path, FileChange::Written);
                    });
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
    looked.files.dedup_by(|one, other| one.path == other.path);
    looked
}

/// The files of a new folder, or itself where it has none.
fn below(dir: &Dir, path: &Path, descent: &mut Descent, depth: usize, add: &mut impl FnMut(&Path)) {
    let entries = dir.entries().into_iter().flatten().flatten();
    let mut is_empty = true;
    for entry in entries.take(MAX_KEPT) {
        is_empty = false;
        let at = path.join(entry.file_name());
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if descent.leaves_out(&at, is_dir) {
            continue;
        }
        match entry.open_dir() {
            Ok(folder) if is_dir && depth < MAX_DEPTH => {
                below(&folder, &at, descent, depth + 1, add);
            }
            _ => add(&at),
        }
    }
    if is_empty {
        add(path);
    }
}

/// The way down to a path, with what is left out on it. For paths in their order it is not gone anew.
struct Descent {
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
    fn new(root: &Dir) -> Self {
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

    fn leaves_out(&mut self, path: &Path, is_dir: bool) -> bool {
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
        }) = look(&root, many).event(&Secrets::default())
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
