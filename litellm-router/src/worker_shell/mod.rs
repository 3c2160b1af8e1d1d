//! The router as a Cloudflare Worker: reads calls, offers [`crate::relay`] what the platform has, and
//! sends answers.

mod chunks;
mod host;
mod ledger;
mod pipe;
mod promise;

use std::cell::{OnceCell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, Request, Response};
use worker::{Context, Delay, Env, Result, console_log, console_warn, event, js_sys};

use crate::answer::{Answer, Body, Piece};
use crate::config::{self, Wrong};
use crate::error::Refusal;
use crate::relay::{self, Broken, Relayed};
use crate::serve::{self, BODY_TIME, Call, LARGEST_BODY, Room, Router, Served};
use chunks::Chunks;
use host::WorkerHost;
use pipe::Pipe;

type ReadConfig = std::result::Result<Arc<Router>, Wrong>;

thread_local! {
    /// The bundled configuration or that of the variable `LITELLM_CONFIG`. Read once an isolate; the
    /// environment of an isolate never changes.
    static ROUTER: OnceCell<Rc<ReadConfig>> = const { OnceCell::new() };
}

fn router(env: &Env) -> Rc<ReadConfig> {
    ROUTER.with(|cell| {
        Rc::clone(cell.get_or_init(|| {
            let own = configuration(env);
            let yaml = own.as_deref().unwrap_or(config::BUNDLED);
            let router = Router::new(yaml, &|name| variable(env, name));
            match &router {
                Ok(router) => {
                    for warning in router.warnings() {
                        console_warn!("configuration: {warning}");
                    }
                    if !router.asks_for_a_key() && router.shut().is_none() {
                        console_warn!(
                            "configuration: callers are asked for no key, so whoever reaches this Worker uses \
                             its keys; set the secret LITELLM_MASTER_KEY before it gets a route"
                        );
                    }
                }
                Err(error) => console_warn!("configuration: {error}"),
            }
            Rc::new(router)
        }))
    })
}

/// The variable `LITELLM_CONFIG`: a text, or an object as a variable of wrangler's configuration can be
/// one, whose JSON is YAML too.
fn configuration(env: &Env) -> Option<String> {
    let own = js_sys::Reflect::get(env, &"LITELLM_CONFIG".into()).ok()?;
    if let Some(text) = own.as_string() {
        return Some(text).filter(|text| !text.trim().is_empty());
    }
    if own.is_undefined() || own.is_null() {
        return None;
    }
    js_sys::JSON::stringify(&own).ok()?.as_string()
}

fn variable(env: &Env, name: &str) -> Option<String> {
    // A variable and a secret are read the same way; what is neither a string nor there is nothing.
    env.secret(name)
        .ok()
        .map(|value| value.to_string())
        .filter(|value| !value.is_empty())
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let context = Rc::new(context);
    let mut bits = [0_u8; 16];
    // Without randomness the ids repeat, which harms nobody's security.
    let _ = getrandom::fill(&mut bits);
    let entropy = u128::from_le_bytes(bits);
    let id = serve::request_id(entropy);
    let url = request.url();
    let path = path_and_query(&url);
    let router = router(&env);
    let router = match router.as_ref() {
        Ok(router) => router,
        Err(wrong) => {
            let answer = serve::without_configuration(path, wrong, &id);
            return respond(answer, &id, &context);
        }
    };
    let headers = request.headers();
    let method = request.method();
    let header = |name: &str| headers.get(name).ok().flatten();
    let came = host::now();
    let mut call = Call {
        method: &method,
        path,
        header: &header,
        body: Bytes::new(),
        entropy,
        came,
        now: came,
    };
    let for_page = router.headers_for_page(&call);
    let respond = |mut answer: Answer| {
        answer.headers.extend(for_page.iter().cloned());
        respond(answer, &id, &context)
    };
    let mut unheard_of = Vec::new();
    let (mut served, guest) = match router.enter(&call) {
        Err(served) => (served, None),
        Ok(guest) => {
            let body = read_body(&request, guest.is_known()).await;
            call.now = host::now();
            let served = match body {
                Ok(body) => {
                    call.body = body.into();
                    unheard_of = router.unknown_accounts(&guest);
                    router.serve(&call, &guest)
                }
                Err(refusal) => router.refuse(&call, Some(&guest), refusal),
            };
            (served, Some(guest))
        }
    };
    if !unheard_of.is_empty() {
        // Beside the call, which waits for no object.
        context.wait_until(ledger::learn(env.clone(), Arc::clone(router), unheard_of));
    }
    let job = loop {
        served = match served {
            Served::Answer(answer) => return respond(answer),
            Served::Refused(answer, record) => {
                console_log!("{}", record.line());
                return respond(answer);
            }
            Served::Books(account) => match ledger::books(&env, &account).await {
                Ok(books) => Served::Answer(router.answer_with(&account, books, call.now)),
                Err(error) => {
                    console_warn!("ledger: {error}");
                    let words = "the books can't be read at the moment; try again";
                    router.refuse(&call, guest.as_ref(), Refusal::new(503, words))
                }
            },
            Served::Job(job) => break job,
        };
    };
    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "an isolate has one thread, and other shells have more"
    )]
    let host = Arc::new(WorkerHost::new(request.signal(), env, Rc::clone(&context)));
    match relay::run(host, job, id.clone()).await {
        Relayed::Answer(answer) => respond(answer),
        Relayed::Stream(mut headers, words) => {
            headers.extend(for_page.iter().cloned());
            let (pipe, readable) = Pipe::new()?;
            context.wait_until(say(words, pipe));
            streamed(readable, &head(200, &headers, &id)?)
        }
    }
}

/// What comes after the host. The runtime gives whole addresses, each with a path and without a
/// fragment.
fn path_and_query(url: &str) -> &str {
    let (_, after_scheme) = url.split_once("://").unwrap_or_default();
    let path = after_scheme.find('/');
    path.and_then(|begin| after_scheme.get(begin..))
        .unwrap_or("/")
}

/// Room for bodies under way in this isolate, which has 128 MB: those of callers whose key the router knows, and
/// those of strangers, so that these fill nobody else's.
struct Rooms {
    known: Room,
    strangers: Room,
}

thread_local! {
    static ROOMS: RefCell<Rooms> = const { RefCell::new(Rooms { known: Room::of(2), strangers: Room::of(1) }) };
}

/// A body's place in its room.
struct Place {
    is_known: bool,
    ticket: u64,
}

impl Place {
    fn begin(is_known: bool) -> Self {
        let ticket = in_room(is_known, |room| room.begin(host::now()));
        Self { is_known, ticket }
    }

    fn grow(&self, bytes: usize) -> std::result::Result<(), Refusal> {
        in_room(self.is_known, |room| room.grow(self.ticket, bytes))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        in_room(self.is_known, |room| room.end(self.ticket));
    }
}

fn in_room<T>(is_known: bool, act: impl FnOnce(&mut Room) -> T) -> T {
    ROOMS.with_borrow_mut(|rooms| {
        act(if is_known {
            &mut rooms.known
        } else {
            &mut rooms.strangers
        })
    })
}

/// Reads the body as far as it may go, in the time that it has.
async fn read_body(request: &Request, is_known: bool) -> std::result::Result<Vec<u8>, Refusal> {
    // What else is served has none, and anybody may ask for some of it.
    if request.method() != "POST" {
        return Ok(Vec::new());
    }
    let place = Place::begin(is_known);
    let time = Delay::from(BODY_TIME);
    match select(pin!(collected(request, &place)), pin!(time)).await {
        Either::Left((body, _)) => body,
        Either::Right(_) => Err(serve::too_slow(BODY_TIME)),
    }
}

async fn collected(request: &Request, place: &Place) -> std::result::Result<Vec<u8>, Refusal> {
    let cut = || Refusal::new(400, "the body could not be read to its end");
    let Some(stream) = request.body() else {
        return Ok(Vec::new());
    };
    let length = request.headers().get("content-length").ok().flatten();
    if let Some(length) = length.and_then(|length| length.parse::<usize>().ok()) {
        if length > LARGEST_BODY {
            return Err(serve::too_large());
        }
        place.grow(length)?;
        // The runtime reads no more than this.
        let all = request.array_buffer().map_err(|_| cut())?;
        let all = JsFuture::from(all).await.map_err(|_| cut())?;
        return Ok(js_sys::Uint8Array::new(&all).to_vec());
    }
    let mut body = Vec::new();
    let mut chunks = Chunks::of(&stream);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|Broken| cut())?;
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err(serve::too_large());
        }
        place.grow(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn head(status: u16, headers: &[(String, String)], id: &str) -> Result<web_sys::ResponseInit> {
    let all = web_sys::Headers::new()?;
    for (name, value) in headers {
        // A provider's header that the runtime refuses is not worth the answer.
        let _ = all.set(name, value);
    }
    all.set("x-request-id", id)?;
    // Anthropic's SDKs read this name; a provider's own id comes first.
    if !headers.iter().any(|(name, _)| name == "request-id") {
        all.set("request-id", id)?;
    }
    let head = web_sys::ResponseInit::new();
    head.set_status(status);
    head.set_headers(&all);
    Ok(head)
}

fn streamed(body: web_sys::ReadableStream, head: &web_sys::ResponseInit) -> Result<Response> {
    let response = Response::new_with_opt_readable_stream_and_init(Some(&body), head)?;
    Ok(response)
}

fn respond(answer: Answer, id: &str, context: &Context) -> Result<Response> {
    let head = head(answer.status, &answer.headers, id)?;
    match answer.body {
        Body::Whole(bytes) => {
            // A status that has no body takes none, not even an empty one.
            let body = (!bytes.is_empty()).then(|| js_sys::Uint8Array::from(bytes.as_slice()));
            let body = body.as_deref();
            Ok(Response::new_with_opt_buffer_source_and_init(body, &head)?)
        }
        Body::Paced(pieces) => {
            let (pipe, readable) = Pipe::new()?;
            context.wait_until(play(pieces, pipe));
            streamed(readable, &head)
        }
    }
}

async fn play(pieces: Box<dyn Iterator<Item = Piece>>, pipe: Pipe) {
    for piece in pieces {
        if piece.wait_ms > 0 {
            Delay::from(Duration::from_millis(piece.wait_ms.into())).await;
        }
        if pipe.write(&piece.bytes).await.is_err() {
            return;
        }
    }
    pipe.close().await;
}

/// Dropping `words` tells the provider to stop.
async fn say(words: impl Stream<Item = Vec<u8>>, pipe: Pipe) {
    let mut words = std::pin::pin!(words);
    while let Some(bytes) = words.next().await {
        if pipe.write(&bytes).await.is_err() {
            // Nobody listens any more.
            return;
        }
    }
    pipe.close().await;
}
