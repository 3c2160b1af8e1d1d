//! What a command prints while it runs.
//!
//! Claude Code tells of a command's output when it is over. Until then it stands in a file of its own (seen in
//! 2.1.329): `<temporary folder>/claude-<user>/<working directory>/<conversation>/tasks/<name>.output`. The name
//! says nothing of the call, so a file is a call's where no other could have made it: of several commands that
//! begin at once nothing is told before they end, as where there is no such file.
//!
//! A command may print without end, so what is told of one is bounded: the last of what has come, less and less
//! often. All of it comes with the tool's result.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::event::EventBody;
use protocol::sandbox::Record;
use rustix::fs::OFlags;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::mask::{Mask, Pieces, Secrets};
use crate::turn_log::TurnLog;

/// How often is looked for more.
const PAUSE: Duration = Duration::from_millis(300);

/// The same of a command that has printed [`MUCH`].
const LONG_PAUSE: Duration = Duration::from_secs(3);

/// Bytes of one event.
const MAX_PIECE: usize = 4 * 1024;

/// Bytes told of a command after which more comes seldom, and those after which there is no more.
const MUCH: usize = 16 * 1024;
const MAX_TOLD: usize = 64 * 1024;

/// Bytes that are read at a time: what prints more in a pause is not followed any further.
const MAX_READ: u64 = 1024 * 1024;

/// Files that are looked at for one that is new.
const MAX_FILES: usize = 10_000;

/// The commands of a turn that run.
#[derive(Debug, Default)]
pub struct LiveOutput {
    calls: HashMap<String, Following>,
    /// The files that are none of the next command.
    known: Arc<Mutex<HashSet<OsString>>>,
}

#[derive(Debug)]
struct Following {
    task: AbortHandle,
    /// It has found its file.
    has_file: Arc<AtomicBool>,
}

impl LiveOutput {
    /// Tells what a command prints from now on until it is over. `folder` is where the conversation's files
    /// are, once that is known.
    pub fn follow(
        &mut self,
        call: &str,
        folder: impl Fn() -> Option<PathBuf> + Send + 'static,
        log: &Arc<TurnLog>,
        secrets: &Secrets,
    ) {
        let has_file = Arc::new(AtomicBool::new(false));
        let is_alone = self.calls.values().all(Following::has_file);
        if !is_alone {
            for other in self.calls.values().filter(|other| !other.has_file()) {
                other.task.abort();
            }
        }
        let (id, log, mask) = (call.to_owned(), Arc::clone(log), secrets.mask());
        let (known, found) = (Arc::clone(&self.known), Arc::clone(&has_file));
        let task = tokio::spawn(async move {
            if !is_alone {
                return;
            }
            let said = follow(folder, &known, &found, &mask, |content| {
                let event = EventBody::ToolOutput {
                    content,
                    tool_use_id: id.clone(),
                };
                let record = Record {
                    events: vec![event],
                    ..Record::default()
                };
                log.add(record).is_ok()
            });
            if let Err(error) = said.await {
                tracing::debug!(%error, "a command's output can't be followed");
            }
        });
        let following = Following {
            task: task.abort_handle(),
            has_file,
        };
        self.calls.insert(call.to_owned(), following);
    }

    /// A call is over. What was about to be told may still come behind its result.
    pub fn end(&mut self, call: &str, folder: impl FnOnce() -> Option<PathBuf>) {
        let Some(following) = self.calls.remove(call) else {
            return;
        };
        following.task.abort();
        // What it has left there is nobody's any more.
        if !following.has_file()
            && let Some(folder) = folder()
        {
            lock(&self.known).extend(files(&folder));
        }
    }

    pub fn end_all(&mut self) {
        for (_, following) in self.calls.drain() {
            following.task.abort();
        }
    }
}

impl Following {
    fn has_file(&self) -> bool {
        self.has_file.load(Ordering::Relaxed)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The names of the files that commands print into.
fn files(folder: &Path) -> impl Iterator<Item = OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries
        .take(MAX_FILES)
        .flatten()
        .map(|entry| entry.file_name());
    names.filter(|name| {
        let name = name.to_str().unwrap_or_default();
        // Those of sub-agents begin with another letter.
        name.starts_with('b') && name.ends_with(".output")
    })
}

/// Reads the file that is new in a folder as it grows and says what comes, until `say` wants no more.
async fn follow(
    folder: impl Fn() -> Option<PathBuf>,
    known: &Mutex<HashSet<OsString>>,
    found: &AtomicBool,
    mask: &Mask,
    mut say: impl FnMut(String) -> bool,
) -> io::Result<()> {
    let path = loop {
        sleep(PAUSE).await;
        let Some(folder) = folder() else { continue };
        let mut known = lock(known);
        if let Some(name) = files(&folder).find(|name| !known.contains(name)) {
            known.insert(name.clone());
            found.store(true, Ordering::Relaxed);
            break folder.join(name);
        }
    };
    let mut file = open(&path)?;
    let mut text = Text::default();
    let mut told = 0;
    loop {
        let mut read = Vec::new();
        let bytes = (&mut file).take(MAX_READ).read_to_end(&mut read)?;
        let piece = text.add(mask, &read);
        told += piece.len();
        let is_too_much = bytes as u64 == MAX_READ || told > MAX_TOLD;
        if (!piece.is_empty() && !say(piece)) || is_too_much {
            return Ok(());
        }
        sleep(if told < MUCH { PAUSE } else { LONG_PAUSE }).await;
    }
}

/// What the sandbox's programs have put in its place is not followed to elsewhere, nor waited for.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file")),
    }
}

/// Bytes as they come, as a text without secrets.
#[derive(Debug, Default)]
struct Text {
    /// The begin of a character.
    held: Vec<u8>,
    masked: Pieces,
}

impl Text {
    /// The last of what can be told after these bytes, of whole lines where it is not all.
    fn add(&mut self, mask: &Mask, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        let held = std::mem::take(&mut self.held);
        let mut chunks = held.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            match std::str::from_utf8(chunk.invalid()) {
                Ok(_) => {}
                Err(error) if error.error_len().is_none() && chunks.peek().is_none() => {
                    self.held = chunk.invalid().to_vec();
                }
                Err(_) => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        let told = self.masked.add(mask, &text);
        let from = told.len().saturating_sub(MAX_PIECE);
        if from == 0 {
            return told;
        }
        let rest = told
            .get(told.ceil_char_boundary(from)..)
            .unwrap_or_default();
        let rest = rest.split_once('\n').map_or(rest, |(_, rest)| rest);
        format!("…\n{rest}")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn characters_and_secrets_are_whole_however_they_come() {
        let mask = Mask::new(["top-secret-1"]);
        let whole = "ä€😀 top-secret-1 and top-sec.\n".as_bytes();
        for cut in 0..whole.len() {
            let mut text = Text::default();
            let (before, after) = whole.split_at(cut);
            let mut told = text.add(&mask, before);
            told += &text.add(&mask, after);
            assert_eq!(told, "ä€😀 [secret] and top-sec.\n", "cut at {cut}");
        }
        let mut text = Text::default();
        assert_eq!(text.add(&mask, b"a\xffb\xc3"), "a\u{fffd}b");
        assert_eq!(text.add(&mask, b"\xa4"), "ä");
    }

    #[test]
    fn of_much_the_last_lines_are_told() {
        let mut text = Text::default();
        let lines: String = (0..10_000).map(|line| format!("line {line}\n")).collect();
        let told = text.add(&Mask::new([]), lines.as_bytes());
        assert!(told.len() <= MAX_PIECE + 8, "{}", told.len());
        assert!(told.starts_with("…\nline 9"), "{told}");
        assert!(told.ends_with("line 9999\n"), "{told}");
    }

    #[tokio::test]
    async fn a_file_is_followed_while_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for other in ["a1.output", "b0.output", "b2.txt"] {
            std::fs::write(path(other), "another's").unwrap();
        }
        let mut file = File::create(path("b1.output")).unwrap();
        file.write_all(b"one\n").unwrap();
        let mut told = String::new();
        let known = Mutex::new(HashSet::from([OsString::from("b0.output")]));
        let (found, mask) = (AtomicBool::new(false), Mask::new([]));
        let place = || Some(folder.path().to_owned());
        let followed = follow(place, &known, &found, &mask, |piece| {
            told += &piece;
            file.write_all(b"more\n").unwrap();
            told.len() < 12
        });
        followed.await.unwrap();
        assert_eq!(told, "one\nmore\nmore\n");
        assert!(lock(&known).contains(&OsString::from("b1.output")));
        assert!(found.into_inner());
    }

    #[tokio::test]
    async fn of_commands_that_begin_at_once_nothing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(TurnLog::new(protocol::TurnId(1)));
        let (mut live, secrets) = (LiveOutput::default(), Secrets::default());
        let follow = |live: &mut LiveOutput, call: &str| {
            let path = folder.path().to_owned();
            live.follow(call, move || Some(path.clone()), &log, &secrets);
        };
        follow(&mut live, "one");
        follow(&mut live, "two");
        for name in ["b1.output", "b2.output"] {
            std::fs::write(folder.path().join(name), "of which?\n").unwrap();
        }
        sleep(4 * PAUSE).await;
        assert_eq!(log.read(0), crate::turn_log::Read::Nothing);
        for call in ["one", "two"] {
            live.end(call, || Some(folder.path().to_owned()));
        }
        // The next one is alone.
        follow(&mut live, "three");
        std::fs::write(folder.path().join("b3.output"), "mine\n").unwrap();
        sleep(4 * PAUSE).await;
        assert!(matches!(log.read(0), crate::turn_log::Read::Lines(..)));
        live.end_all();
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        assert!(open(&link).is_err());
        assert!(open(folder.path()).is_err());
        assert!(open(&secret).is_ok());
    }
}
