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
use tokio::time::{sleep, timeout};

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

/// Folders within folders, folders that are watched, and entries that are looked at for one event.
const MAX_DEPTH: usize = 200;
const MAX_WATCHED: usize = 10_000;
const MAX_LOOKED_AT: usize = 20_000;

/// How long what folders say of what is left out counts without being read again.
const FRESH: Duration = Duration::from_secs(1);

/// How long the end of a turn waits for what it has changed last.
const PATIENCE: Duration = Duration::from_secs(2);

/// A change at the time of which a tool has said that it was its own.
const OWN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Watcher {
    secrets: Arc<Secrets>,
    state: Arc<Mutex<State>>,
    /// Something is to be told.
    seen: Arc<Notify>,
    /// Held while something is told.
    telling: tokio::sync::Mutex<()>,
    /// Not within the state, which its own thread locks. None where nothing can be watched.
    platform: Arc<Mutex<Platform>>,
}

/// The folders that are watched. Those that are left out are not: there may be a hundred thousand of them, and
/// the machine has room for fewer.
#[derive(Debug, Default)]
struct Platform {
    watcher: Option<RecommendedWatcher>,
    /// Of the turn that it watches for.
    turn: u64,
    workspace: PathBuf,
    folders: usize,
}

impl Platform {
    /// Watches a folder, from here on. False where there is no room for it.
    fn watch(&mut self, folder: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return true; // It has been said that there is none.
        };
        if self.folders >= MAX_WATCHED {
            return false;
        }
        let path = self.workspace.join(folder);
        match watcher.watch(&path, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.folders += 1;
                true
            }
            // It is gone again, which is no matter.
            Err(notify::Error {
                kind: notify::ErrorKind::PathNotFound,
                ..
            }) => true,
            Err(_) => false,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Of the turn that runs.
    log: Option<Arc<TurnLog>>,
    seen: Seen,
    /// What tools have said of themselves, and when.
    said: HashMap<PathBuf, Instant>,
    /// It has been told that more has changed than can be named.
    said_more: bool,
    /// Counts the begins and ends of turns.
    turn: u64,
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
}

/// Whether an event tells of something that was not there before; none where nothing has changed.
fn created(event: &notify::Event) -> Option<bool> {
    match event.kind {
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(true),
        EventKind::Remove(_)
        | EventKind::Modify(
            ModifyKind::Any | ModifyKind::Data(_) | ModifyKind::Name(RenameMode::From),
        ) => Some(false),
        _ => None,
    }
}

impl Watcher {
    pub fn new(workspace: &Path, secrets: Arc<Secrets>) -> Self {
        let platform = Platform {
            workspace: workspace.to_owned(),
            ..Platform::default()
        };
        Self {
            secrets,
            state: Arc::default(),
            seen: Arc::default(),
            telling: tokio::sync::Mutex::default(),
            platform: Arc::new(Mutex::new(platform)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Begins to watch for a turn. It takes time where there are many folders, and nobody waits for it. Between
    /// turns nothing is watched: a machine has room for few that watch, and sandboxes may share one.
    fn start(&self, turn: u64) {
        let (state, seen) = (Arc::clone(&self.state), Arc::clone(&self.seen));
        let platform = Arc::clone(&self.platform);
        tokio::task::spawn_blocking(move || {
            let mut platform = lock(&platform);
            if lock(&state).turn != turn {
                return; // It is over already.
            }
            let mut filter = Filter::new(&platform.workspace);
            let hear = move |event| {
                let heard = filter.take(event);
                let mut state = lock(&state);
                state.hear(heard);
                if !state.seen.is_empty() {
                    seen.notify_one();
                }
            };
            let config = Config::default().with_follow_symlinks(false);
            match RecommendedWatcher::new(hear, config) {
                Ok(watcher) => platform.watcher = Some(watcher),
                Err(error) => {
                    tracing::warn!(%error, "the workspace can't be watched");
                    return;
                }
            }
            platform.turn = turn;
            platform.folders = 0;
            let root = Dir::open_ambient_dir(&platform.workspace, ambient_authority());
            let walked = root.map(|root| {
                let mut walk = Walk::new(&root, &mut platform);
                walk.below(&root, Path::new(""), 0, &mut |_| {});
                walk.is_whole
            });
            if !walked.is_ok_and(|is_whole| is_whole) {
                tracing::warn!("not all folders of the workspace can be watched");
            }
        });
    }

    /// Watches no more for a turn that is over.
    fn stop(&self, turn: u64) {
        let platform = Arc::clone(&self.platform);
        tokio::task::spawn_blocking(move || {
            let mut platform = lock(&platform);
            if platform.turn == turn {
                platform.watcher = None;
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
        let turn = state.turn + 1;
        *state = State {
            log: Some(Arc::clone(log)),
            turn,
            ..State::default()
        };
        drop(state);
        self.start(turn);
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
        // One that takes longer has more to look at than anybody wants to read.
        let _late = timeout(PATIENCE, self.tell()).await;
        let turn = {
            let mut state = self.state();
            state.log = None;
            state.turn += 1;
            state.turn - 1
        };
        self.stop(turn);
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
        let platform = Arc::clone(&self.platform);
        let looked = tokio::task::spawn_blocking(move || {
            let mut platform = lock(&platform);
            let root = Dir::open_ambient_dir(&platform.workspace, ambient_authority())?;
            Ok::<_, std::io::Error>(look(&root, &mut platform, seen))
        });
        let Ok(Ok(mut looked)) = looked.await else {
            return;
        };
        self.state().leave_out_said(&mut looked);
        if let Some(event) = looked.event(&self.secrets) {
            // Where the log is full, the turn ends of that.
            let _full = log.add(Record {
                events: vec![event],
                ..Record::default()
            });
        }
    }
}

impl State {
    /// Takes what the platform says, where a turn hears of it.
    fn hear(&mut self, heard: Heard) {
        if self.log.is_none() {
            return;
        }
        self.seen.more |= heard.more;
        for path in heard.paths {
            self.seen.add(&path, heard.created);
        }
    }

    /// Takes out what tools have told of themselves, and that more has changed where it was said before.
    fn leave_out_said(&mut self, looked: &mut Looked) {
        let is_own = |file: &Found| {
            self.said.get(&file.path).is_some_and(|said| {
                let (first, last) = (*said.min(&file.at), *said.max(&file.at));
                last.duration_since(first) < OWN
            })
        };
        looked.files.retain(|file| !is_own(file));
        self.said.retain(|_, said| said.elapsed() < OWN);
        if looked.files.is_empty() && looked.more {
            looked.more = !std::mem::replace(&mut self.said_more, true);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an event of the platform comes to.
#[derive(Debug, Default)]
struct Heard {
    /// Below the workspace, without what is left out of it.
    paths: Vec<PathBuf>,
    /// They were not there before.
    created: bool,
    /// Something has happened that was not seen, such as in a folder that there is no room to watch.
    more: bool,
}

/// Leaves out of events what is left out of the workspace, before it takes anybody's room.
struct Filter {
    workspace: PathBuf,
    descent: Option<(Descent, Instant)>,
}

impl Filter {
    fn new(workspace: &Path) -> Self {
        Self {
            workspace: workspace.to_owned(),
            descent: None,
        }
    }

    fn take(&mut self, event: notify::Result<notify::Event>) -> Heard {
        let mut heard = Heard {
            more: event.as_ref().map_or(true, notify::Event::need_rescan),
            ..Heard::default()
        };
        if let Ok(event) = &event
            && let Some(created) = created(event)
        {
            heard.created = created;
            let paths = event.paths.iter();
            let paths = paths.filter_map(|path| path.strip_prefix(&self.workspace).ok());
            let paths: Vec<PathBuf> = paths.map(Path::to_owned).collect();
            heard.paths = paths.into_iter().filter(|path| self.counts(path)).collect();
        }
        heard
    }

    fn counts(&mut self, path: &Path) -> bool {
        if path == Path::new("") {
            return false;
        }
        let is_fresh = |(_, made): &(Descent, Instant)| made.elapsed() < FRESH;
        if !self.descent.as_ref().is_some_and(is_fresh) {
            let root = Dir::open_ambient_dir(&self.workspace, ambient_authority());
            self.descent = root.ok().map(|root| (Descent::new(&root), Instant::now()));
        }
        // Whether it is a folder is seen later.
        let descent = self.descent.as_mut();
        descent.is_none_or(|(descent, _)| !descent.leaves_out(path, false))
    }
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

/// Looks what has become of paths that something has happened to. New folders are watched from now on.
fn look(root: &Dir, platform: &mut Platform, seen: Seen) -> Looked {
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
struct Walk<'a> {
    descent: Descent,
    platform: &'a mut Platform,
    /// Entries that may still be looked at.
    left: usize,
    /// Nothing had to be passed by.
    is_whole: bool,
}

impl<'a> Walk<'a> {
    fn new(root: &Dir, platform: &'a mut Platform) -> Self {
        Self {
            descent: Descent::new(root),
            platform,
            left: MAX_LOOKED_AT,
            is_whole: true,
        }
    }

    /// The files of a folder that was not left out; itself where it has none.
    fn below(&mut self, dir: &Dir, path: &Path, depth: usize, add: &mut impl FnMut(&Path)) {
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
