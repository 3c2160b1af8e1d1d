//! A whole chat completion as a whole message or as events.

use serde_json::Value;

use super::completion::{Completion, Terms};
use crate::answer::Answer;
use crate::error::Refusal;

/// Translates a response that came with a status of success.
pub fn translate(body: &[u8], terms: Terms) -> Answer {
    let provider = terms.provider;
    let mut completion = Completion::new(terms);
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            completion.take(&value, "message");
            if completion.failed().is_none() && value.pointer("/choices/0").is_none() {
                let message = format!("{provider} answered without any choice");
                completion.fail(Refusal::new(502, message));
            }
        }
        Err(_) => {
            let message = format!("{provider} answered with something that is not JSON");
            completion.fail(Refusal::new(502, message));
        }
    }
    completion.finish();
    answer(completion)
}

/// The answer of a completion that is over.
pub fn answer(mut completion: Completion) -> Answer {
    // Nothing has been sent yet, so an error can still have its status, streaming or not.
    if let Some(refusal) = completion.failed() {
        return refusal.answer();
    }
    completion.reply().answer()
}
