//! The sandbox of a session, as the rest of the Worker speaks to it.

use protocol::{Problem, ProblemKind, SessionId, TurnId};
use worker::{Env, Method, Request, Response, Stub};

use super::inventory::Question;
use super::saves::Save;
use super::{FOR_ONE_REQUEST, OWN_PROBLEM, SESSION_ID, STOPPED, endpoint};
use crate::answer::{self, Answer, internal, problem_of, read_json};

/// The sandbox of a session, as the rest of the Worker speaks to it.
pub struct Sandbox {
    stub: Stub,
    pub(super) id: SessionId,
    for_one_request: bool,
}

/// What a running sandbox answers, or why it does not run.
pub enum Running {
    Answer(Response),
    Stopped(Problem),
}

/// What became of what is on a sandbox's disk.
pub enum DiskSave {
    /// The number of the save that holds it; none where nothing is saved in this deployment.
    Saved(Option<u64>),
    /// It is gone with its sandbox.
    Lost(Problem),
}

impl Running {
    /// # Errors
    /// Why it does not run.
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Answer(response) => Ok(response),
            Self::Stopped(problem) => Err(problem),
        }
    }
}

/// The sandbox of a session.
///
/// # Errors
/// Where the deployment has no binding for it.
pub fn of(env: &Env, id: &SessionId) -> std::result::Result<Sandbox, Problem> {
    let stub = env
        .durable_object("CLAUDE_CONTAINER")
        .and_then(|namespace| namespace.get_by_name(&id.container_object()))
        .map_err(|error| internal("container", &error))?;
    Ok(Sandbox {
        stub,
        id: id.clone(),
        for_one_request: false,
    })
}

impl Sandbox {
    /// The same sandbox, stopped soon after its last request where it has to be started for it.
    #[must_use]
    pub fn for_one_request(mut self) -> Self {
        self.for_one_request = true;
        self
    }

    /// Gets it running.
    ///
    /// # Errors
    /// Why it does not run.
    pub async fn start(&self) -> std::result::Result<(), Problem> {
        self.ask(Method::Post, "/start", None).await.map(drop)
    }

    /// A request to its agent-server, which is started where it does not run. The answer is the
    /// agent-server's, a problem of its own included.
    ///
    /// # Errors
    /// Why it can't be reached.
    pub async fn agent(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.ask(method, &format!("/agent{path}"), body)
            .await?
            .answer()
    }

    /// The same, but only where it runs already.
    ///
    /// # Errors
    /// Why it can't be reached.
    pub async fn running_agent(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> std::result::Result<Running, Problem> {
        self.ask(method, &format!("/running{path}"), body).await
    }

    /// A WebSocket of its agent-server, which is started where it does not run and `start` says so. The answer is
    /// the agent-server's, where it opens none.
    ///
    /// # Errors
    /// Why it can't be reached.
    pub async fn socket(&self, path: &str, start: bool) -> Answer {
        let failed = |error: worker::Error| internal("container", &error);
        let place = if start { "agent" } else { "running" };
        let headers = endpoint::socket_headers().map_err(failed)?;
        headers.set(SESSION_ID, self.id.as_str()).map_err(failed)?;
        let url = format!("http://container.internal/{place}{path}");
        let request = endpoint::request(&url, Method::Get, headers, None).map_err(failed)?;
        self.send(request).await?.answer()
    }

    /// Saves what is on its disk, with what a turn has left there that has come to its end.
    ///
    /// # Errors
    /// Why it could not be saved.
    pub async fn save(&self, turn: Option<TurnId>) -> std::result::Result<DiskSave, Problem> {
        let body = serde_json::to_vec(&turn).map_err(|error| internal("save", &error))?;
        match self.ask(Method::Post, "/save", Some(body)).await? {
            Running::Answer(response) => answer::told(response).await.map(DiskSave::Saved),
            Running::Stopped(problem) => Ok(DiskSave::Lost(problem)),
        }
    }

    /// Takes over what was saved of another sandbox, up to `save`. For one that has nothing of its own.
    ///
    /// # Errors
    /// 409 where that is not kept any more.
    pub async fn copy_saves(
        &self,
        from: &SessionId,
        save: u64,
    ) -> std::result::Result<(), Problem> {
        let body = serde_json::to_vec(&(from, save)).map_err(|error| internal("fork", &error))?;
        self.told("/copy-saves", Some(body)).await.map(drop)
    }

    /// The save that holds its disk as it is now: where it runs, what has changed is saved first.
    ///
    /// # Errors
    /// 409 where nothing of it is saved, or why it could not be.
    pub async fn newest_save(&self) -> std::result::Result<u64, Problem> {
        let save: Option<u64> = answer::told(self.told("/newest-save", None).await?).await?;
        save.ok_or_else(|| {
            Problem::new(
                ProblemKind::Conflict,
                "this session has no files that are saved",
            )
        })
    }

    /// The archives that make up one of its saves.
    ///
    /// # Errors
    /// 409 where they are not kept any more.
    pub(super) async fn chain(&self, save: u64) -> std::result::Result<Vec<Save>, Problem> {
        let body = serde_json::to_vec(&save).map_err(|error| internal("fork", &error))?;
        let mut response = self.told("/chain", Some(body)).await?;
        read_json(&mut response).await
    }

    /// Saves what is on its disk, where it runs, and stops it.
    ///
    /// # Errors
    /// Where it could not be saved, or stopped.
    pub async fn stop(&self) -> std::result::Result<(), Problem> {
        self.told("/stop", None).await.map(drop)
    }

    /// Ends it, and deletes all that was saved of it.
    ///
    /// # Errors
    /// What could not be deleted.
    pub async fn delete(&self) -> std::result::Result<(), Problem> {
        self.told("/delete", None).await.map(drop)
    }

    /// Whether what runs somewhere under its name is its own. Otherwise it is removed, if that is wanted.
    ///
    /// # Errors
    /// Where that can't be found out, or done.
    pub async fn owns(&self, question: &Question) -> std::result::Result<bool, Problem> {
        let body = serde_json::to_vec(question).map_err(|error| internal("owns", &error))?;
        let mut response = self.told("/owns", Some(body)).await?;
        read_json(&mut response).await
    }

    /// Whether this is the token that the sandbox was given for its model calls.
    ///
    /// # Errors
    /// Where the object can't be reached.
    pub async fn knows_token(&self, token: &str) -> std::result::Result<bool, Problem> {
        let body = Some(token.as_bytes().to_vec());
        let answer = self.ask(Method::Post, "/token", body).await?;
        Ok(matches!(answer, Running::Answer(response) if response.status_code() == 204))
    }

    /// What the sandbox's object answers where it does what it is told.
    async fn told(&self, path: &str, body: Option<Vec<u8>>) -> Answer {
        answer::done(self.ask(Method::Post, path, body).await?.answer()?).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> std::result::Result<Running, Problem> {
        let failed = |error: worker::Error| internal("container", &error);
        let headers = endpoint::json_headers(body.is_some()).map_err(failed)?;
        headers.set(SESSION_ID, self.id.as_str()).map_err(failed)?;
        if self.for_one_request {
            headers.set(FOR_ONE_REQUEST, "1").map_err(failed)?;
        }
        let url = format!("http://container.internal{path}");
        let body = body.as_deref().map(endpoint::bytes);
        let request = endpoint::request(&url, method, headers, body).map_err(failed)?;
        self.send(request).await
    }

    /// Asks the object.
    ///
    /// # Errors
    /// What it can't do itself, or why it can't be reached.
    pub(super) async fn send(&self, request: Request) -> std::result::Result<Running, Problem> {
        // An object that is moved or deployed anew breaks its connections: that passes.
        let mut response = self
            .stub
            .fetch_with_request(request)
            .await
            .map_err(|error| {
                internal("container", &error);
                Problem::new(
                    ProblemKind::SandboxUnreachable,
                    "the connection to the sandbox's object broke",
                )
            })?;
        let Some(own) = response.headers().get(OWN_PROBLEM).ok().flatten() else {
            return Ok(Running::Answer(response));
        };
        let problem = problem_of(&mut response)
            .await
            .unwrap_or_else(|| internal("container", &"a problem without one"));
        if own == STOPPED {
            Ok(Running::Stopped(problem))
        } else {
            Err(problem)
        }
    }
}
