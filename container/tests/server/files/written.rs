//! Files that are written, moved and removed.

use std::os::unix::fs::{PermissionsExt, symlink};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{World, eventually};

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
    eventually("nothing is left behind", || world.left_behind().is_empty()).await;
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
    assert_eq!(
        rename("a", "new/folders/a", false).await,
        200,
        "as everything else does"
    );
    assert_eq!(rename("new/folders/a", "a", false).await, 200);
    assert_eq!(rename("a", "renamed", false).await, 200);
    assert_eq!(rename("gone", "x", false).await, 404);
    assert_eq!(rename("gone", "no/folder", false).await, 404);
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
