//! What the demo understands of a conversation: the last thing a person asked for, and what has been
//! done about it since.

use std::collections::HashMap;

use crate::messages::{Block, MessagesRequest, Turn};

/// A tool call that has been carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub tool: String,
    pub output: String,
    pub is_error: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Conversation {
    pub prompt: String,
    /// The calls since the prompt, in the order of their results, searches for tools left out.
    pub done: Vec<Done>,
    /// The agent's working directory, without a slash at its end.
    pub cwd: String,
    /// Where Claude Code wants the plan, in its mode for plans.
    pub plan_file: Option<String>,
    /// Tool calls in the whole conversation.
    pub calls_so_far: usize,
    tools: Vec<String>,
    /// Names on lines of their own in what the client has told: how Claude Code lists the tools that
    /// a search would bring.
    listed: Vec<String>,
    searched: bool,
}

const TOOL_SEARCH: &str = "ToolSearch";

impl Conversation {
    /// Reads a request.
    pub fn read(request: &MessagesRequest) -> Self {
        let mut names: HashMap<&str, &str> = HashMap::new();
        for block in request.messages.iter().flat_map(|turn| &turn.content) {
            if block.kind == "tool_use" {
                names.insert(&block.id, &block.name);
            }
        }
        let asked = request
            .messages
            .iter()
            .enumerate()
            .rev()
            .find_map(|(index, turn)| Some((index, persons_words(turn)?)));
        let (since, prompt) = asked.unwrap_or_default();
        let mut done = Vec::new();
        let mut searched = false;
        // In the prompt's own turn, what is before the prompt are the results of calls that were
        // interrupted.
        let answered = request.messages.iter().skip(since).flat_map(|turn| {
            let prompt = turn.content.iter().rposition(|block| {
                turn.role == "user" && block.kind == "text" && is_persons(&block.text)
            });
            turn.content
                .iter()
                .skip(prompt.map_or(0, |place| place + 1))
        });
        for block in answered {
            if block.kind != "tool_result" {
                continue;
            }
            let tool = names
                .get(&*block.tool_use_id)
                .copied()
                .unwrap_or("The tool");
            let is_error = block.is_error == Some(true);
            if tool == TOOL_SEARCH && !is_error {
                searched = true;
                continue;
            }
            done.push(Done {
                tool: tool.to_owned(),
                output: text_of(&block.content),
                is_error,
            });
        }
        Self {
            prompt,
            done,
            cwd: working_directory(request),
            plan_file: plan_file(request),
            calls_so_far: names.len(),
            tools: request
                .tools
                .iter()
                .map(|tool| tool.name.to_string())
                .collect(),
            listed: listed_names(request),
            searched,
        }
    }

    /// Whether the tool can be called now.
    pub fn has_tool(&self, name: &str) -> bool {
        // After a search the client runs the tool even where it does not list it again.
        self.tools.iter().any(|tool| tool == name)
            || (self.searched && self.listed.iter().any(|tool| tool == name))
    }

    /// Whether a search would bring the tool.
    pub fn can_fetch_tool(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool == TOOL_SEARCH)
            && self.listed.iter().any(|tool| tool == name)
    }

    /// The absolute path of a file that the person named.
    pub fn path(&self, file: &str) -> String {
        if file.starts_with('/') {
            file.to_owned()
        } else {
            format!("{}/{}", self.cwd, file.trim_start_matches("./"))
        }
    }
}

/// The text of a list of blocks.
pub fn text_of(blocks: &[Block]) -> String {
    let texts: Vec<&str> = blocks
        .iter()
        .map(|block| &*block.text)
        .filter(|text| !text.is_empty())
        .collect();
    texts.join("\n")
}

/// What a person said in this turn, `None` where it holds only results and the client's own notes.
fn persons_words(turn: &Turn) -> Option<String> {
    if turn.role != "user" {
        return None;
    }
    // What was said before in the same turn is a message whose answer was stopped.
    let words = turn
        .content
        .iter()
        .rfind(|block| block.kind == "text" && is_persons(&block.text));
    words.map(|block| block.text.trim().to_owned())
}

/// Whether a text is a person's, and not one of the client's own notes.
fn is_persons(text: &str) -> bool {
    const NOTES: [&str; 4] = [
        "<system-reminder>",
        "[Request interrupted",
        "<local-command-",
        "<command-",
    ];
    let text = text.trim();
    !text.is_empty() && !NOTES.iter().any(|note| text.starts_with(note))
}

/// All text that the client gave apart from what people and tools said.
fn told<'r>(request: &'r MessagesRequest) -> impl Iterator<Item = &'r str> {
    let system = request.system.iter();
    let turns = request
        .messages
        .iter()
        .flat_map(|turn| {
            let by_client = turn.role == "system";
            turn.content.iter().map(move |block| (by_client, block))
        })
        .filter(|(by_client, block)| *by_client || block.text.starts_with("<system-reminder>"))
        .map(|(_, block)| block);
    system.chain(turns).map(|block| &*block.text)
}

fn working_directory(request: &MessagesRequest) -> String {
    let found = told(request).flat_map(str::lines).find_map(|line| {
        let line = line.trim_start_matches(['-', '*', ' ']);
        let (label, path) = line.split_once(':')?;
        let label = label.trim();
        let known = ["primary working directory", "working directory", "cwd"];
        let path = path.trim();
        let is_path = path.starts_with('/');
        (is_path && known.iter().any(|name| label.eq_ignore_ascii_case(name))).then_some(path)
    });
    let path = found.unwrap_or("/workspace").trim_end_matches('/');
    path.to_owned()
}

fn plan_file(request: &MessagesRequest) -> Option<String> {
    let words = told(request).flat_map(str::split_whitespace);
    let mut paths = words.map(|word| word.trim_matches(['`', '"', '.', ',', '(', ')']));
    let named = paths.find(|word| word.contains("/.claude/plans/") && word.ends_with(".md"));
    named.map(str::to_owned)
}

fn listed_names(request: &MessagesRequest) -> Vec<String> {
    told(request)
        .flat_map(str::lines)
        .filter(|line| {
            !line.is_empty() && line.len() <= 64 && line.bytes().all(|b| b.is_ascii_alphanumeric())
        })
        .map(str::to_owned)
        .collect()
}
