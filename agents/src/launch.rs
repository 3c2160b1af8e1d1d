//! What a process of an agent is started with.

use std::collections::{BTreeMap, BTreeSet};

use protocol::options::{DEFAULT_MAX_TURNS, Launch};
use protocol::{Problem, egress};
use serde_json::{Map, Value, json};

use crate::check::{AGENTS_SERVER, is_variable};
use crate::config::{AgentConfig, McpKind, McpServer, SystemPrompt};
use crate::tools::{Tool, tool};

/// Secrets that its servers of tools need: by the names of variables, or by the names of servers.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Credentials(BTreeMap<String, String>);

/// Bytes of one secret, and how many there may be.
const MAX_SECRET: usize = 16 * 1024;
const MAX_SECRETS: usize = 100;

/// Shorter values are not looked for in what the agent says: they would be found everywhere.
const SHORTEST: usize = 6;

/// A launch, and what must never be shown of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Launched {
    pub launch: Launch,
    /// The values of secrets.
    pub secrets: Vec<String>,
}

impl AgentConfig {
    /// What a turn of it is started with, without any secret: `${NAME}` stands where one belongs.
    pub fn launch(&self) -> Launch {
        let (system_prompt, append) = match &self.system_prompt {
            None => (None, None),
            Some(SystemPrompt::Text(text)) => (Some(text.clone()), None),
            Some(SystemPrompt::Preset { append, .. }) => (None, append.clone()),
        };
        let full = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let usual = Launch::default();
        let names_tools = !self.allowed_tools.is_empty();
        let mut allowed = match names_tools {
            true => self.allowed_tools.clone(),
            false => usual.allowed_tools.clone(),
        };
        let tools = names_tools.then(|| self.base_tools());
        if names_tools {
            // Nobody may be there to allow what an agent that is called was given.
            let of_agents = self
                .agents
                .values()
                .filter_map(|agent| agent.tools.as_ref());
            allowed.extend(of_agents.flatten().cloned());
        }
        for name in self.mcp_servers.keys() {
            let all = format!("mcp__{name}__*");
            let of_it = format!("mcp__{name}");
            let named = |text: &String| *text == all || *text == of_it;
            // Where some of its tools are named, those alone.
            let begin = format!("mcp__{name}__");
            if !allowed
                .iter()
                .any(|text| text.starts_with(&begin) && !named(text))
            {
                allowed.retain(|text| !named(text));
                allowed.push(of_it);
            }
        }
        if self.orchestration.is_some() {
            allowed.push(format!("mcp__{AGENTS_SERVER}"));
        }
        if !self.mcp_servers.is_empty() {
            for name in ["ListMcpResources", "ReadMcpResource"] {
                allowed.push(name.to_owned());
            }
        }
        let mut allowed: Vec<String> = allowed.into_iter().map(|text| claudes(&text)).collect();
        let mut seen = BTreeSet::new();
        allowed.retain(|text| seen.insert(text.clone()));
        let turns = self.max_turns.and_then(|turns| u32::try_from(turns).ok());
        Launch {
            max_turns: turns.unwrap_or(DEFAULT_MAX_TURNS),
            permission_mode: self.permission_mode,
            system_prompt: full(system_prompt),
            append_system_prompt: full(append),
            default_tools: !names_tools,
            allowed_tools: allowed,
            tools,
            mcp_config: (!self.mcp_servers.is_empty()).then(|| self.servers()),
            agents: (!self.agents.is_empty()).then(|| self.sub_agents()),
            env: self.env.clone(),
            setting_sources: self.setting_sources.clone(),
            egress: protocol::egress::hosts(&self.egress),
            orchestrates: self.orchestration.is_some(),
            cwd: self.cwd.clone().unwrap_or_else(|| usual.cwd.clone()),
            ..usual
        }
    }

    fn servers(&self) -> Value {
        let mut servers = Map::new();
        for (name, server) in &self.mcp_servers {
            let server = match server.kind() {
                McpKind::Stdio => json!({
                    "type": "stdio", "command": server.command, "args": server.args,
                    "env": server.env,
                }),
                kind => json!({ "type": kind, "url": server.url, "headers": server.headers }),
            };
            servers.insert(name.clone(), server);
        }
        json!({ "mcpServers": servers })
    }

    fn sub_agents(&self) -> Value {
        let mut agents = Map::new();
        for (name, agent) in &self.agents {
            let mut told = json!({ "description": agent.description, "prompt": agent.prompt });
            if let Some(fields) = told.as_object_mut() {
                if let Some(tools) = &agent.tools {
                    let tools: Vec<String> = tools.iter().map(|text| claudes(text)).collect();
                    fields.insert("tools".to_owned(), json!(tools));
                }
                if let Some(model) = agent.model {
                    fields.insert("model".to_owned(), json!(model));
                }
            }
            agents.insert(name.clone(), told);
        }
        Value::Object(agents)
    }

    /// The tools without their rules and without those of servers: what there is at all. An agent that
    /// it calls has no others, so theirs are among them. How it asks a person, leaves the planning mode
    /// and reads what its servers offer is no matter of a configuration.
    fn base_tools(&self) -> Vec<String> {
        let of_agents = self
            .agents
            .values()
            .filter_map(|agent| agent.tools.as_ref());
        let named = self.allowed_tools.iter().chain(of_agents.flatten());
        let names = named.filter_map(|text| match tool(text) {
            Tool::Known(name) => Some(claudes(name)),
            _ => None,
        });
        let always: &[&str] = match self.mcp_servers.is_empty() {
            true => &["AskUserQuestion", "ExitPlanMode"],
            false => &[
                "AskUserQuestion",
                "ExitPlanMode",
                "ListMcpResources",
                "ReadMcpResource",
            ],
        };
        let always = always.iter().map(|name| claudes(name));
        let all: BTreeSet<String> = names.chain(always).collect();
        all.into_iter().collect()
    }

    /// Checks what `mcp_env` gives, and completes it: each secret by its variable's name.
    ///
    /// It is an object of texts, by the names of variables, or by the names of servers an object of
    /// such texts. A variable that no server asks for goes to the only server with a program, where
    /// there is one.
    ///
    /// # Errors
    /// 400 for a secret that no server asks for, and where one is missing.
    pub fn credentials(&self, mcp_env: Option<&Value>) -> Result<Credentials, Problem> {
        let mut given: BTreeMap<String, String> = BTreeMap::new();
        let wrong =
            |field: &str, words: &str| Problem::bad_request(format!("{field} {words}")).at(field);
        let object = match mcp_env {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(object)) => object.clone(),
            Some(_) => return Err(wrong("mcp_env", "must be an object of texts")),
        };
        for (name, value) in object {
            let values = match value {
                Value::Object(of_a_server) if self.mcp_servers.contains_key(&name) => of_a_server,
                value => Map::from_iter([(name, value)]),
            };
            for (name, value) in values {
                let short: String = name.chars().take(64).collect();
                let field = format!("mcp_env.{short}");
                let Value::String(value) = value else {
                    return Err(wrong(&field, "must be a text"));
                };
                if !is_variable(&name) {
                    return Err(wrong(&field, "is no name of a variable"));
                }
                if value.is_empty()
                    || value.len() > MAX_SECRET
                    || value.contains(['\0', '\n', '\r'])
                {
                    return Err(wrong(&field, "must be one line of 1 to 16384 bytes"));
                }
                given.insert(name, value);
            }
        }
        if given.len() > MAX_SECRETS {
            return Err(wrong("mcp_env", "may hold 100 secrets at most"));
        }
        let wanted = self.wanted();
        if let Some(missing) = wanted.iter().find(|name| !given.contains_key(*name)) {
            let field = format!("mcp_env.{missing}");
            let words = "is missing: a server of tools needs it; give it at the launch, in mcp_env";
            return Err(wrong(&field, words));
        }
        let programs = self.mcp_servers.values();
        let programs = programs.filter(|server| server.kind() == McpKind::Stdio);
        if let Some(unused) = given.keys().find(|name| !wanted.contains(*name))
            && programs.count() != 1
        {
            let field = format!("mcp_env.{unused}");
            return Err(wrong(&field, "is asked for by no server of tools"));
        }
        Ok(Credentials(given))
    }

    /// What it has that needs hosts which its `egress` does not name, each in words for people.
    pub fn out_of_reach(&self) -> Vec<String> {
        let hosts = egress::hosts(&self.egress);
        let mut out = Vec::new();
        let fetches = |text: &String| tool(text) == Tool::Known("WebFetch");
        if hosts.is_empty() && self.allowed_tools.iter().any(fetches) {
            out.push("WebFetch reaches nothing: egress names no host".to_owned());
        }
        for (name, server) in &self.mcp_servers {
            let host = server.url.as_deref().and_then(host_of);
            if let Some(host) = host
                && !["localhost", "127.0.0.1", "[::1]"].contains(&host)
                && !egress::allows(&hosts, host)
            {
                out.push(format!(
                    "mcp_servers.{name} will not be reached: egress does not name {host}"
                ));
            }
        }
        out
    }

    /// The names of the secrets that its servers ask for.
    pub fn wanted(&self) -> BTreeSet<String> {
        let mut wanted = BTreeSet::new();
        for server in self.mcp_servers.values() {
            for text in texts(server) {
                replaced(text, &mut |name| {
                    wanted.insert(name.to_owned());
                    None
                });
            }
        }
        wanted
    }
}

fn texts(server: &McpServer) -> impl Iterator<Item = &String> {
    server
        .env
        .values()
        .chain(&server.args)
        .chain(server.headers.values())
        .chain(&server.url)
}

impl Credentials {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the secrets into a launch of the agent that they were checked for.
    pub fn into_launch(&self, mut launch: Launch) -> Launched {
        if let Some(servers) = launch
            .mcp_config
            .as_mut()
            .and_then(|config| config.get_mut("mcpServers"))
            .and_then(Value::as_object_mut)
        {
            let mut used = BTreeSet::new();
            for server in servers.values_mut() {
                self.fill(server, &mut used);
            }
            let rest = self.0.iter().filter(|(name, _)| !used.contains(*name));
            let rest: Vec<_> = rest.collect();
            let env = servers
                .values_mut()
                .find_map(|server| server.get_mut("env"))
                .and_then(Value::as_object_mut);
            if let Some(env) = env {
                for (name, value) in rest {
                    env.insert(name.clone(), json!(value));
                }
            }
        }
        let secrets = self.0.values().filter(|value| value.len() >= SHORTEST);
        Launched {
            launch,
            secrets: secrets.cloned().collect(),
        }
    }

    fn fill(&self, value: &mut Value, used: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                *text = replaced(text, &mut |name| {
                    let value = self.0.get(name)?;
                    used.insert(name.to_owned());
                    Some(value)
                });
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item, used)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.fill(field, used)),
            _ => {}
        }
    }
}

/// A text with what stands for each `${NAME}`, where there is something.
fn replaced<'a>(text: &str, value: &mut impl FnMut(&str) -> Option<&'a String>) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        done.push_str(before);
        match behind.split_once('}') {
            Some((name, after)) if is_variable(name) => {
                match value(name) {
                    Some(value) => done.push_str(value),
                    None => {
                        done.push_str("${");
                        done.push_str(name);
                        done.push('}');
                    }
                }
                rest = after;
            }
            _ => {
                done.push_str("${");
                rest = behind;
            }
        }
    }
    done.push_str(rest);
    done
}

/// The name by which Claude Code itself knows a tool.
fn claudes(text: &str) -> String {
    match text {
        "ListMcpResources" => "ListMcpResourcesTool".to_owned(),
        "ReadMcpResource" => "ReadMcpResourceTool".to_owned(),
        text => text.to_owned(),
    }
}

/// The host of a URL.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    match host.find(']') {
        Some(end) => host.get(..=end),
        None => host.split(':').next(),
    }
}
