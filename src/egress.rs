//! What leaves a sandbox: `SandboxEgress`, named `egress-{sessionId}`.
//!
//! The platform hands every plain HTTP request that a sandbox sends to its model's host to this
//! object. It has no other caller, so whatever it is asked is a sandbox's word, and whose sandbox it
//! is, its own name says: no header, host or path that the sandbox writes can make it another's, or
//! reach anything but the model API. That is why it is a class of its own, and not a path of the
//! session object.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use protocol::{Problem, ProblemKind, SessionId};
use worker::wasm_bindgen::{self, JsValue};
use worker::{
    DurableObject, Env, Fetcher, Method, Request, RequestInit, Response, Result, State,
    durable_object,
};

use crate::answer::{self, Answer, internal};
use crate::session;

/// Headers of a model call that reach the router. Claude Code's credentials are not among them: in a
/// sandbox there are none worth having.
const PASSED_ON: [&str; 9] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "user-agent",
    "x-claude-code-agent-id",
    "x-claude-code-parent-agent-id",
    "x-claude-code-session-id",
    "x-stainless-retry-count",
];

#[durable_object(fetch)]
pub struct SandboxEgress {
    state: AssertUnwindSafe<State>,
    env: AssertUnwindSafe<Env>,
    key: AssertUnwindSafe<RefCell<Option<OwnKey>>>,
}

/// The session's own key for its provider of models, where it has one.
#[derive(Clone)]
struct OwnKey {
    key: Option<String>,
    /// When the session was asked for it, in milliseconds since the epoch.
    asked_at: u64,
}

/// How long the session's own key is remembered: it is gone when the session ends.
const REMEMBER_MS: u64 = 60_000;

impl DurableObject for SandboxEgress {
    fn new(state: State, env: Env) -> Self {
        Self {
            state: AssertUnwindSafe(state),
            env: AssertUnwindSafe(env),
            key: AssertUnwindSafe(RefCell::new(None)),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let answered = match self.session() {
            Ok(session) => self.pass_on(request, &session).await,
            Err(problem) => Err(problem),
        };
        match answered {
            Ok(response) => Ok(response),
            Err(problem) => answer::problem(&problem),
        }
    }
}

impl SandboxEgress {
    async fn pass_on(&self, request: Request, session: &SessionId) -> Answer {
        let now = worker::Date::now().as_millis();
        let known = self.key.borrow().clone();
        let key = match known {
            Some(known) if now.saturating_sub(known.asked_at) < REMEMBER_MS => known.key,
            _ => {
                let key = session::model_key(&self.env, session).await?;
                *self.key.borrow_mut() = Some(OwnKey {
                    key: key.clone(),
                    asked_at: now,
                });
                key
            }
        };
        let path = request.path();
        model_call(request, &self.env, session, key.as_deref(), &path).await
    }

    fn session(&self) -> std::result::Result<SessionId, Problem> {
        let name = self
            .state
            .id()
            .name()
            .ok_or_else(|| internal("egress", &"unnamed"))?;
        let id = name
            .strip_prefix("egress-")
            .ok_or_else(|| internal("egress", &"misnamed"))?;
        SessionId::parse(id)
    }
}

/// Sends a sandbox's model call to the router, in the session's name, with the session's own `key` for
/// the provider where it has one.
///
/// # Errors
/// 404 for what is no model call.
pub async fn model_call(
    request: Request,
    env: &Env,
    session: &SessionId,
    key: Option<&str>,
    path: &str,
) -> Answer {
    let allowed = matches!(
        (request.method(), path),
        (Method::Post, "/v1/messages" | "/v1/messages/count_tokens")
            | (Method::Head, "/" | "/api/hello")
            | (Method::Get, "/v1/models")
    );
    if !allowed {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "a sandbox reaches the model API here, and nothing else",
        ));
    }
    let failed = |error: worker::Error| internal("egress", &error);
    let headers = crate::models::router_headers(env)?;
    for name in PASSED_ON {
        if let Ok(Some(value)) = request.headers().get(name) {
            headers.set(name, &value).map_err(failed)?;
        }
    }
    headers
        .set("x-agent-router-session", session.as_str())
        .map_err(failed)?;
    if let Some(key) = key {
        headers
            .set("x-agent-router-provider-key", key)
            .map_err(failed)?;
    }
    let mut init = RequestInit::new();
    init.with_method(request.method()).with_headers(headers);
    // The body goes through as a stream and is never read here.
    if let Some(body) = request.inner().body() {
        init.with_body(Some(JsValue::from(body)));
    }
    let outgoing =
        Request::new_with_init(&format!("http://router.internal{path}"), &init).map_err(failed)?;
    let router: Fetcher = env.service("ROUTER").map_err(failed)?;
    router.fetch_request(outgoing).await.map_err(|error| {
        internal("router", &error);
        Problem::new(ProblemKind::ModelFailed, "the model router does not answer")
    })
}
