//! The one place of the manager that asks the time.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use proto::nouns::Now;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Both clocks, read now.
pub(crate) fn now() -> Now {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        wall_ms: millis(wall),
        mono_ms: millis(START.elapsed()),
    }
}

/// How long it is until a moment of the monotonic clock; zero if it has passed.
pub(crate) fn until(mono_ms: u64) -> Duration {
    Duration::from_millis(mono_ms.saturating_sub(millis(START.elapsed())))
}

/// How far the local time is from UTC now, in seconds east of it: summer time counts.
pub(crate) fn offset_s() -> i32 {
    jiff::Zoned::now().offset().seconds()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
