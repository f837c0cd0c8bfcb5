//! What one request uses of its client's quotas, from its start to its answer.
//!
//! Must never be made for a request while nobody has a quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use milena_coordinator::image::{ClientQuotas, QuotaKey};

use super::usage::{Client, Usage};

/// Percent of a second of one thread (`ClientRequestQuotaManager.NANOS_TO_PERCENTAGE_PER_SECOND`).
const PERCENT: f64 = 100.0;

/// Measures a request.
#[derive(Debug)]
pub struct Meter {
    usage: Arc<Usage>,
    quotas: Arc<ClientQuotas>,
    client: Client,
    /// Nanoseconds of a thread that were not counted yet.
    spent: AtomicU64,
    exempt: AtomicBool,
}

impl Meter {
    #[must_use]
    pub fn new(usage: Arc<Usage>, quotas: Arc<ClientQuotas>, client: Client) -> Self {
        Self { usage, quotas, client, spent: AtomicU64::new(0), exempt: AtomicBool::new(false) }
    }

    /// Adds time that a thread spent.
    pub fn spend(&self, time: Duration) {
        self.spent.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The time of this request does not count: other brokers must not wait for the sake of clients.
    pub fn exempt(&self) {
        self.exempt.store(true, Ordering::Relaxed);
    }

    /// Whether this is for no client.
    #[must_use]
    pub fn is_exempt(&self) -> bool {
        self.exempt.load(Ordering::Relaxed)
    }

    /// Counts the time so far and tells how long the client has to wait for it.
    #[must_use]
    pub fn of_time(&self, now: Duration) -> Duration {
        let spent = Duration::from_nanos(self.spent.swap(0, Ordering::Relaxed));
        if self.is_exempt() {
            return Duration::ZERO;
        }
        let percent = spent.as_secs_f64() * PERCENT;
        self.usage.record(&self.quotas, QuotaKey::RequestPercentage, &self.client, percent, now)
    }

    /// Counts bytes of a produce request and tells how long the client has to wait for them.
    #[must_use]
    pub fn of_produced(&self, bytes: usize, now: Duration) -> Duration {
        self.record(QuotaKey::ProducerByteRate, amount(bytes), now)
    }

    /// Counts bytes of a fetch and tells how long the client has to wait, in which case it does not get them and they do not count.
    #[must_use]
    pub fn of_fetched(&self, bytes: usize, now: Duration) -> Duration {
        let time = self.of_time(now);
        let pause = self.record(QuotaKey::ConsumerByteRate, amount(bytes), now).max(time);
        if !pause.is_zero() {
            let _ = self.record(QuotaKey::ConsumerByteRate, -amount(bytes), now);
        }
        pause
    }

    /// Bytes that a fetch can bring without being too many by itself.
    #[must_use]
    pub fn most_fetched(&self) -> usize {
        self.usage.most_at_once(&self.quotas, QuotaKey::ConsumerByteRate, &self.client)
    }

    fn record(&self, key: QuotaKey, amount: f64, now: Duration) -> Duration {
        self.usage.record(&self.quotas, key, &self.client, amount, now)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a frame has less than two gigabytes")]
fn amount(bytes: usize) -> f64 {
    bytes as f64
}

/// A pause as it is told: whole milliseconds.
#[must_use]
pub fn milliseconds(pause: Duration) -> u32 {
    // What is told is signed.
    const MOST: u32 = i32::MAX.unsigned_abs();
    u32::try_from((pause + Duration::from_micros(500)).as_millis()).unwrap_or(MOST).min(MOST)
}

#[cfg(test)]
pub(crate) mod testing {
    use milena_coordinator::image::{MetadataImage, paths};
    use milena_coordinator::tree::{Command, Op, Tree};
    use milena_storage::ids::Timestamp;

    /// An image with these quotas: path and config.
    pub(crate) fn image(entities: &[(&str, &str)]) -> MetadataImage {
        let mut tree = Tree::new();
        let mut ops: Vec<_> = paths::FOLDERS.iter().map(|path| Op::create(*path, "")).collect();
        let node = |config: &str| format!(r#"{{"version":1,"config":{config}}}"#);
        ops.extend(entities.iter().map(|(path, config)| Op::create(*path, node(config))));
        tree.apply(tree.zxid().next(1), &Command::multi(Timestamp(0), ops));
        MetadataImage::from_tree(&tree)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::super::rate::RateWindow;
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn meter(config: &str) -> Meter {
        let quotas = Arc::clone(testing::image(&[("/config/clients/c", config)]).quotas().unwrap());
        let usage = Arc::new(Usage::new(RateWindow { samples: 11, length: Duration::from_secs(1) }));
        Meter::new(usage, quotas, Client { user: "u".into(), id: Some(StrBytes::from_static_str("c")) })
    }

    #[test]
    fn time_counts_once_and_not_for_brokers() {
        // Ten windows of half a percent: 50 milliseconds are free.
        let meter = meter(r#"{"request_percentage":"0.5"}"#);
        meter.spend(Duration::from_millis(50));
        assert_eq!(meter.of_time(NOW), Duration::ZERO);
        assert_eq!(meter.of_time(NOW), Duration::ZERO, "it was counted already");
        meter.spend(Duration::from_millis(1));
        assert_eq!(milliseconds(meter.of_time(NOW)), 200);
        meter.exempt();
        assert_eq!(meter.of_time(NOW), Duration::ZERO);
    }

    #[test]
    fn what_is_not_given_out_does_not_count() {
        let meter = meter(r#"{"consumer_byte_rate":"1000"}"#);
        assert_eq!(meter.most_fetched(), 10_000);
        assert_eq!(meter.of_fetched(10_000, NOW), Duration::ZERO);
        assert_eq!(milliseconds(meter.of_fetched(500, NOW)), 500);
        assert_eq!(milliseconds(meter.of_fetched(500, NOW)), 500, "the first were taken back");
        assert_eq!(meter.of_fetched(0, NOW), Duration::ZERO);
        assert_eq!(meter.of_produced(1 << 30, NOW), Duration::ZERO);
    }

    #[test]
    fn a_pause_is_told_as_far_as_it_can_be() {
        assert_eq!(milliseconds(Duration::from_micros(1499)), 1);
        assert_eq!(milliseconds(Duration::from_micros(1500)), 2);
        assert_eq!(milliseconds(Duration::MAX - Duration::from_secs(1)), i32::MAX.unsigned_abs());
    }
}
