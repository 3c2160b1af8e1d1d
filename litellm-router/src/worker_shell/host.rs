//! What the platform offers to calls: its clock, its timers, its `fetch`.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use worker::wasm_bindgen::JsCast;
use worker::{
    AbortController, AbortSignal, ByteStream, Context, Date, Delay, Env, Fetch, Headers, Method,
    Request, RequestInit, RequestRedirect, Result, console_log, js_sys, web_sys,
};

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

    async fn fetch(&self, exchange: &Exchange) -> Result<Response<ResponseBody>> {
        let request = request(exchange)?;
        let mut abort = Abort::default();
        let signal = either(&self.client, &abort.0.signal())?;
        let mut response = Fetch::Request(request).send_with_signal(&signal).await?;
        let stream = response.stream();
        let headers = response.headers().entries().collect();
        let status = response.status_code();
        if stream.is_err() {
            // A response without a body has nothing that could be cut.
            abort.disarm();
        }
        Ok(Response {
            status,
            headers,
            body: ResponseBody {
                stream: stream.ok(),
                abort,
            },
        })
    }
}

impl Host for WorkerHost {
    type Body = ResponseBody;
    type Sleep = Pin<Box<Delay>>;

    fn now(&self) -> u64 {
        Date::now().as_millis()
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

    async fn send(&self, exchange: &Exchange) -> std::result::Result<Response<Self::Body>, Broken> {
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

/// Tells a provider to stop, unless its response has come to its end.
#[derive(Default)]
struct Abort(AbortController, bool);

impl Abort {
    fn disarm(&mut self) {
        self.1 = true;
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        if !self.1 {
            std::mem::take(&mut self.0).abort();
        }
    }
}

/// A provider's body. Dropping it before its end tells the provider to stop.
pub struct ResponseBody {
    stream: Option<ByteStream>,
    abort: Abort,
}

impl Stream for ResponseBody {
    type Item = std::result::Result<Bytes, Broken>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let Some(stream) = self.stream.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = stream.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None)) {
            self.abort.disarm();
        }
        polled.map(|next| next.map(|read| read.map(Bytes::from).map_err(|_| Broken)))
    }
}

fn request(exchange: &Exchange) -> Result<Request> {
    let headers = Headers::new();
    for (name, value) in &exchange.headers {
        headers.set(name, value)?;
    }
    // Compressed events would wait in the provider's buffer.
    headers.set("accept-encoding", "identity")?;
    let body = js_sys::Uint8Array::from(exchange.body.as_ref());
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(Some(body.into()));
    Request::new_with_init(&exchange.url, &init)
}

/// A signal that fires when one of the two does.
fn either(one: &web_sys::AbortSignal, other: &AbortSignal) -> Result<AbortSignal> {
    let class = js_sys::Reflect::get(&js_sys::global(), &"AbortSignal".into())?;
    let any: js_sys::Function = js_sys::Reflect::get(&class, &"any".into())?.dyn_into()?;
    let other: &web_sys::AbortSignal = other;
    let both = any.call1(&class, &js_sys::Array::of2(one, other))?;
    let both: web_sys::AbortSignal = both.dyn_into()?;
    Ok(both.into())
}
