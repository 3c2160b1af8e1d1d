//! The person's own Git repository over HTTP, on the whole path: Worker, container object, sandbox.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

use crate::access::{OPERATOR, all_scopes, answered, ask, begin, key};

pub fn tests(world: &Arc<Running>, guarded: &Arc<Running>, docker: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "repository::of_the_agent_and_the_person", |world| {
            worked_on(world, true)
        }),
        test(world, "repository::what_is_wrong_is_told", wrong),
        test(docker, "docker::a_repository_of_the_agents", |world| {
            worked_on(world, false)
        }),
        test(guarded, "repository::of_its_owner_alone", owners),
    ]
}

/// What the agent runs to begin one, with a secret in it that nobody is to be shown.
const BEGIN: &str = "run `git init -q -b main && git config user.name Ann && git config user.email ann@example.org && \
                     git remote add origin https://ann:SECRETTOKEN@github.com/o/r.git && echo one > a.txt && \
                     git add . && git commit -q -m First && echo two >> a.txt && echo new > new.txt`";

struct Repo<'a> {
    world: &'a World,
    session: &'a str,
}

impl Repo<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/api/sessions/{}/repository{rest}", self.session)
    }

    async fn found(&self) -> Result<Value> {
        let found = answered(ask(self.world, Method::GET, &self.path(""), None), 200).await?;
        ensure!(!found.to_string().contains("SECRET"), "{found}");
        Ok(found["repository"].clone())
    }

    async fn act(&self, what: &str, wish: Value, status: u16) -> Result<Value> {
        let request = ask(self.world, Method::POST, &self.path(what), None).json(&wish);
        answered(request, status).await
    }
}

fn paths(repository: &Value) -> Vec<&str> {
    let changes = repository["changes"].as_array();
    let paths = changes.into_iter().flatten();
    paths.filter_map(|change| change["path"].as_str()).collect()
}

async fn worked_on(world: Arc<World>, is_local: bool) -> Result<()> {
    let session = fresh_session("repository");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `true`").await?;
    tab.completed().await?;
    let repo = Repo {
        world: &world,
        session: &session,
    };
    ensure!(repo.found().await?.is_null(), "there is none yet");
    repo.act("/commit", json!({ "message": "x" }), 404).await?;
    tab.say(BEGIN).await?;
    tab.completed().await?;
    let found = repo.found().await?;
    ensure!(
        found["branch"] == "main" && paths(&found) == ["a.txt", "new.txt"],
        "{found}"
    );
    ensure!(
        found["commits"][0]["subject"] == "First" && found["commits"][0]["author"] == "Ann",
        "{found}"
    );
    ensure!(
        found["remote"]["web"] == "https://github.com/o/r",
        "{found}"
    );
    let diff = ask(&world, Method::GET, &repo.path("/diff?path=a.txt"), None);
    let diff = answered(diff, 200).await?;
    ensure!(
        diff["additions"] == 1 && diff["patch"].to_string().contains("+two"),
        "{diff}"
    );

    // The person makes a branch, and a commit of a part.
    let switched = repo
        .act("/branch", json!({ "name": "fix/two", "create": true }), 201)
        .await?;
    ensure!(switched["branch"] == "fix/two", "{switched}");
    let wish = json!({ "message": "Two", "paths": ["a.txt"], "head": found["head"] });
    let made = repo.act("/commit", wish.clone(), 201).await?;
    let again = repo.act("/commit", wish, 200).await?;
    ensure!(
        made == again && made["commit"]["author"] == "Ann",
        "{made} {again}"
    );
    let found = repo.found().await?;
    ensure!(
        found["branch"] == "fix/two" && paths(&found) == ["new.txt"],
        "{found}"
    );
    let page = "https://github.com/o/r/compare/fix/two?expand=1";
    ensure!(found["remote"]["new_request"] == page, "{found}");

    // The agent finds it as it was left, and what it does is seen.
    tab.say("run `git log --format=%s && git branch --show-current && echo three >> a.txt`")
        .await?;
    tab.completed().await?;
    let told = tab.contents("tool_result").concat();
    ensure!(told.contains("Two\nFirst\nfix/two"), "{told}");
    ensure!(paths(&repo.found().await?) == ["a.txt", "new.txt"]);
    repo.act("/branch", json!({ "name": "main" }), 409).await?;
    let given_up = repo
        .act("/discard", json!({ "paths": ["a.txt", "new.txt"] }), 200)
        .await?;
    ensure!(given_up["files"] == 2, "{given_up}");
    repo.act("/branch", json!({ "name": "main" }), 200).await?;
    let found = repo.found().await?;
    ensure!(
        found["branch"] == "main" && paths(&found).is_empty(),
        "{found}"
    );
    ensure!(
        found["branches"].as_array().map(Vec::len) == Some(2),
        "{found}"
    );

    // A commit by hand outlives the sandbox, as files do.
    let name = "kept.txt";
    let file = world.url(&format!("/api/files/{session}/{name}"));
    let put = world.http.put(file).body("kept\n").send().await?;
    ensure!(put.status() == 201, "{}", put.status());
    repo.act("/commit", json!({ "message": "Kept" }), 201)
        .await?;
    tab.say("run `true`").await?;
    tab.completed().await?;
    if is_local {
        world.lose_sandbox(&session)?;
    }
    let found = repo.found().await?;
    ensure!(found["commits"][0]["subject"] == "Kept", "{found}");
    Ok(())
}

async fn wrong(world: Arc<World>) -> Result<()> {
    let session = fresh_session("repository");
    let nobodys = Repo {
        world: &world,
        session: &session,
    };
    // To ask makes no session.
    let missing = ask(&world, Method::GET, &nobodys.path(""), None);
    answered(missing, 404).await?;
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say(BEGIN).await?;
    tab.completed().await?;
    for (what, wish, status) in [
        ("/commit", json!({ "message": "" }), 400),
        ("/commit", json!({ "message": "x", "paths": "a.txt" }), 400),
        ("/commit", json!({ "message": "x", "paths": ["../a"] }), 404),
        ("/commit", json!({ "message": "x", "owner_id": "x" }), 400),
        ("/commit", json!({ "message": "x".repeat(70_000) }), 413),
        ("/commit", json!({ "message": "x".repeat(2_000_000) }), 413),
        ("/branch", json!({ "name": "--orphan" }), 400),
        ("/branch", json!({ "name": 7 }), 400),
        ("/branch", json!({ "name": "nothing" }), 409),
        ("/discard", json!({ "paths": ["--", "a.txt"] }), 404),
        ("/discard", json!({}), 400),
    ] {
        let told = nobodys.act(what, wish, status).await?;
        ensure!(
            told["detail"].is_string() && told["status"] == status,
            "{what}: {told}"
        );
    }
    for body in ["", "[", "nul", "{\"message\":\"x\"} x"] {
        let request = ask(&world, Method::POST, &nobodys.path("/commit"), None).body(body);
        answered(request, 400).await?;
    }
    for query in [
        "",
        "?path=nothing",
        "?path=%2fetc%2fpasswd",
        "?path=a.txt&path=new.txt",
    ] {
        let path = nobodys.path(&format!("/diff{query}"));
        let answer = ask(&world, Method::GET, &path, None).send().await?;
        ensure!(
            matches!(answer.status().as_u16(), 400 | 404),
            "{query}: {}",
            answer.status()
        );
    }
    let other = ask(&world, Method::DELETE, &nobodys.path(""), None)
        .send()
        .await?;
    ensure!(other.status() == 405, "{}", other.status());
    let left = nobodys.found().await?;
    ensure!(
        paths(&left) == ["a.txt", "new.txt"],
        "nothing has changed: {left}"
    );
    Ok(())
}

async fn owners(world: Arc<World>) -> Result<()> {
    let alice = all_scopes(&world, "alice").await?;
    let mallory = all_scopes(&world, "mallory").await?;
    let (_, reader) = key(&world, "alice", json!({ "scopes": ["read"] })).await?;
    let session = begin(&world, "repository", &alice).await?;
    let path = format!("/api/sessions/{session}/repository");
    for (token, reads, writes) in [
        (mallory.as_str(), 403, 403),
        (&reader, 200, 403),
        (&alice, 200, 404),
        (OPERATOR, 200, 404),
    ] {
        answered(ask(&world, Method::GET, &path, Some(token)), reads).await?;
        let diff = format!("{path}/diff?path=x");
        let diff = ask(&world, Method::GET, &diff, Some(token)).send().await?;
        let wanted = if reads == 200 { 404 } else { 403 };
        ensure!(diff.status() == wanted, "{}", diff.status());
        for (what, wish) in [
            ("commit", json!({ "message": "x" })),
            ("branch", json!({ "name": "x", "create": true })),
            ("discard", json!({ "paths": ["x"] })),
        ] {
            let request = ask(&world, Method::POST, &format!("{path}/{what}"), Some(token));
            answered(request.json(&wish), writes).await?;
        }
    }
    let told = answered(ask(&world, Method::GET, &path, Some(&alice)), 200).await?;
    told.get("repository").context("no word of a repository")?;
    Ok(())
}
