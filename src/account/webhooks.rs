//! The webhooks of an account, and what is on its way to them. What is to be sent is stored with the report
//! that it tells of, and sent by the account's alarm until it has arrived: once at least, always with the
//! same id.

use std::time::Duration;

use ::session::Report;
use automation::webhook::{self, Data, Message, Webhook};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use protocol::{Owner, Problem, ProblemKind, SessionId};
use serde_json::{Value, json};
use worker::{
    AbortController, Delay, Env, Fetch, Headers, Method, Request, RequestInit, RequestRedirect,
};

use super::{Deed, Object, ask, failed, now};
use crate::answer::{internal, time, within};
use crate::rows::{integer, member, number, text};
use crate::secrets;

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS webhook (
        id TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        session TEXT,                 -- NULL: of all sessions
        sealed TEXT NOT NULL,         -- its secret
        made_at INTEGER NOT NULL,
        gone INTEGER NOT NULL DEFAULT 0 -- its server has said that nobody is there any more
    );
    CREATE TABLE IF NOT EXISTS delivery (
        id TEXT PRIMARY KEY,
        webhook TEXT NOT NULL,
        body TEXT NOT NULL,
        made_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_at INTEGER,              -- NULL where it is not sent any more
        outcome TEXT NOT NULL DEFAULT 'pending',
        answer TEXT NOT NULL DEFAULT '' -- to the last attempt: a status, or why there was none
    );
    CREATE INDEX IF NOT EXISTS delivery_next ON delivery (next_at) WHERE next_at IS NOT NULL;
    CREATE INDEX IF NOT EXISTS delivery_of ON delivery (webhook, made_at);
    CREATE INDEX IF NOT EXISTS delivery_due ON delivery (webhook, next_at) WHERE next_at IS NOT NULL;
";

/// Webhooks of an account at most.
const MAX_WEBHOOKS: usize = 20;

/// What waits to be sent, at most: an account whose webhooks answer nobody does not grow for ever.
const MAX_PENDING: u64 = 5000;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long one alarm begins to send what is due, in milliseconds. The next goes on.
const SENDING_MS: u64 = 15_000;

/// How often it is looked meanwhile what else is due.
const LOOK: Duration = Duration::from_secs(1);

/// How long it is kept what was sent, in milliseconds.
const KEEP_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Deliveries that are listed.
const PAGE: u64 = 100;

/// Makes a webhook, and gives its secret, which is shown once.
///
/// # Errors
/// 409 where there are too many, 503 where this deployment can keep no secrets.
pub async fn make_webhook(
    env: &Env,
    owner: &Owner,
    webhook: &Webhook,
    deed: &Deed<'_>,
) -> Result<Value, Problem> {
    let asked = json!({ "owner": owner, "webhook": webhook, "deed": deed.told() });
    ask(env, owner, "make-webhook", asked).await
}

/// The webhooks of an owner, without their secrets.
///
/// # Errors
/// Where the account can't be reached.
pub async fn webhooks(env: &Env, owner: &Owner) -> Result<Value, Problem> {
    ask(env, owner, "webhooks", Value::Null).await
}

/// Deletes the webhook that `deed` is about, and what is on its way to it.
///
/// # Errors
/// 404 where there is none.
pub async fn delete_webhook(env: &Env, owner: &Owner, deed: &Deed<'_>) -> Result<(), Problem> {
    ask(env, owner, "delete-webhook", deed.told())
        .await
        .map(drop)
}

/// Has a webhook sent something, to try it.
///
/// # Errors
/// 404 where there is none.
pub async fn ping_webhook(env: &Env, owner: &Owner, id: &str) -> Result<Value, Problem> {
    ask(env, owner, "ping-webhook", json!(id)).await
}

/// What was sent to a webhook lately, and what became of it, the newest first.
///
/// # Errors
/// 404 where there is none.
pub async fn deliveries(env: &Env, owner: &Owner, id: &str) -> Result<Value, Problem> {
    ask(env, owner, "deliveries", json!(id)).await
}

impl Object {
    pub(super) fn make_webhook(&self, asked: &Value) -> Result<Value, Problem> {
        self.keep()?;
        if self.count("webhook", Vec::new())? >= MAX_WEBHOOKS as u64 {
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!("this account has {MAX_WEBHOOKS} webhooks; delete some first"),
            ));
        }
        let random = crate::random::bytes::<32>().map_err(failed)?;
        let secret = webhook::secret(&random);
        let id = format!("wh_{}", crate::random::hex::<8>().map_err(failed)?);
        let nonce = crate::random::bytes().map_err(failed)?;
        let sealed = secrets::seal(&self.env, &id)?.seal(nonce, secret.as_bytes());
        let sealed = sealed.ok_or_else(|| internal("webhook", &"not sealed"))?;
        let wish = member(asked, "webhook");
        let session = wish.get("session_id").and_then(Value::as_str);
        self.sql
            .exec(
                "INSERT INTO webhook (id, url, session, sealed, made_at) VALUES (?, ?, ?, ?, ?)",
                vec![
                    id.as_str().into(),
                    text(&wish, "url").into(),
                    session.map(str::to_owned).into(),
                    sealed.into(),
                    integer(now()).map_err(failed)?,
                ],
            )
            .map_err(failed)?;
        self.record_about(&id, asked)?;
        Ok(json!({ "id": id, "url": wish.get("url"), "session_id": session, "secret": secret }))
    }

    pub(super) fn webhooks(&self) -> Result<Value, Problem> {
        let webhooks = self.rows(
            "SELECT json_object('id', id, 'url', url, 'session_id', session, 'gone', json(iif(gone, 'true', 'false')),
               'created_at', strftime('%Y-%m-%dT%H:%M:%fZ', made_at / 1000.0, 'unixepoch'))
             FROM webhook ORDER BY made_at, id",
            Vec::new(),
        )?;
        Ok(json!({ "total": webhooks.len(), "webhooks": webhooks }))
    }

    fn find_webhook(&self, id: &str) -> Result<(), Problem> {
        let found = self.rows(
            "SELECT json_quote(id) FROM webhook WHERE id = ?",
            vec![id.into()],
        )?;
        let unknown = || Problem::new(ProblemKind::NotFound, "there is no such webhook");
        found.first().map(drop).ok_or_else(unknown)
    }

    pub(super) fn delete_webhook(&self, deed: &Value) -> Result<Value, Problem> {
        let id = text(deed, "about");
        self.find_webhook(id)?;
        for query in [
            "DELETE FROM delivery WHERE webhook = ?",
            "DELETE FROM webhook WHERE id = ?",
        ] {
            self.sql.exec(query, vec![id.into()]).map_err(failed)?;
        }
        self.record(deed)
    }

    pub(super) fn ping_webhook(&self, id: &Value) -> Result<Value, Problem> {
        let id = id.as_str().unwrap_or_default();
        self.find_webhook(id)?;
        // Who asks for it hears whether somebody is there again.
        self.sql
            .exec("UPDATE webhook SET gone = 0 WHERE id = ?", vec![id.into()])
            .map_err(failed)?;
        let message = Message {
            kind: "ping".to_owned(),
            timestamp: time(now()),
            data: Data::default(),
        };
        let delivery = self.send_later(id, &message)?;
        Ok(json!({ "id": delivery }))
    }

    pub(super) fn deliveries(&self, id: &Value) -> Result<Value, Problem> {
        let id = id.as_str().unwrap_or_default();
        self.find_webhook(id)?;
        let deliveries = self.rows(
            "SELECT json_object('id', id, 'message', json(body), 'attempts', attempts, 'outcome', outcome,
               'answer', answer,
               'created_at', strftime('%Y-%m-%dT%H:%M:%fZ', made_at / 1000.0, 'unixepoch'),
               'next_attempt_at', strftime('%Y-%m-%dT%H:%M:%fZ', next_at / 1000.0, 'unixepoch'))
             FROM delivery WHERE webhook = ? ORDER BY made_at DESC, id LIMIT ?",
            vec![id.into(), integer(PAGE).map_err(failed)?],
        )?;
        Ok(json!({ "total": deliveries.len(), "deliveries": deliveries }))
    }

    /// Stores what the webhooks are to hear of a turn that has ended.
    pub(super) fn tell_webhooks(
        &self,
        session: &SessionId,
        report: &Report,
    ) -> Result<(), Problem> {
        let webhooks = self.rows(
            "SELECT json_quote(id) FROM webhook WHERE NOT gone AND (session IS NULL OR session = ?)",
            vec![session.as_str().into()],
        )?;
        for id in webhooks.iter().filter_map(Value::as_str) {
            let message = Message {
                kind: "turn.ended".to_owned(),
                timestamp: time(report.ended_at),
                data: Data {
                    session_id: Some(session.clone()),
                    turn_id: Some(report.turn),
                    outcome: report.outcome,
                    seq: Some(report.seq),
                    usage: report.usage,
                },
            };
            self.send_later(id, &message)?;
        }
        Ok(())
    }

    fn send_later(&self, webhook: &str, message: &Message) -> Result<String, Problem> {
        if self.count("delivery WHERE next_at IS NOT NULL", Vec::new())? >= MAX_PENDING {
            // The oldest has waited longest for a server that does not answer.
            self.sql
                .exec(
                    "UPDATE delivery SET next_at = NULL, outcome = 'failed', answer = 'too many wait'
                     WHERE id = (SELECT id FROM delivery WHERE next_at IS NOT NULL ORDER BY made_at LIMIT 1)",
                    None,
                )
                .map_err(failed)?;
        }
        let body = serde_json::to_string(message).map_err(|error| internal("webhook", &error))?;
        let id = format!("msg_{}", crate::random::hex::<12>().map_err(failed)?);
        let now = integer(now()).map_err(failed)?;
        self.sql
            .exec(
                "INSERT INTO delivery (id, webhook, body, made_at, next_at) VALUES (?1, ?2, ?3, ?4, ?4)",
                vec![id.as_str().into(), webhook.into(), body.into(), now],
            )
            .map_err(failed)?;
        Ok(id)
    }

    /// Sends what is due.
    pub(super) async fn deliver(&self) -> Result<(), Problem> {
        // Where nobody is any more, what still waits is not sent either.
        self.sql
            .exec(
                "UPDATE delivery SET next_at = NULL, outcome = 'failed', answer = '410'
                 WHERE next_at IS NOT NULL AND webhook IN (SELECT id FROM webhook WHERE gone)",
                None,
            )
            .map_err(failed)?;
        let old = integer(now().saturating_sub(KEEP_MS)).map_err(failed)?;
        self.sql
            .exec(
                "DELETE FROM delivery WHERE next_at IS NULL AND made_at < ?",
                vec![old],
            )
            .map_err(failed)?;
        let until = now().saturating_add(SENDING_MS);
        let mut answers = FuturesUnordered::new();
        let mut under_way: Vec<Value> = Vec::new();
        loop {
            if now() < until {
                for delivery in self.next_due(&under_way)? {
                    under_way.push(delivery.clone());
                    answers.push(self.send_one(delivery));
                }
            }
            let (delivery, answer) = match select(answers.next(), Delay::from(LOOK)).await {
                Either::Left((Some(answered), _)) => answered,
                Either::Left((None, _)) => return Ok(()),
                // Something else may have come meanwhile, for a server that answers.
                Either::Right(_) => continue,
            };
            under_way.retain(|other| text(other, "id") != text(&delivery, "id"));
            self.note_answer(&delivery, answer)?;
        }
    }

    /// What is to be sent besides what is under way.
    fn next_due(&self, under_way: &[Value]) -> Result<Vec<Value>, Problem> {
        // Those that are under way are the oldest of their webhooks, and due until they are answered.
        let due = self.rows(
            "SELECT json_object('id', delivery.id, 'webhook', webhook.id, 'url', url, 'sealed', sealed,
               'body', body, 'attempts', attempts)
             FROM webhook CROSS JOIN delivery ON NOT webhook.gone AND delivery.id IN (
               SELECT id FROM delivery AS due WHERE due.webhook = webhook.id AND due.next_at <= ?
               ORDER BY due.next_at, due.id LIMIT ?)
             ORDER BY delivery.next_at, delivery.id",
            vec![
                integer(now()).map_err(failed)?,
                integer(webhook::OF_ONE as u64).map_err(failed)?,
            ],
        )?;
        let names: Vec<_> = due.iter().map(names_of).collect();
        let mut under_way: Vec<_> = under_way.iter().map(names_of).collect();
        let mut chosen = Vec::new();
        while let Some(place) = webhook::next(&names, &under_way) {
            under_way.extend(names.get(place));
            chosen.extend(due.get(place).cloned());
        }
        Ok(chosen)
    }

    async fn send_one(&self, delivery: Value) -> (Value, Result<u16, String>) {
        let answer = self.send(&delivery).await;
        (delivery, answer)
    }

    /// Sends one, and gives the status of the answer, or why there was none.
    async fn send(&self, delivery: &Value) -> Result<u16, String> {
        let refused = |error: &dyn std::fmt::Display| {
            internal("webhook", &error);
            "it could not be sent".to_owned()
        };
        let sealed = secrets::seal(&self.env, text(delivery, "webhook"))
            .map_err(|problem| problem.detail)?
            .open(text(delivery, "sealed"))
            .and_then(|secret| String::from_utf8(secret).ok())
            .ok_or("its secret can't be read any more; make the webhook anew")?;
        let (id, body, at) = (text(delivery, "id"), text(delivery, "body"), now() / 1000);
        let signature = webhook::signature(&sealed, id, at, body)
            .ok_or("its secret can't be read any more; make the webhook anew")?;
        let headers = Headers::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("user-agent", "agent-router"),
            ("webhook-id", id),
            ("webhook-timestamp", &at.to_string()),
            ("webhook-signature", &signature),
        ] {
            headers.set(name, value).map_err(|error| refused(&error))?;
        }
        let mut init = RequestInit::new();
        init.with_method(Method::Post)
            .with_headers(headers)
            // Where it is sent was checked, where it would be sent on to was not.
            .with_redirect(RequestRedirect::Manual)
            .with_body(Some(body.into()));
        let request = Request::new_with_init(text(delivery, "url"), &init)
            .map_err(|error| refused(&error))?;
        let abort = AbortController::default();
        let signal = abort.signal();
        let sent = async {
            let sent = Fetch::Request(request).send_with_signal(&signal).await;
            sent.map_err(|_| Problem::new(ProblemKind::Internal, "its server can't be reached"))
        };
        let answer = within(PATIENCE, "its server", sent).await;
        // Neither what takes too long nor a body, which nobody reads, keeps a place among those under way.
        abort.abort();
        answer
            .map(|response| response.status_code())
            .map_err(|problem| problem.detail)
    }

    fn note_answer(&self, delivery: &Value, answer: Result<u16, String>) -> Result<(), Problem> {
        let attempts = number(delivery, "attempts").unwrap_or_default() + 1;
        let gone = answer == Ok(410);
        let (outcome, next_at) = match (&answer, webhook::pause(attempts)) {
            (Ok(200..=299), _) => ("delivered", None),
            (_, Some(pause)) if !gone => ("pending", Some(now() + pause)),
            _ => ("failed", None),
        };
        let words = match answer {
            Ok(status) => status.to_string(),
            Err(why) => why,
        };
        if gone {
            self.sql
                .exec(
                    "UPDATE webhook SET gone = 1 WHERE id = ?",
                    vec![text(delivery, "webhook").into()],
                )
                .map_err(failed)?;
        }
        let next_at = next_at.map(integer).transpose().map_err(failed)?;
        self.sql
            .exec(
                "UPDATE delivery SET attempts = ?, outcome = ?, answer = ?, next_at = ? WHERE id = ?",
                vec![
                    integer(attempts).map_err(failed)?,
                    outcome.into(),
                    words.into(),
                    next_at.unwrap_or(worker::SqlStorageValue::Null),
                    text(delivery, "id").into(),
                ],
            )
            .map_err(failed)?;
        Ok(())
    }
}

/// The webhook that a delivery is for, and its own id.
fn names_of(delivery: &Value) -> (&str, &str) {
    (text(delivery, "webhook"), text(delivery, "id"))
}
