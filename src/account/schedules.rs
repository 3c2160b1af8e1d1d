//! The schedules of an account: prompts that its alarm has said in a session when they are due. Each time has
//! an id of its own, so that a message which was said is not said again, however often that is tried.

use access::{Caller, Origin, Principal, Right, Scopes, Via, Who};
use automation::schedule::Schedule;
use protocol::{ClaudeCodeOptions, Owner, Problem, ProblemKind};
use serde_json::{Value, json};
use worker::{Env, SqlStorageValue};

use super::{Deed, Object, ask, failed, now};
use crate::answer::{self, internal};
use crate::rows::{self, integer, member, number, text};
use crate::session::{self, Form, Say, Visit};
use crate::zones::PlatformZones;

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS schedule (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        session TEXT NOT NULL,
        schedule TEXT NOT NULL,       -- JSON, as it was asked for
        made_at INTEGER NOT NULL,
        due_at INTEGER,               -- when it is due next; NULL where it is not
        next_at INTEGER,              -- when that is tried: later than it is due where it has failed
        failures INTEGER NOT NULL DEFAULT 0, -- in a row, of what is due
        last_at INTEGER,              -- when something was said last
        last_turn TEXT,               -- the turn that it became
        last_error TEXT
    );
    CREATE INDEX IF NOT EXISTS schedule_next ON schedule (next_at) WHERE next_at IS NOT NULL;
    CREATE INDEX IF NOT EXISTS schedule_of ON schedule (session);
";

/// Schedules of an account at most.
const MAX_SCHEDULES: u64 = 100;

/// What is said at once.
const AT_ONCE: u64 = 20;

/// Milliseconds until something is said again that could not be.
const AGAIN_MS: u64 = 60_000;

/// Times that this is tried.
const ATTEMPTS: u64 = 5;

/// Keeps a schedule: a new one, or what stands in the place of the one of this id.
///
/// # Errors
/// 404 where there is none of this id, 409 where there are too many.
pub async fn put_schedule(
    env: &Env,
    owner: &Owner,
    id: Option<&str>,
    schedule: &Schedule,
    deed: &Deed<'_>,
) -> Result<Value, Problem> {
    let first = schedule.first(now(), &PlatformZones)?;
    let asked = json!({
        "owner": owner, "id": id, "schedule": schedule, "due_at": first, "deed": deed.told(),
    });
    ask(env, owner, "put-schedule", asked).await
}

/// The schedules of an owner.
///
/// # Errors
/// Where the account can't be reached.
pub async fn schedules(env: &Env, owner: &Owner) -> Result<Value, Problem> {
    ask(env, owner, "schedules", Value::Null).await
}

/// Deletes the schedule that `deed` is about.
///
/// # Errors
/// 404 where there is none.
pub async fn delete_schedule(env: &Env, owner: &Owner, deed: &Deed<'_>) -> Result<(), Problem> {
    ask(env, owner, "delete-schedule", deed.told())
        .await
        .map(drop)
}

/// Whether something is to be said in a session at a time that is to come.
///
/// # Errors
/// Where the account can't be reached.
pub async fn is_scheduled(
    env: &Env,
    owner: &Owner,
    session: &protocol::SessionId,
) -> Result<bool, Problem> {
    let scheduled = ask(env, owner, "is-scheduled", json!(session)).await?;
    Ok(scheduled == Value::Bool(true))
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such schedule")
}

/// A schedule as its owner reads it.
const TOLD: &str = "json_patch(schedule, json_object('id', id,
    'created_at', strftime('%Y-%m-%dT%H:%M:%fZ', made_at / 1000.0, 'unixepoch'),
    'next_at', strftime('%Y-%m-%dT%H:%M:%fZ', due_at / 1000.0, 'unixepoch'),
    'last_at', strftime('%Y-%m-%dT%H:%M:%fZ', last_at / 1000.0, 'unixepoch'),
    'last_turn', last_turn, 'last_error', last_error))";

impl Object {
    pub(super) fn put_schedule(&self, asked: &Value) -> Result<Value, Problem> {
        self.keep()?;
        let schedule = member(asked, "schedule");
        let enabled = schedule.get("enabled") != Some(&Value::Bool(false));
        let due_at = number(asked, "due_at").filter(|_| enabled);
        let due_at = match due_at {
            Some(at) => integer(at).map_err(failed)?,
            None => SqlStorageValue::Null,
        };
        let id = match asked.get("id").and_then(Value::as_str) {
            Some(id) => {
                self.schedule(id)?;
                id.to_owned()
            }
            None => {
                if self.count("schedule", Vec::new())? >= MAX_SCHEDULES {
                    return Err(Problem::new(
                        ProblemKind::Conflict,
                        format!("this account has {MAX_SCHEDULES} schedules; delete some first"),
                    ));
                }
                format!("sch_{}", crate::random::hex::<8>().map_err(failed)?)
            }
        };
        self.sql
            .exec(
                "INSERT INTO schedule (id, owner, session, schedule, made_at, due_at, next_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
                 ON CONFLICT (id) DO UPDATE SET session = ?3, schedule = ?4, due_at = ?6, next_at = ?6,
                   failures = 0, last_error = NULL",
                vec![
                    id.as_str().into(),
                    text(asked, "owner").into(),
                    text(&schedule, "session_id").into(),
                    schedule.to_string().into(),
                    integer(now()).map_err(failed)?,
                    due_at,
                ],
            )
            .map_err(failed)?;
        self.record_about(&id, asked)?;
        self.schedule(&id)
    }

    fn schedule(&self, id: &str) -> Result<Value, Problem> {
        let query = format!("SELECT {TOLD} FROM schedule WHERE id = ?");
        let found = self.rows(&query, vec![id.into()])?;
        found.into_iter().next().ok_or_else(unknown)
    }

    pub(super) fn schedules(&self) -> Result<Value, Problem> {
        let query = format!("SELECT {TOLD} FROM schedule ORDER BY made_at, id");
        let schedules = self.rows(&query, Vec::new())?;
        Ok(json!({ "total": schedules.len(), "schedules": schedules }))
    }

    pub(super) fn delete_schedule(&self, deed: &Value) -> Result<Value, Problem> {
        let id = text(deed, "about");
        self.schedule(id)?;
        self.sql
            .exec("DELETE FROM schedule WHERE id = ?", vec![id.into()])
            .map_err(failed)?;
        self.record(deed)
    }

    pub(super) fn is_scheduled(&self, session: &Value) -> Result<Value, Problem> {
        let session = session.as_str().unwrap_or_default();
        let query = "SELECT json_quote(id) FROM schedule
                     WHERE session = ? AND due_at IS NOT NULL LIMIT 1";
        let found = self.rows(query, vec![session.into()])?;
        Ok(Value::Bool(!found.is_empty()))
    }

    /// Says what is due.
    pub(super) async fn say_what_is_due(&self) -> Result<(), Problem> {
        let due = self.rows(
            "SELECT json_object('id', id, 'owner', owner, 'schedule', json(schedule), 'due_at', due_at,
               'failures', failures)
             FROM schedule WHERE next_at <= ? ORDER BY next_at LIMIT ?",
            vec![
                integer(now()).map_err(failed)?,
                integer(AT_ONCE).map_err(failed)?,
            ],
        )?;
        let said = due.iter().map(|schedule| self.say_scheduled(schedule));
        let said = futures_util::future::join_all(said).await;
        for (schedule, said) in due.iter().zip(said) {
            self.note_said(schedule, said)?;
        }
        Ok(())
    }

    /// Says one in its session. Returns the turn that it has become.
    async fn say_scheduled(&self, due: &Value) -> Result<String, Problem> {
        let schedule: Schedule =
            rows::read(&member(due, "schedule")).map_err(|error| internal("schedule", &error))?;
        let id = text(due, "id");
        let visit = Visit {
            caller: Caller {
                who: Who::Known(Principal {
                    owner: Owner::parse(text(due, "owner"))?,
                    via: Via::Schedule(id.to_owned()),
                    scopes: Scopes::of_names(["read", "write"].into_iter()),
                    until: None,
                }),
                origin: Origin {
                    address: String::new(),
                    request_id: id.to_owned(),
                },
            },
            right: Right::Write,
            launches: false,
        };
        let mut options = ClaudeCodeOptions::default();
        options.prompt = Some(schedule.prompt);
        let due_at = number(due, "due_at").unwrap_or_default();
        let say = Say {
            session_id: schedule.session_id,
            id: Some(format!("{id}-{due_at}")),
            turn: options.into_turn()?,
            form: Form::Accepted,
            after: 0,
        };
        let said = session::say(&self.env, &visit, &say).await?;
        let said: Value = answer::told(said).await?;
        Ok(text(&said, "turn_id").to_owned())
    }

    fn note_said(&self, due: &Value, said: Result<String, Problem>) -> Result<(), Problem> {
        let failures = number(due, "failures").unwrap_or_default() + 1;
        let id = text(due, "id");
        // One that was changed meanwhile is another, which has not failed, and was not said.
        let due_at = integer(number(due, "due_at").unwrap_or_default()).map_err(failed)?;
        if let Err(problem) = &said
            && may_pass(problem)
            && failures < ATTEMPTS
        {
            return self
                .sql
                .exec(
                    "UPDATE schedule SET failures = ?, next_at = ?, last_error = ?
                     WHERE id = ? AND due_at = ?",
                    vec![
                        integer(failures).map_err(failed)?,
                        integer(now() + AGAIN_MS).map_err(failed)?,
                        problem.detail.as_str().into(),
                        id.into(),
                        due_at,
                    ],
                )
                .map(drop)
                .map_err(failed);
        }
        let next = rows::read::<Schedule>(&member(due, "schedule"))
            .ok()
            .and_then(|schedule| schedule.next(now(), &PlatformZones));
        // Where the session is gone, it does not come back.
        let gone = matches!(&said, Err(problem) if problem.kind == ProblemKind::NotFound);
        let next = match next.filter(|_| !gone) {
            Some(at) => integer(at).map_err(failed)?,
            None => SqlStorageValue::Null,
        };
        let (turn, error) = match said {
            Ok(turn) => (Some(turn), None),
            Err(problem) => (None, Some(problem.detail)),
        };
        self.sql
            .exec(
                "UPDATE schedule SET failures = 0, due_at = ?1, next_at = ?1, last_at = ?2,
                   last_turn = ?3, last_error = ?4 WHERE id = ?5 AND due_at = ?6",
                vec![
                    next,
                    integer(now()).map_err(failed)?,
                    turn.into(),
                    error.into(),
                    id.into(),
                    due_at,
                ],
            )
            .map(drop)
            .map_err(failed)
    }
}

/// Whether saying it again soon may help.
fn may_pass(problem: &Problem) -> bool {
    matches!(
        problem.kind,
        ProblemKind::Internal
            | ProblemKind::TimedOut
            | ProblemKind::NoCapacity
            | ProblemKind::SandboxUnreachable
            | ProblemKind::TooManyRequests
    )
}
