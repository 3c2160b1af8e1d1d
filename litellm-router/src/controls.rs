//! What LiteLLM reads of a request's body beside the provider's own parameters
//! (<https://docs.litellm.ai/docs/proxy/reliability>,
//! <https://docs.litellm.ai/docs/completion/input>).
//!
//! Four of these keys are acted on: how often and how long a call is tried, where else, and whether
//! the cache is asked. Most of the others choose what callers have no business with here, such as addresses, keys and prices. No
//! provider knows any of them, and some refuse a request for one, so none goes upstream.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json;

/// LiteLLM's own keys. Not `metadata` and `user`, which OpenAI has as well.
const OWN: [&str; 41] = [
    "additional_drop_params",
    "allowed_model_region",
    "api_base",
    "api_key",
    "api_version",
    "base_url",
    "cache",
    "caching",
    "content_policy_fallbacks",
    "context_window_fallback_dict",
    "context_window_fallbacks",
    "custom_llm_provider",
    "default_fallbacks",
    "disable_fallbacks",
    "drop_params",
    "extra_headers",
    "fallbacks",
    "guardrails",
    "headers",
    "input_cost_per_token",
    "litellm_call_id",
    "litellm_metadata",
    "litellm_session_id",
    "litellm_trace_id",
    "max_fallbacks",
    "max_retries",
    "mock_response",
    "mock_testing_content_policy_fallbacks",
    "mock_testing_context_fallbacks",
    "mock_testing_fallbacks",
    "mock_testing_rate_limit_error",
    "mock_timeout",
    "no-log",
    "num_retries",
    "output_cost_per_token",
    "prompt_id",
    "request_timeout",
    "retry_policy",
    "stream_timeout",
    "tags",
    "timeout",
];

/// The most groups that a caller may name.
const MOST_FALLBACKS: usize = 20;

/// Whether a key of a request is LiteLLM's own.
pub fn is_own(key: &str) -> bool {
    OWN.binary_search(&key).is_ok()
}

/// Whether a key of a request has OpenRouter choose what answers or what it costs, beside the model
/// that was asked for: other models and ways to fall back on them, presets that hold such settings,
/// providers by price, paid plugins, and what is cut from a prompt to fit another model
/// (<https://openrouter.ai/docs/features/model-routing>, `/presets`, `/provider-routing`,
/// `/message-transforms`).
pub fn chooses_what_answers(key: &str) -> bool {
    matches!(
        key,
        "models" | "route" | "preset" | "provider" | "plugins" | "transforms"
    )
}

/// Whether a model's name chooses a preset of OpenRouter's, which may hold any other model.
pub fn names_a_preset(model: &str) -> bool {
    model.contains("@preset/")
}

/// What a caller asks of the router itself. What is not understood is not asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Controls {
    /// Whether the body has any of LiteLLM's own keys.
    pub any: bool,
    /// How often the call is tried again, in place of the configuration's number for all errors.
    pub num_retries: Option<u32>,
    /// Milliseconds that an attempt may take, if that is less than the deployment's own.
    pub timeout_ms: Option<u32>,
    /// The models to fall back on, in place of the configuration's.
    pub fallbacks: Vec<String>,
    /// No answer from the cache is wanted, and none is to be kept there.
    pub no_cache: bool,
    pub no_store: bool,
}

impl Controls {
    fn hear(&mut self, key: &str, value: &RawValue) {
        self.any = true;
        let value = || json::read::<Value>(value.get()).unwrap_or_default();
        match key {
            "num_retries" => {
                let number = value().as_u64();
                self.num_retries = number.and_then(|number| u32::try_from(number).ok());
            }
            "timeout" => {
                let seconds = value().as_f64().filter(|seconds| *seconds > 0.0);
                self.timeout_ms = seconds.map(crate::deployment::milliseconds);
            }
            "cache" => {
                let value = value();
                let says = |word: &str| value.get(word) == Some(&Value::Bool(true));
                (self.no_cache, self.no_store) = (says("no-cache"), says("no-store"));
            }
            "fallbacks" => self.fallbacks = names_in(&value()),
            _ => {}
        }
    }
}

/// `["b", "c"]`, `[{"model": "b"}]`, or as in the configuration `[{"a": ["b", "c"]}]`.
fn names_in(value: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for entry in value.as_array().into_iter().flatten() {
        match entry {
            Value::String(name) => names.push(name.clone()),
            Value::Object(entry) => {
                let values = entry.values().flat_map(|value| match value {
                    Value::Array(names) => names.iter().collect(),
                    other => vec![other],
                });
                names.extend(values.filter_map(Value::as_str).map(str::to_owned));
            }
            _ => {}
        }
    }
    names.truncate(MOST_FALLBACKS);
    names
}

/// Reads a body, and beside it what it asks of the router.
///
/// # Errors
/// Where it is no JSON, or no such object.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<(T, Controls)> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let mut controls = Controls::default();
    let sifting = Sifting {
        controls: &mut controls,
        read: PhantomData,
    };
    let read = reader.deserialize_map(sifting)?;
    reader.end()?;
    Ok((read, controls))
}

struct Sifting<'c, T> {
    controls: &'c mut Controls,
    read: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Sifting<'_, T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
        let sifted = Sifted {
            entries,
            controls: self.controls,
        };
        T::deserialize(MapAccessDeserializer::new(sifted))
    }
}

/// An object without LiteLLM's own keys, which are heard on the way.
struct Sifted<'c, A> {
    entries: A,
    controls: &'c mut Controls,
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Sifted<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(Key(key)) = self.entries.next_key()? {
            if !is_own(&key) {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            let value = self.entries.next_value()?;
            self.controls.hear(&key, value);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.entries.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Body<'a> {
        #[serde(borrow)]
        model: Cow<'a, str>,
    }

    fn controls(body: &str) -> Controls {
        read::<Body>(body.as_bytes()).unwrap().1
    }

    #[test]
    fn the_list_is_in_the_order_in_which_it_is_searched() {
        assert!(OWN.is_sorted());
        assert!(OWN.iter().all(|key| is_own(key)));
        assert!(!is_own("metadata") && !is_own("user") && !is_own("cache_control"));
    }

    #[test]
    fn what_a_caller_asks_of_the_router_is_heard() {
        let all = r#"{"num_retries": 0, "timeout": 1.5, "model": "m", "fallbacks": ["b", {"model": "c"},
            {"m": ["d", "e"]}], "cache": {"no-cache": true}, "tags": [1], "other": 7}"#;
        let heard = Controls {
            any: true,
            num_retries: Some(0),
            timeout_ms: Some(1_500),
            fallbacks: ["b", "c", "d", "e"].map(str::to_owned).into(),
            no_cache: true,
            no_store: false,
        };
        assert_eq!(controls(all), heard);
        assert_eq!(
            controls(r#"{"model": "m", "x": {"timeout": 1}}"#),
            Controls::default()
        );
        let (body, _) = read::<Body>(all.as_bytes()).unwrap();
        assert!(matches!(body.model, Cow::Borrowed("m")));
    }

    #[test]
    fn what_is_not_understood_is_not_asked() {
        for odd in [
            r#""num_retries": -1, "timeout": "soon", "fallbacks": "b""#,
            r#""num_retries": 1e99, "timeout": -1, "fallbacks": {"b": 1}"#,
            r#""num_retries": null, "timeout": null, "fallbacks": [7, [["b"]], null]"#,
        ] {
            let heard = controls(&format!(r#"{{{odd}, "model": "m"}}"#));
            let nothing = Controls {
                any: true,
                ..Controls::default()
            };
            assert_eq!(heard, nothing, "{odd}");
        }
        let many = vec!["\"b\""; 10_000].join(",");
        let many = controls(&format!(r#"{{"model": "m", "fallbacks": [{many}]}}"#));
        assert_eq!(many.fallbacks.len(), MOST_FALLBACKS);
    }

    #[test]
    fn what_is_no_such_object_is_refused() {
        for wrong in [
            "",
            "[]",
            "[\"m\"]",
            "7",
            "{}",
            r#"{"model": "m"} x"#,
            r#"{"timeout": }"#,
        ] {
            assert!(read::<Body>(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
