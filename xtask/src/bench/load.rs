//! The clients of the benchmark: each asks again as soon as it has read its answer to the end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use memchr::{memchr, memmem};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::gateways::KEY;
use super::upstream::{TOKENS, nanoseconds};

/// An answer that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked, of whom, and for how long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub address: SocketAddr,
    /// A Messages request.
    pub body: String,
    /// The tokens that its answer has.
    pub tokens: usize,
    pub stream: bool,
    pub clients: usize,
    /// Milliseconds after which no client asks again.
    pub time_ms: u64,
    /// Answers after which no client asks again.
    pub requests: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Answers that were read to their end and right.
    pub answers: u64,
    pub failures: u64,
    /// Why the first failure was one.
    pub failure: Option<String>,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Until the first byte of an answer's body.
    pub first_byte: Spread,
    /// Until its end.
    pub total: Spread,
    /// From the upstream's writing of a token to the client's reading of it.
    pub token: Spread,
}

/// A distribution, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub p50: f64,
    pub p99: f64,
}

impl Spread {
    fn of(mut nanoseconds: Vec<u64>) -> Self {
        nanoseconds.sort_unstable();
        let at = |share: f64| {
            let place = (nanoseconds.len() as f64 * share) as usize;
            let last = nanoseconds.len().saturating_sub(1);
            nanoseconds.get(place.min(last)).copied().unwrap_or(0) as f64 / 1000.0
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

/// What one client has seen.
#[derive(Default)]
struct Seen {
    first_byte: Vec<u64>,
    total: Vec<u64>,
    token: Vec<u64>,
    failures: u64,
    failure: Option<String>,
}

/// Carries out a plan.
///
/// # Errors
/// Where the first answer is wrong: then nothing is measured.
pub async fn run(plan: Plan) -> Result<Outcome> {
    let plan: &'static Plan = Box::leak(Box::new(plan));
    let body = Bytes::from_static(plan.body.as_bytes());
    check(plan, &body).await?;
    let begin = Instant::now();
    let end = begin + Duration::from_millis(plan.time_ms);
    // Fewer clients than answers wanted, and each has its share of them.
    let share = plan.requests.div_ceil(plan.clients.max(1) as u64);
    let clients: Vec<_> = (0..plan.clients)
        .map(|_| tokio::spawn(client(plan, body.clone(), end, share)))
        .collect();
    let mut seen = Seen::default();
    for client in clients {
        let one = client.await?;
        seen.first_byte.extend(one.first_byte);
        seen.total.extend(one.total);
        seen.token.extend(one.token);
        seen.failures += one.failures;
        seen.failure = seen.failure.or(one.failure);
    }
    Ok(Outcome {
        answers: seen.total.len() as u64,
        failures: seen.failures,
        failure: seen.failure,
        seconds: begin.elapsed().as_secs_f64(),
        first_byte: Spread::of(seen.first_byte),
        total: Spread::of(seen.total),
        token: Spread::of(seen.token),
    })
}

async fn client(plan: &'static Plan, body: Bytes, end: Instant, share: u64) -> Seen {
    let mut seen = Seen::default();
    let mut connection = None;
    let mut asked = 0;
    while asked < share && Instant::now() < end {
        asked += 1;
        if let Err(error) = ask(plan, &body, &mut connection, &mut seen).await {
            seen.failures += 1;
            seen.failure.get_or_insert(format!("{error:#}"));
            connection = None;
            // One that fails at once must not be asked a million times.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    seen
}

type Connection = Option<SendRequest<Full<Bytes>>>;

async fn connected(
    address: SocketAddr,
    connection: &mut Connection,
) -> Result<&mut SendRequest<Full<Bytes>>> {
    let is_open = match connection {
        Some(open) => open.ready().await.is_ok(),
        None => false,
    };
    if !is_open {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        *connection = Some(sender);
    }
    connection.as_mut().context("no connection")
}

fn request(address: SocketAddr, body: &Bytes) -> Result<Request<Full<Bytes>>> {
    Ok(Request::builder()
        .method(Method::POST)
        .uri("/v1/messages")
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header("anthropic-version", "2023-06-01")
        .header("x-api-key", KEY)
        .body(Full::new(body.clone()))?)
}

/// Asks once, as quickly as can be, and looks at no more than it must.
async fn ask(
    plan: &Plan,
    body: &Bytes,
    connection: &mut Connection,
    seen: &mut Seen,
) -> Result<()> {
    let sender = connected(plan.address, connection).await?;
    let request = request(plan.address, body)?;
    let begin = Instant::now();
    let answer = async {
        let mut response = sender.send_request(request).await?;
        ensure!(response.status() == 200, "status {}", response.status());
        let mut first_byte = None;
        let mut stamps = Stamps::default();
        let mut tail = Tail::default();
        while let Some(frame) = response.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            first_byte.get_or_insert_with(|| begin.elapsed());
            if plan.stream {
                stamps.read(&data, &mut seen.token);
            }
            tail.read(&data);
        }
        tail.check(plan.stream)?;
        first_byte.context("an answer without a body")
    };
    let first_byte = tokio::time::timeout(PATIENCE, answer)
        .await
        .context("no end of an answer in 60 s")??;
    let as_nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    seen.first_byte.push(as_nanoseconds(first_byte));
    seen.total.push(as_nanoseconds(begin.elapsed()));
    Ok(())
}

/// Reads the times that the upstream wrote as tokens, `@1760000000000000000@`, wherever the pieces of
/// the body are cut.
#[derive(Default)]
struct Stamps {
    time: Option<u64>,
}

impl Stamps {
    fn read(&mut self, mut data: &[u8], delays: &mut Vec<u64>) {
        let now = nanoseconds();
        loop {
            let Some(time) = self.time else {
                let Some(at) = memchr(b'@', data) else { return };
                self.time = Some(0);
                data = data.get(at + 1..).unwrap_or_default();
                continue;
            };
            let Some((&byte, rest)) = data.split_first() else {
                return;
            };
            data = rest;
            if byte.is_ascii_digit() {
                let digit = u64::from(byte - b'0');
                self.time = Some(time.wrapping_mul(10).wrapping_add(digit));
            } else {
                self.time = None;
                delays.push(now.saturating_sub(time));
            }
        }
    }
}

/// The last bytes of a body, which tell whether it is whole.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    const LENGTH: usize = 128;

    fn read(&mut self, data: &[u8]) {
        let last = data.get(data.len().saturating_sub(Self::LENGTH)..);
        self.0.extend_from_slice(last.unwrap_or_default());
        let surplus = self.0.len().saturating_sub(Self::LENGTH);
        self.0.drain(..surplus);
    }

    fn check(&self, stream: bool) -> Result<()> {
        let ends_well = match stream {
            true => memmem::find(&self.0, b"message_stop").is_some(),
            false => self.0.trim_ascii_end().ends_with(b"}"),
        };
        ensure!(
            ends_well,
            "the answer ends in {:?}",
            String::from_utf8_lossy(&self.0)
        );
        Ok(())
    }
}

/// Asks once and reads the answer as a client of the Messages API does: every token has to be there.
async fn check(plan: &Plan, body: &Bytes) -> Result<()> {
    let mut connection = None;
    let sender = connected(plan.address, &mut connection).await?;
    let answer = async {
        let response = sender.send_request(request(plan.address, body)?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        ensure!(status == 200, "status {status}: {body}");
        Ok(body)
    };
    let body = tokio::time::timeout(PATIENCE, answer)
        .await
        .context("no answer in 60 s")??;
    let text = match plan.stream {
        true => streamed_text(&body)?,
        false => whole_text(&body)?,
    };
    let times = text.matches('@').count() / 2;
    let words = TOKENS.map(|token| text.matches(token.trim_end()).count());
    let tokens = times + words.iter().sum::<usize>();
    if tokens != plan.tokens {
        bail!("{tokens} of {} tokens arrived: {text}", plan.tokens);
    }
    Ok(())
}

fn whole_text(body: &str) -> Result<String> {
    let message: serde_json::Value = serde_json::from_str(body)?;
    let blocks = message
        .get("content")
        .and_then(|content| content.as_array());
    let texts = blocks.into_iter().flatten();
    Ok(texts
        .filter_map(|block| block.get("text")?.as_str())
        .collect())
}

fn streamed_text(body: &str) -> Result<String> {
    let mut text = String::new();
    let mut kinds = Vec::new();
    for line in body.lines() {
        let Some(data) = line.strip_prefix("data:") else {
            continue;
        };
        let event: serde_json::Value = serde_json::from_str(data)
            .with_context(|| format!("an event that is not JSON: {data}"))?;
        let delta = event.pointer("/delta/text").and_then(|text| text.as_str());
        text.push_str(delta.unwrap_or_default());
        let kind = event.get("type").and_then(|kind| kind.as_str());
        kinds.push(kind.unwrap_or_default().to_owned());
    }
    for wanted in ["message_start", "content_block_start", "message_stop"] {
        let last = body.lines().rfind(|line| !line.is_empty());
        ensure!(
            kinds.iter().any(|kind| kind == wanted),
            "no {wanted} in an answer that ends in {}",
            last.unwrap_or_default()
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_wherever_they_are_cut() {
        let (mut stamps, mut delays) = (Stamps::default(), Vec::new());
        for piece in ["{\"text\":\"@1", "23", "\"@45@\"", "and @6", "@"] {
            stamps.read(piece.as_bytes(), &mut delays);
        }
        // The quote ends a time like any other byte: 123, then @45@, then @6@.
        assert_eq!(delays.len(), 3);
        let now = nanoseconds();
        assert!(delays.iter().all(|delay| *delay > now / 2));
    }

    #[test]
    fn a_stream_that_is_cut_is_no_answer() {
        let mut tail = Tail::default();
        tail.read(&vec![b' '; 1000]);
        tail.read(b"data: {\"type\":\"message_st");
        assert!(tail.check(true).is_err());
        tail.read(b"op\"}\n\n");
        assert!(tail.check(true).is_ok());
    }

    #[test]
    fn the_middle_and_the_worst_of_a_hundred() {
        let spread = Spread::of((1..=100).map(|n| n * 1000).collect());
        assert_eq!(
            spread,
            Spread {
                p50: 51.0,
                p99: 100.0
            }
        );
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
