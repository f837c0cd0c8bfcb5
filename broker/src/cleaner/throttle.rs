//! How long the cleaners must wait to stay below `log.cleaner.io.max.bytes.per.second` (Kafka's `Throttler`).
//!
//! It must never wait itself, nor read a clock.

/// What passed is compared with the rate this often.
const CHECK_INTERVAL_MS: i64 = 300;

/// Bytes that all cleaners together read and wrote since the period began.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    period_start_ms: i64,
    bytes: u64,
}

impl Throttle {
    /// Notes that bytes have passed; returns for how many milliseconds nothing more may.
    pub(super) fn passed(&mut self, bytes: u64, bytes_per_second: f64, now_ms: i64) -> i64 {
        self.bytes += bytes;
        let elapsed_ms = now_ms - self.period_start_ms;
        if elapsed_ms < CHECK_INTERVAL_MS || self.bytes == 0 {
            return 0;
        }
        let due_ms = self.bytes as f64 * 1000.0 / bytes_per_second;
        // A rate of zero or none at all would never end; Kafka's largest double never waits.
        let wait_ms =
            if due_ms.is_finite() { (due_ms.round() as i64).saturating_sub(elapsed_ms).max(0) } else { 0 };
        self.period_start_ms = now_ms.saturating_add(wait_ms);
        self.bytes = 0;
        wait_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_too_fast_waits_for_its_time() {
        let mut throttle = Throttle { period_start_ms: 1000, bytes: 0 };
        assert_eq!(throttle.passed(400, 1000.0, 1100), 0, "not looked at yet");
        assert_eq!(throttle.passed(600, 1000.0, 1300), 700);
        assert_eq!(throttle.passed(100, 1000.0, 2000), 0);
        assert_eq!(throttle.passed(0, 1000.0, 2400), 0, "slow enough");
        assert_eq!(throttle.passed(1 << 40, f64::MAX, 9000), 0);
        assert_eq!(throttle.passed(1 << 40, 0.0, 19_000), 0, "a rate of nothing is no rate");
    }
}
