//! What the owner's account is told of turns that have ended: stored with their end, and told until the
//! account has it.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::Object;
use crate::account::{self, Reports};
use crate::answer::{internal, within};
use crate::rows;

/// Turns that are told of at once.
const AT_ONCE: u64 = 100;

/// How long the account may take to hear it.
const TELLING: Duration = Duration::from_secs(30);

/// Says for its life, however that ends, that the account is being told.
struct Telling<'a>(&'a Cell<bool>);

impl<'a> Telling<'a> {
    /// None where it is being told already.
    fn begin(reporting: &'a Cell<bool>) -> Option<Self> {
        (!reporting.replace(true)).then(|| Self(reporting))
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Object {
    /// Tells the account what it has not heard. Nobody waits for it.
    pub(super) fn tell_account(self: &Rc<Self>) {
        let object = Rc::clone(self);
        self.platform.wait_until(AssertUnwindSafe(async move {
            let Some(telling) = Telling::begin(&object.reporting) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_ends_however_it_ends() {
        let reporting = Cell::new(false);
        let telling = Telling::begin(&reporting);
        assert!(telling.is_some() && Telling::begin(&reporting).is_none());
        assert!(reporting.get(), "a second one takes nothing from the first");
        drop(telling);
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let _telling = Telling::begin(&reporting);
            panic!("it panics");
        }));
        assert!(ended.is_err() && !reporting.get());
    }
}
