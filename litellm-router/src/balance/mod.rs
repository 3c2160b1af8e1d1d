//! Which deployment of a group is asked next.
//!
//! [`Balance`] knows how each deployment is doing: calls under way, how fast and how well the last
//! ones went, what has been used this minute. Time and randomness come in as arguments. It stands in
//! memory, one for each process or isolate; [`crate::ledger`] tells several of them about each other.
//!
//! A conversation stays where its prompt cache is: a session is sent to the deployment that answered
//! it last, as long as that one can be asked at all. The strategy decides for new conversations.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use lru::LruCache;
use serde::{Deserialize, Serialize};

use crate::config::{Routing, Strategy};
use crate::deployment::Target;
use crate::error::ErrorClass;

/// Sessions whose deployment is remembered, the latest ones.
const SESSIONS: NonZeroUsize = match NonZeroUsize::new(10_000) {
    Some(sessions) => sessions,
    None => NonZeroUsize::MIN,
};
/// Latencies that count, the latest ones, as in LiteLLM.
const LATENCIES: usize = 10;
/// How long they count, as in LiteLLM.
const LATENCIES_LAST_MS: u64 = 3_600_000;
/// What a timeout counts as a latency.
const TIMEOUT_PENALTY_MS: f64 = 1_000_000.0;
/// LiteLLM cools a deployment down when more than half of its calls of a minute fail, of at least
/// five.
const FAILURES_OF: u32 = 5;
/// A provider's own word on when to come back counts up to here.
const LONGEST_COOLDOWN_MS: u64 = 60_000;
const MINUTE_MS: u64 = 60_000;
/// What LiteLLM takes for the price of a deployment that has none.
const UNKNOWN_PRICE: f64 = 5.0;

/// What happened to one call at one deployment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// It began to answer after so many milliseconds.
    Began(u64),
    /// It failed, and said when to come back, in milliseconds.
    Failed(ErrorClass, Option<u64>),
}

/// How one deployment is doing.
#[derive(Debug, Default)]
struct Standing {
    in_flight: u32,
    minute: Minute,
    /// When, and how long, in milliseconds.
    latencies: VecDeque<(u64, f64)>,
    /// Milliseconds since the epoch.
    cooled_until: u64,
    /// What other processes have sent there this minute.
    others: Others,
}

/// A minute of other processes.
#[derive(Debug, Default, Clone, Copy)]
struct Others {
    number: u64,
    requests: u64,
    tokens: u64,
}

/// How a deployment is doing at one process, or at several together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The deployment's id in the configuration.
    pub id: String,
    /// Milliseconds since the epoch.
    pub cooled_until: u64,
    /// Minutes since the epoch.
    pub minute: u64,
    pub requests: u64,
    pub tokens: u64,
}

/// What has happened since a minute began.
#[derive(Debug, Default, Clone, Copy)]
struct Minute {
    number: u64,
    requests: u64,
    tokens: u64,
    successes: u32,
    failures: u32,
}

impl Standing {
    fn minute(&mut self, now: u64) -> &mut Minute {
        let number = now / MINUTE_MS;
        // What ends late must not begin an old minute anew.
        if self.minute.number < number {
            self.minute = Minute {
                number,
                ..Minute::default()
            };
        }
        &mut self.minute
    }

    /// Requests and tokens of this minute, here and elsewhere.
    fn used(&mut self, now: u64) -> (u64, u64) {
        let others = self.others;
        let minute = self.minute(now);
        if others.number == minute.number {
            (
                minute.requests.saturating_add(others.requests),
                minute.tokens.saturating_add(others.tokens),
            )
        } else {
            (minute.requests, minute.tokens)
        }
    }

    fn latency(&mut self, now: u64) -> f64 {
        let is_old = |(when, _): &(u64, f64)| now.saturating_sub(*when) > LATENCIES_LAST_MS;
        while self.latencies.front().is_some_and(is_old) {
            self.latencies.pop_front();
        }
        if self.latencies.is_empty() {
            // One that was never asked, or not for long, is tried first.
            return 0.0;
        }
        let sum: f64 = self.latencies.iter().map(|(_, latency)| latency).sum();
        sum / self.latencies.len() as f64
    }

    fn remember(&mut self, latency: f64, now: u64) {
        if self.latencies.len() >= LATENCIES {
            self.latencies.pop_front();
        }
        self.latencies.push_back((now, latency));
    }
}

/// How all deployments are doing.
#[derive(Debug)]
pub struct Balance {
    standings: Vec<Standing>,
    sessions: LruCache<u64, usize>,
}

/// For whom a deployment is chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asking<'a> {
    /// A hash of the conversation and its group.
    pub session: Option<u64>,
    /// The entries that have failed this call; they are asked again only when there are no others.
    pub failed: &'a [usize],
    /// A caller's own key goes there: what the router's key may at a deployment says nothing of it.
    pub own_key: bool,
}

/// Why no deployment can be asked now: all are cooling down or over their limits.
#[derive(Debug, PartialEq, Eq)]
pub struct NoneAvailable {
    /// Milliseconds until one can be.
    pub wait_ms: u64,
}

impl Balance {
    /// For a model list of `entries` deployments of which nothing is known.
    pub fn new(entries: usize) -> Self {
        Self {
            standings: std::iter::repeat_with(Standing::default)
                .take(entries)
                .collect(),
            sessions: LruCache::new(SESSIONS),
        }
    }

    /// Chooses among `targets`.
    ///
    /// # Errors
    /// None of them can be asked now.
    pub fn choose<'t>(
        &mut self,
        targets: &'t [Target],
        asking: Asking,
        routing: &Routing,
        now: u64,
        random: u64,
    ) -> Result<&'t Target, NoneAvailable> {
        let Asking {
            session,
            failed,
            own_key,
        } = asking;
        let mut wait_ms = u64::MAX;
        let mut open: Vec<&Target> = targets
            .iter()
            .filter(|target| {
                let wait = match own_key {
                    true => 0,
                    false => self.closed_for(target, routing, now),
                };
                wait_ms = wait_ms.min(wait);
                wait == 0
            })
            .collect();
        if open.is_empty() {
            return Err(NoneAvailable { wait_ms });
        }
        let fresh = |target: &Target| !failed.contains(&target.deployment.entry);
        if open.iter().any(|target| fresh(target)) {
            open.retain(|target| fresh(target));
        }
        if let Some(least) = open.iter().map(|target| target.deployment.order).min() {
            open.retain(|target| target.deployment.order == least);
        }
        if let Some(session) = session
            && let Some(entry) = self.sessions.get(&session)
            && let Some(target) = open.iter().find(|target| target.deployment.entry == *entry)
        {
            return Ok(target);
        }
        // Calls that a new conversation makes at the same time go to the same place.
        let random = session.filter(|_| failed.is_empty()).unwrap_or(random);
        let chosen = self.by_strategy(&open, routing.strategy, now, random);
        chosen.ok_or(NoneAvailable { wait_ms })
    }

    /// A conversation was answered there.
    pub fn settle(&mut self, session: u64, entry: usize) {
        self.sessions.put(session, entry);
    }

    /// Whether a deployment can be asked now with the router's key.
    pub fn is_open(&mut self, target: &Target, routing: &Routing, now: u64) -> bool {
        self.closed_for(target, routing, now) == 0
    }

    /// Milliseconds for which a deployment must not be asked, 0 for one that may be.
    fn closed_for(&mut self, target: &Target, routing: &Routing, now: u64) -> u64 {
        let deployment = &target.deployment;
        let Some(standing) = self.standings.get_mut(deployment.entry) else {
            return 0;
        };
        let cooling = standing.cooled_until.saturating_sub(now);
        if cooling > 0 || !(routing.pre_call_checks || routing.strategy == Strategy::Usage) {
            return cooling;
        }
        let (requests, tokens) = standing.used(now);
        let over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
        if over(requests, deployment.rpm) || over(tokens, deployment.tpm) {
            return MINUTE_MS - now % MINUTE_MS;
        }
        0
    }

    fn by_strategy<'t>(
        &mut self,
        open: &[&'t Target],
        strategy: Strategy,
        now: u64,
        random: u64,
    ) -> Option<&'t Target> {
        let mut rank = |target: &Target| {
            let standing = self.standings.get_mut(target.deployment.entry)?;
            Some(match strategy {
                Strategy::SimpleShuffle => 0.0,
                Strategy::LeastBusy => f64::from(standing.in_flight),
                Strategy::Latency => standing.latency(now),
                Strategy::Usage => standing.used(now).1 as f64,
                Strategy::Cost => target.deployment.prices.sum().unwrap_or(UNKNOWN_PRICE),
            })
        };
        let ranks: Vec<f64> = open
            .iter()
            .map(|target| rank(target).unwrap_or(0.0))
            .collect();
        let best = ranks.iter().copied().fold(f64::INFINITY, f64::min);
        // Those that are equally good share the calls; always the first would get them all.
        let equal: Vec<&Target> = open
            .iter()
            .zip(&ranks)
            .filter(|(_, rank)| **rank <= best)
            .map(|(target, _)| *target)
            .collect();
        weighted(&equal, random)
    }

    /// A call goes out to a deployment.
    pub fn began(&mut self, entry: usize, now: u64) {
        if let Some(standing) = self.standings.get_mut(entry) {
            standing.in_flight = standing.in_flight.saturating_add(1);
            standing.minute(now).requests += 1;
        }
    }

    /// A call is over, to the end of its stream, and has used so many tokens.
    pub fn ended(&mut self, entry: usize, tokens: u64, now: u64) {
        if let Some(standing) = self.standings.get_mut(entry) {
            standing.in_flight = standing.in_flight.saturating_sub(1);
            let minute = standing.minute(now);
            minute.tokens = minute.tokens.saturating_add(tokens);
        }
    }

    /// A deployment of a group of `group_size` has answered, or not.
    pub fn heard(
        &mut self,
        entry: usize,
        outcome: Outcome,
        group_size: usize,
        routing: &Routing,
        now: u64,
    ) {
        let Some(standing) = self.standings.get_mut(entry) else {
            return;
        };
        let (class, come_back_ms) = match outcome {
            Outcome::Began(latency_ms) => {
                standing.minute(now).successes += 1;
                standing.remember(latency_ms as f64, now);
                return;
            }
            Outcome::Failed(class, come_back_ms) => (class, come_back_ms),
        };
        if class == ErrorClass::Timeout {
            standing.remember(TIMEOUT_PENALTY_MS, now);
        }
        if routing.disable_cooldowns || !is_its_own_fault(class) {
            return;
        }
        let minute = standing.minute(now);
        minute.failures += 1;
        let calls = minute.failures + minute.successes;
        let cools = match routing.allowed_fails {
            Some(allowed) => minute.failures > allowed,
            // To leave the only deployment of a group alone would turn a bad call into none.
            None if group_size <= 1 => false,
            None => {
                class == ErrorClass::RateLimit
                    || (calls >= FAILURES_OF && minute.failures * 2 > calls)
            }
        };
        if cools {
            let cooldown_ms = (routing.cooldown_s * 1000.0) as u64;
            let asked_ms = come_back_ms.unwrap_or(0).min(LONGEST_COOLDOWN_MS);
            let until = now.saturating_add(cooldown_ms.max(asked_ms));
            standing.cooled_until = standing.cooled_until.max(until);
        }
    }

    /// Calls under way at a deployment.
    pub fn in_flight(&self, entry: usize) -> u32 {
        let standing = self.standings.get(entry);
        standing.map_or(0, |standing| standing.in_flight)
    }

    /// Milliseconds for which a deployment is still left alone.
    pub fn cooling(&self, entry: usize, now: u64) -> u64 {
        let standing = self.standings.get(entry);
        standing.map_or(0, |standing| standing.cooled_until.saturating_sub(now))
    }

    /// What other processes should know of a deployment, if there is anything.
    pub fn share(&mut self, entry: usize, id: &str, now: u64) -> Option<Share> {
        let standing = self.standings.get_mut(entry)?;
        let minute = *standing.minute(now);
        let cooled_until = Some(standing.cooled_until).filter(|until| *until > now);
        let says = cooled_until.is_some() || minute.requests > 0;
        says.then(|| Share {
            id: id.to_owned(),
            cooled_until: cooled_until.unwrap_or(0),
            minute: minute.number,
            requests: minute.requests,
            tokens: minute.tokens,
        })
    }

    /// What other processes together say of a deployment.
    pub fn learn(&mut self, entry: usize, share: &Share, now: u64) {
        if let Some(standing) = self.standings.get_mut(entry) {
            let until = share
                .cooled_until
                .min(now.saturating_add(LONGEST_COOLDOWN_MS));
            standing.cooled_until = standing.cooled_until.max(until);
            standing.others = Others {
                number: share.minute,
                requests: share.requests,
                tokens: share.tokens,
            };
        }
    }
}

/// Whether a failure says something about the deployment, and not about what was asked of it.
fn is_its_own_fault(class: ErrorClass) -> bool {
    !matches!(
        class,
        ErrorClass::BadRequest
            | ErrorClass::ContextWindowExceeded
            | ErrorClass::ContentPolicyViolation
            | ErrorClass::RequestTooLarge
            | ErrorClass::FailedGeneration
    )
}

/// One at random: by `weight`, else by `rpm`, else by `tpm`, the first of these that any of them has;
/// one that lacks it gets nothing, as in LiteLLM.
fn weighted<'t>(targets: &[&'t Target], random: u64) -> Option<&'t Target> {
    let metrics: [fn(&Target) -> Option<f64>; 3] = [
        |target| target.deployment.weight,
        |target| target.deployment.rpm.map(|rpm| rpm as f64),
        |target| target.deployment.tpm.map(|tpm| tpm as f64),
    ];
    // 53 bits are what a float holds exactly.
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    for metric in metrics {
        let weights = targets.iter().map(|target| metric(target).unwrap_or(0.0));
        let total: f64 = weights.clone().sum();
        if total > 0.0 {
            let mut left = share * total;
            for (target, weight) in targets.iter().zip(weights) {
                left -= weight;
                if left < 0.0 {
                    return Some(target);
                }
            }
        }
    }
    let place = (share * targets.len() as f64) as usize;
    targets.get(place).or(targets.first()).copied()
}

#[cfg(test)]
mod tests;
