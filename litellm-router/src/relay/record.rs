//! What is known of a call when it is over.

use std::sync::Arc;

use bytes::Bytes;

use super::Host;
use crate::job::{Job, Trail};
use crate::reply::Usage;
use crate::spend::Account;

/// A call that is over, as logs and metrics see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub request_id: String,
    pub trail: Trail,
    pub status: u16,
    pub outcome: Ending,
    /// Milliseconds until the answer began.
    pub first_ms: u64,
    /// Milliseconds until it was over.
    pub total_ms: u64,
}

impl Record {
    /// One line of JSON for the log: no content, no key.
    pub fn line(&self) -> String {
        let (trail, usage) = (&self.trail, &self.trail.usage);
        serde_json::json!({
            "request_id": self.request_id,
            "route": trail.route,
            "session": trail.session,
            "accounts": trail.accounts.iter().map(Account::name).collect::<Vec<_>>(),
            "model": trail.model,
            "deployment": trail.deployment,
            "deployment_id": trail.deployment_id,
            "stream": trail.streams,
            "attempts": trail.attempts,
            "fallbacks": trail.fallbacks,
            "status": self.status,
            "outcome": self.outcome.name(),
            "cache": trail.cache.name(),
            "ms_to_first_byte": self.first_ms,
            "ms": self.total_ms,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": usage.cache_read_input_tokens,
            "cache_write_tokens": usage.cache_creation_input_tokens,
            "cost_usd": trail.cost,
            "unpriced": trail.unpriced,
        })
        .to_string()
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Before anybody was asked.
    Refused,
    Completed,
    Failed,
    ClientLeft,
}

impl Ending {
    /// The word for it in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::ClientLeft => "client left",
        }
    }
}

/// A call under way. Writes its record once, whichever way it ends.
pub(super) struct Log<H: Host> {
    host: Arc<H>,
    pub(super) job: Box<Job>,
    request_id: String,
    began: u64,
    /// What a deployment has been sent that has not begun to answer.
    unheard: Option<Bytes>,
    /// How it stood when the last deployment had failed, until another has been sent something.
    failed: Option<Trail>,
    /// Milliseconds until its answer began.
    first_ms: Option<u64>,
    is_over: bool,
}

impl<H: Host> Log<H> {
    /// A call that begins now.
    pub(super) fn new(host: &Arc<H>, job: Box<Job>, request_id: String) -> Self {
        Self {
            host: Arc::clone(host),
            job,
            request_id,
            began: host.now(),
            unheard: None,
            failed: None,
            first_ms: None,
            is_over: false,
        }
    }

    /// This goes out to a deployment. If the client leaves before it is heard, it is counted by
    /// estimate.
    pub(super) fn sent(&mut self, body: Bytes) {
        self.job.sent();
        self.unheard = Some(body);
        self.failed = None;
    }

    /// The deployment that was sent something last will not answer it.
    pub(super) fn failed(&mut self) {
        self.unheard = None;
        self.failed = Some(self.job.trail(Usage::default()));
    }

    /// The answer begins.
    pub(super) fn first(&mut self) {
        self.unheard = None;
        self.first_ms = Some(self.host.now().saturating_sub(self.began));
    }

    /// The call is over, and this is what its answer has used.
    pub(super) fn end(&mut self, used: Usage, status: u16, outcome: Ending) {
        self.record(self.job.trail(used), status, outcome);
    }

    fn record(&mut self, trail: Trail, status: u16, outcome: Ending) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let now = self.host.now();
        let total_ms = now.saturating_sub(self.began);
        let record = Record {
            request_id: std::mem::take(&mut self.request_id),
            trail,
            status,
            outcome,
            first_ms: self.first_ms.unwrap_or(total_ms),
            total_ms,
        };
        let router = self.job.router();
        let bookings = router.over(&record, now);
        self.host.record(router, &record, bookings);
    }
}

impl<H: Host> Drop for Log<H> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let trail = self.failed.take();
        let mut trail = trail.unwrap_or_else(|| self.job.trail(Usage::default()));
        if let Some(body) = &self.unheard {
            trail.spend_unheard(body, self.job.prices());
        }
        self.record(trail, 499, Ending::ClientLeft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Cached;
    use crate::spend::Account;

    #[test]
    fn the_line_of_a_call_has_all_that_is_known_and_nothing_of_its_content() {
        let record = Record {
            request_id: "req_1".into(),
            trail: Trail {
                model: "asked".into(),
                group: "as*".into(),
                session: Some("s-1".into()),
                accounts: vec![Account::Key("team".into())],
                deployment: "groq/m".into(),
                deployment_id: "as*#1".into(),
                streams: true,
                attempts: 3,
                fallbacks: 1,
                usage: Usage {
                    input_tokens: 10,
                    output_tokens: 5,
                    cache_read_input_tokens: 2,
                    cache_creation_input_tokens: 1,
                },
                cost: Some(0.25),
                cache: Cached::Miss,
                route: "/v1/messages",
                ..Trail::default()
            },
            status: 200,
            outcome: Ending::Completed,
            first_ms: 40,
            total_ms: 900,
        };
        insta::assert_snapshot!(record.line(), @r#"{"accounts":["key:team"],"attempts":3,"cache":"miss","cache_read_tokens":2,"cache_write_tokens":1,"cost_usd":0.25,"deployment":"groq/m","deployment_id":"as*#1","fallbacks":1,"input_tokens":10,"model":"asked","ms":900,"ms_to_first_byte":40,"outcome":"completed","output_tokens":5,"request_id":"req_1","route":"/v1/messages","session":"s-1","status":200,"stream":true,"unpriced":false}"#);
    }
}
