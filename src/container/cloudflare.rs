//! Sandboxes in Cloudflare Containers. `wrangler dev` runs the same on Docker.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use protocol::sandbox::PORT;
use protocol::{Problem, ProblemKind, SessionId};
use worker::wasm_bindgen::JsValue;
use worker::{Env, State, console_log};

use super::platform::Container;
use super::{AWAIT_RESTORE, Endpoint, Ensured, Provider, Start, place};
use crate::answer::internal;
use crate::session;

/// Where the sandbox finds its model. The name exists nowhere: the platform hands what is sent there
/// to the sandbox's egress object.
pub const MODEL_HOST: &str = "router.internal";

/// A sandbox that nobody stops, as its object does when it has saved it, is stopped by the platform
/// this long after it could have been, in milliseconds.
const INACTIVITY: f64 = 5.0 * 60.0 * 1000.0;

/// How long a sandbox may take until its server answers.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cloudflare {
    platform: Rc<State>,
    env: Env,
    egress: JsValue,
    /// Its server has answered since this object was made.
    ready: Rc<Cell<bool>>,
}

impl Cloudflare {
    /// # Errors
    /// Where the deployment has no containers.
    pub fn new(platform: Rc<State>, env: &Env, id: &SessionId) -> Result<Self, Problem> {
        let egress = env
            .durable_object("SANDBOX_EGRESS")
            .and_then(|namespace| namespace.get_by_name(&id.egress_object()))
            .map_err(|error| internal("SANDBOX_EGRESS", &error))?
            .into_rpc::<JsValue>();
        Ok(Self {
            platform,
            env: env.clone(),
            egress,
            ready: Rc::new(Cell::new(false)),
        })
    }

    fn container(&self) -> Result<Container, Problem> {
        Container::of(&self.platform).ok_or_else(|| {
            Problem::new(
                ProblemKind::NotConfigured,
                "this deployment has no containers: it needs the \"containers\" entry of wrangler.jsonc, \
                 or SANDBOX_PROVIDER=local",
            )
        })
    }

    fn endpoint(container: &Container) -> Result<Endpoint, Problem> {
        container
            .port(PORT)
            .map(Endpoint::Port)
            .map_err(|error| problem_of_start(&error))
    }

    async fn start(&self, container: &Container, start: &Start) -> Result<(), Problem> {
        let model_url = format!("http://{MODEL_HOST}");
        container
            .start(
                &[
                    ("AGENT_SESSION_ID", start.session_id.as_str()),
                    ("AGENT_MODEL_URL", &model_url),
                    // Nobody reads it: whose sandbox it is, the platform knows. Claude Code wants one.
                    ("AGENT_MODEL_TOKEN", "unused"),
                    AWAIT_RESTORE,
                ],
                false,
                place::instance_of(&self.env, &start.limits),
            )
            .map_err(|error| problem_of_start(&error))?;
        let inactivity = start.sleep_after.as_millis() as f64 + INACTIVITY;
        if let Err(error) = container.set_inactivity_timeout(inactivity).await {
            internal("inactivity timeout", &error);
        }
        self.note_the_end()
    }

    /// Lets requests to what its session may reach out of the sandbox, to its egress object; other names
    /// mean nothing in it, and no other traffic leaves it.
    async fn open(&self, container: &Container, id: &SessionId) -> Result<(), Problem> {
        for host in &session::outbound(&self.env, id).await?.hosts {
            let plain = container.intercept_outbound_http(host, &self.egress).await;
            plain.map_err(|error| problem_of_start(&error))?;
            if let Err(error) = container.intercept_outbound_https(host, &self.egress).await {
                // The platform of a laptop may be unable to; plain HTTP works then.
                internal("egress over TLS", &error);
            }
        }
        Ok(())
    }

    /// Writes down how the container ends, when it does.
    fn note_the_end(&self) -> Result<(), Problem> {
        let container = self.container()?;
        let (platform, ready) = (Rc::clone(&self.platform), Rc::clone(&self.ready));
        self.platform.wait_until(AssertUnwindSafe(async move {
            let end = match container.ended().await {
                Ok(()) => "it ended by itself".to_owned(),
                Err(error) => describe_end(&error.to_string()),
            };
            ready.set(false);
            console_log!(
                "{}",
                serde_json::json!({ "level": "info", "place": "container", "end": end })
            );
            if let Err(error) = platform.storage().put("end", &end).await {
                internal("container end", &error);
            }
        }));
        Ok(())
    }
}

#[async_trait(?Send)]
impl Provider for Cloudflare {
    async fn ensure_running(&self, start: &Start) -> Result<Ensured, Problem> {
        let container = self.container()?;
        let started = !container.running() || !self.ready.get();
        if started {
            // Before the start, and again by an object that finds its container running.
            container
                .intercept_outbound_http(MODEL_HOST, &self.egress)
                .await
                .map_err(|error| problem_of_start(&error))?;
            self.open(&container, &start.session_id).await?;
            if container.running() {
                self.note_the_end()?;
            } else {
                self.start(&container, start).await?;
            }
            let gone = || async {
                if container.running() {
                    return None;
                }
                let end = self.last_end().await;
                Some(end.unwrap_or_else(|| "the reason is not known".to_owned()))
            };
            let endpoint = Self::endpoint(&container)?;
            endpoint.until_it_answers(PATIENCE, gone).await?;
            self.ready.set(true);
        }
        let endpoint = Self::endpoint(&container)?;
        Ok(Ensured { endpoint, started })
    }

    async fn running(&self) -> Result<Option<Endpoint>, Problem> {
        let container = self.container()?;
        if container.running() {
            Self::endpoint(&container).map(Some)
        } else {
            Ok(None)
        }
    }

    async fn stop(&self) -> Result<(), Problem> {
        let container = self.container()?;
        if !container.running() {
            return Ok(());
        }
        container.destroy().await.map_err(|error| {
            internal("container stop", &error);
            Problem::new(
                ProblemKind::SandboxFailed,
                "the sandbox could not be stopped",
            )
        })
    }

    async fn last_end(&self) -> Option<String> {
        self.platform.storage().get("end").await.ok().flatten()
    }
}

/// What the platform says when it can't start a container, for people.
fn problem_of_start(error: &worker::Error) -> Problem {
    let told = error.to_string();
    internal("container start", &told);
    let (kind, words) = reason_of_start(&told);
    Problem::new(kind, words)
}

/// The platform tells its reasons in words alone.
fn reason_of_start(told: &str) -> (ProblemKind, &'static str) {
    if told.contains("no container instance") || told.contains("no instance") {
        (
            ProblemKind::NoCapacity,
            "no sandbox is free at the moment; try again in a few seconds",
        )
    } else if told.contains("too many containers per second") {
        (
            ProblemKind::NoCapacity,
            "too many sandboxes are being started at once; try again in a few seconds",
        )
    } else if told.contains("o such image") || told.contains("image not found") {
        (
            ProblemKind::NotConfigured,
            "the sandbox's image is missing; build it with: cargo xtask build",
        )
    } else if told.contains("LIMITS") {
        (
            ProblemKind::NoCapacity,
            "the account's limit of sandboxes is reached",
        )
    } else {
        (
            ProblemKind::SandboxFailed,
            "the sandbox could not be started",
        )
    }
}

/// What the platform says when a container has ended, for people.
fn describe_end(told: &str) -> String {
    let code = told
        .rsplit(|character: char| !character.is_ascii_digit())
        .find(|digits| !digits.is_empty())
        .and_then(|digits| digits.parse::<u32>().ok());
    match code {
        Some(137) => {
            "it was killed (exit code 137), as happens when its memory runs out".to_owned()
        }
        Some(143) => "it was told to stop (exit code 143)".to_owned(),
        Some(code) => format!("it ended with exit code {code}"),
        None => "it ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_a_failed_start_are_told_apart() {
        for (told, kind) in [
            (
                "there is no container instance that can be provided to this durable object",
                ProblemKind::NoCapacity,
            ),
            (
                "you are requesting too many containers per second",
                ProblemKind::NoCapacity,
            ),
            ("SURPASSED_BASE_LIMITS", ProblemKind::NoCapacity),
            ("No such image: sandbox:1", ProblemKind::NotConfigured),
            ("something else", ProblemKind::SandboxFailed),
        ] {
            assert_eq!(reason_of_start(told).0, kind, "{told}");
        }
    }

    #[test]
    fn ends_are_told_in_words() {
        for (told, words) in [
            ("Container exited with unexpected exit code: 137", "memory"),
            (
                "Error: runtime signalled the container to exit: 143",
                "told to stop",
            ),
            (
                "Container exited with unexpected exit code: 3",
                "exit code 3",
            ),
            ("", "it ended"),
        ] {
            assert!(describe_end(told).contains(words), "{told}");
        }
    }
}
