//! One file, whole and in parts.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

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
