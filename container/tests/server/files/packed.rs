//! Many files at once, in both directions.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{World, eventually};

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
    eventually("nothing is left behind", || world.left_behind().is_empty()).await;
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
