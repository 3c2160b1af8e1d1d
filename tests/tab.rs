//! Clients that see a session's events: a browser's tab, and one that follows the log over HTTP.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

use crate::{PATIENCE, World};

type Socket = tokio_tungstenite::WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A WebSocket with what came through it.
pub struct Tab {
    socket: Socket,
    /// Events of the log, in the order in which they came.
    pub events: Vec<Value>,
    /// Frames that are no events: the state at first, and errors for this tab alone.
    pub told: Vec<Value>,
    /// How many events [`Tab::until`] has looked at.
    read: usize,
    /// Whether it asks on where it is told that there is more.
    pub asks_on: bool,
}

impl Tab {
    pub(crate) fn of(socket: Socket) -> Self {
        Self {
            socket,
            events: Vec::new(),
            told: Vec::new(),
            read: 0,
            asks_on: true,
        }
    }

    /// # Errors
    /// Where the socket is closed.
    pub async fn send(&mut self, frame: Value) -> Result<()> {
        self.send_text(&frame.to_string()).await
    }

    /// # Errors
    /// Where the socket is closed.
    pub async fn send_text(&mut self, frame: &str) -> Result<()> {
        Ok(self.socket.send(Message::text(frame)).await?)
    }

    /// # Errors
    /// Where the socket is closed.
    pub async fn send_bytes(&mut self, frame: Vec<u8>) -> Result<()> {
        Ok(self.socket.send(Message::binary(frame)).await?)
    }

    /// Says something with the scripted demo model.
    ///
    /// # Errors
    /// Where the socket is closed.
    pub async fn say(&mut self, content: &str) -> Result<()> {
        self.send(json!({ "type": "user_message", "content": content, "model": "local/demo" }))
            .await
    }

    /// The next frame.
    ///
    /// # Errors
    /// Where none comes.
    pub async fn next(&mut self) -> Result<Value> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .with_context(|| format!("no frame came; there were {}", self.seen()))?
                .context("the socket was closed")??;
            if let Message::Text(text) = message {
                let frame: Value = serde_json::from_str(&text)?;
                if frame["seq"].is_u64() && frame.get("snapshot").is_none() {
                    self.events.push(frame.clone());
                } else {
                    self.told.push(frame.clone());
                }
                if frame["more"] == true && self.asks_on {
                    self.send(json!({ "type": "resume", "from": frame["next"] }))
                        .await?;
                }
                return Ok(frame);
            }
        }
    }

    /// Reads what is left until the socket is closed, and gives the code and the reason.
    ///
    /// # Errors
    /// Where it is not closed, or without a word.
    pub async fn closed(&mut self) -> Result<(u16, String)> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next());
            match message
                .await
                .context("it stays open")?
                .context("it was cut")??
            {
                Message::Close(frame) => {
                    let frame = frame.context("no code")?;
                    return Ok((frame.code.into(), frame.reason.to_string()));
                }
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text)?;
                    if frame["seq"].is_u64() && frame.get("snapshot").is_none() {
                        self.events.push(frame);
                    }
                }
                _ => {}
            }
        }
    }

    /// Waits for an event, and gives it. Each event is looked at once.
    ///
    /// # Errors
    /// Where it does not come.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            while let Some(event) = self.events.get(self.read) {
                self.read += 1;
                if wanted(event) {
                    return Ok(event.clone());
                }
            }
            self.next().await?;
        }
    }

    /// Waits for a frame that is for this tab alone.
    ///
    /// # Errors
    /// Where it does not come.
    pub async fn until_told(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            if let Some(place) = self.told.iter().position(&wanted) {
                return Ok(self.told.remove(place));
            }
            self.next().await?;
        }
    }

    /// Waits for the end of a turn, the next one, and gives its event.
    ///
    /// # Errors
    /// Where it does not come.
    pub async fn end(&mut self) -> Result<Value> {
        self.until(|event| event["state"] == "ended").await
    }

    /// Waits for the end of a turn that must be completed.
    ///
    /// # Errors
    /// Where it ends otherwise.
    pub async fn completed(&mut self) -> Result<Value> {
        let end = self.end().await?;
        if end["outcome"] != "completed" {
            bail!("the turn ended otherwise: {}", self.seen());
        }
        Ok(end)
    }

    /// The contents of all events of a type.
    pub fn contents(&self, kind: &str) -> Vec<String> {
        self.events
            .iter()
            .filter(|event| event["type"] == kind)
            .map(|event| event["content"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The hosts that something wanted to reach, and what was decided.
    pub fn egress(&self) -> Vec<(&str, &str)> {
        self.events
            .iter()
            .filter(|event| event["type"] == "egress")
            .filter_map(|event| Some((event["host"].as_str()?, event["decision"].as_str()?)))
            .collect()
    }

    /// The events for a person who wonders what went wrong.
    pub fn seen(&self) -> String {
        let mut seen = String::new();
        for event in self.told.iter().chain(&self.events) {
            let content: String = event["content"]
                .as_str()
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect();
            seen += &format!(
                "\n  {} {} {} {} {content:?}",
                event["seq"], event["turn_id"], event["type"], event["state"]
            );
        }
        seen
    }
}

/// A client that follows a session's log over HTTP.
pub struct Reader {
    chunks: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<Bytes>> + Send>>,
    unread: Vec<u8>,
    /// Whether the log comes as SSE, else as NDJSON.
    sse: bool,
}

impl Reader {
    /// Follows the log from the event after `from`, as a browser's `EventSource` that comes back does,
    /// or as NDJSON.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn open(world: &World, session: &str, from: u64, sse: bool) -> Result<Self> {
        let path = format!("/api/sessions/{session}/events?follow=true");
        let request = if sse {
            let request = world.http.get(world.url(&path));
            request
                .header("accept", "text/event-stream")
                .header("last-event-id", from.to_string())
        } else {
            world.http.get(world.url(&format!("{path}&from={from}")))
        };
        let answer = request.send().await?.error_for_status()?;
        Ok(Self {
            chunks: Box::pin(answer.bytes_stream()),
            unread: Vec::new(),
            sse,
        })
    }

    /// The next event; none where the stream has ended.
    ///
    /// # Errors
    /// Where none comes, or the id of one is not its `seq`.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        let mut id = None;
        loop {
            let Some(line) = self.line().await? else {
                return Ok(None);
            };
            if !self.sse {
                return Ok(Some(serde_json::from_str(&line)?));
            }
            if let Some(given) = line.strip_prefix("id: ") {
                id = Some(given.parse::<u64>()?);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(data)?;
                ensure!(event["seq"].as_u64() == id, "the id {id:?} of {event}");
                return Ok(Some(event));
            }
        }
    }

    async fn line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some(String::from_utf8(line)?.trim_end().to_owned()));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.chunks.next());
            match chunk.await.context("no event came")? {
                Some(chunk) => self.unread.extend_from_slice(&chunk?),
                None => return Ok(None),
            }
        }
    }
}

/// The lines of an NDJSON body.
///
/// # Errors
/// Where a line is not JSON.
pub fn lines(body: &str) -> Result<Vec<Value>> {
    body.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
        .collect()
}
