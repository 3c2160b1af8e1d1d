//! How the Worker's routes ask a session's object. Each says who asks, and what that needs: there is
//! no way to the object without.

use access::Pass;
use protocol::{EgressDecision, Problem, SessionId, TurnId};
use serde::Serialize;
use worker::{Env, Headers, Method, Request, RequestInit, Result};

use super::fork::{Fork, Wish};
use super::{
    Child, Events, Family, Launch, Outbound, Reply, SESSION_ID, Say, ShareWish, Span, VISIT, Visit,
    WANTED,
};
use crate::answer::{self, Answer, internal};

/// The events of a session's log.
///
/// # Errors
/// 409 where the log ends before the first that is wanted.
pub async fn events(env: &Env, id: &SessionId, visit: &Visit, wanted: &Events) -> Answer {
    ask(env, id, visit, post("events", wanted)?).await
}

/// Gives a message to its session and answers with its turn.
///
/// # Errors
/// What is wrong with the message, or with the turn.
pub async fn say(env: &Env, visit: &Visit, say: &Say) -> Answer {
    ask(env, &say.session_id, visit, post("say", say)?).await
}

/// Gives a person's answer to its session.
///
/// # Errors
/// 404 for what was never asked, 409 for what is not asked any more, 400 for an answer that does not
/// fit.
pub async fn reply(env: &Env, id: &SessionId, visit: &Visit, reply: &Reply) -> Answer {
    ask(env, id, visit, post("reply", reply)?).await
}

/// What somebody may in a session who may at least what it is here for.
///
/// # Errors
/// 401, 403 or 404 where it may not.
pub async fn may(env: &Env, id: &SessionId, visit: &Visit) -> std::result::Result<Pass, Problem> {
    answer::told(ask(env, id, visit, post("may", &())?).await?).await
}

/// The same, for a message to the session's sandbox that goes past its log.
///
/// # Errors
/// 401, 403 or 404 where it may not, 429 where it is too much.
pub async fn may_send_direct(
    env: &Env,
    id: &SessionId,
    visit: &Visit,
    model: Option<&str>,
) -> std::result::Result<Pass, Problem> {
    answer::told(ask(env, id, visit, post("direct", &model)?).await?).await
}

/// The same, for a terminal in the session's sandbox. With `opens` it is counted and written down; without, the
/// wish is no good, and it is only asked.
///
/// # Errors
/// 401, 403 or 404 where it may not, 409 where the session has ended, 429 where it is too much.
pub async fn may_open_terminal(
    env: &Env,
    id: &SessionId,
    visit: &Visit,
    opens: bool,
) -> std::result::Result<Pass, Problem> {
    answer::told(ask(env, id, visit, post("terminal", &opens)?).await?).await
}

/// A share link that is to be made, or none: the links that there are.
///
/// # Errors
/// What is wrong with the wish.
pub async fn share(env: &Env, id: &SessionId, visit: &Visit, wish: Option<&ShareWish>) -> Answer {
    ask(env, id, visit, post("share", &wish)?).await
}

/// Makes all of a session's links void.
///
/// # Errors
/// Where the session can't be reached.
pub async fn revoke_shares(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    ask(env, id, visit, post("unshare", &())?).await
}

/// A one-time ticket for the session's socket.
///
/// # Errors
/// Where the session can't be reached.
pub async fn ticket(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    ask(env, id, visit, post("ticket", &())?).await
}

/// A request to a session's object, with what it asks for as its body.
fn post(path: &str, asked: &impl Serialize) -> std::result::Result<Result<Request>, Problem> {
    let body = serde_json::to_string(asked).map_err(|error| internal(path, &error))?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(body.into()));
    let url = format!("http://session.internal/{path}");
    Ok(Request::new_with_init(&url, &init))
}

/// Connects a WebSocket to a session. Without a span, what comes is wanted alone. With `warm` its sandbox is
/// started, so that the first message finds it running; that of a new session is in any case.
///
/// # Errors
/// Where the session can't be reached.
pub async fn connect(
    env: &Env,
    id: &SessionId,
    visit: &Visit,
    wanted: Option<Span>,
    warm: bool,
) -> Answer {
    let failed = |error: worker::Error| internal("connect", &error);
    let wanted =
        serde_json::to_string(&(wanted, warm)).map_err(|error| internal("connect", &error))?;
    // Nothing else of what the client sent: its cookie and its token end at the Worker.
    let headers = Headers::new();
    headers.set("upgrade", "websocket").map_err(failed)?;
    headers.set(WANTED, &wanted).map_err(failed)?;
    let mut init = RequestInit::new();
    init.with_headers(headers);
    let request = Request::new_with_init("http://session.internal/socket", &init);
    ask(env, id, visit, request).await
}

/// The session's log as one document, for people where it is to be Markdown.
///
/// # Errors
/// Where the session can't be reached.
pub async fn export(env: &Env, id: &SessionId, visit: &Visit, markdown: bool) -> Answer {
    ask(env, id, visit, post("export", &markdown)?).await
}

/// Begins a session with an agent.
///
/// # Errors
/// 409 where it has begun already, 503 where it brings secrets and this deployment can keep none.
pub async fn launch(
    env: &Env,
    id: &SessionId,
    visit: &Visit,
    launch: &Launch,
) -> std::result::Result<(), Problem> {
    told(env, id, visit, post("launch", launch)?)
        .await
        .map(drop)
}

/// What was launched, and where it stands.
///
/// # Errors
/// Where the session can't be reached.
pub async fn describe(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    ask(env, id, visit, post("describe", &())?).await
}

/// Stops the turn that runs; the session lives on.
///
/// # Errors
/// Where the session can't be reached.
pub async fn interrupt(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    ask(env, id, visit, post("interrupt", &())?).await
}

/// Stops a session: what runs in it, and its sandbox. One that was launched ends. Gives its status then.
///
/// # Errors
/// Where that is not possible; it may be tried again.
pub async fn stop(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    told(env, id, visit, post("stop", &())?).await
}

/// What leaves a session's sandbox, and with what.
///
/// # Errors
/// Where the session can't be reached.
pub async fn outbound(env: &Env, id: &SessionId) -> std::result::Result<Outbound, Problem> {
    answer::told(reach(env, id, post("outbound", &())?).await?).await
}

/// Tells a session that something in its sandbox wanted to reach a host.
///
/// # Errors
/// Where the session can't be reached.
pub async fn reached(
    env: &Env,
    id: &SessionId,
    host: &str,
    decision: EgressDecision,
) -> std::result::Result<(), Problem> {
    let told = (host, decision);
    reach(env, id, post("reached", &told)?).await.map(drop)
}

/// How a session stands among those that work together.
///
/// # Errors
/// 404 where nobody has begun it.
pub async fn family(env: &Env, id: &SessionId) -> std::result::Result<Family, Problem> {
    answer::told(reach(env, id, post("family", &())?).await?).await
}

/// Tells a session that its agent is about to launch another one: it is one of its own from now on.
///
/// # Errors
/// 429 where it has launched as many as it may.
pub async fn take_child(
    env: &Env,
    id: &SessionId,
    child: &SessionId,
) -> std::result::Result<(), Problem> {
    let response = reach(env, id, post("child", child)?).await?;
    answer::done(response).await.map(drop)
}

/// Tells a session that what it has taken as a child has begun.
///
/// # Errors
/// Where the session can't be reached.
pub async fn child_has_begun(
    env: &Env,
    id: &SessionId,
    child: &Child,
) -> std::result::Result<(), Problem> {
    let response = reach(env, id, post("child-has-begun", child)?).await?;
    answer::done(response).await.map(drop)
}

/// Tells a session that what it has taken as a child has not begun, and never will.
///
/// # Errors
/// Where the session can't be reached.
pub async fn give_child_up(
    env: &Env,
    id: &SessionId,
    child: &SessionId,
) -> std::result::Result<(), Problem> {
    let response = reach(env, id, post("give-child-up", child)?).await?;
    answer::done(response).await.map(drop)
}

/// Waits until a session has nothing more to do, or so many seconds. Where it stands then, and what its agent has
/// answered last.
///
/// # Errors
/// Where the session can't be reached.
pub async fn wait(env: &Env, id: &SessionId, visit: &Visit, seconds: u64) -> Answer {
    told(env, id, visit, post("wait", &seconds)?).await
}

/// Tells a session that its sandbox sleeps.
///
/// # Errors
/// Where the session can't be reached.
pub async fn fell_asleep(env: &Env, id: &SessionId) -> std::result::Result<(), Problem> {
    reach(env, id, post("asleep", &())?).await.map(drop)
}

/// What a fork of a session begins with.
///
/// # Errors
/// See [`super::fork::fork`].
pub(super) async fn fork(
    env: &Env,
    from: &SessionId,
    visit: &Visit,
    turn: Option<TurnId>,
    id: &SessionId,
) -> std::result::Result<Fork, Problem> {
    let wish = Wish {
        turn,
        is_owner: false,
        id: id.clone(),
    };
    answer::told(ask(env, from, visit, post("fork", &wish)?).await?).await
}

/// Begins a session as a fork.
///
/// # Errors
/// Where a part of it can't be had.
pub(super) async fn begin_as(
    env: &Env,
    id: &SessionId,
    visit: &Visit,
    fork: &Fork,
) -> std::result::Result<(), Problem> {
    told(env, id, visit, post("begin-as", fork)?)
        .await
        .map(drop)
}

/// A session's log up to an event, for a fork.
///
/// # Errors
/// Where the session can't be reached.
pub(super) async fn log_up_to(env: &Env, id: &SessionId, last: u64) -> Answer {
    reach(env, id, post("log-up-to", &last)?).await
}

/// Deletes a session for good: its log, its sandbox, and what was saved of it.
///
/// # Errors
/// Where that is not possible; it may be tried again.
pub async fn delete(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    ask(env, id, visit, post("delete", &())?).await
}

/// The session's state, in the form of the earlier system.
///
/// # Errors
/// Where the session can't be reached.
pub async fn state(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    ask(env, id, visit, post("state", &())?).await
}

/// What the session answers where it does what it is told.
async fn told(env: &Env, id: &SessionId, visit: &Visit, request: Result<Request>) -> Answer {
    answer::done(ask(env, id, visit, request).await?).await
}

async fn ask(env: &Env, id: &SessionId, visit: &Visit, request: Result<Request>) -> Answer {
    let failed = |error: worker::Error| internal("session", &error);
    let visit = serde_json::to_string(visit).map_err(|error| internal("session", &error))?;
    let mut request = request.map_err(failed)?;
    request
        .headers_mut()
        .and_then(|headers| {
            headers.set(SESSION_ID, id.as_str())?;
            headers.set(VISIT, &visit)
        })
        .map_err(failed)?;
    reach(env, id, Ok(request)).await
}

async fn reach(env: &Env, id: &SessionId, request: Result<Request>) -> Answer {
    let failed = |error: worker::Error| internal("session", &error);
    let request = request.map_err(failed)?;
    env.durable_object("CLAUDE_CODE_AGENT")
        .and_then(|namespace| namespace.get_by_name(&id.session_object()))
        .map_err(failed)?
        .fetch_with_request(request)
        .await
        .map_err(failed)
}
