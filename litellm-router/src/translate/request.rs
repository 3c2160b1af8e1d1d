//! A Messages request as a chat completions request
//! (<https://platform.openai.com/docs/api-reference/chat/create>).
//!
//! What the provider cannot take is left out or said in words; nothing that is forwarded is guessed.
//! The output depends on the input alone, to the byte, so that a provider's prompt cache finds the
//! conversation again.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::asked::Asked;
use super::names::{self, ToolNames};
use super::schema::{self, Ordered};
use crate::error::Refusal;
use crate::messages::{Block, MessagesRequest, Tool, Turn};
use crate::providers::{self, MaxTokensKey, Provider};

/// Claude Code puts its version into the first system block, for Anthropic's billing. It changes
/// with every release and sometimes with every request, and so would spoil other providers' caches.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";
/// The most stop sequences of chat completions.
const MOST_STOPS: usize = 4;
/// What a tool call gets that was never answered: providers refuse a call without a result.
const NO_RESULT: &str = "(no result: the call was interrupted)";
const NO_OUTPUT: &str = "(no output)";

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

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    messages: Vec<ChatMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ChatTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ChatToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<&'a str>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Absent fields are left out, never null: Groq refuses nulls.
#[derive(Serialize)]
struct ChatMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ChatToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
}

#[derive(Serialize)]
struct ChatToolCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: ChatFunctionCall<'a>,
}

#[derive(Serialize)]
struct ChatFunctionCall<'a> {
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

#[derive(Serialize)]
struct ChatTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: ChatFunction<'a>,
}

#[derive(Serialize)]
struct ChatFunction<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: Ordered,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ChatToolChoice<'a> {
    Mode(&'static str),
    Function {
        #[serde(rename = "type")]
        kind: &'static str,
        function: FunctionName<'a>,
    },
}

#[derive(Serialize)]
struct FunctionName<'a> {
    name: Cow<'a, str>,
}

/// Translates a request. Returns its body and what the answer needs of it.
///
/// # Errors
/// 400 where the request needs something that no chat provider has: a tool that runs at Anthropic's
/// side as the only one, a document that is no text.
pub fn translate(
    request: &MessagesRequest,
    upstream: Upstream,
) -> Result<(Vec<u8>, Asked), Refusal> {
    let used = used_tools(request);
    let tools: Vec<&Tool> = request
        .tools
        .iter()
        .filter(|tool| tool.defer_loading != Some(true) || used.contains(&*tool.name))
        .collect();
    refuse_server_tools(request, &tools)?;
    let tools: Vec<&Tool> = tools
        .into_iter()
        .filter(|tool| !is_server_tool(tool))
        .collect();

    let mut messages = Vec::new();
    if let Some(system) = system_text(&request.system) {
        messages.push(ChatMessage {
            role: "system",
            content: Some(Content::Text(system)),
            tool_calls: Vec::new(),
            tool_call_id: None,
        });
    }
    conversation(&request.messages, upstream.vision, &mut messages)?;

    let reasoning =
        upstream.provider.name != "groq" && providers::is_openai_reasoning(upstream.model);
    let limit = match (request.max_tokens, upstream.max_output_tokens) {
        (Some(asked), Some(most)) => Some(asked.min(most)),
        (asked, _) => asked,
    };
    let newer_key =
        reasoning || upstream.provider.max_tokens_key == MaxTokensKey::MaxCompletionTokens;
    let streams = request.streams();
    let asked = Asked {
        tools: ToolNames::of(tools.iter().map(|tool| &*tool.name)),
        model: format!("{}/{}", upstream.provider.name, upstream.model),
    };
    let choice = request.tool_choice.as_ref().filter(|_| !tools.is_empty());
    let chat = ChatRequest {
        model: upstream.model,
        messages,
        tool_choice: choice.and_then(|choice| tool_choice(&choice.kind, &choice.name)),
        parallel_tool_calls: choice
            .filter(|choice| choice.disable_parallel_tool_use)
            .map(|_| false),
        tools: tools.into_iter().map(chat_tool).collect(),
        max_tokens: limit.filter(|_| !newer_key),
        max_completion_tokens: limit.filter(|_| newer_key),
        temperature: request
            .temperature
            .filter(|_| !reasoning)
            .map(|temperature| temperature.max(upstream.provider.least_temperature)),
        top_p: request.top_p.filter(|_| !reasoning),
        stop: request
            .stop_sequences
            .iter()
            .map(String::as_str)
            .filter(|stop| !stop.trim().is_empty())
            .take(MOST_STOPS)
            .collect(),
        stream: streams,
        stream_options: streams.then_some(StreamOptions {
            include_usage: true,
        }),
    };
    let body = serde_json::to_vec(&chat)
        .map_err(|error| Refusal::new(400, format!("the request could not be written: {error}")))?;
    Ok((body, asked))
}

/// The tools that the conversation has called or found.
fn used_tools<'r>(request: &'r MessagesRequest) -> HashSet<&'r str> {
    fn names<'r>(block: &'r Block, used: &mut HashSet<&'r str>) {
        match &*block.kind {
            "tool_use" => {
                used.insert(&block.name);
            }
            "tool_reference" => {
                used.insert(&block.tool_name);
            }
            _ => block.content.iter().for_each(|inner| names(inner, used)),
        }
    }
    let mut used = HashSet::new();
    for block in request.messages.iter().flat_map(|turn| &turn.content) {
        names(block, &mut used);
    }
    used
}

/// A tool that Anthropic runs itself: it has a type of its own and no schema.
fn is_server_tool(tool: &Tool) -> bool {
    tool.input_schema.is_none() && !tool.kind.is_empty() && tool.kind != "custom"
}

fn refuse_server_tools(request: &MessagesRequest, tools: &[&Tool]) -> Result<(), Refusal> {
    let forced = request
        .tool_choice
        .as_ref()
        .filter(|choice| choice.kind == "tool")
        .map(|choice| &*choice.name);
    let needed = tools.iter().find(|tool| {
        is_server_tool(tool)
            && (forced == Some(&*tool.name) || tools.iter().all(|tool| is_server_tool(tool)))
    });
    match needed {
        Some(tool) => Err(Refusal::new(
            400,
            format!(
                "the tool {} ({}) runs at Anthropic only; this model's provider does not have it",
                tool.name, tool.kind
            ),
        )),
        None => Ok(()),
    }
}

fn chat_tool<'a>(tool: &'a Tool) -> ChatTool<'a> {
    ChatTool {
        kind: "function",
        function: ChatFunction {
            name: names::upstream(&tool.name),
            description: &tool.description,
            parameters: schema::sanitized(tool.input_schema),
        },
    }
}

fn tool_choice<'a>(kind: &str, name: &'a str) -> Option<ChatToolChoice<'a>> {
    Some(match kind {
        "auto" => ChatToolChoice::Mode("auto"),
        "any" => ChatToolChoice::Mode("required"),
        "none" => ChatToolChoice::Mode("none"),
        "tool" => ChatToolChoice::Function {
            kind: "function",
            function: FunctionName {
                name: names::upstream(name),
            },
        },
        _ => return None,
    })
}

/// One leading system message from all system blocks.
fn system_text<'a>(blocks: &'a [Block<'a>]) -> Option<Cow<'a, str>> {
    joined(
        blocks
            .iter()
            .map(|block| &*block.text)
            .filter(|text| !text.starts_with(BILLING_HEADER)),
    )
}

/// Texts that are not empty, with an empty line between them.
fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Cow<'a, str>> {
    let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    match texts.as_slice() {
        [] => None,
        [one] => Some(Cow::Borrowed(one)),
        many => Some(Cow::Owned(many.join("\n\n"))),
    }
}

/// Turns of the same side count as one: chat providers want sides to alternate.
fn conversation<'a>(
    turns: &'a [Turn<'a>],
    vision: bool,
    messages: &mut Vec<ChatMessage<'a>>,
) -> Result<(), Refusal> {
    let is_assistant = |turn: &Turn| turn.role == "assistant";
    // The calls that the last assistant message made and that wait for their results.
    let mut waiting: Vec<&str> = Vec::new();
    for run in turns.chunk_by(|a, b| is_assistant(a) == is_assistant(b)) {
        if run.first().is_some_and(is_assistant) {
            waiting = assistant(run, messages);
        } else {
            others(run, &waiting, vision, messages)?;
            waiting.clear();
        }
    }
    for id in waiting {
        messages.push(tool_message(id, NO_RESULT.into()));
    }
    Ok(())
}

/// Writes one assistant message and returns the ids of its calls. Thinking is left out: it is not
/// for other models to read, and never may become visible text.
fn assistant<'a>(run: &'a [Turn<'a>], messages: &mut Vec<ChatMessage<'a>>) -> Vec<&'a str> {
    let blocks = || run.iter().flat_map(|turn| &turn.content);
    let text = joined(
        blocks()
            .filter(|block| block.kind == "text")
            .map(|block| &*block.text),
    );
    let calls: Vec<&Block> = blocks().filter(|block| block.kind == "tool_use").collect();
    if text.is_none() && calls.is_empty() {
        return Vec::new();
    }
    messages.push(ChatMessage {
        role: "assistant",
        content: text.map(Content::Text),
        tool_calls: calls
            .iter()
            .map(|call| ChatToolCall {
                id: &call.id,
                kind: "function",
                function: ChatFunctionCall {
                    name: names::upstream(&call.name),
                    arguments: arguments(call.input),
                },
            })
            .collect(),
        tool_call_id: None,
    });
    calls.into_iter().map(|call| &*call.id).collect()
}

/// A call's input as the JSON text of an object.
fn arguments(input: Option<&RawValue>) -> Cow<'_, str> {
    match input.map(RawValue::get) {
        Some(object) if object.starts_with('{') => Cow::Borrowed(object),
        None | Some("null") => Cow::Borrowed("{}"),
        Some(other) => Cow::Owned(format!("{{\"input\":{other}}}")),
    }
}

fn tool_message<'a>(id: &'a str, text: Cow<'a, str>) -> ChatMessage<'a> {
    ChatMessage {
        role: "tool",
        content: Some(Content::Text(text)),
        tool_calls: Vec::new(),
        tool_call_id: Some(id),
    }
}

/// What users and the client say between two assistant messages: first the results, in the order of
/// the calls that wait for them, then one user message with the rest.
fn others<'a>(
    run: &'a [Turn<'a>],
    waiting: &[&'a str],
    vision: bool,
    messages: &mut Vec<ChatMessage<'a>>,
) -> Result<(), Refusal> {
    let results: Vec<&Block> = run
        .iter()
        .flat_map(|turn| &turn.content)
        .filter(|block| block.kind == "tool_result")
        .collect();
    let mut parts = Vec::new();
    for id in waiting {
        let result = results.iter().find(|result| result.tool_use_id == *id);
        let text = match result {
            None => NO_RESULT.into(),
            Some(result) => result_text(result, vision, &mut parts)?,
        };
        messages.push(tool_message(id, text));
    }
    for turn in run {
        for block in &turn.content {
            if block.kind == "tool_result" {
                continue;
            }
            let part = part(block, vision)?;
            parts.extend(match part {
                // Not every model's template takes a system message here, and none takes it wrong
                // when the user says it in the words that Claude Code uses for such notes.
                Some(Part::Text { text }) if turn.role == "system" => Some(Part::Text {
                    text: format!("<system-reminder>\n{text}\n</system-reminder>").into(),
                }),
                part => part,
            });
        }
    }
    if let Some(content) = content(parts) {
        messages.push(ChatMessage {
            role: "user",
            content: Some(content),
            tool_calls: Vec::new(),
            tool_call_id: None,
        });
    }
    Ok(())
}

/// Plain text where that is enough, because not every server reads parts.
fn content(parts: Vec<Part>) -> Option<Content> {
    if parts.is_empty() {
        return None;
    }
    if parts
        .iter()
        .any(|part| matches!(part, Part::ImageUrl { .. }))
    {
        return Some(Content::Parts(parts));
    }
    let mut texts: Vec<Cow<str>> = parts
        .into_iter()
        .filter_map(|part| match part {
            Part::Text { text } => Some(text),
            Part::ImageUrl { .. } => None,
        })
        .collect();
    let text = match texts.len() {
        1 => texts.pop().unwrap_or_default(),
        _ => texts.join("\n\n").into(),
    };
    Some(Content::Text(text))
}

/// A result as text. Images cannot stand in a tool message, so they follow in the user message.
fn result_text<'a>(
    result: &'a Block<'a>,
    vision: bool,
    parts: &mut Vec<Part<'a>>,
) -> Result<Cow<'a, str>, Refusal> {
    let mut texts: Vec<Cow<str>> = Vec::new();
    for block in &result.content {
        match part(block, vision)? {
            Some(Part::Text { text }) => texts.push(text),
            Some(image) => {
                texts.push("(an image, shown in the next message)".into());
                let note = format!("Image from the result of tool call {}:", result.tool_use_id);
                parts.push(Part::Text { text: note.into() });
                parts.push(image);
            }
            None => {}
        }
    }
    let mut text = match texts.len() {
        0 => Cow::Borrowed(NO_OUTPUT),
        1 => texts.pop().unwrap_or_default(),
        _ => texts.join("\n\n").into(),
    };
    if result.is_error == Some(true) {
        text = format!("Error: {text}").into();
    }
    Ok(text)
}

/// One block as a part, `None` where it has nothing to say.
fn part<'a>(block: &'a Block<'a>, vision: bool) -> Result<Option<Part<'a>>, Refusal> {
    let text = |text: Cow<'a, str>| (!text.is_empty()).then_some(Part::Text { text });
    Ok(match &*block.kind {
        "text" => text(Cow::Borrowed(&*block.text)),
        "image" if !vision => text("(an image, which this model cannot see)".into()),
        "image" => {
            let source = block.source.as_ref();
            let url = source.and_then(|source| match &*source.kind {
                "base64" => Some(Cow::Owned(format!(
                    "data:{};base64,{}",
                    source.media_type, source.data
                ))),
                "url" => Some(Cow::Borrowed(&*source.url)),
                _ => None,
            });
            match url {
                Some(url) => Some(Part::ImageUrl {
                    image_url: ImageUrl { url },
                }),
                None => text("(an image that only Anthropic has)".into()),
            }
        }
        "document" => document(block)?.and_then(text),
        "tool_reference" => text(format!("The tool {} is ready.", block.tool_name).into()),
        // Its own text is all that can be said of a block of an unknown type.
        _ => text(Cow::Borrowed(&*block.text)),
    })
}

fn document<'a>(block: &'a Block<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(source) = block.source.as_ref() else {
        return Ok(None);
    };
    match &*source.kind {
        "text" => Ok(Some(Cow::Borrowed(&*source.data))),
        "content" => Ok(joined(source.content.iter().map(|inner| &*inner.text))),
        _ => Err(Refusal::new(
            400,
            format!(
                "a document of type {} cannot be sent to this model's provider; send its text",
                if source.media_type.is_empty() {
                    &source.kind
                } else {
                    &source.media_type
                }
            ),
        )),
    }
}
