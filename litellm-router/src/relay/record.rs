//! What is known of a call when it is over.

use std::sync::Arc;

use bytes::Bytes;

use super::Host;
use crate::job::{Job, Trail};
use crate::reply::Usage;
use crate::serve::Router;
use crate::usage::Prices;

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

/// Writes the record of a call once, whichever way the call ends.
pub(super) struct Log<H: Host> {
    host: Arc<H>,
    router: Arc<Router>,
    record: Option<Record>,
    began: u64,
    /// What a deployment has been sent that has not begun to answer, and its prices.
    unheard: Option<(Bytes, Prices)>,
}

impl<H: Host> Log<H> {
    /// A call that begins now.
    pub(super) fn new(host: &Arc<H>, job: &Job, request_id: String) -> Self {
        Self {
            host: Arc::clone(host),
            router: Arc::clone(job.router()),
            record: Some(Record {
                request_id,
                trail: job.trail(Usage::default()),
                status: 0,
                outcome: Ending::ClientLeft,
                first_ms: 0,
                total_ms: 0,
            }),
            began: host.now(),
            unheard: None,
        }
    }

    /// This has gone out to a deployment. If the client leaves before it is heard, it is counted by
    /// estimate.
    pub(super) fn sent(&mut self, job: &Job, body: Bytes) {
        self.unheard = Some((body, job.prices()));
        if let Some(record) = &mut self.record {
            record.trail = job.trail(Usage::default());
        }
    }

    /// The deployment that was sent something last will not answer it.
    pub(super) fn failed(&mut self, job: &Job) {
        self.unheard = None;
        if let Some(record) = &mut self.record {
            record.trail = job.trail(Usage::default());
        }
    }

    pub(super) fn first(&mut self, status: u16) {
        self.unheard = None;
        let first_ms = self.host.now().saturating_sub(self.began);
        if let Some(record) = &mut self.record {
            record.status = status;
            record.first_ms = first_ms;
        }
    }

    pub(super) fn end(&mut self, trail: Trail, status: u16, outcome: Ending) {
        if let Some(mut record) = self.record.take() {
            let now = self.host.now();
            record.total_ms = now.saturating_sub(self.began);
            if record.status == 0 {
                record.first_ms = record.total_ms;
            }
            record.trail = trail;
            record.status = status;
            record.outcome = outcome;
            let bookings = self.router.over(&record, now);
            self.host.record(&self.router, &record, bookings);
        }
    }
}

impl<H: Host> Drop for Log<H> {
    fn drop(&mut self) {
        if let Some(record) = &self.record {
            let mut trail = record.trail.clone();
            if let Some((body, prices)) = &self.unheard {
                trail.spend_unheard(body, *prices);
            }
            self.end(trail, 499, Ending::ClientLeft);
        }
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
        insta::assert_snapshot!(record.line(), @r#"{"attempts":3,"cache":"miss","cache_read_tokens":2,"cache_write_tokens":1,"cost_usd":0.25,"deployment":"groq/m","deployment_id":"as*#1","fallbacks":1,"input_tokens":10,"model":"asked","ms":900,"ms_to_first_byte":40,"outcome":"completed","output_tokens":5,"request_id":"req_1","route":"/v1/messages","session":"s-1","status":200,"stream":true}"#);
    }
}
