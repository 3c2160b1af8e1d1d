//! A session whose model calls go through the real LiteLLM proxy: it translates them into OpenAI's
//! dialect for the scripted model, and the answers back.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tokio::process::{Child, Command};
use world::{World, fresh_session};
use xtask::stack::Provider;

use crate::hello_world::hello_world;

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

async fn through_a_proxy() -> Result<()> {
    let model = scripted_model().await?;
    let proxy = Proxy::start(model).await?;
    let world = World::start_with(
        Provider::Local,
        vec![
            ("ANTHROPIC_BASE_URL".into(), proxy.url.clone()),
            ("ANTHROPIC_AUTH_TOKEN".into(), KEY.into()),
        ],
    )
    .await?;
    let session = fresh_session("litellm");
    let mut tab = world.tab(&session, Some(0)).await?;
    tab.send(json!({"type": "set_model", "model": "from-litellm"}))
        .await?;
    let chosen = tab.until(|event| event["model"] == "from-litellm").await;
    ensure!(chosen.is_ok(), "{}", tab.seen());
    let done = hello_world(&world, &session).await;
    let log = world.stack.log();
    world.stack.stop().await;
    done.map(|_| ()).with_context(|| log)
}

/// The router's own scripted model, behind OpenAI's API.
async fn scripted_model() -> Result<SocketAddr> {
    let router = litellm_router::serve::Router::new(litellm_router::config::BUNDLED, &|_| None);
    let router = router.map_err(anyhow::Error::msg)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(litellm_router_native::run(
        router,
        listener,
        std::future::pending(),
        std::time::Duration::ZERO,
    ));
    Ok(address)
}

/// A LiteLLM proxy, ended when it is dropped.
struct Proxy {
    url: String,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Proxy {
    async fn start(model: SocketAddr) -> Result<Self> {
        let program = xtask::tools::litellm().await?;
        let folder = tempfile::TempDir::new()?;
        let config = folder.path().join("config.yaml");
        let yaml = format!(
            "model_list:\n  - model_name: from-litellm\n    litellm_params:\n      \
             model: hosted_vllm/local/demo\n      api_base: http://{model}/v1\n      \
             api_key: auto-detect\ngeneral_settings:\n  master_key: {KEY}\n"
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
