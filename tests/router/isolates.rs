//! Two isolates of the router beside each other on the bare runtime, as on two machines of Cloudflare's:
//! they share nothing but their objects.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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
        "router_settings: {{cooldown_time: 600, enable_pre_call_checks: true}}\ngeneral_settings:\n  master_key: sk-master\n  keys:\n  \
         - {{name: small, key: sk-small, limits: {{max_tokens: 5}}}}\nmodel_list:\n\
         - {{model_name: both, litellm_params: {{model: openai/x, order: 1, api_base: 'http://{provider}/busy', api_key: k}}}}\n\
         - {{model_name: both, litellm_params: {{model: openai/x, order: 2, api_base: 'http://{provider}/idle', api_key: k}}}}\n\
         - {{model_name: one, litellm_params: {{model: openai/x, api_base: 'http://{provider}/idle', api_key: k}}}}\n{}",
        TRIES.map(|number| limited(provider, number)).concat()
    )
}

/// A test of limits a minute is made anew where the minute has turned within it.
const TRIES: [u32; 3] = [1, 2, 3];

/// Deployments that are never asked but once: one may take a request a minute, one 10 tokens, and one fails.
fn limited(provider: std::net::SocketAddr, number: u32) -> String {
    let entry = |name: &str, place: &str, more: &str| {
        format!(
            "- {{model_name: {name}-{number}, litellm_params: {{model: openai/x, api_base: \
             'http://{provider}/{place}', api_key: k, {more}}}, model_info: {{id: {name}-{number}}}}}\n"
        )
    };
    entry("rpm", "idle", "rpm: 1")
        + &entry("tpm", "idle", "tpm: 10")
        + &entry("down", "busy", "order: 1")
        + &format!(
            "- {{model_name: down-{number}, litellm_params: {{model: openai/x, api_base: \
             'http://{provider}/idle', api_key: k, order: 2}}}}\n"
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

    share_limits(&runtime, ports).await?;
    let before = refused.load(Ordering::SeqCst);
    let (status, body) = ask(first, "sk-master", "both").await?;
    ensure!(status == 200, "{status} {body}");
    ensure!(
        refused.load(Ordering::SeqCst) == before + 1,
        "the first one has asked it"
    );
    runtime.hear_of(ports, "both#0").await?;
    let (status, body) = ask(second, "sk-master", "both").await?;
    ensure!(status == 200, "{status} {body}");
    ensure!(
        refused.load(Ordering::SeqCst) == before + 1,
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

/// What a deployment may take in a minute, it may take from all isolates together.
async fn share_limits(runtime: &Runtime, [first, second]: [u16; 2]) -> Result<()> {
    let ask = async |port: u16, name: &str, number: u32| {
        let model = format!("{name}-{number}");
        runtime.ask(port, "sk-master", &model).await
    };
    let minute = || -> Result<u64> {
        let now = std::time::SystemTime::now();
        Ok(now.duration_since(std::time::UNIX_EPOCH)?.as_secs() / 60)
    };
    for number in TRIES {
        let began = minute()?;
        // What the first one says of the last, it says of the others with it.
        for name in ["rpm", "tpm", "down"] {
            let (status, body) = ask(first, name, number).await?;
            ensure!(status == 200, "{name}: {status} {body}");
        }
        let ports = [first, second];
        runtime.hear_of(ports, &format!("down-{number}")).await?;
        let rpm = ask(second, "rpm", number).await?;
        let tpm = ask(second, "tpm", number).await?;
        if minute()? != began {
            continue;
        }
        for (status, body) in [rpm, tpm] {
            ensure!(status == 429, "{status} {body}");
            ensure!(body.to_string().contains("at its limit"), "{body}");
        }
        return Ok(());
    }
    bail!("no try was over within its minute")
}

/// Objects of which none ever answers, but that each fails the first who asks for its books.
/// Whoever asks the Worker is told how many reports of deployments have come.
const DEAF: &str = "
let reports = 0;
export class SpendLedger {
  asked = 0;
  async fetch(request) {
    const asked = new URL(request.url).pathname;
    if (asked === '/books' && this.asked++ === 0) throw new Error('down');
    if (asked === '/report') reports += 1;
    await new Promise((done) => setTimeout(done, 600_000));
  }
}
export default { fetch: () => new Response(String(reports)) };
";

fn beside_a_deaf_object([port, deaf]: [u16; 2]) -> String {
    let theirs = r#"(className = "SpendLedger", serviceName = "deaf")"#;
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "router", worker = .router), (name = "deaf", worker = .deaf)],
  sockets = [
    (name = "a", address = "127.0.0.1:{port}", http = (), service = "router"),
    (name = "b", address = "127.0.0.1:{deaf}", http = (), service = "deaf"),
  ],
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
    let [port, deaf] = [super::alone::free_port()?, super::alone::free_port()?];
    let runtime = Runtime::start(&beside_a_deaf_object([port, deaf]), config).await?;
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
    // The object of an account that does not answer keeps the one of the deployments from nothing, and
    // neither who asked for its books nor who books what a call has used waits for it without end.
    let reports = runtime.http.get(format!("http://127.0.0.1:{deaf}/"));
    let reports = reports.send().await?.text().await?;
    ensure!(reports != "0", "no report has come");
    runtime
        .says_twice("ledger: the object does not answer")
        .await?;
    runtime.service.stop().await;
    Ok(())
}

/// The bare runtime, with a configuration of its own.
struct Runtime {
    service: Service,
    log: Arc<Mutex<String>>,
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
        let log = Arc::<Mutex<String>>::default();
        let said = Arc::clone(&log);
        let note = move |line: &str| {
            eprintln!("{line}");
            if let Ok(mut said) = said.lock() {
                said.push_str(line);
                said.push('\n');
            }
        };
        Ok(Self {
            service: Service::start("workerd", &mut command, note)?,
            log,
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

    /// Waits until the second isolate has heard from the first that this deployment is cooling down. They
    /// tell and hear after calls, and not after each.
    async fn hear_of(&self, [first, second]: [u16; 2], model_id: &str) -> Result<()> {
        let cooling = format!(r#"litellm_deployment_state{{model_id="{model_id}"}} 2"#);
        let mut numbers = String::new();
        for _ in 0..200 {
            for port in [first, second] {
                ensure!(self.ask(port, "sk-master", "one").await?.0 == 200);
            }
            let asked = self.http.get(format!("http://127.0.0.1:{second}/metrics"));
            numbers = asked.bearer_auth("sk-master").send().await?.text().await?;
            if numbers.contains(&cooling) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("it never hears: {numbers}")
    }

    /// Waits until the runtime has printed these words more than once.
    async fn says_twice(&self, words: &str) -> Result<()> {
        for _ in 0..600 {
            if self
                .log
                .lock()
                .is_ok_and(|log| log.matches(words).count() > 1)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("it does not say: {words}")
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
