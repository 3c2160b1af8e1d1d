//! Turns and blocks as messages.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::wire::{ChatFunctionCall, ChatMessage, ChatToolCall, Content, Part};
use super::{Upstream, content};
use crate::error::Refusal;
use crate::messages::{Block, Turn};
use crate::providers::{self, Replay};
use crate::translate::{ids, names, reasoning};

/// Claude Code puts its version into the first system block, for Anthropic's billing. It changes
/// with every release and sometimes with every request, and so would spoil other providers' caches.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";
/// What a tool call gets that was never answered: providers refuse a call without a result.
const NO_RESULT: &str = "(no result: the call was interrupted)";
/// Where a provider wants reasoning that is not here any more: some refuse an empty text as well.
const NO_REASONING: &str = " ";

/// One leading system message from all system blocks, and `addition` at its end.
pub(super) fn system<'a>(
    blocks: &'a [Block<'a>],
    addition: Option<String>,
    upstream: Upstream,
) -> Option<ChatMessage<'a>> {
    let blocks = blocks
        .iter()
        .filter(|block| !block.text.is_empty() && !block.text.starts_with(BILLING_HEADER));
    let mut parts: Vec<Part> = blocks
        .map(|block| Part::Text {
            text: Cow::Borrowed(&*block.text),
            cache_control: block.cache_control.filter(|_| upstream.takes_cache_marks()),
        })
        .collect();
    parts.extend(addition.map(|text| content::text_part(text.into())));
    Some(ChatMessage {
        role: "system",
        content: Some(content::of_parts(parts)?),
        ..ChatMessage::default()
    })
}

/// A call that waits for its result: the client's id, and the one that goes upstream.
struct Waiting<'a> {
    id: &'a str,
    upstream_id: Cow<'a, str>,
}

/// Writes all turns. Those of the same side count as one: chat providers want sides to alternate.
pub(super) fn write<'a>(
    turns: &'a [Turn<'a>],
    upstream: Upstream,
    thinks: bool,
    messages: &mut Vec<ChatMessage<'a>>,
) -> Result<(), Refusal> {
    let is_assistant = |turn: &Turn| turn.role == "assistant";
    let same_side = |a: &Turn, b: &Turn| is_assistant(a) == is_assistant(b);
    // An assistant that only thinks says nothing, so what is around it is one.
    let says = |turn: &Turn| !is_assistant(turn) || turn.content.iter().any(is_said);
    let turns: Vec<&Turn> = turns
        .chunk_by(same_side)
        .filter(|run| run.iter().any(says))
        .flatten()
        .collect();
    let mut replay = providers::replay(upstream.provider, upstream.model);
    if !thinks && matches!(replay, Replay::Content { .. }) {
        replay = Replay::Nothing;
    }
    let origin = upstream.name();
    // The calls that the last assistant message made and that wait for their results.
    let mut waiting: Vec<Waiting> = Vec::new();
    for run in turns.chunk_by(|a, b| same_side(a, b)) {
        if run.first().is_some_and(|turn| is_assistant(turn)) {
            waiting = assistant(run, replay, &origin, messages);
        } else {
            others(run, std::mem::take(&mut waiting), upstream, messages)?;
        }
    }
    for call in waiting {
        messages.push(tool_message(
            call.upstream_id,
            Content::Text(NO_RESULT.into()),
        ));
    }
    Ok(())
}

/// Whether a block of an assistant is for others to read.
fn is_said(block: &Block) -> bool {
    block.kind == "tool_use" || (block.kind == "text" && !block.text.is_empty())
}

/// Writes one assistant message and returns its calls. Thinking never becomes visible text, and only
/// what this router has written itself goes back, in the fields that a provider has for it.
fn assistant<'a>(
    run: &[&'a Turn<'a>],
    replay: Replay,
    origin: &str,
    messages: &mut Vec<ChatMessage<'a>>,
) -> Vec<Waiting<'a>> {
    let blocks = || run.iter().flat_map(|turn| &turn.content);
    let text = content::joined(
        blocks()
            .filter(|block| block.kind == "text")
            .map(|block| &*block.text),
    );
    let calls: Vec<&Block> = blocks().filter(|block| block.kind == "tool_use").collect();
    let reasoning_details = match replay {
        Replay::Details => reasoning::details_of(blocks(), origin),
        Replay::Content { .. } | Replay::Nothing => Vec::new(),
    };
    let reasoning_content = match replay {
        Replay::Content { required } => {
            let thoughts = blocks()
                .filter(|block| block.kind == "thinking" && reasoning::is_own(&block.signature))
                .map(|block| &*block.thinking);
            let missing = required && !calls.is_empty();
            content::joined(thoughts).or(missing.then_some(NO_REASONING.into()))
        }
        Replay::Details | Replay::Nothing => None,
    };
    // Details speak of calls by the ids that the provider gave them.
    let keeps_ids = !reasoning_details.is_empty();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let waiting: Vec<Waiting> = calls
        .iter()
        .map(|call| {
            let count = seen.entry(&call.id).or_default();
            let nth = std::mem::replace(count, *count + 1);
            let upstream_id = if keeps_ids && nth == 0 && !call.id.is_empty() {
                Cow::Borrowed(&*call.id)
            } else {
                ids::upstream(&call.id, nth)
            };
            Waiting {
                id: &call.id,
                upstream_id,
            }
        })
        .collect();
    let message = ChatMessage {
        role: "assistant",
        content: text.map(Content::Text),
        reasoning_content,
        reasoning_details,
        tool_calls: calls
            .iter()
            .zip(&waiting)
            .map(|(call, waiting)| ChatToolCall {
                id: waiting.upstream_id.clone(),
                kind: "function",
                function: ChatFunctionCall {
                    name: names::upstream(&call.name),
                    arguments: arguments(call.input),
                },
            })
            .collect(),
        ..ChatMessage::default()
    };
    match messages.last_mut() {
        // What the user said in between came to nothing.
        Some(last) if last.role == "assistant" => last.append(message),
        _ => messages.push(message),
    }
    waiting
}

/// A call's input as the JSON text of an object.
fn arguments(input: Option<&RawValue>) -> Cow<'_, str> {
    match input.map(RawValue::get) {
        Some(object) if object.starts_with('{') => Cow::Borrowed(object),
        None | Some("null") => Cow::Borrowed("{}"),
        Some(other) => Cow::Owned(format!("{{\"input\":{other}}}")),
    }
}

fn tool_message<'a>(id: Cow<'a, str>, content: Content<'a>) -> ChatMessage<'a> {
    ChatMessage {
        role: "tool",
        content: Some(content),
        tool_call_id: Some(id),
        ..ChatMessage::default()
    }
}

/// What users and the client say between two assistant messages: first the results, in the order of
/// the calls that wait for them, then one user message with the rest.
fn others<'a>(
    run: &[&'a Turn<'a>],
    waiting: Vec<Waiting<'a>>,
    upstream: Upstream,
    messages: &mut Vec<ChatMessage<'a>>,
) -> Result<(), Refusal> {
    // The results of each id, in their order; a call takes the first that is left.
    let mut results: HashMap<&str, std::collections::VecDeque<&Block>> = HashMap::new();
    for block in run.iter().flat_map(|turn| &turn.content) {
        if block.kind == "tool_result" {
            let of_id = results.entry(&block.tool_use_id).or_default();
            of_id.push_back(block);
        }
    }
    let mut parts = Vec::new();
    for call in waiting {
        let content = match results.get_mut(call.id).and_then(|left| left.pop_front()) {
            None => Content::Text(NO_RESULT.into()),
            Some(result) => content::of_result(result, upstream, &mut parts)?,
        };
        messages.push(tool_message(call.upstream_id, content));
    }
    for turn in run {
        for block in &turn.content {
            if block.kind == "tool_result" {
                continue;
            }
            parts.extend(match content::part(block, upstream)? {
                // Not every model's template takes a system message here, and none takes it wrong
                // when the user says it in the words that Claude Code uses for such notes.
                Some(Part::Text {
                    text,
                    cache_control,
                }) if turn.role == "system" => Some(Part::Text {
                    text: format!("<system-reminder>\n{text}\n</system-reminder>").into(),
                    cache_control,
                }),
                part => part,
            });
        }
    }
    if let Some(content) = content::of_parts(parts) {
        messages.push(ChatMessage {
            role: "user",
            content: Some(content),
            ..ChatMessage::default()
        });
    }
    Ok(())
}
