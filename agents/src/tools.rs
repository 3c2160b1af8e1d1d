//! The names of Claude Code's tools, which have changed with its versions.

/// The tools of the version that sandboxes have, by the names that a configuration calls them. A test
/// compares them with what that version itself says.
pub const KNOWN: [&str; 18] = [
    "AskUserQuestion",
    "Bash",
    "Edit",
    "ExitPlanMode",
    "Glob",
    "Grep",
    "ListMcpResources",
    "Monitor",
    "NotebookEdit",
    "Read",
    "ReadMcpResource",
    "Skill",
    "Task",
    "TaskStop",
    "TodoWrite",
    "WebFetch",
    "WebSearch",
    "Write",
];

/// What tools of other versions are called now; none for those that are gone.
const RENAMED: [(&str, Option<&str>); 16] = [
    ("Agent", Some("Task")),
    ("BashOutput", Some("Bash")),
    ("KillBash", Some("TaskStop")),
    ("KillShell", Some("TaskStop")),
    ("LS", Some("Glob")),
    ("ListMcpResourcesTool", Some("ListMcpResources")),
    ("MultiEdit", Some("Edit")),
    ("NotebookRead", Some("Read")),
    ("ReadMcpResourceTool", Some("ReadMcpResource")),
    ("SlashCommand", Some("Skill")),
    // The other form of the list of things to do, which sandboxes do without.
    ("TaskCreate", Some("TodoWrite")),
    ("TaskGet", Some("TodoWrite")),
    ("TaskList", Some("TodoWrite")),
    ("TaskUpdate", Some("TodoWrite")),
    ("TodoRead", None),
    ("exit_plan_mode", Some("ExitPlanMode")),
];

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Tool<'a> {
    Known(&'a str),
    /// Of another version; none where nothing has taken its place.
    Renamed(Option<&'static str>),
    /// A tool of an MCP server: the server's name.
    OfServer(&'a str),
    Unknown,
}

/// Reads a tool's name, with or without a rule in parentheses such as `Bash(git log:*)`.
pub fn tool(text: &str) -> Tool<'_> {
    let name = text.split('(').next().unwrap_or_default();
    if let Some(rest) = text.strip_prefix("mcp__") {
        let server = rest.split("__").next().unwrap_or_default();
        return match server.is_empty() {
            true => Tool::Unknown,
            false => Tool::OfServer(server),
        };
    }
    if KNOWN.contains(&name) {
        return Tool::Known(name);
    }
    match RENAMED.iter().find(|(old, _)| *old == name) {
        Some((_, now)) => Tool::Renamed(*now),
        None => Tool::Unknown,
    }
}
