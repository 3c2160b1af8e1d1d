//! One running `claude` process: its lines, its control requests, its end.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::asks::response;
use crate::conversations::fresh_uuid;
use crate::launch::{Running, Setup, Start};
use crate::lines::{Line, Lines};
use crate::mask::{Mask, Pieces, Secrets};
use crate::processes::{Children, OWN_PROGRAM, WITH_PARENT, own_session, signal};
use crate::wire::{ControlRequest, Kind, Message};

/// Bytes of a line of Claude Code's. Longer ones are read past.
pub const MAX_LINE: usize = 8 * 1024 * 1024;

/// Bytes of the standard error that are kept.
const MAX_STDERR: usize = 16 * 1024;

/// Lines that wait to be looked at; then Claude Code waits.
const WAITING: usize = 16;

/// What is read of the output once the process is gone, in case somebody else holds it open.
const DRAIN: Duration = Duration::from_millis(300);

/// The control request whose answer says that the process is ready.
const INITIALIZE: &str = "initialize";

/// The control request by which Claude Code asks whether a tool may be used.
const CAN_USE_TOOL: &str = "can_use_tool";

#[derive(Debug)]
pub enum Heard {
    Message(Box<Message>),
    /// A line of so many bytes was left out.
    TooLong(u64),
    /// The process is gone. Nothing comes after it.
    Gone(Exit),
}

/// How the process ended, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit(pub String);

#[derive(Debug)]
pub struct Claude {
    pub pid: u32,
    /// In the environment of all that it starts.
    pub mark: String,
    /// What it was started with.
    pub start: Start,
    /// What it runs with now.
    pub running: Running,
    /// Claude Code's name for the conversation.
    pub conversation: String,
    /// It has answered `initialize`.
    pub ready: bool,
    /// The session's rules, as they were told last.
    pub rules: Vec<String>,
    /// What it asks of a person is for whoever hears it; else it is refused.
    pub asks_people: bool,
    /// `None` once its input is closed.
    stdin: Option<mpsc::UnboundedSender<Vec<u8>>>,
    heard: mpsc::Receiver<Heard>,
    gone: Option<Exit>,
}

impl Claude {
    /// Starts a process. What is heard of it holds none of the `secrets`, but for pieces of text and
    /// the lines' raw form.
    ///
    /// # Errors
    /// Those of the start: no such program, arguments that hold NUL, no memory.
    pub fn spawn(
        setup: &Setup,
        start: Start,
        children: &Arc<Children>,
        secrets: &Arc<Secrets>,
    ) -> io::Result<Self> {
        let mark = fresh_uuid();
        if !setup.claude.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut command = Command::new(OWN_PROGRAM);
        command
            .arg0("agent-server")
            .arg(WITH_PARENT)
            .arg(std::process::id().to_string())
            .arg(&setup.claude)
            .args(start.arguments())
            .env_clear()
            .envs(start.environment(setup, &mark))
            .current_dir(&start.cwd)
            // A Ctrl-C in a terminal is for this server, which ends its children in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = children.spawn(&mut command)?;
        let pid = child.id().unwrap_or_default();
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("no pipes"));
        };

        let last_words = LastWords::default();
        tokio::spawn(listen_to_stderr(stderr, last_words.clone(), secrets.mask()));
        let (to_stdin, lines) = mpsc::unbounded_channel();
        tokio::spawn(write(stdin, lines));
        let (to_heard, heard) = mpsc::channel(WAITING);
        let secrets = Arc::clone(secrets);
        let children = Arc::clone(children);
        tokio::spawn(async move {
            let status = listen(child, stdout, &to_heard, &secrets).await;
            children.forget(pid);
            let words = last_words.line();
            // Nobody may be listening any more.
            let _gone = to_heard.send(Heard::Gone(exit(status, &words))).await;
        });
        Ok(Self {
            pid,
            mark,
            conversation: start.conversation.id().to_owned(),
            running: Running {
                model: Some(start.model.clone()),
                mode: Some(start.launch.permission_mode),
                allow: None,
            },
            start,
            ready: false,
            rules: Vec::new(),
            asks_people: false,
            stdin: Some(to_stdin),
            heard,
            gone: None,
        })
    }

    /// The next that comes from it. Requests of its own are answered here.
    pub async fn hear(&mut self) -> Heard {
        if let Some(exit) = &self.gone {
            return Heard::Gone(exit.clone());
        }
        let heard = self.heard.recv().await;
        self.note(heard)
    }

    /// The same, of what has come already.
    pub fn hear_waiting(&mut self) -> Option<Heard> {
        let heard = self.heard.try_recv().ok()?;
        Some(self.note(Some(heard)))
    }

    fn note(&mut self, heard: Option<Heard>) -> Heard {
        let heard = heard.unwrap_or_else(|| Heard::Gone(Exit("it ended".to_owned())));
        match &heard {
            Heard::Gone(exit) => self.gone = Some(exit.clone()),
            Heard::TooLong(_) => {}
            Heard::Message(message) => match &message.kind {
                Kind::ControlRequest(request) if !self.is_for_people(request) => {
                    self.send(&answer(request));
                }
                Kind::ModeChanged(changed) => self.running.mode = Some(changed.mode),
                Kind::ControlResponse(response) if response.response.request_id == INITIALIZE => {
                    self.ready = true;
                }
                Kind::Init(init) => self.conversation.clone_from(&init.session_id),
                _ => {}
            },
        }
        heard
    }

    /// Whether whoever hears a request has to answer it.
    pub fn is_for_people(&self, request: &ControlRequest) -> bool {
        self.asks_people && request.request.subtype == CAN_USE_TOOL
    }

    /// Writes a line. Only what serde has made goes there: a line that is not JSON ends the process.
    pub fn send(&self, line: &Value) {
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        if let Some(stdin) = &self.stdin {
            // Where it is gone, its end is heard.
            let _gone = stdin.send(bytes);
        }
    }

    /// Asks for the sign that it is ready.
    pub fn send_initialize(&self, setup: &Setup) {
        self.send_control(INITIALIZE, self.start.initialize(setup));
    }

    /// Sends a control request under this id.
    pub fn send_control(&self, id: &str, request: Value) {
        self.send(&json!({ "type": "control_request", "request_id": id, "request": request }));
    }

    /// Sets what is allowed without asking, besides what it was started with. It is in force before
    /// what is sent after it.
    pub fn allow(&mut self, rules: Vec<String>) {
        if self.running.allow.as_ref() == Some(&rules) {
            return;
        }
        let settings = json!({ "permissions": { "allow": rules } });
        self.send_control(
            &fresh_uuid(),
            json!({ "subtype": "apply_flag_settings", "settings": settings }),
        );
        self.running.allow = Some(rules);
    }

    /// Sends what a person says, under this UUID where its way is to be told.
    pub fn send_prompt(&self, uuid: Option<&str>, prompt: &str) {
        let mut line = json!({
            "type": "user",
            "message": { "role": "user", "content": prompt },
            "parent_tool_use_id": null,
        });
        if let (Some(uuid), Some(members)) = (uuid, line.as_object_mut()) {
            members.insert("uuid".to_owned(), uuid.into());
        }
        self.send(&line);
    }

    /// No more will be said to it: it ends when it has nothing left to do.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Ends it: its input is closed, after `close` it gets SIGTERM, after `term` SIGKILL. What its
    /// tools have put into the background lives on, its MCP servers don't.
    pub async fn stop(mut self, close: Duration, term: Duration, children: &Children) {
        self.close_stdin();
        let gone = tokio::time::timeout(close, self.until_gone()).await.is_ok();
        let (pid, mark) = (self.pid, self.mark.clone());
        if !gone {
            self.kill(term).await;
        }
        let session = own_session();
        children
            .kill_family(pid, &mark, |process| process.session == session)
            .await;
    }

    /// Ends it now: SIGTERM, by which it ends what its tools run, and SIGKILL where it has not gone
    /// after `patience`.
    pub async fn kill(mut self, patience: Duration) {
        signal(self.pid, Signal::TERM);
        if tokio::time::timeout(patience, self.until_gone())
            .await
            .is_err()
        {
            signal(self.pid, Signal::KILL);
            let _late = tokio::time::timeout(DRAIN, self.until_gone()).await;
        }
    }

    async fn until_gone(&mut self) {
        while !matches!(self.hear().await, Heard::Gone(_)) {}
    }
}

/// The answer to what Claude Code asks of its host, where no person can be asked.
fn answer(request: &ControlRequest) -> Value {
    let told = match request.request.subtype.as_str() {
        CAN_USE_TOOL => json!({
            "behavior": "deny",
            "message": "Nobody can be asked for permission in this session.",
        }),
        "hook_callback" => json!({}),
        other => {
            return json!({
                "type": "control_response",
                "response": {
                    "subtype": "error",
                    "request_id": request.request_id,
                    "error": format!("this host does not offer {other}"),
                },
            });
        }
    };
    response(&request.request_id, told)
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Hands on the process's lines until it is gone, and returns how it ended.
async fn listen(
    mut child: Child,
    stdout: ChildStdout,
    heard: &mpsc::Sender<Heard>,
    secrets: &Secrets,
) -> io::Result<ExitStatus> {
    let mut lines = Lines::new(BufReader::with_capacity(64 * 1024, stdout), MAX_LINE);
    let status = loop {
        let line = tokio::select! {
            biased;
            line = lines.next() => line,
            status = child.wait() => break status,
        };
        match line {
            Ok(Some(line)) => hand_on(line, heard, &secrets.mask()).await,
            // The end of its output, which it may close before it ends.
            Ok(None) | Err(_) => return child.wait().await,
        }
    };
    let drain = async {
        while let Ok(Some(line)) = lines.next().await {
            hand_on(line, heard, &secrets.mask()).await;
        }
    };
    let _held_open = tokio::time::timeout(DRAIN, drain).await;
    status
}

async fn hand_on(line: Line, heard: &mpsc::Sender<Heard>, mask: &Mask) {
    let line = match line {
        Line::TooLong(bytes) => Heard::TooLong(bytes),
        Line::Whole(line) => match Message::parse(line) {
            Some(mut message) => {
                mask.message(&mut message);
                Heard::Message(Box::new(message))
            }
            // Claude Code writes a warning there now and then.
            None => return,
        },
    };
    // Nobody may be listening any more; then the pipe is emptied all the same.
    let _gone = heard.send(line).await;
}

/// The end of the standard error, without secrets.
#[derive(Debug, Clone, Default)]
struct LastWords(Arc<Mutex<Words>>);

#[derive(Debug, Default)]
struct Words {
    ring: VecDeque<u8>,
    pieces: Pieces,
}

impl LastWords {
    fn add(&self, bytes: &[u8], mask: &Mask) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = words.pieces.bytes(mask, bytes);
        words.ring.extend(told);
        let excess = words.ring.len().saturating_sub(MAX_STDERR);
        words.ring.drain(..excess);
    }

    /// The last line that says something.
    fn line(&self) -> String {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = words.pieces.finish();
        words.ring.extend(rest.as_bytes());
        let text = String::from_utf8_lossy(words.ring.make_contiguous()).into_owned();
        let line = text
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with("[claude-code:"))
            .unwrap_or_default();
        line.chars().take(300).collect()
    }
}

async fn listen_to_stderr(mut stderr: ChildStderr, words: LastWords, mask: Arc<Mask>) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        words.add(buffer.get(..count).unwrap_or_default(), &mask);
    }
}

fn exit(status: io::Result<ExitStatus>, last_words: &str) -> Exit {
    let mut told = match status {
        Ok(status) => status.to_string(),
        Err(_) => "how, is not known".to_owned(),
    };
    if !last_words.is_empty() {
        told.push_str(": ");
        told.push_str(last_words);
    }
    Exit(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_few() {
        let (words, mask) = (LastWords::default(), Mask::new(["hunter2"]));
        for _ in 0..1000 {
            words.add(&[b'x'; 100], &mask);
        }
        words.add(b"\nthe cause is hun", &mask);
        words.add(b"ter2\n[claude-code:unrecognized_model] {}\n \n", &mask);
        assert_eq!(words.line(), "the cause is [secret]");
        assert!(words.0.lock().unwrap().ring.len() <= MAX_STDERR);
    }

    #[test]
    fn whatever_it_asks_is_answered() {
        for subtype in ["can_use_tool", "hook_callback", "elicitation", "tomorrow"] {
            let line = json!({
                "type": "control_request", "request_id": "r", "request": {"subtype": subtype},
            });
            let message = Message::parse(line.to_string().into_bytes()).unwrap();
            let Kind::ControlRequest(request) = message.kind else {
                panic!("{subtype}");
            };
            let answer = answer(&request);
            assert_eq!(answer["response"]["request_id"], "r", "{subtype}");
        }
    }
}
