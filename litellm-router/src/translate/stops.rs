//! Stop sequences that a provider does not take: the router cuts the answer itself where one begins.

/// How many are looked for, and how long one may be. Each piece of an answer is compared to all of
/// them.
const MOST: usize = 64;
const LONGEST: usize = 256;

/// Looks for sequences in text that comes in pieces. What may be the beginning of one is held back: less
/// than the longest of them.
#[derive(Debug, Default)]
pub struct Stops {
    sequences: Vec<String>,
    held: String,
}

impl Stops {
    /// What looks for these sequences, of which those without measure are left out.
    pub fn new(mut sequences: Vec<String>) -> Self {
        sequences.retain(|sequence| !sequence.is_empty() && sequence.len() <= LONGEST);
        sequences.truncate(MOST);
        Self {
            sequences,
            held: String::new(),
        }
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Reads a piece of text. Returns what can go on, and the sequence that the text has come to, whose
    /// end comes first; nothing is to be read behind it.
    pub fn read(&mut self, piece: &str) -> (String, Option<String>) {
        self.held.push_str(piece);
        let text = std::mem::take(&mut self.held);
        let ends = self.sequences.iter().filter_map(|sequence| {
            let at = text.find(sequence.as_str())?;
            // Of two that end together, the longer has begun before the other.
            Some((at + sequence.len(), at, sequence))
        });
        if let Some((_, at, sequence)) = ends.min_by_key(|(end, at, _)| (*end, *at)) {
            let sequence = sequence.clone();
            let before = text.get(..at).unwrap_or_default();
            return (before.to_owned(), Some(sequence));
        }
        let mut text = text;
        self.held = text.split_off(self.beginning(&text));
        (text, None)
    }

    /// What was held back, where no text follows.
    pub fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where in `text`, which holds no sequence, something begins that may become one: its length where
    /// nothing does.
    fn beginning(&self, text: &str) -> usize {
        let longest = self.sequences.iter().map(String::len).max().unwrap_or(0);
        let from = (text.len() + 1).saturating_sub(longest);
        let mut places = (from..text.len()).filter(|at| text.is_char_boundary(*at));
        let may = |at: &usize| {
            let end = text.get(*at..).unwrap_or_default();
            self.sequences
                .iter()
                .any(|sequence| sequence.starts_with(end))
        };
        places.find(may).unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What goes on of these pieces, each by itself, and what has stopped them.
    fn read(sequences: &[&str], pieces: &[&str]) -> (Vec<String>, Option<String>) {
        let sequences = sequences.iter().map(|stop| (*stop).to_owned()).collect();
        let mut stops = Stops::new(sequences);
        let mut out = Vec::new();
        for piece in pieces {
            let (text, stop) = stops.read(piece);
            out.push(text);
            if stop.is_some() {
                return (out, stop);
            }
        }
        out.push(stops.flush());
        (out, None)
    }

    #[test]
    fn r19_text_ends_before_the_sequence_that_is_whole_first() {
        let (out, stop) = read(&["END", "STOP!", "\n\n"], &["a EN", "X E", "N", "D b"]);
        assert_eq!(out, ["a ", "ENX ", "", ""]);
        assert_eq!(stop.as_deref(), Some("END"));
        // Of two, the one that ends first, though the other has begun before; of two that end at the
        // same place, the longer.
        assert_eq!(read(&["abcd", "bc"], &["xabcd"]).1.as_deref(), Some("bc"));
        let (out, stop) = read(&["bc", "abc"], &["xabc"]);
        assert_eq!((out.concat().as_str(), stop.as_deref()), ("x", Some("abc")));
        // What only looks like a beginning goes on in the end.
        assert_eq!(read(&["END"], &["the E", "N"]).0.concat(), "the EN");
    }

    #[test]
    fn r19_only_what_may_begin_a_sequence_is_held_back() {
        let (out, _) = read(&["ENDE"], &["a", "b", "E", "N", "x"]);
        assert_eq!(out, ["a", "b", "", "", "ENx", ""]);
        assert!(Stops::new(vec![String::new(), "x".repeat(LONGEST + 1)]).is_empty());
        let many = (0..9_999).map(|number| format!("<{number}>")).collect();
        assert_eq!(Stops::new(many).sequences.len(), MOST);
    }

    proptest! {
        #[test]
        fn r19_it_makes_no_difference_where_the_text_is_split(
            sequences in prop::collection::vec("[abä]{1,4}", 1..6),
            text in "[abäc]{0,30}",
            cuts in prop::collection::vec(0..31_usize, 0..8),
        ) {
            let sequences: Vec<&str> = sequences.iter().map(String::as_str).collect();
            let (whole, stop) = read(&sequences, &[text.as_str()]);
            let mut places: Vec<usize> = cuts
                .iter()
                .map(|cut| text.char_indices().nth(*cut).map_or(text.len(), |(at, _)| at))
                .collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let pieces: Vec<&str> = places.windows(2).map(|pair| text.get(pair[0]..pair[1]).unwrap()).collect();
            let (split, split_stop) = read(&sequences, &pieces);
            prop_assert_eq!(whole.concat(), split.concat());
            prop_assert_eq!(&stop, &split_stop);
            // By definition: the shortest beginning of the text that ends in one.
            let first = (0..=text.len())
                .filter_map(|end| text.get(..end))
                .find(|begun| sequences.iter().any(|sequence| begun.ends_with(sequence)));
            prop_assert_eq!(first.is_some(), stop.is_some());
            if let (Some(first), Some(stop)) = (first, stop) {
                prop_assert_eq!(format!("{}{stop}", whole.concat()), first);
            }
        }
    }
}
