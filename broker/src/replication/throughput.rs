//! How many bytes per second pass, as Kafka's replication quotas measure it: over sampled windows (`SimpleRate` over `SampledStat`, as
//! `ReplicationQuotaManager` uses them).
//!
//! Must never read a clock, nor hold anybody up: who asks is told whether more passed than may.

use std::collections::VecDeque;

use crate::settings::QuotaWindow;

/// Bytes that passed of late.
#[derive(Debug, Default)]
pub struct Throughput(VecDeque<Sample>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    start: i64,
    last: i64,
    bytes: u64,
}

impl Throughput {
    /// Counts bytes, whether or not they may pass.
    pub fn record(&mut self, bytes: usize, now_ms: i64, window: QuotaWindow) {
        let bytes = bytes as u64;
        match self.0.back_mut() {
            Some(sample) if now_ms - sample.start < window.sample_ms => {
                sample.bytes = sample.bytes.saturating_add(bytes);
                sample.last = now_ms;
            }
            _ => self.0.push_back(Sample { start: now_ms, last: now_ms, bytes }),
        }
        // One more is kept than is asked for: the oldest may overlap the window.
        while self.0.len() > window.samples + 1 {
            self.0.pop_front();
        }
    }

    /// Whether more passed than `limit` bytes per second (`Sensor.checkQuotas`).
    #[must_use]
    pub fn is_exceeded(&mut self, limit: i64, now_ms: i64, window: QuotaWindow) -> bool {
        let kept_ms = window.sample_ms.saturating_mul(i64::try_from(window.samples).unwrap_or(i64::MAX));
        while self.0.front().is_some_and(|oldest| now_ms - oldest.last >= kept_ms) {
            self.0.pop_front();
        }
        let Some(oldest) = self.0.front() else { return false };
        let elapsed_ms = (now_ms - oldest.start).max(window.sample_ms).max(1);
        let bytes = self.0.iter().fold(0_u128, |sum, sample| sum + u128::from(sample.bytes));
        // In whole numbers, so that nothing is lost with the largest limit.
        bytes * 1000 > u128::from(limit.max(0).unsigned_abs()) * u128::from(elapsed_ms.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: QuotaWindow = QuotaWindow { samples: 11, sample_ms: 1000 };

    #[test]
    fn who_stops_when_told_stays_at_the_limit_over_time() {
        for (limit, chunk) in [(1000, 100), (50_000, 1000), (1000, 5000)] {
            let (mut passed, mut rate) = (0, Throughput::default());
            for now in (0..120_000).step_by(10) {
                if !rate.is_exceeded(limit, now, WINDOW) {
                    rate.record(chunk, now, WINDOW);
                    passed += chunk;
                }
            }
            let per_second = passed as i64 / 120;
            assert!(
                per_second <= limit + limit / 5 + chunk as i64 / 11,
                "{per_second} at {limit} by {chunk}"
            );
            assert!(per_second >= limit * 2 / 5, "{per_second} at {limit} by {chunk}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut rate = Throughput::default();
        rate.record(1_000_000, 0, WINDOW);
        assert!(rate.is_exceeded(10, 5000, WINDOW) && rate.is_exceeded(10, 10_999, WINDOW));
        assert!(!rate.is_exceeded(10, 11_000, WINDOW));
    }

    #[test]
    fn no_limit_is_never_exceeded_and_zero_is_by_one_byte() {
        let mut rate = Throughput::default();
        assert!(!rate.is_exceeded(0, 0, WINDOW), "nothing passed yet");
        rate.record(1, 0, WINDOW);
        assert!(rate.is_exceeded(0, 0, WINDOW));
        (0..100).for_each(|_| rate.record(usize::MAX / 1024, 0, WINDOW));
        assert!(!rate.is_exceeded(i64::MAX, 0, WINDOW));
    }

    #[test]
    fn the_window_holds_one_sample_more_than_asked_for() {
        let mut rate = Throughput::default();
        (0..100).for_each(|second| rate.record(500, second * 1000, WINDOW));
        assert_eq!(rate.0.len(), WINDOW.samples + 1);
        assert!(!rate.is_exceeded(550, 99_999, WINDOW) && rate.is_exceeded(450, 99_999, WINDOW));
    }
}
