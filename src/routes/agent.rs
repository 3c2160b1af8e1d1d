//! `/agent`: messages through a session, with its history, queue and model.

use protocol::client::message_id;
use protocol::options::MAX_BODY;
use protocol::{ClaudeCodeOptions, SessionId};
use worker::{Env, Request};

use crate::answer::{Answer, NDJSON, SSE, internal};
use crate::session::{self, Form, Say, Visit};

pub async fn message(mut request: Request, env: &Env, visit: &Visit) -> Answer {
    let accept = request
        .headers()
        .get("accept")
        .ok()
        .flatten()
        .unwrap_or_default();
    // A client that comes back to a stream sends the same message, with the id of the last event.
    let after = request.headers().get("last-event-id").ok().flatten();
    let after = match after.filter(|id| !id.is_empty()) {
        None => 0,
        Some(id) => super::events::seq("Last-Event-ID", &id)?,
    };
    let body = super::body(&mut request, MAX_BODY).await?;
    let options = ClaudeCodeOptions::from_slice(&body)?;
    let id = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|mut body| body.get_mut("id").map(serde_json::Value::take));
    let session_id = match options.session_id.as_deref() {
        Some(id) => SessionId::parse(id)?,
        None => SessionId::from_random(
            crate::random::bytes().map_err(|error| internal("random", &error))?,
        ),
    };
    let form = if accept.contains(SSE) {
        Form::Sse
    } else if accept.contains(NDJSON) || options.wants_stream() {
        Form::Ndjson
    } else {
        Form::Json
    };
    let say = Say {
        session_id,
        id: message_id(id)?,
        turn: options.into_turn()?,
        form,
        after,
    };
    session::say(env, visit, &say).await
}
