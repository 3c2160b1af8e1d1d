//! Two isolates of the router beside each other on the bare runtime, as on two machines of Cloudflare's:
//! they share nothing but their objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use xtask::process::Service;

const ANSWER: &str = r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":30,"completion_tokens":2}}"#;

fn litellm_config(provider: std::net::SocketAddr) -> String {
    format!(
        "router_settings: {{cooldown_time: 600}}\ngeneral_settings:\n  master_key: sk-master\n  keys:\n  \
         - {{name: small, key: sk-small, limits: {{max_tokens: 5}}}}\nmodel_list:\n\
         - {{model_name: both, litellm_params: {{model: openai/x, order: 1, api_base: 'http://{provider}/busy', api_key: k}}}}\n\
         - {{model_name: both, litellm_params: {{model: openai/x, order: 2, api_base: 'http://{provider}/idle', api_key: k}}}}\n\
         - {{model_name: one, litellm_params: {{model: openai/x, api_base: 'http://{provider}/idle', api_key: k}}}}\n"
    )
}

/// A Worker of the router's modules. `class`: whose objects it has.
fn worker(name: &str, class: &str) -> String {
    format!(
        r#"const {name} :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "index.js"),
    (name = "index_bg.wasm", wasm = embed "index_bg.wasm"),
  ],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["enable_request_signal"],
  bindings = [
    (name = "LITELLM_CONFIG", text = embed "config.yaml"),
    (name = "LEDGER", durableObjectNamespace = {class}),
  ],
  durableObjectNamespaces = [(className = "SpendLedger", uniqueKey = "{name}", enableSql = true)],
  durableObjectStorage = (inMemory = void),
);
"#
    )
}

/// Two of them; the second one's objects are the first one's.
fn two(ports: [u16; 2]) -> String {
    let [first, second] = ports;
    let theirs = r#"(className = "SpendLedger", serviceName = "first")"#;
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "first", worker = .first),
    (name = "second", worker = .second),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [
    (name = "a", address = "127.0.0.1:{first}", http = (), service = "first"),
    (name = "b", address = "127.0.0.1:{second}", http = (), service = "second"),
  ],
);
{}{}"#,
        worker("first", "\"SpendLedger\""),
        worker("second", theirs),
    )
}

/// What is cooling down at one, the other does not ask; what an account has used at one, it has used.
pub async fn tell_each_other() -> Result<()> {
    let refused = Arc::new(AtomicUsize::new(0));
    let busy = Arc::clone(&refused);
    let answer = move |Path(place): Path<String>| {
        let busy = Arc::clone(&busy);
        async move {
            let kind = [("content-type", "application/json")];
            if place == "busy" {
                busy.fetch_add(1, Ordering::SeqCst);
                let error = r#"{"error":{"message":"slow down"}}"#;
                return (StatusCode::TOO_MANY_REQUESTS, kind, error);
            }
            (StatusCode::OK, kind, ANSWER)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let provider = listener.local_addr()?;
    let routes = axum::Router::new().route("/{place}/chat/completions", post(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let ports = [super::alone::free_port()?, super::alone::free_port()?];
    let runtime = Runtime::start(&two(ports), &litellm_config(provider)).await?;
    let [first, second] = ports;
    let ask = async |port: u16, key: &str, model: &str| runtime.ask(port, key, model).await;
    runtime.answers(second).await?;

    let (status, body) = ask(first, "sk-master", "both").await?;
    ensure!(status == 200, "{status} {body}");
    ensure!(
        refused.load(Ordering::SeqCst) == 1,
        "the first one has asked it"
    );
    // It tells so after its answer, and the second one hears it after a call of its own.
    let cooling = r#"litellm_deployment_state{model_id="both#0"} 2"#;
    let mut numbers = String::new();
    for _ in 0..200 {
        ensure!(ask(second, "sk-master", "one").await?.0 == 200);
        let asked = runtime
            .http
            .get(format!("http://127.0.0.1:{second}/metrics"));
        numbers = asked.bearer_auth("sk-master").send().await?.text().await?;
        if numbers.contains(cooling) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(numbers.contains(cooling), "it never hears: {numbers}");
    let (status, body) = ask(second, "sk-master", "both").await?;
    ensure!(status == 200, "{status} {body}");
    ensure!(
        refused.load(Ordering::SeqCst) == 1,
        "it has asked who is cooling down"
    );

    ensure!(ask(first, "sk-small", "one").await?.0 == 200);
    ensure!(ask(first, "sk-small", "one").await?.0 == 429);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 50 {
        statuses.push(ask(second, "sk-small", "one").await?.0);
    }
    ensure!(
        statuses.first() == Some(&200),
        "no call waits: {statuses:?}"
    );
    ensure!(
        statuses.last() == Some(&429),
        "it never hears: {statuses:?}"
    );
    runtime.service.stop().await;
    Ok(())
}

/// Objects of which none ever answers, but that each fails the first who asks for its books.
const DEAF: &str = "
export class SpendLedger {
  asked = 0;
  async fetch(request) {
    if (new URL(request.url).pathname === '/books' && this.asked++ === 0) throw new Error('down');
    await new Promise((done) => setTimeout(done, 600_000));
  }
}
export default { fetch: () => new Response('none') };
";

fn beside_a_deaf_object(port: u16) -> String {
    let theirs = r#"(className = "SpendLedger", serviceName = "deaf")"#;
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "router", worker = .router), (name = "deaf", worker = .deaf)],
  sockets = [(name = "a", address = "127.0.0.1:{port}", http = (), service = "router")],
);
const deaf :Workerd.Worker = (
  modules = [(name = "deaf.js", esModule = embed "deaf.js")],
  compatibilityDate = "2026-11-01",
  durableObjectNamespaces = [(className = "SpendLedger", uniqueKey = "deaf")],
  durableObjectStorage = (inMemory = void),
);
{}"#,
        worker("router", theirs)
    )
}

/// No call waits for the objects; who asks for what they keep is told that it can't be had.
pub async fn wait_for_no_object() -> Result<()> {
    let config = "general_settings:\n  master_key: sk-master\n  keys:\n  \
                  - {name: small, key: sk-small, limits: {rpm_limit: 1000}}\n  \
                  - {name: idle, key: sk-idle}\nmodel_list:\n\
                  - {model_name: mine, litellm_params: {model: groq/x, mock_response: Mine.}}\n";
    let port = super::alone::free_port()?;
    let runtime = Runtime::start(&beside_a_deaf_object(port), config).await?;
    runtime.answers(port).await?;
    for _ in 0..3 {
        let (status, body) = runtime.ask(port, "sk-small", "mine").await?;
        ensure!(status == 200, "{status} {body}");
    }
    for way in ["it fails", "it does not answer"] {
        let url = format!("http://127.0.0.1:{port}/spend/keys/idle");
        let answer = runtime
            .http
            .get(url)
            .bearer_auth("sk-master")
            .send()
            .await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        ensure!(
            status == 503 && body["type"] == "error",
            "{way}: {status} {body}"
        );
    }
    runtime.service.stop().await;
    Ok(())
}

/// The bare runtime, with a configuration of its own.
struct Runtime {
    service: Service,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Runtime {
    async fn start(config: &str, litellm_config: &str) -> Result<Self> {
        let folder = tempfile::TempDir::new()?;
        let path = folder.path().join("config.capnp");
        std::fs::write(&path, config)?;
        std::fs::write(folder.path().join("config.yaml"), litellm_config)?;
        std::fs::write(folder.path().join("deaf.js"), DEAF)?;
        let build = xtask::root().join("litellm-router/build");
        for file in ["index.js", "index_bg.wasm"] {
            std::fs::copy(build.join(file), folder.path().join(file))?;
        }
        let program = xtask::root().join("node_modules/workerd/bin/workerd");
        let mut command = tokio::process::Command::new(program);
        command.arg("serve").arg(&path).current_dir(folder.path());
        Ok(Self {
            service: Service::start("workerd", &mut command, |line| eprintln!("{line}"))?,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(world::PATIENCE)
                .build()?,
            _folder: folder,
        })
    }

    /// Waits until somebody answers at this port.
    async fn answers(&self, port: u16) -> Result<()> {
        for _ in 0..600 {
            if self.ask(port, "sk-master", "no-such").await.is_ok() {
                return Ok(());
            }
            if self.service.has_ended() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("workerd does not start")
    }

    async fn ask(&self, port: u16, key: &str, model: &str) -> Result<(u16, Value)> {
        let body = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        let call = self
            .http
            .post(format!("http://127.0.0.1:{port}/v1/messages"));
        let answer = call.bearer_auth(key).json(&body).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }
}
