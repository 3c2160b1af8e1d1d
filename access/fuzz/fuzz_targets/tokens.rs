//! Any text as a key, a link, an Access token, a cookie, a query: none panics, and none is valid.

#![no_main]

use access::jwt::{Jwt, Team};
use access::{ApiKey, Asked, ShareKey, ShareToken};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(key) = ApiKey::parse(text) {
        assert_eq!(key.text(), text, "one key has one text");
    }
    if let Ok(token) = ShareToken::parse(text) {
        assert_eq!(token.text(), text, "one link has one text");
        let key = ShareKey {
            secret: [7; 32],
            version: token.version,
        };
        assert!(token.check(Some(&key), &token.session, 0).is_err());
    }
    if let (Ok(jwt), Ok(team)) = (Jwt::parse(text), Team::new("team.example.com", "app")) {
        let _ = jwt.principal(&team, 0);
    }
    for place in 0..4 {
        let here = |wanted: i32| (place == wanted).then_some(text);
        let asked = Asked {
            origin: "https://agents.example.com",
            authorization: here(0),
            cookie: here(1),
            protocols: here(2),
            query: here(3).unwrap_or_default(),
            ..Asked::default()
        };
        let _ = asked.shown();
    }
});
