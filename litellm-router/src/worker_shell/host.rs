//! What the platform offers to calls: its clock, its timers, its `fetch`.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use worker::wasm_bindgen::JsCast;
use worker::{
    Context, Delay, Env, Result, console_log, js_sys, wasm_bindgen_futures::JsFuture, web_sys,
};

use super::chunks::Chunks;
use super::ledger;
use crate::relay::{self, Broken, Host, Record, Response};
use crate::serve::{Booking, Router};
use crate::upstream::Exchange;

/// One call's way to the platform.
#[derive(Clone)]
pub struct WorkerHost {
    /// Fires when the caller leaves.
    client: web_sys::AbortSignal,
    env: Env,
    context: Rc<Context>,
}

impl WorkerHost {
    /// `client` is the signal of the caller's own request: when the caller leaves, the provider is
    /// told to stop.
    pub fn new(client: web_sys::AbortSignal, env: Env, context: Rc<Context>) -> Self {
        Self {
            client,
            env,
            context,
        }
    }

    async fn fetch(&self, exchange: &Exchange) -> Result<Response<Self>> {
        let abort = Abort::new()?;
        let signals = js_sys::Array::of2(&self.client, &abort.controller.signal());
        let request = request(exchange)?;
        request.set_signal(Some(&web_sys::AbortSignal::any(&signals)));
        let global: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
        let response = global.fetch_with_str_and_init(&exchange.url, &request);
        let response: web_sys::Response = JsFuture::from(response).await?.dyn_into()?;
        Ok(Response {
            status: response.status(),
            headers: ResponseHeaders(response.headers()),
            body: ResponseBody::new(response.body(), abort),
        })
    }
}

impl Host for WorkerHost {
    type Headers = ResponseHeaders;
    type Body = ResponseBody;
    type Sleep = Pin<Box<Delay>>;

    fn now(&self) -> u64 {
        now()
    }

    fn random(&self) -> u64 {
        let mut bits = [0_u8; 8];
        // Only the spread of waits and of calls over deployments hangs on it.
        let _ = getrandom::fill(&mut bits);
        u64::from_le_bytes(bits)
    }

    fn sleep(&self, milliseconds: u64) -> Self::Sleep {
        Box::pin(Delay::from(Duration::from_millis(milliseconds)))
    }

    async fn send(&self, exchange: &Exchange) -> std::result::Result<Response<Self>, Broken> {
        self.fetch(exchange).await.map_err(|_| Broken)
    }

    fn drain(&self, body: Self::Body) {
        let host = self.clone();
        self.context
            .wait_until(async move { relay::drained(&host, body).await });
    }

    fn client_left(&self) -> bool {
        self.client.aborted()
    }

    fn record(&self, router: &Arc<Router>, record: &Record, bookings: Vec<Booking>) {
        console_log!("{}", record.line());
        let (env, router) = (self.env.clone(), Arc::clone(router));
        self.context.wait_until(ledger::tell(env, router, bookings));
    }
}

/// Milliseconds since the epoch.
pub fn now() -> u64 {
    js_sys::Date::now() as u64
}

/// The headers of a provider's response, which stay in JavaScript: few of them are asked for.
pub struct ResponseHeaders(web_sys::Headers);

impl relay::Headers for ResponseHeaders {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).ok().flatten()
    }
}

/// Tells a provider to stop, unless its response has come to its end.
struct Abort {
    controller: web_sys::AbortController,
    armed: bool,
}

impl Abort {
    fn new() -> Result<Self> {
        Ok(Self {
            controller: web_sys::AbortController::new()?,
            armed: true,
        })
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        if self.armed {
            self.controller.abort();
        }
    }
}

/// A provider's body. Dropping it before its end tells the provider to stop.
pub struct ResponseBody {
    /// None where there is none.
    chunks: Option<Chunks>,
    abort: Abort,
}

impl ResponseBody {
    fn new(stream: Option<web_sys::ReadableStream>, abort: Abort) -> Self {
        Self {
            chunks: stream.map(|stream| Chunks::of(&stream)),
            abort,
        }
    }
}

impl Stream for ResponseBody {
    type Item = std::result::Result<Bytes, Broken>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let chunk = match &mut self.chunks {
            Some(chunks) => ready!(chunks.poll_next_unpin(context)),
            None => None,
        };
        // What has come to its end can't be cut any more.
        self.abort.armed &= chunk.is_some();
        Poll::Ready(chunk)
    }
}

fn request(exchange: &Exchange) -> Result<web_sys::RequestInit> {
    let headers = web_sys::Headers::new()?;
    for (name, value) in &exchange.headers {
        headers.set(name, value)?;
    }
    // Compressed events would wait in the provider's buffer.
    headers.set("accept-encoding", "identity")?;
    let request = web_sys::RequestInit::new();
    request.set_method("POST");
    request.set_headers(&headers);
    request.set_redirect(web_sys::RequestRedirect::Manual);
    request.set_body(&js_sys::Uint8Array::from(exchange.body.as_ref()));
    Ok(request)
}
