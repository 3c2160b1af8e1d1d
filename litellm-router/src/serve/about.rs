//! What the router says of itself: keys, health, numbers.

use serde_json::json;

use super::Router;
use crate::answer::Answer;
use crate::auth::{self, Caller};
use crate::deployment::Target;

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

/// Whether a provider's key is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyState {
    Here,
    NotNeeded,
    Missing,
}
