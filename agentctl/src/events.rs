//! A session's events as they come, over connections that may break: a stream that is cut is asked for
//! again after the last event that came.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{Event, EventBody};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::api::Api;
use crate::failure::Failure;

/// A server says something every 15 seconds, also where nothing happens.
const SILENCE: Duration = Duration::from_secs(45);

/// Bytes of a line: an event has at most 1.5 MB.
const MAX_LINE: usize = 4 * 1024 * 1024;

/// Before the first attempt to come back, and at most before one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Attempts that fail one after the other: about a minute and a half.
const ATTEMPTS: u32 = 14;

/// An event of the log.
#[derive(Debug)]
pub struct Told {
    pub seq: u64,
    /// As the server has written it.
    pub json: String,
    /// None where this program is too old to know it.
    pub event: Option<Event>,
    pub value: Value,
}

/// What a stream is asked for with; it is asked again whenever the stream was cut.
pub type Ask = Box<dyn Fn(&Api) -> RequestBuilder + Send>;

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// With the end of the turn that it tells of.
    WithTurn,
    /// Where the log ended when it was asked for.
    AtLast,
    Never,
}

/// A stream of events.
pub struct Events {
    api: Api,
    ask: Ask,
    ends: Ends,
    answer: Option<Response>,
    lines: Lines,
    ready: VecDeque<Told>,
    /// The last event that came, or after which the stream begins, where that is known.
    last: Option<u64>,
    /// Where the log ended at first.
    goal: u64,
    failed: u32,
    ended: bool,
}

impl Events {
    /// Opens a stream after the event `after`; with none, where the request says.
    ///
    /// # Errors
    /// What the server says, or that it can't be reached: what never began is not tried again.
    pub async fn open(
        api: &Api,
        ask: Ask,
        ends: Ends,
        after: Option<u64>,
    ) -> Result<Self, Failure> {
        let mut events = Self {
            api: api.clone(),
            ask,
            ends,
            answer: None,
            lines: Lines::default(),
            ready: VecDeque::new(),
            last: after,
            goal: 0,
            failed: 0,
            ended: false,
        };
        events.connect().await?;
        let header = |name: &str| {
            let answer = events.answer.as_ref()?;
            answer.headers().get(name)?.to_str().ok()?.parse().ok()
        };
        let goal: Option<u64> = header("x-last-seq");
        events.goal = goal.unwrap_or_default();
        if ends == Ends::AtLast && events.last.unwrap_or_default() >= events.goal {
            events.ended = true;
        }
        Ok(events)
    }

    /// The event that the stream goes on after where its begin was not said: the end of the log.
    pub fn begin_at_the_end(&mut self) {
        self.last = Some(self.last.unwrap_or(self.goal));
    }

    /// Nothing waits to be told.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        let mut request = (self.ask)(&self.api).header("accept", "text/event-stream");
        if let Some(last) = self.last {
            request = request.header("last-event-id", last);
        }
        self.answer = Some(self.api.open(request).await?);
        self.lines = Lines::default();
        Ok(())
    }

    /// The next event; none where the stream has ended as it should. May be dropped and called again.
    ///
    /// # Errors
    /// Where the server can't be reached any more, or refuses to go on.
    pub async fn next(&mut self) -> Result<Option<Told>, Failure> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                // Nothing twice, whatever a server sends.
                if self.last.is_some_and(|last| told.seq <= last) {
                    continue;
                }
                self.last = Some(told.seq);
                self.failed = 0;
                self.ended = match self.ends {
                    Ends::WithTurn => told
                        .value
                        .get("state")
                        .is_some_and(|state| state == "ended"),
                    Ends::AtLast => told.seq >= self.goal,
                    Ends::Never => false,
                };
                return Ok(Some(told));
            }
            if self.ended {
                return Ok(None);
            }
            let Some(answer) = &mut self.answer else {
                self.come_back().await?;
                continue;
            };
            match tokio::time::timeout(SILENCE, answer.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    for data in self
                        .lines
                        .push(&chunk)
                        .map_err(|why| self.api.unreachable(why))?
                    {
                        self.ready.extend(told(data));
                    }
                }
                // Cut, silent, or ended before its end.
                _ => self.answer = None,
            }
        }
    }

    async fn come_back(&mut self) -> Result<(), Failure> {
        // Counted before the wait, so that it is also counted where this is dropped.
        self.failed += 1;
        tokio::time::sleep(wait(self.failed)).await;
        match self.connect().await {
            Ok(()) => Ok(()),
            Err(failure @ Failure::Told(_, status)) if status < 500 && status != 429 => {
                Err(failure)
            }
            Err(failure) if self.failed >= ATTEMPTS => Err(failure),
            Err(_) => Ok(()),
        }
    }
}

/// How long to wait before the n-th attempt: longer each time, and not all clients at once.
fn wait(attempt: u32) -> Duration {
    let most = FIRST_WAIT.saturating_mul(1 << attempt.saturating_sub(1).min(10));
    let most = most.min(MAX_WAIT);
    let part = getrandom::u32().unwrap_or(u32::MAX);
    most / 2 + (most / 2).mul_f64(f64::from(part) / f64::from(u32::MAX))
}

fn told(json: String) -> Option<Told> {
    let value: Value = serde_json::from_str(&json).ok()?;
    Some(Told {
        seq: value.get("seq")?.as_u64()?,
        event: serde_json::from_value(value.clone())
            .ok()
            .filter(|event: &Event| event.body != EventBody::Unknown),
        json,
        value,
    })
}

/// Server-sent events, as bytes come in: the `data` of each.
#[derive(Default)]
pub struct Lines {
    line: Vec<u8>,
    data: String,
}

impl Lines {
    /// The data of the events that are whole with these bytes.
    ///
    /// # Errors
    /// Where a line or an event is longer than any can be.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, &'static str> {
        let mut whole = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() + self.data.len() > MAX_LINE {
                return Err("it sends a line without end");
            }
            if self.line.last() != Some(&b'\n') {
                break;
            }
            let line = String::from_utf8_lossy(&self.line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                if !self.data.is_empty() {
                    whole.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data += data.strip_prefix(' ').unwrap_or(data);
            }
            self.line.clear();
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_they_are_cut() {
        let stream = b": ping\n\nid: 1\ndata: {\"a\":1}\n\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\ndata: cut";
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let mut all = Vec::new();
            for chunk in stream.chunks(size) {
                all.extend(lines.push(chunk).unwrap());
            }
            assert_eq!(all, ["{\"a\":1}", "two\nlines"], "{size}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..4 {
            assert!(lines.push(&piece).unwrap().is_empty());
        }
        assert!(lines.push(&piece).is_err());
        let mut lines = Lines::default();
        let piece = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!((0..5).any(|_| lines.push(&piece).is_err()));
    }

    #[test]
    fn waits_grow_and_have_a_bound() {
        for attempt in 0..100 {
            assert!(wait(attempt) <= MAX_WAIT);
            assert!(wait(attempt) >= FIRST_WAIT / 2);
        }
        assert!(wait(10) >= MAX_WAIT / 2);
    }
}
