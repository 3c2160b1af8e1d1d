//! Who may into a session: its owner, the operator, and who has one of its links.

use protocol::{Owner, Problem, ProblemKind, SessionId};
use serde::{Deserialize, Serialize};

use crate::principal::{Caller, Origin, Principal, Scopes, Who};
use crate::share::{Mode, ShareKey, ShareToken};

/// What somebody wants to do with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// See what was said and done.
    Read,
    /// Say something, stop what runs, answer what is asked.
    Write,
    /// Run programs in its sandbox oneself: for accounts alone, and for nobody who has a link.
    Shell,
    /// Decide who else may.
    Manage,
}

impl Right {
    const fn scope(self) -> Scopes {
        match self {
            Self::Read => Scopes::READ,
            Self::Write | Self::Shell => Scopes::WRITE,
            Self::Manage => Scopes::ADMIN,
        }
    }
}

/// How long what was let in by a key or an identity may stay without being asked again: a socket, or
/// a stream. A key that is revoked meanwhile ends there.
const STAY_MS: u64 = 60 * 60 * 1000;

/// What a session knows about who may in.
#[derive(Clone, PartialEq, Eq)]
pub struct Door {
    pub owner: Owner,
    /// None where it was never shared.
    pub share_key: Option<ShareKey>,
}

/// Somebody who was let in, for as long as it stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The name in the audit log.
    pub by: String,
    #[serde(flatten)]
    pub origin: Origin,
    pub read: bool,
    pub write: bool,
    pub manage: bool,
    /// Milliseconds since the epoch.
    pub until: Option<u64>,
    /// For a link: which of the session's keys has signed it.
    pub share_version: Option<u32>,
}

impl Pass {
    pub const fn has(&self, right: Right) -> bool {
        match right {
            Right::Read => self.read,
            Right::Write => self.write,
            Right::Shell => self.write && self.share_version.is_none(),
            Right::Manage => self.manage,
        }
    }

    /// # Errors
    /// 403 where it has not.
    pub fn must(&self, right: Right) -> Result<(), Problem> {
        if self.has(right) {
            return Ok(());
        }
        let words = match right {
            Right::Read => "this key may not read: it lacks the scope read",
            Right::Write if self.share_version.is_some() => "this link is for reading alone",
            Right::Write => "this key may not say anything: it lacks the scope write",
            Right::Shell if self.share_version.is_some() => "a share link opens no terminal",
            Right::Shell => "this key may open no terminal: it lacks the scope write",
            Right::Manage if self.share_version.is_some() => {
                "a link does not let anybody decide who else may in"
            }
            Right::Manage => {
                "this key may not delete a session, or decide who else may in: it lacks the scope admin"
            }
        };
        Err(Problem::new(ProblemKind::Forbidden, words))
    }

    fn of(principal: &Principal, caller: &Caller, now: u64) -> Self {
        let has = |right: Right| principal.scopes.has(right.scope());
        let asked_again = match principal.via {
            crate::Via::Loopback | crate::Via::Operator => None,
            _ => Some(now.saturating_add(STAY_MS)),
        };
        Self {
            by: principal.name(),
            origin: caller.origin.clone(),
            read: has(Right::Read),
            write: has(Right::Write),
            manage: has(Right::Manage),
            until: match (principal.until, asked_again) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            share_version: None,
        }
    }
}

impl Door {
    /// The door of a session that begins, and the pass of who begins it.
    ///
    /// # Errors
    /// 401 or 403 where the caller may not begin one.
    pub fn begin(caller: &Caller, right: Right, now: u64) -> Result<(Self, Pass), Problem> {
        let Who::Known(principal) = &caller.who else {
            return Err(Problem::new(
                ProblemKind::Unauthenticated,
                "there is no session here that this would let you into",
            ));
        };
        principal.may(Scopes::LAUNCH)?;
        let pass = Pass::of(principal, caller, now);
        pass.must(right)?;
        let door = Self {
            owner: principal.owner.clone(),
            share_key: None,
        };
        Ok((door, pass))
    }

    /// The door of a session from before there were owners.
    pub fn of_old() -> Self {
        Self {
            owner: Owner::operator(),
            share_key: None,
        }
    }

    /// Lets somebody in who wants to do this.
    ///
    /// # Errors
    /// 401 where nobody shows who it is, 403 where it may not.
    pub fn admit(
        &self,
        session: &SessionId,
        caller: &Caller,
        right: Right,
        now: u64,
    ) -> Result<Pass, Problem> {
        let pass = match &caller.who {
            Who::Known(principal) => {
                if principal.owner != self.owner && !principal.is_operator() {
                    return Err(Problem::new(
                        ProblemKind::Forbidden,
                        "this session is somebody else's",
                    ));
                }
                Pass::of(principal, caller, now)
            }
            Who::Link(text) => {
                let token = ShareToken::parse(text)?;
                token.check(self.share_key.as_ref(), session, now)?;
                Pass {
                    by: format!("link:{}", token.id),
                    origin: caller.origin.clone(),
                    read: true,
                    write: token.mode == Mode::Write,
                    manage: false,
                    until: Some(token.until),
                    share_version: Some(token.version),
                }
            }
            // Those are kept by the session, each with its pass.
            Who::Ticket(_) => {
                return Err(Problem::new(
                    ProblemKind::Unauthenticated,
                    "a ticket opens a WebSocket, once, and nothing else",
                ));
            }
        };
        pass.must(right)?;
        Ok(pass)
    }

    /// Whether somebody who was let in may stay.
    pub fn holds(&self, pass: &Pass, now: u64) -> bool {
        let version = self.share_key.as_ref().map(|key| key.version);
        pass.until.is_none_or(|until| now < until)
            && (pass.share_version.is_none() || pass.share_version == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Via;

    fn session() -> SessionId {
        SessionId::parse("s1").unwrap()
    }

    fn principal(owner: &str, scopes: Scopes) -> Who {
        Who::Known(Principal {
            owner: Owner::parse(owner).unwrap(),
            via: Via::Key("k".to_owned()),
            scopes,
            until: Some(5_000),
        })
    }

    fn caller(who: Who) -> Caller {
        Caller {
            who,
            origin: Origin {
                address: "192.0.2.1".to_owned(),
                request_id: "req_1".to_owned(),
            },
        }
    }

    fn door() -> Door {
        Door {
            owner: Owner::parse("alice").unwrap(),
            share_key: Some(ShareKey {
                secret: [1; 32],
                version: 3,
            }),
        }
    }

    fn status(who: Who, right: Right) -> u16 {
        let admitted = door().admit(&session(), &caller(who), right, 1_000);
        admitted.err().map_or(200, |problem| problem.status())
    }

    #[test]
    fn who_may_what() {
        use Right::{Manage, Read, Shell, Write};
        let link = |mode, until, session: &str, version| {
            let key = ShareKey {
                secret: [1; 32],
                version,
            };
            let session = SessionId::parse(session).unwrap();
            Who::Link(ShareToken::sign(&key, session, mode, until, [0; 4]).text())
        };
        let own = principal("alice", Scopes::own());
        let reader = principal("alice", Scopes::READ);
        let other = principal("mallory", Scopes::own());
        let operator = Who::Known(Principal::operator());
        for (who, expected) in [
            (own, [200, 200, 200, 200]),
            (reader, [200, 403, 403, 403]),
            (principal("alice", Scopes::WRITE), [403, 200, 200, 403]),
            (other, [403, 403, 403, 403]),
            (operator, [200, 200, 200, 200]),
            (Who::Known(Principal::loopback()), [200, 200, 200, 200]),
            (link(Mode::Read, 2_000, "s1", 3), [200, 403, 403, 403]),
            (link(Mode::Write, 2_000, "s1", 3), [200, 200, 403, 403]),
            (link(Mode::Write, 1_000, "s1", 3), [401, 401, 401, 401]),
            (link(Mode::Write, 2_000, "s2", 3), [401, 401, 401, 401]),
            (link(Mode::Write, 2_000, "s1", 2), [401, 401, 401, 401]),
            (Who::Link("ars_".to_owned()), [401, 401, 401, 401]),
            (Who::Ticket("x".to_owned()), [401, 401, 401, 401]),
        ] {
            let given = [Read, Write, Shell, Manage].map(|right| status(who.clone(), right));
            assert_eq!(given, expected, "{who:?}");
        }
    }

    #[test]
    fn who_may_begin_one() {
        let status = |who| {
            let begun = Door::begin(&caller(who), Right::Write, 0);
            begun.err().map_or(200, |problem| problem.status())
        };
        assert_eq!(status(principal("alice", Scopes::own())), 200);
        assert_eq!(status(principal("alice", Scopes::READ)), 403);
        assert_eq!(status(principal("alice", Scopes::WRITE)), 403);
        assert_eq!(status(principal("alice", Scopes::LAUNCH)), 403, "and write");
        assert_eq!(status(Who::Link("x".to_owned())), 401);
    }

    #[test]
    fn nobody_stays_for_good_but_the_operator() {
        let pass = |who| {
            door()
                .admit(&session(), &caller(who), Right::Read, 1_000)
                .unwrap()
        };
        let key = pass(principal("alice", Scopes::own()));
        assert!(door().holds(&key, 4_999));
        assert!(!door().holds(&key, 5_000), "the key has expired");
        let operator = pass(Who::Known(Principal::operator()));
        assert!(door().holds(&operator, u64::MAX));
        let Some(share_key) = door().share_key else {
            panic!()
        };
        let link = ShareToken::sign(&share_key, session(), Mode::Read, 9_000, [0; 4]);
        let link = pass(Who::Link(link.text()));
        assert!(door().holds(&link, 8_999));
        assert!(!door().holds(&link, 9_000));
        let mut anew = door();
        anew.share_key = None;
        assert!(!anew.holds(&link, 2_000), "links are revoked");
    }
}
