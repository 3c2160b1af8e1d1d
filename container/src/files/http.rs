//! The routes of `protocol::files`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, on};
use protocol::files::{Change, MAX_CHANGE, MAX_DEPTH, MAX_ITEMS, SESSION};
use protocol::{Problem, ProblemKind};
use serde::Deserialize;
use tokio_stream::wrappers::ReceiverStream;

use super::read::{self, Content, Form, Opened};
use super::survey::Wish;
use super::{Files, Wanted, blocking};
use crate::disk;
use crate::http::{Answer, OpenStream, Refused, Server, body, only};

pub fn routes() -> Router<Arc<Server>> {
    let one = || {
        let methods = on(MethodFilter::GET, get).on(MethodFilter::PUT, put);
        only(
            methods.on(MethodFilter::DELETE, delete),
            "GET, HEAD, PUT, DELETE",
        )
    };
    let top = on(MethodFilter::GET, get).on(MethodFilter::POST, change);
    Router::new()
        .route("/files", only(top, "GET, HEAD, POST"))
        .route("/files/", one())
        .route("/files/{*path}", one())
        .route("/upload", only(on(MethodFilter::POST, upload), "POST"))
        .route("/zip", only(on(MethodFilter::POST, zip), "POST"))
}

/// The files, on a disk that is as its session left it.
fn files(server: &Arc<Server>) -> Result<(&Files, OpenStream), Problem> {
    if !server.agent.shared.disk.is_ready() {
        return Err(disk::not_ready());
    }
    Ok((&server.files, OpenStream::new(server)))
}

/// What the address names. Not by axum's own way, which takes UTF-8 alone.
fn wanted(uri: &Uri) -> Wanted {
    let path = uri.path();
    Wanted::from_address(path.strip_prefix("/files/").unwrap_or_default())
}

fn session(headers: &HeaderMap) -> &str {
    let named = headers.get(SESSION).and_then(|value| value.to_str().ok());
    named.unwrap_or("-")
}

#[derive(Deserialize)]
struct Asked {
    depth: Option<usize>,
    limit: Option<usize>,
    after: Option<String>,
    #[serde(default)]
    ignored: bool,
    #[serde(default)]
    raw: bool,
}

async fn get(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap) -> Answer {
    let (files, open) = files(&server)?;
    let Query(asked): Query<Asked> = query(&uri)?;
    let wanted = wanted(&uri);
    let form = if asked.raw { Form::Raw } else { Form::Shown };
    let root = Arc::clone(&files.root);
    let path = wanted.clone();
    let (opened, wanted, form) = blocking(move || {
        let failed = match read::open(&root, &path) {
            Ok(opened) => return Ok((opened, path, form)),
            Err(failed) => failed,
        };
        // `a/download` is `a`, to be kept, where `a` is a file: a file has nothing in it.
        let kept = path
            .without_last("download")
            .filter(|_| failed.kind == ProblemKind::NotFound);
        match kept.map(|kept| (read::open(&root, &kept), kept)) {
            Some((Ok(opened @ Opened::File(_)), kept)) => Ok((opened, kept, Form::Attachment)),
            _ => Err(failed),
        }
    })
    .await?;
    let Opened::File(opening) = opened else {
        return list(&server, files, wanted, asked).await;
    };
    let path = wanted.clone();
    let content =
        blocking(move || Content::of(opening).map_err(|error| path.problem(&error))).await?;
    let length = content.length;
    let answered = read::answer(content, &wanted, form, session(&headers), &headers);
    match answered.await {
        Ok(response) => Ok(open.until_sent(response)),
        Err(problem) if problem.kind == ProblemKind::RangeNotSatisfiable => {
            let range = HeaderValue::from_str(&format!("bytes */{length}"));
            let mut response = Refused(problem).into_response();
            if let Ok(range) = range {
                response.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            Ok(response)
        }
        Err(problem) => Err(problem.into()),
    }
}

async fn list(server: &Server, files: &Files, wanted: Wanted, asked: Asked) -> Answer {
    let within = |name: &str, given: Option<usize>, most: usize| match given {
        None => Ok(most),
        Some(given) if (1..=most).contains(&given) => Ok(given),
        Some(_) => {
            Err(Problem::bad_request(format!("{name} must be a number from 1 to {most}")).at(name))
        }
    };
    let wish = Wish {
        depth: within("depth", asked.depth, MAX_DEPTH)?,
        limit: within("limit", asked.limit, MAX_ITEMS)?,
        ignored: asked.ignored,
        after: asked
            .after
            .map(|after| Wanted::from_address(&after).path().to_owned()),
    };
    let survey = files.survey(wanted, wish).await?;
    let statuses = survey.statuses(&server.agent.shared.children).await;
    Ok(axum::Json(survey.listing(&statuses)).into_response())
}

pub(crate) fn query<T: serde::de::DeserializeOwned>(uri: &Uri) -> Result<Query<T>, Problem> {
    Query::try_from_uri(uri).map_err(|error| Problem::bad_request(error.body_text()))
}

async fn put(
    State(server): State<Arc<Server>>,
    uri: Uri,
    headers: HeaderMap,
    request: Body,
) -> Answer {
    let (files, _open) = files(&server)?;
    let mut stream = request.into_data_stream();
    let (written, version) = files.put(&wanted(&uri), &headers, &mut stream).await?;
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, [(header::ETAG, version)], axum::Json(written)).into_response())
}

#[derive(Deserialize)]
struct Deletion {
    #[serde(default)]
    recursive: bool,
}

async fn delete(State(server): State<Arc<Server>>, uri: Uri) -> Answer {
    let (files, _open) = files(&server)?;
    let Query(Deletion { recursive }) = query(&uri)?;
    files.delete(wanted(&uri), recursive).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn change(State(server): State<Arc<Server>>, request: Body) -> Answer {
    let (files, _open) = files(&server)?;
    let bytes = body(request, MAX_CHANGE).await?;
    let change: Change = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(format!(
            "a change is {{\"action\":\"mkdir\",\"path\":…}} or {{\"action\":\"rename\",\"from\":…,\"to\":…}}: {error}"
        ))
    })?;
    let made = matches!(change, Change::Mkdir { .. });
    let changed = files.change(change).await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, axum::Json(changed)).into_response())
}

#[derive(Deserialize)]
struct Upload {
    #[serde(default)]
    target_path: String,
    #[serde(default)]
    overwrite: bool,
}

async fn upload(
    State(server): State<Arc<Server>>,
    uri: Uri,
    headers: HeaderMap,
    request: Body,
) -> Answer {
    let (files, _open) = files(&server)?;
    let Query(Upload {
        target_path,
        overwrite,
    }) = query(&uri)?;
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let folder = Wanted::from_text(&target_path);
    let content_type = content_type.unwrap_or_default();
    let uploaded = files
        .upload(&folder, overwrite, content_type, session(&headers), request)
        .await?;
    Ok(axum::Json(uploaded).into_response())
}

#[derive(Deserialize)]
struct Packing {
    #[serde(default)]
    path: String,
    /// A ZIP is whole, where nothing else is said.
    ignored: Option<bool>,
}

async fn zip(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap) -> Answer {
    let (files, open) = files(&server)?;
    let Query(Packing { path, ignored }) = query(&uri)?;
    let folder = Wanted::from_text(&path);
    let name = match folder.name().to_string_lossy() {
        name if name.is_empty() => session(&headers).to_owned(),
        name => super::address_of(std::path::Path::new(&*name)),
    };
    let pieces = files.zip(folder, ignored.unwrap_or(true)).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename*=UTF-8''{name}.zip"),
        ),
    ];
    let body = Body::from_stream(ReceiverStream::new(pieces));
    Ok(open.until_sent((headers, body).into_response()))
}
