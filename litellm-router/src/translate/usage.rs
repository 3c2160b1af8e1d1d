//! Counts of tokens, wherever a provider puts them.

use serde_json::Value;

use crate::reply::Usage;

/// Usage in Anthropic's terms: what came from a cache or went into one does not count as input.
///
/// It stands in `usage`, in Groq's `x_groq.usage` or in Moonshot's `choices[0].usage`. Nothing that
/// can be read is as good as nothing at all: `None`.
pub fn usage_in(value: &Value) -> Option<Usage> {
    let choices = value.get("choices").and_then(Value::as_array);
    usage_of([
        value.get("usage"),
        value.get("x_groq").and_then(|groq| groq.get("usage")),
        choices.and_then(|choices| choices.first()?.get("usage")),
    ])
}

/// The same, from what stands in these places.
pub fn usage_of(places: [Option<&Value>; 3]) -> Option<Usage> {
    let mut places = places.into_iter().flatten();
    let usage = places.find(|usage| usage.is_object())?;
    let first = |pointers: &[&str]| {
        let mut found = pointers.iter().filter_map(|pointer| usage.pointer(pointer));
        found.find_map(whole_number)
    };
    let input = first(&["/prompt_tokens"]);
    let output = first(&["/completion_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    let cached = first(&[
        "/prompt_tokens_details/cached_tokens",
        "/prompt_cache_hit_tokens",
        "/cached_tokens",
    ])
    .unwrap_or(0);
    let written = first(&["/prompt_tokens_details/cache_write_tokens"]).unwrap_or(0);
    Some(Usage {
        input_tokens: input
            .unwrap_or(0)
            .saturating_sub(cached)
            .saturating_sub(written),
        cache_creation_input_tokens: written,
        cache_read_input_tokens: cached,
        output_tokens: output.unwrap_or(0),
    })
}

/// A count that may come as `12`, `12.0`, `"12"` or nonsense.
fn whole_number(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        value => value.as_f64()?,
    };
    (0.0..1e15).contains(&number).then_some(number as u64)
}
