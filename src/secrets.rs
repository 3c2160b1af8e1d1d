//! With what secrets are sealed that have to be stored.

use access::seal::Seal;
use protocol::{Problem, ProblemKind};
use worker::Env;

/// What secrets of something are sealed with: the key is the deployment's, and not stored beside them.
/// `about` names whose they are: sealed for one, they open for no other.
///
/// # Errors
/// 503 where this deployment has none.
pub fn seal(env: &Env, about: &str) -> Result<Seal, Problem> {
    let secret = |name: &str| {
        let secret = env.secret(name).ok().map(|value| value.to_string());
        secret.filter(|secret| !secret.is_empty())
    };
    let key = secret("SECRETS_KEY").or_else(|| secret("OPERATOR_TOKEN"));
    let key = key.ok_or_else(|| {
        Problem::new(
            ProblemKind::NotConfigured,
            "this deployment can keep no secrets; set a key for them with: npx wrangler secret put SECRETS_KEY",
        )
    })?;
    Ok(Seal::new(&key, about))
}
