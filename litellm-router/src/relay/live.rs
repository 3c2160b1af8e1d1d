//! A stream on its way from a provider to the client.

use std::sync::Arc;

use futures_util::future::{Either, FutureExt, select};
use futures_util::stream::StreamExt;

use super::record::Log;
use super::{Broken, Ending, Host, MOST_AT_ONCE, PING_MS};
use crate::api::Api;
use crate::cache::LARGEST_ANSWER;
use crate::error::Refusal;
use crate::job::Flight;
use crate::translate::incoming::Incoming;
use crate::upstream;

/// A stream on its way from a provider to the client.
pub(super) struct Live<H: Host> {
    host: Arc<H>,
    pub(super) headers: Vec<(String, String)>,
    body: Option<H::Body>,
    pub(super) stream: Box<dyn Incoming>,
    api: Api,
    provider: &'static str,
    silence_ms: u64,
    /// When the provider last sent something.
    heard: u64,
    /// When the client last got something.
    said: u64,
    /// One timer for many chunks, and when it fires: then the times above say whether it is time. It
    /// may fire too early, but not too late.
    timer: Option<(u64, H::Sleep)>,
    /// What was read before the client got its headers.
    pub(super) first: Vec<u8>,
    /// The connection broke because the client has left.
    left: bool,
    /// All that went out, where answers are kept.
    pub(super) copy: Option<Vec<u8>>,
    pub(super) ending: Option<End<H>>,
}

/// What is done when a stream is over, or its client has left.
pub(super) struct End<H: Host> {
    pub(super) flight: Option<Flight>,
    pub(super) log: Log<H>,
}

impl<H: Host> Live<H> {
    /// A stream of which nothing has been read. `silence_ms`: how long the provider may say nothing.
    pub(super) fn new(
        host: &Arc<H>,
        body: H::Body,
        (headers, stream): (Vec<(String, String)>, Box<dyn Incoming>),
        api: Api,
        provider: &'static str,
        silence_ms: u32,
    ) -> Box<Self> {
        let now = host.now();
        Box::new(Self {
            host: Arc::clone(host),
            headers,
            body: Some(body),
            stream,
            api,
            provider,
            silence_ms: silence_ms.into(),
            heard: now,
            said: now,
            timer: None,
            first: Vec::new(),
            left: false,
            copy: None,
            ending: None,
        })
    }

    /// The next bytes for the client, `None` when the answer is over.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            self.remember(&first);
            return Some(first);
        }
        while !self.stream.is_done() {
            self.listen(self.said + PING_MS).await;
            let bytes = self.stream.take();
            if !bytes.is_empty() {
                self.remember(&bytes);
                self.said = self.heard;
                return Some(bytes);
            }
            let now = self.host.now();
            if now >= self.said + PING_MS && self.stream.is_between_events() {
                self.said = now;
                return Some(self.api.ping().to_vec());
            }
        }
        let failed = self.stream.failed().map(Refusal::class);
        self.end(match failed {
            _ if self.left => Ending::ClientLeft,
            Some(_) => Ending::Failed,
            None => Ending::Completed,
        });
        None
    }

    /// Waits for the next thing to happen, or until a time.
    pub(super) async fn listen(&mut self, until: u64) {
        let Some(body) = &mut self.body else {
            self.stream.finish();
            return;
        };
        let until = until.min(self.heard + self.silence_ms);
        let timer = match self.timer.take().filter(|(due, _)| *due <= until) {
            Some(timer) => timer,
            None => {
                let left = until.saturating_sub(self.host.now()).max(1);
                (until, self.host.sleep(left))
            }
        };
        let (_, timer) = self.timer.insert(timer);
        match select(body.next(), timer).await {
            Either::Left((Some(Ok(bytes)), _)) => {
                self.heard = self.host.now();
                self.stream.push(&bytes);
                // What is there already goes out together; nothing is waited for.
                let mut read = bytes.len();
                while read < MOST_AT_ONCE && !self.stream.is_done() {
                    match body.next().now_or_never() {
                        Some(Some(Ok(bytes))) => {
                            read += bytes.len();
                            self.stream.push(&bytes);
                        }
                        Some(Some(Err(Broken))) => {
                            self.left |= self.host.client_left();
                            self.stream.fail(upstream::broke(self.provider));
                        }
                        Some(None) => self.stream.finish(),
                        None => break,
                    }
                }
            }
            Either::Left((Some(Err(Broken)), _)) => {
                self.left |= self.host.client_left();
                self.stream.fail(upstream::broke(self.provider));
            }
            Either::Left((None, _)) => self.stream.finish(),
            Either::Right(_) => {
                self.timer = None;
                if self.host.now() >= self.heard + self.silence_ms {
                    let silence_ms = u32::try_from(self.silence_ms).unwrap_or(u32::MAX);
                    let refusal = upstream::fell_silent(self.provider, silence_ms);
                    self.stream.fail(refusal);
                }
            }
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(bytes);
            if copy.len() > LARGEST_ANSWER {
                self.copy = None;
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        if let Some(body) = self.body.take()
            && ending == Ending::Completed
        {
            self.host.drain(body);
        }
        if let Some(mut end) = self.ending.take() {
            if let Some(copy) = self.copy.take()
                && ending == Ending::Completed
            {
                end.log.job.keep(copy, self.host.now());
            }
            let used = self.stream.usage();
            if ending == Ending::Failed
                && let Some(refusal) = self.stream.failed()
            {
                end.log.job.broke(refusal.class(), self.host.now());
            }
            if let Some(flight) = &mut end.flight {
                flight.used(&used, self.host.now());
            }
            end.log.end(used, 200, ending);
        }
    }
}

impl<H: Host> Drop for Live<H> {
    fn drop(&mut self) {
        self.end(Ending::ClientLeft);
    }
}
