//! The request that goes to a provider, and what becomes of its response.

mod collect;

use bytes::Bytes;

use crate::answer::event_stream_headers;
use crate::api::Api;
use crate::auth::Credential;
use crate::chat::reply::ChatForm;
use crate::chat::request::{self as chat_request, Head};
use crate::controls;
use crate::count;
use crate::deployment::Target;
use crate::error::{self, ErrorClass, KeyOwner, Refusal};
use crate::messages::MessagesRequest;
use crate::pass_through::{self, PassedThrough};
use crate::providers::Dialect;
use crate::reply::{Identity, Reply};
use crate::translate::completion::Terms;
use crate::translate::from_messages::{self, MessageStream};
use crate::translate::incoming::Incoming;
use crate::translate::request::{self, Upstream};
use crate::translate::stream::ChatStream;
use collect::How;

pub use collect::Collect;

/// What clients of Anthropic's API send, for one that does not.
const ANTHROPIC_VERSION: &str = "2023-06-01";
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
    /// The exchange for a call to `/v1/messages`.
    ///
    /// # Errors
    /// 400 where the request cannot be said in the provider's dialect.
    ///
    /// `max_tokens` takes the place of the deployment's own limit.
    pub fn message(
        target: &Target,
        credential: Option<&Credential>,
        request: &MessagesRequest,
        caller: &Inbound,
        identity: Identity,
        max_tokens: Option<u64>,
    ) -> Result<Self, Refusal> {
        if target.provider.dialect == Dialect::Anthropic {
            let (model, streams) = (&request.model, request.streams());
            let path = "/v1/messages";
            let passed = Self::anthropic(target, credential, model, streams, path, caller);
            return passed.map(|mut exchange| {
                exchange.request_id = identity.request_id();
                exchange
            });
        }
        let deployment = &target.deployment;
        let max_output_tokens = max_tokens.or(deployment.max_output_tokens);
        let upstream = Upstream {
            provider: target.provider,
            model: &target.model,
            max_output_tokens,
            vision: deployment.vision,
            drop_server_tools: deployment.drop_params,
        };
        let (body, asked) = request::translate(request, upstream)?;
        let body = without(body.into(), target, &Inbound::default())?;
        let key_owner = owner(credential);
        let terms = Terms {
            identity,
            streams: request.streams(),
            asked,
            provider: target.provider.name,
            key_owner,
            wants_thinking: request.wants_thinking(),
            input_estimate: count::of_request(request),
        };
        let asked = request.max_tokens;
        let streams = request.streams();
        let then = Then::Translate(terms);
        let mut exchange = Self::chat_completions(target, credential, body, streams, then)?;
        exchange.max_tokens = match (asked, max_output_tokens) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, _) => asked,
        };
        Ok(exchange)
    }

    /// The exchange for a call to `/v1/chat/completions`. `created` is the time of the call, in
    /// seconds since 1970.
    ///
    /// `max_tokens` takes the place of the deployment's own limit.
    ///
    /// # Errors
    /// 400 where the request cannot be said in the provider's dialect.
    pub fn chat(
        target: &Target,
        credential: Option<&Credential>,
        head: &Head,
        caller: &Inbound,
        identity: Identity,
        created: u64,
        max_tokens: Option<u64>,
    ) -> Result<Self, Refusal> {
        if target.provider.dialect == Dialect::Anthropic {
            let call = chat_request::to_messages_for(&caller.body, &target.model)?;
            let caller = Inbound {
                body: call.body.into(),
                identity: caller.identity.clone(),
                ..Inbound::default()
            };
            let (model, path) = (&head.model, "/v1/messages");
            let mut exchange =
                Self::anthropic(target, credential, model, head.streams, path, &caller)?;
            exchange.then = Then::FromMessages(from_messages::Terms {
                reply: Reply::chat(identity, ChatForm::of(head, created)),
                provider: target.provider.name,
                key_owner: exchange.key_owner,
            });
            return Ok(exchange);
        }
        let model = (head.model != target.model).then_some(target.model.as_str());
        let most = max_tokens.or(target.deployment.max_output_tokens);
        let body = pass_through::edited(&caller.body, model)?;
        let body = without(body, target, caller)?;
        let body = match most {
            Some(most) if head.max_tokens > Some(most) => {
                pass_through::with_limit(&body, most)?.into()
            }
            _ => body,
        };
        // Without it a provider does not tell what a stream has used; the caller gets what it asked for.
        let unasked_usage = head.streams && !head.include_usage;
        let body = if unasked_usage {
            pass_through::asking_for_usage(&body)?.into()
        } else {
            body
        };
        let then = Then::PassThrough(Api::Chat);
        let mut exchange = Self::chat_completions(target, credential, body, head.streams, then)?;
        exchange.unasked_usage = unasked_usage;
        if head.streams {
            exchange.input_estimate = count::of_body(&exchange.body);
        }
        exchange.max_tokens = match (head.max_tokens, most) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, _) => asked,
        };
        Ok(exchange)
    }

    /// A request in OpenAI's dialect.
    fn chat_completions(
        target: &Target,
        credential: Option<&Credential>,
        body: Bytes,
        streams: bool,
        then: Then,
    ) -> Result<Self, Refusal> {
        let base = api_base(target)?;
        let url = if base.ends_with("/chat/completions") {
            base.to_owned()
        } else {
            format!("{base}/chat/completions")
        };
        let mut headers = vec![("content-type".into(), "application/json".into())];
        if let Some(credential) = credential {
            let value = format!("Bearer {}", credential.token);
            headers.push(("authorization".into(), value));
        }
        let accept = if streams {
            "text/event-stream"
        } else {
            "application/json"
        };
        headers.push(("accept".into(), accept.into()));
        Ok(Self::new(
            target, credential, url, headers, body, streams, then,
        ))
    }

    /// The exchange for a call to `/v1/messages/count_tokens` that Anthropic itself answers.
    ///
    /// # Errors
    /// 400 where the body has no model to replace.
    pub fn count(
        target: &Target,
        credential: Option<&Credential>,
        request: &MessagesRequest,
        caller: &Inbound,
    ) -> Result<Self, Refusal> {
        Self::anthropic(
            target,
            credential,
            &request.model,
            false,
            "/v1/messages/count_tokens",
            caller,
        )
    }

    /// Anthropic gets the caller's own bytes, but for the model's name where it differs from the one
    /// that was `asked` for.
    fn anthropic(
        target: &Target,
        credential: Option<&Credential>,
        asked: &str,
        streams: bool,
        path: &str,
        caller: &Inbound,
    ) -> Result<Self, Refusal> {
        let model = (asked != target.model).then_some(target.model.as_str());
        let body = pass_through::edited(&caller.body, model)?;
        let body = without(body, target, caller)?;
        let base = api_base(target)?;
        let base = base.strip_suffix("/v1/messages").unwrap_or(base);
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let mut url = format!("{base}{path}");
        if !caller.query.is_empty() {
            url.push('?');
            url.push_str(&caller.query);
        }
        let version = caller.anthropic_version.clone();
        let version = version.unwrap_or_else(|| ANTHROPIC_VERSION.into());
        let mut headers = vec![
            ("content-type".into(), "application/json".into()),
            ("anthropic-version".into(), version),
        ];
        for (name, value) in [
            ("anthropic-beta", &caller.anthropic_beta),
            ("accept", &caller.accept),
        ] {
            if let Some(value) = value {
                headers.push((name.into(), value.clone()));
            }
        }
        headers.extend(caller.identity.iter().cloned());
        if let Some(credential) = credential {
            // Keys of the API go by `x-api-key`, other tokens as the caller sent them.
            if credential.bearer && !credential.token.starts_with("sk-ant-api") {
                let value = format!("Bearer {}", credential.token);
                headers.push(("authorization".into(), value));
            } else {
                headers.push(("x-api-key".into(), credential.token.clone()));
            }
        }
        Ok(Self::new(
            target,
            credential,
            url,
            headers,
            body,
            streams,
            Then::PassThrough(Api::Messages),
        ))
    }

    fn new(
        target: &Target,
        credential: Option<&Credential>,
        url: String,
        mut headers: Vec<(String, String)>,
        body: Bytes,
        streams: bool,
        then: Then,
    ) -> Self {
        let deployment = &target.deployment;
        let key_owner = owner(credential);
        let extra = deployment.extra_headers.iter();
        for (name, value) in extra.filter(|_| key_owner == KeyOwner::Router) {
            headers.retain(|(known, _)| known != name);
            headers.push((name.clone(), value.clone()));
        }
        Self {
            url,
            headers,
            body,
            timeout_ms: if streams {
                deployment.first_words_ms.min(deployment.timeout_ms)
            } else {
                deployment.timeout_ms
            },
            is_hurried: false,
            stream_timeout_ms: deployment.stream_timeout_ms,
            max_tokens: None,
            provider: target.provider.name,
            key_owner,
            input_estimate: 0,
            unasked_usage: false,
            request_id: None,
            then,
        }
    }

    /// Decides by the head of the response. `header` reads its headers.
    pub fn begin(self, status: u16, header: Header) -> Next {
        let success = (200..300).contains(&status);
        let is_events = header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().contains("text/event-stream"));
        let headers = match self.then {
            Then::PassThrough(Api::Messages) => relayed_headers(header),
            Then::PassThrough(Api::Chat) => relayed_chat_headers(header),
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
    let refusal = Refusal::new(504, message).with_kind("api_error");
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
    Refusal::new(504, message).with_kind("api_error")
}

/// The connection to the provider broke within its answer.
pub fn broke(provider: &str) -> Refusal {
    let message = format!("{provider} cut the stream before the answer was finished");
    Refusal::new(502, message).with_class(ErrorClass::Connection)
}

fn owner(credential: Option<&Credential>) -> KeyOwner {
    credential.map_or(KeyOwner::Router, |credential| credential.owner)
}

/// A body of the caller's without the keys that the deployment does not get.
fn without(body: Bytes, target: &Target, caller: &Inbound) -> Result<Bytes, Refusal> {
    let dropped = &target.deployment.dropped;
    if dropped.is_empty() && !caller.own_keys && !caller.is_bound {
        return Ok(body);
    }
    pass_through::without(body, &|key| {
        dropped.iter().any(|drop| drop == key)
            || (caller.own_keys && controls::is_own(key))
            || (caller.is_bound && controls::names_other_models(key))
    })
}

fn api_base(target: &Target) -> Result<&str, Refusal> {
    let base = target.api_base().trim_end_matches('/');
    if base.is_empty() {
        let message = format!("the deployment {} has no api_base", target.name());
        return Err(Refusal::new(500, message));
    }
    Ok(base)
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

/// The headers of a chat provider's response that its clients read. Its own request id has another
/// name here, because the router's has that one.
fn relayed_chat_headers(header: Header) -> Vec<(String, String)> {
    let limits = ["limit", "remaining", "reset"]
        .iter()
        .flat_map(|value| ["requests", "tokens"].map(|what| format!("x-ratelimit-{value}-{what}")));
    let mut headers = error::kept_headers(header);
    headers.extend(
        ["content-type", "cache-control"]
            .map(str::to_owned)
            .into_iter()
            .chain(limits)
            .filter_map(|name| {
                let value = header(&name)?;
                Some((name, value))
            }),
    );
    headers
}
