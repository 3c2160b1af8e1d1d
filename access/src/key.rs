//! API keys: `ar_{owner}_{id}_{secret}_{checksum}`.
//!
//! The owner's name says whose account knows the key, so that a key is found without a list of all.
//! The checksum is no secret: it tells a mistyped key from a wrong one before anybody is asked. Of the
//! secret, 256 random bits, a salted hash is stored; a slow hash would add nothing to so many bits.

use protocol::{Owner, Problem, ProblemKind};

use crate::secret;

/// Characters of a key at most.
const MAX_LEN: usize = 256;

const PREFIX: &str = "ar";

/// A key as its holder writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub owner: Owner,
    /// 16 hexadecimal digits, no secret.
    pub id: String,
    secret: [u8; 32],
}

/// What is stored of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    pub salt: [u8; 16],
    pub hash: [u8; 32],
}

impl ApiKey {
    /// A fresh key out of random bytes.
    pub fn fresh(owner: Owner, id: [u8; 8], secret: [u8; 32]) -> Self {
        Self {
            owner,
            id: secret::hex(&id),
            secret,
        }
    }

    /// Whether a token is meant to be such a key.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with("ar_")
    }

    /// # Errors
    /// 401 for what is no key, or is mistyped.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Self::read(text).ok_or_else(|| {
            Problem::new(
                ProblemKind::Unauthenticated,
                "this API key is mistyped or cut: it has the form ar_…",
            )
        })
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        let (key, checksum) = text.rsplit_once('_')?;
        if checksum_of(key) != checksum {
            return None;
        }
        let mut parts = key.split('_');
        let (prefix, owner, id, secret) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if prefix != PREFIX || parts.next().is_some() {
            return None;
        }
        secret::from_hex::<8>(id)?;
        Some(Self {
            owner: Owner::parse(owner).ok()?,
            id: id.to_owned(),
            secret: secret::from_hex(secret)?,
        })
    }

    /// The key as its holder gets it, once.
    pub fn text(&self) -> String {
        let key = format!(
            "{PREFIX}_{}_{}_{}",
            self.owner,
            self.id,
            secret::hex(&self.secret)
        );
        let checksum = checksum_of(&key);
        format!("{key}_{checksum}")
    }

    /// What is stored of it, with this salt.
    pub fn stored(&self, salt: [u8; 16]) -> StoredSecret {
        StoredSecret {
            salt,
            hash: self.hash(&salt),
        }
    }

    /// Whether this is the key of which that is stored.
    pub fn is(&self, stored: &StoredSecret) -> bool {
        secret::same(&self.hash(&stored.salt), &stored.hash)
    }

    fn hash(&self, salt: &[u8; 16]) -> [u8; 32] {
        secret::hash(&[
            salt,
            self.owner.as_str().as_bytes(),
            self.id.as_bytes(),
            &self.secret,
        ])
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever logs this must not log a key.
        write!(f, "ApiKey({} {})", self.owner, self.id)
    }
}

fn checksum_of(key: &str) -> String {
    let hash = secret::hash(&[b"agent-router key checksum", key.as_bytes()]);
    secret::hex(&hash).chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        ApiKey::fresh(Owner::parse("team-7").unwrap(), [1; 8], [2; 32])
    }

    #[test]
    fn survives_its_text() {
        let text = key().text();
        assert!(
            text.starts_with("ar_team-7_0101010101010101_0202"),
            "{text}"
        );
        assert_eq!(ApiKey::parse(&text).unwrap(), key());
    }

    #[test]
    fn a_mistyped_one_is_told_apart() {
        let text = key().text();
        for place in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[place] = if wrong[place] == b'3' { b'4' } else { b'3' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(ApiKey::parse(&wrong).is_err(), "{place}");
            assert!(
                ApiKey::parse(text.get(..place).unwrap()).is_err(),
                "{place}"
            );
        }
        assert!(ApiKey::parse(&format!("{text} ")).is_err());
    }

    #[test]
    fn what_is_stored_is_of_one_key_alone() {
        let stored = key().stored([9; 16]);
        assert!(key().is(&stored));
        let other_secret = ApiKey::fresh(key().owner, [1; 8], [3; 32]);
        let other_id = ApiKey::fresh(key().owner, [2; 8], [2; 32]);
        let other_owner = ApiKey::fresh(Owner::parse("team-8").unwrap(), [1; 8], [2; 32]);
        for other in [other_secret, other_id, other_owner] {
            assert!(!other.is(&stored), "{other:?}");
        }
        assert_ne!(key().stored([8; 16]).hash, stored.hash);
    }

    #[test]
    fn is_not_shown_by_accident() {
        assert!(!format!("{:?}", key()).contains("0202"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,300}|ar(_[a-z0-9-]{0,70}){0,6}") {
            let _ = ApiKey::parse(&text);
        }

        #[test]
        fn every_key_is_read(owner in "[a-z0-9-]{1,64}", id: [u8; 8], secret: [u8; 32]) {
            let key = ApiKey::fresh(Owner::parse(&owner).unwrap(), id, secret);
            proptest::prop_assert_eq!(ApiKey::parse(&key.text()).unwrap(), key);
        }
    }
}
