//! `CONFORMANCE.md` says what is guaranteed and which test fails when it is not. This test fails when
//! that is not so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many cases of each letter there are at least.
const CASES: [(char, u32); 6] = [
    ('R', 32),
    ('N', 7),
    ('S', 20),
    ('E', 11),
    ('A', 6),
    ('C', 4),
];

/// One line of a table.
struct Case<'a> {
    name: &'a str,
    state: &'a str,
    /// The tests that it links to: name and file.
    tests: Vec<(&'a str, &'a str)>,
}

fn cases(list: &str) -> Vec<Case<'_>> {
    let rows = list.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, _, state, tests] = *cells.as_slice() else {
            panic!("not four cells: {row}");
        };
        let tests = tests.split('[').skip(1).map(|link| {
            let (test, file) = link.split_once("](").unwrap();
            (test, file.split(')').next().unwrap())
        });
        (name != "case").then(|| Case {
            name,
            state,
            tests: tests.collect(),
        })
    })
    .collect()
}

/// Every Rust file below a folder, by its path from the crate, with its text.
fn sources(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            found.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
        }
    }
}

/// The functions of a file that are tests.
fn tests_in(source: &str) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        let function = line.strip_prefix("async ").unwrap_or(line);
        if line.starts_with("#[") && line.contains("test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(name) = function.strip_prefix("fn ")
            && std::mem::take(&mut marked)
        {
            tests.extend(name.split('(').next());
        }
    }
    tests
}

/// The cases in whose name a test begins: `r01_s03_…` is of R1 and S3.
fn cases_of(test: &str) -> Vec<String> {
    test.split('_')
        .map_while(|word| {
            let (letter, number) = word.split_at_checked(1)?;
            let number: u32 = number.parse().ok().filter(|_| number.len() == 2)?;
            let letter = letter.to_ascii_uppercase();
            "RNSEAC"
                .contains(&letter)
                .then(|| format!("{letter}{number}"))
        })
        .collect()
}

#[test]
fn conformance_list_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("CONFORMANCE.md")).unwrap();
    let cases = cases(&list);
    let mut files = BTreeMap::new();
    for folder in ["src", "tests", "native", "fuzz"] {
        sources(&root.join(folder), &mut files);
    }

    let mut wrong = Vec::new();
    for (letter, most) in CASES {
        for number in 1..=most {
            let name = format!("{letter}{number}");
            if cases.iter().filter(|case| case.name == name).count() != 1 {
                wrong.push(format!("{name} has to have one line"));
            }
        }
    }
    for case in &cases {
        let fits = match case.state {
            "held" | "in part" => !case.tests.is_empty(),
            "open" => case.tests.is_empty(),
            _ => false,
        };
        if !fits {
            wrong.push(format!(
                "{}: its state is not what its tests say",
                case.name
            ));
        }
        for (test, file) in &case.tests {
            let source = files.get(Path::new(file));
            if !source.is_some_and(|source| tests_in(source).contains(test)) {
                wrong.push(format!("{}: no test {test} in {file}", case.name));
            }
        }
    }
    for (file, source) in &files {
        for test in tests_in(source) {
            for name in cases_of(test) {
                let listed = cases.iter().any(|case| {
                    case.name == name && case.tests.iter().any(|(listed, _)| *listed == test)
                });
                if !listed {
                    let file = file.display();
                    wrong.push(format!("{name} does not name its test [{test}]({file})"));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "CONFORMANCE.md is not true:\n{}",
        wrong.join("\n")
    );
}
