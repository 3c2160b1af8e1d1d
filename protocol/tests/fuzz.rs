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

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use targets::{TARGETS, Target};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(name)
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder("seeds").join(name)).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn every_target_holds_on_its_seeds() {
    for (name, run) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seed");
        for seed in seeds {
            run(&seed);
        }
    }
}

/// What is compiled for the fuzzer alone is a line that is the same in each.
#[test]
fn every_target_is_there_and_none_beside() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let file = folder("fuzz_targets").join(format!("{name}.rs"));
        let wanted = format!(
            "//! See `src/{name}.rs`.\n\n#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| \
             protocol_fuzz::{name}::run(data));\n"
        );
        assert_eq!(fs::read_to_string(file).unwrap(), wanted);
        let entry = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&entry), "{name} is not in its manifest");
    }
    let files = fs::read_dir(folder("fuzz_targets")).unwrap();
    assert_eq!(files.count(), TARGETS.len());
}

fn some_target() -> impl Strategy<Value = Target> {
    proptest::sample::select(TARGETS.to_vec())
}

proptest! {
    #[test]
    fn every_target_holds_on_bytes_at_random(
        (_, run) in some_target(),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        run(&bytes);
    }

    #[test]
    fn every_target_holds_on_seeds_that_are_changed(
        (name, run) in some_target(),
        which in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = which.get(&seeds(name)).clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // Half of them are cut.
        if cut.index(2) == 1 {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        run(&bytes);
    }
}
