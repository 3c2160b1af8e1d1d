//! `litellm_config.yaml`: LiteLLM's own format, as far as this router acts on it.
//!
//! A key that is read here is acted on. Every other key ends up in [`Config::warnings`] with its
//! path, so that nobody believes in a setting that does nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The configuration that is part of the program.
pub const BUNDLED: &str = include_str!("../litellm_config.yaml");

/// A configuration that has been read.
#[derive(Debug)]
pub struct Config {
    pub models: Vec<ModelEntry>,
    /// Other names for entries of the model list, from `router_settings.model_group_alias`.
    pub aliases: BTreeMap<String, String>,
    /// What callers must present to use the router's own keys. May be `os.environ/NAME`.
    pub master_key: Option<String>,
    /// Seconds until the first byte, for deployments that do not say.
    pub timeout: Option<f64>,
    /// Seconds of silence, for deployments that do not say.
    pub stream_timeout: Option<f64>,
    /// Values for variables that the environment does not have.
    pub variables: BTreeMap<String, String>,
    /// One line for every key that has no effect.
    pub warnings: Vec<String>,
}

/// One deployment: the name that callers use, and where it leads.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelEntry {
    pub model_name: String,
    pub litellm_params: Params,
    #[serde(default)]
    pub model_info: Option<ModelInfo>,
}

/// How a deployment is reached.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Params {
    /// `provider/name`.
    pub model: String,
    #[serde(default)]
    pub api_base: Option<String>,
    /// A key, or `os.environ/NAME`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// Seconds until the first byte.
    #[serde(default)]
    pub timeout: Option<f64>,
    /// Seconds of silence between two bytes of a stream.
    #[serde(default)]
    pub stream_timeout: Option<f64>,
    /// A text that is answered without asking anybody, or the name of an error, see [`crate::mock`].
    #[serde(default)]
    pub mock_response: Option<String>,
    #[serde(default)]
    pub extra_headers: Option<BTreeMap<String, String>>,
}

/// What is known about a model.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ModelInfo {
    /// A name for people. An addition to LiteLLM's keys.
    #[serde(default)]
    pub display_name: Option<String>,
    /// The most tokens that one answer may have; a request that asks for more is cut to it.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// `false`: images are replaced by a note, because the provider would refuse them.
    #[serde(default)]
    pub supports_vision: Option<bool>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    model_list: Option<Vec<ModelEntry>>,
    #[serde(default)]
    router_settings: Option<RouterSettings>,
    #[serde(default)]
    litellm_settings: Option<LitellmSettings>,
    #[serde(default)]
    general_settings: Option<GeneralSettings>,
    #[serde(default)]
    environment_variables: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct RouterSettings {
    #[serde(default)]
    timeout: Option<f64>,
    #[serde(default)]
    stream_timeout: Option<f64>,
    #[serde(default)]
    model_group_alias: Option<BTreeMap<String, Alias>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Alias {
    Name(String),
    Entry { model: String },
}

#[derive(Default, Deserialize)]
struct LitellmSettings {
    #[serde(default)]
    request_timeout: Option<f64>,
    /// What a provider does not take is always dropped, so `true` is satisfied.
    #[serde(default)]
    drop_params: Option<bool>,
}

#[derive(Default, Deserialize)]
struct GeneralSettings {
    #[serde(default)]
    master_key: Option<String>,
}

impl Config {
    /// Reads YAML.
    ///
    /// # Errors
    /// What is wrong, with its line and column.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let mut warnings = Vec::new();
        let file = serde_saphyr::with_deserializer_from_str(yaml, |reader| {
            serde_ignored::deserialize::<_, _, File>(reader, |path| {
                let path = path.to_string().replace(".?", "");
                warnings.push(format!("{path} has no effect in this router"));
            })
        })
        .map_err(|error| located(error.without_snippet()))?;

        let models = file.model_list.unwrap_or_default();
        for (index, entry) in models.iter().enumerate() {
            if entry.model_name.is_empty() || entry.litellm_params.model.is_empty() {
                return Err(format!(
                    "model_list.{index}: model_name and litellm_params.model must not be empty"
                ));
            }
        }
        let router = file.router_settings.unwrap_or_default();
        let litellm = file.litellm_settings.unwrap_or_default();
        if litellm.drop_params == Some(false) {
            warnings.push(
                "litellm_settings.drop_params: false has no effect, what a provider does not take \
                 is always dropped"
                    .into(),
            );
        }
        let aliases = router.model_group_alias.unwrap_or_default();
        Ok(Self {
            models,
            aliases: aliases
                .into_iter()
                .map(|(name, target)| match target {
                    Alias::Name(model) | Alias::Entry { model } => (name, model),
                })
                .collect(),
            master_key: file.general_settings.unwrap_or_default().master_key,
            timeout: router.timeout.or(litellm.request_timeout),
            stream_timeout: router.stream_timeout,
            variables: file.environment_variables.unwrap_or_default(),
            warnings,
        })
    }

    /// The value of a setting: itself, or what `os.environ/NAME` names.
    ///
    /// `secret` reads the environment. `None` where the variable is missing or empty.
    pub fn resolve(
        &self,
        setting: &str,
        secret: &dyn Fn(&str) -> Option<String>,
    ) -> Option<String> {
        match setting.strip_prefix("os.environ/") {
            Some(name) => self.variable(name, secret),
            None => Some(setting.to_owned()),
        }
        .filter(|value| !value.is_empty())
    }

    /// A variable from the environment, or from the configuration where that does not have it.
    pub fn variable(&self, name: &str, secret: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        secret(name)
            .or_else(|| self.variables.get(name).cloned())
            .filter(|value| !value.is_empty())
    }
}

fn located(error: &serde_saphyr::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_effect_is_named_with_its_path() {
        let config = Config::parse(
            "model_list:\n\
             - model_name: a\n\
             \x20 litellm_params: {model: groq/a, rpm: 10}\n\
             \x20 model_info: {mode: chat}\n\
             router_settings:\n\
             \x20 routing_strategy: least-busy\n\
             callbacks: [prometheus]\n",
        )
        .unwrap();
        assert_eq!(config.models.len(), 1);
        insta::assert_snapshot!(config.warnings.join("\n"), @"
        model_list.0.litellm_params.rpm has no effect in this router
        model_list.0.model_info.mode has no effect in this router
        router_settings.routing_strategy has no effect in this router
        callbacks has no effect in this router
        ");
    }

    #[test]
    fn the_bundled_configuration_has_no_key_without_effect() {
        let config = Config::parse(BUNDLED).unwrap();
        assert_eq!(config.warnings, [] as [String; 0]);
        assert!(
            config
                .models
                .iter()
                .any(|entry| entry.model_name == "local/demo")
        );
    }

    #[test]
    fn an_error_names_its_line_and_column() {
        let error =
            Config::parse("model_list:\n  - model_name: a\n    litellm_params: 5\n").unwrap_err();
        assert!(error.contains("line 3"), "{error}");
        let error =
            Config::parse("model_list:\n  - model_name: ''\n    litellm_params: {model: a}")
                .unwrap_err();
        assert!(error.contains("model_list.0"), "{error}");
    }

    #[test]
    fn an_empty_file_and_empty_sections_are_fine() {
        assert!(Config::parse("").unwrap().models.is_empty());
        assert!(Config::parse("model_list:\nrouter_settings:\n").is_ok());
    }

    #[test]
    fn variables_come_from_the_environment_first() {
        let config = Config::parse("environment_variables: {A: file, B: file}").unwrap();
        let secret = |name: &str| (name == "A").then(|| "env".to_owned());
        let get = |setting| config.resolve(setting, &secret);
        assert_eq!(get("os.environ/A").as_deref(), Some("env"));
        assert_eq!(get("os.environ/B").as_deref(), Some("file"));
        assert_eq!(get("os.environ/C"), None);
        assert_eq!(get("plain").as_deref(), Some("plain"));
    }
}
