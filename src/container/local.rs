//! Sandboxes on the machine that `wrangler dev` runs on, for a laptop without Docker: each is a
//! folder and an agent-server, which one host process starts and stops. They are not walled off:
//! the agent works with the rights of whoever started it.

use std::time::Duration;

use async_trait::async_trait;
use protocol::{Problem, ProblemKind, SessionId};
use serde::Deserialize;
use worker::wasm_bindgen::JsValue;
use worker::{Env, Fetch, Headers, Method, Request, RequestInit, Response};

use super::inventory::Found;
use super::{AWAIT_RESTORE, Endpoint, Ensured, Provider, Start};
use crate::answer::{self, internal, read_json, within};

pub struct Local {
    /// Where the host process listens.
    host: String,
    host_token: String,
    /// Where sandboxes find this Worker.
    own_url: String,
    name: String,
}

/// What the host process says of a sandbox.
#[derive(Deserialize)]
struct Told {
    url: Option<String>,
    /// What its server asks for.
    server_token: Option<String>,
    /// Its server has been started by this request.
    #[serde(default)]
    started: bool,
    /// How it ended, for people.
    end: Option<String>,
}

impl Told {
    fn endpoint(self) -> Option<Endpoint> {
        let token = self.server_token;
        self.url.map(|url| Endpoint::Url {
            url,
            token,
            instance: None,
        })
    }
}

/// How long a local sandbox may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

impl Local {
    /// # Errors
    /// Where the deployment does not say where the host process is.
    pub fn new(env: &Env, id: &SessionId) -> Result<Self, Problem> {
        Ok(Self {
            host: variable(env, "LOCAL_SANDBOX_URL")?,
            host_token: variable(env, "LOCAL_SANDBOX_TOKEN")?,
            own_url: variable(env, "OWN_URL")?,
            name: id.container_object(),
        })
    }

    async fn ask(&self, method: Method, body: Option<String>) -> Result<Response, Problem> {
        self.ask_with("", method, body).await
    }

    async fn ask_with(
        &self,
        query: &str,
        method: Method,
        body: Option<String>,
    ) -> Result<Response, Problem> {
        let url = format!("{}/sandboxes/{}{query}", self.host, self.name);
        ask(&url, &self.host_token, method, body).await
    }
}

async fn ask(
    url: &str,
    token: &str,
    method: Method,
    body: Option<String>,
) -> Result<Response, Problem> {
    let failed = |error: worker::Error| {
        internal("local host", &error);
        Problem::new(
            ProblemKind::SandboxFailed,
            "the host of local sandboxes does not answer; is cargo xtask dev still running?",
        )
    };
    let headers = Headers::new();
    headers
        .set("authorization", &format!("Bearer {token}"))
        .map_err(failed)?;
    headers
        .set("content-type", "application/json")
        .map_err(failed)?;
    let mut init = RequestInit::new();
    init.with_method(method)
        .with_headers(headers)
        .with_body(body.map(JsValue::from));
    let request = Request::new_with_init(url, &init).map_err(failed)?;
    let answer = async { Fetch::Request(request).send().await.map_err(failed) };
    within(PATIENCE, "the host of local sandboxes", answer).await
}

fn variable(env: &Env, name: &str) -> Result<String, Problem> {
    super::place::variable(env, name).ok_or_else(|| {
        let words = format!(
            "there are no local sandboxes here: {name} is not set; start with: cargo xtask dev"
        );
        Problem::new(ProblemKind::NotConfigured, words)
    })
}

#[derive(Deserialize)]
struct List {
    sandboxes: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    state: String,
}

/// The sandboxes that the host process has started, since it was.
///
/// # Errors
/// Where it does not say.
pub async fn list(env: &Env) -> Result<Vec<Found>, Problem> {
    let url = format!("{}/sandboxes", variable(env, "LOCAL_SANDBOX_URL")?);
    let token = variable(env, "LOCAL_SANDBOX_TOKEN")?;
    let mut response = ask(&url, &token, Method::Get, None).await?;
    let list: List = read_json(&mut response).await?;
    let found = list.sandboxes.into_iter().filter_map(|listed| {
        let id = listed.name.strip_prefix("claude-session-")?;
        let id = SessionId::parse(id).ok()?;
        Some(Found::new("local", id, listed.state != "ended"))
    });
    Ok(found.collect())
}

#[async_trait(?Send)]
impl Provider for Local {
    async fn ensure_running(&self, start: &Start) -> Result<Ensured, Problem> {
        let body = serde_json::json!({
            "session_id": start.session_id,
            "model_url": format!("{}/sandbox/{}", self.own_url, start.session_id),
            "model_token": start.model_token,
            "env": { AWAIT_RESTORE.0: AWAIT_RESTORE.1 },
        });
        let response = self.ask(Method::Put, Some(body.to_string())).await?;
        let told: Told = answer::told(response).await?;
        let started = told.started;
        let endpoint = told.endpoint().ok_or_else(|| {
            Problem::new(
                ProblemKind::SandboxFailed,
                "the local sandbox did not start",
            )
        })?;
        Ok(Ensured { endpoint, started })
    }

    async fn running(&self) -> Result<Option<Endpoint>, Problem> {
        let mut response = self.ask(Method::Get, None).await?;
        if response.status_code() != 200 {
            return Ok(None);
        }
        let told: Told = read_json(&mut response).await?;
        Ok(told.endpoint())
    }

    async fn stop(&self) -> Result<(), Problem> {
        self.ask(Method::Delete, None).await.map(drop)
    }

    async fn delete(&self) -> Result<(), Problem> {
        let mut response = self.ask_with("?files=true", Method::Delete, None).await?;
        match answer::problem_of(&mut response).await {
            Some(problem) if problem.kind != ProblemKind::NotFound => Err(problem),
            _ => Ok(()),
        }
    }

    async fn last_end(&self) -> Option<String> {
        let mut response = self.ask(Method::Get, None).await.ok()?;
        read_json::<Told>(&mut response).await.ok()?.end
    }
}
