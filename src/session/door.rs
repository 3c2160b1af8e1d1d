//! Who may into this session: its owner, its share links, its tickets. What is decided is decided by
//! [`access::Door`]; here it is stored, and shown to those who manage it.

use std::cell::RefCell;

use access::{Caller, Door, Mode, Pass, Right, ShareKey, ShareToken, Who, secret};
use protocol::{Owner, Problem, ProblemKind, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Result, SqlStorage, Storage};

use super::Object;
use crate::account::{self, Deed};
use crate::answer::{internal, time};
use crate::limits::{self, Limit};
use crate::rows::{self, integer};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS door (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        owner TEXT NOT NULL,
        share_key TEXT,               -- hexadecimal; NULL where it was never shared
        share_version INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS share (
        id TEXT PRIMARY KEY,
        mode TEXT NOT NULL,
        made_at INTEGER NOT NULL,     -- milliseconds since the epoch, as are all times
        until INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS ticket (
        hash TEXT PRIMARY KEY,
        until INTEGER NOT NULL,
        pass TEXT NOT NULL            -- of who got it
    );
";

/// How long a ticket is good, in seconds.
const TICKET_SECONDS: u64 = 30;

/// Tickets that nobody has used yet, at most.
const MAX_TICKETS: usize = 100;

/// Links that hold, at most.
const MAX_SHARES: usize = 100;

/// Seconds that a link holds, where nothing is said, and at most.
const SHARE_SECONDS: u64 = 7 * 24 * 60 * 60;
const MAX_SHARE_SECONDS: u64 = 90 * 24 * 60 * 60;

/// Who asks a session for something, and what that needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Visit {
    pub caller: Caller,
    pub right: Right,
    /// The session begins where there is none yet.
    pub launches: bool,
}

/// A link that somebody asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareWish {
    pub mode: Mode,
    /// Seconds.
    pub expires_in: Option<u64>,
}

/// The tables, and what they say.
pub struct Doors {
    sql: SqlStorage,
    /// None where the session has never been met.
    door: RefCell<Option<Door>>,
}

impl Doors {
    /// What is stored of a session that has been met. Where that can't be read nobody gets in: a
    /// session that is there can't begin once more.
    pub fn load(storage: &Storage, met: bool) -> Self {
        let sql = storage.sql();
        let door = match met.then(|| Self::read(&sql)) {
            None => None,
            Some(Ok(door)) => Some(door),
            Some(Err(error)) => {
                internal("door", &error);
                None
            }
        };
        Self {
            sql,
            door: RefCell::new(door),
        }
    }

    fn read(sql: &SqlStorage) -> Result<Door> {
        sql.exec(SCHEMA, None)?;
        let stored = rows::values(
            sql,
            "SELECT json_object('owner', owner, 'key', share_key, 'version', share_version) FROM door",
            Vec::new(),
        )?;
        let Some(stored) = stored.first() else {
            return Ok(Door::of_old());
        };
        let owner = Owner::parse(rows::text(stored, "owner"))
            .map_err(|problem| worker::Error::RustError(problem.detail))?;
        let version = rows::number(stored, "version").unwrap_or_default();
        Ok(Door {
            owner,
            share_key: secret::from_hex(rows::text(stored, "key")).map(|secret| ShareKey {
                secret,
                version: u32::try_from(version).unwrap_or_default(),
            }),
        })
    }

    /// Stores the door of a session that begins.
    ///
    /// # Errors
    /// Where the storage fails.
    fn create(&self, door: &Door) -> Result<()> {
        self.sql.exec(SCHEMA, None)?;
        self.keep(door)
    }

    fn keep(&self, door: &Door) -> Result<()> {
        let key = door.share_key.as_ref();
        self.sql.exec(
            "INSERT OR REPLACE INTO door (one, owner, share_key, share_version) VALUES (1, ?, ?, ?)",
            vec![
                door.owner.as_str().into(),
                key.map(|key| secret::hex(&key.secret)).into(),
                integer(key.map_or(0, |key| u64::from(key.version)))?,
            ],
        )?;
        Ok(())
    }

    /// The session is not there any more.
    pub fn forget(&self) {
        self.door.borrow_mut().take();
    }

    /// Uses a ticket up, and gives the pass that it stands for.
    fn redeem(&self, ticket: &str, now: u64) -> Result<Option<Pass>> {
        let passes = rows::texts(
            &self.sql,
            "DELETE FROM ticket WHERE hash = ? RETURNING iif(until > ?, pass, '')",
            vec![ticket_hash(ticket).into(), integer(now)?],
        )?;
        match passes.first().filter(|pass| !pass.is_empty()) {
            Some(pass) => Ok(Some(serde_json::from_slice(pass.as_bytes())?)),
            None => Ok(None),
        }
    }
}

impl Object {
    /// Lets in whoever may do what it is here for. A session that nobody has met begins with somebody
    /// who may begin one; to all others it is not there, and nothing of it is stored.
    ///
    /// # Errors
    /// 401, 403 or 404.
    pub(super) async fn admit(
        self: &std::rc::Rc<Self>,
        id: &SessionId,
        visit: &Visit,
    ) -> std::result::Result<Pass, Problem> {
        let now = worker::Date::now().as_millis();
        let known = self.doors.door.borrow().clone();
        if let Some(door) = known {
            let Who::Ticket(ticket) = &visit.caller.who else {
                return door.admit(id, &visit.caller, visit.right, now);
            };
            let pass = self.doors.redeem(ticket, now);
            let pass = pass.map_err(|error| internal("ticket", &error))?;
            let pass = pass.filter(|pass| door.holds(pass, now)).ok_or_else(|| {
                Problem::new(
                    ProblemKind::Unauthenticated,
                    "this ticket is not valid, was used, or has expired",
                )
            })?;
            pass.must(visit.right)?;
            return Ok(Pass {
                origin: visit.caller.origin.clone(),
                ..pass
            });
        }
        if !visit.launches {
            return Err(Problem::new(
                ProblemKind::NotFound,
                "there is no such session",
            ));
        }
        let (door, pass) = Door::begin(&visit.caller, visit.right, now)?;
        limits::count(&self.env, Limit::Launches, &pass).await?;
        // While this was counted somebody else may have begun it.
        let known = self.doors.door.borrow().clone();
        if let Some(door) = known {
            return door.admit(id, &visit.caller, visit.right, now);
        }
        self.begin(id, &door)?;
        *self.doors.door.borrow_mut() = Some(door);
        self.record(&pass, "launch");
        self.tell_index();
        Ok(pass)
    }

    fn begin(&self, id: &SessionId, door: &Door) -> std::result::Result<(), Problem> {
        let mut fresh = ::session::Session::new(id.clone());
        fresh.state.began_at = worker::Date::now().as_millis();
        fresh.patience = super::asks::patience(&self.env);
        let stored = self.log.transaction(|| {
            self.log.create(&fresh)?;
            self.doors.create(door)
        });
        stored.map_err(|error| internal("log", &error))?;
        *self.session.borrow_mut() = Some(fresh);
        Ok(())
    }

    /// Whether somebody who was let in may stay: its link may have been revoked, its time be over.
    pub(super) fn holds(&self, pass: &Pass) -> bool {
        let now = worker::Date::now().as_millis();
        let door = self.doors.door.borrow();
        door.as_ref().is_some_and(|door| door.holds(pass, now))
    }

    /// Whose session it is; none where nobody has begun it.
    pub(super) fn owner(&self) -> Option<Owner> {
        let door = self.doors.door.borrow();
        door.as_ref().map(|door| door.owner.clone())
    }

    /// Writes down what somebody did, in the owner's name. Nobody waits for it.
    pub(super) fn record(&self, pass: &Pass, what: &str) {
        let owner = self.owner();
        let about = self.with_session(|session| session.id.to_string());
        let (Some(owner), Ok(about)) = (owner, about) else {
            return;
        };
        let (env, deed) = (self.env.clone(), Deed::of(pass, what, &about).told());
        self.platform
            .wait_until(std::panic::AssertUnwindSafe(async move {
                account::record(&env, &owner, deed).await;
            }));
    }

    /// A ticket for a WebSocket, in the name of who asks for it.
    pub(super) fn ticket(&self, pass: &Pass) -> std::result::Result<Value, Problem> {
        let failed = |error: worker::Error| internal("ticket", &error);
        let now = worker::Date::now().as_millis();
        let sql = &self.doors.sql;
        sql.exec(
            "DELETE FROM ticket WHERE until <= ?",
            vec![integer(now).map_err(failed)?],
        )
        .map_err(failed)?;
        let waiting = rows::texts(sql, "SELECT hash FROM ticket", Vec::new()).map_err(failed)?;
        if waiting.len() >= MAX_TICKETS {
            return Err(Problem::new(
                ProblemKind::TooManyRequests,
                "too many tickets of this session are unused; wait a little",
            ));
        }
        let ticket = crate::random::hex::<32>().map_err(failed)?;
        let pass = serde_json::to_string(pass).map_err(|error| internal("ticket", &error))?;
        let until = integer(now + TICKET_SECONDS * 1000).map_err(failed)?;
        sql.exec(
            "INSERT INTO ticket (hash, until, pass) VALUES (?, ?, ?)",
            vec![ticket_hash(&ticket).into(), until, pass.into()],
        )
        .map_err(failed)?;
        Ok(json!({ "ticket": ticket, "expires_in": TICKET_SECONDS }))
    }

    /// Makes a share link.
    pub(super) fn share(
        &self,
        pass: &Pass,
        wish: &ShareWish,
    ) -> std::result::Result<Value, Problem> {
        let failed = |error: worker::Error| internal("share", &error);
        let seconds = wish.expires_in.unwrap_or(SHARE_SECONDS);
        if !(1..=MAX_SHARE_SECONDS).contains(&seconds) {
            return Err(Problem::bad_request(format!(
                "expires_in must be 1 to {MAX_SHARE_SECONDS} seconds"
            ))
            .at("expires_in"));
        }
        // Nobody gives what it has not.
        pass.must(match wish.mode {
            Mode::Read => Right::Read,
            Mode::Write => Right::Write,
        })?;
        let session = self.with_session(|session| session.id.clone())?;
        let now = worker::Date::now().as_millis();
        if self.shares(now)?.len() >= MAX_SHARES {
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!("this session has {MAX_SHARES} links; revoke them first"),
            ));
        }
        let mut door = self.door()?;
        let key = match door.share_key.clone() {
            Some(key) => key,
            None => ShareKey {
                secret: crate::random::bytes().map_err(failed)?,
                version: 1,
            },
        };
        let until = now + seconds * 1000;
        let id = crate::random::bytes().map_err(failed)?;
        let token = ShareToken::sign(&key, session, wish.mode, until, id);
        door.share_key = Some(key);
        let mode = match wish.mode {
            Mode::Read => "read",
            Mode::Write => "write",
        };
        let stored = self.log.transaction(|| {
            self.doors.keep(&door)?;
            self.doors.sql.exec(
                "INSERT INTO share (id, mode, made_at, until) VALUES (?, ?, ?, ?)",
                vec![
                    token.id.as_str().into(),
                    mode.into(),
                    integer(now)?,
                    integer(until)?,
                ],
            )?;
            Ok(())
        });
        stored.map_err(failed)?;
        *self.doors.door.borrow_mut() = Some(door);
        self.record(pass, "share");
        let (session, text) = (&token.session, token.text());
        Ok(json!({
            "id": token.id,
            "mode": mode,
            "expires_at": time(until),
            "token": text,
            // Behind the #, which browsers send to nobody.
            "path": format!("/demo/{session}#share={text}"),
        }))
    }

    /// The links that hold.
    fn shares(&self, now: u64) -> std::result::Result<Vec<Value>, Problem> {
        let failed = |error: worker::Error| internal("share", &error);
        rows::values(
            &self.doors.sql,
            "SELECT json_object('id', id, 'mode', mode,
               'created_at', strftime('%Y-%m-%dT%H:%M:%fZ', made_at / 1000.0, 'unixepoch'),
               'expires_at', strftime('%Y-%m-%dT%H:%M:%fZ', until / 1000.0, 'unixepoch'))
             FROM share WHERE until > ? ORDER BY made_at DESC, id",
            vec![integer(now).map_err(failed)?],
        )
        .map_err(failed)
    }

    pub(super) fn list_shares(&self) -> std::result::Result<Value, Problem> {
        let shares = self.shares(worker::Date::now().as_millis())?;
        Ok(json!({ "shares": shares }))
    }

    /// Makes all links void, and ends what was let in by them.
    pub(super) fn revoke_shares(&self, pass: &Pass) -> std::result::Result<(), Problem> {
        let failed = |error: worker::Error| internal("share", &error);
        let mut door = self.door()?;
        if let Some(key) = &door.share_key {
            door.share_key = Some(ShareKey {
                secret: crate::random::bytes().map_err(failed)?,
                version: key.version.wrapping_add(1),
            });
        }
        let stored = self.log.transaction(|| {
            self.doors.keep(&door)?;
            self.doors.sql.exec("DELETE FROM share", None)?;
            Ok(())
        });
        stored.map_err(failed)?;
        *self.doors.door.borrow_mut() = Some(door);
        self.close_strangers();
        self.followers.wake();
        self.record(pass, "unshare");
        Ok(())
    }

    fn door(&self) -> std::result::Result<Door, Problem> {
        let door = self.doors.door.borrow().clone();
        door.ok_or_else(|| internal("door", &"nobody was let in"))
    }
}

/// What is stored of a ticket.
fn ticket_hash(ticket: &str) -> String {
    secret::hex(&secret::hash(&[b"agent-router ticket", ticket.as_bytes()]))
}
