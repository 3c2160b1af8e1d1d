//! Any secrets in any text: none is left, however the text comes, and JSON stays JSON. The secrets are
//! the first line, with spaces between them; the text is the rest.

use agent_server::mask::{MASKED, Mask, Pieces};
use serde_json::Value;

pub fn run(data: &[u8]) {
    let data = String::from_utf8_lossy(data);
    let (secrets, text) = data.split_once('\n').unwrap_or(("", &data));
    let secrets: Vec<&str> = secrets
        .split(' ')
        .filter(|secret| !secret.is_empty())
        .collect();
    let mask = Mask::new(secrets.iter().copied());
    let is_clean = |text: &str| {
        let mut parts = text.split(MASKED);
        parts.all(|part| secrets.iter().all(|secret| !part.contains(secret)))
    };
    let whole = mask.text(text);
    assert!(is_clean(&whole), "{whole}");
    let mut pieces = Pieces::default();
    let mut told = String::new();
    for character in text.chars() {
        told.push_str(&pieces.add(&mask, character.encode_utf8(&mut [0; 4])));
    }
    told.push_str(&pieces.finish());
    assert_eq!(told, whole);
    let masked = mask.json(text);
    if serde_json::from_str::<Value>(text).is_ok() {
        assert!(serde_json::from_str::<Value>(&masked).is_ok(), "{masked}");
    }
}
