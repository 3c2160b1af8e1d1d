//! What each fuzz target tries. The targets themselves hand over their bytes and nothing more, so that
//! a compiler without sanitizers can try the same: `tests/fuzz.rs` runs all of this on the seeds and
//! on bytes at random.

use protocol::options::{MAX_BODY, MAX_TURNS, WORKSPACE};
use protocol::{Problem, Turn};

pub mod frame;
pub mod options;
pub mod record;

/// A target, by the name of its file.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 3] = [
    ("frame", frame::run),
    ("options", options::run),
    ("record", record::run),
];

/// Whoever sent what is refused hears why, in words, and another part of ours reads it as it was meant.
fn check_refusal(problem: &Problem) {
    assert!((400..500).contains(&problem.status()), "{problem:?}");
    assert!(!problem.detail.is_empty());
    assert_eq!(
        Problem::from_json(&problem.to_json()).as_ref(),
        Some(problem)
    );
}

/// A turn that goes to a sandbox keeps the rules, and is the same when it is there.
fn check_turn(turn: &Turn) {
    let launch = &turn.launch;
    assert!(!turn.prompt.trim().is_empty() && turn.prompt.len() <= MAX_BODY);
    assert!(u64::from(launch.max_turns) <= MAX_TURNS);
    for path in std::iter::once(&launch.cwd).chain(&launch.add_dir) {
        let rest = path
            .strip_prefix(WORKSPACE)
            .expect("a path is in the workspace");
        assert!(rest.is_empty() || rest.starts_with('/'), "{path}");
        let mut parts = rest.split('/').skip(1);
        assert!(parts.all(|part| !matches!(part, "" | "." | "..")), "{path}");
        assert!(!path.contains('\0'));
    }
    for argument in &launch.additional_args {
        assert!(argument.starts_with("--"), "{argument}");
    }
    let sent = serde_json::to_string(turn).expect("a turn is JSON");
    let heard: Turn = serde_json::from_str(&sent).expect("a turn is read");
    assert_eq!(&heard, turn);
}
