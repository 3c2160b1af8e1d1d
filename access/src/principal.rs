//! Who asks, once that is known, and what they may.

use protocol::{Owner, Problem, ProblemKind, SessionId};
use serde::{Deserialize, Serialize};

use crate::secret;

/// What a key may be used for, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Read sessions of one's own.
    pub const READ: Self = Self(1);
    /// Say something in sessions of one's own, and stop what runs there.
    pub const WRITE: Self = Self(2);
    /// Begin sessions.
    pub const LAUNCH: Self = Self(4);
    /// Make and revoke keys and links, and read the audit log.
    pub const ADMIN: Self = Self(8);
    /// All of that for every account. No key has it that was made by hand: only the one that a
    /// browser gets for the operator's token.
    pub const OPERATOR: Self = Self(16);

    const NAMES: [(&'static str, Self); 5] = [
        ("read", Self::READ),
        ("write", Self::WRITE),
        ("launch", Self::LAUNCH),
        ("admin", Self::ADMIN),
        ("operator", Self::OPERATOR),
    ];

    /// All that an owner may with what is its own.
    pub const fn own() -> Self {
        Self(15)
    }

    pub const fn all() -> Self {
        Self(31)
    }

    pub const fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn names(self) -> Vec<&'static str> {
        let names = Self::NAMES.iter().filter(|(_, scope)| self.has(*scope));
        names.map(|(name, _)| *name).collect()
    }

    /// The scopes that a person may ask for by name.
    ///
    /// # Errors
    /// 400 for none, and for a name that is none of them.
    pub fn parse(names: &[String]) -> Result<Self, Problem> {
        let mut scopes = Self::default();
        for given in names {
            let known = Self::NAMES
                .iter()
                .find(|(name, scope)| name == given && Self::own().has(*scope));
            match known {
                Some((_, scope)) => scopes.0 |= scope.0,
                None => {
                    return Err(Problem::bad_request(
                        "a scope is one of read, write, launch and admin",
                    )
                    .at("scopes"));
                }
            }
        }
        if scopes == Self::default() {
            return Err(Problem::bad_request("a key without a scope opens nothing").at("scopes"));
        }
        Ok(scopes)
    }

    /// The set of stored names; one that is unknown counts for nothing.
    pub fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut scopes = Self::default();
        for given in names {
            let known = Self::NAMES.iter().find(|(name, _)| *name == given);
            scopes.0 |= known.map_or(0, |(_, scope)| scope.0);
        }
        scopes
    }
}

impl Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(|bits| Self(bits & 31))
    }
}

/// How somebody has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Nothing was asked for: this machine, in development.
    Loopback,
    /// The operator's token.
    Operator,
    /// An API key, by its id.
    Key(String),
    /// Cloudflare Access, with the name that it gives: an address, or a service's name.
    Identity(String),
    /// A key of the caller's own for a provider of models.
    OwnKey,
    /// A schedule of the owner's, by its id.
    Schedule(String),
    /// The agent of a session of the owner's, which works with other sessions.
    Agent(SessionId),
}

impl std::fmt::Display for Via {
    /// The name under which it stands in the audit log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::Operator => f.write_str("operator"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Identity(name) => write!(f, "identity:{name}"),
            Self::OwnKey => f.write_str("own-key"),
            Self::Schedule(id) => write!(f, "schedule:{id}"),
            Self::Agent(session) => write!(f, "agent:{session}"),
        }
    }
}

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub owner: Owner,
    pub via: Via,
    pub scopes: Scopes,
    /// Until when this holds, in milliseconds since the epoch; for good where nothing says.
    pub until: Option<u64>,
}

impl Principal {
    /// This machine, in a development without any token.
    pub fn loopback() -> Self {
        Self {
            via: Via::Loopback,
            ..Self::operator()
        }
    }

    /// Whoever has the operator's token.
    pub fn operator() -> Self {
        Self {
            owner: Owner::operator(),
            via: Via::Operator,
            scopes: Scopes::all(),
            until: None,
        }
    }

    /// Whoever brings a provider's key of its own: its owner is named by a hash of the key.
    ///
    /// # Errors
    /// Never for a key of any bytes.
    pub fn own_key(key: &str) -> Result<Self, Problem> {
        let hash = secret::hash(&[b"agent-router own key", key.as_bytes()]);
        Ok(Self {
            owner: Owner::parse(&format!("byok-{}", secret::name(&hash)))?,
            via: Via::OwnKey,
            scopes: Scopes::own(),
            until: None,
        })
    }

    /// The name in the audit log, by which is also counted how much somebody asks for. Those with keys of
    /// their own are told apart by whose owners they are.
    pub fn name(&self) -> String {
        match self.via {
            Via::OwnKey => self.owner.to_string(),
            _ => self.via.to_string(),
        }
    }

    pub fn is_operator(&self) -> bool {
        self.scopes.has(Scopes::OPERATOR)
    }

    /// # Errors
    /// 403 where it may not.
    pub fn may(&self, scope: Scopes) -> Result<(), Problem> {
        if self.scopes.has(scope) {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::Forbidden,
            format!(
                "this needs a key with the scope {}",
                scope.names().join(", ")
            ),
        ))
    }

    /// # Errors
    /// 403 for anybody but the operator.
    pub fn may_operate(&self) -> Result<(), Problem> {
        if self.is_operator() {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::Forbidden,
            "this needs the operator's token",
        ))
    }
}

/// Who asks, as the Worker knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Known(Principal),
    /// The holder of a share link. Whether it is a true one, its session alone knows.
    Link(String),
    /// The holder of a one-time ticket, which its session alone knows.
    Ticket(String),
}

/// From where something is asked, and in which request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The address that the platform names; empty where it names none.
    pub address: String,
    pub request_id: String,
}

impl Origin {
    /// What is counted for its address is counted under this name.
    pub fn key(&self) -> String {
        format!("address:{}", self.address)
    }
}

/// Who asks, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub who: Who,
    #[serde(flatten)]
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_names() {
        let names = |text: &[&str]| text.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let scopes = Scopes::parse(&names(&["write", "read", "read"])).unwrap();
        assert_eq!(scopes.names(), ["read", "write"]);
        assert!(scopes.has(Scopes::READ) && !scopes.has(Scopes::ADMIN));
        assert_eq!(Scopes::of_names(scopes.names().into_iter()), scopes);
        assert_eq!(Scopes::of_names(["else"].into_iter()), Scopes::default());
        for wrong in [&[][..], &["operator"], &["all"], &["Read"]] {
            let problem = Scopes::parse(&names(wrong)).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("scopes"), "{wrong:?}");
        }
    }

    #[test]
    fn own_keys_are_owners_of_their_own() {
        let one = Principal::own_key("sk-one").unwrap();
        assert_eq!(one, Principal::own_key("sk-one").unwrap());
        assert_ne!(one.owner, Principal::own_key("sk-two").unwrap().owner);
        assert!(!one.owner.as_str().contains("sk-one"));
        assert!(one.may_operate().is_err());
        assert!(one.name().starts_with("byok-"));
        assert_eq!(Principal::operator().name(), "operator");
    }
}
