//! Identities of Cloudflare Access: the team's keys, fetched and kept, and the check of signatures,
//! which the platform does (`crypto.subtle`).

use std::cell::RefCell;
use std::time::Duration;

use access::Principal;
use access::jwt::{Jwt, SigningKey, Team};
use protocol::{Problem, ProblemKind};
use serde_json::{Value, json};
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, Function, JSON, Object, Promise, Reflect, Uint8Array, global};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{Date, Fetch, Request, RequestInit, RequestRedirect};

use crate::answer::{internal, within};

/// How long fetched keys are good. A team changes them every six weeks.
const KEEP_MS: u64 = 60 * 60 * 1000;

/// Keys are fetched at most this often, whatever tokens say who has signed them.
const FETCH_EVERY_MS: u64 = 30 * 1000;

const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a key set at most.
const MAX_SET: usize = 64 * 1024;

#[derive(Default)]
struct Kept {
    issuer: String,
    keys: Vec<SigningKey>,
    /// Milliseconds since the epoch.
    fetched_at: u64,
    tried_at: u64,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Who an Access token names.
///
/// # Errors
/// 401 for every token that is not surely the team's, also where its keys can't be had.
pub async fn principal(team: &Team, token: &str) -> Result<Principal, Problem> {
    let refused = |why: &str| Problem::new(ProblemKind::Unauthenticated, why);
    let jwt = Jwt::parse(token)?;
    let now = Date::now().as_millis();
    let Some(key) = key(team, &jwt.kid, now).await else {
        return Err(refused("no known key has signed the Access token"));
    };
    let signed = is_signed(&jwt, &key).await.unwrap_or_else(|error| {
        internal("Access signature", &worker::Error::from(error));
        false
    });
    if !signed {
        return Err(refused("the Access token's signature is wrong"));
    }
    jwt.principal(team, now)
}

/// The team's key of this name: a kept one, or where there is none a fetched one.
async fn key(team: &Team, kid: &str, now: u64) -> Option<SigningKey> {
    let may_fetch = KEPT.with_borrow_mut(|kept| {
        if kept.issuer != team.issuer {
            *kept = Kept {
                issuer: team.issuer.clone(),
                ..Kept::default()
            };
        }
        if now.saturating_sub(kept.fetched_at) >= KEEP_MS {
            kept.keys.clear();
        }
        let known = kept.keys.iter().any(|key| key.kid == kid);
        !known && now.saturating_sub(kept.tried_at) >= FETCH_EVERY_MS
    });
    if may_fetch {
        // Those who ask while it is being fetched fetch it as well, rather than be nobody.
        match within(PATIENCE, "Cloudflare Access", fetch(team)).await {
            Ok(set) => KEPT.with_borrow_mut(|kept| {
                kept.keys = SigningKey::of_set(&set);
                kept.fetched_at = now;
            }),
            Err(problem) => drop(internal("Access keys", &problem)),
        }
        KEPT.with_borrow_mut(|kept| kept.tried_at = now);
    }
    KEPT.with_borrow(|kept| kept.keys.iter().find(|key| key.kid == kid).cloned())
}

async fn fetch(team: &Team) -> Result<Value, Problem> {
    let failed = |error: worker::Error| internal("Access keys", &error);
    let mut init = RequestInit::new();
    // A redirect is no key set.
    init.with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(&team.certs(), &init).map_err(failed)?;
    let mut response = Fetch::Request(request).send().await.map_err(failed)?;
    let body = response.bytes().await.map_err(failed)?;
    if response.status_code() != 200 || body.len() > MAX_SET {
        return Err(internal("Access keys", &"no key set"));
    }
    serde_json::from_slice(&body).map_err(|error| internal("Access keys", &error))
}

async fn is_signed(jwt: &Jwt, key: &SigningKey) -> Result<bool, JsValue> {
    let algorithm = json!({ "name": "RSASSA-PKCS1-v1_5", "hash": "SHA-256" });
    let algorithm = JSON::parse(&algorithm.to_string())?;
    let jwk = json!({ "kty": "RSA", "alg": "RS256", "n": key.n, "e": key.e });
    let jwk = JSON::parse(&jwk.to_string())?;
    let crypto = Reflect::get(&global(), &"crypto".into())?;
    let subtle = Reflect::get(&crypto, &"subtle".into())?;
    let usages = Array::of1(&"verify".into());
    let imported = [
        "jwk".into(),
        jwk,
        algorithm.clone(),
        JsValue::FALSE,
        usages.into(),
    ];
    let key = call(&subtle, "importKey", &imported).await?;
    let bytes = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    let asked = [
        algorithm,
        key,
        bytes(&jwt.signature),
        bytes(jwt.signed.as_bytes()),
    ];
    Ok(call(&subtle, "verify", &asked).await? == JsValue::TRUE)
}

/// Calls a method that gives a promise.
async fn call(on: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let function: Function =
        Reflect::get(on.unchecked_ref::<Object>(), &method.into())?.dyn_into()?;
    let promise: Promise = function
        .apply(on, &arguments.iter().collect::<Array>())?
        .dyn_into()?;
    JsFuture::from(promise).await
}
