//! Secrets: how they are compared, hashed, and written.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of parts, each behind its length, so that no two lists of parts have the same bytes.
pub fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Whether two secrets are the same, in a time that tells neither where they differ nor how long the
/// secret is. An empty secret is nobody's.
pub fn equal(given: &[u8], secret: &[u8]) -> bool {
    !secret.is_empty() && same(&hash(&[given]), &hash(&[secret]))
}

/// Whether two hashes are the same, in a time that does not depend on where they differ.
pub fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]);
    digits.collect()
}

/// The bytes of exactly `2 * N` hexadecimal digits, in lower case.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut digits = text.bytes().map(|digit| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    });
    for byte in &mut bytes {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(bytes)
}

/// The bytes of base64 as tokens write it: for URLs, without padding.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The first digits of a hash: enough to name something by, too few to matter.
pub fn name(hash: &[u8; 32]) -> String {
    hex(hash).chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_the_same_or_not() {
        assert!(equal(b"secret", b"secret"));
        for wrong in ["", "secre", "secrets", "secretsecret", "Secret"] {
            assert!(!equal(wrong.as_bytes(), b"secret"), "{wrong}");
        }
        assert!(!equal(b"", b""), "an empty secret is nobody's");
    }

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab"]), hash(&[b"ab", b""]));
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
        assert_eq!(from_hex::<3>("000fff"), Some([0, 15, 255]));
        for wrong in ["", "000ff", "000FFF", "000fff0", "00 fff", "000fffff"] {
            assert_eq!(from_hex::<3>(wrong), None, "{wrong}");
        }
    }
}
