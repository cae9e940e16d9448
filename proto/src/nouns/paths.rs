//! Paths that came from somebody else, made safe before they name a file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::ParseIdError;

/// A path below some directory: relative, `/`-separated, no `.`, `..`, empty or over-long parts, no
/// NUL. Joining it to a directory cannot leave that directory (symbolic links are the joiner's
/// business).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RelPath(String);

impl RelPath {
    /// The longest path and the longest part of one, in bytes.
    pub const LENGTH_MAX: usize = 4096;
    pub const PART_LENGTH_MAX: usize = 255;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RelPath {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<RelPath, ParseIdError> {
        let good = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.len() <= RelPath::PART_LENGTH_MAX
                && !part.contains('\0')
        };
        if text.len() > RelPath::LENGTH_MAX || !text.split('/').all(good) {
            let expected = "a relative path inside the job's directory (no `..`, no leading `/`)";
            return Err(ParseIdError {
                text: text.chars().take(256).collect(),
                expected,
            });
        }
        Ok(RelPath(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RelPath, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Joins `path` to `dir` and removes `.` and `..` by text alone, without looking at any file: the
/// one spelling under which a file is known to the queue. An absolute `path` stands for itself.
pub fn join_path(dir: &str, path: &str) -> String {
    let absolute = path.starts_with('/') || dir.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    let start = if path.starts_with('/') { "" } else { dir };
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if absolute {
        format!("/{joined}")
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for text in ["a", "a/b.csv", "models/de/x", "...", "a b"] {
            assert_eq!(text.parse::<RelPath>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a\0b",
            &"x".repeat(256),
        ] {
            assert!(text.parse::<RelPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn joining_is_by_text() {
        let rows = [
            ("data", "de/train.csv", "data/de/train.csv"),
            ("", "x", "x"),
            (".", "./x", "x"),
            ("a/b", "../c", "a/c"),
            ("a", "../../c", "../c"),
            ("a", "/etc/x", "/etc/x"),
            ("/a", "../../c", "/c"),
        ];
        for (dir, path, joined) in rows {
            assert_eq!(join_path(dir, path), joined, "{dir} + {path}");
        }
    }
}
