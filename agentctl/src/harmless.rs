//! Text of others, made harmless for a terminal: what a session, a file's name or a server says may
//! hold escape sequences, which move the cursor, change the clipboard or hide what stands there.

use std::borrow::Cow;

/// A text of several lines: line ends and tabs stay, every other control character is shown as a
/// sign, and what turns the direction of writing or can't be seen is replaced.
pub fn text(given: &str) -> Cow<'_, str> {
    let given = match given.contains("\r\n") {
        true => Cow::Owned(given.replace("\r\n", "\n")),
        false => Cow::Borrowed(given),
    };
    if !given
        .chars()
        .any(|c| is_bad(c) && !matches!(c, '\n' | '\t'))
    {
        return given;
    }
    let keep = |c| match c {
        '\n' | '\t' => c,
        other => sign(other),
    };
    Cow::Owned(given.chars().map(keep).collect())
}

/// A text in one line, of at most `most` characters.
pub fn line(given: &str, most: usize) -> String {
    let mut written = String::new();
    for (place, c) in given.chars().enumerate() {
        if place >= most {
            written.push('…');
            break;
        }
        written.push(match c {
            '\n' => '⏎',
            '\t' => ' ',
            other => sign(other),
        });
    }
    written
}

/// JSON in which nothing is left that a terminal acts on. Outside of texts JSON has none of it, so
/// that it stays the same JSON.
pub fn json(given: &str) -> Cow<'_, str> {
    if !given.chars().any(is_bad) {
        return Cow::Borrowed(given);
    }
    let mut written = String::with_capacity(given.len());
    for c in given.chars() {
        if is_bad(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                written += &format!("\\u{unit:04x}");
            }
        } else {
            written.push(c);
        }
    }
    Cow::Owned(written)
}

/// The same, of a document over several lines, which stay: outside of texts they are white space.
pub fn json_lines(given: &str) -> String {
    let lines: Vec<Cow<'_, str>> = given.split('\n').map(json).collect();
    lines.join("\n")
}

/// Bytes that are most likely text, as they come in pieces.
#[derive(Default)]
pub struct Pieces {
    /// The begin of a character whose rest has not come.
    begun: Vec<u8>,
}

impl Pieces {
    /// The text of the next bytes.
    pub fn text(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let mut written = String::new();
        let mut whole = 0;
        for chunk in self.begun.utf8_chunks() {
            written += &text(chunk.valid());
            whole += chunk.valid().len();
            let invalid = chunk.invalid();
            // At the end it may be the begin of a character of up to four bytes.
            let is_last = whole + invalid.len() == self.begun.len();
            let begins = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if invalid.is_empty() || is_last && begins {
                break;
            }
            written.push('\u{fffd}');
            whole += invalid.len();
        }
        self.begun.drain(..whole.min(self.begun.len()));
        written
    }
}

fn is_bad(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What stands for a character.
fn sign(c: char) -> char {
    match c {
        // Signs of their own, such as ␛.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '␡',
        c if is_bad(c) => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What terminals act on: a title, the clipboard, a link, colours, C1 forms of the same, direction.
    const HOSTILE: &str =
        "a\x1b]0;title\x07b\x1b]52;c;AAAA\x1b\\c\u{9b}31md\u{85}e\x7ff\u{202e}g\u{e0041}h\rX\0\x08";

    fn acts(c: char) -> bool {
        is_bad(c) && !matches!(c, '\n' | '\t')
    }

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert!(!text(HOSTILE).chars().any(acts));
        assert!(!line(HOSTILE, 1000).chars().any(is_bad));
        let json_text = json(&serde_json::to_string(HOSTILE).unwrap()).into_owned();
        assert!(!json_text.chars().any(is_bad), "{json_text}");
        let back: String = serde_json::from_str(&json_text).unwrap();
        assert_eq!(back, HOSTILE);
        assert_eq!(text("\x1b[2J"), "␛[2J");
    }

    #[test]
    fn a_document_over_lines_stays_json() {
        let document = serde_json::json!({ "a": HOSTILE, "b": ["x\ny", "z"] });
        let told = json_lines(&serde_json::to_string_pretty(&document).unwrap());
        assert!(!told.chars().any(acts), "{told}");
        assert!(told.starts_with("{\n  \"a\": "), "{told}");
        let back: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(back, document);
    }

    #[test]
    fn what_is_harmless_stays() {
        for kept in ["", "über\n\tzwölf 漢字 🎉", "  two\n\nlines\n"] {
            assert_eq!(text(kept), kept);
            assert!(matches!(text(kept), Cow::Borrowed(_)));
        }
        assert_eq!(text("a\r\nb"), "a\nb");
        assert_eq!(line("a\nb\tc", 10), "a⏎b c");
        assert_eq!(line("漢字漢字", 2), "漢字…");
    }

    #[test]
    fn pieces_are_put_together_wherever_they_are_cut() {
        let whole = "zwölf 漢字 🎉\n".as_bytes();
        for cut in 0..=whole.len() {
            let mut pieces = Pieces::default();
            let (one, other) = whole.split_at(cut);
            let told = pieces.text(one) + &pieces.text(other);
            assert_eq!(told, "zwölf 漢字 🎉\n", "{cut}");
        }
        let mut pieces = Pieces::default();
        assert_eq!(pieces.text(b"a\xffb\x1b[2J\xe2\x82"), "a\u{fffd}b␛[2J");
        assert_eq!(pieces.text(b"x"), "\u{fffd}x");
    }
}
