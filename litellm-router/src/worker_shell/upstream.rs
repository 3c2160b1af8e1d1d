//! Carries out an exchange with a provider.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{
    AbortController, AbortSignal, ByteStream, Context, Date, Delay, Fetch, Headers, Method,
    Request, RequestInit, RequestRedirect, Response, Result, js_sys, web_sys,
};

use super::pipe::Pipe;
use super::{CallLog, head, respond};
use crate::error::Refusal;
use crate::translate::stream::ChatStream;
use crate::upstream::{self, Exchange, LARGEST_RESPONSE, Next};

/// A client that hears nothing for this long gets a ping. Claude Code warns at 15 s.
const PING_MS: u64 = 5_000;

/// Sends the request and answers with what becomes of the response.
///
/// `client` is the signal of the caller's own request: when the caller leaves, the provider is told
/// to stop.
pub async fn carry_out(
    exchange: Exchange,
    client: web_sys::AbortSignal,
    id: &str,
    log: CallLog,
    context: &Context,
) -> Result<Response> {
    let Ok(request) = request(&exchange) else {
        return refuse(&exchange.unreachable(), id, log, context);
    };
    let controller = AbortController::default();
    let signal = either(&client, &controller.signal())?;
    let fetch = Fetch::Request(request);
    let sent = std::pin::pin!(fetch.send_with_signal(&signal));
    let mut response = match select(sent, delay(exchange.timeout_ms.into())).await {
        Either::Left((Ok(response), _)) => response,
        Either::Left((Err(_), _)) => {
            return refuse(&exchange.unreachable(), id, log, context);
        }
        Either::Right(_) => {
            controller.abort();
            return refuse(&exchange.timed_out(), id, log, context);
        }
    };
    let status = response.status_code();
    let (provider, silence_ms) = (exchange.provider(), exchange.stream_timeout_ms);
    let next = {
        let headers = response.headers();
        exchange.begin(status, &|name| headers.get(name).ok().flatten())
    };
    match next {
        Next::Relay { status, headers } => {
            // The runtime passes the bytes on by itself; they never come into this code.
            let (_, body) = response.into_parts();
            log.first_byte(status).end("passed through");
            Ok(head(status, &headers, id)?.body(body))
        }
        Next::Collect(collect) => {
            let read = whole(response.stream()?, provider, silence_ms).await;
            let answer = match read {
                Ok(body) => collect.answer(&body),
                Err(refusal) => {
                    controller.abort();
                    refusal.answer()
                }
            };
            log.first_byte(answer.status).end("answered");
            respond(answer, id, context)
        }
        Next::Stream { headers, stream } => {
            let mut relay = Relay {
                upstream: response.stream()?,
                stream,
                provider,
                silence_ms: silence_ms.into(),
                heard: now(),
                said: now(),
            };
            // Until there is something to say, an error can still have a status of its own.
            let mut first = Vec::new();
            while first.is_empty() && !relay.stream.is_done() {
                first = relay.advance().await;
            }
            if let Some(refusal) = relay.stream.early_failure() {
                controller.abort();
                return refuse(&refusal, id, log, context);
            }
            let log = log.first_byte(200);
            let (pipe, readable) = Pipe::new()?;
            context.wait_until(async move {
                match relay.run(first, pipe).await {
                    Ok(true) => log.end("completed"),
                    Ok(false) => {
                        controller.abort();
                        log.end("failed");
                    }
                    Err(_) => {
                        // Nobody listens any more.
                        controller.abort();
                        log.end("client left");
                    }
                }
            });
            Ok(head(200, &headers, id)?.stream(readable))
        }
    }
}

fn refuse(refusal: &Refusal, id: &str, log: CallLog, context: &Context) -> Result<Response> {
    log.first_byte(refusal.status).end("failed");
    respond(refusal.answer(), id, context)
}

/// A stream on its way from a provider to the client.
struct Relay {
    upstream: ByteStream,
    stream: Box<ChatStream>,
    provider: &'static str,
    silence_ms: u64,
    /// When the provider last sent something.
    heard: u64,
    /// When the client last got something.
    said: u64,
}

impl Relay {
    /// Sends everything; tells whether the answer was finished. An error: the client has left.
    async fn run(mut self, first: Vec<u8>, pipe: Pipe) -> std::result::Result<bool, JsValue> {
        pipe.write(&first).await?;
        while !self.stream.is_done() {
            let bytes = self.advance().await;
            pipe.write(&bytes).await?;
        }
        pipe.close().await;
        Ok(!self.stream.has_failed())
    }

    /// Waits for the next thing to happen and returns what the client has to know of it.
    async fn advance(&mut self) -> Vec<u8> {
        let now_ms = now();
        let silence = (self.heard + self.silence_ms).saturating_sub(now_ms);
        let ping = (self.said + PING_MS).saturating_sub(now_ms);
        match select(self.upstream.next(), delay(silence.min(ping).max(1))).await {
            Either::Left((Some(Ok(bytes)), _)) => {
                self.heard = now();
                self.stream.push(&bytes);
            }
            Either::Left((Some(Err(_)), _)) => self.stream.fail(upstream::broke(self.provider)),
            Either::Left((None, _)) => self.stream.finish(),
            Either::Right(_) => {}
        }
        let now_ms = now();
        if now_ms >= self.heard + self.silence_ms {
            let silence_ms = u32::try_from(self.silence_ms).unwrap_or(u32::MAX);
            self.stream
                .fail(upstream::fell_silent(self.provider, silence_ms));
        }
        let mut bytes = self.stream.take();
        if bytes.is_empty() && !self.stream.is_done() && now_ms >= self.said + PING_MS {
            self.stream.ping();
            bytes = self.stream.take();
        }
        if !bytes.is_empty() {
            self.said = now_ms;
        }
        bytes
    }
}

/// Reads a whole body, as far as it may go.
async fn whole(
    mut body: ByteStream,
    provider: &'static str,
    silence_ms: u32,
) -> std::result::Result<Vec<u8>, Refusal> {
    let mut read = Vec::new();
    loop {
        match select(body.next(), delay(silence_ms.into())).await {
            Either::Left((Some(Ok(chunk)), _)) => {
                if read.len() + chunk.len() > LARGEST_RESPONSE {
                    let message = format!("{provider} sent an answer that is too large");
                    return Err(Refusal::new(502, message));
                }
                read.extend_from_slice(&chunk);
            }
            Either::Left((Some(Err(_)), _)) => return Err(upstream::broke(provider)),
            Either::Left((None, _)) => return Ok(read),
            Either::Right(_) => return Err(upstream::fell_silent(provider, silence_ms)),
        }
    }
}

fn request(exchange: &Exchange) -> Result<Request> {
    let headers = Headers::new();
    for (name, value) in &exchange.headers {
        headers.set(name, value)?;
    }
    // Compressed events would wait in the provider's buffer.
    headers.set("accept-encoding", "identity")?;
    let body = js_sys::Uint8Array::from(exchange.body.as_slice());
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

fn delay(milliseconds: u64) -> Delay {
    Delay::from(Duration::from_millis(milliseconds))
}

fn now() -> u64 {
    Date::now().as_millis()
}
