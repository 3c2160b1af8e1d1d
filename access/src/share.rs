//! Share links: who has one may read one session, or read and write in it, until a time.
//!
//! Their token is `ars_{mode}_{until}_{version}_{id}_{mac}_{session}`. It is signed with a key that
//! the session alone has, made when it is shared first; where that is made anew, all links are void.

use hmac::{Hmac, KeyInit, Mac};
use protocol::{Problem, ProblemKind, SessionId};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::secret;

/// Characters of a token at most.
const MAX_LEN: usize = 320;

/// What a link is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Read,
    Write,
}

impl Mode {
    const fn letter(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
        }
    }
}

/// What signs a session's links, and how often it was made anew.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareKey {
    pub secret: [u8; 32],
    pub version: u32,
}

/// A link's token, as somebody presents it: not checked yet.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareToken {
    pub session: SessionId,
    pub mode: Mode,
    /// Milliseconds since the epoch.
    pub until: u64,
    pub version: u32,
    /// 8 hexadecimal digits, no secret: by it the link is known in lists and in the audit log.
    pub id: String,
    mac: [u8; 32],
}

impl ShareToken {
    /// Whether a token is meant to be a link's.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with("ars_")
    }

    /// # Errors
    /// 401 for what is none, or is cut.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Self::read(text).ok_or_else(|| refused("this share link is cut or mistyped"))
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        // The session's name may have underscores, so it comes last.
        let mut parts = text.strip_prefix("ars_")?.splitn(6, '_');
        let mode = match parts.next()? {
            "r" => Mode::Read,
            "w" => Mode::Write,
            _ => return None,
        };
        let (until, version) = (number(parts.next()?)?, number(parts.next()?)?);
        let id = parts.next()?;
        secret::from_hex::<4>(id)?;
        Some(Self {
            mode,
            until,
            version: u32::try_from(version).ok()?,
            id: id.to_owned(),
            mac: secret::from_hex(parts.next()?)?,
            session: SessionId::parse(parts.next()?).ok()?,
        })
    }

    /// The token of a new link.
    pub fn sign(key: &ShareKey, session: SessionId, mode: Mode, until: u64, id: [u8; 4]) -> Self {
        let mut token = Self {
            session,
            mode,
            until,
            version: key.version,
            id: secret::hex(&id),
            mac: [0; 32],
        };
        token.mac = token.signed_by(key);
        token
    }

    pub fn text(&self) -> String {
        let (mode, mac) = (self.mode.letter(), secret::hex(&self.mac));
        format!(
            "ars_{mode}_{}_{}_{}_{mac}_{}",
            self.until, self.version, self.id, self.session
        )
    }

    /// Whether it is a link of the session that has this key, and holds at `now`.
    ///
    /// # Errors
    /// 401 with the reason. A forged one and one that was revoked are told the same.
    pub fn check(
        &self,
        key: Option<&ShareKey>,
        session: &SessionId,
        now: u64,
    ) -> Result<(), Problem> {
        let true_one = key.is_some_and(|key| {
            let signed = secret::same(&self.signed_by(key), &self.mac);
            signed && self.version == key.version && self.session == *session
        });
        if !true_one {
            return Err(refused("this share link is not valid, or was revoked"));
        }
        if self.until <= now {
            return Err(refused("this share link has expired"));
        }
        Ok(())
    }

    fn signed_by(&self, key: &ShareKey) -> [u8; 32] {
        let signed = secret::hash(&[
            b"agent-router share link",
            self.session.as_str().as_bytes(),
            self.mode.letter().as_bytes(),
            &self.until.to_be_bytes(),
            &self.version.to_be_bytes(),
            self.id.as_bytes(),
        ]);
        // A block of the hash, as the key is filled up to one in any case (RFC 2104).
        let mut block = [0; 64];
        for (place, byte) in block.iter_mut().zip(key.secret) {
            *place = byte;
        }
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(&signed);
        mac.finalize().into_bytes().into()
    }
}

/// A number as it is written: no sign, no zero before it.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn refused(why: &str) -> Problem {
    Problem::new(ProblemKind::Unauthenticated, why)
}

impl std::fmt::Debug for ShareToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ShareToken({} {} {:?})",
            self.session, self.id, self.mode
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ShareKey = ShareKey {
        secret: [7; 32],
        version: 1,
    };

    fn session() -> SessionId {
        SessionId::parse("a_session.1").unwrap()
    }

    fn token() -> ShareToken {
        ShareToken::sign(&KEY, session(), Mode::Read, 1000, [1; 4])
    }

    #[test]
    fn survives_its_text() {
        assert_eq!(ShareToken::parse(&token().text()).unwrap(), token());
        assert!(token().check(Some(&KEY), &session(), 999).is_ok());
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let text = token().text();
        for place in 0..text.len() {
            for letter in [b'w', b'1', b'9', b'a'] {
                let mut wrong = text.clone().into_bytes();
                if wrong[place] == letter {
                    continue;
                }
                wrong[place] = letter;
                let wrong = String::from_utf8(wrong).unwrap();
                let admitted = ShareToken::parse(&wrong)
                    .and_then(|token| token.check(Some(&KEY), &token.session.clone(), 0));
                assert!(admitted.is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn it_ends() {
        let status = |key: Option<&ShareKey>, session: &SessionId, now| {
            token()
                .check(key, session, now)
                .err()
                .map(|problem| problem.status())
        };
        let later = ShareKey {
            secret: [7; 32],
            version: 2,
        };
        let anew = ShareKey {
            secret: [8; 32],
            version: 1,
        };
        let other = SessionId::parse("other").unwrap();
        assert_eq!(status(Some(&KEY), &session(), 1000), Some(401), "expired");
        assert_eq!(status(Some(&later), &session(), 0), Some(401), "revoked");
        assert_eq!(status(Some(&anew), &session(), 0), Some(401), "forged");
        assert_eq!(status(Some(&KEY), &other, 0), Some(401), "another session");
        assert_eq!(status(None, &session(), 0), Some(401), "never shared");
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,400}|ars(_[rw0-9a-f]{0,70}){0,8}") {
            if let Ok(token) = ShareToken::parse(&text) {
                proptest::prop_assert_eq!(token.text(), text);
                proptest::prop_assert!(token.check(Some(&KEY), &session(), 0).is_err());
            }
        }
    }
}
