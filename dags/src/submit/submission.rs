//! What a job ad says of the submission besides the description: who, where, when. Taken, never
//! looked up.

use std::collections::BTreeSet;

use super::{StatementKind, Submit};

/// Macros of the time of submission.
const TIMES: [&str; 4] = ["SUBMIT_TIME", "YEAR", "MONTH", "DAY"];

/// A submission, for [`Submit::job_ad`].
pub struct Submission<'a> {
    pub cluster: u32,
    /// The user that submits.
    pub owner: &'a str,
    /// What relative paths start from, absolute.
    pub directory: &'a str,
    /// When, in seconds since 1970.
    pub submitted_s: i64,
    /// The name of the machine, as `FileSystemDomain`.
    pub host: &'a str,
    /// The bytes of a file, or of all files of a directory, by an absolute path.
    pub bytes: &'a dyn Fn(&str) -> Option<u64>,
}

impl Submission<'_> {
    /// The macros of its time, in UTC.
    pub(super) fn macros(&self) -> [(&'static str, String); 4] {
        let (year, month, day) = date(self.submitted_s);
        [
            (TIMES[0], self.submitted_s.to_string()),
            (TIMES[1], year.to_string()),
            (TIMES[2], format!("{month:02}")),
            (TIMES[3], format!("{day:02}")),
        ]
    }

    /// The macros of the time of a submission, by name: those of [`Submit::asks_submitter`] that
    /// are no `ENV.…`.
    #[must_use]
    pub fn time_macro(submitted_s: i64, name: &str) -> Option<String> {
        let at = Submission {
            cluster: 0,
            owner: "",
            directory: "",
            submitted_s,
            host: "",
            bytes: &|_| None,
        };
        let found = at.macros().into_iter();
        found
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }
}

/// See [`Submit::asks_submitter`].
pub(super) fn asked(submit: &Submit) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    let mut assigned = BTreeSet::new();
    for statement in submit.statements() {
        let text = match &statement.kind {
            StatementKind::Assign(assign) => {
                assigned.insert(assign.key.to_ascii_uppercase());
                &assign.value
            }
            StatementKind::If(text)
            | StatementKind::Elif(text)
            | StatementKind::Error(text)
            | StatementKind::Warning(text) => text,
            StatementKind::Queue(queue) => &queue.args,
            StatementKind::Else | StatementKind::Endif => continue,
        };
        asked.append(&mut asked_in(text));
        if let StatementKind::Queue(queue) = &statement.kind {
            asked.extend(queue.body.iter().flat_map(|line| asked_in(line)));
        }
    }
    asked.retain(|name| !assigned.contains(&name.to_ascii_uppercase()));
    asked
}

/// The values of `getenv`: what is wanted of the environment. A value with macros wants all, for it
/// is not known which.
pub(super) fn wanted_environment(submit: &Submit) -> Vec<String> {
    let statements = submit.statements().iter();
    statements
        .filter_map(|statement| match &statement.kind {
            StatementKind::Assign(assign)
                if matches!(assign.key.as_str(), "getenv" | "get_env") =>
            {
                Some(match assign.value.contains('$') {
                    true => "*".to_owned(),
                    false => assign.value.clone(),
                })
            }
            StatementKind::Assign(_)
            | StatementKind::If(_)
            | StatementKind::Elif(_)
            | StatementKind::Else
            | StatementKind::Endif
            | StatementKind::Error(_)
            | StatementKind::Warning(_)
            | StatementKind::Queue(_) => None,
        })
        .collect()
}

/// What one text asks for.
pub(super) fn asked_in(text: &str) -> BTreeSet<String> {
    const CALL: &str = "$ENV(";
    let mut asked = BTreeSet::new();
    for (at, _) in text.match_indices(CALL) {
        let inner = &text[at + CALL.len()..];
        let end = inner.find([')', ':']).unwrap_or(inner.len());
        let name = inner[..end].trim();
        if !name.is_empty() {
            asked.insert(format!("ENV.{name}"));
        }
    }
    let names = super::expand::names_in(text).map(str::to_ascii_uppercase);
    asked.extend(names.filter(|name| TIMES.contains(&name.as_str())));
    asked
}

/// Year, month and day of a time in UTC, by the proleptic Gregorian calendar.
fn date(seconds: i64) -> (i64, i64, i64) {
    let mut days = seconds.div_euclid(86_400);
    let mut year = 1970 + days.div_euclid(146_097) * 400;
    days = days.rem_euclid(146_097);
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted() {
        let rows = [
            (0, (1970, 1, 1)),
            (1_700_000_000, (2023, 11, 14)),
            (951_782_400, (2000, 2, 29)),
            (4_107_542_400, (2100, 3, 1)),
            (-1, (1969, 12, 31)),
        ];
        for (seconds, expected) in rows {
            assert_eq!(date(seconds), expected, "{seconds}");
        }
    }
}
