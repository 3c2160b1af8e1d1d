//! The two APIs by which a call can come in, and what an error looks like in each.
//!
//! OpenAI's shape is `{"error":{"message","type","param","code"}}`. Its SDKs choose the class of the
//! exception by the status alone and show the message; programs look at `type` and `code`, so these
//! are the words that OpenAI uses itself (<https://platform.openai.com/docs/guides/error-codes>).

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::error::Refusal;

/// Whose dialect a caller speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Api {
    /// Anthropic's `/v1/messages`.
    #[default]
    Messages,
    /// OpenAI's `/v1/chat/completions`.
    Chat,
}

impl Api {
    /// The API that a path, without its query, belongs to. What belongs to none is answered in
    /// Anthropic's dialect.
    pub fn of_path(path: &str) -> Self {
        if path.starts_with("/v1/chat/") {
            Self::Chat
        } else {
            Self::Messages
        }
    }
}

impl Api {
    /// A sign of life for a client that waits for events. Clients of either API take it anywhere
    /// between two events, before the first as well. Claude Code counts events, not comments, and
    /// gives up after some 20 s without; OpenAI's clients know comments alone.
    pub fn ping(self) -> &'static [u8] {
        match self {
            Self::Messages => b"event: ping\ndata: {\"type\":\"ping\"}\n\n",
            Self::Chat => b": ping\n\n",
        }
    }
}

impl Refusal {
    /// The body of the error in the caller's dialect.
    pub fn body_for(&self, api: Api) -> Value {
        match api {
            Api::Messages => self.body(),
            Api::Chat => {
                let (kind, code) = openai_words(self);
                json!({"error": {
                    "message": self.message, "type": kind, "param": null, "code": code,
                }})
            }
        }
    }

    /// The HTTP answer in the caller's dialect, with the same status and headers in each.
    pub fn answer_for(&self, api: Api) -> Answer {
        if api == Api::Messages || self.is_verbatim() {
            return self.answer();
        }
        let mut answer = Answer::json(self.status, &self.body_for(api));
        answer.headers.extend(self.headers.iter().cloned());
        answer
    }
}

/// OpenAI's `type` and `code`.
fn openai_words(refusal: &Refusal) -> (&'static str, Option<&'static str>) {
    const WRONG: &str = "invalid_request_error";
    let says = |words: &str| refusal.message.contains(words);
    match refusal.status {
        // By this code programs know that they have to shorten the conversation.
        400 | 413 if says("prompt is too long") => (WRONG, Some("context_length_exceeded")),
        401 => (WRONG, Some("invalid_api_key")),
        402 => ("insufficient_quota", Some("insufficient_quota")),
        403 => ("request_forbidden", None),
        404 if refusal.message.starts_with("model:") => (WRONG, Some("model_not_found")),
        429 => ("rate_limit_error", Some("rate_limit_exceeded")),
        503 | 529 => ("service_unavailable_error", Some("server_is_overloaded")),
        400..=499 => (WRONG, None),
        _ => ("server_error", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_openais_words_at_the_chat_door() {
        let words = |status: u16, message: &str| {
            let body = Refusal::new(status, message).body_for(Api::Chat);
            assert_eq!(body["error"]["message"], message);
            assert!(body["error"]["param"].is_null());
            let code = body["error"]["code"].as_str().unwrap_or("-").to_owned();
            format!("{status} {} {code}", body["error"]["type"])
        };
        let too_long = "prompt is too long: 9 tokens > 8 maximum";
        let table = [
            words(400, "n: no"),
            words(400, too_long),
            words(401, "key"),
            words(402, "money"),
            words(403, "no"),
            words(404, "model: x is not in this router's configuration"),
            words(404, "there is nothing at this path"),
            words(413, "large"),
            words(429, "slow"),
            words(500, "broken"),
            words(502, "cut"),
            words(503, "busy"),
            words(504, "late"),
            words(529, "busy"),
        ];
        insta::assert_snapshot!(table.join("\n"), @r#"
        400 "invalid_request_error" -
        400 "invalid_request_error" context_length_exceeded
        401 "invalid_request_error" invalid_api_key
        402 "insufficient_quota" insufficient_quota
        403 "request_forbidden" -
        404 "invalid_request_error" model_not_found
        404 "invalid_request_error" -
        413 "invalid_request_error" -
        429 "rate_limit_error" rate_limit_exceeded
        500 "server_error" -
        502 "server_error" -
        503 "service_unavailable_error" server_is_overloaded
        504 "server_error" -
        529 "service_unavailable_error" server_is_overloaded
        "#);
    }

    #[test]
    fn status_and_headers_are_the_same_at_both_doors() {
        let mut refusal = Refusal::new(429, "slow down");
        refusal.headers.push(("retry-after".into(), "7".into()));
        let chat = refusal.answer_for(Api::Chat);
        let messages = refusal.answer_for(Api::Messages);
        assert_eq!(
            (chat.status, &chat.headers),
            (messages.status, &messages.headers)
        );
        assert!(chat.headers.contains(&("retry-after".into(), "7".into())));
        let body: Value = serde_json::from_slice(messages.whole().unwrap()).unwrap();
        assert_eq!(body, refusal.body());
    }

    #[test]
    fn a_path_tells_the_dialect() {
        assert_eq!(Api::of_path("/v1/chat/completions"), Api::Chat);
        assert_eq!(Api::of_path("/v1/messages"), Api::Messages);
        assert_eq!(Api::of_path("/nothing"), Api::Messages);
    }
}
