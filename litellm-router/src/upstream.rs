//! The request that goes to a provider, and what becomes of its response.

use crate::answer::{Answer, event_stream_headers};
use crate::auth::Credential;
use crate::count;
use crate::error::{self, KeyOwner, Refusal};
use crate::messages::MessagesRequest;
use crate::pass_through;
use crate::providers::{Dialect, Provider};
use crate::reply::Identity;
use crate::translate::completion::Terms;
use crate::translate::request::{self, Upstream};
use crate::translate::response;
use crate::translate::stream::ChatStream;

/// Until the first byte, where the configuration does not say.
const TIMEOUT_S: f64 = 600.0;
/// Between two bytes of a stream, where the configuration does not say.
const STREAM_TIMEOUT_S: f64 = 120.0;
/// Timers do not run longer than this.
const LONGEST_TIMEOUT_S: f64 = 24.0 * 3600.0;
/// What clients of Anthropic's API send, for one that does not.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// The largest response that is read whole.
pub const LARGEST_RESPONSE: usize = 32 * 1024 * 1024;

/// Where a call goes, with whose key.
pub struct Target {
    pub provider: &'static Provider,
    /// The model's name at the provider.
    pub model: String,
    pub api_base: String,
    pub credential: Option<Credential>,
    pub extra_headers: Vec<(String, String)>,
    pub timeout_s: Option<f64>,
    pub stream_timeout_s: Option<f64>,
    pub max_output_tokens: Option<u64>,
    pub vision: bool,
}

/// A request for a provider. Its headers hold a key: never log them.
pub struct Exchange {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How long the provider may take to begin its response.
    pub timeout_ms: u32,
    /// How long it may be silent within it.
    pub stream_timeout_ms: u32,
    provider: &'static str,
    key_owner: KeyOwner,
    then: Then,
}

enum Then {
    PassThrough,
    Translate(Terms),
}

/// What is to be done with a response whose head has come.
pub enum Next {
    /// Send status, these headers and the body as it is, byte by byte.
    Relay {
        status: u16,
        headers: Vec<(String, String)>,
    },
    /// Send a stream of events: whatever `stream` makes of the body.
    Stream {
        headers: Vec<(String, String)>,
        stream: Box<ChatStream>,
    },
    /// Read the whole body and let [`Collect::answer`] have it.
    Collect(Box<Collect>),
}

/// A response that has to be whole before it can be answered.
pub struct Collect {
    status: u16,
    headers: Vec<(String, String)>,
    provider: &'static str,
    key_owner: KeyOwner,
    how: How,
}

enum How {
    Error,
    Whole(Terms),
    /// A provider that streams although it was not asked to.
    Events(Box<ChatStream>),
}

type Header<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Exchange {
    /// The exchange for a call to `/v1/messages`. `header` reads the caller's headers.
    ///
    /// # Errors
    /// 400 where the request cannot be said in the provider's dialect.
    pub fn message(
        target: Target,
        request: &MessagesRequest,
        body: &[u8],
        query: &str,
        header: Header,
        identity: Identity,
    ) -> Result<Self, Refusal> {
        if target.provider.dialect == Dialect::Anthropic {
            return Self::anthropic(target, request, body, "/v1/messages", query, header);
        }
        let upstream = Upstream {
            provider: target.provider,
            model: &target.model,
            max_output_tokens: target.max_output_tokens,
            vision: target.vision,
            drop_server_tools: false,
        };
        let (body, asked) = request::translate(request, upstream)?;
        let key_owner = owner(&target);
        let terms = Terms {
            identity,
            streams: request.streams(),
            asked,
            provider: target.provider.name,
            key_owner,
            wants_thinking: request.wants_thinking(),
            input_estimate: count::of_request(request),
        };
        let base = target.api_base.trim_end_matches('/');
        let url = if base.ends_with("/chat/completions") {
            base.to_owned()
        } else {
            format!("{base}/chat/completions")
        };
        let mut headers = vec![("content-type".into(), "application/json".into())];
        if let Some(credential) = &target.credential {
            let value = format!("Bearer {}", credential.token);
            headers.push(("authorization".into(), value));
        }
        let accept = if request.streams() {
            "text/event-stream"
        } else {
            "application/json"
        };
        headers.push(("accept".into(), accept.into()));
        Ok(Self::new(
            target,
            url,
            headers,
            body,
            Then::Translate(terms),
        ))
    }

    /// The exchange for a call to `/v1/messages/count_tokens` that Anthropic itself answers.
    ///
    /// # Errors
    /// 400 where the body has no model to replace.
    pub fn count(
        target: Target,
        request: &MessagesRequest,
        body: &[u8],
        query: &str,
        header: Header,
    ) -> Result<Self, Refusal> {
        let path = "/v1/messages/count_tokens";
        Self::anthropic(target, request, body, path, query, header)
    }

    /// Anthropic gets the caller's own bytes, but for the model's name where it differs.
    fn anthropic(
        target: Target,
        request: &MessagesRequest,
        body: &[u8],
        path: &str,
        query: &str,
        header: Header,
    ) -> Result<Self, Refusal> {
        let model = (request.model != target.model.as_str()).then_some(target.model.as_str());
        let body = pass_through::edited(body, model)?;
        let base = target.api_base.trim_end_matches('/');
        let base = base.strip_suffix("/v1/messages").unwrap_or(base);
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let mut url = format!("{base}{path}");
        if !query.is_empty() {
            url.push('?');
            url.push_str(query);
        }
        let version = header("anthropic-version").unwrap_or_else(|| ANTHROPIC_VERSION.into());
        let mut headers = vec![
            ("content-type".into(), "application/json".into()),
            ("anthropic-version".into(), version),
        ];
        for name in ["anthropic-beta", "accept"] {
            if let Some(value) = header(name) {
                headers.push((name.into(), value));
            }
        }
        if let Some(credential) = &target.credential {
            // Keys of the API go by `x-api-key`, other tokens as the caller sent them.
            if credential.bearer && !credential.token.starts_with("sk-ant-api") {
                let value = format!("Bearer {}", credential.token);
                headers.push(("authorization".into(), value));
            } else {
                headers.push(("x-api-key".into(), credential.token.clone()));
            }
        }
        Ok(Self::new(target, url, headers, body, Then::PassThrough))
    }

    fn new(
        target: Target,
        url: String,
        mut headers: Vec<(String, String)>,
        body: Vec<u8>,
        then: Then,
    ) -> Self {
        for (name, value) in &target.extra_headers {
            headers.retain(|(known, _)| known != name);
            headers.push((name.clone(), value.clone()));
        }
        Self {
            url,
            headers,
            body,
            timeout_ms: milliseconds(target.timeout_s.unwrap_or(TIMEOUT_S)),
            stream_timeout_ms: milliseconds(target.stream_timeout_s.unwrap_or(STREAM_TIMEOUT_S)),
            provider: target.provider.name,
            key_owner: owner(&target),
            then,
        }
    }

    /// Decides by the head of the response. `header` reads its headers.
    pub fn begin(self, status: u16, header: Header) -> Next {
        let success = (200..300).contains(&status);
        let terms = match self.then {
            Then::PassThrough => {
                let headers = relayed_headers(header);
                return Next::Relay { status, headers };
            }
            Then::Translate(terms) => terms,
        };
        let mut headers = error::kept_headers(header);
        let is_events = header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().contains("text/event-stream"));
        let how = if !success {
            How::Error
        } else if is_events {
            let streams = terms.streams;
            let stream = Box::new(ChatStream::new(terms));
            if streams {
                headers.extend(event_stream_headers());
                return Next::Stream { headers, stream };
            }
            How::Events(stream)
        } else {
            How::Whole(terms)
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
    }

    /// The provider has not begun to answer in time.
    pub fn timed_out(&self) -> Refusal {
        let seconds = f64::from(self.timeout_ms) / 1000.0;
        let message = format!("{} did not answer within {seconds} s", self.provider);
        Refusal::new(504, message).with_kind("api_error")
    }

    /// For errors that come after [`Self::begin`] has taken the exchange.
    pub fn provider(&self) -> &'static str {
        self.provider
    }
}

/// The provider has been silent within its answer for too long.
pub fn fell_silent(provider: &str, stream_timeout_ms: u32) -> Refusal {
    let seconds = f64::from(stream_timeout_ms) / 1000.0;
    let message = format!("{provider} has sent nothing for {seconds} s");
    Refusal::new(504, message).with_kind("api_error")
}

/// The connection to the provider broke within its answer.
pub fn broke(provider: &str) -> Refusal {
    let message = format!("{provider} cut the stream before the answer was finished");
    Refusal::new(502, message)
}

impl Collect {
    /// The answer, from the whole body.
    pub fn answer(self, body: &[u8]) -> Answer {
        let mut answer = match self.how {
            How::Error => {
                let refusal = error::from_provider(
                    self.provider,
                    self.status,
                    body,
                    self.key_owner,
                    self.headers,
                );
                return refusal.answer();
            }
            How::Whole(terms) => response::translate(body, terms),
            How::Events(mut stream) => {
                stream.push(body);
                stream.finish();
                stream.answer()
            }
        };
        answer.headers.extend(self.headers);
        answer
    }
}

fn owner(target: &Target) -> KeyOwner {
    target
        .credential
        .as_ref()
        .map_or(KeyOwner::Router, |credential| credential.owner)
}

fn milliseconds(seconds: f64) -> u32 {
    // Saturating, and a number that is none becomes 0; a timeout of nothing would stop every call.
    let milliseconds = (seconds.min(LONGEST_TIMEOUT_S) * 1000.0) as u32;
    milliseconds.max(1)
}

/// The headers of Anthropic's response that its clients read.
fn relayed_headers(header: Header) -> Vec<(String, String)> {
    const RELAYED: [&str; 8] = [
        "content-type",
        "cache-control",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "anthropic-organization-id",
        "anthropic-version",
    ];
    const LIMITS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];
    let limits = LIMITS.iter().flat_map(|what| {
        ["limit", "remaining", "reset"].map(|value| format!("anthropic-ratelimit-{what}-{value}"))
    });
    RELAYED
        .iter()
        .map(|name| (*name).to_owned())
        .chain(limits)
        .filter_map(|name| {
            let value = header(&name)?;
            Some((name, value))
        })
        .collect()
}
