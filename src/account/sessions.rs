//! The index of an account's sessions. Each session tells of itself; what it tells late counts for
//! nothing.

use protocol::Problem;
use serde_json::{Value, json};

use super::{Object, failed, now};
use crate::rows::{integer, member, number, text};

/// How long it is remembered that a session was deleted, in milliseconds.
const REMEMBER_MS: u64 = 60 * 60 * 1000;

/// No session tells of itself as often.
const MAX_COUNT: u64 = (1 << 53) - 1;

impl Object {
    /// Takes in what a session tells of itself, a [`Sign`](super::Sign).
    pub(super) fn note_session(&self, sign: &Value) -> Result<Value, Problem> {
        self.keep()?;
        let old = now().saturating_sub(REMEMBER_MS);
        self.sql
            .exec(
                "DELETE FROM session WHERE status = 'deleted' AND active_at < ?",
                vec![integer(old).map_err(failed)?],
            )
            .map_err(failed)?;
        let shown = member(sign, "shown");
        let values = ["id", "config_id", "title", "provider"];
        let mut values: Vec<worker::SqlStorageValue> =
            values.map(|name| text(sign, name).into()).to_vec();
        values.extend([text(&shown, "status").into(), shown.to_string().into()]);
        for name in ["made_at", "active_at", "count"] {
            let value = number(sign, name).unwrap_or_default();
            values.push(integer(value).map_err(failed)?);
        }
        self.sql
            .exec(
                "INSERT INTO session (id, config_id, title, provider, status, shown, made_at,
                   active_at, count)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (id) DO UPDATE SET config_id = ?2, title = ?3, provider = ?4,
                   status = ?5, shown = ?6, made_at = ?7, active_at = ?8, count = ?9
                 WHERE count <= ?9 OR made_at < ?7",
                values,
            )
            .map_err(failed)?;
        Ok(Value::Null)
    }

    /// A session is not there any more. That is remembered until nothing can be under way that it told
    /// before.
    pub(super) fn forget_session(&self, id: &Value) -> Result<Value, Problem> {
        if self.kept.get() {
            let id = id.as_str().unwrap_or_default();
            let now = integer(now()).map_err(failed)?;
            self.sql
                .exec(
                    "UPDATE session SET status = 'deleted', title = '', active_at = ?, made_at = ?,
                       count = ? WHERE id = ?",
                    vec![
                        now.clone(),
                        now,
                        integer(MAX_COUNT).map_err(failed)?,
                        id.into(),
                    ],
                )
                .map_err(failed)?;
        }
        Ok(Value::Null)
    }

    /// A page of them, those that were used last first: `limit` from `offset` on, of those that hold
    /// the text `search`, and have the `status`, where these are not empty.
    pub(super) fn sessions(&self, wanted: &Value) -> Result<Value, Problem> {
        let search = text(wanted, "search");
        let status = text(wanted, "status");
        let matching = "session WHERE status <> 'deleted' AND (?1 = '' OR status = ?1)
            AND (?2 = '' OR instr(lower(id || ' ' || title || ' ' || config_id), lower(?2)) > 0)";
        let total = self.count(matching, vec![status.into(), search.into()])?;
        let page = self.rows(
            &format!(
                "SELECT json_object('session_id', id, 'agent_id', id, 'config_id',
                   iif(config_id = '', NULL, config_id), 'title', title, 'status', status,
                   'provider', provider, 'model', shown ->> 'model',
                   'open_requests', coalesce(shown ->> 'open_requests', 0),
                   'cost_usd', shown ->> 'cost_usd',
                   'created_at', strftime('%Y-%m-%dT%H:%M:%fZ', made_at / 1000.0, 'unixepoch'),
                   'last_active', strftime('%Y-%m-%dT%H:%M:%fZ', active_at / 1000.0, 'unixepoch'))
                 FROM {matching} ORDER BY active_at DESC, id LIMIT ?3 OFFSET ?4"
            ),
            vec![
                status.into(),
                search.into(),
                integer(number(wanted, "limit").unwrap_or(1)).map_err(failed)?,
                integer(number(wanted, "offset").unwrap_or(0)).map_err(failed)?,
            ],
        )?;
        Ok(json!({ "sessions": page, "total": total }))
    }
}
