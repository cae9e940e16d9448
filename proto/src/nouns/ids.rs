//! Identifiers: how they print, how they parse, what they may hold.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A job: `cluster.proc`, HTCondor's way of naming one.
///
/// Clusters and DAG runs draw their numbers from one sequence, so a bare number names exactly one
/// thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    pub cluster: u32,
    pub proc: u32,
}

/// What a person may name on a command line: a job `12.3`, or a whole cluster or DAG run `12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    Job(JobId),
    Whole(u32),
}

/// One attempt of one job on one worker. The serial never repeats in a store; the pool tells stores
/// apart, so that a worker that still holds claims of a store that is gone cannot be mistaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId {
    pub pool: u32,
    pub serial: u64,
}

/// A BLAKE3 hash of a blob's bytes, and its only name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// A worker's name: 1 to 128 characters of `A-Z a-z 0-9 . _ - @`. Every job that ran has it; a copy
/// costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerName(Arc<str>);

/// Text that is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError {
    pub text: String,
    pub expected: &'static str,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.text.escape_debug(), self.expected)
    }
}

impl std::error::Error for ParseIdError {}

// === impl JobId ===

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.cluster, self.proc)
    }
}

impl FromStr for JobId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<JobId, ParseIdError> {
        text.split_once('.')
            .and_then(|(cluster, proc)| {
                Some(JobId {
                    cluster: cluster.parse().ok()?,
                    proc: proc.parse().ok()?,
                })
            })
            .ok_or_else(|| error(text, "a job id (expected `cluster.proc`, for example 12.0)"))
    }
}

// === impl Subject ===

impl Subject {
    /// The cluster or DAG run that the subject is, or is part of.
    pub fn whole(self) -> u32 {
        match self {
            Subject::Job(job) => job.cluster,
            Subject::Whole(id) => id,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Job(job) => job.fmt(f),
            Subject::Whole(id) => id.fmt(f),
        }
    }
}

impl FromStr for Subject {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Subject, ParseIdError> {
        if let Ok(id) = text.parse() {
            return Ok(Subject::Whole(id));
        }
        text.parse().map(Subject::Job).map_err(|_| {
            error(
                text,
                "an id (expected a cluster or DAG run such as 12, or a job such as 12.0)",
            )
        })
    }
}

// === impl ClaimId ===

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.pool, self.serial)
    }
}

impl FromStr for ClaimId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<ClaimId, ParseIdError> {
        text.split_once('-')
            .and_then(|(pool, serial)| {
                let pool = u32::from_str_radix(pool, 16).ok()?;
                Some(ClaimId {
                    pool,
                    serial: serial.parse().ok()?,
                })
            })
            .ok_or_else(|| error(text, "a claim id"))
    }
}

// === impl Digest ===

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Digest, ParseIdError> {
        let wrong = || error(text, "a digest (expected 64 hexadecimal digits)");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Digest(bytes))
    }
}

// === impl WorkerName ===

impl WorkerName {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 128;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WorkerName {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<WorkerName, ParseIdError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        if text.is_empty() || text.len() > WorkerName::LENGTH_MAX || !text.chars().all(fits) {
            let expected =
                "a worker name (expected 1 to 128 letters, digits, `.`, `_`, `-` or `@`)";
            return Err(error(text, expected));
        }
        Ok(WorkerName(text.into()))
    }
}

fn error(text: &str, expected: &'static str) -> ParseIdError {
    ParseIdError {
        text: text.chars().take(64).collect(),
        expected,
    }
}

/// Identifiers that people read as they print, and that stand packed where nobody reads them.
macro_rules! stored_as_text {
    ($($type:ty as $packed:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match serializer.is_human_readable() {
                    true => serializer.collect_str(self),
                    false => self.packed().serialize(serializer),
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if !deserializer.is_human_readable() {
                    return <$packed>::deserialize(deserializer).map(<$type>::unpacked);
                }
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

stored_as_text!(ClaimId as (u32, u64), Digest as [u8; 32]);

impl ClaimId {
    fn packed(&self) -> (u32, u64) {
        (self.pool, self.serial)
    }

    fn unpacked((pool, serial): (u32, u64)) -> ClaimId {
        ClaimId { pool, serial }
    }
}

impl Digest {
    fn packed(&self) -> [u8; 32] {
        self.0
    }

    fn unpacked(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }
}

impl Serialize for WorkerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for WorkerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_print_as_they_parse() {
        let texts = ["12.0", "4294967295.4294967295", "0.7"];
        for text in texts {
            assert_eq!(text.parse::<JobId>().unwrap().to_string(), text);
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        assert_eq!("7".parse::<Subject>().unwrap(), Subject::Whole(7));
        let claim = ClaimId {
            pool: 0xbeef,
            serial: 42,
        };
        assert_eq!(claim.to_string().parse::<ClaimId>().unwrap(), claim);
        let digest = Digest([0xa5; 32]);
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(
            serde_json::from_str::<Digest>(&format!("\"{digest}\"")).unwrap(),
            digest
        );
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in [
            "",
            "12.",
            ".3",
            "12.3.4",
            "-1",
            "1.-1",
            "x",
            "4294967296",
            "12 ",
        ] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
        for text in ["", "a b", "a/b", "ä", "..\n"] {
            assert!(text.parse::<WorkerName>().is_err(), "{text}");
        }
        assert!("é".repeat(32).parse::<Digest>().is_err());
        assert!("a".repeat(129).parse::<WorkerName>().is_err());
    }
}
