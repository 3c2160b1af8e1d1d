//! Terminals: shells of the sandbox that people type in. See `protocol::terminal` for what they are told.
//!
//! A terminal belongs to its sandbox and not to who looks at it: viewers come and go, and see what was printed
//! before. Each has one task that reads what its programs print, keeps the end of it ([`Ring`]) and hands it to
//! all viewers; what they type waits in a short queue. So nothing here grows: a viewer that can't keep up skips
//! to what is kept, and one that reads nothing at all is closed (`http.rs`).
//!
//! What is printed is masked as all output is. A terminal can't wait for the rest of a word, so what may be the
//! begin of a secret is held back for a blink only: a secret that is printed letter by letter is not found.

pub mod http;
mod pty;
mod ring;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::terminal::{
    End, MAX_TERMINALS, Open, SCROLLBACK, Sign, Size, TerminalName, Use, View,
};
use protocol::{Problem, ProblemKind};
use rustix::process::Signal;
use tokio::process::Child;
use tokio::sync::{broadcast, mpsc, watch};

use crate::agent::Shared;
use crate::conversations::fresh_uuid;
use crate::mask::{Mask, Pieces, Secrets};
use crate::processes::signal;
use pty::Pty;
pub use pty::{ON_TERMINAL, become_shell};
use ring::Ring;

/// How long a terminal that nobody looks at, and in which nothing runs but its shell, is kept.
const UNSEEN: Duration = Duration::from_secs(15 * 60);

/// How long after the last key a program that prints to a viewer still counts as use.
const ATTENTION: Duration = Duration::from_secs(60 * 60);

/// How often is looked whether a terminal is still of use.
const LOOK: Duration = Duration::from_secs(15);

/// How long the begin of what may be a secret is held back.
const HOLD: Duration = Duration::from_millis(40);

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// Pieces that a viewer may be behind. Its kernel gives out no more than 4 KiB of a terminal at once.
const BEHIND: usize = 256;

/// How long a terminal waits, after each piece, for a viewer that is half as far behind.
const WAIT: Duration = Duration::from_millis(10);

/// Pieces of what was typed that wait to be read.
const TYPED: usize = 16;

/// How long a shell has to end when it is hung up.
const HANG_UP: Duration = Duration::from_millis(500);

/// What is read of the output once the shell is gone, in case somebody else holds it open.
const DRAIN: Duration = Duration::from_millis(200);

/// How long the server waits, when it stops, until viewers have heard that.
const FAREWELL: Duration = Duration::from_secs(2);

/// The terminals of a sandbox.
#[derive(Debug)]
pub struct Terminals {
    open: Mutex<BTreeMap<TerminalName, Arc<Terminal>>>,
    stopping: AtomicBool,
    uses: Arc<Uses>,
}

/// How terminals were used.
#[derive(Debug)]
struct Uses {
    begin: Instant,
    /// Milliseconds from `begin` to the last use, and to the last key.
    last: AtomicU64,
    typed: AtomicU64,
    unsaved: AtomicBool,
}

impl Uses {
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn note_typed(&self) {
        let now = self.now();
        self.last.store(now, Ordering::Relaxed);
        self.typed.store(now, Ordering::Relaxed);
        self.unsaved.store(true, Ordering::Relaxed);
    }

    fn note_printed(&self) {
        let now = self.now();
        let silent = now.saturating_sub(self.typed.load(Ordering::Relaxed));
        if Duration::from_millis(silent) < ATTENTION {
            self.last.store(now, Ordering::Relaxed);
        }
    }

    fn unused(&self) -> u64 {
        self.now().saturating_sub(self.last.load(Ordering::Relaxed))
    }
}

impl Default for Terminals {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            stopping: AtomicBool::new(false),
            uses: Arc::new(Uses {
                begin: Instant::now(),
                last: AtomicU64::new(0),
                typed: AtomicU64::new(0),
                unsaved: AtomicBool::new(false),
            }),
        }
    }
}

impl Terminals {
    fn all(&self) -> MutexGuard<'_, BTreeMap<TerminalName, Arc<Terminal>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The terminal of this name, and whether it was opened for this.
    ///
    /// # Errors
    /// 404 where it is not there and `view` wants no other, 409 where there are as many as there may be, 502
    /// where the machine has no more.
    fn open(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        name: &TerminalName,
        view: &View,
    ) -> Result<(Arc<Terminal>, bool), Problem> {
        let mut all = self.all();
        if let Some(terminal) = all.get(name) {
            return Ok((Arc::clone(terminal), false));
        }
        if view.attach {
            return Err(none(name));
        }
        if all.len() >= MAX_TERMINALS {
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!("{MAX_TERMINALS} terminals are open here already; close one of them"),
            ));
        }
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Problem::new(
                ProblemKind::SandboxFailed,
                "the sandbox is being stopped",
            ));
        }
        let (terminal, task) = Terminal::start(shared, name.clone(), view.opened_with(), self)
            .map_err(|error| {
                Problem::new(
                    ProblemKind::SandboxFailed,
                    format!("a terminal could not be opened: {error}"),
                )
            })?;
        all.insert(name.clone(), Arc::clone(&terminal));
        self.uses.note_typed();
        let (terminals, shared) = (Arc::clone(self), Arc::clone(shared));
        let running = Arc::clone(&terminal);
        tokio::spawn(async move {
            let end = running.run(task, &shared).await;
            terminals.all().remove(&running.name);
            running.ended.send_replace(Some(end));
        });
        Ok((terminal, true))
    }

    /// Closes a terminal, and returns when all that ran in it has ended.
    ///
    /// # Errors
    /// 404 where there is none.
    async fn close(&self, name: &TerminalName) -> Result<(), Problem> {
        let terminal = self.all().get(name).cloned();
        let terminal = terminal.ok_or_else(|| none(name))?;
        terminal.close(End::Closed);
        terminal.ended().await;
        Ok(())
    }

    fn list(&self, shared: &Shared) -> protocol::terminal::Terminals {
        let all: Vec<_> = self.all().values().cloned().collect();
        let told = all.iter().map(|terminal| Open {
            name: terminal.name.clone(),
            size: terminal.screen().size,
            viewers: terminal.viewers.load(Ordering::Relaxed),
            busy: terminal.is_busy(shared),
        });
        protocol::terminal::Terminals {
            terminals: told.collect(),
        }
    }

    /// For how long nobody has used one.
    pub fn unused(&self) -> Duration {
        match self.told() {
            Some(told) => Duration::from_millis(told.unused_ms),
            None => Duration::MAX,
        }
    }

    /// How they are used; none where there is nothing to tell.
    pub fn told(&self) -> Option<Use> {
        let unsaved = self.uses.unsaved.load(Ordering::Relaxed);
        (unsaved || !self.all().is_empty()).then(|| Use {
            unused_ms: self.uses.unused(),
            unsaved,
        })
    }

    /// What was typed until now is about to be saved.
    pub fn saved(&self) {
        self.uses.unsaved.store(false, Ordering::Relaxed);
    }

    /// Ends all of them, and opens no more. Returns when their viewers have heard it.
    pub async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.hang_up().await;
    }

    /// Ends all that are open, as the sandbox is about to stop.
    async fn hang_up(&self) {
        let all: Vec<_> = self.all().values().cloned().collect();
        let ending = async {
            for terminal in &all {
                terminal.close(End::Stopped);
            }
            for terminal in &all {
                terminal.ended().await;
                while terminal.viewers.load(Ordering::Relaxed) > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        // What is left then is killed with all else.
        let _late = tokio::time::timeout(FAREWELL, ending).await;
    }
}

fn none(name: &TerminalName) -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        format!("there is no terminal {name} here"),
    )
}

/// What the viewers of a terminal are told.
#[derive(Debug, Clone)]
enum Said {
    Printed(Bytes),
    Resized(Size),
}

/// A shell, what it has printed, and who looks at it.
#[derive(Debug)]
struct Terminal {
    name: TerminalName,
    pty: Arc<Pty>,
    /// The shell.
    pid: u32,
    /// In the environment of all that it starts.
    mark: String,
    screen: Mutex<Screen>,
    said: broadcast::Sender<Said>,
    typed: mpsc::Sender<Bytes>,
    viewers: AtomicUsize,
    /// Why it is to end, where somebody has said so.
    closing: watch::Sender<Option<End>>,
    ended: watch::Sender<Option<Sign>>,
    uses: Arc<Uses>,
}

#[derive(Debug)]
struct Screen {
    ring: Ring,
    size: Size,
}

/// What a viewer begins with.
struct Look {
    printed: Vec<u8>,
    cut: bool,
    size: Size,
    /// What is said from then on.
    said: broadcast::Receiver<Said>,
}

/// What a terminal's task needs for itself.
struct Task {
    child: Child,
    typed: mpsc::Receiver<Bytes>,
}

impl Terminal {
    fn start(
        shared: &Shared,
        name: TerminalName,
        size: Size,
        terminals: &Terminals,
    ) -> io::Result<(Arc<Self>, Task)> {
        let mark = fresh_uuid();
        let (pty, child) = pty::start(&shared.setup, size, &mark, &shared.children)?;
        let (to_shell, typed) = mpsc::channel(TYPED);
        let terminal = Self {
            name,
            pty: Arc::new(pty),
            pid: child.id().unwrap_or_default(),
            mark,
            screen: Mutex::new(Screen {
                ring: Ring::new(SCROLLBACK),
                size,
            }),
            said: broadcast::Sender::new(BEHIND),
            typed: to_shell,
            viewers: AtomicUsize::new(0),
            closing: watch::Sender::new(None),
            ended: watch::Sender::new(None),
            uses: Arc::clone(&terminals.uses),
        };
        Ok((Arc::new(terminal), Task { child, typed }))
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was printed, and what will be, without a gap between.
    fn look(&self) -> Look {
        let screen = self.screen();
        Look {
            printed: screen.ring.text(),
            cut: screen.ring.is_cut(),
            size: screen.size,
            said: self.said.subscribe(),
        }
    }

    /// Types these bytes. Waits while the programs of the terminal read nothing.
    async fn write(&self, bytes: Bytes) {
        self.uses.note_typed();
        // Where it has ended, its viewers hear that.
        let _ended = self.typed.send(bytes).await;
    }

    fn resize(&self, size: Size) {
        let mut screen = self.screen();
        if screen.size == size {
            return;
        }
        if let Err(error) = self.pty.resize(size) {
            tracing::warn!(%error, "a terminal could not be resized");
            return;
        }
        screen.size = size;
        // Nobody has to look.
        let _unseen = self.said.send(Said::Resized(size));
    }

    /// Has it end for this reason.
    fn close(&self, why: End) {
        self.closing.send_if_modified(|now| {
            let first = now.is_none();
            now.get_or_insert(why);
            first
        });
    }

    /// Returns how it has ended, when it has.
    async fn ended(&self) -> Sign {
        let mut ended = self.ended.subscribe();
        // The sender is this one's own, so it can't be gone.
        let sign = ended.wait_for(Option::is_some).await;
        sign.ok()
            .and_then(|sign| sign.clone())
            .unwrap_or(Sign::Ended {
                why: End::Stopped,
                code: None,
            })
    }

    fn is_busy(&self, shared: &Shared) -> bool {
        !shared.children.family(self.pid, &self.mark).is_empty()
    }

    /// Reads what is printed until it ends. Returns how.
    async fn run(&self, task: Task, shared: &Arc<Shared>) -> Sign {
        let Task { mut child, typed } = task;
        let typing = tokio::spawn(write_to(Arc::clone(&self.pty), typed));
        let mut closing = self.closing.subscribe();
        let mut masked = Masked::new(Arc::clone(&shared.secrets));
        let mut buffer = vec![0; PIECE];
        let mut look = tokio::time::interval(LOOK);
        let mut seen = Instant::now();
        let (why, status) = loop {
            tokio::select! {
                read = self.pty.read(&mut buffer) => match read {
                    Ok(count @ 1..) => {
                        self.print(masked.add(buffer.get(..count).unwrap_or_default()));
                        if self.said.len() > BEHIND / 2 {
                            tokio::time::sleep(WAIT).await;
                        }
                    }
                    // Its programs have let go of it.
                    Ok(0) | Err(_) => break (End::Exited, self.hang_up(&mut child).await),
                },
                () = tokio::time::sleep(HOLD), if masked.holds_back() => self.print(masked.rest()),
                status = child.wait() => {
                    self.drain(&mut masked, &mut buffer).await;
                    break (End::Exited, status.ok());
                }
                why = asked_to_end(&mut closing) => break (why, None),
                _ = look.tick() => {
                    if self.viewers.load(Ordering::Relaxed) > 0 {
                        seen = Instant::now();
                    }
                    if seen.elapsed() > UNSEEN && !self.is_busy(shared) {
                        break (End::Unused, None);
                    }
                }
            }
        };
        self.print(masked.rest());
        typing.abort();
        let known = match status {
            Some(_) => Vec::new(),
            None => {
                let known = shared.children.family(self.pid, &self.mark);
                self.hang_up(&mut child).await;
                known
            }
        };
        shared
            .children
            .kill_terminal(self.pid, &self.mark, &known)
            .await;
        // A shell that was hung up and did not end was killed with the others.
        let _status = child.wait().await;
        shared.children.forget(self.pid);
        Sign::Ended {
            why,
            code: status.and_then(|status| status.code()),
        }
    }

    /// Has the shell end as one does whose terminal is gone: it keeps what was typed, and tells its jobs.
    async fn hang_up(&self, child: &mut Child) -> Option<ExitStatus> {
        signal(self.pid, Signal::HUP);
        let status = tokio::time::timeout(HANG_UP, child.wait()).await;
        status.ok().and_then(Result::ok)
    }

    /// Reads what the shell has printed last.
    async fn drain(&self, masked: &mut Masked, buffer: &mut [u8]) {
        let rest = async {
            while let Ok(count @ 1..) = self.pty.read(buffer).await {
                self.print(masked.add(buffer.get(..count).unwrap_or_default()));
            }
        };
        let _held_open = tokio::time::timeout(DRAIN, rest).await;
    }

    fn print(&self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        if self.viewers.load(Ordering::Relaxed) > 0 {
            self.uses.note_printed();
        }
        let mut screen = self.screen();
        screen.ring.add(&bytes);
        // Nobody has to look.
        let _unseen = self.said.send(Said::Printed(bytes.into()));
    }
}

async fn asked_to_end(closing: &mut watch::Receiver<Option<End>>) -> End {
    let asked = closing.wait_for(Option::is_some).await;
    asked.ok().and_then(|why| *why).unwrap_or(End::Stopped)
}

async fn write_to(pty: Arc<Pty>, mut typed: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = typed.recv().await {
        if pty.write(&bytes).await.is_err() {
            return;
        }
    }
}

/// What is printed, with what nobody may be shown replaced.
struct Masked {
    secrets: Arc<Secrets>,
    mask: Arc<Mask>,
    pieces: Pieces,
}

impl Masked {
    fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            mask: secrets.mask(),
            secrets,
            pieces: Pieces::default(),
        }
    }

    /// What can be told after these bytes.
    fn add(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mask = self.secrets.mask();
        let mut told = Vec::new();
        if !Arc::ptr_eq(&mask, &self.mask) {
            // A turn has brought others.
            told = self.pieces.finish_bytes();
            self.mask = mask;
        }
        if self.mask.is_empty() {
            told.extend_from_slice(bytes);
        } else {
            told.extend(self.pieces.bytes(&self.mask, bytes));
        }
        told
    }

    fn holds_back(&self) -> bool {
        self.pieces.holds_back()
    }

    /// What was held back.
    fn rest(&mut self) -> Vec<u8> {
        self.pieces.finish_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_also_in_two_pieces_and_nothing_is_held_for_long() {
        let secrets = Arc::new(Secrets::default());
        let mut masked = Masked::new(Arc::clone(&secrets));
        assert_eq!(masked.add(b"hunter2"), b"hunter2", "it is no secret yet");
        secrets.add(&["hunter2".to_owned()]);
        assert_eq!(masked.add(b"a hun"), b"a ");
        assert!(masked.holds_back());
        assert_eq!(masked.add(b"ter2 b"), b"[secret] b");
        assert_eq!(masked.add(b"h"), b"");
        assert_eq!(masked.rest(), b"h", "a key that was typed is seen");
        assert!(!masked.holds_back());
        let not_text = [0xff, b'h', 0x80];
        assert_eq!(masked.add(&not_text), not_text);
    }

    #[test]
    fn what_is_printed_is_use_for_an_hour_after_the_last_key() {
        let uses = Uses {
            begin: Instant::now() - Duration::from_secs(2 * 60 * 60),
            last: AtomicU64::new(0),
            typed: AtomicU64::new(0),
            unsaved: AtomicBool::new(false),
        };
        uses.note_printed();
        assert!(
            uses.unused() >= 2 * 60 * 60 * 1000,
            "nobody has typed for two hours"
        );
        uses.typed
            .store(uses.now() - 59 * 60 * 1000, Ordering::Relaxed);
        uses.note_printed();
        assert!(uses.unused() < 1000);
    }
}
