//! Providers that do what a test wants.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
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
struct Scene {
    /// For each provider the responses it gives, one after the other, the last one ever again.
    scripts: Mutex<Vec<(String, Vec<Script>)>>,
    sent: Mutex<Vec<Sent>>,
    open: AtomicUsize,
}

/// Providers at a port of their own, each under a path of its name.
pub struct Stage {
    pub address: SocketAddr,
    scene: Arc<Scene>,
}

impl Stage {
    /// Providers with these names and responses.
    pub async fn open(scripts: &[(&str, &[Script])]) -> Self {
        let scene = Arc::new(Scene::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new()
            .route("/{provider}/{*path}", axum::routing::any(play))
            .with_state(Arc::clone(&scene))
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let stage = Self { address, scene };
        stage.begin_anew(scripts);
        stage
    }

    /// Other responses from now on, as if nothing had been sent before.
    pub fn begin_anew(&self, scripts: &[(&str, &[Script])]) {
        *self.scene.scripts.lock().unwrap() = scripts
            .iter()
            .map(|(name, scripts)| ((*name).to_owned(), scripts.to_vec()))
            .collect();
        self.scene.sent.lock().unwrap().clear();
    }

    /// A configuration in which `PROVIDERS` stands for where they are: a deployment at `PROVIDERS/one`
    /// is answered by the scripts of `one`.
    pub fn configured(&self, yaml: &str) -> String {
        yaml.replace("PROVIDERS", &format!("http://{}", self.address))
    }

    /// What the providers have been sent until now.
    pub fn sent(&self) -> Vec<Sent> {
        self.scene.sent.lock().unwrap().clone()
    }

    /// Responses that are under way.
    pub fn under_way(&self) -> usize {
        self.scene.open.load(Ordering::SeqCst)
    }
}

async fn play(
    State(scene): State<Arc<Scene>>,
    Path((provider, path)): Path<(String, String)>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    scene.sent.lock().unwrap().push(Sent {
        provider: provider.clone(),
        path: format!("/{path}"),
        headers: head.headers,
        body,
        from,
    });
    let script = {
        let mut scripts = scene.scripts.lock().unwrap();
        let (_, left) = scripts
            .iter_mut()
            .find(|(name, _)| *name == provider)
            .unwrap_or_else(|| panic!("nobody has written a script for {provider}"));
        match left.len() {
            1 => left[0].clone(),
            _ => left.remove(0),
        }
    };
    let open = Open::new(&scene);
    tokio::time::sleep(script.wait).await;
    let mut response = Response::new(Body::from_stream(body_of(&script, open)));
    *response.status_mut() = script.status.try_into().unwrap();
    for (name, value) in &script.headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

/// Counts a response that is under way, until it is sent or nobody wants it any more.
struct Open(Arc<Scene>);

impl Open {
    fn new(scene: &Arc<Scene>) -> Self {
        scene.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(scene))
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
