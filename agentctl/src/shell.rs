//! A shell in a session's sandbox, at this terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::terminal::{ACCESS_ENDED, End, Sign, Size, View};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::tungstenite::Message;

use crate::api::Api;
use crate::cli::AShell;
use crate::failure::Failure;
use crate::out::Out;

/// The key that leaves: Ctrl-].
const LEAVE: u8 = 0x1d;

/// How often the server is told that somebody is here.
const PING: Duration = Duration::from_secs(30);

/// Opens a terminal, or comes back to one, until its shell ends or somebody leaves it.
///
/// # Errors
/// What the server says, or that this is no terminal.
pub async fn shell(api: &Api, out: Out, given: &AShell) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !out.terminal {
        return Err(Failure::Usage(
            "shell is for a terminal: its input and its output must be one".to_owned(),
        ));
    }
    let view = View {
        size: size(),
        attach: given.attach,
        seconds: None,
    };
    let (session, name, query) = (&given.session, &given.name, view.query());
    let path = format!("/api/sessions/{session}/terminals/{name}?{query}");
    let socket = api.socket(&path).await?;
    out.say("Ctrl-] leaves; the terminal goes on until its shell ends, or 15 minutes without use");
    let mut resized = signal(SignalKind::window_change())?;
    let raw = Raw::set()?;
    let left = async {
        let (mut to_shell, mut from_shell) = socket.split();
        let (mut stdin, mut typed) = (tokio::io::stdin(), [0; 4096]);
        let mut ping = tokio::time::interval(PING);
        loop {
            let frame = tokio::select! {
                read = stdin.read(&mut typed) => {
                    let typed = typed.get(..read?).unwrap_or_default();
                    let leaves = typed.iter().position(|key| *key == LEAVE);
                    if typed.is_empty() || leaves == Some(0) {
                        return Ok(None);
                    }
                    let typed = typed.get(..leaves.unwrap_or(typed.len())).unwrap_or_default();
                    Message::binary(typed.to_vec())
                }
                _ = resized.recv() => match size() {
                    Some(Size { cols, rows }) => {
                        Message::text(format!(r#"{{"type":"resize","cols":{cols},"rows":{rows}}}"#))
                    }
                    None => continue,
                },
                _ = ping.tick() => Message::text(r#"{"type":"ping"}"#),
                heard = from_shell.next() => {
                    match heard {
                        Some(Ok(Message::Binary(bytes))) => out.bytes(&bytes)?,
                        Some(Ok(Message::Text(text))) => {
                            if let Ok(Sign::Ended { why, code }) = serde_json::from_str(&text) {
                                return Ok(Some((why, code)));
                            }
                        }
                        Some(Ok(Message::Close(frame))) => {
                            let again = frame.is_some_and(|frame| u16::from(frame.code) == ACCESS_ENDED);
                            return Err(broken(api, given, again));
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return Err(broken(api, given, false)),
                    }
                    continue;
                }
            };
            if to_shell.send(frame).await.is_err() {
                return Err(broken(api, given, false));
            }
        }
    };
    let left = left.await;
    drop(raw);
    out.say("");
    match left? {
        None => {
            out.say(&format!(
                "You have left it. Back: agentctl shell {session} --name {name}"
            ));
        }
        Some((why, code)) => out.say(&ended(why, code)),
    }
    Ok(())
}

fn ended(why: End, code: Option<i32>) -> String {
    let words = match why {
        End::Exited => "The shell has ended",
        End::Closed => "Somebody has closed the terminal",
        End::Unused => "The terminal has ended, as nobody used it",
        End::Stopped => "The terminal has ended: the sandbox sleeps, or was stopped",
    };
    match code {
        Some(code) if code != 0 => format!("{words} with exit code {code}"),
        _ => words.to_owned(),
    }
}

fn broken(api: &Api, given: &AShell, again: bool) -> Failure {
    let back = format!("agentctl shell {} --name {}", given.session, given.name);
    match again {
        true => api.unreachable(&format!("the key has to be shown again: {back}")),
        false => api.unreachable(&format!(
            "the connection broke, and the terminal may go on: {back}"
        )),
    }
}

/// How large this terminal is; none where it does not say, or is of no usual size.
fn size() -> Option<Size> {
    let told = tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Size::checked(told.ws_col, told.ws_row).ok()
}

/// This terminal, handing on each key as it is pressed; as it was before when this is dropped.
struct Raw(Termios);

impl Raw {
    fn set() -> Result<Self, Failure> {
        let failed = |error| Failure::here("the terminal", error);
        let before = tcgetattr(rustix::stdio::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Where there is no terminal any more, nothing is to be restored.
        let _gone = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.0);
    }
}
