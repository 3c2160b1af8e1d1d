//! The scripted language model: a provider with the OpenAI-compatible API that answers as a test
//! wants it, also badly. Models that answer sensibly are the router's own `local/demo`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// A provider on a port of its own.
pub struct ScriptedProvider {
    address: std::net::SocketAddr,
    /// Every answer that does not end by itself holds this.
    endless: Arc<()>,
}

/// The ways in which it answers; each is a model of the router, `scripted/<way>`.
const WAYS: [&str; 20] = [
    "text", "key", "401", "429", "500", "cut", "hang", "html", "late", "halting", "endless",
    "fast", "recall", "slow", "redirect", "gzip", "gzipped", "line", "nothing", "commands",
];

/// Longer than the router lets a client wait without a sign of life.
const LONG: Duration = Duration::from_secs(6);

/// The tokens of the way `fast`.
pub const MANY: usize = 2000;

impl ScriptedProvider {
    /// # Errors
    /// Where there is no free port.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let endless = Arc::new(());
        let routes = Router::new()
            .route("/{way}/chat/completions", post(answer))
            .with_state(Arc::clone(&endless));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, endless })
    }

    /// Where it answers in this way, for whoever else is to ask it.
    pub fn base(&self, way: &str) -> String {
        format!("http://{}/{way}", self.address)
    }

    /// How many answers are under way that do not end by themselves.
    pub fn endless(&self) -> usize {
        // One is this one's own, one the server's.
        Arc::strong_count(&self.endless) - 2
    }

    /// A LiteLLM config with the demo model, the same for money, and the scripted ones.
    pub fn litellm_config(&self) -> String {
        let mut config = String::from(
            "model_list:\n  - model_name: local/demo\n    litellm_params:\n      model: demo/scripted\n    \
             model_info:\n      display_name: A demonstration with a name that is too long for a phone\n      \
             max_input_tokens: 20000\n  \
             - model_name: priced/demo\n    litellm_params:\n      model: demo/scripted\n      \
             input_cost_per_token: 0.001\n      output_cost_per_token: 0.01\n",
        );
        for way in WAYS {
            let timeout = match way {
                "late" | "halting" | "endless" => 60,
                _ => 2,
            };
            config += &format!(
                "  - model_name: scripted/{way}\n    litellm_params:\n      model: openai/{way}\n      \
                 api_base: {}\n      api_key: test-key\n      timeout: {timeout}\n      \
                 configurable_clientside_auth_params: [api_key]\n      \
                 stream_timeout: {timeout}\n",
                self.base(way)
            );
        }
        config
    }
}

async fn answer(
    State(endless): State<Arc<()>>,
    Path(way): Path<String>,
    headers: axum::http::HeaderMap,
    request: axum::Json<Value>,
) -> Response<Body> {
    let error = |status: u16, message: &str| {
        let body =
            format!(r#"{{"error":{{"message":"{message}","type":"scripted","code":null}}}}"#);
        respond(status, "application/json", Body::from(body))
    };
    match way.as_str() {
        "401" => error(401, "the key is not valid"),
        "429" => error(429, "too many requests, slow down"),
        // It says how the key ends that it was called with.
        "key" => {
            let key = headers
                .get("authorization")
                .and_then(|key| key.to_str().ok());
            let key: String = key.unwrap_or_default().chars().rev().take(5).collect();
            let end: String = key.chars().rev().collect();
            stream_of(whole([format!("called with {end}")]), false)
        }
        "500" => error(500, "the provider fell over"),
        "html" => respond(
            200,
            "text/html",
            Body::from("<html>a captive portal</html>"),
        ),
        // Whoever follows it finds an answer.
        "redirect" => {
            let mut away = respond(307, "text/html", Body::from("over there"));
            let place = axum::http::HeaderValue::from_static("../text/chat/completions");
            away.headers_mut().insert("location", place);
            away
        }
        // Nobody has asked for it, and it says nothing of it.
        "gzip" => respond(
            200,
            "application/json",
            Body::from(
                &b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02"[..],
            ),
        ),
        // Here it does say so.
        "gzipped" => {
            let (kind, body) = said(&request, json!({"content": "unpacked"}), "stop");
            let mut zip = GzEncoder::new(Vec::new(), Compression::default());
            // Writing to memory cannot fail.
            let _ = zip.write_all(body.as_bytes());
            let mut response = respond(200, kind, Body::from(zip.finish().unwrap_or_default()));
            let coding = axum::http::HeaderValue::from_static("gzip");
            response.headers_mut().insert("content-encoding", coding);
            response
        }
        "commands" => commands(&request),
        "line" => {
            let more =
                stream::repeat(Bytes::from(vec![b'x'; 64 * 1024])).map(Ok::<_, std::io::Error>);
            events(Body::from_stream(more))
        }
        "nothing" => respond(200, "application/json", Body::empty()),
        "hang" => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            error(500, "too late")
        }
        // It says what it was told, as far as that was said by a person or done by a tool.
        "recall" => stream_of(whole([told(&request)]), false),
        "slow" => {
            let pieces = stream::iter(whole((0..20).map(|piece| format!("piece {piece} "))));
            let slowly = pieces.then(async |data| {
                tokio::time::sleep(Duration::from_millis(150)).await;
                event(&data)
            });
            events(Body::from_stream(slowly))
        }
        "cut" => stream_of(vec![delta("The beginning of")], true),
        "late" => {
            tokio::time::sleep(LONG).await;
            stream_of(whole(["late".into()]), false)
        }
        "halting" => {
            let begin = stream::iter([event(&delta("before"))]);
            let rest = stream::once(tokio::time::sleep(LONG))
                .flat_map(|()| stream::iter(whole([" after".into()])));
            let rest = rest.map(|data| event(&data));
            events(Body::from_stream(begin.chain(rest)))
        }
        "endless" => {
            let begin = stream::iter([event(&delta("one"))]);
            let rest = stream::pending().map(move |()| {
                let _held = &endless;
                event("[DONE]")
            });
            events(Body::from_stream(begin.chain(rest)))
        }
        "fast" => stream_of(whole((0..MANY).map(|number| format!("{number} "))), false),
        _ => stream_of(whole(["Scripted".into(), " answer".into()]), false),
    }
}

/// The events of an answer that ends well.
fn whole(tokens: impl IntoIterator<Item = String>) -> Vec<String> {
    let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let tokens = tokens.into_iter().map(|token| delta(&token));
    tokens.chain([end.into(), "[DONE]".into()]).collect()
}

fn delta(text: &str) -> String {
    json!({
        "id": "c",
        "object": "chat.completion.chunk",
        "choices": [{ "index": 0, "delta": { "content": text } }],
    })
    .to_string()
}

/// It has a command run where it can, and then says what that has printed.
fn commands(request: &Value) -> Response<Body> {
    let mut messages = request["messages"].as_array().into_iter().flatten();
    let printed = messages.rfind(|message| message["role"] == "tool");
    let has_bash = |tool: &Value| tool["function"]["name"] == "Bash";
    let tools = request["tools"].as_array();
    let (message, reason) = match printed {
        Some(printed) => {
            let text = format!("It printed: {}", printed["content"]);
            (json!({"content": text}), "stop")
        }
        None if tools.is_some_and(|tools| tools.iter().any(has_bash)) => {
            let arguments = json!({"command": "echo $((6 * 7))", "description": "Count"});
            let call = json!({"index": 0, "id": "call_1", "type": "function",
                "function": {"name": "Bash", "arguments": arguments.to_string()}});
            (json!({"tool_calls": [call]}), "tool_calls")
        }
        None => (json!({"content": "Yes."}), "stop"),
    };
    let (kind, body) = said(request, message, reason);
    respond(200, kind, Body::from(body))
}

/// An answer as a stream or whole, as it is asked for: its content's type, and its body.
fn said(request: &Value, mut message: Value, reason: &str) -> (&'static str, String) {
    message["role"] = json!("assistant");
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    let completion = |kind: &str, choice: Value| json!({"id": "c", "object": kind, "created": 1, "model": "m", "choices": [choice]});
    if request["stream"] == true {
        let kind = "chat.completion.chunk";
        let begin = completion(kind, json!({"index": 0, "delta": message}));
        let end = json!({"index": 0, "delta": {}, "finish_reason": reason});
        let mut end = completion(kind, end);
        end["usage"] = usage;
        let events = format!("data: {begin}\n\ndata: {end}\n\ndata: [DONE]\n\n");
        ("text/event-stream", events)
    } else {
        let choice = json!({"index": 0, "message": message, "finish_reason": reason});
        let mut whole = completion("chat.completion", choice);
        whole["usage"] = usage;
        ("application/json", whole.to_string())
    }
}

/// The conversation in a line: what people said, and the arguments of the tools that were called.
fn told(request: &Value) -> String {
    let mut told = Vec::new();
    for message in request["messages"].as_array().into_iter().flatten() {
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            told.push(
                call["function"]["arguments"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        if message["role"] == "user" {
            let parts = message["content"].as_array().into_iter().flatten();
            told.extend(
                parts
                    .filter_map(|part| part["text"].as_str())
                    .map(str::to_owned),
            );
            told.extend(message["content"].as_str().map(str::to_owned));
        }
    }
    let said: Vec<String> = told.iter().map(|text| without_reminders(text)).collect();
    said.join(" | ")
}

/// A text without what Claude Code adds of its own.
fn without_reminders(text: &str) -> String {
    let mut rest = text;
    let mut said = String::new();
    while let Some((before, reminder)) = rest.split_once("<system-reminder>") {
        said += before;
        rest = reminder
            .split_once("</system-reminder>")
            .map_or("", |(_, rest)| rest);
    }
    (said + rest).trim().to_owned()
}

fn stream_of(all: Vec<String>, cut: bool) -> Response<Body> {
    let all = all.into_iter().map(|data| event(&data));
    let broken = cut.then(|| Err(std::io::Error::other("cut")));
    events(Body::from_stream(stream::iter(all.chain(broken))))
}

fn event(data: &str) -> Result<String, std::io::Error> {
    Ok(format!("data: {data}\n\n"))
}

fn events(body: Body) -> Response<Body> {
    respond(200, "text/event-stream", body)
}

fn respond(status: u16, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert("content-type", value);
    }
    response
}
