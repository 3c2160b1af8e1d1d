//! When a prompt is due: once, or by a cron pattern in a time zone.

use protocol::{Problem, SessionId};
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::cron::Pattern;

/// Bytes of a scheduled prompt.
pub const MAX_PROMPT: usize = 64 * 1024;

/// Bytes of a schedule's name.
const MAX_NAME: usize = 200;

/// Bytes of a cron pattern.
const MAX_PATTERN: usize = 200;

/// Minutes that come twice where clocks go back, at most: no zone has ever repeated more than a day.
const MAX_REPEATED: u32 = 24 * 60;

/// A prompt that is to be said in a session, as it is asked for: at one time, or again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Where it is said.
    pub session_id: SessionId,
    /// What is said.
    pub prompt: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Once, at this time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Again and again: minute, hour, day of the month, month, day of the week, such as `0 9 * * MON-FRI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone that `cron` is read in, such as `Europe/Berlin`; UTC where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// False for one that waits until it is switched on.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

/// How far a zone is ahead of UTC at a time, both in milliseconds; none for a zone that nobody knows.
pub trait Zones {
    fn offset(&self, zone: &str, at: u64) -> Option<i64>;
}

/// When a schedule is due.
enum When {
    Once(u64),
    Again { pattern: Pattern, zone: String },
}

impl Schedule {
    /// Checks what was asked for, and when it is due first after `now`.
    ///
    /// # Errors
    /// 400 that names the field.
    pub fn first(&self, now: u64, zones: &impl Zones) -> Result<u64, Problem> {
        if self.prompt.trim().is_empty() || self.prompt.len() > MAX_PROMPT {
            let words = format!("prompt must be a text of 1 to {MAX_PROMPT} bytes");
            return Err(Problem::bad_request(words).at("prompt"));
        }
        if self.name.len() > MAX_NAME || self.name.chars().any(char::is_control) {
            let words = format!("name must be a line of at most {MAX_NAME} bytes");
            return Err(Problem::bad_request(words).at("name"));
        }
        let when = self.when(now, zones)?;
        match &when {
            When::Once(at) if *at <= now => {
                Err(Problem::bad_request("at is a time that is over").at("at"))
            }
            when => when.after(now, zones).ok_or_else(|| {
                Problem::bad_request("no time that is to come fits this pattern").at("cron")
            }),
        }
    }

    /// When it is due next after `now`; none where it is not any more.
    pub fn next(&self, now: u64, zones: &impl Zones) -> Option<u64> {
        self.when(now, zones).ok()?.after(now, zones)
    }

    fn when(&self, now: u64, zones: &impl Zones) -> Result<When, Problem> {
        match (&self.at, &self.cron) {
            (Some(at), None) => {
                if self.timezone.is_some() {
                    let words = "at has its time zone with it; leave timezone out";
                    return Err(Problem::bad_request(words).at("timezone"));
                }
                let at = OffsetDateTime::parse(at, &Rfc3339).ok();
                let at = at.and_then(|at| u64::try_from(milliseconds(at)).ok());
                at.map(When::Once).ok_or_else(|| {
                    let words = "at must be a time such as 2030-01-31T09:00:00+01:00";
                    Problem::bad_request(words).at("at")
                })
            }
            (None, Some(pattern)) => {
                let zone = self.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
                if zone.len() > 64 || zones.offset(&zone, now).is_none() {
                    let words = "timezone must be a name such as Europe/Berlin, or UTC";
                    return Err(Problem::bad_request(words).at("timezone"));
                }
                Ok(When::Again {
                    pattern: pattern_of(pattern)?,
                    zone,
                })
            }
            (None, None) => Err(Problem::bad_request(
                "when? send at, a time, or cron, a pattern such as 0 9 * * MON-FRI",
            )
            .at("cron")),
            (Some(_), Some(_)) => Err(Problem::bad_request("send at or cron, not both").at("cron")),
        }
    }
}

/// A pattern of five parts: nothing is due more often than every minute.
fn pattern_of(pattern: &str) -> Result<Pattern, Problem> {
    let read = match pattern.len() {
        0..=MAX_PATTERN => Pattern::read(pattern),
        _ => Err("it is too long".to_owned()),
    };
    read.map_err(|why| {
        let words = format!("cron can't be read: {why}; five parts, such as 0 9 * * MON-FRI");
        Problem::bad_request(words).at("cron")
    })
}

impl When {
    /// The first time after `now`.
    fn after(&self, now: u64, zones: &impl Zones) -> Option<u64> {
        match self {
            Self::Once(at) => (*at > now).then_some(*at),
            Self::Again { pattern, zone } => {
                // What the clocks of the zone say is searched as if it were UTC.
                let mut from = local(now, zone, zones)?;
                // Where clocks go back, an hour comes twice, and is over when it comes again: all that is
                // due in it, which may be something every minute, lies before `now`.
                for _ in 0..=MAX_REPEATED {
                    let next = pattern.next(from)?;
                    let at = instant(next, zone, zones)?;
                    if at > now {
                        return Some(at);
                    }
                    from = next;
                }
                None
            }
        }
    }
}

fn milliseconds(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1000 + i64::from(at.millisecond())
}

/// What the clocks of a zone say at an instant.
fn local(at: u64, zone: &str, zones: &impl Zones) -> Option<PrimitiveDateTime> {
    let offset = zones.offset(zone, at)?;
    let local = i64::try_from(at).ok()?.checked_add(offset)?;
    let local = OffsetDateTime::from_unix_timestamp(local.div_euclid(1000)).ok()?;
    Some(PrimitiveDateTime::new(local.date(), local.time()))
}

/// The instant at which the clocks of a zone say this: the first where they say it twice, and where they
/// leap over it, as long after the leap as it is behind the leap's begin.
fn instant(local: PrimitiveDateTime, zone: &str, zones: &impl Zones) -> Option<u64> {
    let local = milliseconds(local.assume_utc());
    let day = 24 * 60 * 60 * 1000;
    let offset_at = |at: i64| zones.offset(zone, u64::try_from(at).ok()?);
    // The offsets around it: no zone changes twice within two days.
    let before = offset_at(local.checked_sub(day)?)?;
    let after = offset_at(local.checked_add(day)?)?;
    let is_said = |offset: i64| offset_at(local - offset) == Some(offset);
    let offset = if is_said(before) || !is_said(after) {
        before
    } else {
        after
    };
    u64::try_from(local.checked_sub(offset)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Berlin in 2026: summer time from 29 March to 25 October, both at 01:00 UTC.
    struct Berlin;

    impl Zones for Berlin {
        fn offset(&self, zone: &str, at: u64) -> Option<i64> {
            let hour = 60 * 60 * 1000;
            match zone {
                "UTC" => Some(0),
                "Europe/Berlin" => {
                    let summer = ms("2026-03-29T01:00:00Z")..ms("2026-10-25T01:00:00Z");
                    Some(if summer.contains(&at) { 2 * hour } else { hour })
                }
                _ => None,
            }
        }
    }

    fn ms(text: &str) -> u64 {
        let at = OffsetDateTime::parse(text, &Rfc3339).unwrap();
        u64::try_from(milliseconds(at)).unwrap()
    }

    fn wish() -> Schedule {
        Schedule {
            session_id: SessionId::parse("s").unwrap(),
            prompt: "look".to_owned(),
            name: String::new(),
            at: None,
            cron: None,
            timezone: None,
            enabled: true,
        }
    }

    fn by_cron(pattern: &str, zone: &str) -> Schedule {
        Schedule {
            cron: Some(pattern.to_owned()),
            timezone: Some(zone.to_owned()),
            ..wish()
        }
    }

    fn due(schedule: &Schedule, now: &str) -> Option<String> {
        let next = schedule.next(ms(now), &Berlin)?;
        let next = i64::try_from(next / 1000).unwrap();
        let next = OffsetDateTime::from_unix_timestamp(next).unwrap();
        Some(next.format(&Rfc3339).unwrap())
    }

    #[test]
    fn patterns_are_read_in_their_zone() {
        let mornings = by_cron("0 9 * * MON-FRI", "Europe/Berlin");
        for (now, next) in [
            // A Friday in winter; then the Monday after.
            ("2026-01-02T07:59:59Z", "2026-01-02T08:00:00Z"),
            ("2026-01-02T08:00:00Z", "2026-01-05T08:00:00Z"),
            // Over the change of the clocks.
            ("2026-03-27T08:00:00Z", "2026-03-30T07:00:00Z"),
            ("2026-10-23T07:00:00Z", "2026-10-26T08:00:00Z"),
        ] {
            assert_eq!(due(&mornings, now).as_deref(), Some(next), "{now}");
        }
    }

    #[test]
    fn an_hour_that_is_left_out_and_one_that_comes_twice() {
        // On 29 March there is no 02:30; what is due then is due at 03:30.
        let night = by_cron("30 2 * * *", "Europe/Berlin");
        assert_eq!(
            due(&night, "2026-03-28T12:00:00Z").as_deref(),
            Some("2026-03-29T01:30:00Z")
        );
        // On 25 October it comes twice, and is due once.
        assert_eq!(
            due(&night, "2026-10-24T12:00:00Z").as_deref(),
            Some("2026-10-25T00:30:00Z")
        );
        assert_eq!(
            due(&night, "2026-10-25T00:30:00Z").as_deref(),
            Some("2026-10-26T01:30:00Z")
        );
    }

    #[test]
    fn what_is_due_often_goes_on_after_an_hour_that_comes_twice() {
        // In the second of the two hours, 02:10 and 02:59:30 in winter time.
        for now in ["2026-10-25T01:10:00Z", "2026-10-25T01:59:30Z"] {
            for pattern in ["*/15 * * * *", "* * * * *"] {
                let often = by_cron(pattern, "Europe/Berlin");
                assert_eq!(
                    due(&often, now).as_deref(),
                    Some("2026-10-25T02:00:00Z"),
                    "{pattern} at {now}"
                );
                assert!(often.first(ms(now), &Berlin).is_ok());
            }
        }
        let often = by_cron("*/15 * * * *", "Europe/Berlin");
        assert_eq!(
            due(&often, "2026-10-25T00:10:00Z").as_deref(),
            Some("2026-10-25T00:15:00Z"),
            "in the first of them"
        );
    }

    #[test]
    fn once_is_once() {
        let once = Schedule {
            at: Some("2026-05-01T10:00:00+02:00".to_owned()),
            ..wish()
        };
        assert_eq!(
            once.first(ms("2026-05-01T07:59:59Z"), &Berlin).unwrap(),
            ms("2026-05-01T08:00:00Z")
        );
        assert_eq!(due(&once, "2026-05-01T08:00:00Z"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let now = ms("2026-05-01T00:00:00Z");
        for (schedule, field) in [
            (wish(), "cron"),
            (
                Schedule {
                    at: Some("tomorrow".to_owned()),
                    ..wish()
                },
                "at",
            ),
            (
                Schedule {
                    at: Some("2026-04-30T00:00:00Z".to_owned()),
                    ..wish()
                },
                "at",
            ),
            (by_cron("* * * *", "UTC"), "cron"),
            (by_cron("* * * * * *", "UTC"), "cron"),
            (by_cron("61 * * * *", "UTC"), "cron"),
            (by_cron("0 0 30 2 *", "UTC"), "cron"),
            (by_cron(&"0,".repeat(200), "UTC"), "cron"),
            (by_cron("0 9 * * *", "Mars/Olympus"), "timezone"),
            (
                Schedule {
                    prompt: " ".to_owned(),
                    ..by_cron("0 9 * * *", "UTC")
                },
                "prompt",
            ),
            (
                Schedule {
                    name: "a\nb".to_owned(),
                    ..by_cron("0 9 * * *", "UTC")
                },
                "name",
            ),
            (
                Schedule {
                    at: Some("2030-01-01T00:00:00Z".to_owned()),
                    ..by_cron("0 9 * * *", "UTC")
                },
                "cron",
            ),
        ] {
            let problem = schedule.first(now, &Berlin).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field), "{schedule:?}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[-0-9*/,#LW? A-Z]{0,30}", now in 0_u64..4_000_000_000_000) {
            let _ = by_cron(&pattern, "Europe/Berlin").next(now, &Berlin);
        }

        #[test]
        fn the_next_time_is_later(minute in 0_u32..60, hour in 0_u32..24, now in 1_600_000_000_000_u64..1_900_000_000_000) {
            let schedule = by_cron(&format!("{minute} {hour} * * *"), "Europe/Berlin");
            let next = schedule.next(now, &Berlin).unwrap();
            prop_assert!(next > now);
            prop_assert!(next - now <= 26 * 60 * 60 * 1000);
        }
    }
}
