//! Requests to a server, and what it answers.

use std::time::Duration;

use futures_util::StreamExt;
use protocol::{Problem, ProblemKind};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Upgraded, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::failure::Failure;
use crate::profile::Target;

/// How long a server may take to answer what is no stream: it may have to start a sandbox.
const PATIENCE: Duration = Duration::from_secs(150);

const CONNECT: Duration = Duration::from_secs(10);

/// How long a file's bytes may stand still.
const STILL: Duration = Duration::from_secs(120);

/// Bytes of a document that is read whole: a page of a list of files is the largest.
const MAX_DOCUMENT: usize = 32 * 1024 * 1024;

/// Bytes of an error.
const MAX_PROBLEM: usize = 64 * 1024;

/// A server with the key that opens it.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    server: Url,
    token: Option<String>,
}

impl Api {
    /// # Errors
    /// Where this machine has no TLS to speak.
    pub fn new(target: Target) -> Result<Self, Failure> {
        let client = Client::builder()
            .user_agent(concat!("agentctl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // Nobody else gets the key.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::here("TLS", error))?;
        Ok(Self {
            client,
            server: target.server,
            token: target.token,
        })
    }

    /// A request to a path, such as `/api/configs/`.
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.server.as_str().trim_end_matches('/');
        let request = self.client.request(method, format!("{base}{path}"));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.ask(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.ask(Method::POST, path)
    }

    /// The head of an answer that is no error. Its body is still to be read.
    ///
    /// # Errors
    /// What the server says, or that it does not answer.
    pub async fn open(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = tokio::time::timeout(PATIENCE, request.send()).await;
        let answer = answer
            .map_err(|_| self.unreachable("it does not answer"))?
            .map_err(|error| self.broken(error))?;
        if answer.status().is_success() || answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        Err(self.refused(answer).await)
    }

    /// A WebSocket at a path.
    ///
    /// # Errors
    /// What the server says, or that it opens none.
    pub async fn socket(&self, path: &str) -> Result<WebSocketStream<Upgraded>, Failure> {
        let key = generate_key();
        let request = self
            .get(path)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let answer = tokio::time::timeout(PATIENCE, request.send()).await;
        let answer = answer
            .map_err(|_| self.unreachable("it does not answer"))?
            .map_err(|error| self.broken(error))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refused(answer).await);
        }
        let accepted = answer.headers().get("sec-websocket-accept");
        if accepted.is_none_or(|accepted| *accepted != derive_accept_key(key.as_bytes())) {
            return Err(self.unreachable("it opens no WebSocket; what stands before it?"));
        }
        let upgraded = answer.upgrade().await;
        let upgraded = upgraded.map_err(|error| self.broken(error))?;
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
    }

    /// An answer that is one JSON document; null where it has no body.
    ///
    /// # Errors
    /// What the server says, or that it does not answer so.
    pub async fn document<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        let answer = self.open(request).await?;
        let body = tokio::time::timeout(PATIENCE, self.whole(answer, MAX_DOCUMENT)).await;
        let body = body.map_err(|_| self.unreachable("its answer does not end"))??;
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|_| {
            self.unreachable("its answer is not what is expected; is it an Agent Router?")
        })
    }

    /// The next bytes of a body; none at its end.
    ///
    /// # Errors
    /// Where it breaks, or stands still.
    pub async fn chunk(&self, answer: &mut Response) -> Result<Option<bytes::Bytes>, Failure> {
        let chunk = tokio::time::timeout(STILL, answer.chunk()).await;
        chunk
            .map_err(|_| self.unreachable("it sends nothing any more"))?
            .map_err(|error| self.broken(error))
    }

    async fn whole(&self, answer: Response, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.broken(error))?;
            if body.len() + chunk.len() > limit {
                return Err(self.unreachable("its answer is longer than any should be"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn refused(&self, answer: Response) -> Failure {
        let status = answer.status().as_u16();
        let id = answer.headers().get("x-request-id");
        let id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = self.whole(answer, MAX_PROBLEM).await.unwrap_or_default();
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut problem = Problem::from_json(&told).unwrap_or_else(|| {
            let words = told.get("detail").and_then(Value::as_str);
            let words = words.map_or_else(
                || format!("{} answered {status}, without a reason", self.server),
                str::to_owned,
            );
            Problem::new(kind_of(status), words)
        });
        if status >= 500
            && let Some(id) = id
        {
            problem.detail += &format!(" [request {id}]");
        }
        Failure::Told(problem, status)
    }

    pub fn unreachable(&self, why: &str) -> Failure {
        Failure::Connection(format!("{}: {why}", self.server))
    }

    pub fn broken(&self, error: reqwest::Error) -> Failure {
        if let Some(here) = std::error::Error::source(&error)
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            && error.is_body()
        {
            return Failure::Here(here.to_string());
        }
        // The innermost says why. Without the address: it may have a path that is a file's name.
        let error = error.without_url();
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            why = inner.to_string();
            source = inner.source();
        }
        self.unreachable(&why)
    }
}

/// The kind of an error that is none of ours: something stands before the server.
fn kind_of(status: u16) -> ProblemKind {
    match status {
        400 => ProblemKind::BadRequest,
        401 => ProblemKind::Unauthenticated,
        403 => ProblemKind::Forbidden,
        404 => ProblemKind::NotFound,
        409 => ProblemKind::Conflict,
        413 => ProblemKind::TooLarge,
        429 => ProblemKind::TooManyRequests,
        503 => ProblemKind::NoCapacity,
        _ => ProblemKind::Internal,
    }
}

/// A path of a file as an address has it.
///
/// # Errors
/// Where it leads through `.` or `..`: an address can't say that.
pub fn path(given: &str) -> Result<String, Failure> {
    let inside = match given.strip_prefix("/workspace") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => given,
    };
    let mut written = String::new();
    for part in inside.split('/').filter(|part| !part.is_empty()) {
        if matches!(part, "." | "..") {
            return Err(Failure::Usage(format!(
                "{given}: say the path from the workspace on, without . and .."
            )));
        }
        if !written.is_empty() {
            written.push('/');
        }
        written += &encoded(part);
    }
    Ok(written)
}

/// A text as one part of an address.
pub fn encoded(text: &str) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            written.push(char::from(byte));
        } else {
            written += &format!("%{byte:02X}");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_for_addresses() {
        for (given, written) in [
            ("hello.py", "hello.py"),
            ("/workspace/a/b", "a/b"),
            ("/workspace", ""),
            ("/workspaces/x", "workspaces/x"),
            ("a//b/", "a/b"),
            ("ä b#?%.txt", "%C3%A4%20b%23%3F%25.txt"),
            ("a\nb", "a%0Ab"),
            ("...", "..."),
        ] {
            assert_eq!(path(given).unwrap(), written, "{given}");
        }
        for wrong in ["..", "a/../b", "./a", "/workspace/../etc/passwd"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
