//! YAML as a configuration needs it: read into one kind of tree, and from that into types.
//!
//! The tree is what keeps this small: code that reads YAML exists once, not once for each type. It
//! knows where each node stands, so that errors have a line and a column, and which keys of a
//! mapping nobody asked for.
//!
//! One document; mappings whose keys are scalars; anchors, aliases and merge keys (`<<`). Scalars
//! become what the type asks for, spelled as in YAML 1.2 or, for booleans, 1.1, whose `yes` and
//! `off` Python's readers know. A key that stands twice in a mapping is an error.

mod reader;
mod scalar;
mod tree;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeOwned, Expected, Unexpected};

use reader::{Path, Reader};

/// What was read.
#[derive(Debug)]
pub struct Document<T> {
    pub value: T,
    /// The paths of keys that the type does not have, such as `model_list.0.model_info.mode`.
    pub unknown: Vec<String>,
}

/// Reads a document, null where there is none.
///
/// # Errors
/// The first thing that is wrong, with its line and column.
pub fn read<T: DeserializeOwned>(yaml: &str) -> Result<Document<T>, Error> {
    let root = tree::parse(yaml)?;
    let unknown = RefCell::default();
    let value = T::deserialize(Reader::new(&root, &Path::Root, &unknown))?;
    Ok(Document {
        value,
        unknown: unknown.into_inner(),
    })
}

/// Where something stands, both numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

/// What is wrong with a document.
#[derive(Debug)]
pub struct Error {
    what: String,
    place: Option<Place>,
    /// The keys that lead there; empty where it is the text itself that is wrong.
    path: String,
    /// A key that a mapping should have.
    lacks: Option<&'static str>,
}

impl Error {
    fn new(what: impl Into<String>, place: Place) -> Self {
        Self {
            what: what.into(),
            place: Some(place),
            path: String::new(),
            lacks: None,
        }
    }

    /// Line and column, from 1.
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        self.place.map(|place| (place.line, place.column))
    }

    /// The innermost place is the one to know.
    fn or_at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    /// And so is the innermost path.
    fn or_in(mut self, path: &Path) -> Self {
        if self.path.is_empty() {
            path.write(&mut self.path);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(formatter, "line {line}, column {column}")?;
            formatter.write_str(if self.path.is_empty() { "" } else { ", " })?;
        }
        formatter.write_str(&self.path)?;
        if self.place.is_some() || !self.path.is_empty() {
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

/// For people, who know nothing of the types.
impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self {
            what: what.to_string(),
            place: None,
            path: String::new(),
            lacks: None,
        }
    }

    #[cold]
    #[inline(never)]
    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        not_expected(&found_words(&found), expected)
    }

    #[cold]
    #[inline(never)]
    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        match found {
            // What a type says of a text is not for secrets.
            Unexpected::Str(text) => not_expected(text, expected),
            found => not_expected(&found_words(&found), expected),
        }
    }

    #[cold]
    #[inline(never)]
    fn missing_field(name: &'static str) -> Self {
        Self {
            lacks: Some(name),
            ..Self::custom(format_args!("{name} is missing"))
        }
    }

    #[cold]
    #[inline(never)]
    fn unknown_variant(found: &str, words: &'static [&'static str]) -> Self {
        let words = words.join(", ");
        Self::custom(format_args!("one of {words} is expected here, not {found}"))
    }
}

#[cold]
#[inline(never)]
fn not_expected(found: &str, expected: &dyn Expected) -> Error {
    use serde::de::Error as _;

    let expected = expected.to_string();
    let expected = words_for(&expected);
    Error::custom(format_args!("{expected} is expected here, not {found}"))
}

/// What a type of Rust expects.
fn words_for(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u64" | "usize" => "a whole number that is not negative",
        "u32" => "a whole number from 0 to 4294967295",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        _ if expected.starts_with("struct ") => "a mapping",
        _ if expected.starts_with("enum ") => "a word",
        other => other,
    }
}

fn found_words(found: &Unexpected) -> String {
    match found {
        Unexpected::Bool(truth) => truth.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a mapping".into(),
        Unexpected::Unit => "nothing".into(),
        Unexpected::Other(words) => (*words).into(),
        // Texts may be secrets.
        _ => "a text".into(),
    }
}
