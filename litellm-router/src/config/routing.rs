//! `router_settings`: which deployment comes next.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::file::{LitellmSettings, RouterSettings};
use super::values::{not_empty, time_limit};

/// See [`Routing::deadline_s`], where the configuration does not say.
const DEADLINE_S: f64 = 1_800.0;

/// How the next deployment of a group is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Strategy {
    /// At random, by weight.
    #[default]
    #[serde(rename = "simple-shuffle")]
    SimpleShuffle,
    /// The one with the fewest calls under way.
    #[serde(rename = "least-busy")]
    LeastBusy,
    /// The one whose first token came soonest of late.
    #[serde(rename = "latency-based-routing")]
    Latency,
    /// The one that has used the fewest tokens this minute.
    #[serde(rename = "usage-based-routing", alias = "usage-based-routing-v2")]
    Usage,
    /// The one with the lowest price of a token in and a token out.
    #[serde(rename = "cost-based-routing")]
    Cost,
}

/// What `router_settings` says, or `litellm_settings` where that is silent.
#[derive(Debug, Clone, PartialEq)]
pub struct Routing {
    pub strategy: Strategy,
    /// How often a call is tried again within a group, where the class of the error has no number of
    /// its own in `retry_policy`.
    pub retries: u32,
    pub retry_policy: RetryPolicy,
    /// Whether the wait before a retry doubles each time.
    pub exponential_backoff: bool,
    /// Seconds that a retry waits at least.
    pub retry_after_s: f64,
    /// Failures of one minute that a deployment may have before it cools down. `None`: LiteLLM's own
    /// rules, see [`crate::balance`].
    pub allowed_fails: Option<u32>,
    /// Seconds that a deployment which failed too often is left alone.
    pub cooldown_s: f64,
    pub disable_cooldowns: bool,
    /// Whether deployments over their rpm or tpm are left out whatever the strategy.
    pub pre_call_checks: bool,
    pub fallbacks: Fallbacks,
    /// For groups that have no fallbacks of their own.
    pub default_fallbacks: Vec<String>,
    /// For requests that are too long for their model.
    pub context_window_fallbacks: Fallbacks,
    /// For requests that a provider's filter refuses.
    pub content_policy_fallbacks: Fallbacks,
    /// The most groups that are tried after the first.
    pub max_fallbacks: usize,
    /// Other names for entries of the model list.
    pub aliases: BTreeMap<String, Alias>,
    /// Seconds until the first byte, for deployments that do not say.
    pub timeout_s: Option<f64>,
    /// Seconds of silence, for deployments that do not say.
    pub stream_timeout_s: Option<f64>,
    /// Seconds until an answer must have begun, and one that is read whole be there, all attempts
    /// together.
    pub deadline_s: f64,
}

impl Default for Routing {
    /// LiteLLM's defaults; it has no deadline.
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            retries: 2,
            retry_policy: RetryPolicy::default(),
            exponential_backoff: true,
            retry_after_s: 0.0,
            allowed_fails: None,
            cooldown_s: 5.0,
            disable_cooldowns: false,
            pre_call_checks: false,
            fallbacks: Fallbacks::new(),
            default_fallbacks: Vec::new(),
            context_window_fallbacks: Fallbacks::new(),
            content_policy_fallbacks: Fallbacks::new(),
            max_fallbacks: 5,
            aliases: BTreeMap::new(),
            timeout_s: None,
            stream_timeout_s: None,
            deadline_s: DEADLINE_S,
        }
    }
}

/// From the name of a group, or `*`, to the groups that are tried after it, in order.
pub type Fallbacks = BTreeMap<String, Vec<String>>;

/// Another name for a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    pub model: String,
    /// Whether the list of models leaves it out.
    pub hidden: bool,
}

/// How often a call is tried again, by the class of its error: LiteLLM's form. Or, in the short
/// form, how often and how long in all.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    #[serde(rename = "BadRequestErrorRetries")]
    pub bad_request: Option<u32>,
    #[serde(rename = "AuthenticationErrorRetries")]
    pub authentication: Option<u32>,
    #[serde(rename = "TimeoutErrorRetries")]
    pub timeout_error: Option<u32>,
    #[serde(rename = "RateLimitErrorRetries")]
    pub rate_limit: Option<u32>,
    #[serde(rename = "ContentPolicyViolationErrorRetries")]
    pub content_policy: Option<u32>,
    #[serde(rename = "InternalServerErrorRetries")]
    pub internal_server: Option<u32>,
    #[serde(rename = "ServiceUnavailableErrorRetries")]
    pub service_unavailable: Option<u32>,
    #[serde(rename = "NotFoundErrorRetries")]
    pub not_found: Option<u32>,
    #[serde(rename = "DefaultRetries")]
    pub default: Option<u32>,
    max_retries: Option<u32>,
    #[serde(deserialize_with = "time_limit")]
    timeout: Option<f64>,
    exponential_backoff: Option<bool>,
}

/// The name of a group, or a mapping with it.
impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct NameOrEntry;
        impl<'de> Visitor<'de> for NameOrEntry {
            type Value = Alias;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a group, or a mapping with model and hidden")
            }

            fn visit_str<E: Error>(self, model: &str) -> Result<Alias, E> {
                Ok(Alias {
                    model: model.to_owned(),
                    hidden: false,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Alias, A::Error> {
                let entry = AliasEntry::deserialize(MapAccessDeserializer::new(entries))?;
                Ok(Alias {
                    model: entry.model,
                    hidden: entry.hidden,
                })
            }
        }
        reader.deserialize_any(NameOrEntry)
    }
}

#[derive(Deserialize)]
struct AliasEntry {
    #[serde(deserialize_with = "not_empty")]
    model: String,
    #[serde(default)]
    hidden: bool,
}

pub(super) fn routing(router: RouterSettings, litellm: LitellmSettings) -> Routing {
    let defaults = Routing::default();
    let policy = router.retry_policy.unwrap_or_default();
    let timeout_s = router.timeout.or(litellm.request_timeout);
    Routing {
        strategy: router.routing_strategy.unwrap_or_default(),
        retries: policy
            .max_retries
            .or(router.num_retries)
            .or(litellm.num_retries)
            .unwrap_or(defaults.retries),
        exponential_backoff: policy.exponential_backoff.unwrap_or(true),
        retry_after_s: router.retry_after.unwrap_or(0.0),
        allowed_fails: router.allowed_fails.or(litellm.allowed_fails),
        cooldown_s: router
            .cooldown_time
            .or(litellm.cooldown_time)
            .unwrap_or(defaults.cooldown_s),
        disable_cooldowns: router.disable_cooldowns.unwrap_or(false),
        pre_call_checks: router.enable_pre_call_checks.unwrap_or(false),
        fallbacks: merged(router.fallbacks.or(litellm.fallbacks)),
        default_fallbacks: router
            .default_fallbacks
            .or(litellm.default_fallbacks)
            .unwrap_or_default(),
        context_window_fallbacks: merged(
            router
                .context_window_fallbacks
                .or(litellm.context_window_fallbacks),
        ),
        content_policy_fallbacks: merged(
            router
                .content_policy_fallbacks
                .or(litellm.content_policy_fallbacks),
        ),
        max_fallbacks: router.max_fallbacks.unwrap_or(defaults.max_fallbacks),
        aliases: router.model_group_alias.unwrap_or_default(),
        timeout_s,
        stream_timeout_s: router.stream_timeout,
        // Long enough for another to be asked after one has used its time up.
        deadline_s: policy
            .timeout
            .unwrap_or_else(|| DEADLINE_S.max(3.0 * timeout_s.unwrap_or(0.0))),
        retry_policy: policy,
    }
}

fn merged(lists: Option<Vec<Fallbacks>>) -> Fallbacks {
    lists.into_iter().flatten().flatten().collect()
}
