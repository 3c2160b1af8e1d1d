//! The agent that a session was launched with: its configuration, and the secrets that came with the
//! launch. Those are sealed where they are stored, opened when a turn or a model call needs them, and
//! gone when the session ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ::session::{Input, Parent};
use agents::{AgentConfig, Credentials, Limits};
use protocol::{Problem, ProblemKind, SessionId};
use serde::{Deserialize, Serialize};
use worker::{Env, Result, SqlStorage, Storage};

use super::Object;
use crate::answer::internal;
use crate::rows::{self, integer};
use crate::{account, secrets};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS agent (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        config TEXT NOT NULL,         -- JSON
        sealed TEXT,                  -- Secrets; NULL where there are none, or not any more
        provider TEXT,                -- where its sandbox runs
        launched_at INTEGER NOT NULL, -- milliseconds since the epoch
        ended INTEGER NOT NULL DEFAULT 0
    );
";

/// Seconds that a launched session is left unused before it ends, where IDLE_END_SECONDS does not say
/// otherwise.
const IDLE_END_SECONDS: u64 = 30 * 60;

/// How long after an end that was put off it is looked again.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// How long what runs may take to stop.
const STOPPING: Duration = Duration::from_secs(30);

/// A session that somebody launches.
#[derive(Debug, Serialize, Deserialize)]
pub struct Launch {
    pub config: AgentConfig,
    pub credentials: Credentials,
    /// A key of the launcher's own for its provider of models.
    pub model_key: Option<String>,
    /// The session whose agent launches it.
    #[serde(default)]
    pub parent: Option<Parent>,
    /// Where its sandbox runs; none: where the deployment's do.
    #[serde(default)]
    pub provider: Option<String>,
}

/// What leaves a session's sandbox, and with what; and where it is to run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outbound {
    /// A key of its launcher's own for its provider of models.
    pub model_key: Option<String>,
    /// What it may reach besides its model, as [`protocol::egress::hosts`] gives it.
    pub hosts: Vec<String>,
    /// None: where the deployment's sandboxes run.
    #[serde(default)]
    pub provider: Option<String>,
    /// What its agent may use; none: what one may that names nothing.
    #[serde(default)]
    pub limits: Option<Limits>,
}

/// What a launch has brought that nobody may see.
#[derive(Serialize, Deserialize)]
struct Secrets {
    credentials: Credentials,
    model_key: Option<String>,
}

/// An agent, as its session keeps it in memory.
pub struct Agent {
    pub config: AgentConfig,
    secrets: Option<Secrets>,
    /// Where its sandbox runs; none: where the deployment's do.
    pub provider: Option<String>,
    /// Its time is over: it takes no more messages.
    ended: bool,
}

/// The table, and what it says.
pub struct Agents {
    sql: SqlStorage,
    agent: RefCell<Option<Rc<Agent>>>,
}

impl Agents {
    pub fn new(storage: &Storage) -> Self {
        Self {
            sql: storage.sql(),
            agent: RefCell::new(None),
        }
    }

    /// Reads what is stored of a session that has been met.
    pub fn load(&self, env: &Env, id: &SessionId) {
        match self.read(env, id) {
            Ok(agent) => *self.agent.borrow_mut() = agent.map(Rc::new),
            Err(error) => drop(internal("agent", &error)),
        }
    }

    fn read(&self, env: &Env, id: &SessionId) -> Result<Option<Agent>> {
        let table = "SELECT sql FROM sqlite_master WHERE name = 'agent'";
        let table = rows::texts(&self.sql, table, Vec::new())?;
        let Some(table) = table.first() else {
            return Ok(None);
        };
        if !table.contains("provider") {
            // One of an earlier version.
            self.sql
                .exec("ALTER TABLE agent ADD COLUMN provider TEXT", None)?;
        }
        let stored = rows::values(
            &self.sql,
            "SELECT json_object('config', json(config), 'sealed', sealed, 'provider', provider, 'ended', ended) FROM agent",
            Vec::new(),
        )?;
        let Some(stored) = stored.first() else {
            return Ok(None);
        };
        let sealed = Some(rows::text(stored, "sealed")).filter(|sealed| !sealed.is_empty());
        let open = |sealed: &str| -> Option<Secrets> {
            let text = secrets::seal(env, id.as_str()).ok()?.open(sealed)?;
            serde_json::from_slice(&text).ok()
        };
        Ok(Some(Agent {
            config: rows::read(&rows::member(stored, "config"))?,
            // What can't be opened any more is missing where it is needed, and said there.
            secrets: sealed.and_then(open),
            provider: Some(rows::text(stored, "provider").to_owned())
                .filter(|name| !name.is_empty()),
            ended: rows::number(stored, "ended") == Some(1),
        }))
    }

    /// Writes down the agent of a session that begins.
    ///
    /// # Errors
    /// Where the storage fails, or this deployment can keep no secrets.
    pub fn keep(
        &self,
        env: &Env,
        id: &SessionId,
        launch: Launch,
    ) -> std::result::Result<Rc<Agent>, Problem> {
        let failed = |error: worker::Error| internal("agent", &error);
        let has_secrets = !launch.credentials.is_empty() || launch.model_key.is_some();
        let secrets = has_secrets.then_some(Secrets {
            credentials: launch.credentials,
            model_key: launch.model_key,
        });
        let sealed = match &secrets {
            None => None,
            Some(secrets) => {
                let text =
                    serde_json::to_vec(secrets).map_err(|error| internal("agent", &error))?;
                let nonce = crate::random::bytes().map_err(failed)?;
                let sealed = secrets::seal(env, id.as_str())?.seal(nonce, &text);
                Some(sealed.ok_or_else(|| internal("agent", &"not sealed"))?)
            }
        };
        let config =
            serde_json::to_string(&launch.config).map_err(|error| internal("agent", &error))?;
        self.sql.exec(SCHEMA, None).map_err(failed)?;
        self.sql
            .exec(
                "INSERT OR REPLACE INTO agent (one, config, sealed, provider, launched_at) VALUES (1, ?, ?, ?, ?)",
                vec![
                    config.into(),
                    sealed.into(),
                    launch.provider.clone().into(),
                    integer(worker::Date::now().as_millis()).map_err(failed)?,
                ],
            )
            .map_err(failed)?;
        let agent = Rc::new(Agent {
            config: launch.config,
            secrets,
            provider: launch.provider,
            ended: false,
        });
        *self.agent.borrow_mut() = Some(Rc::clone(&agent));
        Ok(agent)
    }

    /// The agent that the session was launched with; none where it began with a message.
    pub fn get(&self) -> Option<Rc<Agent>> {
        self.agent.borrow().clone()
    }

    /// Ends it: what it was is kept, its secrets are not.
    ///
    /// # Errors
    /// Where the storage fails.
    fn end(&self) -> Result<()> {
        let Some(agent) = self.get() else {
            return Ok(());
        };
        self.sql
            .exec("UPDATE agent SET ended = 1, sealed = NULL", None)?;
        *self.agent.borrow_mut() = Some(Rc::new(Agent {
            config: agent.config.clone(),
            secrets: None,
            provider: agent.provider.clone(),
            ended: true,
        }));
        Ok(())
    }

    pub fn forget(&self) {
        self.agent.borrow_mut().take();
    }
}

impl Agent {
    /// What another session like it is launched with.
    pub fn as_launch(&self, with_secrets: bool) -> Launch {
        let secrets = self.secrets.as_ref().filter(|_| with_secrets);
        Launch {
            config: self.config.clone(),
            credentials: secrets.map_or_else(Credentials::default, |it| it.credentials.clone()),
            model_key: secrets.and_then(|it| it.model_key.clone()),
            parent: None,
            provider: self.provider.clone(),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn outbound(&self) -> Outbound {
        Outbound {
            model_key: self.model_key(),
            hosts: protocol::egress::hosts(&self.config.egress),
            provider: self.provider.clone(),
            limits: self.config.resource_limits.limits().ok(),
        }
    }

    /// The key with which its model is called, where the launcher has brought one.
    pub fn model_key(&self) -> Option<String> {
        self.secrets.as_ref()?.model_key.clone()
    }

    /// What a turn's process is started with, secrets and all.
    ///
    /// # Errors
    /// Where it needs secrets that can't be read any more.
    pub fn launch(
        &self,
        launch: protocol::options::Launch,
    ) -> std::result::Result<agents::Launched, Problem> {
        match &self.secrets {
            Some(secrets) => Ok(secrets.credentials.into_launch(launch)),
            None if self.config.wanted().is_empty() => Ok(agents::Launched {
                launch,
                secrets: Vec::new(),
            }),
            None => Err(Problem::new(
                ProblemKind::NotConfigured,
                "the secrets of this session's servers can't be read any more; launch it again",
            )),
        }
    }
}

/// What becomes of a session whose time seems to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// It is in use.
    Used,
    /// Something is to be said in it.
    PutOff,
    Over,
}

impl Idle {
    /// `left` is how long it is until it ends, none where it does not; it `works` where a turn runs or waits.
    fn of(left: Option<Duration>, works: bool, is_scheduled: bool) -> Self {
        match (left, works, is_scheduled) {
            (Some(Duration::ZERO), false, true) => Self::PutOff,
            (Some(Duration::ZERO), false, false) => Self::Over,
            _ => Self::Used,
        }
    }
}

impl Object {
    /// The name of the place where its sandbox runs.
    pub(super) fn provider_name(&self) -> String {
        let agent = self.agents.get();
        let own = agent.and_then(|agent| agent.provider.clone());
        own.unwrap_or_else(|| crate::container::default_provider(&self.env))
    }

    /// What leaves the sandbox, and with what. One that was not launched reaches its model alone.
    pub(super) fn outbound(&self) -> Outbound {
        let agent = self.agents.get();
        agent.map(|agent| agent.outbound()).unwrap_or_default()
    }

    /// Begins the session as its launch says, and gets its sandbox going.
    ///
    /// # Errors
    /// 409 where it has begun already.
    pub(super) fn launch(self: &Rc<Self>, launch: Launch) -> std::result::Result<(), Problem> {
        let (id, last) =
            self.with_session(|session| (session.id.clone(), session.state.last_turn))?;
        if last > 0 || self.agents.get().is_some() {
            return Err(Problem::new(
                ProblemKind::Conflict,
                "this session has begun already; launch another",
            ));
        }
        let parent = launch.parent.clone();
        let agent = self.agents.keep(&self.env, &id, launch)?;
        {
            let mut session = self.session.borrow_mut();
            let session = session
                .as_mut()
                .ok_or_else(|| internal("session", &"unnamed"))?;
            session.state.model.clone_from(&agent.config.model);
            session.state.mode = Some(agent.config.permission_mode);
            session.state.parent = parent;
            self.log
                .keep_state(session)
                .map_err(|error| internal("log", &error))?;
        }
        // Now with what it is an agent of.
        self.told_index.replace(None);
        self.tell_index();
        self.warm_up();
        let object = Rc::clone(self);
        self.platform
            .wait_until(std::panic::AssertUnwindSafe(async move {
                object.watch().await;
            }));
        Ok(())
    }

    /// How long until a launched session that nobody uses ends; none for one that does not end.
    pub(super) fn until_idle_end(&self) -> Option<Duration> {
        let agent = self.agents.get()?;
        if agent.ended {
            return None;
        }
        let given = self.env.var("IDLE_END_SECONDS").ok();
        let seconds = given.and_then(|text| text.to_string().trim().parse().ok());
        let seconds: u64 = seconds.unwrap_or(IDLE_END_SECONDS);
        let end = self
            .active_at()
            .saturating_add(seconds.saturating_mul(1000));
        let now = worker::Date::now().as_millis();
        Some(Duration::from_millis(end.saturating_sub(now)))
    }

    /// Whether something is to be said here at a time that is to come. Where nobody knows, it may be.
    async fn is_scheduled(&self) -> bool {
        let (Some(owner), Ok(id)) = (
            self.owner(),
            self.with_session(|session| session.id.clone()),
        ) else {
            return false;
        };
        let scheduled = account::is_scheduled(&self.env, &owner, &id).await;
        scheduled.unwrap_or(true)
    }

    /// Ends a launched session that nobody has used for long, and that nothing is scheduled in; to type in a
    /// terminal of its sandbox is use. The sandbox is stopped, when it was saved at its last turn, and its secrets are gone. Its log and its files stay.
    pub(super) async fn end_idle(self: &Rc<Self>) {
        let is_scheduled = self.is_scheduled().await || self.is_typed_in().await;
        let idle = {
            // A message that came while that was asked is in the log now, and one that comes from now on finds
            // that the session has ended.
            let _in_order = self.taking.lock().await;
            let works = self.with_session(|session| {
                session.state.current.is_some() || !session.state.queue.is_empty()
            });
            let idle = Idle::of(self.until_idle_end(), works == Ok(true), is_scheduled);
            if idle == Idle::Over
                && let Err(error) = self.agents.end()
            {
                internal("idle end", &error);
                return;
            }
            idle
        };
        match idle {
            Idle::Used => self.set_watch().await,
            Idle::PutOff => {
                let later = self.platform.storage().set_alarm(LOOK_AGAIN).await;
                if let Err(error) = later {
                    internal("alarm", &error);
                }
            }
            Idle::Over => {
                if let Err(problem) = self.end().await {
                    internal("idle end", &problem.detail);
                }
            }
        }
    }

    /// Stops the session: what runs and what waits, and its sandbox. One that was launched ends, and takes no
    /// more messages. Its log and its files stay. Gives its status then.
    ///
    /// # Errors
    /// 504 where what runs does not stop, and why the sandbox does not.
    pub(super) async fn stop(self: &Rc<Self>) -> std::result::Result<&'static str, Problem> {
        let waiting = self.with_session(|session| session.state.queue.clone())?;
        let mut inputs: Vec<Input> = waiting
            .into_iter()
            .map(|turn| Input::Interrupt { turn: Some(turn) })
            .collect();
        inputs.push(Input::Interrupt { turn: None });
        self.take(inputs)?;
        let until = worker::Date::now().as_millis() + STOPPING.as_millis() as u64;
        while self.with_session(|session| session.state.current.is_some())? {
            let left = until.saturating_sub(worker::Date::now().as_millis());
            if left == 0 {
                return Err(Problem::new(
                    ProblemKind::TimedOut,
                    "what the agent does has not stopped yet; try again",
                ));
            }
            let left = Duration::from_millis(left);
            self.followers.grown_within(left).await;
        }
        self.end().await?;
        self.true_status().await
    }

    /// Ends the session, and stops its sandbox.
    async fn end(self: &Rc<Self>) -> std::result::Result<(), Problem> {
        self.agents
            .end()
            .map_err(|error| internal("agent", &error))?;
        self.tell_index();
        self.sandbox()?.stop().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_meanwhile_does_not_end() {
        let (over, minute) = (Some(Duration::ZERO), Some(Duration::from_secs(60)));
        for (left, works, is_scheduled, expected) in [
            (over, false, false, Idle::Over),
            (over, false, true, Idle::PutOff),
            // A message has come, and its turn runs, or has ended already.
            (over, true, false, Idle::Used),
            (minute, false, false, Idle::Used),
            (minute, false, true, Idle::Used),
            // Somebody has stopped it.
            (None, false, false, Idle::Used),
        ] {
            assert_eq!(Idle::of(left, works, is_scheduled), expected);
        }
    }
}
