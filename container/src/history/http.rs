//! The route of `protocol::diff`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use futures_util::stream;
use protocol::diff::{BEGIN, NOW, TEXT};
use protocol::{Problem, ProblemKind};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::{History, failed};
use crate::disk;
use crate::files::http::query;
use crate::http::{Answer, OpenStream, Server, only};

/// How long a diff may take that is sent as text: its reader decides how fast.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

pub fn routes() -> Router<Arc<Server>> {
    Router::new().route("/diff", only(on(MethodFilter::GET, get), "GET, HEAD"))
}

#[derive(Deserialize)]
struct Asked {
    from: Option<String>,
    to: Option<String>,
}

async fn get(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap) -> Answer {
    let shared = &server.agent.shared;
    if !shared.disk.is_ready() {
        return Err(disk::not_ready().into());
    }
    let open = OpenStream::new(&server);
    let axum::extract::Query(Asked { from, to }) = query(&uri)?;
    let from = from.as_deref().unwrap_or(BEGIN);
    let to = to.as_deref().unwrap_or(NOW);
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains(TEXT)) {
        let response = text(&shared.history, from, to).await?;
        return Ok(open.until_sent(response));
    }
    Ok(axum::Json(shared.history.diff(from, to).await?).into_response())
}

/// The diff as text. Where it breaks, the connection does: a part is not taken for the whole.
async fn text(history: &History, from: &str, to: &str) -> Result<Response, Problem> {
    let permit = Arc::clone(&history.texts).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Problem::new(
            ProblemKind::TooManyRequests,
            "other diffs are being sent; try again when they have ended",
        )
    })?;
    let pair = history.pair(from, to).await?;
    let mut run = pair
        .git
        .text(&pair.from, &pair.to)
        .map_err(|error| failed(&error))?;
    let output = run.output().map_err(|error| failed(&error))?;
    let until = tokio::time::Instant::now() + PATIENCE;
    let pieces = ReaderStream::with_capacity(output, 64 * 1024);
    let pieces = stream::unfold(Some((pieces, run, pair, permit)), move |state| async move {
        let (mut pieces, mut run, pair, permit) = state?;
        let next = tokio::time::timeout_at(until, futures_util::StreamExt::next(&mut pieces));
        match next.await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some((pieces, run, pair, permit)))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => match run.end().await {
                Ok(()) => None,
                Err(_) => Some((Err::<Bytes, _>(io::Error::other("Git has failed")), None)),
            },
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    });
    Ok(([(header::CONTENT_TYPE, TEXT)], Body::from_stream(pieces)).into_response())
}
