//! What each field may hold.

use std::collections::BTreeMap;

use protocol::Problem;
use protocol::egress::names_hosts;
use protocol::options::{MAX_TEXT, MAX_TURNS, model, workspace_path};

use crate::config::{AgentConfig, McpKind, McpServer, Orchestration, SubAgent, SystemPrompt};
use crate::tools::{KNOWN, Tool, tool};

/// Characters of an id, a name of a server or of a sub-agent.
const MAX_ID: usize = 64;
/// Characters of a name for people.
const MAX_NAME: usize = 200;
/// Characters of a description.
const MAX_DESCRIPTION: usize = 4000;
/// Entries of a list or map.
const MAX_ENTRIES: usize = 200;
/// Bytes of a variable's or a header's value.
const MAX_VALUE: usize = 32 * 1024;

/// Variables that say how programs are found, loaded or spoken to, by their beginnings.
const RESERVED: [&str; 16] = [
    "AGENT_",
    "ANTHROPIC_",
    "BASH_ENV",
    "BUN_",
    "CLAUDE",
    "DISABLE_",
    "ENABLE_",
    "ENV",
    "HOME",
    "HTTP",
    "IS_SANDBOX",
    "LD_",
    "MCP_",
    "NODE_",
    "PATH",
    "SHELL",
];

/// A configuration that can be launched.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub config: AgentConfig,
    /// What was understood otherwise than it is written, for people.
    pub warnings: Vec<String>,
}

/// The name of the server of tools with which an agent works with others.
pub(crate) const AGENTS_SERVER: &str = "agents";

fn wrong(field: &str, words: impl std::fmt::Display) -> Problem {
    Problem::bad_request(format!("{field} {words}")).at(field)
}

impl AgentConfig {
    /// Checks every field, and brings names of other versions to those of now.
    ///
    /// # Errors
    /// 400 that names the field and says what is wrong with it.
    pub(crate) fn check(mut self) -> Result<Checked, Problem> {
        let mut warnings = Vec::new();
        if self.id.is_empty() || self.id.len() > MAX_ID || !self.id.bytes().all(of_an_id) {
            let words = format!("must be 1 to {MAX_ID} of the characters a to z, 0 to 9, _ and -");
            return Err(wrong("id", words));
        }
        line("name", &self.name, 1, MAX_NAME)?;
        line("version", &self.version, 1, 32)?;
        prose("description", &self.description, MAX_DESCRIPTION)?;
        self.allowed_tools = tools("allowed_tools", &self.allowed_tools, &mut warnings)?;
        for text in &self.allowed_tools {
            if let Tool::OfServer(server) = tool(text)
                && !self.mcp_servers.contains_key(server)
            {
                warnings.push(format!(
                    "allowed_tools names {text}, but there is no server {server} among mcp_servers"
                ));
            }
        }
        if let Some(SystemPrompt::Text(text))
        | Some(SystemPrompt::Preset {
            append: Some(text), ..
        }) = &self.system_prompt
        {
            prose("system_prompt", text, MAX_TEXT)?;
        }
        few("mcp_servers", self.mcp_servers.len())?;
        for (name, server) in &self.mcp_servers {
            check_server(name, server)?;
        }
        few("agents", self.agents.len())?;
        for (name, agent) in &mut self.agents {
            check_agent(name, agent, &mut warnings)?;
        }
        if !self.agents.is_empty() && !self.has("Task") {
            warnings.push("agents can be called with the tool Task alone, which was added".into());
            self.allowed_tools.push("Task".to_owned());
        }
        self.resource_limits.limits()?;
        if self
            .max_turns
            .is_some_and(|turns| !(1..=MAX_TURNS).contains(&turns))
        {
            return Err(wrong("max_turns", format!("must be from 1 to {MAX_TURNS}")));
        }
        self.model = model("model", self.model.take())?;
        if let Some(path) = self.cwd.take() {
            self.cwd = Some(workspace_path("cwd", &path)?);
        }
        variables("env", &self.env)?;
        few("egress", self.egress.len())?;
        for (place, text) in self.egress.iter().enumerate() {
            if !names_hosts(text) {
                return Err(wrong(
                    &format!("egress[{place}]"),
                    "must be a public host such as api.github.com, *.github.com for all below one, or \
                     registries; without https://, port or path",
                ));
            }
        }
        if let Some(orchestration) = &self.orchestration {
            check_orchestration(orchestration)?;
            if self.mcp_servers.contains_key(AGENTS_SERVER) {
                let words = "is the name of the server that orchestration adds; choose another";
                return Err(wrong(&format!("mcp_servers.{AGENTS_SERVER}"), words));
            }
        }
        self.setting_sources.sort();
        self.setting_sources.dedup();
        Ok(Checked {
            config: self,
            warnings,
        })
    }

    /// Whether it has a tool; where it names none, it has the usual ones.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.allowed_tools.is_empty()
            || self
                .allowed_tools
                .iter()
                .any(|text| tool(text) == Tool::Known(name))
    }
}

fn of_an_id(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}

/// A text of one line.
fn line(field: &str, text: &str, least: usize, most: usize) -> Result<(), Problem> {
    let length = text.trim().chars().count();
    if length < least || length > most || text.chars().any(char::is_control) {
        let words = format!("must be one line of {least} to {most} characters");
        return Err(wrong(field, words));
    }
    Ok(())
}

/// A text of any lines, which may become an argument of a process.
fn prose(field: &str, text: &str, most: usize) -> Result<(), Problem> {
    if text.len() > most {
        return Err(wrong(field, format!("must have {most} bytes at most")));
    }
    if text.contains('\0') {
        return Err(wrong(field, "must not hold NUL"));
    }
    Ok(())
}

fn few(field: &str, entries: usize) -> Result<(), Problem> {
    if entries > MAX_ENTRIES {
        return Err(wrong(
            field,
            format!("may hold {MAX_ENTRIES} entries at most"),
        ));
    }
    Ok(())
}

/// Tools by the names that they have now, each once.
fn tools(
    field: &str,
    given: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<String>, Problem> {
    few(field, given.len())?;
    let mut tools = Vec::with_capacity(given.len());
    for (place, text) in given.iter().enumerate() {
        let at = format!("{field}[{place}]");
        line(&at, text, 1, 1000)?;
        // Commas stand between names where they become an argument.
        let outside = text.split('(').next().unwrap_or_default();
        let rule_is_whole = text.contains('(') == text.ends_with(')');
        if outside.contains([',', ' ']) || !rule_is_whole {
            return Err(wrong(
                &at,
                "must be one tool's name, with a rule such as Bash(git log:*) where one is wanted",
            ));
        }
        let now = match tool(text) {
            Tool::Known(_) | Tool::OfServer(_) => text.clone(),
            Tool::Renamed(Some(now)) => {
                warnings.push(format!("{at}: {outside} is called {now} now"));
                format!("{now}{}", text.strip_prefix(outside).unwrap_or_default())
            }
            Tool::Renamed(None) => {
                warnings.push(format!("{at}: there is no tool {outside} any more"));
                continue;
            }
            Tool::Unknown => {
                return Err(wrong(
                    &at,
                    format!(
                        "is no tool: {outside:?}; known are {}, and mcp__server__tool",
                        KNOWN.join(", ")
                    ),
                ));
            }
        };
        if !tools.contains(&now) {
            tools.push(now);
        }
    }
    Ok(tools)
}

/// The name of a server or of a sub-agent. Two underscores stand between a server's name and a tool's.
fn named(field: &str, name: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > MAX_ID || !name.bytes().all(allowed) || name.contains("__") {
        let words = format!(
            "must have names of 1 to {MAX_ID} letters, digits, - and _, without two _ beside each other"
        );
        return Err(wrong(field, words));
    }
    Ok(())
}

fn check_orchestration(orchestration: &Orchestration) -> Result<(), Problem> {
    few("orchestration.agents", orchestration.agents.len())?;
    for (place, id) in orchestration.agents.iter().enumerate() {
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(of_an_id) {
            let field = format!("orchestration.agents[{place}]");
            return Err(wrong(&field, "must be the id of an agent"));
        }
    }
    if !(1..=100).contains(&orchestration.max_sessions) {
        return Err(wrong("orchestration.max_sessions", "must be from 1 to 100"));
    }
    if !(1..=5).contains(&orchestration.max_depth) {
        return Err(wrong("orchestration.max_depth", "must be from 1 to 5"));
    }
    if orchestration
        .max_cost_usd
        .is_some_and(|cost| !(cost > 0.0 && cost <= 100_000.0))
    {
        let words = "must be more than 0, and at most 100000";
        return Err(wrong("orchestration.max_cost_usd", words));
    }
    Ok(())
}

fn check_server(name: &str, server: &McpServer) -> Result<(), Problem> {
    named("mcp_servers", name)?;
    let field = |part: &str| format!("mcp_servers.{name}.{part}");
    if server.kind() == McpKind::Stdio {
        let command = server.command.as_deref().unwrap_or_default();
        line(&field("command"), command, 1, 1000)?;
        if server.url.is_some() || !server.headers.is_empty() {
            return Err(wrong(
                &field("url"),
                "and headers belong to servers of the types sse and http",
            ));
        }
        few(&field("args"), server.args.len())?;
        for (place, arg) in server.args.iter().enumerate() {
            prose(&field(&format!("args[{place}]")), arg, MAX_VALUE)?;
        }
        return values(&field("env"), &server.env);
    }
    if server.command.is_some() || !server.args.is_empty() || !server.env.is_empty() {
        return Err(wrong(
            &field("command"),
            "with args and env belongs to servers of the type stdio",
        ));
    }
    let url = server.url.as_deref().unwrap_or_default();
    line(&field("url"), url, 1, 2000)?;
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .and_then(|rest| rest.split(['/', '?', '#']).next());
    if host.is_none_or(str::is_empty) || url.contains(char::is_whitespace) {
        return Err(wrong(&field("url"), "must begin with https:// or http://"));
    }
    few(&field("headers"), server.headers.len())?;
    for (header, value) in &server.headers {
        let of_a_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if header.is_empty() || header.len() > 200 || !header.bytes().all(of_a_token) {
            return Err(wrong(&field("headers"), "must have names of headers"));
        }
        line(&field(&format!("headers.{header}")), value, 0, MAX_VALUE)?;
    }
    Ok(())
}

fn check_agent(
    name: &str,
    agent: &mut SubAgent,
    warnings: &mut Vec<String>,
) -> Result<(), Problem> {
    named("agents", name)?;
    let field = |part: &str| format!("agents.{name}.{part}");
    for (part, text, most) in [
        ("description", &agent.description, MAX_DESCRIPTION),
        ("prompt", &agent.prompt, MAX_TEXT),
    ] {
        prose(&field(part), text, most)?;
        if text.trim().is_empty() {
            return Err(wrong(&field(part), "must not be empty"));
        }
    }
    if let Some(given) = &agent.tools {
        agent.tools = Some(tools(&field("tools"), given, warnings)?);
    }
    Ok(())
}

/// Variables of the agent's own environment.
fn variables(field: &str, env: &BTreeMap<String, String>) -> Result<(), Problem> {
    values(field, env)?;
    for name in env.keys() {
        let upper = name.to_ascii_uppercase();
        if RESERVED.iter().any(|begin| upper.starts_with(begin)) {
            return Err(wrong(
                &format!("{field}.{name}"),
                "can't be set: it decides how the agent itself runs",
            ));
        }
    }
    Ok(())
}

fn values(field: &str, env: &BTreeMap<String, String>) -> Result<(), Problem> {
    few(field, env.len())?;
    for (name, value) in env {
        if !is_variable(name) {
            return Err(wrong(
                field,
                "must have names of letters, digits and _, not beginning with a digit",
            ));
        }
        prose(&format!("{field}.{name}"), value, MAX_VALUE)?;
    }
    Ok(())
}

/// Whether this can be a variable's name.
pub(crate) fn is_variable(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty()
        && name.len() <= 200
        && name.bytes().all(allowed)
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

impl McpServer {
    /// What it is, also where it does not say.
    pub fn kind(&self) -> McpKind {
        self.kind.unwrap_or(match self.url {
            Some(_) => McpKind::Http,
            None => McpKind::Stdio,
        })
    }
}
