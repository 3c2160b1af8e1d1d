//! What a webhook is sent, in the form of Standard Webhooks (standardwebhooks.com): headers `webhook-id`,
//! `webhook-timestamp` and `webhook-signature`, an HMAC of both and of the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use protocol::{Outcome, Problem, SessionId, TurnId, event::Usage};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// How a secret begins, where people see it.
const PREFIX: &str = "whsec_";

/// Seconds from one attempt to the next. The last is about three days after the first.
const PAUSES: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Bytes of a webhook's address.
const MAX_URL: usize = 2000;

/// A webhook, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where it is sent: `https://`.
    pub url: String,
    /// The only session whose turns it hears of; none: all of its owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

impl Webhook {
    /// # Errors
    /// 400 for an address that is not sent to: without TLS, with a password, or in a private network.
    /// With `private` both of the last may be, as on a laptop.
    pub fn check(&self, host: &str, private: bool) -> Result<(), Problem> {
        let wrong = |words: &str| Err(Problem::bad_request(words).at("url"));
        if self.url.len() > MAX_URL {
            return wrong("the url is too long");
        }
        if host.is_empty() {
            return wrong("url must be an address such as https://example.com/hook");
        }
        if self.url.contains('@') {
            return wrong("url must hold no name and password; the signature says who sends");
        }
        if private && (self.url.starts_with("http://") || self.url.starts_with("https://")) {
            return Ok(());
        }
        if !self.url.starts_with("https://") {
            return wrong("url must begin with https://");
        }
        if !protocol::egress::is_public(host) {
            return wrong("url must name a host of the internet, and no address");
        }
        Ok(())
    }
}

/// What a webhook hears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    /// `turn.ended`, or `ping`, which is sent to try a webhook.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened (RFC 3339).
    pub timestamp: String,
    pub data: Data,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Data {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<TurnId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Where the log stands with the turn's end: `GET /api/sessions/{id}/events` has what was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// A secret as people see it, of random bytes.
pub fn secret(bytes: &[u8; 32]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(bytes))
}

/// The signature of a message; none where `secret` is none of [`secret`]'s. `at` is in seconds since the
/// epoch.
pub fn signature(secret: &str, id: &str, at: u64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Some(format!("v1,{signature}"))
}

/// What is sent at once: the platform lets no more requests of one object wait for their answers, and those
/// that it holds back would count as tried.
pub const AT_ONCE: usize = 6;

/// What is sent to one webhook at once, so that one whose server does not answer leaves room for the others.
pub const OF_ONE: usize = 2;

/// What is sent next, by its place in `due`, the oldest first; none where there is enough under way. Both tell
/// of each delivery the webhook that it is for, and its own id.
pub fn next(due: &[(&str, &str)], under_way: &[(&str, &str)]) -> Option<usize> {
    if under_way.len() >= AT_ONCE {
        return None;
    }
    let sent_to = |webhook: &str| under_way.iter().filter(|it| it.0 == webhook).count();
    due.iter()
        .enumerate()
        .filter(|(_, delivery)| !under_way.contains(delivery))
        .map(|(place, (webhook, _))| (sent_to(webhook), place))
        .filter(|(sent, _)| *sent < OF_ONE)
        .min()
        .map(|(_, place)| place)
}

/// Milliseconds until the next attempt after `attempts` of them have failed; none where there is no other.
pub fn pause(attempts: u64) -> Option<u64> {
    let done = usize::try_from(attempts.checked_sub(1)?).ok()?;
    PAUSES.get(done).map(|seconds| seconds * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // The example of the standard's own libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(
            signed.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
        assert_eq!(signature("no secret", "m", 1, body), None);
        let own = super::secret(&[7; 32]);
        assert_ne!(signature(&own, "m", 1, body), signature(&own, "m", 2, body));
    }

    #[test]
    fn one_that_does_not_answer_leaves_room_for_the_others() {
        let due: Vec<(&str, &str)> = [
            ("dead", "1"),
            ("dead", "2"),
            ("dead", "3"),
            ("good", "4"),
            ("good", "5"),
        ]
        .into();
        let mut under_way = Vec::new();
        while let Some(place) = next(&due, &under_way) {
            under_way.push(due[place]);
        }
        let sent: Vec<_> = under_way.iter().map(|it| it.1).collect();
        assert_eq!(sent, ["1", "4", "2", "5"]);
        // The next to the dead one waits until it has answered; that to another goes.
        under_way.retain(|it| it.0 == "dead");
        assert_eq!(next(&due[..3], &under_way), None);
        under_way.remove(0);
        assert_eq!(next(&due[1..3], &under_way), Some(1));
    }

    #[test]
    fn no_more_is_under_way_than_the_platform_lets() {
        let names: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let due: Vec<_> = names.iter().map(|id| (id.as_str(), id.as_str())).collect();
        let mut under_way = Vec::new();
        while let Some(place) = next(&due, &under_way) {
            under_way.push(due[place]);
        }
        assert_eq!(under_way, due[..AT_ONCE]);
    }

    #[test]
    fn attempts_come_to_an_end() {
        assert_eq!(pause(1), Some(5000));
        assert_eq!(pause(9), Some(86_400_000));
        assert_eq!((pause(10), pause(0)), (None, None));
    }

    #[test]
    fn only_the_internet_is_sent_to() {
        let check = |url: &str, host: &str, private| {
            let webhook = Webhook {
                url: url.to_owned(),
                session_id: None,
            };
            webhook.check(host, private).is_ok()
        };
        assert!(check("https://example.com/a", "example.com", false));
        for (url, host) in [
            ("http://example.com/a", "example.com"),
            ("https://u:p@example.com/a", "example.com"),
            ("https://127.0.0.1/a", "127.0.0.1"),
            ("https://[::1]/a", "[::1]"),
            ("https://10.1.2.3/a", "10.1.2.3"),
            ("https://169.254.169.254/a", "169.254.169.254"),
            ("https://localhost/a", "localhost"),
            ("https://router.internal/a", "router.internal"),
            ("ftp://example.com", "example.com"),
            ("nonsense", ""),
        ] {
            assert!(!check(url, host, false), "{url}");
        }
        assert!(check("http://127.0.0.1:9/a", "127.0.0.1", true));
        assert!(!check("ftp://127.0.0.1/a", "127.0.0.1", true));
    }
}
