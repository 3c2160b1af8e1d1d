//! `/api/files/{id}/…`: the files in a session's sandbox, `/api/sessions/{id}/diff`: what has changed in them,
//! and `/api/sessions/{id}/repository`: the Git repository among them. They are where the agent is, so a sandbox
//! that sleeps is woken for them, with its files as they were saved.

use protocol::files::{MAX_FILE, MAX_FORM};
use protocol::{Problem, ProblemKind, SessionId};
use worker::{Env, Method, Request, Url};

use super::table::Kind;
use crate::answer::Answer;
use crate::container;
use crate::session::{self, Visit};

/// Passes a request on to the sandbox, for who may. `rest` is the path of a file, as the address has it.
pub async fn pass(
    request: &Request,
    url: &Url,
    env: &Env,
    id: &SessionId,
    kind: Kind,
    rest: &str,
    visit: &Visit,
) -> Answer {
    session::may(env, id, visit).await?;
    let limit = match kind {
        Kind::Upload => MAX_FORM,
        _ => MAX_FILE,
    };
    let declared = request.headers().get("content-length").ok().flatten();
    let bytes = declared.and_then(|text| text.parse::<u64>().ok());
    if bytes.is_some_and(|bytes| bytes > limit) {
        return Err(Problem::new(
            ProblemKind::TooLarge,
            format!("the body is larger than {limit} bytes, the limit here"),
        ));
    }
    let path = match kind {
        Kind::Upload => "/upload".to_owned(),
        Kind::Zip => "/zip".to_owned(),
        Kind::Diff => "/diff".to_owned(),
        Kind::Repository => "/repository".to_owned(),
        Kind::RepositoryDiff => "/repository/diff".to_owned(),
        Kind::Commit => "/repository/commit".to_owned(),
        Kind::Branch => "/repository/branch".to_owned(),
        Kind::Discard => "/repository/discard".to_owned(),
        Kind::File => format!("/files/{rest}"),
        _ => "/files".to_owned(),
    };
    if request.method() == Method::Delete && rest.is_empty() {
        return Err(Problem::bad_request(
            "say which file or folder; the session itself is deleted at /api/sessions/{id}",
        ));
    }
    let path = match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    container::of(env, id)?.files(request, &path).await
}
