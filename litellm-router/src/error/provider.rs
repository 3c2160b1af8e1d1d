//! A provider's error as the one that Anthropic would have given.

use serde_json::Value;

use super::class::ErrorClass;
use super::overflow::{self, Overflow};
use super::{KeyOwner, Refusal, headers};
use crate::json;

/// The most characters of a provider's message that are kept.
const SHOWN: usize = 2_000;

/// Reads the text of an error out of a chat provider's body, whatever shape it has.
///
/// Known shapes: `{"error":{"message"}}` (OpenAI, Groq, OpenRouter), `{"error":"text"}` (Ollama),
/// `{"object":"error","message"}` (vLLM), `{"detail"}` (FastAPI). Anything else is shown as text.
pub fn message_in(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => text_in(&value, true).unwrap_or_else(|| shortened(&value.to_string())),
        Err(_) => shortened(String::from_utf8_lossy(body).trim()),
    }
}

/// `unwraps`: look into what OpenRouter wraps around the words of the provider behind it.
fn text_in(value: &Value, unwraps: bool) -> Option<String> {
    // Google's answer through some gateways: the error in a list.
    let value = match value {
        Value::Array(items) => items.first()?,
        value => value,
    };
    let error = match value.get("error") {
        None | Some(Value::Null) => value,
        Some(error) => error,
    };
    let text = error
        .as_str()
        .or_else(|| error.get("message").and_then(Value::as_str))
        .or_else(|| value.get("message").and_then(Value::as_str))
        .or_else(|| value.get("detail").and_then(Value::as_str))?;
    let raw = error
        .pointer("/metadata/raw")
        .filter(|_| unwraps)
        .and_then(|raw| match raw {
            Value::String(raw) => Some(match json::read(raw) {
                Ok(inner) => text_in(&inner, false).unwrap_or_else(|| shortened(raw)),
                Err(_) => shortened(raw),
            }),
            Value::Object(_) => text_in(raw, false),
            _ => None,
        });
    Some(match raw {
        Some(raw) if !raw.is_empty() && raw != text => format!("{}: {raw}", shortened(text)),
        _ => shortened(text),
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Turns a chat provider's error into the one that Anthropic would have given.
///
/// `status` is the provider's, or the code inside its body where the status said 200; `headers` are
/// those worth keeping (see [`super::kept_headers`]).
pub fn from_provider(
    provider: &str,
    status: u16,
    body: &[u8],
    owner: KeyOwner,
    headers: Vec<(String, String)>,
) -> Refusal {
    let mut told = Told {
        provider,
        status,
        message: message_in(body),
        codes: codes_in(body),
        owner,
    };
    // OpenAI says 429 for an empty account too, which no waiting fills.
    if told.has_code("insufficient_quota") {
        told.status = 402;
    }
    let mut refusal = told.refusal();
    refusal.headers.extend(headers);
    refusal.said = told.message;
    if refusal.status == 429
        && !refusal
            .headers
            .iter()
            .any(|(name, _)| name == "retry-after")
        && let Some(seconds) = wait_in(&refusal.said)
    {
        let wait = ("retry-after".into(), seconds.to_string());
        refusal.headers.push(wait);
    }
    refusal
}

/// What a provider has told.
struct Told<'a> {
    provider: &'a str,
    status: u16,
    message: String,
    /// `code` and `type` of the error and of the one that it wraps.
    codes: Vec<String>,
    owner: KeyOwner,
}

impl Told<'_> {
    fn refusal(&self) -> Refusal {
        let named = |status, class| Refusal::new(status, self.named()).with_class(class);
        // The model wrote a call that Groq could not read; the same request may well succeed the
        // next time, and clients try again after a 500 but not after a 400.
        if self.has_code("tool_use_failed") {
            return named(500, ErrorClass::FailedGeneration);
        }
        if matches!(self.status, 413 | 429)
            && let Some((requested, limit)) = overflow::never_fits_a_minute(&self.message)
        {
            return self.never_fits(requested, limit);
        }
        // Groq's 413 counts tokens a minute: waiting helps, shortening the conversation need not.
        if self.status == 413 && self.has_code("rate_limit_exceeded") {
            return named(429, ErrorClass::RateLimit);
        }
        let is_key_or_rate = matches!(self.status, 401..=403 | 429);
        let code = self
            .codes
            .iter()
            .map(String::as_str)
            .find(|code| overflow::is_context_overflow(Some(code), ""));
        if self.status >= 400
            && !is_key_or_rate
            && overflow::is_context_overflow(code, &self.message)
        {
            let words = Overflow::of(&self.message).in_anthropics_words(&self.message);
            return Refusal::new(400, words).with_class(ErrorClass::ContextWindowExceeded);
        }
        if matches!(self.status, 400 | 403 | 422 | 451) && self.is_against_a_policy() {
            return named(400, ErrorClass::ContentPolicyViolation);
        }
        if matches!(self.status, 498 | 500 | 502 | 503) && self.is_overload() {
            return named(529, ErrorClass::Overloaded);
        }
        let class = ErrorClass::of_status(self.status);
        match self.status {
            // A redirect is not followed, because it would take the key elsewhere; it does not
            // change by asking again.
            300..=399 if self.owner == KeyOwner::Router => self.odd_status().final_(),
            0..=399 => self.odd_status(),
            // What it says quotes a part of the key.
            401 if self.owner == KeyOwner::Router => {
                let words = format!("{} refused the router's own key", self.provider);
                Refusal::new(502, words).with_class(class).final_()
            }
            402 | 403 if self.owner == KeyOwner::Router => {
                let words = format!(
                    "{} refused the router's own key with status {}: {}",
                    self.provider, self.status, self.message
                );
                Refusal::new(502, words).with_class(class).final_()
            }
            // A provider's "no such path" or "no such model" as it is; the wording says which.
            status => named(status, class),
        }
    }

    fn odd_status(&self) -> Refusal {
        let words = format!("{} answered with status {}", self.provider, self.status);
        Refusal::new(502, words)
    }

    /// Not a 429, which clients wait out, and not "prompt is too long", upon which they would
    /// compact a conversation that need not be long: 400 is given up at once and shown as it is.
    fn never_fits(&self, requested: u64, limit: u64) -> Refusal {
        let words = format!(
            "{}: this request alone is larger than the limit of tokens a minute ({requested} > \
             {limit}), so that waiting does not help; use another model or a key with a higher \
             limit. {}",
            self.provider, self.message
        );
        Refusal::new(400, words)
            .with_class(ErrorClass::RequestTooLarge)
            .final_()
    }

    fn named(&self) -> String {
        if self.message.is_empty() {
            format!("{} answered with an error and no text", self.provider)
        } else {
            format!("{}: {}", self.provider, self.message)
        }
    }

    fn has_code(&self, code: &str) -> bool {
        self.codes.iter().any(|known| known == code)
    }

    fn is_against_a_policy(&self) -> bool {
        ["content_policy_violation", "content_filter", "moderation"]
            .iter()
            .any(|code| self.has_code(code))
            || self.says(&[
                "content policy",
                "content management policy",
                "content_filter",
                "usage guidelines",
                "requires moderation",
                "was flagged",
            ])
    }

    fn is_overload(&self) -> bool {
        self.says(&[
            "overload",
            "over capacity",
            "at capacity",
            "capacity exceeded",
            "capacity_exceeded",
            "no capacity",
            "is busy",
            "high traffic",
            "high demand",
            "queue is full",
            "too many requests",
        ])
    }

    fn says(&self, wordings: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        wordings.iter().any(|wording| message.contains(wording))
    }
}

/// The codes and types of an error and of the one inside OpenRouter's wrapping.
fn codes_in(body: &[u8]) -> Vec<String> {
    fn gather(value: &Value, codes: &mut Vec<String>) {
        let error = match value.get("error") {
            Some(error @ Value::Object(_)) => error,
            _ => value,
        };
        for key in ["code", "type"] {
            match error.get(key) {
                Some(Value::String(code)) => codes.push(code.clone()),
                Some(Value::Number(code)) => codes.push(code.to_string()),
                _ => {}
            }
        }
        if error
            .pointer("/metadata/reasons")
            .is_some_and(Value::is_array)
        {
            codes.push("moderation".into());
        }
        if let Some(raw) = error.pointer("/metadata/raw").and_then(Value::as_str)
            && let Ok(inner @ Value::Object(_)) = json::read::<Value>(raw)
            && inner.pointer("/error/metadata").is_none()
        {
            gather(&inner, codes);
        }
    }
    let mut codes = Vec::new();
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        gather(&value, &mut codes);
    }
    codes
}

/// The status that an error object inside a 200 body or an event names, 502 where it names none.
pub fn status_in(error: &Value) -> u16 {
    ["code", "status_code", "status"]
        .iter()
        .filter_map(|key| error.get(key))
        .filter_map(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()))
        .filter_map(|code| u16::try_from(code).ok())
        .find(|code| (400..=599).contains(code))
        .or_else(|| {
            let kind = |key: &str| error.get(key).and_then(Value::as_str);
            [kind("type"), kind("code")]
                .into_iter()
                .flatten()
                .find_map(status_of_kind)
        })
        .unwrap_or(502)
}

/// What the names of errors say where no number does (OpenAI's, vLLM's and Anthropic's own).
fn status_of_kind(kind: &str) -> Option<u16> {
    Some(match kind {
        "invalid_request_error" | "BadRequestError" | "context_length_exceeded" => 400,
        "authentication_error" | "invalid_api_key" => 401,
        "insufficient_quota" | "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" | "NotFoundError" | "model_not_found" => 404,
        "rate_limit_error" | "rate_limit_exceeded" | "tokens" => 429,
        "overloaded_error" | "engine_overloaded_error" => 529,
        _ => return None,
    })
}

/// "Please try again in 7.66s": the seconds that a message tells to wait, rounded up.
fn wait_in(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("try again in ")?;
    let word = rest.split_whitespace().next()?;
    headers::duration_seconds(word.trim_end_matches(['.', ',']))
}
