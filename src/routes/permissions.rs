//! `/api/sessions/{id}/permissions/{request_id}`: answers to what the agent asks.

use protocol::{Problem, SessionId};
use serde_json::Value;
use worker::{Env, Request};

use super::body;
use crate::answer::Answer;
use crate::session::{self, Reply, Visit};

/// Bytes of an answer: a changed input at its largest, and room for the rest.
const MAX_BODY: usize = 512 * 1024;

/// Answers one request, with the event that ends it.
pub async fn answer(
    mut request: Request,
    env: &Env,
    session: &SessionId,
    request_id: &str,
    visit: &Visit,
) -> Answer {
    let body = body(&mut request, MAX_BODY).await?;
    let value = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("not valid JSON: {error}")))?;
    let Value::Object(fields) = value else {
        return Err(Problem::bad_request(
            "the body must be a JSON object such as {\"behavior\":\"allow\"}",
        ));
    };
    let reply = Reply {
        request_id: request_id.to_owned(),
        fields,
    };
    session::reply(env, session, visit, &reply).await
}
