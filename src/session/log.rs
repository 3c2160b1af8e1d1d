//! The session's tables.
//!
//! `log` holds the events: a row is what came together, one event a line, so that the many small
//! pieces of a streamed text cost few rows. `turn` holds what each message asked for, and is what
//! makes a message be stored once. `transcript` holds what the agent's conversation came to since the
//! last save of its disk. `report` holds what the owner's account has not heard yet of ended turns. `session` holds
//! the machine's state.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use ::session::page::{self, Page, Size};
use ::session::{Position, Report, Session, State};
use protocol::event::FileChange;
use protocol::sandbox::Transcript;
use protocol::{Event, EventBody, SessionId, Turn, TurnId, TurnState};
use serde::Deserialize;
use serde_json::{Value, json};
use worker::{Result, SqlStorage, Storage};

use super::Said;
use crate::rows::{self, integer};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS log (
        seq INTEGER PRIMARY KEY,      -- of the first event in the row
        last_seq INTEGER NOT NULL,    -- of the last
        n INTEGER NOT NULL,           -- the agent's record that the turn has come to
        timestamp INTEGER NOT NULL,
        events TEXT NOT NULL          -- one a line
    );
    CREATE TABLE IF NOT EXISTS turn (
        id INTEGER PRIMARY KEY,
        message_id TEXT NOT NULL UNIQUE,
        seq INTEGER NOT NULL,         -- of the message's event
        request TEXT NOT NULL         -- '' when the turn has ended
    );
    CREATE TABLE IF NOT EXISTS transcript (
        part INTEGER PRIMARY KEY,
        turn INTEGER NOT NULL,
        conversation TEXT NOT NULL,
        lines TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS report (
        turn INTEGER PRIMARY KEY,
        report TEXT NOT NULL          -- JSON, until the owner's account has it
    );
    CREATE INDEX IF NOT EXISTS turn_under_way ON turn (id) WHERE request <> '';
    CREATE TABLE IF NOT EXISTS session (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        id TEXT NOT NULL,
        state TEXT NOT NULL
    );
";

/// Bytes of events in a row; the platform's limit for one is 2 MB.
const MAX_ROW: usize = 1_800_000;

/// Bytes of what a message asks for: its event has to fit into a row as well.
pub const MAX_REQUEST: usize = protocol::event::MAX_EVENT - 10_000;

/// What is read at a time, and sent at once: a page of events.
pub const PAGE: Size = Size {
    events: usize::MAX,
    bytes: 256 * 1024,
};

/// Bytes of a conversation that are kept until they are saved with the disk.
const MAX_TRANSCRIPT: u64 = 16 * 1024 * 1024;

/// Bytes of it that are written before it is looked whether they are too many.
const SUM_EVERY: usize = 1024 * 1024;

/// The largest whole number that JavaScript knows for sure.
const MAX_SEQ: u64 = (1 << 53) - 1;

/// Characters of a waiting message that a client is shown.
const EXCERPT: i64 = 500;

pub struct Log {
    storage: Storage,
    sql: SqlStorage,
    /// Bytes of the conversation that were written since [`MAX_TRANSCRIPT`] was looked at.
    unsummed: Cell<usize>,
}

impl Log {
    pub fn new(storage: Storage) -> Self {
        let sql = storage.sql();
        // An object that was evicted does not know what it has written before.
        let unsummed = Cell::new(SUM_EVERY);
        Self {
            storage,
            sql,
            unsummed,
        }
    }

    /// Carries out all of `writes`, or none of it where it fails.
    ///
    /// # Errors
    /// That of `writes`, or where the storage fails.
    pub fn transaction(&self, writes: impl FnOnce() -> Result<()>) -> Result<()> {
        rows::transaction(&self.storage, writes)
    }

    /// The session as it is stored; none where it has never been met.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn load(&self) -> Result<Option<Session>> {
        #[derive(Deserialize)]
        struct Stored {
            id: String,
            state: String,
        }
        #[derive(Deserialize)]
        struct Last {
            last_seq: u64,
            n: u64,
        }
        // A session that nobody has begun leaves nothing behind, however often it is asked for.
        let tables = "SELECT name FROM sqlite_master WHERE name = 'session'";
        if self.sql.exec(tables, None)?.to_array::<Value>()?.is_empty() {
            return Ok(None);
        }
        self.sql.exec(SCHEMA, None)?;
        let stored: Vec<Stored> = self
            .sql
            .exec("SELECT id, state FROM session", None)?
            .to_array()?;
        let Some(stored) = stored.into_iter().next() else {
            return Ok(None);
        };
        let last: Vec<Last> = self
            .sql
            .exec(
                "SELECT last_seq, n FROM log ORDER BY seq DESC LIMIT 1",
                None,
            )?
            .to_array()?;
        let last = last.first();
        let id = SessionId::parse(&stored.id)
            .map_err(|problem| worker::Error::RustError(problem.detail))?;
        Ok(Some(Session {
            state: serde_json::from_str(&stored.state)?,
            position: Position {
                seq: last.map_or(0, |last| last.last_seq),
                n: last.map_or(0, |last| last.n),
            },
            ..Session::new(id)
        }))
    }

    /// # Errors
    /// Where the storage fails.
    pub fn create(&self, session: &Session) -> Result<()> {
        self.sql.exec(SCHEMA, None)?;
        self.sql.exec(
            "INSERT INTO session (one, id, state) VALUES (1, ?, ?)",
            vec![
                session.id.as_str().into(),
                serde_json::to_string(&session.state)?.into(),
            ],
        )?;
        Ok(())
    }

    /// Stores the state of a session that has said nothing yet.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn keep_state(&self, session: &Session) -> Result<()> {
        let state = serde_json::to_string(&session.state)?;
        self.sql
            .exec("UPDATE session SET state = ?", vec![state.into()])
            .map(drop)
    }

    /// Stores events that came together, as their `lines`, and the session's state where it is another
    /// than `before`: in a [`transaction`](Self::transaction), as it is several rows.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn append(
        &self,
        events: &[Event],
        lines: &[String],
        before: &State,
        session: &Session,
    ) -> Result<()> {
        let mut row = Row::default();
        for (event, line) in events.iter().zip(lines) {
            if !row.lines.is_empty() && row.lines.len() + line.len() > MAX_ROW {
                self.insert(&std::mem::take(&mut row), session.position.n)?;
            }
            row.add(event, line);
        }
        if !row.lines.is_empty() {
            self.insert(&row, session.position.n)?;
        }
        if session.state != *before {
            self.sql.exec(
                "UPDATE session SET state = ?",
                vec![serde_json::to_string(&session.state)?.into()],
            )?;
        }
        for report in events.iter().filter_map(Report::of) {
            self.sql.exec(
                "UPDATE turn SET request = '' WHERE id = ?",
                vec![integer(report.turn.0)?],
            )?;
        }
        Ok(())
    }

    /// Keeps what the owner's account is to hear of turns that end with these events.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn keep_reports(&self, events: &[Event]) -> Result<()> {
        for report in events.iter().filter_map(Report::of) {
            self.sql.exec(
                "INSERT OR REPLACE INTO report (turn, report) VALUES (?, ?)",
                vec![
                    integer(report.turn.0)?,
                    serde_json::to_string(&report)?.into(),
                ],
            )?;
        }
        Ok(())
    }

    /// Where a turn begins; none for one that nobody has asked for here.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn said(&self, turn: u64) -> Result<Option<Said>> {
        let query = "SELECT cast(seq AS TEXT) FROM turn WHERE id = ?";
        let seq = rows::values(&self.sql, query, vec![integer(turn)?])?;
        let seq = seq.first().and_then(Value::as_u64);
        Ok(seq.map(|seq| Said {
            seq,
            turn: TurnId(turn),
        }))
    }

    /// What the owner's account has not heard yet of turns that have ended, in their order; the first so many.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn reports(&self, limit: u64) -> Result<Vec<Value>> {
        let query = "SELECT report FROM report ORDER BY turn LIMIT ?";
        rows::values(&self.sql, query, vec![integer(limit)?])
    }

    /// The account has heard of all turns up to this one.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn reported(&self, turn: u64) -> Result<()> {
        let query = "DELETE FROM report WHERE turn <= ?";
        self.sql.exec(query, vec![integer(turn)?]).map(drop)
    }

    fn insert(&self, row: &Row, n: u64) -> Result<()> {
        self.sql.exec(
            "INSERT INTO log (seq, last_seq, n, timestamp, events) VALUES (?, ?, ?, ?, ?)",
            vec![
                integer(row.seq)?,
                integer(row.last_seq)?,
                integer(n)?,
                integer(row.timestamp)?,
                row.lines.as_str().into(),
            ],
        )?;
        Ok(())
    }

    /// Keeps what a message asked for, a [`Turn`] as JSON.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn keep_turn(&self, message_id: &str, message: &Event, asked: &str) -> Result<()> {
        let id = message.turn_id.map_or(0, |turn| turn.0);
        self.sql.exec(
            "INSERT INTO turn (id, message_id, seq, request) VALUES (?, ?, ?, ?)",
            vec![
                integer(id)?,
                message_id.into(),
                integer(message.seq)?,
                asked.into(),
            ],
        )?;
        Ok(())
    }

    /// Keeps what a turn has added to its conversation, up to about [`MAX_TRANSCRIPT`].
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn keep_transcript(&self, turn: TurnId, transcript: &Transcript) -> Result<()> {
        self.sql.exec(
            "INSERT INTO transcript (turn, conversation, lines) VALUES (?, ?, ?)",
            vec![
                integer(turn.0)?,
                transcript.conversation.as_str().into(),
                transcript.lines.as_str().into(),
            ],
        )?;
        // The oldest goes: a conversation goes on from its end. All of it is looked through now and then,
        // and not for each of the many records of a long turn.
        let unsummed = self.unsummed.get() + transcript.lines.len();
        if unsummed < SUM_EVERY {
            self.unsummed.set(unsummed);
            return Ok(());
        }
        self.unsummed.set(0);
        self.sql.exec(
            "DELETE FROM transcript WHERE part <= (
                SELECT MAX(part) FROM (
                    SELECT part, SUM(LENGTH(lines)) OVER (ORDER BY part DESC) AS bytes FROM transcript
                ) WHERE bytes > ?)",
            vec![integer(MAX_TRANSCRIPT)?],
        )?;
        Ok(())
    }

    /// What the conversation came to since the last save, in the turns before `turn`.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn transcript_before(&self, turn: TurnId) -> Result<Option<Transcript>> {
        let parts: Vec<Transcript> = self
            .sql
            .exec(
                "SELECT conversation, lines FROM transcript WHERE turn < ?1
                 AND conversation = (SELECT conversation FROM transcript WHERE turn < ?1
                                     ORDER BY part DESC LIMIT 1)
                 ORDER BY part",
                vec![integer(turn.0)?],
            )?
            .to_array()?;
        Ok(parts.into_iter().reduce(|mut all, part| {
            all.lines.push('\n');
            all.lines.push_str(&part.lines);
            all
        }))
    }

    /// Forgets what a turn has added: it is begun anew.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn forget_attempt(&self, turn: TurnId) -> Result<()> {
        self.sql.exec(
            "DELETE FROM transcript WHERE turn = ?",
            vec![integer(turn.0)?],
        )?;
        Ok(())
    }

    /// Forgets what the turns up to `turn` have added: it is saved with the disk.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn forget_transcript(&self, turn: TurnId) -> Result<()> {
        self.sql.exec(
            "DELETE FROM transcript WHERE turn <= ?",
            vec![integer(turn.0)?],
        )?;
        Ok(())
    }

    /// What a turn was asked for; none where it has ended.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn turn(&self, turn: TurnId) -> Result<Option<Turn>> {
        #[derive(Deserialize)]
        struct Stored {
            request: String,
        }
        let stored: Vec<Stored> = self
            .sql
            .exec(
                "SELECT request FROM turn WHERE id = ?",
                vec![integer(turn.0)?],
            )?
            .to_array()?;
        match stored.first() {
            Some(stored) if !stored.request.is_empty() => {
                Ok(serde_json::from_str(&stored.request)?)
            }
            _ => Ok(None),
        }
    }

    /// Where a message is, if the session has it.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn message(&self, id: &str) -> Result<Option<Said>> {
        #[derive(Deserialize)]
        struct Stored {
            id: u64,
            seq: u64,
        }
        let stored: Vec<Stored> = self
            .sql
            .exec(
                "SELECT id, seq FROM turn WHERE message_id = ?",
                vec![id.into()],
            )?
            .to_array()?;
        Ok(stored.first().map(|stored| Said {
            seq: stored.seq,
            turn: TurnId(stored.id),
        }))
    }

    /// The beginnings of the messages whose turns have not ended, with the ids of their senders.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn waiting(&self) -> Result<BTreeMap<TurnId, (String, String)>> {
        #[derive(Deserialize)]
        struct Stored {
            id: u64,
            message_id: String,
            content: String,
        }
        let stored: Vec<Stored> = self
            .sql
            .exec(
                "SELECT id, message_id, substr(json_extract(request, '$.prompt'), 1, ?) AS content
                 FROM turn WHERE request <> ''",
                vec![EXCERPT.into()],
            )?
            .to_array()?;
        let waiting = stored
            .into_iter()
            .map(|stored| (TurnId(stored.id), (stored.message_id, stored.content)));
        Ok(waiting.collect())
    }

    /// Where a turn has ended, and the save that holds what it has left: of `wanted`, or of the last that
    /// has ended.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn end_of(&self, wanted: Option<TurnId>) -> Result<Option<(u64, TurnId, Option<u64>)>> {
        // The last event of a row, or near it: rows hold what came together.
        let mut before = MAX_SEQ;
        loop {
            let page = self.before(before, usize::MAX)?;
            for (seq, line) in page.events.iter().rev() {
                if !line.contains("\"ended\"") {
                    continue;
                }
                let event: Event = serde_json::from_str(line)?;
                if let Some((turn, save)) = super::fork::ended(&event)
                    && wanted.is_none_or(|wanted| wanted == turn)
                {
                    return Ok(Some((*seq, turn, save)));
                }
            }
            match page.first().filter(|_| page.more) {
                Some(first) => before = first,
                None => return Ok(None),
            }
        }
    }

    /// The first [`PAGE`] of the events after `from`; none when there are no more.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn after(&self, from: u64) -> Result<Page> {
        let rows = self.rows(
            "SELECT seq, events FROM log
             WHERE seq >= COALESCE((SELECT MAX(seq) FROM log WHERE seq <= ?1), 0) AND last_seq > ?1
             ORDER BY seq",
            from,
        )?;
        page::after(rows, from, PAGE)
    }

    /// The last [`PAGE`] of the events before `before`, `limit` of them at most.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn before(&self, before: u64, limit: usize) -> Result<Page> {
        let rows = self.rows(
            "SELECT seq, events FROM log WHERE seq < ?1 ORDER BY seq DESC",
            before,
        )?;
        let size = Size {
            events: limit,
            ..PAGE
        };
        page::before(rows, before, size)
    }

    /// Rows of the log, each read from the database when it is asked for.
    fn rows(
        &self,
        query: &str,
        at: u64,
    ) -> Result<impl Iterator<Item = Result<page::Row>> + use<>> {
        // No event has a number that JavaScript can't write.
        let rows = self.sql.exec(query, vec![integer(at.min(MAX_SEQ))?])?;
        Ok(rows.next())
    }

    /// What the log tells of the session as a whole.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn history(&self) -> Result<History> {
        let (mut history, mut from) = (History::default(), 0);
        loop {
            let page = self.after(from)?;
            let Some((seq, _)) = page.events.last() else {
                return Ok(history);
            };
            from = *seq;
            for (_, line) in &page.events {
                history.add(serde_json::from_str(line)?);
            }
        }
    }

    /// # Errors
    /// Where the storage fails.
    pub fn last_timestamp(&self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Last {
            timestamp: u64,
        }
        let last: Vec<Last> = self
            .sql
            .exec("SELECT timestamp FROM log ORDER BY seq DESC LIMIT 1", None)?
            .to_array()?;
        Ok(last.first().map_or(0, |last| last.timestamp))
    }
}

/// What the log tells of the session as a whole, in the form of the earlier system.
#[derive(Default)]
pub struct History {
    pub messages: Vec<Value>,
    pub last_command: Option<String>,
    pub files: BTreeSet<String>,
    /// The tools that have not answered yet, by the ids of their calls.
    pub active_tools: BTreeMap<String, String>,
    /// When the last event was.
    pub last: u64,
}

impl History {
    fn add(&mut self, event: Event) {
        self.last = event.timestamp;
        let at = format!("event-{}", event.seq);
        let (id, role, kind, content) = match event.body {
            EventBody::UserMessage { content, id } => {
                self.last_command = Some(content.clone());
                (id, "user", "message", content)
            }
            EventBody::Result { content, .. } => (at, "assistant", "result", content),
            EventBody::Error { content, .. } => (at, "assistant", "error", content),
            other => return self.note(other),
        };
        self.messages.push(json!({
            "id": id, "role": role, "content": content, "type": kind, "timestamp": event.timestamp,
        }));
    }

    fn note_file(&mut self, path: String, change: FileChange) {
        if change == FileChange::Removed {
            self.files.remove(&path);
        } else if !path.is_empty() {
            self.files.insert(path);
        }
    }

    fn note(&mut self, body: EventBody) {
        match body {
            EventBody::FileChange {
                path,
                change,
                others,
                ..
            } => {
                self.note_file(path, change);
                for other in others {
                    self.note_file(other.path, other.change);
                }
            }
            EventBody::ToolUse {
                tool, tool_use_id, ..
            } => {
                self.active_tools.insert(tool_use_id, tool);
            }
            EventBody::ToolResult { tool_use_id, .. } => {
                self.active_tools.remove(&tool_use_id);
            }
            EventBody::Status(status) if status.state == TurnState::Ended => {
                self.active_tools.clear()
            }
            _ => {}
        }
    }
}

/// A row of the log while it is put together.
#[derive(Default)]
struct Row {
    seq: u64,
    last_seq: u64,
    timestamp: u64,
    lines: String,
}

impl Row {
    fn add(&mut self, event: &Event, line: &str) {
        if self.lines.is_empty() {
            self.seq = event.seq;
        } else {
            self.lines.push('\n');
        }
        self.last_seq = event.seq;
        self.timestamp = event.timestamp;
        self.lines.push_str(line);
    }
}

/// Each event as JSON, which has no line breaks.
///
/// # Errors
/// Where one can't be written as JSON.
pub fn lines_of(events: &[Event]) -> Result<Vec<String>> {
    events.iter().map(line_of).collect()
}

/// One that is too large for a row says so instead.
fn line_of(event: &Event) -> Result<String> {
    let line = serde_json::to_string(event)?;
    if line.len() <= protocol::event::MAX_EVENT {
        return Ok(line);
    }
    let told = Event {
        body: EventBody::Error {
            content: format!("an event of {} bytes is too large to keep", line.len()),
            code: protocol::ProblemKind::TooLarge.code().to_owned(),
        },
        ..event.clone()
    };
    Ok(serde_json::to_string(&told)?)
}
