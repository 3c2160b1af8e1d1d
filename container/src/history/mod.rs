//! What the workspace was at the begin of the session and at the end of each turn, and what has changed
//! between two of these points.
//!
//! The points are commits in a store of Git's in the agent's home, so they are saved and restored with it.
//! Only this module's own code reads the workspace, and tells Git what is in it; Git itself sees objects
//! alone. So no configuration, attribute or hook of the agent's is heeded. The store is the agent's to
//! break all the same: then the history begins anew, and says so.
//!
//! | part | purpose |
//! | --- | --- |
//! | `points` | the list of the points; pure |
//! | `tree` | what is in the workspace, compared with what was |
//! | `import` | what is new, in the words of `git fast-import`; pure |
//! | `git` | the processes |
//! | `changes` | what Git says has changed, as an answer; pure |
//! | `http` | the route |

mod changes;
mod git;
pub mod http;
mod import;
mod points;
mod tree;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use protocol::diff::{BEGIN, Diff, NOW};
use protocol::{Problem, ProblemKind, TurnId};
use tempfile::TempDir;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use crate::processes::Children;
use git::{Git, Objects};
use points::{Point, Points, Taken};
use tree::{Known, Walked};

/// The store's folder in the agent's home, and what is in it.
pub const FOLDER: &str = ".agent-server-history";
const OBJECTS: &str = "objects";
const POINTS: &str = "points";

/// Bytes of the list of points that are read.
const MAX_POINTS: u64 = 4 * 1024 * 1024;

/// Bytes of the store: it is saved with the workspace, and is not to be what makes that too large. One
/// that has grown larger begins anew.
const MAX_STORE: u64 = 512 * 1024 * 1024;

/// How long a commit may take. A save waits for it.
const LONGEST_COMMIT: Duration = Duration::from_secs(45);

/// How long the end of a turn waits for a diff that is being made.
const LONGEST_HOLD: Duration = Duration::from_millis(500);

/// Diffs that are made at a time. Others wait.
const DIFFS: usize = 2;

/// Diffs that are sent as text at a time. Others are refused: how long one takes, its reader decides.
const TEXTS: usize = 4;

/// The tree without a file, which Git knows without a store.
const EMPTY: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

#[derive(Debug)]
pub struct History {
    workspace: PathBuf,
    home: PathBuf,
    children: Arc<Children>,
    state: Arc<Mutex<State>>,
    diffs: Semaphore,
    texts: Arc<Semaphore>,
}

/// What is known of the last point. Held locked while one is taken.
#[derive(Debug, Default)]
pub struct State {
    known: Option<Known>,
    /// How often the history has begun anew since the server has started.
    begun: u64,
}

/// Why there is no commit.
#[derive(Debug)]
enum Failed {
    /// The workspace holds too much, in words.
    TooMuch(String),
    NoGit,
    /// The store can't be used as it is.
    Broken(String),
    /// Anything else, such as that there is no Git.
    Other(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

/// Two points to be compared.
#[derive(Debug)]
pub struct Pair {
    git: Git,
    from: String,
    to: String,
    note: Option<String>,
    /// See [`State::begun`].
    begun: u64,
    /// What was made for this comparison alone.
    _now: Option<TempDir>,
}

impl History {
    pub fn new(workspace: &Path, home: &Path, children: Arc<Children>) -> Self {
        Self {
            workspace: workspace.to_owned(),
            home: home.to_owned(),
            children,
            state: Arc::default(),
            diffs: Semaphore::new(DIFFS),
            texts: Arc::new(Semaphore::new(TEXTS)),
        }
    }

    /// Takes the session's begin, where it has none yet.
    pub async fn begin(&self) {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        let points = self.points();
        if points.as_ref().is_ok_and(|points| !points.is_empty()) {
            return;
        }
        let taken = match points {
            Ok(_) => self.take(&mut state, Point::Begin).await,
            Err(error) => self.anew(&mut state, &error.to_string()).await,
        };
        tell("the begin", taken);
    }

    /// A session's first turn is about to run. Where others have ended here, they were of the session
    /// whose workspace this one began with: its own begin is now.
    pub async fn first_turn(&self) {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        if !self.points().is_ok_and(|points| points.has_turns()) {
            return;
        }
        let taken = match self.append(points::NEW_SESSION) {
            Ok(()) => self.take(&mut state, Point::Begin).await,
            failed => failed,
        };
        tell("the begin", taken);
    }

    /// Nobody else takes a point as long as this is held. None where a diff takes too long for that.
    pub async fn hold(&self) -> Option<OwnedMutexGuard<State>> {
        let held = Arc::clone(&self.state).lock_owned();
        tokio::time::timeout(LONGEST_HOLD, held).await.ok()
    }

    /// Takes the end of a turn.
    pub async fn turn_ended(&self, held: Option<OwnedMutexGuard<State>>, turn: TurnId) {
        let mut state = match held {
            Some(state) => state,
            None => Arc::clone(&self.state).lock_owned().await,
        };
        let taken = match self.take(&mut state, Point::Turn(turn)).await {
            Err(Failed::Broken(why)) => match self.anew(&mut state, &why).await {
                // The begin of the new one is the end of this turn.
                Ok(()) => self.add(Point::Turn(turn), self.last_taken()),
                failed => failed,
            },
            Err(failed) => {
                tell(
                    "a turn without an end",
                    self.add(Point::Turn(turn), Taken::Nothing),
                );
                Err(failed)
            }
            taken => taken,
        };
        tell("a turn's end", taken);
    }

    /// Returns when what is being taken is taken.
    pub async fn settled(&self) {
        drop(self.state.lock().await);
    }

    fn folder(&self) -> PathBuf {
        self.home.join(FOLDER)
    }

    /// The list, as it stands on the disk; empty where there is none.
    fn points(&self) -> io::Result<Points> {
        let home = Dir::open_ambient_dir(&self.home, ambient_authority())?;
        let list = Path::new(FOLDER).join(POINTS);
        let file = match crate::disk::open_file(&home, &list) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Points::default()),
            file => file?,
        };
        let mut text = Vec::new();
        file.take(MAX_POINTS).read_to_end(&mut text)?;
        Ok(Points::read(&String::from_utf8_lossy(&text)))
    }

    fn last_taken(&self) -> Taken {
        let points = self.points().unwrap_or_default();
        match points.last() {
            Some(commit) => Taken::Commit(commit.to_owned()),
            None => Taken::Nothing,
        }
    }

    /// Notes a point at the list's end.
    fn add(&self, point: Point, taken: Taken) -> Result<(), Failed> {
        self.append(&points::line(&point, &taken))
    }

    fn append(&self, line: &str) -> Result<(), Failed> {
        let append = || {
            let home = self.store()?;
            let list = Path::new(FOLDER).join(POINTS);
            let mut options = OpenOptions::new();
            options.append(true).create(true);
            home.open_with(list, &options)?.write_all(line.as_bytes())
        };
        append().map_err(unusable)
    }

    /// The agent's home, with the store's folders in it.
    fn store(&self) -> io::Result<Dir> {
        let home = Dir::open_ambient_dir(&self.home, ambient_authority())?;
        home.create_dir_all(Path::new(FOLDER).join(OBJECTS))?;
        Ok(home)
    }

    /// Commits what is in the workspace, and notes it.
    async fn take(&self, state: &mut State, point: Point) -> Result<(), Failed> {
        let points = self.points().map_err(unusable)?;
        self.store().map_err(unusable)?;
        let git = self.git(Objects::kept(&self.folder().join(OBJECTS)));
        let (commit, changes) = self.commit(state, &git, points.last()).await?;
        if let Some(known) = &mut state.known {
            known.become_as(&commit, changes);
        }
        self.add(point, Taken::Commit(commit))?;
        let store = self.folder();
        let bytes = blocking(move || Ok(tree::bytes_below(&store))).await?;
        if bytes > MAX_STORE {
            let why = format!("it had more than {} MB", MAX_STORE / 1_000_000);
            return Err(Failed::Broken(why));
        }
        Ok(())
    }

    /// Brings what is in the workspace into the store; `last` is the last point's commit. Returns the
    /// commit, the same where nothing has changed, and what has changed.
    async fn commit(
        &self,
        state: &mut State,
        git: &Git,
        last: Option<&str>,
    ) -> Result<(String, Vec<tree::Change>), Failed> {
        let committing = async {
            let last = last.unwrap_or(EMPTY);
            let known = match state.known.take().filter(|known| known.commit == last) {
                Some(known) => known,
                None if last == EMPTY => Known::empty(),
                None => git.known(last).await?,
            };
            let (pieces, to_git) = tokio::sync::mpsc::channel(8);
            let workspace = self.workspace.clone();
            let walking = blocking(move || {
                let root = Dir::open_ambient_dir(&workspace, ambient_authority())?;
                tree::walk(&root, known, &pieces)
            });
            let (walked, imported) = tokio::join!(walking, git.import(to_git));
            let (Walked { known, changes }, imported) = match (walked, imported) {
                (Ok(walked), imported) => (walked, imported?),
                // It could not go on because Git did not.
                (Err(Failed::Broken(_)), Err(failed)) | (Err(failed), _) => return Err(failed),
            };
            let commit = imported.unwrap_or_else(|| known.commit.clone());
            state.known = Some(known);
            Ok((commit, changes))
        };
        match tokio::time::timeout(LONGEST_COMMIT, committing).await {
            Ok(committed) => committed,
            Err(_) => Err(Failed::Other(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Throws the store away, and takes a begin.
    async fn anew(&self, state: &mut State, why: &str) -> Result<(), Failed> {
        tracing::warn!(why, "the history of the workspace begins anew");
        state.known = None;
        state.begun += 1;
        let points = self.points().unwrap_or_default();
        let home = Dir::open_ambient_dir(&self.home, ambient_authority())?;
        match home.symlink_metadata(FOLDER) {
            Ok(metadata) if metadata.is_dir() => home.remove_dir_all(FOLDER)?,
            Ok(_) => home.remove_file(FOLDER)?,
            Err(_) => {}
        }
        self.append(&points::anew(points.last_turn(), why))?;
        self.take(state, Point::Begin).await
    }

    fn git(&self, objects: Objects) -> Git {
        Git::new(Arc::clone(&self.children), objects)
    }

    /// Finds two points.
    ///
    /// # Errors
    /// 404 for a turn that is not there, 400 for what is no point.
    pub async fn pair(&self, from: &str, to: &str) -> Result<Pair, Problem> {
        let mut state = self.state.lock().await;
        let points = match self.points() {
            Ok(points) => points,
            Err(error) => return Err(self.is_broken(&mut state, &error.to_string()).await),
        };
        let kept = self.folder().join(OBJECTS);
        let mut now = None;
        let find = |name: &str| -> Result<Option<String>, Problem> {
            match name {
                NOW => Ok(None),
                BEGIN => points.find(&Point::Begin).map(Some),
                turn => match turn.parse::<TurnId>() {
                    Ok(turn) => points.find(&Point::Turn(turn)).map(Some),
                    Err(_) => Err(Problem::bad_request(format!(
                        "a point is {BEGIN}, {NOW}, or a turn such as turn-3"
                    ))),
                },
            }
        };
        let (mut from, mut to) = (
            find(from).map_err(|problem| problem.at("from"))?,
            find(to).map_err(|problem| problem.at("to"))?,
        );
        let mut objects = Objects::kept(&kept);
        if from.is_none() || to.is_none() {
            let made = tempfile::tempdir().map_err(|error| failed(&error.into()))?;
            objects = Objects::beside(made.path(), &kept);
            now = Some(made);
            let git = self.git(objects.clone());
            let commit = match self.commit(&mut state, &git, points.last()).await {
                Ok((commit, _)) => commit,
                Err(Failed::Broken(why)) => return Err(self.is_broken(&mut state, &why).await),
                Err(other) => return Err(failed(&other)),
            };
            from.get_or_insert_with(|| commit.clone());
            to.get_or_insert(commit);
        }
        Ok(Pair {
            git: self.git(objects),
            from: from.unwrap_or_default(),
            to: to.unwrap_or_default(),
            note: points.note(),
            begun: state.begun,
            _now: now,
        })
    }

    /// Compares two points.
    ///
    /// # Errors
    /// Those of [`History::pair`]; 409 where the store is broken, which is no more afterwards.
    pub async fn diff(&self, from: &str, to: &str) -> Result<Diff, Problem> {
        let _turn = self.diffs.acquire().await;
        let pair = self.pair(from, to).await?;
        let compared = async {
            let (mut files, mut truncated) = pair.git.changed(&pair.from, &pair.to).await?;
            truncated |= pair
                .git
                .add_patches(&pair.from, &pair.to, &mut files)
                .await?;
            Ok((files, truncated))
        };
        match compared.await {
            Ok((files, truncated)) => Ok(Diff {
                from: from.to_owned(),
                to: to.to_owned(),
                files,
                truncated,
                note: pair.note,
            }),
            Err(Failed::Broken(why)) => {
                let mut state = self.state.lock().await;
                if state.begun != pair.begun {
                    return Err(began_anew()); // Somebody else has found it out.
                }
                Err(self.is_broken(&mut state, &why).await)
            }
            Err(other) => Err(failed(&other)),
        }
    }

    async fn is_broken(&self, state: &mut State, why: &str) -> Problem {
        match self.anew(state, why).await {
            Ok(()) => began_anew(),
            Err(error) => failed(&error),
        }
    }
}

/// Something is in the store's place, or in that of a part of it, that it can't be used with.
fn unusable(error: io::Error) -> Failed {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failed::Other(error),
        _ => Failed::Broken(error.to_string()),
    }
}

fn began_anew() -> Problem {
    Problem::new(
        ProblemKind::Conflict,
        "what the workspace was can't be read any more; its history begins anew with what it is now",
    )
}

fn failed(error: &Failed) -> Problem {
    let words = match error {
        Failed::TooMuch(words) => return Problem::new(ProblemKind::TooLarge, words),
        Failed::Broken(why) => why.clone(),
        Failed::NoGit => "there is no Git in the sandbox".to_owned(),
        Failed::Other(error) if error.kind() == io::ErrorKind::TimedOut => {
            return Problem::new(
                ProblemKind::TimedOut,
                "the workspace could not be compared in time",
            );
        }
        Failed::Other(error) => error.to_string(),
    };
    let words = format!("the workspace can't be compared: {words}");
    Problem::new(ProblemKind::SandboxFailed, words)
}

fn tell(what: &str, taken: Result<(), Failed>) {
    if let Err(error) = taken {
        tracing::warn!(?error, "{what} could not be taken for diffs");
    }
}

/// Runs what waits for the disk where nothing else waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failed::Other(io::Error::other(error))),
    }
}
