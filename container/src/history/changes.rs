//! What Git prints of two commits, as an answer.

use std::borrow::Cow;

use protocol::diff::{FileDiff, FileStatus, MAX_FILES, MAX_PATCH, MAX_PATCHES};

/// The line with which Git begins what it says of a file. No line of a file's content begins so: they
/// all have a sign before them.
const HEAD: &[u8] = b"diff --git ";

/// Reads what `git diff-tree --raw --numstat -z` prints (git-diff-tree(1)): one record for each file,
/// then the numbers of each in the same order. Returns whether all of it was read.
pub fn files(output: &[u8]) -> (Vec<FileDiff>, bool) {
    let mut records = output.split(|byte| *byte == 0);
    let mut files: Vec<FileDiff> = Vec::new();
    let (mut all, mut numbered) = (true, 0);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    while let Some(record) = records.next() {
        if record.first() == Some(&b':') {
            let letter = record.rsplit(|byte| *byte == b' ').next();
            let status = match letter.and_then(<[u8]>::first) {
                Some(b'A') => FileStatus::Added,
                Some(b'D') => FileStatus::Deleted,
                Some(b'R') => FileStatus::Renamed,
                Some(b'T') => FileStatus::TypeChanged,
                _ => FileStatus::Modified,
            };
            let path = text(records.next().unwrap_or_default());
            let (old_path, path) = match status {
                FileStatus::Renamed => (Some(path), text(records.next().unwrap_or_default())),
                _ => (None, path),
            };
            if files.len() >= MAX_FILES {
                all = false;
                continue;
            }
            files.push(FileDiff {
                path,
                old_path,
                status,
                additions: 0,
                deletions: 0,
                binary: false,
                patch: None,
            });
        } else if !record.is_empty() {
            let mut fields = record.splitn(3, |byte| *byte == b'\t').map(text_of);
            let (added, deleted, path) = (fields.next(), fields.next(), fields.next());
            if path.is_none_or(|path| path.is_empty()) {
                // Of one that was renamed: where it was, and is.
                let _both = (records.next(), records.next());
            }
            if let Some(file) = files.get_mut(numbered) {
                file.binary = added.as_deref() == Some("-");
                let number = |field: Option<Cow<'_, str>>| {
                    field.and_then(|field| field.parse().ok()).unwrap_or(0)
                };
                (file.additions, file.deletions) = (number(added), number(deleted));
            }
            numbered += 1;
        }
    }
    (files, all)
}

fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Takes the patches of files apart, in the files' order.
pub struct Patches<'a> {
    files: &'a mut [FileDiff],
    /// The file whose patch is being read, and how many heads of it are still to come.
    at: Option<usize>,
    heads: usize,
    /// The begin of a line that may be a head.
    begin: Vec<u8>,
    in_line: bool,
    patch: Vec<u8>,
    too_long: bool,
    kept: usize,
    missing: bool,
}

impl<'a> Patches<'a> {
    pub fn new(files: &'a mut [FileDiff]) -> Self {
        Self {
            files,
            at: None,
            heads: 0,
            begin: Vec::new(),
            in_line: false,
            patch: Vec::new(),
            too_long: false,
            kept: 0,
            missing: false,
        }
    }

    /// Takes what comes next, wherever it was cut.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.in_line {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                self.keep(line);
                self.in_line = end.is_none();
                bytes = rest;
                continue;
            }
            let is_next = HEAD.get(self.begin.len()) == Some(first);
            if is_next {
                self.begin.push(*first);
                bytes = bytes.get(1..).unwrap_or_default();
                if self.begin.len() < HEAD.len() {
                    continue;
                }
                self.next_file();
            }
            let begin = std::mem::take(&mut self.begin);
            self.keep(&begin);
            self.in_line = true;
        }
    }

    fn next_file(&mut self) {
        if self.heads > 0 {
            self.heads -= 1; // The other half of a change of types.
            return;
        }
        self.finish(true);
        let next = self.at.map_or(0, |at| at + 1);
        self.at = Some(next);
        let status = self.files.get(next).map(|file| file.status);
        self.heads = usize::from(status == Some(FileStatus::TypeChanged));
    }

    fn keep(&mut self, bytes: &[u8]) {
        let wanted = self.at.is_some_and(|at| at < self.files.len());
        if !wanted || self.too_long {
            return;
        }
        let length = self.patch.len() + bytes.len();
        if length > MAX_PATCH || self.kept + length > MAX_PATCHES {
            self.too_long = true;
            self.patch = Vec::new();
            return;
        }
        self.patch.extend_from_slice(bytes);
    }

    fn finish(&mut self, whole: bool) {
        let patch = std::mem::take(&mut self.patch);
        let too_long = std::mem::take(&mut self.too_long);
        let Some(file) = self.at.and_then(|at| self.files.get_mut(at)) else {
            return;
        };
        if too_long || !whole {
            self.missing = true;
        } else if !file.binary {
            self.kept += patch.len();
            file.patch = Some(String::from_utf8_lossy(&patch).into_owned());
        }
    }

    /// Ends it; `whole` where it was read to its end. Returns whether a patch is missing.
    pub fn end(mut self, whole: bool) -> bool {
        let begin = std::mem::take(&mut self.begin);
        self.keep(&begin);
        self.finish(whole);
        let read = self.at.map_or(0, |at| at + 1);
        self.missing || read < self.files.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &[u8] = b":100644 000000 aa 00 D\0d\0:100644 100644 aa bb R090\0old\0new\0\
        :100644 120000 aa bb T\0t\0:000000 100644 00 bb A\0odd\xff\0\
        0\t2\td\x001\t1\t\0old\0new\x001\t1\tt\0-\t-\todd\xff\0";

    const TEXT: &[u8] = b"diff --git a/d b/d\n-diff --git x\n-b\ndiff --git a/old b/new\n@@\n\
        diff --git a/t b/t\n-x\ndiff --git a/t b/t\n+y\ndiff --git a/odd b/odd\nBinary files\n";

    #[test]
    fn what_git_prints() {
        let (mut files, all) = files(LIST);
        assert!(all);
        let mut patches = Patches::new(&mut files);
        patches.read(TEXT);
        assert!(!patches.end(true));
        insta::assert_snapshot!(serde_json::to_string_pretty(&files).unwrap());
    }

    #[test]
    fn a_long_patch_is_left_out_and_said_to_be() {
        let (mut files, _) = files(b":1 2 3 4 M\0a\0:1 2 3 4 M\0b\0");
        let mut patches = Patches::new(&mut files);
        patches.read(b"diff --git a/a b/a\n+");
        patches.read(&vec![b'x'; MAX_PATCH]);
        patches.read(b"\ndiff --git a/b b/b\n+y\n");
        assert!(patches.end(true));
        assert_eq!(files[0].patch, None);
        assert_eq!(files[1].patch.as_deref(), Some("diff --git a/b b/b\n+y\n"));
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut(cuts in proptest::collection::vec(0..TEXT.len(), 0..20)) {
            let (mut whole, _) = files(LIST);
            let mut patches = Patches::new(&mut whole);
            patches.read(TEXT);
            patches.end(true);
            let (mut cut, _) = files(LIST);
            let mut patches = Patches::new(&mut cut);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut at = 0;
            for next in cuts.into_iter().chain([TEXT.len()]) {
                patches.read(&TEXT[at..next]);
                at = next;
            }
            patches.end(true);
            prop_assert_eq!(whole, cut);
        }

        #[test]
        fn anything_is_read(list in any::<Vec<u8>>(), text in "(diff --git |[a-z\n]){0,50}") {
            let (mut files, _) = files(&list);
            let mut patches = Patches::new(&mut files);
            patches.read(text.as_bytes());
            patches.end(true);
        }
    }
}
