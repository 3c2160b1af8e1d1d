//! How much anybody may ask for in a minute: the platform's rate limiters, where they are bound
//! (`ratelimits` in wrangler.jsonc). They count in each of the platform's places by itself, and
//! roughly: they hold off floods, and are no bookkeeping.

use access::Pass;
use protocol::{Problem, ProblemKind};
use worker::Env;

use crate::answer::internal;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    Messages,
    /// Sessions that begin.
    Launches,
    Sockets,
    /// Tokens and keys that are nobody's.
    WrongKeys,
}

impl Limit {
    const fn binding(self) -> &'static str {
        match self {
            Self::Messages => "LIMIT_MESSAGES",
            Self::Launches => "LIMIT_LAUNCHES",
            Self::Sockets => "LIMIT_SOCKETS",
            Self::WrongKeys => "LIMIT_WRONG_KEYS",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Messages => "too many messages within a minute; wait a little",
            Self::Launches => "too many new sessions within a minute; wait a little",
            Self::Sockets => "too many new connections within a minute; wait a little",
            Self::WrongKeys => "too many wrong keys within a minute; wait a little",
        }
    }
}

/// Counts something for whoever was let in, and for its address.
///
/// # Errors
/// 429 where it was too much.
pub async fn count(env: &Env, limit: Limit, pass: &Pass) -> Result<(), Problem> {
    // This machine, in development: who floods it floods itself.
    if pass.by == "loopback" {
        return Ok(());
    }
    take(env, limit, &pass.by).await?;
    if pass.origin.address.is_empty() {
        return Ok(());
    }
    take(env, limit, &pass.origin.key()).await
}

/// Counts something for one name.
///
/// # Errors
/// 429 where it was too much.
pub async fn take(env: &Env, limit: Limit, name: &str) -> Result<(), Problem> {
    let Ok(limiter) = env.rate_limiter(limit.binding()) else {
        return Ok(());
    };
    match limiter.limit(name.to_owned()).await {
        Ok(outcome) if !outcome.success => {
            Err(Problem::new(ProblemKind::TooManyRequests, limit.words()))
        }
        Ok(_) => Ok(()),
        // What counts is down: what it counts goes on.
        Err(error) => {
            internal("rate limit", &error);
            Ok(())
        }
    }
}
