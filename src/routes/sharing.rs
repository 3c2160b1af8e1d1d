//! `/api/sessions/{id}`: who else may into a session.

use protocol::{Problem, SessionId};
use serde_json::json;
use worker::{Env, Method, Request};

use crate::answer::{self, Answer};
use crate::session::{self, ShareWish, Visit};

/// Bytes of a wish at most.
const MAX_BODY: usize = 4 * 1024;

/// What the caller may.
pub async fn access(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    let pass = session::may(env, id, visit).await?;
    answer::json(
        200,
        &json!({
            "by": pass.by,
            "read": pass.read,
            "write": pass.write,
            "manage": pass.manage,
            "shell": pass.has(access::Right::Shell),
        }),
    )
}

pub async fn shares(mut request: Request, env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    match request.method() {
        Method::Get => session::share(env, id, visit, None).await,
        Method::Delete => session::revoke_shares(env, id, visit).await,
        _ => {
            let body = super::body(&mut request, MAX_BODY).await?;
            let wish: ShareWish = serde_json::from_slice(&body).map_err(|error| {
                Problem::bad_request(format!(
                    "a link is asked for with {{\"mode\": \"read\" or \"write\", \"expires_in\": seconds}}: {error}"
                ))
            })?;
            session::share(env, id, visit, Some(&wish)).await
        }
    }
}
