//! The log as a stream over HTTP: read from an offset, page by page, then as it grows. A slow reader
//! costs no memory here: what it has not read is in the log.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ::session::export::Format;
use ::session::page::Page;
use access::Pass;
use futures_channel::oneshot::{Receiver, Sender, channel};
use futures_util::future::{Either, select};
use futures_util::{Stream, TryStreamExt, stream};
use protocol::{Event, EventBody, Outcome, Problem, ProblemKind, TurnId, TurnState};
use serde_json::json;
use worker::{Delay, Result};

use super::{Events, Form, Object, Said, Span};
use crate::answer::{self, Answer, NDJSON, SSE, internal};

/// Time without events after which a stream says that it is alive: proxies cut silent ones.
const QUIET: Duration = Duration::from_secs(15);

/// Says where the log ended when it was asked for, so that a reader knows whether it has all.
const LAST_SEQ: &str = "x-last-seq";

/// Says what to ask `before` for the next older page; not there where there is none.
const NEXT_BEFORE: &str = "x-next-before";

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
        self.grown_within(QUIET).await
    }

    /// The same for another time.
    pub(super) async fn grown_within(&self, time: Duration) -> bool {
        let grown = select(self.follow(), Delay::from(time)).await;
        matches!(grown, Either::Left(_))
    }
}

/// Reads the log onwards, a page at a time.
pub(super) struct LogReader {
    pub object: Rc<Object>,
    /// `seq` of the last event that was read.
    pub from: u64,
}

impl LogReader {
    /// The next events; an empty page where there are none for a while.
    pub async fn next(&mut self) -> Result<Page> {
        loop {
            let page = self.object.log.after(self.from)?;
            if let Some(last) = page.last() {
                self.from = last;
                return Ok(page);
            }
            if !self.object.followers.grown().await {
                return Ok(page);
            }
        }
    }
}

/// Reads the events of one turn, in order, to its end.
pub(super) struct TurnReader {
    pub log: LogReader,
    pub turn: TurnId,
    ended: bool,
}

impl TurnReader {
    pub fn new(object: Rc<Object>, said: Said, after: u64) -> Self {
        let from = said.seq.saturating_sub(1).max(after);
        Self {
            log: LogReader { object, from },
            turn: said.turn,
            ended: false,
        }
    }

    /// The turn's next events, with each one's JSON; an empty list where there are none for a while,
    /// and none when it has ended.
    pub async fn next(&mut self) -> Result<Option<Vec<(Event, String)>>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let page = self.log.next().await?;
            if page.events.is_empty() {
                return Ok(Some(Vec::new()));
            }
            let mut events = Vec::new();
            for (_, line) in page.events {
                let event: Event = serde_json::from_str(&line)?;
                if event.turn_id != Some(self.turn) {
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

    /// The next piece of the answer; none when the turn has ended.
    async fn write(&mut self, form: Form) -> Result<Option<String>> {
        let Some(events) = self.next().await? else {
            return Ok(None);
        };
        let lines = events
            .iter()
            .map(|(event, line)| (event.seq, line.as_str()));
        Ok(Some(form.write(lines)))
    }
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::Chat | Self::Accepted => "application/json",
            Self::Ndjson => NDJSON,
            Self::Sse | Self::ChatSse | Self::ToolsSse => SSE,
        }
    }

    fn page(self, page: &Page) -> String {
        let events = page.events.iter();
        self.write(events.map(|(seq, line)| (*seq, line.as_str())))
    }

    /// Events as this form writes them; for none, what says that the stream is alive.
    fn write<'a>(self, events: impl IntoIterator<Item = (u64, &'a str)>) -> String {
        let mut written = String::new();
        for (seq, line) in events {
            match self {
                Self::Ndjson => {
                    written += line;
                    written.push('\n');
                }
                _ => written += &format!("id: {seq}\ndata: {line}\n\n"),
            }
        }
        if written.is_empty() && self == Self::Sse {
            written.push_str(": ping\n\n");
        }
        written
    }
}

impl Object {
    /// Answers a message with its turn, from the event after `after`.
    pub(super) async fn answer_with_turn(
        self: &Rc<Self>,
        pass: Pass,
        form: Form,
        said: Said,
        after: u64,
    ) -> Answer {
        let reader = TurnReader::new(Rc::clone(self), said, after);
        match form {
            Form::Json => return self.answer_at_the_end(reader).await,
            Form::Chat => return self.chat_at_the_end(said).await,
            Form::ChatSse => return self.chat(pass, said, after),
            Form::Accepted => {
                let session_id = self.with_session(|session| session.id.clone())?;
                let accepted =
                    json!({ "session_id": session_id, "turn_id": said.turn, "seq": said.seq });
                return answer::json(202, &accepted);
            }
            Form::ToolsSse | Form::Ndjson | Form::Sse => {}
        }
        let pieces = stream::try_unfold((reader, pass), move |(mut reader, pass)| async move {
            let piece = reader.write(form).await?;
            let stays = reader.log.object.holds(&pass);
            let piece = piece.filter(|_| stays);
            Ok::<_, worker::Error>(piece.map(|piece| (piece, (reader, pass))))
        });
        stream_out(form, &[], pieces)
    }

    /// The log up to now as one document.
    pub(super) fn export(self: &Rc<Self>, pass: Pass, format: Format) -> Answer {
        let failed = |error: worker::Error| internal("export", &error);
        let (id, last) = self.with_session(|session| (session.id.clone(), session.position.seq))?;
        let reader = LogReader {
            object: Rc::clone(self),
            from: 0,
        };
        let begin = format.begin(&id);
        let pieces = stream::try_unfold(Some((reader, pass, begin)), move |state| async move {
            let Some((mut reader, pass, mut written)) = state else {
                return Ok::<_, worker::Error>(None);
            };
            if reader.from < last && reader.object.holds(&pass) {
                for (seq, line) in &reader.next().await?.events {
                    if *seq <= last {
                        written += &format.event(*seq, line);
                    }
                }
                return Ok(Some((written, Some((reader, pass, String::new())))));
            }
            written += format.end();
            Ok(Some((written, None)))
        });
        let name = format!("attachment; filename=\"{id}.{}\"", format.extension());
        let pieces = pieces.map_ok(String::into_bytes);
        answer::stream_of(format.content_type())
            .and_then(|builder| builder.with_header("content-disposition", &name))
            .and_then(|builder| builder.from_stream(pieces))
            .map_err(failed)
    }

    /// Answers with the events that are `wanted`, page by page as the client reads. Who may not stay any
    /// more gets no more of them.
    pub(super) fn answer_with_events(self: &Rc<Self>, pass: Pass, wanted: &Events) -> Answer {
        let last = self.with_session(|session| session.position.seq)?;
        let ends = (LAST_SEQ, last.to_string());
        let form = wanted.form;
        let (from, follow) = match wanted.span {
            Span::Before { before, limit } => {
                let page = self
                    .log
                    .before(before, limit)
                    .map_err(|error| internal("log", &error))?;
                let next = page.first().filter(|_| page.more);
                let next = next.map(|next| (NEXT_BEFORE, next.to_string()));
                let headers: Vec<_> = std::iter::once(ends).chain(next).collect();
                return stream_out(form, &headers, stream::iter([Ok(form.page(&page))]));
            }
            Span::After { from, follow } => (from, follow),
            Span::ToCome => (last, true),
            Span::Tail { events, follow } => (last.saturating_sub(events), follow),
        };
        if from > last {
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!(
                    "this session's log ends at {last}; it is not the one that you have read: begin again with from=0"
                ),
            )
            .at("from"));
        }
        if form == Form::ToolsSse {
            return self.tools(pass, from);
        }
        let reader = LogReader {
            object: Rc::clone(self),
            from,
        };
        // What is written while a client reads that does not follow is not waited for.
        let pieces = stream::try_unfold((reader, pass), move |(mut reader, pass)| async move {
            if !follow && reader.from >= last {
                return Ok::<_, worker::Error>(None);
            }
            let mut page = reader.next().await?;
            if !reader.object.holds(&pass) {
                return Ok(None);
            }
            if !follow {
                page.events.retain(|(seq, _)| *seq <= last);
            }
            Ok(Some((form.page(&page), (reader, pass))))
        });
        stream_out(form, &[ends], pieces)
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
                        "turnId": reader.turn,
                        "outcome": outcome,
                        "result": result,
                        "usage": status.usage,
                    }),
                )
            }
        }
    }
}

/// A body out of pieces, each of which is asked for when the one before has gone out: what a client
/// does not read is not read from the log either.
pub(super) fn stream_out(
    form: Form,
    headers: &[(&str, String)],
    pieces: impl Stream<Item = Result<String>> + 'static,
) -> Answer {
    let chunks = pieces
        .try_filter_map(|piece| async move { Ok((!piece.is_empty()).then(|| piece.into_bytes())) });
    let mut builder = answer::stream_of(form.content_type());
    for (name, value) in headers {
        builder = builder.and_then(|builder| builder.with_header(name, value));
    }
    builder
        .and_then(|builder| builder.from_stream(Box::pin(chunks)))
        .map_err(|error| internal("stream", &error))
}
