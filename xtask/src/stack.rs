//! Both Workers and what they need, running on this machine.
//!
//! ```text
//! wrangler dev (session Worker) ──service binding──► wrangler dev (litellm-router)
//!        │
//!        └── containers on Docker, by wrangler or by its engine, or the host of local sandboxes
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::process::{Service, output};
use crate::tools::{self, Tools};
use crate::{build, docker, root, say};

/// How long the stack may take until it answers: building the sandbox's image is part of it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where sandboxes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    /// Cloudflare Containers, on this machine's Docker engine
    Cloudflare,
    /// Containers of this machine's Docker engine, by its API
    Docker,
    /// Processes on this machine, not walled off from it
    Local,
}

impl Provider {
    fn name(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Docker => "docker",
            Self::Local => "local",
        }
    }
}

/// How to start the stack.
#[derive(Debug, Clone)]
pub struct StackOptions {
    pub host: IpAddr,
    /// 0 for any that is free.
    pub port: u16,
    pub router_port: u16,
    /// Where everything is kept that outlives the stack.
    pub data: PathBuf,
    /// The default of sessions; none: Docker where there is one.
    pub provider: Option<Provider>,
    /// Others that sessions may choose.
    pub more_providers: Vec<Provider>,
    /// The session Worker's configuration; none: the one that is deployed.
    pub worker_config: Option<PathBuf>,
    /// Variables of the session Worker.
    pub worker_vars: Vec<(String, String)>,
    /// Variables of the model router.
    pub router_vars: Vec<(String, String)>,
    /// Keep the logs for [`Stack::log`] instead of printing them.
    pub quiet: bool,
}

impl StackOptions {
    pub fn new(data: PathBuf) -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            router_port: 0,
            data,
            provider: None,
            more_providers: Vec::new(),
            worker_config: None,
            worker_vars: Vec::new(),
            router_vars: Vec::new(),
            quiet: false,
        }
    }
}

/// The running stack. Everything ends with it.
pub struct Stack {
    pub url: String,
    pub router_url: String,
    /// What callers of the router present; made anew for each stack.
    pub master_key: String,
    pub provider: Provider,
    /// Which provider, and why that one.
    pub provider_reason: String,
    services: Vec<Service>,
    /// What there is for sandboxes on the engine.
    on_docker: Option<docker::Sandboxes>,
    log: Arc<Mutex<Vec<String>>>,
    options: StackOptions,
    data: PathBuf,
    tools: Tools,
    /// The router first: the session Worker looks for it.
    wranglers: [Wrangler; 2],
}

impl Stack {
    /// Starts everything and waits until it answers.
    ///
    /// # Errors
    /// What did not start, with its last lines.
    pub async fn start(options: StackOptions) -> Result<Self> {
        let mut stack = Self::prepare(options).await?;
        if let Err(error) = stack.start_workers().await {
            stack.stop().await;
            return Err(error);
        }
        Ok(stack)
    }

    /// The stack with all that its Workers need, before they are started.
    ///
    /// # Errors
    /// What is missing.
    pub async fn prepare(options: StackOptions) -> Result<Self> {
        let tools = Tools::install().await?;
        let (provider, provider_reason) = choose(options.provider).await?;
        let data = std::path::absolute(&options.data)?;
        tokio::fs::create_dir_all(&data).await?;
        let port = free_port(options.host, options.port)?;
        let router_port = free_port(options.host, options.router_port)?;
        let url = format!("http://{}", SocketAddr::new(options.host, port));
        let router_url = format!("http://{}", SocketAddr::new(options.host, router_port));

        let log = Arc::default();
        // The router listens on a port of this machine, with the providers' keys: only the session
        // Worker may call it.
        let secret = random_hex()?;
        let master_key = ("LITELLM_MASTER_KEY".to_owned(), secret.clone());
        let mut worker_vars = vec![master_key.clone()];
        worker_vars.push(("SECRETS_KEY".to_owned(), secrets_key(&data)?));
        // Whoever tries webhooks here has their server here.
        worker_vars.push(("PRIVATE_WEBHOOKS".to_owned(), "true".to_owned()));
        worker_vars.push(("SANDBOX_PROVIDER".to_owned(), provider.name().to_owned()));
        worker_vars.push(("OWN_URL".to_owned(), url.clone()));
        let mut services = Vec::new();
        let has = |one: Provider| provider == one || options.more_providers.contains(&one);
        let containers = has(Provider::Cloudflare);
        if !containers {
            // The deployed configuration says what its containers have: here there are none.
            worker_vars.push(("SANDBOX_INSTANCE_TYPE".to_owned(), String::new()));
        }
        let mut on_docker = None;
        if has(Provider::Docker) {
            let sandboxes = docker::Sandboxes::prepare(&data, port).await?;
            worker_vars.extend(sandboxes.vars());
            on_docker = Some(sandboxes);
        }
        if has(Provider::Local) {
            let lines = lines("sandboxes", &log, options.quiet);
            let (host, address, token) = local_host(&options, &data, lines).await?;
            worker_vars.push(("LOCAL_SANDBOX_URL".to_owned(), address));
            worker_vars.push(("LOCAL_SANDBOX_TOKEN".to_owned(), token));
            services.push(host);
        }
        // What was asked for stands, whatever the stack has of its own: of two, the last one counts.
        worker_vars.extend(options.worker_vars.iter().cloned());
        let router = Wrangler {
            name: "router",
            worker: "litellm-router",
            config: root().join("litellm-router/wrangler.jsonc"),
            port: router_port,
            data: data.clone(),
            vars: options
                .router_vars
                .iter()
                .cloned()
                .chain(provider_keys()?)
                .chain([master_key])
                .collect(),
            containers: false,
        };
        let worker = Wrangler {
            name: "worker",
            worker: "agent-router",
            config: options
                .worker_config
                .clone()
                .unwrap_or_else(|| root().join("wrangler.jsonc")),
            port,
            data: data.clone(),
            vars: worker_vars,
            containers,
        };
        if !options.quiet && containers {
            say("building the sandbox's image with Docker; the first time takes some minutes");
        }
        Ok(Self {
            url,
            router_url,
            master_key: secret,
            provider,
            provider_reason,
            services,
            on_docker,
            log,
            options,
            data,
            tools,
            wranglers: [router, worker],
        })
    }

    /// Starts both Workers, again where they were killed.
    ///
    /// # Errors
    /// What did not start, with its last lines.
    pub async fn start_workers(&mut self) -> Result<()> {
        let answer_at = [
            format!("{}/worker-health", self.router_url),
            // Answers only where the Worker runs and has found the router.
            format!("{}/demo/models", self.url),
        ];
        for (wrangler, url) in self.wranglers.iter().zip(&answer_at) {
            if self.part(wrangler.name).is_some() {
                continue;
            }
            // One that was killed is still in it, and would be taken for alive for a while.
            let _ = tokio::fs::remove_file(registry(&self.data).join(wrangler.worker)).await;
            let lines = lines(wrangler.name, &self.log, self.options.quiet);
            self.services
                .push(wrangler.start(&self.tools, &self.options, lines).await?);
            // One after the other: two that start at once may want the same port for themselves.
            self.answers(url).await?;
        }
        Ok(())
    }

    async fn answers(&self, url: &str) -> Result<()> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let vars = &self.options.worker_vars;
        let token = vars.iter().find(|(name, _)| name == "OPERATOR_TOKEN");
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let mut request = client.get(url);
            if let Some((_, token)) = token.filter(|_| url.starts_with(&self.url)) {
                request = request.bearer_auth(token);
            }
            if request
                .send()
                .await
                .is_ok_and(|response| response.status().is_success())
            {
                return Ok(());
            }
            if let Some(service) = self.services.iter().find(|service| service.has_ended()) {
                bail!(
                    "{} ended while it was starting:\n{}",
                    service.name(),
                    self.last_lines()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!(
            "{url} did not answer within {} seconds:\n{}",
            PATIENCE.as_secs(),
            self.last_lines()
        )
    }

    /// Waits until a part has ended by itself, and gives its name.
    pub async fn ended(&self) -> String {
        let mut waiting: Vec<_> = self
            .services
            .iter()
            .map(|service| {
                Box::pin(async move {
                    service.ended().await;
                    service.name().to_owned()
                })
            })
            .collect();
        std::future::poll_fn(|context| {
            use std::future::Future;
            for service in &mut waiting {
                if let std::task::Poll::Ready(name) = service.as_mut().poll(context) {
                    return std::task::Poll::Ready(name);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// All that the parts have printed.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .map(|lines| lines.join("\n"))
            .unwrap_or_default()
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines
            .get(lines.len().saturating_sub(30)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Ends everything, containers included.
    pub async fn stop(self) {
        for service in self.services.iter().rev() {
            service.stop().await;
        }
        if let Some(sandboxes) = &self.on_docker {
            sandboxes.remove().await;
        }
        self.remove_containers().await;
    }

    /// Ends a part as a crash would: `worker`, `router`, or `sandboxes`, the host of local ones.
    pub async fn kill(&mut self, name: &str) {
        if let Some(place) = self.services.iter().position(|part| part.name() == name) {
            self.services.remove(place).kill().await;
        }
    }

    /// A part that runs.
    pub fn part(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|part| part.name() == name)
    }

    /// Removes the containers that workerd has left: those made from the image of this stack's build.
    async fn remove_containers(&self) {
        let Some(image) = self.image() else { return };
        // By the name that they were made from: `ancestor` would also find those of another stack whose
        // image has the same content.
        let list = ["ps", "--all", "--format", "{{.ID}} {{.Names}} {{.Image}}"];
        let Ok(containers) = output(docker::client().args(list)).await else {
            return;
        };
        for container in containers.lines() {
            let mut parts = container.split(' ');
            if let (Some(id), Some(name), Some(made_from)) =
                (parts.next(), parts.next(), parts.next())
                && made_from == image
            {
                // The sidecar beside it has its name with -proxy.
                let _ =
                    output(docker::client().args(["rm", "--force", id, &format!("{name}-proxy")]))
                        .await;
            }
        }
        // Its name alone: the layers below make the next build quick.
        let _ = output(docker::client().args(["rmi", "--no-prune", &image])).await;
    }

    /// The image that wrangler has built for this stack.
    fn image(&self) -> Option<String> {
        let log = self.log();
        let place = log.rfind("cloudflare-dev/")?;
        let rest = log.get(place..)?;
        let end = rest
            .find(|c: char| c.is_whitespace() || c == '\'' || c == '"')
            .unwrap_or(rest.len());
        rest.get(..end).map(str::to_owned)
    }
}

/// Where the two Workers find each other.
fn registry(data: &Path) -> PathBuf {
    data.join("registry")
}

impl Drop for Stack {
    fn drop(&mut self) {
        for wrangler in &self.wranglers {
            let _ = std::fs::remove_file(wrangler.variables());
        }
    }
}

/// One `wrangler dev`.
struct Wrangler {
    name: &'static str,
    /// The name in its configuration.
    worker: &'static str,
    config: PathBuf,
    port: u16,
    data: PathBuf,
    vars: Vec<(String, String)>,
    containers: bool,
}

impl Wrangler {
    /// The file with its variables, keys among them; it goes when the stack does.
    fn variables(&self) -> PathBuf {
        self.data.join(format!("{}.env", self.name))
    }

    async fn start(
        &self,
        tools: &Tools,
        options: &StackOptions,
        lines: impl Fn(&str) + Send + Sync + Clone + 'static,
    ) -> Result<Service> {
        // In a file that only its owner reads: arguments and logs are seen by others.
        let variables = self.variables();
        write_private(&variables, &env_file(&self.vars)?).await?;
        let mut command = tools.npm_command("wrangler", "bin/wrangler.js");
        command
            .arg("dev")
            .arg("--config")
            .arg(&self.config)
            .args([
                "--ip",
                &options.host.to_string(),
                "--port",
                &self.port.to_string(),
            ])
            .args(["--inspector-port", &free_port(options.host, 0)?.to_string()])
            .arg("--persist-to")
            .arg(self.data.join("workers"))
            .arg("--env-file")
            .arg(&variables)
            .arg("--show-interactive-dev-session=false")
            .env("WRANGLER_SEND_METRICS", "false")
            // Stacks beside each other find their own parts alone.
            .env("WRANGLER_REGISTRY_PATH", registry(&self.data))
            .current_dir(root());
        if !self.containers {
            command.arg("--enable-containers=false");
        }
        Service::start(self.name, &mut command, lines)
    }
}

/// Starts the host of local sandboxes. Gives it, its address, and its token.
async fn local_host(
    options: &StackOptions,
    data: &Path,
    lines: impl Fn(&str) + Send + Sync + Clone + 'static,
) -> Result<(Service, String, String)> {
    let server = build::built_agent_server()?;
    let token = random_hex()?;
    let port = free_port(options.host, 0)?;
    let mut command = Command::new(&server);
    command
        .args([
            "host",
            "--listen",
            &SocketAddr::new(options.host, port).to_string(),
        ])
        .arg("--data")
        .arg(data.join("sandboxes"))
        .arg("--claude")
        .arg(tools::claude()?)
        .env("AGENT_HOST_TOKEN", &token);
    let service = Service::start("sandboxes", &mut command, lines)?;
    Ok((
        service,
        format!("http://{}", SocketAddr::new(options.host, port)),
        token,
    ))
}

async fn choose(wanted: Option<Provider>) -> Result<(Provider, String)> {
    let docker = tools::docker_answers().await;
    Ok(match (wanted, docker) {
        (Some(Provider::Cloudflare), false) => bail!(
            "--provider cloudflare needs a Docker engine, and none answers; start one (DOCKER_HOST says \
             where), or use --provider local"
        ),
        (Some(Provider::Cloudflare), true) | (None, true) => (
            Provider::Cloudflare,
            "Cloudflare Containers on this machine's Docker engine".to_owned(),
        ),
        (Some(Provider::Docker), false) => bail!(
            "--provider docker needs a Docker engine, and none answers; start one (DOCKER_HOST says where), \
             or use --provider local"
        ),
        (Some(Provider::Docker), true) => (
            Provider::Docker,
            "containers of this machine's Docker engine, each in a network of its own".to_owned(),
        ),
        (Some(Provider::Local), _) => (
            Provider::Local,
            "local processes, as asked; the agent works with your rights on this machine".to_owned(),
        ),
        (None, false) => (
            Provider::Local,
            "local processes, because no Docker engine answers; the agent works with your rights on this machine"
                .to_owned(),
        ),
    })
}

/// The key with which sessions seal their secrets: as long-lived as what it seals.
fn secrets_key(data: &Path) -> Result<String> {
    let file = data.join("secrets-key");
    if let Ok(key) = std::fs::read_to_string(&file) {
        return Ok(key.trim().to_owned());
    }
    let key = random_hex()?;
    std::fs::create_dir_all(data)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(&file)?, key.as_bytes())?;
    Ok(key)
}

pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The keys that are set here for the providers that the router knows, and for what its configuration
/// names as `os.environ/NAME`.
fn provider_keys() -> Result<Vec<(String, String)>> {
    const KNOWN: [&str; 7] = [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "CEREBRAS_API_KEY",
        "GROQ_API_KEY",
        "OPENAI_API_KEY",
        "OPENROUTER_API_KEY",
    ];
    let config = std::fs::read_to_string(root().join("litellm-router/litellm_config.yaml"))?;
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let named = config.split("os.environ/").skip(1).map(|rest| {
        rest.split(|character| !is_name(character))
            .next()
            .unwrap_or_default()
    });
    let names: std::collections::BTreeSet<&str> = KNOWN.into_iter().chain(named).collect();
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Ok(names
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), value(name)?)))
        .collect())
}

/// A file of variables as wrangler reads it: in quotes a value keeps everything but its own quote, and
/// `$NAME` is replaced unless the dollar is escaped.
fn env_file(vars: &[(String, String)]) -> Result<String> {
    let mut file = String::new();
    for (name, value) in vars {
        let quote = ['\'', '"', '`']
            .into_iter()
            .find(|quote| !value.contains(*quote))
            .with_context(|| format!("the value of {name} holds every kind of quotes"))?;
        file += &format!("{name}={quote}{}{quote}\n", value.replace('$', "\\$"));
    }
    Ok(file)
}

/// Writes a file that only its owner reads, from its first byte on.
async fn write_private(path: &Path, text: &str) -> Result<()> {
    use tokio::io::AsyncWriteExt;
    let _ = tokio::fs::remove_file(path).await;
    let mut file = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .await
        .with_context(|| format!("writing {}", path.display()))?;
    file.write_all(text.as_bytes()).await?;
    file.flush().await?;
    Ok(())
}

/// A port that nobody listens on: the one wanted, or for 0 one below those that the system gives to
/// programs by itself, so that no part of the stack gets it before the one it is meant for.
pub(crate) fn free_port(host: IpAddr, wanted: u16) -> Result<u16> {
    if wanted != 0 {
        TcpListener::bind((host, wanted)).with_context(|| {
            format!("port {wanted} is taken; choose another with --port or --router-port")
        })?;
        return Ok(wanted);
    }
    for _ in 0..100 {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
        let port = 20_000 + u16::from_le_bytes(bytes) % 12_000;
        if TcpListener::bind((host, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between 20000 and 32000")
}

/// Lines of the log that are kept.
const KEPT_LINES: usize = 5000;

/// Lines that wrangler prints for machines with the whole internet, or that say nothing new.
const NOISE: [&str; 6] = [
    "Request.cf",
    "workers.cloudflare.com",
    "GetAddrInfoReqWrap",
    "Unable to fetch",
    "─────",
    "⛅️",
];

/// What is done with each line of a part.
fn lines(
    name: &'static str,
    log: &Arc<Mutex<Vec<String>>>,
    quiet: bool,
) -> impl Fn(&str) + Send + Sync + Clone + 'static {
    let log = Arc::clone(log);
    move |line: &str| note(name, line, &log, quiet)
}

fn note(name: &str, line: &str, log: &Mutex<Vec<String>>, quiet: bool) {
    if let Ok(mut log) = log.lock() {
        if log.len() >= KEPT_LINES {
            log.drain(..KEPT_LINES / 2);
        }
        log.push(format!("{name}: {line}"));
    }
    if quiet || line.trim().is_empty() || NOISE.iter().any(|noise| line.contains(noise)) {
        return;
    }
    let colour = match name {
        "worker" => 34,
        "router" => 35,
        _ => 32,
    };
    eprintln!("\x1b[{colour}m{name:>9}\x1b[0m {line}");
}
