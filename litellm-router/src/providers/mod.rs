//! The providers that a model's prefix names: where they are, what they speak, whose key they take.

mod reasoning;

pub use reasoning::{Reasoning, Replay, reasoning, replay};

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Anthropic's Messages API: bytes pass through.
    Anthropic,
    /// OpenAI's chat completions: request and answer are translated.
    Chat,
    /// The scripted model in this router: nothing leaves it.
    Demo,
}

/// A provider and what it is particular about.
#[derive(Debug, PartialEq)]
pub struct Provider {
    /// Its prefix in a model's name, without the slash.
    pub name: &'static str,
    pub dialect: Dialect,
    /// Where requests go when the configuration has no `api_base`. Empty: it must have one.
    pub api_base: &'static str,
    /// The variable that holds its key when the configuration has no `api_key`.
    pub key_variable: Option<&'static str>,
    /// The name that it wants for the limit on tokens of an answer.
    pub max_tokens_key: MaxTokensKey,
    /// The lowest temperature that it takes.
    pub least_temperature: f64,
    /// Whether it takes `top_k`, which OpenAI does not have.
    pub takes_top_k: bool,
    /// Whether a hashed `user` is of use there: against abuse, and to find a cache again.
    pub takes_user: bool,
    pub files: Files,
}

/// How a provider takes PDF files, as parts of type `file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    Never,
    /// In base64: <https://platform.openai.com/docs/guides/pdf-files>.
    Data,
    /// In base64 or by address, for every model:
    /// <https://openrouter.ai/docs/features/multimodal/pdfs>.
    DataOrAddress,
}

/// Where a JSON schema for the answer can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schemas {
    /// As `response_format`.
    Anywhere,
    /// As `response_format`, but neither with tools nor in a stream.
    Alone,
    /// In words only.
    Words,
}

/// See [`Provider::max_tokens_key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokensKey {
    MaxTokens,
    MaxCompletionTokens,
}

const fn chat(
    name: &'static str,
    api_base: &'static str,
    key_variable: Option<&'static str>,
) -> Provider {
    Provider {
        name,
        dialect: Dialect::Chat,
        api_base,
        key_variable,
        max_tokens_key: MaxTokensKey::MaxTokens,
        least_temperature: 0.0,
        takes_top_k: false,
        takes_user: false,
        files: Files::Never,
    }
}

static PROVIDERS: [Provider; 13] = [
    Provider {
        max_tokens_key: MaxTokensKey::MaxCompletionTokens,
        // "temperature 0 is converted to 1e-8": https://console.groq.com/docs/openai
        least_temperature: 1e-8,
        ..chat(
            "groq",
            "https://api.groq.com/openai/v1",
            Some("GROQ_API_KEY"),
        )
    },
    Provider {
        takes_top_k: true,
        takes_user: true,
        files: Files::DataOrAddress,
        ..chat(
            "openrouter",
            "https://openrouter.ai/api/v1",
            Some("OPENROUTER_API_KEY"),
        )
    },
    Provider {
        dialect: Dialect::Anthropic,
        ..chat(
            "anthropic",
            "https://api.anthropic.com",
            Some("ANTHROPIC_API_KEY"),
        )
    },
    chat(
        "cerebras",
        "https://api.cerebras.ai/v1",
        Some("CEREBRAS_API_KEY"),
    ),
    Provider {
        takes_user: true,
        files: Files::Data,
        ..chat(
            "openai",
            "https://api.openai.com/v1",
            Some("OPENAI_API_KEY"),
        )
    },
    chat(
        "deepseek",
        "https://api.deepseek.com",
        Some("DEEPSEEK_API_KEY"),
    ),
    chat(
        "moonshot",
        "https://api.moonshot.ai/v1",
        Some("MOONSHOT_API_KEY"),
    ),
    // Servers of one's own, which usually take no key.
    chat("ollama", "http://localhost:11434/v1", None),
    chat("ollama_chat", "http://localhost:11434/v1", None),
    Provider {
        takes_top_k: true,
        ..chat("lm_studio", "http://localhost:1234/v1", None)
    },
    Provider {
        takes_top_k: true,
        ..chat("hosted_vllm", "", None)
    },
    chat("custom_openai", "", None),
    Provider {
        dialect: Dialect::Demo,
        ..chat("demo", "", None)
    },
];

/// A server that speaks chat completions and has no name of its own.
pub static OPENAI_COMPATIBLE: Provider = chat("openai-compatible", "", None);

/// Finds the provider of `model` and the name by which that provider knows the model.
///
/// `groq/openai/gpt-oss-120b` is `openai/gpt-oss-120b` at Groq. A name without a known prefix is
/// Anthropic's when it begins with `claude-`, and otherwise the whole name at a server that only
/// `api_base` can say.
pub fn split(model: &str) -> (&'static Provider, &str) {
    if let Some((prefix, rest)) = model.split_once('/')
        && let Some(provider) = named(prefix)
    {
        return (provider, rest);
    }
    let fallback = if model.starts_with("claude-") {
        named("anthropic")
    } else {
        None
    };
    (fallback.unwrap_or(&OPENAI_COMPATIBLE), model)
}

/// The variables that usually hold providers' keys.
pub fn key_variables() -> impl Iterator<Item = &'static str> {
    PROVIDERS
        .iter()
        .filter_map(|provider| provider.key_variable)
}

fn named(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.name == name)
}

/// Whether a model of OpenAI's reasons, and so wants `max_completion_tokens` and no temperature.
/// The names are those of <https://platform.openai.com/docs/guides/reasoning>.
pub fn is_openai_reasoning(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let o_series = name
        .strip_prefix('o')
        .and_then(|rest| rest.chars().next())
        .is_some_and(|first| first.is_ascii_digit());
    o_series || name.starts_with("gpt-5")
}

/// Whether marks for Anthropic's prompt cache go on to Claude behind this provider. OpenRouter has no
/// endpoint for other models with them
/// (<https://openrouter.ai/docs/features/prompt-caching>).
pub fn takes_cache_marks(provider: &Provider, model: &str) -> bool {
    provider.name == "openrouter" && model.to_ascii_lowercase().contains("claude")
}

/// Where `model` takes a schema. Groq: <https://console.groq.com/docs/structured-outputs>; DeepSeek
/// and Moonshot know `json_object` alone
/// (<https://api-docs.deepseek.com/guides/json_mode>).
pub fn schemas(provider: &Provider, model: &str) -> Schemas {
    const AT_GROQ: [&str; 3] = ["gpt-oss", "kimi-k2", "llama-4"];
    match provider.name {
        "groq" if AT_GROQ.iter().any(|name| model.contains(name)) => Schemas::Alone,
        "groq" | "deepseek" | "moonshot" => Schemas::Words,
        _ => Schemas::Anywhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_names_the_provider() {
        for (model, provider, rest) in [
            ("groq/openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
            ("openrouter/z-ai/glm-4.5", "openrouter", "z-ai/glm-4.5"),
            ("claude-haiku-5-5", "anthropic", "claude-haiku-5-5"),
            ("anthropic/claude-x", "anthropic", "claude-x"),
            ("my/own", "openai-compatible", "my/own"),
            ("demo/scripted", "demo", "scripted"),
        ] {
            let (found, name) = split(model);
            assert_eq!((found.name, name), (provider, rest));
        }
    }

    #[test]
    fn openais_reasoning_models_are_known_by_name() {
        assert!(is_openai_reasoning("o3-mini"));
        assert!(is_openai_reasoning("openai/gpt-5.2"));
        assert!(!is_openai_reasoning("openai/gpt-oss-120b"));
        assert!(!is_openai_reasoning("opus"));
    }
}
