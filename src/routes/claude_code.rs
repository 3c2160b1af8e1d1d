//! `/claude-code`: Claude Code in a sandbox, without a session's log.

use protocol::options::MAX_BODY;
use protocol::{ClaudeCodeOptions, Problem, ProblemKind, SessionId};
use serde_json::Value;
use worker::{Env, Method, Request, Url};

use crate::answer::{Answer, internal};
use crate::container::{self, Running};
use crate::session::{self, Visit};

pub async fn run(mut request: Request, env: &Env, visit: &Visit) -> Answer {
    let body = super::body(&mut request, MAX_BODY).await?;
    let options = ClaudeCodeOptions::from_slice(&body)?;
    // Checked here as well, so that a bad request starts no sandbox.
    let turn = options.clone().into_turn()?;
    let named = options.session_id.is_some();
    let session = match options.session_id.as_deref() {
        Some(id) => SessionId::parse(id)?,
        None => SessionId::from_random(
            crate::random::bytes().map_err(|error| internal("random", &error))?,
        ),
    };
    // The session's log is passed by, its door is not: its sandbox is its owner's.
    session::may_send_direct(env, &session, visit, turn.model.as_deref()).await?;
    let model = match turn.model {
        Some(model) => {
            crate::models::check(env, &model).await?;
            model
        }
        None => crate::models::default_model(env).await?,
    };
    let mut body: Value =
        serde_json::from_slice(&body).map_err(|error| internal("body", &error))?;
    if let Some(fields) = body.as_object_mut() {
        fields.insert("model".to_owned(), model.into());
        fields.insert("sessionId".to_owned(), session.as_str().into());
    }
    let body = serde_json::to_vec(&body).map_err(|error| internal("body", &error))?;
    let sandbox = container::of(env, &session)?;
    // A request without a session's name will hardly be followed by another.
    let sandbox = if named {
        sandbox
    } else {
        sandbox.for_one_request()
    };
    sandbox
        .agent(
            Method::Post,
            &format!("/?request_id={}", visit.caller.origin.request_id),
            Some(body),
        )
        .await
}

/// The sandbox of `?sessionId=`, as it sees itself; for the operator.
pub async fn debug(url: &Url, env: &Env) -> Answer {
    let given = url.query_pairs().find(|(name, _)| name == "sessionId");
    let Some((_, session)) = given else {
        return Err(
            Problem::bad_request("say whose sandbox: /claude-code/debug?sessionId=…")
                .at("sessionId"),
        );
    };
    let sandbox = container::of(env, &SessionId::parse(&session)?)?;
    match sandbox.running_agent(Method::Get, "/debug", None).await? {
        Running::Answer(response) => Ok(response),
        // Nothing has failed: it is not woken for this.
        Running::Stopped(why) => Err(Problem::new(ProblemKind::Conflict, why.detail)),
    }
}
