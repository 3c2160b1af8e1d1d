//! Calls that come to nothing before anybody is asked: they are told why, counted, and logged.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Call, Guest, Router, Served, path_and_query, request_id};
use crate::api::Api;
use crate::error::Refusal;
use crate::job::{Trail, route_of};
use crate::relay::{Ending, Record};

impl Router {
    /// Refuses a call, for a shell that cannot read its body as well. `guest`: who has come in with it.
    pub fn refuse(&self, call: &Call, guest: Option<&Guest>, refusal: Refusal) -> Served {
        let request_id = request_id(call.entropy);
        let (path, _) = path_and_query(call.path);
        let answer = refusal
            .of_call(request_id.clone())
            .answer_for(Api::of_path(path));
        let model = model_of(&call.body);
        let session = (call.header)("x-claude-code-session-id");
        let group = self.routes.find(&model).map(|group| group.name);
        let trail = Trail {
            model: model.chars().take(200).collect(),
            // What callers write is nothing for the numbers: see there.
            group: group.unwrap_or_default(),
            session: session.map(|session| session.chars().take(200).collect()),
            accounts: guest.map_or(Vec::new(), |guest| guest.accounts.clone()),
            began: call.now,
            route: route_of(path),
            ..Trail::default()
        };
        let waited_ms = call.now.saturating_sub(call.came);
        let record = Record {
            request_id,
            trail,
            status: answer.status,
            outcome: Ending::Refused,
            first_ms: waited_ms,
            total_ms: waited_ms,
        };
        self.metrics.over(&record);
        Served::Refused(answer, Box::new(record))
    }
}

/// The model that a body asks for, empty where it does not say so in a way that can be read.
fn model_of(body: &[u8]) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: Cow<'a, str>,
    }
    serde_json::from_slice::<Named>(body).map_or(Cow::Borrowed(""), |named| named.model)
}
