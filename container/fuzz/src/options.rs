//! Any bytes as a client's options and as what a session sends: no path that is accepted leads out of
//! the workspace, no argument is a flag that is not listed, and what is accepted can be sent on.

use std::path::{Component, Path};

use protocol::ClaudeCodeOptions;
use protocol::options::{Turn, WORKSPACE};
use protocol::sandbox::TurnRequest;

pub fn run(data: &[u8]) {
    let _refused = serde_json::from_slice::<TurnRequest>(data);
    let Ok(options) = ClaudeCodeOptions::from_slice(data) else {
        return;
    };
    let Ok(turn) = options.into_turn() else {
        return;
    };
    for path in turn.launch.add_dir.iter().chain([&turn.launch.cwd]) {
        let inside = Path::new(path).strip_prefix(WORKSPACE);
        let mut parts = inside.expect("it is in the workspace").components();
        assert!(
            parts.all(|part| matches!(part, Component::Normal(_))),
            "{path}"
        );
    }
    for argument in &turn.launch.additional_args {
        assert!(
            argument.starts_with("--") && argument.contains('='),
            "{argument}"
        );
    }
    let told = serde_json::to_string(&turn).expect("it is JSON");
    let read: Turn = serde_json::from_str(&told).expect("it is a turn");
    assert_eq!(read, turn);
}
