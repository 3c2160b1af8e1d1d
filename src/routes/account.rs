//! `/api/login`, `/api/keys`, `/api/audit`: an account's keys, and what was done in its name.

use access::{ApiKey, Asked, Caller, Origin, Principal, Shown, Via, Who};
use protocol::{Owner, Problem, ProblemKind};
use serde_json::{Value, json};
use worker::{Env, Method, Request, Url};

use crate::account::{self, Deed, Making, Wish};
use crate::admission::{self, Admission};
use crate::answer::{self, Answer, internal};
use crate::limits::{self, Limit};

/// Bytes of a body at most.
const MAX_BODY: usize = 8 * 1024;

/// How long a browser stays signed in, in seconds: 30 days.
const SIGNED_IN_SECONDS: u64 = 30 * 24 * 60 * 60;

/// Entries of a page of the audit log, where nothing is said, and at most.
const PAGE: u64 = 100;
const MAX_PAGE: u64 = 1000;

/// Signs a browser in: for a token it gets a key of its own, which no script can read, and which is
/// worth no more than the token: it is void when the token is.
pub async fn login(
    mut request: Request,
    env: &Env,
    admission: &Admission<'_>,
    asked: &Asked<'_>,
    origin: Origin,
) -> Answer {
    let body = super::body(&mut request, MAX_BODY).await?;
    let login: Value = serde_json::from_slice(&body).unwrap_or_default();
    let token = login
        .get("token")
        .and_then(Value::as_str)
        .ok_or_else(|| Problem::bad_request("signing in takes {\"token\": \"…\"}").at("token"))?;
    let who = match admission.holder(token.trim()).await {
        Err(problem) if problem.kind == ProblemKind::Unauthenticated => {
            limits::take(env, Limit::WrongKeys, &origin.key()).await?;
            return Err(problem);
        }
        who => who?,
    };
    let Who::Known(principal) = who else {
        return Err(
            Problem::bad_request("this is a share link's; open the link instead").at("token"),
        );
    };
    let parent = match &principal.via {
        Via::Key(id) => Some(id.clone()),
        _ => admission.operator_fingerprint(),
    };
    let now = worker::Date::now().as_millis();
    let until = now + SIGNED_IN_SECONDS * 1000;
    let until = principal.until.map_or(until, |end| end.min(until));
    let making = Making {
        owner: principal.owner.clone(),
        scopes: principal.scopes,
        name: "a browser",
        until: Some(until),
        parent,
        deed: Deed::by(&principal, &origin, "login", ""),
    };
    let made = account::make_key(env, &making).await?;
    let key = made.get("key").and_then(|key| key.as_str());
    let key = key.ok_or_else(|| internal("login", &"no key"))?;
    let seconds = until.saturating_sub(now) / 1000;
    let signed_in = json!({ "owner": principal.owner, "scopes": principal.scopes.names() });
    with_cookie(
        answer::json(200, &signed_in)?,
        &asked.set_cookie(key, seconds),
    )
}

/// Signs a browser out: its key is void from here on, wherever else it may have come to.
pub async fn logout(
    env: &Env,
    admission: &Admission<'_>,
    asked: &Asked<'_>,
    header: &impl Fn(&str) -> Option<String>,
    request_id: &str,
) -> Answer {
    if let Shown::Cookie(token) = asked.shown()?
        && let Ok(Who::Known(principal)) = admission.holder(token).await
        && let Ok(key) = ApiKey::parse(token)
    {
        let origin = admission::origin(header, request_id);
        let deed = Deed::by(&principal, &origin, "logout", &key.id);
        account::revoke_key(env, &principal.owner, &deed).await?;
    }
    with_cookie(answer::empty(204), &asked.set_cookie("", 0))
}

fn with_cookie(response: worker::Response, cookie: &str) -> Answer {
    let failed = |error: worker::Error| internal("cookie", &error);
    let mut response = answer::with_open_headers(response).map_err(failed)?;
    let headers = response.headers_mut();
    headers.set("set-cookie", cookie).map_err(failed)?;
    headers.set("cache-control", "no-store").map_err(failed)?;
    Ok(response)
}

/// The keys of an account, and new ones.
pub async fn keys(mut request: Request, url: &Url, env: &Env, caller: &Caller) -> Answer {
    let principal = super::known(caller)?;
    if request.method() != Method::Post {
        let owner = owner(principal, given(url, "owner").as_deref())?;
        return answer::json(200, &account::keys(env, &owner).await?);
    }
    let body = super::body(&mut request, MAX_BODY).await?;
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(format!(
            "a key is asked for with {{\"name\", \"scopes\", \"expires_in\"}}: {error}"
        ))
    })?;
    let scopes = wish.scopes()?;
    // Nobody gives what it has not.
    principal.may(scopes)?;
    let until = wish.until(worker::Date::now().as_millis())?;
    let until = match (until, &principal.via, principal.until) {
        (Some(one), Via::Key(_), Some(own)) => Some(one.min(own)),
        (None, Via::Key(_), own) => own,
        (until, ..) => until,
    };
    let making = Making {
        owner: owner(principal, wish.owner.as_deref())?,
        scopes,
        name: wish.name()?,
        until,
        parent: None,
        deed: Deed::by(principal, &caller.origin, "create key", ""),
    };
    answer::json(201, &account::make_key(env, &making).await?)
}

pub async fn revoke(url: &Url, env: &Env, caller: &Caller, id: &str) -> Answer {
    let principal = super::known(caller)?;
    if access::secret::from_hex::<8>(id).is_none() {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "a key's id is 16 hexadecimal digits",
        ));
    }
    let owner = owner(principal, given(url, "owner").as_deref())?;
    let deed = Deed::by(principal, &caller.origin, "revoke key", id);
    account::revoke_key(env, &owner, &deed).await?;
    Ok(answer::empty(204))
}

/// What was done in an account's name, the newest first.
pub async fn audit(url: &Url, env: &Env, caller: &Caller) -> Answer {
    let principal = super::known(caller)?;
    let number = |name: &str| match given(url, name) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            Problem::bad_request(format!("{name} must be a number")).at(name.to_owned())
        }),
    };
    let limit = number("limit")?.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit must be 1 to {MAX_PAGE}")).at("limit"));
    }
    let before = number("before")?;
    let owner = owner(principal, given(url, "owner").as_deref())?;
    answer::json(200, &account::audit(env, &owner, before, limit).await?)
}

/// Whose account it is about: one's own, or for the operator anybody's.
fn owner(principal: &Principal, wanted: Option<&str>) -> Result<Owner, Problem> {
    match wanted {
        None => Ok(principal.owner.clone()),
        Some(wanted) => {
            let wanted = Owner::parse(wanted)?;
            if wanted != principal.owner {
                principal.may_operate()?;
            }
            Ok(wanted)
        }
    }
}

fn given(url: &Url, name: &str) -> Option<String> {
    let pair = url.query_pairs().find(|(given, _)| given == name);
    pair.map(|(_, value)| value.into_owned())
}
