//! What of a request says who asks, and whether a page of somebody else's has made a browser ask.

use protocol::{Problem, ProblemKind};

/// What of a request says who asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// Host of the URL, without its port.
    pub host: &'a str,
    /// `scheme://host[:port]` of the URL.
    pub origin: &'a str,
    /// The query of the URL, as it is written.
    pub query: &'a str,
    /// The `Origin` header.
    pub origin_header: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `Cookie` header.
    pub cookie: Option<&'a str>,
    /// The `Sec-WebSocket-Protocol` header.
    pub protocols: Option<&'a str>,
    /// The `Sec-Fetch-Site` header, with which browsers say whose page asks.
    pub fetch_site: Option<&'a str>,
    /// The request opens a page, as following a link does.
    pub opens_page: bool,
    /// It changes something, or opens a WebSocket, which no browser asks leave for.
    pub acts: bool,
}

/// What a request shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    Nothing,
    /// A token that whoever asks has put there.
    Token(&'a str),
    /// A token that a browser has sent by itself.
    Cookie(&'a str),
    /// A one-time ticket.
    Ticket(&'a str),
}

/// The WebSocket protocol of this project; the answer selects it.
pub const PROTOCOL: &str = "agent-router";

/// How a WebSocket's client says its token: a page can't set headers for one.
const BEARER_PROTOCOL: &str = "bearer.";

/// Characters of a token at most.
const MAX_TOKEN: usize = 1024;

/// The cookie of a deployment with TLS. Its prefix makes browsers take it from this host alone, for
/// all paths, over TLS.
const COOKIE: &str = "__Host-agent-router";

/// The cookie on this machine, without TLS.
const PLAIN_COOKIE: &str = "agent-router";

impl<'a> Asked<'a> {
    /// What the request shows: a token where there is one, else a cookie.
    ///
    /// # Errors
    /// 400 for a token in the URL, 401 for an `Authorization` that is not understood, 403 for a cookie
    /// that may have been sent by somebody else's page.
    pub fn shown(&self) -> Result<Shown<'a>, Problem> {
        let mut ticket = None;
        for pair in self.query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if is_secret_name(name) {
                return Err(Problem::bad_request(
                    "a token in a URL is seen by others; send it as Authorization: Bearer, for a \
                     WebSocket also as the protocol bearer.<token> beside agent-router, or as a \
                     one-time ticket",
                )
                .at(name.chars().take(20).collect::<String>()));
            }
            if name == "ticket" {
                ticket = Some(value);
            }
        }
        if let Some(given) = self.authorization {
            return match bearer(given).filter(|token| is_token(token)) {
                Some(token) => Ok(Shown::Token(token)),
                None => Err(Problem::new(
                    ProblemKind::Unauthenticated,
                    "Authorization must be Bearer and a token",
                )),
            };
        }
        let protocols = self.protocols.unwrap_or_default().split(',').map(str::trim);
        let mut tokens = protocols.filter_map(|name| name.strip_prefix(BEARER_PROTOCOL));
        if let Some(token) = tokens.next().filter(|token| is_token(token)) {
            return Ok(Shown::Token(token));
        }
        if let Some(ticket) = ticket {
            return Ok(Shown::Ticket(ticket));
        }
        let Some(token) = self.cookie_token() else {
            return Ok(Shown::Nothing);
        };
        let own_page = self.origin_header.is_some() || self.fetch_site == Some("same-origin");
        if self.acts && !own_page {
            return Err(Problem::new(
                ProblemKind::Forbidden,
                "with a cookie this is done by this site's own pages alone; send a token as \
                 Authorization: Bearer instead",
            ));
        }
        Ok(Shown::Cookie(token))
    }

    /// The token of the cookie.
    pub fn cookie_token(&self) -> Option<&'a str> {
        let wanted = self.cookie_name();
        let mut cookies = self
            .cookie?
            .split(';')
            .filter_map(|one| one.split_once('='));
        let (_, token) = cookies.find(|(name, _)| name.trim() == wanted)?;
        Some(token.trim()).filter(|token| is_token(token))
    }

    fn cookie_name(&self) -> &'static str {
        if self.origin.starts_with("https://") {
            COOKIE
        } else {
            PLAIN_COOKIE
        }
    }

    /// A `Set-Cookie` that keeps a token for so many seconds, or with 0 forgets it.
    pub fn set_cookie(&self, token: &str, seconds: u64) -> String {
        let name = self.cookie_name();
        let secure = if name == COOKIE { "; Secure" } else { "" };
        format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    /// # Errors
    /// 403 where a page of another origin asks. Following a link to a page is no harm.
    pub fn from_own_page(&self) -> Result<(), Problem> {
        let other_origin = self
            .origin_header
            .is_some_and(|origin| !origin.eq_ignore_ascii_case(self.origin));
        // An image or a script of another page's sends no `Origin`.
        let other_site = matches!(self.fetch_site, Some("cross-site" | "same-site"));
        if other_origin || (other_site && !self.opens_page) {
            return Err(Problem::new(
                ProblemKind::Forbidden,
                "requests from pages of another origin are not accepted",
            ));
        }
        Ok(())
    }

    /// Whether this machine is asked by one of its own names, which no other host's page can have.
    pub fn is_loopback(&self) -> bool {
        matches!(self.host, "localhost" | "127.0.0.1" | "[::1]")
    }

    /// Whether the WebSocket's client speaks of our protocol, so that the answer has to select it.
    pub fn speaks_protocol(&self) -> bool {
        let mut protocols = self.protocols.unwrap_or_default().split(',');
        protocols.any(|name| name.trim() == PROTOCOL)
    }
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Names under which people put tokens into URLs.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    matches!(
        name.as_str(),
        "token"
            | "access_token"
            | "api_key"
            | "apikey"
            | "key"
            | "auth"
            | "authorization"
            | "bearer"
            | "share"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>() -> Asked<'a> {
        Asked {
            host: "agents.example.com",
            origin: "https://agents.example.com",
            ..Asked::default()
        }
    }

    fn shown(asked: &Asked) -> Result<String, u16> {
        match asked.shown() {
            Ok(Shown::Nothing) => Ok("nothing".to_owned()),
            Ok(Shown::Token(token)) => Ok(format!("token {token}")),
            Ok(Shown::Cookie(token)) => Ok(format!("cookie {token}")),
            Ok(Shown::Ticket(ticket)) => Ok(format!("ticket {ticket}")),
            Err(problem) => Err(problem.status()),
        }
    }

    #[test]
    fn what_is_shown() {
        let ok = |text: &str| Ok(text.to_owned());
        let with = |authorization, protocols, cookie, query| Asked {
            authorization,
            protocols,
            cookie,
            query,
            ..asked()
        };
        let cookie = Some("a=b; __Host-agent-router=c ;x=y");
        for (asked, expected) in [
            (asked(), ok("nothing")),
            (
                with(Some("Bearer t"), None, cookie, "ticket=k"),
                ok("token t"),
            ),
            (with(Some("bearer  t "), None, None, ""), ok("token t")),
            (with(Some("Basic t"), None, cookie, ""), Err(401)),
            (with(Some("Bearer "), None, cookie, ""), Err(401)),
            (with(Some("Bearer a b"), None, cookie, ""), Err(401)),
            (with(Some("t"), None, None, ""), Err(401)),
            (
                with(None, Some("agent-router, bearer.t"), cookie, ""),
                ok("token t"),
            ),
            (
                with(None, Some("agent-router"), None, "ticket=k"),
                ok("ticket k"),
            ),
            (with(None, None, cookie, ""), ok("cookie c")),
            (with(None, None, Some("agent-router=c"), ""), ok("nothing")),
            (
                with(None, None, Some("__Host-agent-router="), ""),
                ok("nothing"),
            ),
            (with(None, None, None, "from=3&token=t"), Err(400)),
            (with(Some("Bearer t"), None, None, "API-Key=t"), Err(400)),
            (with(None, None, None, "access_token"), Err(400)),
        ] {
            assert_eq!(shown(&asked), expected, "{asked:?}");
        }
    }

    #[test]
    fn a_cookie_acts_for_own_pages_alone() {
        for (origin_header, fetch_site, acts, expected) in [
            (None, None, false, true),
            (None, None, true, false),
            (None, Some("none"), true, false),
            (None, Some("same-origin"), true, true),
            (Some("https://agents.example.com"), None, true, true),
        ] {
            let asked = Asked {
                cookie: Some("__Host-agent-router=c"),
                origin_header,
                fetch_site,
                acts,
                ..asked()
            };
            assert_eq!(shown(&asked).is_ok(), expected, "{asked:?}");
        }
    }

    #[test]
    fn pages_of_other_origins_get_nothing_but_links_work() {
        for (origin_header, fetch_site, opens_page, expected) in [
            (None, None, false, true),
            (Some("https://agents.example.com"), None, false, true),
            (Some("http://agents.example.com"), None, false, false),
            (Some("https://agents.example.com:8443"), None, false, false),
            (
                Some("https://agents.example.com.evil.example"),
                None,
                false,
                false,
            ),
            (Some("https://evil.example"), None, false, false),
            (Some("null"), None, false, false),
            (None, Some("cross-site"), false, false),
            (None, Some("same-site"), false, false),
            (None, Some("cross-site"), true, true),
            (None, Some("none"), true, true),
            (None, Some("same-origin"), false, true),
        ] {
            let asked = Asked {
                origin_header,
                fetch_site,
                opens_page,
                ..asked()
            };
            assert_eq!(asked.from_own_page().is_ok(), expected, "{asked:?}");
        }
    }

    #[test]
    fn names_of_this_machine() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("localhost.evil.example", false),
            ("0.0.0.0", false),
            ("agents.example.com", false),
        ] {
            let asked = Asked { host, ..asked() };
            assert_eq!(asked.is_loopback(), expected, "{host}");
        }
    }

    #[test]
    fn cookies_are_for_this_host_alone() {
        let cookie = asked().set_cookie("t", 60);
        assert_eq!(
            cookie,
            "__Host-agent-router=t; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        let plain = Asked {
            origin: "http://localhost:8787",
            ..asked()
        };
        assert!(!plain.set_cookie("t", 60).contains("Secure"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,200}", cookie in "\\PC{0,200}", query in "\\PC{0,200}") {
            let asked = Asked {
                authorization: Some(&text),
                ..asked()
            };
            let _ = asked.shown();
            let asked = Asked {
                protocols: Some(&text),
                cookie: Some(&cookie),
                query: &query,
                ..asked
            };
            let _ = asked.shown();
        }
    }
}
