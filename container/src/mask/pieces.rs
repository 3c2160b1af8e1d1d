//! A text that comes in pieces.

use std::collections::VecDeque;
use std::ops::Range;

use super::{MASKED, Mask, ROOT, cover};

/// What may be the beginning of a secret is held back until it is known. All pieces are for one mask.
#[derive(Debug, Default)]
pub struct Pieces {
    at: u32,
    held: VecDeque<u8>,
    /// Bytes of the text before what is held.
    told: usize,
    /// Where secrets are in what is held; the first may have begun before it.
    found: VecDeque<Range<usize>>,
}

impl Pieces {
    /// What can be told of the text after this piece of it.
    pub fn add(&mut self, mask: &Mask, piece: &str) -> String {
        if mask.is_empty() {
            return piece.to_owned();
        }
        text(self.bytes(mask, piece.as_bytes()))
    }

    /// The same of bytes.
    pub fn bytes(&mut self, mask: &Mask, piece: &[u8]) -> Vec<u8> {
        let mut ready = Vec::with_capacity(piece.len());
        for byte in piece {
            self.held.push_back(*byte);
            self.at = mask.step(self.at, *byte);
            let node = mask.node(self.at);
            let end = self.told + self.held.len();
            if node.ends > 0 {
                cover(&mut self.found, end - node.ends as usize..end);
            }
            self.release(node.open as usize, &mut ready);
        }
        ready
    }

    /// What was held back: the text is over, and another may begin.
    pub fn finish(&mut self) -> String {
        text(self.finish_bytes())
    }

    /// The same as bytes.
    pub fn finish_bytes(&mut self) -> Vec<u8> {
        let mut ready = Vec::new();
        self.release(0, &mut ready);
        (self.at, self.told) = (ROOT, 0);
        self.found.clear();
        ready
    }

    /// Whether something is held back.
    pub fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// Tells all but the last bytes.
    fn release(&mut self, keep: usize, ready: &mut Vec<u8>) {
        while self.held.len() > keep
            && let Some(byte) = self.held.pop_front()
        {
            let place = self.told;
            self.told += 1;
            match self.found.front() {
                Some(secret) if secret.contains(&place) => {
                    if secret.start == place {
                        ready.extend_from_slice(MASKED.as_bytes());
                    }
                    if secret.end == self.told {
                        self.found.pop_front();
                    }
                }
                _ => ready.push(byte),
            }
        }
    }
}

/// Secrets begin and end with whole characters, so nothing is cut in two.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
