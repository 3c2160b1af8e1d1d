//! A Messages API whose answers the tests write. A prompt that holds `script:NAME` gets that
//! script's replies, one for each call of the model: the n-th after n tool results.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub enum Reply {
    /// Words, each a piece of its own.
    Say(&'static str),
    /// Pieces of one text, cut as they are here.
    Pieces(Vec<&'static str>),
    /// Words with a pause after each.
    Slowly(&'static str, Duration),
    Think(&'static str, &'static str),
    Call(&'static str, Value),
    /// Several calls in one answer.
    Calls(Vec<(&'static str, Value)>),
    /// So many blocks of text, each in so many pieces of so many bytes.
    Much {
        blocks: u64,
        pieces: usize,
        bytes: usize,
    },
    /// An answer that is none.
    Refuse(u16, &'static str),
    /// A stream that ends in the middle of a word.
    Cut(&'static str),
    /// Nothing, for ever.
    Hang,
}

#[derive(Default)]
pub struct Upstream {
    pub url: String,
    scripts: Mutex<HashMap<String, Vec<Reply>>>,
    requests: Mutex<Vec<Value>>,
}

impl Upstream {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        });
        let app = Router::new()
            .route("/v1/messages", post(answer))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&upstream));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        upstream
    }

    pub fn script(&self, name: &str, replies: Vec<Reply>) {
        self.scripts
            .lock()
            .unwrap()
            .insert(name.to_owned(), replies);
    }

    /// The bodies of the calls so far.
    pub fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }

    /// All that people have said, as the last call of the model held it.
    pub fn last_conversation(&self) -> String {
        let requests = self.requests();
        requests.last().unwrap()["messages"].to_string()
    }

    /// The names of the tools that the last call of the model offered.
    pub fn last_tools(&self) -> BTreeSet<String> {
        let requests = self.requests();
        tools(requests.last().unwrap())
    }

    fn reply(&self, request: &Value) -> Reply {
        let mut script = String::new();
        let mut results = 0;
        for message in request["messages"].as_array().unwrap() {
            if message["role"] != "user" {
                continue;
            }
            let blocks = match &message["content"] {
                Value::String(text) => vec![json!({"type": "text", "text": text})],
                other => other.as_array().unwrap().clone(),
            };
            for block in blocks {
                if block["type"] == "tool_result" {
                    results += 1;
                }
                let text = block["text"].as_str().unwrap_or_default();
                // Claude Code's own remarks stand in angle brackets.
                if block["type"] == "text" && !text.trim_start().starts_with('<') {
                    let (_, rest) = text.rsplit_once("script:").unwrap_or_default();
                    script = rest
                        .chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                        .collect();
                    results = 0;
                }
            }
        }
        let scripts = self.scripts.lock().unwrap();
        match scripts.get(&script) {
            Some(replies) => replies[results.min(replies.len() - 1)].clone(),
            None => Reply::Say("Hello from the model"),
        }
    }
}

/// The names of the tools that a call of the model offers.
pub fn tools(request: &Value) -> BTreeSet<String> {
    let tools = request["tools"].as_array().unwrap().iter();
    let names = tools.map(|tool| tool["name"].as_str().unwrap().to_owned());
    // It stands for what is offered later.
    names
        .filter(|name| name != "DeferredToolPlaceholder")
        .collect()
}

async fn answer(State(upstream): State<Arc<Upstream>>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let reply = upstream.reply(&request);
    let id = {
        let mut requests = upstream.requests.lock().unwrap();
        requests.push(request.clone());
        format!("msg_{}", requests.len())
    };

    let model = &request["model"];
    let mut events = vec![(
        Duration::ZERO,
        json!({"type": "message_start", "message": {
            "id": id, "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 10, "output_tokens": 1},
        }}),
    )];
    let mut cut = false;
    let mut stop = "end_turn";
    match reply {
        Reply::Refuse(status, body) => {
            return (StatusCode::from_u16(status).unwrap(), body).into_response();
        }
        Reply::Hang => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return StatusCode::OK.into_response();
        }
        Reply::Say(text) => events.extend(say(0, text, Duration::ZERO)),
        Reply::Slowly(text, pause) => events.extend(say(0, text, pause)),
        Reply::Pieces(pieces) => {
            let pieces = pieces.into_iter().map(piece).collect();
            let start = json!({"type": "text", "text": ""});
            events.extend(block(0, start, pieces, Duration::ZERO));
        }
        Reply::Much {
            blocks,
            pieces,
            bytes,
        } => {
            let text = "x".repeat(bytes) + " ";
            for index in 0..blocks {
                events.extend(say(index, &text.repeat(pieces), Duration::from_millis(1)));
            }
        }
        Reply::Cut(text) => {
            events.extend(say(0, text, Duration::ZERO));
            events.pop();
            cut = true;
        }
        Reply::Think(thought, text) => {
            let delta = json!({"type": "thinking_delta", "thinking": thought});
            let signature = json!({"type": "signature_delta", "signature": "c2ln"});
            let start = json!({"type": "thinking", "thinking": "", "signature": ""});
            events.extend(block(0, start, vec![delta, signature], Duration::ZERO));
            events.extend(say(1, text, Duration::ZERO));
        }
        Reply::Call(tool, input) => {
            stop = "tool_use";
            events.extend(call(&id, 0, tool, &input));
        }
        Reply::Calls(calls) => {
            stop = "tool_use";
            for (index, (tool, input)) in (0..).zip(calls) {
                events.extend(call(&id, index, tool, &input));
            }
        }
    }
    if !cut {
        events.push((
            Duration::ZERO,
            json!({
                "type": "message_delta",
                "delta": {"stop_reason": stop, "stop_sequence": null},
                "usage": {"output_tokens": 20},
            }),
        ));
        events.push((Duration::ZERO, json!({"type": "message_stop"})));
    }
    let stream = stream::iter(events).then(|(pause, event)| async move {
        tokio::time::sleep(pause).await;
        let kind = event["type"].as_str().unwrap();
        Ok::<_, Infallible>(Bytes::from(format!("event: {kind}\ndata: {event}\n\n")))
    });
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(stream),
    )
        .into_response()
}

fn call(message: &str, index: u64, tool: &str, input: &Value) -> Vec<(Duration, Value)> {
    let start = json!({
        "type": "tool_use", "id": format!("toolu_{message}_{index}"), "name": tool, "input": {},
    });
    let delta = json!({"type": "input_json_delta", "partial_json": input.to_string()});
    block(index, start, vec![delta], Duration::ZERO)
}

fn say(index: u64, text: &str, pause: Duration) -> Vec<(Duration, Value)> {
    let pieces = text.split_inclusive(' ').map(piece).collect();
    block(index, json!({"type": "text", "text": ""}), pieces, pause)
}

fn piece(text: &str) -> Value {
    json!({"type": "text_delta", "text": text})
}

fn block(index: u64, start: Value, deltas: Vec<Value>, pause: Duration) -> Vec<(Duration, Value)> {
    let mut events = vec![(
        Duration::ZERO,
        json!({"type": "content_block_start", "index": index, "content_block": start}),
    )];
    events.extend(deltas.into_iter().map(|delta| {
        let event = json!({"type": "content_block_delta", "index": index, "delta": delta});
        (pause, event)
    }));
    events.push((
        Duration::ZERO,
        json!({"type": "content_block_stop", "index": index}),
    ));
    events
}
