//! Who has used how much, and whether more is allowed.
//!
//! An account is a key of the configuration or a session. Its limits are checked before a call and
//! what the call has used is booked after it, so calls at the same time may together go a little over
//! a limit; none can go on beyond it. Accounts stand in memory; [`crate::ledger`] keeps those of
//! several processes in step.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use lru::LruCache;
use serde::{Deserialize, Serialize};

use crate::config::not_negative;
use crate::error::Refusal;
use crate::reply::Usage;

/// Sessions that are remembered, the latest ones.
const SESSIONS: NonZeroUsize = match NonZeroUsize::new(50_000) {
    Some(sessions) => sessions,
    None => NonZeroUsize::MIN,
};
const MINUTE_MS: u64 = 60_000;
/// Books are kept as JavaScript's numbers too, which are whole up to here.
const LARGEST_COUNT: u64 = (1 << 53) - 1;

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Account {
    /// A key of the configuration, by its name.
    Key(String),
    /// A session, by its id.
    Session(String),
}

impl Account {
    /// The account's name among all accounts.
    pub fn name(&self) -> String {
        match self {
            Self::Key(name) => format!("key:{name}"),
            Self::Session(id) => format!("session:{id}"),
        }
    }
}

/// What an account may use. LiteLLM's names for the limits of its virtual keys.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Requests a minute.
    pub rpm_limit: Option<u64>,
    /// Tokens a minute.
    pub tpm_limit: Option<u64>,
    /// US dollars in all, or in each `budget_duration`. Calls to deployments without a price count
    /// as free.
    #[serde(deserialize_with = "not_negative")]
    pub max_budget: Option<f64>,
    /// Tokens in all, or in each `budget_duration`. An addition to LiteLLM's limits.
    pub max_tokens: Option<u64>,
    /// How long a budget lasts before it begins anew: `30s`, `15m`, `24h`, `30d`.
    #[serde(deserialize_with = "duration")]
    pub budget_duration: Option<u64>,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        rpm_limit: None,
        tpm_limit: None,
        max_budget: None,
        max_tokens: None,
        budget_duration: None,
    };
}

fn duration<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<u64>, D::Error> {
    let Some(text) = Option::<String>::deserialize(reader)? else {
        return Ok(None);
    };
    let wrong = || {
        let wanted = "a duration such as 30s, 15m, 24h or 30d";
        serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &wanted)
    };
    let seconds = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number = text.trim_end_matches(char::is_alphabetic).parse::<u64>();
    let number = number.map_err(|_| wrong())?;
    let milliseconds = number.checked_mul(seconds * 1_000).filter(|ms| *ms > 0);
    milliseconds.map(Some).ok_or_else(wrong)
}

/// What an account has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spending {
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    /// US dollars, of the calls whose price is known.
    pub cost_usd: f64,
    /// Calls whose price is not known.
    pub unpriced_requests: u64,
}

impl Spending {
    /// What one call has used.
    pub fn of(usage: &Usage, cost: Option<f64>) -> Self {
        Self {
            requests: 1,
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cache_read_input_tokens,
            cache_write_tokens: usage.cache_creation_input_tokens,
            cost_usd: cost.unwrap_or(0.0),
            unpriced_requests: u64::from(cost.is_none()),
        }
    }

    /// This and `other` together.
    pub fn add(&mut self, other: &Self) {
        let sum = |to: &mut u64, more: u64| *to = to.saturating_add(more).min(LARGEST_COUNT);
        sum(&mut self.requests, other.requests);
        sum(&mut self.input_tokens, other.input_tokens);
        sum(&mut self.output_tokens, other.output_tokens);
        sum(&mut self.cache_read_tokens, other.cache_read_tokens);
        sum(&mut self.cache_write_tokens, other.cache_write_tokens);
        self.cost_usd += other.cost_usd;
        sum(&mut self.unpriced_requests, other.unpriced_requests);
    }

    fn tokens(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.output_tokens)
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_tokens)
    }
}

/// The books of one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    /// Since ever.
    pub total: Spending,
    /// Since the budget began anew.
    pub period: Spending,
    /// Milliseconds since the epoch.
    pub period_began: u64,
    minute: u64,
    minute_requests: u64,
    minute_tokens: u64,
}

impl Books {
    /// Begins anew what is over at the time `now`. `budget_duration` as in [`Limits`].
    pub fn turn_to(&mut self, budget_duration: Option<u64>, now: u64) {
        if self.period_began == 0 {
            self.period_began = now;
        }
        if let Some(duration) = budget_duration
            && now.saturating_sub(self.period_began) >= duration
        {
            self.period = Spending::default();
            self.period_began = now;
        }
        if self.minute != now / MINUTE_MS {
            self.minute = now / MINUTE_MS;
            self.minute_requests = 0;
            self.minute_tokens = 0;
        }
    }

    /// Whether a call may begin; it is counted by [`Self::count`].
    ///
    /// # Errors
    /// 429 that says which limit is reached and when it begins anew.
    pub fn admit(&mut self, who: &Account, limits: &Limits, now: u64) -> Result<(), Refusal> {
        self.turn_to(limits.budget_duration, now);
        let who = match who {
            Account::Key(name) => format!("the key {name}"),
            Account::Session(_) => "this session".to_owned(),
        };
        let minute_left = MINUTE_MS - now % MINUTE_MS;
        let period_left = limits.budget_duration.map(|duration| {
            self.period_began
                .saturating_add(duration)
                .saturating_sub(now)
        });
        let refused = if limits
            .rpm_limit
            .is_some_and(|limit| self.minute_requests >= limit)
        {
            let limit = limits.rpm_limit.unwrap_or_default();
            Some((format!("{limit} requests a minute"), Some(minute_left)))
        } else if limits
            .tpm_limit
            .is_some_and(|limit| self.minute_tokens >= limit)
        {
            let limit = limits.tpm_limit.unwrap_or_default();
            Some((format!("{limit} tokens a minute"), Some(minute_left)))
        } else if limits
            .max_tokens
            .is_some_and(|limit| self.period.tokens() >= limit)
        {
            let limit = limits.max_tokens.unwrap_or_default();
            Some((format!("{limit} tokens"), period_left))
        } else if limits
            .max_budget
            .is_some_and(|limit| self.period.cost_usd >= limit)
        {
            let limit = limits.max_budget.unwrap_or_default();
            Some((format!("a budget of ${limit}"), period_left))
        } else {
            None
        };
        let Some((what, left)) = refused else {
            return Ok(());
        };
        let mut refusal = match left {
            Some(left) => {
                let seconds = left.div_ceil(1_000).max(1);
                let words = format!("{who} has used up {what}; it begins anew in {seconds} s");
                let mut refusal = Refusal::new(429, words);
                let retry_after = ("retry-after".to_owned(), seconds.to_string());
                refusal.headers.push(retry_after);
                refusal
            }
            None => Refusal::new(429, format!("{who} has used up {what}")),
        };
        if left.is_none_or(|left| left > MINUTE_MS) {
            refusal = refusal.final_();
        }
        Err(refusal)
    }

    /// So many more requests this minute. Where books are kept for several processes, it is counted when
    /// the call is booked.
    pub fn count(&mut self, requests: u64) {
        self.minute_requests = self.minute_requests.saturating_add(requests);
    }

    /// Books what a call has used. `budget_duration` as in [`Limits`].
    pub fn book(&mut self, spent: &Spending, budget_duration: Option<u64>, now: u64) {
        self.turn_to(budget_duration, now);
        let tokens = self.minute_tokens.saturating_add(spent.tokens());
        self.minute_tokens = tokens.min(LARGEST_COUNT);
        self.total.add(spent);
        self.period.add(spent);
    }

    /// Takes over what others have booked as well: nothing is used less than was seen before.
    pub fn learn(&mut self, others: &Self) {
        let newer = others.total.requests > self.total.requests;
        if newer || (others.total.requests == self.total.requests && others.minute >= self.minute) {
            let mine = *self;
            *self = *others;
            if mine.minute > others.minute {
                // Of this minute they say nothing.
                self.minute_requests = 0;
                self.minute_tokens = 0;
            }
            if mine.minute >= others.minute {
                self.minute = mine.minute;
                self.minute_requests = self.minute_requests.max(mine.minute_requests);
                self.minute_tokens = self.minute_tokens.max(mine.minute_tokens);
            }
        }
    }
}

/// All accounts.
#[derive(Debug)]
pub struct Accounts {
    /// As many as the configuration has.
    keys: HashMap<String, Books>,
    /// The latest ones: callers name them.
    sessions: LruCache<String, Books>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            sessions: LruCache::new(SESSIONS),
        }
    }
}

impl Accounts {
    /// The books of an account, new ones where it has none.
    pub fn books(&mut self, account: &Account) -> &mut Books {
        match account {
            Account::Key(name) => self.keys.entry(name.clone()).or_default(),
            Account::Session(id) => self.sessions.get_or_insert_mut_ref(id, Books::default),
        }
    }

    /// What an account has used, as far as it is known here.
    pub fn known(&self, account: &Account) -> Option<Books> {
        match account {
            Account::Key(name) => self.keys.get(name).copied(),
            Account::Session(id) => self.sessions.peek(id).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_080_000;

    fn spent(tokens: u64, cost: f64) -> Spending {
        let usage = Usage {
            input_tokens: tokens,
            ..Usage::default()
        };
        Spending::of(&usage, Some(cost))
    }

    fn session() -> Account {
        Account::Session("s".into())
    }

    fn limits(yaml: &str) -> Limits {
        yaml::read(yaml).unwrap().value
    }

    #[test]
    fn sums_and_durations_without_measure_overflow_nothing() {
        let mut books = Books::default();
        for _ in 0..2 {
            books.book(&spent(u64::MAX, 0.0), None, NOW);
        }
        assert_eq!(books.total.input_tokens, (1 << 53) - 1);
        let limits = limits("{max_tokens: 1, budget_duration: 18446744073709551s}");
        let refusal = books.admit(&session(), &limits, NOW).unwrap_err();
        assert!(
            !refusal.message.contains("anew in 1 s"),
            "{}",
            refusal.message
        );
        assert!(
            refusal
                .headers
                .iter()
                .any(|(name, _)| name == "x-should-retry")
        );
    }

    #[test]
    fn each_limit_stops_the_next_call_and_says_which_it_is() {
        for (limit, says, anew) in [
            (
                "rpm_limit: 1",
                "1 requests a minute; it begins anew in 20 s",
                NOW + 20_000,
            ),
            ("tpm_limit: 100", "100 tokens a minute", NOW + 20_000),
            (
                "{max_tokens: 100, budget_duration: 1h}",
                "100 tokens; it begins anew in 3600 s",
                NOW + 3_600_000,
            ),
            (
                "{max_budget: 0.5, budget_duration: 1d}",
                "a budget of $0.5; it",
                NOW + 86_400_000,
            ),
        ] {
            let limits = limits(limit);
            let mut books = Books::default();
            books.admit(&session(), &limits, NOW).unwrap();
            books.count(1);
            books.book(&spent(100, 0.5), limits.budget_duration, NOW);
            let refusal = books.admit(&session(), &limits, NOW).unwrap_err();
            assert_eq!(refusal.status, 429);
            assert!(refusal.message.contains(says), "{}", refusal.message);
            assert!(books.admit(&session(), &limits, anew).is_ok(), "{limit}");
        }
        let forever = limits("max_budget: 1");
        let mut books = Books::default();
        books.book(&spent(1, 1.0), None, NOW);
        let key = Account::Key("team".into());
        let refusal = books
            .admit(&key, &forever, NOW + 1_000_000_000)
            .unwrap_err();
        assert_eq!(refusal.message, "the key team has used up a budget of $1");
        // Asking again is no use.
        assert!(
            refusal
                .headers
                .contains(&("x-should-retry".into(), "false".into()))
        );
    }

    #[test]
    fn what_is_refused_uses_up_nothing() {
        let limits = limits("rpm_limit: 1");
        let mut books = Books::default();
        for _ in 0..3 {
            books.admit(&session(), &limits, NOW).unwrap();
        }
        books.count(1);
        for _ in 0..3 {
            books.admit(&session(), &limits, NOW).unwrap_err();
        }
        assert_eq!(books.minute_requests, 1);
    }

    #[test]
    fn a_period_that_is_over_shows_nothing() {
        let mut books = Books::default();
        books.book(&spent(100, 0.5), Some(1_000), NOW);
        books.turn_to(Some(1_000), NOW + 999);
        assert_eq!(books.period.input_tokens, 100);
        books.turn_to(Some(1_000), NOW + 1_000);
        assert_eq!(
            (books.period, books.period_began),
            (Spending::default(), NOW + 1_000)
        );
        assert_eq!(books.total.input_tokens, 100);
    }

    #[test]
    fn a_wrong_duration_is_told() {
        for wrong in ["1w", "d", "-1d", "0s", "99999999999999999999d"] {
            let read = yaml::read::<Limits>(&format!("budget_duration: {wrong}"));
            assert!(read.is_err(), "{wrong}");
        }
        assert_eq!(
            limits("budget_duration: 30d").budget_duration,
            Some(2_592_000_000)
        );
    }

    #[test]
    fn what_others_have_booked_counts_and_nothing_is_forgotten() {
        let mut mine = Books::default();
        mine.book(&spent(10, 0.1), None, NOW);
        let mut theirs = mine;
        theirs.book(&spent(5, 0.2), None, NOW);
        mine.learn(&theirs);
        assert_eq!(mine.total.input_tokens, 15);
        mine.learn(&Books::default());
        assert_eq!(mine.total.input_tokens, 15);
    }

    #[test]
    fn what_others_know_of_an_earlier_minute_makes_this_one_no_emptier() {
        let limits = limits("{rpm_limit: 2, tpm_limit: 1000}");
        let mut theirs = Books::default();
        for _ in 0..10 {
            theirs.book(&spent(600, 0.1), None, NOW - 86_400_000);
            theirs.count(1);
        }
        let mut mine = Books::default();
        for _ in 0..2 {
            mine.admit(&session(), &limits, NOW).unwrap();
            mine.count(1);
        }
        mine.learn(&theirs);
        assert_eq!(mine.total.input_tokens, 6_000);
        let refusal = mine.admit(&session(), &limits, NOW).unwrap_err();
        assert!(
            refusal.message.contains("2 requests a minute"),
            "{}",
            refusal.message
        );
        // Nor does an earlier minute's count stand for this one's.
        mine = Books::default();
        mine.admit(&session(), &limits, NOW).unwrap();
        mine.learn(&theirs);
        mine.admit(&session(), &limits, NOW).unwrap();
    }
}
