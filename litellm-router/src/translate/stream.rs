//! A provider's stream of chunks as Anthropic's stream of events, while it comes.

use serde_json::Value;

use super::chunk::Chunk;
use super::completion::{Completion, Terms};
use super::incoming::Incoming;
use super::response;
use crate::answer::Answer;
use crate::error::Refusal;
use crate::reply::Usage;
use crate::sse::{Event, SseParser};

/// A stream that is being translated. See [`Incoming`].
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

    fn too_large(&mut self) {
        let message = format!("{} sent an event that is too large", self.provider);
        self.fail(Refusal::new(502, message));
    }
}

impl Incoming for ChatStream {
    fn push(&mut self, bytes: &[u8]) {
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

    fn finish(&mut self) {
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

    fn fail(&mut self, refusal: Refusal) {
        if self.done {
            return;
        }
        self.done = true;
        if self.completion.has_reason() {
            // All has been said; that the connection did not end well is nobody's loss.
            self.completion.finish();
        } else {
            self.completion.fail(refusal);
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn failed(&self) -> Option<&Refusal> {
        self.completion.failed()
    }

    fn take(&mut self) -> Vec<u8> {
        self.completion.reply().take()
    }

    fn early_failure(&mut self) -> Option<Refusal> {
        let failed = self.completion.failed()?.clone();
        (!self.completion.reply().started()).then_some(failed)
    }

    fn is_between_events(&self) -> bool {
        true
    }

    fn usage(&self) -> Usage {
        self.completion.usage()
    }

    fn answer(self: Box<Self>) -> Result<(Answer, Usage), Refusal> {
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
    if event.name != "error"
        && let Some(chunk) = Chunk::read(event.data)
    {
        completion.take_chunk(&chunk);
        *done = completion.is_over();
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
