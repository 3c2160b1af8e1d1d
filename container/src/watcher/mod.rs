//! Which files of the workspace change while a turn runs, whoever changes them: the session is told as they
//! do.
//!
//! A build writes a hundred thousand files, and an agent may do worse. So what is told is bounded, in
//! events and in each of them, and what `.gitignore` leaves out is nobody's concern.

mod look;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use notify::event::{ModifyKind, RenameMode};
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use protocol::sandbox::Record;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::mask::Secrets;
use crate::turn_log::TurnLog;
use look::{Descent, Found, Looked, Seen, Walk, look};

/// How long changes are gathered before they are told, and how long at most where they do not stop.
const PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Paths that are kept until they are told.
const MAX_KEPT: usize = 1_000;

/// Folders that are watched.
const MAX_WATCHED: usize = 10_000;

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
