//! Ids of tool calls that everybody accepts.
//!
//! Anthropic takes letters, digits, `_` and `-`; OpenAI no more than 40 characters. A conversation
//! goes from one provider to another, so an id that somebody would refuse does not get into it, and
//! one that is in it already goes upstream in another form, the same each time.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// The longest id that OpenAI takes.
const LONGEST: usize = 40;
/// The longest that reaches a client; vLLM's have 46 characters, some of Gemini's more.
const LONGEST_FOR_CLIENT: usize = 128;
/// Bytes of the hash that stand for an id.
const HASHED: usize = 12;

fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !id.is_empty() && id.bytes().all(plain)
}

/// Whether a provider's id can be the client's as it is.
pub fn fits_client(id: &str) -> bool {
    id.len() <= LONGEST_FOR_CLIENT && is_plain(id)
}

/// The id under which a call goes upstream. The same id always gives the same; `nth` tells calls of
/// one message apart that have the same id, the first being 0.
pub fn upstream(id: &str, nth: usize) -> Cow<'_, str> {
    if nth == 0 && id.len() <= LONGEST && is_plain(id) {
        return Cow::Borrowed(id);
    }
    let digest = Sha256::digest(format!("{nth}:{id}"));
    let hash: String = digest
        .iter()
        .take(HASHED)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Cow::Owned(format!("call_{hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_odd_ids_become_plain_ones_always_the_same() {
        assert_eq!(upstream("toolu_01-x", 0), "toolu_01-x");
        let long = format!("chatcmpl-tool-{}", "0".repeat(32));
        for odd in ["functions.Bash:0", "", "ä", long.as_str()] {
            let id = upstream(odd, 0);
            assert!(id.len() <= LONGEST && is_plain(&id), "{id}");
            assert_eq!(id, upstream(odd, 0));
            assert_ne!(id, upstream(odd, 1));
        }
        assert_ne!(upstream("x", 0), upstream("x", 1));
        assert!(fits_client(&long) && !fits_client("functions.Bash:0") && !fits_client(""));
    }
}
