//! What the Worker's routes ask of a session.

use protocol::{SessionId, Turn};
use serde::{Deserialize, Serialize};

/// A message for a session, as the Worker's routes hand it over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Say {
    pub session_id: SessionId,
    /// The sender's id for the message.
    pub id: Option<String>,
    pub turn: Turn,
    pub form: Form,
    /// The `seq` of the last event of the turn that the client has.
    pub after: u64,
}

/// How the turn is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// One document when the turn has ended.
    Json,
    /// The turn's events as they happen.
    Ndjson,
    Sse,
    /// The turn as clients of the platform family read it: one document, or as it happens.
    Chat,
    ChatSse,
    /// What the tools do, as these clients read it.
    ToolsSse,
    /// Which turn it has become, without waiting for it.
    Accepted,
}

/// Which events of the log are wanted, and how they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    pub span: Span,
    pub form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Span {
    /// Those after `from`; with `follow` also those to come.
    After { from: u64, follow: bool },
    /// The last so many.
    Tail { events: u64, follow: bool },
    /// Those to come.
    ToCome,
    /// A page of at most `limit`, the newest before `before`.
    Before { before: u64, limit: usize },
}
