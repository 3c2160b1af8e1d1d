//! The routes of `protocol::repository`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use protocol::repository::{Commit, Discard, MAX_REQUEST, Switch};
use protocol::{Problem, ProblemKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Repo;
use crate::disk;
use crate::files::http::query;
use crate::http::{Answer, OpenStream, Server, body, only};

pub fn routes() -> Router<Arc<Server>> {
    let reads = "GET, HEAD";
    Router::new()
        .route("/repository", only(on(MethodFilter::GET, found), reads))
        .route("/repository/diff", only(on(MethodFilter::GET, diff), reads))
        .route(
            "/repository/commit",
            only(on(MethodFilter::POST, commit), "POST"),
        )
        .route(
            "/repository/branch",
            only(on(MethodFilter::POST, switch), "POST"),
        )
        .route(
            "/repository/discard",
            only(on(MethodFilter::POST, discard), "POST"),
        )
}

/// The repository, on a disk that is as its session left it.
fn repository(server: &Arc<Server>) -> Result<(Arc<Repo>, OpenStream), Problem> {
    let shared = &server.agent.shared;
    if !shared.disk.is_ready() {
        return Err(disk::not_ready());
    }
    Ok((Arc::clone(&shared.repository), OpenStream::new(server)))
}

async fn found(State(server): State<Arc<Server>>) -> Answer {
    let (repository, _open) = repository(&server)?;
    Ok(axum::Json(repository.found().await?).into_response())
}

#[derive(Deserialize)]
struct Asked {
    path: String,
}

async fn diff(State(server): State<Arc<Server>>, uri: Uri) -> Answer {
    let (repository, _open) = repository(&server)?;
    let axum::extract::Query(Asked { path }) = query(&uri)?;
    Ok(axum::Json(repository.diff(&path).await?).into_response())
}

async fn commit(State(server): State<Arc<Server>>, request: Body) -> Answer {
    let (repository, open) = repository(&server)?;
    let wish: Commit = wish(request).await?;
    to_the_end(open, async move {
        let (committed, new) = repository.commit(wish).await?;
        Ok((created(new), axum::Json(committed)).into_response())
    })
    .await
}

async fn switch(State(server): State<Arc<Server>>, request: Body) -> Answer {
    let (repository, open) = repository(&server)?;
    let wish: Switch = wish(request).await?;
    to_the_end(open, async move {
        let (switched, new) = repository.switch(wish).await?;
        Ok((created(new), axum::Json(switched)).into_response())
    })
    .await
}

async fn discard(State(server): State<Arc<Server>>, request: Body) -> Answer {
    let (repository, open) = repository(&server)?;
    let wish: Discard = wish(request).await?;
    to_the_end(open, async move {
        Ok(axum::Json(repository.discard(wish).await?).into_response())
    })
    .await
}

fn created(new: bool) -> StatusCode {
    if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}

async fn wish<T: DeserializeOwned>(request: Body) -> Result<T, Problem> {
    let bytes = body(request, MAX_REQUEST).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad_request(format!("not what is expected here: {error}")))
}

/// What is begun is done, also where nobody waits for it any more: Git that is broken off leaves its locks.
async fn to_the_end(
    open: OpenStream,
    work: impl Future<Output = Result<Response, Problem>> + Send + 'static,
) -> Answer {
    let work = async move {
        let _open = open;
        work.await
    };
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Problem::new(ProblemKind::Internal, error.to_string()).into()),
    }
}
