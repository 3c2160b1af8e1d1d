//! A router on a port of its own before the providers of a stage.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses a part of it, and a test fails by panicking"
)]

use std::net::SocketAddr;
use std::time::Duration;

use litellm_router::serve::Router;
pub use litellm_router_stage::{Script, Sent, Stage, chunk};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A router and its providers.
pub struct World {
    pub router: SocketAddr,
    pub stage: Stage,
    pub http: reqwest::Client,
}

impl World {
    /// `config` is as [`Stage::configured`] takes it.
    pub async fn start(config: &str, scripts: &[(&str, &[Script])]) -> Self {
        let stage = Stage::open(scripts).await;
        let router = Router::new(&stage.configured(config), &|_| None).unwrap();
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
        self.stage.sent()
    }

    /// To whom, in order.
    pub fn asked(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.provider).collect()
    }

    /// Responses of providers that are under way.
    pub fn open(&self) -> usize {
        self.stage.under_way()
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
