//! A provider's stream of chunks as Anthropic's stream of events, while it comes.

use serde_json::Value;

use super::completion::{Completion, Terms};
use super::incoming::Incoming;
use super::response;
use crate::answer::Answer;
use crate::error::Refusal;
use crate::reply::Reply;
use crate::sse::{Event, SseParser};

/// A stream that is being translated. Bytes go in by [`Self::push`], what they become is taken out
/// by [`Self::take`].
#[derive(Debug)]
pub struct ChatStream {
    parser: SseParser,
    completion: Completion,
    provider: &'static str,
    done: bool,
}

impl ChatStream {
    /// A stream that has not begun.
    pub fn new(terms: Terms) -> Self {
        Self {
            parser: SseParser::default(),
            provider: terms.provider,
            completion: Completion::new(terms),
            done: false,
        }
    }

    /// Reads more of what the provider sends.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done {
            return;
        }
        let (completion, done) = (&mut self.completion, &mut self.done);
        let read = self
            .parser
            .push(bytes, &mut |event| take(completion, done, event));
        if read.is_err() {
            self.too_large();
        }
    }

    /// The provider's stream has ended. Without a reason and without `[DONE]` it was cut, whatever
    /// the connection says.
    pub fn finish(&mut self) {
        if self.done {
            return;
        }
        let (completion, done) = (&mut self.completion, &mut self.done);
        if self
            .parser
            .finish(&mut |event| take(completion, done, event))
            .is_err()
        {
            self.too_large();
        }
        if self.done {
            return;
        }
        if self.completion.has_reason() {
            self.done = true;
            self.completion.finish();
        } else {
            let message = format!(
                "{} cut the stream before the answer was finished",
                self.provider
            );
            self.fail(Refusal::new(502, message).with_kind("api_error"));
        }
    }

    fn too_large(&mut self) {
        let message = format!("{} sent an event that is too large", self.provider);
        self.fail(Refusal::new(502, message));
    }

    /// The stream ends here, for a reason outside of it.
    pub fn fail(&mut self, refusal: Refusal) {
        if !self.done {
            self.done = true;
            self.completion.fail(refusal);
        }
    }

    /// Whether the answer is over, so that nothing more need be read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the answer ended in an error.
    pub fn has_failed(&self) -> bool {
        self.completion.failed().is_some()
    }

    /// What can be sent to the client now; empty for a caller that wants its answer whole.
    pub fn take(&mut self) -> Vec<u8> {
        self.completion.reply().take()
    }

    /// Keeps the client waiting for a provider that says nothing.
    pub fn ping(&mut self) {
        self.completion.reply().ping();
    }

    /// The error in which the stream ended, if the client has not been told anything yet: then it
    /// can have the error's own status.
    pub fn early_failure(&mut self) -> Option<Refusal> {
        let failed = self.completion.failed()?.clone();
        (!self.completion.reply().started()).then_some(failed)
    }

    /// The whole answer of a stream that is over.
    pub fn answer(self) -> Answer {
        response::answer(self.completion)
    }
}

fn take(completion: &mut Completion, done: &mut bool, event: Event) {
    if *done {
        return;
    }
    if event.data == b"[DONE]" {
        *done = true;
        completion.finish();
        return;
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(event.data) else {
        // Not every provider's extra events are JSON; what is lost here shows in the ending.
        return;
    };
    if event.name == "error" && value.get("error").is_none() {
        value = serde_json::json!({"error": value});
    }
    completion.take(&value, "delta");
    *done = completion.is_over();
}

impl Incoming for ChatStream {
    fn push(&mut self, bytes: &[u8]) {
        self.push(bytes);
    }

    fn finish(&mut self) {
        self.finish();
    }

    fn fail(&mut self, refusal: Refusal) {
        self.fail(refusal);
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn failed(&self) -> Option<&Refusal> {
        self.completion.failed()
    }

    fn reply(&mut self) -> &mut Reply {
        self.completion.reply()
    }

    fn answer(self: Box<Self>) -> Answer {
        (*self).answer()
    }
}
