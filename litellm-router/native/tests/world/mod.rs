//! A router on a port of its own and providers that do what a test wants.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses a part of it, and a test fails by panicking"
)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use litellm_router::serve::Router;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// One response of a provider: status, headers, and a body in parts with waits before them.
#[derive(Clone)]
pub struct Script {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub wait: Duration,
    pub parts: Vec<(Duration, Bytes)>,
    /// Whether the connection breaks after the last part.
    pub cut: bool,
    /// Whether nothing more comes, and no end either.
    pub hangs: bool,
}

impl Script {
    pub fn json(status: u16, body: Value) -> Self {
        Self::body(status, "application/json", body.to_string())
    }

    pub fn body(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type", kind.to_owned())],
            wait: Duration::ZERO,
            parts: vec![(Duration::ZERO, body.into())],
            cut: false,
            hangs: false,
        }
    }

    /// An event stream of these bytes.
    pub fn events(parts: &[&str]) -> Self {
        Self {
            parts: parts
                .iter()
                .map(|part| (Duration::ZERO, Bytes::copy_from_slice(part.as_bytes())))
                .collect(),
            ..Self::body(200, "text/event-stream", "")
        }
    }

    /// A chat completion of this text, as a stream.
    pub fn chat(text: &str) -> Self {
        Self::events(&[
            &chunk(json!({"content": text}), Value::Null),
            &chunk(json!({}), json!("stop")),
            "data: [DONE]\n\n",
        ])
    }

    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    pub fn every(mut self, wait: Duration) -> Self {
        self.parts.iter_mut().for_each(|part| part.0 = wait);
        self
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    pub fn hanging(mut self) -> Self {
        self.hangs = true;
        self
    }
}

/// A chunk of a chat completion.
pub fn chunk(delta: Value, finish: Value) -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "choices":
        [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// What a provider has been sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub provider: String,
    pub path: String,
    pub headers: axum::http::HeaderMap,
    pub body: Bytes,
    /// The router's end of the connection.
    pub from: SocketAddr,
}

impl Sent {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Stage {
    /// For each provider the responses it gives, one after the other, the last one ever again.
    scripts: Mutex<Vec<(String, Vec<Script>)>>,
    sent: Mutex<Vec<Sent>>,
    open: AtomicUsize,
}

/// A router and its providers.
pub struct World {
    pub router: SocketAddr,
    pub providers: SocketAddr,
    stage: Arc<Stage>,
    pub http: reqwest::Client,
}

impl World {
    /// `config` is YAML in which `PROVIDERS` stands for the providers' address: a deployment at
    /// `PROVIDERS/one` is answered by the scripts of `one`.
    pub async fn start(config: &str, scripts: &[(&str, &[Script])]) -> Self {
        let stage = Arc::new(Stage::default());
        *stage.scripts.lock().unwrap() = scripts
            .iter()
            .map(|(name, scripts)| ((*name).to_owned(), scripts.to_vec()))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let providers = listener.local_addr().unwrap();
        let app = axum::Router::new()
            .route("/{provider}/{*path}", axum::routing::any(play))
            .with_state(Arc::clone(&stage))
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });

        let yaml = config.replace("PROVIDERS", &format!("http://{providers}"));
        let router = Router::new(&yaml, &|_| None).unwrap();
        for warning in router.warnings() {
            assert!(!warning.contains("has no effect"), "{warning}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(litellm_router_native::run(
            router,
            listener,
            std::future::pending(),
            Duration::ZERO,
        ));
        Self {
            router: address,
            providers,
            stage,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.router)
    }

    /// Asks `model` something, for a stream or for a whole answer.
    pub async fn ask(&self, model: &str, stream: bool) -> reqwest::Response {
        self.post("/v1/messages", &question(model, stream)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = self.http.post(self.url(path)).json(body);
        request.send().await.unwrap()
    }

    /// What the providers have been sent until now.
    pub fn sent(&self) -> Vec<Sent> {
        self.stage.sent.lock().unwrap().clone()
    }

    /// To whom, in order.
    pub fn asked(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.provider).collect()
    }

    /// Responses of providers that are under way.
    pub fn open(&self) -> usize {
        self.stage.open.load(Ordering::SeqCst)
    }

    /// Waits until something is so; fails after ten seconds.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..1_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("in ten seconds it never was so: {what}");
    }
}

/// A question in Anthropic's dialect.
pub fn question(model: &str, stream: bool) -> Value {
    json!({"model": model, "max_tokens": 50, "stream": stream,
        "messages": [{"role": "user", "content": "hi"}]})
}

/// The status and the JSON of a response.
pub async fn told(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(json!(text)))
}

/// The text of an answer in Anthropic's dialect, whole or as a stream.
pub fn text_of(body: &str) -> String {
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        return value["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
    }
    body.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|event| Some(event["delta"]["text"].as_str()?.to_owned()))
        .collect()
}

async fn play(
    State(stage): State<Arc<Stage>>,
    Path((provider, path)): Path<(String, String)>,
    axum::extract::ConnectInfo(from): axum::extract::ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    stage.sent.lock().unwrap().push(Sent {
        provider: provider.clone(),
        path: format!("/{path}"),
        headers: head.headers,
        body,
        from,
    });
    let script = {
        let mut scripts = stage.scripts.lock().unwrap();
        let (_, left) = scripts
            .iter_mut()
            .find(|(name, _)| *name == provider)
            .unwrap_or_else(|| panic!("nobody has written a script for {provider}"));
        match left.len() {
            1 => left[0].clone(),
            _ => left.remove(0),
        }
    };
    let open = Open::new(&stage);
    tokio::time::sleep(script.wait).await;
    let mut response = Response::new(Body::from_stream(body_of(&script, open)));
    *response.status_mut() = script.status.try_into().unwrap();
    for (name, value) in &script.headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

/// Counts a response that is under way, until it is sent or nobody wants it any more.
struct Open(Arc<Stage>);

impl Open {
    fn new(stage: &Arc<Stage>) -> Self {
        stage.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(stage))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn body_of(
    script: &Script,
    open: Open,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + use<> {
    let (send, receive) = mpsc::channel(1);
    let Script {
        parts, cut, hangs, ..
    } = script.clone();
    let parts = stream::iter(parts).then(|(wait, bytes)| async move {
        tokio::time::sleep(wait).await;
        Ok(bytes)
    });
    let end = stream::iter(cut.then(|| Err(std::io::Error::other("cut"))));
    let rest = stream::unfold(
        (send, receive, hangs),
        |(send, mut receive, hangs)| async move {
            if hangs {
                // Nobody ever sends: `send` is kept so that this waits.
                let _: Option<()> = receive.recv().await;
            }
            drop(send);
            None::<(Result<Bytes, std::io::Error>, _)>
        },
    );
    parts.chain(end).chain(rest).map(move |item| {
        let _ = &open;
        item
    })
}
