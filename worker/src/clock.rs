//! The two clocks, read here and nowhere else.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proto::nouns::Now;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Both clocks, now.
pub(crate) fn now() -> Now {
    Now {
        wall_ms: wall_ms(),
        mono_ms: millis(START.elapsed()),
    }
}

/// Milliseconds since 1970; 0 on a machine that thinks it is earlier.
pub(crate) fn wall_ms() -> u64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

/// The moment at which the monotonic clock of [`now`] shows `mono_ms`.
pub(crate) fn instant(mono_ms: u64) -> tokio::time::Instant {
    (*START + Duration::from_millis(mono_ms)).into()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
