//! What a place to run sandboxes offers. Nothing above this folder knows which one it is.

use std::time::Duration;

use agents::Limits;
use async_trait::async_trait;
use protocol::{Problem, SessionId};

use super::Endpoint;

/// What a sandbox is started with.
pub struct Start {
    pub session_id: SessionId,
    /// For providers that can't intercept the sandbox's traffic: what its model calls carry.
    pub model_token: String,
    /// What it may use, as far as the provider can hold it to that.
    pub limits: Limits,
    /// How long it is left unused before it is stopped.
    pub sleep_after: Duration,
}

/// The variable by which a sandbox's server waits for the files of its session.
pub const AWAIT_RESTORE: (&str, &str) = ("AGENT_AWAIT_RESTORE", "true");

/// A sandbox that runs.
pub struct Ensured {
    pub endpoint: Endpoint,
    /// It has been started for this, or may have been: nothing is known about its disk.
    pub started: bool,
}

/// One place to run sandboxes.
#[async_trait(?Send)]
pub trait Provider {
    /// Starts the sandbox if it does not run, and waits until its server answers.
    ///
    /// # Errors
    /// Why it does not run, in words for the person who waits for it.
    async fn ensure_running(&self, start: &Start) -> std::result::Result<Ensured, Problem>;

    /// The sandbox, where it runs.
    ///
    /// # Errors
    /// Where that can't be found out.
    async fn running(&self) -> std::result::Result<Option<Endpoint>, Problem>;

    /// Stops the sandbox, where it runs. Its disk may be gone then.
    ///
    /// # Errors
    /// Where it can't be stopped.
    async fn stop(&self) -> std::result::Result<(), Problem>;

    /// Stops the sandbox, and deletes what is left of its disk.
    ///
    /// # Errors
    /// Where that is not possible.
    async fn delete(&self) -> std::result::Result<(), Problem> {
        self.stop().await
    }

    /// How the sandbox ended, for people; none where nothing is known.
    async fn last_end(&self) -> Option<String>;
}
