//! Times and spans as people and programs read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// RFC 3339 in UTC, as in `2026-11-22T08:30:05.25Z`; absent for a time no calendar has.
pub fn rfc3339(ms: u64) -> Option<String> {
    timestamp(ms).map(|time| time.to_string())
}

/// The local time of day, with the date: `11-22 09:30:05`.
pub fn local(ms: u64) -> String {
    match timestamp(ms) {
        Some(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%m-%d %H:%M:%S")
            .to_string(),
        None => "?".to_owned(),
    }
}

/// A span at the precision that is of use: `0.25 s`, `12 s`, `3:07`, `2:00:00`, `3 d 4:00:00`.
pub fn span(ms: u64) -> String {
    let s = ms / 1000;
    let (days, hours, minutes, seconds) = (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if ms < 10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes}:{seconds:02}"),
        (0, _, _) => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{days} d {hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// The year on this machine's calendar.
pub fn year_now() -> i32 {
    Timestamp::now().to_zoned(TimeZone::system()).year().into()
}

/// How far this machine's zone is east of UTC at a moment, in seconds; 0 for a time no calendar has.
pub fn zone_offset_s(unix_s: i64) -> i32 {
    Timestamp::from_second(unix_s).map_or(0, |time| TimeZone::system().to_offset(time).seconds())
}

fn timestamp(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(
            rfc3339(1_700_000_000_250).as_deref(),
            Some("2023-11-14T22:13:20.25Z")
        );
        assert_eq!(rfc3339(u64::MAX), None);
        let rows = [
            (250, "0.2 s"),
            (9_999, "10.0 s"),
            (12_400, "12 s"),
            (187_000, "3:07"),
            (7_200_000, "2:00:00"),
            (273_600_000, "3 d 4:00:00"),
        ];
        for (ms, text) in rows {
            assert_eq!(span(ms), text);
        }
    }
}
