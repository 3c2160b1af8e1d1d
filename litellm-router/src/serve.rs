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
use crate::attempts::{Attempts, Moment, Wishes};
use crate::auth::{self, Caller, Credential, Keys};
use crate::balance::{Balance, Share};
use crate::cache::{Cache, CacheKey};
use crate::config::Config;
use crate::controls::Controls;
use crate::count;
use crate::deployment::{Environment, Target};
use crate::error::Refusal;
use crate::job::{Cached, Job, Next, Request, Trail, What};
use crate::messages::MessagesRequest;
use crate::metrics::Metrics;
use crate::models;
use crate::providers::Dialect;
use crate::relay::Record;
use crate::reply::{Identity, Usage, id_from};
use crate::route::{Group, Routes};
use crate::spend::{Account, Accounts, Books, Limits, Spending};
use crate::upstream::Inbound;
use crate::warnings;

/// The largest body that is read, the limit of Anthropic's Messages API.
pub const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// Marks a call that has gone through a router which sends everything on, so that none goes in
/// circles.
const WENT_THROUGH: &str = "x-litellm-router-hop";

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
    /// The books of this account are wanted, wherever the shell keeps them: see
    /// [`Router::books`] and [`Router::answer_with`].
    Books(Account),
}

/// A configuration, ready to serve, and how its deployments are doing.
#[derive(Debug)]
pub struct Router {
    config: Config,
    routes: Routes,
    pub(crate) keys: Keys,
    pub(crate) metrics: Metrics,
    balance: Mutex<Balance>,
    accounts: Mutex<Accounts>,
    cache: Option<Mutex<Cache>>,
}

/// What a call that is over has used, for an account's books.
#[derive(Debug, Clone, PartialEq)]
pub struct Booking {
    pub account: Account,
    pub spent: Spending,
    /// See [`Limits::budget_duration`].
    pub budget_duration: Option<u64>,
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
        let mut config = Config::parse(yaml)?;
        if let Some(base) = config.variable("ANTHROPIC_BASE_URL", environment) {
            let key = ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"];
            let key = key
                .iter()
                .find_map(|name| config.variable(name, environment));
            config.go_through(&base, key);
        }
        let routes = Routes::new(&config, environment);
        let missing = warnings::missing(&config, &routes, environment);
        config.warnings.extend(missing);
        Ok(Arc::new(Self {
            keys: Keys::new(&config, environment),
            metrics: Metrics::default(),
            accounts: Mutex::default(),
            cache: config.cache.clone().map(Cache::new).map(Mutex::new),
            balance: Mutex::new(Balance::new(config.models.len())),
            config,
            routes,
        }))
    }

    /// One line for everything in the configuration that has no effect or is not there.
    pub fn warnings(&self) -> &[String] {
        &self.config.warnings
    }

    /// Whether callers have to present a key to use those of the router.
    pub fn has_master_key(&self) -> bool {
        self.keys.master().is_some_and(|key| !key.is_empty())
    }

    /// The origin of the web page that calls, if it may.
    fn origin(&self, call: &Call) -> Option<String> {
        let origin = (call.header)("origin")?;
        let allowed = &self.config.allowed_origins;
        let may = allowed.iter().any(|one| *one == origin || one == "*");
        may.then_some(origin)
    }

    /// The headers by which a browser lets the calling page read the answer, where it may.
    pub fn headers_for_page(&self, call: &Call) -> Vec<(String, String)> {
        let Some(origin) = self.origin(call) else {
            return Vec::new();
        };
        [
            ("access-control-allow-origin", origin.as_str()),
            (
                "access-control-expose-headers",
                "x-request-id, request-id, retry-after",
            ),
            ("vary", "Origin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Serves one call.
    pub fn serve(self: &Arc<Self>, call: &Call) -> Served {
        let (path, query) = call.path.split_once('?').unwrap_or((call.path, ""));
        // LiteLLM takes OpenAI's paths without their beginning as well.
        let path = match path {
            "/chat/completions" => "/v1/chat/completions",
            "/models" => "/v1/models",
            path => path,
        };
        if call.method == "OPTIONS" && self.origin(call).is_some() {
            // A browser asks before it sends.
            let asked = (call.header)("access-control-request-headers").unwrap_or_default();
            let answer = Answer {
                status: 204,
                headers: Vec::new(),
                body: crate::answer::Body::Whole(Vec::new()),
            };
            return Served::Answer(
                answer
                    .with_header("access-control-allow-methods", "GET, HEAD, POST")
                    .with_header("access-control-allow-headers", asked)
                    .with_header("access-control-max-age", "86400"),
            );
        }
        let api = Api::of_path(path);
        self.answer(call, path, query, api)
            .unwrap_or_else(|refusal| {
                let refusal = refusal.of_call(request_id(call.entropy));
                Served::Answer(refusal.answer_for(api))
            })
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
            | "/worker-health" | "/v1/models" | "/metrics" => (reads, "GET, HEAD"),
            "/v1/messages" | "/v1/messages/count_tokens" | "/v1/chat/completions" => {
                (posts, "POST")
            }
            _ if path.starts_with("/v1/models/") || path.starts_with("/spend/") => {
                (reads, "GET, HEAD")
            }
            _ => return Err(Refusal::new(404, "there is nothing at this path")),
        };
        if !allowed {
            let mut refusal = Refusal::new(405, format!("this path takes {allow} only"));
            refusal.headers.push(("allow".into(), allow.into()));
            return Err(refusal);
        }
        if posts && (call.header)("origin").is_some() && self.origin(call).is_none() {
            let words = "calls from web pages are not accepted, unless general_settings.allowed_origins \
                         names their origin; call the router from a server";
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
                return self.message(call, query, &request);
            }
            "/v1/messages/count_tokens" => return self.count_tokens(call, query),
            "/v1/models" => {
                self.caller(call)?;
                models::list(&self.routes, models, query, &available)
            }
            "/worker-health" | "/" => self.worker_health(self.trusted(call).is_ok()),
            "/metrics" => {
                self.trusted(call)?;
                self.numbers(call.now)
            }
            "/health" | "/health/liveliness" | "/health/liveness" | "/health/readiness" => {
                Answer::json(200, &json!({"status": "healthy"}))
            }
            _ if path.starts_with("/spend/") => {
                self.trusted(call)?;
                return account_of(path).map(Served::Books);
            }
            _ => {
                self.caller(call)?;
                let name = path.strip_prefix("/v1/models/").unwrap_or_default();
                let name = models::percent_decoded(name);
                models::one(&self.routes, models, &name, &available)?
            }
        }))
    }

    /// Anthropic counts for its own models, if there is a key; else the count is an estimate, which
    /// says so.
    fn count_tokens(self: &Arc<Self>, call: &Call, query: &str) -> Result<Served, Refusal> {
        let caller = self.caller(call)?;
        let request = MessagesRequest::parse_call(&call.body)?;
        let group = self.group(&request.model)?;
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

    /// Who calls.
    ///
    /// # Errors
    /// 401 where the router asks for a key and the caller shows none.
    fn caller(&self, call: &Call) -> Result<Caller, Refusal> {
        let caller = Caller::of(call.header, &self.keys);
        caller.may_call(&self.keys)?;
        Ok(caller)
    }

    fn group(&self, model: &str) -> Result<Group, Refusal> {
        let group = self.routes.find(model);
        group.ok_or_else(|| models::unknown(&self.routes, model))
    }

    fn message(
        self: &Arc<Self>,
        call: &Call,
        query: &str,
        request: &Request,
    ) -> Result<Served, Refusal> {
        let mut cache_key = None;
        if let Some(cache) = &self.cache {
            let caller = self.caller(call)?;
            let says = |word: &str| {
                let control = (call.header)("cache-control");
                control.is_some_and(|control| control.to_ascii_lowercase().contains(word))
            };
            let cache = || cache.lock().unwrap_or_else(PoisonError::into_inner);
            if caller.is_trusted() && (!request.has_tools() || cache().with_tools()) {
                caller.may_use(&self.keys, request.model())?;
                let beta = (call.header)("anthropic-beta").unwrap_or_default();
                let key = CacheKey::of(request.api(), &beta, &call.body);
                let wished = request.controls();
                if !says("no-cache")
                    && !wished.no_cache
                    && let Some((body, streams)) = cache().get(&key, call.now)
                {
                    let group = self.group(request.model())?;
                    let mut job = self.new_job(call, query, request, What::Message, caller, group);
                    job.trail.cache = Cached::Hit;
                    job.trail.cost = Some(0.0);
                    let answer = kept_answer(body, streams, &key);
                    job.next = Some(Next::Answer(answer, Usage::default()));
                    return Ok(Served::Job(job));
                }
                cache_key = Some(key).filter(|_| !says("no-store") && !wished.no_store);
            }
        }
        let mut job = self.job(call, query, request, What::Message)?;
        if cache_key.is_some() {
            job.trail.cache = Cached::Miss;
        }
        job.cache_key = cache_key;
        Ok(Served::Job(job))
    }

    fn job(
        self: &Arc<Self>,
        call: &Call,
        query: &str,
        request: &Request,
        what: What,
    ) -> Result<Box<Job>, Refusal> {
        if self.config.through_gateway && (call.header)(WENT_THROUGH).is_some() {
            return Err(Refusal::new(
                508,
                "ANTHROPIC_BASE_URL leads this router back to itself; unset it where the router runs",
            )
            .final_());
        }
        let caller = self.caller(call)?;
        let group = self.group(request.model())?;
        caller.may_use(&self.keys, request.model())?;
        let accounts = self.accounts_of(&caller, call);
        if what == What::Message {
            self.admit(&accounts, call.now)?;
        }
        let mut job = self.new_job(call, query, request, what, caller, group);
        job.trail.accounts = accounts;
        let random = call.entropy as u64;
        let first = job
            .attempts
            .first(self.moment(call.now, random).as_moment());
        // The request is parsed here, so what is asked first is made of it here as well.
        job.next = Some(job.prepare(first, request, call.now, random));
        Ok(job)
    }

    /// A job of which nothing is done yet, and for which nobody pays.
    fn new_job(
        self: &Arc<Self>,
        call: &Call,
        query: &str,
        request: &Request,
        what: What,
        caller: Caller,
        group: Group,
    ) -> Box<Job> {
        let session = (call.header)("x-claude-code-session-id");
        let affinity = session.as_ref().map(|session| {
            let mut hasher = DefaultHasher::new();
            session.hash(&mut hasher);
            hasher.finish()
        });
        let own_key = matches!(caller, Caller::OwnKey(_));
        let trail = Trail {
            model: request.model().chars().take(200).collect(),
            group: group.name.clone(),
            session: session.map(|session| session.chars().take(200).collect()),
            streams: request.streams(),
            began: call.now,
            counts: what == What::Message,
            api: request.api(),
            ..Trail::default()
        };
        let attempts = Attempts::new(
            request.model(),
            group,
            affinity,
            own_key,
            &self.config.routing,
            call.now,
        )
        .wishing(self.wishes(&caller, request.controls()));
        Box::new(Job {
            router: Arc::clone(self),
            what,
            caller,
            inbound: Inbound {
                body: call.body.clone(),
                query: query.to_owned(),
                anthropic_version: (call.header)("anthropic-version"),
                anthropic_beta: (call.header)("anthropic-beta"),
                accept: (call.header)("accept"),
                // A gateway may well be LiteLLM, which reads them.
                own_keys: request.controls().any && !self.config.through_gateway,
                identity: self.identity_headers(call),
            },
            identity: Identity {
                id: id_from(request.id_prefix(), call.entropy),
                model: request.model().to_owned(),
            },
            attempts,
            trail,
            max_tokens: None,
            cache_key: None,
            next: None,
        })
    }

    /// What a caller may wish: only models that are configured, and that it may call.
    fn wishes(&self, caller: &Caller, controls: &Controls) -> Wishes {
        let mut fallbacks = controls.fallbacks.clone();
        fallbacks.retain(|name| {
            caller.may_use(&self.keys, name).is_ok() && self.routes.find(name).is_some()
        });
        Wishes {
            retries: controls.num_retries,
            fallbacks,
        }
    }

    /// Who calls, in the words of Claude Code and of this project, for a gateway that comes after this
    /// one. Providers do not get them.
    fn identity_headers(&self, call: &Call) -> Vec<(String, String)> {
        const IDENTITY: [&str; 4] = [
            "x-claude-code-session-id",
            "x-claude-code-agent-id",
            "x-claude-code-parent-agent-id",
            "x-agent-router-session",
        ];
        if !self.config.through_gateway {
            return Vec::new();
        }
        let told = IDENTITY
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), (call.header)(name)?)));
        told.chain([(WENT_THROUGH.to_owned(), "1".to_owned())])
            .collect()
    }

    /// Who pays for a call: the holder of a handed-out key, or the session for which a caller with the
    /// master key calls.
    fn accounts_of(&self, caller: &Caller, call: &Call) -> Vec<Account> {
        let mut accounts = Vec::new();
        if let Caller::Holder(place) = caller
            && let Some(holder) = self.keys.holder(*place)
        {
            accounts.push(Account::Key(holder.name.clone()));
        }
        if *caller == Caller::Trusted
            && let Some(id) = (call.header)("x-agent-router-session")
        {
            accounts.push(Account::Session(id.chars().take(200).collect()));
        }
        accounts
    }

    fn limits_of(&self, account: &Account) -> &Limits {
        match account {
            Account::Session(_) => &self.config.session_limits,
            Account::Key(name) => self.keys.limits(name),
        }
    }

    fn admit(&self, accounts: &[Account], now: u64) -> Result<(), Refusal> {
        if accounts.is_empty() {
            return Ok(());
        }
        let mut books = self.accounts();
        for account in accounts {
            let limits = self.limits_of(account);
            books.books(account).admit(account, limits, now)?;
        }
        // One that refuses uses up nothing of the others.
        for account in accounts {
            books.books(account).count();
        }
        Ok(())
    }

    /// A call is over: counts it, and returns what is to be booked wherever else books are kept.
    pub fn over(&self, record: &Record, now: u64) -> Vec<Booking> {
        self.metrics.over(record);
        let trail = &record.trail;
        if trail.accounts.is_empty() || !trail.counts {
            return Vec::new();
        }
        let spent = Spending::of(&trail.usage, trail.cost);
        let mut books = self.accounts();
        let accounts = trail.accounts.iter();
        accounts
            .map(|account| {
                let budget_duration = self.limits_of(account).budget_duration;
                books.books(account).book(&spent, budget_duration, now);
                Booking {
                    account: account.clone(),
                    spent,
                    budget_duration,
                }
            })
            .collect()
    }

    /// Accounts of this call with limits, of which this process knows nothing yet: what is kept
    /// elsewhere of them has to be read before ([`Self::learn`]).
    pub fn unknown_accounts(&self, call: &Call) -> Vec<Account> {
        let caller = Caller::of(call.header, &self.keys);
        let mut accounts = self.accounts_of(&caller, call);
        let books = self.accounts();
        accounts.retain(|account| {
            *self.limits_of(account) != Limits::NONE && books.known(account).is_none()
        });
        accounts
    }

    /// What an account has used, as far as this process knows.
    pub fn books(&self, account: &Account) -> Books {
        self.accounts().known(account).unwrap_or_default()
    }

    /// What an account has used by the word of who keeps the books of all processes.
    pub fn learn(&self, account: &Account, books: &Books) {
        self.accounts().books(account).learn(books);
    }

    /// How the deployments are doing, for other processes.
    pub fn shares(&self, now: u64) -> Vec<Share> {
        let mut balance = self.balance();
        let deployments = self.routes.deployments().iter();
        deployments
            .filter_map(|deployment| balance.share(deployment.entry, &deployment.id, now))
            .collect()
    }

    /// How the deployments are doing at all other processes together.
    pub fn learn_shares(&self, shares: &[Share], now: u64) {
        let mut balance = self.balance();
        for deployment in self.routes.deployments() {
            if let Some(share) = shares.iter().find(|share| share.id == deployment.id) {
                balance.learn(deployment.entry, share, now);
            }
        }
    }

    pub(crate) fn keep(&self, key: CacheKey, answer: Vec<u8>, streams: bool, now: u64) {
        if let Some(cache) = &self.cache {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.put(key, answer.into(), streams, now);
        }
    }

    /// The answer to [`Served::Books`], at the time `now`.
    pub fn answer_with(&self, account: &Account, mut books: Books, now: u64) -> Answer {
        books.turn_to(self.limits_of(account).budget_duration, now);
        books_answer(account, &books)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers of all callers are for who has the master key.
    fn trusted(&self, call: &Call) -> Result<(), Refusal> {
        match Caller::of(call.header, &self.keys) {
            Caller::Trusted => Ok(()),
            _ => Err(Refusal::new(
                401,
                "this is for callers with the router's master key",
            )),
        }
    }

    fn numbers(&self, now: u64) -> Answer {
        let balance = self.balance();
        for deployment in self.routes.deployments() {
            let in_flight = balance.in_flight(deployment.entry);
            let cooling = balance.cooling(deployment.entry, now) > 0;
            self.metrics.stands(&deployment.id, in_flight, cooling);
        }
        self.metrics.answer()
    }

    /// The world at this moment, locked.
    pub(crate) fn moment(&self, now: u64, random: u64) -> LockedMoment<'_> {
        LockedMoment {
            router: self,
            balance: self.balance(),
            now,
            random,
        }
    }

    pub(crate) fn balance(&self) -> MutexGuard<'_, Balance> {
        // Numbers that a panic has left half written are still numbers.
        self.balance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn credential(
        &self,
        caller: &Caller,
        target: &Target,
    ) -> Result<Option<Credential>, Refusal> {
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

    /// `tells_all`: the caller may read what is wrong with the configuration.
    fn worker_health(&self, tells_all: bool) -> Answer {
        let warnings = self.config.warnings.iter().filter(|_| tells_all);
        let all = [KeyState::Here, KeyState::NotNeeded, KeyState::Missing];
        Answer::json(
            200,
            &json!({
                "status": "healthy",
                "service": "litellm-router",
                "version": env!("CARGO_PKG_VERSION"),
                "available_providers": self.providers(&all),
                "internal_keys": self.providers(&[KeyState::Here]),
                "config_warnings": warnings.collect::<Vec<_>>(),
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

pub(crate) struct LockedMoment<'a> {
    router: &'a Router,
    balance: MutexGuard<'a, Balance>,
    now: u64,
    random: u64,
}

impl LockedMoment<'_> {
    pub(crate) fn as_moment(&mut self) -> Moment<'_> {
        Moment {
            routes: &self.router.routes,
            routing: &self.router.config.routing,
            balance: &mut self.balance,
            now: self.now,
            random: self.random,
        }
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

/// What an account has used, for `GET /spend/…`.
fn books_answer(account: &Account, books: &Books) -> Answer {
    Answer::json(
        200,
        &json!({
            "account": account.name(),
            "total": books.total,
            "period": books.period,
            "period_began": books.period_began,
        }),
    )
}

/// `/spend/sessions/{id}` or `/spend/keys/{name}`.
fn account_of(path: &str) -> Result<Account, Refusal> {
    let rest = path.strip_prefix("/spend/").unwrap_or_default();
    match rest.split_once('/') {
        Some(("sessions", id)) if !id.is_empty() => {
            Ok(Account::Session(models::percent_decoded(id)))
        }
        Some(("keys", name)) if !name.is_empty() => Ok(Account::Key(models::percent_decoded(name))),
        _ => Err(Refusal::new(
            404,
            "there is nothing at this path; what has been used is at /spend/sessions/{id} and \
             /spend/keys/{name}",
        )),
    }
}

/// An answer that was given before.
fn kept_answer(body: Bytes, streams: bool, key: &CacheKey) -> Answer {
    let body = crate::answer::Body::Whole(body.to_vec());
    let answer = if streams {
        Answer::events(body)
    } else {
        Answer {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body,
        }
    };
    answer.with_header("x-litellm-cache-key", key.name())
}
