//! `mock_response`: a deployment that answers without asking anybody, or fails on purpose.
//!
//! The names of the errors are LiteLLM's, so that its test configurations work here.

use crate::answer::Answer;
use crate::error::{ErrorClass, Refusal};
use crate::reply::{Reply, Sink, StopReason, Usage};

/// Answers with `response` in the form of `reply`, of which nothing has been said yet, and tells what
/// that uses.
///
/// # Errors
/// The error that `response` names.
pub fn answer(
    response: &str,
    input_tokens: u64,
    mut reply: Reply,
) -> Result<(Answer, Usage), Refusal> {
    let used = play(response, input_tokens, &mut reply)?;
    Ok((reply.answer()?, used))
}

/// Plays `response` into `sink`, and tells what that uses.
///
/// # Errors
/// The error that `response` names.
pub fn play(response: &str, input_tokens: u64, sink: &mut dyn Sink) -> Result<Usage, Refusal> {
    if let Some(name) = response.strip_prefix("litellm.") {
        let (class, status, message) = match name.trim() {
            "RateLimitError" => (
                ErrorClass::RateLimit,
                429,
                "this mocked model is over its rate limit",
            ),
            "InternalServerError" => (
                ErrorClass::InternalServer,
                500,
                "this mocked model has failed",
            ),
            "ContextWindowExceededError" => (
                ErrorClass::ContextWindowExceeded,
                400,
                "prompt is too long: 200001 tokens > 200000 maximum (mocked)",
            ),
            "ContentPolicyViolationError" => (
                ErrorClass::ContentPolicyViolation,
                400,
                "this mocked model refuses the topic",
            ),
            "BadRequestError" => (
                ErrorClass::BadRequest,
                400,
                "this mocked model calls the request wrong",
            ),
            "AuthenticationError" => (
                ErrorClass::Authentication,
                401,
                "this mocked model refuses the key",
            ),
            "NotFoundError" => (ErrorClass::NotFound, 404, "this mocked model is nowhere"),
            "ServiceUnavailableError" => (
                ErrorClass::ServiceUnavailable,
                503,
                "this mocked model is not there",
            ),
            "Timeout" => (ErrorClass::Timeout, 504, "this mocked model takes too long"),
            _ => (
                ErrorClass::InternalServer,
                500,
                "this mocked model fails with an error of an unknown name",
            ),
        };
        return Err(Refusal::new(status, message).with_class(class));
    }
    for words in split_words(response) {
        sink.text(words);
    }
    let usage = Usage {
        input_tokens,
        output_tokens: crate::count::of_text(response),
        ..Usage::default()
    };
    sink.finish(StopReason::EndTurn, usage);
    Ok(usage)
}

/// Cuts a text into deltas of a few words, with their spaces, so that nothing is lost.
pub fn split_words(text: &str) -> impl Iterator<Item = &str> {
    const WORDS: usize = 3;
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut seen = 0;
        let mut inside = false;
        let end = rest
            .char_indices()
            .find_map(|(at, c)| {
                let word = !c.is_whitespace();
                if word && !inside {
                    seen += 1;
                    if seen > WORDS {
                        return Some(at);
                    }
                }
                inside = word;
                None
            })
            .unwrap_or(rest.len());
        let (delta, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(delta)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Identity;

    #[test]
    fn a_mock_answers_at_both_doors_streaming_and_not() {
        use crate::chat::reply::ChatForm;
        let identity = || Identity {
            id: "x".into(),
            model: "m".into(),
        };
        let chat = |streams| {
            let form = ChatForm {
                streams,
                include_usage: false,
                created: 0,
            };
            Reply::chat(identity(), form)
        };
        for (reply, mark) in [
            (Reply::new(identity(), true, 1), "event: message_stop"),
            (Reply::new(identity(), false, 1), r#""type":"message""#),
            (chat(true), "data: [DONE]"),
            (chat(false), r#""object":"chat.completion""#),
        ] {
            let (answer, used) = answer("one two three four", 1, reply).unwrap();
            assert!(used.input_tokens == 1 && used.output_tokens > 0);
            let body = String::from_utf8(answer.whole().unwrap().to_vec()).unwrap();
            assert!(body.contains(mark) && body.contains("four"), "{body}");
        }
        assert_eq!(
            answer("litellm.RateLimitError", 1, chat(true))
                .err()
                .unwrap()
                .status,
            429
        );
    }

    #[test]
    fn deltas_together_are_the_text() {
        for text in ["", " a", "one two three four  five\nsix ", "ä ö ü ß é"] {
            assert_eq!(split_words(text).collect::<String>(), text);
        }
        assert_eq!(
            split_words("one two three four").collect::<Vec<_>>(),
            ["one two three ", "four"]
        );
    }
}
