//! What a client may ask of a turn (`ClaudeCodeOptions`), and what of it reaches the agent ([`Turn`]).
//!
//! Nothing here runs a program that the client names, and no path leaves the workspace. The check of
//! paths is lexical; the agent-server checks them once more where the symlinks are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::is_false;
use crate::problem::{Problem, ProblemKind};

/// Bytes of a prompt.
pub const MAX_PROMPT: usize = 1024 * 1024;
/// Bytes of a request that carries options: a prompt as JSON at its worst, and room for the rest.
pub const MAX_BODY: usize = 2 * 1024 * 1024;
/// Bytes of every text of the options that becomes an argument of a process.
pub const MAX_TEXT: usize = 96 * 1024;
const MAX_LIST: usize = 200;
/// Calls of the model that a turn may take at most.
pub const MAX_TURNS: u64 = 1000;

/// Where the agent works, as clients name it. Providers may keep it in another folder.
pub const WORKSPACE: &str = "/workspace";

/// Calls of the model that a turn may take, where its sender says nothing.
pub const DEFAULT_MAX_TURNS: u32 = 10;

/// The tools that run without asking, where the sender names none: those that work inside the
/// sandbox. What reaches outside it has to be named.
pub const DEFAULT_TOOLS: [&str; 8] = [
    "Bash",
    "Read",
    "Write",
    "Edit",
    "Glob",
    "Grep",
    "Task",
    "TodoWrite",
];

/// Those of the [`DEFAULT_TOOLS`] that change something: in the modes `default` and `plan` they are
/// asked for all the same.
pub const CHANGING_TOOLS: [&str; 3] = ["Bash", "Write", "Edit"];

/// Arguments of Claude Code that `additionalArgs` may name, each as `--name=value`.
const ALLOWED_ARGS: [&str; 5] = [
    "--effort",
    "--fallback-model",
    "--max-budget-usd",
    "--max-thinking-tokens",
    "--thinking",
];

/// The body of `POST /claude-code` and `POST /agent/message`, and the fields of a `user_message`.
/// Unknown fields are ignored, so that newer clients can speak to older deployments.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ClaudeCodeOptions {
    pub prompt: Option<String>,
    /// The older clients' simple form of `prompt`.
    pub message: Option<String>,
    pub messages: Option<Vec<Message>>,
    pub model: Option<String>,
    pub fast_model: Option<String>,
    pub stream: bool,
    pub input_format: Option<InputFormat>,
    pub output_format: Option<OutputFormat>,
    pub verbose: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub max_turns: Option<u64>,
    pub system_prompt: Option<String>,
    pub append_system_prompt: Option<String>,
    pub allowed_tools: Option<Names>,
    pub disallowed_tools: Option<Names>,
    pub permission_mode: Option<PermissionMode>,
    pub permission_prompt_tool: Option<String>,
    pub session_id: Option<String>,
    pub continue_session: Option<bool>,
    pub resume_session_id: Option<String>,
    pub mcp_config: Option<Value>,
    pub cwd: Option<String>,
    pub add_dir: Option<Names>,
    pub dangerously_skip_permissions: bool,
    pub additional_args: Option<Names>,

    // Refused: each would run any program that the client names.
    #[cfg_attr(feature = "schema", schemars(skip))]
    executable: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(skip))]
    executable_args: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(skip))]
    path_to_claude_code_executable: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    pub role: String,
    pub content: MessageContent,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum MessageContent {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Block {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
}

/// A list of names, which older clients also send as one text with commas.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a list of strings, or one string with commas")]
pub enum Names {
    List(Vec<String>),
    Commas(String),
}

impl Names {
    /// Commas inside parentheses belong to a rule such as `Bash(git log:*, git diff:*)`.
    fn into_list(self) -> Vec<String> {
        match self {
            Self::List(list) => list,
            Self::Commas(text) => {
                let mut depth = 0_u32;
                text.split(|character| {
                    match character {
                        '(' => depth += 1,
                        ')' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    character == ',' && depth == 0
                })
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect()
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InputFormat {
    Text,
    StreamJson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OutputFormat {
    Text,
    Json,
    StreamJson,
}

/// What the agent may do without asking. The names are Claude Code's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    Default,
    #[default]
    AcceptEdits,
    Plan,
    BypassPermissions,
}

impl PermissionMode {
    /// Whether what changes something is asked for, unless it is allowed by name.
    pub fn asks(self) -> bool {
        matches!(self, Self::Default | Self::Plan)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::AcceptEdits => "acceptEdits",
            Self::Plan => "plan",
            Self::BypassPermissions => "bypassPermissions",
        }
    }
}

/// A place of Claude Code's own settings. Those of a `project` and `local` ones are files of the
/// workspace: what they say, hooks and servers of tools among it, runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingSource {
    User,
    Project,
    Local,
}

impl SettingSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
            Self::Local => "local",
        }
    }
}

/// One turn as the agent gets it: checked, and with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    pub prompt: String,
    /// None: what the session answers with.
    pub model: Option<String>,
    /// The permission mode that its sender named; none: the session's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PermissionMode>,
    /// What the session allows without asking: rules of Claude Code's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    #[serde(flatten)]
    pub launch: Launch,
}

/// What a `claude` process is started with. A turn with another launch than the running process's
/// needs a new process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    pub fast_model: Option<String>,
    pub max_turns: u32,
    pub permission_mode: PermissionMode,
    pub system_prompt: Option<String>,
    pub append_system_prompt: Option<String>,
    pub allowed_tools: Vec<String>,
    /// Its sender named none: they are the [`DEFAULT_TOOLS`], as far as the mode lets them.
    #[serde(default)]
    pub default_tools: bool,
    pub disallowed_tools: Vec<String>,
    pub permission_prompt_tool: Option<String>,
    pub mcp_config: Option<Value>,
    /// [`WORKSPACE`] or a path under it, without `.` and `..`.
    pub cwd: String,
    pub add_dir: Vec<String>,
    /// Each `--name=value`, of [`ALLOWED_ARGS`].
    pub additional_args: Vec<String>,
    /// A conversation of Claude Code's own to go on with.
    pub resume_session_id: Option<String>,
    /// Go on with this sandbox's conversation, or begin a new one.
    pub continue_session: bool,
    /// The tools that there are, besides those of servers; none: all that Claude Code has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Agents that this one may call, by name, as Claude Code's SDK passes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Value>,
    /// Variables of the process's environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The settings that are read besides the user's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setting_sources: Vec<SettingSource>,
    /// What the sandbox may reach besides its model, as [`crate::egress::hosts`] gives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<String>,
    /// It may launch agents and work with them: it has the tools of the Worker's own server for that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub orchestrates: bool,
}

impl Default for Launch {
    fn default() -> Self {
        Self {
            fast_model: None,
            max_turns: DEFAULT_MAX_TURNS,
            permission_mode: PermissionMode::default(),
            system_prompt: None,
            append_system_prompt: None,
            allowed_tools: DEFAULT_TOOLS.map(str::to_owned).to_vec(),
            default_tools: true,
            disallowed_tools: Vec::new(),
            permission_prompt_tool: None,
            mcp_config: None,
            cwd: WORKSPACE.to_owned(),
            add_dir: Vec::new(),
            additional_args: Vec::new(),
            resume_session_id: None,
            continue_session: true,
            tools: None,
            agents: None,
            env: BTreeMap::new(),
            setting_sources: Vec::new(),
            egress: Vec::new(),
            orchestrates: false,
        }
    }
}

impl ClaudeCodeOptions {
    /// # Errors
    /// A 400 or 413 problem that names the field and says what is wrong with it.
    pub fn from_slice(body: &[u8]) -> Result<Self, Problem> {
        if body.len() > MAX_BODY {
            return Err(too_large("the request", body.len(), MAX_BODY));
        }
        // serde would take the fields from a list as well, by their order.
        if body.trim_ascii_start().first() == Some(&b'[') {
            return Err(Problem::bad_request(
                "the body must be a JSON object, not a list",
            ));
        }
        let mut json = serde_json::Deserializer::from_slice(body);
        let options = serde_path_to_error::deserialize(&mut json).map_err(from_serde)?;
        json.end()
            .map_err(|error| Problem::bad_request(format!("not valid JSON: {error}")))?;
        Ok(options)
    }

    /// # Errors
    /// A 400 problem that names the field.
    pub fn from_value(value: Value) -> Result<Self, Problem> {
        serde_path_to_error::deserialize(value).map_err(from_serde)
    }

    /// Whether the answer is wanted as a stream.
    pub fn wants_stream(&self) -> bool {
        self.stream || self.output_format == Some(OutputFormat::StreamJson)
    }

    /// Checks everything and fills in the defaults.
    ///
    /// # Errors
    /// A 400 or 413 problem that names the field and says what to do.
    pub fn into_turn(self) -> Result<Turn, Problem> {
        for (given, field) in [
            (&self.executable, "executable"),
            (&self.executable_args, "executableArgs"),
            (
                &self.path_to_claude_code_executable,
                "pathToClaudeCodeExecutable",
            ),
        ] {
            if given.is_some() {
                return Err(Problem::bad_request(format!(
                    "{field} is not accepted: it would run a program of the caller's choice; leave it out"
                ))
                .at(field));
            }
        }
        let defaults = Launch::default();
        let mode = match self.dangerously_skip_permissions {
            true => Some(PermissionMode::BypassPermissions),
            false => self.permission_mode,
        };
        let launch = Launch {
            fast_model: model("fastModel", self.fast_model)?,
            max_turns: max_turns(self.max_turns)?,
            permission_mode: mode.unwrap_or_default(),
            default_tools: self.allowed_tools.is_none(),
            // "" asks for Claude Code's own prompt, as leaving it out does.
            system_prompt: text("systemPrompt", self.system_prompt)?
                .filter(|text| !text.is_empty()),
            append_system_prompt: text("appendSystemPrompt", self.append_system_prompt)?
                .filter(|text| !text.is_empty()),
            allowed_tools: names("allowedTools", self.allowed_tools)?
                .unwrap_or(defaults.allowed_tools),
            disallowed_tools: names("disallowedTools", self.disallowed_tools)?.unwrap_or_default(),
            permission_prompt_tool: permission_prompt_tool(self.permission_prompt_tool)?,
            mcp_config: mcp_config(self.mcp_config)?,
            cwd: match self.cwd {
                Some(path) => workspace_path("cwd", &path)?,
                None => defaults.cwd,
            },
            add_dir: names("addDir", self.add_dir)?
                .unwrap_or_default()
                .iter()
                .map(|path| workspace_path("addDir", path))
                .collect::<Result<_, _>>()?,
            additional_args: additional_args(self.additional_args)?,
            resume_session_id: claude_session_id(self.resume_session_id)?,
            continue_session: self.continue_session.unwrap_or(true),
            ..defaults
        };
        Ok(Turn {
            prompt: prompt(self.prompt.or(self.message), self.messages)?,
            model: model("model", self.model)?,
            mode,
            rules: Vec::new(),
            launch,
        })
    }
}

fn from_serde(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let field = error.path().to_string();
    let inner = error.into_inner();
    // A place in a document that the caller wrote as one line helps nobody.
    let told = inner.to_string();
    let told = told.split(" at line ").next().unwrap_or_default();
    if matches!(
        inner.classify(),
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof
    ) {
        return Problem::bad_request(format!("not valid JSON: {inner}"));
    }
    if field == "." {
        return Problem::bad_request(format!("the body must be a JSON object: {told}"));
    }
    Problem::bad_request(format!("{field}: {told}")).at(field)
}

fn too_large(what: &str, bytes: usize, limit: usize) -> Problem {
    Problem::new(
        ProblemKind::TooLarge,
        format!(
            "{what} is {bytes} bytes long, the limit is {limit}; put long material into a file"
        ),
    )
}

fn prompt(prompt: Option<String>, messages: Option<Vec<Message>>) -> Result<String, Problem> {
    let prompt = match (prompt, messages) {
        (Some(prompt), _) => prompt,
        (None, Some(messages)) => joined(messages)?,
        (None, None) => {
            return Err(Problem::bad_request(
                "there is no prompt: send \"prompt\" with the text, or \"messages\"",
            )
            .at("prompt"));
        }
    };
    if prompt.len() > MAX_PROMPT {
        return Err(too_large("the prompt", prompt.len(), MAX_PROMPT).at("prompt"));
    }
    if prompt.trim().is_empty() {
        return Err(Problem::bad_request("the prompt is empty").at("prompt"));
    }
    Ok(prompt)
}

/// The text of the person's messages. The conversation's earlier part is the session's, so messages
/// of another role have no place here.
fn joined(messages: Vec<Message>) -> Result<String, Problem> {
    let mut parts = Vec::new();
    for message in messages {
        if message.role != "user" {
            return Err(Problem::bad_request(format!(
                "messages may hold the role user alone, not {:?}: the session keeps the conversation",
                short(&message.role)
            ))
            .at("messages"));
        }
        match message.content {
            MessageContent::Text(text) => parts.push(text),
            MessageContent::Blocks(blocks) => {
                for block in blocks {
                    match block.text {
                        Some(text) if block.kind == "text" => parts.push(text),
                        _ => {
                            return Err(Problem::bad_request(format!(
                                "messages may hold blocks of type text with a text, not {:?}",
                                short(&block.kind)
                            ))
                            .at("messages"));
                        }
                    }
                }
            }
        }
    }
    Ok(parts.join("\n\n"))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

fn max_turns(given: Option<u64>) -> Result<u32, Problem> {
    match given {
        None => Ok(DEFAULT_MAX_TURNS),
        Some(turns @ 1..=MAX_TURNS) => Ok(u32::try_from(turns).unwrap_or(DEFAULT_MAX_TURNS)),
        Some(_) => Err(
            Problem::bad_request(format!("maxTurns must be from 1 to {MAX_TURNS}")).at("maxTurns"),
        ),
    }
}

/// What becomes an argument of a process can't hold NUL and must not be huge.
fn text(field: &str, given: Option<String>) -> Result<Option<String>, Problem> {
    if let Some(text) = &given {
        if text.len() > MAX_TEXT {
            return Err(too_large(field, text.len(), MAX_TEXT).at(field));
        }
        if text.contains('\0') {
            return Err(Problem::bad_request(format!("{field} must not hold NUL")).at(field));
        }
    }
    Ok(given)
}

/// # Errors
/// Where it can't be a model's name. Whether there is such a model the router says.
pub fn model(field: &str, given: Option<String>) -> Result<Option<String>, Problem> {
    let Some(name) = given.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let allowed = |byte: u8| byte.is_ascii_graphic();
    // A name becomes a path where the router is asked for it.
    let walks = name.split('/').any(|part| part == "." || part == "..");
    if name.len() > 200 || !name.bytes().all(allowed) || name.starts_with('-') || walks {
        return Err(Problem::bad_request(format!(
            "{field} must be a model's name, such as groq/openai/gpt-oss-120b"
        ))
        .at(field));
    }
    Ok(Some(name))
}

fn names(field: &str, given: Option<Names>) -> Result<Option<Vec<String>>, Problem> {
    let Some(list) = given.map(Names::into_list) else {
        return Ok(None);
    };
    if list.len() > MAX_LIST {
        return Err(
            Problem::bad_request(format!("{field} may hold {MAX_LIST} names at most")).at(field),
        );
    }
    // They become one argument of a process.
    let together: usize = list.iter().map(|name| name.len() + 1).sum();
    if together > MAX_TEXT {
        return Err(too_large(field, together, MAX_TEXT).at(field));
    }
    for name in &list {
        if name.is_empty() || name.len() > 1000 || name.chars().any(char::is_control) {
            return Err(Problem::bad_request(format!(
                "{field} holds a name that is empty, too long, or has a control character"
            ))
            .at(field));
        }
    }
    Ok(Some(list))
}

/// The name of an MCP tool that answers permission requests.
fn permission_prompt_tool(given: Option<String>) -> Result<Option<String>, Problem> {
    match given.filter(|name| !name.is_empty()) {
        Some(name) if !name.starts_with("mcp__") || name.len() > 200 => Err(Problem::bad_request(
            "permissionPromptTool must name an MCP tool, such as mcp__approvals__ask",
        )
        .at("permissionPromptTool")),
        name => text("permissionPromptTool", name),
    }
}

fn mcp_config(given: Option<Value>) -> Result<Option<Value>, Problem> {
    let invalid = || {
        Problem::bad_request(
            "mcpConfig must be an object such as {\"mcpServers\":{…}}, or the same as a string",
        )
        .at("mcpConfig")
    };
    let value = match given {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => serde_json::from_str(&text).map_err(|_| invalid())?,
        Some(value) => value,
    };
    let Some(servers) = value.as_object() else {
        return Err(invalid());
    };
    let wrapped = if servers.contains_key("mcpServers") {
        value
    } else {
        serde_json::json!({ "mcpServers": value })
    };
    if !wrapped.get("mcpServers").is_some_and(Value::is_object) {
        return Err(invalid());
    }
    text("mcpConfig", Some(wrapped.to_string()))?;
    Ok(Some(wrapped))
}

fn claude_session_id(given: Option<String>) -> Result<Option<String>, Problem> {
    match given.filter(|id| !id.is_empty()) {
        Some(id) if id.len() != 36 || !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') => {
            Err(Problem::bad_request(
                "resumeSessionId must be a UUID, as Claude Code names its sessions",
            )
            .at("resumeSessionId"))
        }
        id => Ok(id),
    }
}

fn additional_args(given: Option<Names>) -> Result<Vec<String>, Problem> {
    let args = names("additionalArgs", given)?.unwrap_or_default();
    for arg in &args {
        let name = arg.split_once('=').map(|(name, _)| name);
        if !name.is_some_and(|name| ALLOWED_ARGS.contains(&name)) {
            return Err(Problem::bad_request(format!(
                "additionalArgs does not accept {:?}; accepted are {}, each as --name=value",
                short(arg),
                ALLOWED_ARGS.join(", ")
            ))
            .at("additionalArgs"));
        }
    }
    Ok(args)
}

/// Brings a path to the form `/workspace[/…]` without `.` and `..`; relative paths start there.
///
/// # Errors
/// A 400 problem where the path leaves the workspace.
pub fn workspace_path(field: &str, path: &str) -> Result<String, Problem> {
    let outside = || {
        Problem::bad_request(format!(
            "{field} must be {WORKSPACE} or a folder in it, not {:?}",
            short(path)
        ))
        .at(field)
    };
    if path.len() > 4096 || path.chars().any(char::is_control) {
        return Err(outside());
    }
    let inside = match path.strip_prefix(WORKSPACE) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ if path.starts_with('/') => return Err(outside()),
        _ => path,
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in inside.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(outside)?;
            }
            part => parts.push(part),
        }
    }
    Ok(std::iter::once(WORKSPACE)
        .chain(parts)
        .collect::<Vec<_>>()
        .join("/"))
}

#[cfg(test)]
mod tests;
