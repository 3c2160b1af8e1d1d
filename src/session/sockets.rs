//! The session's WebSockets: frames in, events out. They hibernate: the platform keeps them while
//! this object sleeps, so nothing about one may be known in memory alone that matters.
//!
//! A socket gets the log in order and each event once: a page, and another whenever it asks on, until
//! it has all; from then on what comes, as it happens. What a client does not read piles up in the
//! platform's memory, as sending to a socket never waits: one with too much unread is closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use ::session::Input;
use access::{Pass, Right};
use futures_util::FutureExt;
use protocol::{ClientMessage, Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use serde_json::json;
use worker::{Response, WebSocket, WebSocketIncomingMessage, WebSocketPair};

use super::{Object, Span};
use crate::answer::{Answer, internal};
use crate::limits::{self, Limit};

/// Frames that a socket may send at once, and how many more each second.
const BURST: f64 = 40.0;
const PER_SECOND: f64 = 10.0;
/// Frames over that before the socket is closed.
const PATIENCE: u32 = 200;

/// Sockets of one session.
const MAX_SOCKETS: usize = 64;

/// Bytes that a socket may leave unread before it is closed. Asked before events are sent, so that
/// those that come together are on top of it, and so is a page.
const MAX_UNREAD: u32 = 1024 * 1024;

/// What the platform keeps of a socket while the object sleeps.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Attachment {
    id: String,
    /// It was told that there is more of the log, and gets nothing until it asks on.
    #[serde(default)]
    behind: bool,
    /// The pass of whose it is, as JSON. One that was opened before there were passes has none, and
    /// is closed.
    #[serde(default)]
    pass: String,
}

impl Attachment {
    fn of(socket: &WebSocket) -> Self {
        let attachment = socket.deserialize_attachment::<Self>();
        attachment.ok().flatten().unwrap_or_default()
    }
}

/// How fast each socket sends. Forgotten when the object sleeps: a socket that lets it sleep does
/// not flood.
#[derive(Default)]
pub struct Floods {
    sockets: RefCell<HashMap<String, Bucket>>,
}

struct Bucket {
    left: f64,
    /// Milliseconds since the epoch.
    at: u64,
    refused: u32,
}

enum Flow {
    Fine,
    /// Refused; true for the first of a row, which is answered.
    Refused(bool),
    TooMuch,
}

impl Floods {
    fn take(&self, socket: &str, now: u64) -> Flow {
        let mut sockets = self.sockets.borrow_mut();
        let bucket = sockets.entry(socket.to_owned()).or_insert(Bucket {
            left: BURST,
            at: now,
            refused: 0,
        });
        let passed = now.saturating_sub(bucket.at) as f64 / 1000.0;
        bucket.left = (bucket.left + passed * PER_SECOND).min(BURST);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            bucket.refused = 0;
            return Flow::Fine;
        }
        bucket.refused += 1;
        if bucket.refused > PATIENCE {
            Flow::TooMuch
        } else {
            Flow::Refused(bucket.refused == 1)
        }
    }
}

impl Floods {
    /// Takes a frame back that was asked for.
    fn forgive(&self, socket: &str) {
        if let Some(bucket) = self.sockets.borrow_mut().get_mut(socket) {
            bucket.left += 1.0;
        }
    }
}

impl Object {
    /// Connects a socket: first the session's state, then the first page of the events that are
    /// `wanted`, then what comes; where that is not all yet, a frame that says so. One that is not `warm`
    /// leaves a sandbox asleep that has been used before.
    pub(super) fn accept_socket(
        self: &Rc<Self>,
        pass: Pass,
        wanted: Option<Span>,
        warm: bool,
    ) -> Answer {
        let failed = |error: worker::Error| internal("socket", &error);
        let is_new = self.with_session(|session| session.state.last_turn == 0)?;
        // Who only reads needs no sandbox.
        let warms_up = pass.write && (warm || is_new);
        if self.platform.get_websockets().len() >= MAX_SOCKETS {
            return Err(Problem::new(
                ProblemKind::TooManyRequests,
                format!("{MAX_SOCKETS} clients are connected to this session already"),
            ));
        }
        let pair = WebSocketPair::new().map_err(failed)?;
        self.platform.accept_web_socket(&pair.server);
        pair.server
            .serialize_attachment(Attachment {
                id: crate::random::hex::<8>().map_err(failed)?,
                behind: false,
                pass: serde_json::to_string(&pass).map_err(|error| internal("socket", &error))?,
            })
            .map_err(failed)?;
        // From here to the answer nothing waits, so no event can come between the ones of the log
        // and the ones that are sent as they happen.
        let snapshot = self.snapshot(&pass)?;
        pair.server.send_with_str(snapshot).map_err(failed)?;
        match wanted {
            None | Some(Span::ToCome) => {}
            Some(Span::Tail { events, .. }) => {
                let events = usize::try_from(events).unwrap_or(usize::MAX);
                let page = self.log.before(u64::MAX, events);
                let page = page.map_err(|error| internal("log", &error))?;
                self.send(&pair.server, page.lines());
            }
            Some(Span::After { from, .. } | Span::Before { before: from, .. }) => {
                self.replay(&pair.server, from)?;
            }
        }
        if warms_up {
            self.warm_up();
        }
        Response::from_websocket(pair.client).map_err(failed)
    }

    /// The session's state as a frame of its own, which is no event of the log.
    fn snapshot(&self, pass: &Pass) -> Result<String, Problem> {
        let description = self.describe()?;
        self.with_session(|session| {
            let state = session.turn_state();
            json!({
                "type": "status",
                "snapshot": true,
                "seq": session.position.seq,
                "session_id": session.id,
                "turn_id": session.state.current.as_ref().map(|current| current.id),
                "timestamp": worker::Date::now().as_millis(),
                "state": state,
                "content": "Connected",
                "session": description,
                "access": {
                    "write": pass.write,
                    "manage": pass.manage,
                    "shell": pass.has(Right::Shell),
                },
            })
            .to_string()
        })
    }

    /// Sends the first page of the events after `from`. Where there are more, the last frame says so.
    fn replay(&self, socket: &WebSocket, from: u64) -> Result<(), Problem> {
        let page = self.log.after(from);
        let page = page.map_err(|error| internal("log", &error))?;
        if !self.send(socket, page.lines()) {
            return Ok(());
        }
        let attachment = Attachment::of(socket);
        if attachment.behind != page.more {
            let behind = page.more;
            socket
                .serialize_attachment(Attachment {
                    behind,
                    ..attachment
                })
                .map_err(|error| internal("socket", &error))?;
        }
        if let Some(next) = page.last().filter(|_| page.more) {
            let frame = self.with_session(|session| {
                json!({
                    "type": "status",
                    "seq": null,
                    "more": true,
                    "next": next,
                    "session_id": session.id,
                    "turn_id": null,
                    "timestamp": worker::Date::now().as_millis(),
                    "state": session.turn_state(),
                    "content": "There are more events: ask on with resume",
                })
            })?;
            let _ = socket.send_with_str(frame.to_string());
        }
        Ok(())
    }

    pub(super) fn send_to_all(&self, lines: &[String]) {
        for socket in self.platform.get_websockets() {
            let attachment = Attachment::of(&socket);
            if self.pass_of(&socket, &attachment).is_some() && !attachment.behind {
                self.send(&socket, lines.iter().map(String::as_str));
            }
        }
    }

    /// Sends frames to a socket that reads what it gets; closes another one. Whether they were sent.
    fn send<'a>(&self, socket: &WebSocket, frames: impl IntoIterator<Item = &'a str>) -> bool {
        if unread(socket) > MAX_UNREAD {
            let _ = socket.close(
                Some(TRY_AGAIN_LATER),
                Some("too much is unread; connect again with from= the seq of the last event you have"),
            );
            return false;
        }
        for frame in frames {
            // One that is gone hears of it by its own close.
            let _ = socket.send_with_str(frame);
        }
        true
    }

    /// The pass of a socket; one that may not stay any more is closed.
    fn pass_of(&self, socket: &WebSocket, attachment: &Attachment) -> Option<Pass> {
        let pass = serde_json::from_slice(attachment.pass.as_bytes());
        let pass = pass.ok().filter(|pass| self.holds(pass));
        if pass.is_none() {
            let words = "what let you in has ended; connect again";
            let _ = socket.close(Some(ACCESS_ENDED), Some(words));
        }
        pass
    }

    /// Closes the sockets of those who may not stay any more.
    pub(super) fn close_strangers(&self) {
        for socket in self.platform.get_websockets() {
            self.pass_of(&socket, &Attachment::of(&socket));
        }
    }

    /// A frame from a client. What is wrong with it is told to that client alone.
    pub(super) async fn frame(
        self: &Rc<Self>,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) {
        let attachment = Attachment::of(socket);
        let Some(pass) = self.pass_of(socket, &attachment) else {
            return;
        };
        let (id, behind) = (attachment.id.clone(), attachment.behind);
        match self.floods.take(&id, worker::Date::now().as_millis()) {
            Flow::Fine => {}
            Flow::Refused(tell) => {
                if tell {
                    let problem = Problem::new(
                        ProblemKind::TooManyRequests,
                        "too many messages at once on this connection; wait a second",
                    );
                    self.tell(socket, &problem, None);
                }
                return;
            }
            Flow::TooMuch => {
                let _ = socket.close(Some(1008), Some("too many messages"));
                return;
            }
        }
        let text = match message {
            WebSocketIncomingMessage::String(text) => text,
            WebSocketIncomingMessage::Binary(_) => {
                let problem =
                    Problem::bad_request("binary frames are not understood; send JSON as text");
                self.tell(socket, &problem, None);
                return;
            }
        };
        match ClientMessage::parse(&text) {
            Ok(message) => {
                if behind && matches!(message, ClientMessage::Resume { .. }) {
                    // It does what it was told to, as fast as it reads.
                    self.floods.forgive(&id);
                }
                let id = match &message {
                    ClientMessage::UserMessage { id, .. } => id.clone(),
                    ClientMessage::Answer { request_id, .. } => Some(request_id.clone()),
                    _ => None,
                };
                let taking = AssertUnwindSafe(self.take_message(socket, &pass, message));
                // A panic would leave its sender without an answer.
                let taken = taking.catch_unwind().await;
                let taken = taken.unwrap_or_else(|_| Err(internal("frame", &"a panic")));
                if let Err(problem) = taken {
                    self.tell(socket, &problem, id.as_deref());
                }
            }
            Err(problem) => self.tell(socket, &problem, message_id(&text).as_deref()),
        }
    }

    async fn take_message(
        self: &Rc<Self>,
        socket: &WebSocket,
        pass: &Pass,
        message: ClientMessage,
    ) -> Result<(), Problem> {
        pass.must(right_of(&message))?;
        match message {
            ClientMessage::UserMessage { id, turn } => {
                limits::count(&self.env, Limit::Messages, pass).await?;
                let last = self.with_session(|session| session.position.seq)?;
                let said = self.say(id, *turn).await?;
                if said.seq <= last {
                    // It was said before; its sender may have missed that.
                    let page = self
                        .log
                        .after(said.seq.saturating_sub(1))
                        .map_err(|error| internal("log", &error))?;
                    if let Some((_, line)) = page.events.first() {
                        self.send(socket, [line.as_str()]);
                    }
                } else {
                    self.record(pass, "message");
                }
                Ok(())
            }
            ClientMessage::Interrupt { turn_id } => {
                // Behind the messages that were sent before it, which it may be meant for.
                let _in_order = self.taking.lock().await;
                let step = self.take(vec![Input::Interrupt { turn: turn_id }])?;
                if !step.events.is_empty() {
                    self.record(pass, "interrupt");
                }
                Ok(())
            }
            ClientMessage::SetModel { model } => {
                let _in_order = self.taking.lock().await;
                crate::models::check(&self.env, &model).await?;
                self.take(vec![Input::SetModel { model }]).map(drop)
            }
            ClientMessage::Answer { request_id, answer } => {
                self.take(vec![Input::Answer {
                    request_id,
                    answer: *answer,
                    by: pass.by.clone(),
                }])?;
                self.record(pass, "answer");
                Ok(())
            }
            ClientMessage::SetPermissionMode { mode } => {
                let _in_order = self.taking.lock().await;
                self.take(vec![Input::SetMode { mode }])?;
                self.record(pass, "permission mode");
                Ok(())
            }
            ClientMessage::RemoveRule { rule } => {
                self.take(vec![Input::RemoveRule { rule }]).map(drop)
            }
            ClientMessage::Resume { from } => self.replay(socket, from),
            ClientMessage::Wake => {
                self.warm_up();
                Ok(())
            }
            ClientMessage::Ping => {
                let _ = socket.send_with_str(r#"{"type":"pong"}"#);
                Ok(())
            }
        }
    }

    /// Tells one client what is wrong. It is no event of the log: its `seq` is null.
    fn tell(&self, socket: &WebSocket, problem: &Problem, message_id: Option<&str>) {
        let frame = json!({
            "type": "error",
            "seq": null,
            "content": problem.detail,
            "code": problem.kind.code(),
            "field": problem.field,
            "id": message_id,
            "session_id": self.with_session(|session| session.id.clone()).ok(),
            "turn_id": null,
            "timestamp": worker::Date::now().as_millis(),
        });
        self.send(socket, [frame.to_string().as_str()]);
    }

    pub(super) fn closed(&self, socket: &WebSocket, code: usize) {
        let Attachment { id, .. } = Attachment::of(socket);
        self.floods.sockets.borrow_mut().remove(&id);
        // 1005 and 1006 say that there was no code; they can't be sent.
        let code = u16::try_from(code)
            .ok()
            .filter(|code| !matches!(code, 1005 | 1006 | 1015));
        let _ = socket.close(Some(code.unwrap_or(1000)), None::<&str>);
    }
}

/// What a frame needs. A new kind of frame has to say.
fn right_of(message: &ClientMessage) -> Right {
    match message {
        ClientMessage::Resume { .. } | ClientMessage::Ping => Right::Read,
        ClientMessage::UserMessage { .. }
        | ClientMessage::Interrupt { .. }
        | ClientMessage::SetModel { .. }
        | ClientMessage::Answer { .. }
        | ClientMessage::SetPermissionMode { .. }
        | ClientMessage::RemoveRule { .. }
        | ClientMessage::Wake => Right::Write,
    }
}

/// Close code of our own: what let the client in has ended, or was revoked.
const ACCESS_ENDED: u16 = 4401;

/// Close code of RFC 6455's registry: the server ends a connection that it can't serve now.
const TRY_AGAIN_LATER: u16 = 1013;

/// Bytes that were sent to a socket and have not left for its client.
fn unread(socket: &WebSocket) -> u32 {
    socket.as_ref().buffered_amount()
}

/// The id in a frame that is not understood, so that its sender knows which it was.
fn message_id(frame: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    serde_json::from_str::<Id>(frame).ok().map(|frame| frame.id)
}
