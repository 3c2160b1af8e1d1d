//! Times of change, as they are written: seconds since the epoch, in the calendar.

/// A moment by the calendar (UTC).
struct Moment {
    year: u64,
    month: usize,
    day: u64,
    weekday: usize,
    seconds: u64,
}

const DAY: u64 = 24 * 60 * 60;

/// The last second of the year 9999; what is later is written as this.
const LAST: u64 = 253_402_300_799;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

impl Moment {
    fn of(seconds: u64) -> Self {
        let seconds = seconds.min(LAST);
        let mut days = seconds / DAY;
        let weekday = usize::try_from(days % 7).unwrap_or(0);
        let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut year = 1970;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            if days < length {
                break;
            }
            days -= length;
            year += 1;
        }
        let mut month = 0;
        let february = if is_leap(year) { 29 } else { 28 };
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        Self {
            year,
            month,
            day: days + 1,
            weekday,
            seconds: seconds % DAY,
        }
    }

    fn clock(&self) -> String {
        let (hour, minute) = (self.seconds / 3600, self.seconds / 60 % 60);
        format!("{hour:02}:{minute:02}:{:02}", self.seconds % 60)
    }
}

/// As RFC 3339 has it: `2026-11-21T14:05:00Z`.
pub fn rfc3339(seconds: u64) -> String {
    let moment = Moment::of(seconds);
    let (year, month, day) = (moment.year, moment.month + 1, moment.day);
    format!("{year:04}-{month:02}-{day:02}T{}Z", moment.clock())
}

/// As HTTP has it (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http(seconds: u64) -> String {
    let moment = Moment::of(seconds);
    let weekday = WEEKDAYS.get(moment.weekday).unwrap_or(&"Thu");
    let month = MONTHS.get(moment.month).unwrap_or(&"Dec");
    let (day, year) = (moment.day, moment.year);
    format!(
        "{weekday}, {day:02} {month} {year:04} {} GMT",
        moment.clock()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_calendar() {
        assert_eq!(http(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_798_761_599), "2026-12-31T23:59:59Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
