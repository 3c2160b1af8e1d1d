//! The entries of `model_list`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::positive;

/// One deployment: the name that callers use, and where it leads.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelEntry {
    pub model_name: String,
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
    pub timeout: Option<f64>,
    /// Seconds of silence between two bytes of a stream.
    pub stream_timeout: Option<f64>,
    /// The most times that a call is tried again after this deployment failed.
    pub max_retries: Option<u32>,
    /// Its share of the calls of its group, beside those of the others.
    pub weight: Option<f64>,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// Deployments of a higher order are asked only when none of a lower one can be.
    pub order: Option<i64>,
    /// A text that is answered without asking anybody, or the name of an error, see [`crate::mock`].
    pub mock_response: Option<String>,
    pub extra_headers: Option<BTreeMap<String, String>>,
    pub drop_params: Option<bool>,
    /// Keys of the request that this deployment does not get.
    pub additional_drop_params: Option<Vec<String>>,
    pub input_cost_per_token: Option<f64>,
    pub output_cost_per_token: Option<f64>,
    pub cache_read_input_token_cost: Option<f64>,
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
    /// The most tokens that one answer may have; a request that asks for more is cut to it.
    pub max_output_tokens: Option<u64>,
    /// `false`: images are replaced by a note, because the provider would refuse them.
    pub supports_vision: Option<bool>,
    pub input_cost_per_token: Option<f64>,
    pub output_cost_per_token: Option<f64>,
    pub cache_read_input_token_cost: Option<f64>,
    pub cache_creation_input_token_cost: Option<f64>,
}

pub(super) fn check(entry: &ModelEntry) -> Result<(), String> {
    if entry.model_name.is_empty() || entry.litellm_params.model.is_empty() {
        return Err("needs a model_name and a litellm_params.model that are not empty".into());
    }
    let params = &entry.litellm_params;
    for (key, value) in [
        ("timeout", params.timeout),
        ("stream_timeout", params.stream_timeout),
        ("weight", params.weight),
        ("input_cost_per_token", params.input_cost_per_token),
        ("output_cost_per_token", params.output_cost_per_token),
    ] {
        positive(value).map_err(|what| format!("({}) {key} {what}", entry.model_name))?;
    }
    Ok(())
}
