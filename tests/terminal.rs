//! Terminals: shells in a session's sandbox that people type in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use world::{PATIENCE, Running, World, fresh_session, lone_test, test};
use xtask::stack::Provider;

use crate::access::{OPERATOR, all_scopes, answered, ask, begin, key};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "terminal::a_shell", a_shell),
        test(
            world,
            "terminal::who_comes_back_sees_what_was",
            who_comes_back,
        ),
        test(world, "terminal::four_at_most", four_at_most),
        test(world, "terminal::what_floods_is_bounded", floods),
        test(world, "terminal::nothing_of_it_is_left", nothing_is_left),
        test(world, "terminal::the_agent_is_not_disturbed", beside_a_turn),
        lone_test(world, "terminal::a_sandbox_that_sleeps", asleep),
    ]
}

pub fn guarded_tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![test(world, "terminal::who_may", who_may)]
}

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

/// Somebody who looks at a terminal.
pub struct Viewer {
    socket: Socket,
    /// All that was printed, as text.
    pub printed: String,
    /// The text frames.
    pub signs: Vec<Value>,
    /// How it was closed.
    pub closed: Option<u16>,
}

impl Viewer {
    /// Opens a terminal, or comes to one. Where that is refused, the error holds the status.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn open(world: &World, session: &str, name: &str, query: &str) -> Result<Self> {
        Self::open_as(world, session, name, query, &[]).await
    }

    /// The same with these headers.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn open_as(
        world: &World,
        session: &str,
        name: &str,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self> {
        let address = world.stack.url.strip_prefix("http://").context("no http")?;
        let url = format!("ws://{address}/api/sessions/{session}/terminals/{name}{query}");
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse()?);
        }
        let stream = TcpStream::connect(address).await?;
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        let mut viewer = Self {
            socket,
            printed: String::new(),
            signs: Vec::new(),
            closed: None,
        };
        viewer.until_sign("live").await?;
        Ok(viewer)
    }

    pub async fn type_in(&mut self, text: &str) -> Result<()> {
        let typed = Message::binary(text.as_bytes().to_vec());
        Ok(self.socket.send(typed).await?)
    }

    pub async fn say(&mut self, frame: Value) -> Result<()> {
        Ok(self.socket.send(Message::text(frame.to_string())).await?)
    }

    async fn hear(&mut self) -> Result<()> {
        let heard = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        let heard = heard.with_context(|| format!("silence after {:?}", self.told()))?;
        match heard {
            Some(Ok(Message::Binary(bytes))) => {
                self.printed.push_str(&String::from_utf8_lossy(&bytes));
            }
            Some(Ok(Message::Text(text))) => self.signs.push(serde_json::from_str(&text)?),
            Some(Ok(Message::Close(frame))) => {
                self.closed = Some(frame.map_or(1005, |frame| frame.code.into()));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.closed = self.closed.or(Some(1006)),
        }
        Ok(())
    }

    fn told(&self) -> (String, &[Value]) {
        let count = self.printed.chars().count();
        let end = self
            .printed
            .chars()
            .skip(count.saturating_sub(400))
            .collect();
        (end, &self.signs)
    }

    /// Waits until this was printed.
    pub async fn until(&mut self, text: &str) -> Result<()> {
        let mut from = 0;
        loop {
            // What was looked at before is not looked at again: it may be very much.
            let new = self.printed.as_bytes().get(from..).unwrap_or_default();
            if new.windows(text.len()).any(|part| part == text.as_bytes()) {
                return Ok(());
            }
            from = self.printed.len().saturating_sub(text.len());
            ensure!(
                self.closed.is_none(),
                "closed before {text:?}: {:?}",
                self.told()
            );
            self.hear().await?;
        }
    }

    /// Waits for a text frame of this type that was not looked at yet.
    pub async fn until_sign(&mut self, kind: &str) -> Result<Value> {
        loop {
            if let Some(at) = self.signs.iter().position(|sign| sign["type"] == kind) {
                return Ok(self.signs.remove(at));
            }
            ensure!(
                self.closed.is_none(),
                "closed before {kind}: {:?}",
                self.told()
            );
            self.hear().await?;
        }
    }

    /// Runs a command and gives what it prints.
    pub async fn run(&mut self, command: &str) -> Result<String> {
        self.printed.clear();
        // What is typed is printed as well, so the marks are made by the shell alone.
        self.type_in(&format!("echo be''gin; {command}; echo en''d\r"))
            .await?;
        self.until("\nend").await?;
        let (_, rest) = self.printed.split_once("begin\r\n").context("no begin")?;
        let (output, _) = rest.rsplit_once("end\r\n").context("no end")?;
        Ok(output.replace("\r\n", "\n").trim().to_owned())
    }
}

/// The status with which a terminal is refused.
async fn refusal(
    world: &World,
    session: &str,
    name: &str,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<u16> {
    match Viewer::open_as(world, session, name, query, headers).await {
        Ok(_) => bail!("{name}{query} was opened"),
        Err(error) => match error.downcast::<tungstenite::Error>()? {
            tungstenite::Error::Http(answer) => Ok(answer.status().as_u16()),
            other => Err(other.into()),
        },
    }
}

/// A session that nobody has said anything in.
async fn begun(world: &World, test: &str) -> Result<String> {
    let session = fresh_session(test);
    let path = format!("/api/sessions/{session}/tickets");
    answered(ask(world, Method::POST, &path, None), 201).await?;
    Ok(session)
}

fn path(session: &str, rest: &str) -> String {
    format!("/api/sessions/{session}/terminals{rest}")
}

async fn listed(world: &World, session: &str) -> Result<Value> {
    answered(ask(world, Method::GET, &path(session, ""), None), 200).await
}

async fn a_shell(world: Arc<World>) -> Result<()> {
    let session = begun(&world, "shell").await?;
    let told = listed(&world, &session).await?;
    ensure!(
        told == json!({ "sandbox": "sleeping", "terminals": [] }),
        "{told}"
    );
    let mut shell = Viewer::open(&world, &session, "main", "?cols=100&rows=30").await?;
    let opened = shell.until_sign("opened").await?;
    ensure!(
        opened["name"] == "main" && opened["new"] == true && opened["cols"] == 100,
        "{opened}"
    );
    let sum = shell.run("echo hello-$((6*7))").await?;
    ensure!(sum == "hello-42", "{sum}");
    // A terminal, and its size as it is and as it becomes.
    let size = shell.run("stty size; tty | cut -c 1-8").await?;
    ensure!(size == "30 100\n/dev/pts", "{size}");
    shell
        .say(json!({ "type": "resize", "cols": 120, "rows": 40 }))
        .await?;
    shell.until_sign("resized").await?;
    let size = shell.run("stty size").await?;
    ensure!(size == "40 120", "{size}");
    // In the workspace, which the API shows as well.
    let folder = shell.run("pwd; echo kept > by-hand.txt").await?;
    ensure!(folder.ends_with("workspace"), "{folder}");
    let file = format!("/api/files/{session}/by-hand.txt?raw=true");
    let file = ask(&world, Method::GET, &file, None).send().await?;
    ensure!(file.text().await? == "kept\n");

    // No way to a model, no token, nothing of the server's.
    let variables = shell.run("env | sort").await?;
    for named in [
        "ANTHROPIC",
        "TOKEN",
        "AGENT_MODEL",
        "AGENT_SERVER",
        "SECRET",
        "_KEY",
    ] {
        ensure!(!variables.contains(named), "{named}: {variables}");
    }
    ensure!(
        variables.contains("HTTP_PROXY=http://127.0.0.1:"),
        "the way out is the agent's: {variables}"
    );

    // A key that interrupts does.
    shell.type_in("sleep 1000; echo sur''vived\r").await?;
    shell.until("sleep 1000").await?;
    shell.type_in("\u{3}").await?;
    shell.type_in("echo code-$?\r").await?;
    shell.until("code-130").await?;
    ensure!(!shell.printed.contains("survived"));

    // What is wrong is told, and ends nothing.
    shell
        .say(json!({ "type": "exec", "command": "id" }))
        .await?;
    let refused = shell.until_sign("refused").await?;
    ensure!(
        refused["detail"]
            .as_str()
            .is_some_and(|words| words.contains("binary")),
        "{refused}"
    );
    shell.say(json!({ "type": "ping" })).await?;
    shell.until_sign("pong").await?;

    shell.type_in("exit 7\r").await?;
    let ended = shell.until_sign("ended").await?;
    ensure!(ended["why"] == "exited" && ended["code"] == 7, "{ended}");
    let told = listed(&world, &session).await?;
    ensure!(
        told == json!({ "sandbox": "running", "terminals": [] }),
        "{told}"
    );

    for (name, query, status) in [
        ("main", "?attach=true", 404),
        ("Main", "", 400),
        ("a.b", "", 400),
        ("main", "?cols=1", 400),
        ("main", "?rows=9999", 400),
        ("main", "?attach=maybe", 400),
        ("main", "?token=x", 400),
    ] {
        let got = refusal(&world, &session, name, query, &[]).await?;
        ensure!(got == status, "{name}{query}: {got}");
    }
    let plain = ask(&world, Method::GET, &path(&session, "/main"), None);
    answered(plain, 426).await?;
    Ok(())
}

async fn who_comes_back(world: Arc<World>) -> Result<()> {
    let session = begun(&world, "comes-back").await?;
    let mut one = Viewer::open(&world, &session, "main", "").await?;
    one.type_in("echo first-$((1+1))\r").await?;
    one.until("first-2").await?;
    // Another one sees what was, and both what comes.
    let mut other = Viewer::open(&world, &session, "main", "?attach=true").await?;
    let opened = other.until_sign("opened").await?;
    ensure!(opened["new"] == false && opened["cut"] == false, "{opened}");
    ensure!(other.printed.contains("first-2"), "{}", other.printed);
    let told = listed(&world, &session).await?;
    ensure!(told["terminals"][0]["viewers"] == 2, "{told}");
    other.type_in("echo second-$((2+2))\r").await?;
    other.until("second-4").await?;
    one.until("second-4").await?;
    // What runs goes on while nobody looks.
    one.type_in("sleep 1; echo third-$((3+3))\r").await?;
    one.until("sleep 1").await?;
    drop((one, other));
    let mut back = Viewer::open(&world, &session, "main", "?attach=true").await?;
    back.until("third-6").await?;
    ensure!(back.printed.contains("first-2") && back.printed.contains("second-4"));
    // Of very much the end is kept.
    back.run("seq 1 200000").await?;
    drop(back);
    let mut back = Viewer::open(&world, &session, "main", "?attach=true").await?;
    let opened = back.until_sign("opened").await?;
    ensure!(opened["cut"] == true, "{opened}");
    ensure!(back.printed.contains("\n200000\r\n") && !back.printed.contains("\n100000\r\n"));
    ensure!(back.printed.len() <= 256 * 1024, "{}", back.printed.len());
    let first = back.printed.lines().next().unwrap_or_default();
    ensure!(first.len() == 6, "it begins with a line: {first:?}");
    Ok(())
}

async fn four_at_most(world: Arc<World>) -> Result<()> {
    let session = begun(&world, "four").await?;
    let mut open = Vec::new();
    for name in ["a", "b", "c", "d"] {
        open.push(Viewer::open(&world, &session, name, "").await?);
    }
    ensure!(refusal(&world, &session, "e", "", &[]).await? == 409);
    let told = listed(&world, &session).await?;
    let names: Vec<_> = told["terminals"]
        .as_array()
        .context("no list")?
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    ensure!(names == ["a", "b", "c", "d"], "{told}");
    let close = |name: &str| ask(&world, Method::DELETE, &path(&session, name), None);
    answered(close("/b"), 204).await?;
    answered(close("/b"), 404).await?;
    answered(close("/B"), 400).await?;
    let ended = open[1].until_sign("ended").await?;
    ensure!(ended["why"] == "closed", "{ended}");
    Viewer::open(&world, &session, "e", "").await?;
    Ok(())
}

async fn floods(world: Arc<World>) -> Result<()> {
    let session = begun(&world, "floods").await?;
    // Who reads nothing while very much is printed does not hold it up, and is not buffered for.
    let mut stalled = Viewer::open(&world, &session, "main", "").await?;
    let mut reader = Viewer::open(&world, &session, "main", "?attach=true").await?;
    reader.run("seq 1 2000000").await?;
    let memory = memory_of_server(&world, &session)?;
    ensure!(memory < 200 * 1024 * 1024, "{memory} bytes");
    // It skips to the end when it reads again, or was closed, and finds it when it comes back.
    if stalled.until("\nend").await.is_err() {
        ensure!(matches!(stalled.closed, Some(1013 | 1006)));
        stalled = Viewer::open(&world, &session, "main", "?attach=true").await?;
        stalled.until("\nend").await?;
    }
    // A frame that is too large ends its sender alone.
    let mut rude = Viewer::open(&world, &session, "main", "?attach=true").await?;
    rude.type_in(&"x".repeat(100 * 1024)).await?;
    while rude.closed.is_none() {
        rude.hear().await?;
    }
    let alive = reader.run("echo still").await?;
    ensure!(alive == "still", "{alive}");
    // What nobody reads waits for who has typed it.
    let mut typist = Viewer::open(&world, &session, "other", "").await?;
    typist.type_in("stty raw -echo; sleep 1000\r").await?;
    let much = "y".repeat(32 * 1024);
    for _ in 0..200 {
        let sending = typist.type_in(&much);
        if tokio::time::timeout(Duration::from_secs(2), sending)
            .await
            .is_err()
        {
            break;
        }
    }
    let memory = memory_of_server(&world, &session)?;
    ensure!(memory < 200 * 1024 * 1024, "{memory} bytes");
    let alive = reader.run("echo still").await?;
    ensure!(alive == "still", "{alive}");
    Ok(())
}

/// Bytes of memory of a session's agent-server.
fn memory_of_server(world: &World, session: &str) -> Result<u64> {
    let servers = world.processes_in_sandbox(session, "agent-server")?;
    let mut most = 0;
    for pid in servers {
        let told = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let pages = told.split_whitespace().nth(1);
        let pages: u64 = pages.and_then(|pages| pages.parse().ok()).unwrap_or(0);
        most = most.max(pages * 4096);
    }
    ensure!(most > 0, "no agent-server of {session}");
    Ok(most)
}

async fn nothing_is_left(world: Arc<World>) -> Result<()> {
    for how in ["close", "stop", "delete"] {
        let session = begun(&world, "left").await?;
        let mut shell = Viewer::open(&world, &session, "main", "").await?;
        // In the foreground, in the background, away from the terminal, and without its mark.
        shell
            .run("sleep 86411 & nohup sleep 86412 > /dev/null 2>&1 & setsid sleep 86413 & env -i sleep 86414 & true")
            .await?;
        shell.type_in("sleep 86415\r").await?;
        shell.until("sleep 86415").await?;
        while world.processes_in_sandbox(&session, "sleep")?.len() < 4 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (method, path) = match how {
            "close" => (Method::DELETE, path(&session, "/main")),
            "stop" => (Method::POST, format!("/api/agents/sessions/{session}/stop")),
            _ => (Method::DELETE, format!("/api/sessions/{session}")),
        };
        let answer = ask(&world, method, &path, None).send().await?;
        ensure!(answer.status().is_success(), "{how}: {}", answer.status());
        let left = sleeping();
        ensure!(left.is_empty(), "{how}: {left:?}");
        while shell.closed.is_none() {
            shell.hear().await?;
        }
        let ended = shell.signs.iter().find(|sign| sign["type"] == "ended");
        match how {
            "close" => ensure!(ended.is_some_and(|sign| sign["why"] == "closed")),
            "stop" => ensure!(
                ended.is_some_and(|sign| sign["why"] == "stopped"),
                "{ended:?}"
            ),
            _ => {}
        }
    }
    Ok(())
}

/// The processes that [`nothing_is_left`] has started.
fn sleeping() -> Vec<String> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.starts_with("sleep 8641") {
            found.push(command);
        }
    }
    found
}

async fn beside_a_turn(world: Arc<World>) -> Result<()> {
    let session = fresh_session("beside");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.say("run `sleep 3; cat by-hand.txt`").await?;
    tab.until(|event| event["type"] == "tool_use").await?;
    let mut shell = Viewer::open(&world, &session, "main", "").await?;
    shell.run("echo written-beside > by-hand.txt").await?;
    tab.completed().await?;
    let outputs = tab.contents("tool_result");
    ensure!(
        outputs
            .iter()
            .any(|output| output.contains("written-beside")),
        "{}",
        tab.seen()
    );
    // The terminal outlives the turn, and what was done there is in the turn's changes.
    let alive = shell.run("echo still").await?;
    ensure!(alive == "still", "{alive}");
    let diff = format!("/api/sessions/{session}/diff?from=begin&to=turn-1");
    let diff = answered(ask(&world, Method::GET, &diff, None), 200).await?;
    ensure!(diff.to_string().contains("by-hand.txt"), "{diff}");
    Ok(())
}

/// In a world of its own, in which sandboxes are put to sleep soon.
async fn asleep() -> Result<()> {
    let vars = [("SANDBOX_SLEEP_SECONDS", "6")];
    let world = World::start_with_worker(Provider::Local, &vars).await?;
    let session = begun(&world, "asleep").await?;
    let mut shell = Viewer::open(&world, &session, "main", "").await?;
    // Whoever types keeps it awake for longer than it would be otherwise.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        shell.run("echo here >> typed.txt").await?;
    }
    // A terminal that is only open does not.
    let ended = shell.until_sign("ended").await?;
    ensure!(ended["why"] == "stopped", "{ended}");
    while shell.closed.is_none() {
        shell.hear().await?;
    }
    let mut told = listed(&world, &session).await?;
    for _ in 0..100 {
        if told["sandbox"] == "sleeping" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        told = listed(&world, &session).await?;
    }
    ensure!(
        told == json!({ "sandbox": "sleeping", "terminals": [] }),
        "{told}"
    );
    // Who comes back to it wakes nobody.
    let status = refusal(&world, &session, "main", "?attach=true", &[]).await?;
    ensure!(status == 502, "{status}");
    let gone = ask(&world, Method::DELETE, &path(&session, "/main"), None);
    answered(gone, 404).await?;
    ensure!(listed(&world, &session).await?["sandbox"] == "sleeping");
    // Who opens one does, and finds the files.
    let mut shell = Viewer::open(&world, &session, "main", "").await?;
    let lines = shell.run("wc -l < typed.txt").await?;
    ensure!(lines == "5", "{lines}");
    world.stack.stop().await;
    Ok(())
}

async fn who_may(world: Arc<World>) -> Result<()> {
    let owner = fresh_session("shell").replace('_', "-");
    let alice = all_scopes(&world, &owner).await?;
    let session = begin(&world, "who-may", &alice).await?;
    let mallory = all_scopes(&world, "mallory").await?;
    let (_, reader) = key(&world, &owner, json!({ "scopes": ["read"] })).await?;
    let shares = format!("/api/sessions/{session}/shares");
    let link = ask(&world, Method::POST, &shares, Some(&alice)).json(&json!({ "mode": "write" }));
    let link = answered(link, 201).await?;
    let link = link["token"].as_str().context("no link")?;
    let bearer = |token: &str| format!("Bearer {token}");
    for (token, status) in [
        (mallory.as_str(), 403),
        (&reader, 403),
        (link, 403),
        ("wrong-token-of-nobody", 401),
    ] {
        let token = bearer(token);
        let headers = [("authorization", token.as_str())];
        for query in ["", "?attach=true"] {
            let got = refusal(&world, &session, "main", query, &headers).await?;
            ensure!(got == status, "{token}{query}: {got}");
        }
        let listed = ask(&world, Method::GET, &path(&session, ""), None);
        answered(listed.header("authorization", &token), status).await?;
        let ended = ask(&world, Method::DELETE, &path(&session, "/main"), None);
        answered(ended.header("authorization", &token), status).await?;
    }
    // By a subprotocol, by a ticket; another site's page may not, whatever it shows.
    let protocols = format!("agent-router, bearer.{alice}");
    let own = [("sec-websocket-protocol", protocols.as_str())];
    let mut shell = Viewer::open_as(&world, &session, "main", "", &own).await?;
    ensure!(shell.run("echo in").await? == "in");
    let foreign = [own[0], ("origin", "https://evil.test")];
    ensure!(refusal(&world, &session, "main", "", &foreign).await? == 403);
    let tickets = format!("/api/sessions/{session}/tickets");
    let ticket = answered(ask(&world, Method::POST, &tickets, Some(&alice)), 201).await?;
    let query = format!("?ticket={}", ticket["ticket"].as_str().unwrap_or_default());
    let mut other = Viewer::open(&world, &session, "main", &query).await?;
    other.until("in").await?;
    ensure!(refusal(&world, &session, "main", &query, &[]).await? == 401);
    let ticket = answered(ask(&world, Method::POST, &tickets, Some(link)), 201).await?;
    let query = format!("?ticket={}", ticket["ticket"].as_str().unwrap_or_default());
    ensure!(refusal(&world, &session, "main", &query, &[]).await? == 403);
    // What each may is told.
    let access = format!("/api/sessions/{session}/access");
    for (token, may) in [(alice.as_str(), true), (link, false), (OPERATOR, true)] {
        let told = answered(ask(&world, Method::GET, &access, Some(token)), 200).await?;
        ensure!(told["shell"] == may, "{told}");
    }
    // No name that was not made up for it.
    let unknown = fresh_session("nobody");
    let token = bearer(&alice);
    let headers = [("authorization", token.as_str())];
    ensure!(refusal(&world, &unknown, "main", "", &headers).await? == 404);

    let mut log = Value::Null;
    for _ in 0..100 {
        log = answered(ask(&world, Method::GET, "/api/audit", Some(&alice)), 200).await?;
        if log.to_string().matches("\"terminal\"").count() >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let entries = log["entries"].as_array().context("no log")?;
    let opened = entries.iter().filter(|entry| entry["what"] == "terminal");
    ensure!(
        opened.clone().count() == 2 && opened.clone().all(|one| one["about"] == session.as_str()),
        "{log}"
    );
    Ok(())
}
