//! The agents that come with this project, as `presets/` has them.

use std::sync::OnceLock;

use protocol::Problem;

use crate::AgentConfig;

/// Their texts, YAML. The build of the Worker fails where one is wrong (`build.rs` at the root).
const PRESETS: [&str; 5] = [
    include_str!("../../presets/code-assistant.yaml"),
    include_str!("../../presets/research-agent.yaml"),
    include_str!("../../presets/data-analysis.yaml"),
    include_str!("../../presets/fullstack-team.yaml"),
    include_str!("../../presets/github-code-review.yaml"),
];

/// All of them, in the order in which they are shown. They are read once.
///
/// # Errors
/// Where one is wrong, which does not get through a build.
pub fn presets() -> Result<&'static [AgentConfig], Problem> {
    static READ: OnceLock<Result<Vec<AgentConfig>, Problem>> = OnceLock::new();
    let read = |text: &&str| Ok(AgentConfig::read(text)?.config);
    let all = READ.get_or_init(|| PRESETS.iter().map(read).collect());
    all.as_deref().map_err(Clone::clone)
}

/// The one of this id; none where there is none.
pub fn preset(id: &str) -> Option<&'static AgentConfig> {
    presets().ok()?.iter().find(|config| config.id == id)
}
