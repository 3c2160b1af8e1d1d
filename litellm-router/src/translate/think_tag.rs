//! Thinking that a model writes into its visible text: `<think>…</think>` at the very beginning.
//!
//! A tag later in the text is the model speaking about tags.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";
/// More space than this before the tag is text.
const MOST_SPACE: usize = 64;

/// What a piece of content is.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Thinking(String),
    Text(String),
}

/// Reads content in pieces that may end within a tag.
#[derive(Debug, Default)]
pub struct ThinkTag {
    state: State,
    /// What may still turn out to be a part of a tag.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Beginning,
    Thinking,
    /// The tag has just been closed: empty lines before the answer are no part of it.
    Closed,
    Text,
}

impl ThinkTag {
    /// Reads a piece of content and hands on what it is.
    pub fn read(&mut self, piece: &str, on: &mut dyn FnMut(Said)) {
        if self.state == State::Text {
            on(Said::Text(piece.to_owned()));
            return;
        }
        self.held.push_str(piece);
        while self.step(on) {}
    }

    /// No content follows, for now at least: what was held is what it looks like.
    pub fn flush(&mut self, on: &mut dyn FnMut(Said)) {
        let held = std::mem::take(&mut self.held);
        let said = match self.state {
            State::Thinking => Said::Thinking(held),
            State::Beginning | State::Closed | State::Text => {
                self.state = State::Text;
                Said::Text(held)
            }
        };
        if !matches!(&said, Said::Thinking(text) | Said::Text(text) if text.is_empty()) {
            on(said);
        }
    }

    /// Goes on as far as what is held allows. Returns whether there may be more.
    fn step(&mut self, on: &mut dyn FnMut(Said)) -> bool {
        match self.state {
            State::Beginning => {
                let text = self.held.trim_start();
                if let Some(rest) = text.strip_prefix(OPEN) {
                    self.held = rest.to_owned();
                    self.state = State::Thinking;
                    return true;
                }
                if !OPEN.starts_with(text) || self.held.len() > MOST_SPACE {
                    self.state = State::Text;
                    return true;
                }
                false
            }
            State::Thinking => {
                if let Some((thought, rest)) = self.held.split_once(CLOSE) {
                    let (thought, rest) = (thought.to_owned(), rest.to_owned());
                    self.held = rest;
                    self.state = State::Closed;
                    if !thought.is_empty() {
                        on(Said::Thinking(thought));
                    }
                    return true;
                }
                let keep = partial_end(&self.held);
                let rest = self.held.split_off(self.held.len() - keep);
                let thought = std::mem::replace(&mut self.held, rest);
                if !thought.is_empty() {
                    on(Said::Thinking(thought));
                }
                false
            }
            State::Closed => {
                let text = self.held.trim_start();
                if text.is_empty() {
                    self.held.clear();
                    return false;
                }
                self.held = text.to_owned();
                self.state = State::Text;
                true
            }
            State::Text => {
                let text = std::mem::take(&mut self.held);
                if !text.is_empty() {
                    on(Said::Text(text));
                }
                false
            }
        }
    }
}

/// How many bytes at the end of `text` may be the beginning of the closing tag.
fn partial_end(text: &str) -> usize {
    (1..CLOSE.len())
        .rev()
        .find(|&length| {
            CLOSE
                .get(..length)
                .is_some_and(|beginning| text.ends_with(beginning))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is thought and what is said, whatever the pieces.
    fn read(pieces: &[&str]) -> (String, String) {
        let (mut thought, mut text) = (String::new(), String::new());
        let mut tag = ThinkTag::default();
        let mut on = |said: Said| match said {
            Said::Thinking(piece) => thought.push_str(&piece),
            Said::Text(piece) => text.push_str(&piece),
        };
        for piece in pieces {
            tag.read(piece, &mut on);
        }
        tag.flush(&mut on);
        (thought, text)
    }

    #[test]
    fn n06_a_tag_counts_at_the_beginning_alone() {
        let is = |content: &str, thought: &str, text: &str| {
            assert_eq!(read(&[content]), (thought.into(), text.into()), "{content}");
            let bytes: Vec<&str> = content.split("").collect();
            assert_eq!(read(&bytes), (thought.into(), text.into()), "{content}");
        };
        is("<think>hm</think>\n\nHi", "hm", "Hi");
        is(
            " \n<think>\nhm\n</think>Hi <think>x</think>",
            "\nhm\n",
            "Hi <think>x</think>",
        );
        is("Hi <think>x</think>", "", "Hi <think>x</think>");
        is("<think>never closed </thin", "never closed </thin", "");
        is("<think></think>Hi", "", "Hi");
        is("<thinking>x", "", "<thinking>x");
        is("<thi", "", "<thi");
        is("  ", "", "  ");
        is("", "", "");
    }

    proptest! {
        #[test]
        fn n06_pieces_make_no_difference(
            content in "( |<think>|</think>|<|th|ink>|ä){0,12}", at in 0usize..60, then in 0usize..60,
        ) {
            let cut = |at: usize| (0..=at.min(content.len())).rev().find(|&at| content.is_char_boundary(at)).unwrap();
            let (first, second) = (cut(at.min(then)), cut(at.max(then)));
            let (head, end) = content.split_at(second);
            let (start, middle) = head.split_at(first);
            let pieces = [start, middle, end];
            prop_assert_eq!(read(&pieces), read(&[&content]));
        }
    }
}
