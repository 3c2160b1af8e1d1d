//! The command line, as somebody types it, against the running stack.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::OnceCell;
use world::{PATIENCE, Running, World, fresh_session, lines, lone_test, test};
use xtask::stack::Provider;

use crate::access::{OPERATOR, all_scopes, key};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "agentctl::an_agent_is_launched_and_spoken_to", talk),
        test(world, "agentctl::text_comes_as_it_is_made", streamed),
        test(world, "agentctl::ctrl_c_interrupts_the_turn", interrupted),
        test(world, "agentctl::what_is_asked_is_answered", asked),
        test(world, "agentctl::files_go_and_come_back", files),
        test(world, "agentctl::nothing_acts_on_the_terminal", hostile),
        test(world, "agentctl::sessions_are_found_and_removed", sessions),
        lone_test(
            world,
            "agentctl::a_follower_comes_back_after_workerd_was_killed",
            comes_back,
        ),
    ]
}

pub fn guarded_tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "agentctl::signing_in", login),
        test(world, "agentctl::who_may_not_hears_so", not_allowed),
        test(world, "agentctl::configurations_and_keys", configs),
    ]
}

/// The program, built once.
async fn program() -> Result<&'static Path> {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    let built = PROGRAM.get_or_try_init(|| async {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "agentctl"])
            .current_dir(xtask::root())
            .status()
            .await?;
        ensure!(status.success(), "agentctl does not build");
        Ok(xtask::build::target_folder().join("debug/agentctl"))
    });
    Ok(built.await?.as_path())
}

/// Somebody at a shell: a folder, and what they have said to be.
struct Shell {
    folder: TempDir,
    server: Option<String>,
    token: Option<String>,
}

impl Shell {
    fn new(world: &World) -> Result<Self> {
        Ok(Self {
            folder: TempDir::new()?,
            server: Some(world.stack.url.clone()),
            token: None,
        })
    }

    fn with_token(world: &World, token: &str) -> Result<Self> {
        Ok(Self {
            token: Some(token.to_owned()),
            ..Self::new(world)?
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program().await?);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("FROM_ENV", "the-value-of-the-environment")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(server) = &self.server {
            command.env("AGENTCTL_SERVER", server);
        }
        if let Some(token) = &self.token {
            command.env("AGENTCTL_TOKEN", token);
        }
        Ok(command)
    }

    /// Runs a command to its end.
    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.command(arguments).await?.output();
        let output = tokio::time::timeout(PATIENCE * 2, output).await;
        Ok(output.with_context(|| format!("{arguments:?} does not end"))??)
    }

    /// What a command prints that ends with this code.
    async fn ends(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments).await?;
        let stdout = String::from_utf8(output.stdout)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(code),
            "{arguments:?} ends with {} instead of {code}:\n{stdout}\n{stderr}",
            output.status
        );
        Ok(if code == 0 {
            stdout
        } else {
            stderr.into_owned()
        })
    }

    async fn prints(&self, arguments: &[&str]) -> Result<String> {
        self.ends(0, arguments).await
    }

    /// The one object that a command prints.
    async fn object(&self, arguments: &[&str]) -> Result<Value> {
        let told = self.prints(&[arguments, &["--json"]].concat()).await?;
        ensure!(told.ends_with('\n') && told.lines().count() == 1, "{told}");
        Ok(serde_json::from_str(&told)?)
    }

    /// The objects that a command prints, one a line.
    async fn objects(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        lines(&self.prints(&[arguments, &["--json"]].concat()).await?)
    }

    async fn started(&self, arguments: &[&str]) -> Result<Going> {
        let mut child = self.command(arguments).await?.spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let stderr = BufReader::new(child.stderr.take().context("no stderr")?);
        Ok(Going {
            child,
            stdout,
            stderr: stderr.lines(),
        })
    }

    /// An agent of the demonstration, launched. Gives the session.
    async fn launched(&self, fields: Value) -> Result<String> {
        let mut config = json!({ "id": "demo", "name": "Demo", "model": "local/demo" });
        if let (Some(config), Some(fields)) = (config.as_object_mut(), fields.as_object()) {
            config.extend(fields.clone());
        }
        std::fs::write(self.path("agent.yaml"), config.to_string())?;
        let id = self.prints(&["launch", "--file", "agent.yaml"]).await?;
        Ok(id.trim().to_owned())
    }
}

/// A command that runs.
struct Going {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Going {
    /// Reads what it prints until it has printed this.
    async fn until(&mut self, wanted: &str) -> Result<String> {
        let mut told = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&told).ends_with(wanted) {
            let read = tokio::time::timeout(PATIENCE, self.stdout.read(&mut byte));
            let read = read
                .await
                .with_context(|| format!("no {wanted:?} comes"))??;
            ensure!(read > 0, "it ends with {}", String::from_utf8_lossy(&told));
            told.extend_from_slice(&byte);
        }
        Ok(String::from_utf8(told)?)
    }

    /// Reads what it says beside until a line has this.
    async fn until_said(&mut self, wanted: &str) -> Result<String> {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.stderr.next_line());
            let line = line
                .await
                .with_context(|| format!("no {wanted:?} is said"))??;
            let line = line.with_context(|| format!("it ends without {wanted:?}"))?;
            if line.contains(wanted) {
                return Ok(line);
            }
        }
    }

    /// The next line as JSON.
    async fn object(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stdout.read_line(&mut line));
        ensure!(read.await.context("no line comes")?? > 0, "it ends");
        Ok(serde_json::from_str(&line)?)
    }

    /// Ctrl-C.
    fn interrupt(&self) -> Result<()> {
        let id = self.child.id().context("it has ended")?.to_string();
        let sent = std::process::Command::new("kill")
            .args(["-INT", &id])
            .status()?;
        ensure!(sent.success(), "no signal");
        Ok(())
    }

    async fn code(mut self) -> Result<Option<i32>> {
        // So that it does not wait for somebody who reads.
        let mut rest = Vec::new();
        let end = async { tokio::join!(self.stdout.read_to_end(&mut rest), self.child.wait()) };
        let (_, ended) = tokio::time::timeout(PATIENCE, end)
            .await
            .context("it does not end")?;
        Ok(ended?.code())
    }
}

async fn talk(world: Arc<World>) -> Result<()> {
    let shell = Shell::new(&world)?;
    let presets = shell.objects(&["presets"]).await?;
    ensure!(presets.len() == 5, "{presets:?}");
    ensure!(shell.prints(&["presets"]).await?.contains("code-assistant"));

    // The answer is all of stdout, and what was done stands beside it.
    let config = "id: demo\nname: Demo\nmodel: local/demo\npermission_mode: acceptEdits\n";
    std::fs::write(shell.path("agent.yaml"), config)?;
    let prompt = "create a hello world app";
    let output = shell
        .run(&["launch", "--file", "agent.yaml", "--prompt", prompt])
        .await?;
    let said = String::from_utf8(output.stderr)?;
    let answer = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{said}");
    let session = said.lines().find_map(|line| line.strip_prefix("session "));
    let session = session.context("no session")?.to_owned();
    ensure!(world.workspace(&session).join("hello.py").exists());
    ensure!(said.contains("● Write") && said.contains("✓"), "{said}");
    ensure!(
        !answer.contains('●') && answer.trim().len() > 10,
        "{answer}"
    );
    ensure!(!said.contains('\x1b') && !answer.contains('\x1b'));

    // As a program: what comes are the log's events, in order, to the turn's end.
    let told = shell.objects(&["chat", &session, "run `echo one`"]).await?;
    let seqs: Vec<u64> = told
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    ensure!(seqs.len() == told.len() && seqs.windows(2).all(|two| two[0] < two[1]));
    let last = told.last().context("nothing")?;
    ensure!(
        last["state"] == "ended" && last["outcome"] == "completed",
        "{last}"
    );
    // From stdin.
    let mut chat = shell.command(&["chat", &session, "-"]).await?;
    let mut chat = chat.stdin(Stdio::piped()).spawn()?;
    let mut stdin = chat.stdin.take().context("no stdin")?;
    stdin.write_all(b"run `echo from-stdin`").await?;
    drop(stdin);
    ensure!(chat.wait_with_output().await?.status.success());

    let log = shell.prints(&["logs", &session]).await?;
    for wanted in [
        "user: create a hello world app",
        "tool: Write",
        "echo one",
        "from-stdin",
    ] {
        ensure!(log.contains(wanted), "no {wanted:?} in {log}");
    }
    let all = shell.objects(&["logs", &session]).await?;
    ensure!(all.first().context("nothing")?["seq"] == 1);
    let tail = shell.objects(&["logs", &session, "--tail", "3"]).await?;
    ensure!(tail == all[all.len() - 3..], "{tail:?}");
    let from = seqs.first().context("nothing")?.to_string();
    let rest = shell.objects(&["logs", &session, "--from", &from]).await?;
    ensure!(rest.first().context("nothing")?["seq"] == seqs[0] + 1);

    let usage = shell.object(&["usage", &session]).await?;
    ensure!(
        usage["turns"] == 3 && usage["output_tokens"].as_u64() > Some(0),
        "{usage}"
    );
    let used = shell.object(&["resources", &session]).await?;
    ensure!(used["status"] == "running", "{used}");
    let mut watch = shell
        .started(&["resources", &session, "--watch", "--json"])
        .await?;
    ensure!(watch.object().await?["session_id"] == session.as_str());
    watch.object().await?;
    watch.interrupt()?;
    ensure!(watch.code().await? == Some(130));
    let document = shell.prints(&["export", &session]).await?;
    ensure!(document.contains("create a hello world app"), "{document}");
    shell
        .prints(&["export", &session, "--format", "json", "-o", "all.json"])
        .await?;
    let document: Value = serde_json::from_slice(&std::fs::read(shell.path("all.json"))?)?;
    ensure!(document.to_string().contains("echo one"));
    // A document has an event a line.
    let told = shell.prints(&["export", &session, "--json"]).await?;
    ensure!(serde_json::from_str::<Value>(&told)? == document);

    let fork = shell
        .prints(&["fork", &session, "--turn", "turn-1"])
        .await?;
    let about = shell.object(&["show", fork.trim()]).await?;
    ensure!(about["turns"] == 1, "{about}");

    // Another agent goes on with its files.
    let launch = ["launch", "code-assistant", "--model", "local/demo"];
    let next = shell
        .prints(&[&launch[..], &["--workspace-from", &session]].concat())
        .await?;
    let next = next.trim();
    let about = shell.object(&["show", next]).await?;
    ensure!(
        about["config_id"] == "code-assistant" && about["model"] == "local/demo",
        "{about}"
    );
    let file = shell
        .prints(&["files", "get", next, "hello.py", "-"])
        .await?;
    ensure!(file.contains("print"), "{file}");
    Ok(())
}

async fn streamed(world: Arc<World>) -> Result<()> {
    let shell = Shell::new(&world)?;
    let session = shell
        .launched(json!({ "model": "scripted/halting" }))
        .await?;
    let mut chat = shell.started(&["chat", &session, "go on"]).await?;
    let begin = chat.until("before").await?;
    ensure!(begin == "before", "{begin}");
    // The model has said no more, so the turn is under way.
    let about = shell.object(&["show", &session]).await?;
    ensure!(about["status"] == "running", "{about}");
    ensure!(chat.until("\n").await? == " after\n");
    ensure!(chat.code().await? == Some(0));

    // What is said and left goes on by itself.
    let config = json!({ "id": "demo", "name": "Demo", "model": "local/demo" });
    std::fs::write(shell.path("agent.json"), config.to_string())?;
    let prompt = "run `echo goes-on`";
    let line = [
        "launch",
        "--file",
        "agent.json",
        "--prompt",
        prompt,
        "--no-wait",
    ];
    let session = shell.prints(&line).await?.trim().to_owned();
    let mut attach = shell
        .started(&["attach", &session, "--from", "0", "--json"])
        .await?;
    while attach.object().await?["state"] != "ended" {}
    let log = shell.prints(&["logs", &session]).await?;
    ensure!(log.contains("goes-on"), "{log}");

    // A turn that fails says so with its code.
    let session = shell.launched(json!({ "model": "scripted/401" })).await?;
    let failed = shell.ends(3, &["chat", &session, "hi"]).await?;
    ensure!(failed.contains("error:"), "{failed}");
    Ok(())
}

async fn interrupted(world: Arc<World>) -> Result<()> {
    let shell = Shell::new(&world)?;
    let session = shell.launched(json!({})).await?;
    let mut chat = shell
        .started(&["chat", &session, "run `sleep 600`"])
        .await?;
    chat.until_said("● Bash").await?;
    chat.interrupt()?;
    chat.until_said("interrupting").await?;
    ensure!(chat.code().await? == Some(130));
    let about = shell.object(&["show", &session]).await?;
    ensure!(about["status"] == "idle", "{about}");
    let last = shell.objects(&["logs", &session, "--tail", "1"]).await?;
    ensure!(last[0]["outcome"] == "interrupted", "{last:?}");

    // By another command, while somebody follows.
    let mut chat = shell
        .started(&["chat", &session, "run `sleep 600`"])
        .await?;
    chat.until_said("● Bash").await?;
    let stopped = shell.object(&["interrupt", &session]).await?;
    ensure!(stopped["interrupted"] == true, "{stopped}");
    ensure!(chat.code().await? == Some(130));
    ensure!(shell.prints(&["interrupt", &session]).await? == "nothing ran\n");

    // Who follows leaves, and stops nothing.
    let mut chat = shell
        .started(&["chat", &session, "run `sleep 600`"])
        .await?;
    chat.until_said("● Bash").await?;
    let mut attach = shell.started(&["attach", &session]).await?;
    // One that has just begun may not hear it yet, where its parent ignores the signal.
    let began = std::time::Instant::now();
    while attach.child.try_wait()?.is_none() {
        ensure!(began.elapsed() < PATIENCE, "it does not leave");
        attach.interrupt()?;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    ensure!(attach.code().await? != Some(0));
    let about = shell.object(&["show", &session]).await?;
    ensure!(about["status"] == "running", "{about}");
    let stopped = shell.object(&["stop", &session]).await?;
    ensure!(stopped["status"] == "stopped", "{stopped}");
    let about = shell.object(&["show", &session]).await?;
    ensure!(about["status"] == "stopped", "{about}");
    Ok(())
}

async fn asked(world: Arc<World>) -> Result<()> {
    let shell = Shell::new(&world)?;
    let session = shell
        .launched(json!({ "permission_mode": "default" }))
        .await?;
    let file = world.workspace(&session).join("hello.py");
    let prompt = "create a hello world app";
    shell
        .prints(&["chat", &session, prompt, "--permissions", "deny"])
        .await?;
    ensure!(!file.exists());
    shell
        .prints(&["chat", &session, prompt, "--permissions", "allow"])
        .await?;
    ensure!(file.exists());

    // By somebody else, who sees in the log what is asked.
    let session = shell
        .launched(json!({ "permission_mode": "default" }))
        .await?;
    let mut chat = shell.started(&["chat", &session, prompt]).await?;
    chat.until_said("asks permission").await?;
    let mut answers = 0;
    let mut attach = shell
        .started(&["attach", &session, "--from", "0", "--json"])
        .await?;
    loop {
        let event = attach.object().await?;
        if event["type"] == "permission_request" {
            let request = event["request_id"].as_str().context("no id")?.to_owned();
            let answer = ["answer", &session, &request, "allow"];
            let stray = [&answer[..], &["--to", "foo=bar"]].concat();
            let told = shell.ends(2, &stray).await?;
            ensure!(told.contains("no question"), "{told}");
            shell.prints(&answer).await?;
            answers += 1;
            // Once is enough.
            shell.ends(1, &answer).await?;
        } else if event["state"] == "ended" {
            break;
        }
    }
    ensure!(answers > 0 && chat.code().await? == Some(0));
    ensure!(world.workspace(&session).join("hello.py").exists());
    Ok(())
}

async fn files(world: Arc<World>) -> Result<()> {
    let shell = Shell::new(&world)?;
    let session = shell.launched(json!({})).await?;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    std::fs::write(shell.path("data.bin"), &bytes)?;
    shell
        .prints(&["files", "put", &session, "data.bin", "deep/ä folder/"])
        .await?;
    let there = "deep/ä folder/data.bin";
    ensure!(std::fs::read(world.workspace(&session).join(there))? == bytes);
    // There is one, which is not replaced by accident; neither is one here.
    shell
        .ends(1, &["files", "put", &session, "data.bin", there])
        .await?;
    shell
        .prints(&["files", "put", &session, "data.bin", there, "--force"])
        .await?;
    shell.ends(1, &["files", "get", &session, there]).await?;
    std::fs::create_dir(shell.path("folder"))?;
    let got = shell
        .object(&["files", "get", &session, there, "folder"])
        .await?;
    ensure!(got["size_bytes"] == 3_000_000, "{got}");
    ensure!(std::fs::read(shell.path("folder/data.bin"))? == bytes);
    let raw = shell
        .run(&[
            "files",
            "get",
            &session,
            "/workspace/deep/ä folder/data.bin",
            "-",
        ])
        .await?;
    ensure!(raw.stdout == bytes, "{} bytes", raw.stdout.len());
    let put = shell
        .command(&["files", "put", &session, "-", "from-stdin.txt"])
        .await?;
    let (mut put, piped) = (put, Stdio::piped());
    let mut put = put.stdin(piped).spawn()?;
    let mut stdin = put.stdin.take().context("no stdin")?;
    stdin.write_all(b"one\ntwo\n").await?;
    drop(stdin);
    let put = put.wait_with_output().await?;
    ensure!(
        put.status.success(),
        "{}",
        String::from_utf8_lossy(&put.stderr)
    );

    let listed = shell.objects(&["files", "ls", &session]).await?;
    let paths: Vec<&str> = listed
        .iter()
        .filter_map(|node| node["path"].as_str())
        .collect();
    ensure!(paths.iter().any(|path| path.ends_with(there)), "{paths:?}");
    ensure!(
        shell
            .prints(&["files", "ls", &session, "deep"])
            .await?
            .contains("data.bin")
    );
    shell.ends(2, &["files", "ls", &session, there]).await?;

    // Where there is none, nothing is left behind.
    let told = shell
        .ends(4, &["files", "get", &session, "nothing.txt"])
        .await?;
    ensure!(
        told.contains("nothing.txt") && !told.contains("download"),
        "{told}"
    );
    shell
        .ends(2, &["files", "get", &session, "../../etc/passwd"])
        .await?;
    let left: Vec<String> = std::fs::read_dir(shell.folder.path())?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("nothing") || name.starts_with(".agentctl"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");

    shell.prints(&["files", "zip", &session]).await?;
    let zip = std::fs::read(shell.path(&format!("{session}.zip")))?;
    ensure!(zip.starts_with(b"PK\x03\x04"));
    let holds = |name: &str| zip.windows(name.len()).any(|part| part == name.as_bytes());
    ensure!(holds("deep/ä folder/data.bin") && holds("from-stdin.txt"));
    let piped = shell
        .run(&["files", "zip", &session, "deep", "-o", "-"])
        .await?;
    ensure!(piped.stdout.starts_with(b"PK\x03\x04"));

    let diff = shell.prints(&["diff", &session]).await?;
    ensure!(
        diff.contains("+++ b/from-stdin.txt\n@@ -0,0 +1,2 @@\n+one\n"),
        "{diff}"
    );
    let diff = shell.object(&["diff", &session]).await?;
    ensure!(diff["files"][1]["path"] == "from-stdin.txt", "{diff}");
    let told = shell.ends(4, &["diff", &session, "turn-7"]).await?;
    ensure!(
        told.contains("turn-7") && !told.contains("turn-6"),
        "{told}"
    );

    shell.prints(&["files", "mkdir", &session, "old"]).await?;
    shell
        .prints(&["files", "mv", &session, "from-stdin.txt", "old/one.txt"])
        .await?;
    let moved = shell
        .prints(&["files", "get", &session, "old/one.txt", "-"])
        .await?;
    ensure!(moved == "one\ntwo\n", "{moved}");
    shell.ends(1, &["files", "rm", &session, "old"]).await?;
    shell
        .prints(&["files", "rm", &session, "old", "-r"])
        .await?;
    ensure!(!world.workspace(&session).join("old").exists());
    Ok(())
}

/// What others have made shows its escape sequences as signs.
async fn hostile(world: Arc<World>) -> Result<()> {
    let shell = Shell::new(&world)?;
    let session = shell.launched(json!({})).await?;
    let said = "run `printf '\\033]0;owned\\007\\033[2J\\302\\2331m'`\x1b[8m\u{202e}\u{9b}2J";
    let mut everything = Vec::new();
    for arguments in [
        &["chat", &session, said][..],
        &["logs", &session],
        &["logs", &session, "--json"],
        &["ls", "-q", &session],
        &["show", &session],
    ] {
        let output = shell.run(arguments).await?;
        ensure!(output.status.success(), "{arguments:?}");
        everything.push(output.stdout);
        everything.push(output.stderr);
    }
    let name = "a\x1b]52;c;AAAA\x07\nb\u{202e}.txt";
    std::fs::write(world.workspace(&session).join(name), "\x1b[2J")?;
    for arguments in [
        &["files", "ls", &session][..],
        &["files", "ls", &session, "--json"],
        &["files", "get", &session, "no\x1b[2J"],
        &["show", "no-such-session"],
    ] {
        let output = shell.run(arguments).await?;
        everything.push(output.stdout);
        everything.push(output.stderr);
    }
    let all = String::from_utf8(everything.concat())?;
    let acts = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    ensure!(!all.contains(acts), "{all:?}");
    ensure!(
        all.contains("␛]0;owned") && all.contains("␛]52;c;AAAA"),
        "{all}"
    );
    // And as it is, where that is what was asked for.
    let raw = shell.run(&["files", "get", &session, name, "-"]).await?;
    ensure!(raw.stdout == b"\x1b[2J");
    Ok(())
}

async fn sessions(world: Arc<World>) -> Result<()> {
    let shell = Shell::new(&world)?;
    let word = fresh_session("found");
    let mut launched = Vec::new();
    for _ in 0..3 {
        let session = shell.launched(json!({})).await?;
        shell
            .prints(&["chat", &session, &format!("say {word}")])
            .await?;
        launched.push(session);
    }
    let found = shell.objects(&["ls", "-q", &word]).await?;
    ensure!(found.len() == 3, "{found:?}");
    let first = shell.objects(&["ls", "-q", &word, "--limit", "1"]).await?;
    let second = shell
        .objects(&["ls", "-q", &word, "--limit", "1", "--offset", "1"])
        .await?;
    ensure!(first == found[..1] && second == found[1..2]);
    ensure!(
        shell
            .objects(&["ls", "-q", &word, "--status", "idle", "--all"])
            .await?
            .len()
            == 3
    );
    ensure!(
        shell
            .objects(&["ls", "-q", &word, "--status", "error"])
            .await?
            .is_empty()
    );
    ensure!(
        shell
            .prints(&["ls", "-q", &word])
            .await?
            .contains(&launched[0])
    );
    // Nobody is there to be asked.
    let told = shell.ends(2, &["rm", &launched[0]]).await?;
    ensure!(told.contains("-y"), "{told}");
    shell
        .prints(&["rm", "-y", &launched[0], &launched[1]])
        .await?;
    let found = shell.objects(&["ls", "-q", &word]).await?;
    ensure!(found.len() == 1 && found[0]["session_id"] == launched[2].as_str());

    let told = shell.ends(4, &["show", &launched[0]]).await?;
    ensure!(
        told.contains("no such session") || told.contains("404"),
        "{told}"
    );
    for arguments in [
        &["chat", &launched[0], "hi"][..],
        &["attach", &launched[0]],
        &["rm", "-y", &launched[0]],
        &["files", "ls", &launched[0]],
        &["launch", "nobody-has-this"],
    ] {
        shell.ends(4, arguments).await?;
    }
    // An error is JSON where everything is.
    let told = shell.ends(4, &["show", &launched[0], "--json"]).await?;
    let told: Value = serde_json::from_str(&told)?;
    ensure!(
        told["error"]["code"] == "not_found" && told["error"]["status"] == 404,
        "{told}"
    );
    shell.ends(2, &["show", "../x"]).await?;
    shell.ends(2, &["no-such-command"]).await?;
    shell.ends(2, &["ls", "--status", "asleep"]).await?;
    let providers = shell.objects(&["providers"]).await?;
    ensure!(
        providers.iter().any(|one| one["default"] == true),
        "{providers:?}"
    );
    let usage = shell.object(&["usage"]).await?;
    ensure!(usage["days"].is_array(), "{usage}");
    let table = shell.prints(&["usage"]).await?;
    ensure!(
        table.starts_with("DAY ") && table.contains("\nall "),
        "{table}"
    );
    let told = shell.ends(1, &["usage", "--from", "yesterday"]).await?;
    ensure!(told.contains("from must be a day"), "{told}");
    let field = shell
        .ends(1, &["launch", "code-assistant", "--mcp-env", "FROM_ENV"])
        .await?;
    ensure!(
        field.contains("FROM_ENV") && !field.contains("the-value-of"),
        "{field}"
    );
    shell
        .ends(2, &["launch", "code-assistant", "--mcp-env", "NOT_SET"])
        .await?;
    shell
        .ends(2, &["ls", "--profile", "nobody-has-this"])
        .await?;
    let nobody = Shell {
        server: Some("http://127.0.0.1:1".to_owned()),
        ..Shell::new(&world)?
    };
    let told = nobody.ends(1, &["ls"]).await?;
    ensure!(
        told.contains("127.0.0.1:1") && told.contains("AGENTCTL_SERVER"),
        "{told}"
    );
    for name in ["bash", "zsh", "fish"] {
        ensure!(
            shell
                .prints(&["completions", name])
                .await?
                .contains("agentctl")
        );
    }
    ensure!(
        shell.object(&["models"]).await.is_err(),
        "models are many lines"
    );
    let models = shell.objects(&["models"]).await?;
    ensure!(
        models.iter().any(|model| model["id"] == "local/demo"),
        "{models:?}"
    );
    Ok(())
}

async fn comes_back() -> Result<()> {
    let mut world = World::start(Provider::Local).await?;
    let shell = Shell::new(&world)?;
    let session = shell.launched(json!({})).await?;
    shell
        .prints(&["chat", &session, "run `echo before`"])
        .await?;
    let mut attach = shell
        .started(&["attach", &session, "--from", "0", "--json"])
        .await?;
    // A tool runs while the Workers are away: a model call that is cut would be the turn's end.
    let prompt = "run `sh -c 'sleep 15; echo and went on'`";
    let mut chat = shell.started(&["chat", &session, prompt, "--json"]).await?;
    let mut answer = vec![chat.object().await?];
    while answer.last().context("nothing")?["type"] != "tool_use" {
        answer.push(chat.object().await?);
    }
    let mut seen = vec![attach.object().await?];
    while seen.last().context("nothing")?["tool"] != "Bash" {
        seen.push(attach.object().await?);
    }
    world.crash_and_restart_workers().await?;
    while answer.last().context("nothing")?["state"] != "ended" {
        answer.push(chat.object().await?);
    }
    ensure!(chat.code().await? == Some(0));
    shell
        .prints(&["chat", &session, "run `echo after`"])
        .await?;
    let turns = |seen: &[Value]| {
        seen.iter()
            .filter(|event| event["state"] == "ended")
            .count()
    };
    while turns(&seen) < 3 {
        seen.push(attach.object().await?);
    }
    // Both have everything, once, in order.
    let log = shell.objects(&["logs", &session]).await?;
    ensure!(seen == log[..seen.len()], "{} of {}", seen.len(), log.len());
    ensure!(answer.iter().all(|event| log.contains(event)));
    let of_turn = log
        .iter()
        .filter(|event| event["turn_id"] == "turn-2")
        .count();
    ensure!(answer.len() == of_turn, "{} of {of_turn}", answer.len());
    attach.interrupt()?;
    ensure!(attach.code().await? == Some(130));
    world.stack.stop().await;
    Ok(())
}

async fn login(world: Arc<World>) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut shell = Shell::new(&world)?;
    let (server, token) = (
        shell.server.take().context("no server")?,
        all_scopes(&world, "typist").await?,
    );
    let signed_in = async |shell: &Shell, arguments: &[&str], token: &str| {
        let mut login = shell
            .command(&[&["login", "--token-stdin"], arguments].concat())
            .await?;
        let mut login = login.stdin(Stdio::piped()).spawn()?;
        let mut stdin = login.stdin.take().context("no stdin")?;
        stdin.write_all(token.as_bytes()).await?;
        drop(stdin);
        anyhow::Ok(login.wait_with_output().await?)
    };
    let wrong = signed_in(&shell, &["--server", &server], "not-a-key").await?;
    ensure!(wrong.status.code() == Some(5), "{wrong:?}");
    let kept = shell.path(".config/agentctl/config.toml");
    ensure!(!kept.exists());
    let right = signed_in(&shell, &["--server", &server], &format!("{token}\n")).await?;
    ensure!(right.status.success(), "{right:?}");
    ensure!(std::fs::metadata(&kept)?.permissions().mode() & 0o777 == 0o600);
    let printed = [right.stdout, right.stderr].concat();
    ensure!(!String::from_utf8_lossy(&printed).contains(&token));

    // From here on it needs neither.
    let session = shell.launched(json!({})).await?;
    shell
        .prints(&["chat", &session, "run `echo signed-in`"])
        .await?;
    ensure!(shell.prints(&["ls"]).await?.contains(&session));

    // Another profile is somebody else.
    let other = all_scopes(&world, "another-typist").await?;
    let line = ["--profile", "other", "--server", &server];
    ensure!(signed_in(&shell, &line, &other).await?.status.success());
    ensure!(
        !shell.prints(&["ls"]).await?.contains(&session),
        "it is the one that is used now"
    );
    ensure!(
        shell
            .prints(&["ls", "--profile", "default"])
            .await?
            .contains(&session)
    );
    let profiles = shell.prints(&["profiles"]).await?;
    ensure!(
        profiles.contains("other") && !profiles.contains(&token),
        "{profiles}"
    );
    // The environment goes before it.
    shell.token = Some("wrong".to_owned());
    shell.ends(5, &["ls"]).await?;
    shell.token = None;
    // The key does not go to another server.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let elsewhere = format!("http://{}", listener.local_addr()?);
    let heard = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await?;
        let mut request = vec![0; 4096];
        let bytes = connection.read(&mut request).await?;
        connection
            .write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")
            .await?;
        anyhow::Ok(String::from_utf8_lossy(request.get(..bytes).unwrap_or_default()).into_owned())
    });
    shell.ends(5, &["ls", "--server", &elsewhere]).await?;
    let heard = heard.await??;
    ensure!(
        heard.starts_with("GET /api/agents/sessions")
            && !heard.to_lowercase().contains("authorization"),
        "{heard}"
    );

    shell.prints(&["logout", "--profile", "other"]).await?;
    shell.ends(2, &["ls", "--profile", "other"]).await?;
    Ok(())
}

async fn not_allowed(world: Arc<World>) -> Result<()> {
    let owner = all_scopes(&world, "ctl-owner").await?;
    let (_, reader) = key(&world, "ctl-owner", json!({ "scopes": ["read"] })).await?;
    let stranger = all_scopes(&world, "ctl-stranger").await?;
    let shell = Shell::with_token(&world, &owner)?;
    let session = shell.launched(json!({})).await?;
    let reading = Shell::with_token(&world, &reader)?;
    reading.prints(&["show", &session]).await?;
    for (shell, arguments) in [
        (&Shell::with_token(&world, "not-a-key")?, &["ls"][..]),
        (&Shell::new(&world)?, &["ls"]),
        (&Shell::with_token(&world, &stranger)?, &["show", &session]),
        (
            &Shell::with_token(&world, &stranger)?,
            &["attach", &session],
        ),
        (
            &Shell::with_token(&world, &stranger)?,
            &["files", "ls", &session],
        ),
        (&reading, &["launch", "code-assistant"]),
        (&reading, &["chat", &session, "hi"]),
        (&reading, &["stop", &session]),
        (&reading, &["rm", "-y", &session]),
    ] {
        let told = shell.ends(5, arguments).await?;
        ensure!(told.contains("agentctl login"), "{told}");
        let told = shell.ends(5, &[arguments, &["--json"]].concat()).await?;
        let told: Value = serde_json::from_str(&told)?;
        ensure!(told["error"]["detail"].is_string(), "{told}");
    }
    shell.prints(&["show", &session]).await?;
    Ok(())
}

async fn configs(world: Arc<World>) -> Result<()> {
    let token = all_scopes(&world, "ctl-configs").await?;
    let shell = Shell::with_token(&world, &token)?;
    std::fs::write(
        shell.path("reader.yaml"),
        "id: reader\nname: Reader\nallowed_tools: [Read]\n",
    )?;
    ensure!(shell.prints(&["configs", "put", "reader.yaml"]).await? == "reader\n");
    shell.ends(1, &["configs", "put", "reader.yaml"]).await?;
    std::fs::write(
        shell.path("reader.yaml"),
        "id: reader\nname: Other\nmodel: local/demo\n",
    )?;
    shell
        .prints(&["configs", "put", "reader.yaml", "--replace", "reader"])
        .await?;
    ensure!(shell.objects(&["configs", "ls"]).await?.len() == 1);
    ensure!(shell.object(&["configs", "get", "reader"]).await?["name"] == "Other");
    ensure!(shell.object(&["configs", "schema"]).await?["properties"].is_object());
    // Over lines, and still JSON.
    for document in [&["configs", "get", "reader"][..], &["configs", "schema"]] {
        let told = shell.prints(document).await?;
        let _: Value = serde_json::from_str(&told).with_context(|| told.clone())?;
        ensure!(told.lines().count() > 3, "{told}");
    }
    let session = shell.prints(&["launch", "reader"]).await?;
    shell.prints(&["show", session.trim()]).await?;
    shell.prints(&["configs", "rm", "reader"]).await?;
    let told = shell.ends(4, &["configs", "get", "reader"]).await?;
    ensure!(told.contains("agentctl presets"), "{told}");
    std::fs::write(
        shell.path("wrong.yaml"),
        "id: wrong\nname: W\nmax_turns: 0\n",
    )?;
    let told = shell.ends(1, &["configs", "put", "wrong.yaml"]).await?;
    ensure!(told.contains("max_turns"), "{told}");

    let shell = Shell::with_token(&world, OPERATOR)?;
    let owner = ["--owner", "ctl-keys"];
    let create = [
        "keys", "create", "--name", "ci", "--scopes", "read", "--days", "1",
    ];
    let key = shell.prints(&[&create[..], &owner].concat()).await?;
    ensure!(key.starts_with("ar_ctl-keys_"), "{key}");
    let keys = shell
        .objects(&[&["keys", "ls"], &owner[..]].concat())
        .await?;
    ensure!(
        keys.len() == 1 && keys[0]["name"] == "ci" && !keys[0].to_string().contains(key.trim())
    );
    let of_key = Shell::with_token(&world, key.trim())?;
    of_key.prints(&["ls"]).await?;
    let id = keys[0]["id"].as_str().context("no id")?;
    shell
        .prints(&[&["keys", "revoke", id], &owner[..]].concat())
        .await?;
    of_key.ends(5, &["ls"]).await?;
    Ok(())
}
