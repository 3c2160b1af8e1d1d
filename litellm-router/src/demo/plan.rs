//! From what a person asks to the steps that the demo takes.

use serde_json::{Value, json};

use super::conversation::{Conversation, Done};

/// The most words of a counted stream, and the longest pause between two of them.
const MOST_WORDS: u32 = 100_000;
const LONGEST_PAUSE_MS: u32 = 10_000;
const USUAL_PAUSE_MS: u32 = 20;
/// The most output that is shown again in an answer.
const SHOWN: usize = 4_000;

/// What is done about a prompt.
#[derive(Debug, PartialEq)]
pub enum Plan {
    Say(String),
    Think { thought: String, text: String },
    Words { count: u32, every_ms: u32 },
    Steps { steps: Vec<Step>, closing: Closing },
}

/// One tool call and what is said before it.
#[derive(Debug, PartialEq)]
pub struct Step {
    pub say: String,
    action: Action,
}

#[derive(Debug, PartialEq)]
enum Action {
    Bash {
        command: String,
    },
    Write {
        file: String,
        content: String,
    },
    Read {
        file: String,
    },
    Edit {
        file: String,
        old: String,
        new: String,
    },
    /// The whole list where the session has `TodoWrite`; where it has `TaskCreate`, this item of it.
    Todo {
        items: [String; 3],
        item: usize,
    },
    Delegate {
        task: String,
    },
    /// Has another agent do something, in a session of its own.
    Launch {
        agent: String,
        task: String,
    },
    /// Waits for the agent that was launched.
    Await,
    Question,
    /// Asks whether the plan that was written is to be carried out.
    Approval,
}

/// What is said when all steps are done.
#[derive(Debug, PartialEq)]
pub enum Closing {
    /// The last output, behind this.
    Output(&'static str),
    /// All outputs, each with its command.
    Outputs(Vec<String>),
    /// What a sub-agent said.
    Quote(&'static str),
    Text(String),
}

impl Closing {
    /// The text, with what the tools really said.
    pub fn text(&self, done: &[Done]) -> String {
        let last = done.last().map_or("", |done| done.output.as_str());
        match self {
            Self::Output(lead) => format!("{lead}\n\n{}", fenced(last)),
            Self::Outputs(commands) => {
                let shown: Vec<String> = commands
                    .iter()
                    .zip(done)
                    .map(|(command, done)| {
                        format!("Output of `{command}`:\n\n{}", fenced(&done.output))
                    })
                    .collect();
                shown.join("\n\n")
            }
            Self::Quote(lead) => format!("{lead}\n\n{}", shorten(&report_in(last))),
            Self::Text(text) => text.clone(),
        }
    }
}

impl Step {
    fn new(say: impl Into<String>, action: Action) -> Self {
        Self {
            say: say.into(),
            action,
        }
    }

    /// The tools that do this, best first, each with its input, after what was `done` before.
    pub fn tools(&self, done: &[Done]) -> Vec<(&'static str, Value)> {
        match &self.action {
            Action::Bash { command } => vec![(
                "Bash",
                json!({"command": command, "description": "Run a command of the demo"}),
            )],
            Action::Write { file, content } => {
                vec![("Write", json!({"file_path": file, "content": content}))]
            }
            Action::Read { file } => vec![("Read", json!({"file_path": file}))],
            Action::Edit { file, old, new } => vec![(
                "Edit",
                json!({"file_path": file, "old_string": old, "new_string": new}),
            )],
            Action::Todo { items, item } => {
                let todos: Vec<Value> = items
                    .iter()
                    .enumerate()
                    .map(|(index, content)| {
                        let status = if index == 0 { "in_progress" } else { "pending" };
                        json!({"content": content, "status": status, "activeForm": content})
                    })
                    .collect();
                let one = items.get(*item).cloned().unwrap_or_default();
                vec![
                    ("TodoWrite", json!({"todos": todos})),
                    ("TaskCreate", json!({"subject": one, "description": one})),
                ]
            }
            Action::Launch { agent, task } => vec![(
                "mcp__agents__launch_agent",
                json!({"agent": agent, "message": task}),
            )],
            Action::Await => {
                let launched = done.last().map_or("", |done| done.output.as_str());
                let launched: Value = serde_json::from_str(launched).unwrap_or_default();
                let session = launched.get("session_id").cloned().unwrap_or_default();
                vec![(
                    "mcp__agents__wait_for_agents",
                    json!({"session_ids": [session]}),
                )]
            }
            Action::Question => vec![("AskUserQuestion", questions())],
            Action::Approval => vec![("ExitPlanMode", json!({}))],
            Action::Delegate { task } => {
                let input = json!({
                    "description": "A task of the demo",
                    "prompt": task,
                    "subagent_type": "general-purpose",
                });
                let mut here = input.clone();
                if let Some(fields) = here.as_object_mut() {
                    fields.insert("run_in_background".into(), false.into());
                }
                vec![("Agent", here), ("Task", input)]
            }
        }
    }
}

/// Decides what is done about the conversation's prompt.
pub fn make(conversation: &Conversation) -> Plan {
    let prompt = conversation.prompt.trim();
    let asked = prompt.to_lowercase();
    let quoted = between_backticks(prompt);
    if asked.contains("detailed summary of the conversation") || asked.contains("<summary>") {
        return Plan::Say(
            "<analysis>\nThe scripted demo has no memory beyond what tools did.\n</analysis>\n\
             <summary>\nThe person tried the scripted demo of Agent Router. Files that it wrote \
             are in the working directory.\n</summary>"
                .into(),
        );
    }
    if asked.starts_with("<task-notification>") {
        return Plan::Say("The sub-agent has reported back; see its result above.".into());
    }
    launched(prompt, &asked)
        .or_else(|| delegated(prompt, &asked))
        .or_else(|| question(&asked))
        .or_else(|| planned(prompt, &asked, conversation))
        .or_else(|| words(&asked))
        .or_else(|| thought(prompt, &asked))
        .or_else(|| file_work(conversation, prompt, &asked, &quoted))
        .or_else(|| commands(&asked, &quoted))
        .or_else(|| todo(prompt, &asked, conversation))
        .unwrap_or_else(|| Plan::Say(introduction()))
}

/// `ask the agent reviewer to look at it`
fn launched(prompt: &str, asked: &str) -> Option<Plan> {
    let named = "ask the agent ";
    let at = asked.find(named)? + named.len();
    let (agent, task) = prompt.get(at..)?.split_once(" to ")?;
    let step = |say: &str, action| Step::new(say, action);
    let launch = Action::Launch {
        agent: agent.trim().to_owned(),
        task: task.trim().to_owned(),
    };
    Some(Plan::Steps {
        steps: vec![
            step("I'll launch another agent for this.", launch),
            step("Now I wait for it.", Action::Await),
        ],
        closing: Closing::Output("This is what the other agent came to:"),
    })
}

fn delegated(prompt: &str, asked: &str) -> Option<Plan> {
    let at = ["sub-agent", "subagent", "sub agent"]
        .iter()
        .find_map(|name| Some(asked.find(name)? + name.len()))?;
    // Lower case may have another length; then the words of the person start where they start.
    let rest = prompt.get(at..).unwrap_or(prompt).trim();
    let task = rest.strip_prefix("to ").unwrap_or(rest).trim();
    let task = if task.is_empty() { "say hello" } else { task };
    Some(Plan::Steps {
        steps: vec![Step::new(
            "I'll hand this to a sub-agent.",
            Action::Delegate { task: task.into() },
        )],
        closing: Closing::Quote("The sub-agent answered:"),
    })
}

fn question(asked: &str) -> Option<Plan> {
    if !asked.contains("ask me") {
        return None;
    }
    Some(Plan::Steps {
        steps: vec![Step::new("I have two questions.", Action::Question)],
        closing: Closing::Output("This is what the demo heard:"),
    })
}

fn questions() -> Value {
    let option =
        |label: &str, description: &str| json!({"label": label, "description": description});
    json!({"questions": [
        {
            "question": "Which colour should it have?", "header": "Colour", "multiSelect": false,
            "options": [option("Red", "A warm colour"), option("Blue", "A cold colour")],
        },
        {
            "question": "What goes with it?", "header": "Extras", "multiSelect": true,
            "options": [
                option("Bread", "Fresh from the oven"),
                option("Cheese", "From the farm next door"),
                option("Olives", "Green ones"),
            ],
        },
    ]})
}

fn planned(prompt: &str, asked: &str, conversation: &Conversation) -> Option<Plan> {
    if !asked.starts_with("plan:") {
        return None;
    }
    let subject = prompt.get("plan:".len()..).unwrap_or_default().trim();
    let subject = if subject.is_empty() {
        "a small thing"
    } else {
        subject
    };
    let Some(file) = &conversation.plan_file else {
        return Some(Plan::Say(
            "The demo plans where the permission mode is **Plan**: choose it, and ask again."
                .into(),
        ));
    };
    let content = format!(
        "# The demo's plan for {subject}\n\n1. Write `plan.txt`, which says what was planned.\n\
         2. Say so.\n\nNothing else is touched.\n"
    );
    let write =
        |say: &str, file: String, content: String| Step::new(say, Action::Write { file, content });
    Some(Plan::Steps {
        steps: vec![
            write("I'll write down a plan.", file.clone(), content),
            Step::new("This is the plan. May I carry it out?", Action::Approval),
            write(
                "It is approved, so I'll carry it out.",
                conversation.path("plan.txt"),
                format!("Planned and done: {subject}\n"),
            ),
        ],
        closing: Closing::Text("The plan is carried out: `plan.txt` is written.".into()),
    })
}

fn words(asked: &str) -> Option<Plan> {
    let mut tokens = asked
        .split_whitespace()
        .skip_while(|word| *word != "stream");
    tokens.next()?;
    let count = tokens.next()?.parse::<u32>().ok()?;
    if !tokens.next()?.starts_with("word") {
        return None;
    }
    let mut every_ms = USUAL_PAUSE_MS;
    if tokens.next() == Some("every") {
        let pause: String = tokens.collect::<Vec<_>>().concat();
        let number: String = pause.chars().take_while(char::is_ascii_digit).collect();
        every_ms = number.parse().unwrap_or(USUAL_PAUSE_MS);
    }
    Some(Plan::Words {
        count: count.clamp(1, MOST_WORDS),
        every_ms: every_ms.min(LONGEST_PAUSE_MS),
    })
}

fn thought(prompt: &str, asked: &str) -> Option<Plan> {
    let at = asked.find("think about")? + "think about".len();
    let subject = prompt
        .get(at..)
        .unwrap_or(prompt)
        .trim()
        .trim_end_matches('.');
    let subject = if subject.is_empty() {
        "nothing in particular"
    } else {
        subject
    };
    Some(Plan::Think {
        thought: format!(
            "The person wants me to think about {subject}. I am a script, so I show what thinking \
             looks like: a question, two sides of it, and a conclusion that follows from neither."
        ),
        text: format!(
            "I have thought about {subject}, as far as a scripted demo can: what you saw was a \
             thinking block, written by no language model."
        ),
    })
}

fn file_work(
    conversation: &Conversation,
    prompt: &str,
    asked: &str,
    quoted: &[&str],
) -> Option<Plan> {
    let path = |file: &str| conversation.path(file);
    if asked.contains("hello") && asked.contains("world") {
        return Some(hello_world(conversation));
    }
    if asked.contains("replace ")
        && let [old, new, file, ..] = quoted
    {
        return Some(Plan::Steps {
            steps: vec![
                Step::new(
                    format!("I'll read {file} first."),
                    Action::Read { file: path(file) },
                ),
                Step::new(
                    "Now I'll make the change.",
                    Action::Edit {
                        file: path(file),
                        old: (*old).into(),
                        new: (*new).into(),
                    },
                ),
            ],
            closing: Closing::Text(format!("Done: `{old}` is now `{new}` in {file}.")),
        });
    }
    if asked.contains("write ")
        && let [content, file, ..] = quoted
    {
        return Some(write(path(file), file, format!("{content}\n")));
    }
    if has_word(asked, "create") {
        let file = quoted.first().copied().or_else(|| file_name(prompt))?;
        let content = "Written by the scripted demo of Agent Router.\n";
        return Some(write(path(file), file, content.into()));
    }
    if has_word(asked, "read") {
        let file = quoted.first().copied().or_else(|| file_name(prompt))?;
        return Some(Plan::Steps {
            steps: vec![Step::new(
                format!("I'll read {file}."),
                Action::Read { file: path(file) },
            )],
            closing: Closing::Output("It holds:"),
        });
    }
    None
}

fn write(path: String, file: &str, content: String) -> Plan {
    Plan::Steps {
        steps: vec![Step::new(
            format!("I'll write {file}."),
            Action::Write {
                file: path,
                content,
            },
        )],
        closing: Closing::Text(format!("{file} is written.")),
    }
}

fn hello_world(conversation: &Conversation) -> Plan {
    Plan::Steps {
        steps: vec![
            Step::new(
                "I'll create hello.py and run it.",
                Action::Write {
                    file: conversation.path("hello.py"),
                    content: "print(\"Hello, world!\")\n".into(),
                },
            ),
            Step::new(
                "The file is written. Now I'll run it.",
                Action::Bash {
                    command: "python3 hello.py".into(),
                },
            ),
        ],
        closing: Closing::Output("`hello.py` is written and runs. It printed:"),
    }
}

fn commands(asked: &str, quoted: &[&str]) -> Option<Plan> {
    let run: Vec<String> = if has_word(asked, "run") && !quoted.is_empty() {
        quoted.iter().map(|command| (*command).to_owned()).collect()
    } else if asked.contains("list") && asked.contains("files") {
        vec!["ls -la".into()]
    } else {
        return None;
    };
    let steps = run
        .iter()
        .map(|command| {
            let action = Action::Bash {
                command: command.clone(),
            };
            Step::new(format!("I'll run `{command}`."), action)
        })
        .collect();
    Some(Plan::Steps {
        steps,
        closing: Closing::Outputs(run),
    })
}

fn todo(prompt: &str, asked: &str, conversation: &Conversation) -> Option<Plan> {
    let list = ["todo", "to-do", "task list"]
        .iter()
        .any(|name| asked.contains(name));
    if !list && !asked.contains("plan for") {
        return None;
    }
    let subject = asked
        .find(" for ")
        .and_then(|at| prompt.get(at + " for ".len()..))
        .map_or("this", |subject| subject.trim().trim_end_matches('.'));
    let items = [
        format!("Find out what {subject} needs"),
        format!("Do the work for {subject}"),
        format!("Check the result of {subject}"),
    ];
    // One call writes the whole list, unless the session has a tool for single items only.
    let whole = conversation.has_tool("TodoWrite") || conversation.can_fetch_tool("TodoWrite");
    let calls = if whole || !conversation.has_tool("TaskCreate") {
        1
    } else {
        items.len()
    };
    let steps = (0..calls)
        .map(|item| {
            let say = if item == 0 {
                "I'll make a list of three steps."
            } else {
                "The next one."
            };
            let items = items.clone();
            Step::new(say, Action::Todo { items, item })
        })
        .collect();
    Some(Plan::Steps {
        steps,
        closing: Closing::Text(format!(
            "The list for {subject} has three items. The demo leaves them to you."
        )),
    })
}

fn introduction() -> String {
    "This is **the scripted demo** of Agent Router. No language model is behind it, but the tools \
     that it calls are real. It can show you:\n\n\
     - `create a hello world app`\n\
     - ``run `uname -a` ``\n\
     - ``write `some text` to `notes.txt` ``, `read notes.txt`, ``replace `some` with `more` in `notes.txt` ``\n\
     - `list the files`\n\
     - `make a todo list for a birthday`\n\
     - ``ask a sub-agent to run `date` ``\n\
     - `think about the sea`\n\
     - `ask me a question`, and in the permission mode Plan: `plan: a garden shed`\n\
     - `stream 200 words every 50 ms`\n\n\
     To talk to a language model, choose another model and give its provider's key, for example \
     `GROQ_API_KEY`, `OPENROUTER_API_KEY` or `ANTHROPIC_API_KEY`: as a secret of the router, or as \
     your own in this session."
        .into()
}

/// What a sub-agent itself said: Claude Code puts a notice before its report, indents its lines, and
/// counts its tokens behind it.
fn report_in(result: &str) -> String {
    let (_, report) = result
        .split_once("The report follows:\n")
        .unwrap_or(("", result));
    let own = report
        .lines()
        .take_while(|line| !line.starts_with("agentId:") && !line.starts_with("<usage>"));
    let own: Vec<&str> = own
        .map(|line| line.strip_prefix("  ").unwrap_or(line))
        .collect();
    own.join("\n").trim().to_owned()
}

/// A code block around `text`, longer than any fence inside it.
pub fn fenced(text: &str) -> String {
    let shown = shorten(text);
    let mut fence = String::from("```");
    while shown.contains(&fence) {
        fence.push('`');
    }
    let shown = if shown.trim().is_empty() {
        "(no output)".into()
    } else {
        shown
    };
    format!("{fence}\n{}\n{fence}", shown.trim_end())
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let head: String = text.chars().take(SHOWN).collect();
    format!("{head}\n… (cut after {SHOWN} characters)")
}

/// What stands between pairs of backticks.
fn between_backticks(text: &str) -> Vec<&str> {
    let parts: Vec<&str> = text.split('`').collect();
    let closed = parts.len().saturating_sub(1);
    parts
        .into_iter()
        .take(closed)
        .skip(1)
        .step_by(2)
        .filter(|part| !part.is_empty())
        .collect()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric())
        .any(|found| found == word)
}

/// The first word that looks like a file: it has a dot with something on both sides.
fn file_name(prompt: &str) -> Option<&str> {
    prompt
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'', '`', ',', ';', ':', '(', ')']))
        .map(|word| word.trim_end_matches(['.', '!', '?']))
        .find(|word| {
            word.rsplit_once('.')
                .is_some_and(|(stem, extension)| !stem.is_empty() && !extension.is_empty())
        })
}
