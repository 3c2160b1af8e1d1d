//! What the router says of itself: keys, health, numbers.

use serde_json::json;

use super::{Router, path_and_query};
use crate::answer::Answer;
use crate::api::Api;
use crate::auth::{self, Caller};
use crate::config::Wrong;
use crate::deployment::Target;
use crate::error::Refusal;

impl Router {
    /// Whether a call to this model would find what it needs with the router's own keys.
    pub(super) fn is_available(&self, name: &str) -> bool {
        self.routes.find(name).is_some_and(|group| {
            group.targets.iter().any(|target| {
                target.is_played_here()
                    || auth::credential(&Caller::Trusted, target, &self.keys).is_ok()
            })
        })
    }

    /// The providers of the model list whose state of keys is wanted, each once, in its order.
    pub(super) fn providers(&self, wanted: &[KeyState]) -> Vec<&'static str> {
        let mut names = Vec::new();
        for deployment in self.routes.deployments() {
            let target = Target::new(deployment, &deployment.model);
            if target.is_played_here() {
                continue;
            }
            let key = match auth::credential(&Caller::Trusted, &target, &self.keys) {
                Ok(Some(_)) => KeyState::Here,
                Ok(None) => KeyState::NotNeeded,
                Err(_) => KeyState::Missing,
            };
            if wanted.contains(&key) && !names.contains(&target.provider.name) {
                names.push(target.provider.name);
            }
        }
        names
    }

    /// `tells_all`: the caller may read what is wrong with the configuration.
    pub(super) fn worker_health(&self, tells_all: bool) -> Answer {
        let warnings = self.config.warnings.iter().filter(|_| tells_all);
        let all = [KeyState::Here, KeyState::NotNeeded, KeyState::Missing];
        Answer::json(
            200,
            &json!({
                "status": "healthy",
                "service": "litellm-router",
                "version": env!("CARGO_PKG_VERSION"),
                "available_providers": self.providers(&all),
                "internal_keys": self.providers(&[KeyState::Here]),
                "config_warnings": warnings.collect::<Vec<_>>(),
            }),
        )
    }

    pub(super) fn numbers(&self, now: u64) -> Answer {
        let balance = self.balance();
        for deployment in self.routes.deployments() {
            let in_flight = balance.in_flight(deployment.entry);
            let cooling = balance.cooling(deployment.entry, now) > 0;
            self.metrics.stands(&deployment.id, in_flight, cooling);
        }
        self.metrics.answer()
    }
}

/// The answer of a router whose configuration cannot be read. What is wrong with it stands in the log
/// alone, because it may quote a key; callers are told where to look.
pub fn without_configuration(path: &str, wrong: &Wrong, request_id: &str) -> Answer {
    let (path, _) = path_and_query(path);
    let place = match wrong.line_and_column() {
        Some((line, column)) => format!(" at line {line}, column {column}"),
        None => String::new(),
    };
    let words = format!(
        "the router's configuration cannot be read{place}; its log says what is wrong, and so does \
         `cargo xtask check-config`"
    );
    match path {
        // It is alive, and starting it again would not help.
        "/health/liveliness" | "/health/liveness" => {
            Answer::json(200, &json!({"status": "unhealthy", "error": words}))
        }
        "/" | "/health" | "/health/readiness" | "/worker-health" => Answer::json(
            503,
            &json!({
                "status": "unhealthy",
                "service": "litellm-router",
                "version": env!("CARGO_PKG_VERSION"),
                "error": words,
            }),
        ),
        _ => Refusal::new(500, words)
            .of_call(request_id.to_owned())
            .answer_for(Api::of_path(path)),
    }
}

/// Whether a provider's key is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyState {
    Here,
    NotNeeded,
    Missing,
}
