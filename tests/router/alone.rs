//! The router's Worker by itself, with a configuration of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use world::PATIENCE;
use xtask::process::Service;
use xtask::tools::Tools;

/// The variables of a Worker: strings, or anything else that JSON can say.
pub type Variables = serde_json::Map<String, Value>;

/// `wrangler dev` with the router that was built last.
pub struct Alone {
    pub url: String,
    pub http: reqwest::Client,
    port: u16,
    data: TempDir,
    log: Arc<Mutex<Vec<String>>>,
    service: Option<Service>,
}

impl Alone {
    /// Starts it with these variables, and waits until it answers anything at all.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn start(variables: Variables) -> Result<Self> {
        let data = TempDir::new()?;
        let root = xtask::root().join("litellm-router");
        let config = std::fs::read_to_string(root.join("wrangler.jsonc"))?;
        // Paths are read from where the configuration is.
        let config = config.replace("\"build/", &format!("\"{}/build/", root.display()));
        let variables = format!("{{ \"vars\": {},", Value::Object(variables));
        std::fs::write(
            data.path().join("wrangler.jsonc"),
            config.replacen('{', &variables, 1),
        )?;
        let port = free_port()?;
        let mut alone = Self {
            url: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(PATIENCE)
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            port,
            data,
            log: Arc::default(),
            service: None,
        };
        alone.run().await?;
        Ok(alone)
    }

    async fn run(&mut self) -> Result<()> {
        let tools = Tools::install().await?;
        let mut command = tools.npm_command("wrangler", "bin/wrangler.js");
        command
            .args(["dev", "--config"])
            .arg(self.path("wrangler.jsonc"))
            .args(["--ip", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--inspector-port", &free_port()?.to_string()])
            .arg("--persist-to")
            .arg(self.path("state"))
            .arg("--show-interactive-dev-session=false")
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_REGISTRY_PATH", self.path("registry"))
            .current_dir(self.data.path());
        let log = Arc::clone(&self.log);
        let note = move |line: &str| {
            if let Ok(mut log) = log.lock() {
                log.push(line.to_owned());
            }
        };
        self.service = Some(Service::start("router", &mut command, note)?);
        for _ in 0..1_200 {
            let asked = self.http.get(format!("{}/health/liveliness", self.url));
            if asked.send().await.is_ok() {
                return Ok(());
            }
            if self.service.as_ref().is_none_or(Service::has_ended) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the router does not start:\n{}", self.log())
    }

    /// Kills it as a crash would, and starts it again on what it has stored.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        if let Some(service) = self.service.take() {
            service.kill().await;
        }
        self.run().await
    }

    /// The answer to a call with this key: status, and body as JSON.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Result<(u16, Value)> {
        let call = self.http.post(format!("{}{path}", self.url));
        let answer = call.bearer_auth(key).json(body).send().await?;
        told(answer).await
    }

    /// The same for a path that is read.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn get(&self, path: &str, key: &str) -> Result<(u16, Value)> {
        let call = self.http.get(format!("{}{path}", self.url));
        told(call.bearer_auth(key).send().await?).await
    }

    /// Waits for a line of its log that holds all of these words.
    ///
    /// # Errors
    /// Where none comes.
    pub async fn line(&self, words: &[&str]) -> Result<String> {
        for _ in 0..200 {
            let log = self.log();
            let mut lines = log.lines();
            let found = lines.find(|line| words.iter().all(|word| line.contains(word)));
            if let Some(found) = found {
                return Ok(found.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("no line says {words:?}:\n{}", self.log())
    }

    /// All that it has printed.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .map_or_else(|_| String::new(), |lines| lines.join("\n"))
    }

    /// Ends it.
    pub async fn stop(mut self) {
        if let Some(service) = self.service.take() {
            service.stop().await;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }
}

async fn told(answer: reqwest::Response) -> Result<(u16, Value)> {
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).with_context(|| format!("{status} {text}"))?;
    Ok((status, body))
}

/// A port that nobody listens on.
///
/// # Errors
/// Where there is none.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
