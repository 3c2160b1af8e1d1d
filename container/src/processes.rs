//! The processes of the sandbox: who descends from whom, ending what a tool call left behind, and
//! burying what nobody waits for.
//!
//! Claude Code gives each shell command a session and a process group of its own, so a signal to its
//! group does not reach them, and a command that puts itself into the background is handed to the
//! next subreaper. This process is that subreaper, and each Claude Code process carries a mark in its
//! environment that all it starts inherits: so every process is found by descent or by its mark.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::process::{Child, Command};

/// The variable that carries the mark.
pub const MARK: &str = "AGENT_RUN";

/// How often processes that go on appearing while they are being killed are looked for again.
const ROUNDS: u32 = 25;

/// Processes that are stopped before they are killed.
const MANY: usize = 50;

/// One process as `/proc` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    /// The session (`setsid`) that it is in.
    pub session: u32,
    /// Clock ticks from the boot to its start: with the pid it names a process for ever.
    pub start: u64,
    pub dead: bool,
}

/// A process, told apart from a later one with the same pid.
pub type Identity = (u32, u64);

impl Process {
    pub fn identity(&self) -> Identity {
        (self.pid, self.start)
    }

    /// Reads a line of `/proc/PID/stat` (proc_pid_stat(5)). The name in parentheses is the
    /// program's own choice and may hold anything, parentheses too.
    fn parse(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let _group = fields.next()?;
        let session = fields.next()?.parse().ok()?;
        // starttime is field 22; the sixth was the last one read.
        let start = fields.nth(15)?.parse().ok()?;
        Some(Self {
            pid: pid.parse().ok()?,
            parent,
            session,
            start,
            dead: matches!(state, "Z" | "X"),
        })
    }
}

/// All processes that can be seen.
pub fn table() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .filter_map(|entry| std::fs::read(entry.path().join("stat")).ok())
        .filter_map(|stat| Process::parse(&String::from_utf8_lossy(&stat)))
        .collect()
}

/// The processes below `roots`, without the roots themselves.
fn below(table: &[Process], roots: impl IntoIterator<Item = u32>) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<&Process>> = HashMap::new();
    for process in table {
        children.entry(process.parent).or_default().push(process);
    }
    let mut seen = HashSet::new();
    let mut open: Vec<u32> = roots.into_iter().collect();
    let mut found = Vec::new();
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if seen.insert(child.pid) {
                open.push(child.pid);
                found.push((*child).clone());
            }
        }
    }
    found
}

/// The processes that have fallen to `me`, and those that are about to: a table is not read in one
/// moment, so a parent may be gone from it whose child still names it.
fn orphans(table: &[Process], me: u32) -> impl Iterator<Item = &Process> {
    let there: HashSet<u32> = table.iter().map(|process| process.pid).collect();
    table
        .iter()
        .filter(move |process| process.parent == me || !there.contains(&process.parent))
}

/// The processes below `root`.
pub fn descendants(root: u32) -> Vec<Process> {
    below(&table(), [root])
}

/// Waits until a process that is about to end has ended, and what it leaves has fallen to others.
pub async fn has_ended(pid: u32) {
    for _ in 0..ROUNDS {
        let living = |process: &Process| process.pid == pid && !process.dead;
        if !table().iter().any(living) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the process was started with this mark. A program can give itself another environment,
/// and is then found by its descent alone.
fn carries(pid: u32, mark: &str) -> bool {
    let wanted = format!("{MARK}={mark}");
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    })
}

/// Sends a signal; a process that is gone already is no matter.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _gone = rustix::process::kill_process(pid, signal);
    }
}

/// The children of this process: those that tokio waits for, and those that fell to it as the
/// subreaper.
#[derive(Debug, Default)]
pub struct Children {
    /// Held while a child is started and while the dead are buried, so that a child that dies at once
    /// is not taken for an orphan before it is known.
    owned: Mutex<HashSet<u32>>,
}

impl Children {
    /// Makes this process the one that orphans below it fall to.
    pub fn adopt_orphans() {
        if let Err(error) = rustix::process::set_child_subreaper(rustix::process::getpid().into()) {
            tracing::warn!(%error, "orphans can't be adopted: background processes may be left behind");
        }
    }

    fn owned(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a child that tokio waits for. [`Children::forget`] it when it has been waited for.
    ///
    /// # Errors
    /// Those of the start.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let mut owned = self.owned();
        let child = command.spawn()?;
        owned.extend(child.id());
        Ok(child)
    }

    pub fn forget(&self, pid: u32) {
        self.owned().remove(&pid);
    }

    /// Buries the dead that nobody else waits for.
    pub fn reap(&self) {
        let me = std::process::id();
        let owned = self.owned();
        for process in table() {
            if process.parent == me && process.dead && !owned.contains(&process.pid) {
                let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
                let _gone = rustix::process::waitpid(pid, WaitOptions::NOHANG);
            }
        }
    }

    /// What the process `root` with this mark has started and what still lives, without `root`.
    pub fn family(&self, root: u32, mark: &str) -> Vec<Process> {
        let me = std::process::id();
        let table = table();
        let owned = self.owned();
        let orphans: Vec<Process> = orphans(&table, me)
            .filter(|process| {
                !process.dead && !owned.contains(&process.pid) && carries(process.pid, mark)
            })
            .cloned()
            .collect();
        drop(owned);
        let roots = std::iter::once(root).chain(orphans.iter().map(|process| process.pid));
        let mut family = below(&table, roots);
        family.retain(|process| !process.dead);
        family.extend(orphans);
        family
    }

    /// Kills those of the family of `root` that are `doomed`, again and again until no new one
    /// appears. Returns how many were killed.
    pub async fn kill_family(
        &self,
        root: u32,
        mark: &str,
        doomed: impl Fn(&Process) -> bool,
    ) -> usize {
        let family = || {
            let mut family = self.family(root, mark);
            family.retain(&doomed);
            family
        };
        self.kill_until_none(family).await
    }

    /// Kills all that was started in a terminal whose shell is or was `root`: its family, what is in its
    /// session, and what is left of those that are `known`. Returns how many were killed.
    pub async fn kill_terminal(&self, root: u32, mark: &str, known: &[Process]) -> usize {
        let known: HashSet<Identity> = known.iter().map(Process::identity).collect();
        let of_terminal = || {
            let mut found = self.family(root, mark);
            let others = table().into_iter().filter(|process| {
                !process.dead && (process.session == root || known.contains(&process.identity()))
            });
            found.extend(others);
            found
        };
        self.kill_until_none(of_terminal).await
    }

    /// Kills all that descends from this process, whatever has started it. Returns how many were
    /// killed.
    pub async fn kill_descendants(&self) -> usize {
        let living = || {
            let mut living = descendants(std::process::id());
            living.retain(|process| !process.dead);
            living
        };
        self.kill_until_none(living).await
    }

    /// Kills what has fallen to this process, and all that it has started. Returns how many were
    /// killed.
    pub async fn kill_orphans(&self) -> usize {
        let living = || {
            let (me, table) = (std::process::id(), table());
            let owned = self.owned();
            let fallen = |process: &&Process| {
                process.parent == me && !process.dead && !owned.contains(&process.pid)
            };
            let fallen: Vec<Process> = table.iter().filter(fallen).cloned().collect();
            drop(owned);
            let mut living = below(&table, fallen.iter().map(|process| process.pid));
            living.retain(|process| !process.dead);
            living.extend(fallen);
            living
        };
        self.kill_until_none(living).await
    }

    async fn kill_until_none(&self, find: impl Fn() -> Vec<Process>) -> usize {
        // Of many each may start others while its like are killed. One that is stopped starts none, and as long
        // as it lives it takes the place of another.
        let mut stopped = HashSet::new();
        for _ in 0..ROUNDS {
            let rest = find();
            if rest.len() < MANY {
                break;
            }
            let stopped_before = stopped.len();
            for process in rest {
                if stopped.insert(process.identity()) {
                    signal(process.pid, Signal::STOP);
                }
            }
            if stopped.len() == stopped_before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut killed = HashSet::new();
        for _ in 0..ROUNDS {
            let rest = find();
            if rest.is_empty() {
                break;
            }
            for process in &rest {
                signal(process.pid, Signal::KILL);
                killed.insert(process.identity());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.reap();
        }
        killed.len()
    }
}

/// This program, whatever has become of its file since.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// The subcommand behind [`end_with_parent`].
pub const WITH_PARENT: &str = "with-parent";

/// Becomes another program that gets SIGTERM when `parent`, which has started this process, dies:
/// even by a signal that it can't answer. Returns only where that fails.
pub fn end_with_parent(parent: u32, program: &[OsString]) -> io::Error {
    end_with(parent, Signal::TERM, program)
}

/// The same with another signal.
pub fn end_with(parent: u32, signal: Signal, program: &[OsString]) -> io::Error {
    use std::os::unix::process::CommandExt;
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(signal)) {
        return error.into();
    }
    // It may have died before it could be watched.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if now.and_then(|pid| u32::try_from(pid).ok()) != Some(parent) {
        return io::Error::other("the parent is gone");
    }
    match program.split_first() {
        Some((program, arguments)) => std::process::Command::new(program).args(arguments).exec(),
        None => io::Error::other("no program"),
    }
}

/// The session (`setsid`) of this process. Claude Code and its MCP servers are in it as well; what
/// its tools run is not.
pub fn own_session() -> u32 {
    let me = std::fs::read("/proc/self/stat").unwrap_or_default();
    Process::parse(&String::from_utf8_lossy(&me)).map_or(0, |process| process.session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_with_a_hostile_name() {
        let line =
            "4242 (a) R 1 (b) S 17 4242 4240 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        assert_eq!(
            Process::parse(line),
            Some(Process {
                pid: 4242,
                parent: 17,
                session: 4240,
                start: 987_654,
                dead: false,
            })
        );
        assert_eq!(Process::parse("1 (x) S"), None);
        assert_eq!(Process::parse(""), None);
    }

    #[test]
    fn descent_ends_even_where_the_table_has_a_circle() {
        let process = |pid, parent| Process {
            pid,
            parent,
            session: 1,
            start: 0,
            dead: false,
        };
        let table = [process(2, 1), process(3, 2), process(4, 9), process(1, 3)];
        let mut found: Vec<u32> = below(&table, [1]).iter().map(|found| found.pid).collect();
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3]);
    }

    #[test]
    fn a_child_whose_parent_has_just_gone_is_an_orphan() {
        let process = |pid, parent| Process {
            pid,
            parent,
            session: 1,
            start: 0,
            dead: false,
        };
        // 7 was read, then its parent 6 ended, before that could be read.
        let table = [process(1, 0), process(5, 1), process(7, 6), process(8, 7)];
        let found: Vec<u32> = orphans(&table, 1).map(|found| found.pid).collect();
        assert_eq!(found, [1, 5, 7]);
    }

    #[test]
    fn finds_itself() {
        let me = std::process::id();
        assert!(table().iter().any(|process| process.pid == me));
    }

    #[tokio::test]
    async fn kills_what_put_itself_into_a_session_of_its_own() {
        let children = Children::default();
        let mut shell = children
            .spawn(
                Command::new("sh")
                    .args(["-c", "setsid sleep 86401 & wait"])
                    .env(MARK, "kills"),
            )
            .unwrap();
        let root = shell.id().unwrap();
        while children.family(root, "kills").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let spared = children.family(root, "kills");
        let new = |process: &Process| !spared.contains(process);
        assert_eq!(children.kill_family(root, "kills", new).await, 0);
        assert!(children.kill_family(root, "kills", |_| true).await >= 1);
        assert!(children.family(root, "kills").is_empty());
        shell.kill().await.unwrap();
    }
}
