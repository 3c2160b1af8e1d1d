//! The entries of `model_list`.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::values::{headers, not_empty, not_negative, time_limit};

/// One deployment: the name that callers use, and where it leads.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelEntry {
    #[serde(deserialize_with = "not_empty")]
    pub model_name: String,
    #[serde(deserialize_with = "params")]
    pub litellm_params: Params,
    #[serde(default)]
    pub model_info: ModelInfo,
}

/// How a deployment is reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Params {
    /// `provider/name`.
    pub model: String,
    pub api_base: Option<String>,
    /// A key, or `os.environ/NAME`.
    pub api_key: Option<String>,
    /// Seconds until the first byte.
    #[serde(deserialize_with = "time_limit")]
    pub timeout: Option<f64>,
    /// Seconds of silence between two bytes of a stream.
    #[serde(deserialize_with = "time_limit")]
    pub stream_timeout: Option<f64>,
    /// The most times that a call is tried again after this deployment failed.
    pub max_retries: Option<u32>,
    /// Its share of the calls of its group, beside those of the others.
    #[serde(deserialize_with = "not_negative")]
    pub weight: Option<f64>,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// Deployments of a higher order are asked only when none of a lower one can be.
    pub order: Option<i64>,
    /// A text that is answered without asking anybody, or the name of an error, see [`crate::mock`].
    pub mock_response: Option<String>,
    #[serde(deserialize_with = "headers")]
    pub extra_headers: Option<BTreeMap<String, String>>,
    pub drop_params: Option<bool>,
    /// What callers may bring themselves; of LiteLLM's words `api_key` alone has an effect: their own keys
    /// go to this deployment's `api_base` too.
    pub configurable_clientside_auth_params: Option<Vec<String>>,
    /// Keys of the request that this deployment does not get.
    pub additional_drop_params: Option<Vec<String>>,
    #[serde(deserialize_with = "not_negative")]
    pub input_cost_per_token: Option<f64>,
    #[serde(deserialize_with = "not_negative")]
    pub output_cost_per_token: Option<f64>,
    #[serde(deserialize_with = "not_negative")]
    pub cache_read_input_token_cost: Option<f64>,
    #[serde(deserialize_with = "not_negative")]
    pub cache_creation_input_token_cost: Option<f64>,
}

/// What is known about a model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ModelInfo {
    /// What answers and metrics call the deployment.
    pub id: Option<String>,
    /// A name for people. An addition to LiteLLM's keys.
    pub display_name: Option<String>,
    /// The most tokens that the model takes at once: told to those who ask for the model, and not enforced.
    pub max_input_tokens: Option<u64>,
    /// The most tokens that one answer may have; a request that asks for more is cut to it.
    pub max_output_tokens: Option<u64>,
    /// `false`: images are replaced by a note, because the provider would refuse them.
    pub supports_vision: Option<bool>,
    #[serde(deserialize_with = "not_negative")]
    pub input_cost_per_token: Option<f64>,
    #[serde(deserialize_with = "not_negative")]
    pub output_cost_per_token: Option<f64>,
    #[serde(deserialize_with = "not_negative")]
    pub cache_read_input_token_cost: Option<f64>,
    #[serde(deserialize_with = "not_negative")]
    pub cache_creation_input_token_cost: Option<f64>,
}

/// Without a model they lead nowhere.
fn params<'de, D: Deserializer<'de>>(reader: D) -> Result<Params, D::Error> {
    let params = Params::deserialize(reader)?;
    if params.model.is_empty() {
        return Err(D::Error::custom("needs a model that is not empty"));
    }
    Ok(params)
}
