//! Sandboxes on a Docker engine, each with a network of its own out of which nothing leads. In that network
//! are two containers: the sandbox, and its gate (`container/src/gate.rs`), which alone has a foot outside:
//!
//! ```text
//! Worker ──► a port of the engine's machine ──► gate ──► sandbox (agent-server, its token)
//!   ▲  ▲                                       │  ▲
//!   │  └── model calls, as bytes ──────────────┘  └── what leaves the sandbox, and nothing else
//!   │                                          └──► hosts that the session may reach
//! ```
//!
//! The engine is the memory: what there is of a sandbox has names made from the session's id, and labels
//! with it, so that an object that was evicted finds it again, and the operator what nobody wants any more.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use agents::Limits;
use async_trait::async_trait;
use protocol::sandbox::{GATE_IN, GATE_OUT, PORT};
use protocol::{Problem, ProblemKind, SessionId};
use serde_json::{Value, json};
use worker::{Env, Method, State, Url};

use super::api::Api;
use super::inventory::Found;
use super::place::{deployment, variable};
use super::{AWAIT_RESTORE, Endpoint, Ensured, Provider, Start, server_token};
use crate::answer::internal;
use crate::session;

/// How long a sandbox may take until its server answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Processes and threads of a sandbox.
const PIDS: u64 = 1024;

/// The user of the image.
const USER: &str = "1000:1000";

/// Labels of all that belongs to a sandbox.
const OF_DEPLOYMENT: &str = "agent-router.deployment";
const OF_SESSION: &str = "agent-router.session";

pub struct Docker {
    engine: Api,
    platform: Rc<State>,
    env: Env,
    id: SessionId,
    image: String,
    /// What sets this deployment's sandboxes apart from others on the engine.
    deployment: String,
    /// Where sandboxes find this Worker.
    own_url: Url,
    /// The address of the engine's machine that the sandboxes' ports are opened at.
    publish: String,
    /// Its server has answered since this object was made.
    ready: Cell<bool>,
}

/// What the engine says of a container.
struct Container(Value);

impl Container {
    fn is_running(&self) -> bool {
        self.state("Running") == &Value::Bool(true)
    }

    fn state(&self, name: &str) -> &Value {
        static NOTHING: Value = Value::Null;
        let state = self.0.get("State").and_then(|state| state.get(name));
        state.unwrap_or(&NOTHING)
    }

    /// The port of the engine's machine that one of the container's is opened at.
    fn port(&self, port: u16) -> Option<u16> {
        let bound = self.0.pointer("/NetworkSettings/Ports")?;
        let first = bound.get(format!("{port}/tcp"))?.get(0)?;
        first.get("HostPort")?.as_str()?.parse().ok()
    }

    /// Its address in a network.
    fn address(&self, network: &str) -> Option<&str> {
        let networks = self.0.pointer("/NetworkSettings/Networks")?;
        networks.get(network)?.get("IPAddress")?.as_str()
    }

    /// How it has ended, for people; none where it runs.
    fn end(&self) -> Option<String> {
        if self.is_running() {
            return None;
        }
        if self.state("OOMKilled") == &Value::Bool(true) {
            return Some("it was killed because its memory ran out".to_owned());
        }
        Some(match self.state("ExitCode").as_i64() {
            Some(137) => "it was killed (exit code 137)".to_owned(),
            Some(0 | 143) => "it was told to stop".to_owned(),
            Some(code) => format!("it ended with exit code {code}"),
            None => "it ended".to_owned(),
        })
    }
}

/// The Docker Engine API (<https://docs.docker.com/reference/api/engine/>). Paths name no version, so each
/// engine answers with its own newest; what is used here has been the same since 1.40.
///
/// # Errors
/// 503 where the deployment has none.
fn engine(env: &Env) -> Result<Api, Problem> {
    let url = variable(env, "DOCKER_ENGINE_URL").ok_or_else(|| missing("DOCKER_ENGINE_URL"))?;
    Ok(Api {
        what: "the Docker engine",
        url: url.trim_end_matches('/').to_owned(),
        token: variable(env, "DOCKER_ENGINE_TOKEN"),
        certificate: env.service("DOCKER_ENGINE_CERTIFICATE").ok(),
        why,
    })
}

fn missing(name: &str) -> Problem {
    let words = format!("there are no sandboxes on Docker here: {name} is not set");
    Problem::new(ProblemKind::NotConfigured, words)
}

/// What it means that the engine does not do what it is told.
fn why(message: &str) -> Problem {
    let (kind, words) = if message.to_ascii_lowercase().contains("no such image") {
        (
            ProblemKind::NotConfigured,
            "the sandbox's image is not on the Docker engine: pull or build it there (DOCKER_IMAGE)",
        )
    } else if message.contains("address pool") {
        (
            ProblemKind::NoCapacity,
            "the Docker engine has no room for another network; stop a session, or give it more \
             (default-address-pools)",
        )
    } else {
        (
            ProblemKind::SandboxFailed,
            "the Docker engine could not do what the sandbox needs; the operator's log says what",
        )
    };
    Problem::new(kind, words)
}

impl Docker {
    /// # Errors
    /// Where the deployment does not say all that is needed.
    pub fn new(platform: Rc<State>, env: &Env, id: &SessionId) -> Result<Self, Problem> {
        let own = variable(env, "DOCKER_OWN_URL").or_else(|| variable(env, "OWN_URL"));
        let own = own.ok_or_else(|| missing("DOCKER_OWN_URL"))?;
        let engine = engine(env)?;
        Ok(Self {
            engine,
            image: variable(env, "DOCKER_IMAGE").ok_or_else(|| missing("DOCKER_IMAGE"))?,
            deployment: deployment(env),
            own_url: Url::parse(&own).map_err(|_| missing("DOCKER_OWN_URL as a whole address"))?,
            publish: variable(env, "DOCKER_PUBLISH_ADDRESS")
                .unwrap_or_else(|| "127.0.0.1".to_owned()),
            platform,
            env: env.clone(),
            id: id.clone(),
            ready: Cell::new(false),
        })
    }

    /// The name of a part of this sandbox. The id comes last, so that no id makes another part's name.
    fn name(&self, part: &str) -> String {
        format!("{}.{part}.{}", self.deployment, self.id)
    }

    fn labels(&self) -> Value {
        json!({ OF_DEPLOYMENT: self.deployment, OF_SESSION: self.id })
    }

    async fn inspect(&self, part: &str) -> Result<Option<Container>, Problem> {
        let path = format!("/containers/{}/json", self.name(part));
        let told = self.engine.ask(Method::Get, &path, None).await?;
        match told.status {
            200 => Ok(Some(Container(told.read()?))),
            404 => Ok(None),
            _ => Err(internal("Docker engine", &told.message())),
        }
    }

    async fn endpoint(&self, gate: &Container) -> Result<Option<Endpoint>, Problem> {
        let Some(port) = gate.port(GATE_IN) else {
            return Ok(None);
        };
        // The engine's machine, by the name that it is asked by, unless the ports are opened elsewhere.
        let engine = Url::parse(&self.engine.url).ok();
        let host = match self.publish.as_str() {
            "0.0.0.0" => engine.as_ref().and_then(Url::host_str).unwrap_or_default(),
            address => address,
        };
        Ok(Some(Endpoint::Url {
            url: format!("http://{host}:{port}"),
            token: Some(server_token(&self.platform).await?),
            instance: None,
        }))
    }

    /// Removes both containers and their network, where they are.
    async fn remove(&self) -> Result<(), Problem> {
        self.ready.set(false);
        for part in ["sandbox", "gate"] {
            let path = format!("/containers/{}?force=true", self.name(part));
            self.engine.tell(Method::Delete, &path, None).await?;
        }
        let path = format!("/networks/{}", self.name("net"));
        self.engine.tell(Method::Delete, &path, None).await?;
        Ok(())
    }

    async fn create(&self, part: &str, container: &Value) -> Result<(), Problem> {
        let path = format!("/containers/create?name={}", self.name(part));
        self.engine
            .tell(Method::Post, &path, Some(container))
            .await?;
        Ok(())
    }

    async fn set_off(&self, part: &str) -> Result<(), Problem> {
        let path = format!("/containers/{}/start", self.name(part));
        self.engine.tell(Method::Post, &path, None).await?;
        Ok(())
    }

    /// Makes the network, the gate and the sandbox. Returns the gate as it runs.
    async fn make(&self, start: &Start) -> Result<Container, Problem> {
        let network = self.name("net");
        let wanted = json!({
            "Name": network,
            "Internal": true,
            "Labels": self.labels(),
            // The engine's machine itself has no address in the network, either.
            "Options": { "com.docker.network.bridge.inhibit_ipv4": "true" },
        });
        self.engine
            .tell(Method::Post, "/networks/create", Some(&wanted))
            .await?;
        let hosts = session::outbound(&self.env, &self.id).await?.hosts;
        self.create("gate", &self.gate(&hosts)).await?;
        let path = format!("/networks/{network}/connect");
        let gate = json!({ "Container": self.name("gate") });
        self.engine.tell(Method::Post, &path, Some(&gate)).await?;
        self.set_off("gate").await?;
        let gate = self.inspect("gate").await?;
        let gate = gate.ok_or_else(|| internal("Docker engine", &"the gate is gone"))?;
        let address = gate.address(&network).unwrap_or_default();
        let sandbox = self.sandbox(start, &server_token(&self.platform).await?, address);
        self.create("sandbox", &sandbox).await?;
        self.set_off("sandbox").await?;
        Ok(gate)
    }

    /// The Worker's host, and the name by which the sandbox knows it: a name stays what it is, as a
    /// certificate may be for it.
    fn own_host(&self) -> (&str, &str) {
        let host = self.own_url.host_str().unwrap_or_default();
        let is_address = host.contains(':') || host.parse::<std::net::Ipv4Addr>().is_ok();
        (host, if is_address { "gate" } else { host })
    }

    fn own_port(&self) -> u16 {
        self.own_url.port_or_known_default().unwrap_or(443)
    }

    fn gate(&self, hosts: &[String]) -> Value {
        let ((host, name), port) = (self.own_host(), self.own_port());
        let mut env = vec![
            format!("AGENT_GATE_SANDBOX=sandbox:{PORT}"),
            format!("AGENT_GATE_MODEL={host}:{port}"),
            format!("AGENT_GATE_HOSTS={}", hosts.join(",")),
        ];
        if self.own_url.scheme() == "https" {
            env.push(format!("AGENT_GATE_MODEL_NAME={name}"));
        }
        json!({
            "Image": self.image,
            "User": USER,
            "Entrypoint": ["/usr/local/bin/agent-server", "gate"],
            "Env": env,
            "Labels": self.labels(),
            "ExposedPorts": { format!("{GATE_IN}/tcp"): {} },
            "HostConfig": {
                "PortBindings": {
                    format!("{GATE_IN}/tcp"): [{ "HostIp": self.publish, "HostPort": "" }],
                },
                // The Worker of somebody who develops it, on the engine's machine.
                "ExtraHosts": ["host.docker.internal:host-gateway"],
                "Memory": 64 * 1024 * 1024,
                "MemorySwap": 64 * 1024 * 1024,
                "PidsLimit": 64,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "ReadonlyRootfs": true,
                "LogConfig": log(),
            },
        })
    }

    fn sandbox(&self, start: &Start, server_token: &str, gate: &str) -> Value {
        let (_, host) = self.own_host();
        let mut names = vec![format!("gate:{gate}")];
        if host != "gate" {
            names.push(format!("{host}:{gate}"));
        }
        let path = self.own_url.path().trim_end_matches('/');
        let model_url = format!(
            "{}://{host}:{}{path}/sandbox/{}",
            self.own_url.scheme(),
            self.own_port(),
            self.id
        );
        let volume = |part: &str, folder: &str| {
            json!({
                "Type": "volume",
                "Source": self.name(part),
                "Target": folder,
                "VolumeOptions": { "Labels": self.labels() },
            })
        };
        let network = self.name("net");
        json!({
            "Image": self.image,
            "User": USER,
            "Env": [
                format!("AGENT_SESSION_ID={}", self.id),
                format!("AGENT_MODEL_URL={model_url}"),
                format!("AGENT_MODEL_TOKEN={}", start.model_token),
                format!("AGENT_SERVER_TOKEN={server_token}"),
                format!("AGENT_EGRESS_VIA=gate:{GATE_OUT}"),
                format!("{}={}", AWAIT_RESTORE.0, AWAIT_RESTORE.1),
            ],
            "Labels": self.labels(),
            "HostConfig": {
                "NetworkMode": network,
                "ExtraHosts": names,
                // Some engines answer names of the outside also in a network that leads nowhere.
                "Dns": ["127.0.0.1"],
                "DnsOptions": ["timeout:1", "attempts:1"],
                "CpuPeriod": 100_000,
                "CpuQuota": quota(&start.limits),
                "Memory": start.limits.memory_bytes,
                // As much as the memory: no swap.
                "MemorySwap": start.limits.memory_bytes,
                "PidsLimit": PIDS,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "ReadonlyRootfs": true,
                "Tmpfs": {
                    "/tmp": tmpfs(start.limits.memory_bytes / 2),
                    "/var/tmp": tmpfs(start.limits.memory_bytes / 4),
                },
                "Mounts": [volume("work", "/workspace"), volume("home", "/home/agent")],
                "Init": false,
                "LogConfig": log(),
            },
            "NetworkingConfig": {
                "EndpointsConfig": { network: { "Aliases": ["sandbox"] } },
            },
        })
    }
}

/// The sandboxes that this deployment has on its engine, or parts of them.
///
/// # Errors
/// Where the engine does not say.
pub async fn list(env: &Env) -> Result<Vec<Found>, Problem> {
    let engine = engine(env)?;
    let filters = json!({ "label": [format!("{OF_DEPLOYMENT}={}", deployment(env))] }).to_string();
    let filters: String = filters.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let ask = async |path: &str| {
        let path = format!("{path}filters={filters}");
        let told = engine.ask(Method::Get, &path, None).await?;
        match told.is_ok() {
            true => Ok(told),
            false => Err(internal("Docker engine", &told.message())),
        }
    };
    let containers = ask("/containers/json?all=true&").await?.read()?;
    let networks = ask("/networks?").await?.read()?;
    let mut volumes: Value = ask("/volumes?").await?.read()?;
    let volumes = volumes.get_mut("Volumes").map(Value::take);
    let mut sessions = BTreeMap::new();
    for kind in [containers, networks, volumes.unwrap_or_default()] {
        for one in kind.as_array().into_iter().flatten() {
            let labels = one.get("Labels");
            let id = labels.and_then(|labels| labels.get(OF_SESSION)?.as_str());
            if let Some(id) = id {
                let state = one.get("State").and_then(Value::as_str);
                *sessions.entry(id.to_owned()).or_insert(false) |= state == Some("running");
            }
        }
    }
    let found = sessions.into_iter().filter_map(|(id, running)| {
        let id = SessionId::parse(&id).ok()?;
        Some(Found::new("docker", id, running))
    });
    Ok(found.collect())
}

/// Of each 100,000 microseconds.
fn quota(limits: &Limits) -> u64 {
    limits.cpu_millis.saturating_mul(100).max(1000)
}

/// Options of a folder in memory, of at most so many bytes: without, one that fills it is killed instead of
/// told.
fn tmpfs(bytes: u64) -> String {
    format!("rw,exec,nosuid,nodev,mode=1777,size={bytes}")
}

/// What a sandbox prints must not fill the engine's disk.
fn log() -> Value {
    json!({ "Type": "json-file", "Config": { "max-size": "5m", "max-file": "1" } })
}

#[async_trait(?Send)]
impl Provider for Docker {
    async fn ensure_running(&self, start: &Start) -> Result<Ensured, Problem> {
        let running = self.running().await?;
        let started = running.is_none() || !self.ready.get();
        let endpoint = match running {
            Some(endpoint) => endpoint,
            None => {
                self.remove().await?;
                let made = match self.make(start).await {
                    Ok(gate) => self.endpoint(&gate).await?,
                    Err(problem) => {
                        // Half of one is of no use to anybody.
                        if let Err(left) = self.remove().await {
                            internal("Docker engine", &left.detail);
                        }
                        return Err(problem);
                    }
                };
                made.ok_or_else(|| internal("Docker engine", &"the gate has no port"))?
            }
        };
        if started {
            let gone = || async { self.inspect("sandbox").await.ok()??.end() };
            endpoint.until_it_answers(PATIENCE, gone).await?;
            self.ready.set(true);
        }
        Ok(Ensured { endpoint, started })
    }

    async fn running(&self) -> Result<Option<Endpoint>, Problem> {
        let both = futures_util::join!(self.inspect("sandbox"), self.inspect("gate"));
        match (both.0?, both.1?) {
            (Some(sandbox), Some(gate)) if sandbox.is_running() && gate.is_running() => {
                self.endpoint(&gate).await
            }
            _ => Ok(None),
        }
    }

    async fn stop(&self) -> Result<(), Problem> {
        let path = format!("/containers/{}/stop?t=7", self.name("sandbox"));
        self.engine.ask(Method::Post, &path, None).await?;
        self.remove().await
    }

    async fn delete(&self) -> Result<(), Problem> {
        self.remove().await?;
        for part in ["work", "home"] {
            let path = format!("/volumes/{}?force=true", self.name(part));
            self.engine.tell(Method::Delete, &path, None).await?;
        }
        Ok(())
    }

    async fn last_end(&self) -> Option<String> {
        self.inspect("sandbox").await.ok()??.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(text: &str) -> Container {
        Container(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_an_engine_says_is_read() {
        let gate = container(
            r#"{"Id":"x","State":{"Status":"running","Running":true,"OOMKilled":false,"ExitCode":0,"Error":""},
                "NetworkSettings":{"Ports":{"3000/tcp":null,"43000/tcp":[{"HostIp":"127.0.0.1","HostPort":"32768"}]},
                "Networks":{"bridge":{"IPAddress":"172.17.0.2"},"d.net.s":{"IPAddress":"172.18.0.2"}}}}"#,
        );
        assert!(gate.is_running() && gate.end().is_none());
        assert_eq!((gate.port(43000), gate.port(3000)), (Some(32_768), None));
        assert_eq!(gate.address("d.net.s"), Some("172.18.0.2"));
        assert!(!container("{}").is_running());
    }

    #[test]
    fn ends_are_told_in_words() {
        for (oom, code, words) in [
            (true, 137, "memory ran out"),
            (false, 137, "it was killed (exit code 137)"),
            (false, 0, "told to stop"),
            (false, 3, "exit code 3"),
        ] {
            let state = json!({ "Running": false, "OOMKilled": oom, "ExitCode": code });
            let end = Container(json!({ "State": state })).end().unwrap();
            assert!(end.contains(words), "{oom} {code}: {end}");
        }
    }
}
