//! Errors in Anthropic's shape, and how a provider's own errors become them.
//!
//! Anthropic's shape is `{"type":"error","error":{"type","message"},"request_id"}`
//! (<https://docs.anthropic.com/en/api/errors>). A client decides by status, type and sometimes the
//! wording what it does next: wait, shorten the conversation, or give up. So a provider's message is
//! kept, and only what would send the client the wrong way is changed.

mod class;
mod headers;
mod overflow;
mod provider;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::answer::{Answer, Body};

pub use class::ErrorClass;
pub use headers::kept_headers;
pub use overflow::retry_with_max_tokens;
pub use provider::{from_provider, message_in, status_in};

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
    /// What the call is called here, for bodies in Anthropic's shape.
    request_id: Option<Box<str>>,
    class: ErrorClass,
    /// The provider's own words, where it was a provider that refused.
    said: String,
    /// The provider's whole answer, where the caller speaks the provider's dialect.
    verbatim: Option<Box<Verbatim>>,
    /// See [`Self::is_of_the_caller`].
    of_the_caller: bool,
    /// See [`Self::is_given_up`].
    given_up: bool,
}

/// A provider's answer that goes to the caller byte for byte: clients of Anthropic's API recover by
/// its wording.
#[derive(Debug, Clone, PartialEq)]
struct Verbatim {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Refusal {
    /// An error with the type that belongs to `status`.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind_of(status),
            message: message.into(),
            headers: Vec::new(),
            request_id: None,
            class: ErrorClass::of_status(status),
            said: String::new(),
            verbatim: None,
            of_the_caller: false,
            given_up: false,
        }
    }

    /// The limit on the answer's tokens with which the same request may fit, where the provider's
    /// words tell that it failed for that limit alone. `asked` is the limit that was sent.
    pub fn with_fewer_tokens(&self, asked: u64) -> Option<u64> {
        retry_with_max_tokens(&self.said, asked)
    }

    /// What kind of failure it is; the status decides where [`Self::with_class`] has not.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The same failure, of another kind than its status says.
    pub fn with_class(mut self, class: ErrorClass) -> Self {
        self.class = class;
        self
    }

    /// The same failure, which the caller has brought about by what it asked for.
    pub fn of_the_caller(mut self) -> Self {
        self.of_the_caller = true;
        self
    }

    /// Whether the caller alone has brought it about: then it says nothing of the deployment, however
    /// often it happens.
    pub fn is_of_the_caller(&self) -> bool {
        self.of_the_caller
    }

    /// The same failure, of a provider that has not ended the call itself.
    pub fn given_up(mut self) -> Self {
        self.given_up = true;
        self
    }

    /// Whether it was the router that has ended the call: then the provider may have worked on it all
    /// the time, and has its price.
    pub fn is_given_up(&self) -> bool {
        self.given_up
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

    /// The same failure of a call that has an id.
    pub fn of_call(mut self, request_id: impl Into<Option<String>>) -> Self {
        self.request_id = request_id.into().map(String::into_boxed_str);
        self
    }

    /// The body, as Anthropic would have written it. Its `request_id` is what the header of that name
    /// says: the provider's own, where it has told one.
    pub fn body(&self) -> Value {
        let error = json!({"type": self.kind, "message": self.message});
        let theirs = self.headers.iter().find(|(name, _)| name == "request-id");
        match theirs
            .map(|(_, id)| id.as_str())
            .or(self.request_id.as_deref())
        {
            Some(id) => json!({"type": "error", "error": error, "request_id": id}),
            None => json!({"type": "error", "error": error}),
        }
    }

    /// The same failure, told in the provider's own bytes.
    pub fn verbatim(mut self, answer: Answer) -> Self {
        if let Body::Whole(body) = answer.body {
            self.verbatim = Some(Box::new(Verbatim {
                status: answer.status,
                headers: answer.headers,
                body,
            }));
        }
        self
    }

    /// Whether the caller gets the provider's own bytes, which speak the caller's dialect.
    pub fn is_verbatim(&self) -> bool {
        self.verbatim.is_some()
    }

    /// The whole HTTP answer.
    pub fn answer(&self) -> Answer {
        if let Some(verbatim) = &self.verbatim {
            return Answer {
                status: verbatim.status,
                headers: verbatim.headers.clone(),
                body: Body::Whole(verbatim.body.clone()),
            };
        }
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
