//! The request that goes to a provider, and what becomes of its response.

mod build;
mod collect;
mod headers;

use bytes::Bytes;

use crate::answer::event_stream_headers;
use crate::api::Api;
use crate::error::{self, ErrorClass, KeyOwner, Refusal};
use crate::pass_through::PassedThrough;
use crate::translate::completion::Terms;
use crate::translate::from_messages::{self, MessageStream};
use crate::translate::incoming::Incoming;
use crate::translate::stream::ChatStream;
use collect::How;

pub use collect::Collect;

/// The largest response that is read whole.
pub const LARGEST_RESPONSE: usize = 32 * 1024 * 1024;

/// A request for a provider. Its headers hold a key: never log them.
pub struct Exchange {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// How long the provider may take for its response; a stream has to have its first words by then,
    /// anything else has to be whole.
    pub timeout_ms: u32,
    /// Whether that is less than the configuration says, because the caller wants it so.
    pub is_hurried: bool,
    /// How long it may be silent within it.
    pub stream_timeout_ms: u32,
    /// The limit on the answer's tokens that it is sent.
    pub max_tokens: Option<u64>,
    provider: &'static str,
    key_owner: KeyOwner,
    /// What the request of a chat uses, by estimate.
    input_estimate: u64,
    /// The caller of a chat is not to see the usage at the end of its stream.
    unasked_usage: bool,
    /// What the call is called here.
    request_id: Option<String>,
    then: Then,
}

enum Then {
    /// The provider speaks the caller's own dialect.
    PassThrough(Api),
    Translate(Terms),
    /// The provider speaks Anthropic's dialect and the caller does not.
    FromMessages(from_messages::Terms),
}

/// What is to be done with a response whose head has come.
pub enum Next {
    /// Send a stream of events: whatever `stream` makes of the body.
    Stream {
        headers: Vec<(String, String)>,
        stream: Box<dyn Incoming>,
    },
    /// Read the whole body and let [`Collect::answer`] have it.
    Collect(Box<Collect>),
}

/// What is kept of a caller's request, for as long as it may be sent to anybody.
#[derive(Debug, Clone, Default)]
pub struct Inbound {
    pub body: Bytes,
    /// The part of the URL after the question mark.
    pub query: String,
    pub anthropic_version: Option<String>,
    pub anthropic_beta: Option<String>,
    pub accept: Option<String>,
    /// Whether the body has keys that are LiteLLM's own and for no provider, see [`crate::controls`].
    pub own_keys: bool,
    /// Whether the caller's key is not for every model: then no provider is to choose among others.
    pub is_bound: bool,
    /// Headers that tell a gateway behind this one who calls.
    pub identity: Vec<(String, String)>,
}

type Header<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Exchange {
    /// Decides by the head of the response. `header` reads its headers.
    pub fn begin(self, status: u16, header: Header) -> Next {
        let success = (200..300).contains(&status);
        let is_events = header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().contains("text/event-stream"));
        let headers = match self.then {
            Then::PassThrough(Api::Messages) => headers::relayed(header),
            Then::PassThrough(Api::Chat) => headers::relayed_of_a_chat(header),
            Then::Translate(_) | Then::FromMessages(_) => error::kept_headers(header),
        };
        let how = match self.then {
            Then::PassThrough(api) if success && is_events => {
                let stream = PassedThrough::new(self.provider, api, self.unasked_usage)
                    .answering(self.input_estimate)
                    .of_call(self.request_id);
                let stream = Box::new(stream);
                return Next::Stream { headers, stream };
            }
            Then::PassThrough(api) if success => How::Verbatim(api),
            Then::PassThrough(_) if (300..400).contains(&status) => How::Redirect,
            Then::PassThrough(api) => How::VerbatimError(api),
            Then::Translate(terms) if !success => How::Refused(terms),
            Then::Translate(terms) if !is_events => How::Whole(terms),
            Then::FromMessages(_) if !success => How::RefusedMessage,
            Then::FromMessages(terms) if !is_events => How::WholeMessage(terms),
            Then::FromMessages(terms) => {
                let streams = terms.reply.streams();
                let stream = Box::new(MessageStream::new(terms));
                if streams {
                    return translated(headers, stream);
                }
                How::Events(stream)
            }
            Then::Translate(terms) => {
                let streams = terms.streams;
                let stream = Box::new(ChatStream::new(terms));
                if streams {
                    return translated(headers, stream);
                }
                How::Events(stream)
            }
        };
        Next::Collect(Box::new(Collect {
            status,
            headers,
            provider: self.provider,
            key_owner: self.key_owner,
            how,
        }))
    }

    /// The provider could not be reached.
    pub fn unreachable(&self) -> Refusal {
        Refusal::new(502, format!("{} could not be reached", self.provider))
            .with_class(ErrorClass::Connection)
    }

    /// The provider has not begun to answer in time.
    pub fn timed_out(&self, waited_ms: u64) -> Refusal {
        too_slow(self.provider, waited_ms, self.is_hurried)
    }

    /// For errors that come after [`Self::begin`] has taken the exchange.
    pub fn provider(&self) -> &'static str {
        self.provider
    }
}

fn translated(mut headers: Vec<(String, String)>, stream: Box<dyn Incoming>) -> Next {
    headers.extend(event_stream_headers());
    Next::Stream { headers, stream }
}

/// The provider has not begun to answer in time. `is_hurried`: see [`Exchange::is_hurried`].
pub fn too_slow(provider: &str, waited_ms: u64, is_hurried: bool) -> Refusal {
    let seconds = waited_ms as f64 / 1000.0;
    let message = format!("{provider} did not answer within {seconds} s");
    let refusal = Refusal::new(504, message).with_kind("api_error").given_up();
    if is_hurried {
        refusal.of_the_caller()
    } else {
        refusal
    }
}

/// The provider has been silent within its answer for too long.
pub fn fell_silent(provider: &str, stream_timeout_ms: u32) -> Refusal {
    let seconds = f64::from(stream_timeout_ms) / 1000.0;
    let message = format!("{provider} has sent nothing for {seconds} s");
    Refusal::new(504, message).with_kind("api_error").given_up()
}

/// The connection to the provider broke within its answer.
pub fn broke(provider: &str) -> Refusal {
    let message = format!("{provider} cut the stream before the answer was finished");
    Refusal::new(502, message).with_class(ErrorClass::Connection)
}
