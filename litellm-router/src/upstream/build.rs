//! What a call becomes for its provider: address, headers, and a body in the provider's dialect.

use bytes::Bytes;

use super::{Exchange, Inbound, Then};
use crate::api::Api;
use crate::auth::Credential;
use crate::chat::reply::ChatForm;
use crate::chat::request::{self as chat_request, Head};
use crate::controls;
use crate::count;
use crate::deployment::Target;
use crate::error::{KeyOwner, Refusal};
use crate::messages::MessagesRequest;
use crate::pass_through;
use crate::providers::Dialect;
use crate::reply::{Identity, Reply};
use crate::translate::completion::Terms;
use crate::translate::from_messages;
use crate::translate::request::{self, Upstream};

/// What clients of Anthropic's API send, for one that does not.
const ANTHROPIC_VERSION: &str = "2023-06-01";

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
            || (caller.is_bound && controls::chooses_what_answers(key))
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
