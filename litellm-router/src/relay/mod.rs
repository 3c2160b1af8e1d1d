//! Carries out a [`Job`]: sends, waits, tries again, and passes the answer on while it comes.
//!
//! This is the same in every shell. What a shell has to offer is a [`Host`]: a clock, timers, HTTP.
//! Nothing is sent before the provider's first words are there, so that a call which fails before
//! them can be tried elsewhere or refused with a status of its own. Only a caller that waits for a
//! stream and has heard nothing for [`PING_MS`] gets its headers and signs of life before that; the
//! attempts go on meanwhile, because a sign of life commits to nothing.

mod live;
mod record;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream, StreamExt};

use crate::answer::{Answer, Body, Piece, event_stream_headers};
use crate::api::Api;
use crate::error::{ErrorClass, Refusal};
use crate::job::{Job, Next};
use crate::reply::Usage;
use crate::serve::{Booking, Router};
use crate::upstream::{self, Exchange, LARGEST_RESPONSE};
use live::{End, Live};
use record::Log;

pub use record::{Ending, Record};

/// A client that hears nothing for this long gets a sign of life. Claude Code warns at 15 s.
pub const PING_MS: u64 = 5_000;
/// A body of which nothing more is wanted may take so long to end.
const DRAINED_MS: u64 = 1_000;
/// So many bytes of a provider go out together at most.
const MOST_AT_ONCE: usize = 64 * 1024;
/// The most bytes of an error's body that are read.
const LARGEST_ERROR: usize = 1024 * 1024;

/// The connection to a provider failed or broke.
#[derive(Debug)]
pub struct Broken;

/// A provider's response whose head has come. Dropping its body tells the provider to stop.
pub struct Response<H: Host> {
    pub status: u16,
    pub headers: H::Headers,
    pub body: H::Body,
}

/// The headers of a provider's response.
pub trait Headers {
    /// The value of a header, by its name in lower case.
    fn get(&self, name: &str) -> Option<String>;
}

/// Reads a body to its end, if that comes soon: for [`Host::drain`].
pub async fn drained<H: Host>(host: &H, mut body: H::Body) {
    let until = host.now().saturating_add(DRAINED_MS);
    let mut read = 0;
    while read < MOST_AT_ONCE && host.now() < until {
        let left = until.saturating_sub(host.now()).max(1);
        match select(body.next(), host.sleep(left)).await {
            Either::Left((Some(Ok(bytes)), _)) => read += bytes.len(),
            _ => return,
        }
    }
}

/// What a shell offers.
pub trait Host: Sized + 'static {
    type Headers: Headers;
    type Body: Stream<Item = Result<Bytes, Broken>> + Unpin;
    type Sleep: Future<Output = ()> + Unpin;

    /// Milliseconds since the epoch.
    fn now(&self) -> u64;
    /// 64 random bits.
    fn random(&self) -> u64;
    /// Waits.
    fn sleep(&self, milliseconds: u64) -> Self::Sleep;
    /// Sends a request. Redirects are not followed: they would take the key elsewhere.
    fn send(&self, exchange: &Exchange) -> impl Future<Output = Result<Response<Self>, Broken>>;
    /// Reads a body of which nothing more is wanted to its end, beside everything else and not for
    /// long, so that the connection can be used again.
    fn drain(&self, body: Self::Body);
    /// Whether the caller has left, where that is not told by dropping what is on its way to it.
    fn client_left(&self) -> bool {
        false
    }
    /// A call is over. `router` has counted it; `bookings` are to be booked wherever else books are
    /// kept.
    fn record(&self, router: &Arc<Router>, record: &Record, bookings: Vec<Booking>);
}

/// What goes to the client.
pub enum Relayed<S> {
    Answer(Answer),
    /// Headers, and a body that is made while it is sent. Dropping it ends the call.
    Stream(Vec<(String, String)>, S),
}

/// Carries out a job.
pub async fn run<H: Host>(
    host: Arc<H>,
    job: Box<Job>,
    request_id: String,
) -> Relayed<impl Stream<Item = Vec<u8>> + use<H>> {
    let (streams, api) = (job.streams(), job.api());
    let mut begun = Box::pin(begin(Arc::clone(&host), job, request_id));
    if !streams {
        return match begun.await {
            Begun::Answer(answer) => Relayed::Answer(answer),
            Begun::Live(live) => Relayed::Stream(live.headers.clone(), Either::Left(words(*live))),
        };
    }
    match select(begun.as_mut(), host.sleep(PING_MS)).await {
        Either::Left((Begun::Answer(answer), _)) => Relayed::Answer(answer),
        Either::Left((Begun::Live(live), _)) => {
            Relayed::Stream(live.headers.clone(), Either::Left(words(*live)))
        }
        Either::Right(_) => {
            let body = signs_of_life(host, api, begun);
            Relayed::Stream(event_stream_headers(), Either::Right(body))
        }
    }
}

/// A call whose caller has got nothing but signs of life.
fn signs_of_life<H: Host>(
    host: Arc<H>,
    api: Api,
    begun: std::pin::Pin<Box<impl Future<Output = Begun<H>>>>,
) -> impl Stream<Item = Vec<u8>> {
    enum Phase<F, H: Host> {
        Waiting(F),
        Live(Box<Live<H>>),
        /// What the router plays itself.
        Played(Box<dyn Iterator<Item = Piece> + Send>),
        Over,
    }
    let phase = (host, Phase::Waiting(begun), true);
    stream::unfold(phase, move |(host, mut phase, mut at_once)| async move {
        loop {
            phase = match phase {
                Phase::Waiting(mut begun) => {
                    if std::mem::take(&mut at_once) {
                        return Some((api.ping().to_vec(), (host, Phase::Waiting(begun), false)));
                    }
                    match select(begun.as_mut(), host.sleep(PING_MS)).await {
                        Either::Right(_) => {
                            return Some((
                                api.ping().to_vec(),
                                (host, Phase::Waiting(begun), false),
                            ));
                        }
                        Either::Left((Begun::Live(live), _)) => Phase::Live(live),
                        Either::Left((Begun::Answer(answer), _)) => match answer.body {
                            Body::Paced(pieces) => Phase::Played(pieces),
                            Body::Whole(body) => {
                                let event = late(api, answer.status, &body);
                                return Some((event, (host, Phase::Over, false)));
                            }
                        },
                    }
                }
                Phase::Live(mut live) => {
                    let bytes = live.next().await?;
                    return Some((bytes, (host, Phase::Live(live), false)));
                }
                Phase::Played(mut pieces) => {
                    let piece = pieces.next()?;
                    if piece.wait_ms > 0 {
                        host.sleep(piece.wait_ms.into()).await;
                    }
                    return Some((piece.bytes, (host, Phase::Played(pieces), false)));
                }
                Phase::Over => return None,
            };
        }
    })
}

/// An answer that comes when the headers of a stream are gone, too late for a status: events as they
/// are, an error as an event.
fn late(api: Api, status: u16, body: &[u8]) -> Vec<u8> {
    let is_events = ["event:", "data:", ":"];
    if status == 200
        && is_events
            .iter()
            .any(|begin| body.starts_with(begin.as_bytes()))
    {
        return body.to_vec();
    }
    let error = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(error) if status != 200 => error,
        // Whole JSON where a stream was asked for, or a page in HTML.
        _ => Refusal::new(502, "the provider did not answer with a stream").body_for(api),
    };
    let name = match api {
        Api::Messages => "event: error\n",
        Api::Chat => "",
    };
    format!("{name}data: {error}\n\n").into_bytes()
}

fn words<H: Host>(live: Live<H>) -> impl Stream<Item = Vec<u8>> + use<H> {
    stream::unfold(Box::new(live), |mut live| async move {
        let bytes = live.next().await?;
        Some((bytes, live))
    })
}

enum Begun<H: Host> {
    Answer(Answer),
    Live(Box<Live<H>>),
}

/// Tries until somebody begins to answer or nobody is left.
async fn begin<H: Host>(host: Arc<H>, job: Box<Job>, request_id: String) -> Begun<H> {
    let mut log = Log::new(&host, job, request_id);
    let mut next = log.job.first();
    loop {
        let (exchange, wait_ms) = match next {
            Next::Send(exchange, wait_ms) => (exchange, wait_ms),
            Next::Answer(answer, used) => {
                log.end(used, answer.status, Ending::Completed);
                return Begun::Answer(answer);
            }
            Next::Refuse(refusal) => {
                let refusal = refusal.of_call(log.job.request_id());
                let answer = refusal.answer_for(log.job.api());
                log.end(Usage::default(), answer.status, Ending::Failed);
                return Begun::Answer(answer);
            }
        };
        if wait_ms > 0 {
            host.sleep(wait_ms).await;
        }
        let sent = host.now();
        let flight = log.job.flight(sent);
        let body = exchange.body.clone();
        log.sent(body.clone());
        let (api, deadline) = (log.job.api(), log.job.deadline());
        let failure = match attempt(&host, *exchange, api, deadline).await {
            Ok(Attempt::Whole(mut answer, used)) => {
                answer.headers.extend(log.job.headers());
                let now = host.now();
                log.job.began(now.saturating_sub(sent), now);
                if let Some(mut flight) = flight {
                    flight.used(&used, now);
                }
                if let Some(whole) = answer.whole()
                    && log.job.wants_answer()
                {
                    log.job.keep(whole.to_vec(), now);
                }
                log.first();
                log.end(used, answer.status, Ending::Completed);
                return Begun::Answer(answer);
            }
            Ok(Attempt::Live(mut live)) => {
                let now = host.now();
                log.job.began(now.saturating_sub(sent), now);
                log.first();
                live.headers.extend(log.job.headers());
                live.copy = log.job.wants_answer().then(Vec::new);
                live.ending = Some(End { flight, log });
                return Begun::Live(live);
            }
            Err(refusal) => refusal,
        };
        drop(flight);
        if failure.is_given_up() {
            log.job.gave_up(&body);
        }
        let left = host.client_left();
        // A connection that breaks because the client has left says nothing of the provider, which may
        // be at work on what it was sent.
        if !left || failure.class() != ErrorClass::Connection {
            log.failed();
        }
        if left {
            // Nobody waits for another attempt; the log says so when it is dropped.
            let refusal = Refusal::new(499, "the client has left");
            return Begun::Answer(refusal.answer_for(api));
        }
        next = log.job.after(failure, host.now(), host.random());
    }
}

enum Attempt<H: Host> {
    Whole(Answer, Usage),
    Live(Box<Live<H>>),
}

/// Asks one deployment, until its first words are there.
async fn attempt<H: Host>(
    host: &Arc<H>,
    exchange: Exchange,
    api: Api,
    deadline: u64,
) -> Result<Attempt<H>, Refusal> {
    let sent_at = host.now();
    let left = deadline.saturating_sub(sent_at).max(1);
    let patience = u64::from(exchange.timeout_ms).min(left);
    let response = {
        let sent = pin!(host.send(&exchange));
        match select(sent, host.sleep(patience)).await {
            Either::Left((response, _)) => response.map_err(|Broken| exchange.unreachable())?,
            Either::Right(_) => return Err(exchange.timed_out(patience)),
        }
    };
    // What bounds the head bounds all that a caller waits for without seeing anything of it.
    let until = sent_at.saturating_add(patience);
    let (provider, silence_ms) = (exchange.provider(), exchange.stream_timeout_ms);
    let is_hurried = exchange.is_hurried;
    let header = |name: &str| response.headers.get(name);
    match exchange.begin(response.status, &header) {
        upstream::Next::Collect(collect) => {
            let most = if collect.is_error() {
                LARGEST_ERROR
            } else {
                LARGEST_RESPONSE
            };
            let body = whole(host, response.body, provider, silence_ms, most, until).await;
            // An error whose words are lost is still that error.
            let body = match body {
                Err(_) if collect.is_error() => Vec::new(),
                Err(refusal) if is_hurried && host.now() >= until => {
                    return Err(refusal.of_the_caller());
                }
                body => body?,
            };
            let (answer, used) = collect.answer(&body)?;
            Ok(Attempt::Whole(answer, used))
        }
        upstream::Next::Stream { headers, stream } => {
            let stream = (headers, stream);
            let mut live = Live::new(host, response.body, stream, api, provider, silence_ms);
            // Signs of life are not words: they are another's business as long as none has come.
            while live.first.is_empty() && !live.stream.is_done() {
                live.listen(until).await;
                // Once it is taken, nothing can be tried elsewhere.
                if let Some(refusal) = live.stream.early_failure() {
                    return Err(refusal);
                }
                live.first = live.stream.take();
                if live.first.is_empty() && !live.stream.is_done() && host.now() >= until {
                    return Err(upstream::too_slow(provider, patience, is_hurried));
                }
            }
            Ok(Attempt::Live(live))
        }
    }
}

/// Reads a whole body, as far as it may go, until a time at most.
async fn whole<H: Host>(
    host: &Arc<H>,
    mut body: H::Body,
    provider: &'static str,
    silence_ms: u32,
    most: usize,
    until: u64,
) -> Result<Vec<u8>, Refusal> {
    let mut read = Vec::new();
    loop {
        let now = host.now();
        if now >= until {
            let message = format!("{provider} took too long to finish its answer");
            let refusal = Refusal::new(504, message).with_kind("api_error");
            return Err(refusal.given_up());
        }
        let patience = u64::from(silence_ms).min(until - now);
        match select(body.next(), host.sleep(patience)).await {
            Either::Left((Some(Ok(chunk)), _)) => {
                if read.len() + chunk.len() > most {
                    let message = format!("{provider} sent an answer that is too large");
                    return Err(Refusal::new(502, message));
                }
                read.extend_from_slice(&chunk);
            }
            Either::Left((Some(Err(Broken)), _)) => return Err(upstream::broke(provider)),
            Either::Left((None, _)) => return Ok(read),
            // That the time is over speaks for itself above.
            Either::Right(_) if patience < u64::from(silence_ms) => {}
            Either::Right(_) => return Err(upstream::fell_silent(provider, silence_ms)),
        }
    }
}
