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

    pub(super) fn health(&self, path: &str) -> Answer {
        match self.keys.shut() {
            Some(words) => unhealthy(path, words),
            None => Answer::json(200, &json!({"status": "healthy"})),
        }
    }

    /// `tells_all`: the caller may read what is wrong with the configuration.
    pub(super) fn worker_health(&self, path: &str, tells_all: bool) -> Answer {
        if let Some(words) = self.keys.shut() {
            return unhealthy(path, words);
        }
        let mut health = json!({
            "status": "healthy",
            "service": "litellm-router",
            "version": env!("CARGO_PKG_VERSION"),
            // As `available` of the list of models.
            "available_providers": self.providers(&[KeyState::Here, KeyState::NotNeeded]),
            "internal_keys": self.providers(&[KeyState::Here]),
        });
        if let Some(fields) = health.as_object_mut().filter(|_| tells_all) {
            let warnings = self.config.warnings.as_slice();
            fields.insert("config_warnings".into(), warnings.into());
        }
        Answer::json(200, &health)
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
        "/" | "/health" | "/health/liveliness" | "/health/liveness" | "/health/readiness"
        | "/worker-health" => unhealthy(path, &words),
        _ => Refusal::new(500, words)
            .of_call(request_id.to_owned())
            .answer_for(Api::of_path(path)),
    }
}

/// The health of a router that can serve nobody, for this reason.
fn unhealthy(path: &str, words: &str) -> Answer {
    // It is alive, and starting it again would not help.
    let status = match path {
        "/health/liveliness" | "/health/liveness" => 200,
        _ => 503,
    };
    Answer::json(
        status,
        &json!({
            "status": "unhealthy",
            "error": words,
            "service": "litellm-router",
            "version": env!("CARGO_PKG_VERSION"),
        }),
    )
}

/// Whether a provider's key is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyState {
    Here,
    NotNeeded,
    Missing,
}
