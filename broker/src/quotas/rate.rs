//! How fast something has come of late, and the pause that brings it down: Kafka's rate over sampled windows (`Rate` over `SampledStat`,
//! `QuotaUtils.throttleTime`).
//!
//! Must never read a clock: time comes with each amount.

use std::time::Duration;

/// `quota.window.num` samples of `quota.window.size.seconds` each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateWindow {
    pub samples: u32,
    pub length: Duration,
}

/// Adds up what came of late.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: Vec<Sample>,
    current: usize,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    start: Duration,
    last: Duration,
    amount: f64,
}

impl RateWindow {
    /// After so long without anything a rate is as if nothing had ever come.
    pub(crate) fn whole(self) -> Duration {
        self.length.saturating_mul(self.samples)
    }
}

impl Rate {
    /// Counts one and tells how long to wait so that there are no more than `limit` per second; never longer than one window, so that
    /// nobody is shut out (`QuotaUtils.boundedThrottleTime`).
    pub(crate) fn count(&mut self, now: Duration, limit: f64, window: RateWindow) -> Duration {
        self.record(1.0, now, window);
        self.pause(now, limit, window).min(window.length)
    }

    /// Counts an amount; a negative one takes back.
    pub(crate) fn record(&mut self, amount: f64, now: Duration, window: RateWindow) {
        let sample = self.sample(now, window);
        sample.amount += amount;
        sample.last = now;
    }

    /// How long nothing may come so that there was no more than `limit` per second.
    pub(crate) fn pause(&mut self, now: Duration, limit: f64, window: RateWindow) -> Duration {
        let (amount, elapsed) = self.measure(now, window);
        let over = amount - limit * elapsed.as_secs_f64();
        if over > 0.0 {
            // A limit of zero would wait for ever.
            Duration::try_from_secs_f64(over / limit).unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        }
    }

    /// The sample that this moment belongs to. One more is kept than is asked for: the oldest may overlap the window.
    fn sample(&mut self, now: Duration, window: RateWindow) -> &mut Sample {
        let fresh = Sample { start: now, last: now, amount: 0.0 };
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

    /// What came, and the time in which it came: at least all whole windows but one, so that the first after a quiet time does not
    /// count as a high rate.
    fn measure(&mut self, now: Duration, window: RateWindow) -> (f64, Duration) {
        let kept = window.whole();
        for sample in &mut self.samples {
            if now.saturating_sub(sample.last) >= kept {
                *sample = Sample { start: now, last: now, amount: 0.0 };
            }
        }
        let oldest = self.samples.iter().map(|sample| sample.start).min().unwrap_or(now);
        let elapsed = now.saturating_sub(oldest);
        let whole = u32::try_from(elapsed.as_millis() / window.length.as_millis().max(1)).unwrap_or(u32::MAX);
        let missing = (window.samples - 1).saturating_sub(whole);
        let amount = self.samples.iter().map(|sample| sample.amount).sum();
        (amount, (elapsed + window.length * missing).max(Duration::from_millis(1)))
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
        let mut rate = Rate::default();
        let free = (0..100).filter(|_| rate.count(at(5), 5.0, WINDOW).is_zero()).count();
        assert_eq!(free, 50);
        // A hundred and one where fifty are allowed: ten seconds over, but never more than a window at once.
        assert_eq!(rate.count(at(5), 5.0, WINDOW), WINDOW.length);
    }

    #[test]
    fn the_pause_brings_the_rate_down_to_the_limit() {
        let mut rate = Rate::default();
        for _ in 0..50 {
            assert!(rate.count(at(0), 5.0, WINDOW).is_zero());
        }
        assert_eq!(rate.count(at(0), 5.0, WINDOW), at(200));
    }

    #[test]
    fn who_waits_as_told_comes_at_the_limit() {
        let mut rate = Rate::default();
        let mut now = Duration::ZERO;
        let mut came = 0;
        while now < Duration::from_secs(100) {
            now += rate.count(now, 10.0, WINDOW).max(at(1));
            came += 1;
        }
        assert!((1000..1130).contains(&came), "{came} in a hundred seconds at ten a second and a burst");
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut rate = Rate::default();
        for _ in 0..500 {
            let _ = rate.count(at(0), 5.0, WINDOW);
        }
        assert!(rate.count(at(11_000), 5.0, WINDOW).is_zero());
    }

    #[test]
    fn no_limit_never_waits_and_zero_waits_a_window() {
        let mut rate = Rate::default();
        for _ in 0..10_000 {
            assert!(rate.count(at(0), f64::from(i32::MAX), WINDOW).is_zero());
        }
        assert_eq!(Rate::default().count(at(0), 0.0, WINDOW), WINDOW.length);
    }
    #[test]
    fn a_large_amount_waits_as_long_as_it_is_worth_and_is_taken_back() {
        let mut rate = Rate::default();
        rate.record(25_000.0, at(0), WINDOW);
        // Ten thousand are free in ten windows; fifteen more take fifteen seconds.
        assert_eq!(rate.pause(at(0), 1000.0, WINDOW), at(15_000));
        rate.record(-25_000.0, at(0), WINDOW);
        assert_eq!(rate.pause(at(0), 1000.0, WINDOW), Duration::ZERO);
        rate.record(1.0, at(0), WINDOW);
        assert_eq!(rate.pause(at(0), f64::NAN, WINDOW), Duration::ZERO);
    }
}
