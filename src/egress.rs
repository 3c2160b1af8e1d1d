//! What leaves a sandbox: `SandboxEgress`, named `egress-{sessionId}`.
//!
//! The platform hands every request that a sandbox sends to its model's host, or to one that its agent's
//! configuration names, to this object. It has no other caller, so whatever it is asked is a sandbox's
//! word, and whose sandbox it is, its own name says: no header, host or path that the sandbox writes can
//! make it another's, or reach anything but the model API and what its session may reach. That is why it
//! is a class of its own, and not a path of the session object.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use protocol::{EgressDecision, Problem, ProblemKind, SessionId, egress};
use worker::wasm_bindgen::{self, JsValue};
use worker::{
    DurableObject, Env, Fetch, Fetcher, Headers, Method, Request, RequestInit, RequestRedirect,
    Response, Result, State, Url, durable_object,
};

use crate::answer::{self, Answer, internal};
use crate::container::MODEL_HOST;
use crate::orchestration::{self, Asker};
use crate::session::{self, Outbound};

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
    known: AssertUnwindSafe<RefCell<Option<Known>>>,
    /// The hosts that the session was told of, and when.
    told: AssertUnwindSafe<RefCell<BTreeMap<(String, bool), u64>>>,
}

/// What the session has said.
#[derive(Clone)]
struct Known {
    outbound: Outbound,
    /// When it was asked, in milliseconds since the epoch.
    asked_at: u64,
}

/// How long it is remembered what a session has said: its own key is gone when it ends.
const REMEMBER_MS: u64 = 60_000;

/// How long a session is not told again that a host was reached: it may be another turn then.
const TOLD_MS: u64 = 5_000;

/// Hosts of which it is remembered that the session was told.
const MAX_TOLD: usize = 200;

impl DurableObject for SandboxEgress {
    fn new(state: State, env: Env) -> Self {
        Self {
            state: AssertUnwindSafe(state),
            env: AssertUnwindSafe(env),
            known: AssertUnwindSafe(RefCell::new(None)),
            told: AssertUnwindSafe(RefCell::new(BTreeMap::new())),
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
        let outbound = self.outbound(session).await?;
        let url = request.url().map_err(|error| internal("egress", &error))?;
        let host = url.host_str().unwrap_or_default();
        if host == MODEL_HOST && url.path() == "/mcp" && request.method() == Method::Post {
            return orchestration::serve(request, &self.env, Asker::Agent(session.clone())).await;
        }
        if host == MODEL_HOST {
            let key = outbound.model_key.as_deref();
            return model_call(request, &self.env, session, key, url.path()).await;
        }
        let decision = match egress::allows(&outbound.hosts, host) {
            true => EgressDecision::Allowed,
            false => EgressDecision::Denied,
        };
        self.tell(session, host, decision);
        if decision == EgressDecision::Denied {
            let words = format!("this session's sandbox may not reach {host}");
            return Err(Problem::new(ProblemKind::Forbidden, words));
        }
        pass(request, &url, host).await
    }

    /// What the session has said, not long ago.
    async fn outbound(&self, session: &SessionId) -> std::result::Result<Outbound, Problem> {
        let now = worker::Date::now().as_millis();
        let known = self.known.borrow().clone();
        if let Some(known) = known
            && now.saturating_sub(known.asked_at) < REMEMBER_MS
        {
            return Ok(known.outbound);
        }
        let outbound = session::outbound(&self.env, session).await?;
        *self.known.borrow_mut() = Some(Known {
            outbound: outbound.clone(),
            asked_at: now,
        });
        Ok(outbound)
    }

    /// Tells the session, beside the request, that a host was wanted.
    fn tell(&self, session: &SessionId, host: &str, decision: EgressDecision) {
        let now = worker::Date::now().as_millis();
        let mut told = self.told.borrow_mut();
        told.retain(|_, at| now.saturating_sub(*at) < TOLD_MS);
        let key = (host.to_owned(), decision == EgressDecision::Allowed);
        if told.len() >= MAX_TOLD || told.insert(key, now).is_some() {
            return;
        }
        let (env, session, host) = (self.env.clone(), session.clone(), host.to_owned());
        self.state.wait_until(AssertUnwindSafe(async move {
            if let Err(problem) = session::reached(&env, &session, &host, decision).await {
                internal("egress", &problem.detail);
            }
        }));
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

/// Sends a sandbox's request to a host that it may reach, as it is. Where the host sends it elsewhere, the
/// sandbox hears that, and asks anew.
async fn pass(request: Request, url: &Url, host: &str) -> Answer {
    let failed = |error: worker::Error| internal("egress", &error);
    let headers = Headers::new();
    for (name, value) in request.headers().entries() {
        // What the platform adds is about the sandbox, and nobody else's.
        if !name.starts_with("cf-") && !name.starts_with("x-forwarded-") {
            headers.append(&name, &value).map_err(failed)?;
        }
    }
    let mut init = RequestInit::new();
    init.with_method(request.method())
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual);
    if let Some(body) = request.inner().body() {
        init.with_body(Some(JsValue::from(body)));
    }
    let outgoing = Request::new_with_init(url.as_str(), &init).map_err(failed)?;
    Fetch::Request(outgoing).send().await.map_err(|error| {
        internal("egress", &error);
        let words = format!("{host} can't be reached");
        Problem::new(ProblemKind::SandboxUnreachable, words)
    })
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
