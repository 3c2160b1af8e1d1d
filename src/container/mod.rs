//! The container object: `ClaudeCodeContainer`, named `claude-session-{sessionId}`. It starts,
//! watches and stops one sandbox, and is the only place that knows where it runs.
//!
//! A [`Provider`] brings a sandbox up and says how to reach it; nothing above this module knows which
//! provider it is. The sandbox has one server, the agent-server, and every request to it goes through
//! [`Sandbox`].
//!
//! A sandbox's disk is gone when it stops, so what is on it is saved (`saves.rs`), and restored before
//! anything else happens in a new one. The object keeps which archives there are, how its sandbox ended,
//! and its token; it can be deleted with its session.

mod cloudflare;
mod local;
mod platform;
mod saves;

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use protocol::sandbox::Health;
use protocol::{Problem, ProblemKind, SessionId, TurnId};
use serde::{Deserialize, Serialize};
use worker::wasm_bindgen::{self, JsValue};
use worker::{
    DurableObject, Env, Fetch, Fetcher, Headers, Method, Request, RequestInit, Response, Result,
    State, Stub, durable_object,
};

use crate::answer::{self, Answer, internal, problem_of, read_json, within};
use saves::{Restored, Saves};

/// The sandbox of a session, as the rest of the Worker speaks to it.
pub struct Sandbox {
    stub: Stub,
    id: SessionId,
    for_one_request: bool,
}

/// What a running sandbox answers, or why it does not run.
pub enum Running {
    Answer(Response),
    Stopped(Problem),
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
        for_one_request: false,
    })
}

impl Sandbox {
    /// The same sandbox, stopped soon after its last request where it has to be started for it.
    #[must_use]
    pub fn for_one_request(mut self) -> Self {
        self.for_one_request = true;
        self
    }

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
        match self.ask(method, &format!("/agent{path}"), body).await? {
            Running::Answer(response) => Ok(response),
            Running::Stopped(problem) => Err(problem),
        }
    }

    /// The same, but only where it runs already.
    ///
    /// # Errors
    /// Why it can't be reached.
    pub async fn running_agent(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> std::result::Result<Running, Problem> {
        self.ask(method, &format!("/running{path}"), body).await
    }

    /// Saves what is on its disk, with what a turn has left there. Returns the number of the save that holds it; none where nothing is
    /// saved in this deployment.
    ///
    /// # Errors
    /// Why it could not be saved.
    pub async fn save(&self, turn: Option<TurnId>) -> std::result::Result<Option<u64>, Problem> {
        let body = serde_json::to_vec(&turn).map_err(|error| internal("save", &error))?;
        match self.ask(Method::Post, "/save", Some(body)).await? {
            Running::Answer(mut response) => match problem_of(&mut response).await {
                Some(problem) => Err(problem),
                None => read_json(&mut response).await,
            },
            Running::Stopped(problem) => Err(problem),
        }
    }

    /// Ends it, and deletes all that was saved of it.
    ///
    /// # Errors
    /// What could not be deleted.
    pub async fn delete(&self) -> std::result::Result<(), Problem> {
        match self.ask(Method::Post, "/delete", None).await? {
            Running::Answer(mut response) => problem_of(&mut response).await.map_or(Ok(()), Err),
            Running::Stopped(problem) => Err(problem),
        }
    }

    /// Whether this is the token that the sandbox was given for its model calls.
    ///
    /// # Errors
    /// Where the object can't be reached.
    pub async fn knows_token(&self, token: &str) -> std::result::Result<bool, Problem> {
        let body = Some(token.as_bytes().to_vec());
        let answer = self.ask(Method::Post, "/token", body).await?;
        Ok(matches!(answer, Running::Answer(response) if response.status_code() == 204))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> std::result::Result<Running, Problem> {
        let failed = |error: worker::Error| internal("container", &error);
        let headers = Headers::new();
        headers.set(SESSION_ID, self.id.as_str()).map_err(failed)?;
        if self.for_one_request {
            headers.set(FOR_ONE_REQUEST, "1").map_err(failed)?;
        }
        let url = format!("http://container.internal{path}");
        let body = body.map(|body| worker::js_sys::Uint8Array::from(body.as_slice()).into());
        let request = request(&url, method, headers, body).map_err(failed)?;
        // An object that is moved or deployed anew breaks its connections: that passes.
        let mut response = self
            .stub
            .fetch_with_request(request)
            .await
            .map_err(|error| {
                internal("container", &error);
                Problem::new(
                    ProblemKind::SandboxUnreachable,
                    "the connection to the sandbox's object broke",
                )
            })?;
        let Some(own) = response.headers().get(OWN_PROBLEM).ok().flatten() else {
            return Ok(Running::Answer(response));
        };
        let problem = problem_of(&mut response)
            .await
            .unwrap_or_else(|| internal("container", &"a problem without one"));
        if own == STOPPED {
            Ok(Running::Stopped(problem))
        } else {
            Err(problem)
        }
    }
}

/// Whether sandboxes of this deployment call their models through a route of the Worker, because
/// their traffic can't be intercepted.
pub fn calls_models_by_route(env: &Env) -> bool {
    provider_name(env) == "local"
}

/// The name of the provider that this deployment uses, for people.
pub fn provider_name(env: &Env) -> String {
    env.var("SANDBOX_PROVIDER")
        .map_or_else(|_| "cloudflare".to_owned(), |name| name.to_string())
}

/// Who the session is, on every request to its container object.
const SESSION_ID: &str = "x-session-id";

/// On requests that will hardly be followed by another.
const FOR_ONE_REQUEST: &str = "x-for-one-request";

/// On the first answer of a sandbox whose files were restored: [`Note`] as JSON. A sandbox can't say it.
pub const RESTORED: &str = "x-restored";

/// What the session is to hear of a sandbox whose files were restored.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    /// The save that was restored; none where no whole one was left.
    pub save: Option<u64>,
    /// Why it is not the last save that was restored.
    pub damage: Option<String>,
}

/// How long a sandbox is left unused before it is stopped, where SANDBOX_SLEEP_SECONDS does not say
/// otherwise.
const SLEEP_AFTER: Duration = Duration::from_secs(10 * 60);

/// The same for one that was started for a single request.
const SLEEP_AFTER_ONE: Duration = Duration::from_secs(60);

/// When to look again at a sandbox that could not be stopped.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How long an unused sandbox waits for a storage that does not take its files, in milliseconds.
const GIVE_UP_MS: u64 = 60 * 60 * 1000;

/// How long saving or restoring a disk may take.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// The shortest time until then.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// Whose sandbox an alarm is for.
#[derive(Debug, Serialize, Deserialize)]
struct Watch {
    id: SessionId,
    sleep_after_ms: u64,
}

/// On answers that are this object's own problems, and not the agent-server's: [`STOPPED`] where the
/// sandbox does not run. A sandbox can't say it: what it answers is written anew.
const OWN_PROBLEM: &str = "x-container-problem";
const STOPPED: &str = "stopped";

/// Where a sandbox can be reached.
#[derive(Clone)]
pub enum Endpoint {
    Port(Fetcher),
    /// With the token that its server asks for.
    Url {
        url: String,
        token: Option<String>,
    },
}

impl Endpoint {
    /// # Errors
    /// Where the sandbox does not answer.
    async fn fetch(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Response> {
        let body = body.map(|body| worker::js_sys::Uint8Array::from(body.as_slice()).into());
        self.fetch_with(method, path, body).await
    }

    /// Posts a body that may be a stream.
    ///
    /// # Errors
    /// Where the sandbox does not answer.
    async fn send(&self, path: &str, body: JsValue) -> Result<Response> {
        self.fetch_with(Method::Post, path, Some(body)).await
    }

    async fn fetch_with(
        &self,
        method: Method,
        path: &str,
        body: Option<JsValue>,
    ) -> Result<Response> {
        let headers = Headers::new();
        match self {
            Self::Port(port) => {
                let url = format!("http://sandbox.internal{path}");
                port.fetch_request(request(&url, method, headers, body)?)
                    .await
            }
            Self::Url { url, token } => {
                if let Some(token) = token {
                    headers.set("authorization", &format!("Bearer {token}"))?;
                }
                let request = request(&format!("{url}{path}"), method, headers, body)?;
                Fetch::Request(request).send().await
            }
        }
    }
}

fn request(url: &str, method: Method, headers: Headers, body: Option<JsValue>) -> Result<Request> {
    let mut init = RequestInit::new();
    if let Some(body) = body {
        headers.set("content-type", "application/json")?;
        init.with_body(Some(body));
    }
    init.with_method(method).with_headers(headers);
    Request::new_with_init(url, &init)
}

/// What a sandbox is started with.
pub struct Start {
    pub session_id: SessionId,
    /// For providers that can't intercept the sandbox's traffic: what its model calls carry.
    pub model_token: String,
    /// How long it is left unused before it is stopped.
    pub sleep_after: Duration,
}

/// The variable by which a sandbox's server waits for the files of its session.
const AWAIT_RESTORE: (&str, &str) = ("AGENT_AWAIT_RESTORE", "true");

/// A sandbox that runs.
pub struct Ensured {
    pub endpoint: Endpoint,
    /// It has been started for this, or may have been: nothing is known about its disk.
    pub started: bool,
}

/// One place to run sandboxes.
#[async_trait(?Send)]
pub trait Provider {
    /// Starts the sandbox if it does not run, and waits until its server answers.
    ///
    /// # Errors
    /// Why it does not run, in words for the person who waits for it.
    async fn ensure_running(&self, start: &Start) -> std::result::Result<Ensured, Problem>;

    /// The sandbox, where it runs.
    ///
    /// # Errors
    /// Where that can't be found out.
    async fn running(&self) -> std::result::Result<Option<Endpoint>, Problem>;

    /// Stops the sandbox, where it runs. Its disk may be gone then.
    ///
    /// # Errors
    /// Where it can't be stopped.
    async fn stop(&self) -> std::result::Result<(), Problem>;

    /// Stops the sandbox, and deletes what is left of its disk.
    ///
    /// # Errors
    /// Where that is not possible.
    async fn delete(&self) -> std::result::Result<(), Problem> {
        self.stop().await
    }

    /// How the sandbox ended, for people; none where nothing is known.
    async fn last_end(&self) -> Option<String>;
}

/// Whether a request to the agent-server does no more when it arrives twice than when it arrives once.
/// A turn of a session is named, and starts once; a turn beside any session does not.
fn repeatable(method: &Method, path: &str) -> bool {
    *method != Method::Post || path.split('?').next() != Some("/")
}

/// One start that several requests wait for.
type Starting = Shared<LocalBoxFuture<'static, std::result::Result<Endpoint, Problem>>>;

#[durable_object]
pub struct ClaudeCodeContainer {
    object: AssertUnwindSafe<Rc<Object>>,
}

struct Object {
    platform: Rc<State>,
    env: Env,
    provider: RefCell<Option<Rc<dyn Provider>>>,
    starting: RefCell<Option<Starting>>,
    saves: Option<Saves>,
    /// The sandbox's disk is as its session left it.
    disk_ready: Cell<bool>,
    /// What was restored, until the session has heard it.
    restored: RefCell<Option<Restored>>,
}

impl DurableObject for ClaudeCodeContainer {
    fn new(state: State, env: Env) -> Self {
        let saves = Saves::new(&state.storage(), &env)
            .map_err(|error| internal("saves", &error))
            .ok();
        Self {
            object: AssertUnwindSafe(Rc::new(Object {
                platform: Rc::new(state),
                env,
                provider: RefCell::new(None),
                starting: RefCell::new(None),
                saves,
                disk_ready: Cell::new(false),
                restored: RefCell::new(None),
            })),
        }
    }

    async fn alarm(&self) -> Result<Response> {
        self.object.look_after().await;
        Response::empty()
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match self.object.answer(request).await {
            Ok(response) => Ok(response),
            Err(Refusal { problem, stopped }) => {
                let mut response = answer::problem(&problem)?;
                let own = if stopped { STOPPED } else { "1" };
                response.headers_mut().set(OWN_PROBLEM, own)?;
                Ok(response)
            }
        }
    }
}

/// Why this object has no answer of the sandbox.
struct Refusal {
    problem: Problem,
    /// Because the sandbox does not run.
    stopped: bool,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            stopped: false,
        }
    }
}

impl Object {
    async fn answer(
        self: &Rc<Self>,
        mut request: Request,
    ) -> std::result::Result<Response, Refusal> {
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
        let brief = request.headers().has(FOR_ONE_REQUEST).unwrap_or_default();
        if path == "/start" {
            self.ensure_running(&id, brief).await?;
            return Ok(answer::empty(204));
        }
        if path == "/save" {
            let endpoint = self.endpoint(&id, false, brief).await?;
            let turn = serde_json::from_slice(&body.unwrap_or_default())
                .map_err(|error| internal("save", &error))?;
            let saving = self.saves()?.save(&endpoint, &id, turn);
            let saved = within(LONGEST, "the storage of saves", saving).await?;
            return Ok(answer::json(200, &saved)?);
        }
        if path == "/delete" {
            self.delete(&id).await?;
            return Ok(answer::empty(204));
        }
        if path == "/token" {
            let known = self.known_token().await?.unwrap_or_default();
            let same = access::secret::equal(&body.unwrap_or_default(), known.as_bytes());
            return Ok(answer::empty(if same { 204 } else { 403 }));
        }
        let (path, start) = match (path.strip_prefix("/agent"), path.strip_prefix("/running")) {
            (Some(path), _) => (path, true),
            (None, Some(path)) => (path, false),
            (None, None) => {
                let problem =
                    Problem::new(ProblemKind::NotFound, "no such path in a container object");
                return Err(problem.into());
            }
        };
        let path = with_query(path);
        let endpoint = self.endpoint(&id, start, brief).await?;
        let is_turn = path == "/turns";
        if !repeatable(&method, &path) {
            // A connection that was kept open may be dead; better it breaks under a question that
            // can be asked again.
            let _ = endpoint.fetch(Method::Get, "/", None).await;
            return Ok(self.forward(&endpoint, method, &path, body).await?);
        }
        match self
            .forward(&endpoint, method.clone(), &path, body.clone())
            .await
        {
            Ok(response) if is_turn => Ok(self.with_note(response)),
            Ok(response) => Ok(response),
            Err(_) => {
                let endpoint = self.endpoint(&id, start, brief).await?;
                Ok(self.forward(&endpoint, method, &path, body).await?)
            }
        }
    }

    /// Tells the session, once, that the sandbox's files were restored.
    fn with_note(&self, mut response: Response) -> Response {
        let restored = self.restored.borrow_mut().take();
        if let Some(Restored { save, damage }) = restored
            && (save.is_some() || damage.is_some())
            && let Ok(note) = serde_json::to_string(&Note {
                save,
                // A header takes no others.
                damage: damage
                    .map(|words| words.chars().filter(char::is_ascii).take(500).collect()),
            })
            && let Err(error) = response.headers_mut().set(RESTORED, &note)
        {
            internal("note", &error);
        }
        response
    }

    fn saves(&self) -> std::result::Result<&Saves, Problem> {
        self.saves
            .as_ref()
            .ok_or_else(|| internal("saves", &"the storage did not open"))
    }

    /// Where the sandbox is; started where it does not run and `start` says so.
    async fn endpoint(
        self: &Rc<Self>,
        id: &SessionId,
        start: bool,
        brief: bool,
    ) -> std::result::Result<Endpoint, Refusal> {
        if start {
            return Ok(self.ensure_running(id, brief).await?);
        }
        let provider = self.provider(id)?;
        if let Some(endpoint) = provider.running().await? {
            return Ok(endpoint);
        }
        let why = provider
            .last_end()
            .await
            .unwrap_or_else(|| "it is asleep".to_owned());
        Err(Refusal {
            problem: Problem::new(
                ProblemKind::SandboxFailed,
                format!("the sandbox does not run: {why}"),
            ),
            stopped: true,
        })
    }

    /// Asks the sandbox. Of its answer's headers only the type is kept, and only one that no browser
    /// takes for a page: what a sandbox says must not act in the Worker's name.
    async fn forward(
        &self,
        endpoint: &Endpoint,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Answer {
        let broke = |error: worker::Error| {
            internal("sandbox", &error);
            // What is known of it may be out of date: the next request looks again.
            self.provider.borrow_mut().take();
            Problem::new(
                ProblemKind::SandboxUnreachable,
                "the connection to the sandbox broke",
            )
        };
        let response = endpoint.fetch(method, path, body).await.map_err(broke)?;
        let given = response
            .headers()
            .get("content-type")
            .ok()
            .flatten()
            .unwrap_or_default();
        let content_type = [answer::NDJSON, answer::PROBLEM, "application/json"]
            .into_iter()
            .find(|known| given.starts_with(known))
            .unwrap_or("application/octet-stream");
        let status = response.status_code();
        let (_, body) = response.into_parts();
        let builder =
            answer::stream_of(content_type).map_err(|error| internal("sandbox", &error))?;
        Ok(builder.with_status(status).body(body))
    }

    /// Starts the sandbox once, however many ask for it at the same time.
    async fn ensure_running(
        self: &Rc<Self>,
        id: &SessionId,
        brief: bool,
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
                        sleep_after: object.sleep_after(brief),
                    };
                    let provider = object.provider(&id)?;
                    let Ensured { endpoint, started } = provider.ensure_running(&start).await?;
                    if started || !object.disk_ready.get() {
                        object.disk_ready.set(false);
                        let restoring = object.saves()?.restore(&endpoint);
                        let restored = within(LONGEST, "the storage of saves", restoring).await?;
                        if restored != Restored::default() {
                            *object.restored.borrow_mut() = Some(restored);
                        }
                        object.disk_ready.set(true);
                        object.remember_to_look(&id, start.sleep_after).await;
                    }
                    Ok(endpoint)
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

    /// Ends the sandbox and deletes all that there is of it.
    async fn delete(self: &Rc<Self>, id: &SessionId) -> std::result::Result<(), Problem> {
        let failed = |error: worker::Error| internal("delete", &error);
        self.provider(id)?.delete().await?;
        self.saves()?.delete(id).await?;
        let storage = self.platform.storage();
        storage.delete_alarm().await.map_err(failed)?;
        storage.delete_all().await.map_err(failed)?;
        self.disk_ready.set(false);
        self.saves()?.begin().map_err(failed)?;
        Ok(())
    }

    /// How long a sandbox is left unused before it is stopped.
    fn sleep_after(&self, brief: bool) -> Duration {
        if brief {
            return SLEEP_AFTER_ONE;
        }
        let seconds = self.env.var("SANDBOX_SLEEP_SECONDS").ok();
        let seconds = seconds.and_then(|text| text.to_string().parse().ok());
        seconds.map_or(SLEEP_AFTER, Duration::from_secs)
    }

    /// Sets the alarm by which an unused sandbox is saved and stopped.
    async fn remember_to_look(&self, id: &SessionId, after: Duration) {
        let storage = self.platform.storage();
        let watch = Watch {
            id: id.clone(),
            sleep_after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        };
        let set = async {
            storage.put("watch", &watch).await?;
            storage.set_alarm(after).await
        };
        if let Err(error) = set.await {
            internal("alarm", &error);
        }
    }

    /// The alarm: an unused sandbox is saved and stopped, another one looked after again later.
    async fn look_after(self: &Rc<Self>) {
        let Ok(Some(watch)) = self.platform.storage().get::<Watch>("watch").await else {
            return;
        };
        let again = match self.put_to_sleep(&watch).await {
            Ok(again) => again,
            Err(problem) => {
                internal("sleep", &problem.detail);
                Some(LOOK_AGAIN)
            }
        };
        if let Some(again) = again
            && let Err(error) = self.platform.storage().set_alarm(again).await
        {
            internal("alarm", &error);
        }
    }

    /// Returns when to look again; none where it does not run any more.
    async fn put_to_sleep(
        self: &Rc<Self>,
        watch: &Watch,
    ) -> std::result::Result<Option<Duration>, Problem> {
        let provider = self.provider(&watch.id)?;
        let Some(endpoint) = provider.running().await? else {
            return Ok(None);
        };
        let unused = || async {
            let broke = |error: worker::Error| internal("health", &error);
            let mut health = endpoint
                .fetch(Method::Get, "/", None)
                .await
                .map_err(broke)?;
            let health: Health = read_json(&mut health).await?;
            // An older image does not say it: the platform stops that one.
            Ok::<u64, Problem>(health.unused_ms.unwrap_or(0))
        };
        let before = unused().await?;
        if before < watch.sleep_after_ms {
            let left = watch.sleep_after_ms - before;
            return Ok(Some(Duration::from_millis(left).max(LOOK_SOON)));
        }
        let saving = self.saves()?.save(&endpoint, &watch.id, None);
        match within(LONGEST, "the storage of saves", saving).await {
            Ok(_) => {}
            // It does not get better by waiting: each turn's end has told of it.
            Err(problem)
                if problem.kind == ProblemKind::TooLarge
                    || before > watch.sleep_after_ms + GIVE_UP_MS =>
            {
                internal("sleep without a save", &problem.detail);
            }
            Err(problem) => return Err(problem),
        }
        if unused().await? < before {
            return Ok(Some(LOOK_AGAIN)); // Somebody has come meanwhile.
        }
        self.disk_ready.set(false);
        provider.stop().await?;
        Ok(None)
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
        if let Some(token) = self.known_token().await? {
            return Ok(token);
        }
        let failed = |error: worker::Error| internal("container storage", &error);
        let token = crate::random::hex::<32>().map_err(failed)?;
        let storage = self.platform.storage();
        storage.put("model_token", &token).await.map_err(failed)?;
        Ok(token)
    }

    /// The token of this sandbox, where it has one.
    async fn known_token(&self) -> std::result::Result<Option<String>, Problem> {
        let stored = self.platform.storage().get("model_token").await;
        stored.map_err(|error| internal("container storage", &error))
    }
}
