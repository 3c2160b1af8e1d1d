//! What the machine offers to calls: its clock, tokio's timers, HTTP by reqwest.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use litellm_router::relay::{self, Broken, Host, Record, Response};
use litellm_router::serve::{Booking, Router};
use litellm_router::upstream::Exchange;
use reqwest::header::HeaderMap;

use crate::log::CALL;

/// How long a connection may take; the time until the first byte is the deployment's `timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The machine, shared by all calls.
#[derive(Clone)]
pub struct NativeHost {
    http: reqwest::Client,
}

impl NativeHost {
    /// # Errors
    /// TLS could not be set up.
    pub fn new() -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A provider's redirect would take the key elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { http })
    }
}

/// The headers of a provider's response.
pub struct ResponseHeaders(HeaderMap);

impl relay::Headers for ResponseHeaders {
    fn get(&self, name: &str) -> Option<String> {
        Some(self.0.get(name)?.to_str().ok()?.to_owned())
    }
}

impl Host for NativeHost {
    type Headers = ResponseHeaders;
    type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>;
    type Sleep = Pin<Box<tokio::time::Sleep>>;

    fn now(&self) -> u64 {
        now()
    }

    fn random(&self) -> u64 {
        entropy() as u64
    }

    fn sleep(&self, milliseconds: u64) -> Self::Sleep {
        Box::pin(tokio::time::sleep(Duration::from_millis(milliseconds)))
    }

    async fn send(&self, exchange: &Exchange) -> Result<Response<Self>, Broken> {
        let mut request = self.http.post(&exchange.url).body(exchange.body.clone());
        for (name, value) in &exchange.headers {
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(|error| {
            // Without its URL, which may hold a key.
            tracing::warn!(error = %error.without_url(), "a provider could not be reached");
            Broken
        })?;
        Ok(Response {
            status: response.status().as_u16(),
            headers: ResponseHeaders(std::mem::take(response.headers_mut())),
            body: Box::pin(response.bytes_stream().map(|read| read.map_err(|_| Broken))),
        })
    }

    fn drain(&self, body: Self::Body) {
        let host = self.clone();
        tokio::spawn(async move { relay::drained(&host, body).await });
    }

    /// This process is alone, so its own books are all there are.
    fn record(&self, _router: &Arc<Router>, record: &Record, _bookings: Vec<Booking>) {
        tracing::info!(target: CALL, "{}", record.line());
    }
}

/// Milliseconds since the epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// 128 random bits.
pub fn entropy() -> u128 {
    let mut bits = [0_u8; 16];
    // Without randomness the ids repeat, which harms nobody's security.
    let _ = getrandom::fill(&mut bits);
    u128::from_le_bytes(bits)
}
