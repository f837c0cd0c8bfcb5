//! The one place of this crate that asks for the time: the operating system, and in tests a simulation or a paused runtime.
//!
//! Every broker owns one clock; machines and logs get its answers as values. Nothing else may read a clock,
//! or a test could not move time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use milena_storage::ids::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Far deadlines are slept towards in steps, since the timer wheel ends after about two years.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 3600);

/// Wall-clock and monotonic time of one broker, movable forward by tests and operators.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    ahead_ms: AtomicI64,
    skew_ms: AtomicI64,
    moved: Notify,
}

impl Clock {
    #[must_use]
    pub fn new() -> Self {
        let (ahead_ms, skew_ms) = (AtomicI64::new(0), AtomicI64::new(0));
        Self { started: Instant::now(), ahead_ms, skew_ms, moved: Notify::new() }
    }

    /// Milliseconds since 1970, as records, logs and groups count them.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let since = since_epoch();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let off = self.ahead_ms.load(Ordering::Relaxed).saturating_add(self.skew_ms.load(Ordering::Relaxed));
        Timestamp(millis.saturating_add(off))
    }

    /// Time since the clock was made, never going back.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Milliseconds since the clock was made, plus what it was moved by. For deadlines: unlike `now` it does not
    /// follow an operator who corrects the machine's clock, which would end every session at once.
    #[must_use]
    pub fn steady_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.uptime().as_millis()).unwrap_or(i64::MAX);
        elapsed.saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Resolves when `steady_ms` has reached `at`, also if the clock is moved there.
    pub async fn sleep_until(&self, at: i64) {
        loop {
            let moved = self.moved.notified();
            let left = at.saturating_sub(self.steady_ms());
            if left <= 0 {
                return;
            }
            let left = Duration::from_millis(left.unsigned_abs()).min(LONGEST_SLEEP);
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = moved => {}
            }
        }
    }

    /// By how much it was moved.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Sets by how much the wall clock is wrong, ahead or back, as that of a machine may be. Deadlines are not moved.
    pub fn skew(&self, by_ms: i64) {
        self.skew_ms.store(by_ms, Ordering::Relaxed);
    }

    /// Moves wall-clock time, for tests of retention, sessions and time-outs.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(millis, Ordering::Relaxed);
        self.moved.notify_waiters();
    }
}

/// For how long the calling thread has had a processor.
#[must_use]
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn since_epoch() -> Duration {
    #[cfg(test)]
    if let Some(simulated) = turmoil::since_epoch() {
        return simulated;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn advancing_wakes_a_sleeper() {
        let clock = std::sync::Arc::new(Clock::new());
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move { clock.sleep_until(3_600_000).await })
        };
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3600));
        tokio::time::timeout(Duration::from_secs(10), sleeper).await.unwrap().unwrap();
    }

    #[test]
    fn a_wrong_wall_clock_moves_no_deadline() {
        let clock = Clock::new();
        let (wall, steady) = (clock.now().0, clock.steady_ms());
        for by in [86_400_000, -86_400_000, 0] {
            clock.skew(by);
            assert!((0..3_600_000).contains(&(clock.now().0 - wall - by)), "{by}");
            assert!((0..3_600_000).contains(&(clock.steady_ms() - steady)), "{by}");
        }
    }

    #[test]
    fn advancing_moves_the_wall_clock() {
        let clock = Clock::new();
        let before = clock.now();
        clock.advance(Duration::from_secs(3600));
        assert!(clock.now().0 >= before.0 + 3_600_000);
    }
}
