//! Who pays for a call, whether it may begin, and what is booked when it is over.

use std::sync::{MutexGuard, PoisonError};

use serde_json::json;

use super::{Call, Guest, Router};
use crate::answer::Answer;
use crate::auth::Caller;
use crate::error::Refusal;
use crate::job::What;
use crate::models;
use crate::relay::Record;
use crate::spend::{Account, Accounts, Books, Limits, Spending};

/// What a call that is over has used, for an account's books.
#[derive(Debug, Clone, PartialEq)]
pub struct Booking {
    pub account: Account,
    pub spent: Spending,
    /// See [`Limits::budget_duration`].
    pub budget_duration: Option<u64>,
    /// How many requests it was to providers.
    pub sent: u32,
}

impl Router {
    /// Who pays for a call: the holder of a handed-out key, or the session for which a caller with the
    /// master key calls.
    pub(super) fn accounts_of(&self, caller: &Caller, call: &Call) -> Vec<Account> {
        let mut accounts = Vec::new();
        if let Caller::Holder(place) = caller
            && let Some(holder) = self.keys.holder(*place)
        {
            accounts.push(Account::Key(holder.name.clone()));
        }
        if caller.is_believed()
            && let Some(id) = (call.header)("x-agent-router-session")
        {
            accounts.push(Account::Session(id.chars().take(200).collect()));
        }
        accounts
    }

    pub(super) fn limits_of(&self, account: &Account) -> &Limits {
        match account {
            Account::Session(_) => &self.config.session_limits,
            Account::Key(name) => self.keys.limits(name),
        }
    }

    /// Lets a call in, and counts it. One that counts tokens uses none, and is limited in number alone.
    ///
    /// # Errors
    /// 429 where one of these accounts has used up what it may use.
    pub(super) fn admit(&self, accounts: &[Account], what: What, now: u64) -> Result<(), Refusal> {
        if accounts.is_empty() {
            return Ok(());
        }
        let mut books = self.accounts();
        for account in accounts {
            let limits = self.limits_of(account);
            let number = Limits {
                rpm_limit: limits.rpm_limit,
                budget_duration: limits.budget_duration,
                ..Limits::NONE
            };
            let limits = match what {
                What::Message => limits,
                What::Count => &number,
            };
            books.books(account).admit(account, limits, now)?;
        }
        // One that refuses uses up nothing of the others.
        for account in accounts {
            books.books(account).count(1);
        }
        Ok(())
    }

    /// A call is over: counts it, and returns what is to be booked wherever else books are kept.
    pub fn over(&self, record: &Record, now: u64) -> Vec<Booking> {
        self.metrics.over(record);
        let trail = &record.trail;
        if trail.accounts.is_empty() {
            return Vec::new();
        }
        let spent = match trail.counts {
            true => {
                let mut spent = Spending::of(&trail.usage, trail.cost);
                spent.unpriced_requests |= u64::from(trail.unpriced);
                spent
            }
            // To be told a number of tokens is a request, and uses nothing.
            false => Spending::default(),
        };
        let mut books = self.accounts();
        let accounts = trail.accounts.iter();
        accounts
            .map(|account| {
                let budget_duration = self.limits_of(account).budget_duration;
                let book = books.books(account);
                book.book(&spent, budget_duration, now);
                // The first was counted when the call was let in.
                book.count(trail.sent.saturating_sub(1).into());
                Booking {
                    sent: trail.sent,
                    account: account.clone(),
                    spent,
                    budget_duration,
                }
            })
            .collect()
    }

    /// Accounts of this guest with limits, of which this process knows nothing yet. What is kept
    /// elsewhere of them is to be read beside the call ([`Self::learn`]), which waits for nobody: until
    /// then it counts as if they had used nothing.
    pub fn unknown_accounts(&self, guest: &Guest) -> Vec<Account> {
        if guest.accounts.is_empty() {
            return Vec::new();
        }
        let mut accounts = guest.accounts.clone();
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

    /// The answer to [`Served::Books`], at the time `now`.
    pub fn answer_with(&self, account: &Account, mut books: Books, now: u64) -> Answer {
        books.turn_to(self.limits_of(account).budget_duration, now);
        books_answer(account, &books)
    }

    /// `/spend/sessions/{id}` or `/spend/keys/{name}`. Any id may be a session's, of which nothing is known
    /// before its first call; keys are those of the configuration.
    pub(super) fn account_of(&self, path: &str) -> Result<Account, Refusal> {
        let rest = path.strip_prefix("/spend/").unwrap_or_default();
        match rest.split_once('/') {
            Some(("sessions", id)) if !id.is_empty() => {
                Ok(Account::Session(models::percent_decoded(id)))
            }
            Some(("keys", name)) if !name.is_empty() => {
                let name = models::percent_decoded(name);
                match self.config.keys.iter().any(|key| key.name == name) {
                    true => Ok(Account::Key(name)),
                    false => Err(Refusal::new(
                        404,
                        "general_settings.keys has no key of this name",
                    )),
                }
            }
            _ => Err(Refusal::new(
                404,
                "there is nothing at this path; what has been used is at /spend/sessions/{id} and \
                 /spend/keys/{name}",
            )),
        }
    }

    pub(super) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
