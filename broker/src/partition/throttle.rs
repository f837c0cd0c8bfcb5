//! Replication quotas (KIP-73): how fast replicas that operators name may be caught up, as leader and as follower
//! (`ReplicationQuotaManager`, `ReplicaManager.shouldLeaderThrottle`, `AbstractFetcherThread.shouldFollowerThrottle`).
//!
//! It must never hold a replica up that is in sync: that would hold up producers.

use std::sync::atomic::{AtomicI64, Ordering};

use milena_storage::ids::BrokerId;
use parking_lot::Mutex;

use crate::replication::throughput::Throughput;
use crate::settings::QuotaWindow;

/// On which side of replication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Leader,
    Follower,
}

/// The quotas of a broker, one for each side.
#[derive(Debug)]
pub struct Throttles([Throttle; 2]);

#[derive(Debug)]
struct Throttle {
    bytes_per_second: AtomicI64,
    passed: Mutex<(Throughput, QuotaWindow)>,
}

impl Default for Throttles {
    fn default() -> Self {
        let window = QuotaWindow { samples: 11, sample_ms: 1000 };
        let throttle = || Throttle {
            bytes_per_second: AtomicI64::new(i64::MAX),
            passed: Mutex::new((Throughput::default(), window)),
        };
        Self([throttle(), throttle()])
    }
}

impl Throttles {
    /// Sets a side's rate (`leader.replication.throttled.rate`, `follower.replication.throttled.rate`).
    pub fn set(&self, side: Side, bytes_per_second: i64, window: QuotaWindow) {
        let throttle = &self.0[side as usize];
        throttle.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
        throttle.passed.lock().1 = window;
    }

    /// Counts bytes of throttled replicas.
    pub fn record(&self, side: Side, bytes: usize, now_ms: i64) {
        if bytes > 0 {
            let (passed, window) = &mut *self.0[side as usize].passed.lock();
            passed.record(bytes, now_ms, *window);
        }
    }

    /// Whether more passed than may.
    #[must_use]
    pub fn is_exceeded(&self, side: Side, now_ms: i64) -> bool {
        let throttle = &self.0[side as usize];
        let limit = throttle.bytes_per_second.load(Ordering::Relaxed);
        if limit == i64::MAX {
            return false;
        }
        let (passed, window) = &mut *throttle.passed.lock();
        passed.is_exceeded(limit, now_ms, *window)
    }
}

/// The replicas of a topic that are throttled (`leader.replication.throttled.replicas`,
/// `follower.replication.throttled.replicas`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ThrottledReplicas {
    #[default]
    None,
    All,
    /// Partition and broker.
    These(Vec<(i32, i32)>),
}

impl ThrottledReplicas {
    /// Reads the items of the setting, which its check has seen.
    #[must_use]
    pub fn parse(items: &[String]) -> Self {
        match items {
            [] => Self::None,
            [all] if all.trim() == "*" => Self::All,
            items => {
                let pair = |item: &String| {
                    let (partition, broker) = item.trim().split_once(':')?;
                    Some((partition.trim().parse().ok()?, broker.trim().parse().ok()?))
                };
                Self::These(items.iter().filter_map(pair).collect())
            }
        }
    }

    #[must_use]
    pub fn contains(&self, partition: i32, broker: BrokerId) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(replicas) => replicas.contains(&(partition, broker.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_named_by_partition_and_broker_or_all() {
        let parse = |items: &[&str]| {
            ThrottledReplicas::parse(&items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>())
        };
        assert!(!parse(&[]).contains(0, BrokerId(1)));
        assert!(parse(&["*"]).contains(7, BrokerId(1)));
        let these = parse(&["0:1", "1:2"]);
        assert!(these.contains(0, BrokerId(1)) && these.contains(1, BrokerId(2)));
        assert!(!these.contains(0, BrokerId(2)) && !these.contains(2, BrokerId(1)));
    }

    #[test]
    fn a_side_is_exceeded_by_its_own_bytes_until_they_are_long_ago() {
        let throttles = Throttles::default();
        let window = QuotaWindow { samples: 11, sample_ms: 1000 };
        throttles.record(Side::Leader, 1 << 40, 0);
        assert!(!throttles.is_exceeded(Side::Leader, 0), "without a rate there is no limit");
        throttles.set(Side::Leader, 1000, window);
        throttles.set(Side::Follower, 1000, window);
        throttles.record(Side::Follower, 1000, 0);
        assert!(throttles.is_exceeded(Side::Leader, 10_000));
        assert!(!throttles.is_exceeded(Side::Follower, 0));
        assert!(!throttles.is_exceeded(Side::Leader, 11_000));
    }
}
