//! A deployment: one place that answers for a model, with all that the configuration and the
//! environment say about it, resolved once at the start.

use std::sync::Arc;

use crate::config::{Config, ModelEntry};
use crate::providers::{self, Dialect, Provider};
use crate::usage::Prices;

/// Until the first byte, where the configuration does not say.
const TIMEOUT_S: f64 = 600.0;
/// Between two bytes of a stream, where the configuration does not say.
const STREAM_TIMEOUT_S: f64 = 120.0;
/// Timers do not run longer than this.
const LONGEST_TIMEOUT_S: f64 = 24.0 * 3600.0;

/// Reads a variable or secret of the environment by its name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One entry of the model list.
pub struct Deployment {
    /// Its place in the model list.
    pub entry: usize,
    /// What answers, logs and metrics call it.
    pub id: String,
    /// `model_name`, a pattern maybe.
    pub group: String,
    /// `provider/model` as the configuration has it, with stars maybe.
    pub model: String,
    /// The provider that `model` names as it stands.
    pub provider: &'static Provider,
    /// Where it is, if it is not where its provider usually is. `Some("")` names a variable that is
    /// missing.
    pub api_base: Option<String>,
    pub key: Key,
    /// Callers' own keys are for it: it is where its provider usually is, or its entry says so.
    pub takes_own_keys: bool,
    /// They go with the router's own key alone, because they may hold another.
    pub extra_headers: Vec<(String, String)>,
    /// Milliseconds until the first byte.
    pub timeout_ms: u32,
    /// Milliseconds until the first words of a stream.
    pub first_words_ms: u32,
    /// Milliseconds of silence between two bytes.
    pub stream_timeout_ms: u32,
    pub max_retries: Option<u32>,
    pub weight: Option<f64>,
    pub rpm: Option<u64>,
    pub tpm: Option<u64>,
    pub order: i64,
    pub mock_response: Option<String>,
    pub max_output_tokens: Option<u64>,
    pub vision: bool,
    /// See [`Config::drop_params`].
    pub drop_params: bool,
    /// Keys of a request that are left out.
    pub dropped: Vec<String>,
    pub prices: Prices,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever logs this must not log a key.
        write!(f, "Deployment({}, {})", self.entry, self.model)
    }
}

/// The key that the configuration gives to a deployment.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// It says nothing: the provider's usual variable counts.
    Usual,
    Here(String),
    /// It names a variable that is not set.
    Missing,
}

/// A deployment as one call uses it: the stars of its name are filled.
#[derive(Debug, Clone)]
pub struct Target {
    pub deployment: Arc<Deployment>,
    pub provider: &'static Provider,
    /// The model's name at the provider.
    pub model: String,
}

impl Target {
    /// `deployment` as `model`, which is `provider/name`.
    pub fn new(deployment: &Arc<Deployment>, model: &str) -> Self {
        let (provider, name) = providers::split(model);
        Self {
            deployment: Arc::clone(deployment),
            provider,
            model: name.to_owned(),
        }
    }

    /// `provider/model`, for logs.
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider.name, self.model)
    }

    /// Where its requests go; empty where nobody knows.
    pub fn api_base(&self) -> &str {
        let own = self.deployment.api_base.as_deref();
        own.unwrap_or(self.provider.api_base)
    }

    /// Whether the router answers by itself, without asking anybody.
    pub fn is_played_here(&self) -> bool {
        self.deployment.mock_response.is_some() || self.provider.dialect == Dialect::Demo
    }
}

impl Deployment {
    /// Entry number `entry` of the model list.
    pub fn new(
        entry: usize,
        config: &Config,
        model: &ModelEntry,
        environment: Environment,
    ) -> Self {
        let (params, info) = (&model.litellm_params, &model.model_info);
        let resolve = |setting: &String| config.resolve(setting, environment);
        let key = match params.api_key.as_ref() {
            None => Key::Usual,
            Some(setting) => resolve(setting).map_or(Key::Missing, Key::Here),
        };
        let provider = providers::split(&params.model).0;
        let api_base = params
            .api_base
            .as_ref()
            .map(|setting| resolve(setting).unwrap_or_default());
        let may_bring = params.configurable_clientside_auth_params.iter().flatten();
        let takes_own_keys = api_base
            .as_ref()
            .is_none_or(|base| base.trim_end_matches('/') == provider.api_base)
            || may_bring.into_iter().any(|name| name == "api_key");
        let headers = params.extra_headers.iter().flatten();
        let timeout_s = params.timeout.or(config.routing.timeout_s);
        let stream_timeout_s = params.stream_timeout.or(config.routing.stream_timeout_s);
        Self {
            entry,
            id: info
                .id
                .clone()
                .unwrap_or_else(|| format!("{}#{entry}", model.model_name)),
            group: model.model_name.clone(),
            model: params.model.clone(),
            provider,
            api_base,
            key,
            takes_own_keys,
            extra_headers: headers
                .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), resolve(value)?)))
                .collect(),
            timeout_ms: milliseconds(timeout_s.unwrap_or(TIMEOUT_S)),
            first_words_ms: milliseconds(stream_timeout_s.or(timeout_s).unwrap_or(TIMEOUT_S)),
            stream_timeout_ms: milliseconds(stream_timeout_s.unwrap_or(STREAM_TIMEOUT_S)),
            max_retries: params.max_retries,
            weight: params.weight,
            rpm: params.rpm,
            tpm: params.tpm,
            order: params.order.unwrap_or(0),
            mock_response: params.mock_response.clone(),
            max_output_tokens: info.max_output_tokens,
            vision: info.supports_vision != Some(false),
            drop_params: params.drop_params.unwrap_or(config.drop_params),
            dropped: params.additional_drop_params.clone().unwrap_or_default(),
            prices: Prices::of(model),
        }
    }
}

/// Seconds as a timer takes them.
pub fn milliseconds(seconds: f64) -> u32 {
    // Saturating, and a number that is none becomes 0; a timeout of nothing would stop every call.
    let milliseconds = (seconds.min(LONGEST_TIMEOUT_S) * 1000.0) as u32;
    milliseconds.max(1)
}
