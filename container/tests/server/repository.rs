//! The person's own Git repository, on the built server with the real Git, and with whatever somebody hostile has
//! put into it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::World;

impl World {
    /// Git as somebody in the sandbox runs it.
    fn git(&self, arguments: &[&str]) -> Output {
        self.git_with(&[], arguments)
    }

    fn git_with(&self, settings: &[&str], arguments: &[&str]) -> Output {
        let own = ["user.name=Ann", "user.email=ann@example.org"];
        let more = ["init.defaultBranch=main", "advice.detachedHead=false"];
        let settings = own.iter().chain(&more).chain(settings);
        let output = Command::new("git")
            .args(settings.flat_map(|setting| ["-c", *setting]))
            .args(arguments)
            .current_dir(self.workspace())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output();
        output.unwrap()
    }

    /// What Git prints, where it does what it is told.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.git(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A repository with one commit, of `a.txt` and `b.txt`.
    fn repository(&self) {
        self.told(&["init", "--quiet"]);
        self.lay("a.txt", "one\ntwo\n");
        self.lay("b.txt", "b\n");
        self.told(&["add", "."]);
        self.told(&["commit", "--quiet", "--message=First"]);
    }

    fn lay(&self, path: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
        let path = self.workspace().join(PathBuf::from(path.as_ref()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// An object is missing from then on.
    fn lose(&self, object: &str) {
        let (folder, name) = object.split_at(2);
        let object = PathBuf::from(".git/objects").join(folder).join(name);
        std::fs::remove_file(self.workspace().join(object)).unwrap();
    }

    async fn found(&self) -> Value {
        let answer = self.get("/repository").await;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// The repository, with its changes in a line each.
    async fn changed(&self) -> (Value, Vec<String>) {
        let found = self.found().await["repository"].take();
        let line = |change: &Value| {
            let is = |name: &str| change[name] == true;
            let text = |name: &str| change[name].as_str().unwrap().to_owned();
            let staged = match (is("staged"), is("unstaged")) {
                (true, true) => " both",
                (true, false) => " staged",
                _ => "",
            };
            format!("{} {}{staged}", text("kind"), text("path"))
        };
        let lines = found["changes"].as_array().unwrap().iter().map(line);
        let lines = lines.collect();
        (found, lines)
    }

    /// Asks for something to be done; the status, and what is said.
    async fn act(&self, what: &str, wish: Value) -> (u16, Value) {
        let answer = self.post(&format!("/repository/{what}"), &wish).await;
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }

    async fn refused(&self, what: &str, wish: Value, wanted: u16) -> String {
        let (status, body) = self.act(what, wish.clone()).await;
        assert_eq!(status, wanted, "{what} {wish}: {body}");
        body["detail"].as_str().unwrap().to_owned()
    }

    async fn done(&self, what: &str, wish: Value, wanted: u16) -> Value {
        let (status, body) = self.act(what, wish.clone()).await;
        assert_eq!(status, wanted, "{what} {wish}: {body}");
        body
    }

    async fn patch(&self, path: &str) -> Value {
        let url = reqwest::Url::parse_with_params(
            &format!("{}/repository/diff", self.url),
            [("path", path)],
        );
        let answer = self.http.get(url.unwrap()).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }
}

#[tokio::test]
async fn from_nothing_to_a_first_commit() {
    let world = World::new().await;
    world.claude_pid().await;
    assert_eq!(world.found().await, json!({ "repository": null }));
    for (what, wish) in [
        ("commit", json!({ "message": "x" })),
        ("branch", json!({ "name": "x" })),
        ("discard", json!({ "paths": ["x"] })),
    ] {
        let words = world.refused(what, wish, 404).await;
        assert!(words.contains("git init"), "{words}");
    }
    world.lay(".git", "gitdir: /somewhere\n");
    let found = world.found().await;
    assert!(
        found["repository"].is_null() && found["note"].is_string(),
        "{found}"
    );
    std::fs::remove_file(world.workspace().join(".git")).unwrap();
    std::fs::create_dir(world.workspace().join(".git")).unwrap();
    let found = world.found().await;
    assert!(
        found["repository"].is_null() && found["note"].is_string(),
        "{found}"
    );

    world.told(&["init", "--quiet"]);
    world.lay("new.txt", "new\n");
    world.lay("staged.txt", "staged\n");
    world.lay("gone.txt", "gone\n");
    world.told(&["add", "staged.txt", "gone.txt"]);
    let (found, lines) = world.changed().await;
    assert_eq!(
        (&found["branch"], &found["head"]),
        (&json!("main"), &Value::Null)
    );
    assert_eq!(
        lines,
        [
            "added gone.txt staged",
            "untracked new.txt",
            "added staged.txt staged"
        ]
    );
    assert_eq!(world.patch("new.txt").await["additions"], 1);
    assert_eq!(world.patch("staged.txt").await["additions"], 1);
    world
        .done("discard", json!({ "paths": ["gone.txt"] }), 200)
        .await;
    assert!(!world.workspace().join("gone.txt").exists());
    // Nobody has said who.
    let made = world
        .done(
            "commit",
            json!({ "message": "First\n\n# not a comment", "head": "" }),
            201,
        )
        .await;
    assert_eq!(made["commit"]["subject"], "First");
    assert_eq!(made["commit"]["author"], "Agent Router user");
    assert_eq!(
        world.told(&["log", "--format=%B%an <%ae>"]),
        "First\n\n# not a comment\nAgent Router user <user@agent-router.invalid>"
    );
    let (found, lines) = world.changed().await;
    assert_eq!(lines, [""; 0]);
    assert_eq!(found["head"], made["commit"]["hash"]);
    assert_eq!(found["commits"][0], made["commit"]);
    let words = world
        .refused("commit", json!({ "message": "x" }), 409)
        .await;
    assert!(words.contains("nothing to commit"), "{words}");
}

#[tokio::test]
async fn commits_of_some_and_of_all() {
    let world = World::new().await;
    world.claude_pid().await;
    world.repository();
    world.told(&["config", "user.name", "Their Own"]);
    world.told(&["config", "user.email", "own@example.org"]);
    let first = world.told(&["rev-parse", "HEAD"]);
    let odd = OsStr::from_bytes(b"odd\xff");
    for name in [
        "-n",
        "-",
        "--all",
        "line\nbreak",
        "*",
        ":(top)x",
        "dir/in \"quotes\"",
    ] {
        world.lay(name, "x\n");
    }
    world.lay(odd, "x\n");
    world.lay("a.txt", "one\n2\n");
    std::fs::remove_file(world.workspace().join("b.txt")).unwrap();
    world.lay("other.txt", "x\n");
    world.told(&["add", "other.txt"]);
    let chosen = ["-n", "-", "--all", "line\nbreak", "b.txt", "odd\u{fffd}"];
    let wish = json!({ "message": "Some", "paths": chosen, "head": first });
    let made = world.done("commit", wish.clone(), 201).await;
    assert_eq!(made["commit"]["author"], "Their Own");
    let names = world
        .git(&[
            "-c",
            "core.quotePath=false",
            "show",
            "--format=",
            "--name-only",
            "-z",
            "HEAD",
        ])
        .stdout;
    let mut names: Vec<&[u8]> = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    let mut wanted: Vec<&[u8]> = vec![b"-n", b"-", b"--all", b"line\nbreak", b"b.txt", b"odd\xff"];
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    // Sent again it is the same; by somebody else it is late.
    let again = world.done("commit", wish, 200).await;
    assert_eq!(again, made);
    world
        .refused("commit", json!({ "message": "Else", "head": first }), 409)
        .await;
    let (_, lines) = world.changed().await;
    assert_eq!(
        lines,
        [
            "untracked *",
            "untracked :(top)x",
            "modified a.txt",
            "untracked dir/in \"quotes\"",
            "added other.txt staged"
        ]
    );
    for paths in [
        json!(["nothing"]),
        json!(["../a"]),
        json!(["b.txt"]),
        json!(["--force"]),
    ] {
        world
            .refused("commit", json!({ "message": "x", "paths": paths }), 404)
            .await;
    }
    for wish in [
        json!({ "message": " \n" }),
        json!({ "message": "a\u{0}b" }),
        json!({}),
        json!({ "message": "x", "paths": [] }),
        json!({ "message": "x", "amend": true }),
        json!([]),
    ] {
        world.refused("commit", wish, 400).await;
    }
    world
        .done("commit", json!({ "message": "-m All" }), 201)
        .await;
    assert_eq!(world.changed().await.1, [""; 0]);
    assert_eq!(world.told(&["log", "-1", "--format=%s"]), "-m All");
    // Somebody is at work.
    world.lay("a.txt", "3\n");
    world.lay(".git/index.lock", "");
    let words = world
        .refused("commit", json!({ "message": "x" }), 409)
        .await;
    assert!(words.contains("another Git command is at work"), "{words}");
    assert_eq!(
        world.changed().await.1,
        ["modified a.txt"],
        "reading goes on"
    );
}

#[tokio::test]
async fn what_has_changed_in_one_file() {
    let world = World::new().await;
    world.claude_pid().await;
    world.repository();
    world.lay("a.txt", "one\n2\n");
    world.told(&["add", "a.txt"]);
    world.lay("a.txt", "one\n2\nthree\n");
    std::fs::remove_file(world.workspace().join("b.txt")).unwrap();
    world.lay("-", "x\n");
    world.lay("line\nbreak", "x\ny\n");
    world.lay("picture", b"\0\xff\0");
    world.lay("long", "x\n".repeat(300_000));
    symlink("/etc/passwd", world.workspace().join("link")).unwrap();
    let patch = world.patch("a.txt").await;
    let lines = patch["patch"].as_str().unwrap().lines();
    let lines = lines.filter(|line| !line.starts_with("index "));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    diff --git a/a.txt b/a.txt
    --- a/a.txt
    +++ b/a.txt
    @@ -1,2 +1,3 @@
     one
    -two
    +2
    +three
    ");
    let numbers = |patch: &Value| {
        (
            patch["status"].clone(),
            patch["additions"].clone(),
            patch["deletions"].clone(),
        )
    };
    assert_eq!(numbers(&patch), (json!("modified"), json!(2), json!(1)));
    assert_eq!(
        numbers(&world.patch("b.txt").await),
        (json!("deleted"), json!(0), json!(1))
    );
    assert_eq!(
        numbers(&world.patch("-").await),
        (json!("added"), json!(1), json!(0))
    );
    assert_eq!(
        numbers(&world.patch("line\nbreak").await),
        (json!("added"), json!(2), json!(0))
    );
    assert_eq!(world.patch("picture").await["binary"], true);
    assert!(world.patch("long").await["patch"].is_null());
    // It is the link that is new, and not what it leads to.
    let link = world.patch("link").await;
    assert!(
        link["patch"].as_str().unwrap().contains("+/etc/passwd"),
        "{link}"
    );
    let (found, _) = world.changed().await;
    assert_eq!(
        (
            &found["changes"][1]["path"],
            &found["changes"][1]["additions"]
        ),
        (&json!("a.txt"), &json!(2))
    );
    for (query, status) in [
        ("", 400),
        ("?path=b", 404),
        ("?path=/etc/passwd", 404),
        ("?path=--output=/tmp/x", 404),
        ("?path=%ff", 404),
    ] {
        let answer = world.get(&format!("/repository/diff{query}")).await;
        assert_eq!(answer.status(), status, "{query}");
    }
}

#[tokio::test]
async fn branches_come_and_go() {
    let world = World::new().await;
    world.claude_pid().await;
    world.repository();
    for name in [
        "", "-x", "--orphan", "@{-1}", "a..b", "a b", "a\nb", "HEAD", "x.lock", "/x", "@",
    ] {
        world
            .refused("branch", json!({ "name": name, "create": true }), 400)
            .await;
    }
    world.lay("a.txt", "kept\n");
    let made = world
        .done("branch", json!({ "name": "fix/one", "create": true }), 201)
        .await;
    assert_eq!(made, json!({ "branch": "fix/one" }));
    world
        .refused("branch", json!({ "name": "fix/one", "create": true }), 409)
        .await;
    world
        .refused("branch", json!({ "name": "nothing" }), 409)
        .await;
    world
        .done("commit", json!({ "message": "Kept" }), 201)
        .await;
    world.lay("a.txt", "would be lost\n");
    let words = world
        .refused("branch", json!({ "name": "main" }), 409)
        .await;
    assert!(
        words.contains("\"a.txt\"") && words.contains("commit or discard"),
        "{words}"
    );
    world
        .done("discard", json!({ "paths": ["a.txt"] }), 200)
        .await;
    world.done("branch", json!({ "name": "main" }), 200).await;
    world.done("branch", json!({ "name": "main" }), 200).await;
    let (found, _) = world.changed().await;
    assert_eq!(found["branch"], "main");
    assert_eq!(found["branches"], json!(["fix/one", "main"]));
    // A commit that is on no branch.
    world.told(&["checkout", "--quiet", "--detach"]);
    world.lay("a.txt", "on no branch\n");
    world
        .done("commit", json!({ "message": "Alone" }), 201)
        .await;
    let (found, _) = world.changed().await;
    assert!(
        found["branch"].is_null() && found["head"].is_string(),
        "{found}"
    );
    let words = world
        .refused("branch", json!({ "name": "main" }), 409)
        .await;
    assert!(words.contains("make a branch of it"), "{words}");
    world
        .done("branch", json!({ "name": "kept", "create": true }), 201)
        .await;
    world.done("branch", json!({ "name": "main" }), 200).await;
}

#[tokio::test]
async fn what_is_given_up() {
    let world = World::new().await;
    world.claude_pid().await;
    world.repository();
    let outside = world.root.path().join("outside");
    std::fs::write(&outside, "stays").unwrap();
    world.lay("a.txt", "changed\n");
    std::fs::remove_file(world.workspace().join("b.txt")).unwrap();
    world.lay("staged.txt", "x\n");
    world.lay("folder/-untracked", "x\n");
    world.lay("stays.txt", "x\n");
    symlink(&outside, world.workspace().join("link")).unwrap();
    world.lay("inner/x", "x\n");
    world.told(&["init", "--quiet", "inner"]);
    world.told(&["add", "staged.txt"]);
    for paths in [
        json!(["a.txt", "nothing"]),
        json!(["../outside"]),
        json!(["a.txt", "/etc"]),
    ] {
        world
            .refused("discard", json!({ "paths": paths }), 404)
            .await;
    }
    world.refused("discard", json!({ "paths": [] }), 400).await;
    world
        .refused("discard", json!({ "paths": ["a.txt", "inner/"] }), 409)
        .await;
    assert_eq!(
        std::fs::read_to_string(world.workspace().join("a.txt")).unwrap(),
        "changed\n",
        "nothing is given up"
    );
    let paths = ["a.txt", "b.txt", "staged.txt", "folder/-untracked", "link"];
    let told = world.done("discard", json!({ "paths": paths }), 200).await;
    assert_eq!(told, json!({ "files": 5 }));
    let (_, lines) = world.changed().await;
    assert_eq!(lines, ["untracked inner/", "untracked stays.txt"]);
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "stays");
    assert_eq!(
        std::fs::read_to_string(world.workspace().join("a.txt")).unwrap(),
        "one\ntwo\n"
    );
}

#[tokio::test]
async fn what_was_not_named_is_left_alone() {
    let world = World::new().await;
    world.repository();
    world.lay("folder/inside.txt", "kept\n");
    world.told(&["add", "."]);
    world.told(&["commit", "--quiet", "--message=Second"]);
    // A folder where a file was, and a file where a folder was.
    std::fs::remove_file(world.workspace().join("a.txt")).unwrap();
    world.lay("a.txt/new.txt", "in no commit\n");
    std::fs::remove_dir_all(world.workspace().join("folder")).unwrap();
    world.lay("folder", "in no commit\n");
    for path in ["a.txt", "folder/inside.txt"] {
        let words = world
            .refused("discard", json!({"paths": [path]}), 409)
            .await;
        assert!(words.contains("in the other's place"), "{words}");
        let alone = json!({"message": "One", "paths": [path]});
        world.refused("commit", alone, 409).await;
    }
    let read = |path: &str| std::fs::read_to_string(world.workspace().join(path)).unwrap();
    assert_eq!(read("a.txt/new.txt"), "in no commit\n");
    assert_eq!(read("folder"), "in no commit\n");
    let both = json!({"message": "Both", "paths": ["a.txt", "a.txt/new.txt"]});
    world.refused("commit", both, 409).await;
    world.done("commit", json!({"message": "All"}), 201).await;
    assert_eq!(world.told(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn looking_takes_no_lock() {
    let world = World::new().await;
    world.repository();
    let index = || std::fs::read(world.workspace().join(".git/index")).unwrap();
    // As after a restored disk: the same contents, other times.
    for name in ["a.txt", "b.txt"] {
        let file = std::fs::File::open(world.workspace().join(name)).unwrap();
        let long_ago =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        file.set_modified(long_ago).unwrap();
    }
    world.lay("c.txt", "new\n");
    world.told(&["add", "c.txt"]);
    let before = index();
    world.found().await;
    world.patch("c.txt").await;
    assert!(index() == before, "the index was written");
}

#[tokio::test]
async fn conflicts_are_solved_before_they_are_committed() {
    let world = World::new().await;
    world.claude_pid().await;
    world.repository();
    world.told(&["switch", "--quiet", "--create", "theirs"]);
    world.lay("a.txt", "theirs\n");
    world.told(&["commit", "--quiet", "--all", "--message=Theirs"]);
    world.told(&["switch", "--quiet", "main"]);
    world.lay("a.txt", "ours\n");
    world.told(&["commit", "--quiet", "--all", "--message=Ours"]);
    assert!(!world.git(&["merge", "--quiet", "theirs"]).status.success());
    let (found, lines) = world.changed().await;
    assert_eq!(lines, ["conflicted a.txt"]);
    assert_eq!(
        (&found["operation"], &found["counts"]["conflicts"]),
        (&json!("merge"), &json!(1))
    );
    assert!(
        world.patch("a.txt").await["patch"]
            .as_str()
            .unwrap()
            .contains("+<<<<<<<")
    );
    let words = world
        .refused("commit", json!({ "message": "x" }), 409)
        .await;
    assert!(
        words.contains("in conflict") && words.contains("\"a.txt\""),
        "{words}"
    );
    world
        .refused("commit", json!({ "message": "x", "paths": ["a.txt"] }), 409)
        .await;
    world
        .refused("branch", json!({ "name": "theirs" }), 409)
        .await;
    world.lay("a.txt", "both\n");
    world.told(&["add", "a.txt"]);
    world
        .done("commit", json!({ "message": "Merged" }), 201)
        .await;
    assert_eq!(
        world
            .told(&["rev-list", "--parents", "-1", "HEAD"])
            .split(' ')
            .count(),
        3
    );
    let (found, _) = world.changed().await;
    assert!(found["operation"].is_null(), "{found}");
    // A rebase is the agent's.
    world.told(&["switch", "--quiet", "theirs"]);
    world.lay("a.txt", "again\n");
    world.told(&["commit", "--quiet", "--all", "--message=Again"]);
    assert!(!world.git(&["rebase", "--quiet", "main"]).status.success());
    assert_eq!(world.changed().await.0["operation"], "rebase");
    let words = world
        .refused("commit", json!({ "message": "x" }), 409)
        .await;
    assert!(words.contains("rebase"), "{words}");
}

#[tokio::test]
async fn many_changes_are_cut() {
    let world = World::new().await;
    world.claude_pid().await;
    world.repository();
    for number in 0..10_000 {
        let path = world.workspace().join(format!("file-{number:05}"));
        std::fs::write(path, "x").unwrap();
    }
    let (found, lines) = world.changed().await;
    assert_eq!(lines.len(), 2000);
    assert_eq!(
        (&found["truncated"], &found["counts"]["all"]),
        (&json!(true), &json!(10_000))
    );
    // One that is not named is there all the same.
    assert_eq!(world.patch("file-09999").await["additions"], 1);
    world.done("commit", json!({ "message": "All" }), 201).await;
    assert_eq!(
        world
            .told(&["show", "--format=", "--name-only", "HEAD"])
            .lines()
            .count(),
        10_000
    );
}

#[tokio::test]
async fn no_secret_of_a_remote_is_told() {
    let world = World::new().await;
    world.claude_pid().await;
    world.repository();
    let secret = "ghp_SECRET0123456789";
    let address = format!("https://ann:{secret}@github.com/o/r.git");
    world.told(&["remote", "add", "origin", &address]);
    world.told(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    world.told(&["branch", "--quiet", "--set-upstream-to=origin/main"]);
    world.lay("a.txt", "x\n");
    world.told(&["commit", "--quiet", "--all", "--message=Second"]);
    let (found, _) = world.changed().await;
    assert_eq!(
        found["remote"],
        json!({ "name": "origin", "host": "github.com", "web": "https://github.com/o/r" })
    );
    assert_eq!(
        found["upstream"],
        json!({ "name": "origin/main", "ahead": 1, "behind": 0 })
    );
    world.told(&["switch", "--quiet", "--create", "fix/a&b"]);
    world.told(&["config", "branch.fix/a&b.remote", &address]);
    world.told(&["config", "branch.fix/a&b.merge", "refs/heads/x"]);
    let (found, _) = world.changed().await;
    assert_eq!(
        found["remote"]["new_request"],
        "https://github.com/o/r/compare/fix/a%26b?expand=1"
    );
    assert!(!found.to_string().contains("SECRET"), "{found}");
    // Nor where it is what Git complains of.
    world.told(&["config", "remote.origin.promisor", "true"]);
    world.told(&["config", "remote.origin.partialclonefilter", "blob:none"]);
    let blob = world.told(&["rev-parse", "HEAD~1:a.txt"]);
    world.lose(&blob);
    for (what, wish) in [
        ("branch", json!({ "name": "main~1" })),
        ("branch", json!({ "name": "main", "create": true })),
    ] {
        let (_, body) = world.act(what, wish).await;
        assert!(!body.to_string().contains("SECRET"), "{body}");
    }
    world.told(&["config", "core.repositoryformatversion", "1"]);
    world.told(&["config", "extensions.unknown", "true"]);
    let answer = world.get("/repository").await;
    assert!(
        answer.status() == 409,
        "Git does not know this form: {}",
        answer.status()
    );
}

/// Whatever could run in a repository would leave its mark.
fn trap(world: &World) -> (PathBuf, String) {
    let mark = world.root.path().join("mark");
    let script = world.root.path().join("trap");
    std::fs::write(
        &script,
        format!("#!/bin/sh\necho \"$0 $*\" >> {}\ncat\n", mark.display()),
    )
    .unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    (mark, script.display().to_string())
}

#[tokio::test]
async fn nothing_of_a_hostile_repository_runs() {
    let world = World::new().await;
    world.claude_pid().await;
    world.repository();
    let (mark, script) = trap(&world);
    world.told(&["branch", "--quiet", "other"]);
    world.told(&["switch", "--quiet", "--create", "filtered"]);
    world.lay("b.txt", "filtered\n");
    world.told(&["commit", "--quiet", "--all", "--message=Filtered"]);
    world.told(&["switch", "--quiet", "main"]);
    for hook in [
        "pre-commit",
        "prepare-commit-msg",
        "commit-msg",
        "post-commit",
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "pre-auto-gc",
        "post-rewrite",
        "fsmonitor-watchman",
    ] {
        std::fs::copy(&script, world.workspace().join(".git/hooks").join(hook)).unwrap();
    }
    for (name, value) in [
        ("core.fsmonitor", script.as_str()),
        ("core.pager", &script),
        ("core.editor", &script),
        ("core.sshCommand", &script),
        ("core.askPass", &script),
        ("core.gitProxy", &script),
        ("core.alternateRefsCommand", &script),
        (
            "core.hooksPath",
            &world.workspace().join(".git/hooks").display().to_string(),
        ),
        ("pager.log", &script),
        ("pager.status", &script),
        ("commit.gpgSign", "true"),
        ("gpg.program", &script),
        ("gpg.ssh.program", &script),
        ("log.showSignature", "true"),
        ("diff.external", &script),
        ("diff.evil.textconv", &script),
        ("diff.evil.command", &script),
        ("filter.evil.clean", &script),
        ("filter.evil.smudge", &script),
        ("filter.evil=odd.process", &script),
        ("filter.evil=odd.required", "true"),
        ("interactive.diffFilter", &script),
        ("credential.helper", &script),
        ("alias.status", &format!("!{script}")),
        ("alias.log", &format!("!{script}")),
        ("trailer.x.command", &script),
        ("submodule.recurse", "true"),
        ("status.submoduleSummary", "true"),
        ("gc.auto", "1"),
        ("protocol.ext.allow", "always"),
        ("remote.origin.url", &format!("ext::{script} %S")),
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialclonefilter", "blob:none"),
        ("core.worktree", "/"),
        ("hook.evil.command", &script),
        ("hook.evil.event", "pre-commit"),
    ] {
        world.told(&["config", name, value]);
    }
    world.lay(
        ".git/info/attributes",
        "*.txt filter=evil diff=evil\n*.odd filter=evil=odd diff=evil\n",
    );
    world.lay(".gitattributes", "*.txt filter=evil diff=evil\n");
    world.lay("a.txt", "changed\n");
    world.lay("new.txt", "new\n");
    world.lay("new.odd", "new\n");
    world.lay("plain", "plain\n");

    // It would: this is what Git does of itself.
    let blob = world.told(&["rev-parse", "HEAD:b.txt"]);
    assert!(!mark.exists());
    world.git(&["--work-tree=.", "diff"]);
    assert!(mark.exists(), "the trap does not work");
    std::fs::remove_file(&mark).unwrap();

    let found = world.found().await;
    assert!(found["note"].as_str().unwrap().contains("evil"), "{found}");
    let (_, lines) = world.changed().await;
    assert_eq!(
        lines,
        [
            "untracked .gitattributes",
            "modified a.txt",
            "untracked new.odd",
            "untracked new.txt",
            "untracked plain"
        ]
    );
    for path in ["a.txt", "new.txt", "new.odd", "plain"] {
        assert_eq!(world.patch(path).await["additions"], 1, "{path}");
    }
    for paths in [json!(["a.txt"]), json!(["new.odd"]), Value::Null] {
        let words = world
            .refused("commit", json!({ "message": "x", "paths": paths }), 409)
            .await;
        assert!(words.contains("filter"), "{words}");
    }
    world
        .refused("discard", json!({ "paths": ["a.txt"] }), 409)
        .await;
    world
        .done(
            "commit",
            json!({ "message": "Plain", "paths": ["plain"] }),
            201,
        )
        .await;
    world
        .done("branch", json!({ "name": "third", "create": true }), 201)
        .await;
    world
        .refused("branch", json!({ "name": "filtered" }), 409)
        .await;
    world
        .done(
            "discard",
            json!({ "paths": ["new.txt", ".gitattributes"] }),
            200,
        )
        .await;
    world.done("branch", json!({ "name": "other" }), 200).await;
    // What is missing is not fetched.
    world.lose(&blob);
    world.lay("b.txt", "other\n");
    let _whatever = world.get("/repository/diff?path=b.txt").await;
    let _whatever = world.get("/repository").await;
    assert!(
        !mark.exists(),
        "{}",
        std::fs::read_to_string(&mark).unwrap()
    );
    let config = std::fs::read_to_string(world.workspace().join(".git/config")).unwrap();
    assert!(config.contains("worktree = /"));
}

#[test]
fn a_program_that_is_alone_starts_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let run = |program: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_agent-server"))
            .arg("alone")
            .args(program)
            .env("MARK", &mark)
            .current_dir(folder.path())
            .output();
        output.unwrap()
    };
    let echo = run(&["echo", "-n", "--", "-x"]);
    assert_eq!(String::from_utf8_lossy(&echo.stdout), "-- -x");
    // A program of its own, and another in the background.
    for script in [
        "/bin/echo x > \"$MARK\"; true",
        "(echo x > \"$MARK\") & wait",
        "cat < /dev/null | tee \"$MARK\"; true",
    ] {
        let output = run(&["sh", "-c", script]);
        assert!(
            std::fs::read(&mark).unwrap_or_default().is_empty(),
            "{script}: {output:?}"
        );
    }
    let alias = run(&["git", "-c", "alias.x=!echo x > \"$MARK\"", "x"]);
    assert!(
        !alias.status.success() && std::fs::read(&mark).unwrap_or_default().is_empty(),
        "{alias:?}"
    );
    // Threads it may have: Git reads an index with some of them.
    std::fs::create_dir(folder.path().join("many")).unwrap();
    for number in 0..2000 {
        std::fs::write(folder.path().join(format!("many/{number}")), "x").unwrap();
    }
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "."],
        &["-c", "core.preloadIndex=true", "status", "--short"],
    ] {
        let output = run(&[&["git"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
