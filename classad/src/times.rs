//! Calendar arithmetic in the proleptic Gregorian calendar, and the text forms of times and spans.
//! All times are seconds since the epoch; the local zone is UTC, always.

use std::fmt::Write;

use crate::limits::FORMATTED_BYTES_MAX;

const DAY_SECS: i64 = 86_400;

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

    /// From fields as they are, also outside their ranges; the days of week and year by the
    /// reference's arithmetic.
    pub(crate) fn of_fields(date: [i64; 3], clock: [i64; 3]) -> Self {
        let ([year, month, day], [hour, minute, second]) = (date, clock);
        let fixed = |month: i64, day: i64| {
            let shift = match is_leap(year) {
                _ if month <= 2 => 0,
                true => -1,
                false => -2,
            };
            let past = year - 1;
            365 * past + past / 4 - past / 100 + past / 400 + (367 * month - 362) / 12 + shift + day
        };
        let day_number = fixed(month, day);
        Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            weekday: day_number.rem_euclid(7),
            year_day: day_number - fixed(1, 1),
        }
    }

    /// Seconds since the epoch. The first second of the least day does not fit 64 bits, though
    /// later ones do: the sum comes back from where a part of it went around.
    fn secs(&self) -> i64 {
        let days = days_in_any_month(self.year, self.month) + self.day - 1;
        let in_day = self.hour * 3600 + self.minute * 60 + self.second;
        days.wrapping_mul(DAY_SECS).wrapping_add(in_day)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// `2024-05-06T07:08:09Z` and what resembles it: seconds since the epoch, offset of its zone.
/// Digits are taken in groups whatever stands between them; a missing group counts as zero.
pub(crate) fn parse_abs(text: &str) -> Option<(i64, i32)> {
    let (body, offset_secs) = split_zone(text);
    let bytes = body.as_bytes();
    let mut at = 0;
    let mut group = |width: usize| -> Option<i64> {
        while at < bytes.len() && !bytes[at].is_ascii_digit() {
            at += 1;
        }
        let digits = bytes.get(at..at + width)?;
        at += width;
        Some(leading_digits(digits))
    };
    let year = group(4)?;
    let month = group(2).unwrap_or(1);
    let [day, hour, minute, second] = [(); 4].map(|()| group(2).unwrap_or(0));
    if bytes[at.min(bytes.len())..].iter().any(u8::is_ascii_digit) {
        return None;
    }
    let days = days_in_any_month(year, month) + day - 1;
    let secs = days * DAY_SECS + hour * 3600 + minute * 60 + second;
    Some((secs - i64::from(offset_secs), offset_secs))
}

/// Days since the epoch of the first of a month, which may lie outside its year.
fn days_in_any_month(year: i64, month: i64) -> i64 {
    let months = year * 12 + month - 1;
    days_from_civil(months.div_euclid(12), months.rem_euclid(12) + 1, 1)
}

/// `[-][days+][[hours:]minutes:]seconds`, or with the units behind the numbers, in seconds. Read
/// from its end; a number that is missing before its sign is 0, and so is nothing at all.
pub(crate) fn parse_rel(text: &str) -> Option<f64> {
    let mut rest = Backwards(text.as_bytes());
    let mut total = 0.0;
    if rest.ends_with(|b| matches!(b, b's' | b'S') || b.is_ascii_digit()) {
        rest.take(b"sS");
        let fraction = rest.digits();
        let seconds = if rest.take(b".") {
            format!("{}.{fraction}", rest.digits())
        } else {
            fraction
        };
        total += number(&seconds);
    }
    for (signs, unit_secs) in [
        (&b"mM:"[..], 60.0),
        (&b"hH:"[..], 3600.0),
        (&b"dD+"[..], 86_400.0),
    ] {
        if rest.take(signs) {
            total += number(&rest.digits()) * unit_secs;
        }
    }
    let sign = if rest.take(b"-") { -1.0 } else { 1.0 };
    rest.is_done().then_some(sign * total)
}

/// A text read from its end.
struct Backwards<'t>(&'t [u8]);

impl Backwards<'_> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_end();
    }

    fn ends_with(&mut self, is: impl Fn(u8) -> bool) -> bool {
        self.skip_space();
        self.0.last().is_some_and(|&b| is(b))
    }

    /// Takes one of `signs` if it is there.
    fn take(&mut self, signs: &[u8]) -> bool {
        let found = self.ends_with(|b| signs.contains(&b));
        if found {
            self.0 = &self.0[..self.0.len() - 1];
        }
        found
    }

    fn digits(&mut self) -> String {
        self.skip_space();
        let length = self.0.iter().rev().take_while(|b| b.is_ascii_digit());
        let (rest, digits) = self.0.split_at(self.0.len() - length.count());
        self.0 = rest;
        String::from_utf8_lossy(digits).into_owned()
    }

    fn is_done(&mut self) -> bool {
        self.skip_space();
        self.0.is_empty()
    }
}

/// Digits with or without a point as a number; none is 0.
fn number(digits: &str) -> f64 {
    digits.parse().unwrap_or(0.0)
}

fn leading_digits(text: &[u8]) -> i64 {
    let digits = text.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
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
    (0..=9999).contains(&year) && offset_secs % 60 == 0 && offset_secs.unsigned_abs() < 100 * 3600
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

/// As GNU's `strftime` in the C locale and UTC. Fields out of their ranges print as they are.
/// `None` if the result would be too long.
pub(crate) fn strftime(format: &str, t: &Civil) -> Option<String> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (directive, length) = Directive::at(rest);
        match directive.and_then(|directive| directive.text(t)) {
            Some(text) => out.push_str(&text),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
        if out.len() > FORMATTED_BYTES_MAX {
            return None;
        }
    }
    out.push_str(rest);
    (out.len() <= FORMATTED_BYTES_MAX).then_some(out)
}

/// `%`, flags, width, `E` or `O`, and the letter.
struct Directive {
    flag: Option<char>,
    upper: bool,
    opposite: bool,
    width: usize,
    letter: char,
}

/// How a field is filled up.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    Zero,
    Space,
    /// No number.
    Text,
}

impl Directive {
    /// The directive that begins here, and its length.
    fn at(text: &str) -> (Option<Self>, usize) {
        let mut directive = Self {
            flag: None,
            upper: false,
            opposite: false,
            width: 0,
            letter: '%',
        };
        let mut chars = text.char_indices().skip(1).peekable();
        while let Some((_, c)) = chars.next_if(|(_, c)| matches!(c, '-' | '_' | '0' | '^' | '#')) {
            match c {
                '^' => directive.upper = true,
                '#' => directive.opposite = true,
                flag => directive.flag = Some(flag),
            }
        }
        while let Some((_, c)) = chars.next_if(|(_, c)| c.is_ascii_digit()) {
            let digit = (c as u8 - b'0') as usize;
            directive.width = (directive.width * 10 + digit).min(FORMATTED_BYTES_MAX + 1);
        }
        let modified = chars.next_if(|(_, c)| matches!(c, 'E' | 'O')).is_some();
        match chars.next() {
            Some((_, '%')) if modified => (None, chars.peek().map_or(text.len(), |(i, _)| *i)),
            Some((i, letter)) => {
                directive.letter = letter;
                (Some(directive), i + letter.len_utf8())
            }
            None => (None, text.len()),
        }
    }

    fn text(&self, t: &Civil) -> Option<String> {
        let (mut text, fill) = field(self.letter, t)?;
        if fill != Fill::Text {
            let digits = text.trim_start_matches(['0', ' ']);
            let kept = text.len() - digits.len().max(1);
            match self.flag {
                Some('-') => text.drain(..kept).for_each(drop),
                Some('_') => text.replace_range(..kept, &" ".repeat(kept)),
                Some('0') => text.replace_range(..kept, &"0".repeat(kept)),
                _ => {}
            }
        }
        if self.upper || (self.opposite && matches!(self.letter, 'a' | 'A' | 'b' | 'B' | 'h')) {
            text.make_ascii_uppercase();
        }
        if self.opposite && matches!(self.letter, 'p' | 'Z') {
            text.make_ascii_lowercase();
        }
        let padding = self.width.saturating_sub(text.len());
        let zeros = match self.flag {
            Some('0') => true,
            Some('_' | '-') => false,
            _ => fill == Fill::Zero,
        };
        text.insert_str(0, &if zeros { "0" } else { " " }.repeat(padding));
        Some(text)
    }
}

fn field(letter: char, t: &Civil) -> Option<(String, Fill)> {
    let weekday = WEEKDAYS.get(t.weekday as usize).copied().unwrap_or("?");
    let month = MONTHS.get((t.month - 1) as usize).copied().unwrap_or("?");
    let short = |name: &'static str| name.get(..3).unwrap_or(name);
    let hour12 = match t.hour {
        13.. => t.hour - 12,
        0 => 12,
        hour => hour,
    };
    let half = if t.hour > 11 { "PM" } else { "AM" };
    let monday_based = (t.weekday + 6) % 7;
    let hms = format!("{:02}:{:02}:{:02}", t.hour, t.minute, t.second);
    let mdy = format!("{:02}/{:02}/{:02}", t.month, t.day, t.year.rem_euclid(100));
    let two = |value: i64| (format!("{value:02}"), Fill::Zero);
    let text = match letter {
        'C' => return Some(two(t.year.div_euclid(100))),
        'd' => return Some(two(t.day)),
        'e' => return Some((format!("{:2}", t.day), Fill::Space)),
        'g' => return Some(two(iso_week(t).0.rem_euclid(100))),
        'G' => return Some((iso_week(t).0.to_string(), Fill::Zero)),
        'H' => return Some(two(t.hour)),
        'I' => return Some(two(hour12)),
        'j' => return Some((format!("{:03}", t.year_day + 1), Fill::Zero)),
        'k' => return Some((format!("{:2}", t.hour), Fill::Space)),
        'l' => return Some((format!("{hour12:2}"), Fill::Space)),
        'm' => return Some(two(t.month)),
        'M' => return Some(two(t.minute)),
        'S' => return Some(two(t.second)),
        'u' => return Some(((monday_based + 1).to_string(), Fill::Zero)),
        'U' => return Some(two((t.year_day + 7 - t.weekday) / 7)),
        'V' => return Some(two(iso_week(t).1)),
        'w' => return Some((t.weekday.to_string(), Fill::Zero)),
        'W' => return Some(two((t.year_day + 7 - monday_based) / 7)),
        'y' => return Some(two(t.year.rem_euclid(100))),
        'Y' => return Some((t.year.to_string(), Fill::Zero)),
        'a' => short(weekday).to_string(),
        'A' => weekday.to_string(),
        'b' | 'h' => short(month).to_string(),
        'B' => month.to_string(),
        'c' => format!(
            "{} {} {:2} {hms} {}",
            short(weekday),
            short(month),
            t.day,
            t.year
        ),
        'D' | 'x' => mdy,
        'F' => format!("{}-{:02}-{:02}", t.year, t.month, t.day),
        'n' => "\n".to_string(),
        'p' => half.to_string(),
        'P' => half.to_ascii_lowercase(),
        'r' => format!("{hour12:02}:{:02}:{:02} {half}", t.minute, t.second),
        'R' => format!("{:02}:{:02}", t.hour, t.minute),
        's' => t.secs().to_string(),
        't' => "\t".to_string(),
        'T' | 'X' => hms,
        'z' => "+0000".to_string(),
        'Z' => "UTC".to_string(),
        '%' => "%".to_string(),
        _ => return None,
    };
    Some((text, Fill::Text))
}

/// Year and week of ISO 8601: weeks begin on Monday, the first holds the year's first Thursday.
fn iso_week(t: &Civil) -> (i64, i64) {
    let monday_based = (t.weekday + 6) % 7;
    let thursday = days_from_civil(t.year, 1, 1) + t.year_day - monday_based + 3;
    let (year, ..) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// The text before the zone, and the zone's offset: `Z`, or a sign and four digits at the very end,
/// with or without a colon between them.
fn split_zone(text: &str) -> (&str, i32) {
    if let Some(body) = text.trim_ascii_end().strip_suffix(['z', 'Z'])
        && !body.is_empty()
    {
        return (body, 0);
    }
    let bytes = text.as_bytes();
    for (width, minutes_at) in [(5, 3), (6, 4)] {
        let Some(at) = bytes.len().checked_sub(width).filter(|&at| at > 0) else {
            continue;
        };
        let zone = &bytes[at..];
        let sign = match zone[0] {
            b'+' => 1,
            b'-' => -1,
            _ => continue,
        };
        if width == 6 && zone[3] != b':' {
            continue;
        }
        let digits = [zone[1], zone[2], zone[width - 2], zone[width - 1]];
        if !digits.iter().all(u8::is_ascii_digit) {
            continue;
        }
        let hours = leading_digits(&zone[1..3]) as i32;
        let minutes = leading_digits(&zone[minutes_at..]) as i32;
        return (&text[..at], sign * (hours * 3600 + minutes * 60));
    }
    (text, 0)
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
