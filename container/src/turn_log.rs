//! A turn's records, kept until the session has acknowledged them, and handed to whoever asks for
//! them, from any place on.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use protocol::TurnId;
use protocol::event::{EventBody, Outcome};
use protocol::sandbox::{AnswerRequest, Record, Settings, TurnEnd};
use tokio::sync::{Notify, watch};

/// Bytes of records that wait to be acknowledged.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Records that wait to be acknowledged.
const MAX_RECORDS: usize = 500_000;

/// Bytes handed to a reader at once, where more is waiting.
const BATCH: usize = 64 * 1024;

#[derive(Debug)]
pub struct TurnLog {
    pub id: TurnId,
    kept: Mutex<Kept>,
    /// Counts up with each record and with the end.
    changed: watch::Sender<u64>,
    interrupted: watch::Sender<bool>,
    /// What the session says to the turn.
    orders: Mutex<VecDeque<Order>>,
    ordered: Notify,
}

/// What the session says to a turn that runs.
#[derive(Debug)]
pub enum Order {
    Answer(AnswerRequest),
    Settings(Settings),
}

/// Orders that wait to be looked at.
const MAX_ORDERS: usize = 100;

#[derive(Debug, Default)]
struct Kept {
    /// Each as a line.
    records: VecDeque<Bytes>,
    /// How many records have been forgotten: the first one kept is `forgotten + 1`.
    forgotten: u64,
    bytes: usize,
    ended: bool,
}

/// More waits to be acknowledged than is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Lines, and the number of the last.
    Lines(Bytes, u64),
    /// Nothing yet.
    Nothing,
    /// The last record has been read.
    Ended,
    /// What was asked for has been acknowledged and forgotten, up to this number.
    Forgotten(u64),
}

impl TurnLog {
    pub fn new(id: TurnId) -> Self {
        Self {
            id,
            kept: Mutex::default(),
            changed: watch::Sender::new(0),
            interrupted: watch::Sender::new(false),
            orders: Mutex::default(),
            ordered: Notify::new(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record; its number is given here.
    ///
    /// # Errors
    /// [`Full`], and nothing is added.
    pub fn add(&self, record: Record) -> Result<(), Full> {
        self.push(record, false)
    }

    /// Adds the record that ends the turn, which always finds room. The second end is not one.
    pub fn end(&self, error: Option<EventBody>, end: TurnEnd) {
        let record = Record {
            events: error.into_iter().collect(),
            end: Some(end),
            ..Record::default()
        };
        let _never_full = self.push(record, true);
    }

    fn push(&self, mut record: Record, end: bool) -> Result<(), Full> {
        let mut kept = self.kept();
        if kept.ended {
            return Ok(());
        }
        record.n = kept.forgotten + kept.records.len() as u64 + 1;
        let Ok(mut line) = serde_json::to_vec(&record) else {
            return Ok(());
        };
        line.push(b'\n');
        let bytes = kept.bytes + line.len();
        if !end && (bytes > MAX_BYTES || kept.records.len() >= MAX_RECORDS) {
            return Err(Full);
        }
        kept.bytes = bytes;
        kept.records.push_back(line.into());
        kept.ended = end;
        drop(kept);
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// What stands behind record `after`, as NDJSON.
    pub fn read(&self, after: u64) -> Read {
        let kept = self.kept();
        if after < kept.forgotten {
            return Read::Forgotten(kept.forgotten);
        }
        let skip = usize::try_from(after - kept.forgotten).unwrap_or(usize::MAX);
        let mut lines = BytesMut::new();
        let mut last = after;
        for line in kept.records.iter().skip(skip) {
            lines.extend_from_slice(line);
            last += 1;
            if lines.len() >= BATCH {
                break;
            }
        }
        if last > after {
            return Read::Lines(lines.freeze(), last);
        }
        if kept.ended {
            return Read::Ended;
        }
        Read::Nothing
    }

    /// Tells of each change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Forgets the records up to `n`.
    pub fn acknowledge(&self, n: u64) {
        let mut kept = self.kept();
        while kept.forgotten < n {
            let Some(line) = kept.records.pop_front() else {
                break;
            };
            kept.bytes -= line.len();
            kept.forgotten += 1;
        }
    }

    pub fn has_ended(&self) -> bool {
        self.kept().ended
    }

    /// Returns when the turn has ended.
    pub async fn ended(&self) {
        let mut changes = self.changes();
        while !self.has_ended() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Gives the turn an order. False where too many wait; one that has ended needs none.
    pub fn order(&self, order: Order) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.len() >= MAX_ORDERS {
            return false;
        }
        if !self.has_ended() {
            orders.push_back(order);
            self.ordered.notify_one();
        }
        true
    }

    /// The next order. One that is not waited for to the end is not lost.
    pub async fn next_order(&self) -> Order {
        loop {
            let next = {
                let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
                orders.pop_front()
            };
            match next {
                Some(order) => return order,
                None => self.ordered.notified().await,
            }
        }
    }

    /// Asks for the turn's end.
    pub fn interrupt(&self) {
        self.interrupted.send_replace(true);
    }

    pub fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    /// Returns when the turn's end has been asked for.
    pub async fn interruption(&self) {
        let mut interrupted = self.interrupted.subscribe();
        // The sender is this log's own, so it can't be gone.
        let _seen = interrupted.wait_for(|interrupted| *interrupted).await;
    }

    /// Ends the turn as interrupted.
    pub fn end_interrupted(&self) {
        self.end(
            None,
            TurnEnd {
                outcome: Outcome::Interrupted,
                content: "Interrupted".to_owned(),
                model: None,
                usage: None,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::event::Place;

    fn progress(content: &str) -> Record {
        Record {
            events: vec![EventBody::Progress {
                content: content.to_owned(),
                place: Place::default(),
            }],
            ..Record::default()
        }
    }

    fn text(read: Read) -> String {
        match read {
            Read::Lines(lines, _) => String::from_utf8(lines.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_from_any_place() {
        let log = TurnLog::new(TurnId(1));
        assert_eq!(log.read(0), Read::Nothing);
        for content in ["a", "b", "c"] {
            log.add(progress(content)).unwrap();
        }
        insta::assert_snapshot!(text(log.read(1)), @r#"
        {"n":2,"events":[{"type":"progress","content":"b","block":""}]}
        {"n":3,"events":[{"type":"progress","content":"c","block":""}]}
        "#);
        assert_eq!(log.read(3), Read::Nothing);
        log.acknowledge(2);
        assert_eq!(log.read(1), Read::Forgotten(2));
        assert!(text(log.read(2)).contains("\"n\":3"));
        log.end_interrupted();
        log.end_interrupted();
        assert!(text(log.read(3)).contains("\"outcome\":\"interrupted\""));
        assert_eq!(log.read(4), Read::Ended);
        log.acknowledge(99);
        assert_eq!(log.read(4), Read::Ended);
    }

    #[test]
    fn is_bounded_and_still_ends() {
        let log = TurnLog::new(TurnId(1));
        let big = "x".repeat(1024 * 1024);
        while log.add(progress(&big)).is_ok() {}
        assert!(log.kept().bytes <= MAX_BYTES);
        assert!(log.kept().bytes > MAX_BYTES - 2 * big.len());
        // Room comes back in the middle of the turn, as what is kept is acknowledged.
        let count = log.kept().records.len() as u64;
        log.acknowledge(count - 1);
        assert!(log.kept().bytes < 2 * big.len());
        assert!(log.add(progress(&big)).is_ok());
        log.acknowledge(count + 1);
        assert_eq!(log.kept().bytes, 0);
        while log.add(progress(&big)).is_ok() {}
        log.end_interrupted();
        assert!(log.has_ended());
    }
}
