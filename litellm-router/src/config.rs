//! `litellm_config.yaml`: LiteLLM's own format, as far as this router acts on it
//! (<https://docs.litellm.ai/docs/proxy/config_settings>).
//!
//! A key that is read here is acted on. Every other key ends up in [`Config::warnings`] with its
//! path, so that nobody believes in a setting that does nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::providers::{self, Dialect};
use crate::spend::Limits;
use crate::yaml;

/// The configuration that is part of the program.
pub const BUNDLED: &str = include_str!("../litellm_config.yaml");

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

/// See [`Routing::deadline_s`], where the configuration does not say.
const DEADLINE_S: f64 = 1_800.0;

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
    timeout: Option<f64>,
    exponential_backoff: Option<bool>,
}

/// Whole answers that are kept and given again for the same request.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheSettings {
    /// Seconds that an answer is kept.
    pub ttl_s: f64,
    /// Whether requests with tools are answered from it as well. An addition to LiteLLM's keys: an
    /// agent that gets the same tool call twice may run in circles.
    pub with_tools: bool,
    /// The most bytes of all answers together. An addition to LiteLLM's keys.
    pub max_bytes: usize,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    model_list: Option<Vec<ModelEntry>>,
    router_settings: Option<RouterSettings>,
    litellm_settings: Option<LitellmSettings>,
    general_settings: Option<GeneralSettings>,
    environment_variables: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RouterSettings {
    routing_strategy: Option<Strategy>,
    num_retries: Option<u32>,
    retry_policy: Option<RetryPolicy>,
    retry_after: Option<f64>,
    allowed_fails: Option<u32>,
    cooldown_time: Option<f64>,
    disable_cooldowns: Option<bool>,
    enable_pre_call_checks: Option<bool>,
    fallbacks: Option<Vec<Fallbacks>>,
    default_fallbacks: Option<Vec<String>>,
    context_window_fallbacks: Option<Vec<Fallbacks>>,
    content_policy_fallbacks: Option<Vec<Fallbacks>>,
    max_fallbacks: Option<usize>,
    model_group_alias: Option<BTreeMap<String, Alias>>,
    timeout: Option<f64>,
    stream_timeout: Option<f64>,
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
    model: String,
    #[serde(default)]
    hidden: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LitellmSettings {
    request_timeout: Option<f64>,
    drop_params: Option<bool>,
    num_retries: Option<u32>,
    allowed_fails: Option<u32>,
    cooldown_time: Option<f64>,
    fallbacks: Option<Vec<Fallbacks>>,
    default_fallbacks: Option<Vec<String>>,
    context_window_fallbacks: Option<Vec<Fallbacks>>,
    content_policy_fallbacks: Option<Vec<Fallbacks>>,
    cache: Option<bool>,
    cache_params: Option<CacheParams>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CacheParams {
    #[serde(rename = "type")]
    kind: Option<CacheKind>,
    ttl: Option<f64>,
    with_tools: Option<bool>,
    max_bytes: Option<usize>,
}

/// The only place where answers are kept is this process's memory.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CacheKind {
    Local,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GeneralSettings {
    master_key: Option<String>,
    keys: Option<Vec<HandedOutKey>>,
    session_limits: Option<Limits>,
    allowed_origins: Option<Vec<String>>,
}

/// A key that callers may present instead of the master key.
#[derive(Debug, Clone, Deserialize)]
pub struct HandedOutKey {
    /// What limits, logs and spending call it.
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
    /// which knows more of them. What this router plays itself stays here.
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
                entry.litellm_params = through(&entry.model_name);
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
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let document = yaml::read::<Option<File>>(yaml).map_err(|error| error.to_string())?;
        let file = document.value.unwrap_or_default();
        let unknown = document.unknown.into_iter();
        let mut warnings: Vec<String> = unknown
            .map(|path| format!("{path} has no effect in this router"))
            .collect();

        let models = file.model_list.unwrap_or_default();
        for (index, entry) in models.iter().enumerate() {
            check(entry).map_err(|what| format!("model_list.{index} {what}"))?;
        }
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
        let cache = cache(&litellm);
        let routing = routing(file.router_settings.unwrap_or_default(), litellm)?;
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

fn check(entry: &ModelEntry) -> Result<(), String> {
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

fn positive(value: Option<f64>) -> Result<(), &'static str> {
    match value {
        Some(value) if !value.is_finite() || value < 0.0 => Err("must not be negative"),
        _ => Ok(()),
    }
}

fn cache(litellm: &LitellmSettings) -> Option<CacheSettings> {
    if litellm.cache != Some(true) {
        return None;
    }
    let params = litellm.cache_params.as_ref();
    // There is one type, and no setting means that one.
    let _ = params.and_then(|params| params.kind.as_ref());
    Some(CacheSettings {
        ttl_s: params.and_then(|params| params.ttl).unwrap_or(600.0),
        with_tools: params.and_then(|params| params.with_tools).unwrap_or(false),
        max_bytes: params
            .and_then(|params| params.max_bytes)
            .unwrap_or(16 * 1024 * 1024),
    })
}

fn routing(router: RouterSettings, litellm: LitellmSettings) -> Result<Routing, String> {
    let defaults = Routing::default();
    for (key, value) in [
        ("router_settings.timeout", router.timeout),
        ("router_settings.stream_timeout", router.stream_timeout),
        ("router_settings.cooldown_time", router.cooldown_time),
        ("litellm_settings.request_timeout", litellm.request_timeout),
    ] {
        positive(value).map_err(|what| format!("{key} {what}"))?;
    }
    let policy = router.retry_policy.unwrap_or_default();
    let timeout_s = router.timeout.or(litellm.request_timeout);
    Ok(Routing {
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
    })
}

fn merged(lists: Option<Vec<Fallbacks>>) -> Fallbacks {
    lists.into_iter().flatten().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_effect_is_named_with_its_path() {
        let config = Config::parse(
            "model_list:\n\
             - model_name: a\n\
             \x20 litellm_params: {model: groq/a, rpm: 10, tags: [x]}\n\
             \x20 model_info: {mode: chat}\n\
             router_settings:\n\
             \x20 routing_strategy: least-busy\n\
             \x20 redis_host: r\n\
             \x20 model_group_alias: {b: {model: a, hidden: true, colour: red}}\n\
             callbacks: [prometheus]\n",
        )
        .unwrap();
        assert_eq!(config.models.len(), 1);
        assert!(config.routing.aliases.get("b").unwrap().hidden);
        insta::assert_snapshot!(config.warnings.join("\n"), @"
        model_list.0.litellm_params.tags has no effect in this router
        model_list.0.model_info.mode has no effect in this router
        router_settings.redis_host has no effect in this router
        router_settings.model_group_alias.b.colour has no effect in this router
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
        let error = Config::parse("router_settings:\n  routing_strategy: fastest\n").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("least-busy"),
            "{error}"
        );
        let error =
            Config::parse("model_list: [{model_name: a, litellm_params: {model: b, timeout: -1}}]")
                .unwrap_err();
        assert!(error.contains("timeout must not be negative"), "{error}");
    }

    #[test]
    fn an_empty_file_and_empty_sections_are_fine() {
        assert!(Config::parse("").unwrap().models.is_empty());
        assert!(Config::parse("model_list:\nrouter_settings:\n").is_ok());
    }

    #[test]
    fn variables_come_from_the_environment_first() {
        let config = Config::parse("environment_variables: {A: file, B: file}").unwrap();
        let environment = |name: &str| (name == "A").then(|| "env".to_owned());
        let get = |setting| config.resolve(setting, &environment);
        assert_eq!(get("os.environ/A").as_deref(), Some("env"));
        assert_eq!(get("os.environ/B").as_deref(), Some("file"));
        assert_eq!(get("os.environ/C"), None);
        assert_eq!(get("plain").as_deref(), Some("plain"));
    }

    #[test]
    fn router_settings_come_before_litellm_settings_and_both_forms_of_a_retry_policy_are_read() {
        let routing = |yaml| Config::parse(yaml).unwrap().routing;
        let both = routing(
            "router_settings: {num_retries: 4, retry_policy: {RateLimitErrorRetries: 7}}\n\
             litellm_settings: {num_retries: 9, allowed_fails: 3, request_timeout: 30,\n\
             \x20 fallbacks: [{a: [b]}, {c: [d, e]}]}",
        );
        assert_eq!((both.retries, both.allowed_fails), (4, Some(3)));
        assert_eq!(both.retry_policy.rate_limit, Some(7));
        assert_eq!(both.fallbacks.get("c").unwrap(), &["d", "e"]);
        let short = routing(
            "router_settings: {num_retries: 4,\n\
             \x20 retry_policy: {max_retries: 1, timeout: 20, exponential_backoff: false}}",
        );
        assert_eq!((short.retries, short.exponential_backoff), (1, false));
        assert!((short.deadline_s - 20.0).abs() < f64::EPSILON);
        assert_eq!(both.timeout_s, Some(30.0));
        assert!(both.deadline_s > 90.0);
        assert_eq!(routing(""), Routing::default());
    }

    #[test]
    fn a_cache_of_another_kind_is_refused() {
        let yaml = "litellm_settings: {cache: true, cache_params: {type: redis}}";
        assert!(Config::parse(yaml).unwrap_err().contains("redis"));
        let yaml = "litellm_settings: {cache: true, cache_params: {type: local, ttl: 5}}";
        assert!((Config::parse(yaml).unwrap().cache.unwrap().ttl_s - 5.0).abs() < f64::EPSILON);
        assert_eq!(
            Config::parse("litellm_settings: {cache: false}")
                .unwrap()
                .cache,
            None
        );
    }
}
