//! What `.gitignore` leaves out.

use std::io::Read;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::disk::open_file;

const NAME: &str = ".gitignore";

/// Bytes of one that are read.
const LONGEST: u64 = 64 * 1024;

/// Lines of all of a walk that are heeded: each is compiled.
const MOST: usize = 5_000;

/// The `.gitignore`s of a folder and of those above it.
#[derive(Debug, Default)]
pub struct Ignores {
    /// From the workspace down, each with the folder that it is in.
    levels: Vec<(PathBuf, Gitignore)>,
    lines: usize,
}

impl Ignores {
    /// Takes up what is in a folder; returns whether there is anything to [`Ignores::leave`].
    pub fn enter(&mut self, dir: &Dir, path: &Path) -> bool {
        let Ok(file) = open_file(dir, Path::new(NAME)) else {
            return false;
        };
        let mut bytes = Vec::new();
        if file.take(LONGEST).read_to_end(&mut bytes).is_err() {
            return false;
        }
        let mut builder = GitignoreBuilder::new("");
        for line in String::from_utf8_lossy(&bytes).lines() {
            if self.lines >= MOST {
                break;
            }
            self.lines += 1;
            // A line that is no pattern leaves nothing out.
            let _wrong = builder.add_line(None, line);
        }
        let Ok(patterns) = builder.build() else {
            return false;
        };
        self.levels.push((path.to_owned(), patterns));
        true
    }

    pub fn leave(&mut self) {
        self.levels.pop();
    }

    /// Whether it is left out: the deepest pattern counts.
    pub fn leaves_out(&self, path: &Path, is_dir: bool) -> bool {
        if is_dir && path.file_name().is_some_and(|name| name == ".git") {
            return true;
        }
        for (folder, patterns) in self.levels.iter().rev() {
            let Ok(below) = path.strip_prefix(folder) else {
                continue;
            };
            match patterns.matched(below, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }
}
