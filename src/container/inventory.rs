//! What there is on the machines that sandboxes run on, and whether anybody wants it.
//!
//! No part of this system knows all sessions, but the machines know all sandboxes. So they are asked for
//! what they have, and then, for each, its session's container object whether it is that one's: only the
//! object knows, and while it removes what nobody wants, it starts nothing. An orphan comes of a deletion
//! that the machine did not carry out, or of a storage that was lost; it is the operator who looks for
//! them, since no session would.

use protocol::{Problem, SessionId};
use serde::{Deserialize, Serialize};
use worker::Env;

use super::{docker, fly, local, of, offered};
use crate::answer::internal;

/// Sandboxes that are looked at in one request: each asks an object.
const MOST: usize = 500;

/// A sandbox, as the place where it runs tells of it.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    pub provider: &'static str,
    pub session_id: SessionId,
    /// Of one that does not run, its files are there.
    pub running: bool,
    /// No session has it.
    pub orphan: bool,
    /// It has been removed now.
    pub removed: bool,
}

/// What an object is asked about something that is there under its session's name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    pub provider: String,
    /// Where it is not the object's, it is to be removed.
    pub remove: bool,
}

impl Found {
    pub fn new(provider: &'static str, session_id: SessionId, running: bool) -> Self {
        Self {
            provider,
            session_id,
            running,
            orphan: false,
            removed: false,
        }
    }
}

/// All sandboxes that there are, and how many more were not looked at. With `remove`, those that no
/// session has are removed. Containers of Cloudflare's belong to their objects, which end with them: of
/// those there is no list, and there are no orphans.
///
/// # Errors
/// Where a place or an object can't be asked.
pub async fn look(env: &Env, remove: bool) -> Result<(Vec<Found>, usize), Problem> {
    let mut all = Vec::new();
    for provider in offered(env) {
        match provider {
            "docker" => all.extend(docker::list(env).await?),
            "fly_machines" => all.extend(fly::list(env).await?),
            "local" => all.extend(local::list(env).await?),
            _ => {}
        }
    }
    let more = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    for found in &mut all {
        let question = Question {
            provider: found.provider.to_owned(),
            remove,
        };
        match of(env, &found.session_id)?.owns(&question).await {
            Ok(owns) => {
                found.orphan = !owns;
                found.removed = remove && !owns;
            }
            // The others are looked at all the same.
            Err(problem) => drop(internal("inventory", &problem.detail)),
        }
    }
    Ok((all, more))
}
