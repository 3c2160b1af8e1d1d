//! Secrets that have to be stored are sealed: nobody reads or changes them who has what is stored
//! alone. ChaCha20-Poly1305 (RFC 8439), with a key for each use made from one that is kept elsewhere.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};

use crate::secret;

/// The key of one use.
pub struct Seal(ChaCha20Poly1305);

impl Seal {
    /// The key for what is kept `about` something, made from the deployment's own.
    pub fn new(key: &str, about: &str) -> Self {
        let parts: [&[u8]; 3] = [b"agent-router sealed", key.as_bytes(), about.as_bytes()];
        Self(ChaCha20Poly1305::new(&secret::hash(&parts).into()))
    }

    /// The text as hexadecimal digits that only [`Seal::open`] reads. The nonce has to be random: with
    /// one key, none may come twice.
    pub fn seal(&self, nonce: [u8; 12], text: &[u8]) -> Option<String> {
        let sealed = self.0.encrypt(&Nonce::from(nonce), text).ok()?;
        Some(secret::hex(&nonce) + &secret::hex(&sealed))
    }

    /// None for what was not sealed with this key, or was changed since.
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(24)?;
        let digits = text.as_bytes().chunks(2);
        let text = digits.map(|pair| secret::from_hex::<1>(std::str::from_utf8(pair).ok()?));
        let text: Vec<u8> = text.collect::<Option<Vec<[u8; 1]>>>()?.concat();
        let nonce = Nonce::from(secret::from_hex::<12>(nonce)?);
        self.0.decrypt(&nonce, text.as_slice()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_own_key_alone() {
        let one = Seal::new("key", "one");
        let sealed = one.seal([7; 12], b"a secret").unwrap();
        assert_eq!(sealed.len(), 2 * (12 + 8 + 16));
        assert_eq!(one.open(&sealed).unwrap(), b"a secret");
        for other in [Seal::new("key", "two"), Seal::new("other", "one")] {
            assert_eq!(other.open(&sealed), None);
        }
        // Whatever digit of it is changed.
        for at in 0..sealed.len() {
            let mut digits = sealed.clone().into_bytes();
            digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(one.open(&String::from_utf8(digits).unwrap()), None, "{at}");
        }
        let cut: String = sealed.chars().skip(1).collect();
        for wrong in [
            "",
            "00",
            "zz",
            &cut,
            &"ä".repeat(40),
            &format!("{sealed}00"),
        ] {
            assert_eq!(one.open(wrong), None, "{wrong}");
        }
    }
}
