//! What a terminal has printed last. Pure.

use std::collections::VecDeque;

/// How far into what is kept the end of a line is looked for, where its begin is gone.
const SEARCH: usize = 4096;

/// The last bytes of a text, no more than a bound.
#[derive(Debug)]
pub struct Ring {
    bytes: VecDeque<u8>,
    most: usize,
    cut: bool,
}

impl Ring {
    pub fn new(most: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            most,
            cut: false,
        }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(self.most);
        let bytes = bytes.get(skipped..).unwrap_or_default();
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(self.most);
        self.bytes.drain(..excess);
        self.bytes.extend(bytes);
        self.cut |= excess > 0 || skipped > 0;
    }

    /// What was printed first is not here any more.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// What is kept. Where its begin is gone it begins with a line, or at least with a character: the rest of an
    /// escape sequence would be shown as text.
    pub fn text(&self) -> Vec<u8> {
        let from = match self.cut {
            false => 0,
            true => {
                let line = self
                    .bytes
                    .iter()
                    .take(SEARCH)
                    .position(|byte| *byte == b'\n');
                let within_a_character = |byte: &&u8| (0x80..0xc0).contains(*byte);
                line.map_or_else(
                    || {
                        self.bytes
                            .iter()
                            .take(3)
                            .take_while(within_a_character)
                            .count()
                    },
                    |end| end + 1,
                )
            }
        };
        self.bytes.iter().skip(from).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let mut ring = Ring::new(12);
        ring.add(b"one\ntwo\n");
        assert_eq!(
            (ring.text().as_slice(), ring.is_cut()),
            (&b"one\ntwo\n"[..], false)
        );
        ring.add(b"three\n");
        assert_eq!(
            (ring.text().as_slice(), ring.is_cut()),
            (&b"two\nthree\n"[..], true)
        );
        ring.add(b"a line that is too long");
        assert_eq!(ring.text(), b" is too long");
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        let mut ring = Ring::new(4);
        ring.add("ä€".as_bytes());
        assert_eq!(ring.text(), "€".as_bytes());
    }

    proptest! {
        #[test]
        fn it_is_an_end_of_what_was_added(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20), most in 1_usize..64) {
            let mut ring = Ring::new(most);
            for piece in &pieces {
                ring.add(piece);
            }
            let (all, text) = (pieces.concat(), ring.text());
            prop_assert!(text.len() <= most && all.ends_with(&text));
            prop_assert_eq!(ring.is_cut(), all.len() > most);
            if all.len() <= most {
                prop_assert_eq!(text, all);
            }
        }
    }
}
