//! `local/demo`: a model that is a script.
//!
//! It asks for tools the way a language model does, so that the real agent writes and runs real files
//! on a machine without a key and without internet. It is a pure function of the request: it finds
//! the last thing that a person asked for, counts which steps have been taken since, and says the
//! next. Where it speaks of itself it says that it is a demo.

mod conversation;
mod plan;
mod side_request;

use std::borrow::Cow;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Body, Piece};
use crate::count;
use crate::error::Refusal;
use crate::messages::MessagesRequest;
use crate::mock::split_words;
use crate::reply::{Reply, Sink, StopReason, Usage};
use conversation::Conversation;
use plan::Plan;

/// The mark under the demo's thinking; no provider has signed it.
pub const SIGNATURE: &str = "local-demo-unsigned";

/// One thing that the demo says or does.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Thinking(String),
    Text(String),
    /// So many numbered words, one every so many milliseconds.
    Words {
        count: u32,
        every_ms: u32,
    },
    Tool {
        id: String,
        name: String,
        input: Value,
    },
}

/// Answers `request` in the form of `reply`, of which nothing has been said yet. With it comes what
/// the whole answer uses, whether its caller hears it to the end or not.
///
/// # Errors
/// None that the demo has today.
pub fn answer(request: &MessagesRequest, reply: Reply) -> Result<(Answer, Usage), Refusal> {
    let streams = reply.streams();
    let script = script(request);
    let output = beats(script.clone()).map(|beat| beat.tokens()).sum();
    let used = usage(count::of_request(request), output);
    let mut pieces = Performance {
        beats: beats(script),
        reply,
        used,
        calls_tools: false,
        over: false,
    };
    if streams {
        return Ok((Answer::events(Body::Paced(Box::new(pieces))), used));
    }
    while pieces.next().is_some() {}
    Ok((pieces.reply.answer()?, used))
}

fn stop_reason(calls_tools: bool) -> StopReason {
    if calls_tools {
        StopReason::ToolUse
    } else {
        StopReason::EndTurn
    }
}

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage {
        input_tokens,
        output_tokens,
        ..Usage::default()
    }
}

/// Decides what comes next.
fn script(request: &MessagesRequest) -> Vec<Part> {
    if let Some(json) = side_request::json_answer(request) {
        return vec![Part::Text(json)];
    }
    let conversation = Conversation::read(request);
    if let Some(failed) = conversation.done.iter().find(|done| done.is_error) {
        let text = format!(
            "{} did not work, so the demo stops here:\n\n{}",
            failed.tool,
            plan::fenced(&failed.output)
        );
        return vec![Part::Text(text)];
    }
    match plan::make(&conversation) {
        Plan::Say(text) => vec![Part::Text(text)],
        Plan::Think { thought, text } => vec![Part::Thinking(thought), Part::Text(text)],
        Plan::Words { count, every_ms } => vec![Part::Words { count, every_ms }],
        Plan::Steps { steps, closing } => match steps.into_iter().nth(conversation.done.len()) {
            None => vec![Part::Text(closing.text(&conversation.done))],
            Some(step) => take(&conversation, step),
        },
    }
}

/// One step: what is said before it, and the tool call, if this session has the tool.
fn take(conversation: &Conversation, step: plan::Step) -> Vec<Part> {
    let call = |name: &str, input: Value| Part::Tool {
        id: call_id(conversation),
        name: name.to_owned(),
        input,
    };
    let choices = step.tools(&conversation.done);
    if let Some((name, input)) = choices.iter().find(|(name, _)| conversation.has_tool(name)) {
        return vec![Part::Text(step.say), call(name, input.clone())];
    }
    // Claude Code keeps rarely used tools behind a search; naming one there brings it in.
    if let Some((name, _)) = choices
        .iter()
        .find(|(name, _)| conversation.can_fetch_tool(name))
    {
        let search = json!({"query": format!("select:{name}"), "max_results": 5});
        return vec![
            Part::Text(format!("First I need the tool {name}.")),
            call("ToolSearch", search),
        ];
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    vec![Part::Text(format!(
        "For this the demo would use the tool {}, which is not allowed in this session.",
        names.join(" or ")
    ))]
}

/// An id that is the same for the same request and differs within and between conversations.
fn call_id(conversation: &Conversation) -> String {
    let digest = Sha256::digest(format!("{}\n{}", conversation.cwd, conversation.prompt));
    let mark: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("toolu_demo_{mark}_{}", conversation.calls_so_far + 1)
}

/// The smallest thing that is sent at once.
enum Beat {
    Thinking(String),
    Signature,
    Text(String),
    Word {
        number: u32,
        wait_ms: u32,
    },
    Tool {
        id: String,
        name: String,
        input: String,
    },
}

impl Beat {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Thinking(text) | Self::Text(text) => Cow::Borrowed(text),
            Self::Word { number: 1, .. } => Cow::Borrowed("word1"),
            Self::Word { number, .. } => Cow::Owned(format!(" word{number}")),
            Self::Tool { input, .. } => Cow::Borrowed(input),
            Self::Signature => Cow::Borrowed(""),
        }
    }

    fn tokens(&self) -> u64 {
        count::of_text(&self.text())
    }

    fn wait_ms(&self) -> u32 {
        match self {
            Self::Word { wait_ms, .. } => *wait_ms,
            _ => 0,
        }
    }

    fn play(&self, sink: &mut dyn Sink) {
        match self {
            Self::Thinking(text) => sink.thinking(text),
            Self::Signature => sink.signature(SIGNATURE),
            Self::Text(_) | Self::Word { .. } => sink.text(&self.text()),
            Self::Tool { id, name, input } => {
                sink.tool_call(id, name);
                for chunk in split_words(input) {
                    sink.tool_input(chunk);
                }
            }
        }
    }
}

fn beats(parts: Vec<Part>) -> Box<dyn Iterator<Item = Beat> + Send> {
    fn deltas(text: &str, beat: fn(String) -> Beat) -> Vec<Beat> {
        split_words(text)
            .map(|words| beat(words.to_owned()))
            .collect()
    }
    Box::new(
        parts
            .into_iter()
            .flat_map(|part| -> Box<dyn Iterator<Item = Beat> + Send> {
                match part {
                    Part::Text(text) => Box::new(deltas(&text, Beat::Text).into_iter()),
                    Part::Thinking(text) => {
                        let thoughts = deltas(&text, Beat::Thinking).into_iter();
                        Box::new(thoughts.chain([Beat::Signature]))
                    }
                    Part::Words { count, every_ms } => {
                        Box::new((1..=count).map(move |number| Beat::Word {
                            number,
                            wait_ms: if number == 1 { 0 } else { every_ms },
                        }))
                    }
                    Part::Tool { id, name, input } => Box::new(std::iter::once(Beat::Tool {
                        id,
                        name,
                        input: input.to_string(),
                    })),
                }
            }),
    )
}

/// The script, played while it is sent.
struct Performance {
    beats: Box<dyn Iterator<Item = Beat> + Send>,
    reply: Reply,
    used: Usage,
    calls_tools: bool,
    over: bool,
}

impl Iterator for Performance {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let wait_ms = match self.beats.next() {
            Some(beat) => {
                self.calls_tools |= matches!(beat, Beat::Tool { .. });
                beat.play(&mut self.reply);
                beat.wait_ms()
            }
            None if self.over => return None,
            None => {
                self.over = true;
                self.reply.finish(stop_reason(self.calls_tools), self.used);
                0
            }
        };
        Some(Piece {
            wait_ms,
            bytes: self.reply.take(),
        })
    }
}

#[cfg(test)]
mod tests;
