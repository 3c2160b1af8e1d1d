//! The fields of a configuration, as they are written.

use std::collections::BTreeMap;

use protocol::options::SettingSource;
use protocol::{PermissionMode, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Checked;

/// Bytes of a configuration.
pub const MAX_BODY: usize = 256 * 1024;

/// An agent, as somebody has written it down. [`AgentConfig::read`] gives only what is right.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentConfig {
    /// `a` to `z`, digits, `-` and `_`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[a-z0-9_-]{1,64}$")))]
    pub id: String,
    /// What people call it.
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default = "first_version")]
    pub version: String,
    /// The tools that it has, and uses without asking. Those of MCP servers are `mcp__server__tool`,
    /// or `mcp__server__*` for all of one. Where none is named it has the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_tools: Vec<String>,
    /// None: Claude Code's own prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<SystemPrompt>,
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mcp_servers: BTreeMap<String, McpServer>,
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "PermissionModeName"))]
    pub permission_mode: PermissionMode,
    /// Agents that this one may call, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, SubAgent>,
    #[serde(default)]
    pub resource_limits: ResourceLimits,
    /// Calls of the model that a turn may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub max_turns: Option<u64>,
    /// None: the deployment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where it works: `/workspace`, or a folder in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables of its environment. No place for secrets: see `mcp_env` at the launch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Which of Claude Code's own settings it reads: those of a `project` are files of the workspace,
    /// which may run programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<SettingSourceName>"))]
    pub setting_sources: Vec<SettingSource>,
    /// What its sandbox may reach besides the model: hosts such as `api.github.com`, `*.github.com` for
    /// all below one, and `registries` for those of packages. Nothing where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<String>,
    /// Whether it may launch other agents and work with them, and how many. None: it may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestration: Option<Orchestration>,
}

/// What an agent may do with others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Orchestration {
    /// The agents that it may launch, by their ids; all of its owner's where none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// How many sessions it may launch.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub max_sessions: u64,
    /// How many generations there may be: with 1 those that it launches launch nobody.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 5)))]
    pub max_depth: u8,
    /// US dollars that all of them together may have cost when another is launched or spoken to; none: no
    /// bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
}

impl Default for Orchestration {
    fn default() -> Self {
        Self {
            agents: Vec::new(),
            max_sessions: 5,
            max_depth: 1,
            max_cost_usd: None,
        }
    }
}

fn first_version() -> String {
    "1.0.0".to_owned()
}

/// What the agent is told before anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a text, or {type: preset, preset: claude_code, append: \"…\"}"
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SystemPrompt {
    /// This instead of Claude Code's own.
    Text(String),
    /// Claude Code's own, and this behind it.
    Preset {
        #[serde(rename = "type")]
        kind: PresetKind,
        preset: PresetName,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        append: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PresetKind {
    Preset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PresetName {
    ClaudeCode,
}

/// A server of tools. In `env`, `args`, `url` and `headers`, `${NAME}` stands for what `mcp_env` gives
/// at the launch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct McpServer {
    /// None: `stdio` where there is a command, `http` where there is a URL.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<McpKind>,
    /// A program in the sandbox, for `stdio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it is, for `sse` and `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum McpKind {
    Stdio,
    Sse,
    Http,
}

/// An agent that another one calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubAgent {
    /// By this the other one decides when to call it.
    pub description: String,
    pub prompt: String,
    /// None: those of the one that calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<SubModel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SubModel {
    Sonnet,
    Opus,
    Haiku,
    Inherit,
}

/// What a sandbox may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResourceLimits {
    /// 100000 is one CPU.
    pub cpu_quota: u64,
    /// Such as `512m` or `4g`.
    pub memory_limit: String,
    /// Such as `10g`.
    pub storage_limit: String,
}

impl Default for ResourceLimits {
    fn default() -> Self {
        Self {
            cpu_quota: 200_000,
            memory_limit: "4g".to_owned(),
            storage_limit: "10g".to_owned(),
        }
    }
}

/// The names of [`PermissionMode`], for the schema.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(rename = "PermissionMode", rename_all = "camelCase")]
#[allow(dead_code)]
enum PermissionModeName {
    Default,
    AcceptEdits,
    Plan,
    BypassPermissions,
}

/// The names of [`SettingSource`], for the schema.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(rename = "SettingSource", rename_all = "snake_case")]
#[allow(dead_code)]
enum SettingSourceName {
    User,
    Project,
    Local,
}

/// The fields, to tell of one that is not among them.
pub(crate) const FIELDS: [&str; 17] = [
    "agents",
    "allowed_tools",
    "cwd",
    "description",
    "egress",
    "env",
    "id",
    "max_turns",
    "mcp_servers",
    "model",
    "name",
    "orchestration",
    "permission_mode",
    "resource_limits",
    "setting_sources",
    "system_prompt",
    "version",
];

impl AgentConfig {
    /// Reads and checks a configuration, JSON or YAML.
    ///
    /// # Errors
    /// 400 that names the field, or the line and column, and says what is wrong with it; 413 for one
    /// that is too large.
    pub fn read(text: &str) -> Result<Checked, Problem> {
        if text.len() > MAX_BODY {
            let words = format!("a configuration has {MAX_BODY} bytes at most");
            return Err(Problem::new(protocol::ProblemKind::TooLarge, words));
        }
        let value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text)
                .map_err(|error| Problem::bad_request(format!("not valid JSON: {error}")))?
        } else {
            yaml::read(text)
                .map_err(|error| Problem::bad_request(format!("not valid YAML: {error}")))?
                .value
        };
        Self::from_value(value)
    }

    /// The same for one that is read already.
    ///
    /// # Errors
    /// 400 that names the field and says what is wrong with it.
    pub fn from_value(value: Value) -> Result<Checked, Problem> {
        let Value::Object(mut fields) = value else {
            return Err(Problem::bad_request(
                "a configuration is an object with the fields id and name, and more",
            ));
        };
        // What is null is left out.
        fields.retain(|_, value| !value.is_null());
        let unknown: Vec<String> = fields
            .keys()
            .filter(|name| !FIELDS.contains(&name.as_str()))
            .map(|name| name.chars().take(64).collect())
            .collect();
        let config: Self =
            serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
                let field = error.path().to_string();
                let words = error.into_inner().to_string();
                match field.as_str() {
                    "." => Problem::bad_request(words),
                    _ => Problem::bad_request(format!("{field}: {words}")).at(field),
                }
            })?;
        let mut checked = config.check()?;
        for name in unknown {
            let words = format!("{name} is no field of a configuration, and has no effect");
            checked.warnings.push(words);
        }
        Ok(checked)
    }
}
