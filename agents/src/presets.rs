//! The agents that come with this project, as `presets/` has them.

use protocol::Problem;

use crate::AgentConfig;

/// Their texts, YAML. The build of the Worker fails where one is wrong.
pub const PRESETS: [&str; 5] = [
    include_str!("../../presets/code-assistant.yaml"),
    include_str!("../../presets/research-agent.yaml"),
    include_str!("../../presets/data-analysis.yaml"),
    include_str!("../../presets/fullstack-team.yaml"),
    include_str!("../../presets/github-code-review.yaml"),
];

/// All of them, in the order in which they are shown.
///
/// # Errors
/// Where one is wrong, which does not get through a build.
pub fn presets() -> Result<Vec<AgentConfig>, Problem> {
    let read = |text: &&str| Ok(AgentConfig::read(text)?.config);
    PRESETS.iter().map(read).collect()
}

/// The one of this id; none where there is none.
pub fn preset(id: &str) -> Option<AgentConfig> {
    let all = presets().ok()?;
    all.into_iter().find(|config| config.id == id)
}
