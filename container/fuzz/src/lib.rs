//! What each fuzz target tries. The targets themselves hand over their bytes and nothing more, so that
//! a compiler without sanitizers can try the same: `tests/fuzz.rs` runs all of this on the seeds and
//! on bytes at random.

pub mod archive;
pub mod lines;
pub mod mask;
pub mod options;

/// A target, by the name of its file.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 4] = [
    ("archive", archive::run),
    ("lines", lines::run),
    ("mask", mask::run),
    ("options", options::run),
];
