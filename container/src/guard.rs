//! Who may send requests: nobody's browser, and only who has the token, where there is one.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::{Problem, ProblemKind};
use subtle::ConstantTimeEq;

use crate::http::Refused;
use crate::launch::Secret;

/// The name that a sandbox in a container is asked by.
const SANDBOX: &str = "sandbox.internal";

/// Whether `Authorization: Bearer …` holds this token. Takes as long for each wrong one.
pub(crate) fn carries_token(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes)
        .and_then(|value| value.strip_prefix(b"Bearer "))
        .unwrap_or_default();
    given.ct_eq(token.reveal().as_bytes()).into()
}

/// 401, with what is missing.
pub(crate) fn no_token(detail: &str) -> Response {
    let problem = Problem::new(ProblemKind::Unauthenticated, detail);
    let challenge = HeaderValue::from_static("Bearer");
    ([(header::WWW_AUTHENTICATE, challenge)], Refused(problem)).into_response()
}

/// Lets those through who have a sandbox's token. Its health is no secret.
pub(crate) async fn authorize(
    State(token): State<Secret>,
    request: Request,
    next: Next,
) -> Response {
    let health = [Method::GET, Method::HEAD].contains(request.method());
    if health && request.uri().path() == "/" || carries_token(request.headers(), &token) {
        return next.run(request).await;
    }
    no_token("the request needs this sandbox's token: Authorization: Bearer …")
}

/// A page that somebody has open can send requests to ports of their machine. No part of the system
/// that speaks to this server is a browser.
pub(crate) async fn refuse_browsers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        let problem = Problem::new(
            ProblemKind::Forbidden,
            "this server does not answer browsers",
        );
        return Refused(problem).into_response();
    }
    next.run(request).await
}

/// A page can have its own name point to the machine of whoever reads it, and then asks a server there
/// as if it were its own. By that name it is refused.
pub(crate) async fn refuse_foreign_names(request: Request, next: Next) -> Response {
    let asked = request.headers().get(header::HOST);
    let in_uri = request
        .uri()
        .authority()
        .map(|name| name.as_str().as_bytes());
    let mut names = asked.map(HeaderValue::as_bytes).into_iter().chain(in_uri);
    if names.all(is_own_name) {
        return next.run(request).await;
    }
    let problem = Problem::new(
        ProblemKind::Forbidden,
        "this server is not asked by this name: ask it by its address",
    );
    Refused(problem).into_response()
}

fn is_own_name(name: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(name) else {
        return false;
    };
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.eq_ignore_ascii_case(SANDBOX)
        || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for own in [
            "127.0.0.1:3000",
            "127.0.0.1",
            "[::1]:3000",
            "localhost:3000",
            "LOCALHOST",
            "sandbox.internal",
        ] {
            assert!(is_own_name(own.as_bytes()), "{own}");
        }
        for foreign in [
            "",
            "evil.test",
            "evil.test:3000",
            "127.0.0.1.evil.test",
            "localhost.evil.test:1",
            "1.2.3",
            "a b",
            "\u{e9}",
        ] {
            assert!(!is_own_name(foreign.as_bytes()), "{foreign}");
        }
    }
}
