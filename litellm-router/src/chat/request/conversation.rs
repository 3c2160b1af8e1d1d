//! The messages of a chat as a system prompt and turns.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::content::{Block, EMPTY, blocks};
use super::wire::{FunctionCall, Message};
use crate::error::Refusal;
use crate::json;

/// What a call gets that was never answered: Anthropic refuses a call without a result.
const NO_RESULT: &str = "(no result: the call was interrupted)";

#[derive(Debug, Serialize)]
pub struct Turn<'a> {
    pub role: &'static str,
    pub content: Vec<Block<'a>>,
}

/// A conversation, in Anthropic's words.
#[derive(Debug, Default)]
pub struct Conversation<'a> {
    pub system: Vec<Block<'a>>,
    pub turns: Vec<Turn<'a>>,
    /// The tools that were called, each once, in the order of their first calls.
    pub called: Vec<&'a str>,
    /// Whether the last turn of the assistant calls tools and does not begin with thinking.
    pub lacks_thinking: bool,
    known: HashSet<&'a str>,
    ids: Ids,
}

/// A call that waits for its result.
struct Waiting<'a> {
    /// The id that the client knows.
    asked_id: &'a str,
    id: String,
    name: &'a str,
    result: Option<Block<'a>>,
}

impl<'a> Conversation<'a> {
    /// Reads the messages. System messages at the beginning become the system prompt; a later one
    /// stays where it is, as a note in the user's turn.
    ///
    /// # Errors
    /// 400 for a role that is not known, a result without a call, a part that cannot be said, and
    /// where there is no message at all.
    pub fn read(messages: &'a [Message<'a>]) -> Result<Self, Refusal> {
        let mut conversation = Self::default();
        let numbered: Vec<(usize, &Message)> = messages.iter().enumerate().collect();
        let first = numbered.iter().position(|(_, message)| !is_system(message));
        let (leading, rest) = numbered
            .split_at_checked(first.unwrap_or(numbered.len()))
            .unwrap_or_default();
        for (at, message) in leading {
            conversation.system.extend(content(*at, message)?);
        }
        let mut waiting = Vec::new();
        let is_assistant = |message: &(usize, &Message)| message.1.role == "assistant";
        for run in rest.chunk_by(|a, b| is_assistant(a) == is_assistant(b)) {
            if run.first().is_some_and(is_assistant) {
                waiting = conversation.assistant(run)?;
            } else {
                conversation.others(run, std::mem::take(&mut waiting))?;
            }
        }
        if !waiting.is_empty() {
            conversation.others(&[], waiting)?;
        }
        conversation.complete()?;
        Ok(conversation)
    }

    /// The last touches, without which Anthropic refuses a conversation.
    fn complete(&mut self) -> Result<(), Refusal> {
        if self.turns.is_empty() {
            // A chat may consist of a system message alone.
            if self.system.is_empty() {
                return Err(Refusal::new(400, "messages: there is none"));
            }
            let content = std::mem::take(&mut self.system);
            self.say("user", content);
        }
        if self.turns.first().is_some_and(|turn| turn.role != "user") {
            let opening = Turn {
                role: "user",
                content: vec![Block::text(EMPTY)],
            };
            self.turns.insert(0, opening);
        }
        // The beginning of an answer, which the model is to go on with, may not end in white space.
        if let Some(turn) = self.turns.last_mut()
            && turn.role == "assistant"
            && let Some(Block::Text { text, .. }) = turn.content.last_mut()
            && text.ends_with(char::is_whitespace)
        {
            *text = text.trim_end().to_owned().into();
        }
        Ok(())
    }

    /// Adds to the conversation. What one side says in two messages is one turn.
    fn say(&mut self, role: &'static str, content: Vec<Block<'a>>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.content.extend(content),
            _ => self.turns.push(Turn { role, content }),
        }
    }

    /// One turn of the assistant. Returns its calls, which wait for their results.
    fn assistant(&mut self, run: &[(usize, &'a Message<'a>)]) -> Result<Vec<Waiting<'a>>, Refusal> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut waiting = Vec::new();
        for (at, message) in run {
            blocks.extend(
                message
                    .thinking_blocks
                    .iter()
                    .map(|block| Block::Own(block)),
            );
            let mut said = content(*at, message)?;
            if said.is_empty() && !message.refusal.trim().is_empty() {
                said.push(Block::text(&*message.refusal));
            }
            blocks.extend(said);
            let calls = message
                .tool_calls
                .iter()
                .map(|call| (&*call.id, call.function.as_ref()))
                // The old form, which knows one call and no id.
                .chain(message.function_call.iter().map(|call| ("", Some(call))));
            for (asked_id, function) in calls {
                let function = function.filter(|function| !function.name.is_empty());
                let Some(function) = function else {
                    let message = format!("messages[{at}].tool_calls: a call names no function");
                    return Err(Refusal::new(400, message));
                };
                let id = self.ids.of(asked_id);
                blocks.push(Block::ToolUse {
                    id: id.clone(),
                    name: Cow::Borrowed(&function.name),
                    input: input(function),
                });
                waiting.push(Waiting {
                    asked_id,
                    id,
                    name: &function.name,
                    result: None,
                });
                if self.known.insert(&function.name) {
                    self.called.push(&function.name);
                }
            }
        }
        let thinks = matches!(blocks.first(), Some(Block::Own(_)));
        self.lacks_thinking = !waiting.is_empty() && !thinks;
        if !blocks.is_empty() {
            self.say("assistant", blocks);
        }
        Ok(waiting)
    }

    /// One turn of the user: first the results, in the order of the calls, then what else was said.
    fn others(
        &mut self,
        run: &[(usize, &'a Message<'a>)],
        mut waiting: Vec<Waiting<'a>>,
    ) -> Result<(), Refusal> {
        let mut said = Vec::new();
        let mut places = Places::of(&waiting);
        for (at, message) in run {
            let blocks = content(*at, message)?;
            match &*message.role {
                "user" => said.extend(blocks),
                "system" | "developer" => said.extend(blocks.into_iter().map(as_note)),
                "tool" | "function" => {
                    let place = places.next(message);
                    let Some(call) = place.and_then(|place| waiting.get_mut(place)) else {
                        let message = format!(
                            "messages[{at}]: this result belongs to no call of the assistant's \
                             message before it"
                        );
                        return Err(Refusal::new(400, message));
                    };
                    call.answer(blocks, message);
                }
                role => {
                    let role: String = role.chars().take(100).collect();
                    let message = format!("messages[{at}].role: {role} is not known");
                    return Err(Refusal::new(400, message));
                }
            }
        }
        let mut blocks: Vec<Block> = waiting.into_iter().map(Waiting::result).collect();
        blocks.extend(said);
        if blocks.is_empty() {
            blocks.push(Block::text(EMPTY));
        }
        self.say("user", blocks);
        Ok(())
    }
}

impl<'a> Waiting<'a> {
    fn answer(&mut self, blocks: Vec<Block<'a>>, message: &'a Message<'a>) {
        let block = self.result.get_or_insert_with(|| Block::ToolResult {
            tool_use_id: self.id.clone(),
            content: Vec::new(),
            cache_control: None,
        });
        if let Block::ToolResult { content, .. } = block {
            content.extend(blocks);
        }
        block.mark(message.cache_control);
    }

    fn result(self) -> Block<'a> {
        self.result.unwrap_or_else(|| Block::ToolResult {
            tool_use_id: self.id,
            content: vec![Block::text(NO_RESULT)],
            cache_control: None,
        })
    }
}

/// Where the calls stand that a result may belong to, by id and by name; the next one last.
struct Places<'a> {
    by_id: HashMap<&'a str, Vec<usize>>,
    by_name: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Places<'a> {
    fn of(waiting: &[Waiting<'a>]) -> Self {
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, call) in waiting.iter().enumerate().rev() {
            by_id.entry(call.asked_id).or_default().push(place);
            by_name.entry(call.name).or_default().push(place);
        }
        Self { by_id, by_name }
    }

    /// The place of the call that `message` answers. A second result of a call goes to the first.
    fn next(&mut self, message: &'a Message<'a>) -> Option<usize> {
        let places = if message.role == "function" && message.tool_call_id.is_empty() {
            self.by_name.get_mut(&*message.name)?
        } else {
            self.by_id.get_mut(&*message.tool_call_id)?
        };
        match places.as_slice() {
            [only] => Some(*only),
            _ => places.pop(),
        }
    }
}

/// Ids of calls as Anthropic takes them: of letters, digits, `_` and `-`, each once in a
/// conversation. The same history gets the same ids each time.
#[derive(Debug, Default)]
struct Ids {
    /// How often an id was asked for.
    asked: HashMap<String, usize>,
    given: HashSet<String>,
}

impl Ids {
    fn of(&mut self, asked: &str) -> String {
        let base = sound(asked);
        let times = self.asked.entry(base.clone()).or_default();
        loop {
            *times += 1;
            let id = match *times {
                1 => base.clone(),
                times => format!("{base}_{times}"),
            };
            if self.given.insert(id.clone()) {
                return id;
            }
        }
    }
}

/// An id as it is or, if it has other characters, without them but still its own.
fn sound(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.is_empty() {
        return "call".into();
    }
    if id.chars().all(fits) {
        return id.to_owned();
    }
    let digest = Sha256::digest(id);
    let mark: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept: String = id.chars().filter(|c| fits(*c)).take(40).collect();
    format!("{kept}_{mark}")
}

/// The arguments of a call as an object. A model may have written what is none; Anthropic would
/// refuse the whole conversation for it, so it is wrapped.
fn input<'a>(function: &'a FunctionCall<'a>) -> Cow<'a, RawValue> {
    let object = |raw: &RawValue| raw.get().starts_with('{');
    let wrapped = |value: &str| json::read(&format!("{{\"input\":{value}}}"));
    let none = || json::read("{}");
    let own = match function.arguments {
        Some(raw) if object(raw) => return Cow::Borrowed(raw),
        None => none(),
        Some(raw) => match json::read::<String>(raw.get()) {
            Err(_) => wrapped(raw.get()),
            Ok(text) if text.trim().is_empty() => none(),
            Ok(text) => match json::read::<Box<RawValue>>(&text) {
                Ok(parsed) if object(&parsed) => Ok(parsed),
                Ok(parsed) if parsed.get() == "null" => none(),
                Ok(parsed) => wrapped(parsed.get()),
                Err(_) => wrapped(raw.get()),
            },
        },
    };
    own.map_or_else(|_| Cow::Borrowed(RawValue::NULL), Cow::Owned)
}

fn is_system(message: &Message) -> bool {
    matches!(&*message.role, "system" | "developer")
}

/// The blocks of a message, its mark for the cache on the last.
fn content<'a>(at: usize, message: &'a Message<'a>) -> Result<Vec<Block<'a>>, Refusal> {
    let mut blocks = blocks(&message.content, &format!("messages[{at}].content"))?;
    if let Some(last) = blocks.last_mut() {
        last.mark(message.cache_control);
    }
    Ok(blocks)
}

/// What the system says amid a conversation, in the words that Claude Code uses for such notes.
fn as_note(block: Block) -> Block {
    match block {
        Block::Text {
            text,
            cache_control,
        } => Block::Text {
            text: format!("<system-reminder>\n{text}\n</system-reminder>").into(),
            cache_control,
        },
        block => block,
    }
}
