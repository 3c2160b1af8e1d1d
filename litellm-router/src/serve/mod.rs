//! The route table, and what becomes of a call.
//!
//! [`Router::serve`] is pure. It returns an answer, or a [`Job`]: a call that has to be sent to
//! somebody, and which knows what to try next when that fails. [`crate::relay`] carries jobs out.

mod about;
mod accounts;
mod begin;
mod refused;
mod room;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::answer::Answer;
use crate::api::Api;
use crate::attempts::Moment;
use crate::auth::{Caller, Keys};
use crate::balance::{Balance, Share};
use crate::cache::Cache;
use crate::config::{Config, Wrong};
use crate::count;
use crate::deployment::{Environment, Target};
use crate::error::Refusal;
use crate::job::{Job, Request, What};
use crate::messages::MessagesRequest;
use crate::metrics::Metrics;
use crate::models;
use crate::providers::Dialect;
use crate::relay::Record;
use crate::reply::id_from;
use crate::route::{Group, Routes};
use crate::spend::{Account, Accounts};
use crate::warnings;

pub use about::without_configuration;
pub use accounts::Booking;
pub use room::{Room, no_room};

/// The largest body that is read, the limit of Anthropic's Messages API.
pub const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// How long a caller may take to send a body. [`LARGEST_BODY`] over a slow line takes that long.
pub const BODY_TIME: Duration = Duration::from_secs(300);

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
    /// When its head came, in milliseconds since the epoch.
    pub came: u64,
    /// The time, in milliseconds since the epoch.
    pub now: u64,
}

/// Who has come through the door with a call: see [`Router::enter`].
pub struct Guest {
    pub(super) caller: Caller,
    /// Who pays.
    pub(super) accounts: Vec<Account>,
}

impl Guest {
    /// Whether it has shown a key of this router, or the router asks for none.
    pub fn is_known(&self) -> bool {
        self.caller.is_trusted() || self.caller.is_believed()
    }
}

/// What is to be done with a call.
pub enum Served {
    Answer(Answer),
    /// The call comes to nothing. It has been counted, and is to be logged.
    Refused(Answer, Box<Record>),
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

/// The id of a call, sent as `x-request-id`.
pub fn request_id(entropy: u128) -> String {
    id_from("req_", entropy)
}

impl Router {
    /// Reads a configuration and, once, what it takes from the environment.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn new(yaml: &str, environment: Environment) -> Result<Arc<Self>, Wrong> {
        let mut config = Config::parse(yaml)?;
        if let Some(base) = config.variable("ANTHROPIC_BASE_URL", environment) {
            let key = ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"];
            let key = key
                .iter()
                .find_map(|name| config.variable(name, environment));
            config.go_through(&base, key);
        }
        let routes = Routes::new(&config, environment);
        let keys = Keys::new(&config, environment);
        let missing = warnings::missing(&config, &routes, environment);
        config.warnings.extend(missing);
        // What stops everything is told first.
        let shut = keys.shut().map(str::to_owned);
        config.warnings.splice(0..0, shut);
        Ok(Arc::new(Self {
            keys,
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

    /// Whether callers have to present a key to use those of the router: the master key, or one that
    /// the configuration hands out.
    pub fn asks_for_a_key(&self) -> bool {
        self.keys.asks()
    }

    /// Why every call is refused, where it is: the variable of the master key is not set.
    pub fn shut(&self) -> Option<&str> {
        self.keys.shut()
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

    /// Whether a call may come in, which is known before its body is read. Its body is not looked at.
    ///
    /// # Errors
    /// What is to be said to it where there is nothing more to know of it.
    pub fn enter(&self, call: &Call) -> Result<Guest, Served> {
        if let Some(answer) = self.preflight(call) {
            return Err(Served::Answer(answer));
        }
        let (path, _) = path_and_query(call.path);
        let caller = match self.door(call, path) {
            Ok(caller) => caller,
            Err(refusal) => return Err(self.refuse(call, None, refusal)),
        };
        let accounts = self.accounts_of(&caller, call);
        Ok(Guest { caller, accounts })
    }

    /// Serves a call that has come in.
    pub fn serve(self: &Arc<Self>, call: &Call, guest: &Guest) -> Served {
        let answered = self.answer(call, guest);
        answered.unwrap_or_else(|refusal| self.refuse(call, Some(guest), refusal))
    }

    /// A browser asks before it sends.
    fn preflight(&self, call: &Call) -> Option<Answer> {
        if call.method != "OPTIONS" {
            return None;
        }
        self.origin(call)?;
        let asked = (call.header)("access-control-request-headers").unwrap_or_default();
        let answer = Answer {
            status: 204,
            headers: Vec::new(),
            body: crate::answer::Body::Whole(Vec::new()),
        };
        let answer = answer
            .with_header("access-control-allow-methods", "GET, HEAD, POST")
            .with_header("access-control-allow-headers", asked)
            .with_header("access-control-max-age", "86400");
        Some(answer)
    }

    /// Whether there is anything at a path for this method, this page, and this key.
    fn door(&self, call: &Call, path: &str) -> Result<Caller, Refusal> {
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
        let caller = Caller::of(call.header, &self.keys);
        // Numbers of all callers are for who has the master key.
        if (path == "/metrics" || path.starts_with("/spend/")) && caller != Caller::Trusted {
            let words = "this is for callers with the router's master key";
            return Err(Refusal::new(401, words));
        }
        if posts || path.starts_with("/v1/models") {
            caller.may_call(&self.keys)?;
        }
        Ok(caller)
    }

    /// What becomes of a call that has come through the door.
    fn answer(self: &Arc<Self>, call: &Call, guest: &Guest) -> Result<Served, Refusal> {
        let (path, query) = path_and_query(call.path);
        if call.body.len() > LARGEST_BODY {
            return Err(too_large());
        }
        let available = |name: &str| self.is_available(name);
        let models = &self.config.models;
        Ok(Served::Answer(match path {
            "/v1/messages" | "/v1/chat/completions" => {
                let request = Request::parse(Api::of_path(path), &call.body)?;
                return self.message(call, guest, query, &request);
            }
            "/v1/messages/count_tokens" => return self.count_tokens(call, guest, query),
            "/v1/models" => {
                let names = self.names_for(guest);
                models::list(&self.routes, models, &names, query, &available)
            }
            "/worker-health" | "/" => self.worker_health(path, guest.caller == Caller::Trusted),
            "/metrics" => self.numbers(call.now),
            "/health" | "/health/liveliness" | "/health/liveness" | "/health/readiness" => {
                self.health(path)
            }
            _ if path.starts_with("/spend/") => return self.account_of(path).map(Served::Books),
            _ => {
                let name = path.strip_prefix("/v1/models/").unwrap_or_default();
                let name = models::percent_decoded(name);
                guest.caller.may_use(&self.keys, &name)?;
                models::one(&self.routes, models, &name, &available)?
            }
        }))
    }

    /// The models that are listed for a caller: those that its key is for, as in LiteLLM. What only the
    /// keys of others name is no stranger's business.
    fn names_for(&self, guest: &Guest) -> Vec<&str> {
        let held = match guest.is_known() || !self.keys.asks() {
            true => self.routes.named_by_keys(),
            false => &[],
        };
        let names = self.routes.names().iter().chain(held).map(String::as_str);
        names
            .filter(|name| guest.caller.may_use(&self.keys, name).is_ok())
            .collect()
    }

    /// Anthropic counts for its own models, if there is a key; else the count is an estimate, which
    /// says so.
    fn count_tokens(
        self: &Arc<Self>,
        call: &Call,
        guest: &Guest,
        query: &str,
    ) -> Result<Served, Refusal> {
        let caller = &guest.caller;
        let request = MessagesRequest::parse_call(&call.body)?;
        let group = self.group(&request.model)?;
        if group.targets.iter().any(|one| self.counts(caller, one)) {
            let request = Request::Messages(Box::new(request));
            let job = self.job(call, guest, query, &request, What::Count)?;
            return Ok(Served::Job(job));
        }
        let count = json!({"input_tokens": count::of_request(&request), "estimate": true});
        Ok(Served::Answer(Answer::json(200, &count)))
    }

    /// Whether a deployment can count tokens for this caller.
    fn counts(&self, caller: &Caller, target: &Target) -> bool {
        target.provider.dialect == Dialect::Anthropic
            && !target.is_played_here()
            && self.credential(caller, target).is_ok()
    }

    fn group(&self, model: &str) -> Result<Group, Refusal> {
        let group = self.routes.find(model);
        group.ok_or_else(|| models::unknown(&self.routes, model))
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
}

/// A call's path, in its usual form, and what comes after the question mark.
fn path_and_query(path: &str) -> (&str, &str) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    // LiteLLM takes OpenAI's paths without their beginning as well.
    let path = match path {
        "/chat/completions" => "/v1/chat/completions",
        "/models" => "/v1/models",
        path => path,
    };
    (path, query)
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

/// 408, for a shell that has waited so long for a body.
pub fn too_slow(time: Duration) -> Refusal {
    let seconds = time.as_secs_f64();
    let words = format!("the body has not come to its end within {seconds} s");
    Refusal::new(408, words)
}
