//! A session whose model calls go through the real LiteLLM proxy: it translates them into OpenAI's
//! dialect for the scripted provider of all tests, and the answers back. Who calls is known there, and limits are kept before
//! it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tokio::process::{Child, Command};
use world::provider::ScriptedProvider;
use world::{World, fresh_session};
use xtask::stack::Provider;

/// LiteLLM refuses to start with a key that is easy to guess.
const KEY: &str = "sk-0b8f1f6c2d7e4a53-of-the-tests";
/// It imports for some seconds, on a busy machine for many.
const PATIENCE: Duration = Duration::from_secs(180);

pub fn tests() -> Vec<Trial> {
    vec![Trial::test(
        "litellm::a_session_works_through_a_proxy",
        || {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime
                .block_on(through_a_proxy())
                .map_err(|error| Failed::from(format!("{error:#}")))
        },
    )]
}

/// What it is called at LiteLLM.
const MODEL: &str = "from-litellm";

/// The router's own configuration before LiteLLM: prices and limits stay here. `thrifty` is as cheap at
/// LiteLLM as the other, and dear here.
const CONFIG: &str = "
model_list:
- model_name: from-litellm
  litellm_params: {model: openai/x, input_cost_per_token: 0, output_cost_per_token: 0}
- model_name: thrifty
  litellm_params: {model: openai/x, input_cost_per_token: 0, output_cost_per_token: 1}
general_settings: {session_limits: {max_budget: 0.5}}
";

async fn through_a_proxy() -> Result<()> {
    let model = ScriptedProvider::start().await?;
    let proxy = Proxy::start(&model.base("commands")).await?;
    let heard = Heard::default();
    let before = listening_before(proxy.url.clone(), Arc::clone(&heard)).await?;
    let world = World::start_as(Provider::Local, |options| {
        options
            .router_vars
            .retain(|(name, _)| name != "LITELLM_CONFIG");
        options.router_vars.extend([
            ("LITELLM_CONFIG".into(), CONFIG.into()),
            ("ANTHROPIC_BASE_URL".into(), format!("http://{before}")),
            ("ANTHROPIC_AUTH_TOKEN".into(), KEY.into()),
        ]);
        Ok(())
    })
    .await?;
    let done = sessions(&world, &heard).await;
    let log = world.stack.log();
    world.stack.stop().await;
    done.with_context(|| log)
}

async fn sessions(world: &World, heard: &Heard) -> Result<()> {
    let session = fresh_session("litellm");
    let mut tab = world.tab(&session, Some(0)).await?;
    let message =
        json!({"type": "user_message", "content": "how much is 6 times 7?", "model": MODEL});
    tab.send(message).await?;
    let end = tab.completed().await?;
    ensure!(end["usage"]["num_turns"].as_u64() >= Some(2), "{end}");
    let ran = tab.events.iter().any(|event| event["tool"] == "Bash");
    let said = tab.contents("result").join(" ");
    let printed = said.contains("It printed: ") && said.contains("42");
    ensure!(ran && printed, "{}", tab.seen());
    is_known_by_name(heard, &session)?;
    has_a_budget(world, heard).await
}

/// LiteLLM is told which session calls, and which conversation of Claude Code's, with its own key and no
/// other.
fn is_known_by_name(heard: &Heard, session: &str) -> Result<()> {
    let calls = heard.lock().map_err(|_| anyhow::anyhow!("a test failed"))?;
    let calls: Vec<_> = calls
        .iter()
        .filter(|(path, _)| path.starts_with("/v1/messages") && !path.contains("count_tokens"))
        .collect();
    ensure!(calls.len() >= 2, "{} calls of the model", calls.len());
    for (path, headers) in calls {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        ensure!(
            header("x-agent-router-session") == Some(session),
            "{path} {headers:?}"
        );
        let conversation = header("x-claude-code-session-id").unwrap_or_default();
        ensure!(!conversation.is_empty(), "{path} {headers:?}");
        let bearer = format!("Bearer {KEY}");
        let keys = [header("x-api-key"), header("authorization")];
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        ensure!(keys == [KEY] || keys == [bearer.as_str()], "{keys:?}");
    }
    Ok(())
}

/// A session that has used up its budget hears so from the router, and LiteLLM hears nothing of it.
async fn has_a_budget(world: &World, heard: &Heard) -> Result<()> {
    let session = fresh_session("thrifty");
    let mut tab = world.tab(&session, Some(0)).await?;
    let calls = || heard.lock().map_or(0, |calls| calls.len());
    for _ in 0..5 {
        let before = calls();
        let message = json!({"type": "user_message", "content": "hi", "model": "thrifty"});
        tab.send(message).await?;
        let end = tab.end().await?;
        if end["outcome"] == "failed" {
            let told = tab.contents("error").join(" ");
            ensure!(told.contains("used up a budget of $0.5"), "{}", tab.seen());
            // One of several calls of a turn may have used the rest.
            if calls() == before {
                return Ok(());
            }
        }
    }
    anyhow::bail!("the budget has no end: {}", tab.seen())
}

/// What is heard on the way to LiteLLM: each call's path and headers.
type Heard = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// Stands before `proxy`, hands everything on, and notes it.
async fn listening_before(proxy: String, heard: Heard) -> Result<SocketAddr> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let pass = move |request: axum::extract::Request| {
        let (proxy, heard, http) = (proxy.clone(), Arc::clone(&heard), http.clone());
        async move {
            let (head, body) = request.into_parts();
            let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
            let body = axum::body::to_bytes(body, usize::MAX).await;
            let body = body.map_err(|_| StatusCode::BAD_REQUEST)?;
            if let Ok(mut heard) = heard.lock() {
                heard.push((path.to_owned(), head.headers.clone()));
            }
            let mut headers = head.headers;
            headers.remove("host");
            let sent = http.request(head.method, format!("{proxy}{path}"));
            let answer = sent.headers(headers).body(body).send().await;
            let mut answer = answer.map_err(|_| StatusCode::BAD_GATEWAY)?;
            let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
            let mut passed = Response::new(Body::from_stream(answer.bytes_stream()));
            *passed.status_mut() = status;
            *passed.headers_mut() = headers;
            Ok::<_, StatusCode>(passed)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = axum::Router::new().fallback(pass);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

/// A LiteLLM proxy, ended when it is dropped.
struct Proxy {
    url: String,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Proxy {
    async fn start(model: &str) -> Result<Self> {
        let program = xtask::tools::litellm().await?;
        let folder = tempfile::TempDir::new()?;
        let config = folder.path().join("config.yaml");
        let entry = |name: &str| {
            format!(
                "  - model_name: {name}\n    litellm_params:\n      model: hosted_vllm/m\n      \
                 api_base: {model}\n      api_key: auto-detect\n"
            )
        };
        let yaml = format!(
            "model_list:\n{}{}general_settings:\n  master_key: {KEY}\n",
            entry("from-litellm"),
            entry("thrifty"),
        );
        std::fs::write(&config, yaml)?;
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let process = Command::new(program)
            .arg("--config")
            .arg(&config)
            .args(["--host", "127.0.0.1", "--port", &free.port().to_string()])
            // It would ask its makers for prices and news.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("LITELLM_TELEMETRY", "False")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let url = format!("http://{free}");
        let http = reqwest::Client::builder().no_proxy().build()?;
        let ready = format!("{url}/health/liveliness");
        let started = tokio::time::timeout(PATIENCE, async {
            while http.get(&ready).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        if started.await.is_err() {
            let log = std::fs::read_to_string(folder.path().join("log"))?;
            anyhow::bail!("LiteLLM does not start:\n{log}");
        }
        Ok(Self {
            url,
            _process: process,
            _folder: folder,
        })
    }
}
