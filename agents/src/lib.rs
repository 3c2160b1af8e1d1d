//! What an agent is: a name, a prompt, tools, servers and limits, written down once and launched often.
//!
//! A configuration comes from a preset, a client's body or a file, as JSON or YAML, and is checked
//! as a whole before anything is done with it: what is accepted can be launched. Nothing here does I/O.
//!
//! ```text
//! config.rs   the fields            check.rs   what each may hold
//! tools.rs    names of tools        launch.rs  what a process of it is started with
//! presets.rs  those that come with this project
//! ```

mod check;
mod config;
mod launch;
mod limits;
mod presets;
mod tools;

pub use check::Checked;
pub use config::{
    AgentConfig, McpKind, McpServer, Orchestration, ResourceLimits, SubAgent, SubModel,
    SystemPrompt,
};
pub use launch::{Credentials, Launched};
pub use limits::Limits;
pub use presets::{preset, presets};
pub use tools::KNOWN as KNOWN_TOOLS;

#[cfg(test)]
mod tests;
