//! What the owner's account is told of turns that have ended: stored with their end, and told until the
//! account has it.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::{Object, UnderWay};
use crate::account::{self, Reports};
use crate::answer::{internal, within};
use crate::rows;

/// Turns that are told of at once.
const AT_ONCE: u64 = 100;

/// How long the account may take to hear it.
const TELLING: Duration = Duration::from_secs(30);

impl Object {
    /// Tells the account what it has not heard. Nobody waits for it.
    pub(super) fn tell_account(self: &Rc<Self>) {
        let object = Rc::clone(self);
        self.platform.wait_until(AssertUnwindSafe(async move {
            let Some(telling) = UnderWay::begin(&object.reporting) else {
                return;
            };
            let told = within(TELLING, "the account", object.report()).await;
            drop(telling);
            // The alarm tells it again.
            if told.is_err() {
                object.set_watch().await;
            }
        }));
    }

    pub(super) async fn report(&self) -> Result<(), protocol::Problem> {
        let failed = |error: worker::Error| internal("report", &error);
        loop {
            let stored = self.log.reports(AT_ONCE).map_err(failed)?;
            let reports: Vec<::session::Report> =
                rows::read(&Value::Array(stored)).map_err(|error| internal("report", &error))?;
            let Some(last) = reports.last().map(|report| report.turn.0) else {
                return Ok(());
            };
            // A session of before there were owners reports to nobody.
            if let Some(owner) = self.owner() {
                let told = self.with_session(|session| Reports {
                    session_id: session.id.clone(),
                    began_at: session.state.began_at,
                    reports,
                })?;
                account::report(&self.env, &owner, &told).await?;
            }
            self.log.reported(last).map_err(failed)?;
        }
    }
}
