//! What fuzz targets try, without a fuzzer: on their seeds, on seeds with some bytes changed, and on
//! bytes at random. So they compile, and hold, wherever the tests run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

/// A target, by the name of its file.
pub type Target = (&'static str, fn(&[u8]));

/// The fuzz targets of a crate. Each check fails by a panic.
pub struct Targets {
    /// The crate's own folder, in which `fuzz/` is.
    pub folder: &'static str,
    /// The name of the library in `fuzz/`, to which its targets hand their bytes.
    pub library: &'static str,
    pub all: &'static [Target],
}

impl Targets {
    /// Every target holds on its seeds, and has some.
    pub fn hold_on_their_seeds(&self) {
        for (name, run) in self.all {
            let seeds = self.seeds(name);
            assert!(!seeds.is_empty(), "{name} has no seed");
            for seed in seeds {
                run(&seed);
            }
        }
    }

    /// Every target is there for the fuzzer, and none beside. What is compiled for it alone is a line
    /// that is the same in each.
    pub fn are_there_and_none_beside(&self) {
        let manifest = fs::read_to_string(self.place("Cargo.toml")).unwrap();
        let library = self.library;
        for (name, _) in self.all {
            let file = self.place("fuzz_targets").join(format!("{name}.rs"));
            let wanted = format!(
                "//! See `src/{name}.rs`.\n\n#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| \
                 {library}::{name}::run(data));\n"
            );
            assert_eq!(fs::read_to_string(file).unwrap(), wanted);
            let entry = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
            assert!(manifest.contains(&entry), "{name} is not in its manifest");
        }
        let files = fs::read_dir(self.place("fuzz_targets")).unwrap();
        assert_eq!(files.count(), self.all.len());
    }

    /// Every target holds on bytes at random.
    pub fn hold_on_bytes_at_random(&self) {
        let bytes = proptest::collection::vec(any::<u8>(), 0..300);
        proptest!(config(), |((_, run) in self.some(), bytes in bytes)| run(&bytes));
    }

    /// Every target holds on seeds that are changed in places, and cut.
    pub fn hold_on_seeds_that_are_changed(&self) {
        let place = any::<prop::sample::Index>;
        let changes = proptest::collection::vec((place(), any::<u8>()), 0..6);
        proptest!(config(), |(
            (name, run) in self.some(),
            which in place(),
            cut in place(),
            changes in changes,
        )| {
            let mut bytes = which.get(&self.seeds(name)).clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            // Half of them are cut.
            if cut.index(2) == 1 {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            run(&bytes);
        });
    }

    fn place(&self, name: &str) -> PathBuf {
        Path::new(self.folder).join("fuzz").join(name)
    }

    fn seeds(&self, name: &str) -> Vec<Vec<u8>> {
        let files = fs::read_dir(self.place("seeds").join(name)).unwrap();
        files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect()
    }

    fn some(&self) -> impl Strategy<Value = Target> + use<> {
        proptest::sample::select(self.all)
    }
}

/// What has failed is printed, and belongs among the seeds.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
