//! The Git repository of a session's workspace, as it stands.

use protocol::SessionId;
use protocol::repository::{ChangeKind, Found, Repository};
use serde_json::Value;

use crate::api::Api;
use crate::failure::Failure;
use crate::harmless;
use crate::out::Out;

/// Commits that are told.
const COMMITS: usize = 10;

/// Letters of a name or a subject.
const LONGEST: usize = 200;

pub async fn show(api: &Api, out: Out, session: &SessionId) -> Result<(), Failure> {
    let request = api.get(&format!("/api/sessions/{session}/repository"));
    if out.json {
        let document: Value = api.document(request).await?;
        return out.json(&document);
    }
    let found: Found = api.document(request).await?;
    out.line(told(&found).trim_end())
}

fn told(found: &Found) -> String {
    let mut text = match &found.repository {
        Some(repository) => status(repository),
        None => "There is no Git repository in the workspace.\n".to_owned(),
    };
    if let Some(note) = &found.note {
        text.push_str(&harmless::line(note, LONGEST * 2));
    }
    text
}

fn status(repository: &Repository) -> String {
    let mut text = String::new();
    let line = |given: &str| harmless::line(given, LONGEST);
    let short = |hash: &str| line(hash.get(..7).unwrap_or(hash));
    let mut say = |words: std::fmt::Arguments<'_>| text.push_str(&words.to_string());
    match (&repository.branch, &repository.head) {
        (Some(branch), _) => say(format_args!("branch  {}\n", line(branch))),
        (None, Some(head)) => say(format_args!("commit  {} (on no branch)\n", short(head))),
        (None, None) => {}
    }
    if let Some(upstream) = &repository.upstream {
        let name = line(&upstream.name);
        match (upstream.ahead, upstream.behind) {
            (Some(ahead), Some(behind)) => say(format_args!(
                "follows {name}: {ahead} ahead, {behind} behind\n"
            )),
            _ => say(format_args!("follows {name}, which is gone\n")),
        }
    }
    if let Some(remote) = &repository.remote {
        let page = remote.new_request.as_ref().unwrap_or(&remote.web);
        say(format_args!("page    {}\n", line(page)));
    }
    if repository.changes.is_empty() {
        say(format_args!("\nnothing has changed\n"));
    } else {
        say(format_args!("\n"));
    }
    for change in &repository.changes {
        let kind = match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Modified => "modified",
            ChangeKind::Deleted => "deleted",
            ChangeKind::TypeChanged => "other kind",
            ChangeKind::Untracked => "untracked",
            ChangeKind::Conflicted => "in conflict",
        };
        let path = line(&change.path);
        match (change.additions, change.deletions) {
            (Some(added), Some(deleted)) => {
                say(format_args!("{kind:<11} {path}  +{added} -{deleted}\n"))
            }
            _ => say(format_args!("{kind:<11} {path}\n")),
        }
    }
    if repository.truncated {
        let all = repository.counts.all;
        say(format_args!("… of {all} and more\n"));
    }
    if !repository.commits.is_empty() {
        say(format_args!("\n"));
    }
    for commit in repository.commits.iter().take(COMMITS) {
        let (subject, author) = (line(&commit.subject), line(&commit.author));
        say(format_args!(
            "{}  {subject} ({author})\n",
            short(&commit.hash)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told() {
        let found: Found = serde_json::from_value(serde_json::json!({
            "repository": {
                "branch": "fix/one",
                "head": "a".repeat(40),
                "upstream": { "name": "origin/fix/one", "ahead": 2, "behind": 0 },
                "changes": [
                    { "path": "a.txt", "kind": "modified", "staged": false, "unstaged": true, "additions": 2, "deletions": 1 },
                    { "path": "\u{1b}[2Jnew", "kind": "untracked", "staged": false, "unstaged": true },
                ],
                "counts": { "all": 2, "staged": 0, "unstaged": 1, "untracked": 1, "conflicts": 0 },
                "truncated": false,
                "commits": [{ "hash": "a".repeat(40), "subject": "First", "author": "Ann", "time": 1 }],
                "branches": ["fix/one"],
                "remote": { "name": "origin", "host": "github.com", "web": "https://github.com/o/r" },
            },
        }))
        .unwrap();
        let told = told(&found);
        assert!(!told.contains('\u{1b}'), "{told:?}");
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "branch  fix/one",
                "follows origin/fix/one: 2 ahead, 0 behind",
                "page    https://github.com/o/r"
            ]
        );
        assert_eq!(lines[4], "modified    a.txt  +2 -1");
        assert_eq!(lines[lines.len() - 1], "aaaaaaa  First (Ann)");
        assert_eq!(
            super::told(&Found::default()),
            "There is no Git repository in the workspace.\n"
        );
    }
}
