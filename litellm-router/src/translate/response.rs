//! A whole chat completion as a whole message or as events.

use serde_json::Value;

use super::completion::{Completion, Terms};
use crate::answer::Answer;
use crate::error::{self, ErrorClass, Refusal};
use crate::reply::Usage;

/// Translates a response that came with a status of success.
///
/// # Errors
/// What is wrong with it.
pub fn translate(body: &[u8], terms: Terms) -> Result<(Answer, Usage), Refusal> {
    let provider = terms.provider;
    let mut completion = Completion::new(terms);
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            completion.take(&value, "message");
            if !completion.is_over() && value.pointer("/choices/0").is_none() {
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

/// Translates a refusal: an answer after all where the provider tells of a call that it could not
/// read and that is clear enough.
///
/// # Errors
/// The refusal as Anthropic would have told it, with `headers` (see [`error::kept_headers`]).
pub fn refused(
    status: u16,
    body: &[u8],
    headers: Vec<(String, String)>,
    terms: Terms,
) -> Result<(Answer, Usage), Refusal> {
    let refusal = error::from_provider(terms.provider, status, body, terms.key_owner, headers);
    if refusal.class() == ErrorClass::FailedGeneration
        && let Ok(value) = serde_json::from_slice::<Value>(body)
    {
        let mut completion = Completion::new(terms);
        completion.fail_or_rescue(refusal.clone(), &value);
        if completion.failed().is_none() {
            return answer(completion);
        }
    }
    Err(refusal)
}

/// The answer of a completion that is over, and what it has used.
///
/// # Errors
/// The error that it ended in: nothing has been sent yet, so it can still have its status, or be
/// tried again.
pub fn answer(mut completion: Completion) -> Result<(Answer, Usage), Refusal> {
    if let Some(refusal) = completion.failed() {
        return Err(refusal.clone());
    }
    let usage = completion.usage();
    Ok((completion.reply().answer()?, usage))
}
