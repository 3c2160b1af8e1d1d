//! Terminals in the session's sandbox, as far as the session has a say in them.

use std::time::Duration;

use protocol::sandbox::Health;
use protocol::{Problem, ProblemKind};
use worker::Method;

use super::Object;
use crate::answer::{self, internal, within};
use crate::container::Running;

/// How long a terminal in which nobody types keeps its session from ending.
const ATTENTION: Duration = Duration::from_secs(10 * 60);

/// Where it stands when somebody was let in last, in milliseconds since the epoch.
const LET_IN: &str = "terminal";

/// How long who was let in may stay at most, see [`crate::routes`], and then some.
const STAY: Duration = Duration::from_secs(70 * 60);

/// How long a sandbox may take to say how it is used.
const PATIENCE: Duration = Duration::from_secs(10);

impl Object {
    /// # Errors
    /// 409 where the session has ended: its sandbox is started no more.
    pub(super) async fn may_open_terminal(&self) -> Result<(), Problem> {
        if !self.has_ended() {
            let now = worker::Date::now().as_millis();
            let noted = self.platform.storage().put(LET_IN, now).await;
            return noted.map_err(|error| internal("terminal", &error));
        }
        Err(Problem::new(
            ProblemKind::Conflict,
            "this session has ended; its files are kept, and a new one can be launched with workspace_from",
        ))
    }

    /// Whether somebody types in a terminal, as the sandbox says. A sandbox that sleeps has none, and where nobody
    /// was let in it is the sandbox's own programs that type.
    pub(super) async fn is_typed_in(&self) -> bool {
        let let_in = self.platform.storage().get::<u64>(LET_IN).await;
        let now = worker::Date::now().as_millis();
        let since = let_in.ok().flatten().map(|then| now.saturating_sub(then));
        if since.is_none_or(|since| Duration::from_millis(since) > STAY) {
            return false;
        }
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
