//! Patterns of five parts, as crontab(5) has them: minute, hour, day of the month, month, day of the week. A library
//! for them would be a seventh of the Worker's Wasm.

use time::{Date, Duration, PrimitiveDateTime, Time};

/// Days that are looked through: the 29th of February may be eight years away.
const DAYS: u32 = 366 * 9;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A pattern that was read: of each part the numbers that fit, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// From Sunday, 0.
    weekdays: u64,
    /// Both days are named: one that fits either fits.
    either_day: bool,
}

impl Pattern {
    /// # Errors
    /// What can't be read, in words.
    pub fn read(pattern: &str) -> Result<Self, String> {
        let pattern = match pattern.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            pattern => pattern,
        };
        let parts: Vec<&str> = pattern.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            return Err(format!("it has {} parts", parts.len()));
        };
        let mut weekdays = bits(weekday, 0, 7, &WEEKDAYS, 0)?;
        // Sunday is 0, and 7 as well.
        weekdays |= weekdays >> 7 & 1;
        Ok(Self {
            minutes: bits(minute, 0, 59, &[], 0)?,
            hours: bits(hour, 0, 23, &[], 0)?,
            days: bits(day, 1, 31, &[], 0)?,
            months: bits(month, 1, 12, &MONTHS, 1)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    /// The first time after this that fits; none where there is none for years.
    pub fn next(&self, after: PrimitiveDateTime) -> Option<PrimitiveDateTime> {
        let first = after.checked_add(Duration::MINUTE)?;
        let mut date = first.date();
        let mut from = (first.hour(), first.minute());
        for _ in 0..DAYS {
            if self.fits(date)
                && let Some(time) = self.first_of_day(from)
            {
                return Some(PrimitiveDateTime::new(date, time));
            }
            date = date.next_day()?;
            from = (0, 0);
        }
        None
    }

    fn fits(&self, date: Date) -> bool {
        let is = |set: u64, number: u8| set >> number & 1 == 1;
        let day = is(self.days, date.day());
        let weekday = is(self.weekdays, date.weekday().number_days_from_sunday());
        let fits_day = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        is(self.months, u8::from(date.month())) && fits_day
    }

    /// The first time of a day from an hour and a minute on.
    fn first_of_day(&self, (hour, minute): (u8, u8)) -> Option<Time> {
        let first = |set: u64, from: u8| {
            let left = set.checked_shr(u32::from(from)).unwrap_or(0);
            (left != 0).then(|| from + left.trailing_zeros() as u8)
        };
        let at = first(self.hours, hour)?;
        if at == hour
            && let Some(minute) = first(self.minutes, minute)
        {
            return Time::from_hms(at, minute, 0).ok();
        }
        let at = if at == hour {
            first(self.hours, hour + 1)?
        } else {
            at
        };
        Time::from_hms(at, first(self.minutes, 0)?, 0).ok()
    }
}

/// The numbers of a part, `first` to `last`, as bits. Names stand for numbers from `base` on.
fn bits(part: &str, first: u8, last: u8, names: &[&str], base: u8) -> Result<u64, String> {
    let wrong = || format!("{part} is no part from {first} to {last}");
    let number = |text: &str| {
        let named = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(place) => u8::try_from(place).ok().map(|place| place + base),
            None => text.parse().ok(),
        };
        number.filter(|number| (first..=last).contains(number))
    };
    let mut set = 0_u64;
    for piece in part.split(',') {
        let (range, step) = match piece.split_once('/') {
            None => (piece, None),
            Some((range, step)) => {
                let step: u8 = step.parse().map_err(|_| wrong())?;
                (range, Some(step).filter(|step| *step > 0))
            }
        };
        if piece.contains('/') && step.is_none() {
            return Err(wrong());
        }
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, last),
            Some((from, to)) => (
                number(from).ok_or_else(wrong)?,
                number(to).ok_or_else(wrong)?,
            ),
            None => {
                let from = number(range).ok_or_else(wrong)?;
                (from, if step.is_some() { last } else { from })
            }
        };
        if from > to {
            return Err(wrong());
        }
        for number in (from..=to).step_by(usize::from(step.unwrap_or(1))) {
            set |= 1 << number;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Month;

    fn at(year: i32, month: u8, day: u8, hour: u8, minute: u8) -> PrimitiveDateTime {
        let month = Month::try_from(month).unwrap();
        let date = Date::from_calendar_date(year, month, day).unwrap();
        PrimitiveDateTime::new(date, Time::from_hms(hour, minute, 0).unwrap())
    }

    #[test]
    fn the_next_time_fits() {
        // 2026-11-21 is a Saturday.
        let now = at(2026, 11, 21, 12, 30);
        for (pattern, next) in [
            ("* * * * *", at(2026, 11, 21, 12, 31)),
            ("30 12 * * *", at(2026, 11, 22, 12, 30)),
            ("*/20 * * * *", at(2026, 11, 21, 12, 40)),
            ("5/20 * * * *", at(2026, 11, 21, 12, 45)),
            ("0 9-17/4 * * *", at(2026, 11, 21, 13, 0)),
            ("0 0 * * mon-fri", at(2026, 11, 23, 0, 0)),
            ("0 0 * * 7", at(2026, 11, 22, 0, 0)),
            ("0 0 1 jan *", at(2027, 1, 1, 0, 0)),
            ("0 0 29 2 *", at(2028, 2, 29, 0, 0)),
            // Where both days are named, either is enough.
            ("0 0 1 * TUE", at(2026, 11, 24, 0, 0)),
            // A star with steps names none.
            ("0 0 */2 * MON", at(2026, 11, 23, 0, 0)),
            ("59 23 31 12 *", at(2026, 12, 31, 23, 59)),
            ("@monthly", at(2026, 12, 1, 0, 0)),
        ] {
            let pattern_read = Pattern::read(pattern).unwrap();
            assert_eq!(pattern_read.next(now), Some(next), "{pattern}");
        }
        let never = Pattern::read("0 0 30 2 *").unwrap();
        assert_eq!(never.next(now), None);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "1,,2 * * * *",
            "* * * * mond",
            "-1 * * * *",
            "1- * * * *",
            "*/x * * * *",
            "@reboot",
        ] {
            assert!(Pattern::read(pattern).is_err(), "{pattern}");
        }
    }
}
