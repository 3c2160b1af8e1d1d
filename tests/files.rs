//! The files of a session over HTTP, on the whole path: Worker, container object, sandbox.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use reqwest::{Method, Response, multipart};
use serde_json::{Value, json};
use world::{PATIENCE, Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

use crate::access::{OPERATOR, all_scopes, answered, ask, begin, key};

pub fn tests(world: &Arc<Running>, guarded: &Arc<Running>, docker: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "files::what_the_agent_wrote", written_by_agent),
        test(world, "files::written_read_and_removed", written),
        test(world, "files::nothing_acts_in_our_name", harmless),
        test(world, "files::uploaded", uploaded),
        test(world, "files::packed", packed),
        test(world, "files::a_sandbox_wakes_for_them", asleep),
        test(world, "files::what_a_turn_has_changed", |world| {
            changed(world, true)
        }),
        test(world, "files::told_as_they_change", told),
        test(world, "files::read_while_their_sandbox_sleeps", from_save),
        lone_test(world, "files::kept_without_a_turn", kept),
        test(docker, "docker::files_written_and_read", written),
        test(docker, "docker::files_uploaded", uploaded),
        test(docker, "docker::what_a_turn_has_changed", |world| {
            changed(world, false)
        }),
        test(docker, "docker::files_told_as_they_change", told),
        test(
            docker,
            "docker::files_read_while_their_sandbox_sleeps",
            from_save,
        ),
        test(guarded, "files::of_their_owner_alone", owners),
    ]
}

/// A session with a workspace in which the agent has made `hello.txt`.
async fn session_with_files(world: &World) -> Result<String> {
    let session = fresh_session("files");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `mkdir -p src && echo hello > src/hello.txt && ln -s /etc outside`")
        .await?;
    tab.completed().await?;
    Ok(session)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

async fn get(world: &World, session: &str, path: &str) -> Result<Response> {
    let url = world.url(&format!("/api/files/{session}{path}"));
    Ok(world.http.get(url).send().await?)
}

async fn json_of(world: &World, session: &str, path: &str) -> Result<Value> {
    let response = get(world, session, path).await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status == 200, "{path}: {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

async fn written_by_agent(world: Arc<World>) -> Result<()> {
    let session = session_with_files(&world).await?;
    let listing = json_of(&world, &session, "").await?;
    ensure!(
        listing["root"] == "/workspace"
            && listing["total_files"] == 1
            && listing["total_items"] == 3,
        "{listing}"
    );
    let tree = &listing["tree"];
    ensure!(
        tree["name"] == "workspace" && tree["type"] == "directory",
        "{tree}"
    );
    ensure!(
        tree["children"][0]["name"] == "outside" && tree["children"][0]["type"] == "symlink",
        "{tree}"
    );
    let hello = &tree["children"][1]["children"][0];
    ensure!(
        hello["path"] == "src/hello.txt" && hello["size"] == 6 && hello["type"] == "file",
        "{tree}"
    );
    let text = json_of(&world, &session, "/src/hello.txt").await?;
    ensure!(
        text["content"] == "hello\n" && text["lines"] == 1 && text["language"] == "text",
        "{text}"
    );
    for (path, status) in [
        ("/nothing", 404),
        ("/outside/passwd", 403),
        ("//etc/passwd", 403),
        ("/%2fetc%2fpasswd", 403),
        ("/src%2f..%2f..%2fhome", 403),
        ("/%252e%252e%252fhome", 404),
        ("/src%00/x", 400),
        ("/..%5c..%5chome", 404),
    ] {
        let answer = get(&world, &session, path).await?;
        let got = answer.status();
        ensure!(got == status, "{path}: {got}");
        let problem: Value = answer.json().await?;
        ensure!(
            problem["status"] == status && problem["detail"].is_string(),
            "{problem}"
        );
    }
    let nobody = get(&world, &fresh_session("files"), "").await?;
    ensure!(
        nobody.status() == 404,
        "a session that is not there: {}",
        nobody.status()
    );
    let other = world
        .post(&format!("/api/files/{session}/src/hello.txt"), &json!({}))
        .await?;
    ensure!(other.status() == 405 && header(&other, "allow").contains("PUT"));
    Ok(())
}

async fn written(world: Arc<World>) -> Result<()> {
    let session = session_with_files(&world).await?;
    let url = |path: &str| world.url(&format!("/api/files/{session}{path}"));
    let put = |path: &str, content: &'static str| world.http.put(url(path)).body(content);
    let made = put("/a..b/n%C3%A4me.rs", "fn main() {}\n").send().await?;
    ensure!(made.status() == 201, "{}", made.status());
    let tag = header(&made, "etag").to_owned();
    ensure!(made.json::<Value>().await?["path"] == "a..b/näme.rs");
    let read = get(&world, &session, "/a..b/n%C3%A4me.rs").await?;
    ensure!(header(&read, "etag") == tag);
    ensure!(header(&read, "content-type") == "application/json");
    let known = world
        .http
        .get(url("/a..b/n%C3%A4me.rs"))
        .header("if-none-match", &tag);
    let known = known.send().await?;
    ensure!(
        known.status() == 304 && header(&known, "etag") == tag,
        "{known:?}"
    );
    // Who has seen it as it was does not write over what it became.
    let second = put("/a..b/n%C3%A4me.rs", "// changed\n")
        .header("if-match", &tag)
        .send()
        .await?;
    ensure!(second.status() == 200, "{}", second.status());
    let third = put("/a..b/n%C3%A4me.rs", "// lost\n")
        .header("if-match", &tag)
        .send()
        .await?;
    ensure!(third.status() == 412, "{}", third.status());
    let part = world
        .http
        .get(url("/a..b/n%C3%A4me.rs?raw=true"))
        .header("range", "bytes=3-9");
    let part = part.send().await?;
    ensure!(
        part.status() == 206 && header(&part, "content-range") == "bytes 3-9/11",
        "{part:?}"
    );
    ensure!(part.text().await? == "changed");
    let beyond = world
        .http
        .get(url("/a..b/n%C3%A4me.rs?raw=true"))
        .header("range", "bytes=99-");
    let beyond = beyond.send().await?;
    ensure!(
        beyond.status() == 416 && header(&beyond, "content-range") == "bytes */11",
        "{beyond:?}"
    );
    let head = world
        .http
        .head(url("/a..b/n%C3%A4me.rs?raw=true"))
        .send()
        .await?;
    ensure!(
        head.status() == 200 && header(&head, "content-length") == "11",
        "{head:?}"
    );
    ensure!(head.text().await?.is_empty());

    // The agent finds it.
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `cat a..b/*.rs`").await?;
    tab.completed().await?;
    tab.completed().await?;
    ensure!(
        tab.contents("tool_result")
            .last()
            .is_some_and(|output| output.contains("// changed")),
        "{}",
        tab.seen()
    );

    let change = |change: Value| world.http.post(url("")).json(&change);
    let made = change(json!({ "action": "mkdir", "path": "new/folder" }))
        .send()
        .await?;
    ensure!(made.status() == 201, "{}", made.text().await?);
    let moved = json!({ "action": "rename", "from": "a..b", "to": "new/folder/moved" });
    let moved = change(moved).send().await?;
    ensure!(moved.status() == 200, "{}", moved.text().await?);
    let out = json!({ "action": "rename", "from": "new", "to": "../new" });
    ensure!(change(out).send().await?.status() == 403);
    let delete = |path: &str| world.http.delete(url(path)).send();
    ensure!(delete("/new").await?.status() == 409);
    ensure!(delete("/new?recursive=true").await?.status() == 204);
    ensure!(delete("/new").await?.status() == 404);
    ensure!(delete("/").await?.status() == 400);
    // The link, not what it leads to.
    ensure!(delete("/outside").await?.status() == 204);

    // A megabyte there and back, in pieces, and too much of it not at all.
    let large: Vec<u8> = (0..5_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let sent = world
        .http
        .put(url("/large.bin"))
        .body(large.clone())
        .send()
        .await?;
    ensure!(sent.status() == 201, "{}", sent.text().await?);
    let back = get(&world, &session, "/large.bin?raw=true").await?;
    ensure!(header(&back, "content-length") == "5000000", "{back:?}");
    ensure!(back.bytes().await? == large);
    let too_large = world
        .http
        .put(url("/large.bin"))
        .body(vec![0; 52_428_801])
        .send()
        .await?;
    ensure!(too_large.status() == 413, "{}", too_large.status());
    // Without a word about its length.
    let pieces = (0..60).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 1024 * 1024]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let too_large = world.http.put(url("/large.bin")).body(body).send().await?;
    ensure!(too_large.status() == 413, "{}", too_large.status());
    let back = get(&world, &session, "/large.bin?raw=true").await?;
    ensure!(
        back.bytes().await? == large,
        "what was refused has changed it"
    );
    Ok(())
}

async fn harmless(world: Arc<World>) -> Result<()> {
    let session = session_with_files(&world).await?;
    for (name, content) in [
        ("page.html", "<script>alert(1)</script>"),
        ("code.js", "alert(1)"),
        ("style.css", "body { display: none }"),
        (
            "drawing.svg",
            "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>",
        ),
        ("words.txt", "hello"),
    ] {
        std::fs::write(world.workspace(&session).join(name), content)?;
        let (served, kept) = match name {
            "page.html" => ("text/html; charset=utf-8", "attachment"),
            "drawing.svg" => ("image/svg+xml; charset=utf-8", "attachment"),
            _ => ("text/plain; charset=utf-8", "inline"),
        };
        for path in [format!("/{name}?raw=true"), format!("/{name}/download")] {
            let answer = get(&world, &session, &path).await?;
            ensure!(answer.status() == 200, "{path}: {}", answer.status());
            for (name, value) in [
                ("content-type", served),
                ("x-content-type-options", "nosniff"),
                ("content-security-policy", "sandbox; default-src 'none'"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cache-control", "private, no-cache, no-transform"),
            ] {
                ensure!(header(&answer, name) == value, "{path}: {name}: {answer:?}");
            }
            let kept = if path.ends_with("download") {
                "attachment"
            } else {
                kept
            };
            let wanted = format!("{kept}; filename=\"{name}\"; filename*=UTF-8''{name}");
            ensure!(
                header(&answer, "content-disposition") == wanted,
                "{path}: {answer:?}"
            );
            ensure!(answer.text().await? == content);
        }
    }
    let binary = world.workspace(&session).join("data");
    std::fs::write(binary, b"\0\xff")?;
    let told = json_of(&world, &session, "/data").await?;
    let address = told["download_url"].as_str().context("no address")?;
    ensure!(
        told["type"] == "binary" && told["content_type"] == "application/octet-stream",
        "{told}"
    );
    let kept = world.http.get(world.url(address)).send().await?;
    ensure!(kept.bytes().await?.as_ref() == b"\0\xff");
    let picture = world.workspace(&session).join("dot.png");
    std::fs::write(picture, b"\x89PNG\r\n\x1a\n\0\xff")?;
    let picture = get(&world, &session, "/dot.png").await?;
    ensure!(header(&picture, "content-type") == "image/png");
    ensure!(header(&picture, "content-disposition").starts_with("inline;"));
    Ok(())
}

async fn uploaded(world: Arc<World>) -> Result<()> {
    let session = session_with_files(&world).await?;
    let upload = |query: &str, files: Vec<(String, Vec<u8>)>| {
        let mut form = multipart::Form::new();
        for (name, content) in files {
            form = form.part("files", multipart::Part::bytes(content).file_name(name));
        }
        let url = world.url(&format!("/api/files/{session}/upload{query}"));
        world.http.post(url).multipart(form).send()
    };
    let one = |name: &str, content: &str| vec![(name.to_owned(), content.as_bytes().to_vec())];
    let told = upload("?target_path=in", one("a.txt", "first")).await?;
    ensure!(told.status() == 200, "{}", told.text().await?);
    let told: Value = told.json().await?;
    ensure!(
        told == json!({
            "session_id": session, "target_path": "in", "total_files": 1, "total_size_bytes": 5,
            "uploaded": [{ "name": "a.txt", "path": "in/a.txt", "size_bytes": 5 }],
        }),
        "{told}"
    );
    ensure!(
        upload("?target_path=in", one("a.txt", "second"))
            .await?
            .status()
            == 409
    );
    ensure!(
        upload("?target_path=in&overwrite=true", one("a.txt", "third"))
            .await?
            .status()
            == 200
    );
    let text = json_of(&world, &session, "/in/a.txt").await?;
    ensure!(text["content"] == "third", "{text}");
    for (name, status) in [
        ("line\u{202e}break", 200),
        ("n".repeat(255).as_str(), 200),
        ("n".repeat(300).as_str(), 400),
        ("../out", 400),
    ] {
        let answer = upload("?target_path=names", one(name, "x")).await?;
        ensure!(
            answer.status() == status,
            "{name}: {}",
            answer.text().await?
        );
    }
    let many = |count: usize| {
        (0..count)
            .map(|number| (format!("{number}"), b"x".to_vec()))
            .collect()
    };
    let refused = upload("?target_path=many", many(51)).await?;
    ensure!(refused.status() == 413, "{}", refused.status());
    ensure!(upload("?target_path=many", many(50)).await?.status() == 200);
    let large = vec![b'x'; 52_428_801];
    let refused = upload("", vec![("large".to_owned(), large)]).await?;
    ensure!(refused.status() == 413, "{}", refused.status());
    let listing = json_of(&world, &session, "").await?;
    ensure!(listing["total_files"] == 1 + 1 + 2 + 50, "{listing}");
    let none = world
        .post(&format!("/api/files/{session}/upload"), &json!({}))
        .await?;
    ensure!(none.status() == 400, "{}", none.status());
    Ok(())
}

async fn packed(world: Arc<World>) -> Result<()> {
    let session = session_with_files(&world).await?;
    let folder = world.workspace(&session);
    symlink("src/hello.txt", folder.join("inside"))?;
    let zip = world
        .post(&format!("/api/files/{session}/download"), &json!({}))
        .await?;
    ensure!(zip.status() == 200, "{}", zip.text().await?);
    ensure!(header(&zip, "content-type") == "application/zip", "{zip:?}");
    ensure!(
        header(&zip, "content-disposition").contains(&format!("filename=\"{session}.zip\"")),
        "{zip:?}"
    );
    let bytes = zip.bytes().await?.to_vec();
    let text = String::from_utf8_lossy(&bytes);
    ensure!(bytes.starts_with(b"PK\x03\x04"), "no ZIP");
    ensure!(text.contains("src/hello.txt") && text.contains("inside") && !text.contains("outside"));
    // Somebody else's reader takes it for whole.
    let file = folder.with_file_name("all.zip");
    std::fs::write(&file, bytes)?;
    let mut test = tokio::process::Command::new("python3");
    let tested = test
        .args(["-m", "zipfile", "-t"])
        .arg(&file)
        .output()
        .await?;
    ensure!(tested.status.success(), "{tested:?}");
    std::fs::create_dir(folder.join("many"))?;
    for number in 0..10_001 {
        std::fs::write(folder.join(format!("many/{number}")), "")?;
    }
    let refused = world
        .post(&format!("/api/files/{session}/download"), &json!({}))
        .await?;
    ensure!(refused.status() == 413, "{}", refused.status());
    let part = world
        .post(
            &format!("/api/files/{session}/download?path=src"),
            &json!({}),
        )
        .await?;
    ensure!(part.status() == 200 && part.bytes().await?.len() < 1000);
    Ok(())
}

async fn asleep(world: Arc<World>) -> Result<()> {
    let session = session_with_files(&world).await?;
    world.lose_sandbox(&session)?;
    let text = json_of(&world, &session, "/src/hello.txt").await?;
    ensure!(text["content"] == "hello\n", "{text}");
    Ok(())
}

/// The diff of two points: status and path of each file.
async fn changes(world: &World, session: &str, query: &str) -> Result<Vec<String>> {
    let url = world.url(&format!("/api/sessions/{session}/diff{query}"));
    let diff = answered(world.http.get(url), 200).await?;
    let files = diff["files"].as_array().context("no files")?;
    let told = |file: &Value| {
        let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("status"), text("path"))
    };
    Ok(files.iter().map(told).collect())
}

async fn changed(world: Arc<World>, is_local: bool) -> Result<()> {
    let session = session_with_files(&world).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.completed().await?;
    tab.say("run `echo more >> src/hello.txt && mv src/hello.txt moved.txt && echo new > new.txt`")
        .await?;
    tab.completed().await?;
    let url = world.url(&format!("/api/files/{session}/mine.txt"));
    let put = world.http.put(url).body("mine").send().await?;
    ensure!(put.status() == 201, "{}", put.text().await?);
    let second = ["added new.txt", "renamed moved.txt"];
    let told = changes(&world, &session, "?from=turn-1&to=turn-2").await?;
    ensure!(
        told.len() == 2
            && second
                .iter()
                .all(|line| told.iter().any(|told| told == line)),
        "{told:?}"
    );
    ensure!(
        changes(&world, &session, "?to=turn-1").await? == ["added outside", "added src/hello.txt"]
    );
    ensure!(changes(&world, &session, "?from=turn-2").await? == ["added mine.txt"]);
    let text = world.url(&format!(
        "/api/sessions/{session}/diff?from=turn-1&to=turn-2"
    ));
    let text = world
        .http
        .get(text)
        .header("accept", "text/x-diff")
        .send()
        .await?;
    ensure!(header(&text, "content-type") == "text/x-diff", "{text:?}");
    let text = text.text().await?;
    ensure!(
        text.contains("rename to moved.txt\n") && text.contains("\n+more\n"),
        "{text}"
    );
    for (query, status) in [("?to=turn-7", 404), ("?from=x", 400)] {
        let url = world.url(&format!("/api/sessions/{session}/diff{query}"));
        let told = answered(world.http.get(url), status).await?;
        ensure!(told["detail"].is_string(), "{told}");
    }
    // It is saved with its session, and goes on in a fork.
    if is_local {
        world.lose_sandbox(&session)?;
    } else {
        // Its disk goes with it.
        let path = format!("/api/agents/sessions/{session}/stop");
        answered(ask(&world, Method::POST, &path, None), 200).await?;
    }
    let told = changes(&world, &session, "?from=turn-1&to=turn-2").await?;
    ensure!(told.len() == 2, "{told:?}");
    let fork = world
        .post(
            &format!("/api/sessions/{session}/fork"),
            &json!({ "turn": 1 }),
        )
        .await?;
    let fork: Value = fork.json().await?;
    let fork = fork["session_id"].as_str().context("no fork")?.to_owned();
    ensure!(changes(&world, &fork, "?from=turn-1").await?.is_empty());
    ensure!(changes(&world, &fork, "").await? == ["added outside", "added src/hello.txt"]);
    Ok(())
}

/// What changes while a turn runs is told as it does: what programs write, once, and not what is left out.
async fn told(world: Arc<World>) -> Result<()> {
    let session = session_with_files(&world).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.completed().await?;
    let first = tab.events.len();
    tab.say(
        "run `printf 'out/\\n' > .gitignore && mkdir -p out deep/er && echo x > out/a && echo x > deep/er/one && sleep 3 && rm deep/er/one && sleep 3`",
    )
    .await?;
    tab.completed().await?;
    let said = &tab.events[first..];
    let result = said.iter().position(|event| event["type"] == "tool_result");
    let result = result.context("no result")?;
    let mut changes = Vec::new();
    for event in &said[..result] {
        if event["type"] != "file_change" {
            continue;
        }
        ensure!(event.get("tool_use_id").is_none(), "{event}");
        let others = event["others"].as_array().cloned().unwrap_or_default();
        for file in std::iter::once(event).chain(&others) {
            changes.push(format!("{} {}", file["change"], file["path"]).replace('"', ""));
        }
    }
    ensure!(
        changes
            == [
                "written .gitignore",
                "written deep/er/one",
                "removed deep/er/one"
            ],
        "{changes:?}"
    );
    // What a tool says of itself is not said twice.
    let first = tab.events.len();
    tab.say("create a hello world app").await?;
    tab.completed().await?;
    let own = tab.events[first..].iter();
    let own: Vec<_> = own.filter(|event| event["type"] == "file_change").collect();
    let all_own = own.iter().all(|event| event["tool_use_id"].is_string());
    ensure!(!own.is_empty() && all_own, "{own:?}");
    // A flood is told in a few events.
    let first = tab.events.len();
    tab.say("run `mkdir many && cd many && for n in $(seq 5000); do echo $n > $n; done; sleep 1`")
        .await?;
    tab.completed().await?;
    let flood = tab.events[first..].iter();
    let flood: Vec<_> = flood
        .filter(|event| event["type"] == "file_change")
        .collect();
    ensure!(
        (1..=20).contains(&flood.len()) && flood.iter().any(|event| event["more"] == true),
        "{} events",
        flood.len()
    );
    Ok(())
}

/// What is read of a sandbox that sleeps is what was read of it before, and it sleeps on.
async fn from_save(world: Arc<World>) -> Result<()> {
    let session = session_with_files(&world).await?;
    let url = |path: &str| world.url(&format!("/api/files/{session}{path}"));
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let long = format!("/{}/in%20it.rs", "long%20".repeat(20));
    for (path, content) in [
        ("/large.bin", &large[..]),
        (&long, b"fn main() {}\n"),
        ("/dot.png", b"\x89PNG\xff"),
    ] {
        let put = world
            .http
            .put(url(path))
            .body(content.to_vec())
            .send()
            .await?;
        ensure!(put.status() == 201, "{path}: {}", put.text().await?);
    }
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.completed().await?;
    tab.say("run `printf more >> large.bin && python3 -c 'import os; os.unlink(\"outside\")'`")
        .await?;
    tab.completed().await?;
    let paths = [
        "",
        "?depth=1",
        "?limit=2",
        "/src",
        "/src/hello.txt",
        &long,
        "/large.bin?raw=true",
        "/large.bin/download",
        "/dot.png",
    ];
    let mut awake = Vec::new();
    for path in paths {
        let answer = get(&world, &session, path).await?;
        ensure!(
            answer.status() == 200 && !answer.headers().contains_key("x-from-save"),
            "{path}: {answer:?}"
        );
        awake.push((answer.headers().clone(), answer.bytes().await?));
    }
    let stop = ask(
        &world,
        Method::POST,
        &format!("/api/agents/sessions/{session}/stop"),
        None,
    );
    ensure!(stop.send().await?.status().is_success());
    let sleeps = async || -> Result<bool> {
        let told = world
            .http
            .get(world.url(&format!("/api/resources/{session}")))
            .send()
            .await?;
        Ok(told.text().await?.contains("sleeping"))
    };
    ensure!(sleeps().await?, "it does not sleep");
    for (path, (before, content)) in paths.iter().zip(&awake) {
        let answer = get(&world, &session, path).await?;
        ensure!(
            answer.status() == 200 && answer.headers().contains_key("x-from-save"),
            "{path}: {answer:?}"
        );
        for name in [
            "content-type",
            "content-disposition",
            "content-security-policy",
            "x-content-type-options",
            "content-length",
        ] {
            // A document is as long as its times are.
            if name == "content-length" && header(&answer, "content-type") == "application/json" {
                continue;
            }
            ensure!(
                answer.headers().get(name) == before.get(name),
                "{path}: {name}: {answer:?}\n{before:?}"
            );
        }
        let bytes = answer.bytes().await?;
        if let (Ok(mut was), Ok(mut is)) = (
            serde_json::from_slice::<Value>(content),
            serde_json::from_slice::<Value>(&bytes),
        ) {
            without_fractions(&mut was);
            without_fractions(&mut is);
            ensure!(was == is, "{path}: {was}\n{is}");
        } else {
            ensure!(bytes == *content, "{path}: {} bytes", bytes.len());
        }
    }
    let part = world
        .http
        .get(url("/large.bin?raw=true"))
        .header("range", "bytes=2999998-")
        .send()
        .await?;
    ensure!(
        part.status() == 206 && header(&part, "content-range") == "bytes 2999998-3000003/3000004",
        "{part:?}"
    );
    ensure!(part.bytes().await?.ends_with(b"more"));
    let known = awake[4].0["etag"].to_str()?.to_owned();
    let known = world
        .http
        .get(url("/src/hello.txt"))
        .header("if-none-match", known)
        .send()
        .await?;
    ensure!(known.status() == 304, "{known:?}");
    ensure!(sleeps().await?, "it was woken");
    // What is not there is the sandbox's to tell.
    ensure!(get(&world, &session, "/outside").await?.status() == 404);
    Ok(())
}

/// A save has times of change to the second, and of a folder that of its first save.
fn without_fractions(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(time)) = members.get_mut("modified") {
                let whole = time.split(['.', 'Z']).next().unwrap_or_default();
                *time = format!("{whole}Z");
            }
            if members.get("type").is_some_and(|kind| kind == "directory") {
                members.remove("modified");
            }
            members.values_mut().for_each(without_fractions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_fractions),
        _ => {}
    }
}

async fn kept() -> Result<()> {
    let world = World::start(Provider::Local).await?;
    let session = fresh_session("files");
    let _tab = world.tab(&session, Some(0)).await?;
    let url = world.url(&format!("/api/files/{session}/kept.txt"));
    let made = world.http.put(&url).body("kept").send().await?;
    ensure!(made.status() == 201, "{}", made.text().await?);
    let begin = Instant::now();
    // There is no bucket before something is in it.
    while world.archives().unwrap_or_default().is_empty() {
        ensure!(begin.elapsed() < PATIENCE, "it is not saved");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // It is there, and then it is noted.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.lose_sandbox(&session)?;
    let text = json_of(&world, &session, "/kept.txt").await?;
    ensure!(text["content"] == "kept", "{text}");
    world.stack.stop().await;
    Ok(())
}

async fn owners(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "alice").await?;
    let mallory = all_scopes(&world, "mallory").await?;
    let (_, reader) = key(&world, "alice", json!({ "scopes": ["read"] })).await?;
    let session = begin(&world, "files", &alice).await?;
    let at = |path: &str| format!("/api/files/{session}{path}");
    let put = |token: &str| ask(&world, Method::PUT, &at("/a"), Some(token)).body("x");
    answered(put(&mallory), 403).await?;
    answered(put(&reader), 403).await?;
    answered(put(&alice), 201).await?;
    for (token, status) in [
        (mallory.as_str(), 403),
        (&reader, 200),
        (&alice, 200),
        (OPERATOR, 200),
    ] {
        for path in ["", "/a", "/a?raw=true", "/a/download"] {
            answered(ask(&world, Method::GET, &at(path), Some(token)), status).await?;
        }
        let diff = format!("/api/sessions/{session}/diff");
        answered(ask(&world, Method::GET, &diff, Some(token)), status).await?;
        answered(
            ask(&world, Method::POST, &at("/download"), Some(token)),
            status,
        )
        .await?;
    }
    let other = begin(&world, "files", &mallory).await?;
    // One's own session is no way into another's.
    let path = format!("/api/files/{other}/..%2f..%2fclaude-session-{session}%2fworkspace%2fa");
    answered(ask(&world, Method::GET, &path, Some(&mallory)), 403).await?;
    let unknown = format!("/api/files/{}", fresh_session("files"));
    answered(ask(&world, Method::GET, &unknown, Some(&alice)), 404).await?;
    Ok(())
}
