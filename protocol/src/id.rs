//! Names of sessions and of their turns.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::Problem;

/// The name of a session: 1 to 128 of `A-Z a-z 0-9 . _ -`, and not `.` or `..` (a session's name is
/// a folder's name where its sandbox is a folder).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    pub const MAX_LEN: usize = 128;

    /// # Errors
    /// A 400 problem that says what an id looks like.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty()
            || text.len() > Self::MAX_LEN
            || !text.bytes().all(allowed)
            || text.bytes().all(|byte| byte == b'.')
        {
            return Err(Problem::bad_request(
                "a session id is 1 to 128 of the characters A-Z a-z 0-9 . _ - and not only dots",
            )
            .at("sessionId"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A fresh id from 16 random bytes, in the form of a UUID (version 4, RFC 9562).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid_v4(bytes))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this session's `ClaudeCodeAgent` object.
    pub fn session_object(&self) -> String {
        format!("session-{}", self.0)
    }

    /// The name of this session's `ClaudeCodeContainer` object.
    pub fn container_object(&self) -> String {
        format!("claude-session-{}", self.0)
    }

    /// The name of this session's `SandboxEgress` object.
    pub fn egress_object(&self) -> String {
        format!("egress-{}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|problem| serde::de::Error::custom(problem.detail))
    }
}

/// Whose sessions, keys and audit log they are: 1 to 64 of `a-z 0-9 -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Owner(String);

impl Owner {
    pub const MAX_LEN: usize = 64;

    /// # Errors
    /// A 400 problem that says what an owner's name looks like.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(allowed) {
            return Err(Problem::bad_request(
                "an owner's name is 1 to 64 of the characters a-z 0-9 -",
            )
            .at("owner"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Who runs the deployment: whoever has its token, and this machine in development.
    pub fn operator() -> Self {
        Self("operator".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this owner's `Account` object.
    pub fn account_object(&self) -> String {
        format!("account-{}", self.0)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|problem| serde::de::Error::custom(problem.detail))
    }
}

/// A turn of a session: its ordinal, 1 for the first. Written `turn-7` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId(pub u64);

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn-{}", self.0)
    }
}

impl std::str::FromStr for TurnId {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        text.strip_prefix("turn-")
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| Problem::bad_request("a turn id looks like turn-7").at("turn_id"))
    }
}

impl Serialize for TurnId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TurnId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|problem: Problem| serde::de::Error::custom(problem.detail))
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Owner, SessionId, TurnId};

    impl JsonSchema for SessionId {
        fn schema_name() -> Cow<'static, str> {
            "SessionId".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "The name of a session; not only dots.",
                "type": "string",
                "pattern": "^[.]{0,127}[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$",
                "maxLength": SessionId::MAX_LEN,
            })
        }
    }

    impl JsonSchema for TurnId {
        fn schema_name() -> Cow<'static, str> {
            "TurnId".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "A turn of a session by its number, 1 for the first.",
                "type": "string",
                "pattern": "^turn-[0-9]{1,19}$",
            })
        }
    }

    impl JsonSchema for Owner {
        fn schema_name() -> Cow<'static, str> {
            "Owner".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "Whose sessions, keys and audit log they are.",
                "type": "string",
                "pattern": "^[a-z0-9-]{1,64}$",
            })
        }
    }
}

/// A UUID of version 4 from 16 random bytes (RFC 9562, section 5.4).
pub fn uuid_v4(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_sessions() {
        for good in ["a", "A.b_c-9", &"x".repeat(128), "..a"] {
            assert_eq!(SessionId::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "ä",
            "a\0",
            "%2e%2e",
            &"x".repeat(129),
        ] {
            assert_eq!(SessionId::parse(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn names_of_owners() {
        for good in ["a", "operator", "team-7", &"x".repeat(64)] {
            assert_eq!(Owner::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "a_b", "a.b", "a/b", "a\r\n", "ä", &"x".repeat(65)] {
            assert_eq!(Owner::parse(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn ids_of_turns() {
        assert_eq!("turn-7".parse::<TurnId>().unwrap(), TurnId(7));
        assert_eq!(TurnId(7).to_string(), "turn-7");
        for bad in [
            "7",
            "turn-",
            "turn-+7",
            "turn--1",
            "turn-99999999999999999999999",
        ] {
            assert!(bad.parse::<TurnId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fresh_id_is_a_uuid() {
        let id = SessionId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
