//! The route table, and what becomes of a call.
//!
//! [`Router::serve`] is pure. It returns an answer, or a [`Job`]: a call that has to be sent to
//! somebody, and which knows what to try next when that fails. [`crate::relay`] carries jobs out.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::json;

use crate::answer::Answer;
use crate::api::Api;
use crate::attempts::{Attempts, Moment, Step};
use crate::auth::{self, Caller, Credential, Keys};
use crate::balance::Balance;
use crate::chat::reply::ChatForm;
use crate::chat::request::{self as chat_request, Head, NEWEST};
use crate::config::Config;
use crate::count;
use crate::demo;
use crate::deployment::{Environment, Target};
use crate::error::Refusal;
use crate::messages::MessagesRequest;
use crate::mock;
use crate::models;
use crate::providers::Dialect;
use crate::reply::{Identity, Reply, Usage, id_from};
use crate::route::{Group, Routes};
use crate::upstream::{Exchange, Inbound};
use crate::usage;

/// The largest body that is read, the limit of Anthropic's Messages API.
pub const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// A request, as a shell has read it.
pub struct Call<'a> {
    pub method: &'a str,
    /// Path and query, as they stand in the URL.
    pub path: &'a str,
    /// Reads a header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub body: Bytes,
    /// 128 random bits, for the ids of this call.
    pub entropy: u128,
    /// Milliseconds since the epoch.
    pub now: u64,
}

/// What is to be done with a call.
pub enum Served {
    Answer(Answer),
    /// Somebody has to be asked.
    Job(Box<Job>),
}

/// A configuration, ready to serve, and how its deployments are doing.
#[derive(Debug)]
pub struct Router {
    config: Config,
    routes: Routes,
    keys: Keys,
    balance: Mutex<Balance>,
}

/// The id of a call, sent as `x-request-id`.
pub fn request_id(entropy: u128) -> String {
    id_from("req_", entropy)
}

impl Router {
    /// Reads a configuration and, once, what it takes from the environment.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn new(yaml: &str, environment: Environment) -> Result<Arc<Self>, String> {
        let config = Config::parse(yaml)?;
        let routes = Routes::new(&config, environment);
        Ok(Arc::new(Self {
            keys: Keys::new(&config, environment),
            balance: Mutex::new(Balance::new(config.models.len())),
            config,
            routes,
        }))
    }

    /// One line for every key of the configuration that has no effect.
    pub fn warnings(&self) -> &[String] {
        &self.config.warnings
    }

    /// Whether callers have to present a key to use those of the router.
    pub fn has_master_key(&self) -> bool {
        self.keys.master().is_some_and(|key| !key.is_empty())
    }

    /// Serves one call.
    pub fn serve(self: &Arc<Self>, call: &Call) -> Served {
        let (path, query) = call.path.split_once('?').unwrap_or((call.path, ""));
        let api = Api::of_path(path);
        self.answer(call, path, query, api)
            .unwrap_or_else(|refusal| Served::Answer(refusal.answer_for(api)))
    }

    fn answer(
        self: &Arc<Self>,
        call: &Call,
        path: &str,
        query: &str,
        api: Api,
    ) -> Result<Served, Refusal> {
        let reads = matches!(call.method, "GET" | "HEAD");
        let posts = call.method == "POST";
        let (allowed, allow) = match path {
            "/" | "/health" | "/health/liveliness" | "/health/liveness" | "/health/readiness"
            | "/worker-health" | "/v1/models" => (reads, "GET, HEAD"),
            "/v1/messages" | "/v1/messages/count_tokens" | "/v1/chat/completions" => {
                (posts, "POST")
            }
            _ if path.starts_with("/v1/models/") => (reads, "GET, HEAD"),
            _ => return Err(Refusal::new(404, "there is nothing at this path")),
        };
        if !allowed {
            let mut refusal = Refusal::new(405, format!("this path takes {allow} only"));
            refusal.headers.push(("allow".into(), allow.into()));
            return Err(refusal);
        }
        if posts && (call.header)("origin").is_some() {
            let words = "calls from web pages are not accepted; call the router from a server";
            return Err(Refusal::new(403, words));
        }
        if call.body.len() > LARGEST_BODY {
            return Err(too_large());
        }
        let available = |name: &str| self.is_available(name);
        let models = &self.config.models;
        Ok(Served::Answer(match path {
            "/v1/messages" | "/v1/chat/completions" => {
                let request = Request::parse(api, &call.body)?;
                let job = self.job(call, query, &request, What::Message)?;
                return Ok(Served::Job(job));
            }
            "/v1/messages/count_tokens" => return self.count_tokens(call, query),
            "/v1/models" => models::list(&self.routes, models, query, &available),
            "/worker-health" | "/" => self.worker_health(),
            "/health" | "/health/liveliness" | "/health/liveness" | "/health/readiness" => {
                Answer::json(200, &json!({"status": "healthy"}))
            }
            _ => {
                let name = path.strip_prefix("/v1/models/").unwrap_or_default();
                let name = models::percent_decoded(name);
                models::one(&self.routes, models, &name, &available)?
            }
        }))
    }

    /// Anthropic counts for its own models, if there is a key; else the count is an estimate, which
    /// says so.
    fn count_tokens(self: &Arc<Self>, call: &Call, query: &str) -> Result<Served, Refusal> {
        let request = MessagesRequest::parse(&call.body)?;
        let group = self.group(&request.model)?;
        let caller = Caller::of(call.header, self.keys.master());
        let target = group.targets.first();
        let counts = target.is_some_and(|target| {
            target.provider.dialect == Dialect::Anthropic
                && !target.is_played_here()
                && self.credential(&caller, target).is_ok()
        });
        if counts {
            let request = Request::Messages(Box::new(request));
            let job = self.job(call, query, &request, What::Count)?;
            return Ok(Served::Job(job));
        }
        let count = json!({"input_tokens": count::of_request(&request), "estimate": true});
        Ok(Served::Answer(Answer::json(200, &count)))
    }

    fn group(&self, model: &str) -> Result<Group, Refusal> {
        let group = self.routes.find(model);
        group.ok_or_else(|| models::unknown(&self.routes, model))
    }

    fn job(
        self: &Arc<Self>,
        call: &Call,
        query: &str,
        request: &Request,
        what: What,
    ) -> Result<Box<Job>, Refusal> {
        let group = self.group(request.model())?;
        let caller = Caller::of(call.header, self.keys.master());
        caller.may_call(self.keys.master())?;
        let session = (call.header)("x-claude-code-session-id");
        let affinity = session.as_ref().map(|session| {
            let mut hasher = DefaultHasher::new();
            (session, &group.name).hash(&mut hasher);
            hasher.finish()
        });
        let own_key = matches!(caller, Caller::OwnKey(_));
        let mut attempts = Attempts::new(
            request.model(),
            group,
            affinity,
            own_key,
            &self.config.routing,
            call.now,
        );
        let first = attempts.first(self.moment(call.now, call.entropy as u64).as_moment());
        let mut job = Box::new(Job {
            router: Arc::clone(self),
            api: request.api(),
            what,
            caller,
            inbound: Inbound {
                body: call.body.clone(),
                query: query.to_owned(),
                anthropic_version: (call.header)("anthropic-version"),
                anthropic_beta: (call.header)("anthropic-beta"),
                accept: (call.header)("accept"),
            },
            identity: Identity {
                id: id_from(request.id_prefix(), call.entropy),
                model: request.model().to_owned(),
            },
            attempts,
            trail: Trail {
                model: request.model().chars().take(200).collect(),
                session: session.map(|session| session.chars().take(200).collect()),
                streams: request.streams(),
                began: call.now,
                ..Trail::default()
            },
            max_tokens: None,
            next: None,
        });
        // The request is parsed here, so what is asked first is made of it here as well.
        job.next = Some(job.prepare(first, request));
        Ok(job)
    }

    /// The world at this moment, locked.
    fn moment(&self, now: u64, random: u64) -> LockedMoment<'_> {
        LockedMoment {
            router: self,
            balance: self.balance(),
            now,
            random,
        }
    }

    fn balance(&self) -> MutexGuard<'_, Balance> {
        // Numbers that a panic has left half written are still numbers.
        self.balance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn credential(&self, caller: &Caller, target: &Target) -> Result<Option<Credential>, Refusal> {
        let found = auth::credential(caller, target, &self.keys);
        found.map_err(|mut refusal| {
            if *caller != Caller::Unknown {
                let served = self.providers(&[KeyState::Here, KeyState::NotNeeded]);
                let served = if served.is_empty() {
                    "this router has no key for any provider".to_owned()
                } else {
                    format!("this router can serve {}", served.join(", "))
                };
                refusal.message = format!(
                    "{}; {served}. Send your own as `Authorization: Bearer` or `x-api-key`, or \
                     choose a model of those.",
                    refusal.message
                );
            }
            refusal
        })
    }

    /// Whether a call to this model would find what it needs with the router's own keys.
    fn is_available(&self, name: &str) -> bool {
        self.routes.find(name).is_some_and(|group| {
            group.targets.iter().any(|target| {
                target.is_played_here()
                    || auth::credential(&Caller::Trusted, target, &self.keys).is_ok()
            })
        })
    }

    /// The providers of the model list whose state of keys is wanted, each once, in its order.
    fn providers(&self, wanted: &[KeyState]) -> Vec<&'static str> {
        let mut names = Vec::new();
        for deployment in self.routes.deployments() {
            let target = Target::new(deployment, &deployment.model);
            if target.is_played_here() {
                continue;
            }
            let key = match auth::credential(&Caller::Trusted, &target, &self.keys) {
                Ok(Some(_)) => KeyState::Here,
                Ok(None) => KeyState::NotNeeded,
                Err(_) => KeyState::Missing,
            };
            if wanted.contains(&key) && !names.contains(&target.provider.name) {
                names.push(target.provider.name);
            }
        }
        names
    }

    fn worker_health(&self) -> Answer {
        let all = [KeyState::Here, KeyState::NotNeeded, KeyState::Missing];
        Answer::json(
            200,
            &json!({
                "status": "healthy",
                "service": "litellm-router",
                "version": env!("CARGO_PKG_VERSION"),
                "available_providers": self.providers(&all),
                "internal_keys": self.providers(&[KeyState::Here]),
                "config_warnings": self.config.warnings,
            }),
        )
    }
}

/// Whether a provider's key is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyState {
    Here,
    NotNeeded,
    Missing,
}

struct LockedMoment<'a> {
    router: &'a Router,
    balance: MutexGuard<'a, Balance>,
    now: u64,
    random: u64,
}

impl LockedMoment<'_> {
    fn as_moment(&mut self) -> Moment<'_> {
        Moment {
            routes: &self.router.routes,
            routing: &self.router.config.routing,
            balance: &mut self.balance,
            now: self.now,
            random: self.random,
        }
    }
}

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Message,
    Count,
}

/// What is known about a call, for logs and metrics. Holds nothing of its content and no key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trail {
    pub model: String,
    pub session: Option<String>,
    /// `provider/model`, empty where nobody was asked.
    pub deployment: String,
    /// The deployment's id in the configuration.
    pub deployment_id: String,
    pub streams: bool,
    /// How many deployments were asked, and how many other groups it went through.
    pub attempts: u32,
    pub fallbacks: u32,
    pub usage: Usage,
    /// In US dollars, where the configuration has the prices.
    pub cost: Option<f64>,
    /// Milliseconds since the epoch.
    pub began: u64,
}

/// What a job wants done next.
pub enum Next {
    /// Wait for so many milliseconds, then send this.
    Send(Box<Exchange>, u64),
    /// The router answers itself.
    Answer(Answer),
    /// The call fails.
    Refuse(Refusal),
}

/// A call that has to be sent to somebody, with all that is needed to try again elsewhere.
pub struct Job {
    router: Arc<Router>,
    api: Api,
    what: What,
    caller: Caller,
    inbound: Inbound,
    identity: Identity,
    attempts: Attempts,
    trail: Trail,
    /// The limit on the answer's tokens that was sent last.
    max_tokens: Option<u64>,
    next: Option<Next>,
}

impl Job {
    /// What is to be done first.
    pub fn first(&mut self) -> Next {
        let over = || Next::Refuse(Refusal::new(500, "this call has been answered already"));
        self.next.take().unwrap_or_else(over)
    }

    /// What is to be done now that the last has failed.
    pub fn after(&mut self, refusal: Refusal, now: u64, random: u64) -> Next {
        let router = Arc::clone(&self.router);
        let mut moment = router.moment(now, random);
        let step = self
            .attempts
            .after(refusal, self.max_tokens, moment.as_moment());
        drop(moment);
        let body = self.inbound.body.clone();
        match Request::parse(self.api, &body) {
            Ok(request) => self.prepare(step, &request),
            Err(refusal) => Next::Refuse(refusal),
        }
    }

    /// The deployment that was asked last has begun to answer.
    pub fn began(&mut self, latency_ms: u64, now: u64) {
        let router = Arc::clone(&self.router);
        self.attempts
            .began(latency_ms, router.moment(now, 0).as_moment());
    }

    /// A deployment has been asked: it counts as busy until the flight is over.
    pub fn flight(&self, now: u64) -> Option<Flight> {
        let entry = self.attempts.target()?.deployment.entry;
        self.router.balance().began(entry, now);
        Some(Flight {
            router: Arc::clone(&self.router),
            entry,
            tokens: 0,
            now,
        })
    }

    /// Milliseconds since the epoch when the answer must have begun.
    pub fn deadline(&self) -> u64 {
        self.attempts.deadline()
    }

    /// What is known about the call, with what it has used.
    pub fn trail(&self, used: Usage) -> Trail {
        let mut trail = self.trail.clone();
        trail.usage = used;
        trail.attempts = self.attempts.made;
        trail.fallbacks = self.attempts.fallbacks;
        if let Some(target) = self.attempts.target() {
            trail.deployment = target.name();
            trail.deployment_id.clone_from(&target.deployment.id);
            trail.cost = target.deployment.prices.cost(&used);
        }
        trail
    }

    /// Whose dialect the caller speaks.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Whether the caller waits for a stream of events.
    pub fn streams(&self) -> bool {
        self.trail.streams && self.what == What::Message
    }

    /// Carries a step out as far as that needs nobody else. A deployment that fails here, because it
    /// is a mock that does, or has no key, counts as one that has failed.
    fn prepare(&mut self, mut step: Step, request: &Request) -> Next {
        let now = self.trail.began;
        loop {
            let (target, wait_ms, max_tokens) = match step {
                Step::Refuse(refusal) => return Next::Refuse(refusal),
                Step::Ask {
                    target,
                    wait_ms,
                    max_tokens,
                } => (target, wait_ms, max_tokens),
            };
            let asked = if target.is_played_here() {
                self.play(&target, request).map(Next::Answer)
            } else {
                self.exchange(&target, request, max_tokens).map(|exchange| {
                    self.max_tokens = exchange.max_tokens;
                    Next::Send(Box::new(exchange), wait_ms)
                })
            };
            step = match asked {
                Ok(next) => return next,
                Err(refusal) => {
                    let router = Arc::clone(&self.router);
                    let mut moment = router.moment(now, 0);
                    self.attempts.after(refusal, None, moment.as_moment())
                }
            };
        }
    }

    fn exchange(
        &self,
        target: &Target,
        request: &Request,
        max_tokens: Option<u64>,
    ) -> Result<Exchange, Refusal> {
        let credential = self.router.credential(&self.caller, target)?;
        let credential = credential.as_ref();
        let identity = self.identity.clone();
        match (request, self.what) {
            (Request::Messages(request), What::Count) => {
                Exchange::count(target, credential, request, &self.inbound)
            }
            (Request::Messages(request), What::Message) => Exchange::message(
                target,
                credential,
                request,
                &self.inbound,
                identity,
                max_tokens,
            ),
            (Request::Chat(head), _) => {
                let created = self.trail.began / 1000;
                Exchange::chat(target, credential, head, &self.inbound, identity, created)
            }
        }
    }

    fn play(&self, target: &Target, request: &Request) -> Result<Answer, Refusal> {
        self.caller.may_call_keyless(self.router.keys.master())?;
        let identity = self.identity.clone();
        match request {
            Request::Messages(request) => {
                let input_tokens = count::of_request(request);
                let reply = Reply::new(identity, request.streams(), input_tokens);
                played(target, request, reply)
            }
            Request::Chat(head) => {
                let call = chat_request::to_messages_for(&self.inbound.body, NEWEST)?;
                let request = MessagesRequest::parse(&call.body)?;
                let form = ChatForm::of(head, self.trail.began / 1000);
                played(target, &request, Reply::chat(identity, form))
            }
        }
    }
}

/// The answer of a deployment that the router plays itself.
fn played(target: &Target, request: &MessagesRequest, reply: Reply) -> Result<Answer, Refusal> {
    match target.deployment.mock_response.as_deref() {
        Some(mocked) => mock::answer(mocked, count::of_request(request), reply),
        None => demo::answer(request, reply),
    }
}

/// A request as its caller has written it, read as far as it has to be to know where it goes.
enum Request<'a> {
    Messages(Box<MessagesRequest<'a>>),
    /// Of a chat only the head: the rest may go to a provider without being read.
    Chat(Head),
}

impl<'a> Request<'a> {
    fn parse(api: Api, body: &'a [u8]) -> Result<Self, Refusal> {
        Ok(match api {
            Api::Messages => Self::Messages(Box::new(MessagesRequest::parse(body)?)),
            Api::Chat => Self::Chat(chat_request::head(body)?),
        })
    }

    fn api(&self) -> Api {
        match self {
            Self::Messages(_) => Api::Messages,
            Self::Chat(_) => Api::Chat,
        }
    }

    fn model(&self) -> &str {
        match self {
            Self::Messages(request) => &request.model,
            Self::Chat(head) => &head.model,
        }
    }

    fn streams(&self) -> bool {
        match self {
            Self::Messages(request) => request.streams(),
            Self::Chat(head) => head.streams,
        }
    }

    /// How the ids of answers begin.
    fn id_prefix(&self) -> &'static str {
        match self {
            Self::Messages(_) => "msg_",
            Self::Chat(_) => "chatcmpl-",
        }
    }
}

/// A call under way at a deployment, from the request to the end of its stream, however it ends.
#[derive(Debug)]
pub struct Flight {
    router: Arc<Router>,
    entry: usize,
    tokens: u64,
    now: u64,
}

impl Flight {
    /// What the call has used.
    pub fn used(&mut self, used: &Usage, now: u64) {
        self.tokens = usage::tokens(used);
        self.now = now;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.router
            .balance()
            .ended(self.entry, self.tokens, self.now);
    }
}

/// 413, for a shell that stops reading as well.
pub fn too_large() -> Refusal {
    Refusal::new(
        413,
        format!(
            "the body is larger than {} MiB",
            LARGEST_BODY / (1024 * 1024)
        ),
    )
}
