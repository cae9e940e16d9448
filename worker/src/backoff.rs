//! How long to wait before the next try, and the little randomness a worker needs.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// First wait after a failure, and the longest.
pub(crate) const BACKOFF_MS_MIN: u64 = 200;
pub(crate) const BACKOFF_MS_MAX: u64 = 5_000;

/// Waits that double from [`BACKOFF_MS_MIN`] to [`BACKOFF_MS_MAX`], each shortened by up to half at
/// random so that a thousand workers do not come back in step.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub fn next_wait(&mut self) -> Duration {
        let full = (BACKOFF_MS_MIN << self.failures.min(10)).min(BACKOFF_MS_MAX);
        self.failures += 1;
        Duration::from_millis(full - random_u64() % (full / 2))
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// A number that differs each time: the standard library seeds each hasher anew from the system's
/// randomness.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_in_bounds() {
        let mut backoff = Backoff::default();
        for round in 0..40 {
            let wait = backoff.next_wait().as_millis() as u64;
            assert!(
                (BACKOFF_MS_MIN / 2..=BACKOFF_MS_MAX).contains(&wait),
                "{round}: {wait}"
            );
            assert!(round < 5 || wait >= BACKOFF_MS_MAX / 2, "{round}: {wait}");
        }
        backoff.succeeded();
        assert!(backoff.next_wait().as_millis() as u64 <= BACKOFF_MS_MIN);
    }
}
