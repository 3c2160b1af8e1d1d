//! The router as a Cloudflare Worker: carries out what [`crate::serve`] decides.

mod pipe;
mod upstream;

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use worker::{
    Context, Date, Delay, Env, Headers, Request, Response, ResponseBuilder, Result, console_log,
    console_warn, event,
};

use crate::answer::{Answer, Body, Piece};
use crate::config;
use crate::error::Refusal;
use crate::serve::{self, Call, LARGEST_BODY, Outcome, Router, Trail};
use pipe::Pipe;

thread_local! {
    /// The bundled configuration or that of the variable `LITELLM_CONFIG`. Read once an isolate; the environment of an isolate never changes.
    static ROUTER: OnceCell<Rc<std::result::Result<Router, String>>> = const { OnceCell::new() };
}

fn router(env: &Env) -> Rc<std::result::Result<Router, String>> {
    ROUTER.with(|cell| {
        Rc::clone(cell.get_or_init(|| {
            let own = variable(env, "LITELLM_CONFIG");
            let router = Router::new(own.as_deref().unwrap_or(config::BUNDLED));
            match &router {
                Ok(router) => router
                    .warnings()
                    .iter()
                    .for_each(|warning| console_warn!("configuration: {warning}")),
                Err(error) => console_warn!("configuration: {error}"),
            }
            Rc::new(router)
        }))
    })
}

fn variable(env: &Env, name: &str) -> Option<String> {
    // A variable and a secret are read the same way; what is neither a string nor there is nothing.
    env.secret(name)
        .ok()
        .map(|value| value.to_string())
        .filter(|value| !value.is_empty())
}

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, context: Context) -> Result<Response> {
    let began = Date::now().as_millis();
    let mut bits = [0_u8; 16];
    // Without randomness the ids repeat, which harms nobody's security.
    let _ = getrandom::fill(&mut bits);
    let entropy = u128::from_le_bytes(bits);
    let id = serve::request_id(entropy);

    let body = match read_body(&mut request).await {
        Ok(body) => body,
        Err(refusal) => return respond(refusal.answer(), &id, &context),
    };
    let router = router(&env);
    let router = match router.as_ref() {
        Ok(router) => router,
        Err(_) => {
            // The reason may quote the configuration, which may hold keys: it is in the log alone.
            let refusal = Refusal::new(
                500,
                "the router's configuration cannot be read; its log says where and why",
            );
            return respond(refusal.answer(), &id, &context);
        }
    };
    let url = request.url()?;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let headers = request.headers();
    let outcome = router.serve(&Call {
        method: request.method().as_ref(),
        path: &path,
        header: &|name| headers.get(name).ok().flatten(),
        body: &body,
        secret: &|name| variable(&env, name),
        entropy,
    });
    match outcome {
        Outcome::Answer(answer, trail) => {
            CallLog::new(&id, trail, began)
                .first_byte(answer.status)
                .end("answered");
            respond(answer, &id, &context)
        }
        Outcome::Fetch(exchange, trail) => {
            let client = request.inner().signal();
            let log = CallLog::new(&id, trail, began);
            upstream::carry_out(*exchange, client, &id, log, &context).await
        }
    }
}

/// Reads the body as far as it may go.
async fn read_body(request: &mut Request) -> std::result::Result<Vec<u8>, Refusal> {
    let cut = |_| Refusal::new(400, "the body could not be read to its end");
    if request.inner().body().is_none() {
        return Ok(Vec::new());
    }
    let mut stream = request.stream().map_err(cut)?;
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(cut)?;
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err(serve::too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// One line a call, written when it is over: no content, no key.
struct CallLog {
    id: String,
    trail: Trail,
    began: u64,
    status: u16,
    ms_to_first_byte: u64,
}

impl CallLog {
    fn new(id: &str, trail: Trail, began: u64) -> Self {
        Self {
            id: id.to_owned(),
            trail,
            began,
            status: 0,
            ms_to_first_byte: 0,
        }
    }

    fn first_byte(mut self, status: u16) -> Self {
        self.status = status;
        self.ms_to_first_byte = Date::now().as_millis().saturating_sub(self.began);
        self
    }

    fn end(self, outcome: &str) {
        if self.trail.model.is_empty() && self.status < 400 {
            // Health checks and lists would fill the log.
            return;
        }
        let line = serde_json::json!({
            "request_id": self.id,
            "model": self.trail.model,
            "deployment": self.trail.deployment,
            "stream": self.trail.streams,
            "status": self.status,
            "outcome": outcome,
            "ms_to_first_byte": self.ms_to_first_byte,
            "ms": Date::now().as_millis().saturating_sub(self.began),
        });
        console_log!("{line}");
    }
}

fn head(status: u16, headers: &[(String, String)], id: &str) -> Result<ResponseBuilder> {
    let all = Headers::new();
    for (name, value) in headers {
        // A provider's header that the runtime refuses is not worth the answer.
        let _ = all.set(name, value);
    }
    all.set("x-request-id", id)?;
    Ok(ResponseBuilder::new().with_status(status).with_headers(all))
}

fn respond(answer: Answer, id: &str, context: &Context) -> Result<Response> {
    let head = head(answer.status, &answer.headers, id)?;
    match answer.body {
        Body::Whole(bytes) => Ok(head.fixed(bytes)),
        Body::Paced(pieces) => {
            let (pipe, readable) = Pipe::new()?;
            context.wait_until(play(pieces, pipe));
            Ok(head.stream(readable))
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
