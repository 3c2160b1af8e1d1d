//! Which of Claude Code's conversations are whose: a small file in the agent's home, so that a server
//! that starts again goes on where the last one stopped.
//!
//! The agent can write to its home, so what the file holds is checked like a client's words.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use protocol::sandbox::Transcript;
use serde::{Deserialize, Serialize};

use crate::launch::Conversation;

const FILE: &str = ".agent-server.json";

/// Bytes of the file that are read.
const MAX_FILE: u64 = 1024 * 1024;

/// Direct conversations that are remembered; the oldest goes first.
const MAX_DIRECT: usize = 1000;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct File {
    /// The session's conversation.
    current: Option<String>,
    /// The caller's session id, and Claude Code's, of requests beside the session.
    direct: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct Conversations {
    home: PathBuf,
    file: File,
}

impl Conversations {
    pub fn load(home: &Path) -> Self {
        let file = read(&home.join(FILE)).unwrap_or_default();
        Self {
            home: home.to_owned(),
            file: File {
                current: file.current.filter(|id| is_uuid(id)),
                direct: file
                    .direct
                    .into_iter()
                    .filter(|(_, id)| is_uuid(id))
                    .take(MAX_DIRECT)
                    .collect(),
            },
        }
    }

    /// Reads the file anew, where it has come back with the disk.
    pub fn reload(&mut self) {
        *self = Self::load(&self.home);
    }

    /// The session's conversation to go on with, or a new one.
    pub fn current(&self) -> Conversation {
        self.of(self.file.current.as_deref())
    }

    pub fn set_current(&mut self, id: &str) {
        if is_uuid(id) && self.file.current.as_deref() != Some(id) {
            self.file.current = Some(id.to_owned());
            self.save();
        }
    }

    /// The conversation that requests with this session id have had, or a new one.
    pub fn direct(&self, session: &str) -> Conversation {
        self.of(self
            .file
            .direct
            .iter()
            .find(|(known, _)| known == session)
            .map(|(_, id)| id.as_str()))
    }

    pub fn set_direct(&mut self, session: &str, id: &str) {
        if !is_uuid(id) || self.direct(session).id() == id {
            return;
        }
        self.file.direct.retain(|(known, _)| known != session);
        if self.file.direct.len() >= MAX_DIRECT {
            self.file.direct.remove(0);
        }
        self.file.direct.push((session.to_owned(), id.to_owned()));
        self.save();
    }

    /// A name is resumed only where there is a transcript of it, and only given away where there is
    /// none: Claude Code refuses both mistakes.
    fn of(&self, id: Option<&str>) -> Conversation {
        match id {
            Some(id) if self.has_transcript(id) => Conversation::Resume(id.to_owned()),
            _ => Conversation::New(fresh_uuid()),
        }
    }

    /// Whether there is a transcript: `~/.claude/projects/<working directory>/<id>.jsonl`.
    pub fn has_transcript(&self, id: &str) -> bool {
        self.transcript(id).is_some()
    }

    /// Where Claude Code keeps what the commands of a conversation print while they run.
    pub fn output_folder(&self, id: &str) -> Option<PathBuf> {
        let transcript = self.transcript(id)?;
        let working_directory = transcript.parent()?.file_name()?;
        let of_user = format!("claude-{}", rustix::process::getuid().as_raw());
        let folder = std::env::temp_dir().join(of_user);
        Some(folder.join(working_directory).join(id).join("tasks"))
    }

    fn transcript(&self, id: &str) -> Option<PathBuf> {
        let name = format!("{id}.jsonl");
        let projects = std::fs::read_dir(self.home.join(".claude/projects")).ok()?;
        let mut paths = projects
            .filter_map(Result::ok)
            .map(|project| project.path().join(&name));
        paths.find(|path| path.is_file())
    }

    /// Adds to a transcript the lines that it lacks, by their `uuid`, and makes the conversation the
    /// session's. Returns whether there were any.
    ///
    /// # Errors
    /// Where the transcript can't be written.
    pub fn complete(&mut self, transcript: &Transcript) -> io::Result<bool> {
        let id = &transcript.conversation;
        if !is_uuid(id) {
            return Ok(false);
        }
        let path = self.transcript(id).unwrap_or_else(|| {
            let project = self.home.join(".claude/projects/-workspace");
            project.join(format!("{id}.jsonl"))
        });
        let held = match std::fs::read(&path) {
            Ok(held) => held,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        // It may end inside of a character.
        let held = String::from_utf8_lossy(&held);
        let mut known: HashSet<String> = held.lines().filter_map(uuid_of).collect();
        let lacking: Vec<&str> = transcript
            .lines
            .lines()
            .filter(|line| uuid_of(line).is_some_and(|uuid| known.insert(uuid)))
            .collect();
        if lacking.is_empty() {
            return Ok(false);
        }
        if let Some(project) = path.parent() {
            std::fs::create_dir_all(project)?;
        }
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)?;
        if !held.is_empty() && !held.ends_with('\n') {
            file.write_all(b"\n")?; // Its last line is torn.
        }
        for line in lacking {
            writeln!(file, "{line}")?;
        }
        self.set_current(id);
        Ok(true)
    }

    fn save(&self) {
        if let Err(error) = self.try_save() {
            tracing::warn!(%error, "the conversation's name could not be written down");
        }
    }

    /// Whole or not at all: written beside, then moved into place.
    fn try_save(&self) -> io::Result<()> {
        let new = self.home.join(format!("{FILE}.new"));
        let mut file = std::fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(&self.file)?)?;
        file.sync_all()?;
        std::fs::rename(new, self.home.join(FILE))
    }
}

fn read(path: &Path) -> Option<File> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A transcript's line's own name; none where it has none.
fn uuid_of(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        uuid: String,
    }
    let named: Named = serde_json::from_str(line).ok()?;
    Some(named.uuid)
}

fn is_uuid(id: &str) -> bool {
    id.len() == 36
        && id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// A fresh name.
pub fn fresh_uuid() -> String {
    protocol::id::uuid_v4(random())
}

/// Random bytes.
pub fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Linux gives random bytes or does not boot; a name from the clock still names.
        tracing::error!(%error, "no random bytes");
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        bytes = now.as_nanos().to_ne_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_and_checks() {
        let home = tempfile::tempdir().unwrap();
        let id = "11111111-1111-4111-8111-111111111111";
        let mut conversations = Conversations::load(home.path());
        assert!(matches!(conversations.current(), Conversation::New(_)));
        conversations.set_current(id);
        conversations.set_current("../../etc/passwd");
        conversations.set_direct("s", id);
        assert!(matches!(conversations.current(), Conversation::New(_)));

        let project = home.path().join(".claude/projects/-w");
        std::fs::create_dir_all(&project).unwrap();
        std::fs::write(project.join(format!("{id}.jsonl")), "").unwrap();
        let conversations = Conversations::load(home.path());
        assert_eq!(conversations.current(), Conversation::Resume(id.to_owned()));
        assert_eq!(
            conversations.direct("s"),
            Conversation::Resume(id.to_owned())
        );
        assert!(matches!(conversations.direct("t"), Conversation::New(_)));
    }

    #[test]
    fn a_transcript_gets_what_it_lacks_once() {
        let home = tempfile::tempdir().unwrap();
        let id = "11111111-1111-4111-8111-111111111111";
        let project = home.path().join(".claude/projects/-w");
        std::fs::create_dir_all(&project).unwrap();
        let path = project.join(format!("{id}.jsonl"));
        // Torn inside of a character.
        std::fs::write(&path, b"{\"uuid\":\"a\"}\n{\"uuid\":\"b\",\"x\":\"\xc3").unwrap();
        let transcript = Transcript {
            conversation: id.to_owned(),
            lines: ["a", "b", "b", "c"]
                .map(|uuid| format!("{{\"uuid\":\"{uuid}\"}}"))
                .join("\n"),
        };
        let mut conversations = Conversations::load(home.path());
        assert!(conversations.complete(&transcript).unwrap());
        let held = std::fs::read(&path).unwrap();
        let held = String::from_utf8_lossy(&held);
        let told: Vec<String> = held.lines().filter_map(uuid_of).collect();
        assert_eq!(told, ["a", "b", "c"]);
        assert!(!conversations.complete(&transcript).unwrap());
        assert_eq!(conversations.current(), Conversation::Resume(id.to_owned()));
        let hostile = Transcript {
            conversation: "../../x".to_owned(),
            ..transcript
        };
        assert!(!conversations.complete(&hostile).unwrap());
    }

    #[test]
    fn a_hostile_file_is_no_file() {
        let home = tempfile::tempdir().unwrap();
        for content in ["", "[]", "{\"current\":\"--help\"}", "{\"current\":7}"] {
            std::fs::write(home.path().join(FILE), content).unwrap();
            let current = Conversations::load(home.path()).current();
            assert!(matches!(current, Conversation::New(_)), "{content}");
        }
    }
}
