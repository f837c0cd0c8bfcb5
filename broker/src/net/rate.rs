//! How fast connections may come (KIP-612): Kafka's rate over sampled windows, and the pause that brings it down.
//!
//! Must never read a clock: time comes with each connection.

use std::time::Duration;

/// `quota.window.num` samples of `quota.window.size.seconds` each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RateWindow {
    pub(super) samples: u32,
    pub(super) length: Duration,
}

/// Counts what happened of late (`Rate` over `SampledStat`).
#[derive(Debug, Default)]
pub(super) struct CreationRate {
    samples: Vec<Sample>,
    current: usize,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    start: Duration,
    last: Duration,
    count: u32,
}

impl CreationRate {
    /// Counts one connection and tells how long to wait so that there are no more than `limit` per second; never
    /// longer than one window, so that nobody is shut out (`QuotaUtils.boundedThrottleTime`).
    pub(super) fn record(&mut self, now: Duration, limit: usize, window: RateWindow) -> Duration {
        let sample = self.sample(now, window);
        sample.count = sample.count.saturating_add(1);
        sample.last = now;
        let (count, elapsed) = self.measure(now, window);
        #[expect(clippy::cast_precision_loss, reason = "limits are 32 bits wide")]
        let allowed = limit as f64 * elapsed.as_secs_f64();
        let over = f64::from(count) - allowed;
        if over <= 0.0 {
            return Duration::ZERO;
        }
        #[expect(clippy::cast_precision_loss, reason = "limits are 32 bits wide")]
        let pause = over / limit as f64;
        // A limit of zero would wait for ever.
        Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX).min(window.length)
    }

    /// The sample that this moment belongs to. One more is kept than is asked for: the oldest may overlap the window.
    fn sample(&mut self, now: Duration, window: RateWindow) -> &mut Sample {
        let fresh = Sample { start: now, last: now, count: 0 };
        if self.samples.is_empty() {
            self.samples.push(fresh);
        } else if now.saturating_sub(self.samples[self.current].start) >= window.length {
            self.current = (self.current + 1) % (window.samples as usize + 1);
            match self.samples.get_mut(self.current) {
                Some(oldest) => *oldest = fresh,
                None => {
                    self.current = self.samples.len();
                    self.samples.push(fresh);
                }
            }
        }
        &mut self.samples[self.current]
    }

    /// Connections, and the time in which they came: at least all whole windows but one, so that the first connections
    /// after a quiet time do not count as a high rate.
    fn measure(&mut self, now: Duration, window: RateWindow) -> (u32, Duration) {
        let kept = window.length * window.samples;
        for sample in &mut self.samples {
            if now.saturating_sub(sample.last) >= kept {
                *sample = Sample { start: now, last: now, count: 0 };
            }
        }
        let oldest = self.samples.iter().map(|sample| sample.start).min().unwrap_or(now);
        let elapsed = now.saturating_sub(oldest);
        let whole = u32::try_from(elapsed.as_millis() / window.length.as_millis().max(1)).unwrap_or(u32::MAX);
        let missing = (window.samples - 1).saturating_sub(whole);
        let count = self.samples.iter().fold(0_u32, |sum, sample| sum.saturating_add(sample.count));
        (count, (elapsed + window.length * missing).max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: RateWindow = RateWindow { samples: 11, length: Duration::from_secs(1) };

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_of_ten_seconds_worth_is_free_and_more_must_wait() {
        let mut rate = CreationRate::default();
        let free = (0..100).filter(|_| rate.record(at(5), 5, WINDOW).is_zero()).count();
        assert_eq!(free, 50);
        // A hundred and one where fifty are allowed: ten seconds over, but never more than a window at once.
        assert_eq!(rate.record(at(5), 5, WINDOW), WINDOW.length);
    }

    #[test]
    fn the_pause_brings_the_rate_down_to_the_limit() {
        let mut rate = CreationRate::default();
        for _ in 0..50 {
            assert!(rate.record(at(0), 5, WINDOW).is_zero());
        }
        assert_eq!(rate.record(at(0), 5, WINDOW), at(200));
    }

    #[test]
    fn who_waits_as_told_comes_at_the_limit() {
        let mut rate = CreationRate::default();
        let mut now = Duration::ZERO;
        let mut came = 0;
        while now < Duration::from_secs(100) {
            now += rate.record(now, 10, WINDOW).max(at(1));
            came += 1;
        }
        assert!((1000..1130).contains(&came), "{came} in a hundred seconds at ten a second and a burst");
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut rate = CreationRate::default();
        for _ in 0..500 {
            let _ = rate.record(at(0), 5, WINDOW);
        }
        assert!(rate.record(at(11_000), 5, WINDOW).is_zero());
    }

    #[test]
    fn no_limit_never_waits_and_zero_waits_a_window() {
        let mut rate = CreationRate::default();
        for _ in 0..10_000 {
            assert!(rate.record(at(0), i32::MAX as usize, WINDOW).is_zero());
        }
        assert_eq!(CreationRate::default().record(at(0), 0, WINDOW), WINDOW.length);
    }
}
