//! What has changed in the workspace, by turns, on the built server with the real Git.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::World;

impl World {
    /// The answer for two points, or why there is none.
    async fn diff(&self, query: &str) -> Result<Value, StatusCode> {
        let answer = self.get(&format!("/diff{query}")).await;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(status);
        }
        Ok(answer.json().await.unwrap())
    }

    /// Its files in a line each.
    async fn changes(&self, query: &str) -> Vec<String> {
        let diff = self.diff(query).await.unwrap();
        let told = |file: &Value| {
            let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
            let from = match text("old_path") {
                old if old.is_empty() => old,
                old => format!("{old} -> "),
            };
            format!(
                "{} {from}{} +{} -{}",
                text("status"),
                text("path"),
                file["additions"],
                file["deletions"]
            )
        };
        let files = diff["files"].as_array().unwrap();
        files.iter().map(told).collect()
    }

    /// Ends a turn with what is in the workspace, and waits until that is kept.
    async fn end_turn(&self, turn: u64) {
        self.turn(turn, "hello").await.completed();
        let to = format!("?to=turn-{turn}");
        self.diff(&to).await.unwrap();
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.workspace().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("home/.agent-server-history")
    }
}

#[tokio::test]
async fn by_turns_and_between_them() {
    let world = World::new().await;
    world.claude_pid().await;
    assert_eq!(world.changes("").await, [""; 0]);
    assert_eq!(
        world.diff("?to=turn-1").await,
        Err(StatusCode::NOT_FOUND),
        "no turn has ended"
    );
    world.write("a.txt", "one\ntwo\nthree\n");
    world.write("folder/long name.txt", "x\n".repeat(50));
    world.write("picture", b"\0\xff\0");
    world.end_turn(1).await;
    world.write("a.txt", "one\n2\nthree\n");
    let from = world.workspace().join("folder/long name.txt");
    std::fs::rename(from, world.workspace().join("other.txt")).unwrap();
    std::fs::remove_file(world.workspace().join("picture")).unwrap();
    world.end_turn(2).await;
    world.end_turn(3).await;
    world.write("new", "new\n");
    assert_eq!(
        world.changes("?to=turn-1").await,
        [
            "added a.txt +3 -0",
            "added folder/long name.txt +50 -0",
            "added picture +0 -0"
        ]
    );
    let second = [
        "modified a.txt +1 -1",
        "renamed folder/long name.txt -> other.txt +0 -0",
        "deleted picture +0 -0",
    ];
    assert_eq!(world.changes("?from=turn-1&to=turn-2").await, second);
    assert_eq!(world.changes("?from=turn-1&to=turn-3").await, second);
    assert_eq!(world.changes("?from=turn-2&to=turn-3").await, [""; 0]);
    assert_eq!(world.changes("?from=turn-3").await, ["added new +1 -0"]);
    assert_eq!(
        world.changes("").await,
        [
            "added a.txt +3 -0",
            "added new +1 -0",
            "added other.txt +50 -0"
        ]
    );
    let diff = world.diff("?from=turn-1&to=turn-2").await.unwrap();
    assert_eq!(
        (
            &diff["from"],
            &diff["to"],
            &diff["truncated"],
            &diff["note"]
        ),
        (
            &json!("turn-1"),
            &json!("turn-2"),
            &json!(false),
            &Value::Null
        )
    );
    let patch = diff["files"][0]["patch"].as_str().unwrap();
    let lines = patch.lines().filter(|line| !line.starts_with("index "));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    diff --git a/a.txt b/a.txt
    --- a/a.txt
    +++ b/a.txt
    @@ -1,3 +1,3 @@
     one
    -two
    +2
     three
    ");
    assert_eq!(diff["files"][2]["binary"], true);
    for (query, status) in [
        ("?to=turn-4", StatusCode::NOT_FOUND),
        ("?from=turn-0", StatusCode::NOT_FOUND),
        ("?from=turn-x", StatusCode::BAD_REQUEST),
        ("?from=HEAD", StatusCode::BAD_REQUEST),
        ("?from=--output=/tmp/x", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(world.diff(query).await, Err(status), "{query}");
    }
    // As text, and it is the same.
    let text = world.http.get(format!("{}/diff?from=turn-2", world.url));
    let text = text.header("accept", "text/x-diff").send().await.unwrap();
    assert_eq!(text.headers()["content-type"], "text/x-diff");
    let text = text.text().await.unwrap();
    assert!(
        text.starts_with("diff --git a/new b/new\nnew file"),
        "{text}"
    );
}

#[tokio::test]
async fn what_a_server_forgets_its_successor_finds_out() {
    let mut world = World::new().await;
    world.claude_pid().await;
    world.write("kept", "kept\n");
    world.write("changed", "before\n");
    world.end_turn(1).await;
    let store = world.store();
    let before = std::fs::read(store.join("points")).unwrap();
    world.restart().await;
    world.write("changed", "after!\n");
    assert_eq!(
        world.changes("?from=turn-1").await,
        ["modified changed +1 -1"]
    );
    world.end_turn(2).await;
    assert_eq!(
        world.changes("?from=turn-1&to=turn-2").await,
        ["modified changed +1 -1"]
    );
    let after = std::fs::read(store.join("points")).unwrap();
    assert!(after.starts_with(&before), "lines are only added");
}

#[tokio::test]
async fn what_is_left_out_and_what_is_odd() {
    let world = World::new().await;
    world.claude_pid().await;
    world.write(".gitignore", "*.log\nbuild/\n");
    world.write("noise.log", "x");
    world.write("build/out", "x");
    world.write(
        "cache/CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55",
    );
    world.write("cache/big", "x");
    world.write("grows", "small\n");
    world.write("nested/.git/config", "x");
    world.write("nested/inside", "x\n");
    world.write("line\nbreak \"quoted\" \\", "x\n");
    world.write("thing", "file\n");
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff");
    std::fs::write(world.workspace().join(odd), "x\n").unwrap();
    symlink("/etc/passwd", world.workspace().join("link")).unwrap();
    world.end_turn(1).await;
    assert_eq!(
        world.changes("?to=turn-1").await,
        [
            "added .gitignore +2 -0",
            "added grows +1 -0",
            "added line\nbreak \"quoted\" \\ +1 -0",
            "added link +1 -0",
            "added nested/inside +1 -0",
            "added odd\u{fffd} +1 -0",
            "added thing +1 -0",
        ]
    );
    world.write("grows", vec![b'x'; 6_000_000]);
    let nested = world.workspace().join("nested/inside");
    std::fs::set_permissions(&nested, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_file(world.workspace().join("thing")).unwrap();
    world.write("thing/in it", "x\n");
    std::fs::remove_file(world.workspace().join("link")).unwrap();
    world.write("link", "no link\n");
    assert_eq!(
        world.changes("?from=turn-1").await,
        [
            "type_changed link +1 -1",
            "modified nested/inside +0 -0",
            "deleted thing +0 -1",
            "added thing/in it +1 -0",
        ]
    );
    let diff = world.diff("?from=turn-1").await.unwrap();
    let patch = diff["files"][0]["patch"].as_str().unwrap();
    assert!(patch.contains("deleted file mode 120000") && patch.contains("+no link"));
    assert!(
        diff["files"][1]["patch"]
            .as_str()
            .unwrap()
            .contains("new mode 100755")
    );
}

#[tokio::test]
async fn nothing_of_the_agents_is_run() {
    let world = World::new().await;
    world.claude_pid().await;
    let ran = world.root.path().join("ran");
    let program = world.root.path().join("program");
    std::fs::write(
        &program,
        format!("#!/bin/sh\ntouch {}\ncat\n", ran.display()),
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    let config = format!(
        "[core]\nfsmonitor = {program}\nsshCommand = {program}\npager = {program}\nhooksPath = /tmp\n\
         [filter \"x\"]\nclean = {program}\nsmudge = {program}\nrequired = true\n\
         [diff \"x\"]\ncommand = {program}\ntextconv = {program}\n[diff]\nexternal = {program}\n"
    );
    world.write(".gitattributes", "* filter=x diff=x -text\n");
    world.write(".git/config", &config);
    world.write(".git/info/attributes", "* filter=x diff=x\n");
    world.write(".git/HEAD", "ref: refs/heads/main\n");
    let home = world.root.path().join("home");
    std::fs::write(home.join(".gitconfig"), &config).unwrap();
    for folder in [world.store(), world.store().join("objects")] {
        std::fs::create_dir_all(folder.join("info")).unwrap();
        std::fs::create_dir_all(folder.join("hooks")).unwrap();
        std::fs::write(folder.join("config"), &config).unwrap();
        std::fs::write(folder.join("info/attributes"), "* filter=x diff=x\n").unwrap();
        std::fs::copy(program, folder.join("hooks/reference-transaction")).unwrap();
    }
    world.write("a", "one\n");
    world.end_turn(1).await;
    world.write("a", "two\n");
    world.end_turn(2).await;
    assert_eq!(
        world.changes("?from=turn-1&to=turn-2").await,
        ["modified a +1 -1"]
    );
    assert_eq!(world.changes("?from=turn-2").await, [""; 0]);
    assert!(!ran.exists(), "something was run");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let below = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path)
        } else {
            vec![path]
        }
    });
    below.collect()
}

#[tokio::test]
async fn a_broken_history_begins_anew_and_says_so() {
    let mut world = World::new().await;
    world.claude_pid().await;
    world.write("a", "one\n");
    world.end_turn(1).await;
    world.write("a", "two\n");
    world.end_turn(2).await;
    for object in files_below(&world.store().join("objects")) {
        std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(object, "what is this").unwrap();
    }
    assert_eq!(
        world.diff("?from=turn-1&to=turn-2").await,
        Err(StatusCode::CONFLICT)
    );
    assert_eq!(
        world.diff("?from=turn-1").await,
        Err(StatusCode::NOT_FOUND),
        "it has begun anew"
    );
    world.write("a", "three\n");
    let diff = world.diff("").await.unwrap();
    assert_eq!(diff["files"][0]["additions"], 1);
    assert_eq!(diff["files"][0]["status"], "modified");
    assert!(diff["note"].as_str().unwrap().contains("turn-2"), "{diff}");
    // The end of a turn finds it out as well, and a list that is none.
    std::fs::remove_dir_all(world.store().join("objects")).unwrap();
    world.restart().await;
    world.end_turn(3).await;
    world.write("a", "four\n");
    assert_eq!(world.changes("?from=turn-3").await, ["modified a +1 -1"]);
    std::fs::write(world.store().join("points"), b"begin \xff\0\nturn-9 x\n").unwrap();
    world.end_turn(4).await;
    assert_eq!(world.changes("?from=turn-4").await, [""; 0]);
    // Something else is where it was.
    std::fs::remove_dir_all(world.store()).unwrap();
    std::fs::write(world.store(), "a file").unwrap();
    assert_eq!(world.diff("").await, Err(StatusCode::CONFLICT));
    world.write("a", "five\n");
    assert_eq!(world.changes("").await, ["modified a +1 -1"]);
    std::fs::remove_dir_all(world.store()).unwrap();
    std::fs::write(world.store(), "a file").unwrap();
    world.end_turn(5).await;
    assert_eq!(world.changes("?from=turn-5").await, [""; 0]);
}

#[tokio::test]
async fn it_is_saved_and_restored_with_its_session() {
    let world = World::new().await;
    world.claude_pid().await;
    world.write("a", "one\n");
    world.turn(1, "hello").await.completed();
    let request = json!({ "save": 1, "max_bytes": 100_000_000, "turn": "turn-1" });
    let archive = world.post("/save", &request).await.bytes().await.unwrap();
    drop(world);
    let world = World::with(&[("AGENT_AWAIT_RESTORE", "true")]).await;
    assert_eq!(world.diff("").await, Err(StatusCode::CONFLICT));
    let url = format!("{}/restore?last=true", world.url);
    let restored = world.http.post(url).body(archive).send().await.unwrap();
    assert_eq!(restored.status(), StatusCode::NO_CONTENT);
    world.write("a", "two\n");
    assert_eq!(world.changes("?from=turn-1").await, ["modified a +1 -1"]);
    assert_eq!(world.changes("?to=turn-1").await, ["added a +1 -0"]);
}

#[tokio::test]
async fn a_session_that_begins_with_anothers_workspace_has_a_begin_of_its_own() {
    let mut world = World::new().await;
    world.claude_pid().await;
    world.write("theirs", "x\n");
    world.end_turn(1).await;
    world.write("theirs", "y\n");
    world.end_turn(2).await;
    world.restart().await;
    world.write("before", "x\n");
    world.end_turn(1).await;
    world.write("mine", "x\n");
    world.end_turn(2).await;
    assert_eq!(world.changes("").await, ["added mine +1 -0"]);
    assert_eq!(world.changes("?to=turn-1").await, [""; 0]);
    assert_eq!(world.changes("?from=turn-1").await, ["added mine +1 -0"]);
}

#[tokio::test]
async fn many_files() {
    let world = World::new().await;
    world.claude_pid().await;
    for number in 0..10_000 {
        world.write(
            &format!("{}/{number}", number % 100),
            format!("{number}\n").repeat(200),
        );
    }
    let mut times = Vec::new();
    for turn in 1..=3 {
        world.write("0/0", format!("{turn}\n"));
        world.turn(turn, "hello").await.completed();
        let begin = std::time::Instant::now();
        world
            .diff(&format!("?from=turn-{turn}&to=turn-{turn}"))
            .await
            .unwrap();
        times.push(begin.elapsed());
    }
    let begin = std::time::Instant::now();
    let diff = world.diff("").await.unwrap();
    println!(
        "a turn's end with 10,000 files: {times:?}; all of them: {:?}",
        begin.elapsed()
    );
    assert_eq!(diff["truncated"], true);
    assert_eq!(diff["files"].as_array().unwrap().len(), 2000);
    assert_eq!(
        world.changes("?from=turn-2&to=turn-3").await,
        ["modified 0/0 +1 -1"]
    );
}

#[tokio::test]
async fn a_git_that_is_killed_costs_no_history() {
    let world = World::new().await;
    world.claude_pid().await;
    for number in 0..3000 {
        world.write(&format!("a/{number}"), format!("{number}\n").repeat(50));
    }
    world.end_turn(1).await;
    world.write("a/0", "other\n");
    let server = world.server.id().unwrap();
    let killing = async {
        let mut killed = 0;
        while killed < 3 {
            for child in agent_server::processes::descendants(server) {
                let name = std::fs::read_to_string(format!("/proc/{}/comm", child.pid));
                if name.is_ok_and(|name| name.trim() == "git") {
                    agent_server::processes::signal(child.pid, rustix::process::Signal::KILL);
                    killed += 1;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let asking = async {
        loop {
            let _killed = world.diff("?from=turn-1").await;
        }
    };
    tokio::select! {
        () = killing => {}
        () = asking => {}
    }
    assert_eq!(world.changes("?from=turn-1").await, ["modified a/0 +1 -50"]);
}
