//! Who calls, and whose key goes upstream.

use subtle::ConstantTimeEq;

use crate::config::Config;
use crate::error::{KeyOwner, Refusal};
use crate::providers::Provider;

/// The token by which a caller says that it has no key of its own.
pub const AUTO_DETECT: &str = "auto-detect";

/// A caller, as its key shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// May use the router's own keys.
    Trusted,
    /// Has a provider's key of its own.
    OwnKey(Credential),
    /// Showed nothing, where the router asks for a master key.
    Unknown,
}

/// A key that goes upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub token: String,
    pub owner: KeyOwner,
    /// Whether it came as a bearer token; Anthropic treats the two ways differently.
    pub bearer: bool,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever logs this must not log a key.
        write!(f, "Credential({:?})", self.owner)
    }
}

impl Caller {
    /// Reads the caller's key from `Authorization: Bearer` or `x-api-key`; the first that says
    /// something counts. `master_key` is the value itself.
    pub fn of(header: &dyn Fn(&str) -> Option<String>, master_key: Option<&str>) -> Self {
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
            if let Some(master) = master_key
                && bool::from(token.as_bytes().ct_eq(master.as_bytes()))
            {
                return Self::Trusted;
            }
            own.get_or_insert(Credential {
                token,
                owner: KeyOwner::Caller,
                bearer,
            });
        }
        match own {
            Some(own) => Self::OwnKey(own),
            None if master_key.is_some() => Self::Unknown,
            None => Self::Trusted,
        }
    }

    /// Whether this caller may have what costs nobody anything: a scripted or mocked model.
    ///
    /// # Errors
    /// 401 where the router asks for a master key and this caller does not have it.
    pub fn may_call_keyless(&self, has_master_key: bool) -> Result<(), Refusal> {
        if !has_master_key || *self == Self::Trusted {
            Ok(())
        } else {
            Err(master_key_needed())
        }
    }
}

fn master_key_needed() -> Refusal {
    Refusal::new(
        401,
        "this router asks for its master key: send it as `Authorization: Bearer` or `x-api-key`",
    )
}

/// The key that a call to `provider` takes, `None` where the provider needs none.
///
/// `setting` is the deployment's `api_key`; `own_server` says that the deployment has an `api_base`
/// of its own, where the provider's usual key is sent if there is one but not asked for;
/// `has_master_key` that the router asks who calls.
///
/// # Errors
/// 401 where there is no key for this caller; it names the providers that the router could serve.
pub fn credential(
    caller: &Caller,
    provider: &Provider,
    setting: Option<&str>,
    own_server: bool,
    has_master_key: bool,
    config: &Config,
    secret: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Credential>, Refusal> {
    let open_server = own_server && setting.is_none() && provider.key_variable.is_none();
    match caller {
        // A server that asks for no key would take any word for one.
        Caller::OwnKey(_) if open_server && has_master_key => return Err(master_key_needed()),
        Caller::OwnKey(own) => return Ok(Some(own.clone())),
        Caller::Unknown => return Err(master_key_needed()),
        Caller::Trusted => {}
    }
    let found = match setting {
        Some(setting) => config.resolve(setting, secret),
        None => provider
            .key_variable
            .and_then(|name| config.variable(name, secret)),
    };
    let needed = setting.is_some() || (provider.key_variable.is_some() && !own_server);
    match found {
        Some(token) => Ok(Some(Credential {
            token,
            owner: KeyOwner::Router,
            bearer: false,
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

    fn caller(headers: &[(&str, &str)], master: Option<&str>) -> Caller {
        Caller::of(
            &|name| {
                let found = headers.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            },
            master,
        )
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
            Caller::Unknown.may_call_keyless(true).unwrap_err().status,
            401
        );
        assert!(Caller::Trusted.may_call_keyless(true).is_ok());
    }

    #[test]
    fn a_key_is_never_printed() {
        let own = caller(&[("x-api-key", "sk-own")], None);
        assert!(!format!("{own:?}").contains("sk-own"));
    }
}
