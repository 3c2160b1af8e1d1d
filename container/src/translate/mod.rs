//! Claude Code's lines as events of a session. Pure: one line in, what it means out.

mod end;
mod servers;
pub mod tools;

use std::collections::HashMap;
use std::sync::Arc;

use protocol::event::{
    EventBody, FileChange, MAX_EVENT, MAX_TOOL_OUTPUT, Place, Status, Todo, TurnState, cut,
};
use serde_json::Value;

pub use end::{Cause, end_of};
use servers::Servers;

use crate::mask::{Mask, Pieces};
use crate::wire::{Assistant, Block, Content, Kind, StreamEvent, User};

/// Bytes of a text or of a thought that an event carries.
const MAX_CONTENT: usize = 1024 * 1024;

/// What a content is cut to where its JSON form is too long: each byte of it can take six there.
const MAX_ESCAPED: usize = MAX_EVENT / 7;

/// Tool calls that are remembered until their results come.
const MAX_CALLS: usize = 1000;

/// Translates the lines of one conversation. [`Translator::begin`] starts each turn.
#[derive(Debug)]
pub struct Translator {
    /// The folder that the workspace really is, as tools name it.
    workspace: String,
    /// Where the model's text that streams at the moment belongs, by the sub-agent's call.
    streaming: HashMap<Option<String>, Streaming>,
    /// Whole blocks seen of the message seen last, for models that do not stream.
    counted: (String, u64),
    calls: HashMap<String, Call>,
    /// What TaskCreate and TaskUpdate have made, in order.
    tasks: Vec<(String, Todo)>,
    interrupted: bool,
    servers: Servers,
    /// The turn's secrets, which pieces of text may still hold.
    mask: Arc<Mask>,
}

#[derive(Debug, Default)]
struct Streaming {
    message: String,
    index: u64,
    /// The block is a thought.
    thought: bool,
    pieces: Pieces,
}

impl Streaming {
    /// The event of a piece of the block; none where it is held back.
    fn event(&self, content: String, parent: &Option<String>) -> Option<EventBody> {
        let place = place(&self.message, self.index, parent);
        if content.is_empty() {
            return None;
        }
        Some(match self.thought {
            true => EventBody::Thinking {
                content,
                partial: true,
                place,
            },
            false => EventBody::Progress { content, place },
        })
    }

    /// The block is over: what was held back is told.
    fn finish(&mut self, parent: &Option<String>) -> Option<EventBody> {
        let content = self.pieces.finish();
        self.event(content, parent)
    }
}

/// A tool call whose result has not come.
#[derive(Debug)]
struct Call {
    change: Option<(FileChange, String)>,
    todos: Option<Vec<Todo>>,
    task: Option<tools::TaskCall>,
}

impl Translator {
    /// `workspace` is the real folder, without a slash at its end.
    pub fn new(workspace: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            streaming: HashMap::new(),
            counted: (String::new(), 0),
            calls: HashMap::new(),
            tasks: Vec::new(),
            interrupted: false,
            servers: Servers::default(),
            mask: Arc::default(),
        }
    }

    /// Forgets what belongs to the turn before. Of this one, pieces of text are told without what the
    /// mask finds; whole lines come without it.
    pub fn begin(&mut self, mask: Arc<Mask>) {
        self.mask = mask;
        self.streaming.clear();
        self.calls.clear();
        self.interrupted = false;
    }

    /// Forgets what belongs to the conversation before.
    pub fn begin_conversation(&mut self) {
        self.tasks.clear();
    }

    /// From now on the turn is being interrupted, and results that say so are put plainly.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Whether tools are at work.
    pub fn tools_run(&self) -> bool {
        !self.calls.is_empty()
    }

    /// The events of a line; none for what people need not see. The end of a turn is
    /// [`end_of`]'s.
    pub fn translate(&mut self, line: &Kind) -> Vec<EventBody> {
        let mut events = match line {
            Kind::Init(init) => {
                let working = EventBody::Status(Status {
                    model: Some(init.model.clone()),
                    ..Status::new(TurnState::Running, format!("{} is working", init.model))
                });
                let mut events = self.servers.changed(init);
                events.push(working);
                events
            }
            Kind::ApiRetry(retry) => {
                let told = match retry.error_status {
                    Some(status) => format!("answered {status}"),
                    None => "did not answer".to_owned(),
                };
                vec![running(format!(
                    "The model's provider {told}; trying again ({} of {})",
                    retry.attempt, retry.max_retries
                ))]
            }
            Kind::CompactBoundary => vec![running(
                "The conversation was summed up, to make room for more".to_owned(),
            )],
            Kind::StreamEvent(event) => self.stream_event(event).into_iter().collect(),
            Kind::Assistant(assistant) => self.assistant(assistant),
            Kind::User(user) => self.user(user),
            Kind::Result(_)
            | Kind::ControlRequest(_)
            | Kind::ControlCancel(_)
            | Kind::ModeChanged(_)
            | Kind::ControlResponse(_)
            | Kind::Lifecycle(_)
            | Kind::ThinkingTokens
            | Kind::Mirror(_)
            | Kind::Other => Vec::new(),
        };
        events.iter_mut().for_each(bound);
        events
    }

    fn stream_event(&mut self, line: &StreamEvent) -> Option<EventBody> {
        let parent = &line.parent_tool_use_id;
        match line.event.kind.as_str() {
            "message_start" => {
                let message = line.event.message.as_ref()?.id.clone();
                let streaming = Streaming {
                    message,
                    ..Streaming::default()
                };
                let mut before = self.streaming.insert(parent.clone(), streaming)?;
                before.finish(parent)
            }
            "content_block_start" => {
                let streaming = self.streaming.entry(parent.clone()).or_default();
                let rest = streaming.finish(parent);
                streaming.index = line.event.index;
                rest
            }
            "content_block_delta" => {
                let streaming = self.streaming.get_mut(parent)?;
                streaming.index = line.event.index;
                let delta = line.event.delta.as_ref()?;
                let piece = match (delta.kind.as_str(), &delta.text, &delta.thinking) {
                    ("text_delta", Some(text), _) => text,
                    ("thinking_delta", _, Some(thinking)) => thinking,
                    _ => return None,
                };
                streaming.thought = delta.kind == "thinking_delta";
                let content = streaming.pieces.add(&self.mask, piece);
                streaming.event(content, parent)
            }
            "content_block_stop" => self.streaming.get_mut(parent)?.finish(parent),
            _ => None,
        }
    }

    fn assistant(&mut self, line: &Assistant) -> Vec<EventBody> {
        // The result at the turn's end says it.
        if line.is_api_error_message {
            return Vec::new();
        }
        // A whole block's line comes before the end of its pieces.
        let streaming = self.streaming.get_mut(&line.parent_tool_use_id);
        let streaming = streaming.filter(|streaming| streaming.message == line.message.id);
        let rest = streaming.and_then(|streaming| streaming.finish(&line.parent_tool_use_id));
        let mut events: Vec<EventBody> = rest.into_iter().collect();
        for block in &line.message.content {
            let place = self.place_of_whole(&line.message.id, &line.parent_tool_use_id);
            match (block.kind.as_str(), &block.text, &block.thinking) {
                ("text", Some(text), _) if !text.is_empty() => events.push(EventBody::Result {
                    content: text.clone(),
                    place,
                }),
                ("thinking", _, Some(thinking)) if !thinking.is_empty() => {
                    events.push(EventBody::Thinking {
                        content: thinking.clone(),
                        partial: false,
                        place,
                    });
                }
                ("tool_use" | "server_tool_use" | "mcp_tool_use", ..) => {
                    events.extend(self.tool_use(block, &line.parent_tool_use_id));
                }
                _ => {}
            }
        }
        events
    }

    /// A whole block's line comes while the block is still open in the stream; without a stream the
    /// blocks of a message are counted.
    fn place_of_whole(&mut self, message: &str, parent: &Option<String>) -> Place {
        if self.counted.0 != message {
            self.counted = (message.to_owned(), 0);
        }
        let index = match self.streaming.get(parent) {
            Some(streaming) if streaming.message == message => streaming.index,
            _ => self.counted.1,
        };
        self.counted.1 += 1;
        place(message, index, parent)
    }

    fn tool_use(&mut self, block: &Block, parent: &Option<String>) -> Option<EventBody> {
        let (id, name) = (block.id.clone()?, block.name.clone()?);
        let input = tools::input(block.input.as_deref());
        if self.calls.len() < MAX_CALLS {
            let change = tools::change(&name, &input)
                .and_then(|(change, path)| Some((change, self.in_workspace(path)?)));
            self.calls.insert(
                id.clone(),
                Call {
                    change,
                    todos: tools::todos(&name, &input),
                    task: tools::task(&name, &input),
                },
            );
        }
        Some(EventBody::ToolUse {
            content: tools::summary(&name, &input, &self.workspace),
            tool: name,
            tool_use_id: id,
            input,
            parent_tool_use_id: parent.clone(),
        })
    }

    /// The path as it is told: relative to the workspace; none where it is outside.
    fn in_workspace(&self, path: &str) -> Option<String> {
        match path.strip_prefix(&self.workspace) {
            Some(rest) => rest.strip_prefix('/').map(str::to_owned),
            None => (!path.starts_with('/')).then(|| path.to_owned()),
        }
    }

    fn user(&mut self, line: &User) -> Vec<EventBody> {
        let Content::Blocks(blocks) = &line.message.content else {
            return Vec::new();
        };
        let mut events = Vec::new();
        for block in blocks {
            let ("tool_result", Some(id)) = (block.kind.as_str(), &block.tool_use_id) else {
                continue;
            };
            let is_error = block.is_error.unwrap_or(false);
            let mut content = tools::output(block.content.as_deref());
            if self.interrupted && is_error && content.starts_with("The user doesn't want") {
                "Interrupted".clone_into(&mut content);
            }
            let cut_bytes = cut(&mut content, MAX_TOOL_OUTPUT);
            let call = self.calls.remove(id);
            let told = content.clone();
            events.push(EventBody::ToolResult {
                content,
                tool_use_id: id.clone(),
                is_error,
                cut_bytes,
                parent_tool_use_id: line.parent_tool_use_id.clone(),
            });
            if let Some(call) = call.filter(|_| !is_error) {
                events.extend(self.consequences(call, id, &told));
            }
        }
        events
    }

    /// What a successful call has changed.
    fn consequences(&mut self, call: Call, id: &str, output: &str) -> Vec<EventBody> {
        let mut events = Vec::new();
        if let Some((change, path)) = call.change {
            let verb = match change {
                FileChange::Written => "Wrote",
                FileChange::Edited => "Edited",
                FileChange::Removed => "Removed",
            };
            events.push(EventBody::FileChange {
                content: format!("{verb} {path}"),
                path,
                change,
                tool_use_id: id.to_owned(),
                others: Vec::new(),
                more: false,
            });
        }
        if let Some(todos) = call.todos {
            events.push(tools::todo_update(todos));
        }
        if let Some(task) = call.task {
            task.apply(&mut self.tasks, output);
            events.push(tools::todo_update(
                self.tasks.iter().map(|(_, todo)| todo.clone()).collect(),
            ));
        }
        events
    }
}

fn place(message: &str, index: u64, parent: &Option<String>) -> Place {
    Place {
        block: format!("{message}:{index}"),
        parent_tool_use_id: parent.clone(),
    }
}

fn running(content: String) -> EventBody {
    EventBody::Status(Status::new(TurnState::Running, content))
}

/// Joins a piece of text to the piece before it, where both belong to one block. Returns the piece
/// where they don't.
pub fn merge(before: &mut EventBody, next: EventBody) -> Option<EventBody> {
    match (before, next) {
        (
            EventBody::Progress { content, place },
            EventBody::Progress {
                content: more,
                place: same,
            },
        ) if *place == same && content.len() + more.len() < MAX_CONTENT => {
            content.push_str(&more);
            None
        }
        (
            EventBody::Thinking {
                content,
                partial: true,
                place,
            },
            EventBody::Thinking {
                content: more,
                partial: true,
                place: same,
            },
        ) if *place == same && content.len() + more.len() < MAX_CONTENT => {
            content.push_str(&more);
            None
        }
        (_, next) => Some(next),
    }
}

/// Keeps an event's JSON form under [`MAX_EVENT`].
fn bound(event: &mut EventBody) {
    let content = match event {
        EventBody::UserMessage { content, .. }
        | EventBody::Progress { content, .. }
        | EventBody::Result { content, .. }
        | EventBody::Thinking { content, .. }
        | EventBody::ToolUse { content, .. }
        | EventBody::ToolOutput { content, .. }
        | EventBody::ToolResult { content, .. }
        | EventBody::FileChange { content, .. }
        | EventBody::TodoUpdate { content, .. }
        | EventBody::PermissionRequest { content, .. }
        | EventBody::Question { content, .. }
        | EventBody::PermissionResponse { content, .. }
        | EventBody::Egress { content, .. }
        | EventBody::Usage { content, .. }
        | EventBody::SessionLaunched { content, .. }
        | EventBody::Error { content, .. } => content,
        EventBody::Status(status) => &mut status.content,
        EventBody::Unknown => return,
    };
    let mut gone = cut(content, MAX_CONTENT);
    if content.len() > MAX_ESCAPED && Value::from(content.as_str()).to_string().len() > MAX_CONTENT
    {
        gone += cut(content, MAX_ESCAPED);
    }
    if gone > 0 {
        content.push_str(&format!("… ({gone} bytes were cut)"));
    }
}

#[cfg(test)]
mod tests;
