//! `/sandbox/{sessionId}/…`: model calls of a sandbox whose provider can't intercept its traffic.
//! They carry a token that was made for this sandbox and is good for nothing else.

use access::browser::bearer;
use protocol::{Problem, ProblemKind, SessionId};
use worker::{Env, Method, Request};

use crate::answer::Answer;
use crate::orchestration::{self, Asker};
use crate::{container, egress, session};

pub async fn forward(request: Request, env: &Env, id: &SessionId, path: &str) -> Answer {
    if !container::calls_models_by_route(env) {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "there is nothing at this path",
        ));
    }
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let authorization = header("authorization");
    let key = header("x-api-key");
    let token = authorization
        .as_deref()
        .and_then(bearer)
        .or(key.as_deref())
        .unwrap_or_default();
    if !container::of(env, id)?.knows_token(token).await? {
        return Err(Problem::new(
            ProblemKind::Unauthenticated,
            "this is no token of the session's sandbox",
        ));
    }
    if path == "/mcp" && request.method() == Method::Post {
        return orchestration::serve(request, env, Asker::Agent(id.clone())).await;
    }
    let key = session::outbound(env, id).await?.model_key;
    egress::model_call(request, env, id, key.as_deref(), path).await
}
