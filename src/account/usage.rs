//! What an account's sessions have used, by session and day. It stays when they are deleted.

use ::session::Report;
use protocol::{Outcome, Owner, Problem, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Env, SqlStorageValue};

use super::{Object, ask, failed};
use crate::answer::internal;
use crate::rows::{self, integer, number, text};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS usage (
        session TEXT NOT NULL,
        began_at INTEGER NOT NULL,    -- another session of that name has another
        day TEXT NOT NULL,            -- in UTC, such as 2026-11-21
        last_turn INTEGER NOT NULL,   -- of those that are counted here
        turns INTEGER NOT NULL,
        failed_turns INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cache_read_input_tokens INTEGER NOT NULL,
        cache_creation_input_tokens INTEGER NOT NULL,
        cost_usd REAL NOT NULL,       -- of the turns whose cost is known
        unpriced_turns INTEGER NOT NULL,
        PRIMARY KEY (session, began_at, day)
    );
    CREATE INDEX IF NOT EXISTS usage_day ON usage (day);
";

/// The sums of a set of rows, as members of a JSON object.
const SUMS: &str = "'turns', coalesce(sum(turns), 0), 'failed_turns', coalesce(sum(failed_turns), 0),
    'seconds', coalesce(sum(duration_ms), 0) / 1000.0,
    'input_tokens', coalesce(sum(input_tokens), 0), 'output_tokens', coalesce(sum(output_tokens), 0),
    'cache_read_input_tokens', coalesce(sum(cache_read_input_tokens), 0),
    'cache_creation_input_tokens', coalesce(sum(cache_creation_input_tokens), 0),
    'cost_usd', round(coalesce(sum(cost_usd), 0), 6), 'unpriced_turns', coalesce(sum(unpriced_turns), 0)";

/// Sessions that are told of by themselves, those that used most.
const MAX_SESSIONS: u64 = 100;

/// Turns of a session that have ended, in their order. Those that the account has heard of already count for
/// nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reports {
    pub session_id: SessionId,
    /// When the session began, in milliseconds since the epoch.
    pub began_at: u64,
    pub reports: Vec<Report>,
}

/// Which of it is wanted.
#[derive(Debug, Serialize)]
pub struct Span {
    /// The first and the last day, in UTC, such as `2026-11-21`.
    pub from: String,
    pub to: String,
    /// One session's alone.
    pub session: Option<SessionId>,
}

/// Tells an account of turns that have ended.
///
/// # Errors
/// Where it can't be reached: it has to be told again.
pub async fn report(env: &Env, owner: &Owner, reports: &Reports) -> Result<(), Problem> {
    ask(env, owner, "report", json!(reports)).await.map(drop)
}

/// What an owner's sessions have used.
///
/// # Errors
/// Where the account can't be reached.
pub async fn usage(env: &Env, owner: &Owner, span: &Span) -> Result<Value, Problem> {
    ask(env, owner, "usage", json!(span)).await
}

impl Object {
    /// Counts turns that have ended, and has webhooks told of them: both or neither, as what is counted is not
    /// looked at again.
    pub(super) fn report(&self, asked: &Value) -> Result<Value, Problem> {
        let told: Reports = rows::read(asked).map_err(|error| internal("report", &error))?;
        self.keep()?;
        self.all_or_nothing(|| self.count_reports(&told))?;
        Ok(Value::Null)
    }

    fn count_reports(&self, told: &Reports) -> Result<(), Problem> {
        let session = told.session_id.as_str();
        let began_at = integer(told.began_at).map_err(failed)?;
        let last = self.rows(
            "SELECT cast(coalesce(max(last_turn), 0) AS TEXT) FROM usage
             WHERE session = ? AND began_at = ?",
            vec![session.into(), began_at.clone()],
        )?;
        let last = last.first().and_then(Value::as_u64).unwrap_or_default();
        for report in told.reports.iter().filter(|report| report.turn.0 > last) {
            let usage = report.usage.unwrap_or_default();
            let numbers = [
                report.turn.0,
                u64::from(report.outcome == Some(Outcome::Failed)),
                usage.duration_ms,
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_input_tokens,
                usage.cache_creation_input_tokens,
                u64::from(usage.cost_usd.is_none()),
                report.ended_at,
            ];
            let mut values: Vec<SqlStorageValue> = vec![
                session.into(),
                began_at.clone(),
                usage.cost_usd.unwrap_or_default().into(),
            ];
            for number in numbers {
                values.push(integer(number).map_err(failed)?);
            }
            self.sql
                .exec(
                    "INSERT INTO usage (session, began_at, cost_usd, last_turn, turns, failed_turns,
                       duration_ms, input_tokens, output_tokens, cache_read_input_tokens,
                       cache_creation_input_tokens, unpriced_turns, day)
                     VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
                       strftime('%Y-%m-%d', ?12 / 1000, 'unixepoch'))
                     ON CONFLICT (session, began_at, day) DO UPDATE SET
                       last_turn = ?4, turns = turns + 1, failed_turns = failed_turns + ?5,
                       duration_ms = duration_ms + ?6, input_tokens = input_tokens + ?7,
                       output_tokens = output_tokens + ?8,
                       cache_read_input_tokens = cache_read_input_tokens + ?9,
                       cache_creation_input_tokens = cache_creation_input_tokens + ?10,
                       cost_usd = cost_usd + ?3, unpriced_turns = unpriced_turns + ?11",
                    values,
                )
                .map_err(failed)?;
            self.tell_webhooks(&told.session_id, report)?;
        }
        Ok(())
    }

    /// What was used, in all, by day, and by session.
    pub(super) fn usage(&self, asked: &Value) -> Result<Value, Problem> {
        let (from, to, session) = (
            text(asked, "from"),
            text(asked, "to"),
            text(asked, "session"),
        );
        let matching = "FROM usage WHERE day >= ?1 AND day <= ?2 AND (?3 = '' OR session = ?3)";
        let values = || -> Vec<SqlStorageValue> { vec![from.into(), to.into(), session.into()] };
        let total = self.rows(&format!("SELECT json_object({SUMS}) {matching}"), values())?;
        let days = self.rows(
            &format!("SELECT json_object('day', day, {SUMS}) {matching} GROUP BY day ORDER BY day"),
            values(),
        )?;
        let mut values_and_limit = values();
        values_and_limit.push(integer(MAX_SESSIONS).map_err(failed)?);
        let sessions = self.rows(
            &format!(
                "SELECT json_object('session_id', usage.session, 'title',
                   (SELECT title FROM session WHERE session.id = usage.session), {SUMS})
                 {matching} GROUP BY usage.session
                 ORDER BY sum(cost_usd) DESC, sum(input_tokens + output_tokens) DESC LIMIT ?4"
            ),
            values_and_limit,
        )?;
        let nothing = json!({
            "turns": 0, "failed_turns": 0, "seconds": 0.0, "input_tokens": 0, "output_tokens": 0,
            "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "cost_usd": 0.0,
            "unpriced_turns": 0,
        });
        let total = total
            .into_iter()
            .next()
            .filter(|it| number(it, "turns").is_some());
        Ok(json!({
            "from": from, "to": to, "total": total.unwrap_or(nothing),
            "days": days, "sessions": sessions,
        }))
    }
}
