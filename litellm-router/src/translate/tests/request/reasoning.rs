use serde_json::{Value, json};

use super::{messages_to, to};
use crate::translate::reasoning::SIGNATURE;

/// What is said about reasoning for a request with these keys.
fn said(model: &str, keys: Value) -> Value {
    let mut request = json!({"model": "m", "messages": [], "max_tokens": 8_000});
    request
        .as_object_mut()
        .unwrap()
        .extend(keys.as_object().unwrap().clone());
    let sent = to(model, &request).unwrap();
    let mut said = sent.as_object().unwrap().clone();
    said.retain(|key, _| matches!(key.as_str(), "reasoning" | "reasoning_effort" | "thinking"));
    Value::Object(said)
}

#[test]
fn r22_effort_and_budget_become_reasoning_effort() {
    let enabled = |budget: u64| json!({"thinking": {"type": "enabled", "budget_tokens": budget}});
    for model in ["openai/o3", "openai/gpt-5.2", "groq/openai/gpt-oss-120b"] {
        for (keys, effort) in [
            (enabled(1_024), "low"),
            (enabled(10_000), "medium"),
            (enabled(31_999), "high"),
            (json!({"output_config": {"effort": "medium"}}), "medium"),
            (
                json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
                "high",
            ),
            (
                json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}),
                "low",
            ),
        ] {
            assert_eq!(
                said(model, keys),
                json!({"reasoning_effort": effort}),
                "{model}"
            );
        }
        assert_eq!(
            said(model, json!({"thinking": {"type": "adaptive"}})),
            json!({})
        );
        assert_eq!(said(model, json!({})), json!({}));
    }
    let off = json!({"thinking": {"type": "disabled"}});
    assert_eq!(
        said("groq/qwen/qwen3-32b", off),
        json!({"reasoning_effort": "none"})
    );
}

#[test]
fn r22_openrouter_has_an_object_for_it() {
    let x = |keys: Value| said("openrouter/z-ai/glm-4.5", keys);
    assert_eq!(
        x(json!({"thinking": {"type": "enabled", "budget_tokens": 4_000}})),
        json!({"reasoning": {"max_tokens": 4_000}})
    );
    // The answer has 8,000 tokens in all, so thinking cannot have more.
    assert_eq!(
        x(json!({"thinking": {"type": "enabled", "budget_tokens": 31_999}})),
        json!({"reasoning": {"max_tokens": 8_000 - 1_024}})
    );
    assert_eq!(
        x(json!({"thinking": {"type": "enabled", "budget_tokens": 31_999}, "max_tokens": 1_500})),
        json!({"reasoning": {"effort": "low"}})
    );
    assert_eq!(
        x(json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}})),
        json!({"reasoning": {"effort": "xhigh"}})
    );
    assert_eq!(
        x(json!({"thinking": {"type": "adaptive"}})),
        json!({"reasoning": {"enabled": true}})
    );
    assert_eq!(
        x(json!({"thinking": {"type": "disabled"}})),
        json!({"reasoning": {"enabled": false}})
    );
    assert_eq!(x(json!({"output_config": {"effort": "low"}})), json!({}));
    assert_eq!(
        said(
            "openrouter/google/gemini-2.5-pro",
            json!({"thinking": {"type": "disabled"}})
        ),
        json!({"reasoning": {"effort": "low"}})
    );
}

#[test]
fn r22_others_have_a_switch_or_hear_nothing() {
    let adaptive = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
    let off = json!({"thinking": {"type": "disabled"}});
    assert_eq!(
        said("deepseek/deepseek-chat", adaptive.clone()),
        json!({"thinking": {"type": "enabled"}, "reasoning_effort": "high"})
    );
    assert_eq!(
        said("deepseek/deepseek-chat", off.clone()),
        json!({"thinking": {"type": "disabled"}})
    );
    assert_eq!(
        said("moonshot/kimi-k2.5", off.clone()),
        json!({"thinking": {"type": "disabled"}})
    );
    for model in [
        "groq/llama-3.3-70b",
        "openai/gpt-4.1",
        "ollama/llama3",
        "my/own",
    ] {
        assert_eq!(said(model, adaptive.clone()), json!({}), "{model}");
        assert_eq!(said(model, off.clone()), json!({}), "{model}");
    }
}

/// A conversation in which a model has thought and called a tool; thoughts by `signature`.
fn thought(signature: &str) -> Value {
    json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "first", "signature": signature},
            {"type": "tool_use", "id": "a", "name": "T", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "out"}]},
    ])
}

#[test]
fn r23_reasoning_content_goes_back_where_a_call_is_refused_without() {
    for model in [
        "deepseek/deepseek-chat",
        "moonshot/kimi-k2-thinking",
        "openai/kimi-k2.5",
    ] {
        let sent = messages_to(model, thought(SIGNATURE));
        assert_eq!(sent[1]["reasoning_content"], "first", "{model}");
        assert!(sent[1].get("content").is_none());
    }
    // Anthropic's thinking is not for others to read, and something has to be there.
    let sent = messages_to("deepseek/deepseek-chat", thought("Eq=="));
    assert_eq!(sent[1]["reasoning_content"], " ");
    let sent = messages_to("openai/kimi-k2.5", thought("Eq=="));
    assert!(sent[1].get("reasoning_content").is_none());
    for model in ["groq/x", "openai/gpt-4.1", "openrouter/x"] {
        let text = messages_to(model, thought(SIGNATURE)).to_string();
        assert!(
            !text.contains("first") && !text.contains("reasoning"),
            "{text}"
        );
    }
}

#[test]
fn r23_no_reasoning_is_made_up_where_thinking_is_off() {
    let request =
        json!({"model": "m", "messages": thought("Eq=="), "thinking": {"type": "disabled"}});
    let sent = to("deepseek/deepseek-chat", &request).unwrap();
    assert!(sent["messages"][1].get("reasoning_content").is_none());
}

#[test]
fn r23_thinking_in_a_turn_of_its_own_belongs_to_the_call_after_it() {
    let sent = messages_to(
        "deepseek/deepseek-chat",
        json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "first", "signature": SIGNATURE}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "T", "input": {}}]},
        ]),
    );
    assert_eq!(sent[1]["reasoning_content"], "first");
    assert_eq!(sent[1]["tool_calls"][0]["id"], "a");
}
