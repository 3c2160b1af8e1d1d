//! Sandboxes as Fly Machines, one machine a sandbox
//! (<https://fly.io/docs/machines/api/machines-resource/>).
//!
//! A machine that is started again has nothing of what was on its disk, so one that is stopped is
//! destroyed. What there is of a session is found by the machines' metadata. No lease is taken: of a
//! session's machines only this object disposes, and it does one thing at a time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use protocol::sandbox::PORT;
use protocol::{Problem, ProblemKind, SessionId};
use serde_json::{Value, json};
use worker::{Env, Method, State};

use super::api::Api;
use super::inventory::Found;
use super::place::{deployment, fly_guest, variable};
use super::{AWAIT_RESTORE, Endpoint, Ensured, Provider, Start, server_token};
use crate::answer::internal;

/// How long a machine that has started may take until its server answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds that a machine may take to be as it is wanted: the API waits for no longer than a minute.
const WAIT: u64 = 60;

pub struct Fly {
    api: Api,
    platform: Rc<State>,
    id: SessionId,
    deployment: String,
    /// `/v1/apps/{app}/machines`
    machines: String,
    region: String,
    image: String,
    /// Where machines are reached; `{id}` in it stands for the machine's.
    url: String,
    /// Where sandboxes find this Worker.
    own_url: String,
    /// Its server has answered since this object was made.
    ready: Cell<bool>,
}

/// What the API says of a machine.
struct Machine(Value);

impl Machine {
    fn text(&self, pointer: &str) -> &str {
        let found = self.0.pointer(pointer);
        found.and_then(Value::as_str).unwrap_or_default()
    }

    fn id(&self) -> &str {
        self.text("/id")
    }

    fn state(&self) -> &str {
        self.text("/state")
    }

    fn is_of(&self, deployment: &str) -> bool {
        self.text("/config/metadata/agent_router") == deployment
    }

    fn session(&self) -> &str {
        self.text("/config/metadata/agent_router_session")
    }

    /// How it has ended, for people, by the newest of its events that tells of it; none where it runs.
    fn end(&self) -> Option<String> {
        if self.state() == "started" {
            return None;
        }
        let events = self.0.get("events").and_then(Value::as_array);
        let mut events = events.into_iter().flatten();
        let Some(exit) = events.find_map(|event| event.pointer("/request/exit_event")) else {
            return Some(format!("its machine is {}", self.state()));
        };
        let is = |name: &str| exit.get(name) == Some(&Value::Bool(true));
        let code = exit.get("exit_code").and_then(Value::as_i64);
        Some(match code.unwrap_or_default() {
            _ if is("oom_killed") => "it was killed because its memory ran out".to_owned(),
            _ if is("requested_stop") => "it was told to stop".to_owned(),
            ..0 | 137 => "it was killed".to_owned(),
            code => format!("it ended with exit code {code}"),
        })
    }
}

/// A list of machines.
/// Those whose ids are such as can stand in an address.
fn machines_in(told: Value) -> Vec<Machine> {
    let Value::Array(all) = told else {
        return Vec::new();
    };
    let mut all: Vec<Machine> = all.into_iter().map(Machine).collect();
    all.retain(|machine| {
        let id = machine.id();
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    all
}

fn needed(env: &Env, name: &str) -> Result<String, Problem> {
    variable(env, name).ok_or_else(|| {
        let words = format!("there are no Fly Machines here: {name} is not set");
        Problem::new(ProblemKind::NotConfigured, words)
    })
}

fn api(env: &Env) -> Result<(Api, String), Problem> {
    let url = variable(env, "FLY_API_URL");
    let url = url.unwrap_or_else(|| "https://api.machines.dev".to_owned());
    let api = Api {
        what: "the Fly Machines API",
        url: url.trim_end_matches('/').to_owned(),
        token: Some(needed(env, "FLY_API_TOKEN")?),
        certificate: None,
        why,
    };
    let machines = format!("/v1/apps/{}/machines", needed(env, "FLY_APP_NAME")?);
    Ok((api, machines))
}

/// What it means that the API does not do what it is told.
fn why(message: &str) -> Problem {
    let told = message.to_ascii_lowercase();
    if told.contains("capacity") || told.contains("resources") || told.contains("rate limit") {
        Problem::new(
            ProblemKind::NoCapacity,
            "Fly has no room for another machine at the moment; try again in a few seconds",
        )
    } else if told.contains("manifest") || told.contains("image") {
        Problem::new(
            ProblemKind::NotConfigured,
            "Fly can't have the sandbox's image (FLY_IMAGE)",
        )
    } else {
        Problem::new(
            ProblemKind::SandboxFailed,
            "Fly could not do what the sandbox needs; the operator's log says what",
        )
    }
}

/// The machines that this deployment has.
///
/// # Errors
/// Where the API does not say.
pub async fn list(env: &Env) -> Result<Vec<Found>, Problem> {
    let (api, machines) = api(env)?;
    let all = machines_in(api.tell(Method::Get, &machines, None).await?.read()?);
    let own = deployment(env);
    let found = all.into_iter().filter_map(|machine| {
        let id = SessionId::parse(machine.session()).ok()?;
        let running = machine.state() == "started";
        machine
            .is_of(&own)
            .then(|| Found::new("fly_machines", id, running))
    });
    Ok(found.collect())
}

impl Fly {
    /// # Errors
    /// Where the deployment does not say all that is needed.
    pub fn new(platform: Rc<State>, env: &Env, id: &SessionId) -> Result<Self, Problem> {
        let (api, machines) = api(env)?;
        let app = needed(env, "FLY_APP_NAME")?;
        let url = variable(env, "FLY_SANDBOX_URL");
        Ok(Self {
            api,
            machines,
            platform,
            id: id.clone(),
            deployment: deployment(env),
            region: variable(env, "FLY_REGION").unwrap_or_else(|| "iad".to_owned()),
            image: needed(env, "FLY_IMAGE")?,
            url: url.unwrap_or_else(|| format!("https://{app}.fly.dev")),
            own_url: needed(env, "OWN_URL")?,
            ready: Cell::new(false),
        })
    }

    /// The session's machine. There may be more, of a start that was cut off: the next start, or who stops them,
    /// removes them all.
    ///
    /// # Errors
    /// Where there are more, or Fly does not say.
    async fn machine(&self) -> Result<Option<Machine>, Problem> {
        let mut all = self.all().await?;
        let one = all.pop();
        match all.is_empty() {
            true => Ok(one),
            false => Err(internal("Fly", &"a session has more than one machine")),
        }
    }

    /// All machines of the session that are not being destroyed.
    async fn all(&self) -> Result<Vec<Machine>, Problem> {
        // An id needs no escape in a query.
        let path = format!(
            "{}?metadata.agent_router_session={}",
            self.machines, self.id
        );
        let told = self.api.tell(Method::Get, &path, None).await?;
        let mut all = machines_in(told.read()?);
        all.retain(|machine| {
            machine.is_of(&self.deployment)
                && machine.session() == self.id.as_str()
                && !machine.state().starts_with("destroy")
        });
        Ok(all)
    }

    async fn endpoint(&self, machine: &Machine) -> Result<Endpoint, Problem> {
        Ok(Endpoint::Url {
            url: self.url.replace("{id}", machine.id()),
            token: Some(server_token(&self.platform).await?),
            instance: Some(machine.id().to_owned()),
        })
    }

    /// Waits until a machine is as it is wanted. Returns whether it is.
    async fn until(&self, machine: &Machine, state: &str) -> Result<bool, Problem> {
        let path = format!(
            "{}/{}/wait?instance_id={}&state={state}&timeout={WAIT}",
            self.machines,
            machine.id(),
            machine.text("/instance_id")
        );
        Ok(self.api.ask(Method::Get, &path, None).await?.is_ok())
    }

    async fn destroy(&self) -> Result<(), Problem> {
        self.ready.set(false);
        for machine in self.all().await? {
            let path = format!("{}/{}?force=true", self.machines, machine.id());
            self.api.tell(Method::Delete, &path, None).await?;
        }
        Ok(())
    }

    async fn create(&self, start: &Start) -> Result<Machine, Problem> {
        let (cpus, memory) = fly_guest(&start.limits);
        let wanted = json!({
            "region": self.region,
            "config": {
                "image": self.image,
                "env": {
                    "AGENT_SESSION_ID": self.id,
                    "AGENT_MODEL_URL": format!("{}/sandbox/{}", self.own_url.trim_end_matches('/'), self.id),
                    "AGENT_MODEL_TOKEN": start.model_token,
                    "AGENT_SERVER_TOKEN": server_token(&self.platform).await?,
                    (AWAIT_RESTORE.0): AWAIT_RESTORE.1,
                    // Fly reaches its machines by either.
                    "AGENT_LISTEN": format!("[::]:{PORT}"),
                },
                "guest": { "cpu_kind": "shared", "cpus": cpus, "memory_mb": memory },
                "metadata": { "agent_router": self.deployment, "agent_router_session": self.id },
                // It is begun anew with its files, or not at all.
                "restart": { "policy": "no" },
                "services": [{
                    "protocol": "tcp",
                    "internal_port": PORT,
                    "autostart": false,
                    "autostop": "off",
                    "ports": [{ "port": 443, "handlers": ["tls", "http"] }],
                }],
            },
        });
        let told = self
            .api
            .tell(Method::Post, &self.machines, Some(&wanted))
            .await?;
        Ok(Machine(told.read()?))
    }
}

#[async_trait(?Send)]
impl Provider for Fly {
    async fn ensure_running(&self, start: &Start) -> Result<Ensured, Problem> {
        let mut all = self.all().await?;
        let machine = all.pop().filter(|machine| {
            // Of two nobody knows which is the one.
            all.is_empty() && machine.state() == "started"
        });
        let started = machine.is_none() || !self.ready.get();
        let machine = match machine {
            Some(machine) => machine,
            None => {
                self.destroy().await?;
                let machine = self.create(start).await?;
                if !self.until(&machine, "started").await? {
                    self.destroy().await?;
                    let words = format!("the sandbox's machine did not start in {WAIT} seconds");
                    return Err(Problem::new(ProblemKind::TimedOut, words));
                }
                machine
            }
        };
        let endpoint = self.endpoint(&machine).await?;
        if started {
            let gone = || self.last_end();
            endpoint.until_it_answers(PATIENCE, gone).await?;
            self.ready.set(true);
        }
        Ok(Ensured { endpoint, started })
    }

    async fn running(&self) -> Result<Option<Endpoint>, Problem> {
        match self.machine().await? {
            Some(machine) if machine.state() == "started" => {
                self.endpoint(&machine).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    async fn stop(&self) -> Result<(), Problem> {
        for machine in self.all().await? {
            let path = format!("{}/{}/stop", self.machines, machine.id());
            let how: Value = json!({ "signal": "SIGTERM", "timeout": "7s" });
            let told = self.api.ask(Method::Post, &path, Some(&how)).await?;
            if told.is_ok() {
                self.until(&machine, "stopped").await?;
            }
        }
        self.destroy().await
    }

    async fn delete(&self) -> Result<(), Problem> {
        self.destroy().await
    }

    async fn last_end(&self) -> Option<String> {
        match self.machine().await {
            Ok(machine) => machine?.end(),
            Err(problem) => {
                internal("Fly", &problem.detail);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        for (exit, words) in [
            (r#"{"exit_code":137,"oom_killed":true}"#, "memory ran out"),
            (r#"{"exit_code":137}"#, "it was killed"),
            (r#"{"exit_code":143,"requested_stop":true}"#, "told to stop"),
            (r#"{"exit_code":3}"#, "exit code 3"),
        ] {
            let machine = format!(
                r#"{{"id":"m","state":"stopped","instance_id":"i","region":"iad","events":[
                    {{"type":"exit","status":"stopped","source":"flyd","timestamp":2,"request":{{"exit_event":{exit},"restart_count":0}}}},
                    {{"type":"start","status":"started","source":"flyd","timestamp":1}}]}}"#
            );
            let machine = Machine(serde_json::from_str(&machine).unwrap());
            assert!(machine.end().unwrap().contains(words), "{exit}");
        }
        let machine = Machine(json!({ "id": "m", "state": "failed" }));
        assert!(machine.end().unwrap().contains("failed"));
    }
}
