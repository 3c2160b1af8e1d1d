//! litellm-router outside of Cloudflare: the same router behind axum.

mod host;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::serve::{Listener, ListenerExt};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use litellm_router::answer::{self, Answer, Piece};
use litellm_router::api::Api;
use litellm_router::error::Refusal;
use litellm_router::relay::{self, Relayed};
use litellm_router::serve::{self, Call, LARGEST_BODY, Router, Served};
use tokio::net::TcpListener;

use host::NativeHost;

struct Shell {
    router: Arc<Router>,
    host: Arc<NativeHost>,
}

/// Serves `router` on `listener` until `stop` is ready; calls under way are ended well before it
/// returns.
///
/// # Errors
/// TLS could not be set up, or the listener fails.
pub async fn run(
    router: Arc<Router>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let host = Arc::new(NativeHost::new()?);
    let app = axum::Router::new()
        .fallback(handle)
        .with_state(Arc::new(Shell { router, host }));
    axum::serve(without_delay(listener), app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

/// Nagle's algorithm and delayed acknowledgements together hold back the last event of a stream for
/// 40 ms.
fn without_delay(
    listener: TcpListener,
) -> impl Listener<Io = tokio::net::TcpStream, Addr = std::net::SocketAddr> {
    listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    })
}

async fn handle(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    let entropy = host::entropy();
    let id = serve::request_id(entropy);
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refusal) => {
            let api = Api::of_path(head.uri.path());
            return respond(refusal.of_call(id.clone()).answer_for(api), &id);
        }
    };
    let (for_page, served) = {
        let call = Call {
            method: head.method.as_str(),
            path,
            header: &|name| {
                let value = head.headers.get(name)?;
                Some(value.to_str().ok()?.to_owned())
            },
            body,
            entropy,
            now: host::now(),
        };
        (
            shell.router.headers_for_page(&call),
            shell.router.serve(&call),
        )
    };
    let respond = |mut answer: Answer| {
        answer.headers.extend(for_page.iter().cloned());
        respond(answer, &id)
    };
    let job = match served {
        Served::Answer(answer) => return respond(answer),
        Served::Books(account) => {
            let books = shell.router.books(&account);
            return respond(serve::books_answer(&account, &books));
        }
        Served::Job(job) => job,
    };
    match relay::run(Arc::clone(&shell.host), job, id.clone()).await {
        Relayed::Answer(answer) => respond(answer),
        Relayed::Stream(mut headers, words) => {
            headers.extend(for_page);
            let words = words.map(|bytes| Ok::<_, std::convert::Infallible>(Bytes::from(bytes)));
            response(200, headers, &id, Body::from_stream(words))
        }
    }
}

async fn read_body(body: Body) -> Result<Bytes, Refusal> {
    let told = body.size_hint().lower();
    if told > LARGEST_BODY as u64 {
        return Err(serve::too_large());
    }
    to_bytes(body, LARGEST_BODY).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|source| source.to_string().contains("limit")) {
            true => serve::too_large(),
            false => Refusal::new(400, "the body could not be read to its end"),
        }
    })
}

fn respond(answer: Answer, id: &str) -> Response {
    let body = match answer.body {
        answer::Body::Whole(bytes) => Body::from(bytes),
        answer::Body::Paced(pieces) => Body::from_stream(paced(pieces)),
    };
    response(answer.status, answer.headers, id, body)
}

/// Sends each piece when its time has come.
fn paced(
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.next()?;
        if piece.wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(piece.wait_ms.into())).await;
        }
        Some((Ok(Bytes::from(piece.bytes)), pieces))
    })
}

fn response(status: u16, headers: Vec<(String, String)>, id: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let all = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("x-request-id", id)]);
    // Anthropic's SDKs read this name; a provider's own id comes first.
    let named = headers.iter().any(|(name, _)| name == "request-id");
    let all = all.chain((!named).then_some(("request-id", id)));
    for (name, value) in all {
        // A provider's header that HTTP does not allow is not worth the answer.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn s17_small_packets_are_not_held_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = without_delay(listener);
        let client = tokio::net::TcpStream::connect(address);
        let (accepted, client) = tokio::join!(listener.accept(), client);
        assert!(accepted.0.nodelay().unwrap());
        // What the system does by itself is the other way.
        assert!(!client.unwrap().nodelay().unwrap());
    }
}
