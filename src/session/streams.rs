//! The log as a stream over HTTP: read from an offset, page by page, then as it grows. A slow reader
//! costs no memory here: what it has not read is in the log.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot::{Receiver, Sender, channel};
use futures_util::future::{Either, select};
use futures_util::stream;
use protocol::{Event, EventBody, Outcome, Problem, ProblemKind, TurnState};
use serde_json::json;
use worker::{Delay, Result};

use super::{Form, Object, Said};
use crate::answer::{self, Answer, NDJSON, SSE, internal};

/// Time without events after which a stream says that it is alive: proxies cut silent ones.
const QUIET: Duration = Duration::from_secs(15);

/// Those who wait for the log to grow.
#[derive(Default)]
pub struct Followers {
    waiting: RefCell<Vec<Sender<()>>>,
}

impl Followers {
    /// Wakes everybody who waits.
    pub fn wake(&self) {
        for follower in self.waiting.take() {
            let _ = follower.send(());
        }
    }

    fn follow(&self) -> Receiver<()> {
        let (sender, receiver) = channel();
        let mut waiting = self.waiting.borrow_mut();
        // Those who have left.
        waiting.retain(|follower| !follower.is_canceled());
        waiting.push(sender);
        receiver
    }

    /// Waits until the log has grown, or for [`QUIET`]. Whether it has grown.
    async fn grown(&self) -> bool {
        let grown = select(self.follow(), Delay::from(QUIET)).await;
        matches!(grown, Either::Left(_))
    }
}

/// Reads the events of one turn, in order, to its end.
struct TurnReader {
    object: Rc<Object>,
    said: Said,
    /// `seq` of the last event that was looked at.
    from: u64,
    ended: bool,
}

impl TurnReader {
    fn new(object: Rc<Object>, said: Said, after: u64) -> Self {
        let from = said.seq.saturating_sub(1).max(after);
        Self {
            object,
            said,
            from,
            ended: false,
        }
    }

    /// The turn's next events, with each one's JSON; an empty list where there are none for a while,
    /// and none when it has ended.
    async fn next(&mut self) -> Result<Option<Vec<(Event, String)>>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let page = self.object.log.after(self.from)?;
            if page.events.is_empty() {
                if self.object.followers.grown().await {
                    continue;
                }
                return Ok(Some(Vec::new()));
            }
            let mut events = Vec::new();
            for (seq, line) in page.events {
                self.from = seq;
                let event: Event = serde_json::from_str(&line)?;
                if event.turn_id != Some(self.said.turn) {
                    continue;
                }
                self.ended = matches!(&event.body, EventBody::Status(status) if status.state == TurnState::Ended);
                events.push((event, line));
                if self.ended {
                    break;
                }
            }
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
    }
}

impl Object {
    /// Answers a message with its turn, from the event after `after`.
    pub(super) async fn answer_with_turn(
        self: &Rc<Self>,
        form: Form,
        said: Said,
        after: u64,
    ) -> Answer {
        let reader = TurnReader::new(Rc::clone(self), said, after);
        match form {
            Form::Json => self.answer_at_the_end(reader).await,
            Form::Ndjson => stream_out(reader, NDJSON, "", |_, line| format!("{line}\n")),
            Form::Sse => stream_out(reader, SSE, ": ping\n\n", |event, line| {
                format!("id: {}\ndata: {line}\n\n", event.seq)
            }),
        }
    }

    async fn answer_at_the_end(&self, mut reader: TurnReader) -> Answer {
        let mut result = String::new();
        let mut failure = None;
        let mut end = None;
        while let Some(events) = reader
            .next()
            .await
            .map_err(|error| internal("log", &error))?
        {
            for (event, _) in events {
                match event.body {
                    // The last whole block is what the agent says in the end.
                    EventBody::Result { content, place } if place.parent_tool_use_id.is_none() => {
                        result = content
                    }
                    EventBody::Error { content, code } => failure = Some((content, code)),
                    EventBody::Status(status) if status.state == TurnState::Ended => {
                        end = Some((event.timestamp, status))
                    }
                    _ => {}
                }
            }
        }
        let (timestamp, status) = end.ok_or_else(|| internal("turn", &"no end"))?;
        match status.outcome {
            Some(Outcome::Failed) => {
                let (content, code) = failure.unwrap_or((status.content, String::new()));
                let kind = serde_json::from_value(code.into()).unwrap_or(ProblemKind::ModelFailed);
                Err(Problem::new(kind, content))
            }
            outcome => {
                let session_id = self.with_session(|session| session.id.clone())?;
                answer::json(
                    200,
                    &json!({
                        "status": "Message processed",
                        "timestamp": timestamp,
                        "sessionId": session_id,
                        "turnId": reader.said.turn,
                        "outcome": outcome,
                        "result": result,
                        "usage": status.usage,
                    }),
                )
            }
        }
    }
}

/// The turn as a stream, each event as `write` writes it, and `ping` where nothing happens for a while.
fn stream_out(
    reader: TurnReader,
    content_type: &str,
    ping: &'static str,
    write: fn(&Event, &str) -> String,
) -> Answer {
    let chunks = stream::try_unfold(reader, move |mut reader| async move {
        loop {
            let Some(events) = reader.next().await? else {
                return Ok::<_, worker::Error>(None);
            };
            let chunk = match events.as_slice() {
                [] => ping.to_owned(),
                events => events
                    .iter()
                    .map(|(event, line)| write(event, line))
                    .collect(),
            };
            if !chunk.is_empty() {
                return Ok(Some((chunk.into_bytes(), reader)));
            }
        }
    });
    answer::stream_of(content_type)
        .and_then(|builder| builder.from_stream(Box::pin(chunks)))
        .map_err(|error| internal("stream", &error))
}
