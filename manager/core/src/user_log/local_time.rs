//! A date and a time of day of no zone in particular, and the calendar's arithmetic. Knows no
//! clock, no zone and no summer time: whoever has them says how far from UTC it is.

use std::fmt;

const DAY_S: i64 = 86_400;
/// The last year that has four digits, as the log's form wants it.
const YEAR_MAX: i64 = 9999;

/// What a clock on the wall shows, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime {
    /// 0 to 9999.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

impl LocalTime {
    /// The moment `unix_ms`, milliseconds since 1970 in UTC, `offset_s` seconds east of UTC. A
    /// moment that has no year of four digits becomes the nearest that has.
    pub fn of(unix_ms: i64, offset_s: i32) -> LocalTime {
        LocalTime::of_seconds(unix_ms.div_euclid(1000).saturating_add(offset_s.into()))
    }

    /// Seconds since 1970 in UTC, where this is the local time `offset_s` seconds east of UTC.
    pub fn unix_s(self, offset_s: i32) -> i64 {
        let days = days_of(self.year.into(), i64::from(self.month), i64::from(self.day));
        days * DAY_S
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
            - i64::from(offset_s)
    }

    /// As `mktime` reads fields that may lie outside their ranges: the 24th hour is the next day.
    pub(super) fn normal(fields: [i64; 6]) -> LocalTime {
        let [year, month, day, hour, minute, second] = fields;
        let seconds = days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
        LocalTime::of_seconds(seconds)
    }

    /// Days and then the civil calendar from them, counted from March so that a leap day is a
    /// year's last.
    fn of_seconds(seconds: i64) -> LocalTime {
        let first = days_of(0, 1, 1) * DAY_S;
        let last = days_of(YEAR_MAX + 1, 1, 1) * DAY_S - 1;
        let seconds = seconds.clamp(first, last);
        let (days, of_day) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let small = |n: i64| u8::try_from(n).expect("a field of a date is below 60");
        LocalTime {
            year: i32::try_from(year).expect("a year of four digits"),
            month: small(month),
            day: small(of_year - (153 * from_march + 2) / 5 + 1),
            hour: small(of_day / 3600),
            minute: small(of_day / 60 % 60),
            second: small(of_day % 60),
        }
    }
}

/// `YYYY-MM-DD HH:MM:SS`, as a log has it; with `{:#}` a `T` stands between date and time.
impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if f.alternate() { 'T' } else { ' ' };
        write!(
            f,
            "{:04}-{:02}-{:02}{between}{:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9).rem_euclid(12);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_dates_are_one_another() {
        for (unix_s, offset_s, text) in [
            (0, 0, "1970-01-01 00:00:00"),
            (-1, 0, "1969-12-31 23:59:59"),
            (951_782_400, 0, "2000-02-29 00:00:00"),
            (1_704_164_645, 0, "2024-01-02 03:04:05"),
            (1_704_164_645, 3600, "2024-01-02 04:04:05"),
            (1_709_251_199, -18_000, "2024-02-29 18:59:59"),
            (4_107_542_399, 0, "2100-02-28 23:59:59"),
            (4_107_542_400, 0, "2100-03-01 00:00:00"),
        ] {
            let time = LocalTime::of(unix_s * 1000 + 999, offset_s);
            assert_eq!(time.to_string(), text);
            assert_eq!(time.unix_s(offset_s), unix_s);
        }
    }

    #[test]
    fn no_moment_is_out_of_range() {
        assert_eq!(LocalTime::of(i64::MAX, i32::MAX).year, 9999);
        assert_eq!(LocalTime::of(i64::MIN, i32::MIN).year, 0);
    }

    #[test]
    fn fields_beyond_their_range_carry_over() {
        let time = LocalTime::normal([2023, 12, 32, 24, 60, 61]);
        assert_eq!(format!("{time:#}"), "2024-01-02T01:01:01");
    }
}
