//! What Git prints, read; pure. All of it may be what somebody hostile has written.

use std::collections::BTreeMap;

use protocol::repository::{Change, ChangeKind, Counts, LoggedCommit, Upstream};
use protocol::{Problem, ProblemKind};

/// Letters of a name, a subject, and of Git's words, that are told.
const LONGEST: usize = 300;

/// Names that are told of those in the way.
const MOST_NAMES: usize = 5;

/// What `git status` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub branch: Option<String>,
    pub head: Option<String>,
    pub upstream: Option<Upstream>,
    /// By the path's own bytes.
    pub changes: BTreeMap<Vec<u8>, State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub kind: ChangeKind,
    pub staged: bool,
    pub unstaged: bool,
    /// Lines that came and went, where they are counted.
    pub lines: Option<(u64, u64)>,
}

/// Reads what `git status --porcelain=v2 --branch --no-renames -z` prints (git-status(1)). What is not understood
/// says nothing.
pub fn status(output: &[u8], whole: bool) -> Status {
    let mut status = Status::default();
    let mut records: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
    if !whole {
        records.pop(); // It may have been cut.
    }
    let mut tracking = None;
    for record in records {
        let field = |count: usize| record.splitn(count, |byte| *byte == b' ').nth(count - 1);
        match record.first() {
            Some(b'#') => {
                let words = String::from_utf8_lossy(record);
                let mut words = words.splitn(3, ' ').skip(1);
                match (words.next(), words.next()) {
                    (Some("branch.oid"), Some(name)) if name != "(initial)" => {
                        status.head = Some(name.to_owned());
                    }
                    (Some("branch.head"), Some(name)) if name != "(detached)" => {
                        status.branch = Some(name.to_owned());
                    }
                    (Some("branch.upstream"), Some(name)) => {
                        status.upstream = Some(Upstream {
                            name: without_secrets(name),
                            ahead: None,
                            behind: None,
                        });
                    }
                    (Some("branch.ab"), Some(numbers)) => tracking = Some(numbers.to_owned()),
                    _ => {}
                }
            }
            Some(b'?') => add(&mut status, field(2), ChangeKind::Untracked, false, true),
            Some(b'u') => add(&mut status, field(11), ChangeKind::Conflicted, false, true),
            Some(b'1') => {
                let Some([index, folder]) = record.get(2..4) else {
                    continue;
                };
                let kind = match (index, folder) {
                    (_, b'D') | (b'D', _) => ChangeKind::Deleted,
                    (b'A', _) | (_, b'A') => ChangeKind::Added,
                    (b'T', _) | (_, b'T') => ChangeKind::TypeChanged,
                    _ => ChangeKind::Modified,
                };
                add(&mut status, field(9), kind, *index != b'.', *folder != b'.');
            }
            _ => {}
        }
    }
    if let (Some(upstream), Some(numbers)) = (&mut status.upstream, tracking) {
        let mut numbers = numbers
            .split(' ')
            .map(|number| number.get(1..)?.parse().ok());
        upstream.ahead = numbers.next().flatten();
        upstream.behind = numbers.next().flatten();
    }
    status
}

fn add(status: &mut Status, path: Option<&[u8]>, kind: ChangeKind, staged: bool, unstaged: bool) {
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return;
    };
    let state = State {
        kind,
        staged,
        unstaged,
        lines: None,
    };
    let known = status.changes.entry(path.to_owned()).or_insert(state);
    if known.kind == ChangeKind::Deleted && kind == ChangeKind::Untracked {
        // Taken out of the index alone: for the last commit it is there, and otherwise perhaps.
        known.kind = ChangeKind::Modified;
        known.unstaged = true;
    }
}

/// Adds the numbers of lines that `git diff --numstat --no-renames -z` prints.
pub fn add_lines(status: &mut Status, output: &[u8]) {
    for record in output.split(|byte| *byte == 0) {
        let mut fields = record.splitn(3, |byte| *byte == b'\t');
        let mut number = || {
            let field = fields
                .next()
                .and_then(|field| std::str::from_utf8(field).ok());
            field.and_then(|field| field.parse::<u64>().ok())
        };
        let lines = number().zip(number());
        if let Some(state) = fields.next().and_then(|path| status.changes.get_mut(path)) {
            state.lines = lines;
        }
    }
}

/// The changes as they are told, and how many there are.
pub fn changes(status: &Status, most: usize) -> (Vec<Change>, Counts) {
    let count = |is: &dyn Fn(&State) -> bool| status.changes.values().filter(|one| is(one)).count();
    let untracked = |one: &State| one.kind == ChangeKind::Untracked;
    let conflicted = |one: &State| one.kind == ChangeKind::Conflicted;
    let counts = Counts {
        all: status.changes.len(),
        staged: count(&|one| one.staged),
        unstaged: count(&|one| one.unstaged && !untracked(one) && !conflicted(one)),
        untracked: count(&untracked),
        conflicts: count(&conflicted),
        at_least: false,
    };
    let told = status
        .changes
        .iter()
        .take(most)
        .map(|(path, state)| Change {
            path: lossy(path),
            kind: state.kind,
            staged: state.staged,
            unstaged: state.unstaged,
            additions: state.lines.map(|(added, _)| added),
            deletions: state.lines.map(|(_, deleted)| deleted),
        });
    (told.collect(), counts)
}

pub fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The form of [`commits`], for `git log -z`.
pub const COMMIT: &str = "--format=%H%x00%at%x00%an%x00%s";

/// Reads what [`COMMIT`] prints; the last one only where it is whole.
pub fn commits(output: &[u8]) -> Vec<LoggedCommit> {
    let text = String::from_utf8_lossy(output);
    let mut fields = text.split('\0');
    let mut commits = Vec::new();
    while let (Some(hash), Some(time), Some(author), Some(subject)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    {
        if !is_hash(hash) {
            break;
        }
        commits.push(LoggedCommit {
            hash: hash.to_owned(),
            subject: short(subject),
            author: short(author),
            time: time.parse().unwrap_or(0),
        });
    }
    commits
}

/// Whether it is an object's name, in either of Git's forms.
pub fn is_hash(text: &str) -> bool {
    let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    matches!(text.len(), 40 | 64) && text.bytes().all(digits)
}

/// The settings that `git config --list -z` prints, in order. Names are as Git has them: small but for the middle.
pub fn settings(output: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(output);
    let records = text.split('\0').filter(|record| !record.is_empty());
    let pair = |record: &str| match record.split_once('\n') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (record.to_owned(), String::new()),
    };
    records.map(pair).collect()
}

/// The filter that a setting belongs to, and which of its settings it is.
pub fn filter_of(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("filter.")?.rsplit_once('.')
}

/// The first so many letters, of one line.
pub fn short(text: &str) -> String {
    let mut letters = text.trim().chars();
    let seen = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut short: String = letters.by_ref().take(LONGEST).map(seen).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

/// The same without who signs in, in whatever address stands in it.
pub fn without_secrets(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = after.find(|letter: char| letter.is_whitespace() || "'\"<>".contains(letter));
        let (address, behind) = after.split_at(end.unwrap_or(after.len()));
        clean.push_str(address.rsplit_once('@').map_or(address, |(_, host)| host));
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

/// Names of files that are told in a sentence.
pub fn named<'a>(paths: impl Iterator<Item = &'a [u8]>) -> String {
    let mut paths = paths.map(|path| format!("{:?}", short(&lossy(path))));
    let mut told: Vec<String> = paths.by_ref().take(MOST_NAMES).collect();
    let more = paths.count();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told.join(", ")
}

/// What Git complains of, with what to do.
pub fn problem(complaint: &str) -> Problem {
    let conflict = |words: String| Problem::new(ProblemKind::Conflict, words);
    let listed = || {
        let names = complaint.lines().filter_map(|line| line.strip_prefix('\t'));
        named(names.map(str::as_bytes))
    };
    if complaint.contains(".lock': File exists") {
        return conflict(
            "another Git command is at work in the repository, perhaps the agent's; try again in a moment. If it stays \
             so, one was broken off: ask the agent to remove .git/index.lock"
                .to_owned(),
        );
    }
    if complaint.contains("No space left on device") {
        let words = "there is no room: the sandbox's disk is full";
        return Problem::new(ProblemKind::TooLarge, words);
    }
    if complaint.contains("Your local changes to the following files would be overwritten") {
        return conflict(format!(
            "the branch has these files otherwise, and what has changed in them would be lost: {}; commit or discard it \
             first",
            listed()
        ));
    }
    if complaint.contains("untracked working tree files would be") {
        return conflict(format!(
            "the branch has files of these names, and yours, which are in no commit, would be lost: {}; commit, move or \
             discard them first",
            listed()
        ));
    }
    let lines = complaint.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let words: Vec<&str> = lines
        .map(|line| {
            let bare = line
                .strip_prefix("fatal: ")
                .or(line.strip_prefix("error: "));
            bare.unwrap_or(line)
        })
        .take(3)
        .collect();
    let words = short(&without_secrets(&words.join("; ")));
    if words.is_empty() {
        return conflict("Git has failed, and does not say why".to_owned());
    }
    conflict(format!("Git refuses: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATUS: &[u8] = b"# branch.oid 1111111111111111111111111111111111111111\0# branch.head main\0\
        # branch.upstream origin/main\0# branch.ab +2 -1\0\
        1 .M N... 100644 100644 100644 aa bb a b.txt\x001 M. N... 100644 100644 100644 aa bb staged\0\
        1 AM N... 000000 100644 100644 00 cc -new\x001 D. N... 100644 000000 000000 aa 00 taken out\0\
        1 .D N... 100644 100644 000000 aa aa gone\x001 .T N... 100644 100644 120000 aa aa link\0\
        u UU N... 100644 100644 100644 100644 aa bb cc both\0? line\nbreak\0? taken out\0? inner/\0";

    #[test]
    fn what_status_prints() {
        let mut status = status(STATUS, true);
        add_lines(
            &mut status,
            b"3\t1\ta b.txt\x00-\t-\tgone\x0010\t0\t-new\0junk\0",
        );
        let (changes, counts) = changes(&status, 100);
        insta::assert_json_snapshot!((
            &status.branch,
            &status.head,
            &status.upstream,
            changes,
            counts
        ));
    }

    #[test]
    fn what_is_cut_is_not_taken_for_a_name() {
        let cut = status(
            b"# branch.oid (initial)\0# branch.head (detached)\0? whole\0? cu",
            false,
        );
        assert_eq!((cut.branch, cut.head), (None, None));
        assert_eq!(cut.changes.len(), 1);
    }

    #[test]
    fn what_log_prints() {
        let hash = "a".repeat(40);
        let long = "x".repeat(1000);
        let output = format!(
            "{hash}\x001700000000\x00Ann\x00One\x00{hash}\x00x\x00{long}\x00{long}\x00{hash}\x001"
        );
        let told = commits(output.as_bytes());
        assert_eq!(told.len(), 2);
        assert_eq!(
            (told[0].time, told[0].subject.as_str()),
            (1_700_000_000, "One")
        );
        assert_eq!(told[1].subject.chars().count(), 301);
        assert!(commits(b"--output=x\x001\x00a\x00b\x00").is_empty());
    }

    #[test]
    fn no_secret_is_told() {
        for (given, told) in [
            (
                "https://user:token@github.com/o/r",
                "https://github.com/o/r",
            ),
            (
                "at 'https://a:b/c@d@e.org/x' now",
                "at 'https://e.org/x' now",
            ),
            ("ssh://git@h/x https://t@i/y", "ssh://h/x https://i/y"),
            ("no address", "no address"),
        ] {
            assert_eq!(without_secrets(given), told);
        }
        let told = problem("fatal: unable to access 'https://u:secret@h/r/': no\nhint: x");
        assert_eq!(
            told.detail,
            "Git refuses: unable to access 'https://h/r/': no"
        );
    }

    #[test]
    fn complaints_say_what_to_do() {
        let told = problem(
            "error: Your local changes to the following files would be overwritten by checkout:\n\ta\n\t\u{1b}[2Jb\nPlease commit",
        );
        insta::assert_snapshot!(told.detail, @r#"the branch has these files otherwise, and what has changed in them would be lost: "a", " [2Jb"; commit or discard it first"#);
        let told = problem(
            "fatal: Unable to create '/w/.git/index.lock': File exists.\n\nAnother git process",
        );
        assert!(
            told.detail.starts_with("another Git command is at work"),
            "{told}"
        );
    }

    #[test]
    fn settings_and_filters() {
        let told =
            settings(b"filter.lfs.clean\ngit-lfs clean\0core.bare\0filter.a.b=c.smudge\nx\ny\0");
        assert_eq!(told[1], ("core.bare".to_owned(), String::new()));
        assert_eq!(filter_of(&told[0].0), Some(("lfs", "clean")));
        assert_eq!(filter_of(&told[2].0), Some(("a.b=c", "smudge")));
        assert_eq!(filter_of("filter.x"), None);
    }

    proptest! {
        #[test]
        fn anything_is_read(bytes in any::<Vec<u8>>(), lines in "([12?u#] ?[.MAD]{0,2} ?[a-z ]{0,40}\0?){0,20}") {
            for output in [bytes.as_slice(), lines.as_bytes()] {
                let mut read = status(output, false);
                add_lines(&mut read, output);
                let _told = (changes(&read, 3), commits(output), settings(output), problem(&lossy(output)));
            }
        }
    }
}
