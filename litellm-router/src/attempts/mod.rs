//! What is tried next when a call has failed: the same deployment after a while, another of its
//! group, another group, or nothing.
//!
//! The rules are LiteLLM's router's (<https://docs.litellm.ai/docs/routing>,
//! <https://docs.litellm.ai/docs/proxy/reliability>), with two that it does not have: a caller's own
//! key never goes to another provider than the first, and a request that a provider calls wrong is
//! not tried anywhere else, because clients like Claude Code mend it by what that provider says.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::balance::{Asking, Balance, Outcome};
use crate::config::{Fallbacks, Routing};
use crate::deployment::Target;
use crate::error::{ErrorClass, Refusal};
use crate::route::{Group, Routes};

/// LiteLLM's first wait before a retry.
const FIRST_WAIT_MS: f64 = 500.0;
/// Its longest.
const LONGEST_WAIT_MS: f64 = 8_000.0;
/// Up to so much is added at random, so that callers do not come back all at once.
const JITTER_MS: f64 = 750.0;
/// A provider's word on when to come back is waited for up to here; who needs longer is told so.
const LONGEST_RETRY_AFTER_MS: u64 = 60_000;
/// No retry policy asks for more.
const MOST_RETRIES: u32 = 20;

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Ask this deployment.
    Ask {
        target: Target,
        /// After so many milliseconds.
        wait_ms: u64,
        /// With this limit on the answer's tokens instead of the caller's.
        max_tokens: Option<u64>,
    },
    /// Tell the caller.
    Refuse(Refusal),
}

/// What a deployment that failed had been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Nothing,
    Request,
    /// A request with this limit on the answer's tokens.
    Limit(u64),
}

/// What the attempts of a call may use: the state of the world at one moment.
pub struct Moment<'a> {
    pub routes: &'a Routes,
    pub routing: &'a Routing,
    pub balance: &'a mut Balance,
    /// Milliseconds since the epoch.
    pub now: u64,
    pub random: u64,
}

/// What a caller wants otherwise than the configuration has it.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// How often a call is tried again, for classes of errors without a number of their own.
    pub retries: Option<u32>,
    /// The groups after the one that was asked for, if there are any.
    pub fallbacks: Vec<String>,
}

/// Where a deployment's requests go: its provider, its address, and whether callers' own keys are for it.
fn place(target: &Target) -> (&'static str, String, bool) {
    (
        target.provider.name,
        target.api_base().to_owned(),
        target.deployment.takes_own_keys,
    )
}

/// The attempts of one call.
#[derive(Debug)]
pub struct Attempts {
    group: Group,
    session: Option<u64>,
    /// The caller has brought a key: it is asked only at this provider, at this place, by entries that
    /// take such keys or by such that don't.
    only: Option<(&'static str, String, bool)>,
    /// That key goes upstream, not the router's.
    own_key: bool,
    /// Entries of the present group that have failed this call.
    failed: Vec<usize>,
    retries: u32,
    /// Groups that are left, once the first has failed, and those that were.
    left: VecDeque<String>,
    seen: Vec<String>,
    /// What the group that was asked for has said.
    first_refusal: Option<Refusal>,
    /// Whether the answer's limit has been lowered once.
    lowered: bool,
    /// What the caller wants otherwise than the configuration has it.
    wished: Wishes,
    /// Whether no other group is asked.
    within_group: bool,
    last: Option<Target>,
    pub made: u32,
    pub fallbacks: u32,
    deadline: u64,
}

impl Attempts {
    /// The attempts of a call to `group`, which `asked` has named. `session` is a hash of the
    /// conversation.
    pub fn new(
        asked: &str,
        group: Group,
        session: Option<u64>,
        own_key: bool,
        routing: &Routing,
        now: u64,
    ) -> Self {
        let first = group.targets.first();
        let first = first.map(place);
        let mut attempts = Self {
            group,
            session,
            only: own_key.then(|| first.unwrap_or_default()),
            own_key,
            failed: Vec::new(),
            retries: 0,
            left: VecDeque::new(),
            seen: vec![asked.to_owned()],
            first_refusal: None,
            lowered: false,
            wished: Wishes::default(),
            within_group: false,
            last: None,
            made: 0,
            fallbacks: 0,
            deadline: now.saturating_add((routing.deadline_s * 1000.0) as u64),
        };
        attempts.keep_to_provider();
        attempts
    }

    /// The same attempts, as the caller wishes.
    pub fn wishing(mut self, wished: Wishes) -> Self {
        self.wished = wished;
        self
    }

    /// The same attempts; where `within_group` is set, no other group is asked.
    pub fn within_group(mut self, within_group: bool) -> Self {
        self.within_group = within_group;
        self
    }

    /// The same attempts, which keep to their provider; where `instead` is set, the router's key goes
    /// there instead of the caller's own.
    pub fn with_routers_key(mut self, instead: bool) -> Self {
        self.own_key &= !instead;
        self
    }

    /// Milliseconds since the epoch when an answer must have begun.
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Whether it is the caller's own key that goes upstream: what becomes of such calls says nothing
    /// to other callers.
    pub fn with_own_key(&self) -> bool {
        self.own_key
    }

    /// The deployment that was asked last.
    pub fn target(&self) -> Option<&Target> {
        self.last.as_ref()
    }

    /// The deployment to begin with.
    pub fn first(&mut self, mut moment: Moment) -> Step {
        self.choose(0, None, &mut moment)
    }

    /// What comes after the failure of the deployment that was asked last. `sent` says whether it was
    /// sent anything, and the limit on tokens if it was sent one.
    pub fn after(&mut self, refusal: Refusal, sent: Sent, mut moment: Moment) -> Step {
        let class = refusal.class();
        let retry_after_ms = retry_after_ms(&refusal);
        let Some(last) = self.last.clone() else {
            return Step::Refuse(refusal);
        };
        // What a caller's own key or a missing one meets says nothing of the deployment, nor does a
        // name that the caller has made up and a pattern has taken.
        let made_up = class == ErrorClass::NotFound && last.deployment.model.contains('*');
        let says_something = !made_up && !refusal.is_of_the_caller();
        if !self.own_key && sent != Sent::Nothing && says_something {
            self.heard(Outcome::Failed(class, retry_after_ms), &mut moment);
        }
        self.failed.push(last.deployment.entry);
        if moment.now >= self.deadline {
            return self.refuse(refusal);
        }
        if let Sent::Limit(asked) = sent
            && let Some(fewer) = refusal.with_fewer_tokens(asked)
            && !self.lowered
        {
            self.lowered = true;
            return self.ask(last, 0, Some(fewer));
        }
        if self.may_retry(class, &last, moment.routing) {
            let others = self.has_others(&mut moment);
            let wait_ms = if others {
                0
            } else {
                self.wait_ms(retry_after_ms, moment.routing, moment.random)
            };
            let patient = retry_after_ms.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER_MS);
            let in_time = moment.now.saturating_add(wait_ms) < self.deadline;
            if others || (class.may_pass() && patient && in_time) {
                self.retries += 1;
                return self.choose(wait_ms, Some(last), &mut moment);
            }
        }
        self.next_group(refusal, &mut moment)
    }

    /// The deployment has begun to answer after so many milliseconds.
    pub fn began(&mut self, latency_ms: u64, mut moment: Moment) {
        if !self.own_key {
            self.heard(Outcome::Began(latency_ms), &mut moment);
        }
        if let (Some(session), Some(target)) = (self.conversation(), &self.last) {
            moment.balance.settle(session, target.deployment.entry);
        }
    }

    /// The deployment has failed in the middle of its answer, when nothing can be tried again.
    pub fn broke(&mut self, class: ErrorClass, mut moment: Moment) {
        if !self.own_key {
            self.heard(Outcome::Failed(class, None), &mut moment);
        }
    }

    fn heard(&self, outcome: Outcome, moment: &mut Moment) {
        if let Some(target) = &self.last {
            let (entry, size) = (target.deployment.entry, self.group.targets.len());
            moment
                .balance
                .heard(entry, outcome, size, moment.routing, moment.now);
        }
    }

    /// The conversation within the present group: each has a cache of its own.
    fn conversation(&self) -> Option<u64> {
        let session = self.session?;
        let mut hasher = DefaultHasher::new();
        (session, &self.group.name).hash(&mut hasher);
        Some(hasher.finish())
    }

    fn may_retry(&self, class: ErrorClass, last: &Target, routing: &Routing) -> bool {
        let policy = &routing.retry_policy;
        let of_class = match class {
            ErrorClass::BadRequest
            | ErrorClass::RequestTooLarge
            | ErrorClass::ContextWindowExceeded => policy.bad_request,
            ErrorClass::Authentication
            | ErrorClass::PermissionDenied
            | ErrorClass::PaymentRequired => policy.authentication,
            ErrorClass::NotFound => policy.not_found,
            ErrorClass::Timeout => policy.timeout_error,
            ErrorClass::RateLimit => policy.rate_limit,
            ErrorClass::ContentPolicyViolation => policy.content_policy,
            ErrorClass::ServiceUnavailable | ErrorClass::Overloaded | ErrorClass::BadGateway => {
                policy.service_unavailable
            }
            ErrorClass::FailedGeneration | ErrorClass::InternalServer | ErrorClass::Connection => {
                policy.internal_server
            }
        };
        let allowed = of_class
            .or(policy.default)
            .or(self.wished.retries)
            .unwrap_or(routing.retries)
            .min(last.deployment.max_retries.unwrap_or(MOST_RETRIES))
            .min(MOST_RETRIES);
        self.retries < allowed && class.may_pass_elsewhere()
    }

    /// Whether the group has a deployment that can be asked now and has not failed this call.
    fn has_others(&self, moment: &mut Moment) -> bool {
        self.group.targets.iter().any(|target| {
            let entry = target.deployment.entry;
            !self.failed.contains(&entry)
                && (self.with_own_key()
                    || moment.balance.is_open(target, moment.routing, moment.now))
        })
    }

    fn wait_ms(&self, retry_after_ms: Option<u64>, routing: &Routing, random: u64) -> u64 {
        let doublings = if routing.exponential_backoff {
            self.retries.min(16)
        } else {
            0
        };
        let backoff = (FIRST_WAIT_MS * f64::from(1_u32 << doublings)).min(LONGEST_WAIT_MS);
        let least = routing.retry_after_s * 1000.0;
        let jitter = JITTER_MS * (random % 1_000) as f64 / 1_000.0;
        let wait = retry_after_ms.unwrap_or(backoff as u64).max(least as u64);
        wait.saturating_add(jitter as u64)
    }

    /// `last` is asked again where all are cooling down: that is what a wait was for.
    fn choose(&mut self, wait_ms: u64, last: Option<Target>, moment: &mut Moment) -> Step {
        let chosen = moment
            .balance
            .choose(
                &self.group.targets,
                Asking {
                    session: self.conversation(),
                    failed: &self.failed,
                    own_key: self.with_own_key(),
                },
                moment.routing,
                moment.now,
                moment.random,
            )
            .cloned();
        match (chosen, last) {
            (Ok(target), _) => self.ask(target, wait_ms, None),
            (Err(_), Some(last)) => self.ask(last, wait_ms, None),
            (Err(none), None) => {
                let seconds = none.wait_ms.div_ceil(1000).max(1);
                let mut refusal = Refusal::new(
                    429,
                    format!(
                        "every deployment of {} is cooling down or at its limit; try again in \
                         {seconds} s",
                        self.group.name
                    ),
                );
                let retry_after = ("retry-after".into(), seconds.to_string());
                refusal.headers.push(retry_after);
                self.next_group(refusal, moment)
            }
        }
    }

    fn ask(&mut self, target: Target, wait_ms: u64, max_tokens: Option<u64>) -> Step {
        self.made += 1;
        self.last = Some(target.clone());
        Step::Ask {
            target,
            wait_ms,
            max_tokens,
        }
    }

    fn next_group(&mut self, refusal: Refusal, moment: &mut Moment) -> Step {
        let class = refusal.class();
        let is_first = self.first_refusal.is_none();
        // Where it was retried, its last word counts, not its first.
        let refusal = self.first_refusal.get_or_insert(refusal).clone();
        if class == ErrorClass::BadRequest || self.within_group {
            return self.refuse(refusal);
        }
        // A group that is fallen back on has its own to fall back on, before those that are left.
        let own = self.fallbacks_for(class, is_first, moment.routing);
        for name in own.into_iter().rev() {
            self.left.push_front(name);
        }
        while let Some(name) = self.left.pop_front() {
            if self.seen.contains(&name) || self.seen.len() > moment.routing.max_fallbacks {
                continue;
            }
            let Some(group) = moment.routes.find(&name) else {
                continue;
            };
            self.seen.push(name);
            self.group = group;
            self.keep_to_provider();
            if self.group.targets.is_empty() {
                continue;
            }
            self.failed.clear();
            self.retries = 0;
            self.lowered = false;
            self.fallbacks += 1;
            return self.choose(0, None, moment);
        }
        self.refuse(refusal)
    }

    fn keep_to_provider(&mut self) {
        if let Some(only) = &self.only {
            self.group.targets.retain(|target| place(target) == *only);
        }
    }

    /// What the group that was asked for has said: the caller knows no other.
    fn refuse(&mut self, refusal: Refusal) -> Step {
        Step::Refuse(self.first_refusal.take().unwrap_or(refusal))
    }

    /// `is_first`: it is the group that was asked for, to which also what is said for all applies.
    fn fallbacks_for(&self, class: ErrorClass, is_first: bool, routing: &Routing) -> Vec<String> {
        let last = self.seen.last().map_or("", String::as_str);
        let named = |fallbacks: &Fallbacks| {
            let names = [last, self.group.name.as_str()];
            let named = names.iter().find_map(|name| fallbacks.get(*name).cloned());
            named.or_else(|| fallbacks.get("*").filter(|_| is_first).cloned())
        };
        let specific = match class {
            ErrorClass::ContextWindowExceeded => named(&routing.context_window_fallbacks),
            ErrorClass::ContentPolicyViolation => named(&routing.content_policy_fallbacks),
            _ => None,
        };
        let wished = Some(&self.wished.fallbacks).filter(|names| is_first && !names.is_empty());
        specific
            .or_else(|| wished.cloned())
            .or_else(|| named(&routing.fallbacks))
            .or_else(|| is_first.then(|| routing.default_fallbacks.clone()))
            .unwrap_or_default()
    }
}

/// What a provider says about when to come back.
fn retry_after_ms(refusal: &Refusal) -> Option<u64> {
    let header = |name: &str| {
        let found = refusal.headers.iter().find(|(known, _)| known == name)?;
        found.1.trim().parse::<f64>().ok()
    };
    let ms = header("retry-after-ms").or_else(|| Some(header("retry-after")? * 1000.0))?;
    (ms.is_finite() && ms >= 0.0).then_some(ms as u64)
}

#[cfg(test)]
mod tests;
