//! Calendar arithmetic in the proleptic Gregorian calendar, and the text forms of times and spans.
//! All times are seconds since the epoch; the local zone is UTC, always.

use std::fmt::Write;

const DAY_SECS: i64 = 86_400;
/// Longest text that a time's format may make, in bytes.
const FORMATTED_BYTES_MAX: usize = 1024;

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// 0 is the first of January.
    pub year_day: i64,
}

impl Civil {
    pub(crate) fn of(secs: i64) -> Self {
        let days = secs.div_euclid(DAY_SECS);
        let in_day = secs.rem_euclid(DAY_SECS);
        let (year, month, day) = civil_from_days(days);
        Self {
            year,
            month,
            day,
            hour: in_day / 3600,
            minute: in_day / 60 % 60,
            second: in_day % 60,
            weekday: (days + 4).rem_euclid(7),
            year_day: days - days_from_civil(year, 1, 1),
        }
    }
}

/// `2024-05-06T07:08:09Z` and what resembles it: seconds since the epoch, offset of its zone.
/// Digits are taken in groups whatever stands between them; a missing group counts as zero.
pub(crate) fn parse_abs(text: &str) -> Option<(i64, i32)> {
    let text = text.trim();
    let (body, offset_secs) = split_zone(text)?;
    let bytes = body.as_bytes();
    let mut at = 0;
    let mut group = |width: usize| -> Option<i64> {
        while at < bytes.len() && !bytes[at].is_ascii_digit() {
            at += 1;
        }
        let digits = body.get(at..at + width)?;
        at += width;
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        digits[..length].parse().ok()
    };
    let year = group(4)?;
    let month = group(2).unwrap_or(1);
    let [day, hour, minute, second] = [(); 4].map(|()| group(2).unwrap_or(0));
    if body
        .get(at..)
        .is_some_and(|rest| rest.bytes().any(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let months = year * 12 + month - 1;
    let days = days_from_civil(months.div_euclid(12), months.rem_euclid(12) + 1, 1) + day - 1;
    let secs = days * DAY_SECS + hour * 3600 + minute * 60 + second;
    Some((secs - i64::from(offset_secs), offset_secs))
}

/// `[-][days+][[hours:]minutes:]seconds` or `1d2h3m4s`, in seconds. Nothing at all is 0.
pub(crate) fn parse_rel(text: &str) -> Option<f64> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let (sign, body) = match compact.strip_prefix('-') {
        Some(body) => (-1.0, body),
        None => (1.0, compact.as_str()),
    };
    let is_unit = |c: char| matches!(c.to_ascii_lowercase(), 'd' | 'h' | 'm' | 's');
    let secs = if body.contains(is_unit) {
        parse_units(body)?
    } else {
        parse_clock(body)?
    };
    Some(sign * secs)
}

/// As `2024-05-06T07:08:09+05:30`, in the zone of `offset_secs`.
pub(crate) fn format_abs(secs: i64, offset_secs: i32) -> String {
    let t = Civil::of(secs.saturating_add(offset_secs.into()));
    let sign = if offset_secs > 0 { '+' } else { '-' };
    let minutes = offset_secs.unsigned_abs() / 60;
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
        t.year,
        t.month,
        t.day,
        t.hour,
        t.minute,
        t.second,
        minutes / 60,
        minutes % 60
    )
}

/// Whether [`format_abs`] writes what [`parse_abs`] reads back: years of four digits, zones in
/// minutes.
pub(crate) fn is_readable(secs: i64, offset_secs: i32) -> bool {
    let year = Civil::of(secs.saturating_add(offset_secs.into())).year;
    (0..=9999).contains(&year) && offset_secs % 60 == 0 && offset_secs.abs() < 100 * 3600
}

/// As `1+02:03:04.5`, without the parts that are zero at its front.
pub(crate) fn format_rel(secs: f64) -> String {
    let sign = if secs < 0.0 { "-" } else { "" };
    let magnitude = secs.abs();
    let whole = magnitude.trunc() as i64;
    let fraction = magnitude.fract();
    let (days, hours, minutes) = (whole / DAY_SECS, whole / 3600 % 24, whole / 60 % 60);
    let mut out = sign.to_string();
    if days > 0 {
        let _ = write!(out, "{days}+{hours:02}:{minutes:02}:");
    } else if hours > 0 {
        let _ = write!(out, "{hours:02}:{minutes:02}:");
    } else if minutes > 0 {
        let _ = write!(out, "{minutes:02}:");
    }
    let second = whole % 60;
    if fraction == 0.0 {
        let _ = write!(out, "{second:02}");
    } else {
        let text = crate::unparse::general(second as f64 + fraction, 6);
        out.push_str(&text);
    }
    out
}

/// As `1+02:03:04`, `2:03:04`, `3:04` or `4`.
pub(crate) fn format_interval(secs: i64) -> String {
    let sign = if secs < 0 { "-" } else { "" };
    let secs = secs.unsigned_abs();
    let (days, hours, minutes, secs) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{secs}"),
        (0, 0, _) => format!("{sign}{minutes}:{secs:02}"),
        (0, _, _) => format!("{sign}{hours}:{minutes:02}:{secs:02}"),
        _ => format!("{sign}{days}+{hours:02}:{minutes:02}:{secs:02}"),
    }
}

/// As C's `strftime` in the C locale and UTC. `None` if the result would be too long.
pub(crate) fn strftime(format: &str, secs: i64) -> Option<String> {
    let t = Civil::of(secs);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
        } else {
            match chars.next() {
                Some(directive) => field(&mut out, directive, &t, secs),
                None => out.push('%'),
            }
        }
        if out.len() > FORMATTED_BYTES_MAX {
            return None;
        }
    }
    Some(out)
}

fn field(out: &mut String, directive: char, t: &Civil, secs: i64) {
    let weekday = WEEKDAYS[t.weekday as usize];
    let month = MONTHS[(t.month - 1) as usize];
    let hour12 = if t.hour % 12 == 0 { 12 } else { t.hour % 12 };
    let half = if t.hour < 12 { "AM" } else { "PM" };
    let monday_based = (t.weekday + 6) % 7;
    let (iso_year, iso_week) = iso_week(t);
    let hms = format!("{:02}:{:02}:{:02}", t.hour, t.minute, t.second);
    let mdy = format!("{:02}/{:02}/{:02}", t.month, t.day, t.year.rem_euclid(100));
    let text = match directive {
        'a' => weekday[..3].to_string(),
        'A' => weekday.to_string(),
        'b' | 'h' => month[..3].to_string(),
        'B' => month.to_string(),
        'c' => format!(
            "{} {} {:2} {hms} {}",
            &weekday[..3],
            &month[..3],
            t.day,
            t.year
        ),
        'C' => format!("{:02}", t.year.div_euclid(100)),
        'd' => format!("{:02}", t.day),
        'D' | 'x' => mdy,
        'e' => format!("{:2}", t.day),
        'F' => format!("{}-{:02}-{:02}", t.year, t.month, t.day),
        'g' => format!("{:02}", iso_year.rem_euclid(100)),
        'G' => iso_year.to_string(),
        'H' => format!("{:02}", t.hour),
        'I' => format!("{hour12:02}"),
        'j' => format!("{:03}", t.year_day + 1),
        'k' => format!("{:2}", t.hour),
        'l' => format!("{hour12:2}"),
        'm' => format!("{:02}", t.month),
        'M' => format!("{:02}", t.minute),
        'n' => "\n".to_string(),
        'p' => half.to_string(),
        'P' => half.to_ascii_lowercase(),
        'r' => format!("{hour12:02}:{:02}:{:02} {half}", t.minute, t.second),
        'R' => format!("{:02}:{:02}", t.hour, t.minute),
        's' => secs.to_string(),
        'S' => format!("{:02}", t.second),
        't' => "\t".to_string(),
        'T' | 'X' => hms,
        'u' => (monday_based + 1).to_string(),
        'U' => format!("{:02}", (t.year_day + 7 - t.weekday) / 7),
        'V' => format!("{iso_week:02}"),
        'w' => t.weekday.to_string(),
        'W' => format!("{:02}", (t.year_day + 7 - monday_based) / 7),
        'y' => format!("{:02}", t.year.rem_euclid(100)),
        'Y' => t.year.to_string(),
        'z' => "+0000".to_string(),
        'Z' => "UTC".to_string(),
        '%' => "%".to_string(),
        other => format!("%{other}"),
    };
    out.push_str(&text);
}

/// Year and week of ISO 8601: weeks begin on Monday, the first holds the year's first Thursday.
fn iso_week(t: &Civil) -> (i64, i64) {
    let monday_based = (t.weekday + 6) % 7;
    let thursday = days_from_civil(t.year, 1, 1) + t.year_day - monday_based + 3;
    let (year, ..) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// The text before the zone, and the zone's offset.
fn split_zone(text: &str) -> Option<(&str, i32)> {
    if let Some(body) = text.strip_suffix(['z', 'Z']) {
        return Some((body, 0));
    }
    for (width, colon) in [(6, true), (5, false)] {
        let Some(at) = text.len().checked_sub(width) else {
            continue;
        };
        let (Some(body), Some(zone)) = (text.get(..at), text.get(at..)) else {
            continue;
        };
        let sign = match zone.as_bytes()[0] {
            b'+' => 1,
            b'-' => -1,
            _ => continue,
        };
        if colon != (zone.as_bytes().get(3) == Some(&b':')) || body.len() < 10 {
            continue;
        }
        let hours: i32 = zone.get(1..3)?.parse().ok()?;
        let minutes: i32 = zone.get(width - 2..)?.parse().ok()?;
        return Some((body, sign * (hours * 3600 + minutes * 60)));
    }
    Some((text, 0))
}

fn parse_units(body: &str) -> Option<f64> {
    const UNITS: [(char, f64); 4] = [('d', 86_400.0), ('h', 3600.0), ('m', 60.0), ('s', 1.0)];
    let mut total = 0.0;
    let mut rest = body;
    for (unit, secs) in UNITS {
        let lower = rest.to_ascii_lowercase();
        if let Some(at) = lower.find(unit) {
            let number = &rest[..at];
            total += if unit == 's' {
                decimal(number)?
            } else {
                integer(number)?
            } * secs;
            rest = &rest[at + 1..];
        }
    }
    rest.is_empty().then_some(total)
}

fn parse_clock(body: &str) -> Option<f64> {
    let (days, clock) = match body.split_once('+') {
        Some((days, clock)) => (integer(days)?, clock),
        None => (0.0, body),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let (seconds, larger) = parts.split_last()?;
    if larger.len() > 2 {
        return None;
    }
    let mut total = days * 24.0;
    for place in (0..2).rev() {
        let index = larger.len().checked_sub(place + 1);
        let part = index.map_or(Some(0.0), |i| integer(larger[i]))?;
        total = if place == 1 {
            total + part
        } else {
            total * 60.0 + part
        };
    }
    let seconds = if seconds.is_empty() {
        0.0
    } else {
        decimal(seconds)?
    };
    Some(total * 60.0 + seconds)
}

fn integer(text: &str) -> Option<f64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn decimal(text: &str) -> Option<f64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits.then(|| text.parse().ok()).flatten()
}

/// Days since the epoch of a date; `month` is 1 to 12.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
