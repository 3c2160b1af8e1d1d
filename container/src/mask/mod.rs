//! Secrets that nobody may be shown are replaced in all that is said. Pure.
//!
//! A secret is found as it is, and as it stands in JSON inside of a text: what a tool puts out is often
//! JSON itself. All secrets are looked for at once (the automaton of Aho and Corasick), byte by byte and
//! never back, so that the cost grows with the text alone. It is written out here since a text that
//! comes in pieces needs to know how much of its end may be the beginning of a secret, which the
//! libraries for this keep to themselves.

mod lines;
mod pieces;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

pub use pieces::Pieces;

/// What stands in a secret's place.
pub const MASKED: &str = "[secret]";

/// Bytes of all secrets, in all their forms. What is more is not looked for.
const MAX_PATTERNS: usize = 4 * 1024 * 1024;

/// Digits of a secret that is a number, which JSON may hold without quotes. Shorter ones are found in
/// counts and times.
const MIN_DIGITS: usize = 8;

/// The root, which is its own failure.
const ROOT: u32 = 0;

/// A part of a secret, by its last byte. 0 stands for no node, as the root is nobody's child.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    byte: u8,
    child: u32,
    sibling: u32,
    /// The longest end of this part with which a secret begins.
    fail: u32,
    depth: u32,
    /// Bytes of the longest secret that ends here; 0 for none.
    ends: u32,
    /// How many of the last bytes a secret may begin with that is not complete.
    open: u32,
}

/// What finds secrets.
#[derive(Default)]
pub struct Mask {
    /// Empty where there are no secrets.
    nodes: Vec<Node>,
    /// The root's children, by their byte.
    first: Vec<u32>,
    /// Secrets that are numbers.
    numbers: BTreeSet<String>,
}

impl Mask {
    /// Where there are too many, those that come first are found.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut mask = Self::default();
        for secret in secrets.into_iter().filter(|text| !text.is_empty()) {
            if mask.is_empty() {
                mask.nodes.push(Node::default());
                mask.first = vec![0; 256];
            }
            if secret.len() >= MIN_DIGITS && secret.bytes().all(|byte| byte.is_ascii_digit()) {
                mask.numbers.insert(secret.to_owned());
            }
            for form in forms(secret) {
                if mask.nodes.len() + form.len() <= MAX_PATTERNS {
                    mask.add(form.as_bytes());
                }
            }
        }
        mask.link();
        mask
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn node(&self, at: u32) -> Node {
        self.nodes.get(at as usize).copied().unwrap_or_default()
    }

    fn child(&self, at: u32, byte: u8) -> u32 {
        if at == ROOT {
            return self
                .first
                .get(usize::from(byte))
                .copied()
                .unwrap_or_default();
        }
        let mut child = self.node(at).child;
        while child != 0 {
            let node = self.node(child);
            if node.byte == byte {
                return child;
            }
            child = node.sibling;
        }
        0
    }

    fn add(&mut self, pattern: &[u8]) {
        let mut at = ROOT;
        for byte in pattern {
            let mut next = self.child(at, *byte);
            if next == 0 {
                next = u32::try_from(self.nodes.len()).unwrap_or_default();
                let parent = self.node(at);
                self.nodes.push(Node {
                    byte: *byte,
                    sibling: parent.child,
                    depth: parent.depth + 1,
                    ..Node::default()
                });
                if let Some(parent) = self.nodes.get_mut(at as usize) {
                    parent.child = next;
                }
                if at == ROOT
                    && let Some(first) = self.first.get_mut(usize::from(*byte))
                {
                    *first = next;
                }
            }
            at = next;
        }
        if let Some(last) = self.nodes.get_mut(at as usize) {
            last.ends = last.depth;
        }
    }

    /// Fills in what follows from the patterns, the short parts first.
    fn link(&mut self) {
        let mut queue = VecDeque::from([ROOT]);
        while let Some(at) = queue.pop_front() {
            let parent = self.node(at);
            let mut child = parent.child;
            while child != 0 {
                let mut node = self.node(child);
                node.fail = match at {
                    ROOT => ROOT,
                    _ => self.step(parent.fail, node.byte),
                };
                let fail = self.node(node.fail);
                node.ends = node.ends.max(fail.ends);
                node.open = if node.child == 0 {
                    fail.open
                } else {
                    node.depth
                };
                if let Some(place) = self.nodes.get_mut(child as usize) {
                    *place = node;
                }
                queue.push_back(child);
                child = node.sibling;
            }
        }
    }

    fn step(&self, mut at: u32, byte: u8) -> u32 {
        loop {
            let child = self.child(at, byte);
            if child != 0 || at == ROOT {
                return child;
            }
            at = self.node(at).fail;
        }
    }

    /// The text without secrets. Those that overlap are replaced together.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for secret in found {
            masked.push_str(text.get(at..secret.start).unwrap_or_default());
            masked.push_str(MASKED);
            at = secret.end;
        }
        masked.push_str(text.get(at..).unwrap_or_default());
        Cow::Owned(masked)
    }

    /// Where secrets are, in order and apart from each other.
    fn find(&self, text: &str) -> VecDeque<Range<usize>> {
        let mut found = VecDeque::new();
        if self.is_empty() {
            return found;
        }
        let mut at = ROOT;
        for (place, byte) in text.bytes().enumerate() {
            at = self.step(at, byte);
            let ends = self.node(at).ends as usize;
            if ends > 0 {
                cover(&mut found, place + 1 - ends..place + 1);
            }
        }
        found
    }

    /// A line of JSON without secrets in its texts, whatever escapes they are written with, and as valid
    /// as it was. Where there are none it is the line itself, byte for byte.
    pub fn json<'a>(&self, line: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed(line);
        }
        let mut masked = String::new();
        let mut copied = 0;
        let mut rest = 0;
        while let Some(token) = next_token(line, rest) {
            rest = token.end;
            let text = line.get(token.clone()).unwrap_or_default();
            let Some(other) = self.token(text) else {
                continue;
            };
            masked.push_str(line.get(copied..token.start).unwrap_or_default());
            masked.push_str(&other);
            copied = token.end;
        }
        if copied == 0 {
            return Cow::Borrowed(line);
        }
        masked.push_str(line.get(copied..).unwrap_or_default());
        Cow::Owned(masked)
    }

    /// What stands for a text or a number; none where it may stay.
    fn token(&self, token: &str) -> Option<String> {
        if !token.starts_with('"') {
            let masked = self.numbers.contains(token);
            return masked.then(|| Value::from(MASKED).to_string());
        }
        let masked = if token.contains('\\') {
            let text: String = serde_json::from_str(token)
                .or_else(|_| serde_json::from_str(&without_surrogates(token)))
                .ok()?;
            match self.text(&text) {
                Cow::Borrowed(_) => return None,
                Cow::Owned(masked) => masked,
            }
        } else {
            let text = token.get(1..token.len().saturating_sub(1))?;
            match self.text(text) {
                Cow::Borrowed(_) => return None,
                Cow::Owned(masked) => masked,
            }
        };
        Some(Value::from(masked).to_string())
    }
}

/// Adds a place that ends behind all others, joined with those that it overlaps.
fn cover(found: &mut VecDeque<Range<usize>>, mut place: Range<usize>) {
    while let Some(last) = found.pop_back_if(|last| last.end > place.start) {
        place.start = place.start.min(last.start);
    }
    found.push_back(place);
}

/// The next text (with its quotes) or number of a line of JSON.
fn next_token(line: &str, from: usize) -> Option<Range<usize>> {
    let bytes = line.as_bytes();
    let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let mut start = from;
    loop {
        match bytes.get(start)? {
            b'"' => break,
            b'-' | b'0'..=b'9' => {
                let length = bytes.iter().skip(start).take_while(|byte| is_number(byte));
                return Some(start..start + length.count());
            }
            _ => start += 1,
        }
    }
    let mut end = start + 1;
    loop {
        match bytes.get(end) {
            Some(b'"') => return Some(start..end + 1),
            Some(b'\\') => end += 2,
            Some(_) => end += 1,
            // It is no JSON.
            None => return None,
        }
    }
}

/// Halves of characters are no characters, but JSON may hold them.
fn without_surrogates(token: &str) -> String {
    let mut told = String::with_capacity(token.len());
    let mut rest = token;
    while let Some((before, behind)) = rest.split_once('\\') {
        told.push_str(before);
        let is_half = |code: &str| {
            code.strip_prefix(['d', 'D'])
                .is_some_and(|code| code.starts_with(|next: char| "89abcdefABCDEF".contains(next)))
        };
        let code = behind.strip_prefix('u').and_then(|code| code.get(..4));
        let mut escaped = behind.chars();
        match (code.is_some_and(is_half), escaped.next()) {
            (true, _) => {
                told.push_str("\\ufffd");
                rest = behind.get(5..).unwrap_or_default();
            }
            (false, Some(next)) => {
                told.push('\\');
                told.push(next);
                rest = escaped.as_str();
            }
            (false, None) => rest = behind,
        }
    }
    told.push_str(rest);
    told
}

/// A secret as it is, and as programs write it into JSON, once or inside of each other.
fn forms(secret: &str) -> BTreeSet<String> {
    let quoted = |text: &str| {
        let json = Value::from(text).to_string();
        json.get(1..json.len().saturating_sub(1))
            .unwrap_or_default()
            .to_owned()
    };
    let once = quoted(secret);
    let mut forms = BTreeSet::from([
        secret.to_owned(),
        once.replace('/', "\\/"),
        ascii(&once, false),
        ascii(&once, true),
        quoted(&quoted(&once)),
        quoted(&once),
    ]);
    forms.insert(once);
    forms
}

/// With `\u` for all that is not ASCII.
fn ascii(text: &str, upper: bool) -> String {
    let mut told = String::new();
    for character in text.chars() {
        if character.is_ascii() {
            told.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            told.push_str(&match upper {
                true => format!("\\u{unit:04X}"),
                false => format!("\\u{unit:04x}"),
            });
        }
    }
    told
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

/// The secrets of a sandbox, which become more: what one turn was given, the next may find somewhere.
#[derive(Default)]
pub struct Secrets(RwLock<(VecDeque<String>, Arc<Mask>)>);

/// Secrets that are remembered; the oldest goes first.
const MAX_SECRETS: usize = 1000;

impl Secrets {
    pub fn add(&self, secrets: &[String]) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (known, mask) = &mut *kept;
        let before = known.len();
        for secret in secrets {
            if !known.contains(secret) {
                known.push_front(secret.clone());
            }
        }
        if known.len() > before {
            known.truncate(MAX_SECRETS);
            *mask = Arc::new(Mask::new(known.iter().map(String::as_str)));
        }
    }

    pub fn mask(&self) -> Arc<Mask> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&kept.1)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests;
