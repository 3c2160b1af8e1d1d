//! Errors in Anthropic's shape, and how a provider's own errors become them.
//!
//! Anthropic's shape is `{"type":"error","error":{"type","message"}}`
//! (<https://docs.anthropic.com/en/api/errors>). A client decides by status, type and sometimes the
//! wording what it does next: wait, shorten the conversation, or give up. So a provider's message is
//! kept, and only what would send the client the wrong way is changed.

use serde_json::{Value, json};

use crate::answer::Answer;

/// Anthropic's error type for a status.
pub fn kind_of(status: u16) -> &'static str {
    match status {
        400 | 405 | 422 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// A call that ends without a model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub kind: &'static str,
    /// For the caller to read; holds no secret and no internal address.
    pub message: String,
    /// Headers that tell the client when to come back, and the provider's own request id.
    pub headers: Vec<(String, String)>,
}

impl Refusal {
    /// An error with the type that belongs to `status`.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind_of(status),
            message: message.into(),
            headers: Vec::new(),
        }
    }

    /// The same with a type of its own.
    pub fn with_kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// Tells clients of Anthropic's SDKs not to try again: they obey `x-should-retry`.
    pub fn final_(mut self) -> Self {
        self.headers.push(("x-should-retry".into(), "false".into()));
        self
    }

    /// The body, as Anthropic would have written it.
    pub fn body(&self) -> Value {
        json!({"type": "error", "error": {"type": self.kind, "message": self.message}})
    }

    /// The whole HTTP answer.
    pub fn answer(&self) -> Answer {
        let mut answer = Answer::json(self.status, &self.body());
        answer.headers.extend(self.headers.iter().cloned());
        answer
    }
}

/// Whose key went upstream; decides what a provider's 401 means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOwner {
    /// The caller's own: its provider's refusal is the caller's business, unchanged.
    Caller,
    /// The router's: a refusal is the operator's business. A 401 would make the client drop a login
    /// that is fine.
    Router,
}

/// Reads the text of an error out of a chat provider's body, whatever shape it has.
///
/// Known shapes: `{"error":{"message"}}` (OpenAI, Groq, OpenRouter), `{"error":"text"}` (Ollama),
/// `{"object":"error","message"}` (vLLM), `{"detail"}` (FastAPI). Anything else is shown as text.
pub fn message_in(body: &[u8]) -> String {
    const SHOWN: usize = 2_000;
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let error = value.get("error").unwrap_or(&value);
        let text = error
            .as_str()
            .or_else(|| error.get("message").and_then(Value::as_str))
            .or_else(|| value.get("message").and_then(Value::as_str))
            .or_else(|| value.get("detail").and_then(Value::as_str));
        if let Some(text) = text {
            // OpenRouter wraps what the provider behind it said; that is the part that explains.
            let raw = error.pointer("/metadata/raw").and_then(Value::as_str);
            return match raw {
                Some(raw) if !raw.is_empty() && raw != text => {
                    format!("{text}: {}", shorten(raw, SHOWN))
                }
                _ => shorten(text, SHOWN),
            };
        }
    }
    shorten(String::from_utf8_lossy(body).trim(), SHOWN)
}

fn shorten(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Turns a chat provider's error into the one that Anthropic would have given.
///
/// `status` is the provider's, or the code inside its body where the status said 200. `code` is the
/// body's own error code, `headers` are those worth keeping (see [`kept_headers`]).
pub fn from_provider(
    provider: &str,
    status: u16,
    body: &[u8],
    owner: KeyOwner,
    headers: Vec<(String, String)>,
) -> Refusal {
    let message = message_in(body);
    let code = code_in(body);
    let told = status;
    let (status, kind, message) = classify(provider, status, code.as_deref(), message, owner);
    let mut refusal = Refusal::new(status, message).with_kind(kind);
    refusal.headers = headers;
    // The router's key was refused, or the address was: neither changes by asking again.
    let is_final = matches!(told, 300..=399 | 401..=403) && owner == KeyOwner::Router;
    if is_final && status == 502 {
        refusal = refusal.final_();
    }
    refusal
}

fn classify(
    provider: &str,
    status: u16,
    code: Option<&str>,
    message: String,
    owner: KeyOwner,
) -> (u16, &'static str, String) {
    // Groq's 413 counts tokens a minute: waiting helps, shortening the conversation does not.
    if status == 413 && code == Some("rate_limit_exceeded") {
        return (429, "rate_limit_error", named(provider, message));
    }
    // The model wrote a call that Groq could not read; the same request may well succeed the next
    // time, and clients try again after a 500 but not after a 400.
    if code == Some("tool_use_failed") {
        return (500, "api_error", named(provider, message));
    }
    if matches!(status, 400 | 413 | 422) && is_context_overflow(code, &message) {
        return (400, "invalid_request_error", too_long(&message));
    }
    if status < 400 {
        // A redirect is not followed, because it would take the key elsewhere.
        let message = format!("{provider} answered with status {status}");
        return (502, "api_error", message);
    }
    match status {
        401..=403 if owner == KeyOwner::Router => (
            502,
            "api_error",
            format!("{provider} refused the router's own key with status {status}: {message}"),
        ),
        // A provider's "no such path" or "no such model" as it is; the wording says which.
        _ => (status, kind_of(status), named(provider, message)),
    }
}

fn named(provider: &str, message: String) -> String {
    if message.is_empty() {
        format!("{provider} answered with an error and no text")
    } else {
        format!("{provider}: {message}")
    }
}

fn code_in(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    match value.pointer("/error/code")? {
        Value::String(code) => Some(code.clone()),
        Value::Number(code) => Some(code.to_string()),
        _ => None,
    }
}

/// The status that an error object inside a 200 body or an event names, 502 where it names none.
pub fn status_in(error: &Value) -> u16 {
    ["code", "status_code", "status"]
        .iter()
        .filter_map(|key| error.get(key))
        .filter_map(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()))
        .filter_map(|code| u16::try_from(code).ok())
        .find(|code| (400..=599).contains(code))
        .unwrap_or(502)
}

fn is_context_overflow(code: Option<&str>, message: &str) -> bool {
    if code == Some("context_length_exceeded") {
        return true;
    }
    let message = message.to_ascii_lowercase();
    [
        "context length",
        "context window",
        "maximum context",
        "prompt is too long",
        "too many tokens",
        "reduce the length of the messages",
        "input is too long",
    ]
    .iter()
    .any(|wording| message.contains(wording))
}

/// Anthropic's wording, by which Claude Code knows that it has to compact the conversation.
fn too_long(message: &str) -> String {
    let mut numbers = message
        .split(|c: char| !c.is_ascii_digit() && c != ',')
        .filter_map(|digits| digits.replace(',', "").parse::<u64>().ok())
        .filter(|number| *number >= 256);
    match (numbers.next(), numbers.next()) {
        (Some(a), Some(b)) if a != b => format!(
            "prompt is too long: {} tokens > {} maximum",
            a.max(b),
            a.min(b)
        ),
        _ => format!("prompt is too long: {message}"),
    }
}

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
fn duration_seconds(text: &str) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str, owner: KeyOwner) -> Refusal {
        from_provider("groq", status, body.as_bytes(), owner, vec![])
    }

    #[test]
    fn e01_overload_stays_529() {
        let refused = refusal(529, r#"{"error":{"message":"busy"}}"#, KeyOwner::Router);
        assert_eq!((refused.status, refused.kind), (529, "overloaded_error"));
        assert_eq!(refused.message, "groq: busy");
    }

    #[test]
    fn e02_waiting_times_and_request_ids_are_kept() {
        let kept = kept_headers(&|name| match name {
            "retry-after" => Some("7".into()),
            "x-request-id" => Some("req_1".into()),
            _ => None,
        });
        assert_eq!(
            kept,
            [
                ("retry-after".to_owned(), "7".to_owned()),
                ("request-id".to_owned(), "req_1".to_owned())
            ]
        );
    }

    #[test]
    fn e02_a_used_up_limit_becomes_retry_after() {
        let kept = kept_headers(&|name| match name {
            "x-ratelimit-reset-requests" => Some("2m59.56s".into()),
            "x-ratelimit-remaining-requests" => Some("0".into()),
            "x-ratelimit-reset-tokens" => Some("1h".into()),
            "x-ratelimit-remaining-tokens" => Some("17".into()),
            _ => None,
        });
        assert_eq!(kept, [("retry-after".to_owned(), "180".to_owned())]);
        assert_eq!(duration_seconds("120ms"), Some(1));
        assert_eq!(duration_seconds("soon"), None);
    }

    #[test]
    fn e03_an_overflow_reads_like_anthropics() {
        let body = r#"{"error":{"message":"This model's maximum context length is 131072 tokens. However, you requested 140,001 tokens.","code":"context_length_exceeded"}}"#;
        let refused = refusal(400, body, KeyOwner::Router);
        assert_eq!(
            (refused.status, refused.kind),
            (400, "invalid_request_error")
        );
        assert_eq!(
            refused.message,
            "prompt is too long: 140001 tokens > 131072 maximum"
        );
    }

    #[test]
    fn e04_groqs_413_is_a_rate_limit() {
        let body = r#"{"error":{"message":"Request too large for model on tokens per minute (TPM): Limit 8000, Requested 41000","type":"tokens","code":"rate_limit_exceeded"}}"#;
        let refused = refusal(413, body, KeyOwner::Router);
        assert_eq!((refused.status, refused.kind), (429, "rate_limit_error"));
    }

    #[test]
    fn a_call_that_groq_could_not_read_is_worth_another_try() {
        let body = r#"{"error":{"message":"Failed to call a function","code":"tool_use_failed"}}"#;
        let refused = refusal(400, body, KeyOwner::Router);
        assert_eq!((refused.status, refused.kind), (500, "api_error"));
    }

    #[test]
    fn e05_a_refused_router_key_is_not_the_callers_401() {
        let body = r#"{"error":{"message":"Invalid API Key"}}"#;
        let refused = refusal(401, body, KeyOwner::Router);
        assert_eq!((refused.status, refused.kind), (502, "api_error"));
        assert!(refused.message.contains("groq"), "{}", refused.message);
        assert_eq!(
            refused.headers,
            [("x-should-retry".to_owned(), "false".to_owned())]
        );
        let refused = refusal(401, body, KeyOwner::Caller);
        assert_eq!(
            (refused.status, refused.kind),
            (401, "authentication_error")
        );
    }

    #[test]
    fn every_shape_of_error_body_gives_its_text() {
        for (body, text) in [
            (r#"{"error":{"message":"a"}}"#, "a"),
            (r#"{"error":"b"}"#, "b"),
            (r#"{"object":"error","message":"c"}"#, "c"),
            (r#"{"detail":"d"}"#, "d"),
            ("<html>e</html>", "<html>e</html>"),
            (
                r#"{"error":{"message":"Provider returned error","metadata":{"raw":"f"}}}"#,
                "Provider returned error: f",
            ),
        ] {
            assert_eq!(message_in(body.as_bytes()), text);
        }
    }
}
