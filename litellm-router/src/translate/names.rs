//! Tool names that a provider accepts, and the way back.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// The longest name of a function in chat completions.
const LONGEST: usize = 64;
/// What is kept of a longer one, so that `_` and eight digits of its hash fit behind it; LiteLLM
/// shortens the same way.
const KEPT: usize = 55;

/// The tools of one request under the names that go upstream.
#[derive(Debug, Default)]
pub struct ToolNames {
    /// Name upstream to the client's name; only those that differ.
    shortened: HashMap<String, String>,
}

impl ToolNames {
    /// The names of a request's tools.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let shortened = names
            .filter_map(|name| match upstream(name) {
                Cow::Owned(short) => Some((short, name.to_owned())),
                Cow::Borrowed(_) => None,
            })
            .collect();
        Self { shortened }
    }

    /// The client's name of a tool that the provider calls.
    pub fn for_client<'n>(&'n self, name: &'n str) -> &'n str {
        self.shortened.get(name).map_or(name, String::as_str)
    }
}

/// The name under which a tool goes upstream. The same name always gives the same.
pub fn upstream(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST {
        return Cow::Borrowed(name);
    }
    let digest = Sha256::digest(name);
    let mark: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut end = KEPT;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let head = name.get(..end).unwrap_or_default();
    Cow::Owned(format!("{head}_{mark}"))
}
