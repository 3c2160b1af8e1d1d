//! Answers that are given again for the very same request.
//!
//! Opt-in, in memory, whole answers alone. A request is the same when its API, the form of its
//! answer and every byte of its body are; so a conversation, of which each turn is new, hardly ever
//! meets it, and evaluations, which repeat themselves, always do.

use bytes::Bytes;
use lru::LruCache;
use sha2::{Digest, Sha256};

use crate::api::Api;
use crate::config::CacheSettings;

/// The largest answer that is kept, as in LiteLLM.
pub const LARGEST_ANSWER: usize = 1024 * 1024;

/// What an answer takes beside its own bytes: its key and entry, and what the list and the map around
/// them keep for each.
const BESIDE: usize = size_of::<(CacheKey, Entry)>() + 64;

/// What stands for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of a request with this body, in which the form of the answer stands too. `beside` is all
    /// else that changes what is asked of a provider: headers, and what the caller may.
    pub fn of(api: Api, beside: &[&str], body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(match api {
            Api::Messages => b"m",
            Api::Chat => b"c",
        });
        for text in beside {
            // With its length, so that no two lists are written alike.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(body);
        Self(hash.finalize().into())
    }

    /// The key as callers see it, in `x-litellm-cache-key`.
    pub fn name(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[derive(Debug)]
struct Entry {
    until: u64,
    streams: bool,
    body: Bytes,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.body.len() + BESIDE
    }
}

/// The answers that are kept, the least used of which goes first.
#[derive(Debug)]
pub struct Cache {
    settings: CacheSettings,
    entries: LruCache<CacheKey, Entry>,
    bytes: usize,
}

impl Cache {
    /// Keeps nothing yet.
    pub fn new(settings: CacheSettings) -> Self {
        Self {
            settings,
            entries: LruCache::unbounded(),
            bytes: 0,
        }
    }

    /// Whether requests with tools are answered from here as well.
    pub fn with_tools(&self) -> bool {
        self.settings.with_tools
    }

    /// An answer and whether it is a stream, if it is not too old.
    pub fn get(&mut self, key: &CacheKey, now: u64) -> Option<(Bytes, bool)> {
        if self.entries.peek(key)?.until <= now {
            self.remove(key);
            return None;
        }
        let entry = self.entries.get(key)?;
        Some((entry.body.clone(), entry.streams))
    }

    /// Keeps an answer.
    pub fn put(&mut self, key: CacheKey, body: Bytes, streams: bool, now: u64) {
        let until = now.saturating_add((self.settings.ttl_s * 1000.0) as u64);
        let entry = Entry {
            until,
            streams,
            body,
        };
        if entry.body.len() > LARGEST_ANSWER || entry.bytes() > self.settings.max_bytes {
            return;
        }
        self.remove(&key);
        self.bytes += entry.bytes();
        self.entries.put(key, entry);
        while self.bytes > self.settings.max_bytes {
            match self.entries.pop_lru() {
                Some((_, entry)) => self.bytes -= entry.bytes(),
                None => break,
            }
        }
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= entry.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(max_bytes: usize) -> Cache {
        Cache::new(CacheSettings {
            ttl_s: 1.0,
            with_tools: false,
            max_bytes,
        })
    }

    fn key(body: &[u8]) -> CacheKey {
        CacheKey::of(Api::Messages, &[""], body)
    }

    #[test]
    fn an_answer_is_there_until_it_is_too_old() {
        let mut cache = cache(1_000);
        cache.put(key(b"q"), Bytes::from_static(b"answer"), true, 5_000);
        let found = cache.get(&key(b"q"), 5_999);
        assert_eq!(found, Some((Bytes::from_static(b"answer"), true)));
        assert_eq!(cache.get(&key(b"q "), 5_999), None);
        assert_eq!(
            cache.get(&CacheKey::of(Api::Chat, &[""], b"q"), 5_999),
            None
        );
        assert_eq!(cache.get(&key(b"q"), 6_000), None);
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn the_least_used_goes_when_there_is_no_room() {
        let mut cache = cache(10 + 2 * BESIDE);
        for question in [b"a", b"b"] {
            cache.put(key(question), Bytes::from_static(b"12345"), false, 0);
        }
        assert!(cache.get(&key(b"a"), 1).is_some());
        cache.put(key(b"c"), Bytes::from_static(b"1"), false, 0);
        assert!(cache.get(&key(b"b"), 1).is_none());
        assert!(cache.get(&key(b"a"), 1).is_some() && cache.get(&key(b"c"), 1).is_some());
        let large = Bytes::from(vec![0; 11 + BESIDE]);
        cache.put(key(b"d"), large, false, 0);
        assert!(cache.get(&key(b"d"), 1).is_none());
        cache.put(key(b"a"), Bytes::from_static(b"1"), false, 0);
        assert_eq!(cache.bytes, 2 + 2 * BESIDE);
    }

    #[test]
    fn answers_without_a_byte_take_room_as_well() {
        let mut cache = cache(10 * BESIDE);
        for number in 0..1_000_u32 {
            cache.put(key(&number.to_be_bytes()), Bytes::new(), false, 0);
        }
        assert_eq!((cache.entries.len(), cache.bytes), (10, 10 * BESIDE));
    }
}
