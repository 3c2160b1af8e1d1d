//! Sandboxes on this machine's Docker engine, by its API, as a deployment has them elsewhere.
//!
//! ```text
//! Worker ──token──► door to the engine ──► its socket
//! Worker ◄── /sandbox/… alone ── door to the Worker ◄── a sandbox's gate
//! ```
//!
//! Both doors are of this process. The first makes an address of the engine's socket, for whoever has the
//! token; the second is there because the Worker of somebody who develops it listens on loopback alone,
//! where no container gets, and because it takes callers of that machine for its owner.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::process::output;
use crate::stack::random_hex;
use crate::{root, say};

/// The name by which a gate knows the machine of its engine.
const MACHINE: &str = "host.docker.internal";

/// The label of all that belongs to the sandboxes of one deployment.
const OF_DEPLOYMENT: &str = "agent-router.deployment";

/// The command-line client of Docker.
pub(crate) fn client() -> Command {
    Command::new(std::env::var("WRANGLER_DOCKER_BIN").unwrap_or_else(|_| "docker".to_owned()))
}

/// What a stack has for sandboxes on Docker. The doors close with it.
pub struct Sandboxes {
    deployment: String,
    image: String,
    engine_url: String,
    engine_token: String,
    own_url: String,
    doors: [JoinHandle<()>; 2],
}

impl Drop for Sandboxes {
    fn drop(&mut self) {
        for door in &self.doors {
            door.abort();
        }
    }
}

impl Sandboxes {
    /// Builds the image, and opens the doors, for a Worker that listens on `port` of loopback.
    ///
    /// # Errors
    /// What is missing.
    pub async fn prepare(data: &Path, port: u16) -> Result<Self> {
        let deployment = deployment(data)?;
        // The same for all stacks of a state of the sources: what Docker has built already is there at once.
        let image = format!("agent-router-sandbox:{deployment}");
        say("building the sandbox's image with Docker; the first time takes some minutes");
        output(
            client()
                .args(["build", "--quiet", "--tag", &image, "."])
                .current_dir(root().join("container")),
        )
        .await
        .context("building the sandbox's image")?;

        // Of a stack that was killed: their gates lead to a Worker that is no more.
        remove(&deployment).await;
        let engine = Engine::find()?;
        let token = random_hex()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let engine_url = format!("http://{}", listener.local_addr()?);
        let bearer = format!("Bearer {token}");
        let may = move |request: &Request<Incoming>| {
            let given = request.headers().get(AUTHORIZATION);
            given.is_some_and(|given| given.as_bytes() == bearer.as_bytes())
        };
        let to_engine = tokio::spawn(door(listener, may, move || {
            let engine = engine.clone();
            async move { engine.connect().await }
        }));

        let listener = match TcpListener::bind((bridge().await?, 0)).await {
            Ok(listener) => listener,
            // The engine is in a machine of its own, which hands that name to this one's loopback.
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        };
        let own_url = format!("http://{MACHINE}:{}", listener.local_addr()?.port());
        let may = |request: &Request<Incoming>| request.uri().path().starts_with("/sandbox/");
        let worker = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let to_worker = tokio::spawn(door(listener, may, move || async move {
            let stream = TcpStream::connect(worker).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        }));
        Ok(Self {
            deployment,
            image,
            engine_url,
            engine_token: token,
            own_url,
            doors: [to_engine, to_worker],
        })
    }

    /// The Worker's variables.
    pub fn vars(&self) -> Vec<(String, String)> {
        [
            ("DOCKER_ENGINE_URL", &self.engine_url),
            ("DOCKER_ENGINE_TOKEN", &self.engine_token),
            ("DOCKER_IMAGE", &self.image),
            ("SANDBOX_DEPLOYMENT", &self.deployment),
            ("DOCKER_OWN_URL", &self.own_url),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .to_vec()
    }

    /// Removes all that the deployment has on the engine: containers, networks, volumes, its image's name.
    pub async fn remove(&self) {
        remove(&self.deployment).await;
        let _gone = output(client().args(["rmi", "--no-prune", &self.image])).await;
    }
}

async fn remove(deployment: &str) {
    let filter = format!("label={OF_DEPLOYMENT}={deployment}");
    for (list, remove) in [
        (
            &["ps", "--all", "--quiet", "--filter"][..],
            &["rm", "--force"][..],
        ),
        (
            &["network", "ls", "--quiet", "--filter"],
            &["network", "rm"],
        ),
        (
            &["volume", "ls", "--quiet", "--filter"],
            &["volume", "rm", "--force"],
        ),
    ] {
        let Ok(found) = output(client().args(list).arg(&filter)).await else {
            continue;
        };
        if !found.is_empty() {
            let _gone = output(client().args(remove).args(found.lines())).await;
        }
    }
}

/// The name of a stack's deployment: as long-lived as its data.
fn deployment(data: &Path) -> Result<String> {
    let file = data.join("docker-deployment");
    if let Ok(name) = std::fs::read_to_string(&file) {
        return Ok(name.trim().to_owned());
    }
    let name: String = random_hex()?.chars().take(12).collect();
    let name = format!("dev-{name}");
    std::fs::write(&file, &name)?;
    Ok(name)
}

/// The address that this machine has in the engine's first network.
async fn bridge() -> Result<IpAddr> {
    let format = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
    let told = output(client().args(["network", "inspect", "bridge", "--format", format])).await?;
    let mut addresses = told.split_whitespace().filter_map(|word| word.parse().ok());
    Ok(addresses
        .find(IpAddr::is_ipv4)
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

/// Where the engine is, by the variable that Docker's own client reads.
#[derive(Clone)]
enum Engine {
    Socket(PathBuf),
    Port(String),
}

impl Engine {
    fn find() -> Result<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        Ok(match host.split_once("://") {
            None => Self::Socket("/var/run/docker.sock".into()),
            Some(("unix", path)) => Self::Socket(path.into()),
            Some(("tcp" | "http", address)) => Self::Port(address.to_owned()),
            Some(_) => bail!(
                "DOCKER_HOST is {host}; --provider docker takes unix:// and tcp://, and none with TLS"
            ),
        })
    }

    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Self::Port(address) => Box::new(TcpStream::connect(address).await?),
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Body = BoxBody<Bytes, hyper::Error>;

/// Passes on what may pass, bodies as streams, each request with a connection of its own.
async fn door<C, F>(
    listener: TcpListener,
    may: impl Fn(&Request<Incoming>) -> bool + Send + Sync + 'static,
    connect: C,
) where
    C: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = std::io::Result<Box<dyn Stream>>> + Send,
{
    let shared = Arc::new((may, connect));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let _slower = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let shared = Arc::clone(&shared);
                async move {
                    let (may, connect) = &*shared;
                    if !may(&request) {
                        return Ok::<_, std::convert::Infallible>(said(StatusCode::FORBIDDEN));
                    }
                    let passed = async {
                        let stream = TokioIo::new(connect().await?);
                        let (mut sender, connection) =
                            hyper::client::conn::http1::handshake(stream).await?;
                        tokio::spawn(connection);
                        anyhow::Ok(sender.send_request(request).await?.map(BodyExt::boxed))
                    };
                    Ok(passed
                        .await
                        .unwrap_or_else(|_| said(StatusCode::BAD_GATEWAY)))
                }
            });
            let server = hyper::server::conn::http1::Builder::new();
            let _cut = server.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn said(status: StatusCode) -> Response<Body> {
    let nothing = Full::default().map_err(|never: std::convert::Infallible| match never {});
    let mut response = Response::new(nothing.boxed());
    *response.status_mut() = status;
    response
}
