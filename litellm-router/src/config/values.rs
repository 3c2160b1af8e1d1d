//! Values that not every number and not every text can be. What is wrong with one is told here, and
//! where it stands, by the reader.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A number that is not negative, or nothing.
///
/// # Errors
/// Any other.
pub fn not_negative<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(reader)? {
        Some(number) if !number.is_finite() || number < 0.0 => {
            Err(D::Error::custom("must be a number that is not negative"))
        }
        number => Ok(number),
    }
}

/// Seconds after which something is given up. LiteLLM takes 0 for nothing.
///
/// # Errors
/// A negative number, or what is none.
pub fn time_limit<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<f64>, D::Error> {
    Ok(not_negative(reader)?.filter(|seconds| *seconds > 0.0))
}

/// A text that says something.
///
/// # Errors
/// One that does not.
pub fn not_empty<'de, D: Deserializer<'de>>(reader: D) -> Result<String, D::Error> {
    let text = String::deserialize(reader)?;
    if text.is_empty() {
        return Err(D::Error::custom("must not be empty"));
    }
    Ok(text)
}

/// Headers as HTTP takes them.
///
/// # Errors
/// A name or a value that it does not. The value may be a secret, and is not told.
pub fn headers<'de, D: Deserializer<'de>>(
    reader: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let headers = Option::<BTreeMap<String, String>>::deserialize(reader)?;
    for (name, value) in headers.iter().flatten() {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(fits) {
            return Err(D::Error::custom(format!("{name:?} is no name of a header")));
        }
        if value.contains(|character: char| character.is_control() && character != '\t') {
            let words = format!("the value of {name} has a line break or the like");
            return Err(D::Error::custom(words));
        }
    }
    Ok(headers)
}
