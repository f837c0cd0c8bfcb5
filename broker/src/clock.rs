//! The one place of this crate that asks the operating system for the time.
//!
//! Every broker owns one clock; machines and logs get its answers as values. Nothing else may read a clock,
//! or a test could not move time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use milena_storage::ids::Timestamp;

/// Wall-clock and monotonic time of one broker, movable forward by tests and operators.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    ahead_ms: AtomicI64,
}

impl Clock {
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), ahead_ms: AtomicI64::new(0) }
    }

    /// Milliseconds since 1970, as records, logs and groups count them.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Timestamp(millis.saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }

    /// Time since the clock was made, never going back.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Moves wall-clock time, for tests of retention, sessions and time-outs.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_the_wall_clock() {
        let clock = Clock::new();
        let before = clock.now();
        clock.advance(Duration::from_secs(3600));
        assert!(clock.now().0 >= before.0 + 3_600_000);
    }
}
