//! The arguments of a tool call, checked while they come and mended where models commonly err.
//!
//! A client parses them when the call is over, and refuses the whole call for one comma. What has
//! gone out cannot be taken back, so only what is certain goes out: a comma waits for what follows
//! it, a bare word for its end. Mended are trailing commas, Python's `True`, `False` and `None`, line
//! breaks and unknown escapes within strings, half a surrogate pair, a missing last brace, an object
//! that is repeated, and an object within a string. All else is an error.

use serde_json::Value;

use crate::json;

/// Deeper nesting is refused, as serde_json does when the client's library would read it.
const DEEPEST: usize = 120;
/// No number, bare word or escape is longer.
const LONGEST_WORD: usize = 400;

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The object itself.
    Object,
    KeyOrEnd,
    Colon,
    Value,
    ValueOrEnd,
    CommaOrEnd,
    /// Within a string; `key` if a colon follows it.
    Text {
        key: bool,
    },
    /// Within a number or a bare word.
    Word,
    /// The object is whole.
    Nothing,
    /// Not JSON, and not to be mended.
    Broken,
}

/// See the module.
#[derive(Debug)]
pub struct Arguments {
    expect: Expect,
    /// `{` and `[` that are open.
    open: Vec<u8>,
    /// A comma and the spaces after it that have been read and not been written.
    comma: String,
    /// A number or bare word, or an escape within a string, that is not complete.
    word: String,
    /// The first half of a surrogate pair, as it was written.
    half: Option<String>,
    /// What came before the object or after it.
    around: String,
    out: String,
    /// Bytes of `out` that have been taken.
    taken: usize,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            expect: Expect::Object,
            open: Vec::new(),
            comma: String::new(),
            word: String::new(),
            half: None,
            around: String::new(),
            out: String::new(),
            taken: 0,
        }
    }
}

impl Arguments {
    /// Reads more.
    pub fn push(&mut self, piece: &str) {
        for c in piece.chars() {
            self.read(c);
        }
    }

    /// Whether a whole object has been read.
    pub fn is_whole(&self) -> bool {
        self.expect == Expect::Nothing
    }

    /// Whether anything but spaces has been read.
    pub fn has_begun(&self) -> bool {
        self.expect != Expect::Object || !self.around.trim().is_empty()
    }

    /// What can be written now and has not been.
    pub fn take(&mut self) -> &str {
        let new = self.out.get(self.taken..).unwrap_or_default();
        self.taken = self.out.len();
        new
    }

    /// All has been read. Mends the end where it can be; returns whether there is an object now, `{}`
    /// for none at all.
    pub fn finish(&mut self) -> bool {
        if self.expect == Expect::Word {
            self.end_word();
        }
        match self.expect {
            Expect::Nothing => {
                let after = self.around.trim();
                after.is_empty() || same(after, &self.out)
            }
            // One brace is forgotten easily. More are the sign of an answer that was cut.
            Expect::CommaOrEnd | Expect::KeyOrEnd if self.open == *b"{" => {
                self.comma.clear();
                self.close();
                true
            }
            Expect::Object => match std::mem::take(&mut self.around).trim() {
                "" | "null" | "None" => {
                    self.out.push_str("{}");
                    true
                }
                text => self.unwrap_string(text),
            },
            _ => false,
        }
    }

    /// An object that came as the text of a JSON string.
    fn unwrap_string(&mut self, text: &str) -> bool {
        let Ok(inner) = json::read::<String>(text) else {
            return false;
        };
        let mut arguments = Self::default();
        arguments.push(inner.trim());
        let found = arguments.expect != Expect::Object && arguments.finish();
        if found {
            self.out.push_str(&arguments.out);
            self.expect = Expect::Nothing;
        }
        found
    }

    fn read(&mut self, c: char) {
        match self.expect {
            Expect::Broken => {}
            Expect::Object if c == '{' && self.around.trim().is_empty() => self.begin('{'),
            Expect::Object | Expect::Nothing => self.around.push(c),
            Expect::Text { key } => self.read_text(c, key),
            Expect::Word if c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.') => {
                self.word.push(c);
                if self.word.len() > LONGEST_WORD {
                    self.expect = Expect::Broken;
                }
            }
            Expect::Word => {
                self.end_word();
                self.read(c);
            }
            _ if matches!(c, ' ' | '\t' | '\n' | '\r') => self.write_space(c),
            _ => self.read_structure(c),
        }
    }

    fn write_space(&mut self, c: char) {
        if self.comma.is_empty() {
            self.out.push(c);
        } else {
            self.comma.push(c);
        }
    }

    fn read_structure(&mut self, c: char) {
        let ends = matches!((self.open.last(), c), (Some(b'{'), '}') | (Some(b'['), ']'));
        match (self.expect, c) {
            (Expect::KeyOrEnd, '"') => self.begin_text(true),
            (Expect::Value | Expect::ValueOrEnd, '"') => self.begin_text(false),
            (Expect::Value | Expect::ValueOrEnd, '{' | '[') => self.begin(c),
            (Expect::Colon, ':') => {
                self.out.push(':');
                self.expect = Expect::Value;
            }
            (Expect::CommaOrEnd, ',') => {
                self.comma.push(',');
                self.expect = match self.open.last() {
                    Some(b'{') => Expect::KeyOrEnd,
                    _ => Expect::ValueOrEnd,
                };
            }
            (Expect::CommaOrEnd | Expect::KeyOrEnd | Expect::ValueOrEnd, '}' | ']') if ends => {
                self.comma.clear();
                self.close();
            }
            (Expect::Value | Expect::ValueOrEnd, _) if c.is_ascii_alphanumeric() || c == '-' => {
                self.word.clear();
                self.word.push(c);
                self.expect = Expect::Word;
            }
            _ => self.expect = Expect::Broken,
        }
    }

    fn write_comma(&mut self) {
        self.out.push_str(&self.comma);
        self.comma.clear();
    }

    fn begin(&mut self, bracket: char) {
        if self.open.len() >= DEEPEST {
            self.expect = Expect::Broken;
            return;
        }
        self.write_comma();
        self.out.push(bracket);
        self.open.push(if bracket == '{' { b'{' } else { b'[' });
        self.expect = if bracket == '{' {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        };
    }

    fn close(&mut self) {
        self.out.push(match self.open.pop() {
            Some(b'{') => '}',
            _ => ']',
        });
        self.expect = if self.open.is_empty() {
            Expect::Nothing
        } else {
            Expect::CommaOrEnd
        };
    }

    fn begin_text(&mut self, key: bool) {
        self.write_comma();
        self.out.push('"');
        self.word.clear();
        self.expect = Expect::Text { key };
    }

    fn read_text(&mut self, c: char, key: bool) {
        if !self.word.is_empty() {
            self.read_escape(c);
            return;
        }
        if c == '\\' {
            self.word.push(c);
            return;
        }
        self.give_up_half();
        match c {
            '"' => {
                self.out.push('"');
                self.expect = if key {
                    Expect::Colon
                } else {
                    Expect::CommaOrEnd
                };
            }
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            c if (c as u32) < 0x20 => self.out.push_str(&format!("\\u{:04x}", c as u32)),
            c => self.out.push(c),
        }
    }

    /// Goes on with an escape, of which `word` has the beginning.
    fn read_escape(&mut self, c: char) {
        if self.word.len() == 1 && c == 'u' {
            self.word.push(c);
            return;
        }
        if self.word.len() == 1 {
            self.word.clear();
            self.give_up_half();
            match c {
                '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                // `\d` of a regular expression: the backslash itself was meant.
                _ => {
                    self.out.push_str("\\\\");
                    self.read(c);
                }
            }
            return;
        }
        if !c.is_ascii_hexdigit() {
            let text = std::mem::take(&mut self.word);
            self.give_up_half();
            // `\user` of a path.
            self.out.push('\\');
            self.out.push_str(&text);
            self.read(c);
            return;
        }
        self.word.push(c);
        if self.word.len() == "\\u0000".len() {
            let escape = std::mem::take(&mut self.word);
            self.write_unicode(escape);
        }
    }

    fn write_unicode(&mut self, escape: String) {
        let code = escape
            .get(2..)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .unwrap_or(0xFFFD);
        match code {
            0xD800..=0xDBFF => {
                self.give_up_half();
                self.half = Some(escape);
            }
            0xDC00..=0xDFFF => match self.half.take() {
                Some(first) => {
                    self.out.push_str(&first);
                    self.out.push_str(&escape);
                }
                None => self.out.push('\u{FFFD}'),
            },
            _ => {
                self.give_up_half();
                self.out.push_str(&escape);
            }
        }
    }

    /// The first half of a pair whose second half has not come stands for nothing.
    fn give_up_half(&mut self) {
        if self.half.take().is_some() {
            self.out.push('\u{FFFD}');
        }
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        let written = match word.as_str() {
            "True" => "true",
            "False" => "false",
            "None" | "NaN" | "undefined" => "null",
            word if json::read::<Value>(word).is_ok() => word,
            _ => {
                self.expect = Expect::Broken;
                return;
            }
        };
        self.write_comma();
        self.out.push_str(written);
        self.expect = Expect::CommaOrEnd;
    }
}

/// Whether what follows an object is the same object again.
fn same(after: &str, object: &str) -> bool {
    let parsed = |text: &str| json::read::<Value>(text).ok();
    let once = parsed(object);
    once.is_some() && parsed(after) == once
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The arguments as they go out, `None` for an error; the same whatever the pieces.
    fn mended(text: &str) -> Option<String> {
        let read = |pieces: &mut dyn Iterator<Item = &str>| {
            let mut arguments = Arguments::default();
            let mut out = String::new();
            for piece in pieces {
                arguments.push(piece);
                out.push_str(arguments.take());
            }
            let fine = arguments.finish();
            out.push_str(arguments.take());
            fine.then_some(out)
        };
        let whole = read(&mut std::iter::once(text));
        assert_eq!(read(&mut text.split("")), whole, "{text}");
        whole
    }

    #[test]
    fn n03_what_is_json_stays_as_it_is() {
        for text in [
            "{}",
            r#"{"a": [1, -2.5e3, true, null, "x\"\\\/\u00e9\ud83d\ude00"], "b": {"c": {}}}"#,
            "{\n  \"a\" : 1\n}",
        ] {
            assert_eq!(mended(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn n03_common_faults_are_mended() {
        for (text, expected) in [
            (r#"{"a": 1,}"#, r#"{"a": 1}"#),
            (r#"{"a": [1, 2, ], }"#, r#"{"a": [1, 2]}"#),
            (
                r#"{"a": True, "b": [False, None]}"#,
                r#"{"a": true, "b": [false, null]}"#,
            ),
            (r#"{"a": {"b": 1}"#, r#"{"a": {"b": 1}}"#),
            (r#"{"a": 1"#, r#"{"a": 1}"#),
            ("{", "{}"),
            (r#"{"a":1}{"a":1}"#, r#"{"a":1}"#),
            ("{\"a\": \"x\ny\tz\u{1}\"}", r#"{"a": "x\ny\tz\u0001"}"#),
            (r#"{"a": "\d+\.\user"}"#, r#"{"a": "\\d+\\.\\user"}"#),
            (r#"{"a": "\ud83d!"}"#, "{\"a\": \"\u{FFFD}!\"}"),
            (r#"{"a": "\ude00"}"#, "{\"a\": \"\u{FFFD}\"}"),
            (r#""{\"a\":1}""#, r#"{"a":1}"#),
            ("", "{}"),
            (" null ", "{}"),
        ] {
            let out = mended(text);
            assert_eq!(out.as_deref(), Some(expected), "{text}");
            serde_json::from_str::<Value>(expected).unwrap();
        }
    }

    #[test]
    fn n03_what_cannot_be_mended_is_an_error() {
        for text in [
            r#"{"a":"#,
            r#"{"a": "cut"#,
            r#"{"a": {"b": [1"#,
            r#"{"a" 1}"#,
            r#"{a: 1}"#,
            r#"{"a": 1]"#,
            r#"{"a": 01}"#,
            r#"{"a": truth}"#,
            r#"{"a":1}{"b":2}"#,
            "[1]",
            "seven",
            r#""seven""#,
        ] {
            assert_eq!(mended(text), None, "{text}");
        }
        assert_eq!(mended(&"{\"a\":".repeat(5_000)), None);
    }

    proptest! {
        #[test]
        fn n03_what_goes_out_can_be_parsed(text in r#"(\{|\}|\[|\]|"|,|:|a|1|True|null|\\|\\u|d83d| |\n|"k":){0,14}"#) {
            for text in [text.clone(), format!("{{{text}"), format!("{{\"a\":{text}}}")] {
                if let Some(out) = mended(&text) {
                    let value = serde_json::from_str::<Value>(&out);
                    prop_assert!(value.is_ok_and(|value| value.is_object()), "{} -> {}", text, out);
                }
            }
        }

        #[test]
        fn n03_any_object_stays_the_same(keys in proptest::collection::btree_map(".{0,4}", ".{0,6}", 0..4)) {
            let text = serde_json::to_string(&keys).unwrap();
            prop_assert_eq!(mended(&text), Some(text));
        }
    }
}
