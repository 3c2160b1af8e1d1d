//! `/api/sessions/{id}/terminals`: shells in a session's sandbox that people type in. What crosses them goes
//! past the session, as untouched frames between the caller and the agent-server.

use access::Asked;
use protocol::terminal::{TerminalName, Terminals, View};
use protocol::{Problem, ProblemKind, SessionId};
use serde_json::json;
use worker::{Env, Method, Request, Url};

use super::demo::{opened, wants_socket};
use crate::answer::{self, Answer};
use crate::container::{self, Running};
use crate::session::{self, Visit};

/// Which there are. A sandbox that sleeps is not woken, and has none.
pub async fn list(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    session::may(env, id, visit).await?;
    let sandbox = container::of(env, id)?;
    let asked = sandbox.running_agent(Method::Get, "/terminals", None);
    let (state, told) = match asked.await? {
        Running::Stopped(_) => ("sleeping", Terminals::default()),
        Running::Answer(response) => ("running", answer::told(response).await?),
    };
    answer::json(
        200,
        &json!({ "sandbox": state, "terminals": told.terminals }),
    )
}

/// A terminal as a WebSocket. It is opened where it is not there, and the sandbox woken for it, unless the query
/// says that it is there.
pub async fn open(
    request: &Request,
    url: &Url,
    env: &Env,
    id: &SessionId,
    name: &str,
    visit: &Visit,
    asked: &Asked<'_>,
) -> Answer {
    let wanted = || {
        wants_socket(request)?;
        let name = TerminalName::parse(name)?;
        Ok::<_, Problem>((name, View::parse(url.query().unwrap_or_default())?))
    };
    let wanted = wanted();
    // Who may not hears that, and not what is wrong with the wish.
    let pass = session::may_open_terminal(env, id, visit, wanted.is_ok()).await?;
    let (name, view) = wanted?;
    let now = worker::Date::now().as_millis();
    let seconds = pass.until.map(|until| until.saturating_sub(now) / 1000);
    let view = View { seconds, ..view };
    let path = format!("/terminals/{name}?{}", view.query());
    let sandbox = container::of(env, id)?;
    let response = answer::done(sandbox.socket(&path, !view.attach).await?).await?;
    opened(response, asked)
}

/// Ends a terminal, with all that runs in it.
pub async fn close(env: &Env, id: &SessionId, name: &str, visit: &Visit) -> Answer {
    session::may(env, id, visit).await?;
    let path = format!("/terminals/{}", TerminalName::parse(name)?);
    let sandbox = container::of(env, id)?;
    match sandbox.running_agent(Method::Delete, &path, None).await? {
        Running::Answer(response) => answer::done(response).await.map(|_| answer::empty(204)),
        Running::Stopped(problem) => Err(Problem::new(ProblemKind::NotFound, problem.detail)),
    }
}
