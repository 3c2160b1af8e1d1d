//! How answers and problems are written.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use protocol::{Problem, ProblemKind};
use serde::Serialize;
use worker::{ByteStream, Delay, Headers, Response, ResponseBuilder, Result, console_error};

/// What a handler answers: a response, or the reason why not.
pub type Answer = std::result::Result<Response, Problem>;

pub const NDJSON: &str = "application/x-ndjson";
pub const SSE: &str = "text/event-stream";
pub const PROBLEM: &str = "application/problem+json";

/// # Errors
/// Where the value can't be written as JSON.
pub fn json(status: u16, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| internal("json", &error))?;
    bytes(status, "application/json", body)
}

/// # Errors
/// Where the platform refuses the header, which it does not.
pub fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Answer {
    let builder = Response::builder()
        .with_status(status)
        .with_header("content-type", content_type)
        .and_then(|builder| builder.with_header("cache-control", "no-store"))
        .map_err(|error| internal("answer", &error))?;
    Ok(builder.fixed(body))
}

pub fn empty(status: u16) -> Response {
    Response::builder().with_status(status).empty()
}

/// The problem as `application/problem+json`.
///
/// # Errors
/// Where the platform refuses a header, which it does not.
pub fn problem(problem: &Problem) -> Result<Response> {
    let body = serde_json::to_vec(&problem.to_json())?;
    let mut builder = Response::builder()
        .with_status(problem.status())
        .with_header("content-type", PROBLEM)?
        .with_header("cache-control", "no-store")?;
    if problem.kind == ProblemKind::TooManyRequests || problem.kind == ProblemKind::NoCapacity {
        builder = builder.with_header("retry-after", "5")?;
    }
    if problem.kind == ProblemKind::Unauthenticated {
        builder = builder.with_header("www-authenticate", "Bearer")?;
    }
    Ok(builder.fixed(body))
}

/// A time as `/api` writes it (RFC 3339), from milliseconds since the epoch.
pub fn time(millis: u64) -> String {
    let date = worker::js_sys::Date::new(&(millis as f64).into());
    date.to_iso_string().into()
}

/// Logs what only the operator may see, and gives the problem that the caller sees.
pub fn internal(place: &str, error: &impl std::fmt::Display) -> Problem {
    console_error!(
        "{}",
        serde_json::json!({ "level": "error", "place": place, "error": error.to_string() })
    );
    Problem::new(
        ProblemKind::Internal,
        "something went wrong here; the operator's log says what",
    )
}

/// Waits for something no longer than `limit`.
///
/// # Errors
/// 504 where it takes longer; `what` names it for people.
pub async fn within<T>(
    limit: Duration,
    what: &str,
    wanted: impl Future<Output = std::result::Result<T, Problem>>,
) -> std::result::Result<T, Problem> {
    let late = Delay::from(limit);
    pin_mut!(wanted, late);
    match select(wanted, late).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Problem::new(
            ProblemKind::TimedOut,
            format!("{what} did not answer within {} seconds", limit.as_secs()),
        )),
    }
}

/// A problem that one of our own objects answered with, or `None` where its answer is no problem.
pub async fn problem_of(response: &mut Response) -> Option<Problem> {
    if response.status_code() < 400 {
        return None;
    }
    let unreadable = || Problem::new(ProblemKind::Internal, "a part of the system gave no answer");
    let body = whole(response).await.unwrap_or_default();
    Some(
        serde_json::from_slice(&body)
            .ok()
            .and_then(|value| Problem::from_json(&value))
            .unwrap_or_else(unreadable),
    )
}

/// The answer of one of our own objects, where it is no problem.
///
/// # Errors
/// The problem that it is.
pub async fn done(mut response: Response) -> Answer {
    match problem_of(&mut response).await {
        Some(problem) => Err(problem),
        None => Ok(response),
    }
}

/// What one of our own objects tells as JSON.
///
/// # Errors
/// The problem that it answers with instead, and where its answer is not what is expected.
pub async fn told<T: serde::de::DeserializeOwned>(
    response: Response,
) -> std::result::Result<T, Problem> {
    read_json(&mut done(response).await?).await
}

/// The same, of an answer that may well be long.
///
/// # Errors
/// Also 413 where it has more than `limit` bytes; `words` are for people and models.
pub async fn told_up_to<T: serde::de::DeserializeOwned>(
    limit: usize,
    response: Response,
    words: &str,
) -> std::result::Result<T, Problem> {
    let failed = |error: worker::Error| internal("answer of a part", &error);
    let stream = done(response).await?.stream().map_err(failed)?;
    let body = up_to(limit, stream).await.map_err(failed)?;
    let body = body.ok_or_else(|| Problem::new(ProblemKind::TooLarge, words))?;
    serde_json::from_slice(&body).map_err(|error| internal("answer of a part", &error))
}

/// Bytes of an answer that is read whole: what a sandbox says is among them.
const LONGEST: usize = 1024 * 1024;

/// The body of a response that is read whole.
async fn whole(response: &mut Response) -> Result<Vec<u8>> {
    let body = up_to(LONGEST, response.stream()?).await?;
    body.ok_or_else(|| worker::Error::RustError("an answer without end".to_owned()))
}

/// A body that is read whole; none where it has more than `limit` bytes.
///
/// # Errors
/// Where it is cut.
pub async fn up_to(limit: usize, mut stream: ByteStream) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The body of a response as JSON. Not by the crate's own `json`, which brings a second deserializer.
///
/// # Errors
/// Where it is not what is expected.
pub async fn read_json<T: serde::de::DeserializeOwned>(
    response: &mut Response,
) -> std::result::Result<T, Problem> {
    let body = whole(response)
        .await
        .map_err(|error| internal("answer of a part", &error))?;
    serde_json::from_slice(&body).map_err(|error| internal("answer of a part", &error))
}

/// The same response with its headers open to change. Those of a fetched response are not.
///
/// # Errors
/// Where the platform refuses a header, which it does not.
pub fn with_open_headers(response: Response) -> Result<Response> {
    let headers = Headers::new();
    for (name, value) in response.headers().entries() {
        headers.append(&name, &value)?;
    }
    Ok(response.with_headers(headers))
}

/// A builder for a stream of events.
///
/// # Errors
/// Where the platform refuses a header, which it does not.
pub fn stream_of(content_type: &str) -> Result<ResponseBuilder> {
    Response::builder()
        .with_header("content-type", content_type)?
        // no-transform: nothing on the way may hold lines back to compress them.
        .with_header("cache-control", "no-cache, no-transform")
}
