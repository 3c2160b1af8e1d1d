//! Tool names that a provider accepts, and the way back.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

/// The longest name of a function in chat completions.
const LONGEST: usize = 64;
/// What is kept of a longer one, so that `_` and eight digits of its hash fit behind it; LiteLLM
/// shortens the same way.
const KEPT: usize = 55;

/// The tools of one request under the names that go upstream.
#[derive(Debug, Default)]
pub struct ToolNames {
    /// The names that go upstream.
    all: HashSet<String>,
    /// Name upstream to the client's name; only those that differ.
    changed: HashMap<String, String>,
}

impl ToolNames {
    /// The names of a request's tools.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut tools = Self::default();
        for name in names {
            let upstream = upstream(name);
            if let Cow::Owned(changed) = &upstream {
                tools.changed.insert(changed.clone(), name.to_owned());
            }
            tools.all.insert(upstream.into_owned());
        }
        tools
    }

    /// The client's name of a tool that the provider calls.
    pub fn for_client<'n>(&'n self, name: &'n str) -> &'n str {
        self.changed.get(name).map_or(name, String::as_str)
    }

    /// Whether there is a tool of this name upstream.
    pub fn offers(&self, name: &str) -> bool {
        self.all.contains(name)
    }
}

/// The name under which a tool goes upstream. The same name always gives the same. One that is too
/// long is cut and one with other characters than letters, digits, `_` and `-` loses them; a part of
/// its hash then tells it from others.
pub fn upstream(name: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.len() <= LONGEST && name.chars().all(plain) {
        return Cow::Borrowed(name);
    }
    let digest = Sha256::digest(name);
    let mark: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let head: String = name
        .chars()
        .take(KEPT)
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    Cow::Owned(format!("{head}_{mark}"))
}
