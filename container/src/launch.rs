//! What a `claude` process is started with: its arguments and its whole environment. Pure.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use protocol::PermissionMode;
use protocol::options::{CHANGING_TOOLS, Launch, SettingSource};
use serde_json::{Map, Value, json};

use crate::processes::MARK;

/// What is the same for every process of this server.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The Claude Code binary.
    pub claude: PathBuf,
    /// The folder that `/workspace` is, canonical.
    pub workspace: PathBuf,
    pub home: PathBuf,
    /// The Messages API that the agent calls, without a path.
    pub model_url: String,
    pub model_token: Secret,
    /// The model of turns that name none.
    pub model: String,
    /// How often a failed call of the model is tried again.
    pub max_retries: u32,
    /// Milliseconds that a call of the model may take.
    pub api_timeout_ms: u64,
    /// The `PATH` of the agent and its tools.
    pub path: OsString,
    /// The way out of the sandbox, as [`crate::egress::variables`] gives it.
    pub egress: Vec<(&'static str, String)>,
}

impl Setup {
    /// The address of the model as messages may hold it: host and port.
    pub fn model_host(&self) -> &str {
        let rest = self.model_url.split("://").last().unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// One that nobody can guess.
    ///
    /// # Errors
    /// Where the system has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Self(digits.collect()))
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Which conversation a process takes part in, by Claude Code's name (a UUID).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversation {
    New(String),
    Resume(String),
}

impl Conversation {
    pub fn id(&self) -> &str {
        match self {
            Self::New(id) | Self::Resume(id) => id,
        }
    }
}

/// One process's start.
#[derive(Debug, Clone)]
pub struct Start {
    pub launch: Launch,
    pub model: String,
    pub conversation: Conversation,
    /// The launch's `cwd` as a real folder.
    pub cwd: PathBuf,
    /// The launch's `add_dir` as real folders.
    pub add_dir: Vec<PathBuf>,
    /// It is a session's: pieces of the model's text are wanted as they come, a person can be asked,
    /// what is allowed is told as it changes, and what is written to the transcript as well.
    pub kept: bool,
}

impl Start {
    /// Each value goes as `--flag=value`: a value of its own would be read as a flag where it begins
    /// with a dash, and a list would swallow what stands behind it.
    pub fn arguments(&self) -> Vec<OsString> {
        let launch = &self.launch;
        let mut arguments: Vec<OsString> = [
            "-p",
            "--input-format=stream-json",
            "--output-format=stream-json",
            "--verbose",
            // It reads the first line before it does anything: see `initialize`.
            "--await-initialize",
        ]
        .map(OsString::from)
        .to_vec();
        let mut flag = |name: &str, value: &std::ffi::OsStr| {
            let mut argument = OsString::from(format!("--{name}="));
            argument.push(value);
            arguments.push(argument);
        };
        // The workspace is somebody's repository: its settings, hooks and MCP servers run programs that
        // nobody here has looked at, so they are read only where the launch says so.
        let mut sources = BTreeSet::from([SettingSource::User]);
        sources.extend(&launch.setting_sources);
        let sources: Vec<&str> = sources.into_iter().map(SettingSource::as_str).collect();
        flag("setting-sources", sources.join(",").as_ref());
        flag("model", self.model.as_ref());
        flag("permission-mode", launch.permission_mode.as_str().as_ref());
        flag("max-turns", launch.max_turns.to_string().as_ref());
        // What it may not do by itself it asks through its output; also its questions.
        let stdio = || self.kept.then(|| "stdio".to_owned());
        let prompt_tool = launch.permission_prompt_tool.clone().or_else(stdio);
        let mut allowed_tools = launch.allowed_tools.clone();
        if self.kept && launch.default_tools {
            // Those depend on the mode: see `allow`.
            allowed_tools.retain(|tool| !CHANGING_TOOLS.contains(&tool.as_str()));
        }
        if let Some(tools) = &launch.tools {
            // None of them is a list as well.
            flag("tools", tools.join(",").as_ref());
        }
        for (name, list) in [
            ("allowedTools", &allowed_tools),
            ("disallowedTools", &launch.disallowed_tools),
        ] {
            if !list.is_empty() {
                flag(name, list.join(",").as_ref());
            }
        }
        for (name, text) in [
            ("system-prompt", &launch.system_prompt),
            ("append-system-prompt", &launch.append_system_prompt),
            ("permission-prompt-tool", &prompt_tool),
        ] {
            if let Some(text) = text {
                flag(name, text.as_ref());
            }
        }
        for folder in &self.add_dir {
            flag("add-dir", folder.as_os_str());
        }
        match &self.conversation {
            Conversation::New(id) => flag("session-id", id.as_ref()),
            Conversation::Resume(id) => flag("resume", id.as_ref()),
        }
        if !launch.setting_sources.contains(&SettingSource::Project) {
            // Without this, servers that the workspace names would be started as well.
            arguments.push("--strict-mcp-config".into());
        }
        if self.kept {
            arguments.push("--include-partial-messages".into());
            // Not the mode, but that it may be chosen later.
            arguments.push("--allow-dangerously-skip-permissions".into());
        }
        if self.kept {
            arguments.push("--session-mirror".into());
        }
        arguments.extend(launch.additional_args.iter().map(OsString::from));
        arguments
    }

    /// The first control request, whose answer says that the process is ready. The servers of tools
    /// are in it, since arguments are seen by every process, and secrets may be in them.
    pub fn initialize(&self, setup: &Setup) -> Value {
        let mut request = Map::new();
        request.insert("subtype".to_owned(), "initialize".into());
        let servers = self.launch.mcp_config.as_ref();
        let servers = servers.and_then(|config| config.get("mcpServers")?.as_object());
        let mut servers = servers.cloned().unwrap_or_default();
        if self.launch.orchestrates {
            // The Worker's own, on the way that the model's calls take.
            let authorization = format!("Bearer {}", setup.model_token.reveal());
            let server = json!({
                "type": "http", "url": format!("{}/mcp", setup.model_url),
                "headers": { "authorization": authorization },
            });
            servers.insert("agents".to_owned(), server);
        }
        for server in servers.values_mut() {
            // Their tools are offered from the first call of the model on: whoever names a server
            // wants them, and a model need not know how to look for tools.
            if let Some(server) = server.as_object_mut() {
                server.entry("alwaysLoad").or_insert(true.into());
            }
        }
        if !servers.is_empty() {
            request.insert("mcpServers".to_owned(), servers.into());
        }
        if let Some(agents) = &self.launch.agents {
            request.insert("agents".to_owned(), agents.clone());
        }
        Value::Object(request)
    }

    /// The whole environment: nothing is inherited, so that nothing of the server's, of its host's or
    /// of its provider's can leak to the agent. `mark` is the process's own. What the launch adds does
    /// not change what is set here.
    pub fn environment(&self, setup: &Setup, mark: &str) -> Vec<(&str, OsString)> {
        let mut variables: Vec<(&str, OsString)> = vec![
            ("PATH", setup.path.clone()),
            ("HOME", setup.home.clone().into()),
            ("TMPDIR", std::env::temp_dir().into()),
            ("ANTHROPIC_BASE_URL", (&setup.model_url).into()),
            ("ANTHROPIC_AUTH_TOKEN", setup.model_token.reveal().into()),
            (
                "CLAUDE_CODE_MAX_RETRIES",
                setup.max_retries.to_string().into(),
            ),
            ("API_TIMEOUT_MS", setup.api_timeout_ms.to_string().into()),
            (MARK, mark.into()),
        ];
        for (name, value) in [
            ("LANG", "C.UTF-8"),
            ("TERM", "dumb"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            // A sub-agent in the background would give a turn a second end.
            ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
            // The list of things to do in the one form that every model gets.
            ("CLAUDE_CODE_ENABLE_TASKS", "0"),
            // Milliseconds that a first turn waits for servers of tools, besides the five seconds until the
            // process says that it is ready. What starts later is there from then on.
            ("CLAUDE_CODE_MCP_STARTUP_WAIT_MS", "4000"),
            // Milliseconds until one that has not started counts as failed.
            ("MCP_TIMEOUT", "30000"),
            // Without it, Claude Code refuses to skip permissions as root.
            ("IS_SANDBOX", "1"),
        ] {
            variables.push((name, value.into()));
        }
        for (name, value) in &setup.egress {
            variables.push((name, value.into()));
        }
        for (name, model) in aliases(&self.model, self.launch.fast_model.as_deref()) {
            if let Some(model) = model {
                variables.push((name, model.into()));
            }
        }
        for (name, value) in &self.launch.env {
            if !variables.iter().any(|(ours, _)| ours == name) {
                variables.push((name, value.into()));
            }
        }
        variables
    }
}

/// The variables that say what the aliases `haiku`, `sonnet` and `opus` stand for, by which
/// sub-agents ask for models; `None` for Claude Code's own choice. Behind a router that knows no
/// Anthropic models the names that they would stand for exist as little as a key for them.
pub fn aliases<'a>(
    model: &'a str,
    fast_model: Option<&'a str>,
) -> [(&'static str, Option<&'a str>); 3] {
    let foreign = (!model.contains("claude")).then_some(model);
    [
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", fast_model.or(foreign)),
        ("ANTHROPIC_DEFAULT_SONNET_MODEL", foreign),
        ("ANTHROPIC_DEFAULT_OPUS_MODEL", foreign),
    ]
}

/// What a running process needs for a turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Another process.
    Restart,
    /// Control requests: another model, another mode, or neither.
    Switch {
        model: bool,
        mode: Option<PermissionMode>,
    },
}

/// What a running process can be switched to, as it is known to run. `None` where it was asked for
/// something else and has not said that it does so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub model: Option<String>,
    pub mode: Option<PermissionMode>,
    /// See [`allow`].
    pub allow: Option<Vec<String>>,
}

/// What a session's process may do without asking in this mode, besides the tools that it was started
/// with: the session's own rules, and what changes something where the mode lets it.
pub fn allow(default_tools: bool, mode: PermissionMode, rules: &[String]) -> Vec<String> {
    let changing: &[&str] = match default_tools && !mode.asks() {
        true => &CHANGING_TOOLS,
        false => &[],
    };
    let changing = changing.iter().map(|tool| (*tool).to_owned());
    changing.chain(rules.iter().cloned()).collect()
}

/// Compares what a process was started with and runs with, and what a turn wants. The conversation
/// is not looked at.
pub fn change(started: &Launch, running: &Running, wanted: &Launch, wanted_model: &str) -> Change {
    let same = Launch {
        permission_mode: wanted.permission_mode,
        egress: wanted.egress.clone(),
        resume_session_id: wanted.resume_session_id.clone(),
        continue_session: wanted.continue_session,
        ..started.clone()
    };
    if same != *wanted {
        return Change::Restart;
    }
    Change::Switch {
        model: running.model.as_deref() != Some(wanted_model),
        mode: (running.mode != Some(wanted.permission_mode)).then_some(wanted.permission_mode),
    }
}

#[cfg(test)]
mod tests;
