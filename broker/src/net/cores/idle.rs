//! How long a core has had nothing to do.
//!
//! Must never cost more than reading the clock: it is asked each time that a core falls asleep or wakes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// Written by the core's own thread, read by all.
#[derive(Default, Debug)]
pub(in crate::net) struct Idle {
    clock: Clock,
    /// Nanoseconds of all sleeps that are over.
    slept: AtomicU64,
    /// When the sleep began that is not over, in nanoseconds; [`AWAKE`] if there is none.
    since: AtomicU64,
    sleeps: AtomicU64,
}

/// No sleep begins at this time, as the clock runs before the core does.
const AWAKE: u64 = 0;

impl Idle {
    pub(in crate::net) fn begin(&self) {
        self.sleeps.store(self.sleeps() + 1, Ordering::Relaxed);
        self.since.store(self.nanos().max(AWAKE + 1), Ordering::Relaxed);
    }

    pub(in crate::net) fn end(&self) {
        let since = self.since.load(Ordering::Relaxed);
        if since == AWAKE {
            return;
        }
        let slept = self.nanos().saturating_sub(since);
        self.slept.store(self.slept.load(Ordering::Relaxed) + slept, Ordering::Relaxed);
        self.since.store(AWAKE, Ordering::Relaxed);
    }

    /// How often it has fallen asleep.
    pub(super) fn sleeps(&self) -> u64 {
        self.sleeps.load(Ordering::Relaxed)
    }

    /// Its clock, and how long it has slept until now. Another core may see a sleep end a moment too late or too early.
    pub(super) fn total(&self) -> (Duration, Duration) {
        let (now, since) = (self.nanos(), self.since.load(Ordering::Relaxed));
        let this_time = if since == AWAKE { 0 } else { now.saturating_sub(since) };
        let slept = self.slept.load(Ordering::Relaxed) + this_time;
        (Duration::from_nanos(now), Duration::from_nanos(slept))
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.clock.uptime().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sleeps_add_up_also_the_one_that_is_not_over() {
        let idle = Idle::default();
        let second = Duration::from_secs(1);
        let slept = || idle.total().1;
        tokio::time::advance(second).await;
        assert_eq!(slept(), Duration::ZERO);
        idle.begin();
        tokio::time::advance(second * 2).await;
        assert_eq!(slept(), second * 2);
        idle.end();
        idle.end();
        tokio::time::advance(second).await;
        assert_eq!((slept(), idle.sleeps()), (second * 2, 1));
        idle.begin();
        tokio::time::advance(second).await;
        assert_eq!((idle.total(), idle.sleeps()), ((second * 5, second * 3), 2));
    }
}
