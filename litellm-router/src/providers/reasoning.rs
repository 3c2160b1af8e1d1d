//! How each provider wants to be told about reasoning, and what of it it wants back.

use super::{Provider, is_openai_reasoning};

/// How a model's reasoning is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reasoning {
    /// Nothing is said: the model does not reason, or takes no word about it.
    Unsaid,
    /// `reasoning_effort`, with the words for no, little, some and much of it.
    Effort {
        off: &'static str,
        low: &'static str,
        medium: &'static str,
        high: &'static str,
    },
    /// OpenRouter's `reasoning` object. `mandatory`: the model cannot be told not to reason.
    Object { mandatory: bool },
    /// `thinking: {"type": "enabled" | "disabled"}`, and `reasoning_effort` where `effort` says so.
    Switch { effort: bool },
}

/// What has to go back of the reasoning in earlier answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    Nothing,
    /// Its text as `reasoning_content`. `required`: a message with a tool call is refused without.
    Content {
        required: bool,
    },
    /// OpenRouter's `reasoning_details`, unmodified.
    Details,
}

/// Where a model that reasons always takes at least a little, this is as near to none as it gets.
const LEVELS: Reasoning = Reasoning::Effort {
    off: "low",
    low: "low",
    medium: "medium",
    high: "high",
};

/// How to ask `model` at `provider`. Sources:
///
/// - OpenAI: <https://platform.openai.com/docs/guides/reasoning>; `low` to `high` are the values
///   that all its reasoning models take.
/// - gpt-oss takes `low` to `high` wherever it runs: <https://console.groq.com/docs/reasoning>,
///   <https://inference-docs.cerebras.ai/capabilities/reasoning>,
///   <https://docs.ollama.com/capabilities/thinking>.
/// - Groq's Qwen 3 takes `none` and `default`: <https://console.groq.com/docs/reasoning>.
/// - OpenRouter: <https://openrouter.ai/docs/use-cases/reasoning-tokens>; it leaves the object out
///   for models that do not reason.
/// - DeepSeek: <https://api-docs.deepseek.com/guides/thinking_mode>; all levels are accepted.
/// - Moonshot's Kimi: the switch came with K2.5, <https://platform.moonshot.ai/docs>.
pub fn reasoning(provider: &Provider, model: &str) -> Reasoning {
    let name = model.to_ascii_lowercase();
    match provider.name {
        "openrouter" => Reasoning::Object {
            mandatory: reasons_always(&name),
        },
        "deepseek" => Reasoning::Switch { effort: true },
        "moonshot" if name.starts_with("kimi-k2.") => Reasoning::Switch { effort: false },
        "groq" if name.contains("qwen3") => Reasoning::Effort {
            off: "none",
            low: "default",
            medium: "default",
            high: "default",
        },
        _ if name.contains("gpt-oss") => LEVELS,
        "groq" => Reasoning::Unsaid,
        _ if is_openai_reasoning(&name) => LEVELS,
        _ => Reasoning::Unsaid,
    }
}

/// OpenRouter refuses `enabled: false` for these ("Reasoning is mandatory for this endpoint").
fn reasons_always(name: &str) -> bool {
    const ALWAYS: [&str; 8] = [
        "gpt-oss",
        "gemini-2.5-pro",
        "gemini-3",
        "minimax-m",
        "grok-4",
        "deepseek-r1",
        "-thinking",
        ":thinking",
    ];
    is_openai_reasoning(name) || ALWAYS.iter().any(|part| name.contains(part))
}

/// What `model` at `provider` wants back. Sources: DeepSeek and Moonshot refuse a tool call of the
/// past without `reasoning_content` (<https://api-docs.deepseek.com/guides/thinking_mode>,
/// <https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model>); OpenRouter needs
/// `reasoning_details` for Claude and Gemini to go on after a tool call
/// (<https://openrouter.ai/docs/use-cases/reasoning-tokens>).
pub fn replay(provider: &Provider, model: &str) -> Replay {
    // Servers that run such a model under an interface of their own, reached by `api_base`.
    const OPEN: [&str; 4] = [
        "openai",
        "openai-compatible",
        "custom_openai",
        "hosted_vllm",
    ];
    let name = model.to_ascii_lowercase();
    match provider.name {
        "openrouter" => Replay::Details,
        "deepseek" | "moonshot" => Replay::Content { required: true },
        open if OPEN.contains(&open) && (name.contains("deepseek") || name.contains("kimi")) => {
            Replay::Content { required: false }
        }
        _ => Replay::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::super::split;
    use super::*;

    #[test]
    fn r22_each_model_is_asked_in_its_own_words() {
        let asked = |model: &str| {
            let (provider, model) = split(model);
            reasoning(provider, model)
        };
        for model in [
            "openai/o3",
            "openai/gpt-5.2",
            "groq/openai/gpt-oss-120b",
            "cerebras/gpt-oss-120b",
            "ollama/gpt-oss:20b",
        ] {
            assert_eq!(asked(model), LEVELS, "{model}");
        }
        for model in [
            "openai/gpt-4.1",
            "groq/llama-3.3-70b-versatile",
            "ollama/llama3",
            "moonshot/kimi-k2-0905-preview",
        ] {
            assert_eq!(asked(model), Reasoning::Unsaid, "{model}");
        }
        let object = |mandatory| Reasoning::Object { mandatory };
        assert_eq!(asked("openrouter/anthropic/claude-x"), object(false));
        assert_eq!(asked("openrouter/google/gemini-2.5-pro"), object(true));
        assert_eq!(
            asked("deepseek/deepseek-chat"),
            Reasoning::Switch { effort: true }
        );
        assert!(matches!(
            asked("groq/qwen/qwen3-32b"),
            Reasoning::Effort { off: "none", .. }
        ));
    }

    #[test]
    fn r23_each_model_gets_back_what_it_needs() {
        let wanted = |model: &str| {
            let (provider, model) = split(model);
            replay(provider, model)
        };
        assert_eq!(wanted("openrouter/google/gemini-3-pro"), Replay::Details);
        assert_eq!(
            wanted("moonshot/kimi-k2-thinking"),
            Replay::Content { required: true }
        );
        assert_eq!(
            wanted("hosted_vllm/deepseek-ai/DeepSeek-V3.2"),
            Replay::Content { required: false }
        );
        assert_eq!(wanted("groq/moonshotai/kimi-k2-instruct"), Replay::Nothing);
    }
}
