//! The container object: `ClaudeCodeContainer`, named `claude-session-{sessionId}`. It starts,
//! watches and stops one sandbox, and is the only place that knows where it runs.
//!
//! A [`Provider`] brings a sandbox up and says how to reach it; nothing above this module knows which
//! provider it is. The sandbox has one server, the agent-server, and every request to it goes through
//! [`Sandbox`]. The object keeps nothing but how its sandbox ended and its token; it can be deleted
//! with its session.

mod cloudflare;
mod local;
mod platform;

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use protocol::{Problem, ProblemKind, SessionId};
use worker::wasm_bindgen::{self, JsValue};
use worker::{
    DurableObject, Env, Fetch, Fetcher, Headers, Method, Request, RequestInit, Response, Result,
    State, Stub, durable_object,
};

use crate::answer::{self, Answer, internal, problem_of};

/// The sandbox of a session, as the rest of the Worker speaks to it.
pub struct Sandbox {
    stub: Stub,
    id: SessionId,
}

/// The sandbox of a session.
///
/// # Errors
/// Where the deployment has no binding for it.
pub fn of(env: &Env, id: &SessionId) -> std::result::Result<Sandbox, Problem> {
    let stub = env
        .durable_object("CLAUDE_CONTAINER")
        .and_then(|namespace| namespace.get_by_name(&id.container_object()))
        .map_err(|error| internal("container", &error))?;
    Ok(Sandbox {
        stub,
        id: id.clone(),
    })
}

impl Sandbox {
    /// Gets it running.
    ///
    /// # Errors
    /// Why it does not run.
    pub async fn start(&self) -> std::result::Result<(), Problem> {
        self.ask(Method::Post, "/start", None).await.map(drop)
    }

    /// A request to its agent-server, which is started where it does not run. The answer is the
    /// agent-server's, a problem of its own included.
    ///
    /// # Errors
    /// Why it can't be reached.
    pub async fn agent(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.ask(method, &format!("/agent{path}"), body).await
    }

    /// The same, but only where it runs already.
    ///
    /// # Errors
    /// Why it does not run, or can't be reached.
    pub async fn running_agent(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.ask(method, &format!("/running{path}"), body).await
    }

    /// Whether this is the token that the sandbox was given for its model calls.
    ///
    /// # Errors
    /// Where the object can't be reached.
    pub async fn knows_token(&self, token: &str) -> std::result::Result<bool, Problem> {
        let response = self
            .ask(Method::Post, "/token", Some(token.as_bytes().to_vec()))
            .await?;
        Ok(response.status_code() == 204)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        let failed = |error: worker::Error| internal("container", &error);
        let headers = Headers::new();
        headers.set(SESSION_ID, self.id.as_str()).map_err(failed)?;
        let request = request(
            &format!("http://container.internal{path}"),
            method,
            headers,
            body,
        )
        .map_err(failed)?;
        let mut response = self
            .stub
            .fetch_with_request(request)
            .await
            .map_err(failed)?;
        let is_own = response.headers().has(OWN_PROBLEM).unwrap_or_default();
        match problem_of_own(&mut response, is_own).await {
            Some(problem) => Err(problem),
            None => Ok(response),
        }
    }
}

async fn problem_of_own(response: &mut Response, is_own: bool) -> Option<Problem> {
    if is_own {
        problem_of(response).await
    } else {
        None
    }
}

/// The name of the provider that this deployment uses, for people.
pub fn provider_name(env: &Env) -> String {
    env.var("SANDBOX_PROVIDER")
        .map_or_else(|_| "cloudflare".to_owned(), |name| name.to_string())
}

/// Who the session is, on every request to its container object.
const SESSION_ID: &str = "x-session-id";

/// On answers that are this object's own problems, and not the agent-server's.
const OWN_PROBLEM: &str = "x-container-problem";

/// Where a sandbox can be reached.
#[derive(Clone)]
pub enum Endpoint {
    Port(Fetcher),
    Url(String),
}

impl Endpoint {
    /// # Errors
    /// Where the sandbox does not answer.
    async fn fetch(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Response> {
        match self {
            Self::Port(port) => {
                port.fetch_request(request(
                    &format!("http://sandbox.internal{path}"),
                    method,
                    Headers::new(),
                    body,
                )?)
                .await
            }
            Self::Url(url) => {
                Fetch::Request(request(
                    &format!("{url}{path}"),
                    method,
                    Headers::new(),
                    body,
                )?)
                .send()
                .await
            }
        }
    }
}

fn request(url: &str, method: Method, headers: Headers, body: Option<Vec<u8>>) -> Result<Request> {
    let mut init = RequestInit::new();
    if let Some(body) = body {
        headers.set("content-type", "application/json")?;
        init.with_body(Some(JsValue::from(worker::js_sys::Uint8Array::from(
            body.as_slice(),
        ))));
    }
    init.with_method(method).with_headers(headers);
    Request::new_with_init(url, &init)
}

/// What a sandbox is started with.
pub struct Start {
    pub session_id: SessionId,
    /// For providers that can't intercept the sandbox's traffic: what its model calls carry.
    pub model_token: String,
}

/// One place to run sandboxes.
#[async_trait(?Send)]
pub trait Provider {
    /// Starts the sandbox if it does not run, and waits until its server answers.
    ///
    /// # Errors
    /// Why it does not run, in words for the person who waits for it.
    async fn ensure_running(&self, start: &Start) -> std::result::Result<Endpoint, Problem>;

    /// The sandbox, where it runs.
    ///
    /// # Errors
    /// Where that can't be found out.
    async fn running(&self) -> std::result::Result<Option<Endpoint>, Problem>;

    /// How the sandbox ended, for people; none where nothing is known.
    async fn last_end(&self) -> Option<String>;
}

/// Whether a request to the agent-server does no more when it arrives twice than when it arrives once.
/// A turn of a session is named, and starts once; a turn beside any session does not.
fn repeatable(method: &Method, path: &str) -> bool {
    *method != Method::Post || !path.starts_with("/?")
}

/// One start that several requests wait for.
type Starting = Shared<LocalBoxFuture<'static, std::result::Result<Endpoint, Problem>>>;

#[durable_object(fetch)]
pub struct ClaudeCodeContainer {
    object: AssertUnwindSafe<Rc<Object>>,
}

struct Object {
    platform: Rc<State>,
    env: Env,
    provider: RefCell<Option<Rc<dyn Provider>>>,
    starting: RefCell<Option<Starting>>,
}

impl DurableObject for ClaudeCodeContainer {
    fn new(state: State, env: Env) -> Self {
        Self {
            object: AssertUnwindSafe(Rc::new(Object {
                platform: Rc::new(state),
                env,
                provider: RefCell::new(None),
                starting: RefCell::new(None),
            })),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match self.object.answer(request).await {
            Ok(response) => Ok(response),
            Err(problem) => {
                let mut response = answer::problem(&problem)?;
                response.headers_mut().set(OWN_PROBLEM, "1")?;
                Ok(response)
            }
        }
    }
}

impl Object {
    async fn answer(self: &Rc<Self>, mut request: Request) -> Answer {
        let id = request
            .headers()
            .get(SESSION_ID)
            .ok()
            .flatten()
            .unwrap_or_default();
        let id = SessionId::parse(&id)?;
        let url = request
            .url()
            .map_err(|error| internal("container", &error))?;
        let path = url.path().to_owned();
        let method = request.method();
        let body = match method {
            Method::Post => Some(
                request
                    .bytes()
                    .await
                    .map_err(|error| internal("container", &error))?,
            ),
            _ => None,
        };
        let with_query = |path: &str| match url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        if path == "/start" {
            self.ensure_running(&id).await?;
            return Ok(answer::empty(204));
        }
        if path == "/token" {
            let known = self.model_token().await?;
            let same = crate::admission::equal(&body.unwrap_or_default(), known.as_bytes());
            return Ok(answer::empty(if same { 204 } else { 403 }));
        }
        let (path, start) = match (path.strip_prefix("/agent"), path.strip_prefix("/running")) {
            (Some(path), _) => (path, true),
            (None, Some(path)) => (path, false),
            (None, None) => {
                return Err(Problem::new(
                    ProblemKind::NotFound,
                    "no such path in a container object",
                ));
            }
        };
        let path = with_query(path);
        let endpoint = self.endpoint(&id, start).await?;
        if !repeatable(&method, &path) {
            // A connection that was kept open may be dead; better it breaks under a question that
            // can be asked again.
            let _ = endpoint.fetch(Method::Get, "/", None).await;
            return self.forward(&endpoint, method, &path, body).await;
        }
        match self
            .forward(&endpoint, method.clone(), &path, body.clone())
            .await
        {
            Ok(response) => Ok(response),
            Err(_) => {
                let endpoint = self.endpoint(&id, start).await?;
                self.forward(&endpoint, method, &path, body).await
            }
        }
    }

    /// Where the sandbox is; started where it does not run and `start` says so.
    async fn endpoint(
        self: &Rc<Self>,
        id: &SessionId,
        start: bool,
    ) -> std::result::Result<Endpoint, Problem> {
        if start {
            return self.ensure_running(id).await;
        }
        let provider = self.provider(id)?;
        match provider.running().await? {
            Some(endpoint) => Ok(endpoint),
            None => {
                let why = provider
                    .last_end()
                    .await
                    .unwrap_or_else(|| "it is asleep".to_owned());
                Err(Problem::new(
                    ProblemKind::SandboxFailed,
                    format!("the sandbox does not run: {why}"),
                ))
            }
        }
    }

    async fn forward(
        &self,
        endpoint: &Endpoint,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Answer {
        endpoint.fetch(method, path, body).await.map_err(|error| {
            internal("sandbox", &error);
            // What is known of it may be out of date: the next request looks again.
            self.provider.borrow_mut().take();
            Problem::new(
                ProblemKind::SandboxFailed,
                "the connection to the sandbox broke",
            )
        })
    }

    /// Starts the sandbox once, however many ask for it at the same time.
    async fn ensure_running(
        self: &Rc<Self>,
        id: &SessionId,
    ) -> std::result::Result<Endpoint, Problem> {
        let starting = self.starting.borrow().clone();
        let starting = match starting {
            Some(starting) => starting,
            None => {
                let (object, id) = (Rc::clone(self), id.clone());
                let starting = async move {
                    let start = Start {
                        session_id: id.clone(),
                        model_token: object.model_token().await?,
                    };
                    object.provider(&id)?.ensure_running(&start).await
                }
                .boxed_local()
                .shared();
                *self.starting.borrow_mut() = Some(starting.clone());
                starting
            }
        };
        let result = starting.await;
        self.starting.borrow_mut().take();
        result
    }

    fn provider(&self, id: &SessionId) -> std::result::Result<Rc<dyn Provider>, Problem> {
        if let Some(provider) = self.provider.borrow().as_ref() {
            return Ok(Rc::clone(provider));
        }
        let provider: Rc<dyn Provider> = match provider_name(&self.env).as_str() {
            "cloudflare" => Rc::new(cloudflare::Cloudflare::new(
                Rc::clone(&self.platform),
                &self.env,
                id,
            )?),
            "local" => Rc::new(local::Local::new(&self.env, id)?),
            other => {
                return Err(Problem::new(
                    ProblemKind::NotConfigured,
                    format!("SANDBOX_PROVIDER is {other:?}; known are cloudflare and local"),
                ));
            }
        };
        *self.provider.borrow_mut() = Some(Rc::clone(&provider));
        Ok(provider)
    }

    /// The token of this sandbox, made once.
    async fn model_token(&self) -> std::result::Result<String, Problem> {
        let failed = |error: worker::Error| internal("container storage", &error);
        let storage = self.platform.storage();
        if let Some(token) = storage.get::<String>("model_token").await.map_err(failed)? {
            return Ok(token);
        }
        let token = crate::random::hex::<32>().map_err(failed)?;
        storage.put("model_token", &token).await.map_err(failed)?;
        Ok(token)
    }
}
