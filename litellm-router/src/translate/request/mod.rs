//! A Messages request as a chat completions request
//! (<https://platform.openai.com/docs/api-reference/chat/create>).
//!
//! What the provider cannot take is left out or said in words; nothing that is forwarded is guessed.
//! The output depends on the input alone, to the byte, so that a provider's prompt cache finds the
//! conversation again.
//!
//! [`conversation`] has the turns, [`content`] their blocks, [`tools`] the tools, [`thinking`] the
//! reasoning and [`wire`] what it all looks like in JSON.

mod content;
mod conversation;
mod thinking;
mod tools;
mod wire;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::asked::Asked;
use super::names::ToolNames;
use super::schema;
use crate::error::Refusal;
use crate::messages::MessagesRequest;
use crate::providers::{self, MaxTokensKey, Provider, Replay, Schemas};
use thinking::Wish;
use wire::{ChatRequest, NamedSchema, ResponseFormat, StreamOptions};

/// The most stop sequences of chat completions.
const MOST_STOPS: usize = 4;
/// The highest temperature of chat completions; Anthropic's is 1.
const HIGHEST_TEMPERATURE: f64 = 2.0;
/// No model writes more in one answer. A limit beyond it is a mistake, and some servers reserve it.
const LARGEST_LIMIT: u64 = 100_000_000;

/// What the deployment says about its model.
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a> {
    pub provider: &'a Provider,
    pub model: &'a str,
    pub max_output_tokens: Option<u64>,
    /// Whether the model takes images.
    pub vision: bool,
    /// Drop a tool that runs at Anthropic even where it is the only one or the one that must be
    /// called (`drop_params: true` in the configuration); otherwise such a request is refused,
    /// because an answer without the search that was asked for would pass for one with it.
    pub drop_server_tools: bool,
}

impl Upstream<'_> {
    /// `provider/model`.
    fn name(self) -> String {
        format!("{}/{}", self.provider.name, self.model)
    }

    fn takes_cache_marks(self) -> bool {
        providers::takes_cache_marks(self.provider, self.model)
    }
}

/// Translates a request. Returns its body and what the answer needs of it.
///
/// # Errors
/// 400 where the request needs something that the provider does not have: a tool of Anthropic's own
/// as the only one, a document that is no text; and for a limit on tokens that is none.
pub fn translate(
    request: &MessagesRequest,
    upstream: Upstream,
) -> Result<(Vec<u8>, Asked), Refusal> {
    let tools = tools::offered(request, upstream.drop_server_tools)?;
    let streams = request.streams();
    let wish = Wish::of(request);
    let limit = limit(request.max_tokens, upstream.max_output_tokens)?;
    let schema = request
        .schema()
        .map(|schema| placed(schema, upstream, streams || !tools.is_empty()));
    let (response_format, words) = match schema {
        Some(Placed::Format(format)) => (Some(format), None),
        Some(Placed::Words(words)) => (None, Some(words)),
        None => (None, None),
    };

    let mut messages = Vec::new();
    messages.extend(conversation::system(&request.system, words, upstream));
    let thinks = !wish.is_off();
    conversation::write(&request.messages, upstream, thinks, &mut messages)?;

    let provider = upstream.provider;
    // Groq's models of this name are another family.
    let reasons = provider.name != "groq" && providers::is_openai_reasoning(upstream.model);
    let newer_key = reasons || provider.max_tokens_key == MaxTokensKey::MaxCompletionTokens;
    let choice = request.tool_choice.as_ref().filter(|_| !tools.is_empty());
    let stops = request.stop_sequences.iter().map(String::as_str);
    let mut stop: Vec<&str> = stops.filter(|stop| !stop.trim().is_empty()).collect();
    let own_stops = stop.split_off(stop.len().min(if reasons { 0 } else { MOST_STOPS }));
    let owned = |stops: &[&str]| stops.iter().map(|stop| (*stop).to_owned()).collect();
    let asked = Asked {
        stops: owned(&stop),
        own_stops: owned(&own_stops),
        tools: ToolNames::of(tools.iter().map(|tool| &*tool.name)),
        reasoning_for: (providers::replay(provider, upstream.model) == Replay::Details)
            .then(|| upstream.name()),
    };
    let chat = ChatRequest {
        model: upstream.model,
        messages,
        tool_choice: choice.and_then(|choice| tools::choice(choice, &tools)),
        parallel_tool_calls: choice
            .filter(|choice| choice.disable_parallel_tool_use)
            .map(|_| false),
        tools: tools.into_iter().map(tools::chat_tool).collect(),
        response_format,
        max_tokens: limit.filter(|_| !newer_key),
        max_completion_tokens: limit.filter(|_| newer_key),
        reasoning: wish.in_words(providers::reasoning(provider, upstream.model), limit),
        temperature: request.temperature.filter(|_| !reasons).map(|asked| {
            asked
                .min(HIGHEST_TEMPERATURE)
                .max(provider.least_temperature)
        }),
        top_p: request
            .top_p
            .filter(|_| !reasons)
            .map(|asked| asked.clamp(0.0, 1.0)),
        top_k: request.top_k.filter(|_| provider.takes_top_k),
        stop,
        user: user(request).filter(|_| provider.takes_user),
        stream: streams,
        stream_options: streams.then_some(StreamOptions {
            include_usage: true,
        }),
    };
    let body = serde_json::to_vec(&chat)
        .map_err(|error| Refusal::new(400, format!("the request could not be written: {error}")))?;
    Ok((body, asked))
}

/// The limit on the answer's tokens, cut to what the model can write.
fn limit(asked: Option<u64>, most: Option<u64>) -> Result<Option<u64>, Refusal> {
    match asked {
        Some(0) => Err(Refusal::new(400, "max_tokens: must be at least 1")),
        Some(asked) if asked > LARGEST_LIMIT => Err(Refusal::new(
            400,
            format!("max_tokens: {asked} is more than any model writes"),
        )),
        Some(asked) => Ok(Some(most.map_or(asked, |most| asked.min(most)))),
        None => Ok(None),
    }
}

/// Who asks, in a form that says nothing about them and fits every provider (OpenAI takes 64
/// characters, OpenRouter 128).
fn user(request: &MessagesRequest) -> Option<String> {
    let id = request.metadata.as_ref()?.user_id?;
    let digest = Sha256::digest(id.get());
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where a schema for the answer is said.
enum Placed<'a> {
    Format(ResponseFormat<'a>),
    Words(String),
}

/// `beside`: there are tools, or the answer is to stream.
fn placed<'a>(schema: &'a RawValue, upstream: Upstream, beside: bool) -> Placed<'a> {
    match providers::schemas(upstream.provider, upstream.model) {
        Schemas::Alone if beside => in_words(schema),
        Schemas::Words => in_words(schema),
        Schemas::Anywhere | Schemas::Alone => Placed::Format(ResponseFormat {
            kind: "json_schema",
            json_schema: NamedSchema {
                name: "answer",
                strict: schema::is_strict(schema),
                schema: schema::cleaned(Some(schema)),
            },
        }),
    }
}

fn in_words(schema: &RawValue) -> Placed<'static> {
    Placed::Words(format!(
        "Answer with one JSON value that fits this JSON schema, and with nothing before or after \
         it:\n{}",
        schema.get()
    ))
}
