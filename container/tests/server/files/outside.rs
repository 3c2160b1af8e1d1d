//! Nothing leads out of the workspace, and nothing there is waited for.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

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
