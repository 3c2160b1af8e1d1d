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

mod api;
mod asleep;
mod cloudflare;
mod docker;
mod endpoint;
mod files;
mod fly;
pub mod inventory;
mod local;
mod place;
mod platform;
mod provider;
mod saves;
mod sleep;
mod stub;

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use futures_util::lock::Mutex;
use protocol::{Problem, ProblemKind, SessionId, TurnId};
use serde::{Deserialize, Serialize};
use worker::wasm_bindgen;
use worker::{DurableObject, Env, Method, Request, Response, Result, State, durable_object};

use crate::answer::{self, Answer, internal, within};
use crate::session;
pub use cloudflare::MODEL_HOST;
pub use endpoint::Endpoint;
use place::Place;
pub use place::{calls_models_by_route, default_provider, enforced, offered, warnings};
use provider::{AWAIT_RESTORE, Ensured, Provider, Start};
use saves::{Restored, Saves};
pub use stub::{DiskSave, Running, Sandbox, of};

/// Who the session is, on every request to its container object.
const SESSION_ID: &str = "x-session-id";

/// On requests that will hardly be followed by another.
const FOR_ONE_REQUEST: &str = "x-for-one-request";

/// On answers that are this object's own problems, and not the agent-server's: [`STOPPED`] where the
/// sandbox does not run. A sandbox can't say it: what it answers is written anew.
const OWN_PROBLEM: &str = "x-container-problem";
const STOPPED: &str = "stopped";

/// How long saving or restoring a disk may take.
const LONGEST: Duration = Duration::from_secs(10 * 60);

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

/// Whether a request to the agent-server does no more when it arrives twice than when it arrives once.
/// A turn of a session is named, and starts once; a turn beside any session does not.
fn repeatable(method: &Method, path: &str) -> bool {
    *method != Method::Post || path.split('?').next() != Some("/")
}

/// A secret of the sandbox's, made when it is wanted first.
async fn made_once(platform: &State, name: &str) -> std::result::Result<String, Problem> {
    let failed = |error: worker::Error| internal("container storage", &error);
    let storage = platform.storage();
    if let Some(secret) = storage.get(name).await.map_err(failed)? {
        return Ok(secret);
    }
    let secret = crate::random::hex::<32>().map_err(failed)?;
    storage.put(name, &secret).await.map_err(failed)?;
    Ok(secret)
}

/// What the server of a sandbox wants to be shown that others can reach.
async fn server_token(platform: &State) -> std::result::Result<String, Problem> {
    made_once(platform, "server_token").await
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
    place: RefCell<Option<Place>>,
    starting: RefCell<Option<Starting>>,
    /// Held while the sandbox is started, stopped or deleted: one after the other.
    standing: Mutex<()>,
    /// How often it has been deleted.
    deletions: Cell<u32>,
    /// Held while a save is read in its place: each takes memory.
    reading: Mutex<()>,
    saves: Option<Saves>,
    /// The sandbox's disk is as its session left it.
    disk_ready: Cell<bool>,
    /// What was restored, until the session has heard it.
    restored: RefCell<Option<Restored>>,
    /// It is known to be for more than a single request.
    kept: Cell<bool>,
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
                place: RefCell::new(None),
                starting: RefCell::new(None),
                standing: Mutex::new(()),
                deletions: Cell::new(0),
                reading: Mutex::new(()),
                saves,
                disk_ready: Cell::new(false),
                restored: RefCell::new(None),
                kept: Cell::new(false),
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
        if let Some(path) = path.strip_prefix("/files") {
            let query = url.query().map(|query| format!("?{query}"));
            let path = format!("{path}{}", query.unwrap_or_default());
            return self.files(&id, &mut request, &path).await;
        }
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
        if !brief {
            self.keep_for_good().await?;
        }
        if path == "/start" {
            self.ensure_running(&id, brief).await?;
            return Ok(answer::empty(204));
        }
        if path == "/save" {
            let endpoint = self.endpoint(&id, false, brief).await?;
            let turn: Option<TurnId> = serde_json::from_slice(&body.unwrap_or_default())
                .map_err(|error| internal("save", &error))?;
            let saved = self.save(&endpoint, &id, turn).await;
            // Another sandbox is there than the one that the turn ran in.
            let lost = |problem: &Problem| turn.is_some() && problem.kind == ProblemKind::Conflict;
            let saved = saved.map_err(|problem| Refusal {
                stopped: lost(&problem),
                problem,
            })?;
            return Ok(answer::json(200, &saved)?);
        }
        if path == "/newest-save" {
            return Ok(answer::json(200, &self.newest_save(&id).await?)?);
        }
        if path == "/chain" {
            let save = serde_json::from_slice(&body.unwrap_or_default())
                .map_err(|error| internal("chain", &error))?;
            return Ok(answer::json(200, &self.saves()?.chain(save)?)?);
        }
        if path == "/copy-saves" {
            let (from, save): (SessionId, u64) = serde_json::from_slice(&body.unwrap_or_default())
                .map_err(|error| internal("copy", &error))?;
            let chain = of(&self.env, &from)?.chain(save).await?;
            let copying = self.saves()?.copy(&id, &chain);
            within(LONGEST, "the storage of saves", copying).await?;
            return Ok(answer::empty(204));
        }
        if path == "/stop" {
            self.stop(&id).await?;
            return Ok(answer::empty(204));
        }
        if path == "/delete" {
            self.delete(&id).await?;
            return Ok(answer::empty(204));
        }
        if path == "/owns" {
            let question = serde_json::from_slice(&body.unwrap_or_default())
                .map_err(|error| internal("owns", &error))?;
            return Ok(answer::json(200, &self.owns(&id, &question).await?)?);
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
        if request.headers().has(endpoint::UPGRADE).unwrap_or_default() {
            let opened = match self.socket(&endpoint, &path).await {
                Ok(opened) => opened,
                Err(_) => {
                    let endpoint = self.endpoint(&id, start, brief).await?;
                    self.socket(&endpoint, &path).await?
                }
            };
            if start {
                // What is done there no turn saves.
                self.remember_to_save().await;
            }
            return Ok(opened);
        }
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

    /// Saves what is on the sandbox's disk. Returns the number of the save that holds it.
    async fn save(
        &self,
        endpoint: &Endpoint,
        id: &SessionId,
        turn: Option<TurnId>,
    ) -> std::result::Result<Option<u64>, Problem> {
        let saving = self.saves()?.save(endpoint, id, turn);
        within(LONGEST, "the storage of saves", saving).await
    }

    /// The save that holds the disk as it is now; none where nothing is saved. A sandbox is not started for
    /// that: what changed in one that has ended was saved before.
    async fn newest_save(&self, id: &SessionId) -> std::result::Result<Option<u64>, Problem> {
        if let Some(endpoint) = self.provider(id).await?.running().await?
            && let Some(save) = self.save(&endpoint, id, None).await?
        {
            return Ok(Some(save));
        }
        let chain = self.saves()?.last_chain();
        let chain = chain.map_err(|error| internal("saves", &error))?;
        Ok(chain.last().map(|save| save.save))
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
        let provider = self.provider(id).await?;
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

    /// Asks the sandbox.
    async fn forward(
        &self,
        endpoint: &Endpoint,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Answer {
        let response = endpoint.fetch(method, path, body).await;
        harmless(response.map_err(|error| self.broke(&error))?)
    }

    /// Asks the sandbox for a WebSocket. What goes through it neither this object nor the Worker sees.
    async fn socket(&self, endpoint: &Endpoint, path: &str) -> Answer {
        let failed = |error: worker::Error| internal("sandbox", &error);
        let headers = endpoint::socket_headers().map_err(failed)?;
        let response = endpoint.pass(Method::Get, path, headers, None).await;
        let response = response.map_err(|error| self.broke(&error))?;
        if response.status_code() != 101 {
            return harmless(response);
        }
        let socket = response.websocket();
        let socket = socket.ok_or_else(|| internal("sandbox", &"an upgrade without a socket"))?;
        // The socket alone, without a header of the sandbox's.
        Response::from_websocket(socket).map_err(failed)
    }

    /// What a request hears whose connection to the sandbox broke.
    fn broke(&self, error: &worker::Error) -> Problem {
        internal("sandbox", error);
        // What is known of it may be out of date: the next request looks again.
        self.provider.borrow_mut().take();
        Problem::new(
            ProblemKind::SandboxUnreachable,
            "the connection to the sandbox broke",
        )
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
                let deletions = self.deletions.get();
                let starting = async move {
                    let _alone = object.standing.lock().await;
                    if object.deletions.get() != deletions {
                        return Err(Problem::new(
                            ProblemKind::NotFound,
                            "the session was deleted",
                        ));
                    }
                    let place = object.take_place(&id).await?;
                    let start = Start {
                        session_id: id.clone(),
                        model_token: object.model_token().await?,
                        limits: place.limits,
                        sleep_after: object.sleep_after(brief),
                    };
                    let provider = object.provider(&id).await?;
                    let looks = !object.disk_ready.get();
                    if looks {
                        object.note_rest(false).await?;
                        // One that fails half way may leave something that runs.
                        object.remember_to_look(&id, start.sleep_after, brief).await;
                    }
                    let Ensured { endpoint, started } = provider.ensure_running(&start).await?;
                    if started || !object.disk_ready.get() {
                        object.disk_ready.set(false);
                        let restoring = object.saves()?.restore(&endpoint);
                        let restored = within(LONGEST, "the storage of saves", restoring).await?;
                        if restored != Restored::default() {
                            *object.restored.borrow_mut() = Some(restored);
                        }
                        object.disk_ready.set(true);
                        if !looks {
                            object.remember_to_look(&id, start.sleep_after, brief).await;
                        }
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
        self.deletions.set(self.deletions.get().wrapping_add(1));
        let _alone = self.standing.lock().await;
        self.provider(id).await?.delete().await?;
        self.saves()?.delete(id).await?;
        let storage = self.platform.storage();
        storage.delete_alarm().await.map_err(failed)?;
        storage.delete_all().await.map_err(failed)?;
        self.disk_ready.set(false);
        self.place.borrow_mut().take();
        self.provider.borrow_mut().take();
        self.saves()?.begin().map_err(failed)?;
        Ok(())
    }

    /// Where the sandbox runs. Before its first start that is where sandboxes of this deployment run
    /// that are asked for by nobody in particular: there is none yet.
    async fn provider(&self, id: &SessionId) -> std::result::Result<Rc<dyn Provider>, Problem> {
        if let Some(provider) = self.provider.borrow().as_ref() {
            return Ok(Rc::clone(provider));
        }
        let place = self.known_place().await?;
        let name = place.map_or_else(|| default_provider(&self.env), |place| place.provider);
        let provider = self.provider_named(&name, id)?;
        *self.provider.borrow_mut() = Some(Rc::clone(&provider));
        Ok(provider)
    }

    fn provider_named(
        &self,
        name: &str,
        id: &SessionId,
    ) -> std::result::Result<Rc<dyn Provider>, Problem> {
        if !offered(&self.env).contains(&name) {
            let words = format!(
                "this session's sandboxes run with {name}, which this deployment does not have (any more)"
            );
            return Err(Problem::new(ProblemKind::NotConfigured, words));
        }
        let platform = Rc::clone(&self.platform);
        Ok(match name {
            "docker" => Rc::new(docker::Docker::new(platform, &self.env, id)?),
            "fly_machines" => Rc::new(fly::Fly::new(platform, &self.env, id)?),
            "local" => Rc::new(local::Local::new(&self.env, id)?),
            _ => Rc::new(cloudflare::Cloudflare::new(platform, &self.env, id)?),
        })
    }

    /// Whether what runs under this object's name with a provider is its own: that is where it has been
    /// started first, unless it was deleted since.
    async fn owns(
        &self,
        id: &SessionId,
        question: &inventory::Question,
    ) -> std::result::Result<bool, Problem> {
        let _alone = self.standing.lock().await;
        let place = self.known_place().await?;
        if place.is_some_and(|place| place.provider == question.provider) {
            return Ok(true);
        }
        if question.remove {
            self.provider_named(&question.provider, id)?
                .delete()
                .await?;
        }
        Ok(false)
    }

    /// Where the sandbox was started first; none where it never was.
    async fn known_place(&self) -> std::result::Result<Option<Place>, Problem> {
        if let Some(place) = self.place.borrow().as_ref() {
            return Ok(Some(place.clone()));
        }
        let stored = self.platform.storage().get::<String>("place").await;
        let stored = stored.map_err(|error| internal("container storage", &error))?;
        let stored = stored.map(|text| serde_json::from_str::<Place>(&text));
        let stored = stored.transpose();
        let stored = stored.map_err(|error| internal("container storage", &error))?;
        self.place.borrow_mut().clone_from(&stored);
        Ok(stored)
    }

    /// Where the sandbox is to start: what its session says, the first time, and the same from then on.
    async fn take_place(&self, id: &SessionId) -> std::result::Result<Place, Problem> {
        if let Some(place) = self.known_place().await? {
            return Ok(place);
        }
        let wish = session::outbound(&self.env, id).await?;
        let name = wish.provider.unwrap_or_else(|| default_provider(&self.env));
        let place = Place::new(name, wish.limits);
        let text = serde_json::to_string(&place).map_err(|error| internal("place", &error))?;
        let kept = self.platform.storage().put("place", text).await;
        kept.map_err(|error| internal("container storage", &error))?;
        self.provider.borrow_mut().take();
        *self.place.borrow_mut() = Some(place.clone());
        Ok(place)
    }

    /// The token of this sandbox, made once.
    async fn model_token(&self) -> std::result::Result<String, Problem> {
        made_once(&self.platform, "model_token").await
    }

    /// The token of this sandbox, where it has one.
    async fn known_token(&self) -> std::result::Result<Option<String>, Problem> {
        let stored = self.platform.storage().get("model_token").await;
        stored.map_err(|error| internal("container storage", &error))
    }
}

/// A sandbox's answer. Of its headers only the type is kept, and only one that no browser takes for a page: what a
/// sandbox says must not act in the Worker's name.
fn harmless(response: Response) -> Answer {
    let given = response.headers().get("content-type").ok().flatten();
    let given = given.unwrap_or_default();
    let content_type = [answer::NDJSON, answer::PROBLEM, "application/json"]
        .into_iter()
        .find(|known| given.starts_with(known))
        .unwrap_or("application/octet-stream");
    let status = response.status_code();
    let (_, body) = response.into_parts();
    let builder = answer::stream_of(content_type).map_err(|error| internal("sandbox", &error))?;
    Ok(builder.with_status(status).body(body))
}
