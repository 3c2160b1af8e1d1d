//! The account object: `Account`, named `account-{owner}`: an owner's API keys, its agents, the index of
//! its sessions, and the log of what was done in its name.
//!
//! ```text
//! keys.rs      made, listed, revoked, recognised    audit.rs      written and read
//! configs.rs   agents that the owner has made       sessions.rs   found again
//! usage.rs     what the sessions have used          webhooks.rs   told when a turn has ended
//! schedules.rs prompts that are said at a time
//! ```
//!
//! Its alarm says what is scheduled, and sends what webhooks are to hear.
//!
//! Only this Worker reaches it. It keeps its tables when it is first written to: being asked about a
//! key that nobody made leaves nothing behind. It can be deleted when its owner has no sessions left
//! and nobody needs to know any more what was done in them.

mod audit;
mod configs;
mod keys;
mod schedules;
mod sessions;
mod usage;
mod webhooks;

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use access::{ApiKey, Origin, Pass, Principal, Scopes, Via};
use protocol::{Owner, Problem, ProblemKind, SessionId};
use serde::Serialize;
use serde_json::{Value, json};
use worker::{
    DurableObject, Env, Method, Request, RequestInit, Response, Result, SqlStorage, State,
    durable_object, wasm_bindgen,
};

use crate::answer::{self, Answer, internal};
use crate::rows;
pub use keys::{Wish, unknown_key};
pub use schedules::{delete_schedule, is_scheduled, put_schedule, schedules};
pub use usage::{Reports, Span as UsageSpan, report, usage};
pub use webhooks::{delete_webhook, deliveries, make_webhook, ping_webhook, webhooks};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS key (
        id TEXT PRIMARY KEY,
        salt TEXT NOT NULL,           -- hexadecimal, as is the hash
        hash TEXT NOT NULL,           -- of the secret with the salt
        scopes TEXT NOT NULL,         -- names, as a JSON array
        name TEXT NOT NULL,
        made_at INTEGER NOT NULL,     -- milliseconds since the epoch, as are all times
        made_by TEXT NOT NULL,
        until INTEGER,                -- NULL: for good
        parent TEXT                   -- of a browser's key: the key, or the fingerprint of the
                                      -- operator's token, that somebody has signed in with
    );
    CREATE TABLE IF NOT EXISTS audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        what TEXT NOT NULL,
        about TEXT NOT NULL,          -- the session's id, or the key's
        by TEXT NOT NULL,
        address TEXT NOT NULL,
        request_id TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS config (
        id TEXT PRIMARY KEY,
        config TEXT NOT NULL,         -- JSON
        made_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS session (
        id TEXT PRIMARY KEY,
        config_id TEXT NOT NULL,      -- '' where it was launched without
        title TEXT NOT NULL,
        status TEXT NOT NULL,
        provider TEXT NOT NULL,
        made_at INTEGER NOT NULL,
        active_at INTEGER NOT NULL,
        count INTEGER NOT NULL,       -- of what the session has told
        shown TEXT NOT NULL DEFAULT '{}' -- a `Shown`, JSON
    );
    CREATE INDEX IF NOT EXISTS session_active ON session (active_at);
";

/// How long the alarm rests at least before it comes again: should something stay due that it has just done,
/// that is done again and again, but not without a pause.
const REST: Duration = Duration::from_secs(1);

/// Something that was done in an owner's name. Never what was said.
#[derive(Debug)]
pub struct Deed<'a> {
    pub what: &'a str,
    /// The session's id, or the key's.
    pub about: &'a str,
    pub by: String,
    pub from: &'a Origin,
}

impl<'a> Deed<'a> {
    /// Of somebody who is known, in their own name.
    pub fn by(principal: &Principal, from: &'a Origin, what: &'a str, about: &'a str) -> Self {
        Self {
            what,
            about,
            by: principal.name(),
            from,
        }
    }

    /// Of somebody whom a session has let in.
    pub fn of(pass: &'a Pass, what: &'a str, about: &'a str) -> Self {
        Self {
            what,
            about,
            by: pass.by.clone(),
            from: &pass.origin,
        }
    }

    /// As the account hears of it.
    pub fn told(&self) -> Value {
        json!({
            "what": self.what,
            "about": self.about,
            "by": self.by,
            "address": self.from.address,
            "request_id": self.from.request_id,
        })
    }
}

/// A key that is to be made, and who makes it.
#[derive(Debug)]
pub struct Making<'a> {
    pub owner: Owner,
    pub scopes: Scopes,
    pub name: &'a str,
    pub until: Option<u64>,
    pub parent: Option<String>,
    pub deed: Deed<'a>,
}

/// Somebody who has a key.
pub struct Known {
    pub principal: Principal,
    /// What this was signed in with, for a browser's key.
    pub parent: Option<String>,
}

/// Whoever has a key.
///
/// # Errors
/// 401 where nobody has it any more, or never had.
pub async fn holder(env: &Env, key: &ApiKey, token: &str) -> std::result::Result<Known, Problem> {
    let known = ask(env, &key.owner, "holder", json!(token)).await?;
    let names = known.get("scopes").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    Ok(Known {
        principal: Principal {
            owner: key.owner.clone(),
            via: Via::Key(key.id.clone()),
            scopes: Scopes::of_names(names),
            until: rows::number(&known, "until"),
        },
        parent: Some(rows::text(&known, "parent").to_owned()).filter(|parent| !parent.is_empty()),
    })
}

/// Makes a key, and gives its token, which is shown once.
///
/// # Errors
/// 409 where there are too many.
pub async fn make_key(env: &Env, making: &Making<'_>) -> std::result::Result<Value, Problem> {
    let asked = json!({
        "owner": making.owner,
        "scopes": making.scopes.names(),
        "name": making.name,
        "until": making.until,
        "parent": making.parent,
        "deed": making.deed.told(),
    });
    ask(env, &making.owner, "make", asked).await
}

/// The keys of an owner, without their secrets.
///
/// # Errors
/// Where the account can't be reached.
pub async fn keys(env: &Env, owner: &Owner) -> std::result::Result<Value, Problem> {
    ask(env, owner, "keys", Value::Null).await
}

/// Revokes a key: the one that `deed` is about, and those of browsers that have signed in with it.
///
/// # Errors
/// 404 where there is none.
pub async fn revoke_key(
    env: &Env,
    owner: &Owner,
    deed: &Deed<'_>,
) -> std::result::Result<(), Problem> {
    ask(env, owner, "revoke", deed.told()).await.map(drop)
}

/// Writes down what was done, as [`Deed::told`] tells it. What can't be written down is told to the
/// operator's log.
pub async fn record(env: &Env, owner: &Owner, deed: Value) {
    if let Err(problem) = ask(env, owner, "record", deed).await {
        internal("audit", &problem);
    }
}

/// What was done in an owner's name, the newest first: `limit` entries at most, before `before`.
///
/// # Errors
/// Where the account can't be reached.
pub async fn audit(
    env: &Env,
    owner: &Owner,
    before: Option<u64>,
    limit: u64,
) -> std::result::Result<Value, Problem> {
    let span = json!({ "before": before, "limit": limit });
    ask(env, owner, "audit", span).await
}

/// Keeps an agent's configuration in its owner's account. With `replace` it has to be there already.
///
/// # Errors
/// 409 where another one has its id, or there are too many; 404 where there is none to replace.
pub async fn put_config(
    env: &Env,
    owner: &Owner,
    config: &agents::AgentConfig,
    replace: bool,
    deed: &Deed<'_>,
) -> std::result::Result<(), Problem> {
    let asked = json!({ "config": config, "replace": replace, "deed": deed.told() });
    ask(env, owner, "put-config", asked).await.map(drop)
}

/// The configurations of an owner's agents.
///
/// # Errors
/// Where the account can't be reached.
pub async fn configs(
    env: &Env,
    owner: &Owner,
) -> std::result::Result<Vec<agents::AgentConfig>, Problem> {
    let found = ask(env, owner, "configs", Value::Null).await?;
    rows::read(&found).map_err(|error| internal("configs", &error))
}

/// The one of an id, where there is one.
///
/// # Errors
/// Where the account can't be reached.
pub async fn config(
    env: &Env,
    owner: &Owner,
    id: &str,
) -> std::result::Result<Option<agents::AgentConfig>, Problem> {
    let found = ask(env, owner, "config", json!(id)).await?;
    rows::read(&found).map_err(|error| internal("config", &error))
}

/// Deletes the one that `deed` is about.
///
/// # Errors
/// 404 where there is none.
pub async fn delete_config(
    env: &Env,
    owner: &Owner,
    deed: &Deed<'_>,
) -> std::result::Result<(), Problem> {
    ask(env, owner, "delete-config", deed.told())
        .await
        .map(drop)
}

/// What a list shows of a session beside its name: when this changes, the session tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    pub status: &'static str,
    /// The one that answers next, where that is known.
    pub model: Option<String>,
    /// How many requests of its agent wait for a person.
    pub open_requests: usize,
    /// US dollars; none where nothing was used, or the price of a call is not known.
    pub cost_usd: Option<f64>,
}

/// What a session tells its owner's account of itself.
#[derive(Debug, Serialize)]
pub struct Sign {
    pub id: SessionId,
    /// Empty where it was launched without.
    pub config_id: String,
    pub title: String,
    pub shown: Shown,
    pub provider: String,
    /// Milliseconds since the epoch, both.
    pub made_at: u64,
    pub active_at: u64,
    /// Counts up: what comes late, after a higher one, counts for nothing.
    pub count: u64,
}

/// Notes a session in the index of its owner. Where that fails, the session's next sign makes up for it.
pub async fn note_session(env: &Env, owner: &Owner, sign: &Sign) {
    if let Err(problem) = ask(env, owner, "note-session", json!(sign)).await {
        internal("index", &problem);
    }
}

/// Takes a session out of the index of its owner.
///
/// # Errors
/// Where the account can't be reached.
pub async fn forget_session(
    env: &Env,
    owner: &Owner,
    id: &SessionId,
) -> std::result::Result<(), Problem> {
    ask(env, owner, "forget-session", json!(id)).await.map(drop)
}

/// Which sessions of an owner are wanted.
#[derive(Debug, Default, Serialize)]
pub struct Search {
    /// A text that the title, the id or the configuration's id holds; empty for all.
    pub search: String,
    /// Empty for all.
    pub status: String,
    pub limit: u64,
    pub offset: u64,
}

/// A page of an owner's sessions, those that were used last first, and how many there are.
///
/// # Errors
/// Where the account can't be reached.
pub async fn sessions(
    env: &Env,
    owner: &Owner,
    search: &Search,
) -> std::result::Result<Value, Problem> {
    ask(env, owner, "sessions", json!(search)).await
}

async fn ask(
    env: &Env,
    owner: &Owner,
    what: &str,
    asked: Value,
) -> std::result::Result<Value, Problem> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_body(Some(asked.to_string().into()));
    let url = format!("http://account.internal/{what}");
    let request = Request::new_with_init(&url, &init).map_err(failed)?;
    let response = env
        .durable_object("ACCOUNT")
        .and_then(|namespace| namespace.get_by_name(&owner.account_object()))
        .map_err(failed)?
        .fetch_with_request(request)
        .await
        .map_err(failed)?;
    answer::told(response).await
}

#[durable_object]
pub struct Account {
    object: AssertUnwindSafe<Object>,
}

struct Object {
    platform: State,
    env: Env,
    sql: SqlStorage,
    /// Whether the tables are there.
    kept: Cell<bool>,
}

impl DurableObject for Account {
    fn new(state: State, env: Env) -> Self {
        let sql = state.storage().sql();
        let tables = "SELECT name FROM sqlite_master WHERE name = 'audit'";
        let kept = rows::texts(&sql, tables, Vec::new()).is_ok_and(|rows| !rows.is_empty());
        // An account from before there were all of them.
        let kept = kept && make_tables(&sql).is_ok();
        Self {
            object: AssertUnwindSafe(Object {
                platform: state,
                env,
                sql,
                kept: Cell::new(kept),
            }),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let path = request.path();
        let body = request.bytes().await?;
        match self.object.answer(&path, &body).await {
            Ok(response) => Ok(response),
            Err(problem) => answer::problem(&problem),
        }
    }

    async fn alarm(&self) -> Result<Response> {
        self.object.do_what_is_due().await;
        Response::empty()
    }
}

fn make_tables(sql: &SqlStorage) -> Result<()> {
    for schema in [SCHEMA, usage::SCHEMA, webhooks::SCHEMA, schedules::SCHEMA] {
        sql.exec(schema, None)?;
    }
    let table = "SELECT sql FROM sqlite_master WHERE name = 'session'";
    let table = rows::texts(sql, table, Vec::new())?;
    if table.first().is_some_and(|table| !table.contains("shown")) {
        // One of an earlier version.
        let column = "ALTER TABLE session ADD COLUMN shown TEXT NOT NULL DEFAULT '{}'";
        sql.exec(column, None)?;
    }
    Ok(())
}

impl Object {
    async fn answer(&self, path: &str, body: &[u8]) -> Answer {
        let asked = serde_json::from_slice(body).map_err(|error| internal("account", &error))?;
        let answer = match path {
            "/holder" => self.holder(&asked)?,
            "/make" => self.make(&asked)?,
            "/keys" => self.list()?,
            "/revoke" => self.revoke(&asked)?,
            "/record" => self.record(&asked)?,
            "/audit" => self.audit(&asked)?,
            "/put-config" => self.put_config(&asked)?,
            "/configs" => self.configs()?,
            "/config" => self.get_config(&asked)?,
            "/delete-config" => self.delete_config(&asked)?,
            "/note-session" => self.note_session(&asked)?,
            "/forget-session" => self.forget_session(&asked)?,
            "/sessions" => self.sessions(&asked)?,
            "/report" => self.report(&asked)?,
            "/usage" => self.usage(&asked)?,
            "/make-webhook" => self.make_webhook(&asked)?,
            "/webhooks" => self.webhooks()?,
            "/delete-webhook" => self.delete_webhook(&asked)?,
            "/ping-webhook" => self.ping_webhook(&asked)?,
            "/deliveries" => self.deliveries(&asked)?,
            "/put-schedule" => self.put_schedule(&asked)?,
            "/schedules" => self.schedules()?,
            "/delete-schedule" => self.delete_schedule(&asked)?,
            "/is-scheduled" => self.is_scheduled(&asked)?,
            _ => {
                return Err(Problem::new(
                    ProblemKind::NotFound,
                    "no such path in an account",
                ));
            }
        };
        if matches!(path, "/report" | "/ping-webhook" | "/put-schedule") {
            self.set_alarm(Duration::ZERO).await;
        }
        answer::json(200, &answer)
    }

    /// Says what is scheduled, and sends what webhooks are to hear, as far as it is due.
    async fn do_what_is_due(&self) {
        if !self.kept.get() {
            return;
        }
        // Side by side: a server that is slow to answer does not keep prompts waiting.
        let (said, sent) = futures_util::join!(self.say_what_is_due(), self.deliver());
        for done in [said, sent] {
            if let Err(problem) = done {
                internal("account", &problem.detail);
            }
        }
        self.set_alarm(REST).await;
    }

    /// Has the platform wake this object when something is due, but no sooner than `soonest` from now.
    async fn set_alarm(&self, soonest: Duration) {
        let next = self.rows(
            "SELECT cast(min(next_at) AS TEXT) FROM (
               SELECT min(next_at) AS next_at FROM schedule WHERE next_at IS NOT NULL
               UNION ALL SELECT min(next_at) FROM delivery WHERE next_at IS NOT NULL)
             HAVING min(next_at) IS NOT NULL",
            Vec::new(),
        );
        let next = match next {
            Ok(next) => next.first().and_then(Value::as_u64),
            // What can't be read now is read in a minute.
            Err(_) => Some(now() + 60_000),
        };
        let Some(next) = next else { return };
        let wait = until(next, now(), soonest);
        if let Err(error) = self.platform.storage().set_alarm(wait).await {
            internal("alarm", &error);
        }
    }

    /// Makes sure that there are tables to write to.
    fn keep(&self) -> std::result::Result<(), Problem> {
        if !self.kept.get() {
            make_tables(&self.sql).map_err(failed)?;
            self.kept.set(true);
        }
        Ok(())
    }

    /// The rows of a query, none where nothing was ever written.
    fn rows(
        &self,
        query: &str,
        values: Vec<worker::SqlStorageValue>,
    ) -> std::result::Result<Vec<Value>, Problem> {
        if !self.kept.get() {
            return Ok(Vec::new());
        }
        rows::values(&self.sql, query, values).map_err(failed)
    }

    /// Carries out all of `writes`, or none of it where it fails.
    fn all_or_nothing(
        &self,
        writes: impl FnOnce() -> std::result::Result<(), Problem>,
    ) -> std::result::Result<(), Problem> {
        let mut refused = None;
        let written = rows::transaction(&self.platform.storage(), || {
            writes().map_err(|problem| {
                let words = problem.detail.clone();
                refused = Some(problem);
                worker::Error::RustError(words)
            })
        });
        match refused {
            Some(problem) => Err(problem),
            None => written.map_err(failed),
        }
    }

    /// How many rows there are: `from` is what stands behind `SELECT count(*) FROM`.
    fn count(
        &self,
        from: &str,
        values: Vec<worker::SqlStorageValue>,
    ) -> std::result::Result<u64, Problem> {
        let query = format!("SELECT cast(count(*) AS TEXT) FROM {from}");
        let counted = self.rows(&query, values)?;
        Ok(counted.first().and_then(Value::as_u64).unwrap_or_default())
    }
}

fn failed(error: worker::Error) -> Problem {
    internal("account", &error)
}

/// How long until a time, both in milliseconds since the epoch, and `soonest` at least.
fn until(next: u64, now: u64, soonest: Duration) -> Duration {
    Duration::from_millis(next.saturating_sub(now)).max(soonest)
}

fn now() -> u64 {
    worker::Date::now().as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_rests_before_it_comes_again() {
        let second = Duration::from_secs(1);
        assert_eq!(until(5_000, 2_000, REST), 3 * second);
        assert_eq!(until(5_000, 9_000, REST), REST);
        assert_eq!(until(5_000, 4_999, REST), REST);
        assert_eq!(until(5_000, 9_000, Duration::ZERO), Duration::ZERO);
    }
}
