//! What the fuzz targets try, without a fuzzer: on their seeds, on seeds with some bytes changed, and on
//! bytes at random. So they compile, and hold, wherever the tests run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use fuzz_seeds::Targets;

const TARGETS: Targets = Targets {
    folder: env!("CARGO_MANIFEST_DIR"),
    library: "protocol_fuzz",
    all: &targets::TARGETS,
};

#[test]
fn every_target_holds_on_its_seeds() {
    TARGETS.hold_on_their_seeds();
}

#[test]
fn every_target_is_there_and_none_beside() {
    TARGETS.are_there_and_none_beside();
}

#[test]
fn every_target_holds_on_bytes_at_random() {
    TARGETS.hold_on_bytes_at_random();
}

#[test]
fn every_target_holds_on_seeds_that_are_changed() {
    TARGETS.hold_on_seeds_that_are_changed();
}
