//! The workspace's files over HTTP, on a server of the build.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use protocol::files::{Kind, Listing, Node};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

impl World {
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.workspace().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn content(&self, path: &str) -> String {
        std::fs::read_to_string(self.workspace().join(path)).unwrap()
    }

    async fn listing(&self, path: &str) -> Listing {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    async fn status(&self, method: Method, path: &str) -> StatusCode {
        self.ask(method, path).send().await.unwrap().status()
    }

    async fn put(&self, path: &str, content: &str) -> Response {
        let request = self.ask(Method::PUT, path).body(content.to_owned());
        request.send().await.unwrap()
    }

    async fn change(&self, change: Value) -> StatusCode {
        self.post("/files", &change).await.status()
    }

    async fn upload(&self, query: &str, files: &[(&str, &[u8])]) -> Response {
        let mut body = Vec::new();
        for (name, content) in files {
            let head = format!(
                "--B\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\
                 content-type: text/plain\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--B--\r\n");
        self.form(query, body).await
    }

    async fn form(&self, query: &str, body: Vec<u8>) -> Response {
        self.ask(Method::POST, &format!("/upload{query}"))
            .header("content-type", "multipart/form-data; boundary=B")
            .header("x-session-id", "the-session")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// What is in the workspace that nobody has put there.
    fn left_behind(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.workspace()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".part")).collect()
    }
}

fn names(node: &Node) -> Vec<&str> {
    let children = node.children.as_deref().unwrap_or_default();
    children.iter().map(|child| child.name.as_str()).collect()
}

fn all(node: &Node) -> Vec<String> {
    let mut paths = Vec::new();
    for child in node.children.as_deref().unwrap_or_default() {
        paths.push(child.path.clone());
        paths.extend(all(child));
    }
    paths
}

fn find<'a>(node: &'a Node, path: &str) -> &'a Node {
    let children = node.children.as_deref().unwrap_or_default();
    let child = children
        .iter()
        .find(|child| path == child.path || path.starts_with(&format!("{}/", child.path)))
        .unwrap_or_else(|| panic!("no {path} in {node:?}"));
    if child.path == path {
        child
    } else {
        find(child, path)
    }
}

fn git(world: &World, folder: &str, arguments: &[&str]) {
    let status = Command::new("git")
        .args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .current_dir(world.workspace().join(folder))
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
}

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
async fn nothing_leads_out() {
    let world = World::new().await;
    std::fs::write(world.root.path().join("secret"), "secret").unwrap();
    symlink("/etc", world.workspace().join("etc")).unwrap();
    symlink("../secret", world.workspace().join("secret")).unwrap();
    symlink("/proc/self/environ", world.workspace().join("environ")).unwrap();
    symlink("circle", world.workspace().join("circle")).unwrap();
    world.file("folder/file", "inside");
    symlink("folder/file", world.workspace().join("inside")).unwrap();
    for path in [
        "..%2fsecret",
        "%2e%2e%2fsecret",
        "folder%2f..%2f..%2fsecret",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "%2fproc%2fself%2fenviron",
        "etc/passwd",
        "secret",
        "environ",
        "circle",
        "etc/",
        "folder%00/file",
        "%00",
        "%252e%252e%252fsecret",
        "..%5csecret",
        "secret/download",
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            if method == Method::DELETE && matches!(path, "secret" | "environ" | "circle" | "etc/")
            {
                continue; // The link goes, not what it leads to.
            }
            if method == Method::PUT && matches!(path, "%252e%252e%252fsecret" | "..%5csecret") {
                continue; // A name like any other.
            }
            // By hand: a client takes dots away before it asks.
            let answer = raw(&world, &method, &format!("/files/{path}")).await;
            let status: u16 = answer.get(9..12).unwrap().parse().unwrap();
            assert!(
                matches!(status, 400 | 403 | 404),
                "{method} {path}: {answer}"
            );
            assert!(
                !answer.contains("root:x") && !answer.contains("AGENT_"),
                "{answer}"
            );
        }
    }
    assert_eq!(
        std::fs::read_to_string(world.root.path().join("secret")).unwrap(),
        "secret"
    );
    let text: Value = world.get("/files/inside").await.json().await.unwrap();
    assert_eq!(text["content"], "inside");
    for change in [
        json!({"action": "mkdir", "path": "../x"}),
        json!({"action": "mkdir", "path": "etc/x"}),
        json!({"action": "mkdir", "path": "/tmp/x"}),
        json!({"action": "rename", "from": "folder/file", "to": "../x"}),
        json!({"action": "rename", "from": "folder/file", "to": "etc/x"}),
        json!({"action": "rename", "from": "../secret", "to": "x"}),
        json!({"action": "rename", "from": "a\u{0}b", "to": "x"}),
    ] {
        let status = world.change(change.clone()).await;
        assert!(
            matches!(status.as_u16(), 400 | 403 | 404),
            "{change}: {status}"
        );
    }
    for (query, name) in [
        ("", "../x"),
        ("", "/tmp/x"),
        ("?target_path=..", "x"),
        ("?target_path=etc", "x"),
        ("?target_path=/etc", "x"),
    ] {
        let status = world.upload(query, &[(name, b"x")]).await.status();
        assert!(
            matches!(status.as_u16(), 400 | 403),
            "{query} {name}: {status}"
        );
    }
    assert!(!world.root.path().join("x").exists());
    // A path with dots in a name is a path.
    assert_eq!(
        world.put("/files/a..b/..c", "x").await.status(),
        StatusCode::CREATED
    );
    assert_eq!(world.content("a..b/..c"), "x");
}

/// A request whose path goes out as it is.
async fn raw(world: &World, method: &Method, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = world.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    let world = World::new().await;
    let pipe = world.workspace().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(world.workspace().join("socket")).unwrap();
    for path in ["pipe", "socket"] {
        let address = format!("/files/{path}");
        let answer = tokio::time::timeout(Duration::from_secs(30), world.get(&address));
        let answer = answer.await.expect("it waits for the other end");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert!(
            answer
                .text()
                .await
                .unwrap()
                .contains("neither a file nor a folder")
        );
        assert_eq!(
            world.put(&format!("/files/{path}"), "x").await.status(),
            StatusCode::BAD_REQUEST
        );
    }
    let zip = world.post("/zip", &json!({})).await;
    assert_eq!(zip.status(), StatusCode::OK);
    zip.bytes().await.unwrap();
}

#[tokio::test]
async fn a_file_is_read_in_every_form() {
    let world = World::new().await;
    world.file("src/main.rs", "fn main() {\n}\n");
    world.file("page.html", "<script>alert(1)</script>");
    world.file("picture.png", b"\x89PNG\r\n\x1a\n\0\xff");
    world.file("data.bin", b"\0\xff\xfe");
    world.file("empty", "");
    let path = "/files/src/main.rs";
    let response = world.get(path).await;
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && response.headers().contains_key("last-modified"));
    let text: Value = response.json().await.unwrap();
    assert_eq!(
        text,
        json!({"path": "src/main.rs", "content": "fn main() {\n}\n", "language": "rust", "size_bytes": 14, "lines": 2})
    );
    for (known, status) in [(tag.as_str(), 304), ("*", 304), ("\"x\", W/\"y\"", 200)] {
        let request = world.ask(Method::GET, path).header("if-none-match", known);
        assert_eq!(request.send().await.unwrap().status(), status, "{known}");
    }
    world.file("src/main.rs", "fn main() { }\n");
    let request = world.ask(Method::GET, path).header("if-none-match", &tag);
    assert_eq!(
        request.send().await.unwrap().status(),
        200,
        "it is another one"
    );

    let raw = world.get("/files/src/main.rs?raw=true").await;
    assert_eq!(raw.headers()["content-type"], "text/x-rust; charset=utf-8");
    assert_eq!(
        raw.headers()["content-disposition"],
        "inline; filename*=UTF-8''main.rs"
    );
    assert_eq!(raw.headers()["content-length"], "14");
    assert_eq!(raw.text().await.unwrap(), "fn main() { }\n");
    let kept = world.get("/files/page.html/download").await;
    assert_eq!(
        kept.headers()["content-disposition"],
        "attachment; filename*=UTF-8''page.html"
    );
    assert_eq!(kept.text().await.unwrap(), "<script>alert(1)</script>");
    let picture = world.get("/files/picture.png").await;
    assert_eq!(picture.headers()["content-type"], "image/png");
    let binary = world
        .ask(Method::GET, "/files/data.bin")
        .header("x-session-id", "s1");
    let binary: Value = binary.send().await.unwrap().json().await.unwrap();
    assert_eq!(binary["type"], "binary");
    assert_eq!(binary["download_url"], "/api/files/s1/data.bin/download");
    assert_eq!(
        (&binary["size"], &binary["content_type"]),
        (&json!(3), &json!("application/octet-stream"))
    );
    let empty: Value = world.get("/files/empty").await.json().await.unwrap();
    assert_eq!(
        (&empty["content"], &empty["lines"]),
        (&json!(""), &json!(0))
    );

    // What is called `download` is a file like any other.
    world.file("folder/download", "itself");
    let text: Value = world
        .get("/files/folder/download")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(text["content"], "itself");
    let kept = world.get("/files/folder/download/download").await;
    assert_eq!(
        kept.headers()["content-disposition"],
        "attachment; filename*=UTF-8''download"
    );
    assert_eq!(
        world.status(Method::GET, "/files/src/download").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.status(Method::GET, "/files/nothing/download").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.status(Method::POST, path).await,
        StatusCode::METHOD_NOT_ALLOWED
    );

    let head = world
        .ask(Method::HEAD, "/files/src/main.rs?raw=true")
        .send()
        .await
        .unwrap();
    assert_eq!(head.headers()["content-length"], "14");
    assert_eq!(head.bytes().await.unwrap().len(), 0);
}

#[tokio::test]
async fn parts_of_short_and_of_long_files() {
    let world = World::new().await;
    let long: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    world.file("long", &long);
    let text = "0123456789\n".repeat(300_000);
    world.file("long.txt", &text);
    world.file("short", &long[..1000]);
    let part = |path: &'static str, range: &'static str| {
        let request = world.ask(Method::GET, path).header("range", range);
        async move { request.send().await.unwrap() }
    };
    for (path, length) in [
        ("/files/long?raw=true", long.len()),
        ("/files/short?raw=true", 1000),
    ] {
        for (range, wanted) in [
            ("bytes=0-0", 0..1),
            ("bytes=500-", 500..length),
            ("bytes=-10", length - 10..length),
            ("bytes=990-9999999", 990..length),
        ] {
            let answer = part(path, range).await;
            assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
            let told = format!("bytes {}-{}/{length}", wanted.start, wanted.end - 1);
            assert_eq!(answer.headers()["content-range"], told.as_str());
            assert_eq!(
                answer.bytes().await.unwrap(),
                long[wanted],
                "{path} {range}"
            );
        }
        let beyond = part(path, "bytes=9999999-").await;
        assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(
            beyond.headers()["content-range"],
            format!("bytes */{length}").as_str()
        );
        let problem: Value = beyond.json().await.unwrap();
        assert_eq!(problem["status"], 416);
        let several = part(path, "bytes=0-1,5-6").await;
        assert_eq!(several.status(), StatusCode::OK);
        assert_eq!(several.bytes().await.unwrap().len(), length);
    }
    // Only for the version that the asker has a part of.
    let tag = world.get("/files/short?raw=true").await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    for (known, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let request = world
            .ask(Method::GET, "/files/short?raw=true")
            .header("range", "bytes=0-1");
        let answer = request.header("if-range", known).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
    // A long text is not shown as JSON, and says how it can be had.
    let shown: Value = world.get("/files/long.txt").await.json().await.unwrap();
    assert_eq!(
        (&shown["type"], &shown["size"]),
        (&json!("binary"), &json!(text.len()))
    );
    assert!(shown["message"].as_str().unwrap().contains("?raw=true"));
    assert_eq!(shown["content_type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_read_is_not_taken_for_whole() {
    let world = World::new().await;
    world.file("long", vec![b'x'; 60_000_000]);
    let mut answer = world.get("/files/long?raw=true").await;
    assert_eq!(answer.headers()["content-length"], "60000000");
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(!first.is_empty());
    world.file("long", "short");
    let rest = async {
        while let Some(piece) = answer.chunk().await? {
            drop(piece);
        }
        Ok::<_, reqwest::Error>(())
    };
    assert!(rest.await.is_err(), "a torn file passed for a whole one");
    // One that only grows is sent as long as it was.
    world.file("log", vec![b'x'; 3_000_000]);
    let answer = world.get("/files/log?raw=true").await;
    let log = std::fs::OpenOptions::new()
        .append(true)
        .open(world.workspace().join("log"));
    std::io::Write::write_all(&mut log.unwrap(), b"more").unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), 3_000_000);
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

#[tokio::test]
async fn a_file_is_written_whole() {
    let world = World::new().await;
    let made = world.put("/files/new/folder/a.txt", "one").await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let tag = made.headers()["etag"].to_str().unwrap().to_owned();
    let told: Value = made.json().await.unwrap();
    assert_eq!(
        told,
        json!({"path": "new/folder/a.txt", "size_bytes": 3, "created": true})
    );
    let path = "/files/new/folder/a.txt";
    assert_eq!(world.get(path).await.headers()["etag"], tag.as_str());

    let put = |name: &'static str, value: String, body: &'static str| {
        let request = world.ask(Method::PUT, path).header(name, value).body(body);
        async move { request.send().await.unwrap() }
    };
    let second = put("if-match", tag.clone(), "two").await;
    assert_eq!(second.status(), StatusCode::OK);
    assert_eq!(
        put("if-match", tag, "three").await.status(),
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(
        put("if-none-match", "*".to_owned(), "three").await.status(),
        StatusCode::PRECONDITION_FAILED
    );
    let gone = world
        .ask(Method::PUT, "/files/gone")
        .header("if-match", "*")
        .body("x");
    assert_eq!(
        gone.send().await.unwrap().status(),
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(world.content("new/folder/a.txt"), "two");

    // What is replaced leaves its rights; a link stays one.
    world.file("run.sh", "1");
    let run = world.workspace().join("run.sh");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run.sh", world.workspace().join("link")).unwrap();
    assert_eq!(world.put("/files/link", "2").await.status(), StatusCode::OK);
    assert_eq!(world.content("run.sh"), "2");
    assert_eq!(run.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert!(
        world
            .workspace()
            .join("link")
            .symlink_metadata()
            .unwrap()
            .is_symlink()
    );

    for (path, status) in [
        ("/files/new", 409),
        ("/files/", 400),
        ("/files/run.sh/x", 404),
    ] {
        let answer = world.put(path, "x").await;
        assert_eq!(answer.status(), status, "{path}");
    }
    let answer = world
        .ask(Method::PUT, "/files/big")
        .body(vec![0; 52_428_801])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // One that was announced longer than it is.
    let address = world.url.strip_prefix("http://").unwrap();
    {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "PUT /files/torn HTTP/1.1\r\nhost: {address}\r\ncontent-length: 100\r\n\r\nhalf"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _cut = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
    }
    assert!(!world.workspace().join("torn").exists());
    assert!(!world.workspace().join("big").exists());
    crate::world::eventually("nothing is left behind", || world.left_behind().is_empty()).await;
}

#[tokio::test]
async fn folders_names_and_removal() {
    let world = World::new().await;
    assert_eq!(
        world
            .change(json!({"action": "mkdir", "path": "a/b"}))
            .await,
        201
    );
    assert_eq!(
        world
            .change(json!({"action": "mkdir", "path": "/workspace/a/b"}))
            .await,
        409
    );
    world.file("one", "1");
    world.file("two", "2");
    let rename = |from: &str, to: &str, overwrite: bool| {
        let change = json!({"action": "rename", "from": from, "to": to, "overwrite": overwrite});
        let request = world.ask(Method::POST, "/files").body(change.to_string());
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(rename("one", "two", false).await, 409);
    assert_eq!(rename("one", "a/b/three", false).await, 200);
    assert_eq!(world.content("a/b/three"), "1");
    assert_eq!(rename("two", "a/b/three", true).await, 200);
    assert_eq!(world.content("a/b/three"), "2");
    assert_eq!(rename("a", "a/b/c", false).await, 400);
    assert_eq!(rename("a", "renamed", false).await, 200);
    assert_eq!(rename("gone", "x", false).await, 404);
    assert_eq!(rename("renamed", "no/folder", false).await, 404);
    for wrong in [
        json!({}),
        json!({"action": "chmod"}),
        json!({"action": "mkdir"}),
        json!({"action": "mkdir", "path": ""}),
    ] {
        assert_eq!(world.change(wrong.clone()).await, 400, "{wrong}");
    }
    std::fs::create_dir(world.root.path().join("outside")).unwrap();
    std::fs::write(world.root.path().join("outside/kept"), "").unwrap();
    symlink(
        world.root.path().join("outside"),
        world.workspace().join("renamed/link"),
    )
    .unwrap();
    assert_eq!(world.status(Method::DELETE, "/files/renamed").await, 409);
    assert_eq!(
        world
            .status(Method::DELETE, "/files/renamed?recursive=true")
            .await,
        204
    );
    assert_eq!(world.status(Method::DELETE, "/files/renamed").await, 404);
    assert_eq!(world.status(Method::DELETE, "/files/").await, 400);
    assert!(
        world.root.path().join("outside/kept").exists(),
        "a link is removed, not what it leads to"
    );
}

#[tokio::test]
async fn files_come_all_or_not_at_all() {
    let world = World::new().await;
    let told = world
        .upload(
            "?target_path=/workspace/in",
            &[("a.txt", b"one"), ("sub/bä.bin", b"\0\r\n--A")],
        )
        .await;
    assert_eq!(told.status(), StatusCode::OK);
    let told: Value = told.json().await.unwrap();
    assert_eq!(
        (&told["session_id"], &told["target_path"]),
        (&json!("the-session"), &json!("in"))
    );
    assert_eq!(
        (&told["total_files"], &told["total_size_bytes"]),
        (&json!(2), &json!(9))
    );
    assert_eq!(
        told["uploaded"][0],
        json!({"name": "a.txt", "path": "in/a.txt", "size_bytes": 3})
    );
    assert_eq!(world.content("in/a.txt"), "one");

    // One is there already: none comes.
    let query = "?target_path=in";
    assert_eq!(
        world
            .upload(query, &[("new", b"x"), ("a.txt", b"two")])
            .await
            .status(),
        409
    );
    assert!(!world.workspace().join("in/new").exists());
    let answer = world
        .upload(
            "?target_path=in&overwrite=true",
            &[("new", b"x"), ("a.txt", b"two")],
        )
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(world.content("in/a.txt"), "two");
    assert_eq!(
        world
            .upload("", &[("same", b"x"), ("same", b"y")])
            .await
            .status(),
        400
    );

    let names: Vec<String> = (0..51).map(|number| format!("many/{number}")).collect();
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), &b"x"[..]))
        .collect();
    assert_eq!(
        world.upload("", &files).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        world.upload("", &files[..50]).await.status(),
        StatusCode::OK
    );
    let large = vec![b'x'; 52_428_801];
    assert_eq!(
        world.upload("", &[("large", &large)]).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let large = &large[..52_428_800];
    assert_eq!(
        world.upload("", &[("large", large)]).await.status(),
        StatusCode::OK
    );
    let five: Vec<(&str, &[u8])> = ["l1", "l2", "l3", "l4", "l5"]
        .map(|name| (name, large))
        .to_vec();
    assert_eq!(
        world.upload("", &five).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert!(!world.workspace().join("l1").exists());

    // Forms that are none.
    let part = "--B\r\ncontent-disposition: form-data; name=\"f\"; filename=\"torn\"\r\n";
    let endless = format!("{part}x-header: {}", "y".repeat(1_000_000));
    for body in [
        String::new(),
        "--B--\r\n".to_owned(),
        "no form".to_owned(),
        format!("{part}\r\ncontent without an end"),
        // It says ten bytes, and brings a thousand without an end.
        format!("{part}content-length: 10\r\n\r\n{}", "x".repeat(1000)),
        "--B\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\nno file\r\n--B--\r\n".to_owned(),
        endless,
    ] {
        let short: String = body.chars().take(120).collect();
        assert_eq!(
            world.form("", body.into_bytes()).await.status(),
            400,
            "{short}"
        );
    }
    assert_eq!(world.post("/upload", &json!({})).await.status(), 400);
    assert!(!world.workspace().join("torn").exists());
    crate::world::eventually("nothing is left behind", || world.left_behind().is_empty()).await;
}

#[tokio::test]
async fn a_zip_of_everything() {
    let world = World::new().await;
    world.file("a/b.txt", "hello");
    world.file("run.sh", "#!/bin/sh\n");
    let run = world.workspace().join("run.sh");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.file(".gitignore", "left-out\n");
    world.file("left-out", "x");
    world.file("back\\slash", "x");
    world.file("back_slash", "y");
    std::fs::write(world.workspace().join(OsStr::from_bytes(b"odd\xff")), "x").unwrap();
    std::fs::create_dir(world.workspace().join("empty")).unwrap();
    symlink("a/b.txt", world.workspace().join("inside")).unwrap();
    symlink("/etc/passwd", world.workspace().join("outside")).unwrap();
    symlink("..", world.workspace().join("a/up")).unwrap();
    let unpacked = world.root.path().join("unpacked");
    let unpack = async |query: &str| {
        let answer = world
            .ask(Method::POST, &format!("/zip{query}"))
            .header("x-session-id", "s1");
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/zip");
        let file = world.root.path().join("all.zip");
        std::fs::write(&file, answer.bytes().await.unwrap()).unwrap();
        let mut archive = zip::ZipArchive::new(std::fs::File::open(&file).unwrap()).unwrap();
        let _none_before = std::fs::remove_dir_all(&unpacked);
        archive.extract(&unpacked).unwrap();
        let mut names: Vec<String> = archive
            .file_names()
            .map(|name| name.unwrap().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        unpack("").await,
        [
            ".gitignore",
            "a/",
            "a/b.txt",
            "back_slash",
            "back_slash~2",
            "empty/",
            "inside",
            "left-out",
            "odd\u{fffd}",
            "run.sh"
        ]
    );
    assert_eq!(
        std::fs::read_to_string(unpacked.join("inside")).unwrap(),
        "hello"
    );
    assert_eq!(
        unpacked
            .join("run.sh")
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o755
    );
    assert!(
        !unpack("?ignored=false")
            .await
            .contains(&"left-out".to_owned())
    );
    assert_eq!(unpack("?path=a").await, ["b.txt"]);
    assert_eq!(world.status(Method::POST, "/zip?path=nothing").await, 404);
    assert_eq!(world.status(Method::POST, "/zip?path=run.sh").await, 404);
    assert_eq!(world.status(Method::POST, "/zip?path=../").await, 403);

    std::fs::create_dir(world.workspace().join("many")).unwrap();
    for number in 0..10_001 {
        std::fs::write(world.workspace().join(format!("many/{number}")), "").unwrap();
    }
    let refused = world.post("/zip", &json!({})).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.text().await.unwrap().contains("10000 files"));
    std::fs::remove_file(world.workspace().join("many/0")).unwrap();
    assert_eq!(unpack("?path=many").await.len(), 10_000);
    // A file may be long without being there.
    let sparse = std::fs::File::create(world.workspace().join("sparse")).unwrap();
    sparse.set_len(1024 * 1024 * 1024 + 1).unwrap();
    world.file(".gitignore", "many\n");
    assert_eq!(
        world.status(Method::POST, "/zip?ignored=false").await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn a_large_zip_takes_little_memory() {
    let world = World::new().await;
    let mut random = vec![0; 1_000_000];
    getrandom::fill(&mut random).unwrap();
    for number in 0..150 {
        random[0] = number;
        world.file(&format!("data/{number}"), &random);
    }
    let memory = async || {
        world.debug().await["memory"]["server_bytes"]
            .as_u64()
            .unwrap()
    };
    let before = memory().await;
    let mut answer = world.post("/zip", &json!({})).await;
    let (mut read, mut most) = (0, 0);
    while let Some(piece) = answer.chunk().await.unwrap() {
        read += piece.len();
        if read % 16 == 0 {
            most = most.max(memory().await);
        }
    }
    assert!(read > 150_000_000, "{read}");
    most = most.max(memory().await);
    assert!(most < before + 40_000_000, "{before} became {most}");
    // The same the other way.
    let large = vec![b'x'; 50_000_000];
    let files: Vec<(&str, &[u8])> = ["a", "b", "c"]
        .map(|name| (name, large.as_slice()))
        .to_vec();
    assert_eq!(world.upload("", &files).await.status(), 200);
    let after = memory().await;
    assert!(after < before + 40_000_000, "{before} became {after}");
}

#[tokio::test]
async fn nothing_before_the_disk_is_ready() {
    let world = World::with(&[("AGENT_AWAIT_RESTORE", "true")]).await;
    assert_eq!(
        world.status(Method::GET, "/files").await,
        StatusCode::CONFLICT
    );
    assert_eq!(
        world.put("/files/a", "x").await.status(),
        StatusCode::CONFLICT
    );
    assert_eq!(
        world.upload("", &[("a", b"x")]).await.status(),
        StatusCode::CONFLICT
    );
}
