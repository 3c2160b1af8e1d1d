//! A call that has to be sent to somebody: what is tried, and what is known of it when it is over.

use std::sync::Arc;

use crate::answer::Answer;
use crate::api::Api;
use crate::attempts::{Attempts, Sent, Step};
use crate::auth::Caller;
use crate::cache::CacheKey;
use crate::chat::reply::ChatForm;
use crate::chat::request::{self as chat_request, Head, NEWEST};
use crate::controls::Controls;
use crate::count;
use crate::demo;
use crate::deployment::Target;
use crate::error::{ErrorClass, Refusal};
use crate::messages::MessagesRequest;
use crate::mock;
use crate::reply::{Identity, Reply, Usage};
use crate::serve::Router;
use crate::spend::Account;
use crate::upstream::{Exchange, Inbound};
use crate::usage::{self, Prices};

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Message,
    Count,
}

/// Whether a call was answered with what an earlier one has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cached {
    /// It was not looked for.
    #[default]
    Off,
    Miss,
    Hit,
}

impl Cached {
    /// The word for it in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Miss => "miss",
            Self::Hit => "hit",
        }
    }
}

/// What is known about a call, for logs and metrics. Holds nothing of its content and no key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trail {
    pub model: String,
    /// `model_name` in the configuration that matched, empty where none did.
    pub group: String,
    /// By the client's own word; for logs alone.
    pub session: Option<String>,
    /// Who pays.
    pub accounts: Vec<Account>,
    /// `provider/model`, empty where nobody was asked.
    pub deployment: String,
    /// The deployment's id in the configuration.
    pub deployment_id: String,
    pub streams: bool,
    /// How many deployments were asked, and how many other groups it went through.
    pub attempts: u32,
    pub fallbacks: u32,
    /// What was used, with what attempts that were given up have used by estimate.
    pub usage: Usage,
    /// In US dollars, where the configuration has the prices.
    pub cost: Option<f64>,
    /// Whether a part of what was used has no price, and is not in `cost`.
    pub unpriced: bool,
    /// How many requests went to deployments.
    pub sent: u32,
    /// Milliseconds since the epoch.
    pub began: u64,
    /// Whether it is a call for a model's answer, and not for a count of tokens.
    pub counts: bool,
    pub api: Api,
    /// Its path, see [`route_of`].
    pub route: &'static str,
    pub cache: Cached,
}

impl Trail {
    /// Adds what was used at these prices.
    fn spend(&mut self, used: &Usage, prices: Prices) {
        self.usage.add(used);
        match prices.cost(used) {
            Some(cost) => self.cost = Some(self.cost.unwrap_or(0.0) + cost),
            None => self.unpriced |= *used != Usage::default(),
        }
    }

    /// Adds what a deployment has used that was sent this `body`, and whose word on it nobody has waited
    /// for: by estimate its input. To be told a number of tokens costs nothing.
    pub(crate) fn spend_unheard(&mut self, body: &[u8], prices: Prices) {
        if self.counts {
            let used = Usage {
                input_tokens: count::of_body(body),
                ..Usage::default()
            };
            self.spend(&used, prices);
        }
    }
}

/// A path as logs and metrics name it: what callers write into one, they do not.
pub fn route_of(path: &str) -> &'static str {
    const WHOLE: [&str; 6] = [
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/chat/completions",
        "/v1/models",
        "/metrics",
        "/worker-health",
    ];
    let is = |known: &&&'static str| **known == path;
    match WHOLE.iter().find(is) {
        Some(known) => known,
        None if path.starts_with("/v1/models/") => "/v1/models/{id}",
        None if path.starts_with("/spend/") => "/spend/{account}",
        None => "other",
    }
}

/// What a job wants done next.
pub enum Next {
    /// Wait for so many milliseconds, then send this.
    Send(Box<Exchange>, u64),
    /// The router answers itself, and this is what the answer uses.
    Answer(Answer, Usage),
    /// The call fails.
    Refuse(Refusal),
}

/// A call that has to be sent to somebody, with all that is needed to try again elsewhere.
pub struct Job {
    pub(crate) router: Arc<Router>,
    pub(crate) what: What,
    pub(crate) caller: Caller,
    pub(crate) inbound: Inbound,
    pub(crate) identity: Identity,
    pub(crate) attempts: Attempts,
    /// What is known from the beginning; its usage and cost are of attempts that were given up.
    pub(crate) trail: Trail,
    /// The limit on the answer's tokens that was sent last.
    pub(crate) max_tokens: Option<u64>,
    /// Under which the answer is kept, where answers are.
    pub(crate) cache_key: Option<CacheKey>,
    pub(crate) next: Option<Next>,
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
        if let Some(target) = self.attempts.target() {
            let id = &target.deployment.id;
            router.metrics.failed(id, refusal.class());
        }
        let mut moment = router.moment(now, random);
        let sent = self.max_tokens.map_or(Sent::Request, Sent::Limit);
        let step = self.attempts.after(refusal, sent, moment.as_moment());
        drop(moment);
        let body = self.inbound.body.clone();
        match Request::parse(self.trail.api, &body) {
            Ok(request) => self.prepare(step, &request, now, random),
            Err(refusal) => Next::Refuse(refusal),
        }
    }

    /// The deployment that was asked last has begun to answer.
    pub fn began(&mut self, latency_ms: u64, now: u64) {
        let router = Arc::clone(&self.router);
        if let Some(target) = self.attempts.target() {
            router.metrics.succeeded(&target.deployment.id);
        }
        self.attempts
            .began(latency_ms, router.moment(now, 0).as_moment());
        // Nothing is tried again from here on.
        self.inbound.body = bytes::Bytes::new();
    }

    /// The deployment has failed in the middle of its answer.
    pub fn broke(&mut self, class: ErrorClass, now: u64) {
        let router = Arc::clone(&self.router);
        if let Some(target) = self.attempts.target() {
            router.metrics.failed(&target.deployment.id, class);
        }
        self.attempts
            .broke(class, router.moment(now, 0).as_moment());
    }

    /// Headers that tell which deployment has answered, in LiteLLM's names.
    pub fn headers(&self) -> Vec<(String, String)> {
        let Some(target) = self.attempts.target() else {
            return Vec::new();
        };
        let fallbacks = self.attempts.fallbacks;
        let retries = self.attempts.made.saturating_sub(1 + fallbacks);
        [
            ("x-litellm-model-id", target.deployment.id.clone()),
            ("x-litellm-model-group", target.deployment.group.clone()),
            ("x-litellm-attempted-retries", retries.to_string()),
            ("x-litellm-attempted-fallbacks", fallbacks.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// A deployment has been asked: it counts as busy until the flight is over. What goes there with a
    /// caller's own key takes nothing from what the router's key may.
    pub fn flight(&self, now: u64) -> Option<Flight> {
        if self.attempts.with_own_key() {
            return None;
        }
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
        trail.attempts = self.attempts.made;
        trail.fallbacks = self.attempts.fallbacks;
        if let Some(target) = self.attempts.target() {
            trail.deployment = target.name();
            trail.group.clone_from(&target.deployment.group);
            trail.deployment_id.clone_from(&target.deployment.id);
        }
        trail.spend(&used, self.prices());
        trail
    }

    /// A request goes out to the deployment.
    pub fn sent(&mut self) {
        self.trail.sent = self.trail.sent.saturating_add(1);
    }

    /// The deployment was given up after it had been sent this.
    pub fn gave_up(&mut self, body: &[u8]) {
        let prices = self.prices();
        self.trail.spend_unheard(body, prices);
    }

    /// The prices of the deployment that was asked last.
    pub fn prices(&self) -> Prices {
        let target = self.attempts.target();
        target.map_or(Prices::default(), |target| target.deployment.prices)
    }

    /// The router that the call came to.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Whether the answer's bytes are to be kept, and handed to [`Self::keep`].
    pub fn wants_answer(&self) -> bool {
        self.cache_key.is_some()
    }

    /// Keeps a good answer for the next that asks the same.
    pub fn keep(&self, answer: Vec<u8>, now: u64) {
        if let Some(key) = self.cache_key {
            self.router.keep(key, answer, self.trail.streams, now);
        }
    }

    /// What the call is called, see [`crate::serve::request_id`].
    pub fn request_id(&self) -> Option<String> {
        self.identity.request_id()
    }

    /// Whose dialect the caller speaks.
    pub fn api(&self) -> Api {
        self.trail.api
    }

    /// Whether the caller waits for a stream of events.
    pub fn streams(&self) -> bool {
        self.trail.streams && self.what == What::Message
    }

    /// Carries a step out as far as that needs nobody else. A deployment that fails here, because it
    /// is a mock that does, or has no key, counts as one that has failed.
    pub(crate) fn prepare(
        &mut self,
        mut step: Step,
        request: &Request,
        now: u64,
        random: u64,
    ) -> Next {
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
                self.play(&target, request)
                    .map(|(answer, used)| Next::Answer(answer, used))
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
                    let mut moment = router.moment(now, random);
                    let sent = Sent::Nothing;
                    self.attempts.after(refusal, sent, moment.as_moment())
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
        let exchange = match (request, self.what) {
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
                let caller = &self.inbound;
                Exchange::chat(
                    target, credential, head, caller, identity, created, max_tokens,
                )
            }
        };
        exchange.map(|mut exchange| {
            if let Some(timeout_ms) = request.controls().timeout_ms {
                exchange.is_hurried = timeout_ms < exchange.timeout_ms;
                exchange.timeout_ms = exchange.timeout_ms.min(timeout_ms);
            }
            exchange
        })
    }

    fn play(&self, target: &Target, request: &Request) -> Result<(Answer, Usage), Refusal> {
        self.caller.may_call_keyless(&self.router.keys)?;
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

/// The answer of a deployment that the router plays itself, and what it uses.
fn played(
    target: &Target,
    request: &MessagesRequest,
    reply: Reply,
) -> Result<(Answer, Usage), Refusal> {
    match target.deployment.mock_response.as_deref() {
        Some(mocked) => mock::answer(mocked, count::of_request(request), reply),
        None => demo::answer(request, reply),
    }
}

/// A request as its caller has written it, read as far as it has to be to know where it goes.
pub(crate) enum Request<'a> {
    Messages(Box<MessagesRequest<'a>>),
    /// Of a chat only the head: the rest may go to a provider without being read.
    Chat(Head),
}

impl<'a> Request<'a> {
    pub(crate) fn parse(api: Api, body: &'a [u8]) -> Result<Self, Refusal> {
        Ok(match api {
            Api::Messages => Self::Messages(Box::new(MessagesRequest::parse_call(body)?)),
            Api::Chat => Self::Chat(chat_request::head(body)?),
        })
    }

    pub(crate) fn api(&self) -> Api {
        match self {
            Self::Messages(_) => Api::Messages,
            Self::Chat(_) => Api::Chat,
        }
    }

    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Messages(request) => &request.model,
            Self::Chat(head) => &head.model,
        }
    }

    pub(crate) fn streams(&self) -> bool {
        match self {
            Self::Messages(request) => request.streams(),
            Self::Chat(head) => head.streams,
        }
    }

    /// What it asks of the router itself.
    pub(crate) fn controls(&self) -> &Controls {
        match self {
            Self::Messages(request) => &request.controls,
            Self::Chat(head) => &head.controls,
        }
    }

    /// Whether the model may call tools.
    pub(crate) fn has_tools(&self) -> bool {
        match self {
            Self::Messages(request) => !request.tools.is_empty(),
            Self::Chat(head) => head.has_tools,
        }
    }

    /// How the ids of answers begin.
    pub(crate) fn id_prefix(&self) -> &'static str {
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
