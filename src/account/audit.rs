//! What was done in an account's name. Entries are added, and never changed; those of more than
//! [`KEEP_MS`] ago go.

use protocol::Problem;
use serde_json::{Value, json};

use super::{Object, failed, now};
use crate::rows::{integer, member, number, text};

/// How long entries are kept: 400 days, in milliseconds.
const KEEP_MS: u64 = 400 * 24 * 60 * 60 * 1000;

/// No entry has a number that JavaScript can't write.
const MAX_ID: u64 = (1 << 53) - 1;

impl Object {
    /// Adds an entry, told as [`super::Deed::told`] does.
    pub(super) fn record(&self, deed: &Value) -> Result<Value, Problem> {
        self.keep()?;
        let now = now();
        let old = integer(now.saturating_sub(KEEP_MS)).map_err(failed)?;
        // Ids grow with time, so the oldest are the first.
        self.sql
            .exec(
                "DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY id LIMIT 10) AND at < ?",
                vec![old],
            )
            .map_err(failed)?;
        let mut values = vec![integer(now).map_err(failed)?];
        let fields = ["what", "about", "by", "address", "request_id"];
        values.extend(fields.map(|name| text(deed, name).into()));
        self.sql
            .exec(
                "INSERT INTO audit (at, what, about, by, address, request_id)
                 VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
            .map_err(failed)?;
        Ok(Value::Null)
    }

    /// Records the deed that stands in what was asked, once its thing has a name.
    pub(super) fn record_about(&self, id: &str, asked: &Value) -> Result<(), Problem> {
        let mut deed = member(asked, "deed");
        if let Some(fields) = deed.as_object_mut() {
            fields.insert("about".to_owned(), id.into());
        }
        self.record(&deed).map(drop)
    }

    pub(super) fn audit(&self, span: &Value) -> Result<Value, Problem> {
        let limit = number(span, "limit").unwrap_or(1);
        let before = number(span, "before").unwrap_or(MAX_ID).min(MAX_ID);
        let entries = self.rows(
            "SELECT json_object('id', id,
               'time', strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch'),
               'what', what, 'about', about, 'by', by, 'address', address, 'request_id', request_id)
             FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?",
            vec![
                integer(before).map_err(failed)?,
                integer(limit).map_err(failed)?,
            ],
        )?;
        let more = entries.len() as u64 == limit;
        let next = entries
            .last()
            .filter(|_| more)
            .map(|last| member(last, "id"));
        Ok(json!({ "next_before": next, "entries": entries }))
    }
}
