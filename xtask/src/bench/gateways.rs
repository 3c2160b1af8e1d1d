//! The gateways that are compared: where each comes from, how it is set up, and when it is ready.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::rows::MODELS;
use super::{GATEWAY_CORE, pinned};
use crate::process::{Service, output, run};
use crate::{build, root, say, tools};

/// The newest that can be installed.
const CLAUDE_CODE_ROUTER: &str = "2.0.0";

/// What clients have to present: LiteLLM does not start without a key, and takes no short one.
pub const KEY: &str = "sk-bench-5f2d7c1e9b3a48d6a0c4e8f7b1d39562";

/// Where workerd keeps its Durable Objects, in the gateway's folder.
const OBJECTS: &str = "objects";

/// How long a gateway has until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// What stands between client and upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Gateway {
    /// Nothing: the upstream itself, which speaks the clients' dialect as well
    Direct,
    /// litellm-router as a program of its own
    Native,
    /// litellm-router in Cloudflare's runtime
    Workerd,
    /// LiteLLM's proxy
    Litellm,
    /// claude-code-router
    ClaudeCodeRouter,
}

/// One that can be started.
pub struct Installed {
    pub gateway: Gateway,
    pub version: String,
    folder: PathBuf,
    program: PathBuf,
}

/// One that runs, until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    /// The id of its first process.
    pub id: i32,
    /// From exec until it answered.
    pub ready: Duration,
    service: Service,
}

impl Gateway {
    pub const ALL: [Self; 5] = [
        Self::Direct,
        Self::Native,
        Self::Workerd,
        Self::Litellm,
        Self::ClaudeCodeRouter,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "no gateway",
            Self::Native => "litellm-router, native",
            Self::Workerd => "litellm-router, workerd",
            Self::Litellm => "LiteLLM",
            Self::ClaudeCodeRouter => "claude-code-router",
        }
    }

    /// How many starts are timed. What takes seconds is not timed five times.
    pub fn starts(self) -> usize {
        match self {
            Self::Direct => 0,
            Self::Native | Self::Workerd => 5,
            Self::Litellm | Self::ClaudeCodeRouter => 1,
        }
    }

    /// Where it tells that it is healthy.
    fn health(self) -> &'static str {
        match self {
            Self::ClaudeCodeRouter => "/health",
            _ => "/health/readiness",
        }
    }

    /// How a client names a model to it.
    pub fn model(self, name: &str) -> String {
        match self {
            Self::ClaudeCodeRouter => format!("bench,{name}"),
            _ => name.to_owned(),
        }
    }

    /// Builds or installs it.
    ///
    /// # Errors
    /// What could not be built or installed.
    pub async fn install(self, build_anew: bool) -> Result<Installed> {
        let (program, version) = match self {
            Self::Direct => (PathBuf::new(), String::new()),
            Self::Native => native(build_anew).await?,
            Self::Workerd => workerd(build_anew).await?,
            Self::Litellm => litellm().await?,
            Self::ClaudeCodeRouter => claude_code_router().await?,
        };
        let name = format!("run-{}", self.name().replace([' ', ','], "-"));
        let folder = bench_folder().join(name);
        fs::create_dir_all(&folder).await?;
        Ok(Installed {
            gateway: self,
            version,
            folder,
            program,
        })
    }
}

/// Where foreign programs are installed and every gateway keeps its files.
pub fn bench_folder() -> PathBuf {
    root().join("target/bench")
}

async fn native(build_anew: bool) -> Result<(PathBuf, String)> {
    if build_anew {
        say("building litellm-router, native");
        run(Command::new("cargo")
            .args(["build", "--profile", "native", "--package"])
            .arg("litellm-router-native")
            .current_dir(root())
            .kill_on_drop(true))
        .await?;
    }
    let program = build::target_folder().join("native/litellm-router");
    let version = output(Command::new(&program).arg("--version")).await?;
    Ok((program, format!("{version}, {}", commit().await)))
}

async fn workerd(build_anew: bool) -> Result<(PathBuf, String)> {
    if build_anew {
        build::router().await?;
    }
    let program = root().join("node_modules/workerd/bin/workerd");
    let version = output(Command::new(&program).arg("--version")).await?;
    Ok((program, format!("{version}, {}", commit().await)))
}

/// The commit that is measured.
async fn commit() -> String {
    let mut describe = Command::new("git");
    describe
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .current_dir(root());
    let commit = output(&mut describe).await;
    commit.map_or_else(
        |_| "unknown commit".into(),
        |commit| format!("commit {commit}"),
    )
}

async fn litellm() -> Result<(PathBuf, String)> {
    let program = tools::litellm().await?;
    let python = output(Command::new(program.with_file_name("python")).arg("--version")).await?;
    let version = tools::LITELLM;
    Ok((program, format!("litellm[proxy] {version}, {python}")))
}

async fn claude_code_router() -> Result<(PathBuf, String)> {
    const PACKAGE: &str = "@musistudio/claude-code-router";
    let folder = bench_folder().join("claude-code-router");
    let package = folder.join("node_modules").join(PACKAGE);
    let marker = folder.join(format!("installed-{CLAUDE_CODE_ROUTER}"));
    if !marker.exists() {
        say(&format!("installing {PACKAGE} {CLAUDE_CODE_ROUTER}"));
        fs::create_dir_all(&folder).await?;
        run(Command::new("npm")
            .args(["install", "--no-save", "--prefix"])
            .arg(&folder)
            .arg(format!("{PACKAGE}@{CLAUDE_CODE_ROUTER}"))
            .kill_on_drop(true))
        .await?;
        fs::write(&marker, "").await?;
    }
    let node = tools::node().await?;
    let version = output(Command::new(&node).arg("--version")).await?;
    let version = format!("{PACKAGE} {CLAUDE_CODE_ROUTER}, Node {version}");
    Ok((package.join("dist/cli.js"), version))
}

impl Installed {
    /// Starts it before `upstream`, on one core where processes can be pinned, and waits until it
    /// answers. What it prints goes into a file.
    ///
    /// # Errors
    /// Where it ends, or does not answer in time; with its last lines.
    pub async fn start(&self, upstream: SocketAddr) -> Result<Running> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        drop(listener);
        let arguments = self.set_up(upstream, address).await?;
        let log = self.folder.join("output.log");
        // A pipe would have to be read while others are measured.
        let to_file = "log=$1; shift; exec \"$@\" >\"$log\" 2>&1";
        let mut command = pinned(GATEWAY_CORE, "sh");
        command
            .args(["-c", to_file, "sh"])
            .arg(&log)
            .args(&arguments)
            .current_dir(&self.folder)
            // claude-code-router reads its configuration there.
            .env("HOME", &self.folder)
            .env("GROQ_API_KEY", "bench")
            .env("NO_PROXY", "127.0.0.1")
            // LiteLLM: no list of prices from the internet, and no line for each request.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("LITELLM_LOG", "ERROR");
        let begin = Instant::now();
        let service = Service::start(self.gateway.name(), &mut command, |_| {})?;
        loop {
            if answers(address, self.gateway.health()).await {
                break;
            }
            if service.has_ended() || begin.elapsed() > PATIENCE {
                let log = fs::read_to_string(&log).await.unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(15).collect();
                let lines: Vec<&str> = lines.into_iter().rev().collect();
                bail!(
                    "{} did not start:\n{}",
                    self.gateway.name(),
                    lines.join("\n")
                );
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        Ok(Running {
            address,
            id: service.id(),
            ready: begin.elapsed(),
            service,
        })
    }

    /// Writes its configuration and gives its command line.
    async fn set_up(&self, upstream: SocketAddr, address: SocketAddr) -> Result<Vec<String>> {
        let program = text(&self.program);
        let port = address.port().to_string();
        match self.gateway {
            Gateway::Direct => bail!("nothing has to be started"),
            Gateway::Native => {
                let config = self.write("config.yaml", &litellm_config(upstream)).await?;
                let words = ["--config", &config, "--host", "127.0.0.1", "--port", &port];
                Ok(command(&program, &words))
            }
            Gateway::Litellm => {
                let config = self.write("config.yaml", &litellm_config(upstream)).await?;
                let words = ["--config", &config, "--host", "127.0.0.1", "--port", &port];
                Ok(command(&program, &words))
            }
            Gateway::Workerd => {
                let built = root().join("litellm-router/build");
                for file in ["index.js", "index_bg.wasm"] {
                    fs::copy(built.join(file), self.folder.join(file))
                        .await
                        .context("litellm-router is not built")?;
                }
                fs::create_dir_all(self.folder.join(OBJECTS)).await?;
                self.write("config.yaml", &litellm_config(upstream)).await?;
                let config = workerd_config(address).await?;
                let config = self.write("config.capnp", &config).await?;
                Ok(command(&program, &["serve", &config]))
            }
            Gateway::ClaudeCodeRouter => {
                let config = serde_json::json!({
                    "LOG": false,
                    "APIKEY": KEY,
                    "HOST": "127.0.0.1",
                    "PORT": address.port(),
                    "NON_INTERACTIVE_MODE": true,
                    "Providers": [{
                        "name": "bench",
                        "api_base_url": format!("http://{upstream}/v1/chat/completions"),
                        "api_key": "bench",
                        "models": MODELS,
                    }],
                    "Router": {"default": "bench,bench-20"},
                });
                let folder = self.folder.join(".claude-code-router");
                fs::create_dir_all(&folder).await?;
                // It takes a file of an earlier run for itself.
                let _ = fs::remove_file(folder.join(".claude-code-router.pid")).await;
                fs::write(folder.join("config.json"), config.to_string()).await?;
                Ok(command(&text(&tools::node().await?), &[&program, "start"]))
            }
        }
    }

    async fn write(&self, name: &str, content: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, content).await?;
        Ok(text(&path))
    }
}

impl Running {
    /// Whether it still runs.
    pub fn lives(&self) -> bool {
        !self.service.has_ended()
    }

    pub async fn stop(self) {
        self.service.stop().await;
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn command(program: &str, words: &[&str]) -> Vec<String> {
    let all = [program].into_iter().chain(words.iter().copied());
    all.map(str::to_owned).collect()
}

/// The same configuration for LiteLLM and for this project: it is LiteLLM's format.
fn litellm_config(upstream: SocketAddr) -> String {
    let mut yaml = format!("general_settings: {{master_key: {KEY}}}\nmodel_list:\n");
    for model in MODELS {
        yaml += &format!(
            "  - model_name: {model}\n    litellm_params:\n      model: groq/{model}\n      \
             api_base: http://{upstream}/v1\n      api_key: bench\n"
        );
    }
    yaml
}

/// The built Worker as `wrangler deploy` would upload it, on the bare runtime, with its Durable
/// Objects on the disk.
async fn workerd_config(address: SocketAddr) -> Result<String> {
    let wrangler = fs::read_to_string(root().join("litellm-router/wrangler.jsonc")).await?;
    let is_comment = |line: &&str| !line.trim_start().starts_with("//");
    let wrangler: String = wrangler.lines().filter(is_comment).collect();
    let wrangler: Value = serde_json::from_str(&wrangler).context("wrangler.jsonc")?;
    let field = |pointer: &str| {
        let found = wrangler.pointer(pointer);
        found.with_context(|| format!("wrangler.jsonc has no {pointer}"))
    };
    let mut bindings = r#"(name = "LITELLM_CONFIG", text = embed "config.yaml")"#.to_owned();
    let mut namespaces = Vec::new();
    let objects = wrangler.pointer("/durable_objects/bindings");
    for object in objects.and_then(Value::as_array).into_iter().flatten() {
        let [name, class] = ["name", "class_name"].map(|key| object.get(key));
        let (Some(name), Some(class)) = (name, class) else {
            bail!("wrangler.jsonc has a binding without name or class: {object}");
        };
        bindings += &format!(", (name = {name}, durableObjectNamespace = {class})");
        namespaces.push(format!(
            "(className = {class}, uniqueKey = {class}, enableSql = true)"
        ));
    }
    Ok(format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "router", worker = .router),
    (name = "internet", network = (allow = ["public", "private"])),
    (name = "objects", disk = (path = "{OBJECTS}", writable = true)),
  ],
  sockets = [(name = "http", address = "{address}", http = (), service = "router")],
);
const router :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "index.js"),
    (name = "index_bg.wasm", wasm = embed "index_bg.wasm"),
  ],
  compatibilityDate = {},
  compatibilityFlags = {},
  bindings = [{bindings}],
  durableObjectNamespaces = [{}],
  durableObjectStorage = (localDisk = "objects"),
);
"#,
        field("/compatibility_date")?,
        field("/compatibility_flags")?,
        namespaces.join(", "),
    ))
}

/// Whether it says that it is healthy.
async fn answers(address: SocketAddr, path: &str) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await?;
        Ok::<_, std::io::Error>(&begin == b"HTTP/1.1 200")
    };
    let patience = Duration::from_secs(5);
    matches!(tokio::time::timeout(patience, asked).await, Ok(Ok(true)))
}
