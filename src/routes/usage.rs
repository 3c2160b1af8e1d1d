//! `/api/usage`: what an account's sessions have used, by day and by session.

use access::Principal;
use protocol::{Problem, SessionId};
use worker::{Env, Url};

use crate::account::{self, UsageSpan};
use crate::answer::{self, Answer};

/// Days that are told of where the request does not say, today among them.
const DAYS: u64 = 30;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What was used between two days, both included; in the last thirty where nothing is said.
pub async fn usage(url: &Url, env: &Env, principal: &Principal) -> Answer {
    let now = worker::Date::now().as_millis();
    let mut span = UsageSpan {
        from: day(now.saturating_sub((DAYS - 1) * DAY_MS)),
        to: day(now),
        session: None,
    };
    for (name, value) in url.query_pairs() {
        match &*name {
            "from" => span.from = checked(&value, "from")?,
            "to" => span.to = checked(&value, "to")?,
            "session_id" => span.session = Some(SessionId::parse(&value)?),
            _ => {}
        }
    }
    if span.from > span.to {
        return Err(Problem::bad_request("from must not be after to").at("from"));
    }
    answer::json(200, &account::usage(env, &principal.owner, &span).await?)
}

fn day(at: u64) -> String {
    answer::time(at).chars().take(10).collect()
}

fn checked(day: &str, field: &str) -> Result<String, Problem> {
    let fits = day.len() == 10
        && day.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let wrong = || Problem::bad_request(format!("{field} must be a day such as 2026-11-21"));
    if fits {
        Ok(day.to_owned())
    } else {
        Err(wrong().at(field.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days() {
        assert_eq!(checked("2026-11-21", "from").unwrap(), "2026-11-21");
        for wrong in [
            "",
            "2026-11-2",
            "2026-11-21T00:00",
            "yesterday!",
            "2026/11/21",
        ] {
            assert_eq!(
                checked(wrong, "from").unwrap_err().field.as_deref(),
                Some("from")
            );
        }
    }
}
