//! An unused sandbox is saved, and stopped. An alarm looks after it.

use std::rc::Rc;
use std::time::Duration;

use protocol::sandbox::Health;
use protocol::{Problem, ProblemKind, SessionId};
use serde::{Deserialize, Serialize};
use worker::Method;

use super::{Endpoint, Object};
use crate::answer::{self, internal, within};
use crate::session;

/// How long a sandbox is left unused before it is stopped, where SANDBOX_SLEEP_SECONDS does not say
/// otherwise.
const SLEEP_AFTER: Duration = Duration::from_secs(10 * 60);

/// The same for one that was started for a single request.
const SLEEP_AFTER_ONE: Duration = Duration::from_secs(60);

/// How long what a single request has left is kept, in milliseconds: its session may be named by another.
const KEEP_ONE_MS: u64 = 24 * 60 * 60 * 1000;

/// When to look again at a sandbox that could not be stopped.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// When files are saved that somebody has changed from outside. What is changed until then, is saved
/// with them.
const SAVE_SOON: Duration = Duration::from_secs(15);

/// There is something from outside that no save holds yet.
const UNSAVED: &str = "unsaved";

/// How long a sandbox may take to say whether it is used.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a sandbox is looked at that has terminals, so that what is done in them is saved.
const LOOK_AT_TERMINALS: Duration = Duration::from_secs(60);

/// How long a sandbox may take to end its terminals.
const FAREWELL: Duration = Duration::from_secs(5);

/// Since when it has not let itself be looked at, in milliseconds since the epoch.
const TROUBLE: &str = "trouble";

/// See [`Object::note_rest`].
const RESTS: &str = "rests";

/// The shortest time until an unused sandbox is looked at again.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// How long an unused sandbox waits for a storage that does not take its files, or one that does not answer is
/// asked again, in milliseconds.
const GIVE_UP_MS: u64 = 60 * 60 * 1000;

/// Whose sandbox an alarm is for.
#[derive(Debug, Serialize, Deserialize)]
struct Watch {
    id: SessionId,
    sleep_after_ms: u64,
    /// It was started for a single request, and is deleted when it was not used again until then: milliseconds
    /// since the epoch.
    #[serde(default)]
    delete_at: Option<u64>,
}

impl Object {
    /// How long a sandbox is left unused before it is stopped.
    pub(super) fn sleep_after(&self, brief: bool) -> Duration {
        if brief {
            return SLEEP_AFTER_ONE;
        }
        let seconds = self.env.var("SANDBOX_SLEEP_SECONDS").ok();
        let seconds = seconds.and_then(|text| text.to_string().parse().ok());
        seconds.map_or(SLEEP_AFTER, Duration::from_secs)
    }

    /// Sets the alarm by which an unused sandbox is saved and stopped.
    pub(super) async fn remember_to_look(&self, id: &SessionId, after: Duration, brief: bool) {
        let storage = self.platform.storage();
        let watch = Watch {
            id: id.clone(),
            sleep_after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            delete_at: brief.then(|| worker::Date::now().as_millis() + KEEP_ONE_MS),
        };
        let set = async {
            storage.put("watch", &watch).await?;
            storage.set_alarm(after).await
        };
        if let Err(error) = set.await {
            internal("alarm", &error);
        }
    }

    /// Keeps a sandbox for good that was started for a single request: another one has come.
    pub(super) async fn keep_for_good(&self) -> std::result::Result<(), Problem> {
        if self.kept.replace(true) {
            return Ok(());
        }
        let failed = |error: worker::Error| internal("watch", &error);
        let storage = self.platform.storage();
        let watch = storage.get::<Watch>("watch").await.map_err(failed)?;
        if let Some(watch) = watch.filter(|watch| watch.delete_at.is_some()) {
            let watch = Watch {
                delete_at: None,
                ..watch
            };
            storage.put("watch", &watch).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Sets the alarm by which files are saved that somebody has changed, where no turn does it before.
    pub(super) async fn remember_to_save(&self) {
        let storage = self.platform.storage();
        let set = async {
            if storage.get::<bool>(UNSAVED).await?.is_some() {
                return Ok(());
            }
            storage.put(UNSAVED, true).await?;
            storage.set_alarm(SAVE_SOON).await
        };
        if let Err(error) = set.await {
            internal("alarm", &error);
        }
    }

    /// Saves what somebody has changed from outside.
    async fn save_changes(
        &self,
        endpoint: &Endpoint,
        id: &SessionId,
    ) -> std::result::Result<(), Problem> {
        let storage = self.platform.storage();
        let failed = |error: worker::Error| internal("unsaved", &error);
        // First, so that what comes meanwhile is not taken for saved.
        if !storage.delete(UNSAVED).await.map_err(failed)? {
            return Ok(());
        }
        match self.save(endpoint, id, None).await {
            Ok(_) => Ok(()),
            // The next turn's end tells of it.
            Err(problem) if problem.kind == ProblemKind::TooLarge => Ok(()),
            Err(problem) => {
                storage.put(UNSAVED, true).await.map_err(failed)?;
                Err(problem)
            }
        }
    }

    /// The alarm: an unused sandbox is saved and stopped, another one looked after again later.
    pub(super) async fn look_after(self: &Rc<Self>) {
        let Ok(Some(watch)) = self.platform.storage().get::<Watch>("watch").await else {
            return;
        };
        let again = match self.put_to_sleep(&watch).await {
            Ok(again) => self.note_trouble(false).await.map(|_| again),
            Err(problem) => {
                internal("sleep", &problem.detail);
                self.give_up_in_time(&watch.id).await
            }
        };
        let again = again.unwrap_or_else(|problem| {
            internal("sleep", &problem.detail);
            Some(LOOK_AGAIN)
        });
        if let Some(again) = again
            && let Err(error) = self.platform.storage().set_alarm(again).await
        {
            internal("alarm", &error);
        }
    }

    /// Stops a sandbox that has not let itself be looked at for an hour. Returns when to look again.
    async fn give_up_in_time(
        &self,
        id: &SessionId,
    ) -> std::result::Result<Option<Duration>, Problem> {
        if self.note_trouble(true).await? > GIVE_UP_MS {
            let _alone = self.standing.lock().await;
            internal(
                "sleep",
                &"it has not answered for an hour, and is stopped without a save",
            );
            self.disk_ready.set(false);
            self.provider(id).await?.stop().await?;
        }
        Ok(Some(LOOK_AGAIN))
    }

    /// Notes whether there is trouble with the sandbox. Returns since how many milliseconds there is.
    async fn note_trouble(&self, is_there: bool) -> std::result::Result<u64, Problem> {
        let failed = |error: worker::Error| internal("trouble", &error);
        let storage = self.platform.storage();
        if !is_there {
            storage.delete(TROUBLE).await.map_err(failed)?;
            return Ok(0);
        }
        let now = worker::Date::now().as_millis();
        if let Some(since) = storage.get::<u64>(TROUBLE).await.map_err(failed)? {
            return Ok(now.saturating_sub(since));
        }
        storage.put(TROUBLE, now).await.map_err(failed)?;
        Ok(0)
    }

    /// Returns when to look again; none where it does not run any more.
    async fn put_to_sleep(
        self: &Rc<Self>,
        watch: &Watch,
    ) -> std::result::Result<Option<Duration>, Problem> {
        let provider = self.provider(&watch.id).await?;
        let Some(endpoint) = provider.running().await? else {
            let gone = self.platform.storage().delete(UNSAVED).await;
            gone.map_err(|error| internal("unsaved", &error))?;
            let Some(delete_at) = watch.delete_at else {
                return Ok(None);
            };
            let left = delete_at.saturating_sub(worker::Date::now().as_millis());
            if left == 0 {
                self.delete(&watch.id).await?;
                return Ok(None);
            }
            return Ok(Some(Duration::from_millis(left)));
        };
        let unused = || async {
            let asked = async {
                let broke = |error: worker::Error| internal("health", &error);
                let health = endpoint.fetch(Method::Get, "/", None).await;
                let health: Health = answer::told(health.map_err(broke)?).await?;
                // An older image does not say it: the platform stops that one.
                Ok((health.unused_ms.unwrap_or(0), health.terminals))
            };
            within(PATIENCE, "the sandbox", asked).await
        };
        let (before, terminals) = unused().await?;
        if before < watch.sleep_after_ms {
            if terminals.is_some_and(|terminals| terminals.unsaved) {
                let noted = self.platform.storage().put(UNSAVED, true).await;
                noted.map_err(|error| internal("unsaved", &error))?;
            }
            self.save_changes(&endpoint, &watch.id).await?;
            let mut left = Duration::from_millis(watch.sleep_after_ms - before);
            if terminals.is_some() {
                left = left.min(LOOK_AT_TERMINALS);
            }
            return Ok(Some(left.max(LOOK_SOON)));
        }
        hang_up(&endpoint).await;
        let saved = match self.save(&endpoint, &watch.id, None).await {
            Ok(_) => true,
            // It does not get better by waiting: each turn's end has told of it.
            Err(problem)
                if problem.kind == ProblemKind::TooLarge
                    || before > watch.sleep_after_ms + GIVE_UP_MS =>
            {
                internal("sleep without a save", &problem.detail);
                false
            }
            Err(problem) => return Err(problem),
        };
        let _alone = self.standing.lock().await;
        if unused().await?.0 < before {
            return Ok(Some(LOOK_AGAIN)); // Somebody has come meanwhile.
        }
        self.disk_ready.set(false);
        provider.stop().await?;
        self.note_rest(saved).await?;
        // It is for people to see; the session itself finds out when it needs it.
        if let Err(problem) = session::fell_asleep(&self.env, &watch.id).await {
            internal("asleep", &problem.detail);
        }
        Ok(watch.delete_at.map(|_| LOOK_AGAIN))
    }

    /// Saves the sandbox, where it runs, and stops it; without a save where it does not answer.
    pub(super) async fn stop(self: &Rc<Self>, id: &SessionId) -> std::result::Result<(), Problem> {
        let _alone = self.standing.lock().await;
        let provider = self.provider(id).await?;
        let mut saved = false;
        if let Some(endpoint) = provider.running().await? {
            hang_up(&endpoint).await;
            match self.save(&endpoint, id, None).await {
                Err(problem)
                    if [ProblemKind::SandboxUnreachable, ProblemKind::TimedOut]
                        .contains(&problem.kind) =>
                {
                    internal("stop without a save", &problem.detail);
                }
                told => {
                    told?;
                    saved = true;
                }
            }
        }
        self.disk_ready.set(false);
        provider.stop().await?;
        if saved {
            self.note_rest(true).await?;
        }
        Ok(())
    }

    /// Notes whether the last save holds all that is on the disk, as the sandbox was stopped right after it.
    pub(super) async fn note_rest(&self, rests: bool) -> std::result::Result<(), Problem> {
        let storage = self.platform.storage();
        let noted = match rests {
            true => storage.put(RESTS, true).await,
            false => storage.delete(RESTS).await.map(drop),
        };
        noted.map_err(|error| internal("rest", &error))
    }

    /// Whether the last save holds all that is on the disk.
    pub(super) async fn rests(&self) -> bool {
        let stored = self.platform.storage().get::<bool>(RESTS).await;
        stored.is_ok_and(|rests| rests == Some(true))
    }
}

/// Ends the terminals of a sandbox that is about to stop, so that whoever looks at them hears it. An older image
/// has none.
async fn hang_up(endpoint: &Endpoint) {
    let told = async {
        let told = endpoint.fetch(Method::Delete, "/terminals", None).await;
        told.map(drop).map_err(|error| internal("hang up", &error))
    };
    // It is stopped in any case.
    let _told = within(FAREWELL, "the sandbox", told).await;
}
