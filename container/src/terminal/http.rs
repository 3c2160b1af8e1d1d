//! The routes of terminals, and one viewer's socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::terminal::{
    ACCESS_ENDED, Control, MAX_FRAME, Sign, TRY_AGAIN_LATER, TerminalName, View,
};
use protocol::{Problem, ProblemKind};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::{Look, Said, Terminal};
use crate::disk;
use crate::http::{Answer, Server, only};

/// Viewers of a terminal.
const MAX_VIEWERS: usize = 16;

/// How long a viewer may take to read what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// A viewer that says nothing for so long, no ping either, is taken for gone.
const SILENCE: Duration = Duration::from_secs(100);

/// Bytes of what was printed before in one frame.
const PIECE: usize = 32 * 1024;

/// Answers to a viewer that wait to be sent; then it is not listened to.
const REPLIES: usize = 8;

pub fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route(
            "/terminals",
            only(
                on(MethodFilter::GET, list).on(MethodFilter::DELETE, hang_up),
                "GET, HEAD, DELETE",
            ),
        )
        .route(
            "/terminals/{name}",
            only(
                on(MethodFilter::GET, open).on(MethodFilter::DELETE, close),
                "GET, HEAD, DELETE",
            ),
        )
}

/// To look which there are is no use.
async fn list(State(server): State<Arc<Server>>) -> Response {
    axum::Json(server.terminals.list(&server.agent.shared)).into_response()
}

/// The sandbox is about to stop.
async fn hang_up(State(server): State<Arc<Server>>) -> Answer {
    server.terminals.hang_up().await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn close(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Answer {
    let name = TerminalName::parse(&name)?;
    server.terminals.close(&name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn open(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let name = TerminalName::parse(&name)?;
    let wish = View::parse(query.as_deref().unwrap_or_default())?;
    let upgrade = upgrade.map_err(|error| {
        let words = format!("this path is a WebSocket: {error}");
        Problem::new(ProblemKind::UpgradeRequired, words)
    })?;
    let shared = &server.agent.shared;
    if !shared.disk.is_ready() {
        return Err(disk::not_ready().into());
    }
    let (terminal, new) = server.terminals.open(shared, &name, &wish)?;
    let viewer = Viewer::of(terminal).ok_or_else(|| {
        let words = format!("{MAX_VIEWERS} look at this terminal already");
        Problem::new(ProblemKind::TooManyRequests, words)
    })?;
    let upgrade = upgrade
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    Ok(upgrade.on_upgrade(async move |socket| viewer.serve(socket, wish, new).await))
}

/// Somebody who looks at a terminal; counted for as long as it lives.
struct Viewer(Arc<Terminal>);

impl Viewer {
    fn of(terminal: Arc<Terminal>) -> Option<Self> {
        let more = |viewers: usize| (viewers < MAX_VIEWERS).then_some(viewers + 1);
        let counted = terminal
            .viewers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.is_ok().then_some(Self(terminal))
    }

    async fn serve(self, socket: WebSocket, wish: View, new: bool) {
        let terminal = &self.0;
        if let Some(size) = wish.size {
            terminal.resize(size);
        }
        let (to_viewer, from_viewer) = socket.split();
        let (replies, to_send) = mpsc::channel(REPLIES);
        let mut out = Out(to_viewer);
        let showing = async {
            let until = async {
                match wish.seconds {
                    Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                shown = show(terminal, &mut out, to_send, new) => shown,
                () = until => Err(Gone::AccessEnded),
            }
        };
        let gone = tokio::select! {
            shown = showing => shown.err(),
            () = listen(terminal, from_viewer, replies) => Some(Gone::Silent),
        };
        out.close(gone).await;
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a viewer is not shown a terminal any more that goes on.
enum Gone {
    /// It does not read.
    Behind,
    /// It says nothing, or has left.
    Silent,
    AccessEnded,
}

struct Out(SplitSink<WebSocket, Message>);

impl Out {
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        let sent = tokio::time::timeout(PATIENCE, self.0.send(message)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Silent),
            Err(_) => Err(Gone::Behind),
        }
    }

    async fn say(&mut self, sign: &Sign) -> Result<(), Gone> {
        let text = serde_json::to_string(sign).unwrap_or_default();
        self.send(Message::text(text)).await
    }

    async fn close(&mut self, gone: Option<Gone>) {
        let (code, reason) = match gone {
            None => (1000, "the terminal has ended"),
            Some(Gone::Silent) => (1001, "nothing was heard for long; connect again"),
            Some(Gone::Behind) => (TRY_AGAIN_LATER, "too much is unread; connect again"),
            Some(Gone::AccessEnded) => (
                ACCESS_ENDED,
                "what let you in has to be shown again; connect again",
            ),
        };
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // Whoever has left has no need of it.
        let _left = self.send(Message::Close(Some(frame))).await;
    }
}

/// Shows a terminal until it has ended.
async fn show(
    terminal: &Terminal,
    out: &mut Out,
    mut replies: mpsc::Receiver<Sign>,
    mut new: bool,
) -> Result<(), Gone> {
    loop {
        let mut said = begin(terminal, out, new).await?;
        new = false;
        loop {
            tokio::select! {
                biased;
                heard = said.recv() => match heard {
                    Ok(said) => pass(out, said).await?,
                    // It begins anew, with what is kept.
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return Ok(()),
                },
                Some(reply) = replies.recv() => out.say(&reply).await?,
                end = terminal.ended() => {
                    loop {
                        match said.try_recv() {
                            Ok(said) => pass(out, said).await?,
                            Err(TryRecvError::Lagged(_)) => {}
                            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                        }
                    }
                    return out.say(&end).await;
                }
            }
        }
    }
}

async fn begin(
    terminal: &Terminal,
    out: &mut Out,
    new: bool,
) -> Result<broadcast::Receiver<Said>, Gone> {
    let Look {
        printed,
        cut,
        size,
        said,
    } = terminal.look();
    let name = terminal.name.clone();
    out.say(&Sign::Opened {
        name,
        size,
        new,
        cut,
    })
    .await?;
    let mut printed = Bytes::from(printed);
    while !printed.is_empty() {
        let piece = printed.split_to(PIECE.min(printed.len()));
        out.send(Message::Binary(piece)).await?;
    }
    out.say(&Sign::Live).await?;
    Ok(said)
}

async fn pass(out: &mut Out, said: Said) -> Result<(), Gone> {
    match said {
        Said::Printed(bytes) => out.send(Message::Binary(bytes)).await,
        Said::Resized(size) => out.say(&Sign::Resized(size)).await,
    }
}

/// Hears a viewer until it leaves, or says nothing.
async fn listen(
    terminal: &Terminal,
    mut from_viewer: SplitStream<WebSocket>,
    replies: mpsc::Sender<Sign>,
) {
    while let Ok(Some(Ok(message))) = tokio::time::timeout(SILENCE, from_viewer.next()).await {
        let reply = match message {
            Message::Binary(bytes) => {
                terminal.write(bytes).await;
                continue;
            }
            Message::Text(text) => match Control::parse(&text) {
                Ok(Control::Resize(size)) => {
                    terminal.resize(size);
                    continue;
                }
                Ok(Control::Ping) => Sign::Pong,
                Err(problem) => Sign::Refused {
                    detail: problem.detail,
                },
            },
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        if replies.send(reply).await.is_err() {
            return;
        }
    }
}
