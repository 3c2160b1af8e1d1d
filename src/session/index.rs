//! What the session tells its owner's account of itself, so that it is found again.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use worker::Method;

use super::Object;
use crate::account::{self, Shown, Sign};
use crate::answer::internal;
use crate::container::Running;

/// What an index says of a session whose sandbox sleeps.
const SLEEPING: &str = "sleeping";

/// What it says of one that takes no more messages.
const STOPPED: &str = "stopped";

/// All that it may say of one.
pub const STATUSES: [&str; 6] = ["starting", "running", "idle", "error", SLEEPING, STOPPED];

impl Object {
    /// Tells the index where the session stands, when that has changed. Nobody waits for it.
    pub(super) fn tell_index(self: &Rc<Self>) {
        let status = self.with_session(::session::Session::status);
        let status = match (status, self.has_ended()) {
            (Ok(_), true) => STOPPED,
            (Ok(status), false) => status,
            (Err(_), _) => return,
        };
        self.tell_index_of(status);
    }

    /// Its sandbox has gone to sleep.
    pub(super) fn fell_asleep(self: &Rc<Self>) {
        let idle = self.with_session(|session| session.state.current.is_none());
        if idle == Ok(true) && !self.has_ended() {
            self.tell_index_of(SLEEPING);
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.agents.get().is_some_and(|agent| agent.has_ended())
    }

    /// When the session was used last, in milliseconds since the epoch.
    pub(super) fn active_at(&self) -> u64 {
        let last = self.log.last_timestamp().unwrap_or_default();
        let began = self.with_session(|session| session.state.began_at);
        last.max(began.unwrap_or_default())
    }

    fn tell_index_of(self: &Rc<Self>, status: &'static str) {
        let shown = self.with_session(|session| Shown {
            status,
            model: session
                .state
                .model
                .clone()
                .or_else(|| self.default_model.borrow().clone()),
            open_requests: session.state.open.len(),
            cost_usd: session.state.spent.and_then(|spent| spent.cost()),
        });
        let Ok(shown) = shown else { return };
        if self.told_index.replace(Some(shown.clone())).as_ref() == Some(&shown) {
            return;
        }
        let Some(owner) = self.owner() else { return };
        let config = self.agents.get();
        let active_at = self.active_at();
        let sign = self.with_session(|session| Sign {
            id: session.id.clone(),
            config_id: config.map_or_else(String::new, |agent| agent.config.id.clone()),
            title: session.state.title.clone(),
            shown,
            provider: self.provider_name(),
            made_at: match session.state.began_at {
                0 => active_at,
                began => began,
            },
            active_at,
            count: session.position.seq,
        });
        let Ok(sign) = sign else { return };
        let env = self.env.clone();
        self.platform.wait_until(AssertUnwindSafe(async move {
            account::note_session(&env, &owner, &sign).await;
        }));
    }

    /// Where the session stands, asked where it is known: `starting`, `running`, `idle`, `sleeping`,
    /// `error` or `stopped`.
    ///
    /// # Errors
    /// Where nobody has begun it.
    pub(super) async fn true_status(&self) -> std::result::Result<&'static str, protocol::Problem> {
        let status = self.with_session(::session::Session::status)?;
        if self.has_ended() {
            return Ok(STOPPED);
        }
        if !matches!(status, "idle" | "error") {
            return Ok(status);
        }
        let health = self.sandbox()?.running_agent(Method::Get, "/", None).await;
        Ok(match health {
            Ok(Running::Answer(_)) => status,
            Ok(Running::Stopped(_)) => SLEEPING,
            Err(problem) => {
                internal("status", &problem.detail);
                status
            }
        })
    }
}
