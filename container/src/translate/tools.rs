//! Tool calls: what a person is told of them.

use protocol::event::{EventBody, FileChange, Todo};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::wire::Content;

/// Bytes of a tool's input as JSON.
pub const MAX_INPUT: usize = 256 * 1024;

/// Characters of a summary.
const MAX_SUMMARY: usize = 200;

/// Entries of a list of things to do, and bytes of each.
const MAX_TODOS: usize = 500;
const MAX_TODO: usize = 1000;

/// The input as a tree; where it is too long or too deep, an object that says so and keeps the short
/// texts at its top.
pub fn input(raw: Option<&RawValue>) -> Value {
    let Some(raw) = raw else {
        return json!({});
    };
    let text = raw.get();
    if text.len() <= MAX_INPUT
        && let Ok(value) = serde_json::from_str(text)
    {
        return value;
    }
    let mut cut = serde_json::Map::new();
    cut.insert("cut".to_owned(), Value::Bool(true));
    cut.insert("bytes".to_owned(), text.len().into());
    let members: std::collections::BTreeMap<String, &RawValue> =
        serde_json::from_str(text).unwrap_or_default();
    for (name, member) in members {
        if name.len() <= 64 && member.get().len() <= 1000 && member.get().starts_with('"') {
            let text = serde_json::from_str(member.get()).unwrap_or(Value::Null);
            cut.entry(name).or_insert(text);
        }
        if cut.len() >= 16 {
            break;
        }
    }
    Value::Object(cut)
}

/// The call in one line.
pub fn summary(tool: &str, input: &Value, workspace: &str) -> String {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    let told = match tool {
        "Bash" => text("command").map(|command| format!("Bash: {command}")),
        "Task" | "Agent" => text("description").map(|task| format!("{tool}: {task}")),
        "TodoWrite" => input
            .get("todos")
            .and_then(Value::as_array)
            .map(|todos| format!("TodoWrite: {} to do", todos.len())),
        _ => [
            "file_path",
            "notebook_path",
            "path",
            "pattern",
            "url",
            "query",
            "subject",
            "skill",
            "description",
        ]
        .into_iter()
        .filter(|name| *name != "path" || text("pattern").is_none())
        .find_map(text)
        .map(|what| format!("{tool} {what}")),
    };
    let told = told.unwrap_or_else(|| tool.to_owned());
    let told = told
        .replace(&format!("{workspace}/"), "")
        .replace(workspace, ".");
    one_line(&told, MAX_SUMMARY)
}

/// The text without line breaks, and not longer than `limit` characters.
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for (count, character) in text.trim().chars().enumerate() {
        if count + 1 >= limit {
            line.push('…');
            break;
        }
        line.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    line
}

/// Which file a call changes, where it does.
pub fn change<'a>(tool: &str, input: &'a Value) -> Option<(FileChange, &'a str)> {
    let (change, member) = match tool {
        "Write" => (FileChange::Written, "file_path"),
        "Edit" | "MultiEdit" => (FileChange::Edited, "file_path"),
        "NotebookEdit" => (FileChange::Edited, "notebook_path"),
        _ => return None,
    };
    Some((change, input.get(member)?.as_str()?))
}

/// The list that a TodoWrite writes.
pub fn todos(tool: &str, input: &Value) -> Option<Vec<Todo>> {
    if tool != "TodoWrite" {
        return None;
    }
    let list = input.get("todos")?.as_array()?;
    Some(list.iter().take(MAX_TODOS).filter_map(todo).collect())
}

fn todo(entry: &Value) -> Option<Todo> {
    let text = |name: &str| {
        let text = entry.get(name).and_then(Value::as_str).unwrap_or_default();
        one_line(text, MAX_TODO)
    };
    let content = text("content");
    (!content.is_empty()).then(|| Todo {
        content,
        status: status(&text("status")),
        active_form: text("activeForm"),
    })
}

fn status(text: &str) -> String {
    match text {
        "in_progress" | "completed" => text,
        _ => "pending",
    }
    .to_owned()
}

/// The list as an event.
pub fn todo_update(todos: Vec<Todo>) -> EventBody {
    let done = todos
        .iter()
        .filter(|todo| todo.status == "completed")
        .count();
    let now = todos.iter().find(|todo| todo.status == "in_progress");
    let mut content = format!("{done} of {} done", todos.len());
    if let Some(todo) = now {
        let doing = match todo.active_form.as_str() {
            "" => &todo.content,
            form => form,
        };
        content.push_str(&format!("; now: {}", one_line(doing, MAX_SUMMARY)));
    }
    EventBody::TodoUpdate { content, todos }
}

/// A call of the tools that newer models keep their list with.
#[derive(Debug)]
pub enum TaskCall {
    Create(Todo),
    Update {
        id: String,
        status: Option<String>,
        subject: Option<String>,
    },
}

pub fn task(tool: &str, input: &Value) -> Option<TaskCall> {
    let text = |name: &str| {
        input
            .get(name)
            .and_then(Value::as_str)
            .map(|text| one_line(text, MAX_TODO))
    };
    match tool {
        "TaskCreate" => Some(TaskCall::Create(Todo {
            content: text("subject")?,
            status: "pending".to_owned(),
            active_form: text("activeForm").unwrap_or_default(),
        })),
        "TaskUpdate" => Some(TaskCall::Update {
            id: text("taskId")?,
            status: text("status"),
            subject: text("subject"),
        }),
        _ => None,
    }
}

impl TaskCall {
    /// Brings the list up to date. The id of a new task is only in the tool's output: "Task #3
    /// created successfully: …".
    pub fn apply(self, tasks: &mut Vec<(String, Todo)>, output: &str) {
        match self {
            Self::Create(todo) => {
                let id = output
                    .split_once('#')
                    .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
                    .filter(|id: &String| !id.is_empty())
                    .unwrap_or_else(|| (tasks.len() + 1).to_string());
                if tasks.len() < MAX_TODOS {
                    tasks.push((id, todo));
                }
            }
            Self::Update {
                id,
                status: Some(gone),
                ..
            } if gone == "deleted" => tasks.retain(|(known, _)| *known != id),
            Self::Update {
                id,
                status: new,
                subject,
            } => {
                if let Some((_, todo)) = tasks.iter_mut().find(|(known, _)| *known == id) {
                    if let Some(new) = new {
                        todo.status = status(&new);
                    }
                    if let Some(subject) = subject {
                        todo.content = subject;
                    }
                }
            }
        }
    }
}

/// The text of a tool's result.
pub fn output(raw: Option<&RawValue>) -> String {
    match raw.and_then(Content::of) {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Blocks(blocks)) => blocks
            .into_iter()
            .map(|block| match (block.kind.as_str(), block.text) {
                ("text", Some(text)) => text,
                (kind, _) => format!("[{}]", one_line(kind, 40)),
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}
