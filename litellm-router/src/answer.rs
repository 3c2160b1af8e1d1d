//! What the router answers itself: a status, headers and a body.

use serde::Serialize;

/// One part of a body that is sent over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Milliseconds to wait before these bytes are sent.
    pub wait_ms: u32,
    pub bytes: Vec<u8>,
}

/// A body: ready, or made piece by piece while it is sent.
pub enum Body {
    Whole(Vec<u8>),
    Paced(Box<dyn Iterator<Item = Piece> + Send>),
}

/// A complete HTTP answer. The shell adds `x-request-id`.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The content is nobody's business.
        write!(f, "Answer({})", self.status)
    }
}

impl Answer {
    /// An answer whose body is `value` as JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        // Only values of this crate come here, and none of them has a map with keys that JSON lacks.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self::json_bytes(status, body)
    }

    /// An answer whose body is JSON already.
    pub fn json_bytes(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: Body::Whole(body),
        }
    }

    /// A stream of server-sent events.
    pub fn events(body: Body) -> Self {
        Self {
            status: 200,
            headers: event_stream_headers(),
            body,
        }
    }

    /// Adds one header.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The whole body, where it is not sent over time, for tests and logs.
    pub fn whole(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Whole(bytes) => Some(bytes),
            Body::Paced(_) => None,
        }
    }
}

/// The headers of every event stream: no proxy on the way may hold it back or transform it.
pub fn event_stream_headers() -> Vec<(String, String)> {
    vec![
        (
            "content-type".into(),
            "text/event-stream; charset=utf-8".into(),
        ),
        ("cache-control".into(), "no-cache, no-transform".into()),
        ("x-accel-buffering".into(), "no".into()),
    ]
}
