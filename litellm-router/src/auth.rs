//! Who calls, and whose key goes upstream.

use std::collections::BTreeMap;

use subtle::ConstantTimeEq;

use crate::config::Config;
use crate::controls;
use crate::deployment::{Deployment, Environment, Key, Target};
use crate::error::{KeyOwner, Refusal};
use crate::providers;
use crate::route;
use crate::spend::Limits;

/// The token by which a caller says that it has no key of its own.
pub const AUTO_DETECT: &str = "auto-detect";

/// The header in which a caller with the master key sends the key of whom it calls for.
pub const PROVIDER_KEY: &str = "x-agent-router-provider-key";

/// A caller, as its key shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// May use the router's own keys.
    Trusted,
    /// Has one of the keys that the configuration hands out, by its place there: may use the router's
    /// own keys within limits.
    Holder(usize),
    /// Has a provider's key of its own.
    OwnKey(Credential),
    /// Showed nothing, where the router asks for a master key.
    Unknown,
    /// Calls for somebody whose key cannot be read: not at the router's cost.
    Unreadable,
}

/// A key that goes upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub token: String,
    pub owner: KeyOwner,
    /// Whether it came as a bearer token; Anthropic treats the two ways differently.
    pub bearer: bool,
    /// It came from a caller with the master key, who calls in somebody's name.
    pub vouched: bool,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever logs this must not log a key.
        write!(f, "Credential({:?})", self.owner)
    }
}

impl Caller {
    /// Reads the caller's key from `Authorization: Bearer` or `x-api-key`; the first that says
    /// something counts.
    pub fn of(header: &dyn Fn(&str) -> Option<String>, keys: &Keys) -> Self {
        let bearer = header("authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned())
        });
        let shown = [(bearer, true), (header("x-api-key"), false)]
            .into_iter()
            .filter_map(|(token, bearer)| Some((token?.trim().to_owned(), bearer)))
            .filter(|(token, _)| !token.is_empty() && token != AUTO_DETECT);
        let mut own = None;
        for (token, bearer) in shown {
            if let Some(master) = keys.master()
                && bool::from(token.as_bytes().ct_eq(master.as_bytes()))
            {
                return Self::with_master_key(header);
            }
            if let Some(place) = keys.place_of(&token) {
                return Self::Holder(place);
            }
            own.get_or_insert(Credential {
                token,
                owner: KeyOwner::Caller,
                bearer,
                vouched: false,
            });
        }
        match own {
            Some(own) => Self::OwnKey(own),
            None if keys.asks() => Self::Unknown,
            None => Self::with_master_key(header),
        }
    }

    /// A caller that may use the router's keys, or calls for somebody who has a key of their own.
    fn with_master_key(header: &dyn Fn(&str) -> Option<String>) -> Self {
        match header(PROVIDER_KEY).map(|key| key.trim().to_owned()) {
            None => Self::Trusted,
            Some(token)
                if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Self::Unreadable
            }
            Some(token) => Self::OwnKey(Credential {
                // Anthropic's tokens of accounts go as bearer tokens, its API keys do not.
                bearer: !token.starts_with("sk-ant-api"),
                token,
                owner: KeyOwner::Caller,
                vouched: true,
            }),
        }
    }

    /// Whether what this caller says of whom it calls for is believed.
    pub fn is_believed(&self) -> bool {
        match self {
            Self::Trusted => true,
            Self::OwnKey(credential) => credential.vouched,
            Self::Holder(_) | Self::Unknown | Self::Unreadable => false,
        }
    }

    /// Whether a key that this caller has brought goes to `deployment`. The operator's own servers and
    /// gateways get the router's key instead of one that a caller with the master key has sent in
    /// somebody's name: it is that somebody's key at a provider.
    pub fn brings_key_to(&self, deployment: &Deployment) -> bool {
        match self {
            Self::OwnKey(own) => !own.vouched || deployment.takes_own_keys,
            _ => false,
        }
    }

    /// Whether this caller may use the router's own keys.
    pub fn is_trusted(&self) -> bool {
        matches!(self, Self::Trusted | Self::Holder(_))
    }

    /// Whether this caller's key is for some models alone.
    pub fn is_bound(&self, keys: &Keys) -> bool {
        let Self::Holder(place) = self else {
            return false;
        };
        let holder = keys.holder(*place);
        holder.is_none_or(|holder| !holder.models.is_empty())
    }

    /// Whether this caller's key is for `model`.
    ///
    /// # Errors
    /// 403 that names the models that it is for.
    pub fn may_use(&self, keys: &Keys, model: &str) -> Result<(), Refusal> {
        let Self::Holder(place) = self else {
            return Ok(());
        };
        let Some(holder) = keys.holder(*place) else {
            return Err(master_key_needed());
        };
        // A preset may hold any model, so a pattern is not meant for it.
        let fits = |pattern: &String| {
            let captured = || route::captures(pattern, model).is_some();
            pattern == model || (captured() && !controls::names_a_preset(model))
        };
        if holder.models.is_empty() || holder.models.iter().any(fits) {
            return Ok(());
        }
        Err(Refusal::new(
            403,
            format!(
                "the key {} is not for this model, but for {}",
                holder.name,
                holder.models.join(", ")
            ),
        ))
    }

    /// Whether this caller may have what costs nobody anything: a scripted or mocked model.
    ///
    /// # Errors
    /// 401 where the router asks for a master key and this caller does not have it.
    pub fn may_call_keyless(&self, keys: &Keys) -> Result<(), Refusal> {
        if !keys.asks() || self.is_trusted() || self.is_believed() {
            Ok(())
        } else {
            Err(master_key_needed())
        }
    }

    /// Whether anything can be done for this caller.
    ///
    /// # Errors
    /// 401 where the router asks for a key and the caller showed nothing, or where the key of
    /// whom it calls for cannot be read. 500 where [`Keys::shut`].
    pub fn may_call(&self, keys: &Keys) -> Result<(), Refusal> {
        if let Some(words) = keys.shut() {
            return Err(Refusal::new(500, words));
        }
        match self {
            Self::Unknown => Err(master_key_needed()),
            Self::Unreadable => Err(unreadable()),
            Self::Trusted | Self::Holder(_) | Self::OwnKey(_) => Ok(()),
        }
    }
}

fn master_key_needed() -> Refusal {
    Refusal::new(
        401,
        "this router asks for its master key: send it as `Authorization: Bearer` or `x-api-key`",
    )
}

fn unreadable() -> Refusal {
    let words = format!("{PROVIDER_KEY} holds no key that can be read; leave it out or mend it");
    Refusal::new(401, words)
}

/// The keys of the environment, read once.
#[derive(Default)]
pub struct Keys {
    /// What callers must present to use the router's own keys.
    master: Option<String>,
    /// By the name of the provider's usual variable.
    usual: BTreeMap<&'static str, String>,
    holders: Vec<Holder>,
    /// Why nobody may call.
    shut: Option<String>,
}

/// A key that the configuration hands out. One whose variable is missing is nobody's.
pub struct Holder {
    pub name: String,
    pub models: Vec<String>,
    pub limits: Limits,
    key: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({:?})", self.usual.keys())
    }
}

impl Keys {
    /// Reads the master key (the configuration's, or the variable LITELLM_MASTER_KEY where that
    /// names none) and the usual key of each provider.
    pub fn new(config: &Config, environment: Environment) -> Self {
        let master = match config.master_key.as_deref() {
            None => config.variable("LITELLM_MASTER_KEY", environment),
            // A master key whose variable is missing must not open the door: nobody can present "".
            Some(setting) => Some(config.resolve(setting, environment).unwrap_or_default()),
        };
        let usual = providers::key_variables()
            .filter_map(|name| Some((name, config.variable(name, environment)?)))
            .collect();
        let holders = config.keys.iter().map(|key| Holder {
            name: key.name.clone(),
            models: key.models.clone(),
            limits: key.limits.clone(),
            key: config.resolve(&key.key, environment),
        });
        Self {
            master,
            usual,
            holders: holders.collect(),
            shut: shut(config, environment),
        }
    }

    /// Whether callers are asked for a key.
    pub fn asks(&self) -> bool {
        self.master.is_some() || !self.holders.is_empty()
    }

    /// Why every call is refused, where it is: a master key is configured and not set. The real one, which
    /// its holders present, would be taken for a provider's key and sent to one.
    pub fn shut(&self) -> Option<&str> {
        self.shut.as_deref()
    }

    /// Whose key it is. Every key is compared to its end, so that the time tells nothing.
    fn place_of(&self, token: &str) -> Option<usize> {
        let is_same = |holder: &Holder| {
            holder.key.as_ref().is_some_and(|key| {
                let same = key.as_bytes().ct_eq(token.as_bytes());
                bool::from(same)
            })
        };
        self.holders.iter().position(is_same)
    }

    /// Who has the key at this place.
    pub fn holder(&self, place: usize) -> Option<&Holder> {
        self.holders.get(place)
    }

    /// What the holder of this name may use.
    pub fn limits(&self, name: &str) -> &Limits {
        static NONE: Limits = Limits::NONE;
        let holder = self.holders.iter().find(|holder| holder.name == name);
        holder.map_or(&NONE, |holder| &holder.limits)
    }

    /// The master key's value, where there is one.
    pub fn master(&self) -> Option<&str> {
        self.master.as_deref()
    }
}

fn shut(config: &Config, environment: Environment) -> Option<String> {
    let setting = config.master_key.as_deref()?;
    if config.resolve(setting, environment).is_some() {
        return None;
    }
    Some(match setting.strip_prefix("os.environ/") {
        Some(name) => format!(
            "every call is refused until the variable {name} is set, which \
             general_settings.master_key names"
        ),
        None => "every call is refused, because general_settings.master_key is empty".into(),
    })
}

/// The key that a call to `target` takes, `None` where none is needed.
///
/// A deployment with an `api_base` of its own gets the provider's usual key if there is one, but
/// does not need it.
///
/// # Errors
/// 401 where there is no key for this caller.
pub fn credential(
    caller: &Caller,
    target: &Target,
    keys: &Keys,
) -> Result<Option<Credential>, Refusal> {
    let (deployment, provider) = (&target.deployment, target.provider);
    let own_server = deployment.api_base.is_some();
    // A key is for the provider that the configuration names, whatever a caller puts into a pattern.
    let key = match &deployment.key {
        Key::Here(_) if !own_server && deployment.provider.name != provider.name => &Key::Usual,
        key => key,
    };
    let says_nothing = *key == Key::Usual;
    match caller {
        // The operator's own servers take any word for a key.
        Caller::OwnKey(own)
            if !own.vouched
                && keys.asks()
                && (!deployment.takes_own_keys || provider.key_variable.is_none()) =>
        {
            return Err(master_key_needed());
        }
        Caller::OwnKey(own) if caller.brings_key_to(deployment) => return Ok(Some(own.clone())),
        Caller::Unknown => return Err(master_key_needed()),
        Caller::Unreadable => return Err(unreadable()),
        Caller::OwnKey(_) | Caller::Trusted | Caller::Holder(_) => {}
    }
    let found = match key {
        Key::Here(key) => Some(key),
        Key::Missing => None,
        Key::Usual => provider.key_variable.and_then(|name| keys.usual.get(name)),
    };
    let needed = !says_nothing || (provider.key_variable.is_some() && !own_server);
    match found {
        Some(token) => Ok(Some(Credential {
            token: token.clone(),
            owner: KeyOwner::Router,
            bearer: false,
            vouched: false,
        })),
        None if needed => Err(Refusal::new(
            401,
            format!("there is no key for {}", provider.name),
        )),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_master_key_may_bring_somebodys_own() {
        let own = ("x-agent-router-provider-key", "sk-ant-api03-x");
        let vouched = caller(&[("authorization", "Bearer master"), own], Some("master"));
        assert!(vouched.is_believed() && !vouched.is_trusted());
        assert!(vouched.may_call_keyless(&keys(Some("master"))).is_ok());
        match &vouched {
            Caller::OwnKey(key) => assert!(key.token == own.1 && !key.bearer && key.vouched),
            other => panic!("{other:?}"),
        }
        // One that cannot be read is not a reason to use the router's.
        for unreadable in ["", " ", "k\u{e9}", "two words"] {
            let own = ("x-agent-router-provider-key", unreadable);
            let caller = caller(&[("authorization", "Bearer master"), own], Some("master"));
            assert!(!caller.is_trusted() && !caller.is_believed(), "{caller:?}");
            assert_eq!(
                caller.may_call(&keys(Some("master"))).unwrap_err().status,
                401
            );
        }
        // From anybody else it says nothing.
        for shown in [("authorization", "Bearer sk-else"), ("authorization", "")] {
            let caller = caller(&[shown, own], Some("master"));
            assert!(!caller.is_believed(), "{caller:?}");
            assert!(!matches!(&caller, Caller::OwnKey(key) if key.token == own.1));
        }
    }

    fn caller(headers: &[(&str, &str)], master: Option<&str>) -> Caller {
        Caller::of(
            &|name| {
                let found = headers.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            },
            &keys(master),
        )
    }

    fn keys(master: Option<&str>) -> Keys {
        Keys {
            master: master.map(str::to_owned),
            ..Keys::default()
        }
    }

    #[test]
    fn a_token_is_the_callers_own_key_unless_it_says_otherwise() {
        assert_eq!(caller(&[], None), Caller::Trusted);
        assert_eq!(
            caller(&[("authorization", "Bearer auto-detect")], None),
            Caller::Trusted
        );
        let own = caller(&[("x-api-key", "sk-own")], None);
        assert!(matches!(own, Caller::OwnKey(key) if key.token == "sk-own" && !key.bearer));
        let own = caller(
            &[
                ("authorization", "bearer gsk"),
                ("x-api-key", "auto-detect"),
            ],
            None,
        );
        assert!(matches!(own, Caller::OwnKey(key) if key.token == "gsk" && key.bearer));
    }

    #[test]
    fn with_a_master_key_only_its_holders_use_the_routers_keys() {
        let master = Some("sk-master");
        assert_eq!(caller(&[], master), Caller::Unknown);
        assert_eq!(
            caller(&[("x-api-key", "sk-master")], master),
            Caller::Trusted
        );
        let both = [
            ("authorization", "Bearer other"),
            ("x-api-key", "sk-master"),
        ];
        assert_eq!(caller(&both, master), Caller::Trusted);
        assert!(matches!(
            caller(&[("x-api-key", "sk-maste")], master),
            Caller::OwnKey(_)
        ));
        assert_eq!(
            Caller::Unknown
                .may_call_keyless(&keys(master))
                .unwrap_err()
                .status,
            401
        );
        assert!(Caller::Trusted.may_call_keyless(&keys(master)).is_ok());
    }

    #[test]
    fn a_key_is_never_printed() {
        let own = caller(&[("x-api-key", "sk-own")], None);
        assert!(!format!("{own:?}").contains("sk-own"));
    }
}
