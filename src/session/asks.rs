//! What the agent asks people: their answers go to the agent-server until it has heard them, and what
//! nobody answers is denied in time.

use std::rc::Rc;
use std::time::Duration;

use ::session::{Input, Session};
use access::Pass;
use protocol::sandbox::{AnswerRequest, Settings};
use protocol::{Answer, TurnId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use worker::{Delay, Env};

use super::{Object, WATCH};
use crate::answer::{self, internal};
use crate::container::Running;

/// The deployment's variable for how many seconds a request waits for an answer.
const TIMEOUT: &str = "PERMISSION_TIMEOUT_SECONDS";

/// The longest that a request may wait.
const MAX_SECONDS: u64 = 24 * 60 * 60;

/// Times in a row that something is told before the alarm takes it up again.
const ATTEMPTS: u32 = 4;

/// An answer to a request of the agent's, as the Worker's routes hand it over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub request_id: String,
    /// The members of an [`Answer`].
    pub fields: Map<String, Value>,
}

/// Milliseconds that a request waits for an answer in this deployment.
pub fn patience(env: &Env) -> u64 {
    let given = env.var(TIMEOUT).ok().map(|value| value.to_string());
    let seconds = given.and_then(|text| text.trim().parse::<u64>().ok());
    match seconds {
        Some(seconds @ 1..=MAX_SECONDS) => seconds * 1000,
        _ => ::session::DEFAULT_PATIENCE,
    }
}

impl Object {
    /// Takes an answer, and gives the event that it has become.
    pub(super) fn reply(self: &Rc<Self>, reply: Reply, by: &Pass) -> answer::Answer {
        let answer = Answer::from_fields(reply.fields)?;
        let step = self.take(vec![Input::Answer {
            request_id: reply.request_id,
            answer,
            by: by.by.clone(),
        }])?;
        answer::json(200, &json!(step.events.first()))
    }

    /// The requests that wait for an answer, as clients are shown them. What they ask in full is in
    /// their events.
    pub(super) fn open_requests(session: &Session) -> Vec<Value> {
        let open = session.state.open.iter().map(|open| {
            json!({
                "request_id": open.request_id,
                "turn_id": open.turn,
                "seq": open.seq,
                "kind": open.kind,
                "tool": open.tool,
                "content": open.content,
                "rules": open.rules,
                "expires_at": open.expires_at,
            })
        });
        open.collect()
    }

    /// Denies what nobody has answered in time.
    pub(super) fn expire(self: &Rc<Self>) {
        let now = worker::Date::now().as_millis();
        let next = self.with_session(Session::next_expiry).ok().flatten();
        if next.is_some_and(|at| at <= now) {
            // Where it can't be stored, the next alarm tries again.
            let _ = self.take(vec![Input::Expire]);
        }
    }

    /// How long until there is something to look after.
    pub(super) fn next_watch(&self) -> Duration {
        let now = worker::Date::now().as_millis();
        let next = self.with_session(Session::next_expiry).ok().flatten();
        let expiry = next.map(|at| Duration::from_millis(at.saturating_sub(now)));
        expiry.map_or(WATCH, |expiry| expiry.min(WATCH))
    }

    /// Tells the agent again what it may not have heard.
    pub(super) fn retell(self: &Rc<Self>) {
        for effect in self.with_session(Session::retell).unwrap_or_default() {
            self.carry_out(effect);
        }
    }

    /// Tells the agent an answer, and remembers that it has heard it.
    pub(super) async fn tell_answer(self: &Rc<Self>, request_id: &str) {
        let untold = |session: &Session| {
            let untold = &session.state.untold;
            let untold = untold.iter().find(|one| one.request_id == request_id)?;
            Some(AnswerRequest {
                turn_id: untold.turn,
                request_id: untold.agent_id.clone(),
                verdict: untold.verdict.clone(),
                rules: session.state.rules.clone(),
            })
        };
        for attempt in 0..ATTEMPTS {
            let Some(body) = self.with_session(untold).ok().flatten() else {
                return;
            };
            if self.has_heard("/answer", &body, true).await {
                let request_id = request_id.to_owned();
                // Where it can't be stored, it is told again, which does no harm.
                let _ = self.take(vec![Input::Answered { request_id }]);
                return;
            }
            Delay::from(Duration::from_millis(200 << attempt)).await;
        }
        self.set_watch().await;
    }

    /// Tells the agent what its turn goes on with. One that does not know the turn yet is told again
    /// when it has begun it.
    pub(super) async fn tell_settings(self: &Rc<Self>, turn: TurnId, change: u64) {
        let settings = |session: &Session| {
            let current = session.state.current.as_ref()?;
            let settings = &session.state.settings;
            let wanted = current.id == turn && settings.untold && settings.changes == change;
            wanted.then(|| Settings {
                turn_id: turn,
                model: settings.model.clone(),
                permission_mode: session.mode(),
                rules: session.state.rules.clone(),
            })
        };
        let Some(body) = self.with_session(settings).ok().flatten() else {
            return;
        };
        if self.has_heard("/settings", &body, false).await {
            let _ = self.take(vec![Input::SettingsHeard { change }]);
        } else {
            self.set_watch().await;
        }
    }

    /// Whether the agent has heard something. One that does not know the turn has nothing to hear
    /// where the turn `has_begun`.
    async fn has_heard(&self, path: &str, body: &impl Serialize, has_begun: bool) -> bool {
        match self.tell_agent(path, body).await {
            Ok(Running::Answer(response)) => match response.status_code() {
                404 => has_begun,
                status => status < 300,
            },
            Ok(Running::Stopped(_)) => has_begun,
            Err(problem) => {
                internal(path, &problem.detail);
                false
            }
        }
    }

    /// Whether the step has left something that has to be looked after sooner.
    pub(super) fn watch_sooner(self: &Rc<Self>, before: Option<u64>) {
        let after = self.with_session(Session::next_expiry).ok().flatten();
        let sooner = after.is_some_and(|after| before.is_none_or(|before| after < before));
        if sooner {
            let object = Rc::clone(self);
            let watch = async move { object.set_watch().await };
            self.platform
                .wait_until(std::panic::AssertUnwindSafe(watch));
        }
    }
}
