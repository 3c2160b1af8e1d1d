//! What a provider says about waiting, in the headers that Anthropic's clients read.

/// The headers of a provider's response that a client acts on or that a person asks for, in the
/// names that Anthropic's clients know. `get` reads a header of the response by its lower-case name.
pub fn kept_headers(get: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    const SAME: [&str; 3] = ["retry-after", "retry-after-ms", "x-should-retry"];
    let mut kept: Vec<(String, String)> = SAME
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), get(name)?)))
        .collect();
    if let Some(id) = get("request-id").or_else(|| get("x-request-id")) {
        kept.push(("request-id".into(), id));
    }
    if !kept.iter().any(|(name, _)| name == "retry-after") {
        let waits = ["x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"];
        let exhausted = [
            "x-ratelimit-remaining-requests",
            "x-ratelimit-remaining-tokens",
        ];
        let seconds = waits
            .iter()
            .zip(exhausted)
            .filter(|(_, remaining)| get(remaining).is_some_and(|left| left.trim() == "0"))
            .filter_map(|(reset, _)| duration_seconds(&get(reset)?))
            .max();
        if let Some(seconds) = seconds {
            kept.push(("retry-after".into(), seconds.to_string()));
        }
    }
    kept
}

/// Groq's and OpenAI's way to write a duration ("1.57s", "2m59.56s", "120ms"), in seconds, rounded up.
pub(super) fn duration_seconds(text: &str) -> Option<u64> {
    let mut total = 0.0_f64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit_on) = rest.split_at_checked(end)?;
        let unit_end = unit_on
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit_on.len());
        let (unit, next) = unit_on.split_at_checked(unit_end)?;
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    (total.is_finite() && total >= 0.0).then_some(total.ceil() as u64)
}
