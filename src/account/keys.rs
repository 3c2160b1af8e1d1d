//! The keys of an account.

use access::key::StoredSecret;
use access::{ApiKey, Scopes, secret};
use protocol::{Owner, Problem, ProblemKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Object, failed, now};
use crate::answer::{internal, time};
use crate::rows::{integer, member, number, text};

/// Browsers that are signed in to an account at most.
const MAX_BROWSERS: u64 = 200;

/// Keys of an account at most.
const MAX_KEYS: usize = 1000;

/// Characters of a key's name at most.
const MAX_NAME: usize = 100;

/// Seconds that a key may hold at most, where it says for how long: ten years.
const MAX_SECONDS: u64 = 10 * 366 * 24 * 60 * 60;

/// What somebody asks for who wants a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    #[serde(default)]
    pub name: String,
    pub scopes: Option<Vec<String>>,
    /// Seconds.
    pub expires_in: Option<u64>,
    /// Whose key it is to be; for the operator alone.
    pub owner: Option<String>,
}

impl Wish {
    /// The scopes that are asked for: those that a person works with, where nothing is said.
    ///
    /// # Errors
    /// 400 for one that there is not.
    pub fn scopes(&self) -> Result<Scopes, Problem> {
        let usual = ["read", "write", "launch"].map(str::to_owned);
        Scopes::parse(self.scopes.as_deref().unwrap_or(&usual))
    }

    /// Until when, in milliseconds since the epoch.
    ///
    /// # Errors
    /// 400 for no time, or one beyond all reason.
    pub fn until(&self, now: u64) -> Result<Option<u64>, Problem> {
        match self.expires_in {
            None => Ok(None),
            Some(seconds) if (1..=MAX_SECONDS).contains(&seconds) => Ok(Some(now + seconds * 1000)),
            Some(_) => Err(Problem::bad_request(format!(
                "expires_in must be 1 to {MAX_SECONDS} seconds"
            ))
            .at("expires_in")),
        }
    }

    /// # Errors
    /// 400 where the name is long, or more than a line.
    pub fn name(&self) -> Result<&str, Problem> {
        if self.name.chars().count() > MAX_NAME || self.name.chars().any(char::is_control) {
            return Err(Problem::bad_request(format!(
                "name must be at most {MAX_NAME} characters on one line"
            ))
            .at("name"));
        }
        Ok(&self.name)
    }
}

/// What somebody is told whose key is unknown, revoked or expired: all the same.
pub fn unknown_key() -> Problem {
    Problem::new(
        ProblemKind::Unauthenticated,
        "this key is not valid, has expired, or was revoked",
    )
}

impl Object {
    /// What is stored of a key that holds.
    fn key(&self, id: &str) -> Result<Option<Value>, Problem> {
        let found = self.rows(
            "SELECT json_object('salt', salt, 'hash', hash, 'scopes', json(scopes), 'until', until,
               'parent', parent)
             FROM key WHERE id = ? AND (until IS NULL OR until > ?)",
            vec![id.into(), integer(now()).map_err(failed)?],
        )?;
        Ok(found.into_iter().next())
    }

    /// What a key is good for.
    pub(super) fn holder(&self, token: &Value) -> Result<Value, Problem> {
        let key = ApiKey::parse(token.as_str().unwrap_or_default())?;
        let stored = self.key(&key.id)?.unwrap_or_default();
        // Who asks for a key that there is not waits as long as for one that there is.
        let secret = StoredSecret {
            salt: secret::from_hex(text(&stored, "salt")).unwrap_or_default(),
            hash: secret::from_hex(text(&stored, "hash")).unwrap_or_default(),
        };
        if !key.is(&secret) || stored.is_null() {
            return Err(unknown_key());
        }
        // A browser's key is worth no more than what somebody has signed in with.
        let parent = text(&stored, "parent");
        if secret::from_hex::<8>(parent).is_some() && self.key(parent)?.is_none() {
            return Err(unknown_key());
        }
        Ok(json!({
            "scopes": member(&stored, "scopes"),
            "until": member(&stored, "until"),
            "parent": parent,
        }))
    }

    pub(super) fn make(&self, making: &Value) -> Result<Value, Problem> {
        self.keep()?;
        let random = |error: worker::Error| internal("random", &error);
        let now = integer(now()).map_err(failed)?;
        self.sql
            .exec("DELETE FROM key WHERE until < ?", vec![now.clone()])
            .map_err(failed)?;
        if making.get("parent").is_some_and(Value::is_string) {
            // Browsers sign in again and again; who has signed in longest ago does so once more.
            self.sql
                .exec(
                    "DELETE FROM key WHERE parent IS NOT NULL AND id NOT IN (
                       SELECT id FROM key WHERE parent IS NOT NULL ORDER BY made_at DESC LIMIT ?)",
                    vec![integer(MAX_BROWSERS - 1).map_err(failed)?],
                )
                .map_err(failed)?;
        }
        if self
            .rows("SELECT json_quote(id) FROM key", Vec::new())?
            .len()
            >= MAX_KEYS
        {
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!("this account has {MAX_KEYS} keys; revoke some first"),
            ));
        }
        let key = ApiKey::fresh(
            Owner::parse(text(making, "owner"))?,
            crate::random::bytes().map_err(random)?,
            crate::random::bytes().map_err(random)?,
        );
        let stored = key.stored(crate::random::bytes().map_err(random)?);
        let until = number(making, "until");
        let parent = making.get("parent").and_then(Value::as_str);
        self.sql
            .exec(
                "INSERT INTO key (id, salt, hash, scopes, name, made_at, made_by, until, parent)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                vec![
                    key.id.as_str().into(),
                    secret::hex(&stored.salt).into(),
                    secret::hex(&stored.hash).into(),
                    member(making, "scopes").to_string().into(),
                    text(making, "name").into(),
                    now,
                    text(&member(making, "deed"), "by").into(),
                    until.map(integer).transpose().map_err(failed)?.into(),
                    parent.map(str::to_owned).into(),
                ],
            )
            .map_err(failed)?;
        self.record_about(&key.id, making)?;
        Ok(json!({
            "id": key.id,
            "key": key.text(),
            "owner": key.owner,
            "name": member(making, "name"),
            "scopes": member(making, "scopes"),
            "expires_at": until.map(time),
        }))
    }

    pub(super) fn list(&self) -> Result<Value, Problem> {
        let keys = self.rows(
            "SELECT json_object('id', id, 'name', name, 'scopes', json(scopes),
               'created_at', strftime('%Y-%m-%dT%H:%M:%fZ', made_at / 1000.0, 'unixepoch'),
               'created_by', made_by,
               'expires_at', strftime('%Y-%m-%dT%H:%M:%fZ', until / 1000.0, 'unixepoch'),
               'browser', json(iif(parent IS NULL, 'false', 'true')))
             FROM key WHERE until IS NULL OR until > ? ORDER BY made_at DESC, id",
            vec![integer(now()).map_err(failed)?],
        )?;
        Ok(json!({ "keys": keys }))
    }

    /// Revokes the key that a deed is about.
    pub(super) fn revoke(&self, deed: &Value) -> Result<Value, Problem> {
        let id = text(deed, "about");
        if self.key(id)?.is_none() {
            return Err(Problem::new(
                ProblemKind::NotFound,
                "there is no such key in this account",
            ));
        }
        self.sql
            .exec(
                "DELETE FROM key WHERE id = ? OR parent = ?",
                vec![id.into(), id.into()],
            )
            .map_err(failed)?;
        self.record(deed)
    }
}
