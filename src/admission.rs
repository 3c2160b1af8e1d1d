//! Who may ask. Pure.
//!
//! Without an operator's token there is no way to tell people apart, so such a deployment serves
//! this machine alone: requests to a loopback name. With one, every request has to carry it. In both
//! cases a page of another origin gets nothing, also through a name that it had point here.

use protocol::{Problem, ProblemKind};

/// What of a request says who asks.
pub struct Caller<'a> {
    /// Host of the URL, without its port.
    pub host: &'a str,
    /// `scheme://host[:port]` of the URL.
    pub origin: &'a str,
    /// The `Origin` header.
    pub origin_header: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `Sec-Fetch-Site` header, with which browsers say whose page asks.
    pub fetch_site: Option<&'a str>,
    /// The request opens a page, as following a link does.
    pub opens_page: bool,
}

/// # Errors
/// 401, 403 or 503, saying what to do.
pub fn admit(caller: &Caller, operator_token: Option<&str>) -> Result<(), Problem> {
    if let Some(origin) = caller.origin_header
        && !origin.eq_ignore_ascii_case(caller.origin)
    {
        return Err(Problem::new(
            ProblemKind::Forbidden,
            "requests from pages of another origin are not accepted",
        ));
    }
    // An image or a script of another page's sends no `Origin`.
    let from_elsewhere = matches!(caller.fetch_site, Some("cross-site" | "same-site"));
    if from_elsewhere && !caller.opens_page {
        return Err(Problem::new(
            ProblemKind::Forbidden,
            "requests from pages of another origin are not accepted",
        ));
    }
    match operator_token {
        Some(token) if carries(caller, token) => Ok(()),
        Some(_) => Err(Problem::new(
            ProblemKind::Unauthenticated,
            "send the operator's token as Authorization: Bearer",
        )),
        None if is_loopback(caller.host) => Ok(()),
        None => Err(Problem::new(
            ProblemKind::NotConfigured,
            "this deployment has no authentication and serves its own machine alone; \
             set one with: npx wrangler secret put OPERATOR_TOKEN",
        )),
    }
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn carries(caller: &Caller, token: &str) -> bool {
    bearer(caller.authorization).is_some_and(|given| equal(given.as_bytes(), token.as_bytes()))
}

/// Whether two secrets are the same, in a time that depends on the given one's length alone.
pub fn equal(given: &[u8], secret: &[u8]) -> bool {
    let mut difference = given.len() ^ secret.len();
    for (place, byte) in given.iter().enumerate() {
        let other = secret
            .get(place % secret.len().max(1))
            .copied()
            .unwrap_or(0);
        difference |= usize::from(byte ^ other);
    }
    difference == 0 && !secret.is_empty()
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(
        host: &str,
        origin_header: Option<&str>,
        authorization: Option<&str>,
        token: Option<&str>,
    ) -> u16 {
        let origin = format!("http://{host}:8787");
        let caller = Caller {
            host,
            origin: &origin,
            origin_header,
            authorization,
            fetch_site: None,
            opens_page: false,
        };
        admit(&caller, token)
            .err()
            .map_or(200, |problem| problem.status())
    }

    #[test]
    fn images_of_other_pages_get_nothing_but_links_work() {
        for (fetch_site, opens_page, expected) in [
            (Some("cross-site"), false, 403),
            (Some("same-site"), false, 403),
            (Some("cross-site"), true, 200),
            (Some("same-origin"), false, 200),
            (Some("none"), true, 200),
            (None, false, 200),
        ] {
            let caller = Caller {
                host: "localhost",
                origin: "http://localhost:8787",
                origin_header: None,
                authorization: None,
                fetch_site,
                opens_page,
            };
            let status = admit(&caller, None)
                .err()
                .map_or(200, |problem| problem.status());
            assert_eq!(status, expected, "{fetch_site:?} {opens_page}");
        }
    }

    #[test]
    fn without_a_token_only_this_machine() {
        assert_eq!(status("127.0.0.1", None, None, None), 200);
        assert_eq!(
            status("localhost", Some("http://localhost:8787"), None, None),
            200
        );
        assert_eq!(status("agents.example.com", None, None, None), 503);
        assert_eq!(status("localhost.evil.example", None, None, None), 503);
    }

    #[test]
    fn with_a_token_only_who_has_it() {
        let host = "agents.example.com";
        assert_eq!(
            status(host, None, Some("Bearer secret"), Some("secret")),
            200
        );
        assert_eq!(
            status(host, None, Some("bearer secret"), Some("secret")),
            200
        );
        for wrong in [
            None,
            Some("secret"),
            Some("Bearer "),
            Some("Bearer secre"),
            Some("Bearer secretsecret"),
            Some("Basic secret"),
        ] {
            assert_eq!(status(host, None, wrong, Some("secret")), 401, "{wrong:?}");
        }
        assert_eq!(status("127.0.0.1", None, None, Some("secret")), 401);
        assert_eq!(status(host, None, Some("Bearer "), Some("")), 401);
    }

    #[test]
    fn pages_of_other_origins_get_nothing() {
        for origin in [
            "http://evil.example",
            "null",
            "https://localhost:8787",
            "http://localhost",
            "http://localhost:8788",
        ] {
            assert_eq!(
                status("localhost", Some(origin), None, None),
                403,
                "{origin}"
            );
        }
    }
}
