//! `litellm_config.yaml`: LiteLLM's own format, as far as this router acts on it
//! (<https://docs.litellm.ai/docs/proxy/config_settings>).
//!
//! A key that is read here is acted on. Every other key ends up in [`Config::warnings`] with its
//! path, so that nobody believes in a setting that does nothing.

mod file;
mod model;
mod routing;
mod values;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::providers::{self, Dialect};
use crate::spend::Limits;
use file::File;

pub use model::{ModelEntry, ModelInfo, Params};
pub use routing::{Alias, Fallbacks, RetryPolicy, Routing, Strategy};
pub(crate) use values::not_negative;
pub use yaml::Error as Wrong;

/// The configuration that is part of the program.
pub const BUNDLED: &str = include_str!("../../litellm_config.yaml");

/// A configuration that has been read.
#[derive(Debug, Default)]
pub struct Config {
    pub models: Vec<ModelEntry>,
    pub routing: Routing,
    /// What callers must present to use the router's own keys. May be `os.environ/NAME`.
    pub master_key: Option<String>,
    /// Whether even a tool that runs at Anthropic alone is left out where it is the only one, which
    /// is refused otherwise. Everything else that a provider does not take is always left out.
    pub drop_params: bool,
    pub cache: Option<CacheSettings>,
    /// Keys for callers, each with limits of its own. An addition to LiteLLM's keys, which keeps its
    /// virtual keys in a database.
    pub keys: Vec<HandedOutKey>,
    /// What each session may use. An addition to LiteLLM's keys.
    pub session_limits: Limits,
    /// Origins of web pages that may call this router; none may otherwise. An addition to LiteLLM's
    /// keys.
    pub allowed_origins: Vec<String>,
    /// Whether another gateway does the rest, see [`Self::go_through`].
    pub through_gateway: bool,
    /// Values for variables that the environment does not have.
    pub variables: BTreeMap<String, String>,
    /// One line for every key that has no effect.
    pub warnings: Vec<String>,
}

/// Whole answers that are kept and given again for the same request.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheSettings {
    /// Seconds that an answer is kept.
    pub ttl_s: f64,
    /// Whether requests with tools are answered from it as well. An addition to LiteLLM's keys: an
    /// agent that gets the same tool call twice may run in circles.
    pub with_tools: bool,
    /// The most bytes of all answers and their keys together. An addition to LiteLLM's keys.
    pub max_bytes: usize,
}

/// A key that callers may present instead of the master key.
#[derive(Debug, Clone, Deserialize)]
pub struct HandedOutKey {
    /// What limits, logs and spending call it.
    #[serde(deserialize_with = "values::not_empty")]
    pub name: String,
    /// The key, or `os.environ/NAME`.
    pub key: String,
    /// The models that it is for, patterns too; all, where there are none.
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default)]
    pub limits: Limits,
}

impl Config {
    /// Sends everything to one other gateway that speaks Anthropic's Messages API, such as a LiteLLM
    /// proxy, at `base` with `key`: every model by the name that callers use, for it is that gateway
    /// which knows more of them. What this router plays itself stays here, and so do prices, timeouts and
    /// limits of the entries.
    pub fn go_through(&mut self, base: &str, key: Option<String>) {
        let through = |model_name: &str| Params {
            model: format!("anthropic/{model_name}"),
            api_base: Some(base.to_owned()),
            api_key: key.clone(),
            ..Params::default()
        };
        for entry in &mut self.models {
            let played = entry.litellm_params.mock_response.is_some()
                || providers::split(&entry.litellm_params.model).0.dialect == Dialect::Demo;
            if !played {
                let params = std::mem::take(&mut entry.litellm_params);
                let to = through(&entry.model_name);
                entry.litellm_params = Params {
                    model: to.model,
                    api_base: to.api_base,
                    api_key: to.api_key,
                    // What is for a provider is the gateway's business.
                    extra_headers: None,
                    drop_params: None,
                    configurable_clientside_auth_params: None,
                    additional_drop_params: None,
                    ..params
                };
            }
        }
        self.models.push(ModelEntry {
            model_name: "*".into(),
            litellm_params: through("*"),
            model_info: ModelInfo::default(),
        });
        self.through_gateway = true;
    }

    /// Reads YAML.
    ///
    /// # Errors
    /// What is wrong, with its line and column.
    pub fn parse(yaml: &str) -> Result<Self, Wrong> {
        let document = yaml::read::<Option<File>>(yaml)?;
        let file = document.value.unwrap_or_default();
        let unknown = document.unknown.into_iter();
        let mut warnings: Vec<String> = unknown
            .map(|path| format!("{path} has no effect in this router"))
            .collect();

        let models = file.model_list.unwrap_or_default();
        let general = file.general_settings.unwrap_or_default();
        let litellm = file.litellm_settings.unwrap_or_default();
        let drop_params = litellm.drop_params.unwrap_or(false);
        if litellm.drop_params == Some(false) {
            warnings.push(
                "litellm_settings.drop_params: false has no effect, what a provider does not take \
                 is left out"
                    .into(),
            );
        }
        let cache = file::cache(&litellm);
        let routing = routing::routing(file.router_settings.unwrap_or_default(), litellm);
        Ok(Self {
            models,
            routing,
            through_gateway: false,
            master_key: general.master_key,
            keys: general.keys.unwrap_or_default(),
            session_limits: general.session_limits.unwrap_or_default(),
            allowed_origins: general.allowed_origins.unwrap_or_default(),
            drop_params,
            cache,
            variables: file.environment_variables.unwrap_or_default(),
            warnings,
        })
    }

    /// The value of a setting: itself, or what `os.environ/NAME` names.
    ///
    /// `environment` reads a variable or secret. `None` where it is missing or empty.
    pub fn resolve(
        &self,
        setting: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Option<String> {
        match setting.strip_prefix("os.environ/") {
            Some(name) => self.variable(name, environment),
            None => Some(setting.to_owned()),
        }
        .filter(|value| !value.is_empty())
    }

    /// A variable from the environment, or from the configuration where that does not have it.
    pub fn variable(
        &self,
        name: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Option<String> {
        environment(name)
            .or_else(|| self.variables.get(name).cloned())
            .filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests;
