//! People's clients: each has a socket, now and then, and an outbox that is sent again until what is in
//! it is stored.

use std::collections::{BTreeSet, VecDeque};

use protocol::{Answer, Behavior, PermissionMode, TurnId};

use super::world::World;

pub const CLIENTS: usize = 3;

#[derive(Default)]
pub struct Client {
    connection: Option<Connection>,
    /// `seq` of the last event that it has.
    pub seen: u64,
    /// The ids of messages that it does not know to be stored.
    pub outbox: BTreeSet<String>,
}

#[derive(Default)]
struct Connection {
    /// It has all of the log, and gets what comes.
    live: bool,
    /// Events on their way to it: after this one, up to that one.
    inbox: VecDeque<(u64, u64)>,
    /// What the object has sent it.
    sent: u64,
}

#[derive(Debug, Clone)]
pub enum Frame {
    Resume,
    Say {
        id: String,
        mode: Option<PermissionMode>,
    },
    Interrupt {
        turn: Option<TurnId>,
    },
    Model(String),
    Mode(PermissionMode),
    RemoveRule,
    Book(u64),
    Answer {
        request_id: String,
        answer: Answer,
    },
}

impl Client {
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// The log has grown.
    pub fn show(&mut self, before: u64, now: u64) {
        if let Some(connection) = self.connection.as_mut().filter(|one| one.live) {
            assert_eq!(
                connection.sent, before,
                "what is live follows what was sent"
            );
            if now > before {
                connection.inbox.push_back((before, now));
                connection.sent = now;
            }
        }
    }

    /// It has asked on: a page, and from the end of the log on what comes.
    pub fn send_page(&mut self, end: u64) {
        if let Some(connection) = self.connection.as_mut().filter(|one| !one.live) {
            let from = connection.sent;
            connection.sent = end.min(from + 7);
            connection.live = connection.sent == end;
            connection.inbox.push_back((from, connection.sent));
        }
    }
}

impl World {
    /// A client does something.
    pub fn client(&mut self, who: usize) {
        if self.clients[who].connection.is_none() {
            self.connect(who);
            return;
        }
        if self.chance.one_in(self.weather.disconnects) {
            self.clients[who].disconnect();
            return;
        }
        let frame = match self.chance.below(24) {
            0..10 => return self.look(who),
            10..13 => {
                // The same id from two clients is the same message.
                let id = format!("m{}", self.chance.below(40));
                let mode = self.chance.one_in(4).then(|| self.some_mode());
                self.clients[who].outbox.insert(id.clone());
                Frame::Say { id, mode }
            }
            13 | 14 => match self.clients[who].outbox.first().cloned() {
                Some(id) => Frame::Say { id, mode: None },
                None => return,
            },
            15 => Frame::Interrupt {
                turn: match self.chance.one_in(2) {
                    true => None,
                    false => Some(TurnId(self.chance.below(12) as u64)),
                },
            },
            16 => Frame::Model(format!("model-{}", self.chance.below(3))),
            17 => Frame::Mode(self.some_mode()),
            18 => Frame::RemoveRule,
            19 => Frame::Book(self.chance.below(300) as u64),
            _ => self.some_answer(),
        };
        if self.chance.one_in(self.weather.loses_messages) {
            return;
        }
        self.frame(who, frame);
    }

    /// A client does what is left to do.
    pub fn client_heals(&mut self, who: usize) {
        if self.clients[who].connection.is_none() {
            self.connect(who);
        }
        for _ in 0..4 {
            self.look(who);
        }
        if let Some(id) = self.clients[who].outbox.first().cloned() {
            self.frame(who, Frame::Say { id, mode: None });
        }
        if who == 0 && self.chance.one_in(2) {
            let open = self.object.session.state.open.first();
            if let Some(request_id) = open.map(|open| open.request_id.clone()) {
                let answer = answer(Behavior::Deny, false, None);
                self.frame(who, Frame::Answer { request_id, answer });
            }
        }
    }

    fn connect(&mut self, who: usize) {
        let client = &mut self.clients[who];
        client.connection = Some(Connection {
            sent: client.seen,
            ..Connection::default()
        });
        self.frame(who, Frame::Resume);
    }

    /// Reads what has come.
    fn look(&mut self, who: usize) {
        let end = self.object.seq();
        let client = &mut self.clients[who];
        let Some(connection) = &mut client.connection else {
            return;
        };
        if let Some((from, to)) = connection.inbox.pop_front() {
            assert_eq!(client.seen, from, "no event is left out, or comes twice");
            assert!(to <= end, "what was seen is stored");
            client.seen = to;
        }
        if connection.inbox.is_empty() && !connection.live {
            self.frame(who, Frame::Resume);
        }
    }

    fn some_mode(&mut self) -> PermissionMode {
        [
            PermissionMode::Default,
            PermissionMode::AcceptEdits,
            PermissionMode::Plan,
            PermissionMode::BypassPermissions,
        ][self.chance.below(4)]
    }

    /// An answer to what is asked, to what was, or to what never was.
    fn some_answer(&mut self) -> Frame {
        let last = self.object.session.state.last_ask as usize;
        let open = self.object.session.state.open.first();
        let request_id = match open.map(|open| open.request_id.clone()) {
            Some(open) if self.chance.one_in(2) => open,
            _ => format!("ask-{}", self.chance.below(last + 2)),
        };
        let (edits, bypass) = (
            PermissionMode::AcceptEdits,
            PermissionMode::BypassPermissions,
        );
        let answer = match self.chance.below(6) {
            0 => answer(Behavior::Allow, false, None),
            1 => answer(Behavior::AllowSession, false, None),
            2 => answer(Behavior::Deny, false, None),
            3 => answer(Behavior::Allow, true, None),
            4 => answer(Behavior::Allow, false, Some(edits)),
            _ => answer(Behavior::Allow, false, Some(bypass)),
        };
        Frame::Answer { request_id, answer }
    }
}

fn answer(behavior: Behavior, answers: bool, mode: Option<PermissionMode>) -> Answer {
    Answer {
        behavior,
        message: None,
        answers: answers.then(|| [("Which?".to_owned(), "Red".to_owned())].into()),
        updated_input: None,
        mode,
    }
}
