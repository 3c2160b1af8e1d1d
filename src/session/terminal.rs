//! Terminals in the session's sandbox, as far as the session has a say in them.

use std::time::Duration;

use protocol::sandbox::Health;
use protocol::{Problem, ProblemKind};
use worker::Method;

use super::Object;
use crate::answer::{self, within};
use crate::container::Running;

/// How long a terminal in which nobody types keeps its session from ending.
const ATTENTION: Duration = Duration::from_secs(10 * 60);

/// How long a sandbox may take to say how it is used.
const PATIENCE: Duration = Duration::from_secs(10);

impl Object {
    /// # Errors
    /// 409 where the session has ended: its sandbox is started no more.
    pub(super) fn may_open_terminal(&self) -> Result<(), Problem> {
        if !self.has_ended() {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::Conflict,
            "this session has ended; its files are kept, and a new one can be launched with workspace_from",
        ))
    }

    /// Whether somebody types in a terminal. A sandbox that sleeps has none.
    pub(super) async fn is_typed_in(&self) -> bool {
        let asked = async {
            match self
                .sandbox()?
                .running_agent(Method::Get, "/", None)
                .await?
            {
                Running::Answer(response) => answer::told::<Health>(response).await,
                Running::Stopped(problem) => Err(problem),
            }
        };
        let health = within(PATIENCE, "the sandbox", asked).await;
        let used = health.ok().and_then(|health| health.terminals);
        used.is_some_and(|used| Duration::from_millis(used.unused_ms) < ATTENTION)
    }
}
