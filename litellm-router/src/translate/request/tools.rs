//! Tools, and what the model must do about them.

use std::collections::HashSet;

use super::wire::{ChatFunction, ChatTool, ChatToolChoice, FunctionName};
use crate::error::Refusal;
use crate::messages::{Block, MessagesRequest, Tool, ToolChoice};
use crate::translate::{names, schema};

/// The tools that go upstream.
///
/// A tool whose loading is deferred comes once it has been called or found. One that Anthropic
/// defines has no schema that another model could read, and goes.
///
/// # Errors
/// 400 where such a tool is the only one or has to be called, unless `drop_all` says to drop it even
/// then.
pub(super) fn offered<'r, 'a>(
    request: &'r MessagesRequest<'a>,
    drop_all: bool,
) -> Result<Vec<&'r Tool<'a>>, Refusal> {
    let used = used(request);
    let tools: Vec<&Tool> = request
        .tools
        .iter()
        .filter(|tool| tool.defer_loading != Some(true) || used.contains(&*tool.name))
        .collect();
    let forced = forced(request);
    let needed = tools
        .iter()
        .find(|tool| is_anthropics(tool) && forced == Some(&*tool.name))
        .or_else(|| {
            tools
                .first()
                .filter(|_| tools.iter().all(|tool| is_anthropics(tool)))
        });
    match needed {
        Some(tool) if !drop_all => Err(Refusal::new(
            400,
            format!(
                "the tool {} ({}) is Anthropic's own; this model's provider does not have it",
                tool.name, tool.kind
            ),
        )),
        _ => Ok(tools
            .into_iter()
            .filter(|tool| !is_anthropics(tool))
            .collect()),
    }
}

/// A tool that Anthropic defines or runs: it has a type of its own and no schema.
fn is_anthropics(tool: &Tool) -> bool {
    tool.input_schema.is_none() && !tool.kind.is_empty() && tool.kind != "custom"
}

fn forced<'r>(request: &'r MessagesRequest) -> Option<&'r str> {
    let choice = request.tool_choice.as_ref()?;
    (choice.kind == "tool").then_some(&*choice.name)
}

/// The tools that the conversation has called or found.
fn used<'r>(request: &'r MessagesRequest) -> HashSet<&'r str> {
    fn gather<'r>(block: &'r Block, used: &mut HashSet<&'r str>) {
        match &*block.kind {
            "tool_use" => {
                used.insert(&block.name);
            }
            "tool_reference" => {
                used.insert(&block.tool_name);
            }
            _ => block.content.iter().for_each(|inner| gather(inner, used)),
        }
    }
    let mut used = HashSet::new();
    for block in request.messages.iter().flat_map(|turn| &turn.content) {
        gather(block, &mut used);
    }
    used
}

pub(super) fn chat_tool<'a>(tool: &'a Tool) -> ChatTool<'a> {
    ChatTool {
        kind: "function",
        function: ChatFunction {
            name: names::upstream(&tool.name),
            description: &tool.description,
            parameters: schema::of_input(tool.input_schema),
        },
    }
}

/// The choice, where there is something to choose from. A tool that has been dropped cannot be
/// forced.
pub(super) fn choice<'a>(choice: &'a ToolChoice, tools: &[&Tool]) -> Option<ChatToolChoice<'a>> {
    Some(match &*choice.kind {
        "auto" => ChatToolChoice::Mode("auto"),
        "any" => ChatToolChoice::Mode("required"),
        "none" => ChatToolChoice::Mode("none"),
        "tool" if tools.iter().any(|tool| tool.name == choice.name) => ChatToolChoice::Function {
            kind: "function",
            function: FunctionName {
                name: names::upstream(&choice.name),
            },
        },
        _ => return None,
    })
}
