//! What is there, and what it is called.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use protocol::files::Kind;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{all, find, git, names};
use crate::world::World;

#[tokio::test]
async fn a_tree_of_everything() {
    let world = World::new().await;
    world.file("Makefile", "all:\n");
    world.file("a..b/c.txt", "hello");
    world.file("ignored/x", "");
    world.file(".gitignore", "ignored/\n*.log\n!kept.log\n");
    world.file("deep/.gitignore", "/here\n");
    world.file("deep/here", "");
    world.file("deep/er/here", "");
    world.file("a.log", "");
    world.file("kept.log", "");
    symlink("/etc/passwd", world.workspace().join("outside")).unwrap();
    symlink("..", world.workspace().join("deep/up")).unwrap();
    let fifo = world.workspace().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );

    let listing = world.listing("/files").await;
    assert_eq!(listing.root, "/workspace");
    assert_eq!(listing.tree.name, "workspace");
    assert_eq!(
        all(&listing.tree),
        [
            ".gitignore",
            "Makefile",
            "a..b",
            "a..b/c.txt",
            "deep",
            "deep/.gitignore",
            "deep/er",
            "deep/er/here",
            "deep/up",
            "kept.log",
            "outside",
            "pipe"
        ]
    );
    assert_eq!((listing.total_files, listing.total_items), (6, 12));
    let text = find(&listing.tree, "a..b/c.txt");
    assert_eq!((text.kind, text.size), (Kind::File, Some(5)));
    assert!(
        text.modified
            .as_deref()
            .is_some_and(|time| time.starts_with("20") && time.ends_with('Z'))
    );
    assert_eq!(find(&listing.tree, "Makefile").kind, Kind::File);
    assert_eq!(find(&listing.tree, "pipe").kind, Kind::Other);
    let link = find(&listing.tree, "outside");
    assert_eq!(
        (link.kind, link.target.as_deref()),
        (Kind::Symlink, Some("/etc/passwd"))
    );
    assert!(link.children.is_none());

    let listing = world.listing("/files?ignored=true").await;
    let paths = all(&listing.tree);
    for path in ["ignored/x", "a.log", "deep/here"] {
        assert!(paths.iter().any(|found| found == path), "{path}");
    }
    let listing = world.listing("/files?depth=1").await;
    assert_eq!(names(&listing.tree).len(), 7);
    let deep = find(&listing.tree, "deep");
    assert!(deep.more && deep.children.as_ref().is_some_and(Vec::is_empty));

    // A folder below: what the folders above leave out stays out.
    for path in ["/files/deep", "/files/deep/", "/files/Makefile/../deep"] {
        let listing = world.listing(path).await;
        assert_eq!(
            (listing.root.as_str(), listing.tree.path.as_str()),
            ("/workspace/deep", "deep")
        );
        assert_eq!(
            all(&listing.tree),
            ["deep/.gitignore", "deep/er", "deep/er/here", "deep/up"]
        );
    }
    for wrong in [
        "depth=0",
        "depth=51",
        "limit=0",
        "limit=10001",
        "limit=x",
        "ignored=2",
    ] {
        let path = format!("/files?{wrong}");
        assert_eq!(
            world.status(Method::GET, &path).await,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_tree_page_by_page() {
    let world = World::new().await;
    for path in ["a/1", "a/2", "a/b/1", "a/b/2", "a-b", "c/1", "d"] {
        world.file(path, "");
    }
    let whole = all(&world.listing("/files").await.tree);
    for limit in 1..=whole.len() {
        let mut seen: Vec<String> = Vec::new();
        let mut after = String::new();
        loop {
            let listing = world.listing(&format!("/files?limit={limit}{after}")).await;
            assert_eq!(listing.total_files, 7);
            seen.extend(
                all(&listing.tree)
                    .into_iter()
                    .filter(|path| !seen.contains(path))
                    .collect::<Vec<_>>(),
            );
            let Some(next) = listing.next else { break };
            after = format!("&after={next}");
        }
        assert_eq!(seen, whole, "{limit}");
    }
}

#[tokio::test]
async fn names_of_every_kind() {
    let world = World::new().await;
    let odd = OsStr::from_bytes(b"odd-\xff\xfe.txt");
    std::fs::write(world.workspace().join(odd), "bytes").unwrap();
    let longest = "n".repeat(255);
    let names = [
        "line\nbreak",
        "\u{202e}txt.exe",
        "quote\"'<b>",
        "a b+c%20",
        "..c",
        "%2e%2e",
        "back\\slash",
        "\u{1}\u{7f}",
        "\u{1f600}",
        longest.as_str(),
        "download",
        "q?x#y&z=1",
    ];
    for name in names {
        world.file(name, name);
    }
    let listing = world.listing("/files").await;
    assert_eq!(listing.total_files, names.len() + 1);
    for name in names {
        let node = find(&listing.tree, name);
        assert!(node.encoded.is_none());
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let text: Value = world
            .get(&format!("/files/{encoded}"))
            .await
            .json()
            .await
            .unwrap();
        assert_eq!(
            (&text["path"], &text["content"]),
            (&json!(name), &json!(name))
        );
    }
    let odd = find(&listing.tree, "odd-\u{fffd}\u{fffd}.txt");
    assert_eq!(odd.encoded.as_deref(), Some("odd-%FF%FE.txt"));
    let text: Value = world
        .get("/files/odd-%FF%FE.txt")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(text["content"], "bytes");
    // It can be removed, too.
    assert_eq!(
        world.status(Method::DELETE, "/files/odd-%FF%FE.txt").await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.listing("/files").await.total_files, names.len());

    let too_long = "n".repeat(300);
    for (method, status) in [
        (Method::GET, 400),
        (Method::PUT, 400),
        (Method::DELETE, 400),
    ] {
        let path = format!("/files/{too_long}");
        assert_eq!(
            world.status(method.clone(), &path).await,
            status,
            "{method}"
        );
    }
    assert_eq!(
        world
            .upload("", &[(too_long.as_str(), b"x")])
            .await
            .status(),
        400
    );
    assert_eq!(
        world
            .change(json!({"action": "mkdir", "path": too_long}))
            .await,
        400
    );
    assert!(world.left_behind().is_empty(), "{:?}", world.left_behind());
}

#[tokio::test]
async fn what_git_says() {
    let world = World::new().await;
    world.file("repo/same", "1");
    world.file("repo/changed", "1");
    git(&world, "repo", &["init"]);
    git(&world, "repo", &["add", "."]);
    git(&world, "repo", &["commit", "-m", "one"]);
    world.file("repo/changed", "2");
    world.file("repo/new", "1");
    world.file("repo/folder/x", "1");
    world.file("beside", "1");
    // A repository is the agent's: what it says to run is not run.
    let marker = world.root.path().join("ran");
    git(
        &world,
        "repo",
        &[
            "config",
            "core.fsmonitor",
            &format!("touch {}", marker.display()),
        ],
    );
    for path in ["/files", "/files/repo", "/files/repo/folder"] {
        let tree = world.listing(path).await.tree;
        let of = |path: &str| serde_json::to_value(find(&tree, path).git).unwrap();
        assert_eq!(of("repo/folder/x"), "untracked", "{path}");
        if path == "/files" {
            assert_eq!(of("beside"), Value::Null);
        }
        if path != "/files/repo/folder" {
            assert_eq!(of("repo/same"), Value::Null);
            assert_eq!(of("repo/changed"), "modified");
            assert_eq!(of("repo/new"), "untracked");
            assert!(!all(&tree).iter().any(|path| path.contains(".git")));
        }
    }
    assert!(!marker.exists());
    // Not a repository, and never one above the workspace.
    std::fs::create_dir(world.workspace().join("broken")).unwrap();
    std::fs::create_dir(world.workspace().join("broken/.git")).unwrap();
    world.file("broken/x", "");
    assert!(
        find(&world.listing("/files").await.tree, "broken/x")
            .git
            .is_none()
    );
}
