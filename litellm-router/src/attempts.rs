//! What is tried next when a call has failed: the same deployment after a while, another of its
//! group, another group, or nothing.
//!
//! The rules are LiteLLM's router's (<https://docs.litellm.ai/docs/routing>,
//! <https://docs.litellm.ai/docs/proxy/reliability>), with two that it does not have: a caller's own
//! key never goes to another provider than the first, and a request that a provider calls wrong is
//! not tried anywhere else, because clients like Claude Code mend it by what that provider says.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::balance::{Balance, Outcome};
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

/// The attempts of one call.
#[derive(Debug)]
pub struct Attempts {
    group: Group,
    session: Option<u64>,
    /// The caller's own key goes upstream: only to this provider, at this place.
    only: Option<(&'static str, String)>,
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
        let first = first.map(|target| (target.provider.name, target.api_base().to_owned()));
        let mut attempts = Self {
            group,
            session,
            only: first.filter(|_| own_key),
            failed: Vec::new(),
            retries: 0,
            left: VecDeque::new(),
            seen: vec![asked.to_owned()],
            first_refusal: None,
            lowered: false,
            wished: Wishes::default(),
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

    /// Milliseconds since the epoch when an answer must have begun.
    pub fn deadline(&self) -> u64 {
        self.deadline
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
        // What a caller's own key or a missing one meets says nothing of the deployment.
        if self.only.is_none() && sent != Sent::Nothing {
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
        self.heard(Outcome::Began(latency_ms), &mut moment);
        if let (Some(session), Some(target)) = (self.conversation(), &self.last) {
            moment.balance.settle(session, target.deployment.entry);
        }
    }

    /// The deployment has failed in the middle of its answer, when nothing can be tried again.
    pub fn broke(&mut self, class: ErrorClass, mut moment: Moment) {
        if self.only.is_none() {
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
                && moment.balance.is_open(target, moment.routing, moment.now)
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
                self.conversation(),
                &self.failed,
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
        if class == ErrorClass::BadRequest {
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
        if let Some((provider, api_base)) = &self.only {
            self.group.targets.retain(|target| {
                target.provider.name == *provider && target.api_base() == api_base
            });
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
mod tests {
    use super::*;
    use crate::config::Config;

    const NOW: u64 = 1_700_000_000_000;

    struct World {
        routes: Routes,
        routing: Routing,
        balance: Balance,
        now: u64,
        random: u64,
    }

    /// Models `a` (two deployments at groq), `b` (openrouter) and `c` (anthropic).
    fn world(settings: &str) -> World {
        let yaml = format!(
            "router_settings: {{{settings}}}\n\
             model_list:\n\
             - {{model_name: a, litellm_params: {{model: groq/1}}}}\n\
             - {{model_name: a, litellm_params: {{model: groq/2}}}}\n\
             - {{model_name: b, litellm_params: {{model: openrouter/3}}}}\n\
             - {{model_name: c, litellm_params: {{model: anthropic/4, max_retries: 1}}}}\n"
        );
        let config = Config::parse(&yaml).unwrap();
        World {
            routes: Routes::new(&config, &|_| None),
            balance: Balance::new(4),
            routing: config.routing,
            now: NOW,
            random: 500,
        }
    }

    impl World {
        fn moment(&mut self) -> Moment<'_> {
            Moment {
                routes: &self.routes,
                routing: &self.routing,
                balance: &mut self.balance,
                now: self.now,
                random: self.random,
            }
        }

        /// Fails a call to `model` in the ways of `failures` and tells what was asked, with waits.
        fn run(
            &mut self,
            model: &str,
            own_key: bool,
            failures: &[Refusal],
        ) -> (Vec<String>, String) {
            let group = self.routes.find(model).unwrap();
            let mut attempts = Attempts::new(model, group, None, own_key, &self.routing, self.now);
            let mut failures = failures.iter().cycle();
            let mut asked = Vec::new();
            let mut step = attempts.first(self.moment());
            loop {
                match step {
                    Step::Ask {
                        target,
                        wait_ms,
                        max_tokens,
                    } => {
                        let limit = max_tokens.map_or(String::new(), |n| format!(" limit {n}"));
                        asked.push(format!("{}+{wait_ms}{limit}", target.model));
                        self.now += wait_ms;
                        let refusal = failures.next().unwrap().clone();
                        step = attempts.after(refusal, Sent::Limit(64_000), self.moment());
                    }
                    Step::Refuse(refusal) => return (asked, refusal.message),
                }
            }
        }
    }

    fn sorted(mut asked: Vec<String>) -> Vec<String> {
        asked.sort();
        asked
    }

    #[test]
    fn another_deployment_is_asked_at_once_and_the_same_one_after_a_while() {
        let mut world = world("num_retries: 3, disable_cooldowns: true");
        let (asked, said) = world.run("a", false, &[Refusal::new(500, "no")]);
        // Both without a wait, then with one that doubles, each with the same jitter.
        assert_eq!(
            sorted(asked.iter().take(2).cloned().collect()),
            ["1+0", "2+0"]
        );
        let waits: Vec<&str> = asked
            .iter()
            .skip(2)
            .map(|a| a.split_once('+').unwrap().1)
            .collect();
        assert_eq!(waits, ["1375", "2375"]);
        assert_eq!(said, "no");
    }

    #[test]
    fn a_provider_says_itself_when_to_come_back() {
        let mut refusal = Refusal::new(429, "slow down");
        refusal.headers.push(("retry-after".into(), "7".into()));
        let mut world = world("num_retries: 1");
        let (asked, _) = world.run("b", false, &[refusal.clone()]);
        assert_eq!(asked, ["3+0", "3+7375"]);
        // Nobody waits for an hour: the caller is told.
        refusal.headers = vec![("retry-after".into(), "3600".into())];
        let (asked, _) = world.run("b", false, &[refusal]);
        assert_eq!(asked, ["3+0"]);
    }

    #[test]
    fn the_class_of_the_error_decides_how_often() {
        let policy = "retry_policy: {RateLimitErrorRetries: 0, TimeoutErrorRetries: 2}";
        let mut world = world(policy);
        let (asked, _) = world.run("b", false, &[Refusal::new(429, "")]);
        assert_eq!(asked.len(), 1);
        let (asked, _) = world.run("b", false, &[Refusal::new(504, "")]);
        assert_eq!(asked.len(), 3);
        // What is wrong stays wrong, and what is refused here may pass at another deployment.
        let (asked, _) = world.run("a", false, &[Refusal::new(400, "")]);
        assert_eq!(asked.len(), 1);
        let (asked, _) = world.run("a", false, &[Refusal::new(401, "")]);
        assert_eq!(asked.len(), 2);
        let (asked, _) = world.run("b", false, &[Refusal::new(401, "")]);
        assert_eq!(asked.len(), 1);
        // The deployment's own number is the limit.
        let (asked, _) = world.run("c", false, &[Refusal::new(500, "")]);
        assert_eq!(asked.len(), 2);
    }

    #[test]
    fn other_groups_follow_and_the_first_ones_word_counts() {
        let mut world = world("num_retries: 0, fallbacks: [{a: [b, gone, c]}]");
        let failures = [
            Refusal::new(500, "of a"),
            Refusal::new(500, "of b"),
            Refusal::new(500, "of c"),
        ];
        let (asked, said) = world.run("a", false, &failures);
        assert_eq!(asked.len(), 3);
        assert_eq!(&asked[1..], ["3+0", "4+0"]);
        assert_eq!(said, "of a");
        let (asked, _) = world.run("a", false, &[Refusal::new(400, "wrong")]);
        assert_eq!(asked.len(), 1);
    }

    #[test]
    fn a_conversation_that_is_too_long_goes_to_its_own_fallbacks() {
        let settings = "num_retries: 0, fallbacks: [{b: [a]}], default_fallbacks: [a], \
                        context_window_fallbacks: [{b: [c]}], max_fallbacks: 1";
        let mut world = world(settings);
        let too_long = Refusal::new(400, "too long").with_class(ErrorClass::ContextWindowExceeded);
        assert_eq!(world.run("b", false, &[too_long]).0, ["3+0", "4+0"]);
        let (asked, _) = world.run("c", false, &[Refusal::new(503, "")]);
        assert_eq!(asked.len(), 2);
    }

    #[test]
    fn a_group_that_is_fallen_back_on_has_fallbacks_of_its_own() {
        let mut world = world("num_retries: 0, fallbacks: [{a: [b]}, {b: [a, c]}]");
        let (asked, _) = world.run("a", false, &[Refusal::new(500, "")]);
        assert_eq!(&asked[1..], ["3+0", "4+0"]);
        world.routing.max_fallbacks = 1;
        assert_eq!(world.run("a", false, &[Refusal::new(500, "")]).0.len(), 2);
    }

    #[test]
    fn a_callers_own_key_closes_a_deployment_to_nobody() {
        let mut world = world("allowed_fails: 0");
        world.run("b", true, &[Refusal::new(429, "")]);
        world.run("b", true, &[Refusal::new(401, "")]);
        assert_eq!(world.balance.cooling(2, NOW), 0);
    }

    #[test]
    fn a_callers_own_key_stays_with_its_provider() {
        let mut world = world("num_retries: 0, fallbacks: [{a: [b, c]}]");
        assert_eq!(world.run("a", true, &[Refusal::new(500, "")]).0.len(), 1);
    }

    #[test]
    fn r18_a_limit_that_is_too_high_is_lowered_once() {
        let body = br#"{"error":{"message":"This model's maximum context length is 131072 tokens. However, you requested 140000 tokens (76000 in the messages, 64000 in the completion).","code":"context_length_exceeded"}}"#;
        let refusal = crate::error::from_provider(
            "openrouter",
            400,
            body,
            crate::error::KeyOwner::Router,
            Vec::new(),
        );
        let mut world = world("num_retries: 0");
        let (asked, said) = world.run("b", false, &[refusal]);
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked[1].starts_with("3+0 limit 5"), "{asked:?}");
        assert!(said.contains("context limit"), "{said}");
    }

    #[test]
    fn nothing_is_tried_after_the_deadline() {
        let mut world = world("num_retries: 9, retry_policy: {timeout: 3, max_retries: 9}");
        let (asked, _) = world.run("b", false, &[Refusal::new(500, "")]);
        assert_eq!(asked.len(), 3, "{asked:?}");
    }

    #[test]
    fn a_group_that_cools_down_says_so_or_leaves_it_to_others() {
        let mut world = world("allowed_fails: 0, num_retries: 0");
        world.run("b", false, &[Refusal::new(500, "")]);
        let (asked, said) = world.run("b", false, &[Refusal::new(500, "")]);
        assert!(asked.is_empty());
        assert!(said.contains("try again in 5 s"), "{said}");
        world.routing.default_fallbacks = vec!["c".into()];
        let (asked, said) = world.run("b", false, &[Refusal::new(500, "")]);
        assert_eq!(asked, ["4+0"]);
        assert!(said.contains("cooling down"), "{said}");
    }
}
