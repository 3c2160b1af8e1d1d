//! JSON that is text already.

use serde::Deserialize;

/// Reads a text as bytes: serde_json compiles the reading of each type once for texts and once for
/// bytes, and the bodies of requests are bytes.
///
/// # Errors
/// Where it is not JSON, or of another type.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    serde_json::from_slice(text.as_bytes())
}
