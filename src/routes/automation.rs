//! What happens without a person at hand: `/api/webhooks`, who is told when a turn has ended, and
//! `/api/schedules`, what is said at a time.

use access::{Caller, Right};
use automation::schedule::Schedule;
use automation::webhook::Webhook;
use protocol::{Problem, ProblemKind};
use serde::de::DeserializeOwned;
use worker::{Env, Method, Request, Url};

use crate::account::{self, Deed};
use crate::answer::{self, Answer};
use crate::session::{self, Visit};

/// Bytes of a webhook that is asked for.
const MAX_WEBHOOK: usize = 8 * 1024;

/// Bytes of a schedule that is asked for: its prompt may be all escapes.
const MAX_SCHEDULE: usize = 6 * automation::schedule::MAX_PROMPT + 8 * 1024;

/// The webhooks of an account, and new ones.
pub async fn webhooks(mut request: Request, env: &Env, caller: &Caller) -> Answer {
    let principal = super::known(caller)?;
    if request.method() != Method::Post {
        return answer::json(200, &account::webhooks(env, &principal.owner).await?);
    }
    let webhook: Webhook = read(&mut request, MAX_WEBHOOK).await?;
    let url = Url::parse(&webhook.url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let private = env.var("PRIVATE_WEBHOOKS");
    webhook.check(host, private.is_ok_and(|value| value.to_string() == "true"))?;
    let deed = Deed::by(principal, &caller.origin, "create webhook", "");
    let made = account::make_webhook(env, &principal.owner, &webhook, &deed).await?;
    answer::json(201, &made)
}

pub async fn delete_webhook(env: &Env, caller: &Caller, id: &str) -> Answer {
    let principal = super::known(caller)?;
    let deed = Deed::by(principal, &caller.origin, "delete webhook", named(id)?);
    account::delete_webhook(env, &principal.owner, &deed).await?;
    Ok(answer::empty(204))
}

/// Has a webhook sent a `ping`.
pub async fn ping(env: &Env, caller: &Caller, id: &str) -> Answer {
    let principal = super::known(caller)?;
    let sent = account::ping_webhook(env, &principal.owner, named(id)?).await?;
    answer::json(202, &sent)
}

pub async fn deliveries(env: &Env, caller: &Caller, id: &str) -> Answer {
    let principal = super::known(caller)?;
    let deliveries = account::deliveries(env, &principal.owner, named(id)?).await?;
    answer::json(200, &deliveries)
}

/// The schedules of an account, and new ones.
pub async fn schedules(request: Request, env: &Env, caller: &Caller) -> Answer {
    let principal = super::known(caller)?;
    if request.method() != Method::Post {
        return answer::json(200, &account::schedules(env, &principal.owner).await?);
    }
    let made = put(request, env, caller, None, "create schedule").await?;
    answer::json(201, &made)
}

/// Changes or deletes a schedule.
pub async fn schedule(request: Request, env: &Env, caller: &Caller, id: &str) -> Answer {
    let id = named(id)?;
    if request.method() == Method::Put {
        let changed = put(request, env, caller, Some(id), "change schedule").await?;
        return answer::json(200, &changed);
    }
    let principal = super::known(caller)?;
    let deed = Deed::by(principal, &caller.origin, "delete schedule", id);
    account::delete_schedule(env, &principal.owner, &deed).await?;
    Ok(answer::empty(204))
}

async fn put(
    mut request: Request,
    env: &Env,
    caller: &Caller,
    id: Option<&str>,
    what: &str,
) -> Result<serde_json::Value, Problem> {
    let principal = super::known(caller)?;
    let schedule: Schedule = read(&mut request, MAX_SCHEDULE).await?;
    let visit = Visit {
        caller: caller.clone(),
        right: Right::Write,
        launches: false,
    };
    session::may(env, &schedule.session_id, &visit)
        .await
        .map_err(|problem| problem.at("session_id"))?;
    let deed = Deed::by(principal, &caller.origin, what, id.unwrap_or_default());
    account::put_schedule(env, &principal.owner, id, &schedule, &deed).await
}

/// A body that is JSON of this type. What is wrong with it is said with the field's name, where there is one.
async fn read<T: DeserializeOwned>(request: &mut Request, limit: usize) -> Result<T, Problem> {
    let body = super::body(request, limit).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body can't be read: {error}")))
}

/// An id of this deployment's making.
fn named(id: &str) -> Result<&str, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if id.len() <= 64 && id.bytes().all(plain) {
        Ok(id)
    } else {
        Err(Problem::new(
            ProblemKind::NotFound,
            "there is nothing with this id",
        ))
    }
}
