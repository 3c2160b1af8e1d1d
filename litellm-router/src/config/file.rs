//! The file as it is written, with all that may be missing in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::values::{not_negative, time_limit};
use super::{Alias, CacheSettings, Fallbacks, HandedOutKey, ModelEntry, RetryPolicy, Strategy};
use crate::spend::Limits;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) model_list: Option<Vec<ModelEntry>>,
    pub(super) router_settings: Option<RouterSettings>,
    pub(super) litellm_settings: Option<LitellmSettings>,
    pub(super) general_settings: Option<GeneralSettings>,
    pub(super) environment_variables: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RouterSettings {
    pub(super) routing_strategy: Option<Strategy>,
    pub(super) num_retries: Option<u32>,
    pub(super) retry_policy: Option<RetryPolicy>,
    #[serde(deserialize_with = "not_negative")]
    pub(super) retry_after: Option<f64>,
    pub(super) allowed_fails: Option<u32>,
    #[serde(deserialize_with = "not_negative")]
    pub(super) cooldown_time: Option<f64>,
    pub(super) disable_cooldowns: Option<bool>,
    pub(super) enable_pre_call_checks: Option<bool>,
    pub(super) fallbacks: Option<Vec<Fallbacks>>,
    pub(super) default_fallbacks: Option<Vec<String>>,
    pub(super) context_window_fallbacks: Option<Vec<Fallbacks>>,
    pub(super) content_policy_fallbacks: Option<Vec<Fallbacks>>,
    pub(super) max_fallbacks: Option<usize>,
    pub(super) model_group_alias: Option<BTreeMap<String, Alias>>,
    #[serde(deserialize_with = "time_limit")]
    pub(super) timeout: Option<f64>,
    #[serde(deserialize_with = "time_limit")]
    pub(super) stream_timeout: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LitellmSettings {
    #[serde(deserialize_with = "time_limit")]
    pub(super) request_timeout: Option<f64>,
    pub(super) drop_params: Option<bool>,
    pub(super) num_retries: Option<u32>,
    pub(super) allowed_fails: Option<u32>,
    #[serde(deserialize_with = "not_negative")]
    pub(super) cooldown_time: Option<f64>,
    pub(super) fallbacks: Option<Vec<Fallbacks>>,
    pub(super) default_fallbacks: Option<Vec<String>>,
    pub(super) context_window_fallbacks: Option<Vec<Fallbacks>>,
    pub(super) content_policy_fallbacks: Option<Vec<Fallbacks>>,
    pub(super) cache: Option<bool>,
    pub(super) cache_params: Option<CacheParams>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CacheParams {
    /// There is one, which is meant where none is named: it is read so that others are refused.
    #[serde(rename = "type")]
    kind: Option<CacheKind>,
    #[serde(deserialize_with = "not_negative")]
    pub(super) ttl: Option<f64>,
    pub(super) with_tools: Option<bool>,
    pub(super) max_bytes: Option<usize>,
}

/// The only place where answers are kept is this process's memory.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CacheKind {
    Local,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct GeneralSettings {
    pub(super) master_key: Option<String>,
    #[serde(deserialize_with = "differing_keys")]
    pub(super) keys: Option<Vec<HandedOutKey>>,
    pub(super) session_limits: Option<Limits>,
    pub(super) allowed_origins: Option<Vec<String>>,
}

/// Keys, each with a name of its own: limits and books go by it.
fn differing_keys<'de, D: Deserializer<'de>>(
    reader: D,
) -> Result<Option<Vec<HandedOutKey>>, D::Error> {
    let keys = Option::<Vec<HandedOutKey>>::deserialize(reader)?;
    let mut names = BTreeSet::new();
    for key in keys.iter().flatten() {
        if !names.insert(&key.name) {
            let words = format!("two keys have the name {}", key.name);
            return Err(D::Error::custom(words));
        }
    }
    Ok(keys)
}

pub(super) fn cache(litellm: &LitellmSettings) -> Option<CacheSettings> {
    if litellm.cache != Some(true) {
        return None;
    }
    let params = litellm.cache_params.as_ref();
    Some(CacheSettings {
        ttl_s: params.and_then(|params| params.ttl).unwrap_or(600.0),
        with_tools: params.and_then(|params| params.with_tools).unwrap_or(false),
        max_bytes: params
            .and_then(|params| params.max_bytes)
            .unwrap_or(16 * 1024 * 1024),
    })
}
