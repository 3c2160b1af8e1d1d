//! The tokens of Cloudflare Access: JSON Web Tokens (RFC 7519) in the `Cf-Access-Jwt-Assertion` header,
//! signed with RS256 by one of the team's keys
//! (<https://developers.cloudflare.com/cloudflare-one/access-controls/applications/http-apps/authorization-cookie/validating-json/>).
//!
//! Here a token is read and its claims are checked; its signature is checked by whoever has the keys
//! and the arithmetic.

use protocol::{Owner, Problem, ProblemKind};
use serde_json::Value;

use crate::principal::{Principal, Scopes, Via};
use crate::secret;

/// Characters of a token at most.
const MAX_LEN: usize = 16 * 1024;

/// How far the clocks of two machines may differ, in milliseconds.
const SKEW_MS: u64 = 60_000;

/// Bits of an RSA key at least.
const MIN_BITS: usize = 2048;

/// Keys of a team at most; it has two.
const MAX_KEYS: usize = 16;

/// Characters of a person's or a service's name at most.
const MAX_NAME: usize = 128;

/// Which tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Who signs them, such as `https://team.cloudflareaccess.com`.
    pub issuer: String,
    /// The application that they are for.
    pub audience: String,
}

impl Team {
    /// The team of a deployment's variables; a domain may stand without its scheme.
    ///
    /// # Errors
    /// 503 where one is empty or no domain. Plain HTTP is for loopback addresses alone.
    pub fn new(domain: &str, audience: &str) -> Result<Self, Problem> {
        let wrong = |words: &str| Err(Problem::new(ProblemKind::NotConfigured, words));
        let (scheme, host) = domain.split_once("://").unwrap_or(("https", domain));
        let host = host.trim_end_matches('/');
        let written = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
        if host.is_empty() || !host.bytes().all(written) {
            return wrong("ACCESS_TEAM_DOMAIN must be a domain, such as team.cloudflareaccess.com");
        }
        let name = host.split(':').next().unwrap_or_default();
        if scheme != "https" && !(scheme == "http" && matches!(name, "127.0.0.1" | "localhost")) {
            return wrong("ACCESS_TEAM_DOMAIN must be reached by https");
        }
        if audience.is_empty() {
            return wrong("ACCESS_AUD must be the audience tag of the Access application");
        }
        Ok(Self {
            issuer: format!("{scheme}://{host}"),
            audience: audience.to_owned(),
        })
    }

    /// Where the team's keys are.
    pub fn certs(&self) -> String {
        format!("{}/cdn-cgi/access/certs", self.issuer)
    }
}

/// A key that signs tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    pub kid: String,
    /// Modulus and exponent, in base64 for URLs.
    pub n: String,
    pub e: String,
}

impl SigningKey {
    /// The keys of a JSON Web Key Set that can sign with RS256; others are left out.
    pub fn of_set(set: &Value) -> Vec<Self> {
        let keys = set.get("keys").and_then(Value::as_array);
        let usable = keys.into_iter().flatten().filter_map(Self::of);
        usable.take(MAX_KEYS).collect()
    }

    fn of(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let is = |name: &str, value: &str| text(name).is_none_or(|given| given == value);
        let n = text("n")?;
        let strong = secret::from_base64url(n)?.len() * 8 >= MIN_BITS;
        if text("kty")? != "RSA" || !is("alg", "RS256") || !is("use", "sig") || !strong {
            return None;
        }
        Some(Self {
            kid: text("kid")?.to_owned(),
            n: n.to_owned(),
            e: text("e")?.to_owned(),
        })
    }
}

/// A token that is read and not checked.
pub struct Jwt {
    /// Which key it says has signed it.
    pub kid: String,
    /// The bytes that are signed.
    pub signed: String,
    pub signature: Vec<u8>,
    claims: Value,
}

impl Jwt {
    /// # Errors
    /// 401 for what is no token that is signed with RS256.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Self::read(text)
            .ok_or_else(|| refused("the Access token is none that is signed with RS256"))
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| -> Option<Value> {
            serde_json::from_slice(&secret::from_base64url(part)?).ok()
        };
        let header = json(header)?;
        // The algorithm is ours to say, never the token's. What it holds to be critical is not known.
        if header.get("alg")?.as_str()? != "RS256" || header.get("crit").is_some() {
            return None;
        }
        Some(Self {
            kid: header.get("kid")?.as_str()?.to_owned(),
            signed: signed.to_owned(),
            signature: secret::from_base64url(signature).filter(|bytes| !bytes.is_empty())?,
            claims: json(claims).filter(Value::is_object)?,
        })
    }

    /// Who a token names whose signature is true.
    ///
    /// # Errors
    /// 401 where it is another team's or application's, or does not hold at `now`.
    pub fn principal(&self, team: &Team, now: u64) -> Result<Principal, Problem> {
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str);
        let time = |name: &str| self.claims.get(name).map(|time| millis(time).ok_or(()));
        if text("iss") != Some(team.issuer.as_str()) {
            return Err(refused("the Access token is another team's"));
        }
        let for_us = match self.claims.get("aud") {
            Some(Value::String(one)) => *one == team.audience,
            Some(Value::Array(many)) => many.iter().any(|one| *one == team.audience.as_str()),
            _ => false,
        };
        if !for_us {
            return Err(refused("the Access token is for another application"));
        }
        let Some(Ok(until)) = time("exp") else {
            return Err(refused("the Access token does not say when it ends"));
        };
        if until <= now {
            return Err(refused("the Access token has expired"));
        }
        for from in ["nbf", "iat"] {
            if time(from).is_some_and(|from| from.is_err() || from > Ok(now + SKEW_MS)) {
                return Err(refused("the Access token does not hold yet"));
            }
        }
        // A person has a subject; a service has none, and a name instead.
        let subject = text("sub").filter(|subject| !subject.is_empty());
        let service = text("common_name").filter(|name| !name.is_empty());
        let (kind, id) = match (subject, service) {
            (Some(subject), _) => ("sub", subject),
            (None, Some(service)) => ("common_name", service),
            (None, None) => return Err(refused("the Access token names nobody")),
        };
        let hash = secret::hash(&[
            b"agent-router access",
            team.issuer.as_bytes(),
            kind.as_bytes(),
            id.as_bytes(),
        ]);
        Ok(Principal {
            owner: Owner::parse(&format!("access-{}", secret::name(&hash)))?,
            via: Via::Identity(plain(text("email").unwrap_or(id))),
            scopes: Scopes::own(),
            until: Some(until),
        })
    }
}

/// A time of a token, which is in seconds, in milliseconds.
fn millis(seconds: &Value) -> Option<u64> {
    let whole = seconds.as_u64();
    let seconds = whole.or_else(|| {
        let seconds = seconds.as_f64().filter(|seconds| *seconds >= 0.0)?;
        Some(seconds as u64)
    })?;
    seconds.checked_mul(1000)
}

/// A name without what would be more than a name in a log.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_graphic);
    kept.take(MAX_NAME).collect()
}

fn refused(why: &str) -> Problem {
    Problem::new(ProblemKind::Unauthenticated, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    fn team() -> Team {
        Team::new("team.cloudflareaccess.com", "app").unwrap()
    }

    fn token(header: Value, claims: Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(&header), part(&claims))
    }

    fn claims() -> Value {
        json!({ "iss": "https://team.cloudflareaccess.com", "aud": ["other", "app"], "sub": "u1",
            "email": "a@example.com", "exp": 100, "nbf": 50, "iat": 50 })
    }

    #[test]
    fn names_who_it_is() {
        let jwt = Jwt::parse(&token(json!({"alg": "RS256", "kid": "k"}), claims())).unwrap();
        assert_eq!(
            (jwt.kid.as_str(), jwt.signature.as_slice()),
            ("k", &b"sig"[..])
        );
        let who = jwt.principal(&team(), 60_000).unwrap();
        assert_eq!(who.via, Via::Identity("a@example.com".to_owned()));
        assert_eq!(who.until, Some(100_000));
        assert!(!who.is_operator());
    }

    #[test]
    fn algorithms_are_not_the_tokens_to_choose() {
        for header in [
            json!({"alg": "none", "kid": "k"}),
            json!({"alg": "HS256", "kid": "k"}),
            json!({"alg": "rs256", "kid": "k"}),
            json!({"alg": ["RS256"], "kid": "k"}),
            json!({"alg": "RS256"}),
            json!({"alg": "RS256", "kid": "k", "crit": ["b64"]}),
            json!([]),
        ] {
            assert!(
                Jwt::parse(&token(header.clone(), claims())).is_err(),
                "{header}"
            );
        }
        let unsigned = token(json!({"alg": "RS256", "kid": "k"}), claims());
        let unsigned = unsigned.strip_suffix("c2ln").unwrap();
        assert!(Jwt::parse(unsigned).is_err());
    }

    #[test]
    fn claims_are_checked() {
        for (name, value, now) in [
            ("iss", json!("https://other.cloudflareaccess.com"), 60_000),
            ("iss", json!(null), 60_000),
            ("aud", json!(["other"]), 60_000),
            ("aud", json!("appx"), 60_000),
            ("aud", json!({ "app": true }), 60_000),
            ("exp", json!(100), 100_000),
            ("exp", json!("100"), 60_000),
            ("exp", json!(null), 60_000),
            ("exp", json!(-1), 60_000),
            ("exp", json!(u64::MAX), 60_000),
            ("nbf", json!(121), 60_000),
            ("nbf", json!("1"), 60_000),
            ("sub", json!(""), 60_000),
        ] {
            let mut claims = claims();
            claims[name] = value.clone();
            let jwt = Jwt::parse(&token(json!({"alg": "RS256", "kid": "k"}), claims)).unwrap();
            let status = jwt
                .principal(&team(), now)
                .err()
                .map(|problem| problem.status());
            assert_eq!(status, Some(401), "{name} {value}");
        }
    }

    #[test]
    fn keys_of_a_set() {
        let n = URL_SAFE_NO_PAD.encode([0xff; 256]);
        let set = json!({ "keys": [
            { "kid": "a", "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": "AQAB" },
            { "kid": "b", "kty": "RSA", "alg": "HS256", "n": n, "e": "AQAB" },
            { "kid": "c", "kty": "oct", "k": "x" },
            { "kid": "d", "kty": "RSA", "n": "AQAB", "e": "AQAB" },
            { "kty": "RSA", "n": n, "e": "AQAB" },
            7,
        ] });
        let kids: Vec<_> = SigningKey::of_set(&set)
            .into_iter()
            .map(|key| key.kid)
            .collect();
        assert_eq!(kids, ["a"]);
        assert!(SigningKey::of_set(&json!("x")).is_empty());
    }

    #[test]
    fn a_team_is_a_domain() {
        for domain in [
            "team.cloudflareaccess.com",
            "https://team.cloudflareaccess.com/",
        ] {
            assert_eq!(Team::new(domain, "app").unwrap(), team());
        }
        assert!(Team::new("http://127.0.0.1:9", "app").is_ok());
        for (domain, audience) in [
            ("", "app"),
            ("http://team.cloudflareaccess.com", "app"),
            ("http://127.0.0.1.evil.example", "app"),
            ("https://user@evil.example", "app"),
            ("team.cloudflareaccess.com/x", "app"),
            ("team.cloudflareaccess.com", ""),
        ] {
            assert!(Team::new(domain, audience).is_err(), "{domain} {audience}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,300}|[A-Za-z0-9_-]{0,80}(\\.[A-Za-z0-9_-]{0,80}){0,4}") {
            let _ = Jwt::parse(&text);
        }

        #[test]
        fn no_claims_panic(exp: f64, nbf: i64, aud in "\\PC{0,9}", sub in "\\PC{0,9}") {
            let claims = json!({ "iss": "https://team.cloudflareaccess.com", "aud": aud, "sub": sub,
                "exp": exp, "nbf": nbf });
            let jwt = Jwt::parse(&token(json!({"alg": "RS256", "kid": "k"}), claims)).unwrap();
            let _ = jwt.principal(&team(), 0);
        }
    }
}
